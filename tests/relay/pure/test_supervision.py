"""Restarts: their waits double up to a cap, begin again after a healthy while, and end in a crash loop."""

from __future__ import annotations

from hypothesis import given, strategies as st

from kraken_trio.relay.supervision import (
    CAP,
    FIRST,
    HEALTHY_AFTER,
    HOPELESS,
    MOST,
    WRONG_USAGE,
    GiveUp,
    Restart,
    Restarts,
)

statuses = st.integers(-64, 255).filter(lambda status: status not in {WRONG_USAGE, HOPELESS})
short = st.floats(0, HEALTHY_AFTER, exclude_max=True)


@given(st.lists(short, min_size=MOST, max_size=MOST), statuses)
def test_a_crash_loop_is_given_up_after_waits_that_double(lives: list[float], status: int) -> None:
    restarts, now, delays = Restarts(), 0.0, []
    for life in lives[:-1]:
        restarts.started(0.0)
        decision = restarts.ended(life, status)
        assert isinstance(decision, Restart)
        delays.append(decision.delay)
        now += life + decision.delay
    assert delays == [min(CAP, FIRST * 2**number) for number in range(MOST - 1)]
    restarts.started(0.0)
    given_up = restarts.ended(lives[-1], status)
    assert isinstance(given_up, GiveUp)
    assert f"{MOST} times in a row" in given_up.why
    assert restarts.count == MOST - 1


@given(st.integers(0, MOST - 2), st.floats(HEALTHY_AFTER, 1e6), statuses)
def test_after_a_healthy_while_the_next_restart_is_a_first_one(before: int, life: float, status: int) -> None:
    restarts = Restarts()
    for _ in range(before):
        restarts.started(5.0)
        restarts.ended(5.0, status)
    restarts.started(0.0)
    assert restarts.ended(life, status) == Restart(FIRST)
    assert (restarts.in_a_row, restarts.count) == (1, before + 1)


@given(st.floats(0, 1e6), st.sampled_from([WRONG_USAGE, HOPELESS]))
def test_what_will_not_heal_is_given_up_at_once(life: float, status: int) -> None:
    restarts = Restarts()
    restarts.started(0.0)
    assert isinstance(restarts.ended(life, status), GiveUp)
