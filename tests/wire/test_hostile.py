"""Any bytes give a message or a ProtocolError, and neither is larger than it should be.

No clock is used: what bounds the time is that every frame is bounded, and that nothing is converted, compared or
printed before its size was looked at.
"""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import pytest
from hypothesis import example, given, settings, strategies as st

from kraken_trio import OrderBook, ProtocolError
from kraken_trio._digits import MAX_DIGITS
from kraken_trio.events import BookSnapshot, BookUpdate, Level
from kraken_trio.settings import MAX_FRAME_BYTES
from kraken_trio.wire import codec_for
from kraken_trio.wire.messages import (
    Ack,
    Data,
    Empty,
    Foreign,
    Heartbeat,
    Message,
    Notice,
    Pong,
    Refusal,
    Status,
    Unknown,
)
from tests.wire.frames import BOOK_UPDATE, FRAMES, INSTRUMENTS, REFUSAL, TICKER, TRADE

if TYPE_CHECKING:
    from collections.abc import Iterator

MESSAGES = (Ack, Data, Empty, Foreign, Heartbeat, Notice, Pong, Refusal, Status, Unknown)


def numbers(value: Any) -> Iterator[Decimal]:
    """Every Decimal of a message. What a level holds is for the book to judge: see :func:`judged`."""
    if isinstance(value, Decimal):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from numbers(item)
    elif not isinstance(value, Level):
        for item in held(value):
            yield from numbers(item)


def held(value: Any) -> list[Any]:
    """What a message or an event consists of."""
    if isinstance(value, msgspec.Struct):
        return [getattr(value, name) for name in value.__struct_fields__]
    return list(attrs.asdict(value, recurse=False).values()) if attrs.has(type(value)) else []


def judged(event: BookSnapshot | BookUpdate) -> None:
    """Let a book take it. What it does not refuse consists of texts that are numbers."""
    levels = (*event.bids, *event.asks)
    try:
        OrderBook(10).apply(BookSnapshot(symbol=event.symbol, bids=event.bids, asks=event.asks))
    except ProtocolError as error:
        assert str(error).isprintable()  # noqa: PT017 (of any of many)
        return
    assert {type(text) for level in levels for text in (level.price_text, level.qty_text)} <= {str}
    assert all(level.price.is_finite() and level.qty.is_finite() for level in levels)


def timestamps(value: Any) -> Iterator[datetime]:
    if isinstance(value, datetime):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from timestamps(item)
    else:
        for item in held(value):
            yield from timestamps(item)


def survive(frame: str | bytes, protocol: str = "v2") -> Message | None:
    """The message, or None if the frame was refused. Everything else that could happen is a failure."""
    decoder = codec_for(protocol)
    assert all(part is None or (part.isprintable() and len(part) <= 65) for part in decoder.guess_topic(frame))
    message, refusal = None, None
    try:
        message = decoder.decode(frame, epoch=3, received_ns=17)
    except ProtocolError as error:
        refusal = error
    if refusal is not None:
        assert type(refusal) is ProtocolError
        assert str(refusal).isprintable()
        assert len(str(refusal)) < 400
        return None
    assert isinstance(message, MESSAGES)
    assert len(decoder.unknown) <= 257
    assert all(what.isprintable() and len(what) < 100 for what in decoder.unknown)
    for number in numbers(message):
        assert number.is_finite()
        assert len(number.as_tuple().digits) <= MAX_DIGITS
        assert abs(number.adjusted()) <= MAX_DIGITS
    assert all(timestamp.tzinfo is not None for timestamp in timestamps(message))
    if isinstance(message, Data):
        for event in message.events:
            assert (event.epoch, event.received_ns) == (3, 17)
            if isinstance(event, BookSnapshot | BookUpdate):
                judged(event)
    return message


def test_what_is_damaged_below_is_whole_here() -> None:
    for frame in FRAMES:
        assert survive(frame) == survive(frame.encode()) is not None
        assert not isinstance(survive(frame), Unknown)


# Bytes


@given(st.binary() | st.text())
@example(b"")
@example(b"\xef\xbb\xbf{}")
@example(b"\xff\xfe{\x00}\x00")
@example('{"channel":"heart\ud800beat"}')
@example('{"channel":"heart\\ud800beat"}')
@example("\x00")
@example("NaN")
@example('{"channel":NaN}')
@example("[" * 1_000_000)
@example("9" * 100_000)
@example("-")
def test_anything(frame: str | bytes) -> None:
    survive(frame)


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
    survive(bytes(frame))


def test_a_frame_that_ends_early_is_refused() -> None:
    for frame in FRAMES:
        assert all(survive(frame[:end]) is None for end in range(len(frame)))


