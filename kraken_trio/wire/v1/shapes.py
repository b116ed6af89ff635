"""The arrays of v1, one row per shape: how it is requested, and the type of what is in it.

An array has its channel and its symbol at the end, and what comes before has no keys: only its place says what it is.
So the frames are told apart in two steps:

1. The *layout*, and the channel's name in it, give the row in :data:`SHAPES`. What has no row is unknown, and counted.
2. The contents are converted to the type of the row. What does not fit it is malformed, and the error says where.

A new shape is a row in :data:`SHAPES`. Elements that Kraken adds at the end of an array, and fields that it adds to an
object, are accepted and counted.
"""

from __future__ import annotations

import enum
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import attrs
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
from kraken_trio.wire.v1 import account
from kraken_trio.wire.v1.numbers import decimal, microseconds, moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    from kraken_trio.requests import Request
    from kraken_trio.wire.messages import DataEvent

__all__ = [
    "BY_REQUEST",
    "ORDER_TYPES",
    "OUR_NAMES",
    "SHAPES",
    "SIDES",
    "Context",
    "Layout",
    "Shape",
    "description",
    "layout_of",
    "row_of",
    "usual_update",
]


class Layout(enum.Enum):
    """Where in an array its parts are."""

    PUBLIC = "[number, payload, ..., channel, pair]"
    """One payload or several: they are all that is between the number and the last two."""
    ACCOUNT = '[payload, channel, {"sequence": number}]'


_SHORTEST_PUBLIC: Final = 3
_ACCOUNT_ITEMS: Final = 3


def layout_of(items: Sequence[Any]) -> Layout | None:
    """The layout of an array; None if it has none of them."""
    if len(items) == _ACCOUNT_ITEMS and isinstance(items[1], str) and isinstance(items[2], dict):
        return Layout.ACCOUNT if isinstance(items[0], list) and "sequence" in items[2] else None
    is_public = len(items) >= _SHORTEST_PUBLIC and type(items[0]) is int
    return Layout.PUBLIC if is_public and isinstance(items[-2], str) and isinstance(items[-1], str) else None


_DESCRIBED: Final = 8  # elements
_KINDS: Final = ((str, "text"), (dict, "object"), (list, "array"), ((bool, type(None)), "constant"))


def description(items: Sequence[Any]) -> str:
    """The shape of an array without a layout, in a few words."""
    kinds = [next((word for kind, word in _KINDS if isinstance(item, kind)), "number") for item in items[:_DESCRIBED]]
    return f"[{', '.join(kinds)}{', ...' if len(items) > _DESCRIBED else ''}]"


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


@attrs.frozen
class Context:
    """What a frame says besides its payloads, and what the client adds to its events."""

    symbol: str
    """Empty for those of an account."""
    value: int | None
    """The number in the channel's name: the depth of a book, the interval of a candle."""
    sequence: int | None
    """(account) The number of the frame."""
    epoch: int
    received_ns: int
    unknown: Callable[[str], None]
    """Counts an unknown value of a field."""


_decode_usual: Final = msgspec.json.Decoder(tuple[int, UsualUpdate, str, str]).decode
_BOOKS: Final = frozenset(f"book-{depth}" for depth in requests.DEPTHS)


