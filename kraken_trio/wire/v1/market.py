"""The payloads of v1's public channels, and the events that they become."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kraken_trio import requests
from kraken_trio.errors import ProtocolError
from kraken_trio.events import (
    BookSnapshot,
    BookUpdate,
    Candle,
    Level,
    OrderType,
    Side,
    SpreadUpdate,
    TickerUpdate,
    Trade,
)
from kraken_trio.wire.names import symbol_of
from kraken_trio.wire.tree import check_count, whole_checked
from kraken_trio.wire.v1.numbers import decimal, microseconds, moment
from kraken_trio.wire.v1.payloads import additions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from decimal import Decimal

    from kraken_trio.wire.messages import DataEvent
    from kraken_trio.wire.v1.payloads import Context

__all__ = [
    "ORDER_TYPES",
    "SIDES",
    "BookPart",
    "CandlePart",
    "SpreadPart",
    "TickerPart",
    "TradeRow",
    "new_in_book",
    "new_in_trades",
    "read_book",
    "read_candles",
    "read_spread",
    "read_ticker",
    "read_trades",
    "usual_update",
]

# What is in the arrays. The types are of msgspec: it converts a list to a structure by the places in it.


class LevelRow(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """``[price, volume, time]``, or with ``"r"`` for one that is republished: not new, it came back into the window."""

    price: str
    qty: str
    time: str
    flag: str = ""


class UsualLevelRow(LevelRow, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """The same with nothing new in it."""


class UsualUpdate(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Nine tenths of all frames: an update of one side, with nothing new in it."""

    checksum: str = msgspec.field(name="c")
    asks: tuple[UsualLevelRow, ...] = msgspec.field(name="a", default=())
    bids: tuple[UsualLevelRow, ...] = msgspec.field(name="b", default=())


class BookPart(msgspec.Struct, frozen=True):
    """One payload of a book: a snapshot has ``as`` and ``bs``, an update ``a``, ``b`` or both."""

    all_asks: tuple[LevelRow, ...] | None = msgspec.field(name="as", default=None)
    all_bids: tuple[LevelRow, ...] | None = msgspec.field(name="bs", default=None)
    asks: tuple[LevelRow, ...] = msgspec.field(name="a", default=())
    bids: tuple[LevelRow, ...] = msgspec.field(name="b", default=())
    checksum: str | None = msgspec.field(name="c", default=None)


