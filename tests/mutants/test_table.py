"""The list of mutants is true: each can be applied, and what is to kill it exists."""

from __future__ import annotations

import ast
import re
from collections import Counter

import pytest

from tests.mutants.__main__ import PACKAGE, REPOSITORY, RESULT, exists
from tests.mutants.markers import Place, find_places
from tests.mutants.table import MUTANTS, Mutant, TextMutant

ROW = re.compile(r"^\| (?P<name>[^|]+) \| [^|]+ \| `(?P<test>tests/[\w/]+\.py::\w+)", re.MULTILINE)


@pytest.fixture(scope="module")
def places() -> list[Place]:
    return list(find_places(REPOSITORY / PACKAGE))


def test_each_marker_stands_once_and_has_a_mutant(places: list[Place]) -> None:
    """When a rule moves, its marker moves with it; when it is given up, its mutant goes."""
    wanted = {mutant.marker for mutant in MUTANTS if isinstance(mutant, Mutant)}
    assert Counter(place.marker for place in places) == Counter(wanted)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_can_be_applied(mutant: Mutant | TextMutant, places: list[Place]) -> None:
    if isinstance(mutant, TextMutant):
        path, mutated = mutant.apply(REPOSITORY / PACKAGE)
    else:
        [place] = [place for place in places if place.marker == mutant.marker]
        path, mutated = place.path, place.mutated(mutant.operator)
    tree = ast.parse(mutated)
    assert ast.dump(tree) != ast.dump(ast.parse(path.read_text(encoding="utf-8")))
    compile(tree, path, "exec")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_is_to_kill_it_exists(mutant: Mutant | TextMutant) -> None:
    assert mutant.tests
    for test in mutant.tests:
        assert exists(test), test


def test_names_are_given_once() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_each_was_killed_when_they_were_last_run() -> None:
    """``nox -s mutants`` writes it anew."""
    rows = list(ROW.finditer(RESULT.read_text(encoding="utf-8")))
    assert [row["name"] for row in rows] == [mutant.name for mutant in MUTANTS]
    for row in rows:
        assert exists(row["test"]), row["name"]
