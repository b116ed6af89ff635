"""A board as a picture: pure functions, from a :class:`~kraken_trio.cli.board.Board` and a size to what rich prints.

The layout depends on the size and on what was subscribed, and on nothing that changes while one watches::

    title, address                                  state, epoch, time
    ┌ ladder ┐┌ ladder ┐ …                   ┌ quotes ┐
    │        ││        │                     ┌ trades ┐
    counters
    ┌ log ───────────────────────────────────────────┐

Nothing is read as markup: all text is :class:`rich.text.Text`.
"""

from __future__ import annotations

from itertools import islice
from textwrap import wrap
from typing import TYPE_CHECKING, Final

import attrs
from rich import box
from rich.layout import Layout
from rich.panel import Panel
from rich.text import Text

from kraken_trio.cli.board import Kind
from kraken_trio.cli.words import SHORT_QTY, clock, short
from kraken_trio.events import ConnectionState, Side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from kraken_trio.cli.board import Board, Entry, Ladder, Quote
    from kraken_trio.events import Level, Trade

__all__ = ["Plan", "counters", "plan", "render"]

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
_ASK, _BID = "red", "green"
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_LADDER_WIDTH: Final = 26
"""The narrowest useful ladder."""
_SIDE_WIDTHS: Final = (28, 46)
_KIND_WIDTH: Final = 7
_COUNTER_LINES: Final = 2


@attrs.frozen(kw_only=True)
class Plan:
    """Where everything goes."""

    ladders: tuple[str, ...]
    """The symbols whose books are drawn."""
    quotes: tuple[str, ...]
    """The symbols that get a line each."""
    side_width: int
    """Of the column at the right; 0: there is none; the whole width if there is no ladder."""
    levels: int
    """Drawn per side of a book."""
    main_height: int
    log_height: int


