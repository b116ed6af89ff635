"""A board as a picture: pure functions, from a :class:`~.board.Board` and a size to what rich prints.

Every number on it is whole, or shortened with its unit (``11.6k``), or left out; a symbol is whole, or among those that
are counted (``+5 more``). The layout depends on the size and on what was subscribed, not on what happens::

    title, address                                  state, epoch, time
    ┌ ladder ┐┌ ladder ┐ …                   ┌ quotes ┐
    │        ││        │                     ┌ trades ┐
    ┌ open orders ───────────────────────────────────┐
    ┌ fills ───────────────┐┌ balances ──────────────┐
    counters
    ┌ log ───────────────────────────────────────────┐

The account's part is there if it was subscribed; mostly it is all there is.

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
from kraken_trio.cli.view.account_panels import account_layout
from kraken_trio.cli.view.board import Kind
from kraken_trio.cli.view.columns import first_fit
from kraken_trio.cli.view.panels import (
    LADDER_WIDTH,
    QUEUES_WIDTH,
    SIDE_WIDTHS,
    framed,
    ladder_panel,
    quotes_panel,
    trades_panel,
)

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
    Kind.ORDER: "magenta",
    Kind.ACCOUNT: "green",
    Kind.FAULT: "bold magenta",
    Kind.REFUSED: "bold red",
    Kind.NOTE: "white",
}
_DIM: Final = "bright_black"
_COUNTER_STYLES: Final = {
    "fills": "bold green", "recovered": "bold yellow", "verified": "bold green", "failed": "bold yellow",
    "gaps": "bold yellow", "resyncs": "bold yellow", "connects": "bold", "lost": "bold yellow", "events": "bold",
    "per s": "bold", "trades": "bold", "waiting": "bold",
}  # fmt: skip
"""The most important first: fills, checksums, losses, events."""
_COUNTER_ROOM: Final = 7
"""What a counter takes beside its name: five digits (``11.6k``) and two spaces."""
_COUNTER_LINES: Final = 3
_LEAST_ACCOUNT: Final = 6
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
    account_height: int


def plan(board: Board, width: int, height: int) -> Plan:
    """Fit a board into the given columns and lines."""
    names = _counter_names(board)
    lines = min(ceil(len(names) / (width // _counter_width(names) or 1)), _COUNTER_LINES)
    account = 0
    if board.account is not None:
        account = max(height - 1 - lines - _LOG_HEIGHT, _LEAST_ACCOUNT)
        if board.ladders or board.quotes:
            account = max(account // 2, _LEAST_ACCOUNT)
            height = max(height - account, 0)
    has_trades = "trade" in board.channels
    has_quotes = bool(board.channels & {"ticker", "ohlc"})
    fitting = [symbol for symbol in board.ladders if len(symbol) <= width - 6]
    each = QUEUES_WIDTH if any(ladder.has_queues for ladder in board.ladders.values()) else LADDER_WIDTH
    has_side = has_trades or has_quotes or len(fitting) < len(board.ladders) or len(fitting) * each > width
    stacked = has_side and width < each + SIDE_WIDTHS[0]
    side = min(max(width // 2, SIDE_WIDTHS[0]), SIDE_WIDTHS[1]) if has_side else 0
    if stacked or not fitting:
        side = width
    drawn = tuple(fitting[: max(1, (width if stacked else width - side) // each)])
    quotes = tuple(symbol for symbol in board.quotes if has_quotes or symbol not in drawn)
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
        account_height=account,
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
    parts = [main] if board.account is None or board.ladders or board.quotes else []
    if board.account is not None:
        parts.append(account_layout(board.account, width, fitted.account_height))
    used = sum(part.size or 0 for part in parts)
    log_height = max(height - 1 - fitted.counter_lines - used, 3)
    screen = Layout()
    screen.split_column(
        Layout(_header(board, width), size=1),
        *parts,
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


def _counter_names(board: Board) -> list[str]:
    """The counters that say something about what is watched."""
    left_out: set[str] = set()
    if board.account is None or not board.account.has_orders:
        left_out |= {"fills", "recovered"}
    if board.account is not None:
        left_out |= {"trades"} if "trade" not in board.channels else set()
        left_out |= {"verified", "failed"} if not board.ladders else set()
    return [name for name in _COUNTER_STYLES if name not in left_out]


def _counter_width(names: Sequence[str]) -> int:
    return max(map(len, names)) + _COUNTER_ROOM


def _counters(board: Board, width: int, height: int) -> Text:
    """The counters, in columns; those without room are counted."""
    now = board.statistics
    if now is None:
        return Text(" ")
    values = {
        "fills": 0 if board.account is None else board.account.fill_count,
        "recovered": now.fills_recovered,
        "verified": now.checksums_verified,
        "failed": now.checksum_failures,
        "gaps": now.gaps,
        "resyncs": now.resyncs,
        "connects": now.connects,
        "lost": now.losses,
        "events": now.events,
        "per s": round(board.rate),
        "trades": board.trade_count,
        "waiting": board.buffered,
    }
    names = _counter_names(board)
    each = min(ceil(len(names) / height), width // _counter_width(names) or 1)
    size = width // each
    cells = []
    for name in names:
        value = values[name]
        text = shortened(value, size - len(name) - 2) or "·"
        cell = Text.assemble((f" {name} ", _DIM), (text, _COUNTER_STYLES[name] if value else _DIM))
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
