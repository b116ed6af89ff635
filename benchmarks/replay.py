"""``python -m benchmarks.replay``: how fast a recording is replayed, beside the same frames that come from a socket.

The frames are those of the seeded market, in batches of 16, as one socket read brings them. All times are of one core
(CPU time), and every book is verified. ``KRAKEN_TRIO_PURE=1`` measures without the compiled core.

* replay: ``open_replay`` and a feed, ``read_events``; beside ``Session.receive``, and session and feed in memory
* raw: reading the recording's messages, beside decompressing, checksums and a walk over them
* seek: from opening a large recording to the first event of a moment in it
* memory: what the process has used after a tenth and after all of the messages
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

import kraken_trio as kt
import trio
from kraken_trio._zstd import zstd
from kraken_trio.book.core import NAME
from kraken_trio.endpoint import PUBLIC_V2
from kraken_trio.recording import format as fmt
from kraken_trio.recording.keyframes import client_frame, frame_of, keys_of
from kraken_trio.recording.packer import Packer
from kraken_trio.recording.records import CycleBegun, CycleEnded, Started, named_requests
from kraken_trio.recordings import LEVEL
from kraken_trio.runtime.feed import open_feed
from kraken_trio.runtime.recorder import BLOCK_BYTES, CYCLE_MESSAGES
from kraken_trio.session import Session
from kraken_trio.session.inputs import Added, Connected, Opened
from kraken_trio.storage.reading import open_folder
from kraken_trio.storage.writer import Cycle, Job, LogWriter
from kraken_trio.wire.codec import codec_for

from benchmarks.inputs import market_frames
from benchmarks.sides.common import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BATCH: Final = 16
START_NS: Final = 1_780_000_000 * 10**9
STEP_NS: Final = 16_000_000
"""Between two batches: 1000 messages a second."""
SETTINGS: Final = kt.Settings(request_rate=10_000.0, request_burst=5000)
SEGMENT_BYTES: Final = 256 * 1024 * 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=100_000, help="for each time that is measured")
    parser.add_argument("--depth", type=int, default=10)
    parser.add_argument("--large", type=float, default=1.0, metavar="GB", help="of the recording in which is sought")
    parser.add_argument("--memory", type=int, default=10_000_000, metavar="MESSAGES", help="0: leave it out")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read is not None:
        read_all(options.read, options.messages)
        return
    frames = market_frames(options.depth, options.messages)
    snapshots, updates = load(frames.path)
    request = kt.Book(frames.symbol, options.depth)
    batches = [snapshots, *(updates[at : at + BATCH] for at in range(0, len(updates), BATCH))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "log"
        record(folder, request, [batches])
        replaying(folder, request, batches, options.rounds)
        raw(folder, options.rounds)
    if options.large or options.memory:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "log"
            count = record(
                folder, request, endless(batches), at_least_bytes=int(options.large * 1e9), messages=options.memory
            )
            size = sum(path.stat().st_size for path in folder.glob("*.mcap"))
            print(f"\na recording of {size / 1e9:.2f} GB: {count:,} messages, {size / count:.1f} bytes each")
            seeking(folder, request, count, options.rounds)
            if options.memory:
                memory(folder, min(count, options.memory))


def endless(batches: list[list[bytes]]) -> Iterator[list[list[bytes]]]:
    while True:
        yield batches


def record(
    folder: Path,
    request: kt.Book,
    rounds: list[list[list[bytes]]] | Iterator[list[list[bytes]]],
    *,
    at_least_bytes: int = 0,
    messages: int = 0,
) -> int:
    """Make a recording of these batches, as a client would. Returns the number of its frames."""
    session = new_session()
    packer = Packer()
    writer = LogWriter(folder, library="benchmark", level=LEVEL, keep_ns=None, keep_bytes=None)
    writer.open()
    writer.begin({"recording": "1", "epoch_base": "0", "version": "benchmark", "protocol": "v2"})
    wall_ns, now, frames, written, size = START_NS, 0.0, 0, 0, 0
    last_cycle, begins, cycles = -CYCLE_MESSAGES, True, list[Cycle]()
    requests = {"wanted": named_requests([request]), "confirmed": named_requests([request]), "epoch": "1"}

    def cut() -> None:
        nonlocal begins, written, size, last_cycle
        job = Job(
            block=packer.take(), requests=requests if begins else None, cycles=tuple(cycles), begins_segment=begins
        )
        cycles.clear()
        before, size = (0 if begins else size), writer.write(job).size
        written += size - before
        begins = size >= SEGMENT_BYTES
        if begins:
            packer.restart()
            last_cycle = -CYCLE_MESSAGES

    try:
        packer.note(Started(), wall_ns, now)
        for happening in (Opened(), Connected(), Added(0, (request,))):
            packer.told(happening, 1, wall_ns, now, happening.tell(session, now))
        for batches in rounds:
            for batch in batches:
                effects = session.receive(batch, wall_ns, now)
                packer.received(batch, wall_ns, now, effects)
                frames += len(batch)
                wall_ns += STEP_NS
                now = (wall_ns - START_NS) / 1e9
                if packer.sequence - last_cycle >= CYCLE_MESSAGES:
                    cycles.append(key_frames(session, packer, wall_ns, now))
                    last_cycle = packer.sequence
                if packer.size >= BLOCK_BYTES:
                    cut()
            if written >= at_least_bytes and frames >= messages:
                break
        if len(packer):
            cut()
        writer.finish()
    finally:
        writer.close()
    assert session.statistics().checksum_failures == 0
    return frames


def key_frames(session: Session, packer: Packer, wall_ns: int, now: float) -> Cycle:
    packer.key(CycleBegun(number=1), wall_ns, now)
    first = packer.sequence
    packer.key(client_frame(session), wall_ns, now)
    for key in keys_of(session):
        frame = frame_of(session, key)
        assert frame is not None
        packer.key(frame, wall_ns, now)
    packer.key(CycleEnded(number=1), wall_ns, now)
    return Cycle(first, packer.sequence, wall_ns, wall_ns)


def new_session() -> Session:
    return Session(SETTINGS, lambda: 0.0, codec_for("v2"), PUBLIC_V2)


# Replaying


def replaying(folder: Path, request: kt.Book, batches: list[list[bytes]], rounds: int) -> None:
    count = sum(map(len, batches))
    measured: dict[str, Callable[[], float]] = {
        "Session.receive": lambda: receiving(request, batches),
        "session and feed, in memory": lambda: trio.run(feeding, request, batches),
        "open_replay and its feed": lambda: trio.run(replay, folder, request, count),
        "read_events": lambda: reading(folder, request, count),
    }
    found: dict[str, list[float]] = {what: [] for what in measured}
    for _ in range(rounds):
        for what, measure in measured.items():
            found[what].append(measure())
    print(f"{f'replaying, {NAME} core':36}{'messages/s':>12}{'of receive':>12}{'of memory':>12}")
    best = {what: min(times) for what, times in found.items()}  # machines change their speed meanwhile
    receive, in_memory = best["Session.receive"], best["session and feed, in memory"]
    for what, seconds in best.items():
        print(f"{what:36}{count / seconds:12,.0f}{receive / seconds:12.2f}{in_memory / seconds:12.2f}")


def timed(do: Callable[[], object]) -> float:
    begin = time.process_time()
    do()
    return time.process_time() - begin


def receiving(request: kt.Book, batches: list[list[bytes]]) -> float:
    session = new_session()
    session.open(0.0)
    session.connected(0.0)
    session.add(0, (request,), 0.0)

    def run() -> None:
        for batch in batches:
            session.receive(batch, 1, 0.0)

    return timed(run)


async def feeding(request: kt.Book, batches: list[list[bytes]]) -> float:
    session = new_session()
    session.open(0.0)
    session.connected(0.0)
    sender, consumer = open_feed([request], 1024, kt.Overflow.BACKPRESSURE)
    session.add(sender, sender.requests, 0.0)
    begin = time.process_time()
    for batch in batches:
        sender.offer(session.receive(batch, 1, 0.0).deliver[sender])
        await consumer.receive_many()
    seconds = time.process_time() - begin
    consumer.close()
    return seconds


async def replay(folder: Path, request: kt.Book, count: int) -> float:
    begin = time.process_time()
    got = 0
    async with kt.open_replay(folder) as client, client.subscribe(request) as feed:
        async for events in feed.batches():
            got += len(events)
    assert got == count
    return time.process_time() - begin


def reading(folder: Path, request: kt.Book, count: int) -> float:
    def run() -> None:
        with kt.read_events(folder, request) as reader:
            assert sum(1 for _ in reader) == count

    return timed(run)


# Raw


def raw(folder: Path, rounds: int) -> None:
    count = 0

    def through_the_folder() -> None:
        nonlocal count
        count = 0
        with open_folder(folder) as recorded:
            for segment in recorded.segments:
                for chunk in segment.index.chunks:
                    count += len(segment.read(chunk))

    with open_folder(folder) as recorded:
        records = [
            segment.path.read_bytes()[chunk.offset : chunk.offset + chunk.length]
            for segment in recorded.segments
            for chunk in segment.index.chunks
        ]

    def floor() -> None:
        for record in records:
            walk(record)

    ours, least = [], []
    for _ in range(rounds):
        ours.append(timed(through_the_folder))
        least.append(timed(floor))
    seconds, floor_seconds = statistics.median(ours), statistics.median(least)
    print(
        f"\nraw reading: {seconds / count * 1e6:.2f} µs a message; decompress, CRC, walk: "
        f"{floor_seconds / count * 1e6:.2f}; {seconds / floor_seconds:.2f} times"
    )


def walk(record: bytes) -> int:
    """The least that a reader can do: decompress, check, and cut the messages out."""
    data = zstd.decompress(record[fmt.CHUNK.size :])
    assert zlib.crc32(data) == fmt.CHUNK.unpack_from(record)[5]
    messages = []
    at, size = 0, len(data)
    unpack, head = fmt.MESSAGE.unpack_from, fmt.MESSAGE.size
    while at < size:
        _, length, channel, sequence, wall_ns, mono_ns = unpack(data, at)
        end = at + 9 + length
        messages.append((channel, sequence, wall_ns, mono_ns, data[at + head : end]))
        at = end
    return len(messages)


# A large one


def seeking(folder: Path, request: kt.Book, count: int, rounds: int) -> None:
    random = Random(7)
    length_ns = count // BATCH * STEP_NS
    reads, replays = [], []
    for _ in range(3 * rounds):
        at_ns = START_NS + random.randrange(length_ns)
        begin = time.process_time()
        with kt.read_events(folder, request, start=at_ns) as reader:
            next(reader)
        reads.append(time.process_time() - begin)
        replays.append(trio.run(seek, folder, request, START_NS + random.randrange(length_ns)))
    for what, times in (("read_events(start=…)", reads), ("replay.seek(…)", replays)):
        print(f"{what:24} to the first event: median {statistics.median(times):.2f} s, worst {max(times):.2f} s")


async def seek(folder: Path, request: kt.Book, at_ns: int) -> float:
    async with kt.open_replay(folder) as client, client.subscribe(request) as feed:
        await feed.receive()
        begin = time.process_time()
        await client.replay.seek(at_ns)
        while not isinstance(await feed.receive(), kt.BookSnapshot):
            pass
        return time.process_time() - begin


def memory(folder: Path, count: int) -> None:
    for messages in (count // 10, count):
        command = [sys.executable, "-m", "benchmarks.replay", "--read", str(folder), "--messages", str(messages)]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        found = json.loads(done.stdout)
        print(
            f"memory after {found['messages']:>12,} messages: {found['kib'] / 1024:.1f} MB at most "
            f"({found['messages'] / found['seconds']:,.0f} messages/s)"
        )


def read_all(folder: Path, count: int) -> None:
    """(a process of its own) Read so many messages, and say what that took."""
    (request,) = kt.recorded_requests(folder)
    got = 0
    begin = time.process_time()
    with ExitStack() as stack:
        for _ in stack.enter_context(kt.read_events(folder, request)):
            got += 1
            if got == count:
                break
    seconds = time.process_time() - begin
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"messages": got, "kib": kib, "seconds": seconds}))


if __name__ == "__main__":
    main()
