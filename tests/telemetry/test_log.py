"""Records become log lines: one line each, printable, and not more than the settings allow."""

from __future__ import annotations

import itertools

from hypothesis import given, strategies as st

from kraken_trio.session.timing import TokenBucket
from kraken_trio.telemetry.log import LogThrottle


@given(st.floats(0.1, 100), st.integers(1, 20), st.lists(st.floats(0, 2), max_size=100))
def test_lines_are_admitted_at_a_rate_and_none_is_left_out_uncounted(
    rate: float, burst: int, waits: list[float]
) -> None:
    throttle, bucket = LogThrottle(rate, burst), TokenBucket(rate, burst)
    left_out = in_all = 0
    for now in itertools.accumulate(waits):
        line = throttle.admit("a line", now)
        if not bucket.take(now):
            assert line is None
            left_out += 1
            in_all += 1
        elif left_out:
            assert line == f"a line (before this, {left_out} lines were left out)"
            left_out = 0
        else:
            assert line == "a line"
    assert throttle.left_out == in_all
