"""What is measured of a batch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

import kraken_trio as kt
from kraken_trio.runtime.timings import Timings

NOW = datetime(2026, 11, 29, tzinfo=UTC)
NOW_NS = int(NOW.timestamp()) * 10**9


def trade(age: float, *, snapshot: bool = False, received_ns: int = NOW_NS) -> kt.Trade:
    return kt.Trade(
        symbol="BTC/USD",
        side=kt.Side.BUY,
        price=Decimal(1),
        qty=Decimal(1),
        ord_type=kt.OrderType.LIMIT,
        trade_id=1,
        timestamp=NOW - timedelta(seconds=age),
        snapshot=snapshot,
        epoch=1,
        received_ns=received_ns,
    )


def test_a_feed_may_have_got_nothing() -> None:
    timings = Timings()
    timings.take([[], [trade(0.5)], ()], NOW_NS, 10.0, 10.25, 10.5)
    assert timings.lag.distribution().count == 1
    timings.take([[]], NOW_NS, 10.0, 10.25, 10.5)
    assert timings.lag.distribution().count == 1


def test_a_batch_has_its_times_and_the_lag_of_its_last_event() -> None:
    timings = Timings()
    timings.take([[trade(9), trade(0.5)]], NOW_NS, 10.0, 10.25, 10.5)
    assert timings.processing.distribution().sum == 0.25
    assert timings.delivery.distribution().sum == 0.5
    assert timings.lag.distribution().sum == pytest.approx(0.5)
    assert timings.clock_offset(None) == pytest.approx(0.5)
    assert timings.clock_offset(0.2) == pytest.approx(0.4)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(trade(99, snapshot=True), id="history"),
        pytest.param(trade(99, received_ns=NOW_NS - 1), id="of-an-earlier-batch"),
        pytest.param(kt.BookUpdate(symbol="BTC/USD", bids=(), asks=(), received_ns=NOW_NS), id="without-timestamp"),
        pytest.param(kt.Gap(symbol=None, cause=kt.Cause.SILENCE, epoch=1, received_ns=NOW_NS), id="a-gap"),
    ],
)
def test_what_is_older_than_its_message_has_no_lag(event: kt.Event) -> None:
    timings = Timings()
    timings.take([[event]], NOW_NS, 0.0, 0.0, 0.0)
    assert timings.lag.distribution().count == 0
    assert timings.clock_offset(0.2) is None
    timings.take([[event], [trade(2)]], NOW_NS, 0.0, 0.0, 0.0)  # another feed has one
    assert timings.lag.distribution().count == 1


def test_a_feed_may_have_had_nothing_of_it() -> None:
    timings = Timings()
    timings.take([[], [trade(2)]], NOW_NS, 0.0, 0.0, 0.0)
    timings.take([[]], NOW_NS, 0.0, 0.0, 0.0)
    assert timings.lag.distribution().count == 1
    assert timings.delivery.distribution().count == 2


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(-5000, 5000)), min_size=1))
def test_the_offset_is_the_smallest_lag_of_the_last_one_or_two_minutes(steps: list[tuple[float, int]]) -> None:
    timings, now = Timings(), 0.0
    seen: list[tuple[float, float]] = []
    for pause, milliseconds in steps:
        now += pause
        timings.take([[trade(milliseconds / 1000)]], NOW_NS, now, now, now)
        seen.append((now, milliseconds / 1000))
        offset = timings.clock_offset(None)
        assert offset is not None
        assert offset <= min(lag for at, lag in seen if now - at < 60) + 1e-6
    if now - seen[0][0] < 60:
        assert offset == pytest.approx(min(lag for _, lag in seen), abs=1e-6)


def test_an_old_lag_is_forgotten() -> None:
    timings = Timings()
    for now, age in ((0.0, 1.0), (61.0, 2.0), (122.0, 3.0)):
        timings.take([[trade(age)]], NOW_NS, now, now, now)
    assert timings.clock_offset(None) == pytest.approx(2.0)
