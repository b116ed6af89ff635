"""Kill a recorder again and again, as it records under load into one folder: what was whole must stay.

``python -m tests.storage.crash --kills 200`` prints figures. Before, it fills a small disk.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import trio

from kraken_trio import Book, open_client, record
from kraken_trio.recording.format import FRAME_FIRST, NOTES, TEXT_MORE
from kraken_trio.storage.reading import open_folder
from kraken_trio.testing import open_exchange

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kraken_trio.storage.reading import Segment
    from kraken_trio.testing import Exchange

ROOT = Path(__file__).resolve().parents[2]
SYMBOLS = ("BTC/USD", "ETH/USD", "XRP/USD")


@attrs.define
class Findings:
    """What the kills have come to."""

    kills: int = 0
    early: int = 0
    """Of them, before anything was written."""
    unfinished: int = 0
    """Segments that were left without an end, and were healed by the next recorder."""
    torn: int = 0
    """Of them, with a torn block."""
    frames: int = 0
    """In the folder, at the end."""
    lost_ms: list[float] = attrs.Factory(list)
    """From the last message in the folder to the kill."""
    lost_frames: list[int] = attrs.Factory(list)
    """Sent by the exchange, and not in the folder: also those that were on their way."""

    def __str__(self) -> str:
        def figures(numbers: Sequence[float]) -> str:
            return f"median {statistics.median(numbers):.0f}, at most {max(numbers):.0f}" if numbers else "none"

        return (
            f"{self.kills} kills, {self.early} of them before anything was written; {self.frames:,} frames are there\n"
            f"{self.unfinished} segments without an end, {self.torn} of them with a torn block; all were healed\n"
            f"lost, in ms: {figures(self.lost_ms)}; in frames, with those on their way: {figures(self.lost_frames)}"
        )


def check(folder: Path, whole: dict[str, bytes]) -> tuple[list[Segment], int]:
    """Look at all that is there; return the segments, and the time of the last message in the last one, or 0.

    ``whole`` has what was whole before, which must still be there, and gets what is whole now.
    """
    last_ns = 0
    with open_folder(folder) as recorded:
        assert recorded.damage == [], recorded.damage
        assert recorded.aside == [], recorded.aside
        for segment in recorded.segments:
            assert segment.damage == [], segment.damage
            last_ns = segment.index.end_ns or 0
            data = segment.path.read_bytes()[: segment.index.end]
            before = whole.get(segment.name, b"")
            assert data.startswith(before)
            if data != before:  # else it has been read before
                read = [message[1] for chunk in segment.index.chunks for message in segment.read(chunk)]
                assert read == list(range(1, len(read) + 1))
                whole[segment.name] = data
        assert {segment.name for segment in recorded.segments} == whole.keys()
        return recorded.segments, last_ns


def messages_of(segments: Sequence[Segment]) -> Iterator[tuple[int, bytes]]:
    """The channel and the data of each message."""
    for segment in segments:
        for chunk in segment.index.chunks:
            for channel, _, _, _, data in segment.read(chunk):
                yield channel, data
        segment.release()


def frames_of(segments: Sequence[Segment]) -> int:
    return sum(FRAME_FIRST <= channel <= TEXT_MORE for channel, _ in messages_of(segments))


async def kill_often(
    folder: Path, kills: int, *, seed: int, rate: float = 1000.0, flush_every: float = 0.2
) -> Findings:
    """Do it. An :class:`AssertionError` says what was lost that should not be."""
    found, pick, whole = Findings(), random.Random(seed), dict[str, bytes]()
    async with open_exchange(rate=rate, seed=seed) as exchange:
        for _ in range(kills):
            await _kill_once(exchange, folder, pick.uniform(0.0, 1.0), flush_every, found, whole)
    segments, _ = check(folder, whole)
    found.frames = frames_of(segments)
    return found


async def _kill_once(
    exchange: Exchange, folder: Path, seconds: float, flush_every: float, found: Findings, whole: dict[str, bytes]
) -> None:
    command = [sys.executable, "-m", "kraken_trio", "record", *SYMBOLS, "--url", exchange.url, "--out", str(folder)]
    connects, sent = exchange.connects, exchange.statistics().frames_sent
    process = await trio.lowlevel.open_process(
        [*command, "--flush-every", str(flush_every), "--max-segment-bytes", "200kB"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    with trio.fail_after(60):
        await exchange.wait_until(lambda e: e.connects > connects)
        await trio.sleep(seconds)
        sent = exchange.statistics().frames_sent - sent
        killed_ns = time.time_ns()
        process.send_signal(signal.SIGKILL)
        assert await process.wait() == -signal.SIGKILL
        await exchange.wait_until(lambda e: not e.connections)
    found.kills += 1
    number = len(whole)
    segments, last_ns = check(folder, whole) if any(folder.glob("*.mcap")) else ([], 0)
    if len(segments) == number or not last_ns:
        found.early += 1
        return
    found.lost_ms.append((killed_ns - last_ns) / 1e6)
    found.unfinished += not segments[-1].index.finished
    found.torn += bool(segments[-1].tail)
    assert all(segment.index.finished for segment in segments[:-1])
    found.lost_frames.append(sent - frames_of(segments[number:]))


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A disk of this size. Raises :class:`OSError` where there is no way, or no right, to mount one."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        msg = "a tmpfs cannot be mounted here"
        raise OSError(msg)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@attrs.frozen
class Filled:
    """What a full disk has come to."""

    failure: str
    events_meanwhile: int
    """That a feed got while the disk was full."""
    dropped_frames: int
    holes: int
    """That the log admits."""
    frames: int
    """In the log."""
    recorded: int
    """That the recorder says it has recorded."""


async def fill(disk: Path) -> Filled:
    """Record onto a disk until it is full; make room; go on."""
    folder, ballast = disk / "data", disk / "ballast"
    ballast.write_bytes(bytes(200_000))
    with trio.fail_after(100):
        async with (
            open_exchange(rate=3000) as exchange,
            open_client(exchange.url) as client,
            client.subscribe(Book("BTC/USD"), capacity=16_384) as feed,
            record(client, folder, flush_every=0.02, max_pending_bytes=100_000) as recording,
        ):
            while (failure := recording.statistics().failure) is None:
                await feed.receive_many()
            while not recording.statistics().dropped_frames:
                await feed.receive_many()
            meanwhile = 0
            while meanwhile < 1000:
                meanwhile += len(await feed.receive_many())
            ballast.unlink()
            before = recording.statistics().frames
            # On a slow machine it falls behind again and again: that it goes on is enough.
            while recording.statistics().failure or recording.statistics().frames == before:
                await feed.receive_many()
        statistics = recording.statistics()
    whole: dict[str, bytes] = {}
    segments, _ = check(folder, whole)
    holes = sum(channel == NOTES and b'"Hole"' in data for channel, data in messages_of(segments))
    return Filled(failure, meanwhile, statistics.dropped_frames, holes, frames_of(segments), statistics.frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1000.0, help="updates a second")
    parser.add_argument("--flush-every", type=float, default=0.2, help="seconds")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as disk, small_disk(Path(disk), "400k"):
        print(trio.run(fill, Path(disk)))
    with tempfile.TemporaryDirectory() as folder:

        async def run() -> Findings:
            return await kill_often(
                Path(folder) / "data", args.kills, seed=args.seed, rate=args.rate, flush_every=args.flush_every
            )

        print(trio.run(run))


if __name__ == "__main__":
    main()
