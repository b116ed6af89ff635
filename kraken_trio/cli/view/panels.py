"""The framed parts of a screen: ladders, quotes, trades. Pure functions of a board's contents."""

from __future__ import annotations

from itertools import islice
from textwrap import wrap
from typing import TYPE_CHECKING, Final

from rich import box
from rich.panel import Panel
from rich.text import Text

from kraken_trio import Level, Side
from kraken_trio.cli.formatting import counted
from kraken_trio.cli.view.columns import Column, columns, first_fit, fitted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from kraken_trio import OrderQueue, Trade
    from kraken_trio.cli.view.board import Board, Ladder, Quote
    from kraken_trio.cli.view.columns import Cell

__all__ = [
    "DIM",
    "LADDER_WIDTH",
    "QUEUES_WIDTH",
    "SIDE_SIGNS",
    "SIDE_WIDTHS",
    "framed",
    "ladder_panel",
    "quotes_panel",
    "trades_panel",
]

LADDER_WIDTH: Final = 30
"""The narrowest useful ladder: a price of 12 characters, a quantity of 12, a little of the bar."""
QUEUES_WIDTH: Final = 40
"""Likewise if the queues of its orders are shown: a little of them instead of the bar."""
SIDE_WIDTHS: Final = (36, 48)
"""Widths of the column with quotes and trades: for trades without and with their time."""

_ASK, _BID, DIM = "red", "green", "bright_black"
SIDE_SIGNS: Final = {Side.BUY: ("▲", _BID), Side.SELL: ("▼", _ASK)}
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_QTY_WIDTH: Final = 12
"""``999.99999999`` is whole in it; larger quantities may get a unit."""
_LONGEST_QTY: Final = 14
"""If there are longer ones, they get a unit, so that something is left for the bars."""
_VOLUME_LEAST: Final = 6
_TIME_WIDTH: Final = 8
_QUOTE_COLUMNS: Final = (
    "symbol", "bid", "ask", "last", "change", "volume", "candle", "close", "open", "high", "low",
)  # fmt: skip
"""The most important first."""


def framed(title: str, lines: Sequence[Text], *, style: str = DIM, title_style: str = "bold") -> Panel:
    """Lines in a frame."""
    content = Text("\n", no_wrap=True, overflow="crop").join(lines)
    return Panel(
        content, title=Text(title, title_style), title_align="left", border_style=style, box=box.ROUNDED, padding=(0, 1)
    )


# The ladders


def _bar(share: float, width: int) -> str:
    eighths = max(round(share * width * 8), 1)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


def ladder_panel(ladder: Ladder, levels: int, width: int) -> Panel:
    """A book around its spread: bars show how the quantities compare, or each price has its queue."""
    inner = width - 4
    depth = f"top {levels} of {ladder.depth}" if levels < ladder.depth else f"depth {ladder.depth}"
    what = f"{ladder.symbol} level3" if ladder.has_queues else ladder.symbol
    title = first_fit(width - 6, f"{what}, {depth}", ladder.symbol)
    if not ladder.available:
        return framed(title, _absent(ladder, levels, inner), style="yellow", title_style="bold yellow")
    prices = max(min(ladder.price_width, inner - _QTY_WIDTH - 1), 0)
    room = max(inner - prices - 1, 0)
    quantities = ladder.qty_width if ladder.qty_width <= min(room, _LONGEST_QTY) else min(room, _QTY_WIDTH)
    bar_width = max(inner - prices - quantities - 2, 0)
    asks, bids = ladder.asks[:levels], ladder.bids[:levels]
    largest = max((level.qty for level in asks + bids), default=None)
    counts = max((len(str(len(level.orders))) for level in asks + bids if not isinstance(level, Level)), default=1)

    def row(level: Level | OrderQueue, style: str) -> Text:
        share = float(level.qty / largest) if largest else 0.0
        best = Text.assemble((fitted(level.price, prices), style), f" {fitted(level.qty, quantities)} ")
        if isinstance(level, Level):
            return best.append(_bar(share, bar_width) if bar_width else "", f"dim {style}")
        return best.append_text(_queue(level, counts, bar_width))

    blank = Text()
    lines = [blank] * (levels - len(asks)) + [row(level, _ASK) for level in reversed(asks)]
    lines.append(_middle(ladder, prices, inner))
    lines += [row(level, _BID) for level in bids] + [blank] * (levels - len(bids))
    return framed(title, lines)


def _queue(queue: OrderQueue, counts: int, width: int) -> Text:
    """``3: 0.50000000 1.00000000``: the number of orders, and the quantities of the first ones, as many as fit."""
    number = f"{len(queue.orders):>{counts}}"
    told = ""
    for order in queue.orders:
        longer = f"{told or ':'} {order.qty:f}"
        if len(number) + len(longer) > width:
            break
        told = longer
    return Text.assemble((first_fit(width, number), ""), (told, DIM))


