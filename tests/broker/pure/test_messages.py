"""What is in a message comes back as it was, in both forms; its schema says what is sent; hostile bytes are refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, get_args

import jsonschema  # type: ignore[import-untyped]  # it has no types
import msgspec
import pytest
from hypothesis import example, given, settings, strategies as st

import kraken_trio as kt
from kraken_trio._zstd import zstd
from kraken_trio.broker import messages
from kraken_trio.broker.messages import (
    Batch,
    Catalog,
    Form,
    KeyFrame,
    LeaseNote,
    decode_batch,
    decode_catalog,
    decode_key_frame,
    decode_lease,
    decode_number,
    encode,
    schema,
)
from tests.recording import entries

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

forms = st.sampled_from(Form)
numbers = st.integers(0, 2**63 - 1)
channels = st.text(min_size=1, max_size=10)
symbols = st.none() | st.text(min_size=1, max_size=10)
marks = st.dictionaries(st.text(max_size=8), st.integers(-(2**63), 2**63 - 1), max_size=3)


def built(cls: Any, **fields: SearchStrategy[Any]) -> SearchStrategy[Any]:
    return st.fixed_dictionaries(fields).map(lambda found: cls(**found))


batches = built(
    Batch,
    producer=numbers,
    seq=numbers,
    channel=channels,
    symbol=symbols,
    events=st.lists(entries.events, min_size=1, max_size=5),
    request=st.none() | entries.wishes,
)
key_frames = built(
    KeyFrame,
    producer=numbers,
    seq=st.integers(-1, 2**63 - 1),
    channel=channels,
    symbol=symbols,
    request=entries.wishes,
    events=st.lists(entries.events, max_size=4),
    marks=marks,
)
catalogs = built(
    Catalog,
    producer=numbers,
    shard=numbers,
    shards=numbers,
    keyframe_every=st.floats(0.1, 1000),
    requests=st.lists(entries.wishes, max_size=4).map(tuple),
)
leases = built(LeaseNote, shard=numbers, holder=st.text(max_size=20))
EACH: dict[type, tuple[Any, Callable[[bytes], Any]]] = {
    Batch: (batches, decode_batch),
    KeyFrame: (key_frames, decode_key_frame),
    Catalog: (catalogs, decode_catalog),
    LeaseNote: (leases, decode_lease),
}
DECODERS = [decode_batch, decode_key_frame, decode_number, decode_catalog, decode_lease]
a_message = batches | key_frames | catalogs | leases
VALIDATORS = {
    cls: jsonschema.Draft202012Validator({"$ref": f"#/$defs/{cls.__name__}", "$defs": schema()["$defs"]})
    for cls in (Batch, KeyFrame, Catalog, LeaseNote)
}


@pytest.mark.parametrize("cls", EACH)
@settings(max_examples=40)
@given(data=st.data(), form=forms)
def test_messages_come_back(cls: type, data: st.DataObject, form: Form) -> None:
    strategy, decode = EACH[cls]
    message = data.draw(strategy)
    found = decode(encode(message, form))
    assert found == message
    assert repr(found) == repr(message)
    if isinstance(message, KeyFrame):
        assert decode_number(encode(message, form)) == (message.producer, message.seq)


# Validating against a schema takes long, and what it says of an event does not depend on many of its values.
@settings(max_examples=20)
@given(a_message)
def test_json_is_as_the_schema_says(message: Any) -> None:
    check(message)


def check(message: Any) -> None:
    data = encode(message)
    if not data.startswith(b"{"):
        data = zstd.decompress(data)
    VALIDATORS[type(message)].validate(json.loads(data))


@pytest.mark.parametrize("cls", get_args(kt.Event))
@settings(max_examples=8)
@given(data=st.data(), form=forms)
def test_events_of_each_class_are_sent_as_the_schema_says(cls: Any, data: st.DataObject, form: Form) -> None:
    events = data.draw(st.lists(entries.struct(cls), min_size=1, max_size=3))
    batch = Batch(producer=1, seq=0, channel="any", symbol=None, events=events)
    check(batch)
    found = decode_batch(encode(batch, form))
    assert found.events == events
    assert repr(found.events) == repr(events)


def test_the_schema_is_one_and_refuses_what_is_not_sent() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    whole = jsonschema.Draft202012Validator(schema())
    good = json.loads(encode(LeaseNote(shard=1, holder="me")))
    whole.validate(good)
    wrong: Any
    for wrong in ({}, [], {**good, "v": 2}, {**good, "shard": "1"}, {**good, "holder": None}):
        assert not whole.is_valid(wrong)
    batch = json.loads(encode(Batch(producer=1, seq=0, channel="c", symbol=None, events=[entry()])))
    whole.validate(batch)
    (name, run) = batch["events"][0]
    for wrong in ([["Nothing", run]], [[name, []]], [[name]], [name], [[name, [1]]]):
        assert not whole.is_valid({**batch, "events": wrong})


def entry() -> kt.StatusUpdate:
    return kt.StatusUpdate(system="online", epoch=1, received_ns=2)


@pytest.mark.parametrize("form", Form)
def test_what_is_large_is_compressed(form: Form) -> None:
    few = Batch(producer=1, seq=0, channel="c", symbol="s", events=[entry()])
    many = msgspec.structs.replace(few, events=[entry()] * 20_000)
    assert encode(few, form)[:1] in (b"{", b"\x86")
    data = encode(many, form)
    assert data[:4] == b"\x28\xb5\x2f\xfd"
    assert len(data) < messages.COMPRESS_FROM
    assert decode_batch(data) == many


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_MESSAGE_BYTES", 100_000)
    bomb = zstd.compress(b" " * 10_000_000)
    for decode in DECODERS:
        with pytest.raises(kt.ProtocolError, match="cut off, or too large"):
            decode(bomb)
    whole = zstd.compress(encode(LeaseNote(shard=1, holder="me")))
    assert decode_lease(whole).holder == "me"
    for cut in range(4, len(whole)):
        with pytest.raises(kt.ProtocolError, match=r"cut off|cannot be read"):
            decode_lease(whole[:cut])
    with pytest.raises(kt.ProtocolError, match="followed by something else"):
        decode_lease(whole + b"x")


@pytest.mark.parametrize("form", Form)
def test_another_version_is_named(form: Form) -> None:
    sent = json.loads(encode(LeaseNote(shard=1, holder="me")))
    sent["v"] = 2
    data = json.dumps(sent).encode() if form is Form.JSON else msgspec.msgpack.encode(sent)
    with pytest.raises(kt.ProtocolError, match="a message of version 2, and this program knows 1"):
        decode_lease(data)


@pytest.mark.parametrize("form", Form)
def test_fields_of_a_later_version_are_passed_over(form: Form) -> None:
    sent = json.loads(encode(LeaseNote(shard=1, holder="me"))) | {"later": [1, {}]}
    data = json.dumps(sent).encode() if form is Form.JSON else msgspec.msgpack.encode(sent)
    assert decode_lease(data) == LeaseNote(shard=1, holder="me")


@given(st.binary() | st.binary().map(b"{".__add__) | st.binary().map(b"\x28\xb5\x2f\xfd".__add__))
@example(b"{" * 100_000)
@example(b"\x81" * 100_000)
@example(b"\x91" * 100_000)
@example(b'{"a":' * 100_000)
@example(b'{"a":' + b"9" * 10_000 + b"}")
@example(b"\xff")
@example(b'{"v": 1, "producer": 1, "seq": 0, "channel": "\xff", "events": []}')
def test_any_bytes_are_a_message_or_an_error(data: bytes) -> None:
    for decode in DECODERS:
        check_refusal(decode, data)


@settings(max_examples=60)
@given(a_message, forms, st.data())
def test_damaged_messages_are_messages_or_errors(message: Any, form: Form, data: st.DataObject) -> None:
    sent = bytearray(encode(message, form))
    for _ in range(data.draw(st.integers(1, 3))):
        sent[data.draw(st.integers(0, len(sent) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(sent[: data.draw(st.integers(0, len(sent)))])
    for decode in DECODERS:
        for one in (bytes(sent), damaged):
            check_refusal(decode, one)


def check_refusal(decode: Callable[[bytes], Any], data: bytes) -> None:
    """It is a message, or an error that can be shown."""
    try:
        decode(data)
    except kt.ProtocolError as refused:
        error = refused
    else:
        return
    assert str(error).isprintable()


@pytest.mark.parametrize(
    "events",
    [
        b'[["Nothing", []]]',
        b'[["Tr\\u0007de", []]]',
        b'[["Trade", [1]]]',
        b'[["Trade", [{}]]]',
        b'[["StatusUpdate", [{"system": "x"}]], ["Nothing", []]]',
        b'[["Struct", []]]',
        b'[["Trade"]]',
        b"[[1, []]]",
        b"5",
    ],
)
def test_what_are_no_events(events: bytes) -> None:
    with pytest.raises(kt.ProtocolError, match="a message that cannot be read"):
        decode_batch(b'{"v": 1, "producer": 1, "seq": 0, "channel": "c", "events": ' + events + b"}")


def test_no_events_are_read_as_none() -> None:
    assert decode_batch(b'{"v": 1, "producer": 1, "seq": 0, "channel": "c", "events": []}').events == []


@pytest.mark.parametrize("request_", [b"[]", b'["Book", {}]', b'["Book", {"symbol": "A/B", "depth": 3}]', b'["X", {}]'])
def test_what_are_no_requests(request_: bytes) -> None:
    with pytest.raises(kt.ProtocolError):
        decode_catalog(
            b'{"v": 1, "producer": 1, "shard": 0, "shards": 1, "keyframe_every": 5, "requests": [' + request_ + b"]}"
        )
