"""Events are frozen values, compared by content."""

from __future__ import annotations

import copy
import gc
import pickle
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, get_args

import msgspec
import pytest

from kraken_trio import (
    Asset,
    Balance,
    BalancesSnapshot,
    BalanceUpdate,
    BookSnapshot,
    BookUpdate,
    Candle,
    Cause,
    ChecksumEvidence,
    ConnectionState,
    Event,
    Execution,
    Fee,
    Gap,
    InstrumentUpdate,
    Level,
    Level3Snapshot,
    Level3Update,
    Order,
    OrderBook,
    OrderEvent,
    OrderEventKind,
    OrdersSnapshot,
    OrderType,
    Pair,
    ProtocolError,
    RestingOrder,
    Side,
    SpreadUpdate,
    StateChange,
    StatusUpdate,
    TickerUpdate,
    Trade,
)
from kraken_trio.wire import codec_for

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 7, 19, 17, 54, 39, tzinfo=UTC)
INSTANT = "2024-01-08T12:26:39.526146327Z"
LEVEL = Level(Decimal("1.50"), Decimal("0.10"))
ASSET = Asset(id="USD", status="enabled", precision=4, precision_display=2)
PAIR = Pair(symbol="A/B", base="A", quote="B", status="online", price_precision=1, qty_precision=8)


ORDER = Order(order_id="O1")
BALANCE = Balance(asset="A", balance=Decimal("1.50"))


def make() -> list[Any]:
    """One of each, made anew."""
    one, two = Decimal("1.0"), Decimal("2.0")
    return [
        BookSnapshot(symbol="A/B", bids=(LEVEL,), asks=()),
        BookUpdate(symbol="A/B", bids=(LEVEL,), asks=()),
        Level3Snapshot(symbol="A/B", bids=(), asks=(RestingOrder("O1", one, two, INSTANT),), timestamp_text=INSTANT),
        Level3Update(symbol="A/B", bids=(OrderEvent(OrderEventKind.ADD, "O1", one, two, INSTANT),), asks=()),
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
        SpreadUpdate(symbol="A/B", bid=one, bid_qty=one, ask=two, ask_qty=two, timestamp=NOW),
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
        OrdersSnapshot(orders=(ORDER,)),
        Execution(order_id="O1", exec_type="trade", symbol="A/B", fees=(Fee(asset="B", qty=one),)),
        BalancesSnapshot(balances=(BALANCE,)),
        BalanceUpdate(asset="A", balance=one),
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
        assert msgspec.structs.replace(event, epoch=2) != event
        assert msgspec.structs.replace(event, received_ns=2) != event


@pytest.mark.parametrize("event", [*make(), LEVEL, ASSET, PAIR, ORDER, BALANCE], ids=lambda event: type(event).__name__)
def test_events_are_frozen(event: Any) -> None:
    for name in (*event.__struct_fields__, "price", "channel"):
        with pytest.raises(AttributeError):
            setattr(event, name, None)
    with pytest.raises(AttributeError):
        event.something_new = 1


@pytest.mark.parametrize("event", make(), ids=lambda event: type(event).__name__)
def test_every_event_says_when_and_over_which_connection_it_came(event: Any) -> None:
    assert (event.epoch, event.received_ns) == (0, 0)
    stamped = msgspec.structs.replace(event, epoch=3, received_ns=17)
    assert (stamped.epoch, stamped.received_ns) == (3, 17)
    assert "epoch=3" in repr(stamped)


def test_events_are_made_with_keywords_only() -> None:
    for kind in get_args(Event):
        assert kind.__struct_config__.frozen, kind
        with pytest.raises(TypeError, match="positional"):
            kind(*range(len(kind.__struct_fields__)))


CHANNELS = {
    BookSnapshot: ("book", "A/B"),
    BookUpdate: ("book", "A/B"),
    Level3Snapshot: ("level3", "A/B"),
    Level3Update: ("level3", "A/B"),
    Trade: ("trade", "A/B"),
    TickerUpdate: ("ticker", "A/B"),
    SpreadUpdate: ("spread", "A/B"),
    Candle: ("ohlc", "A/B"),
    InstrumentUpdate: ("instrument", None),
    OrdersSnapshot: ("executions", None),
    Execution: ("executions", "A/B"),
    BalancesSnapshot: ("balances", None),
    BalanceUpdate: ("balances", None),
    StateChange: (None, None),
    StatusUpdate: (None, None),
    Gap: (None, "A/B"),
}


def test_every_event_says_what_it_is_about() -> None:
    assert {type(event): (event.channel, event.symbol) for event in make()} == CHANNELS


@pytest.mark.parametrize("event", make(), ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda event: pickle.loads(pickle.dumps(event))])
def test_a_copy_is_equal(event: Any, copied: Callable[[Any], Any]) -> None:
    event = msgspec.structs.replace(event, epoch=3, received_ns=17)
    again = copied(event)
    assert type(again) is type(event)
    assert again == event
    assert (repr(again), hash(again)) == (repr(event), hash(event))


EVIDENCE = ChecksumEvidence(symbol="A/B", expected=1, computed=2, hashed="3", message="update")
GAP = Gap(symbol="A/B", cause=Cause.CHECKSUM, channel="book", detail="no", missed=1, after_id=2, before_id=4)


def test_the_evidence_of_a_gap_does_not_count_in_comparisons() -> None:
    first, second = (msgspec.structs.replace(GAP, evidence=evidence) for evidence in (EVIDENCE, None))
    assert first == second
    assert (first != second) is False
    assert hash(first) == hash(second)
    assert first.evidence is EVIDENCE
    assert pickle.loads(pickle.dumps(first)).evidence == EVIDENCE


