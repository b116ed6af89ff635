"""What is measured. The rounds of a suite are interleaved (A B C, A B C): a machine that slows down slows all."""

from __future__ import annotations

import math
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import trustme

from benchmarks import processes
from benchmarks.environments import PEERS, Environment, Unavailable, ours, prepare
from benchmarks.inputs import Frames, in_runs, market_frames, recorded_frames
from benchmarks.processes import Failed, Side, Socket
from benchmarks.results import Report, quantile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["SUITES", "Bench", "Plan"]

TRANSPORTS: Final = ("websockets", "trio-websocket")
FAST: Final = TRANSPORTS[0]
CALLS: Final = ("receive", "receive_many")
DEPTHS: Final = (10, 100, 1000)
TARGET_MESSAGES: Final = 5_000_000
PER_MESSAGE: Final = "µs per message"


@attrs.frozen(kw_only=True)
class Plan:
    """How much is run."""

    rounds: int
    passes: int
    """Passes over the frames per round, where no socket is involved."""
    pass_seconds: float
    updates: int
    """Frames per input."""
    slow_updates: int
    """The same for a side that takes milliseconds per frame."""
    latency_seconds: float
    latency_rates: tuple[int, ...]
    memory_at: tuple[int, ...]
    traced_at: tuple[int, ...]
    resyncs: int
    symbols: tuple[int, ...] = (1, 10, 100, 1000)
    feeds: tuple[int, ...] = (1, 4, 16)

    @classmethod
    def full(cls) -> Plan:
        return cls(
            rounds=5, passes=2, pass_seconds=2.0, updates=50_000, slow_updates=2_000,
            latency_seconds=10.0, latency_rates=(1_000, 5_000, 20_000),
            memory_at=(100_000, 200_000, 500_000, *range(1_000_000, 5_000_001, 500_000)),
            traced_at=(100_000, 200_000, 500_000, 1_000_000), resyncs=50,
        )  # fmt: skip

    @classmethod
    def quick(cls) -> Plan:
        """For working on it: minutes, and figures that only say roughly."""
        return cls(
            rounds=2, passes=2, pass_seconds=1.0, updates=10_000, slow_updates=600,
            latency_seconds=2.0, latency_rates=(1_000, 5_000, 20_000),
            memory_at=(100_000, 500_000, 1_000_000, 5_000_000), traced_at=(20_000, 50_000, 100_000), resyncs=10,
        )  # fmt: skip


class Bench:
    """One run: the plan, the environments, and what was found so far."""

    def __init__(self, plan: Plan, report: Report, *, peers: bool, captures: Path, say: Callable[[str], None]) -> None:
        self.plan = plan
        self.report = report
        self.captures = captures
        self.say = say
        self.plain = Socket()
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        authority = trustme.CA()
        (folder / "authority.pem").write_bytes(authority.cert_pem.bytes())
        server = authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes()
        (folder / "server.pem").write_bytes(server)
        self.tls = Socket(certificate=str(folder / "server.pem"), authority=str(folder / "authority.pem"))
        self.ours = ours()
        report.versions["kraken_trio"] = _versions(self.ours)
        self.peers: dict[str, Environment] = {}
        self._known: set[str] = set()
        for peer in PEERS.values():
            if not peers:
                report.skipped[peer.title] = "peers were not asked for"
                continue
            say(f"environment of {peer.title}")
            try:
                self.peers[peer.name] = prepare(peer)
            except Unavailable as reason:
                self.skip(peer.title, str(reason))
                continue
            report.versions[peer.title] = _versions(self.peers[peer.name])

    def close(self) -> None:
        self._stack.close()

    def skip(self, what: str, why: str) -> None:
        """Note that something is not measured."""
        self.report.skipped[what] = why
        self.say(f"  skipped: {what}: {why}")

    def know(self, frames: Frames) -> Frames:
        """Note what an input is like."""
        if frames.name not in self._known:
            self._known.add(frames.name)
            self.report.inputs.append(
                {
                    "name": frames.name,
                    "symbols": frames.symbols,
                    "depth": frames.depth,
                    "updates": frames.updates,
                    "bytes_per_update": round(frames.bytes_per_update, 1),
                    "levels_per_update": round(frames.levels_per_update, 2),
                }
            )
        return frames

    def market(self, depth: int, *, symbols: int = 1, levels: int = 1500) -> Frames:
        return self.know(market_frames(depth, self.plan.updates, symbols=symbols, levels=levels))

    def our_side(self, module: str, **task: Any) -> Side:
        return Side(python=self.ours.python, module=module, task=task)

    def our_socket(self, transport: str, call: str, *, feeds: int = 1) -> Side:
        return self.our_side("ours_socket", transport=transport, call=call, feeds=feeds, capacity=1024)

    def peer_side(self, name: str, module: str, **task: Any) -> Side | None:
        environment = self.peers.get(name)
        return None if environment is None else Side(python=environment.python, module=module, task=task)

    def interleave(self, measures: list[Measure], rounds: int) -> None:
        """Take each measure once a round. One that fails is not tried again."""
        alive = list(measures)
        for number in range(rounds):
            for measure in list(alive):
                try:
                    measure.take()
                except Failed as error:
                    self.skip(measure.id, str(error))
                    alive.remove(measure)
                    continue
                row = self.report.rows.get(measure.id)
                if row is not None:
                    self.say(f"  {number + 1}/{rounds} {row.title}: {row.samples[-1]:.2f} {row.unit}")


