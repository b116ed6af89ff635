"""Own orders and fills over v1: one subscription of two streams, each with its answer, its snapshot and its numbers."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from kraken_trio.channels import Kept
from kraken_trio.channels.executions import MAX_EARLY, ExecutionState
from kraken_trio.encoding import decode_event, encode_event
from kraken_trio.events import Cause, Execution, Gap, Order, OrdersSnapshot
from kraken_trio.requests import Executions
from kraken_trio.session.steps import Step
from kraken_trio.statistics import Counters
from tests.session.account import Account
from tests.session.private import Private

ORDERS, TRADES = "openOrders", "ownTrades"
NO = "EGeneral:Permission denied"


def frame(stream: str, sequence: int, **rows: Any) -> str:
    return json.dumps([[{key: row} for key, row in rows.items()], stream, {"sequence": sequence}])


def order(**more: Any) -> dict[str, Any]:
    descr = {"pair": "XBT/USD", "type": "sell", "ordertype": "limit", "price": "60000.0", "price2": "0"}
    return {"status": "open", "vol": "3.0", "vol_exec": "0.0", "userref": 0, "descr": descr} | more


def trade(order_id: str = "O1", second: int = 1790000000) -> dict[str, Any]:
    return {
        "ordertxid": order_id, "pair": "XBT/USD", "type": "sell", "ordertype": "limit", "price": "60000.0",
        "vol": "1.0", "cost": "60000.0", "fee": "1.5", "time": f"{second}.000001",
    }  # fmt: skip


def answers(model: Private, refused: str = "", error: str = NO) -> list[str]:
    """The exchange's answers to the two latest frames."""
    told = []
    for asked in model.sent[-2:]:
        name = asked["subscription"]["name"]
        says = {"status": "error", "errorMessage": error} if name == refused else {"status": f"{asked['event']}d"}
        answer = {"event": "subscriptionStatus", "reqid": asked["reqid"], "subscription": {"name": name}}
        told.append(json.dumps(answer | says))
    return told


def asked(*, history: bool = False) -> Private:
    model = Private(Account(fills=0, seconds=1), history=history, protocol="v1")
    model.do(model.session.connected(0.0))
    return model


def live() -> Private:
    """With an open order, and a fill of the past."""
    model = asked()
    model.receive(*answers(model), frame(ORDERS, 1, O1=order()), frame(TRADES, 1, T1=trade()))
    assert [type(event) for event in model.events] == [OrdersSnapshot]
    model.events.clear()
    return model


def said(model: Private) -> list[str]:
    """What the client has sent."""
    return [f"{one['event']} {one['subscription']['name']}" for one in model.sent]


def step(model: Private) -> Step:
    (sub,) = model.session.subscriptions
    return sub.step


# The beginning


def test_it_is_requested_by_two_frames_and_answered_by_both() -> None:
    model = asked()
    assert said(model) == [f"subscribe {ORDERS}", f"subscribe {TRADES}"]
    first, second = answers(model)
    model.receive(first)
    assert not model.session.flushed
    assert step(model) is Step.SUBSCRIBING
    model.receive(second)
    assert model.session.flushed
    assert step(model) is Step.CONFIRMED


ORDERS_OF_FIVE = [places for places in itertools.permutations(range(5)) if places.index(2) < places.index(4)]


@pytest.mark.parametrize("places", ORDERS_OF_FIVE, ids=lambda places: "".join(map(str, places)))
def test_it_begins_when_all_of_it_is_there_in_whatever_order(places: tuple[int, ...]) -> None:
    model = asked()
    totals = {"vol_exec": "2.0", "userref": 0}
    frames = [*answers(model), frame(ORDERS, 1, O1=order()), frame(TRADES, 1, T1=trade()), frame(ORDERS, 2, O1=totals)]
    for place in places:
        model.receive(frames[place])
        assert bool(model.events) is (step(model) is Step.LIVE)
    snapshot, *updates = model.events
    assert isinstance(snapshot, OrdersSnapshot)
    assert [(one.order_id, one.symbol) for one in snapshot.orders] == [("O1", "BTC/USD")]
    # What came before it began is in what the feed begins with.
    assert len(updates) == (places.index(4) > places.index(3))
    (latest,) = updates or snapshot.orders
    assert isinstance(latest, Order)
    assert (latest.order_status, str(latest.cum_qty)) == ("partially_filled", "2.0")
    assert model.gaps == []
    model.receive(frame(ORDERS, 3), frame(TRADES, 2, T1=trade(), T2=trade()))
    assert model.fills == ["T2"]
    assert model.gaps == []


@pytest.mark.parametrize("refused", [ORDERS, TRADES])
@pytest.mark.parametrize("is_swapped", [False, True], ids=["as asked", "swapped"])
def test_it_is_refused_if_one_of_the_two_is(refused: str, is_swapped: bool) -> None:
    model = asked()
    told = answers(model, refused)
    other = TRADES if refused == ORDERS else ORDERS
    model.receive(frame(other, 1), *told[:: -1 if is_swapped else 1])
    assert [reasons for _, reasons in model.answers] == [{Executions(): NO}]
    assert model.events == []


def test_a_refusal_after_all_of_the_data_is_a_gap() -> None:
    model = asked()
    model.receive(frame(ORDERS, 1), frame(TRADES, 1), *answers(model, TRADES))
    assert [event.cause for event in model.events if isinstance(event, Gap)] == [Cause.REFUSED]


