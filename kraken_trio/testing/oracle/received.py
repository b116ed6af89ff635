"""What a feed has yielded, in the form that :mod:`kraken_trio.testing.oracle.sent` gives to what was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kraken_trio.events import (
    BookSnapshot,
    BookUpdate,
    Candle,
    Event,
    InstrumentUpdate,
    Level,
    Level3Snapshot,
    Level3Update,
    OrderEvent,
    OrderEventKind,
    RestingOrder,
    SpreadUpdate,
    TickerUpdate,
    Trade,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from decimal import Decimal

    from kraken_trio.testing.oracle.queues import Resting
    from kraken_trio.testing.oracle.sent import Key, Levels

__all__ = ["content_of", "key_of", "levels_of", "orders_of"]


def key_of(event: Event) -> Key:
    """The channel and symbol of a data event."""
    match event:
        case BookSnapshot() | BookUpdate():
            return ("book", event.symbol)
        case Level3Snapshot() | Level3Update():
            return ("level3", event.symbol)
        case Trade():
            return ("trade", event.symbol)
        case TickerUpdate():
            return ("ticker", event.symbol)
        case SpreadUpdate():
            return ("spread", event.symbol)
        case Candle():
            return ("ohlc", event.symbol)
        case InstrumentUpdate():
            return ("instrument", None)
        case _:
            msg = f"{event} is no data"
            raise TypeError(msg)


def levels_of(levels: Iterable[Level]) -> Levels:
    """As texts, with the digits of the wire."""
    return tuple([(level.price_text, level.qty_text) for level in levels])


def orders_of(orders: Iterable[RestingOrder | OrderEvent]) -> tuple[Resting, ...]:
    """As texts, with the digits of the wire."""
    return tuple([(order.order_id, order.price_text, order.qty_text, order.timestamp_text) for order in orders])


def _kind(event: OrderEvent) -> str:
    """As the exchange calls it: why an order is gone is what the client found out."""
    return event.kind.value if event.kind in (OrderEventKind.ADD, OrderEventKind.MODIFY) else "delete"


def content_of(event: Event) -> Any:
    """What a data event says."""
    match event:
        case BookSnapshot() | BookUpdate():
            return (levels_of(event.bids), levels_of(event.asks), event.checksum, _stamp(event.timestamp))
        case Level3Snapshot():
            return (orders_of(event.bids), orders_of(event.asks), event.checksum, event.timestamp_text or "-")
        case Level3Update():
            sides = (tuple((_kind(one), *orders_of([one])[0]) for one in side) for side in (event.bids, event.asks))
            return (*sides, event.checksum, event.timestamp_text or "-")
        case Trade():
            return (
                event.side.value, f"{event.price:f}", f"{event.qty:f}", event.ord_type.value, str(event.trade_id),
                _stamp(event.timestamp),
            )  # fmt: skip
        case TickerUpdate():
            numbers = (
                event.bid, event.bid_qty, event.ask, event.ask_qty, event.last, event.volume, event.vwap, event.low,
                event.high, event.change, event.change_pct,
            )  # fmt: skip
            return (*map(_text, numbers), str(event.trades), _stamp(event.timestamp))
        case SpreadUpdate():
            return (*map(_text, (event.bid, event.bid_qty, event.ask, event.ask_qty)), _stamp(event.timestamp))
        case Candle():
            figures = (event.open, event.high, event.low, event.close, event.volume, event.vwap)
            begin = f"{event.interval_begin:%Y-%m-%dT%H:%M:%S}.{event.interval_begin.microsecond * 1000:09d}Z"
            return (begin, *map(_text, figures), str(event.trades))
        case InstrumentUpdate():
            return (tuple(asset.id for asset in event.assets), tuple(pair.symbol for pair in event.pairs))
        case _:
            msg = f"{event} is no data"
            raise TypeError(msg)


def _text(number: Decimal | None) -> str:
    return "-" if number is None else f"{number:f}"


def _stamp(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"
