"""Events are frozen values, compared by content."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_args

import attrs
import pytest

from kraken_trio import (
    Asset,
    BookSnapshot,
    BookUpdate,
    Candle,
    Cause,
    ChecksumMismatch,
    ConnectionState,
    Event,
    Gap,
    InstrumentUpdate,
    Level,
    OrderType,
    Pair,
    Side,
    StateChange,
    TickerUpdate,
    Trade,
)

NOW = datetime(2026, 7, 19, 17, 54, 39, tzinfo=UTC)
LEVEL = Level(Decimal("1.50"), Decimal("0.10"))
ASSET = Asset(id="USD", status="enabled", precision=4, precision_display=2)
PAIR = Pair(symbol="A/B", base="A", quote="B", status="online", price_precision=1, qty_precision=8)


def make() -> list[Any]:
    """One of each, made anew."""
    one, two = Decimal("1.0"), Decimal("2.0")
    return [
        BookSnapshot(symbol="A/B", bids=(LEVEL,), asks=()),
        BookUpdate(symbol="A/B", bids=(LEVEL,), asks=()),
        Trade(
            symbol="A/B",
            side=Side.BUY,
            price=one,
            qty=two,
            ord_type=OrderType.LIMIT,
            trade_id=1,
            timestamp=NOW,
        ),
        TickerUpdate(symbol="A/B", bid=one, bid_qty=one, ask=two, ask_qty=two),
        Candle(
            symbol="A/B",
            interval=1,
            interval_begin=NOW,
            open=one,
            high=two,
            low=one,
            close=two,
            volume=one,
            vwap=one,
            trades=1,
        ),
        InstrumentUpdate(assets=(ASSET,), pairs=(PAIR,)),
        StateChange(previous=ConnectionState.CONNECTING, current=ConnectionState.RESYNCING, cause=Cause.CONNECTED),
        Gap(symbol="A/B", cause=Cause.SILENCE),
    ]


def test_there_is_one_of_each() -> None:
    assert {type(event) for event in make()} == set(get_args(Event))


def test_events_are_compared_by_content() -> None:
    events, again = make(), make()
    assert events == again
    assert len({*events, *again}) == len(events)
    for event in events:
        assert attrs.evolve(event, epoch=2) != event
        assert attrs.evolve(event, received_ns=2) != event


@pytest.mark.parametrize("event", [*make(), LEVEL, ASSET, PAIR], ids=lambda event: type(event).__name__)
def test_events_are_frozen(event: Any) -> None:
    for field in attrs.fields(type(event)):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(event, field.name, None)
    with pytest.raises((attrs.exceptions.FrozenInstanceError, AttributeError)):
        event.something_new = 1


@pytest.mark.parametrize("event", make(), ids=lambda event: type(event).__name__)
def test_every_event_says_when_and_over_which_connection_it_came(event: Any) -> None:
    assert (event.epoch, event.received_ns) == (0, 0)
    stamped = attrs.evolve(event, epoch=3, received_ns=17)
    assert (stamped.epoch, stamped.received_ns) == (3, 17)
    assert "epoch=3" in repr(stamped)


def test_events_are_made_with_keywords_only() -> None:
    for kind in get_args(Event):
        assert all(field.kw_only for field in attrs.fields(kind)), kind


def test_the_evidence_of_a_gap_does_not_count_in_comparisons() -> None:
    """Two runs over the same input give equal events; an exception equals only itself."""
    event = BookUpdate(symbol="A/B", bids=(), asks=())
    evidence = [ChecksumMismatch(event, expected=1, computed=2, hashed="3") for _ in range(2)]
    first, second = (Gap(symbol="A/B", cause=Cause.CHECKSUM, evidence=error) for error in evidence)
    assert first == second
    assert hash(first) == hash(second)


@pytest.mark.parametrize("kind", [Side, OrderType])
@pytest.mark.parametrize("value", ["", "auction", "BUY", None, 5])
def test_a_value_that_is_not_known_is_unknown(kind: Any, value: object) -> None:
    assert kind(value) is kind.UNKNOWN


def test_sides_and_types_are_texts() -> None:
    for known in (Side.BUY, Side.SELL, OrderType.LIMIT, OrderType.MARKET):
        assert type(known)(str(known)) is known
    assert [f"{side}" for side in Side] == ["buy", "sell", "unknown"]


def test_the_digits_of_a_level_are_kept() -> None:
    assert str(LEVEL.price) == "1.50"
    assert str(LEVEL) == "0.10 @ 1.50"
    assert Level(Decimal("1.5"), Decimal("0.1")) == LEVEL
