"""A board as a picture: pure functions, from a :class:`~.board.Board` and a size to what rich prints.

Every number on it is whole, or shortened with its unit (``11.6k``), or left out; a symbol is whole, or among those that
are counted (``+5 more``). The layout depends on the size and on what was subscribed, not on what happens::

    title, address                                  state, epoch, time
    ┌ ladder ┐┌ ladder ┐ …                   ┌ quotes ┐
    │        ││        │                     ┌ trades ┐
    counters
    ┌ log ───────────────────────────────────────────┐

Where the width does not suffice for a ladder beside quotes and trades, they stand below it. Nothing is read as markup:
all text is :class:`rich.text.Text`.
"""

from __future__ import annotations

from math import ceil
from textwrap import wrap
from typing import TYPE_CHECKING, Final

import attrs
from rich.layout import Layout
from rich.text import Text

from kraken_trio import ConnectionState
from kraken_trio.cli.formatting import ascii_text, clock, shortened
from kraken_trio.cli.view.board import Kind
from kraken_trio.cli.view.columns import first_fit
from kraken_trio.cli.view.panels import LADDER_WIDTH, SIDE_WIDTHS, framed, ladder_panel, quotes_panel, trades_panel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.panel import Panel

    from kraken_trio.cli.view.board import Board, Entry

__all__ = ["Plan", "plan", "render"]

STATE_STYLES: Final = {
    ConnectionState.SUBSCRIBED: "bold green",
    ConnectionState.RESYNCING: "bold yellow",
    ConnectionState.CONNECTING: "bold cyan",
    ConnectionState.DISCONNECTED: "bold red",
}
KIND_STYLES: Final = {
    Kind.STATE: "cyan",
    Kind.GAP: "bold yellow",
    Kind.BOOK: "green",
    Kind.FAULT: "bold magenta",
    Kind.REFUSED: "bold red",
    Kind.NOTE: "white",
}
_DIM: Final = "bright_black"
_COUNTERS: Final = (
    ("verified", "bold green"), ("failed", "bold yellow"), ("gaps", "bold yellow"), ("resyncs", "bold yellow"),
    ("connects", "bold"), ("lost", "bold yellow"), ("events", "bold"), ("per s", "bold"), ("trades", "bold"),
    ("waiting", "bold"),
)  # fmt: skip
"""The most important first: checksums, losses, events."""
_COUNTER_WIDTH: Final = 15
"""The longest name and five digits (``11.6k``)."""
_COUNTER_LINES: Final = 3
_LOG_HEIGHT: Final = 7
"""Lines of the log when ladders, quotes and trades are stacked."""
_ENTRY_INDENT: Final = 15
"""In front of the text of a log entry: its time and its kind."""
_ENTRY_LINES: Final = 3
"""The largest number of lines of one log entry."""


@attrs.frozen(kw_only=True)
class Plan:
    """The layout of a screen. Heights include the frames."""

    ladders: tuple[str, ...]
    """The symbols whose books are drawn."""
    quotes: tuple[str, ...]
    """The symbols that get a line each; what does not fit is counted."""
    levels: int
    """Drawn per side of a book."""
    stacked: bool
    """Quotes and trades stand below the ladders, not beside them."""
    side_width: int
    main_height: int
    ladder_height: int
    quotes_height: int
    trades_height: int
    counter_lines: int


