"""Any bytes give a message of v1 or a ProtocolError; and the fast path gives what the general one gives."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given, settings, strategies as st

from kraken_trio import ProtocolError
from kraken_trio.settings import MAX_FRAME_BYTES
from kraken_trio.wire import codec_for
from kraken_trio.wire.messages import Data, Message, Unknown
from tests.wire import test_hostile as hostile
from tests.wire.frames_v1 import ACCOUNT, FRAMES, SNAPSHOT, TRADES, UPDATE

survive = partial(hostile.survive, protocol="v1")
PLACES = [(frame, path) for frame in (*FRAMES, *ACCOUNT) for path in hostile.paths(json.loads(frame))]


def same(frame: str | bytes) -> Message | None:
    """What becomes of it, which is the same in front of a blank: that is decoded by the general path."""
    message = survive(frame)
    if len(frame) < MAX_FRAME_BYTES and (message is None or isinstance(message, Data)):
        assert repr(survive(" " + frame if isinstance(frame, str) else b" " + frame)) == repr(message)
    return message


@given(st.binary() | st.text() | st.text().map(lambda text: f"[{text}]"))
@example(b"")
@example(b"[")
@example("[\ud800")
@example("[" * 1_000_000)
@example('[336,{"b":' + "[" * 100_000 + "]" * 100_000 + ',"c":"1"},"book-10","XBT/USD"]')
@example("[9" + "9" * 100_000)
def test_anything(frame: str | bytes) -> None:
    same(frame)


@given(st.data())
@settings(max_examples=150)
def test_damaged_bytes(data: st.DataObject) -> None:
    """Real frames, with some bytes changed, removed, doubled or inserted."""
    frame = bytearray(data.draw(st.sampled_from(FRAMES)).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(frame)))
        end = data.draw(st.integers(start, min(len(frame), start + 8)))
        piece = data.draw(
            st.binary(max_size=4)
            | st.sampled_from([b'"', b"{", b"}", b"[", b"]", b",", b":", b"-", b"e9", b"\\u0000", b"null", b"\xff"])
            | st.just(bytes(frame[start:end]) * 2),
        )
        frame[start:end] = piece
    same(bytes(frame))


def test_a_frame_that_ends_early_is_refused() -> None:
    for frame in FRAMES:
        assert all(survive(frame[:end]) is None for end in range(len(frame)))


@given(st.sampled_from(PLACES), hostile.any_json.map(json.dumps) | hostile.odd_json)
@settings(max_examples=200)
def test_any_node_replaced_by_any_value(place: tuple[str, tuple[Any, ...]], text: str) -> None:
    same(hostile.replaced(*place, text))


@pytest.mark.parametrize(
    "text",
    ["null", "true", "0", "-1", "1.5", "1e999999999", '""', '"NaN"', '"x"', '"1"', "[]", "[[]]", "{}", '{"a":1}'],
)
def test_each_node_replaced_by_each_kind_of_value(text: str) -> None:
    for frame, path in PLACES:
        same(hostile.replaced(frame, path, text))


def test_each_node_left_out() -> None:
    for frame, path in PLACES:
        if path:
            tree = json.loads(frame)
            parent = tree
            for key in path[:-1]:
                parent = parent[key]
            del parent[path[-1]]
            same(json.dumps(tree, separators=(",", ":")))


@given(st.dictionaries(st.sampled_from(["event", "status", "pair", "errorMessage", "subscription"]), hostile.any_json))
def test_any_object(tree: dict[str, Any]) -> None:
    survive(json.dumps(tree))


@given(
    st.lists(hostile.any_json, max_size=6),
    st.sampled_from(["book-10", "trade", "ticker", "ohlc-1", "spread", "openOrders"]),
)
def test_any_array(items: list[Any], name: str) -> None:
    same(json.dumps(items))
    same(json.dumps([1, *items, name, "XBT/USD"]))
    same(json.dumps([items, name, {"sequence": 1}]))


def test_a_frame_that_is_too_long_is_not_looked_at() -> None:
    padding = " " * (MAX_FRAME_BYTES - len(UPDATE))
    assert survive(UPDATE + padding) == survive(UPDATE)
    with pytest.raises(ProtocolError, match="is longer than"):
        codec_for("v1").decode(UPDATE + padding + " ")


def test_a_number_as_long_as_a_frame() -> None:
    digits = "9" * (MAX_FRAME_BYTES - 1000)
    for frame, text in ((TRADES, "60000.00000"), (TRADES, "1790000001.000001"), (UPDATE, "3139033408")):
        assert survive(frame.replace(text, digits)) is None
        assert survive(frame.replace(text, f"0.{digits}")) is None
    assert survive(UPDATE.replace("27117.40000", digits)) is not None  # a book judges its numbers itself
    assert isinstance(survive(UPDATE.replace("book-10", f"book-{digits}")), Unknown)
    assert isinstance(survive(UPDATE.replace("XBT", digits)), Data)


def test_a_frame_full_of_unknown_keys() -> None:
    keys = ",".join(f'"key{number}":0' for number in range(20_000))
    for frame, key in ((SNAPSHOT, '{"as"'), (UPDATE, '{"b"')):
        assert survive(frame.replace(key, f"{{{keys},{key[1:]}")) == survive(frame)
    rows = ",".join(['["1.0","1.0","1.0","r",5]'] * 20_000)
    assert survive(f'[336,{{"b":[{rows}]}},"book-10","XBT/USD"]') is not None
