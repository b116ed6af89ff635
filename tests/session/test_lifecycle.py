"""The table of states: complete, connected, and obeyed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies as st

from kraken_trio.events import Cause, ConnectionState
from kraken_trio.session.lifecycle import TRANSITIONS, StateMachine, Verdict, edges

PAIRS = list(itertools.product(ConnectionState, Cause))


def machine_in(state: ConnectionState) -> StateMachine:
    machine = StateMachine()
    machine.state = state
    return machine


def reachable_from(state: ConnectionState) -> set[ConnectionState]:
    seen = {state}
    while more := {after for before, _, after in edges() if before in seen} - seen:
        seen |= more
    return seen


def test_every_pair_of_state_and_cause_is_decided() -> None:
    assert set(TRANSITIONS) == set(PAIRS)


def test_a_client_begins_disconnected() -> None:
    assert StateMachine().state is ConnectionState.DISCONNECTED


@pytest.mark.parametrize(("state", "cause"), PAIRS, ids=lambda value: value.name)
def test_a_cause_leads_where_the_table_says(state: ConnectionState, cause: Cause) -> None:
    machine = machine_in(state)
    match TRANSITIONS[state, cause]:
        case Verdict.NEVER:
            with pytest.raises(AssertionError, match="cannot happen"):
                machine.advance(cause)
            assert machine.state is state
        case Verdict.STAYS:
            assert machine.advance(cause) is None
            assert machine.state is state
        case ConnectionState() as after:
            assert machine.advance(cause) is state
            assert machine.state is after


def test_edges_are_the_pairs_that_change_the_state() -> None:
    assert {(before, cause): after for before, cause, after in edges()} == {
        pair: verdict for pair, verdict in TRANSITIONS.items() if isinstance(verdict, ConnectionState)
    }
    assert all(before is not after for before, _, after in edges())


@pytest.mark.parametrize("state", ConnectionState)
def test_every_state_can_be_reached_and_none_is_a_trap(state: ConnectionState) -> None:
    assert reachable_from(state) == set(ConnectionState)


@pytest.mark.parametrize("state", ConnectionState)
@pytest.mark.parametrize("cause", [Cause.CLOSED, Cause.REFUSED])
def test_the_end_is_disconnected(state: ConnectionState, cause: Cause) -> None:
    machine = machine_in(state)
    if TRANSITIONS[state, cause] is not Verdict.NEVER:
        machine.advance(cause)
        assert machine.state is ConnectionState.DISCONNECTED


@given(st.lists(st.sampled_from(Cause)))
def test_what_happens_is_a_walk_along_the_edges(causes: list[Cause]) -> None:
    machine, walk = StateMachine(), set(edges())
    for cause in causes:
        before = machine.state
        if TRANSITIONS[before, cause] is Verdict.NEVER:
            continue
        left = machine.advance(cause)
        assert (left is None) == (machine.state is before)
        assert left is None or (left, cause, machine.state) in walk
