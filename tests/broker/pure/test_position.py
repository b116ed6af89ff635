"""Positions: as text, and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, strategies as st

import kraken_trio as kt
from kraken_trio.broker.position import Place, Position, begin_at

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


@given(places, st.integers(0, 9), st.integers(0, 9), st.sampled_from(["", "a", "b"]))
@example(Place(5, 0, "a"), 3, 4, "b")
@example(Place(5, 1, "a"), 5, 0, "a")
@example(Place(2), 3, 4, "a")
@example(Place(8), 3, 4, "a")
@example(Place(5, 1), 3, 4, "a")
def test_reading_begins_at_the_place_or_something_is_missing(place: Place, low: int, count: int, log: str) -> None:
    found, is_missing = begin_at(place, low, low + count, log)
    is_other = bool(place.log and log) and place.log != log
    assert found.log == log
    assert is_missing is (is_other or not (low <= place.offset and place.begun <= low + count))
    if is_missing:
        assert found in {Place(low, 0, log), Place(low + count, 0, log)}
        assert found.offset == low or not is_other
    else:
        assert (found.offset, found.index) == (place.offset, place.index)
