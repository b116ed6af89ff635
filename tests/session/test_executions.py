"""Own orders and fills: each fill once and in order, wherever the connection is cut."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from decimal import Decimal
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from kraken_trio.channels import CHANNELS, Kept, executions
from kraken_trio.channels.executions import (
    ATTEMPTS,
    MAX_HELD,
    MAX_PAGES,
    REMEMBERED,
    RETRY_SECONDS,
    ExecutionState,
    OpenOrders,
)
from kraken_trio.encoding import decode_event, encode_event
from kraken_trio.errors import KeyRefused, ProtocolError
from kraken_trio.events import Cause, Event, Execution, Gap, OrdersSnapshot
from kraken_trio.requests import Executions
from kraken_trio.session.inputs import Answered, Authorised, Connected, ConnectFailed, Retried
from kraken_trio.statistics import Counters
from kraken_trio.wire.messages import TOKEN
from kraken_trio.wire.rest import PAGE, Answer
from tests.session.account import START, Account, message, stamp
from tests.session.private import Private

PROTOCOLS = ("v2", "v1")
both = pytest.mark.parametrize("protocol", PROTOCOLS)

HOUR = Account(fills=500, seconds=3600)


def cut_at(every: int, protocol: str) -> int:
    """Cut the connection at so many messages of an hour with 500 fills. Returns how many there were."""
    live = Private(HOUR, protocol=protocol)
    live.connect()
    cuts = 0
    while live.next_report < len(HOUR.reports):
        index = live.next_report
        if index % every == 0:
            cuts += 1
            cut = live.fork()
            cut.lag, cut.latency = (0.0, 60.0)[index // 3 % 2], (0.0, 2.0)[index // 6 % 2]
            if index // every % 2:
                cut.step(1)
            cut.cut()
            cut.now += (1.0, 30.0, 600.0)[index % 3]
            cut.retry()
            cut.run(cut.now + 120.0)
            cut.check_each_fill_once_and_in_order()
            cut.check_open_orders()
            assert cut.gaps == []
        live.step()
    live.check_each_fill_once_and_in_order()
    live.check_open_orders()
    return cuts


@both
def test_the_connection_is_cut_anywhere_in_an_hour_with_500_fills(protocol: str) -> None:
    """Each fill once, and in order: for outages of up to ten minutes, and however late REST is.

    (Every 13th message; ``python -m tests.session.test_executions`` cuts at each.)
    """
    assert cut_at(13, protocol) > 50


@both
@pytest.mark.parametrize("lag", [0.0, 60.0], ids=str)
@pytest.mark.parametrize("missed", [0, 1, 50, 51, 500], ids=str)
@pytest.mark.parametrize("known", [0, 1, 60], ids=str)
def test_however_many_fills_an_outage_has(missed: int, known: int, lag: float, protocol: str) -> None:
    account = Account(fills=known + missed + 10, seconds=600)
    model = Private(account, protocol=protocol)
    model.lag, model.latency = lag, 1.0
    model.connect()
    model.run(account.fills[known].at - 0.001)
    model.cut()
    model.now = account.fills[known + missed].at - 0.001
    model.retry()
    model.run(model.now + 120)
    model.check_each_fill_once_and_in_order()
    assert model.gaps == []
    recovered = [event for event in model.events if isinstance(event, Execution) and event.recovered and event.exec_id]
    assert len(recovered) == missed == model.session.statistics().fills_recovered
    assert {event.symbol for event in recovered} <= {"BTC/USD"}


def test_fills_of_one_moment_are_recovered_in_their_order() -> None:
    """A large order takes many small ones at once. REST tells the newest first."""
    model = Private(Account(fills=150, seconds=1e-7))
    model.connect()
    model.cut()
    model.now = 10.0
    model.retry()
    model.run(100.0)
    model.check_each_fill_once_and_in_order()
    assert len(model.fills) == 150


@settings(max_examples=40)
@given(
    cuts=st.lists(st.tuples(st.floats(0, 200), st.floats(0.1, 300)), max_size=4),
    lag=st.floats(0, 80),
    protocol=st.sampled_from(PROTOCOLS),
    data=st.data(),
)
def test_any_outages(cuts: list[tuple[float, float]], lag: float, protocol: str, data: st.DataObject) -> None:
    """Also while what was missed before is still being found out."""
    model = Private(BUSY, protocol=protocol)
    model.lag, model.latency = lag, data.draw(st.floats(0, 5), label="latency")
    model.connect()
    for online, offline in cuts:
        model.run(model.now + online)
        model.cut()
        model.now += offline
        model.retry()
    model.run(model.now + 120)
    model.check_each_fill_once_and_in_order()
    model.check_open_orders()
    assert model.gaps == []


@settings(max_examples=15)
@given(
    moments=st.lists(st.floats(0, 400), min_size=1, max_size=4),
    lag=st.floats(0, 80),
    protocol=st.sampled_from(PROTOCOLS),
)
def test_a_state_that_is_kept_and_restored_goes_on_as_if_nothing_had_been(
    moments: list[float], lag: float, protocol: str
) -> None:
    """As from a recording's key frame, at any moment of an outage's recovery."""
    model, other = Private(BUSY, protocol=protocol), Private(BUSY, protocol=protocol)
    for one in (model, other):
        one.lag, one.latency = lag, 1.0
        one.connect()
        one.run(200)
        one.cut()
        one.now = 400
        one.retry()
    for moment in sorted(moments):
        for one in (model, other):
            one.run(max(one.now, 400 + moment))
        (sub,) = other.session.subscriptions
        kept = sub.state.keep()
        events = [decode_event(encode_event(event)) for event in kept.events]
        restored = ExecutionState(sub.request, Counters(), None)
        restored.restore(Kept(tuple(events), kept.marks))
        assert restored.keep() == kept
        sub.state = restored
    for one in (model, other):
        one.run(one.now + 120)
    assert other.events == model.events


@pytest.mark.parametrize("seconds", [0.004, 0.05, 3.0])
@pytest.mark.parametrize("first", [0, 1, 5, 49, 50, 51, 100])
def test_fills_that_rest_cannot_tell_apart_by_their_times(first: int, seconds: float) -> None:
    """Of the same tenth of a millisecond; REST gives the newest first."""
    account = Account(fills=300, seconds=seconds, seed=first)
    model = Private(account)
    since = account.fills[first - 1].at if first else 0.0
    model.now = since
    model.connect()
    model.cut()
    model.now = account.fills[-1].at + 1
    model.retry()
    model.run(model.now + 300)
    model.check_each_fill_once_and_in_order(since)
    assert not model.gaps


BUSY = Account(fills=400, seconds=900, seed=1)


def after_an_outage(fills: int = 80, protocol: str = "v2", **changes: Any) -> Private:
    """Connected again, after an outage of more fills than a snapshot shows."""
    account = Account(fills=fills + 10, seconds=600)
    model = Private(account, protocol=protocol)
    for name, value in changes.items():
        setattr(model, name, value)
    model.connect()
    model.run(account.fills[4].at)
    model.cut()
    model.now = account.fills[4 + fills - 1].at
    model.retry()
    return model


@both
def test_what_cannot_be_recovered_is_a_gap_that_says_from_when_to_when(protocol: str) -> None:
    model = after_an_outage(protocol=protocol, is_rest_down=True)
    model.run(model.now + 1000)
    (gap,) = model.gaps
    account = model.account
    since, until = (f"{datetime.fromisoformat(stamp(account.fills[index].at))}".replace(" ", "T") for index in (4, 34))
    assert gap.detail == (
        f"fills between {since} and {until} could not be recovered: REST is down; REST's TradesHistory may have them"
    )
    at = model.events.index(gap)
    ids = [fill.exec_id for fill in account.fills]
    assert fills_of(model.events[:at]) == ids[:5]
    assert fills_of(model.events[at:]) == ids[34:]


def test_rest_that_never_knows_the_fills_is_asked_for_a_minute_and_a_half() -> None:
    model = after_an_outage(lag=10_000.0)
    asked_at = model.now
    model.run(asked_at + 1000)
    (gap,) = model.gaps
    assert f"REST did not know the latest fills, {ATTEMPTS} times" in gap.detail
    history = [query for query in model.queries if query.name == "TradesHistory"]
    assert len(history) == ATTEMPTS
    assert sum(query.after for query in history) == (ATTEMPTS - 1) * RETRY_SECONDS


def test_while_fills_are_being_recovered_nothing_else_is_delivered() -> None:
    model = after_an_outage(lag=30.0)
    before = len(model.events)
    model.step()
    assert len(model.events) == before


def fills_of(events: list[Event]) -> list[str]:
    return [event.exec_id for event in events if isinstance(event, Execution) and event.exec_id is not None]


# Orders that ended during an outage


def ends(model: Private) -> dict[str, str | None]:
    return {
        event.order_id: event.order_status
        for event in model.events
        if isinstance(event, Execution) and event.recovered and event.exec_id is None
    }


@both
def test_how_orders_ended_during_an_outage_is_told(protocol: str) -> None:
    model = after_an_outage(30, protocol)
    at = model.now
    model.run(at + 10)
    known = {order_id for fill in model.account.fills if fill.at <= at for order_id in [fill.order_id]}
    expected = {
        order_id: status
        for when, order_id, status in model.account.ended
        if model.account.fills[4].at < when <= at and order_id in known
    }
    assert expected
    assert expected.items() <= ends(model).items()


def test_an_order_of_which_nobody_knows_how_it_ended_is_told_as_unknown() -> None:
    model = after_an_outage(30, is_rest_down=True)
    model.run(model.now + 1000)
    assert set(ends(model).values()) == {"unknown"}
    reasons = {event.reason for event in model.events if isinstance(event, Execution) and event.order_id in ends(model)}
    assert "it is not open any more; how it ended is unknown: REST is down" in reasons
    assert model.gaps == []
    model.check_open_orders()


# Single messages


def connected() -> Private:
    model = Private(Account(fills=0, seconds=1))
    model.connect()
    model.events.clear()
    return model


def report(order_id: str = "O1", **fields: Any) -> dict[str, Any]:
    return {"order_id": order_id, "exec_type": "new", **fields}


def test_a_report_has_what_earlier_ones_told_of_its_order() -> None:
    model = connected()
    full = report(symbol="BTC/USD", side="sell", order_qty=2, limit_price=100.5, exec_type="pending_new")
    delta = report(exec_type="amended", order_qty=1)
    model.receive(message([full], 2), message([delta], 3))
    first, second = model.events
    assert isinstance(first, Execution)
    assert isinstance(second, Execution)
    assert (second.symbol, second.side, second.limit_price) == (first.symbol, first.side, Decimal("100.5"))
    assert (first.order_qty, second.order_qty) == (Decimal(2), Decimal(1))
    assert second.changed == ("exec_type", "order_id", "order_qty")


def test_a_report_of_an_unknown_order_is_delivered_without_its_symbol() -> None:
    model = connected()
    model.receive(message([report(exec_type="canceled", order_status="canceled")], 2))
    (event,) = model.events
    assert (event.symbol, event.channel) == (None, "executions")


def test_a_fill_that_comes_twice_is_delivered_once() -> None:
    model = connected()
    fill = report(exec_type="trade", exec_id="T1", last_qty=1)
    model.receive(message([fill], 2), message([fill, report(exec_type="trade", exec_id="T2")], 3))
    assert model.fills == ["T1", "T2"]


def test_a_late_fill_does_not_open_its_order_again() -> None:
    model = connected()
    fill = report(exec_type="trade", exec_id="T1", order_status="partially_filled")
    model.receive(message([report(), report(exec_type="filled", order_status="filled"), fill], 2))
    view = OpenOrders()
    for event in model.events:
        view.follow(event)
    assert view.orders == {}
    assert model.session.rebuild(("executions", None)) == OrdersSnapshot(orders=(), epoch=1, received_ns=1)


@pytest.mark.parametrize("number", [1, 2, 4], ids=["back", "repeated", "ahead"])
def test_a_message_that_is_not_the_next_one_means_a_new_snapshot(number: int) -> None:
    model = connected()
    model.receive(message([report()], 2))
    model.receive(message([report("O2")], number))
    assert [gap.detail for gap in model.gaps] == [f"message {number} of the orders came after message 2"]
    assert model.sent[-1]["method"] == "unsubscribe"
    assert model.sent[-1]["params"] == {"channel": "executions", "token": TOKEN}


def test_a_frame_that_cannot_be_read_costs_an_account_nothing_that_its_numbers_do_not_tell() -> None:
    model = connected()
    model.receive("{", message([report()], 2), message([report("O2")], 3))
    assert [event.cause for event in model.events if isinstance(event, Gap)] == [Cause.MALFORMED]
    assert [event.order_id for event in model.events if isinstance(event, Execution)][-2:] == ["O1", "O2"]
    model.receive("{", message([report("O3")], 5))
    assert [gap.detail for gap in model.gaps] == ["message 5 of the orders came after message 3"]


def test_messages_without_numbers_are_taken() -> None:
    model = connected()
    model.receive(message([report()], None), message([report("O2")], None))
    assert len(model.events) == 2
    assert model.gaps == []


def test_an_account_may_have_no_snapshot() -> None:
    model = Private(Account(fills=0, seconds=1))
    model.tell(Connected())
    model.receive(message([report()], 1))
    assert [type(event) for event in model.events] == [OrdersSnapshot, Execution]


def test_an_account_that_had_orders_has_a_snapshot() -> None:
    """So one that does not come is lost, even if the next message has the first number."""
    model = connected()
    model.receive(message([report()], 2))
    model.cut()
    model.tell(Retried())
    model.tell(Connected())
    model.receive(model.speech.STATUS)
    asked = model.sent[-1]
    result = {"channel": "executions", "snapshot": True}
    model.receive(json.dumps({"method": "subscribe", "success": True, "result": result, "req_id": asked["req_id"]}))
    model.receive(message([report("O2")], 1))
    assert model.sent[-1]["method"] == "unsubscribe"


def test_an_unsubscribe_that_is_confirmed_much_too_late_may_have_ended_a_later_subscription() -> None:
    """An account may be quiet for days, so nothing else would tell."""
    model = connected()
    result = {"channel": "executions"}
    model.receive(json.dumps({"method": "unsubscribe", "success": True, "result": result, "req_id": 1}))
    assert [event.cause for event in model.events if isinstance(event, Gap)] == [Cause.RESUBSCRIBED]
    assert model.sent[-1]["method"] == "subscribe"


def test_what_is_rebuilt_after_an_end_is_not_older_than_it() -> None:
    model = connected()
    (sub,) = model.session.subscriptions
    state = sub.state
    assert isinstance(state, ExecutionState)
    state._find_end("O1")
    (query,) = state.queries()
    (end,), _ = state.answer(query, Answer(error="down", received_ns=77))
    whole = state.rebuild()
    assert whole is not None
    assert (end.received_ns, whole.received_ns) == (77, 77)


def test_a_message_before_the_snapshot_is_not_taken() -> None:
    model = Private(Account(fills=0, seconds=1))
    model.tell(Connected())
    model.receive(message([report()], 7))
    assert not any(isinstance(event, Execution) for event in model.events)
    assert model.sent[-1]["method"] == "unsubscribe"


@both
def test_history_has_the_last_fills_before_the_subscription(protocol: str) -> None:
    account = Account(fills=70, seconds=100)
    model = Private(account, history=True, protocol=protocol)
    model.now = account.fills[59].at
    model.connect()
    past = [event for event in model.events if isinstance(event, Execution)]
    assert [fill.exec_id for fill in past] == [fill.exec_id for fill in account.fills[10:60]]
    assert all(fill.snapshot for fill in past)
    assert isinstance(model.events[-1], OrdersSnapshot)


def test_states_of_other_events_are_refused() -> None:
    state = ExecutionState(None, Counters(), None)
    orders = OrdersSnapshot(orders=())
    gap = Gap(symbol=None, cause=Cause.MISSED)
    cases: list[tuple[list[Event], dict[str, int]]] = [
        ([gap], {}), ([orders, gap], {}), ([orders, orders, gap], {"fills": 1}),
    ]  # fmt: skip
    for events, marks in cases:
        with pytest.raises(ProtocolError, match="not as a Gap"):
            state.restore(Kept(tuple(events), marks))
    with pytest.raises(ProtocolError, match="not as a NoneType"):
        state.restore(Kept((orders,)))


@pytest.mark.parametrize("answer", [Answer({"T1": {}}), Answer([])], ids=["no order", "list"])
def test_answers_of_rest_that_are_none_end_the_recovery(answer: Answer) -> None:
    model = after_an_outage()
    model.tell(Answered(model.queries[-1], answer))
    assert len(model.gaps) == 1
    model.tell(Answered(model.queries[-1], Answer([])))
    assert set(ends(model).values()) == {"unknown"}


def test_more_history_than_is_read_is_a_gap() -> None:
    model = after_an_outage()
    page = {f"X{number}": {"ordertxid": "O1", "time": 1} for number in range(PAGE)}
    for _ in range(MAX_PAGES):
        model.tell(Answered(model.queries[-1], Answer(page)))
    (gap,) = model.gaps
    assert "there are more than 10,000 of them" in gap.detail


def test_more_reports_than_are_held_back_end_the_recovery() -> None:
    model = after_an_outage()
    rows = [report(f"O{number}") for number in range(MAX_HELD + 1)]
    model.receive(message(rows, 2))
    (gap,) = model.gaps
    assert "more than 10,000 reports came meanwhile" in gap.detail


def test_a_fill_without_a_time_is_taken_as_new() -> None:
    account = Account(fills=3, seconds=10)
    model = Private(account)
    model.now = 20
    model.connect()
    model.cut()
    model.tell(Retried())
    model.tell(Connected())
    fill = report(exec_type="trade", exec_id="T", order_status="filled")
    asked = model.sent[-1]
    ack = {"method": "subscribe", "success": True, "result": {"channel": "executions"}, "req_id": asked["req_id"]}
    model.receive(json.dumps(ack), message([fill], 1, kind="snapshot"))
    assert model.fills == ["T"]


def test_old_fills_are_known_though_they_are_no_longer_remembered() -> None:
    """A snapshot of fills from before the last ones that are remembered, whatever the reason for it is."""
    account = Account(fills=REMEMBERED + 60, seconds=1000)
    model = Private(account)
    model.connect()
    model.run(2000)
    delivered = len(model.fills)
    model.cut()
    model.tell(Retried())
    model.now = account.fills[40].at
    model.connect()
    assert len(model.fills) == delivered


def test_an_end_is_looked_for_only_of_orders_that_are_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of fills that REST found, too; and of no more than are remembered."""
    model = connected()
    model.cut()
    model.tell(Retried())
    model.tell(Connected())
    shown = [
        report(f"O{number}", exec_type="trade", exec_id=f"T{number}", timestamp=stamp(number))
        for number in range(51, 1, -1)
    ]
    asked = model.sent[-1]
    ack = {"method": "subscribe", "success": True, "result": {"channel": "executions"}, "req_id": asked["req_id"]}
    monkeypatch.setattr(executions, "MAX_DUE", 3)
    model.receive(json.dumps(ack), message([report("O1"), *shown], 1, kind="snapshot"))
    rows = {
        str(row["exec_id"]): {"ordertxid": row["order_id"], "time": int(START.timestamp()) + number}
        for number, row in zip(range(51, 1, -1), shown, strict=True)
    }
    model.tell(Answered(model.queries[-1], Answer(rows)))
    rows = {"T1": {"ordertxid": "O1", "time": int(START.timestamp()) + 1}}
    model.tell(Answered(model.queries[-1], Answer(rows)))
    assert model.fills == [f"T{number}" for number in range(1, 52)]
    assert len(dict(model.queries[-1].params)["txid"].split(",")) == 3
    assert CHANNELS["executions"].is_delta(model.events[-2])
    assert not CHANNELS["executions"].is_delta(model.events[-1])