def test_more_than_one_document_is_refused() -> None:
    for frame in FRAMES:
        assert survive(frame + "{}") is None
        assert survive(frame + frame) is None
        assert survive(f"[{frame}]") is None
        assert survive(f" \n{frame}\t ") == survive(frame)


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80"])
def test_bad_utf_8_is_refused(bad: bytes) -> None:
    for frame in (BOOK_UPDATE, TRADE, REFUSAL):
        assert survive(frame.encode().replace(b"BTC/USD", b"BTC/USD" + bad)) is None


# Size


def test_a_frame_that_is_too_long_is_not_looked_at() -> None:
    padding = " " * (MAX_FRAME_BYTES - len(BOOK_UPDATE))
    assert survive(BOOK_UPDATE + padding) == survive(BOOK_UPDATE)
    for frame in (BOOK_UPDATE + padding + " ", (BOOK_UPDATE + padding + " ").encode(), b"x" * 10_000_000):
        with pytest.raises(ProtocolError, match=f"a frame of {len(frame)} bytes is longer than {MAX_FRAME_BYTES}"):
            codec_for("v2").decode(frame)


@pytest.mark.parametrize(
    "frame",
    [
        "[" * 1_000_000,
        '{"a":' * 1_000_000,
        '{"channel":"status","data":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"channel":"book","type":"update","data":[{"symbol":"A/B","bids":[],"asks":[],"new":'
        + "[" * 100_000
        + "]" * 100_000
        + "}]}",
        '{"channel":"instrument","type":"update","data":{"assets":[' + '{"id":' * 100_000 + "}" * 100_000 + "]}}",
    ],
    ids=["lists", "objects", "status", "book", "instrument"],
)
def test_deep_nesting_is_refused(frame: str) -> None:
    assert survive(frame) is None


@pytest.mark.parametrize("depth", [10, 100, 500])
def test_moderate_nesting_where_nobody_looks_is_none_of_our_business(depth: int) -> None:
    nested = "[" * depth + "]" * depth
    for frame in (BOOK_UPDATE, TRADE):
        assert survive(frame.replace('{"symbol"', f'{{"new":{nested},"symbol"')) == survive(frame)


def test_a_number_as_long_as_a_frame() -> None:
    digits = "9" * (MAX_FRAME_BYTES - 1000)
    assert survive(TRADE.replace("81011.5", digits)) is None
    assert survive(TRADE.replace("81011.5", f"0.{digits}")) is None
    assert survive(TRADE.replace("100320028", digits)) is None
    assert survive(TICKER.replace("0.99980", f'"{digits}"')) is None
    assert survive(BOOK_UPDATE.replace("64525.3", digits)) is None
    # A book judges its numbers itself.
    assert survive(BOOK_UPDATE.replace("64525.3", f"64525.{digits}")) is not None


def test_a_frame_full_of_entries() -> None:
    entry = TRADE[TRADE.index("[") + 1 : -2]
    message = survive(TRADE.replace(entry, ",".join([entry] * 2_000)))
    assert isinstance(message, Data)
    assert len(message.events) == 2_000
    with pytest.raises(ProtocolError, match="at most 20000"):
        codec_for("v2").decode(TRADE.replace(entry, ",".join([entry] * 20_001)))
    # One bad one among them refuses the whole frame.
    assert survive(TRADE.replace(entry, ",".join([entry] * 2_000 + ["{}"]))) is None


def test_a_frame_full_of_unknown_keys() -> None:
    keys = ",".join(f'"key{number}":0' for number in range(20_000))
    for frame in (BOOK_UPDATE, TRADE, INSTRUMENTS):
        message = survive(frame.replace('{"symbol"', f'{{{keys},"symbol"').replace('"data"', f'{keys},"data"'))
        assert message == survive(frame)


# Trees

_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        [
            "NaN",
            "sNaN",
            "-Infinity",
            "1e999999999",
            " 1 ",
            "1_000",
            "snapshot",
            "update",
            "book",
            "trade",
            "ticker",
            "ohlc",
            "instrument",
            "status",
            "heartbeat",
            "pong",
            "subscribe",
            "BTC/USD",
            "2026-07-19T17:54:39",
            "2026-07-19T17:54:39+25:00",
            "9999-12-31T23:59:59.9999999999Z",
            "\x1b[2J",
            "x" * 10_000,
        ],
    )
)
any_json = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
# What json.dumps does not write.
odd_json = st.sampled_from(
    [
        "NaN",
        "-Infinity",
        "1e999999999",
        "-1e999999999",
        "1e-999999999",
        "0e999999999",
        "1e99999999999999999999",
        "9" * 400,
        "9" * 5000,
        "0." + "9" * 400,
        "-0",
        "-0.0",
        "1.",
        "01",
        '"\\ud800"',
        '"\\u0000"',
        "[" * 200 + "]" * 200,
        "{}",
        "[]",
        "[[]]",
        "[{}]",
    ],
)