def plan(board: Board, width: int, height: int) -> Plan:
    """Fit a board into so many columns and lines."""
    has_quotes = bool(board.channels & {"ticker", "ohlc"})
    has_side = "trade" in board.channels or has_quotes or len(board.ladders) > 1
    side = min(max(width * 3 // 10, _SIDE_WIDTHS[0]), _SIDE_WIDTHS[1]) if has_side else 0
    if not board.ladders:
        side = width
    elif width - side < _LADDER_WIDTH:
        side = 0
    drawn = tuple(board.ladders)[: max(1, (width - side) // _LADDER_WIDTH)]
    lines = tuple(board.quotes) if has_quotes else tuple(s for s in board.ladders if s not in drawn)
    rest = max(height - 1 - _COUNTER_LINES, 6)
    main = max(rest * 2 // 3, 5)
    deepest = max((board.ladders[symbol].depth for symbol in drawn), default=0)
    levels = max(min((main - 3) // 2, deepest), 1)
    if drawn:
        main = levels * 2 + 3
    return Plan(
        ladders=drawn, quotes=lines, side_width=side, levels=levels, main_height=main, log_height=max(rest - main, 3)
    )


def render(board: Board, width: int, height: int, *, ascii_only: bool = False) -> RenderableType:
    """The whole screen."""
    fitted = plan(board, width, height)
    columns: list[Layout] = []
    if fitted.ladders:
        total = width - fitted.side_width
        each, over = divmod(total, len(fitted.ladders))
        for index, symbol in enumerate(fitted.ladders):
            wide = each + (index < over)
            drawn = _ladder(board.ladders[symbol], fitted.levels, wide - 4, ascii_only=ascii_only)
            columns.append(Layout(drawn, size=wide))
    if fitted.side_width:
        columns.append(Layout(_side(board, fitted), size=fitted.side_width))
    main = Layout(size=fitted.main_height)
    main.split_row(*columns)
    log_lines = max(fitted.log_height - 2, 1)
    screen = Layout()
    screen.split_column(
        Layout(_header(board, width), size=1),
        main,
        Layout(_two_lines(board, width), size=_COUNTER_LINES),
        Layout(_panel("what happened", _log(board, log_lines, width - 4)), minimum_size=3),
    )
    return screen


def _panel(title: str, content: RenderableType, *, style: str = "bright_black", title_style: str = "bold") -> Panel:
    return Panel(
        content, title=Text(title, title_style), title_align="left", border_style=style, box=box.ROUNDED, padding=(0, 1)
    )


def _lines(lines: Sequence[Text]) -> Text:
    text = Text("\n").join(lines)
    text.no_wrap = True
    text.overflow = "ellipsis"
    return text


# The header


def _header(board: Board, width: int) -> Text:
    epoch = board.statistics.epoch if board.statistics is not None else 0
    time = clock(board.elapsed) + (f" / {clock(board.limit)}" if board.limit is not None else "")
    right = Text()
    right.append(f"● {board.state.value.upper()}", STATE_STYLES[board.state])
    right.append(f"   epoch {epoch}   {time} ")
    left = Text(no_wrap=True)
    left.append(f" {board.title}", "bold")
    left.append(f"  {board.where}", "bright_black")
    left.truncate(max(width - right.cell_len - 1, 0), overflow="ellipsis", pad=True)
    line = left + Text(" ") + right
    line.no_wrap = True
    return line


# The ladders


def _bar(share: float, width: int, *, ascii_only: bool) -> str:
    if ascii_only:
        return "#" * max(round(share * width), 1)
    eighths = max(round(share * width * 8), 1)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


def _ladder(ladder: Ladder, levels: int, width: int, *, ascii_only: bool) -> Panel:
    title = f"{ladder.symbol}, depth {ladder.depth}"
    if not ladder.available:
        return _panel(title, _lines(_absent(ladder, levels, width)), style="yellow", title_style="bold yellow")
    asks, bids = ladder.asks[:levels], ladder.bids[:levels]
    largest = max((level.qty for level in asks + bids), default=None)
    exact = ladder.price_width + ladder.qty_width + 2 + 8 <= width
    qty_width = ladder.qty_width if exact else SHORT_QTY
    bar_width = max(width - ladder.price_width - qty_width - 2, 0)

    def row(level: Level, style: str) -> Text:
        share = float(level.qty / largest) if largest else 0.0
        qty = f"{level.qty:f}" if exact else short(level.qty)
        line = Text(f"{level.price:f}".rjust(ladder.price_width), style)
        line.append(f" {qty:>{qty_width}} ", "default")
        return line.append(_bar(share, bar_width, ascii_only=ascii_only), f"dim {style}")

    blank = Text()
    lines = [blank] * (levels - len(asks)) + [row(level, _ASK) for level in reversed(asks)]
    lines.append(_middle(ladder, width))
    lines += [row(level, _BID) for level in bids] + [blank] * (levels - len(bids))
    return _panel(title, _lines(lines))


def _middle(ladder: Ladder, width: int) -> Text:
    if not ladder.asks or not ladder.bids:
        return Text("one side is empty"[:width], "bright_black")
    spread = ladder.asks[0].price - ladder.bids[0].price
    text = f"{spread:f}".rjust(ladder.price_width) + " spread"
    if ladder.crossed:
        return Text(f"{text}, CROSSED", "bold yellow")
    return Text(text, "bright_black")


def _absent(ladder: Ladder, levels: int, width: int) -> list[Text]:
    lines = [Text() for _ in range(2 * levels + 1)]
    words = wrap(ladder.missing, max(width, 10))[: levels + 1]
    for index, part in enumerate(words, levels):
        lines[index] = Text(part.center(width), "yellow")
    return lines


# The column at the right


def _side(board: Board, fitted: Plan) -> RenderableType:
    inner = fitted.side_width - 4
    has_trades = "trade" in board.channels
    column = Layout()
    parts: list[Layout] = []
    if fitted.quotes:
        room = fitted.main_height - 2
        shown = fitted.quotes[: max(room - 6, 1) if has_trades else room]
        size = len(shown) + 2 if has_trades else None
        parts.append(Layout(_panel("quotes", _quotes(board, shown, inner)), size=size))
    if has_trades:
        room = fitted.main_height - 2 - sum(part.size or 0 for part in parts)
        parts.append(Layout(_panel("trades", _trades(board, room, inner))))
    if not parts:
        parts.append(Layout(_panel("quotes", Text())))
    column.split_column(*parts)
    return column


def _quotes(board: Board, symbols: Sequence[str], width: int) -> Text:
    rows = [_quote(board, board.quotes[symbol]) for symbol in symbols]
    widths = [max(len(row[column][0]) for row in rows) for column in range(len(rows[0]))]
    while len(widths) > 1 and sum(wide + 1 for wide in widths if wide) > width:
        widths.pop()  # a column that does not fit is left out whole
    lines = []
    for row in rows:
        line = Text()
        for index, ((text, style), wide) in enumerate(zip(row, widths, strict=False)):
            if wide:
                line.append(f"{text:>{wide}} " if index else f"{text:<{wide}} ", style)
        lines.append(line)
    return _lines(lines)


def _quote(board: Board, quote: Quote) -> list[tuple[str, str]]:
    """The cells of one line: a text and a style each."""
    ladder, ticker, candle = board.ladders.get(quote.symbol), quote.ticker, quote.candle
    cells = dict.fromkeys(("bid", "ask", "last", "change", "volume", "candle"), ("", ""))
    if ticker is not None:
        cells["bid"], cells["ask"] = (f"{ticker.bid:f}", _BID), (f"{ticker.ask:f}", _ASK)
        if ticker.last is not None:
            cells["last"] = (f" last {ticker.last:f}", "")
        if ticker.change_pct is not None:
            cells["change"] = (f"{ticker.change_pct:+.2f}%", _BID if ticker.change_pct >= 0 else _ASK)
        if ticker.volume is not None:
            cells["volume"] = (f" vol {short(ticker.volume)}", "bright_black")
    elif ladder is not None and not ladder.available:
        cells["bid"] = ("unavailable", "yellow")
    elif ladder is not None:
        bid, ask = (f"{side[0].price:f}" if side else "none" for side in (ladder.bids, ladder.asks))
        cells["bid"], cells["ask"] = (bid, _BID), (ask, _ASK)
    if candle is not None:
        prices = f"O {candle.open:f} H {candle.high:f} L {candle.low:f} C {candle.close:f}"
        style = _BID if candle.close >= candle.open else _ASK
        cells["candle"] = (f" {candle.interval_begin:%H:%M} {candle.interval}m {prices}", style)
    return [(quote.symbol, ""), *cells.values()]


def _trades(board: Board, rows: int, width: int) -> Text:
    latest = list(islice(reversed(board.trades), max(rows, 0)))
    if not latest:
        return Text("none yet", "bright_black")
    names = max(len(quote.symbol.partition("/")[0]) for quote in board.quotes.values())
    prices = max(len(f"{quote.trade.price:f}") for quote in board.quotes.values() if quote.trade is not None)
    return _lines([_trade(trade, names, prices, width) for trade in latest])


def _trade(trade: Trade, names: int, prices: int, width: int) -> Text:
    sign, style = {Side.BUY: ("▲", _BID), Side.SELL: ("▼", _ASK)}.get(trade.side, ("·", "default"))
    line = Text(f"{trade.symbol.partition('/')[0]:<{names}} ")
    line.append(f"{sign} {trade.price:f}".rjust(prices + 2), style)
    line.append(f" {short(trade.qty):>{SHORT_QTY}}")
    if line.cell_len + 9 <= width:
        line = Text(f"{trade.timestamp:%H:%M:%S} ", "bright_black") + line
    return line


# The counters and the log


def counters(board: Board) -> list[tuple[str, str, str]]:
    """The numbers: a name, a value, and a style each."""
    now = board.statistics
    if now is None:
        return []

    def counted(name: str, value: int, style: str = "bold") -> tuple[str, str, str]:
        return name, f"{value:,}", style if value else "bright_black"

    return [
        counted("events", now.events),
        ("per s", f"{board.rate:,.0f}", "bold"),
        counted("verified", now.checksums_verified, "bold green"),
        counted("mismatches", now.checksum_failures, "bold yellow"),
        counted("trades", board.trade_count),
        counted("gaps", now.gaps, "bold yellow"),
        counted("resyncs", now.resyncs, "bold yellow"),
        counted("connects", now.connects),
        counted("lost", now.losses, "bold yellow"),
        counted("waiting", board.buffered),
    ]


def _two_lines(board: Board, width: int) -> Text:
    numbers = counters(board)
    each = (len(numbers) + 1) // 2
    column = max((width - 1) // max(each, 1), 1)
    lines = []
    for row in (numbers[:each], numbers[each:]):
        line = Text()
        for name, value, style in row:
            cell = Text(f" {name} ", "bright_black").append(value, style)
            cell.truncate(column, pad=True)
            line.append_text(cell)
        lines.append(line)
    return _lines(lines)


def _log(board: Board, rows: int, width: int) -> Text:
    latest = list(islice(reversed(board.log), rows))
    return _lines([_entry(entry, width) for entry in reversed(latest)])


def _entry(entry: Entry, width: int) -> Text:
    line = Text(f"{entry.at:6.1f} ", "bright_black")
    line.append(f"{entry.kind.value:<{_KIND_WIDTH}} ", KIND_STYLES[entry.kind])
    line.append(entry.text)
    line.truncate(width, overflow="ellipsis")
    return line
