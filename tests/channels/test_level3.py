"""Level 3's state: why orders are gone, what is a failure, and the precision that is asked for."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import pytest

from kraken_trio import (
    Cause,
    Gap,
    Level3,
    Level3Book,
    Level3Snapshot,
    Level3Update,
    OrderEvent,
    OrderEventKind,
    RestingOrder,
)
from kraken_trio.channels import CHANNELS, Kept
from kraken_trio.channels.level3 import PAIRS, Level3State
from kraken_trio.errors import ProtocolError
from kraken_trio.statistics import Counters
from kraken_trio.wire.codec import codec_for
from kraken_trio.wire.rest import Answer, Query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kraken_trio.channels import Failure

BTC = "BTC/USD"
NEVER = "2026-10-01T09:00:00.000000000Z"
THEN = "2026-10-01T10:00:00.000000001Z"
NOW = "2026-10-01T10:00:00.000000002Z"


class State(Level3State):
    """Of one symbol."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(Level3(BTC), Counters(), codec_for("v2"))

    def give(self, *events: Any) -> tuple[Sequence[Any], Failure | None]:
        return super().take(events)


def snapshot(*bids: RestingOrder, hashed: str, spoil: int = 0) -> Level3Snapshot:
    return Level3Snapshot(symbol=BTC, bids=bids, asks=(), checksum=zlib.crc32(hashed.encode()) ^ spoil)


def update(*bids: OrderEvent, hashed: str, asks: tuple[OrderEvent, ...] = ()) -> Level3Update:
    return Level3Update(symbol=BTC, bids=bids, asks=asks, checksum=zlib.crc32(hashed.encode()))


def gone(name: str, qty: str, at: str) -> OrderEvent:
    return OrderEvent(OrderEventKind.DELETE, name, "1.0", qty, at)


ONE = RestingOrder("A", "1.0", "5.0", THEN)
BEHIND = RestingOrder("B", "1.0", "7.0", THEN)


def live(*orders: RestingOrder, hashed: str = "10501070") -> State:
    state = State()
    passed, failure = state.give(snapshot(*(orders or (ONE, BEHIND)), hashed=hashed))
    assert failure is None
    assert len(passed) == 1
    return state


@pytest.mark.parametrize(
    ("qty", "at", "kind"),
    [
        pytest.param("0.0", NOW, "fill", id="nothing-left"),
        pytest.param("5.0", NOW, "cancel", id="all-left"),
        pytest.param("5.00", NOW, "cancel", id="all-left-otherwise-written"),
        pytest.param("5.0", THEN, "amend", id="its-own-time"),
        pytest.param("0.0", THEN, "delete", id="nothing-left-at-its-own-time"),
        pytest.param("4.0", NOW, "delete", id="less-left"),
        pytest.param("5.0", NEVER, "delete", id="before-it-came"),
    ],
)
def test_why_an_order_is_gone_is_told_as_far_as_it_can_be(qty: str, at: str, kind: str) -> None:
    state = live()
    event = update(gone("A", qty, at), hashed="1070")
    passed, failure = state.give(event)
    assert failure is None
    assert list(passed) == [event]
    assert passed[0].bids[0].kind is OrderEventKind(kind)
    assert [resting.order_id for resting in state.book.bids[0].orders] == ["B"]


def test_an_amended_order_comes_again() -> None:
    state = live()
    add = OrderEvent(OrderEventKind.ADD, "A", "2.0", "5.0", NOW)
    passed, _ = state.give(update(gone("A", "5.0", THEN), hashed="1070"), update(add, hashed="20501070"))
    assert [event.bids[0].kind.value for event in passed] == ["amend", "add"]


def test_a_filled_part_is_a_modify() -> None:
    state = live()
    modify = OrderEvent(OrderEventKind.MODIFY, "A", "1.0", "2.0", THEN)
    (event,), failure = state.give(update(modify, hashed="10201070"))
    assert (event.bids[0].kind, failure) == (OrderEventKind.MODIFY, None)


@pytest.mark.parametrize(
    ("bad", "cause", "words"),
    [
        pytest.param(update(gone("A", "5.0", NOW), hashed="1"), Cause.CHECKSUM, "checksum", id="checksum"),
        pytest.param(update(gone("Z", "5.0", NOW), hashed="1"), Cause.CHECKSUM, "not in the book", id="unknown-id"),
        pytest.param(
            update(hashed="", asks=(gone("A", "5.0", NOW),)), Cause.CHECKSUM, "not in the book", id="other-side"
        ),
        pytest.param(update(gone("A", "x", NOW), hashed="1"), Cause.MALFORMED, "not a price", id="no-number"),
        pytest.param(update(gone("A", "5.0", "x"), hashed="1"), Cause.MALFORMED, "not a time", id="no-time"),
        pytest.param(
            Level3Update(symbol=BTC, bids=(), asks=()), Cause.MALFORMED, "a message without a checksum", id="unproven"
        ),
        pytest.param(
            Level3Snapshot(symbol=BTC, bids=(), asks=()), Cause.MALFORMED, "without a checksum", id="unproven-snapshot"
        ),
    ],
)
def test_what_passed_before_a_failure_passes(bad: Any, cause: Cause, words: str) -> None:
    state = live()
    good = update(gone("B", "7.0", NOW), hashed="1050")
    passed, failure = state.give(good, bad)
    assert list(passed) == [good]
    assert failure is not None
    assert (failure.cause, words in failure.detail) == (cause, True)
    state.reset()
    assert (state.rebuild(), list(state.start(Level3(BTC))), state.queries()) == (None, [], ())


