"""The list of mutants is true: each can be applied, and what is to kill it exists."""

from __future__ import annotations

import re

import pytest

from tests.mutants.__main__ import REPOSITORY, RESULT
from tests.mutants.table import MUTANTS, Mutant

ROW = re.compile(r"^\| (?P<name>[^|]+) \| [^|]+ \| `(?P<file>tests/[\w/]+\.py)::(?P<test>\w+)", re.MULTILINE)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_can_be_applied(mutant: Mutant) -> None:
    source = (REPOSITORY / "kraken_trio" / mutant.file).read_text(encoding="utf-8")
    advice = f"give the mutant {mutant.name!r} of tests/mutants/table.py the text by which its rule can be found now"
    assert source.count(mutant.text) == 1, advice
    assert mutant.replacement != mutant.text
    compile(source.replace(mutant.text, mutant.replacement), mutant.file, "exec")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_is_to_kill_it_exists(mutant: Mutant) -> None:
    assert mutant.tests
    for name in mutant.tests:
        file, _, test = name.partition("::")
        text = (REPOSITORY / file).read_text(encoding="utf-8")
        assert f"def {test}" in text


def test_names_are_given_once() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_each_was_killed_when_they_were_last_run() -> None:
    """``nox -s mutants`` writes it anew."""
    rows = list(ROW.finditer(RESULT.read_text(encoding="utf-8")))
    assert [row["name"] for row in rows] == [mutant.name for mutant in MUTANTS]
    for row in rows:
        assert re.search(rf"\b{row['test']}\b", (REPOSITORY / row["file"]).read_text(encoding="utf-8")), row["name"]
