"""Positions: as text, and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, strategies as st

import kraken_trio as kt
from kraken_trio.broker.position import Place, Position

numbers = st.integers(0, 2**63 - 1)
places = st.builds(Place, numbers, numbers, st.text())
positions = st.builds(Position, st.text(), st.dictionaries(st.integers(-(2**63), 2**63 - 1), places, max_size=5))
values = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(positions)
def test_positions_come_back(position: Position) -> None:
    text = str(position)
    assert Position.parse(text) == position
    assert str(Position.parse(text)) == text


@given(positions)
def test_equal_positions_have_equal_texts(position: Position) -> None:
    again = Position(position.stream, dict(reversed(list(position.places.items()))))
    assert str(again) == str(position)


@given(places, places)
def test_places_are_in_order(one: Place, other: Place) -> None:
    assert (one < other) is ((one.offset, one.index, one.log) < (other.offset, other.index, other.log))


def test_it_is_short() -> None:
    text = '{"v":1,"stream":"kraken","places":{"0":[7,2,"17"]}}'
    assert str(Position("kraken", {0: Place(7, 2, "17")})) == text


def test_positions_without_a_log_are_known() -> None:
    text = '{"v":1,"stream":"kraken","places":{"0":[7,2]}}'
    assert Position.parse(text) == Position("kraken", {0: Place(7, 2)})


@given(st.text() | values.map(json.dumps))
@example("")
@example("\ud800")
@example('{"v":1,"stream":"kraken","places":{"x":[7,2]}}')
@example("[" * 100_000)
def test_any_text_is_a_position_or_an_error(text: str) -> None:
    try:
        Position.parse(text)
    except kt.ProtocolError as refused:
        error = refused
    else:
        return
    assert "no position" in str(error)


@pytest.mark.parametrize(
    "text",
    [
        '{"v":2,"stream":"kraken","places":{}}',
        '{"v":1,"stream":"kraken","places":{"0":[-1]}}',
        '{"v":1,"stream":"kraken","places":{"0":[1,-1]}}',
    ],
)
def test_what_this_version_does_not_know(text: str) -> None:
    with pytest.raises(kt.ProtocolError, match="this version knows"):
        Position.parse(text)


def test_what_is_no_text() -> None:
    with pytest.raises(kt.ProtocolError, match="no position"):
        Position.parse(None)  # type: ignore[arg-type]  # (it is what is tested)
