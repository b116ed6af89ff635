"""When what was recorded is due again."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, strategies as st

from kraken_trio.runtime.pace import Pace


@attrs.frozen
class Item:
    wall_ns: int
    mono_ns: int
    recorder: str = "one"


SECOND = 10**9
waits = st.lists(st.integers(0, 100 * SECOND), min_size=1, max_size=10)


@given(waits, st.integers(-(10**12), 10**12), st.sampled_from([0.25, 1.0, 3.0]))
def test_what_is_played_when_it_is_due_keeps_its_distances(gaps: list[int], step: int, speed: float) -> None:
    """Whatever the wall clock does."""
    pace = Pace(speed)
    now, mono = 50.0, 7
    pace.go(now)
    for number, gap in enumerate([0, *gaps]):
        mono += gap
        item = Item(10**15 + mono + step * (number % 2), mono)
        due = pace.due(item)
        assert due - now == pytest.approx(gap / speed / SECOND, abs=1e-6)
        now = due
        pace.played(item)


@given(waits, st.lists(st.tuples(st.floats(0, 50), st.floats(0, 50)), min_size=1, max_size=5))
def test_while_it_stands_no_time_passes(gaps: list[int], pauses: list[tuple[float, float]]) -> None:
    plain, paused = Pace(1.0), Pace(1.0)
    plain.go(0.0)
    paused.go(0.0)
    now = stood = 0.0
    for runs, stands in pauses:
        now += runs
        paused.stop(now)
        paused.stop(now + stands / 2)  # it stands already
        now += stands
        stood += stands
        paused.go(now)
        paused.go(now + 1)  # it runs already
    item = Item(sum(gaps), sum(gaps))
    for pace in (plain, paused):
        pace.played(Item(0, 0))
    assert paused.due(item) == pytest.approx(plain.due(item) + stood)


def test_between_two_recorders_the_wall_clock_counts_and_never_backwards() -> None:
    pace = Pace(2.0)
    pace.go(0.0)
    pace.played(Item(100 * SECOND, 5 * SECOND))
    assert pace.due(Item(110 * SECOND, 1 * SECOND, "two")) == 5.0
    assert pace.due(Item(90 * SECOND, 1 * SECOND, "two")) == 0.0


def test_after_a_jump_the_next_item_is_due_at_once() -> None:
    pace = Pace(1.0)
    pace.go(0.0)
    pace.played(Item(0, 0))
    pace.jump()
    pace.go(33.0)
    later = Item(500 * SECOND, 500 * SECOND)
    assert pace.due(later) == 33.0
    pace.played(later)
    assert pace.due(Item(501 * SECOND, 501 * SECOND)) == 34.0