def test_everything_else_of_a_gap_does() -> None:
    other = {
        "symbol": None, "cause": Cause.MISSED, "channel": "trade", "detail": "", "missed": 2, "after_id": 1,
        "before_id": 3, "epoch": 1, "received_ns": 1, "evidence": EVIDENCE,
    }  # fmt: skip
    assert set(other) == set(Gap.__struct_fields__)
    for name, value in other.items():
        changed = msgspec.structs.replace(GAP, **{name: value})
        assert (changed != GAP) is (name != "evidence"), name
    assert GAP.__eq__("a gap") is NotImplemented


def test_evidence_is_a_value() -> None:
    again = pickle.loads(pickle.dumps(EVIDENCE))
    assert again == EVIDENCE == copy.copy(EVIDENCE)
    assert hash(again) == hash(EVIDENCE)
    with pytest.raises(AttributeError):
        again.expected = 5


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
    frame = '{"channel":"book","type":"snapshot","data":[{"symbol":"A/B","bids":[{"price":1.50,"qty":3}],"asks":[]}]}'
    message: Any = codec_for("v2").decode(frame)
    level = message.events[0].bids[0]
    OrderBook(10).apply(message.events[0])  # a decoder leaves integers to the first book
    assert (level.price_text, level.qty_text) == ("1.50", "3")
    assert repr(level) == "Level(price=Decimal('1.50'), qty=Decimal('3'))"
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


@pytest.mark.parametrize("junk", ["abc", "", "9" * 51, Decimal("NaN")])
def test_a_text_that_is_no_number_is_found_out_when_it_is_read(junk: Any) -> None:
    for level in (Level(junk, "1.0"), Level("1.0", junk)):
        if isinstance(junk, str):
            assert "not a price or quantity" in repr(level)
            with pytest.raises(ProtocolError, match="not a price or quantity"):
                _ = (level.price, level.qty)
        with pytest.raises(ProtocolError, match="not a price or quantity"):
            OrderBook(10).apply(BookSnapshot(symbol="A/B", bids=(level,), asks=()))


@pytest.mark.parametrize("junk", [None, True, [1.5], {"a": 1}, 1.5, 10**41, b"x"])
def test_a_level_is_made_of_texts_and_decimals(junk: Any) -> None:
    for price, qty in ((junk, "1.0"), ("1.0", junk), (junk, junk)):
        with pytest.raises((TypeError, ValueError), match="not a price or quantity"):
            Level(price, qty)
    encoded = msgspec.json.encode(junk).decode() if type(junk) is not float else "null"
    if type(junk) is not bytes:
        level = msgspec.json.Decoder(Level, float_hook=str).decode(f'{{"price":{encoded},"qty":1.0}}')
        assert repr(level).startswith("<Level: not a price or quantity")
        for bids, asks in (((level,), ()), ((), (level,))):
            with pytest.raises(ProtocolError, match="not a price or quantity"):
                OrderBook(10).apply(BookSnapshot(symbol="A/B", bids=bids, asks=asks))


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("0.00000010", "0.00000010"),
        ("1E-7", "0.0000001"),
        ("0E-8", "0.00000000"),
        ("1.50", "1.50"),
        ("1E+3", "1E+3"),
        ("1E-999999", "1E-999999"),
        ("NaN", "NaN"),
    ],
)
def test_the_text_of_a_decimal_is_the_one_of_the_wire(number: str, text: str) -> None:
    level = Level(Decimal(number), Decimal(number))
    assert (level.price_text, level.qty_text) == (text, text)


def test_orders_are_equal_as_numbers() -> None:
    order, same = (RestingOrder("O1", price, "2.0", INSTANT) for price in ("1.50", "1.5"))
    other = RestingOrder("O2", "1.5", "2.0", INSTANT)
    assert order == same
    assert not order.__ne__(same)
    assert hash(order) == hash(same)
    assert order != other
    assert order.__eq__(("O1", order.price)) is NotImplemented
    assert repr(order) == f"RestingOrder('O1', Decimal('1.50'), Decimal('2.0'), {INSTANT!r})"
    assert repr(RestingOrder("O1", "one", "2.0", INSTANT)) == "<RestingOrder: not a price or quantity: one>"


def test_levels_are_equal_as_numbers() -> None:
    assert Level("1.50", "3") == Level(Decimal("1.5"), Decimal(3)) == Level("15e-1", "3.00")
    assert hash(Level("1.50", "3")) == hash(Level("15e-1", "3.00"))
    assert Level("1.50", "3") != Level("1.50", "4")
    assert Level("1.50", "3") != Level("1.51", "3")


def test_a_level_has_nothing_else() -> None:
    assert not hasattr(LEVEL, "volume")
    assert len({LEVEL, Level(Decimal("1.5"), Decimal("0.1"))}) == 1
    assert (Level(Decimal("1.5"), Decimal("0.1")) != LEVEL) is False
    assert LEVEL.__eq__((LEVEL.price, LEVEL.qty)) is NotImplemented


def test_events_are_nothing_to_the_garbage_collector() -> None:
    assert not any(map(gc.is_tracked, (LEVEL, ASSET, PAIR, EVIDENCE, *make())))


def test_what_others_make_of_a_level() -> None:
    """Programs that write events down see numbers as texts."""
    level = Level("1.50", Decimal(3))
    assert msgspec.json.encode(level) == b'{"price":"1.50","qty":"3"}'
    assert msgspec.json.decode(msgspec.json.encode(level), type=Level) == level
    assert msgspec.structs.asdict(level) == {"price_text": "1.50", "qty_text": "3"}
    assert msgspec.structs.replace(level, price_text="1.60") == Level("1.60", "3")
