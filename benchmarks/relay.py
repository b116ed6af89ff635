"""``python -m benchmarks.relay``: what a relay costs, stage by stage, beside bare clients of the brokers.

Exchange, shards, broker and consumers would share the processors of one machine, so each stage is measured by itself:
its input lies in memory, or in the broker. What is compared is measured in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from array import array
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import nats as nats_py
from kraken_trio.broker.nats.owning import LEASE_TTL
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from benchmarks.environments import PEERS, ROOT, prepare
from benchmarks.inputs import Frames, in_runs, market_frames
from benchmarks.machine import free_port, nats_program
from benchmarks.processes import Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

STREAM: Final = "kraken"
PER_BATCH: Final = 64
WIDEST: Final = 68
"""Characters of the longest name of a sample."""
LOOK_AGAIN: Final = 0.05
"""Seconds between two questions to a server, which tells nothing by itself."""
PATIENCE: Final = 30.0
"""Seconds, of that."""
RENEWAL: Final = LEASE_TTL / 3
"""Seconds between two renewals of a lease."""


# Servers


@attrs.frozen
class Nats:
    """A server of NATS, or a cluster of three."""

    urls: tuple[str, ...]
    monitor: str
    folder: Path

    def stored(self) -> dict[str, int]:
        """Messages and bytes in the stream."""
        with urllib.request.urlopen(f"{self.monitor}/jsz?streams=true&accounts=true") as answer:
            found = json.load(answer)
        states = [
            stream["state"]
            for account in found.get("account_details", ())
            for stream in account.get("stream_detail", ())
            if stream["name"] == STREAM
        ]
        return {name: sum(state[name] for state in states) for name in ("messages", "bytes")}


@contextmanager
def nats_server(*, always: bool = False, servers: int = 1) -> Iterator[Nats]:
    """A server with an empty folder; ``always``: it syncs before each acknowledgement."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        ports = [(free_port(), free_port(), free_port()) for _ in range(servers)]
        routes = ", ".join(f'"nats-route://127.0.0.1:{route}"' for _, _, route in ports)
        for index, (port, monitor, route) in enumerate(ports):
            folder = Path(name) / str(index)
            folder.mkdir()
            text = [
                f"server_name: bench{index}",
                f'listen: "127.0.0.1:{port}"',
                f'http: "127.0.0.1:{monitor}"',
                f'jetstream {{ store_dir: "{folder}"{", sync_interval: always" if always else ""} }}',
            ]
            if servers > 1:
                text.append(f'cluster {{ name: bench, listen: "127.0.0.1:{route}", routes: [{routes}] }}')
            (folder / "nats.conf").write_text("\n".join(text), encoding="utf-8")
            process = subprocess.Popen(
                [nats_program(), "-c", folder / "nats.conf", "-l", folder / "log"], stdout=subprocess.DEVNULL
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
        for _, monitor, _ in ports:
            wait_for(f"http://127.0.0.1:{monitor}/healthz")
        yield Nats(
            tuple(f"nats://127.0.0.1:{port}" for port, _, _ in ports), f"http://127.0.0.1:{ports[0][1]}", Path(name)
        )


def wait_for(url: str) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url):
                return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(LOOK_AGAIN)  # a server of another program tells nobody when it is ready


# Processes