@attrs.frozen(kw_only=True)
class Measure:
    """Takes one round's samples."""

    id: str
    take: Callable[[], None]


def _versions(environment: Environment) -> dict[str, str]:
    return {"python": environment.version, **environment.packages}


# ---------------------------------------------------------------------------------------------------------------------
# Without a socket
# ---------------------------------------------------------------------------------------------------------------------


def processing(bench: Bench) -> None:
    """From a frame's bytes to a verified book, in CPU time."""
    stages = {"decode": "decode", "book": "decode + apply + verify", "session": "the whole session (16 frames a read)"}
    measures = []
    inputs = [(str(depth), bench.market(depth)) for depth in DEPTHS]
    recordings = recorded_frames(bench.captures)
    if not recordings:
        bench.skip("recordings", "the folder of recordings is not here")
    inputs += [(frames.name, bench.know(frames)) for frames in recordings]
    for name, frames in inputs:
        for stage, title in stages.items():
            side = bench.our_side("ours_handler", stage=stage)
            measures.append(_passes(bench, f"processing/{stage}/{name}", f"kraken_trio: {title}", side, frames))
        for peer, module in (("cryptofeed", "cryptofeed_handler"), ("kraken-sdk", "kraken_sdk"), ("ccxt", "ccxt_pro")):
            theirs = bench.peer_side(peer, module)
            if theirs is not None:
                note = "" if PEERS[peer].verifies else " (verifies nothing)"
                title = f"{PEERS[peer].title}: handler{note}"
                measures.append(_passes(bench, f"processing/{peer}/{name}", title, theirs, frames))
    if "nautilus" in bench.peers:
        bench.skip("processing/nautilus", "its handler is inside its Rust client: only from the socket")
    bench.interleave(measures, bench.plan.rounds)


def _passes(bench: Bench, id: str, title: str, side: Side, frames: Frames) -> Measure:  # noqa: A002 (the id of a row, as in the JSON)
    plan = bench.plan

    def take() -> None:
        found = processes.run_side(
            side,
            frames=frames.path,
            depth=frames.depth,
            symbol=frames.symbol,
            price_decimals=frames.price_decimals,
            passes=plan.passes,
            pass_seconds=plan.pass_seconds,
        )
        row = bench.report.row(id, title, PER_MESSAGE)
        row.samples += [ns / 1000 for ns in found["samples_ns"]]
        row.notes["messages_per_pass"] = found["messages"]
        if found.get("checksum_failures"):
            row.notes["checksum_failures"] = found["checksum_failures"]

    return Measure(id=id, take=take)


