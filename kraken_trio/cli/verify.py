"""``kraken-trio verify``: files in, a report out."""

from __future__ import annotations

import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from kraken_trio._text import printable
from kraken_trio.cli.formatting import counted
from kraken_trio.cli.running import NoRecording, Output, leave, progress_on_stderr
from kraken_trio.cli.verification import Verification
from kraken_trio.errors import RecordingError
from kraken_trio.recording.foreign import read_frames
from kraken_trio.requests import DEPTHS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from rich.console import Console

    from kraken_trio.cli.verification import Failure, SymbolReport

__all__ = ["verify", "verify_files"]

STDIN: Final = "-"
"""What click calls the standard input."""
_CHUNK_BYTES: Final = 256 * 1024
_DESCRIBED_BRIEFLY: Final = 10
"""Failures of a file that are reported in one line each, after the first one, which is reported in full."""


@click.command(short_help="Check every checksum of a recording.")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, allow_dash=True), metavar="FILE...")
@click.option(
    "--depth",
    type=click.Choice([str(depth) for depth in DEPTHS]),
    help="Depth of books whose subscription is not in the recording.  [default: the smallest that fits the snapshot]",
)
def verify(files: tuple[str, ...], depth: str | None) -> None:
    """Check every checksum in other programs' recordings of Kraken's protocols, v2 (with Level 3) and v1.

    Each frame of each FILE is decoded and checked as in a live client. A FILE is a .cbcap, or holds one frame per
    line: alone, after its time ("1785644622.17: {...}", "2026-11-29T02:54:37.123Z {...}"), or in a wrapper
    ({"rx_ns":...,"frame":...} or {"ts":...,"data":...}). Either may be compressed by gzip or zstd. - is the standard
    input. Recordings of kraken-trio itself are checked by "kraken-trio audit FOLDER", which finds more.

    Exit status: 0 if every checksum was verified; 1 if one was not, if a frame is malformed, if a file is truncated,
    or if it holds no checksum; 130 after Ctrl-C.

    \b
    Examples:
      kraken-trio verify monday.cbcap tuesday.cbcap
      kraken-trio verify --depth 100 frames.jsonl
      kraken-trio verify monday.jsonl.gz tuesday.jsonl.zst
      xzcat frames.jsonl.xz | kraken-trio verify -
    """  # noqa: D301 (the backslash is click's: do not fill this paragraph)
    for path in files:
        _check_is_file(path)
    good = verify_files(files, depth=None if depth is None else int(depth), out=Output(), err=progress_on_stderr())
    leave(0 if good else 1)


def _check_is_file(path: str) -> None:
    """Raise :class:`click.ClickException` for a folder."""
    if path != STDIN and Path(path).is_dir():
        folder = printable(path, 400)
        quoted = shlex.quote(folder)
        msg = (
            f"{folder} is a folder: kraken-trio audit {quoted} checks one that kraken-trio has recorded; of others, "
            f"name the files in it, such as {quoted}/*.jsonl"
        )
        raise NoRecording(msg)


def verify_files(paths: Sequence[str], *, depth: int | None, out: Console, err: Console | None) -> bool:
    """Check all of ``paths`` and report on ``out``; progress is shown on ``err``. Returns whether all are verified."""
    checked: list[tuple[str, Verification]] = []
    for path in paths:
        verification = Verification(depth)
        name = "standard input" if path == STDIN else printable(path, 400)
        progress = None if err is None else _progress(err)
        with progress or nullcontext():
            _verify_file(path, verification, _meter(progress, path, verification))
        checked.append((name, verification))
        _report(name, verification, out)
    _conclude(checked, out)
    return all(verification.ok for _, verification in checked)


def _verify_file(path: str, verification: Verification, advance: Callable[[int], None]) -> None:
    def chunks(file: BinaryIO) -> Iterator[bytes]:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
            advance(len(chunk))

    try:
        with _open(path) as file:
            for frame in read_frames(chunks(file)):
                verification.take(frame)
    except RecordingError as error:
        verification.end(error)
    except OSError as error:
        verification.end(RecordingError(f"it cannot be read: {error.strerror or printable(error)}"))
    else:
        verification.end()


