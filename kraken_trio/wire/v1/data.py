"""Events as frames: for who plays the exchange. Decoded again, they are the same events, digit for digit.

v1 has no place for some of what an event can say: whether it is from before the subscription, the number of a trade,
the time of a ticker, and the time of a book message without levels.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from kraken_trio.events import (
    BookSnapshot,
    BookUpdate,
    Candle,
    OrderType,
    Side,
    SpreadUpdate,
    TickerUpdate,
    Trade,
)
from kraken_trio.requests import DEPTHS
from kraken_trio.wire.names import wire_name
from kraken_trio.wire.tree import encode
from kraken_trio.wire.v1.market import ORDER_TYPES, SIDES
from kraken_trio.wire.v1.numbers import time_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from kraken_trio.events import Level
    from kraken_trio.wire.messages import DataEvent

__all__ = ["data_frame"]

_SIDES: Final = {side: letter for letter, side in SIDES.items()} | {Side.UNKNOWN: "?"}
_ORDER_TYPES: Final = {kind: letter for letter, kind in ORDER_TYPES.items()} | {OrderType.UNKNOWN: "?"}
_NO_TIME: Final = "0.000000"


def data_frame(events: Sequence[DataEvent]) -> str:
    """One frame with ``events``: of one channel, symbol and interval, and one only if it is of a book.

    Raises :class:`ValueError` for others.
    """
    first = events[0]
    if len({(type(event), event.symbol, getattr(event, "interval", None)) for event in events}) > 1:
        msg = "a frame of v1 holds events of one channel, symbol and interval"
        raise ValueError(msg)
    if isinstance(first, BookSnapshot | BookUpdate):
        if len(events) > 1:
            msg = "a frame of v1 holds one event of a book"
            raise ValueError(msg)
        return _frame(_book(first), f"book-{_depth(first)}", first.symbol)
    if isinstance(first, Trade):
        return _frame([[_trade(event) for event in events]], "trade", first.symbol)
    if isinstance(first, TickerUpdate):
        return _frame([_ticker(event) for event in events], "ticker", first.symbol)
    if isinstance(first, Candle):
        return _frame([_candle(event) for event in events], f"ohlc-{first.interval}", first.symbol)
    if isinstance(first, SpreadUpdate):
        return _frame([_spread(event) for event in events], "spread", first.symbol)
    msg = f"v1 has no frame for {type(first).__name__}"
    raise ValueError(msg)


def _frame(payloads: Sequence[Any], name: str, symbol: str) -> str:
    return encode([0, *payloads, name, wire_name(symbol)])


def _depth(event: BookSnapshot | BookUpdate) -> int:
    """The smallest that fits: an event does not say of which depth its book is."""
    levels = max(len(event.bids), len(event.asks))
    return next((depth for depth in DEPTHS if depth >= levels), DEPTHS[-1])


def _book(event: BookSnapshot | BookUpdate) -> list[dict[str, Any]]:
    """One payload, or one per side of an update of both."""
    when = _NO_TIME if event.timestamp is None else time_text(event.timestamp)
    parts: list[dict[str, Any]]
    if isinstance(event, BookSnapshot):
        parts = [{"as": _levels(event.asks, when), "bs": _levels(event.bids, when)}]
    else:
        sides = (("a", event.asks), ("b", event.bids))
        parts = [{key: _levels(levels, when)} for key, levels in sides if levels] or [{}]
    if event.checksum is not None:
        parts[-1]["c"] = str(event.checksum)
    return parts


def _levels(levels: Sequence[Level], when: str) -> list[list[str]]:
    return [[level.price_text, level.qty_text, when] for level in levels]


def _trade(event: Any) -> list[str]:
    price, qty, when = _text(event.price), _text(event.qty), time_text(event.timestamp)
    return [price, qty, when, _SIDES[event.side], _ORDER_TYPES[event.ord_type], ""]


def _ticker(event: Any) -> dict[str, list[str | int]]:
    part: dict[str, list[str | int]] = {
        "a": [_text(event.ask), int(event.ask_qty), _text(event.ask_qty)],
        "b": [_text(event.bid), int(event.bid_qty), _text(event.bid_qty)],
    }
    if event.last is not None:
        part["c"] = [_text(event.last), "0.00000000"]
    for key, figure in (("v", event.volume), ("p", event.vwap), ("l", event.low), ("h", event.high)):
        if figure is not None:
            part[key] = [_text(figure)] * 2
    if event.trades is not None:
        part["t"] = [event.trades] * 2
    return part


def _candle(event: Any) -> list[str | int]:
    end = time_text(event.interval_begin + timedelta(minutes=event.interval))
    figures = (event.open, event.high, event.low, event.close, event.vwap, event.volume)
    return [end, end, *map(_text, figures), event.trades]


def _spread(event: Any) -> list[str]:
    when = time_text(event.timestamp)
    return [_text(event.bid), _text(event.ask), when, _text(event.bid_qty), _text(event.ask_qty)]


def _text(value: Decimal) -> str:
    return f"{value:f}"
