"""``kraken-trio import``: recordings by other programs, into a folder of ours."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from kraken_trio.cli.formatting import counted
from kraken_trio.cli.running import leave, progress_on_stderr
from kraken_trio.errors import RecordingError
from kraken_trio.importing import import_recording

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from kraken_trio.importing import ImportReport

__all__ = ["import_command"]


@click.command("import", short_help="Import recordings by other programs.")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False), metavar="FILE...")
@click.option("--out", type=click.Path(file_okay=False), required=True, metavar="FOLDER", help="Where to write.")
@click.option("--start", metavar="TIME", help="When a file without times was begun: 2026-11-29T12:00:00Z.")
def import_command(files: tuple[str, ...], out: str, start: str | None) -> None:
    """Import recordings of Kraken's protocols into a FOLDER, so that they can be audited, replayed and exported.

    Each FILE may be what "kraken-trio verify" reads: a .cbcap, or one frame per line, with its time; also compressed
    by gzip or zstd. The frames are kept as they are. Files that overlap in time become one recording, with their
    frames in the order of receipt.

    Exit status: 0 if all frames are in the folder and every checksum that could be checked is right; 1 otherwise.

    \b
    Examples:
      kraken-trio import monday.cbcap tuesday.cbcap --out data/
      kraken-trio import frames.jsonl.gz --out data/ --start 2026-11-29T12:00:00Z
    """  # noqa: D301 (the backslash is click's: do not fill this paragraph)
    err = progress_on_stderr()
    progress = None if err is None else _progress(err)
    try:
        with progress or nullcontext():
            report = import_recording(files, out, start=start, progress=_meter(progress, files))
    except (RecordingError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    _tell(report, out)
    leave(1 if report.problems or report.checksum_failures else 0)


def _progress(err: Console) -> Progress:
    return Progress(
        TextColumn("reading, then importing"),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TimeRemainingColumn(compact=True),
        console=err,
        transient=True,
    )


def _meter(progress: Progress | None, files: tuple[str, ...]) -> Callable[[int], object]:
    if progress is None:
        return lambda _size: None
    task = progress.add_task("", total=2 * sum(Path(file).stat().st_size for file in files))
    return lambda size: progress.update(task, advance=size)


def _tell(report: ImportReport, out: str) -> None:
    click.echo(
        f"{counted(report.frames, 'frame')} in, {counted(report.frames, 'frame')} in {out}: "
        f"{counted(report.checksums_verified, 'checksum')} verified, "
        f"{counted(report.checksum_failures, 'mismatch', 'mismatches')}, {counted(report.gaps, 'gap')}"
    )
    if report.malformed:
        click.echo(f"{counted(report.malformed, 'frame')} cannot be decoded")
    if report.ignored:
        click.echo(f"{counted(report.ignored, 'entry', 'entries')} of symbols to which nobody can subscribe")
    for request in report.requests:
        click.echo(f"  {request}")
    for problem in report.problems:
        click.echo(f"FAILED {problem}; what stands before it was imported")