def _middle(ladder: Ladder, prices: int, width: int) -> Text:
    if not ladder.asks or not ladder.bids:
        return Text(first_fit(width, "one side is empty", "empty"), DIM)
    spread = f"{fitted(ladder.asks[0].price - ladder.bids[0].price, prices)} spread"
    if ladder.crossed:
        return Text(first_fit(width, f"{spread}, CROSSED", "CROSSED"), "bold yellow")
    return Text(first_fit(width, spread), DIM)


def _absent(ladder: Ladder, levels: int, width: int) -> list[Text]:
    lines = [Text()] * levels
    words = wrap(ladder.missing, max(width, 10))[: levels + 1]
    return lines + [Text(part.center(width), "yellow") for part in words]


# Quotes and trades


def quotes_panel(board: Board, symbols: Sequence[str], width: int, height: int) -> Panel:
    """A line for each of ``symbols``; those without room are counted."""
    inner = width - 4
    with_names = height > min(len(symbols) + 2, 5)
    room = max(height - 2 - with_names, 0)
    shown = [symbol for symbol in symbols if len(symbol) <= inner]
    if len(symbols) > min(room, len(shown)):
        shown = shown[: max(room - 1, 0)]
    rows = [_quote(board, board.quotes[symbol]) for symbol in shown]
    wanted = []
    for index, name in enumerate(_QUOTE_COLUMNS):
        sizes = [len(_whole(row[index][0])) for row in rows]
        size = max(len(name), *sizes) if any(sizes) else 0
        if name == "volume":
            wanted.append(Column(name, min(size, _QTY_WIDTH), min(size, _VOLUME_LEAST)))
        else:
            wanted.append(Column(name, size, align=">" if index else "<"))
    names: list[Cell] = [(name, DIM) for name in _QUOTE_COLUMNS]
    lines, left_out = columns(wanted, [names, *rows] if with_names else rows, inner)
    if hidden := len(symbols) - len(shown):
        lines.append(Text(first_fit(inner, f"+{hidden:,} more", f"+{hidden}"), "bold"))
    return framed(_title("quotes", left_out), lines)


def _quote(board: Board, quote: Quote) -> list[Cell]:
    ladder, ticker, candle, trade = board.ladders.get(quote.symbol), quote.ticker, quote.candle, quote.trade
    cells: dict[str, Cell] = dict.fromkeys(_QUOTE_COLUMNS, ("", ""))
    cells["symbol"] = (quote.symbol, "")
    if trade is not None:
        cells["last"] = (trade.price, SIDE_SIGNS.get(trade.side, ("", ""))[1])
    if ticker is not None:
        cells["bid"], cells["ask"] = (ticker.bid, _BID), (ticker.ask, _ASK)
        if ticker.last is not None:
            cells["last"] = (ticker.last, "")
        if ticker.change_pct is not None:
            cells["change"] = (f"{ticker.change_pct:+f}%", _BID if ticker.change_pct >= 0 else _ASK)
        if ticker.volume is not None:
            cells["volume"] = (ticker.volume, DIM)
    elif ladder is not None and not ladder.available:
        cells["bid"] = ("unavailable", "yellow")
    elif ladder is not None:
        cells["bid"] = (ladder.bids[0].price if ladder.bids else "none", _BID)
        cells["ask"] = (ladder.asks[0].price if ladder.asks else "none", _ASK)
    if candle is not None:
        style = _BID if candle.close >= candle.open else _ASK
        cells["candle"] = (f"{candle.interval_begin:%H:%M} {candle.interval}m", DIM)
        for name in ("close", "open", "high", "low"):
            cells[name] = (getattr(candle, name), style)
    return list(cells.values())


def _whole(content: str | Decimal) -> str:
    return content if isinstance(content, str) else f"{content:f}"


def _title(name: str, left_out: int) -> str:
    return f"{name}, +{counted(left_out, 'column')}" if left_out else name


def trades_panel(board: Board, width: int, height: int) -> Panel:
    """The latest trades, the last one first."""
    inner = width - 4
    latest = list(islice(reversed(board.trades), max(height - 2, 0)))
    if not latest:
        return framed("trades", [Text("none yet", DIM)])
    names = max((len(symbol) for symbol in board.quotes if len(symbol) <= inner // 2), default=1)
    prices = max(len(f"{quote.trade.price:f}") for quote in board.quotes.values() if quote.trade is not None)
    wanted = [
        Column("symbol", names, align="<"),
        Column("price", prices),
        Column("side", 1),
        Column("qty", _QTY_WIDTH, _QTY_WIDTH - 2),
    ]
    if sum(column.width + 1 for column in wanted) + _TIME_WIDTH <= inner:
        wanted.append(Column("time", _TIME_WIDTH))
    lines, left_out = columns(wanted, [_trade(trade) for trade in latest], inner)
    return framed(_title("trades", left_out), lines)


def _trade(trade: Trade) -> list[Cell]:
    sign, style = SIDE_SIGNS.get(trade.side, ("·", ""))
    return [
        (trade.symbol, ""),
        (trade.price, style),
        (sign, style),
        (trade.qty, ""),
        (f"{trade.timestamp:%H:%M:%S}", DIM),
    ]