def _open(path: str) -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdin.buffer) if path == STDIN else Path(path).open("rb")


# The progress


def _progress(err: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TextColumn("{task.fields[checksums]:>9,} verified", markup=False),
        TimeRemainingColumn(compact=True),
        console=err,
        transient=True,
    )


def _meter(progress: Progress | None, path: str, verification: Verification) -> Callable[[int], None]:
    if progress is None:
        return lambda _size: None
    size = Path(path).stat().st_size if path != STDIN and Path(path).is_file() else None
    task = progress.add_task(printable(Path(path).name, 30), total=size, checksums=0)

    def advance(chunk: int) -> None:
        progress.update(task, advance=chunk, checksums=verification.verified)

    return advance


# The report


def _report(name: str, verification: Verification, out: Console) -> None:
    if verification.unread is not None:
        _print(out, Text(name, "bold"), Text(": "), *_told(verification.unread))
        return
    _print(out, Text(name, "bold"), Text(f": {counted(verification.frames, 'frame')}"))
    reports = list(verification.symbols.values())
    width = max((len(_name_of(report)) for report in reports), default=0)
    for report in reports:
        _print(out, _line_of(report, width))
    for index, failure in enumerate(verification.failures[: 1 + _DESCRIBED_BRIEFLY]):
        _print(out, Text("  "), *_told(failure))
        if index == 0:
            _evidence(failure, out)
    untold = verification.failure_count - 1 - _DESCRIBED_BRIEFLY
    if untold > 0:
        _print(out, Text(f"  … and {counted(untold, 'more failure')}", "red"))


def _name_of(report: SymbolReport) -> str:
    symbol = printable(report.symbol, 40)
    return symbol if report.channel == "book" else f"{symbol} {report.channel}"


def _line_of(report: SymbolReport, width: int) -> Text:
    good = report.verified == report.checksums
    line = Text(f"  {_name_of(report):<{width}}  ")
    if report.depth is not None:
        line.append(f"depth {report.depth}{' (inferred)' if report.depth_inferred else ''}, ")
    line.append(f"{report.verified} of {report.checksums} checksums verified", "green" if good else "red")
    if report.mismatches:
        line.append(f", {report.mismatches} wrong")
    if report.unchecked:
        line.append(f", {report.unchecked} could not be checked (no verified snapshot before them)")
    if report.crossed:
        line.append(f"; the exchange's own book was crossed after {counted(report.crossed, 'message')}")
    return line


def _told(failure: Failure) -> tuple[Text, Text]:
    return Text("FAILED ", "bold red"), Text(
        f"{failure.where}: {failure.problem}" if failure.where else failure.problem
    )


def _evidence(failure: Failure, out: Console) -> None:
    if failure.evidence is not None:
        _print(out, Text(f"    checksum of the exchange: {failure.evidence.expected}"))
        _print(out, Text(f"    checksum of the book:     {failure.evidence.computed}"))
        _print(out, Text(f"    of the string (asks, then bids): {printable(failure.evidence.hashed, 2000)}"))
    if failure.hint:
        _print(out, Text(f"    {failure.hint}"))


def _conclude(checked: Sequence[tuple[str, Verification]], out: Console) -> None:
    if len(checked) == 1 and checked[0][1].unread is not None:
        return  # its line says it all
    verified = sum(verification.verified for _, verification in checked)
    came = sum(verification.checksums for _, verification in checked)
    bad = [(name, verification) for name, verification in checked if not verification.ok]
    files = f" in {len(checked)} files" if len(checked) > 1 else ""
    text = f"{verified} of {came} checksums verified{files}"
    if not bad:
        _print(out, Text(text, "bold green"))
        return
    name, verification = bad[0]
    first = verification.failures[0]
    count = sum(verification.failure_count for _, verification in bad)
    failures = counted(count, "failure") + (", the first" if count > 1 else "")
    place = f"{name}, {first.where}" if first.where else name
    _print(out, Text(f"{text}; {failures} in {place}", "bold red"))


def _print(out: Console, *parts: Text) -> None:
    out.print(*parts, sep="", soft_wrap=True, highlight=False)
