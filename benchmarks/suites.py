"""What is measured. The rounds of a suite are interleaved (A B C, A B C): a machine that slows down slows all."""

from __future__ import annotations

import bisect
import itertools
import math
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import trustme
from kraken_trio.book.core import NAME

from benchmarks import processes
from benchmarks.environments import PEERS, ROOT, Environment, Unavailable, ours, prepare, revision
from benchmarks.inputs import Frames, in_runs, market_frames, recorded_frames
from benchmarks.processes import Failed, Side, Socket
from benchmarks.results import Report, quantile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["SUITES", "Bench", "Plan"]

FAST: Final = "websockets"
CORES: Final = ("compiled", "pure")
DEPTHS: Final = (10, 100, 1000)
TARGET_MESSAGES: Final = 5_000_000
PER_MESSAGE: Final = "µs per message"
PIECE: Final = 100
"""Bytes: a frame of the market is two or three such pieces."""
CALLS: Final = {"iterate": "async for", "receive": "receive", "receive_many": "receive_many", "batches": "batches"}


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
    latency_rounds: int
    latency_seconds: float
    recording_seconds: float
    """So much of a recording is played, at most."""
    side_loads: bool
    """Are the pure core and a blocking read measured at every load, or only at those that matter most?"""
    memory_at: tuple[int, ...]
    traced_at: tuple[int, ...]
    resyncs: int
    latency_rates: tuple[int, ...] = (100, 1_000, 5_000, 20_000)
    symbols: tuple[int, ...] = (1, 10, 100, 1000)
    feeds: tuple[int, ...] = (1, 4, 16)

    @classmethod
    def full(cls) -> Plan:
        return cls(
            rounds=5, passes=2, pass_seconds=2.0, updates=50_000, slow_updates=2_000,
            latency_rounds=3, latency_seconds=10.0, recording_seconds=60.0, side_loads=True,
            memory_at=(100_000, 200_000, 500_000, *range(1_000_000, 5_000_001, 500_000)),
            traced_at=(100_000, 200_000, 500_000, 1_000_000), resyncs=50,
        )  # fmt: skip

    @classmethod
    def quick(cls) -> Plan:
        """For working on it: minutes, and figures that only say roughly."""
        return cls(
            rounds=3, passes=2, pass_seconds=0.5, updates=10_000, slow_updates=600,
            latency_rounds=2, latency_seconds=2.0, recording_seconds=8.0, side_loads=False,
            memory_at=(100_000, 500_000, 1_000_000, 5_000_000), traced_at=(20_000, 50_000, 100_000), resyncs=10,
        )  # fmt: skip


class Bench:
    """One run: the plan, the environments, and what was found so far."""

    def __init__(
        self,
        plan: Plan,
        report: Report,
        *,
        peers: Sequence[str],
        against: Path | None,
        captures: Path,
        say: Callable[[str], None],
    ) -> None:
        self.plan = plan
        self.report = report
        self.captures = captures
        self.say = say
        self.plain = Socket()
        self.pieces = Socket(piece=PIECE)
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        authority = trustme.CA()
        (folder / "authority.pem").write_bytes(authority.cert_pem.bytes())
        server = authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes()
        (folder / "server.pem").write_bytes(server)
        self.tls = Socket(certificate=str(folder / "server.pem"), authority=str(folder / "authority.pem"))
        self.against: Path | None = None
        if against is not None:
            # Its package, and these benchmarks.
            self.against = folder / "predecessor"
            self.against.mkdir()
            (self.against / "kraken_trio").symlink_to((against / "kraken_trio").resolve())
            (self.against / "benchmarks").symlink_to(ROOT / "benchmarks")
            report.options["predecessor"] = revision(against)
        self.ours = ours()
        self.cores = CORES if NAME == "compiled" else CORES[1:]
        if NAME != "compiled":
            self.skip("compiled core", "it is not built here, or turned off")
        report.versions["kraken_trio"] = _versions(self.ours)
        self.peers: dict[str, Environment] = {}
        for peer in PEERS.values():
            if peer.name not in peers:
                report.skipped[peer.title] = "it was not asked for"
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
        if all(one["name"] != frames.name for one in self.report.inputs):
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

    def our_side(self, module: str, core: str = "", **task: Any) -> Side:
        core = core or self.cores[0]
        environment = {"KRAKEN_TRIO_PURE": "1" if core == "pure" else ""}
        return Side(python=self.ours.python, module=module, task={"core": core, **task}, environment=environment)

    def our_socket(self, call: str, core: str = "", *, transport: str = FAST, feeds: int = 1) -> Side:
        return self.our_side("ours_socket", core, transport=transport, call=call, feeds=feeds, capacity=1024)

    def predecessor(self, call: str) -> Side | None:
        """The public interface of the other checkout, from the socket."""
        if self.against is None:
            return None
        side = self.our_socket(call)
        return attrs.evolve(side, folder=self.against, task={**side.task, "core": None})

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