def usual_update(frame: str | bytes, epoch: int, received_ns: int) -> BookUpdate | None:
    """The event of a frame with an update of one side of a book; None if that is not all that is in it.

    It is what :data:`SHAPES` makes of that frame, in a fifth of the time. Raises what msgspec raises for another one.
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


def _read_book(parts: Sequence[BookPart], context: Context) -> tuple[DataEvent, ...]:
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


def _read_trades(parts: Sequence[tuple[TradeRow, ...]], context: Context) -> tuple[DataEvent, ...]:
    check_count(sum(map(len, parts)))
    return tuple([_trade(row, context) for rows in parts for row in rows])


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


def _read_ticker(parts: Sequence[TickerPart], context: Context) -> tuple[DataEvent, ...]:
    check_count(len(parts))
    return tuple(
        TickerUpdate(
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
        for part in parts
    )


def _of_day(figures: Figures | None) -> Decimal | None:
    return None if figures is None else decimal(figures.day)


def _read_candles(parts: Sequence[CandlePart], context: Context) -> tuple[DataEvent, ...]:
    check_count(len(parts))
    assert context.value is not None  # the name of the row's channel has a number
    interval = context.value
    return tuple(
        Candle(
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
        for part in parts
    )


def _read_spread(parts: Sequence[SpreadPart], context: Context) -> tuple[DataEvent, ...]:
    check_count(len(parts))
    return tuple(
        SpreadUpdate(
            symbol=context.symbol,
            bid=decimal(part.bid),
            bid_qty=decimal(part.bid_qty),
            ask=decimal(part.ask),
            ask_qty=decimal(part.ask_qty),
            timestamp=moment(microseconds(part.time)),
            epoch=context.epoch,
            received_ns=context.received_ns,
        )
        for part in parts
    )


def _read_orders(parts: Sequence[tuple[dict[str, account.OpenOrder], ...]], context: Context) -> tuple[DataEvent, ...]:
    rows = [row for part in parts for entry in part for row in entry.items()]
    return (account.orders(rows, context.sequence, context.epoch, context.received_ns, context.unknown),)


def _read_own_trades(
    parts: Sequence[tuple[dict[str, account.OwnTrade], ...]], context: Context
) -> tuple[DataEvent, ...]:
    rows = [row for part in parts for entry in part for row in entry.items()]
    return (account.trades(rows, context.sequence, context.epoch, context.received_ns, context.unknown),)


# What is new in a payload: fields of an object, elements at the end of an array


def _additions(raw: Any, kind: Any, place: str) -> Iterator[str]:
    """The names of what the type does not know in a payload that has been converted to it."""
    if isinstance(raw, dict):
        known = kind.__struct_encode_fields__
        yield from (f"{place}.{key}" for key in raw if key not in known)
    elif len(raw) > len(kind.__struct_fields__):
        yield f"{place}[{len(kind.__struct_fields__)}]"


def _new_in_book(raw: Any) -> Iterator[str]:
    yield from _additions(raw, BookPart, "book")
    for key in ("as", "bs", "a", "b"):
        for row in raw.get(key) or ():
            yield from _additions(row, LevelRow, f"book.{key}")


def _new_in_trades(raw: Any) -> Iterator[str]:
    for row in raw:
        yield from _additions(row, TradeRow, "trade")


def _new_in_ticker(raw: Any) -> Iterator[str]:
    return _additions(raw, TickerPart, "ticker")


def _new_in_candle(raw: Any) -> Iterator[str]:
    return _additions(raw, CandlePart, "ohlc")


def _new_in_spread(raw: Any) -> Iterator[str]:
    return _additions(raw, SpreadPart, "spread")


def _new_in_orders(raw: Any) -> Iterator[str]:
    for entry in raw:
        for row in entry.values():
            yield from _additions(row, account.OpenOrder, "openOrders")
            yield from _additions(row.get("descr") or {}, account.Description, "openOrders.descr")


def _new_in_own_trades(raw: Any) -> Iterator[str]:
    for entry in raw:
        for row in entry.values():
            yield from _additions(row, account.OwnTrade, "ownTrades")


@attrs.frozen(kw_only=True)
class Shape:
    """One row: an array of a layout and a channel, how it is requested, and how it becomes events."""

    layout: Layout = Layout.PUBLIC
    channel: str
    """Its name on the wire, without the number."""
    request: type[Request]
    """What is asked for, whose channel has our name of it."""
    extras: Mapping[str, object] = {}
    """The further fields of a subscribe."""
    parameter: str | None = None
    """The parameter that identifies a subscription: the number in the channel's name, and a field of the request."""
    payload: Any
    """The type of each payload."""
    read: Callable[[Any, Context], tuple[DataEvent, ...]]
    """Its payloads, converted, to events. Raises ``ProtocolError``."""
    additions: Callable[[Any], Iterator[str]]
    """The names of what is new in a payload."""


_ROWS: Final = (
    Shape(
        channel="book",
        request=requests.Book,
        parameter="depth",
        payload=BookPart,
        read=_read_book,
        additions=_new_in_book,
    ),
    Shape(
        channel="trade",
        request=requests.Trades,
        payload=tuple[TradeRow, ...],
        read=_read_trades,
        additions=_new_in_trades,
    ),
    Shape(
        channel="ticker",
        request=requests.Ticker,
        payload=TickerPart,
        read=_read_ticker,
        additions=_new_in_ticker,
    ),
    Shape(
        channel="ohlc",
        request=requests.Candles,
        parameter="interval",
        payload=CandlePart,
        read=_read_candles,
        additions=_new_in_candle,
    ),
    Shape(
        channel="spread",
        request=requests.Spread,
        payload=SpreadPart,
        read=_read_spread,
        additions=_new_in_spread,
    ),
    Shape(
        layout=Layout.ACCOUNT,
        channel=account.STREAMS[0],
        request=requests.Executions,
        payload=tuple[dict[str, account.OpenOrder], ...],
        read=_read_orders,
        additions=_new_in_orders,
    ),
    Shape(
        layout=Layout.ACCOUNT,
        channel=account.STREAMS[1],
        request=requests.Executions,
        # Each fill by itself, and always the last ones: what happened without a connection is found by them.
        extras={"snapshot": True, "consolidate_taker": False},  # mutant: fills by themselves
        payload=tuple[dict[str, account.OwnTrade], ...],
        read=_read_own_trades,
        additions=_new_in_own_trades,
    ),
)
SHAPES: Final[Mapping[tuple[Layout, str], Shape]] = {(row.layout, row.channel): row for row in _ROWS}
"""Every shape that is known, by its layout and its channel."""
BY_REQUEST: Final[Mapping[str, Sequence[Shape]]] = {
    request.channel: [row for row in _ROWS if row.request is request]
    for request in dict.fromkeys(row.request for row in _ROWS)
    if request.channel is not None
}
"""Those that are requested together, by our name of the channel."""
OUR_NAMES: Final[Mapping[str, str]] = {row.channel: name for name, rows in BY_REQUEST.items() for row in rows}
"""Our names of channels, by those on the wire."""

_MOST_DIGITS: Final = 5
_LARGEST: Final = 10**_MOST_DIGITS


def row_of(layout: Layout, name: str) -> tuple[Shape, int | None] | None:
    """The row of a channel by its name on the wire, such as ``book-10``, and the number in it; None if it has none."""
    channel, dash, digits = name.partition("-")
    row = SHAPES.get((layout, channel))
    if row is None or bool(dash) is not (row.parameter is not None):
        return None
    if not dash:
        return row, None
    is_number = digits.isascii() and digits.isdecimal() and len(digits) <= _MOST_DIGITS and int(digits) > 0
    return (row, int(digits)) if is_number else None