def plan(board: Board, width: int, height: int) -> Plan:
    """Fit a board into the given columns and lines."""
    has_trades = "trade" in board.channels
    has_quotes = bool(board.channels & {"ticker", "ohlc"})
    fitting = [symbol for symbol in board.ladders if len(symbol) <= width - 6]
    has_side = has_trades or has_quotes or len(fitting) < len(board.ladders) or len(fitting) * LADDER_WIDTH > width
    stacked = has_side and width < LADDER_WIDTH + SIDE_WIDTHS[0]
    side = min(max(width // 2, SIDE_WIDTHS[0]), SIDE_WIDTHS[1]) if has_side else 0
    if stacked or not fitting:
        side = width
    drawn = tuple(fitting[: max(1, (width if stacked else width - side) // LADDER_WIDTH)])
    quotes = tuple(symbol for symbol in board.quotes if has_quotes or symbol not in drawn)
    lines = min(ceil(len(_COUNTERS) / (width // _COUNTER_WIDTH or 1)), _COUNTER_LINES)
    main = max(height - 1 - lines - _LOG_HEIGHT if stacked else (height - 1 - lines) * 2 // 3, 5)
    ladder = main * 3 // 5 if stacked else main
    levels = max(min((ladder - 3) // 2, max((board.ladders[symbol].depth for symbol in drawn), default=0)), 1)
    ladder = levels * 2 + 3 if drawn else 0
    rest = max(main - ladder, 3) if stacked or not drawn else ladder
    for_quotes = min(len(quotes) + 3, rest if not has_trades or rest < 6 else rest * 3 // 5) if quotes else 0
    return Plan(
        ladders=drawn,
        quotes=quotes,
        levels=levels,
        stacked=stacked,
        side_width=side,
        main_height=rest + ladder if stacked or not drawn else rest,
        ladder_height=ladder,
        quotes_height=for_quotes,
        trades_height=rest - for_quotes if has_trades else 0,
        counter_lines=lines,
    )


def render(board: Board, width: int, height: int, *, ascii_only: bool = False) -> Layout:
    """The whole screen. ``ascii_only``: peers' texts are made ASCII (our own signs have one to replace each)."""
    fitted = plan(board, width, height)
    ladders = Layout(size=fitted.ladder_height if fitted.stacked else None)
    shares = _shares(width if fitted.stacked else width - fitted.side_width, len(fitted.ladders))
    ladders.split_row(
        *(
            Layout(ladder_panel(board.ladders[symbol], fitted.levels, share), size=share)
            for symbol, share in zip(fitted.ladders, shares, strict=True)
        )
    )
    side: list[Layout] = []
    if fitted.quotes_height:
        quotes = quotes_panel(board, fitted.quotes, fitted.side_width, fitted.quotes_height)
        side.append(Layout(quotes, size=fitted.quotes_height))
    if fitted.trades_height:
        side.append(Layout(trades_panel(board, fitted.side_width, fitted.trades_height), size=fitted.trades_height))
    main = Layout(size=fitted.main_height)
    if fitted.stacked or not fitted.ladders:
        _stack(main, [ladders, *side] if fitted.ladders else side, fitted.main_height)
    elif fitted.side_width:
        beside = Layout(size=fitted.side_width)
        _stack(beside, side, fitted.main_height)
        main.split_row(ladders, beside)
    else:
        main.split_row(ladders)
    log_height = max(height - 1 - fitted.counter_lines - fitted.main_height, 3)
    screen = Layout()
    screen.split_column(
        Layout(_header(board, width), size=1),
        main,
        Layout(_counters(board, width, fitted.counter_lines), size=fitted.counter_lines),
        Layout(_log(board, width, log_height, ascii_only=ascii_only), minimum_size=3),
    )
    return screen


def _stack(column: Layout, parts: Sequence[Layout], height: int) -> None:
    rest = height - sum(part.size or 0 for part in parts)
    blank = Text(" ")  # an empty text would count as none
    column.split_column(*parts, *([Layout(blank, size=rest)] if rest > 0 else []))


def _shares(width: int, count: int) -> list[int]:
    return [width // count + (index < width % count) for index in range(count)]


def _header(board: Board, width: int) -> Text:
    epoch = board.statistics.epoch if board.statistics is not None else 0
    time = clock(board.elapsed) + (f" / {clock(board.limit)}" if board.limit is not None else "")
    parts = {
        "state": (f" ● {board.state.value.upper()}", STATE_STYLES[board.state]),
        "time": (f"  {time}", ""),
        "title": (f" {board.title}", "bold"),
        "epoch": (f"  epoch {epoch}", ""),
        "where": (f"  {board.where}", _DIM),
    }
    room = width - 1
    for name, (text, _) in list(parts.items()):
        if len(text) <= room:
            room -= len(text)
        else:
            del parts[name]
    left = Text.assemble(*(parts[name] for name in ("title", "where") if name in parts))
    right = Text.assemble(*(parts[name] for name in ("state", "epoch", "time") if name in parts))
    return Text.assemble(left, " " * room, right, no_wrap=True, overflow="crop")


# The counters and the log


def _counters(board: Board, width: int, height: int) -> Text:
    """The counters, in columns; those without room are counted."""
    now = board.statistics
    if now is None:
        return Text(" ")
    values = (
        now.checksums_verified,
        now.checksum_failures,
        now.gaps,
        now.resyncs,
        now.connects,
        now.losses,
        now.events,
        round(board.rate),
        board.trade_count,
        board.buffered,
    )
    each = min(ceil(len(values) / height), width // _COUNTER_WIDTH or 1)
    size = width // each
    cells = []
    for (name, style), value in zip(_COUNTERS, values, strict=True):
        text = shortened(value, size - len(name) - 2) or "·"
        cell = Text.assemble((f" {name} ", _DIM), (text, style if value else _DIM))
        cell.pad_right(size - cell.cell_len)
        cells.append(cell)
    if (hidden := len(cells) - each * height) > 0:
        cells[each * height - 1 :] = [Text(f" +{hidden + 1} more", _DIM)]
    lines = [Text().join(cells[start : start + each]) for start in range(0, len(cells), each)]
    return Text("\n", no_wrap=True, overflow="crop").join(lines)


def _log(board: Board, width: int, height: int, *, ascii_only: bool) -> Panel:
    lines: list[Text] = []
    shown = 0
    for entry in reversed(board.log):
        told = _entry(entry, max(width - 4 - _ENTRY_INDENT, 8), ascii_only=ascii_only)
        if lines and len(lines) + len(told) > height - 2:
            break
        lines = told + lines
        shown += 1
    earlier = board.entry_count - shown
    return framed(first_fit(width - 6, f"log, {earlier:,} earlier", "log") if earlier else "log", lines[: height - 2])


def _entry(entry: Entry, width: int, *, ascii_only: bool) -> list[Text]:
    text, more = (ascii_text(entry.text), " ...") if ascii_only else (entry.text, " …")
    first, *others = wrap(text, width, max_lines=_ENTRY_LINES, placeholder=more, break_on_hyphens=False) or [""]
    line = Text.assemble((f"{entry.at:6.1f} ", _DIM), (f"{entry.kind.value:<7} ", KIND_STYLES[entry.kind]), first)
    return [line, *(Text(" " * _ENTRY_INDENT + other) for other in others)]
