"""The records of a log: what a session was told and did, as bytes, and back."""

from __future__ import annotations

import json
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import example, given, strategies as st

import kraken_trio as kt
from kraken_trio.channels import Kept
from kraken_trio.encoding import decode_request
from kraken_trio.errors import ConnectError, ProtocolError
from kraken_trio.recording import records as log
from kraken_trio.session import inputs, records
from kraken_trio.wire.rest import Answer, Query
from kraken_trio.wire.tree import decode_tree
from tests.recording import entries


def numbered(feed: object) -> int:
    assert isinstance(feed, int)
    return feed


@given(entries.told, st.integers(0, 9))
@example(inputs.BudgetSpent("120 in ten minutes"), 0)
def test_inputs_come_back(happening: inputs.Input, epoch: int) -> None:
    told = log.read(log.encode(log.told_of(happening, numbered, epoch)))
    assert isinstance(told, log.Told)
    assert told.epoch == (epoch if isinstance(happening, inputs.Connected) else 0)
    found = log.input_of(told, decode_request)
    if isinstance(happening, inputs.ConnectFailed):
        assert isinstance(found, inputs.ConnectFailed)
        assert (str(found.error), vars(found.error)) == (str(happening.error), vars(happening.error))
    else:
        assert found == happening
        assert repr(found) == repr(happening)


def test_texts_that_are_no_unicode_do_not_end_a_recording() -> None:
    text = "/data/\udcff"  # a path of another encoding, as Python has it
    for happening in (inputs.BudgetSpent(text), inputs.ConnectFailed(ConnectError(text))):
        told = log.read(log.encode(log.told_of(happening, numbered, 0)))
        assert isinstance(told, log.Told)
        assert told.text == r"/data/\udcff"
    other = log.read(log.encode(log.decision_of(records.AttemptDelayed(why=text), 0)))
    assert isinstance(other, log.Other)
    assert other.fields == {"why": r"/data/\udcff"}


def test_an_answer_of_rest_comes_back_with_its_digits() -> None:
    query = Query("TradesHistory", (("ofs", "50"),), after=5.0, number=3)
    result = decode_tree('{"trades":{"T1":{"vol":"0.10","time":1790000150.1230}}}')
    happening = inputs.Answered(query, Answer(result, pairs={"XXBTZUSD": "BTC/USD"}, error="no \udcff", received_ns=7))
    told = log.read(log.encode(log.told_of(happening, numbered, 0)))
    assert isinstance(told, log.Told)
    found = log.input_of(told, decode_request)
    assert isinstance(found, inputs.Answered)
    assert found.query == query
    answer = found.answer
    # Numbers are texts in the log, with the same digits.
    assert answer.result == {"trades": {"T1": {"vol": "0.10", "time": "1790000150.1230"}}}
    assert (answer.pairs, answer.error, answer.received_ns) == ({"XXBTZUSD": "BTC/USD"}, r"no \udcff", 7)


def test_an_answer_of_rest_that_is_too_deep_is_damage() -> None:
    question = log.Question(name="TradesHistory", result=msgspec.Raw(b"[" * 100_000))
    with pytest.raises(ProtocolError, match="no JSON"):
        log.answered(question)


def test_a_record_of_something_else_is_no_input() -> None:
    assert log.input_of(log.Told(what="Sent", text="{}"), decode_request) is None


@given(entries.decided, st.integers(0, 9))
def test_decisions_come_back(record: Any, taken: int) -> None:
    found = log.read(log.encode(log.decision_of(record, taken)))
    assert isinstance(found, log.Decision)
    assert found.frame == getattr(record, "frame", None)
    assert found.taken == taken
    match record, found:
        case records.SubscriptionBegun(), log.Begun():
            assert decode_request(found.request) == record.request
        case records.StepTaken(), log.Stepped():
            assert found.key == (record.request.channel, record.request.symbol)
            assert (found.step, found.because) == (record.current.value, record.happening.value)
        case records.StateReset(), log.Reset():
            assert found.key == (record.request.channel, record.request.symbol)
        case records.GapAnnounced(), log.Missed():
            assert log.event_of(found.gap) == record.gap
            assert found.keys == record.keys
        case records.StateChanged(), log.Changed():
            assert log.event_of(found.change) == record.change
            assert log.event_of(found.change, 5).epoch == record.change.epoch + 5
        case records.ExchangeStatus(), log.Reported():
            assert log.event_of(found.status) == record.status
        case records.Resynced(), log.Resynced():
            assert (found.cause, found.detail, found.attempt) == (record.cause.value, record.detail, record.attempt)
        case _, log.Other():
            assert found.what == type(record).__name__
            names = {field.name for field in attrs.fields(type(record))} - {"frame"}
            assert set(found.fields) == names
            assert json.loads(log.encode(found))["kind"] == "Other"
        case _:
            pytest.fail(f"{record} became {found}")


@given(entries.wishes, st.lists(entries.events, max_size=3), st.dictionaries(st.text(max_size=3), st.integers(0, 9)))
def test_key_frames_come_back(request_: kt.Request[Any], events: list[kt.Event], marks: dict[str, int]) -> None:
    found = log.read(log.encode(log.key_frame(request_, "live", Kept(tuple(events), marks))))
    assert isinstance(found, log.KeyFrame)
    assert decode_request(found.request) == request_
    assert list(map(log.event_of, found.events)) == events
    assert found.marks == marks


@given(st.lists(entries.wishes, max_size=4))
def test_lists_of_requests_come_back(wanted: list[kt.Request[Any]]) -> None:
    assert list(log.requests_of(log.named_requests(wanted))) == wanted


def test_lists_of_requests_leave_out_what_is_unknown() -> None:
    assert list(log.requests_of('[["Level9",{}],["Book",{"symbol":"BTC/USD"}]]')) == [kt.Book("BTC/USD")]
    for text in ("", "{}", "[" * 100_000):
        assert list(log.requests_of(text)) == []


def test_kinds_and_fields_of_a_later_version_are_skipped() -> None:
    assert log.read(b'{"kind":"Foreseen","at":[1]}') is None
    assert log.read(b'{"kind":"Started","later":1}') == log.Started()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"kind":1}',
        b'{"kind":"Stepped"}',
        b'{"kind":"Hole","from_ns":"x"}',
        b"[" * 100_000,
    ],
    ids=["empty", "no kind", "a list", "no text", "a number", "no fields", "a text", "deep"],
)
def test_what_is_no_record(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="it is no record: "):
        log.read(data)
