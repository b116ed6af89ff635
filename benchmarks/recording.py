"""``python -m benchmarks.recording``: what a recording costs, in bytes and in time, beside the plain floor.

Real recordings of order books of depth 25 are packed as a recorder does it, with their own times of receiving. The
floor is the same frames, a line each, compressed by ``zstd -3``: without times, numbers, checksums, or an index.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import attrs
import trio
from kraken_trio import Book, Request, Trades, open_client
from kraken_trio._zstd import zstd
from kraken_trio.recording import format as fmt
from kraken_trio.recording.keyframes import frame_of, keys_of
from kraken_trio.recording.packer import Packer
from kraken_trio.recording.records import encode
from kraken_trio.recordings import LEVEL
from kraken_trio.requests import DEPTHS
from kraken_trio.runtime.recorder import BLOCK_BYTES
from kraken_trio.session import Effects
from kraken_trio.storage.writer import Job, LogWriter
from kraken_trio.testing import open_exchange

from benchmarks.environments import ROOT
from benchmarks.inputs import timed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kraken_trio.recording.packer import Block
    from kraken_trio.runtime.actor import Actor

Frame = tuple[int, bytes]
"""When it came, and what it was."""
NOTHING = Effects(rearm=False)


@attrs.frozen
class Sizes:
    """Bytes a message."""

    name: str
    frames: int
    raw: float
    floor: float
    full: float
    """In full blocks."""
    own_rate: float
    """In a block a second, as the frames came."""
    per_second: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recording", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=100_000, help="for each time that is measured")
    options = parser.parse_args()
    folder = Path(os.environ.get("KRAKEN_TRIO_CAPTURES") or ROOT.parent / "shared" / "captures")
    found = {path.stem: load(path) for path in sorted(folder.glob("v2_book*.cbcap"))}
    if not found:
        parser.error(f"there are no recordings in {folder}: set KRAKEN_TRIO_CAPTURES")
    print(
        f"{'bytes a message':24}{'frames':>8}{'a second':>10}{'raw':>8}{'zstd -3':>9}{'256 KiB blocks':>19}{'1 s':>8}"
    )
    for name, frames in found.items():
        size = sizes(name, frames)
        print(
            f"{size.name:24}{size.frames:8}{size.per_second:10.1f}{size.raw:8.0f}{size.floor:9.1f}"
            f"{size.full:19.1f}{size.own_rate:8.1f}"
        )
    print(f"\n{'bytes of a key frame, compressed alone':44}")
    wanted: list[Request[Any]] = [*(Book("BTC/USD", depth=depth) for depth in DEPTHS), Trades("BTC/USD", snapshot=True)]
    for request in wanted:
        print(f"{request!s:56}{trio.run(key_frame_bytes, request):8}")
    frames = list(islice(cycle(frame for frames in found.values() for frame in frames), options.messages))
    print(f"\n{'µs of a core a message':44}{'median':>8}{'best':>8}")
    measures: dict[str, Callable[[], float]] = {
        "packing, in Trio, a frame a batch": lambda: packing(frames, 1),
        "packing, in Trio, eight frames a batch": lambda: packing(frames, 8),
        "compressing and checksums, in the thread": lambda: compressing(frames),
        "all that the thread does, with the file": lambda: writing(frames),
        "the floor: joining and zstd -3": lambda: floor(frames),
        "reading: decompress, CRC, walk": lambda: reading(frames),
        "decompress, CRC only": lambda: decompressing(frames),
    }
    for what, measure in measures.items():
        times = [measure() / len(frames) * 1e6 for _ in range(options.rounds)]
        print(f"{what:44}{statistics.median(times):8.2f}{min(times):8.2f}")


async def key_frame_bytes(request: Request[Any]) -> int:
    """Of a symbol of the fake exchange, after a second of trading."""
    async with (
        open_exchange(seed=1, rate=200) as exchange,
        open_client(exchange.url) as client,
        client.subscribe(request) as feed,
    ):
        with trio.move_on_after(1):
            async for _ in feed:
                pass
        session = cast("Actor", client._shell).session
        (key,) = keys_of(session)
        return len(zstd.compress(encode(frame_of(session, key)), LEVEL))


def load(path: Path) -> list[Frame]:
    return [(at, text.encode()) for at, text in timed(path)]


def blocks(frames: Sequence[Frame], *, batch: int = 1, seconds: float | None = None) -> Iterator[Block]:
    """As the recorder makes them: when there is enough, or at the latest after so many seconds."""
    packer = Packer()
    begin = frames[0][0]
    for at in range(0, len(frames), batch):
        wall_ns = frames[at][0]
        # The two clocks of a recorder are read one after the other: their distance varies as much as it does here.
        jitter = time.time_ns() - int(time.perf_counter() * 1e9) - DISTANCE
        if seconds is not None and wall_ns - begin >= seconds * 1e9:
            begin = wall_ns
            if len(packer):
                yield packer.take()
        packer.received(
            [data for _, data in frames[at : at + batch]], wall_ns, wall_ns / 1e9 - EPOCH - jitter / 1e9, NOTHING
        )
        if packer.size >= BLOCK_BYTES:
            yield packer.take()
    if len(packer):
        yield packer.take()


DISTANCE = time.time_ns() - int(time.perf_counter() * 1e9)
EPOCH = 1_600_000_000
"""Where the monotonic clock begins, so that it has the digits of a real one."""


def sizes(name: str, frames: Sequence[Frame]) -> Sizes:
    def packed(seconds: float | None) -> float:
        made = blocks(frames, seconds=seconds)
        return sum(len(fmt.chunk(b.parts, b.start_ns, b.end_ns, LEVEL)[0]) for b in made) / len(frames)

    lines = b"\n".join(data for _, data in frames)
    return Sizes(
        name,
        len(frames),
        sum(len(data) for _, data in frames) / len(frames),
        len(zstd.compress(lines, LEVEL)) / len(frames),
        packed(None),
        packed(1.0),
        len(frames) / ((frames[-1][0] - frames[0][0]) / 1e9),
    )


def timed_call(do: Callable[[], object]) -> float:
    begin = time.process_time()  # other processes do not count
    do()
    return time.process_time() - begin


def packing(frames: Sequence[Frame], batch: int) -> float:
    batches = [(frames[at][0], [data for _, data in frames[at : at + batch]]) for at in range(0, len(frames), batch)]
    packer = Packer()

    def run() -> None:
        for wall_ns, data in batches:
            packer.received(data, wall_ns, 12345.678, NOTHING)
            if packer.size >= BLOCK_BYTES:
                packer.take()

    return timed_call(run)


def compressing(frames: Sequence[Frame]) -> float:
    made = list(blocks(frames))
    return timed_call(lambda: [fmt.chunk(b.parts, b.start_ns, b.end_ns, LEVEL) for b in made])


def writing(frames: Sequence[Frame]) -> float:
    made = list(blocks(frames))
    with tempfile.TemporaryDirectory() as folder:
        writer = LogWriter(folder, library="benchmark", level=LEVEL, keep_ns=None, keep_bytes=None)
        writer.open()
        try:
            return timed_call(lambda: [writer.write(Job(block=b, begins_segment=b is made[0])) for b in made])
        finally:
            writer.close()


def floor(frames: Sequence[Frame]) -> float:
    data = [data for _, data in frames]
    return timed_call(
        lambda: [zstd.compress(b"\n".join(data[at : at + 1200]), LEVEL) for at in range(0, len(data), 1200)]
    )


def reading(frames: Sequence[Frame]) -> float:
    records = [fmt.chunk(b.parts, b.start_ns, b.end_ns, LEVEL)[0] for b in blocks(frames)]
    return timed_call(lambda: [fmt.messages(fmt.unchunk(record)) for record in records])


def decompressing(frames: Sequence[Frame]) -> float:
    records = [fmt.chunk(b.parts, b.start_ns, b.end_ns, LEVEL)[0] for b in blocks(frames)]
    return timed_call(lambda: [fmt.unchunk(record) for record in records])


if __name__ == "__main__":
    main()