def allocations(bench: Bench) -> None:
    """What is allocated per message. Counted once: it is the same each time."""
    for depth in (10, 1000):
        frames = bench.market(depth)
        side = bench.our_side("ours_allocations", messages=min(5000, frames.updates // 2 - 2100))
        try:
            found = processes.run_side(side, frames=frames.path, depth=depth)
        except Failed as error:
            bench.skip(f"allocations/{depth}", str(error))
            continue
        for key, title, unit in (
            ("handed_blocks", "handed to the user", "blocks per message"),
            ("handed_bytes", "handed to the user", "bytes per message"),
            ("kept_blocks", "kept after that (caches that fill)", "blocks per message"),
            ("kept_bytes", "kept after that (caches that fill)", "bytes per message"),
            ("peak_batch_bytes", "most at any time, for a read of 16 frames", "bytes"),
            ("collections_per_1000", "garbage collections", "per 1000 messages"),
        ):
            row = bench.report.row(f"allocations/{key}/{depth}", title, unit)
            row.samples.append(found[key])
        bench.say(f"  depth {depth}: {found}")


# ---------------------------------------------------------------------------------------------------------------------
# From the socket
# ---------------------------------------------------------------------------------------------------------------------


def socket(bench: Bench) -> None:
    """From the first byte that is sent to the user's code having the last message."""
    measures = []
    for depth in (10, 1000):
        frames = bench.market(depth)
        for lock, way in (("plain", bench.plain), ("tls", bench.tls)):
            measures += [
                _stream(bench, f"socket/{transport}/{lock}/{call}/{depth}", f"kraken_trio: {transport}, {call}",
                        bench.our_socket(transport, call), frames, way)
                for transport in TRANSPORTS
                for call in CALLS
            ]  # fmt: skip
            for library in TRANSPORTS:
                name = "bare trio-websocket" if library == "trio-websocket" else "bare websockets.trio"
                bare = bench.our_side("bare_socket", library=library)
                measures.append(
                    _stream(bench, f"socket/{name}/{lock}/{depth}", f"{name}, doing nothing", bare, frames, way)
                )
            for name, title, theirs in _peers(bench):
                if lock == "tls" and name.startswith("nautilus"):
                    bench.skip(f"socket/{name}/tls", "its TLS trusts only the authorities that are built in")
                    continue
                slow = name == "kraken-sdk" and depth == 1000
                measures.append(
                    _stream(bench, f"socket/{name}/{lock}/{depth}", title, theirs, frames, way, slow=slow)
                )  # fmt: skip
    bench.interleave(measures, bench.plan.rounds)


def _peers(bench: Bench) -> Iterator[tuple[str, str, Side]]:
    for name, peer, module, title in (
        ("cryptofeed", "cryptofeed", "cryptofeed_socket", "cryptofeed: callback"),
        ("kraken-sdk", "kraken-sdk", "kraken_sdk", "python-kraken-sdk: callback"),
        ("ccxt", "ccxt", "ccxt_pro", "ccxt.pro: watch_order_book (verifies nothing, conflates)"),
        ("nautilus", "nautilus", "nautilus", "NautilusTrader: its WebSocket client alone (verifies nothing)"),
        ("nautilus-node", "nautilus", "nautilus_node", "NautilusTrader: a strategy of a live node (verifies nothing)"),
    ):
        side = bench.peer_side(peer, module)
        if side is not None:
            yield name, title, side


def _stream(
    bench: Bench,
    id: str,  # noqa: A002 (the id of a row, as in the JSON)
    title: str,
    side: Side,
    frames: Frames,
    way: Socket,
    *,
    slow: bool = False,
) -> Measure:
    total = min(bench.plan.slow_updates if slow else bench.plan.updates, frames.updates)

    def take() -> None:
        wall, cpu, notes = processes.stream(side, frames, way, total=total, warmup=total // 10)
        row = bench.report.row(id, title, PER_MESSAGE)
        row.samples.append(wall)
        row.cpu.append(cpu)
        row.notes.update(notes)

    return Measure(id=id, take=take)


def symbols(bench: Bench) -> None:
    """The cost per message as symbols share one connection; and the same without the socket."""
    measures = []
    for count in bench.plan.symbols:
        frames = bench.market(10, symbols=count, levels=60)
        plural = "symbol" if count == 1 else "symbols"
        if count == max(bench.plan.symbols):
            measures.append(
                _passes(bench, f"symbols/session/{count}/in-runs", f"{count} symbols, 16 updates of each in a row",
                        bench.our_side("ours_handler", stage="session"), bench.know(in_runs(frames, 16)))
            )  # fmt: skip
        measures += [
            _stream(bench, f"symbols/{count}", f"{count} {plural}, from the socket",
                    bench.our_socket(FAST, "receive_many"), frames, bench.plain),
            _passes(bench, f"symbols/session/{count}", f"{count} {plural}, the session alone",
                    bench.our_side("ours_handler", stage="session"), frames),
        ]  # fmt: skip
    bench.interleave(measures, bench.plan.rounds)


def stages(bench: Bench) -> None:
    """Where the time goes, depth 10: each row does what the one before it does, and one thing more."""
    frames = bench.market(10)
    measures = [
        _stream(bench, "stages/transport", "read the socket, cut the frames",
                bench.our_side("bare_socket", library="ours"), frames, bench.plain),
    ]  # fmt: skip
    for stage, title in (
        ("decode", "decode"),
        ("book", "decode, apply, verify"),
        ("session", "the session: that, and find the subscription, count, sort into feeds"),
        ("feed", "the session, and a feed whose consumer receives each batch and reads the best price"),
    ):
        side = bench.our_side("ours_handler", stage=stage)
        measures.append(_passes(bench, f"stages/{stage}", title, side, frames))
    whole = bench.our_socket(FAST, "receive_many")
    measures.append(_stream(bench, "stages/whole", "the whole client, from the socket", whole, frames, bench.plain))
    bench.interleave(measures, bench.plan.rounds)


def fan_out(bench: Bench) -> None:
    """The cost per message as feeds share one subscription."""
    frames = bench.market(10)
    measures = []
    for count in bench.plan.feeds:
        title = f"{count} {'feed' if count == 1 else 'feeds'} of one book"
        side = bench.our_socket(FAST, "receive_many", feeds=count)
        measures.append(_stream(bench, f"fan-out/{count}", title, side, frames, bench.plain))
    bench.interleave(measures, bench.plan.rounds)


# ---------------------------------------------------------------------------------------------------------------------
# Latency, memory, resync
# ---------------------------------------------------------------------------------------------------------------------

_EDGES: Final = [round(10 * 10 ** (step / 12), 2) for step in range(73)]
"""Microseconds: from 10 µs to 10 s, twelve to a decade."""
_WARM_SECONDS: Final = 0.5


def latency(bench: Bench) -> None:
    """From when a message was due on the socket to when the user's code had it. Evenly spaced; a queue counts."""
    seconds = bench.plan.latency_seconds
    sides: list[tuple[str, str, Side]] = [
        (name, f"kraken_trio: {name}, receive", bench.our_socket(name, "receive")) for name in TRANSPORTS
    ]
    sides.append((f"{FAST}-many", f"kraken_trio: {FAST}, receive_many", bench.our_socket(FAST, "receive_many")))
    sides += [one for one in _peers(bench) if one[0] in ("cryptofeed", "nautilus-node")]
    measures = []
    for rate in bench.plan.latency_rates:
        total = int(rate * (seconds + _WARM_SECONDS))
        frames = bench.know(market_frames(10, max(total, bench.plan.updates)))
        for name, title, side in sides:
            measures.append(_latency(bench, f"{name}/{rate}", title, side, frames, rate, total))
    bench.interleave(measures, min(3, bench.plan.rounds))


def _latency(
    bench: Bench,
    id: str,  # noqa: A002 (the id of a row, as in the JSON)
    title: str,
    side: Side,
    frames: Frames,
    rate: int,
    total: int,
) -> Measure:
    def take() -> None:
        found, lag = processes.latency(side, frames, bench.plain, rate=rate, total=total)
        ordered = sorted(found[int(rate * _WARM_SECONDS) :])
        for name, part in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("most", 1.0)):
            row = bench.report.row(f"latency/{id}/{name}", f"{title}, {rate} a second, {name}", "µs")
            row.samples.append(quantile(ordered, part) / 1000)
        kept = bench.report.latencies.setdefault(
            id,
            {"title": title, "rate": rate, "edges_us": _EDGES, "counts": [0] * (len(_EDGES) + 1), "sender_lag_us": {}},
        )
        for value in ordered:
            micro = value / 1000
            bin_ = 0 if micro < _EDGES[0] else min(len(_EDGES), 1 + int(math.log10(micro / _EDGES[0]) * 12))
            kept["counts"][bin_] += 1
        kept["sender_lag_us"] = {name: round(value / 1000, 1) for name, value in lag.items()}
        p99 = bench.report.rows[f"latency/{id}/p99"]
        bench.say(f"  {p99.title}: {p99.samples[-1]:.0f} µs")

    return Measure(id=f"latency/{id}", take=take)


def memory(bench: Bench) -> None:
    """What a client holds over time, with a consumer that keeps up."""
    frames = bench.market(10)
    side = bench.our_socket(FAST, "receive_many")
    for kind, at, traced in (("process", bench.plan.memory_at, False), ("traced", bench.plan.traced_at, True)):
        try:
            points = processes.memory(side, frames, bench.plain, at=list(at), traced=traced)
        except Failed as error:
            bench.skip(f"memory/{kind}", str(error))
            continue
        bench.report.memory[kind] = points
        first = next(point for point in points if point["messages"] >= min(100_000, at[-1] // 2))
        last = points[-1]
        if traced:
            row = bench.report.row("memory/traced growth", "allocated by Python (tracemalloc), growth", "KiB")
            row.samples.append((last["traced_bytes"] - first["traced_bytes"]) / 1024)
        else:
            # A short run says nothing about the target.
            name = "growth" if last["messages"] >= TARGET_MESSAGES else "growth in a short run"
            row = bench.report.row(f"memory/{name}", f"resident memory, {name}", "MiB")
            row.samples.append((last["rss_kib"] - first["rss_kib"]) / 1024)
            blocks = bench.report.row("memory/blocks", "blocks allocated by Python, growth", "blocks")
            blocks.samples.append(last["blocks"] - first["blocks"])
            rss = bench.report.row("memory/rss", "resident memory of the whole process at the end", "MiB")
            rss.samples.append(last["rss_kib"] / 1024)
        row.notes.update({"from_message": first["messages"], "to_message": last["messages"]})
        bench.say(f"  {row.title}: {row.samples[-1]:.2f} {row.unit}")


def resync(bench: Bench) -> None:
    """A book of depth 1000 fails its checksum: from the gap to the fresh, verified book."""
    frames = bench.market(1000)
    side = bench.our_socket(FAST, "receive")

    def take() -> None:
        found = processes.resync(side, frames, bench.plain, total=bench.plan.resyncs)
        wall = bench.report.row(
            "resync/wall", "from the gap to the verified book, the exchange answering at once", "ms"
        )
        wall.samples += [ns / 1e6 for ns in found["samples_ns"]]
        cpu = bench.report.row("resync/cpu", "of that, work of the client", "ms")
        cpu.samples += [ns / 1e6 for ns in found["cpu_ns"]]

    bench.interleave([Measure(id="resync/wall", take=take)], min(3, bench.plan.rounds))


SUITES: Final[dict[str, Callable[[Bench], None]]] = {
    "processing": processing,
    "allocations": allocations,
    "socket": socket,
    "stages": stages,
    "symbols": symbols,
    "fan-out": fan_out,
    "latency": latency,
    "memory": memory,
    "resync": resync,
}
"""By name, in the order in which they are run."""
