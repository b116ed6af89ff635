"""Events as frames: for who plays the exchange. Decoded again, they are the same events, digit for digit."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kraken_trio.events import (
    BookSnapshot,
    BookUpdate,
    Execution,
    InstrumentUpdate,
    Level3Snapshot,
    Level3Update,
    OrderEvent,
    OrderEventKind,
)
from kraken_trio.wire.messages import Numbered
from kraken_trio.wire.tree import encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kraken_trio.events import Level, RestingOrder
    from kraken_trio.wire.messages import DataEvent

__all__ = ["data_frame"]

_ON_THE_WIRE: Final = (OrderEventKind.ADD, OrderEventKind.MODIFY)
"""Kinds that the exchange tells itself. Why an order is gone follows from the book."""
_OURS: Final = ("epoch", "received_ns", "snapshot")


def data_frame(events: Sequence[DataEvent]) -> str:
    """One frame with ``events``: of one channel, and all of them from before the subscription, or none."""
    first = events[0]
    if isinstance(first, BookSnapshot | BookUpdate):
        kind = "snapshot" if isinstance(first, BookSnapshot) else "update"
        books = ",".join([_book(event) for event in events])  # type: ignore[arg-type]  # they are of one channel
        return f'{{"channel":"book","type":"{kind}","data":[{books}]}}'
    if isinstance(first, Numbered):
        return _numbered(first)
    if isinstance(first, Level3Snapshot | Level3Update):
        kind = "snapshot" if isinstance(first, Level3Snapshot) else "update"
        books = ",".join([_level3(event) for event in events])  # type: ignore[arg-type]  # they are of one channel
        return f'{{"channel":"level3","type":"{kind}","data":[{books}]}}'
    data = [_entry(event) for event in events]
    return encode(
        {
            "channel": first.channel,
            "type": "snapshot" if first.snapshot else "update",
            "data": data[0] if isinstance(first, InstrumentUpdate) else data,
        }
    )


def _numbered(message: Numbered) -> str:
    frame = {
        "channel": message.channel,
        "type": "snapshot" if message.snapshot else "update",
        "data": [_row(row) for row in message.rows],
    }
    return encode(frame if message.sequence is None else {**frame, "sequence": message.sequence})


def _row(row: msgspec.Struct) -> dict[str, Any]:
    entry = _entry(row)
    if not isinstance(row, Execution):
        return entry
    return {name: entry[name] for name in row.changed}


def _book(event: BookSnapshot | BookUpdate) -> str:
    rest = "" if event.checksum is None else f',"checksum":{event.checksum}'
    if event.timestamp is not None:
        rest += f',"timestamp":{encode(event.timestamp)}'
    return f'{{"symbol":{encode(event.symbol)},"bids":[{_levels(event.bids)}],"asks":[{_levels(event.asks)}]{rest}}}'


def _levels(levels: Iterable[Level]) -> str:
    return ",".join([f'{{"price":{level.price_text},"qty":{level.qty_text}}}' for level in levels])


def _level3(event: Level3Snapshot | Level3Update) -> str:
    rest = "" if event.checksum is None else f',"checksum":{event.checksum}'
    if event.timestamp_text is not None:
        rest += f',"timestamp":{encode(event.timestamp_text)}'
    return f'{{"symbol":{encode(event.symbol)},"bids":[{_orders(event.bids)}],"asks":[{_orders(event.asks)}]{rest}}}'


def _orders(orders: Iterable[RestingOrder | OrderEvent]) -> str:
    return ",".join(
        [
            f'{{{_what(order)}"order_id":{encode(order.order_id)},"limit_price":{order.price_text},'
            f'"order_qty":{order.qty_text},"timestamp":{encode(order.timestamp_text)}}}'
            for order in orders
        ]
    )


def _what(order: RestingOrder | OrderEvent) -> str:
    if not isinstance(order, OrderEvent):
        return ""
    return f'"event":"{order.kind if order.kind in _ON_THE_WIRE else OrderEventKind.DELETE}",'


def _entry(event: msgspec.Struct) -> dict[str, Any]:
    return {
        name: _plain(value)
        for name in event.__struct_fields__
        if name not in _OURS and (value := getattr(event, name)) is not None
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return msgspec.Raw(f"{value:f}".encode())
    if isinstance(value, tuple):
        return [_entry(part) if isinstance(part, msgspec.Struct) else part for part in value]
    return _entry(value) if isinstance(value, msgspec.Struct) else value