_STAGES: Final = {
    "book": "decode + apply + verify, 16 frames a call",
    "book1": "the same, one frame a call",
    "pieces": "the same, with a decoder and an OrderBook of one's own",
    "session": "the whole session, 16 frames a call",
    "session1": "the whole session, one frame a call",
    "follow": "the consumer's own book, which follows",
}


def processing(bench: Bench) -> None:
    """From a frame's bytes to a verified book, in CPU time."""
    measures = []
    inputs = [(str(depth), bench.market(depth)) for depth in DEPTHS]
    recordings = recorded_frames(bench.captures)
    if not recordings:
        bench.skip("recordings", "the folder of recordings is not here")
    inputs += [(frames.name, bench.know(frames)) for frames in recordings]
    for name, frames in inputs:
        for stage, title in _STAGES.items():
            for core in bench.cores:
                if core == "pure" and stage in ("book1", "pieces"):
                    continue  # its pieces take one frame a call in any case
                if frames.depth not in (10, 1000) and stage not in ("book", "session", "follow"):
                    continue
                side = bench.our_side("ours_handler", core, stage=stage)
                named = f"kraken_trio, {core}: {title}"
                measures.append(_passes(bench, f"processing/{core}/{stage}/{name}", named, side, frames))
        for peer, module in (("cryptofeed", "cryptofeed_handler"), ("kraken-sdk", "kraken_sdk"), ("ccxt", "ccxt_pro")):
            theirs = bench.peer_side(peer, module)
            if theirs is not None:
                note = "" if PEERS[peer].verifies else " (verifies nothing)"
                title = f"{PEERS[peer].title}: handler{note}"
                measures.append(_passes(bench, f"processing/{peer}/{name}", title, theirs, frames))
    if "nautilus" in bench.peers:
        bench.skip("processing/nautilus", "its handler is inside its Rust client: only from the socket")
    bench.interleave(measures, bench.plan.rounds)


def _passes(bench: Bench, row_id: str, title: str, side: Side, frames: Frames, *, warm: int = 0) -> Measure:
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
            warm=warm,
        )
        row = bench.report.row(row_id, title, PER_MESSAGE)
        row.samples += [ns / 1000 for ns in found["samples_ns"]]
        row.notes["messages_per_pass"] = found["messages"]
        if found.get("checksum_failures"):
            row.notes["checksum_failures"] = found["checksum_failures"]

    return Measure(id=row_id, take=take)