def test_a_state_knows_what_it_yields() -> None:
    state = live()
    assert isinstance(CHANNELS["level3"].view(Level3(BTC, depth=100)), Level3Book)
    assert Level3State.view(Level3(BTC, depth=100)).depth == 100
    event = update(gone("B", "7.0", NOW), hashed="1050")
    assert (state.is_delta(event), state.begins(event)) == (True, False)
    whole = state.rebuild()
    assert isinstance(whole, Level3Snapshot)
    assert (state.is_delta(whole), state.begins(whole)) == (False, True)
    assert whole.bids == (ONE, BEHIND)
    state.book.follow(Gap(symbol=BTC, channel="level3", cause=Cause.SILENCE))


# The precision

SHORT = RestingOrder("A", "1.0", "1e-05", THEN)
PADDED = "101000"
"""What is hashed of it."""
REFERENCE = {
    "XXBTZUSD": {"wsname": "XBT/USD", "pair_decimals": 1, "lot_decimals": 8},
    "XETHZUSD": {"wsname": "ETH/USD", "pair_decimals": 2, "lot_decimals": 6},
}


def test_a_precision_that_nothing_tells_is_asked_for_and_used_from_then_on() -> None:
    state = State()
    passed, failure = state.give(snapshot(SHORT, hashed=PADDED))
    assert (list(passed), failure and failure.cause) == ([], Cause.MALFORMED)
    assert failure is not None
    assert "the symbol's precision is unknown" in failure.detail
    assert state.queries() == (PAIRS,) == (Query("AssetPairs", (), private=False),)
    state.reset()
    assert state.answer(PAIRS, Answer(result=REFERENCE)) == ((), None)
    assert state.queries() == ()
    passed, failure = state.give(snapshot(SHORT, hashed=PADDED))
    assert (len(passed), failure) == (1, None)
    assert state.keep().marks == {"price_precision": 1, "qty_precision": 8}
    other = State()
    other.restore(state.keep())
    assert (other.rebuild(), other.keep()) == (state.rebuild(), state.keep())


def test_a_precision_that_was_guessed_wrongly_is_asked_for() -> None:
    state = State()
    _, failure = state.give(snapshot(SHORT, RestingOrder("B", "1.0", "5.0", THEN), hashed=PADDED + "1050"))
    assert failure is not None
    assert (failure.cause, state.queries()) == (Cause.CHECKSUM, (PAIRS,))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(error="REST is down"), id="error"),
        pytest.param(Answer(result={}), id="absent"),
        pytest.param(Answer(result=[]), id="nonsense"),
        pytest.param(Answer(result={"X": 7, "Y": {"wsname": "XBT/USD"}}), id="incomplete"),
        pytest.param(
            Answer(result={"X": {"wsname": "XBT/USD", "pair_decimals": 1, "lot_decimals": 10**9}}), id="giant"
        ),
        pytest.param(
            Answer(result={"X": {"wsname": "XBT/USD", "pair_decimals": -1, "lot_decimals": 8}}), id="negative"
        ),
    ],
)
def test_an_answer_that_does_not_help_is_asked_for_again_when_it_is_needed_again(answer: Answer) -> None:
    state = State()
    for _ in range(2):
        _, failure = state.give(snapshot(SHORT, hashed=PADDED))
        assert failure is not None
        assert state.queries() == (PAIRS,)
        assert state.answer(PAIRS, answer) == ((), None)
        assert (state.queries(), state.book.precision) == ((), None)


def test_other_channels_ask_nothing() -> None:
    state = CHANNELS["trade"](Level3(BTC), Counters(), codec_for("v2"))
    assert (state.queries(), state.asks, Level3State.asks) == ((), False, True)
    assert state.answer(PAIRS, Answer()) == ((), None)


def test_it_is_kept_as_a_snapshot() -> None:
    with pytest.raises(ProtocolError, match="a Level 3 book is kept as a snapshot, not as a Level3Update"):
        State().restore(Kept((update(hashed=""),)))
    assert State().keep() == Kept()