class Process:
    """One side: a module of ``sides``, which says that it is ready, and begins when it is told."""

    def __init__(self, module: str, task: dict[str, Any], *, python: str = sys.executable) -> None:
        command = [python, "-m", f"benchmarks.sides.{module}", json.dumps(task)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
            text=True,
        )
        self.told: dict[str, Any] = self.read("ready")

    def read(self, what: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                if what in found:
                    return found
        msg = f"a process ended without a word (status {self._process.wait()})"
        raise Failed(msg)

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def result(self) -> dict[str, Any]:
        try:
            return self.read("end")
        finally:
            self.close()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def together(processes: Sequence[Process]) -> dict[str, Any]:
    """Let them work at the same time: from the first one's start to the last one's end."""
    for process in processes:
        process.go()
    found = [process.result() for process in processes]
    return {
        "seconds": max(one["end"] for one in found) - min(one["start"] for one in found),
        "cpu": sum(one["cpu"] for one in found),
        "messages": sum(one["messages"] for one in found),
        "each": found,
    }


# Suites


@attrs.frozen
class Sample:
    """What one part took."""

    events: int
    seconds: float
    cpu: float


class Bench:
    """One run."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.found: dict[str, list[Sample]] = {}

    def note(self, what: str, events: int, taken: dict[str, Any]) -> None:
        self.found.setdefault(what, []).append(Sample(events, taken["seconds"], taken["cpu"]))
        print(f"    {what}: {events / taken['seconds']:,.0f}", flush=True)

    def table(self) -> Iterator[str]:
        """The medians, with the lowest and the highest."""
        yield f"{'':{WIDEST}}{'events/s':>10}  {'(lowest to highest)':24}{'CPU µs':>8}"
        for what, samples in self.found.items():
            rates = sorted(one.events / one.seconds for one in samples)
            cpu = statistics.median(one.cpu / one.events * 1e6 for one in samples)
            spread = f"({rates[0]:,.0f} to {rates[-1]:,.0f})"
            yield f"{what:{WIDEST}}{statistics.median(rates):10,.0f}  {spread:24}{cpu:8.2f}"


def names(frames: Frames, shard: int) -> list[str]:
    """The symbols of a shard: each has its own."""
    with Path(frames.path).open("rb") as file:
        lines = [next(file) for _ in range(frames.symbols)]
    return [symbol_of(line).replace("/USD", f"/U{shard}") for line in lines]


def symbol_of(line: bytes) -> str:
    return line.split(b'"symbol":"', 1)[1].split(b'"', 1)[0].decode()


def shard(url: str, frames: Frames, number: int, shards: int, **more: Any) -> Process:
    task = {"url": url, "frames": frames.path, "depth": frames.depth, "shard": number, "shards": shards}
    return Process("relay_shard", {**task, **more})


def reader(url: str, frames: Frames, symbols: Sequence[str], **more: Any) -> Process:
    return Process("relay_read", {"url": url, "depth": frames.depth, "symbols": symbols, **more})


def throughput(bench: Bench) -> Iterator[str]:
    """Frames in memory → verified → published; read → verified again. Beside it the same bytes with bare nats-py."""
    frames = in_runs(market_frames(10, bench.options.updates, symbols=20), PER_BATCH)
    kinds: list[tuple[str, dict[str, Any], str]] = [
        ("NATS", {}, ""),
        ("NATS, sync always", {"always": True}, ""),
        ("NATS, sync always, atomic batches", {"always": True}, "&batches=atomic"),
        ("NATS, three replicas", {"servers": 3}, "&replicas=3"),
    ]
    stored: dict[str, str] = {}
    for _ in range(bench.options.rounds):
        for name, options, query in kinds:
            for shards in (1,) if bench.options.quick else (1, 2):
                with nats_server(**options) as nats:
                    url = f"{nats.urls[0]}/{STREAM}?max_bytes=2GiB{query}"
                    stored[name] = through(bench, f"{name}, {shards} shard(s)", nats, url, frames, shards)
        if bench.options.kafka:
            with kafka() as address:
                for shards in (1, 2):
                    url = f"kafka://{address}/kraken{shards}"
                    through(bench, f"Kafka, {shards} shard(s)", None, url, frames, shards)
    yield from bench.table()
    yield from (f"{name}: {text}" for name, text in stored.items())


def through(bench: Bench, name: str, nats: Nats | None, url: str, frames: Frames, shards: int) -> str:
    cycles = bench.options.cycles
    taken = together([shard(url, frames, number, shards, cycles=cycles) for number in range(shards)])
    events = taken["messages"]
    bench.note(f"{name}: published", events, taken)
    stored = nats.stored() if nats is not None else {}
    each = events // shards
    until = {"until": each, "from": "beginning"}
    taken = together([reader(url, frames, names(frames, number), **until) for number in range(shards)])
    bench.note(f"{name}: read by {shards}", events, taken)
    if nats is None:
        return ""
    per_message = events / stored["messages"]
    summary = f"{stored['messages']} messages, {stored['bytes'] / events:.0f} bytes and 1/{per_message:.0f} an event"
    if not bench.options.quick:
        bare(bench, name, nats, shards, events, replicas=3 if "replicas" in url else 1)
    return summary


def bare(bench: Bench, name: str, nats: Nats, shards: int, events: int, *, replicas: int) -> None:
    """What is in the stream, read and published with bare nats-py."""
    path = bench.folder / "messages"
    count = asyncio.run(dump(nats.urls[0], path, shards))
    task = {"url": nats.urls[0], "stream": STREAM, "messages": str(path)}
    parts = [
        {"role": "read", "subject": f"{STREAM}.{number}.>", "total": count[number], **task} for number in range(shards)
    ]
    bench.note(f"{name}: bare nats-py reads", events, together([Process("relay_floor", part) for part in parts]))
    asyncio.run(add_stream(nats.urls[0], "floor", replicas))
    parts = [
        {
            **task,
            "role": "publish",
            "stream": "floor",
            "window": 256,
            "name": str(number),
            "messages": f"{path}{number}",
        }
        for number in range(shards)
    ]
    bench.note(f"{name}: bare nats-py publishes", events, together([Process("relay_floor", part) for part in parts]))


async def dump(url: str, path: Path, shards: int) -> list[int]:
    """Write the stream's messages into a file for each shard, and count them."""
    client = await nats_py.connect(url)
    counts = []
    for number in range(shards):
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE)
        # The subject stands here: nats-py puts it in the place of the configuration's filter.
        found = await client.jetstream().pull_subscribe(f"{STREAM}.{number}.>", stream=STREAM, config=config)
        total = (await found.consumer_info()).num_pending or 0
        with Path(f"{path}{number}").open("wb") as file:
            count = 0
            while count < total:
                for message in await found.fetch(min(500, total - count), timeout=5):
                    subject = message.subject.removeprefix(f"{STREAM}.")
                    file.write(f"{subject} {len(message.data)}\n".encode() + message.data)
                    count += 1
        counts.append(total)
    await client.close()
    return counts


