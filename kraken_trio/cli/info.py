"""``kraken-trio info``: what is in a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
from rich.text import Text

from kraken_trio._text import printable
from kraken_trio.cli.formatting import counted, listed, shortened_bytes, utc
from kraken_trio.cli.running import NoRecording, Output
from kraken_trio.errors import RecordingError
from kraken_trio.storage.auditing import describe_folder

if TYPE_CHECKING:
    from kraken_trio.storage.auditing import Description

__all__ = ["info"]

_MOST_SYMBOLS: Final = 12
_MOST_LINES: Final = 20


@click.command(short_help="Say what is in a recording.")
@click.argument("folder", type=click.Path(), metavar="FOLDER")
def info(folder: str) -> None:
    """Say what is in a recording that kraken-trio has made, without reading its data.

    Times are UTC. Nothing is checked: "kraken-trio audit FOLDER" does that.

    Exit status: 0; 2 if there is no recording that can be read.

    \b
    Examples:
      kraken-trio info data/
      kraken-trio info /mnt/archive/kraken | grep recorder
    """  # noqa: D301 (the backslash is click's: do not fill this paragraph)
    try:
        found = describe_folder(folder)
    except RecordingError as error:
        raise NoRecording(str(error)) from None
    out = Output()
    for line in _lines(printable(folder, 400), found):
        out.print(line, soft_wrap=True, highlight=False)


def _lines(name: str, found: Description) -> list[Text]:
    more = "" if found.is_counted else "at least "
    messages = f"{more}{counted(found.messages, 'message')} ({counted(found.frames, 'frame')})"
    lines = [
        Text.assemble(
            (name, "bold"), f": {counted(found.segments, 'file')}, {shortened_bytes(found.bytes)}, {messages}"
        ),
        Text(f"  from {utc(found.begin_ns)} to {utc(found.end_ns)}"),
    ]
    by_channel: dict[tuple[str, str], list[str]] = {}
    for request in found.requests:
        name_of, value = request.variant or ("", None)
        variant = f" ({name_of} {printable(str(value), 40)})" if name_of else ""
        symbols = by_channel.setdefault((request.channel or "", variant), [])
        if request.symbol is not None and request.symbol not in symbols:
            symbols.append(request.symbol)
    for (channel, variant), symbols in by_channel.items():
        names = listed([printable(symbol, 40) for symbol in symbols], _MOST_SYMBOLS)
        lines.append(Text(f"  {printable(channel, 40)}{variant}" + (f": {names}" if symbols else "")))
    if not by_channel:
        lines.append(Text("  nothing was confirmed by the exchange"))
    for recorder in found.recorders[-_MOST_LINES:]:
        times = f"{utc(recorder.begin_ns)} to {utc(recorder.end_ns)}"
        what = f"kraken_trio {recorder.version}, {recorder.endpoint}, {counted(recorder.segments, 'file')}"
        lines.append(Text(f"  recorder: {times}: {what}"))
    if len(found.recorders) > _MOST_LINES:
        lines.append(Text(f"  … and {counted(len(found.recorders) - _MOST_LINES, 'earlier recorder')}"))
    if found.deleted:
        lines.append(Text("  older files have been deleted"))
    if found.is_running:
        lines.append(Text(f"  it is being recorded now, by {found.holder}", "green"))
    lines += [
        Text(f"  {printable(segment, 80)} has no end: its recorder was killed, or lost its disk", "yellow")
        for segment in found.unfinished[:_MOST_LINES]
    ]
    lines += [Text(f"  {printable(damage, 400)}", "red") for damage in found.damage[:_MOST_LINES]]
    untold = max(0, len(found.unfinished) - _MOST_LINES) + max(0, len(found.damage) - _MOST_LINES)
    if untold:
        lines.append(Text(f"  … and {untold:,} more of these", "red"))
    return lines
