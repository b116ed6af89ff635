"""``kraken-trio audit``: a recording in, a report out."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from kraken_trio._text import printable
from kraken_trio.cli.formatting import counted, listed, shortened_bytes, utc
from kraken_trio.cli.running import NoRecording, Output, leave, progress_on_stderr
from kraken_trio.errors import RecordingError
from kraken_trio.recording.findings import Verdict, day_text, offset_ms
from kraken_trio.recording.records import encode
from kraken_trio.storage.auditing import audit_folder, describe_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from kraken_trio.recording.findings import Defect, Hole, Report, Row

__all__ = ["audit", "print_report"]

_NS: Final = 10**9
_COLORS: Final = {Verdict.COMPLETE: "bold green", Verdict.HOLES: "bold yellow", Verdict.DAMAGED: "bold red"}


@click.command(short_help="Prove that a recording is complete.")
@click.argument("folder", type=click.Path(), metavar="FOLDER")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a report.")
def audit(folder: str, *, as_json: bool) -> None:
    """Check everything in a recording that kraken-trio has made.

    Every byte of FOLDER (or of one of its files) is read, and every frame decoded and verified as in a live client.
    The report says, for each channel, symbol and day (UTC): how long it was recorded without a hole, checksums, missing
    trades, resyncs, and the range of receive time less the exchange's timestamps; then each hole with its cause, and
    each defect with its place and time.

    Exit status: 0 if the recording is complete; 1 if it has holes, all of which it admits itself; 2 if it is damaged,
    or none; 130 after Ctrl-C.

    \b
    Examples:
      kraken-trio audit data/
      kraken-trio audit --json data/ | jq .verdict
    """  # noqa: D301 (the backslash is click's: do not fill this paragraph)
    try:
        report = _audited(folder, progress_on_stderr())
    except RecordingError as error:
        raise NoRecording(str(error)) from None
    if as_json:
        click.echo(encode(report.plain(folder)).decode())
    else:
        print_report(folder, report, Output())
    leave(report.verdict.status)


def _audited(folder: str, err: Console | None) -> Report:
    if err is None:
        return audit_folder(folder)
    total = describe_folder(folder).bytes
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TextColumn("{task.fields[messages]:>11,} messages", markup=False),
        TimeRemainingColumn(compact=True),
        console=err,
        transient=True,
    )
    task = progress.add_task(printable(folder, 30), total=total, messages=0)

    def advance(size: int, report: Report) -> None:
        progress.update(task, advance=size, messages=report.messages)

    with progress:
        return audit_folder(folder, advance)


# The report


def print_report(folder: str, report: Report, out: Console) -> None:
    """Print a report for people."""
    name = printable(folder, 400)
    size = f"{counted(report.segments, 'file')}, {shortened_bytes(report.bytes)}"
    _print(out, Text(name, "bold"), Text(f": {size}, {counted(report.messages, 'message')}, {_span(report)}"))
    for recorder in report.recorders:
        times = f"{utc(recorder.begin_ns)} to {utc(recorder.end_ns)}"
        what = f"kraken_trio {recorder.version}, {recorder.endpoint}, {counted(recorder.segments, 'file')}"
        _print(out, Text(f"  recorder: {times}: {what}, {recorder.ended}"))
    for note in report.notes:
        _print(out, Text(f"  {note}"))
    rows = sorted(report.rows.values(), key=lambda row: row.day)  # sorted keeps the order of their coming
    names = {id(row): _name(row.channel, row.symbol) for row in rows}
    width = max(map(len, names.values()), default=0)
    for day, of_day in groupby(rows, key=lambda row: row.day):
        _print(out, Text(day_text(day), "bold"))
        for row in of_day:
            _print(out, Text(f"  {names[id(row)]:<{width}}  "), *_facts(row))
    _lines(_holes(report.holes), report.hole_count - len(report.holes), "hole", out)
    _lines(_defects(report.defects), report.defect_count - len(report.defects), "defect", out)
    _print(out, _conclusion(report))


def _span(report: Report) -> str:
    return "none of them readable" if report.begin_ns is None else f"{utc(report.begin_ns)} to {utc(report.end_ns)}"


def _facts(row: Row) -> list[Text]:
    facts = [Text(f"{row.covered_ns / _NS:,.1f} s, {counted(row.events, 'event')}")]
    if row.verified or row.failed or row.absent:
        facts.append(Text(f", {row.verified:,} checksums verified", "green"))
    if row.failed:
        facts.append(Text(f", {row.failed:,} failed"))
    if row.absent:
        facts.append(Text(f", {row.absent:,} absent"))
    if row.missing_trades:
        facts.append(Text(f", {counted(row.missing_trades, 'trade')} missing", "yellow"))
    if row.resyncs:
        facts.append(Text(f", {counted(row.resyncs, 'resync')}"))
    if row.holes:
        count = sum(row.holes.values())
        causes = listed([cause if number == 1 else f"{number} {cause}" for cause, number in row.holes.items()])
        facts.append(Text(f", {counted(count, 'hole')} of {row.hole_ns / _NS:,.1f} s ({causes})", "yellow"))
    offsets = offset_ms(row.earliest_ns, row.latest_ns)
    if offsets is not None:
        facts.append(Text(f", clock {offsets[0]:+,.1f} to {offsets[1]:+,.1f} ms"))
    return facts


def _lines(lines: Sequence[Text], untold: int, what: str, out: Console) -> None:
    for line in lines:
        _print(out, line)
    if untold:
        _print(out, Text(f"… and {counted(untold, 'more ' + what)}"))


def _holes(found: Sequence[Hole]) -> list[Text]:
    """A line for what several subscriptions have in common."""
    lines = []
    for (cause, detail, begin_ns, end_ns), group in groupby(
        found, key=lambda hole: (hole.cause, hole.detail, hole.begin_ns, hole.end_ns)
    ):
        names = [_name(hole.channel, hole.symbol) for hole in group if hole.channel is not None]
        whose = f" {listed(names)}" if names else " everything"
        until = "the end" if end_ns is None else utc(end_ns)
        when = f"at {utc(begin_ns)}" if begin_ns == end_ns else f"{utc(begin_ns)} to {until}"
        lines.append(
            Text.assemble(("HOLE ", "bold yellow"), f"{when}:{whose}: {cause}", f": {detail}" if detail else "")
        )
    return lines


def _defects(found: Sequence[Defect]) -> list[Text]:
    lines = []
    for defect in found:
        place = printable(defect.file, 80)
        if defect.message is not None:
            place += f", message {defect.message}"
        elif defect.byte is not None:
            place += f", byte {defect.byte}"
        time = "" if defect.at_ns is None else f" ({utc(defect.at_ns)})"
        lines.append(Text.assemble(("DAMAGED ", "bold red"), f"{place}{time}: {printable(defect.text, 400)}"))
    return lines


def _conclusion(report: Report) -> Text:
    verdict = report.verdict
    if verdict is Verdict.COMPLETE:
        text = "complete"
    elif verdict is Verdict.HOLES:
        text = f"undamaged; {counted(report.hole_count, 'hole')}, which the recording itself admits"
    else:
        first = report.defects[0]
        text = f"damaged: {counted(report.defect_count, 'defect')}, the first in {printable(first.file, 80)}"
    return Text(text, _COLORS[verdict])


def _name(channel: str | None, symbol: str | None) -> str:
    return printable(channel or "", 40) + (f" {printable(symbol, 40)}" if symbol is not None else "")


def _print(out: Console, *parts: Text) -> None:
    out.print(*parts, sep="", soft_wrap=True, highlight=False)
