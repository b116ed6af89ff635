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
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import attrs

from kraken_trio import requests
from kraken_trio.wire.v1 import account, market
from kraken_trio.wire.v1.payloads import additions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kraken_trio.requests import Request
    from kraken_trio.wire.messages import DataEvent
    from kraken_trio.wire.v1.payloads import Context

__all__ = ["BY_REQUEST", "OUR_NAMES", "SHAPES", "Layout", "Shape", "description", "layout_of", "row_of"]


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
        payload=market.BookPart,
        read=market.read_book,
        additions=market.new_in_book,
    ),
    Shape(
        channel="trade",
        request=requests.Trades,
        payload=tuple[market.TradeRow, ...],
        read=market.read_trades,
        additions=market.new_in_trades,
    ),
    Shape(
        channel="ticker",
        request=requests.Ticker,
        payload=market.TickerPart,
        read=market.read_ticker,
        additions=partial(additions, market.TickerPart, "ticker"),
    ),
    Shape(
        channel="ohlc",
        request=requests.Candles,
        parameter="interval",
        payload=market.CandlePart,
        read=market.read_candles,
        additions=partial(additions, market.CandlePart, "ohlc"),
    ),
    Shape(
        channel="spread",
        request=requests.Spread,
        payload=market.SpreadPart,
        read=market.read_spread,
        additions=partial(additions, market.SpreadPart, "spread"),
    ),
    Shape(
        layout=Layout.ACCOUNT,
        channel=account.STREAMS[0],
        request=requests.Executions,
        payload=tuple[dict[str, account.OpenOrder], ...],
        read=account.orders,
        additions=account.new_in_orders,
    ),
    Shape(
        layout=Layout.ACCOUNT,
        channel=account.STREAMS[1],
        request=requests.Executions,
        # Each fill by itself, and always the last ones: what happened without a connection is found by them.
        extras={"snapshot": True, "consolidate_taker": False},  # mutant: fills by themselves
        payload=tuple[dict[str, account.OwnTrade], ...],
        read=account.trades,
        additions=account.new_in_trades,
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
