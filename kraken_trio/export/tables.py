"""The tables: their columns, and how an event becomes rows of them.

Numbers are gathered as the texts of the wire, and times as whole nanoseconds: what a file makes of them is its own
business.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias

import attrs

from kraken_trio.export.times import nanoseconds

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from kraken_trio import Asset, BookSnapshot, BookUpdate, Candle, Gap, Level, Pair, TickerUpdate, Trade
    from kraken_trio.export.window import Window

__all__ = [
    "CHANNELS",
    "EXCHANGE",
    "OF_A_BOOK",
    "OPENING",
    "TABLES",
    "Added",
    "BookRows",
    "Column",
    "Columns",
    "Kind",
    "Rows",
    "Table",
    "layout",
]

EXCHANGE: Final = "kraken"

CHANNELS: Final[Mapping[str, tuple[str, ...]]] = {
    "book": ("book_updates", "book_snapshots", "quotes"),
    "trade": ("trades",),
    "ticker": ("tickers",),
    "ohlc": ("candles",),
    "instrument": ("instruments", "assets"),
}
"""The tables of each channel. Gaps are of all channels."""
TABLES: Final = (
    "trades",
    "book_updates",
    "book_snapshots",
    "quotes",
    "tickers",
    "candles",
    "gaps",
    "instruments",
    "assets",
)
OF_A_BOOK: Final = frozenset(CHANNELS["book"])
OPENING: Final = 0
"""The ``seq`` of what a file begins with; events have numbers from 1."""
_WHOLE: Final = frozenset({"gaps", "instruments", "assets"})
"""One file a day, whatever the symbols."""

Added: TypeAlias = tuple[int, int]
"""Rows that were added for what an event says, and rows that were derived from it."""
Columns: TypeAlias = Mapping[str, Sequence[Any]]
"""Values of rows, by column. All are equally long."""


class Kind(enum.Enum):
    """What a column holds."""

    CONSTANT = "constant"
    """The same text in all rows of a file."""
    TIME = "time"
    """Nanoseconds since 1970."""
    NUMBER = "number"
    """A price or quantity, as a text."""
    INTEGER = "integer"
    BOOLEAN = "boolean"
    CATEGORY = "category"
    """A text out of few."""
    TEXT = "text"


@attrs.frozen
class Column:
    """A column of a table."""

    name: str
    kind: Kind


@attrs.frozen
class Table:
    """A table: its columns, in order."""

    name: str
    columns: tuple[Column, ...]
    has_symbol: bool = True
    """Whether each symbol has a file of its own."""


def _columns(text: str, kind: Kind) -> list[Column]:
    return [Column(name, kind) for name in text.split()]


_HEAD: Final = [*_columns("exchange symbol", Kind.CONSTANT), *_columns("timestamp local_timestamp", Kind.TIME)]
_ORDER: Final = _columns("epoch seq", Kind.INTEGER)


def layout(name: str, levels: int = 10) -> Table:
    """The table ``name``; ``levels`` are those of a side in ``book_snapshots``."""
    number, integer, boolean, category, text = (
        Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN, Kind.CATEGORY, Kind.TEXT,
    )  # fmt: skip
    body: list[Column]
    match name:
        case "trades":
            body = [
                *_HEAD, *_columns("id", integer), *_columns("side", category), *_columns("price amount", number),
                *_columns("ord_type", category), *_columns("is_snapshot", boolean), *_ORDER,
            ]  # fmt: skip
        case "book_updates":
            body = [
                *_HEAD, *_columns("is_snapshot", boolean), *_columns("side", category),
                *_columns("price amount", number), *_ORDER, *_columns("last_in_message derived", boolean),
                *_columns("gap", category),
            ]  # fmt: skip
        case "book_snapshots":
            body = [*_HEAD, *_columns(" ".join(_ranks(levels)), number), *_ORDER]
        case "quotes":
            body = [*_HEAD, *_columns("ask_amount ask_price bid_price bid_amount", number), *_ORDER]
        case "tickers":
            body = [
                *_HEAD, *_columns("bid bid_amount ask ask_amount last volume vwap low high change change_pct", number),
                *_columns("trades", integer), *_columns("is_snapshot", boolean), *_ORDER,
            ]  # fmt: skip
        case "candles":
            body = [
                *_columns("exchange symbol", Kind.CONSTANT), *_columns("local_timestamp", Kind.TIME),
                *_columns("interval", integer), *_columns("interval_begin", Kind.TIME),
                *_columns("open high low close volume vwap", number), *_columns("trades", integer),
                *_columns("is_snapshot", boolean), *_ORDER,
            ]  # fmt: skip
        case "gaps":
            body = [
                *_columns("exchange", Kind.CONSTANT), *_columns("symbol channel", category),
                *_columns("local_timestamp", Kind.TIME), *_columns("cause", category), *_columns("detail", text),
                *_columns("missed after_id before_id", integer), *_ORDER,
            ]  # fmt: skip
        case "instruments":
            body = [
                *_columns("exchange", Kind.CONSTANT), *_columns("symbol base quote", category),
                *_columns("local_timestamp", Kind.TIME), *_columns("status", category),
                *_columns("price_precision qty_precision cost_precision", integer),
                *_columns("price_increment qty_increment qty_min cost_min", number),
                *_columns("has_index marginable", boolean),
                *_columns("margin_initial position_limit_long position_limit_short", number),
                *_columns("is_snapshot", boolean), *_ORDER,
            ]  # fmt: skip
        case _:
            assert name == "assets"
            body = [
                *_columns("exchange", Kind.CONSTANT), *_columns("asset", category),
                *_columns("local_timestamp", Kind.TIME), *_columns("status", category),
                *_columns("precision precision_display", integer), *_columns("borrowable", boolean),
                *_columns("collateral_value margin_rate multiplier", number),
                *_columns("is_snapshot", boolean), *_ORDER,
            ]  # fmt: skip
    return Table(name, tuple(body), has_symbol=name not in _WHOLE)


def _ranks(levels: int) -> list[str]:
    return [
        f"{side}_{what}_{rank}" for rank in range(levels) for side in ("bid", "ask") for what in ("price", "amount")
    ]


class Rows:
    """Rows that are not written yet: a list a column. The lists stay the same when they are emptied."""

    __slots__ = ("_first", "lists")

    def __init__(self, table: Table) -> None:
        self.lists: dict[str, list[Any]] = {
            column.name: [] for column in table.columns if column.kind is not Kind.CONSTANT
        }
        self._first = next(iter(self.lists.values()))

    def __len__(self) -> int:
        return len(self._first)

    def take(self) -> Columns:
        """All rows, which are then no longer here."""
        taken = {name: values[:] for name, values in self.lists.items()}
        for values in self.lists.values():
            values.clear()
        return taken

    def add(self, row: Iterable[Any]) -> None:
        """Add one row: a value a column, but for the constant ones."""
        for values, value in zip(self.lists.values(), row, strict=True):
            values.append(value)


def time_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else nanoseconds(moment)


def text_or_none(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def trade_row(seq: int, trade: Trade) -> tuple[Any, ...]:
    return (
        nanoseconds(trade.timestamp), trade.received_ns, trade.trade_id, trade.side.value, str(trade.price),
        str(trade.qty), trade.ord_type.value, trade.snapshot, trade.epoch, seq,
    )  # fmt: skip


def ticker_row(seq: int, ticker: TickerUpdate) -> tuple[Any, ...]:
    numbers = (
        ticker.bid, ticker.bid_qty, ticker.ask, ticker.ask_qty, ticker.last, ticker.volume, ticker.vwap, ticker.low,
        ticker.high, ticker.change, ticker.change_pct,
    )  # fmt: skip
    return (
        time_or_none(ticker.timestamp), ticker.received_ns, *map(text_or_none, numbers), ticker.trades,
        ticker.snapshot, ticker.epoch, seq,
    )  # fmt: skip


def candle_row(seq: int, candle: Candle) -> tuple[Any, ...]:
    numbers = (candle.open, candle.high, candle.low, candle.close, candle.volume, candle.vwap)
    return (
        candle.received_ns, candle.interval, nanoseconds(candle.interval_begin), *map(str, numbers), candle.trades,
        candle.snapshot, candle.epoch, seq,
    )  # fmt: skip


def gap_row(seq: int, gap: Gap) -> tuple[Any, ...]:
    return (
        gap.symbol, gap.channel, gap.received_ns, gap.cause.value, gap.detail, gap.missed, gap.after_id,
        gap.before_id, gap.epoch, seq,
    )  # fmt: skip


def pair_row(seq: int, pair: Pair, *, received_ns: int, epoch: int, snapshot: bool) -> tuple[Any, ...]:
    numbers = (pair.price_increment, pair.qty_increment, pair.qty_min, pair.cost_min)
    margins = (pair.margin_initial, pair.position_limit_long, pair.position_limit_short)
    return (
        pair.symbol, pair.base, pair.quote, received_ns, pair.status, pair.price_precision, pair.qty_precision,
        pair.cost_precision, *map(text_or_none, numbers), pair.has_index, pair.marginable, *map(text_or_none, margins),
        snapshot, epoch, seq,
    )  # fmt: skip


def asset_row(seq: int, asset: Asset, *, received_ns: int, epoch: int, snapshot: bool) -> tuple[Any, ...]:
    numbers = (asset.collateral_value, asset.margin_rate, asset.multiplier)
    return (
        asset.id, received_ns, asset.status, asset.precision, asset.precision_display, asset.borrowable,
        *map(text_or_none, numbers), snapshot, epoch, seq,
    )  # fmt: skip


class BookRows(Protocol):
    """Makes rows of what happens to a book. ``before`` is the book as it was."""

    def opening(self, local_ns: int, book: Window) -> Added:
        """The book with which a file begins."""
        ...

    def snapshot(self, seq: int, event: BookSnapshot, before: Window) -> Added: ...
    def update(self, seq: int, event: BookUpdate, cut_bids: Sequence[Level], cut_asks: Sequence[Level]) -> Added: ...
    def gap(self, seq: int, gap: Gap, before: Window) -> Added: ...


class _Message(NamedTuple):
    """What all rows of a message have."""

    seq: int
    time_ns: int | None
    local_ns: int
    epoch: int
    is_snapshot: bool = False
    derived: bool = False


class BookUpdates:
    """Fills ``book_updates``: one row a level; one without a level for a gap, and for a message without levels."""

    __slots__ = ("_columns", "_rows")

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._columns = tuple(rows.lists.values())

    def opening(self, local_ns: int, book: Window) -> Added:
        first = _Message(OPENING, time_or_none(book.timestamp), local_ns, book.epoch, is_snapshot=True, derived=True)
        return 0, self._add(first, book.bids.all(), book.asks.all())

    def snapshot(self, seq: int, event: BookSnapshot, before: Window) -> Added:
        del before
        message = _Message(seq, time_or_none(event.timestamp), event.received_ns, event.epoch, is_snapshot=True)
        return self._add(message, event.bids, event.asks), 0

    def update(self, seq: int, event: BookUpdate, cut_bids: Sequence[Level], cut_asks: Sequence[Level]) -> Added:
        message = _Message(seq, time_or_none(event.timestamp), event.received_ns, event.epoch)
        cut = len(cut_bids) + len(cut_asks)
        return self._add(message, event.bids, event.asks, cut_bids, cut_asks) - cut, cut

    def gap(self, seq: int, gap: Gap, before: Window) -> Added:
        del before
        self._rows.add((None, gap.received_ns, False, None, None, None, gap.epoch, seq, True, False, gap.cause.value))
        return 1, 0

    def _add(
        self,
        message: _Message,
        bids: Sequence[Level],
        asks: Sequence[Level],
        cut_bids: Sequence[Level] = (),
        cut_asks: Sequence[Level] = (),
    ) -> int:
        seq, time_ns, local_ns, epoch, is_snapshot, derived = message
        times, locals_, snapshots, sides, prices, amounts, epochs, seqs, lasts, deriveds, gaps = self._columns
        sent, cut = len(bids) + len(asks), len(cut_bids) + len(cut_asks)
        for side in (bids, asks):
            for level in side:
                prices.append(level.price_text)
                amounts.append(level.qty_text)
        sides += ["bid"] * len(bids)
        sides += ["ask"] * len(asks)
        deriveds += [derived] * sent
        if cut:
            prices += [level.price_text for level in cut_bids]
            prices += [level.price_text for level in cut_asks]
            amounts += ["0"] * cut
            sides += ["bid"] * len(cut_bids)
            sides += ["ask"] * len(cut_asks)
            deriveds += [True] * cut
        elif not sent:  # an empty message is a row, too
            prices.append(None)
            amounts.append(None)
            sides.append(None)
            deriveds.append(derived)
        count = sent + cut or 1
        times += [time_ns] * count
        locals_ += [local_ns] * count
        snapshots += [is_snapshot] * count
        epochs += [epoch] * count
        seqs += [seq] * count
        lasts += [False] * (count - 1)
        lasts.append(True)
        gaps += [None] * count
        return count


class Quotes:
    """Fills ``quotes``: a row whenever the best price or amount of a side changes; one without values after a gap.

    Each method returns the number of rows that it has added.
    """

    __slots__ = ("_last", "_rows")
    _NOTHING: Final = (None, None, None, None)

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._last: tuple[str | None, ...] | None = None

    def look(self, seq: int, time_ns: int | None, local_ns: int, window: Window) -> int:
        """The book has changed."""
        bid, ask = window.bids.top(), window.asks.top()
        quote = (
            *((ask.qty_text, ask.price_text) if ask is not None else (None, None)),
            *((bid.price_text, bid.qty_text) if bid is not None else (None, None)),
        )
        if quote == self._last:
            return 0
        self._last = quote
        self._add(seq, time_ns, local_ns, window.epoch, quote)
        return 1

    def advance(self, seq: int, until_ns: int, window: Window) -> int:
        """Nothing changes between events."""
        del seq, until_ns, window
        return 0

    def gap(self, seq: int, gap: Gap) -> int:
        """The book is unknown from here on."""
        if self._last in {None, self._NOTHING}:
            return 0
        self._last = self._NOTHING
        self._add(seq, None, gap.received_ns, gap.epoch, self._NOTHING)
        return 1

    def _add(self, seq: int, time_ns: int | None, local_ns: int, epoch: int, values: Sequence[str | None]) -> None:
        self._rows.add((time_ns, local_ns, *values, epoch, seq))


class BookSnapshots:
    """Fills ``book_snapshots``: the best levels, on every change, or at the whole intervals of receive time.

    A book that has fewer levels has no values for the rest. After a gap there is one row without any. Each method
    returns the number of rows that it has added.
    """

    __slots__ = ("_interval_ns", "_last", "_levels", "_next_ns", "_nothing", "_rows", "_unreadable")
    _sides = ("bids", "asks")

    def __init__(self, rows: Rows, levels: int, interval_ns: int) -> None:
        self._rows = rows
        self._levels = levels
        self._interval_ns = interval_ns
        self._nothing: tuple[str | None, ...] = (None,) * (4 * levels)
        self._last: tuple[str | None, ...] | None = None
        self._next_ns: int | None = None
        """The next point of the grid; None before the first book."""
        self._unreadable = False
        """The row that says so is not written yet."""

    def advance(self, seq: int, until_ns: int, window: Window) -> int:
        """Write what the book has been since the last call, at all points before ``until_ns``."""
        if not self._interval_ns or self._next_ns is None:
            return 0
        added = 0
        if window.available and self._next_ns < until_ns:
            time_ns, values = time_or_none(window.timestamp), self._values(window)
            while self._next_ns < until_ns:
                self._put(seq, time_ns, self._next_ns, window.epoch, values)
                self._next_ns += self._interval_ns
                added += 1
        elif self._next_ns < until_ns:
            if self._unreadable:
                self._put(seq, None, self._next_ns, window.epoch, self._nothing)
                self._unreadable = False
                added = 1
            self._next_ns -= (self._next_ns - until_ns) // self._interval_ns * self._interval_ns
        return added

    def look(self, seq: int, time_ns: int | None, local_ns: int, window: Window) -> int:
        """The book has changed."""
        self._unreadable = False
        if self._interval_ns:
            if self._next_ns is None:
                self._next_ns = -(-local_ns // self._interval_ns) * self._interval_ns
            return 0
        values = self._values(window)
        if values == self._last:
            return 0
        self._last = values
        self._put(seq, time_ns, local_ns, window.epoch, values)
        return 1

    def gap(self, seq: int, gap: Gap) -> int:
        """The book is unknown from here on."""
        if self._interval_ns:
            self._unreadable = self._next_ns is not None
            return 0
        if self._last in {None, self._nothing}:
            return 0
        self._last = self._nothing
        self._put(seq, None, gap.received_ns, gap.epoch, self._nothing)
        return 1

    def _values(self, window: Window) -> tuple[str | None, ...]:
        levels = self._levels
        sides = [getattr(window, side).best(levels) for side in self._sides]
        values: list[str | None] = []
        for rank in range(levels):
            for side in sides:
                if rank < len(side):
                    values += (side[rank].price_text, side[rank].qty_text)
                else:
                    values += (None, None)
        return tuple(values)

    def _put(self, seq: int, time_ns: int | None, local_ns: int, epoch: int, values: Sequence[str | None]) -> None:
        self._rows.add((time_ns, local_ns, *values, epoch, seq))
