"""Time as arithmetic: backoff, pacing, timers, and the clock that stands still."""

from __future__ import annotations

import itertools
from math import inf

import pytest
from hypothesis import given, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kraken_trio.session.reconnect import Backoff
from kraken_trio.session.timing import PausableClock, Timers, TokenBucket, growing
from kraken_trio.settings import Settings

seconds = st.floats(0, 1000)
moments = st.floats(0, 1e6)
jitters = st.floats(0, 1)


# growing, Backoff


def test_growing_doubles_up_to_its_limit() -> None:
    assert [growing(0.5, nth, 3.0) for nth in range(1, 6)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert growing(0.5, 10**9, 3.0) == 3.0  # and never overflows


@pytest.mark.parametrize(
    ("jitter", "delays"),
    [
        (0.0, [0.25, 0.5, 5.0, 10.0, 20.0, 40.0, 60.0, 60.0]),
        (1.0, [0.5, 1.0, 6.25, 12.5, 25.0, 50.0, 75.0, 75.0]),
    ],
)
def test_backoff_is_quick_first_then_slow_then_slower(jitter: float, delays: list[float]) -> None:
    backoff = Backoff(Settings(), lambda: jitter)
    assert [backoff.next_delay() for _ in delays] == delays
    backoff.reset()
    assert backoff.next_delay() == delays[0]


@given(
    st.builds(
        Settings,
        quick_retries=st.integers(1, 5),
        quick_delay=st.floats(0.01, 5),
        retry_delay=st.floats(5, 10),
        retry_delay_max=st.floats(10, 100),
    ),
    st.lists(st.tuples(jitters, st.just(0.0) | st.floats(0, 1000)), min_size=1, max_size=20),
)
def test_backoff_stays_within_its_bounds(settings: Settings, draws: list[tuple[float, float]]) -> None:
    backoff = Backoff(settings, iter([jitter for jitter, _ in draws]).__next__)
    for nth, (_, at_least) in enumerate(draws, 1):
        delay = backoff.next_delay(at_least)
        if nth <= settings.quick_retries:
            low, high = 0.0, min(settings.retry_delay, settings.quick_delay * 2 ** (nth - 1))
        else:
            low, high = settings.retry_delay, settings.retry_delay_max * 1.25
        assert delay > 0
        assert max(low, at_least) <= delay <= max(high, at_least * 1.25)


@pytest.mark.parametrize(
    ("status", "pauses"),
    [
        (429, [60.0, 120.0, 240.0, 480.0, 600.0, 600.0]),
        (403, [60.0, 120.0, 240.0, 480.0, 600.0, 600.0]),
        (500, [15.0, 30.0, 60.0, 120.0, 240.0, 480.0, 600.0]),
        (503, [15.0, 30.0, 60.0, 120.0, 240.0, 480.0, 600.0]),
        (599, [15.0, 30.0]),
        (600, [0.0, 0.0]),
        (499, [0.0, 0.0]),
        (200, [0.0, 0.0]),
        (None, [0.0, 0.0]),
    ],
)
def test_after_each_refusal_of_the_front_end_the_wait_is_longer(status: int | None, pauses: list[float]) -> None:
    backoff = Backoff(Settings(), lambda: 0.0)
    assert [backoff.pause_after(status) for _ in pauses] == pauses
    backoff.reset()
    assert backoff.pause_after(status) == pauses[0]


def test_refusals_grow_together_whatever_their_status_and_whatever_came_between() -> None:
    backoff = Backoff(Settings(), lambda: 0.0)
    assert [backoff.pause_after(status) for status in (503, None, 429, 502)] == [15.0, 0.0, 120.0, 60.0]


@given(st.data())
def test_jitter_spreads_every_delay_and_never_changes_its_rank(data: st.DataObject) -> None:
    """Clients that were lost together come back apart; a slow wait is never shorter than without jitter."""
    for nth in range(1, 12):
        low, high = Backoff(Settings(), lambda: 0.0), Backoff(Settings(), lambda: 1.0)
        low.failures = high.failures = nth - 1
        one = Backoff(Settings(), lambda: data.draw(jitters))
        one.failures = nth - 1
        least, most = low.next_delay(), high.next_delay()
        assert least < most
        assert least <= one.next_delay() <= most


@given(jitters, jitters)
def test_jitter_spreads_a_wait_that_was_asked_for_as_well(one: float, other: float) -> None:
    first, second = Backoff(Settings(), lambda: one), Backoff(Settings(), lambda: other)
    apart = second.next_delay(100.0) - first.next_delay(100.0)
    assert apart == pytest.approx(25.0 * (other - one))


# TokenBucket


def test_a_token_bucket_lets_a_burst_through_and_then_a_steady_stream() -> None:
    bucket = TokenBucket(rate=2.0, burst=3)
    sent = [now / 4 for now in range(20) if bucket.take(now / 4)]
    assert sent == [0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5]
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]  # never more than the burst


def test_a_paused_token_bucket_sends_nothing() -> None:
    bucket = TokenBucket(rate=10.0, burst=5)
    bucket.pause(3.0)
    bucket.pause(2.0)  # the longest pause holds
    assert not bucket.take(2.9)
    assert bucket.ready_at(1.0) == 3.0
    assert bucket.take(3.0)