class TradeRow(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One trade."""

    price: str
    qty: str
    time: str
    side: str
    ord_type: str
    misc: str


class Quote(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The best price of a side."""

    price: str
    whole_lots: Any
    qty: str


class LastTrade(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The last trade."""

    price: str
    qty: str


class Figures(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A figure of today, and of the last 24 hours."""

    today: str
    day: str


class Counts(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The same for whole numbers."""

    today: int
    day: int


class TickerPart(msgspec.Struct, frozen=True):
    """A ticker."""

    ask: Quote = msgspec.field(name="a")
    bid: Quote = msgspec.field(name="b")
    last: LastTrade | None = msgspec.field(name="c", default=None)
    volume: Figures | None = msgspec.field(name="v", default=None)
    vwap: Figures | None = msgspec.field(name="p", default=None)
    trades: Counts | None = msgspec.field(name="t", default=None)
    low: Figures | None = msgspec.field(name="l", default=None)
    high: Figures | None = msgspec.field(name="h", default=None)
    open: Figures | None = msgspec.field(name="o", default=None)


class CandlePart(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A candle, with the time of its last change and of the **end** of its interval."""

    time: str
    end: str
    open: str
    high: str
    low: str
    close: str
    vwap: str
    volume: str
    trades: int


class SpreadPart(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Best bid and ask."""

    bid: str
    ask: str
    time: str
    bid_qty: str
    ask_qty: str


# What becomes of them


_decode_usual: Final = msgspec.json.Decoder(tuple[int, UsualUpdate, str, str]).decode
_BOOKS: Final = frozenset(f"book-{depth}" for depth in requests.DEPTHS)


def usual_update(frame: str | bytes, epoch: int, received_ns: int) -> BookUpdate | None:
    """The event of a frame with an update of one side of a book; None if that is not all that is in it.

    It is what the table of shapes makes of that frame, in a fifth of the time. Raises what msgspec raises for another.
    """
    _, part, name, pair = _decode_usual(frame)
    bids, asks = part.bids, part.asks
    if name not in _BOOKS or (bids and asks) or not {row.flag for row in bids or asks} <= _FLAGS:
        return None
    return BookUpdate(
        symbol=symbol_of(pair),
        bids=tuple([_level(row.price, row.qty) for row in bids]),
        asks=tuple([_level(row.price, row.qty) for row in asks]),
        checksum=_checksum(part.checksum),
        timestamp=_latest(bids or asks),
        epoch=epoch,
        received_ns=received_ns,
    )


_level: Final = partial(type(msgspec.Struct).__call__, Level)
"""Makes a level of two texts; the class itself takes anything that is a number, and asks what it is."""


def read_book(parts: Sequence[BookPart], context: Context) -> tuple[DataEvent, ...]:
    """One event: between two payloads a book may be crossed, and only the last has the checksum of all."""
    *earlier, last = parts
    if any(part.checksum is not None for part in earlier):  # mutant: checksum of all parts
        msg = "a checksum before the last part of a book"
        raise ProtocolError(msg)
    is_snapshot = parts[0].all_asks is not None or parts[0].all_bids is not None
    if any(_is_mixed(part, is_snapshot=is_snapshot) for part in parts):
        msg = "a snapshot and an update of a book in one frame"
        raise ProtocolError(msg)
    sides = [((part.all_bids or part.bids), (part.all_asks or part.asks)) for part in parts]
    bids = [row for side, _ in sides for row in side]
    asks = [row for _, side in sides for row in side]
    kind: type[BookSnapshot | BookUpdate] = BookSnapshot if is_snapshot else BookUpdate
    return (
        kind(
            symbol=context.symbol,
            bids=_levels(bids, context),
            asks=_levels(asks, context),
            checksum=None if last.checksum is None else _checksum(last.checksum),
            timestamp=_latest(bids, asks),
            epoch=context.epoch,
            received_ns=context.received_ns,
        ),
    )


def _is_mixed(part: BookPart, *, is_snapshot: bool) -> bool:
    if is_snapshot:
        return bool(part.asks or part.bids)
    return part.all_asks is not None or part.all_bids is not None


def _levels(rows: Sequence[LevelRow], context: Context) -> tuple[Level, ...]:
    """The levels in the order of the wire. Their digits are checked by the book, which has to read them anyway."""
    for row in rows:
        if row.flag not in _FLAGS:
            context.unknown("flag")
    return tuple([_level(row.price, row.qty) for row in rows])


_FLAGS: Final = frozenset({"", "r"})


def _latest(*sides: Sequence[LevelRow]) -> datetime | None:
    """v1 has a time per level, of which old ones come again: the latest is that of the message."""
    latest = max((microseconds(row.time) for rows in sides for row in rows), default=0)
    return moment(latest) if latest else None


_MAX_CHECKSUM: Final = 0xFFFF_FFFF
_MAX_CHECKSUM_DIGITS: Final = 10


def _checksum(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= _MAX_CHECKSUM_DIGITS and int(text) <= _MAX_CHECKSUM:
        return int(text)
    msg = "the checksum of a book is a number of 32 bits, in decimal digits - at `$.c`"
    raise ProtocolError(msg)


SIDES: Final = {"b": Side.BUY, "s": Side.SELL}
ORDER_TYPES: Final = {"l": OrderType.LIMIT, "m": OrderType.MARKET}


def _each(event: Callable[[Any, Context], DataEvent], parts: Sequence[Any], context: Context) -> tuple[DataEvent, ...]:
    """Of payloads of which each is an event."""
    check_count(len(parts))
    return tuple([event(part, context) for part in parts])


def _trade(row: TradeRow, context: Context) -> Trade:
    side, ord_type = SIDES.get(row.side, Side.UNKNOWN), ORDER_TYPES.get(row.ord_type, OrderType.UNKNOWN)
    if side is Side.UNKNOWN:
        context.unknown("side")
    if ord_type is OrderType.UNKNOWN:
        context.unknown("ord_type")
    return Trade(
        symbol=context.symbol,
        side=side,
        price=decimal(row.price),
        qty=decimal(row.qty),
        ord_type=ord_type,
        trade_id=None,
        timestamp=moment(microseconds(row.time)),
        epoch=context.epoch,
        received_ns=context.received_ns,
    )


def _ticker(part: TickerPart, context: Context) -> TickerUpdate:
    return TickerUpdate(
        symbol=context.symbol,
        bid=decimal(part.bid.price),
        bid_qty=decimal(part.bid.qty),
        ask=decimal(part.ask.price),
        ask_qty=decimal(part.ask.qty),
        last=None if part.last is None else decimal(part.last.price),
        volume=_of_day(part.volume),
        vwap=_of_day(part.vwap),
        low=_of_day(part.low),
        high=_of_day(part.high),
        trades=None if part.trades is None else whole_checked(part.trades.day),
        epoch=context.epoch,
        received_ns=context.received_ns,
    )


def _of_day(figures: Figures | None) -> Decimal | None:
    return None if figures is None else decimal(figures.day)


def _candle(part: CandlePart, context: Context) -> Candle:
    interval = context.value
    assert interval is not None  # the name of the row's channel has a number
    return Candle(
        symbol=context.symbol,
        interval=interval,
        interval_begin=moment(microseconds(part.end)) - timedelta(minutes=interval),  # mutant: end of a candle
        open=decimal(part.open),
        high=decimal(part.high),
        low=decimal(part.low),
        close=decimal(part.close),
        volume=decimal(part.volume),
        vwap=decimal(part.vwap),
        trades=whole_checked(part.trades),
        epoch=context.epoch,
        received_ns=context.received_ns,
    )


def _spread(part: SpreadPart, context: Context) -> SpreadUpdate:
    return SpreadUpdate(
        symbol=context.symbol,
        bid=decimal(part.bid),
        bid_qty=decimal(part.bid_qty),
        ask=decimal(part.ask),
        ask_qty=decimal(part.ask_qty),
        timestamp=moment(microseconds(part.time)),
        epoch=context.epoch,
        received_ns=context.received_ns,
    )


read_ticker: Final = partial(_each, _ticker)
read_candles: Final = partial(_each, _candle)
read_spread: Final = partial(_each, _spread)


def read_trades(parts: Sequence[tuple[TradeRow, ...]], context: Context) -> tuple[DataEvent, ...]:
    """Each row of each payload is an event."""
    return _each(_trade, [row for rows in parts for row in rows], context)


# Additions to payloads that have rows


def new_in_book(raw: Any) -> Iterator[str]:
    """The additions to a book, and to its levels."""
    yield from additions(BookPart, "book", raw)
    for key in ("as", "bs", "a", "b"):
        for row in raw.get(key) or ():
            yield from additions(LevelRow, f"book.{key}", row)


def new_in_trades(raw: Any) -> Iterator[str]:
    """The additions to trades."""
    for row in raw:
        yield from additions(TradeRow, "trade", row)
