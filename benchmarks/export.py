"""``python -m benchmarks.export``: how fast recordings are exported, how large they become, and in how much memory.

The events are those of the real recordings (``$KRAKEN_TRIO_CAPTURES``), as a session delivers them, again and again at
later times. Each format runs in a process of its own, with few and with many events: the memory must be the same.
Seconds are the CPU's. The floor is what pyarrow needs to make Parquet of the rows of ``book_updates`` once they are
lists of Python objects.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import msgspec
from kraken_trio import PUBLIC_V2, Book, BookSnapshot, BookUpdate, Cause, Gap, Settings
from kraken_trio.export import FORMATS, export
from kraken_trio.export.files import ParquetFile
from kraken_trio.export.tables import layout
from kraken_trio.session import Session
from kraken_trio.wire import codec_for

from benchmarks.environments import ROOT
from benchmarks.inputs import recorded_frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kraken_trio import Event, Request

CAPTURES: Final = Path(os.environ.get("KRAKEN_TRIO_CAPTURES", ROOT.parent / "shared" / "captures"))
START_NS: Final = 1_780_000_000 * 10**9
PAUSE_NS: Final = 2 * 10**9
"""Between one time of the recordings and the next, which begins with a gap and a snapshot."""
MB: Final = 1e6


class Repeated:
    """The recorded events, so many times."""

    def __init__(self, times: int) -> None:
        self._times = times
        self._requests: list[Book] = []
        found: list[tuple[int, Event]] = []
        for frames in recorded_frames(CAPTURES):
            request = Book(frames.symbol, depth=25)
            session = Session(Settings(), lambda: 0.0, codec_for("v2"), PUBLIC_V2)
            session.open(0.0)
            session.connected(0.0)
            session.add("feed", [request], 0.0)
            lines = Path(frames.path).read_bytes().splitlines()
            for line, due in zip(lines, (0, *frames.due), strict=True):
                effects = session.receive([line], START_NS + due, due / 1e9)
                found += ((due, event) for event in effects.deliver.get("feed", ()))
            self._requests.append(request)
        if not found:
            sys.exit(f"there are no recordings in {CAPTURES}")
        found.sort(key=lambda one: one[0])
        self._events = [event for _, event in found]
        self._length_ns = found[-1][0] + PAUSE_NS

    @property
    def requests(self) -> tuple[Request[Any], ...]:
        return tuple(self._requests)

    def events(self, *requests: Request[Any], start: int | None, end: int | None) -> Iterator[Event]:
        del requests, start, end
        replace = msgspec.structs.replace
        for number in range(self._times):
            shift_ns = number * self._length_ns
            if number:
                for request in self._requests:
                    yield Gap(
                        symbol=request.symbol,
                        cause=Cause.DISCONNECTED,
                        channel="book",
                        epoch=number,
                        received_ns=START_NS + shift_ns - PAUSE_NS // 2,
                    )
            for event in self._events:
                yield replace(event, received_ns=event.received_ns + shift_ns, epoch=number + 1)

    def days(self) -> None:
        return None

    def span(self) -> None:
        return None


def expected(source: Repeated) -> tuple[int, int]:
    """How many events there are, and how many rows of ``book_updates`` they give."""
    events = rows = 0
    for event in source.events(start=None, end=None):
        events += 1
        rows += len(event.bids) + len(event.asks) if isinstance(event, BookSnapshot | BookUpdate) else 1
    return events, rows


def measure(to: str, times: int) -> dict[str, Any]:
    """One format, in this process."""
    source = Repeated(times)
    began = time.process_time()
    events, rows = expected(source)
    reading = time.process_time() - began
    with tempfile.TemporaryDirectory() as folder:
        if to == "floor":
            seconds, written, size = pyarrow_alone(source, Path(folder))
            sent = rows
        else:
            began = time.process_time()
            report = export(source, folder, to=to)
            seconds = time.process_time() - began - reading
            counts: Counter[str] = Counter()
            for file in report.files:
                counts[file.table] += file.rows - file.derived
            sent = counts.total() + report.left_out.get("book_updates", 0) - counts["gaps"]
            written, size = sum(file.rows for file in report.files), sum(file.bytes for file in report.files)
            assert report.events == events
    assert sent == rows, (sent, rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "to": to, "events": events, "sent": rows, "rows": written, "seconds": seconds, "bytes": size,
        "peak": peak,
    }  # fmt: skip


def pyarrow_alone(source: Repeated, folder: Path) -> tuple[float, int, int]:
    """Seconds, rows and bytes of writing what an export gives to its files of ``book_updates``."""
    given: list[tuple[ParquetFile, Any]] = []
    write = ParquetFile.write

    def kept(self: ParquetFile, columns: Any) -> None:
        given.append((self, columns))
        write(self, columns)

    with mock.patch.object(ParquetFile, "write", kept):
        export(source, folder / "export", tables=["book_updates"])
    rows, size, seconds = 0, 0, 0.0
    for number, file in enumerate(dict.fromkeys(file for file, _ in given)):
        path = folder / f"{number}.parquet"
        again = ParquetFile(path, layout("book_updates"), file._constants, file._schema)
        began = time.process_time()
        for other, columns in given:
            if other is file:
                again.write(columns)
        rows += again.finish()
        seconds += time.process_time() - began
        size += path.stat().st_size
    return seconds, rows, size


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export", description=__doc__)
    parser.add_argument("--times", type=int, default=40, help="repetitions, and ten times as many")
    parser.add_argument("--to", choices=["floor", *FORMATS], action="append", help="only this format")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.to[0], options.times)))
        return
    few_times = f"at {options.times} repetitions"
    print(f"| format | events | their rows | rows written | rows/s | bytes a row | peak | {few_times} |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for to in options.to or ("floor", "parquet", "csv", "tardis", "hftbacktest"):
        few, many = (_run(to, times) for times in (options.times, 10 * options.times))
        print(
            f"| {to} | {many['events']:,} | {many['sent']:,} | {many['rows']:,} | "
            f"{many['rows'] / many['seconds']:,.0f} | {many['bytes'] / many['rows']:.1f} | "
            f"{many['peak'] / MB:.0f} MB | {few['peak'] / MB:.0f} MB |",
            flush=True,
        )


def _run(to: str, times: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.export", "--one", "--to", to, "--times", str(times)]
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


if __name__ == "__main__":
    main()
