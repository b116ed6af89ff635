"""The first seeds, every day the same; more of them: ``nox -s equality``."""

from __future__ import annotations

import pytest

from tests.simulation.equality import check

SECONDS = 30.0
SEEDS = 40
CHUNK = 10


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_a_replay_is_what_was_delivered(first: int) -> None:
    results = [check(seed, SECONDS) for seed in range(first, first + CHUNK)]
    assert [problem for result in results for problem in result.problems] == []
    assert sum(result.events for result in results) > 1000
    assert sum(result.moments for result in results) >= CHUNK
