"""What the client has made of it, in the words of :mod:`tests.simulation.exchange_side`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kraken_trio as kt

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from decimal import Decimal

    from tests.simulation.exchange_side import Key, Levels

__all__ = ["content_of", "key_of", "levels_of"]


def key_of(event: kt.Event) -> Key:
    """The channel and symbol of a data event."""
    match event:
        case kt.BookSnapshot() | kt.BookUpdate():
            return ("book", event.symbol)
        case kt.Trade():
            return ("trade", event.symbol)
        case kt.TickerUpdate():
            return ("ticker", event.symbol)
        case kt.Candle():
            return ("ohlc", event.symbol)
        case kt.InstrumentUpdate():
            return ("instrument", None)
        case kt.StateChange() | kt.StatusUpdate() | kt.Gap():
            msg = f"{event} is no data"
            raise TypeError(msg)


def levels_of(levels: Iterable[kt.Level]) -> Levels:
    """As texts, with the digits of the wire."""
    return tuple([(f"{level.price:f}", f"{level.qty:f}") for level in levels])


def content_of(event: kt.Event) -> Any:
    """What a data event says."""
    match event:
        case kt.BookSnapshot() | kt.BookUpdate():
            return (levels_of(event.bids), levels_of(event.asks), event.checksum, _stamp(event.timestamp))
        case kt.Trade():
            return (
                event.side.value, f"{event.price:f}", f"{event.qty:f}", event.ord_type.value, str(event.trade_id),
                _stamp(event.timestamp),
            )  # fmt: skip
        case kt.TickerUpdate():
            numbers = (
                event.bid, event.bid_qty, event.ask, event.ask_qty, event.last, event.volume, event.vwap, event.low,
                event.high, event.change, event.change_pct,
            )  # fmt: skip
            return (*map(_text, numbers), str(event.trades), _stamp(event.timestamp))
        case kt.Candle():
            figures = (event.open, event.high, event.low, event.close, event.volume, event.vwap)
            begin = f"{event.interval_begin:%Y-%m-%dT%H:%M:%S}.{event.interval_begin.microsecond * 1000:09d}Z"
            return (begin, *map(_text, figures), str(event.trades))
        case kt.InstrumentUpdate():
            return (tuple(asset.id for asset in event.assets), tuple(pair.symbol for pair in event.pairs))
        case kt.StateChange() | kt.StatusUpdate() | kt.Gap():
            msg = f"{event} is no data"
            raise TypeError(msg)


def _text(number: Decimal | None) -> str:
    return "-" if number is None else f"{number:f}"


def _stamp(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"
