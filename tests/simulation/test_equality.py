"""The first seeds, every day the same; more of them: ``nox -s equality``."""

from __future__ import annotations

import pytest

from tests.simulation.equality import check
from tests.simulation.plan import KINDS, Kind

SECONDS = 30.0
SEEDS = 40
SEEDS_OF_KIND = 10
CHUNK = 10


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_a_replay_is_what_was_delivered(first: int) -> None:
    results = [check(seed, SECONDS) for seed in range(first, first + CHUNK)]
    assert [problem for result in results for problem in result.problems] == []
    assert sum(result.events for result in results) > 1000
    assert sum(result.moments for result in results) >= CHUNK


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_replay_is_what_was_delivered_to_other_kinds_of_clients(kind: Kind) -> None:
    results = [check(seed, SECONDS, kind) for seed in range(SEEDS_OF_KIND)]
    assert [problem for result in results for problem in result.problems] == []
    assert sum(result.events for result in results) > 500
    assert sum(result.moments for result in results) >= SEEDS_OF_KIND
