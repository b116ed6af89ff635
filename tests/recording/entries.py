"""Strategies of all events, requests, inputs of a session, and records of what it did."""

from __future__ import annotations

import enum
import types
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

import msgspec
from hypothesis import strategies as st

from kraken_trio import evidence, requests
from kraken_trio.errors import ConnectError
from kraken_trio.events import (
    Cause,
    Event,
    Gap,
    Level,
    OrderEvent,
    OrderEventKind,
    RestingOrder,
    StateChange,
    StatusUpdate,
)
from kraken_trio.session import inputs, records
from kraken_trio.session.steps import Happening, Step

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

texts = st.text(st.characters(codec="utf-8"), max_size=8)
symbols = st.sampled_from(["BTC/USD", "ETH/USD", "AAPLx/USD"])
decimals = st.builds(
    lambda digits, places: Decimal(f"{digits}e-{places}"), st.integers(0, 10**12), st.integers(0, 6)
).filter(lambda value: "E" not in str(value))
times = st.integers(0, 2 * 10**15).map(lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us))
instants = st.builds(lambda at, nano: f"{at:%Y-%m-%dT%H:%M:%S}.{nano:09}Z", times, st.integers(0, 10**9 - 1))
"""Times with nine digits of a second."""
orders = st.builds(
    lambda name, price, qty, at: RestingOrder(name, str(price), str(qty), at),
    texts.filter(bool),
    decimals,
    decimals,
    instants,
)
order_events = st.builds(
    lambda kind, order: OrderEvent(kind, order.order_id, order.price_text, order.qty_text, order.timestamp_text),
    st.sampled_from(OrderEventKind),
    orders,
)
levels = st.builds(lambda price, qty: Level(str(price), str(qty)), decimals, decimals)

wishes = st.one_of(
    st.builds(requests.Book, symbols, st.sampled_from(requests.DEPTHS)),
    st.builds(requests.Level3, symbols, st.sampled_from(requests.LEVEL3_DEPTHS)),
    st.builds(requests.Trades, symbols, snapshot=st.booleans()),
    st.builds(requests.Ticker, symbols, st.sampled_from(requests.TRIGGERS)),
    st.builds(requests.Candles, symbols, st.sampled_from(requests.INTERVALS)),
    st.builds(requests.Instruments, st.booleans()),
)
"""Requests of the exchange's channels."""

_PLAIN: dict[Any, SearchStrategy[Any]] = {
    Decimal: decimals,
    Level: levels,
    RestingOrder: orders,
    OrderEvent: order_events,
    datetime: times,
    type(None): st.none(),
    bool: st.booleans(),
    int: st.integers(0, 2**32 - 1),
    str: texts,
}


def of(kind: Any) -> SearchStrategy[Any]:
    """Values of the type of a field."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return st.sampled_from(kind)
    if origin in (Union, types.UnionType):
        return st.one_of(*map(of, arguments))
    if origin is tuple:
        if arguments[-1] is not Ellipsis:
            return st.tuples(*map(of, arguments))
        return st.lists(of(arguments[0]), max_size=3).map(tuple)
    if hasattr(kind, "__metadata__"):
        if any(meta.pattern for meta in kind.__metadata__):
            return instants
        return of(arguments[0])
    assert issubclass(kind, msgspec.Struct)
    return struct(kind)


def struct(cls: Any) -> SearchStrategy[Any]:
    """Values of a class of events, or of their parts."""
    return st.builds(cls, **{field.name: of(field.type) for field in msgspec.structs.fields(cls)})


events = st.one_of(*map(struct, get_args(Event)))

errors = st.builds(
    ConnectError,
    texts,
    status=st.none() | st.integers(100, 599),
    retry_after=st.none() | st.floats(0, 1e6),
    retryable=st.booleans(),
)
told = st.one_of(
    st.sampled_from(
        [
            inputs.Opened(),
            inputs.Retried(),
            inputs.Connected(),
            inputs.Ticked(),
            inputs.Held(),
            inputs.Resumed(),
            inputs.Ponged(),
            inputs.Closed(),
        ]
    ),
    st.builds(inputs.BudgetSpent, texts),
    st.builds(inputs.ConnectFailed, errors),
    st.builds(inputs.Lost, st.sampled_from(Cause), texts, st.none() | st.integers(1000, 4999)),
    st.builds(inputs.Added, st.integers(1, 9), st.lists(wishes, max_size=3).map(tuple)),
    st.builds(inputs.Removed, st.integers(1, 9)),
)
"""Inputs, whose feeds are numbers."""

_frames = st.none() | st.integers(0, 3)
_keys = st.lists(st.tuples(texts, st.none() | texts), max_size=3).map(tuple)
decided = st.one_of(
    st.builds(records.StateChanged, change=struct(StateChange), frame=_frames),
    st.builds(records.ExchangeStatus, status=struct(StatusUpdate), is_new_system=st.booleans(), frame=_frames),
    st.builds(records.AttemptDelayed, why=texts),
    st.builds(records.FrameMalformed, detail=texts, frame=_frames),
    st.builds(
        records.Resynced,
        request=wishes,
        cause=st.sampled_from(Cause),
        detail=texts,
        attempt=st.integers(0, 9),
        evidence=st.none() | struct(evidence.ChecksumEvidence),
        frame=_frames,
    ),
    st.builds(records.StayedWithoutData, request=wishes),
    st.builds(
        records.Parked,
        request=wishes,
        detail=texts,
        attempts=st.integers(1, 9),
        seconds=st.floats(0, 1e6),
        frame=_frames,
    ),
    st.builds(records.ConsumerFailed, requests=st.lists(wishes, max_size=2).map(tuple), detail=texts),
    st.builds(
        records.StepTaken,
        request=wishes,
        previous=st.sampled_from(Step),
        happening=st.sampled_from(Happening),
        current=st.sampled_from(Step),
        frame=_frames,
    ),
    st.builds(records.SubscriptionBegun, request=wishes, frame=_frames),
    st.builds(records.StateReset, request=wishes, frame=_frames),
    st.builds(records.GapAnnounced, gap=struct(Gap), keys=_keys, frame=_frames),
)
"""Records of a session."""