def test_a_view_of_orders_follows_lists_too() -> None:
    model = connected()
    model.receive(message([report()], 2))
    view = OpenOrders()
    view.follow_all(model.events, None)
    view.invalidate("its feed is closed")
    assert list(view.orders) == ["O1"]


def test_what_a_full_feed_drops_can_be_got_from_rest() -> None:
    first, last = (
        Execution(order_id="O1", exec_type="trade", timestamp=datetime(2026, 10, 2, 9, minute, tzinfo=UTC))
        for minute in (1, 2)
    )
    assert ExecutionState.how_to_recover(first, last) == (
        "; REST's TradesHistory has the fills from 2026-10-02T09:01:00+00:00 to 2026-10-02T09:02:00+00:00"
    )
    assert CHANNELS["trade"].how_to_recover(first, last) == ""


# Tokens


def refuse(model: Private, text: str) -> None:
    model.receive(*model.speech.refuse(model.sent, text))


@both
@pytest.mark.parametrize("text", ["EAPI:Invalid token", "ESession:Invalid session"])
def test_a_token_that_is_not_accepted_is_renewed_once(text: str, protocol: str) -> None:
    model = Private(Account(fills=0, seconds=1), protocol=protocol)
    model.tell(Connected())
    frames = len(model.sent)
    refuse(model, text)
    assert (model.renewals, len(model.sent)) == (1, frames)
    model.tell(Authorised())
    assert [(asked.get("params") or asked["subscription"])["token"] for asked in model.sent] == [TOKEN] * 2 * frames
    refuse(model, text)
    assert model.renewals == 1
    assert [reasons for _, reasons in model.answers] == [{Executions(): text}]


