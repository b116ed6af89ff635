"""Events are frozen values, compared by content."""

from __future__ import annotations

import copy
import gc
import pickle
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, get_args

import attrs
import msgspec
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
    OrderBook,
    OrderType,
    Pair,
    ProtocolError,
    Side,
    StateChange,
    StatusUpdate,
    TickerUpdate,
    Trade,
)
from kraken_trio.wire import codec_for

if TYPE_CHECKING:
    from collections.abc import Callable

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
        StatusUpdate(system="online"),
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
        with pytest.raises(AttributeError):
            setattr(event, field.name, None)
    with pytest.raises(AttributeError):
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


# Levels: digits of the wire, numbers when read


def test_a_level_holds_the_digits_of_the_wire_and_makes_its_numbers_when_they_are_read() -> None:
    frame = '{"channel":"book","type":"update","data":[{"symbol":"A/B","bids":[{"price":1.50,"qty":3}],"asks":[]}]}'
    message: Any = codec_for("v2").decode(frame)
    level = message.events[0].bids[0]
    assert (level._price, level._qty) == ("1.50", 3)
    assert repr(level) == "Level(price=Decimal('1.50'), qty=Decimal('3'))"
    assert level.price is level.price
    assert str(level.price) == "1.50"
    assert level == Level(Decimal("1.5"), Decimal(3))
    assert hash(level) == hash(Level(Decimal("1.5"), Decimal(3)))
    match level:
        case Level(price=price, qty=qty):
            assert (price, qty) == (Decimal("1.50"), Decimal(3))
        case _:
            pytest.fail("it is a Level")


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda level: pickle.loads(pickle.dumps(level))])
def test_a_level_may_be_copied_before_and_after_it_was_read(copied: Callable[[Level], Level]) -> None:
    level = msgspec.json.Decoder(Level, float_hook=str).decode('{"price":1.50,"qty":0.00100}')
    before = copied(level)
    assert str(level) == "0.00100 @ 1.50"
    assert copied(level) == before == level
    assert str(before) == str(copied(level)) == str(level)


@pytest.mark.parametrize("junk", ["null", "true", "[1.5]", '{"a":1}', '"abc"', '""', "9" * 41])
def test_what_is_no_number_is_found_out_when_it_is_read(junk: str) -> None:
    level = msgspec.json.Decoder(Level, float_hook=str).decode(f'{{"price":{junk},"qty":1.0}}')
    assert "not a price or quantity" in repr(level)
    with pytest.raises(ProtocolError, match="not a price or quantity"):
        level.price  # noqa: B018 (it raises)


def test_a_level_has_nothing_else() -> None:
    assert not hasattr(LEVEL, "volume")
    assert len({LEVEL, Level(Decimal("1.5"), Decimal("0.1"))}) == 1
    assert (Level(Decimal("1.5"), Decimal("0.1")) != LEVEL) is False
    assert LEVEL.__eq__((LEVEL.price, LEVEL.qty)) is NotImplemented


def test_books_are_nothing_to_the_garbage_collector() -> None:
    assert not any(map(gc.is_tracked, (LEVEL, BookSnapshot(symbol="A/B", bids=(), asks=()))))


def test_what_others_make_of_a_level() -> None:
    """Programs that write events down see numbers as texts, whether they were read or not."""
    level = msgspec.json.Decoder(Level, float_hook=str).decode('{"price":1.50,"qty":3}')
    OrderBook(10).apply(BookSnapshot(symbol="A/B", bids=(level,), asks=()))
    for _ in range(2):
        assert msgspec.json.encode(level) == b'{"price":"1.50","qty":"3"}'
        assert attrs.asdict(level) == {"price": Decimal("1.50"), "qty": Decimal(3)}