def paths(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the nodes of a tree are."""
    yield path
    if isinstance(tree, dict):
        for key in tree:
            yield from paths(tree[key], (*path, key))
    elif isinstance(tree, list):
        for index in range(len(tree)):
            yield from paths(tree[index], (*path, index))


PLACES = [(frame, path) for frame in FRAMES for path in paths(json.loads(frame))]
_HERE = "\ue000here"


def replaced(frame: str, path: tuple[Any, ...], text: str) -> str:
    """The frame with the node at ``path`` written as ``text``. Numbers become texts, which both are accepted."""
    if not path:
        return text
    tree = json.loads(frame)
    parent = tree
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = _HERE
    return json.dumps(tree, separators=(",", ":")).replace(json.dumps(_HERE), text)


@given(st.sampled_from(PLACES), any_json.map(json.dumps) | odd_json)
@settings(max_examples=200)
def test_any_node_replaced_by_any_value(place: tuple[str, tuple[Any, ...]], text: str) -> None:
    survive(replaced(*place, text))


@pytest.mark.parametrize(
    "text",
    ["null", "true", "0", "-1", "1.5", "1e999999999", '""', '"NaN"', '"x"', "[]", "[[]]", "[5]", "{}", '{"a":1}'],
)
def test_each_node_replaced_by_each_kind_of_value(text: str) -> None:
    for frame, path in PLACES:
        survive(replaced(frame, path, text))


def test_each_node_left_out() -> None:
    for frame, path in PLACES:
        if path:
            tree = json.loads(frame)
            parent = tree
            for key in path[:-1]:
                parent = parent[key]
            del parent[path[-1]]
            survive(json.dumps(tree, separators=(",", ":")))


@given(st.sampled_from(FRAMES), st.sampled_from(["channel", "type", "data", "method", "error", "result"]), any_json)
def test_a_key_that_stands_twice(frame: str, key: str, value: Any) -> None:
    again = f'"{key}":{json.dumps(value)}'
    survive(f"{frame[:-1]},{again}}}")
    survive(f"{{{again},{frame[1:]}")


@given(st.dictionaries(st.sampled_from(["channel", "type", "data", "method", "success", "result", "error"]), any_json))
def test_any_object(tree: dict[str, Any]) -> None:
    survive(json.dumps(tree))


@pytest.mark.parametrize("text", ["5", "null", "true", '"channel"', "[]", "1.5"])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError, match="not an object; the frame begins"):
        codec_for("v2").decode(text)


def test_the_error_shows_where_the_frame_begins() -> None:
    with pytest.raises(ProtocolError) as caught:
        codec_for("v2").decode(b'{"channel":"\x1b\xff' + b"x" * 1000)
    text = str(caught.value)
    assert text.isprintable()
    assert '; the frame begins {"channel":"\\x1b\N{REPLACEMENT CHARACTER}xxx' in text
    assert text.endswith("…")


def test_damage_is_not_contagious() -> None:
    decoder = codec_for("v2")
    for frame in FRAMES:
        with pytest.raises(ProtocolError):
            decoder.decode(frame[:-1])
        assert decoder.decode(frame, epoch=3, received_ns=17) == survive(frame)


# Salvage


@pytest.mark.parametrize(
    ("frame", "about"),
    [
        (BOOK_UPDATE[:61], ("book", "BTC/USD")),
        (BOOK_UPDATE.replace("64525.3", "64525,3"), ("book", "BTC/USD")),
        (BOOK_UPDATE.replace("64525.3", "64525,3").encode() + b"\xff", ("book", "BTC/USD")),
        ('{ "channel" : "trade", "data" : [{"symbol" : "ETH2.S/ETH" ', ("trade", "ETH2.S/ETH")),
        ('{"channel":"book","type":"upd', ("book", None)),
        ('"symbol":"BTC/USD"', (None, "BTC/USD")),
        ('{"channel":"BOOK"}', (None, None)),
        ('{"channel":"' + "b" * 33 + '"}', (None, None)),
        ('{"channel":5,"symbol":"BTCUSD"}', (None, None)),
        ('{"channel":"book","symbol":"\x1b/USD"}', ("book", None)),
        (" " * 4096 + BOOK_UPDATE, (None, None)),
        ("", (None, None)),
        (b"\xff\xfe", (None, None)),
    ],
)
def test_salvage(frame: str | bytes, about: tuple[str | None, str | None]) -> None:
    assert codec_for("v2").guess_topic(frame) == about
