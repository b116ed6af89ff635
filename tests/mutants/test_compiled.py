"""The list of the compiled core's mutants is true: each can be applied, and what is to kill it exists."""

from __future__ import annotations

import pytest

from tests.mutants.__main__ import exists
from tests.mutants.compiled import MUTANTS, REPOSITORY, SOURCE, CompiledMutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_can_be_applied(mutant: CompiledMutant) -> None:
    source = (REPOSITORY / SOURCE).read_text(encoding="utf-8")
    assert source.count(mutant.old) == 1
    assert mutant.old != mutant.new
    assert all(exists(test) for test in mutant.tests)


def test_names_are_given_once() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
