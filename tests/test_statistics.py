"""Histograms, and what they become."""

from __future__ import annotations

import itertools

from hypothesis import example, given, strategies as st

from kraken_trio.statistics import Distribution, Histogram

BOUNDS = Distribution.bounds()
NANOSECONDS = st.integers(-1000, 2**63 - 1) | st.integers(0, 10_000_000_000)


def test_bounds_are_from_10_microseconds_to_10_seconds_each_twice_the_one_before() -> None:
    assert BOUNDS[0] == 1e-5
    assert 10 <= BOUNDS[-1] < 11
    assert all(later == 2 * earlier for earlier, later in itertools.pairwise(BOUNDS))


@given(st.lists(NANOSECONDS))
@example([0, 1, 10_000, 10_001, 20_000, 20_001, 10_485_760_000, 10_485_760_001, -1])
def test_each_bound_counts_what_took_no_longer(observed: list[int]) -> None:
    histogram = Histogram()
    for ns in observed:
        histogram.observe(ns)
    distribution = histogram.distribution()
    *bounded, all_of_them = distribution.cumulative()
    for bound, count in zip(BOUNDS, bounded, strict=True):
        assert count == sum(ns <= round(bound * 1e9) for ns in observed)
    assert all_of_them == distribution.count == len(observed)
    assert distribution.sum == sum(max(ns, 0) for ns in observed) / 1e9


@given(st.lists(NANOSECONDS, min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_the_smallest_bound_that_the_share_did_not_exceed(observed: list[int], share: float) -> None:
    histogram = Histogram()
    for ns in observed:
        histogram.observe(ns)
    quantile = histogram.distribution().quantile(share)
    assert quantile is not None

    def share_within(bound: float) -> float:
        return sum(ns <= round(bound * 1e9) for ns in observed)

    assert quantile == float("inf") or share_within(quantile) >= share * len(observed)
    assert all(share_within(bound) < share * len(observed) for bound in BOUNDS if bound < quantile)


def test_of_nothing_there_is_no_quantile() -> None:
    assert Histogram().distribution() == Distribution()
    assert Distribution().quantile(0.5) is None