async def add_stream(url: str, name: str, replicas: int) -> None:
    client = await nats_py.connect(url)
    await client.jetstream().add_stream(name=name, subjects=[f"{name}.>"], num_replicas=replicas)
    await client.close()


async def until_key_frames(url: str, stream: str, symbols: int) -> None:
    """Until each book has a key frame: a reader that comes earlier waits for it."""
    client = await nats_py.connect(url)
    end = time.monotonic() + PATIENCE
    while True:
        found = await client.jetstream().stream_info(stream, subjects_filter=f"{stream}.*.key.>")
        if len(found.state.subjects or ()) >= symbols:
            break
        if time.monotonic() > end:
            msg = f"{found.state.subjects} are all key frames after {PATIENCE:g} s"
            raise Failed(msg)
        await asyncio.sleep(LOOK_AGAIN)
    await client.close()


@contextmanager
def kafka() -> Iterator[str]:
    from tests.broker.kafka_server import kafka_server  # noqa: PLC0415 (it needs Java)

    with kafka_server() as server:
        yield server.address


def latency(bench: Bench) -> Iterator[str]:
    """From the shard's receiving a frame until another process has the verified event, at several rates."""
    frames = market_frames(10, 200_000, symbols=20)
    with nats_server() as nats:
        for rate in (1_000, 5_000, 20_000):
            found = array("q")
            for attempt in range(bench.options.rounds):
                url = f"{nats.urls[0]}/r{rate}x{attempt}?max_bytes=1GiB"
                path = bench.folder / "latencies"
                one = shard(url, frames, 0, 1, rate=rate, seconds=bench.options.seconds)
                asyncio.run(until_key_frames(nats.urls[0], f"r{rate}x{attempt}", frames.symbols))
                task = {"from": "now", "until": int(rate * bench.options.seconds * 0.98), "latencies": str(path)}
                two = reader(url, frames, names(frames, 0), **task)
                two.go()
                one.go()
                two.result()
                one.close()
                values = array("q", path.read_bytes())
                found.extend(values[len(values) // 10 :])
            yield f"{rate:6,} events/s: " + quantiles([value / 1e6 for value in found], "ms")


def quantiles(values: Sequence[float], unit: str) -> str:
    ordered = sorted(values)
    at = {
        f"p{share * 100:g}": ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.99, 0.999)
    }
    return ", ".join(f"{name} {value:.2f} {unit}" for name, value in at.items()) + f", most {ordered[-1]:.2f} {unit}"


def late(bench: Bench) -> Iterator[str]:
    """A late joiner: from ``open_stream`` to the first verified book, of a stream in use."""
    frames = market_frames(10, 200_000, symbols=20)
    with nats_server() as nats:
        url = f"{nats.urls[0]}/{STREAM}?max_bytes=1GiB"
        one = shard(url, frames, 0, 1, rate=1_000, seconds=190)
        one.go()
        asyncio.run(until_key_frames(nats.urls[0], STREAM, frames.symbols))
        found = []
        for _ in range(bench.options.joiners):
            two = Process("relay_join", {"url": url, "depth": 10, "symbol": names(frames, 0)[3]})
            two.go()
            found.append(two.result()["seconds"] * 1e3)
        one.close()
    yield "to the first verified book: " + quantiles(found, "ms")


def failover(bench: Bench) -> Iterator[str]:
    """Kill -9 of the owner, until a consumer has the standby's first event."""
    frames = market_frames(10, 200_000, symbols=20)
    found = []
    with nats_server() as nats:
        url = f"{nats.urls[0]}/{STREAM}?max_bytes=1GiB"
        owner = shard(url, frames, 0, 1, rate=500, seconds=380)
        owner.go()
        two = Process("relay_watch", {"url": url, "depth": 10, "symbol": names(frames, 0)[3]})
        two.go()
        for _ in range(bench.options.kills):
            standby = shard(url, frames, 0, 1, rate=500, seconds=380, standby=True)
            standby.go()
            time.sleep(random.uniform(0, RENEWAL))  # the owner is killed at any time after it has renewed its lease
            at = time.monotonic()
            owner.close()
            found.append(two.read("at")["at"] - at)
            owner = standby
        owner.close()
        two.close()
    yield "from the kill to the first event of the next owner: " + quantiles(found, "s") + f", least {min(found):.2f} s"


def peers(bench: Bench) -> Iterator[str]:
    """Cryptofeed's backend for Kafka, and a relay, on the same frames."""
    frames = market_frames(10, 20_000)
    environment = prepare(PEERS["cryptofeed"])
    subprocess.run([environment.python, "-m", "pip", "install", "-q", "aiokafka"], check=True)
    from tests.broker.kafka_server import kafka_server  # noqa: PLC0415 (it needs Java)

    for attempt in range(bench.options.rounds):
        with kafka_server(auto_create_topics_enable="true") as server:
            task = {"frames": frames.path, "depth": 10, "cycles": 1, "server": server.address}
            taken = together([Process("cryptofeed_kafka", task, python=environment.python)])
            bench.note("cryptofeed, a message an event, floats", taken["messages"], taken)
            taken = together([shard(f"kafka://{server.address}/k{attempt}", frames, 0, 1, cycles=1)])
            bench.note("kraken_trio, batches, verified, exact digits", taken["messages"], taken)
    yield from bench.table()


SUITES: Final[dict[str, Callable[[Bench], Iterator[str]]]] = {
    "throughput": throughput,
    "latency": latency,
    "late": late,
    "failover": failover,
    "peers": peers,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"{', '.join(SUITES)}; all, if none is named")
    parser.add_argument("--rounds", type=int, default=3, help="of each sample, by turns")
    parser.add_argument("--updates", type=int, default=50_000, help="frames of a shard")
    parser.add_argument("--cycles", type=int, default=4, help="how often they are sent")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each sample of latencies")
    parser.add_argument("--joiners", type=int, default=20, help="late ones")
    parser.add_argument("--kills", type=int, default=50, help="of owners, for failover")
    parser.add_argument("--no-kafka", dest="kafka", action="store_false", help="throughput without it")
    parser.add_argument(
        "--quick", action="store_true", help="throughput alone, of one shard over NATS, in less than a minute"
    )
    options = parser.parse_args()
    if options.quick:
        options.suites, options.rounds, options.updates, options.kafka = ["throughput"], 1, 20_000, False
    with tempfile.TemporaryDirectory() as folder:
        for name in options.suites or SUITES:
            suite = SUITES[name]
            print(f"{name}: {(suite.__doc__ or '').splitlines()[0]}", flush=True)
            for line in suite(Bench(options, Path(folder))):
                print(f"  {line}", flush=True)


if __name__ == "__main__":
    main()
