"""The list of mutants is true: each can be applied, and what is to kill it exists."""

from __future__ import annotations

import ast
import builtins
import itertools
import re
from collections import Counter
from functools import cache
from types import CodeType

import pytest

from tests.mutants.__main__ import PACKAGE, REPOSITORY, RESULT, exists
from tests.mutants.markers import Place, find_places
from tests.mutants.table import MUTANTS, Mutant

ROW = re.compile(r"^\| (?P<name>[^|]+) \| [^|]+ \| `(?P<test>tests/[\w/]+\.py::\w+)", re.MULTILINE)


@pytest.fixture(scope="module")
def places() -> list[Place]:
    return list(find_places(REPOSITORY / PACKAGE))


def test_each_marker_stands_once_and_has_a_mutant(places: list[Place]) -> None:
    """When a rule moves, its marker moves with it; when it is given up, its mutant goes."""
    wanted = {mutant.marker for mutant in MUTANTS}
    assert Counter(place.marker for place in places) == Counter(wanted)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_can_be_applied(mutant: Mutant, places: list[Place]) -> None:
    [place] = [place for place in places if place.marker == mutant.marker]
    mutated = place.mutated(mutant.operator)
    assert code(compile(mutated, "", "exec")) != code(compile(place.source, "", "exec"))
    # An operator that names what is not there any more would be killed by every test.
    made = names(mutated) - names(place.source)
    assert made <= {*dir(builtins), *dir(dict), *dir(list), *dir(str), *dir(itertools)}


def code(compiled: CodeType) -> list[object]:
    """What is executed, without where it stands."""
    inner = [code(part) if isinstance(part, CodeType) else part for part in compiled.co_consts]
    return [compiled.co_code, compiled.co_names, compiled.co_varnames, inner]


@cache
def names(source: str) -> set[str]:
    """All variables, attributes and parameters."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.arg(arg=name):
                found.add(name)
            case _:
                pass
    return found


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_is_to_kill_it_exists(mutant: Mutant) -> None:
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