@given(st.floats(0.1, 100), st.integers(1, 20), st.lists(st.floats(0, 2), max_size=100))
def test_no_window_has_more_than_the_burst_and_the_rate(rate: float, burst: int, waits: list[float]) -> None:
    bucket = TokenBucket(rate, burst)
    sent = [now for now in itertools.accumulate(waits) if bucket.take(now)]
    for first, last in itertools.combinations(range(len(sent)), 2):
        assert last - first + 1 <= burst + rate * (sent[last] - sent[first]) + 1e-6


@given(
    st.floats(0.1, 100),
    st.integers(1, 20),
    st.lists(st.tuples(st.sampled_from(["take", "pause", "wait"]), st.floats(0, 5)), max_size=50),
)
def test_a_token_bucket_starves_nobody(rate: float, burst: int, steps: list[tuple[str, float]]) -> None:
    bucket, now, paused_until = TokenBucket(rate, burst), 0.0, 0.0
    for what, amount in steps:
        if what == "pause":
            bucket.pause(now + amount)
            paused_until = max(paused_until, now + amount)
        elif what == "wait":
            now += amount
        else:
            ready = bucket.ready_at(now)
            assert now <= ready <= max(now, paused_until) + 1 / rate + 1e-9
            assert bucket.take(now) == (ready == now)
            if ready > now:
                now = ready
                assert bucket.take(now)  # what it says, holds


# Timers


def test_timers_come_one_by_one_and_what_is_cleared_meanwhile_does_not_come() -> None:
    timers: Timers[str] = Timers()
    for key, at in (("b", 2.0), ("a", 1.0), ("c", 3.0), ("d", 9.0)):
        timers.set(key, at)
    came = []
    for key in timers.pop_due(lambda at: at <= 5):
        came.append(key)
        timers.clear("b")
    assert came == ["a", "c"]
    assert timers.earliest() == 9.0


def test_timers_that_are_set_over_and_over_take_no_room() -> None:
    timers: Timers[int] = Timers()
    for moment in range(10_000):
        timers.set(moment % 3, float(moment))
    assert len(timers._heap) < 100
    assert list(timers.pop_due(lambda at: at < 10_000)) == [1, 2, 0]


class TimersAgainstADict(RuleBasedStateMachine):
    keys = st.sampled_from("abcdefgh")
    times = st.integers(0, 30).map(float)

    @initialize()
    def start(self) -> None:
        self.timers: Timers[str] = Timers()
        self.model: dict[str, float] = {}

    @rule(key=keys, at=times)
    def set(self, key: str, at: float) -> None:
        self.timers.set(key, at)
        self.model[key] = at

    @rule(key=keys)
    def clear(self, key: str) -> None:
        self.timers.clear(key)
        self.model.pop(key, None)

    @rule()
    def clear_all(self) -> None:
        self.timers.clear_all()
        self.model.clear()

    @rule(now=times, cleared=st.none() | keys)
    def pop_due(self, now: float, cleared: str | None) -> None:
        came = []
        for key in self.timers.pop_due(lambda at: at <= now):
            came.append((self.model.pop(key), key))
            if cleared is not None:
                self.timers.clear(cleared)
                self.model.pop(cleared, None)
        assert [at for at, _ in came] == sorted(at for at, _ in came)
        assert all(at <= now for at, _ in came)
        assert all(at > now for at in self.model.values())

    @invariant()
    def agree(self) -> None:
        assert self.timers.earliest() == min(self.model.values(), default=inf)
        assert {key: self.timers.get(key) for key in "abcdefgh"} == {key: self.model.get(key) for key in "abcdefgh"}


TestTimersAgainstADict = TimersAgainstADict.TestCase


# PausableClock


def test_the_clock_stands_still_while_held() -> None:
    clock = PausableClock()
    assert not clock.held
    clock.hold(10.0)
    clock.hold(15.0)  # it is held already
    assert clock.held
    assert clock.at(20.0) == 10.0
    assert clock.when(12.0) == inf
    clock.resume(30.0)
    clock.resume(40.0)  # it goes already
    assert clock.at(31.0) == 11.0
    assert clock.when(12.0) == 32.0


@given(st.lists(st.tuples(st.sampled_from(["hold", "resume", "wait"]), seconds), max_size=40))
def test_held_time_never_counts(steps: list[tuple[str, float]]) -> None:
    clock, now, listened, held = PausableClock(), 0.0, 0.0, False
    for what, amount in steps:
        before = clock.at(now)
        if what == "hold":
            clock.hold(now)
            held = True
        elif what == "resume":
            clock.resume(now)
            held = False
        else:
            now += amount
            listened += 0.0 if held else amount
        assert clock.held is held
        assert clock.at(now) >= before - 1e-9  # it never goes back
        assert clock.at(now) == pytest.approx(listened)


@given(moments, seconds, moments)
def test_when_is_the_other_way_round_of_at(held_at: float, held_for: float, reading: float) -> None:
    clock = PausableClock()
    clock.hold(held_at)
    clock.resume(held_at + held_for)
    assert clock.at(clock.when(reading)) == pytest.approx(reading)