def test_a_missing_answer_is_not_waited_for_longer_than_any() -> None:
    model = asked()
    model.receive(answers(model)[0])
    model.now = model.session.deadline
    while len(model.sent) == 2:
        model.receive('{"event":"heartbeat"}')
        model.do(model.session.tick(model.now))
        model.now += 1.0
        assert model.now < 100
    assert said(model)[2:] == said(model)[:2]


def test_a_rate_limit_of_one_is_waited_for() -> None:
    model = asked()
    model.receive(*answers(model, TRADES, "EAPI:Rate limit exceeded"))
    assert model.answers == []
    model.do(model.session.tick(1.5))
    assert said(model)[2:] == said(model)[:2]
    model.receive(*answers(model), frame(ORDERS, 1), frame(TRADES, 1))
    assert step(model) is Step.LIVE


# Numbers


@pytest.mark.parametrize("number", [1, 2, 4], ids=["back", "repeated", "ahead"])
@pytest.mark.parametrize("stream", [ORDERS, TRADES])
def test_a_jump_in_either_stream_means_new_snapshots_of_both(stream: str, number: int) -> None:
    model = live()
    model.receive(frame(stream, 2), frame(stream, number))
    assert [gap.detail for gap in model.gaps] == [f"message {number} of {stream} came after message 2"]
    assert said(model)[2:] == [f"unsubscribe {ORDERS}", f"unsubscribe {TRADES}"]
    first, second = answers(model)
    model.receive(first)
    assert len(model.sent) == 4
    model.receive(second)
    assert said(model)[4:] == said(model)[:2]
    fills = frame(TRADES, 1, T1=trade(), T2=trade(second=1790000009))
    model.receive(*answers(model), frame(ORDERS, 1, O1=order()), fills)
    assert model.fills == ["T2"]
    assert step(model) is Step.LIVE


@pytest.mark.parametrize(
    "frames",
    [
        [frame(ORDERS, 2)],
        [frame(ORDERS, 1), frame(TRADES, 2)],
        [frame(ORDERS, 1), frame(ORDERS, 1)],
        [frame(ORDERS, 1), frame(ORDERS, 3), frame(TRADES, 1)],
        [frame(ORDERS, 1), frame(TRADES, 1).replace("1}", "null}")],
        [frame(ORDERS, 1 + n) for n in range(MAX_EARLY + 1)],
    ],
    ids=["none", "no snapshot", "twice", "jump", "no number", "too many"],
)
def test_what_cannot_be_the_beginning_means_a_new_one(frames: list[str]) -> None:
    model = asked()
    model.receive(*answers(model), *frames[:-1])
    assert model.gaps == []
    model.receive(frames[-1])
    assert [gap.cause for gap in model.gaps] == [Cause.MISSED]
    assert said(model)[2:] == [f"unsubscribe {ORDERS}", f"unsubscribe {TRADES}"]
    assert not any(isinstance(event, Execution) for event in model.events)


def test_a_part_of_the_last_connection_is_no_part_of_this_one() -> None:
    model = asked()
    model.receive(frame(ORDERS, 1, O1=order()))
    model.cut()
    model.do(model.session.retry(model.now))
    model.do(model.session.connected(model.now))
    model.receive(*answers(model), frame(TRADES, 1))
    assert not any(isinstance(event, OrdersSnapshot) for event in model.events)
    model.receive(frame(ORDERS, 1))
    assert model.events[-1] == OrdersSnapshot(orders=(), epoch=2, received_ns=1)


@given(cut=st.integers(0, 5))
def test_what_waits_for_the_rest_is_kept_and_restored(cut: int) -> None:
    frames = [
        frame(TRADES, 1, T1=trade()), frame(TRADES, 2, T2=trade(), T3=trade()), frame(TRADES, 3),
        frame(ORDERS, 1, O1=order()), frame(ORDERS, 2),
    ]  # fmt: skip
    model, other = asked(history=True), asked(history=True)
    for one in (model, other):
        one.receive(*answers(one), *frames[:cut])
    (sub,) = other.session.subscriptions
    kept = sub.state.keep()
    sub.state = ExecutionState(sub.request, Counters(), None)
    sub.state.restore(Kept(tuple(decode_event(encode_event(event)) for event in kept.events), kept.marks))
    assert sub.state.keep() == kept
    for one in (model, other):
        one.receive(*frames[cut:])
    assert other.events == model.events
    assert model.fills == ["T1", "T2", "T3"]


# Reports


def test_a_fill_has_two_messages_and_is_delivered_once() -> None:
    totals = frame(ORDERS, 2, O1={"vol_exec": "3.0", "cost": "1.0", "avg_price": "60000.0", "userref": 0})
    fill = frame(TRADES, 2, T2=trade())
    end = frame(ORDERS, 3, O1={"status": "closed", "vol_exec": "3.0", "lastupdated": "1790000003.5", "userref": 0})
    for frames in ([fill, totals, end], [totals, fill, end], [totals, end, fill]):
        model = live()
        model.receive(*frames)
        assert model.fills == ["T2"]
        reports = {event.exec_type: event for event in model.events if isinstance(event, Execution)}
        assert {kind: report.order_status for kind, report in reports.items()} == {
            "trade": "partially_filled", "status": "partially_filled", "filled": "filled",
        }  # fmt: skip
        assert {report.symbol for report in reports.values()} == {"BTC/USD"}
        model.check_open_orders()


def test_a_frame_that_cannot_be_read_means_new_snapshots() -> None:
    model = live()
    model.receive('[[{"O1":{"status":5}}],"openOrders",{"sequence":2}]')
    assert [event.cause for event in model.events if isinstance(event, Gap)] == [Cause.MALFORMED]
    assert said(model)[2:] == [f"unsubscribe {ORDERS}", f"unsubscribe {TRADES}"]
