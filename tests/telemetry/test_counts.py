"""What is counted of a client's records, and who gets them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, strategies as st

import kraken_trio as kt
from kraken_trio import Cause, ConnectionState
from kraken_trio.session.records import ConsumerFailed, Resynced, StateChanged
from kraken_trio.statistics import Counted
from kraken_trio.telemetry.counts import Counts
from kraken_trio.telemetry.fan_out import FanOut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kraken_trio.session.records import Record

OFF, CONNECTING, ON, RESYNCING = (
    ConnectionState.DISCONNECTED,
    ConnectionState.CONNECTING,
    ConnectionState.SUBSCRIBED,
    ConnectionState.RESYNCING,
)


def changed(previous: ConnectionState, current: ConnectionState, cause: Cause) -> StateChanged:
    return StateChanged(
        change=kt.StateChange(previous=previous, current=current, cause=cause, detail="", epoch=1, received_ns=0)
    )


STORY = (
    (0.0, changed(OFF, CONNECTING, Cause.OPENED)),
    (1.0, changed(CONNECTING, OFF, Cause.CONNECT_FAILED)),
    (3.0, changed(OFF, CONNECTING, Cause.RETRY)),
    (4.0, changed(CONNECTING, RESYNCING, Cause.CONNECTED)),
    (5.0, changed(RESYNCING, ON, Cause.SETTLED)),
    (5.5, Resynced(request=kt.Book("BTC/USD"), cause=Cause.CHECKSUM, detail="", attempt=1)),
    (15.0, changed(ON, OFF, Cause.SILENCE)),
    (15.0, changed(OFF, CONNECTING, Cause.RETRY)),
    (16.0, changed(CONNECTING, OFF, Cause.CONNECT_FAILED)),
    (17.0, changed(OFF, CONNECTING, Cause.RETRY)),
    (18.0, changed(CONNECTING, RESYNCING, Cause.CONNECTED)),
    (18.0, changed(RESYNCING, ON, Cause.SETTLED)),
    (19.0, ConsumerFailed(requests=(kt.Book("BTC/USD"),), detail="")),
    (20.0, changed(ON, OFF, Cause.CLOSED)),
)


def test_a_story_is_counted() -> None:
    counts = Counts()
    assert counts.counted(5.0) == Counted()
    for now, record in STORY:
        counts.consume([record], now)
    assert counts.counted(30.0) == Counted(
        state_seconds={CONNECTING: 4.0, OFF: 2.0 + 1.0 + 10.0, RESYNCING: 1.0, ON: 12.0},
        connect_failures=2,
        losses_by_cause={Cause.SILENCE: 1},  # leaving the block loses nothing
        reconnects_by_cause={Cause.SILENCE: 1},
        resyncs_by_cause={Cause.CHECKSUM: 1},
        slow_consumers=1,
    )


@given(st.lists(st.tuples(st.integers(0, 1000), st.sampled_from(list(ConnectionState)))), st.integers(0, 1000))
def test_the_seconds_of_all_states_add_up(changes: list[tuple[int, ConnectionState]], rest: int) -> None:
    counts, now, state = Counts(), 0.0, OFF
    for pause, current in changes:
        now += pause
        counts.consume([changed(state, current, Cause.RETRY)], now)
        state = current
    passed = sum(pause for pause, _ in changes[1:]) + rest if changes else 0
    assert sum(counts.counted(now + rest).state_seconds.values()) == passed


def test_everybody_gets_all_records_in_order() -> None:
    taken: list[tuple[Record, float]] = []

    class Other:
        def consume(self, records: Sequence[Record], now: float, /) -> None:
            taken.extend((record, now) for record in records)

    telemetry = FanOut("x", kt.Settings(), Other())
    records = [record for _, record in STORY]
    telemetry.consume(records, 7.0)
    assert taken == [(record, 7.0) for record in records]
    assert telemetry.counted(7.0).slow_consumers == 1
    assert telemetry.left_out == 0