def test_a_stale_token_at_an_unsubscribe_is_renewed_too() -> None:
    model = connected()
    model.receive(message([report()], 7))
    assert model.sent[-1]["method"] == "unsubscribe"
    refuse(model, "EAPI:Invalid token")
    assert model.renewals == 1
    model.now += 2
    model.do(model.session.tick(model.now))
    assert model.sent[-1]["method"] == "unsubscribe"


def test_a_key_that_is_refused_ends_the_client_even_later() -> None:
    model = connected()
    model.cut()
    model.tell(Retried())
    error = KeyRefused("the key was deleted", retryable=False)
    assert model.tell(ConnectFailed(error)).end is error
    assert model.session.reconnect_at == inf


@both
def test_another_token_may_be_refused_again_later(protocol: str) -> None:
    model = Private(Account(fills=0, seconds=1), protocol=protocol)
    model.tell(Connected())
    for _ in range(2):
        refuse(model, "EAPI:Invalid token")
        model.tell(Authorised())
        model.subscribe()
        model.cut()
        model.tell(Retried())
        model.tell(Connected())
    assert model.renewals == 2


if __name__ == "__main__":
    for name in PROTOCOLS:
        sys.stdout.write(f"{name}: {cut_at(1, name)} cuts: each fill once, and in order\n")
