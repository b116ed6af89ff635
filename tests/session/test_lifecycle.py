"""The table of states: complete, connected, and obeyed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies as st

from kraken_trio.events import ConnectionState
from kraken_trio.session.lifecycle import TRANSITIONS, StateMachine, Trigger, Verdict, edges

PAIRS = list(itertools.product(ConnectionState, Trigger))


def machine_in(state: ConnectionState) -> StateMachine:
    machine = StateMachine()
    machine.state = state
    return machine


def reachable_from(state: ConnectionState) -> set[ConnectionState]:
    seen = {state}
    while more := {after for before, _, after in edges() if before in seen} - seen:
        seen |= more
    return seen


def test_every_pair_of_state_and_trigger_is_decided() -> None:
    assert set(TRANSITIONS) == set(PAIRS)


def test_a_client_begins_disconnected() -> None:
    assert StateMachine().state is ConnectionState.DISCONNECTED


@pytest.mark.parametrize(("state", "trigger"), PAIRS, ids=lambda value: value.name)
def test_a_trigger_leads_where_the_table_says(state: ConnectionState, trigger: Trigger) -> None:
    machine = machine_in(state)
    match TRANSITIONS[state, trigger]:
        case Verdict.NEVER:
            with pytest.raises(AssertionError, match="cannot happen"):
                machine.advance(trigger)
            assert machine.state is state
        case Verdict.STAYS:
            assert machine.advance(trigger) is None
            assert machine.state is state
        case ConnectionState() as after:
            assert machine.advance(trigger) is state
            assert machine.state is after


def test_edges_are_the_pairs_that_change_the_state() -> None:
    assert list(edges()) == [
        (before, trigger.cause, after)
        for (before, trigger), after in TRANSITIONS.items()
        if isinstance(after, ConnectionState)
    ]
    assert all(before is not after for before, _, after in edges())


@pytest.mark.parametrize("state", ConnectionState)
def test_every_state_can_be_reached_and_none_is_a_trap(state: ConnectionState) -> None:
    assert reachable_from(state) == set(ConnectionState)


@pytest.mark.parametrize("state", ConnectionState)
@pytest.mark.parametrize("trigger", [Trigger.CLOSED, Trigger.REFUSED])
def test_the_end_is_disconnected(state: ConnectionState, trigger: Trigger) -> None:
    machine = machine_in(state)
    if TRANSITIONS[state, trigger] is not Verdict.NEVER:
        machine.advance(trigger)
        assert machine.state is ConnectionState.DISCONNECTED


@given(st.lists(st.sampled_from(Trigger)))
def test_what_happens_is_a_walk_along_the_edges(triggers: list[Trigger]) -> None:
    machine, walk = StateMachine(), set(edges())
    for trigger in triggers:
        before = machine.state
        if TRANSITIONS[before, trigger] is Verdict.NEVER:
            continue
        left = machine.advance(trigger)
        assert (left is None) == (machine.state is before)
        assert left is None or (left, trigger.cause, machine.state) in walk