def allocations(bench: Bench) -> None:
    """What is allocated per message. Counted once: it is the same each time."""
    for depth, core in itertools.product((10, 1000), bench.cores):
        frames = bench.market(depth)
        side = bench.our_side("ours_allocations", core, messages=min(5000, frames.updates // 2 - 2100))
        try:
            found = processes.run_side(side, frames=frames.path, depth=depth)
        except Failed as error:
            bench.skip(f"allocations/{core}/{depth}", str(error))
            continue
        for key, title, unit in (
            ("handed_blocks", "handed to the user", "blocks per message"),
            ("handed_bytes", "handed to the user", "bytes per message"),
            ("kept_blocks", "kept after that (caches that fill)", "blocks per message"),
            ("kept_bytes", "kept after that (caches that fill)", "bytes per message"),
            ("peak_batch_bytes", "most at any time, for a read of 16 frames", "bytes"),
            ("collections_per_1000", "garbage collections", "per 1000 messages"),
        ):
            row = bench.report.row(f"allocations/{core}/{key}/{depth}", f"{core}, {title}", unit)
            row.samples.append(found[key])
        bench.say(f"  {core}, depth {depth}: {found}")


# ---------------------------------------------------------------------------------------------------------------------
# From the socket
# ---------------------------------------------------------------------------------------------------------------------


def socket(bench: Bench) -> None:
    """From the first byte that is sent to the user's code having the last message."""
    measures = []
    for depth in (10, 1000):
        frames = bench.market(depth)
        for way, how in (("plain", bench.plain), ("tls", bench.tls), ("pieces", bench.pieces)):
            if way != "plain" and depth != 10:
                continue
            for name, title, side in [*_ours(bench, way), *_peers(bench)]:
                if way == "tls" and name.startswith("nautilus"):
                    bench.skip(f"socket/tls/{name}", "its TLS trusts only the authorities that are built in")
                    continue
                slow = name == "kraken-sdk" and depth == 1000
                measures.append(_stream(bench, f"socket/{way}/{depth}/{name}", title, side, frames, how, slow=slow))
    bench.interleave(measures, bench.plan.rounds)


def _ours(bench: Bench, way: str) -> Iterator[tuple[str, str, Side]]:
    """Our sides of the socket suite, and the bare ones."""
    usual = ("iterate", "receive_many")
    for core in bench.cores:
        for call in CALLS if way == "plain" and core == bench.cores[0] else usual:
            yield f"{core}/{call}", f"kraken_trio, {core}: {CALLS[call]}", bench.our_socket(call, core)
    for call in usual if way == "plain" else ():
        before = bench.predecessor(call)
        if before is not None:
            yield f"predecessor/{call}", f"kraken_trio, predecessor: {CALLS[call]}", before
    if way != "pieces":
        side = bench.our_socket("receive_many", transport="trio-websocket")
        yield "trio-websocket/receive_many", "kraken_trio, over trio-websocket: receive_many", side
        bare = bench.our_side("bare_socket", library="trio-websocket")
        yield "bare/trio-websocket", "bare trio-websocket, doing nothing", bare
    if way != "tls":
        floor = bench.our_side("bare_socket", library="floor")
        yield "bare/floor", "bare Trio: a reader, a memory channel, a consumer, doing nothing", floor


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
    row_id: str,
    title: str,
    side: Side,
    frames: Frames,
    way: Socket,
    *,
    slow: bool = False,
    warm: int = 0,
) -> Measure:
    total = min(bench.plan.slow_updates if slow else max(bench.plan.updates, 2 * warm), frames.updates)

    def take() -> None:
        wall, cpu, notes = processes.stream(side, frames, way, total=total, warmup=max(warm, total // 10))
        row = bench.report.row(row_id, title, PER_MESSAGE)
        row.samples.append(wall)
        row.cpu.append(cpu)
        row.notes.update(notes)

    return Measure(id=row_id, take=take)


def symbols(bench: Bench) -> None:
    """The cost per message as symbols share one connection; and the same without the socket."""
    measures = []
    for count, core in itertools.product(bench.plan.symbols, bench.cores):
        # Each book is warmed up by so many updates as well; the second half is measured.
        warm = 20 * count if count > 1 else 0
        frames = bench.know(market_frames(10, max(bench.plan.updates, 2 * warm), symbols=count, levels=60))
        titled = f"{core}, {count} {'symbol' if count == 1 else 'symbols'}"
        side = bench.our_side("ours_handler", core, stage="session")
        if count == max(bench.plan.symbols):
            measures.append(
                _passes(bench, f"symbols/{core}/session/{count}/in-runs", f"{titled}, 16 updates of each in a row",
                        side, bench.know(in_runs(frames, 16)), warm=warm)
            )  # fmt: skip
        elif count != 1 and core != bench.cores[0]:
            continue
        measures += [
            _stream(bench, f"symbols/{core}/{count}", f"{titled}, from the socket",
                    bench.our_socket("receive_many", core), frames, bench.plain, warm=warm),
            _passes(bench, f"symbols/{core}/session/{count}", f"{titled}, the session alone", side, frames, warm=warm),
        ]  # fmt: skip
    bench.interleave(measures, bench.plan.rounds)


def stages(bench: Bench) -> None:
    """Where the time goes, depth 10: each row does what the one before it does, and one thing more."""
    frames = bench.market(10)
    measures = []
    for core in bench.cores:
        bare = bench.our_side("bare_socket", core, library="ours")
        title = f"{core}: read the socket, cut the frames"
        measures.append(_stream(bench, f"stages/{core}/transport", title, bare, frames, bench.plain))
        for stage, title in (
            ("book", "decode, apply, verify"),
            ("session", "the session: that, and find the subscription, count, sort into feeds"),
            ("feed", "the session, and a feed whose consumer receives each batch and reads the best price"),
        ):
            side = bench.our_side("ours_handler", core, stage=stage)
            measures.append(_passes(bench, f"stages/{core}/{stage}", f"{core}: {title}", side, frames))
        whole = bench.our_socket("receive_many", core)
        title = f"{core}: the whole client, from the socket"
        measures.append(_stream(bench, f"stages/{core}/whole", title, whole, frames, bench.plain))
    bench.interleave(measures, bench.plan.rounds)


def fan_out(bench: Bench) -> None:
    """The cost per message as feeds share one subscription."""
    frames = bench.market(10)
    measures = []
    for count in bench.plan.feeds:
        title = f"{count} {'feed' if count == 1 else 'feeds'} of one book"
        side = bench.our_socket("receive_many", feeds=count)
        measures.append(_stream(bench, f"fan-out/{count}", title, side, frames, bench.plain))
    bench.interleave(measures, bench.plan.rounds)


# ---------------------------------------------------------------------------------------------------------------------
# Latency, memory, resync
# ---------------------------------------------------------------------------------------------------------------------

_EDGES: Final = [round(10 ** (step / 12), 2) for step in range(85)]
"""Microseconds: from 1 µs to 10 s, twelve to a decade."""
_WARM_NS: Final = 500_000_000
_MAIN_LOADS: Final = ("1000", "ETH", "XRP")
_PARTS: Final = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("most", 1.0))


def latency(bench: Bench) -> None:
    """From when a message was sent to when the user's code had it; a queue counts. One load after the other."""
    second = 10**9
    loads: list[tuple[str, str, Frames, list[int]]] = []
    for rate in bench.plan.latency_rates:
        total = int(rate * (bench.plan.latency_seconds + _WARM_NS / second))
        frames = bench.know(market_frames(10, max(total, bench.plan.updates)))
        due = [number * second // rate for number in range(total)]
        loads.append((str(rate), f"{rate:,} a second".replace(",", " "), frames, due))
    for frames in recorded_frames(bench.captures):
        bench.know(frames)
        name = frames.name.rpartition("_")[2].upper().removesuffix("USD")
        for times, load_id, title in (
            (1, name, f"recording {name}/USD, its own pace"),
            (10, f"{name} x10", f"recording {name}/USD, ten times its pace"),
        ):
            due = [at // times for at in frames.due if at // times <= bench.plan.recording_seconds * second]
            loads.append((load_id, title, frames, due))
    sides = [
        (core, f"kraken_trio, {core}: async for", bench.our_socket("iterate", core)) for core in bench.cores
    ]  # fmt: skip
    sides += [one for one in _peers(bench) if one[0] in ("cryptofeed", "nautilus-node")]
    sides += [
        ("floor", "bare Trio: a reader, a memory channel, a consumer", bench.our_side("bare_socket", library="floor")),
        ("blocking", "a blocking read, no event loop", bench.our_side("bare_socket", library="blocking")),
    ]
    for load_id, load, frames, due in loads:
        measures = [
            _latency(bench, name, title, side, frames, (load_id, load), due)
            for name, title, side in sides
            if bench.plan.side_loads or load_id in _MAIN_LOADS or name not in ("pure", "blocking")
        ]
        bench.interleave(measures, bench.plan.latency_rounds)


def _latency(
    bench: Bench, name: str, title: str, side: Side, frames: Frames, load: tuple[str, str], due: list[int]
) -> Measure:
    load_id, loaded = load

    def take() -> None:
        found = processes.latency(side, frames, bench.plain, due)
        warm = bisect.bisect_left(due, _WARM_NS)
        for kind, values in (("send", found.send), ("read", found.read), ("late", found.late)):
            ordered = sorted(values[warm:])
            for part, share in _PARTS if ordered else ():
                about = f"{title}, {loaded}, {kind}, {part}"
                row = bench.report.row(f"latency/{name}/{load_id}/{kind}/{part}", about, "µs")
                row.samples.append(quantile(ordered, share) / 1000)
                row.notes["messages"] = len(ordered)
        kept = bench.report.latencies.setdefault(
            f"{name}/{load_id}", {"title": title, "load": loaded, "edges_us": _EDGES, "counts": [0] * (len(_EDGES) + 1)}
        )
        for value in found.send[warm:]:
            micro = value / 1000
            bin_ = 0 if micro < _EDGES[0] else min(len(_EDGES), 1 + int(math.log10(micro / _EDGES[0]) * 12))
            kept["counts"][bin_] += 1
        found_rows = {
            kind: bench.report.rows.get(f"latency/{name}/{load_id}/{kind}/p99") for kind in ("send", "read", "late")
        }
        said = [f"{kind} {one.samples[-1]:.0f}" for kind, one in found_rows.items() if one is not None]
        bench.say(f"  {title}, {loaded}: p99 {', '.join(said)} µs")

    return Measure(id=f"latency/{name}/{load_id}", take=take)


def memory(bench: Bench) -> None:
    """What a client holds over time, with a consumer that keeps up."""
    frames = bench.market(10)
    for core, (depth, count) in itertools.product(bench.cores, ((10, 500), (1000, 100))):
        try:
            found = processes.run_side(
                bench.our_side("ours_symbols", core, count=count), frames=bench.market(depth).path, depth=depth
            )
        except Failed as error:
            bench.skip(f"memory/symbol/{core}/{depth}", str(error))
            continue
        title = f"{core}: a symbol (the client's book and a feed's), depth {depth}"
        each = bench.report.row(f"memory/symbol/{core}/{depth}", title, "KiB")
        each.samples.append(found["bytes_per_symbol"] / 1024)
        bench.say(f"  {each.title}: {each.samples[-1]:.1f} {each.unit}")
    side = bench.our_socket("receive_many")
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
    side = bench.our_socket("iterate")

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
