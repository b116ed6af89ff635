"""The sliding window: never one attempt too many, and no wait that is not needed."""

from __future__ import annotations

from fractions import Fraction
from math import inf, nextafter

from hypothesis import example, given, strategies as st

from kraken_trio.admission.window import SlidingWindow
from kraken_trio.settings import CONNECT_WINDOW, MAX_CONNECT_BUDGET


def test_the_numbers_are_krakens() -> None:
    assert (MAX_CONNECT_BUDGET, CONNECT_WINDOW) == (120, 600.0)


def test_120_attempts_at_once_and_the_next_one_after_ten_minutes() -> None:
    window = SlidingWindow()
    assert all(window.take(5.0) for _ in range(120))
    assert window.ready_at(5.0) == nextafter(605.0, inf)
    assert not window.take(605.0)  # both ends of the window count
    assert window.take(nextafter(605.0, inf))
    assert [window.take(606.0) for _ in range(120)] == [True] * 119 + [False]


def test_a_lower_limit_leaves_the_rest_to_others() -> None:
    window = SlidingWindow()
    assert [window.take(0.0, 3) for _ in range(4)] == [True, True, True, False]
    assert [window.take(1.0) for _ in range(118)] == [True] * 117 + [False]
    assert window.ready_at(2.0, 3) == nextafter(601.0, inf)
    assert window.ready_at(2.0, 120) == window.ready_at(2.0, 10**9) == nextafter(600.0, inf)


@given(
    st.integers(1, 5),
    st.floats(1e-3, 1e4),
    st.floats(0, 1e6),
    st.lists(st.tuples(st.floats(0, 1e4) | st.just(None), st.integers(1, 7)), max_size=60),
)
@example(2, 600.0, 0.1, [(None, 5)] * 40)
def test_no_window_ever_holds_more(
    attempts: int, seconds: float, now: float, steps: list[tuple[float | None, int]]
) -> None:
    """Exactly: as real numbers, not as floats. (None: wait as long as the window says.)"""
    window = SlidingWindow(attempts, seconds)
    taken: list[tuple[float, int]] = []
    for gap, limit in steps:
        ready = window.ready_at(now, limit)
        assert (window.left(now, limit) > 0) is (ready == now)
        assert now <= ready <= max(now, nextafter(now + seconds, inf))
        if gap is None:
            if ready > now:
                assert not window.take(nextafter(ready, -inf), limit)  # not any sooner
            now = ready
            assert window.take(now, limit)
            taken.append((now, limit))
        else:
            now += gap
            if window.take(now, limit):
                taken.append((now, limit))
    for last, (at, limit) in enumerate(taken):
        begins = Fraction(at) - Fraction(seconds)
        assert sum(Fraction(earlier) >= begins for earlier, _ in taken[: last + 1]) <= min(limit, attempts)


@given(st.integers(1, 5), st.lists(st.floats(0, 400), max_size=12), st.integers(1, 7))
def test_what_is_left_can_be_taken_and_no_more(attempts: int, gaps: list[float], limit: int) -> None:
    window, now = SlidingWindow(attempts), 0.0
    for gap in gaps:
        now += gap
        window.take(now)
    left = window.left(now, limit)
    assert [window.take(now, limit) for _ in range(left + 1)] == [True] * left + [False]
