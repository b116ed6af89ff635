"""Events and requests become bytes, and come back as they were: by ``==`` and by ``repr``."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, ClassVar, get_args

import attrs
import msgspec
import pytest
from hypothesis import given, strategies as st

import kraken_trio as kt
from kraken_trio.encoding import decode_event, decode_request, encode_event, encode_request, schema
from kraken_trio.errors import ProtocolError
from tests.recording import entries


@given(entries.events)
def test_events_come_back(event: kt.Event) -> None:
    data = encode_event(event)
    for found in (decode_event(data), decode_event(msgspec.Raw(data))):
        assert found == event
        assert repr(found) == repr(event)
        assert type(found) is type(event)
    assert encode_event(found) == data


@given(entries.wishes | st.just(kt.Lifecycle()))
def test_requests_come_back(request_: kt.Request[Any]) -> None:
    found = decode_request(encode_request(request_))
    assert found == request_
    assert repr(found) == repr(request_)


@given(entries.events)
def test_the_form_is_a_name_and_an_object(event: kt.Event) -> None:
    name, fields = json.loads(encode_event(event))
    assert name == type(event).__name__
    assert set(fields) == {field.encode_name for field in msgspec.structs.fields(type(event))}


@given(entries.events, st.dictionaries(st.text().map("later_".__add__), st.integers(), min_size=1))
def test_fields_of_a_later_version_are_ignored_but_in_books(event: kt.Event, more: dict[str, int]) -> None:
    name, fields = json.loads(encode_event(event))
    data = json.dumps([name, fields | more]).encode()
    if isinstance(event, kt.BookSnapshot | kt.BookUpdate | kt.Level3Snapshot | kt.Level3Update):
        with pytest.raises(ProtocolError, match="unknown field"):
            decode_event(data)
    else:
        assert decode_event(data) == event


def test_fields_of_a_later_request_are_ignored() -> None:
    data = b'["Book", {"symbol": "BTC/USD", "depth": 25, "later": [1]}]'
    assert decode_request(data) == kt.Book("BTC/USD", 25)
    assert decode_request(b'["Trades", {"symbol": "xbt/usd"}]') == kt.Trades("BTC/USD")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is no event: "),
        (b"\xff\xfe", "it is no event: "),
        (b"[" * 100_000, "it is no event: "),
        (b"{}", "it is no event: "),
        (b'["Trade"]', "it is no event: "),
        (b'["Trade", 1]', "it is no event: "),
        (b'["Trade", {}]', "missing required field"),
        (b'["Tr\\u0007de", {}]', r"Tr\\x07de is unknown to this version"),
        (b'["Struct", {}]', "Struct is unknown to this version"),
        (b'["BookUpdate", {"symbol": "A/B", "bids": [{"price": [], "qty": "1"}], "asks": []}]', "not a price"),
    ],
    ids=["empty", "no text", "deep", "an object", "short", "a number", "no fields", "a name", "no event", "digits"],
)
def test_what_is_no_event(data: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        decode_event(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"nothing", "it is no request: "),
        (b'["Book", {}]', "symbol"),
        (b'["Book", {"symbol": "BTC/USD", "depth": 11}]', "is not offered by Kraken"),
        (b'["Book", []]', "it is no request: "),
        (b'["Level4", {"symbol": "BTC/USD"}]', "Level4 is unknown to this version"),
    ],
    ids=["text", "no symbol", "depth", "a list", "a name"],
)
def test_what_is_no_request(data: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        decode_request(data)


def test_channels_of_a_program_are_found_by_their_names() -> None:
    with pytest.raises(ProtocolError, match="Weather is unknown"):
        decode_event(b'["Weather", {"degrees": 3}]')
    with pytest.raises(ProtocolError, match="Rain is unknown"):
        decode_request(b'["Rain", {"symbol": "BTC/USD"}]')

    class Weather(msgspec.Struct, frozen=True, kw_only=True):
        channel: ClassVar[str] = "weather"
        degrees: int
        epoch: int = 0
        received_ns: int = 0

    @attrs.frozen
    class Rain(kt.Request[Weather]):
        channel: ClassVar[str | None] = "weather"
        symbol: str

    event, request_ = Weather(degrees=3, epoch=2), Rain("BTC/USD")
    assert decode_event(encode_event(event)) == event
    assert decode_request(encode_request(request_)) == request_


def test_the_schema_names_all_events() -> None:
    found = schema()
    names = {cls.__name__ for cls in get_args(kt.Event)}
    assert names <= set(found["$defs"])
    assert {one["prefixItems"][0]["const"] for one in found["oneOf"]} == names


def test_the_schema_says_a_type_of_every_field() -> None:
    shapes = [shape for one in schema()["$defs"].values() for shape in one.get("properties", {}).values()]
    assert shapes
    assert all(shapes)


def test_changes_of_old_logs_have_no_time_of_the_next_attempt() -> None:
    change = kt.StateChange(
        previous=kt.ConnectionState.SUBSCRIBED,
        current=kt.ConnectionState.DISCONNECTED,
        cause=kt.Cause.DISCONNECTED,
        retry_at=datetime(2027, 1, 15, 8, 0, 0, 5, tzinfo=UTC),
    )
    written = encode_event(change)
    assert decode_event(written) == change
    old = re.sub(rb',"retry_at":"[^"]*"', b"", written)
    assert old != written
    assert decode_event(old) == msgspec.structs.replace(change, retry_at=None)
