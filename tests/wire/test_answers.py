"""What answers a request (refusals: test_refusals.py), and the exchange's own state."""

from __future__ import annotations

import json
from collections import ChainMap
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from kraken_trio.wire import codec_for
from kraken_trio.wire.messages import Ack, Message, Method, Pong, Refusal, RefusalKind, Status

if TYPE_CHECKING:
    from pathlib import Path


def decode(frame: str) -> Message:
    return codec_for("v2").decode(frame)


def decode_tree(**tree: Any) -> Message:
    return decode(json.dumps(tree))


# Acks


@pytest.mark.parametrize("method", list(Method))
def test_ack(method: Method) -> None:
    message = decode(
        f'{{"method":"{method.value}","req_id":17,"result":{{"channel":"book","depth":25,"snapshot":true,'
        '"symbol":"BTC/USD"},"success":true,"time_in":"2026-08-02T03:35:50.983359Z",'
        '"time_out":"2026-08-02T03:35:50.983398Z"}',
    )
    assert message == Ack(method=method, channel="book", symbol="BTC/USD", req_id=17, depth=25)


def test_ack_of_candles() -> None:
    message = decode(
        '{"method":"subscribe","result":{"channel":"ohlc","interval":5,"snapshot":true,"symbol":"BTC/USDT",'
        '"warnings":["timestamp is deprecated, use interval_begin"]},"success":true}',
    )
    assert message == Ack(
        method=Method.SUBSCRIBE,
        channel="ohlc",
        symbol="BTC/USDT",
        req_id=None,
        interval=5,
        warnings=("timestamp is deprecated, use interval_begin",),
    )


@pytest.mark.parametrize("value", [None, "25", 25.0, 25.5, True, [25], {"depth": 25}, 10**30])
def test_the_depth_and_the_interval_are_whole_numbers(value: object) -> None:
    message = decode_tree(
        method="subscribe", success=True, result={"channel": "book", "depth": value, "interval": value}
    )
    assert message == Ack(method=Method.SUBSCRIBE, channel="book", symbol=None, req_id=None)


@pytest.mark.parametrize("value", [0, -10, 7, 2**64 - 1])
def test_an_ack_says_what_the_exchange_said(value: int) -> None:
    result = {"channel": "book", "depth": value, "interval": value}
    message = decode_tree(method="subscribe", success=True, result=result)
    assert message == Ack(
        method=Method.SUBSCRIBE, channel="book", symbol=None, req_id=None, depth=value, interval=value
    )


def test_ack_of_a_channel_without_symbols() -> None:
    message = decode(
        '{"method":"subscribe","result":{"channel":"instrument","snapshot":true,'
        '"warnings":["tick_size is deprecated, use price_increment"]},"success":true}',
    )
    assert message == Ack(
        method=Method.SUBSCRIBE,
        channel="instrument",
        symbol=None,
        req_id=None,
        warnings=("tick_size is deprecated, use price_increment",),
    )


def test_warnings_are_printable_and_bounded() -> None:
    message = decode_tree(
        method="subscribe",
        success=True,
        result={"channel": "ohlc", "warnings": ["\x1b[0m" * 1000, 5, {"a": None}] * 100},
    )
    assert isinstance(message, Ack)
    assert len(message.warnings) == 16
    assert all(text.isprintable() and len(text) <= 200 for text in message.warnings)
    assert message.warnings[1] == "5"


@pytest.mark.parametrize("result", [{}, {"channel": 5, "symbol": 7, "warnings": "none"}, {"channel": None}])
def test_an_ack_may_lack_everything(result: dict[str, object]) -> None:
    message = decode_tree(method="unsubscribe", success=True, result=result)
    assert message == Ack(method=Method.UNSUBSCRIBE, channel="", symbol=None, req_id=None)


@pytest.mark.parametrize("req_id", [None, "17", 1.5, True, [17]])
def test_a_req_id_is_a_whole_number(req_id: object) -> None:
    for message in (
        decode_tree(method="subscribe", success=True, req_id=req_id, result={"channel": "book"}),
        decode_tree(method="subscribe", success=False, req_id=req_id, error="no"),
        decode_tree(method="pong", req_id=req_id),
    ):
        assert isinstance(message, Ack | Refusal | Pong)
        assert message.req_id is None


def test_a_req_id_of_64_bits() -> None:
    assert decode_tree(method="pong", req_id=2**64 - 1) == Pong(req_id=2**64 - 1)


# Pongs


def test_a_pong_with_any_subset() -> None:
    subsets: list[list[dict[str, Any]]] = [
        [{"req_id": 101}, {}],
        [{"time_in": "2026-08-02T03:36:10.100001Z", "time_out": "x"}, {"time_in": 5}, {}],
        [{"success": True}, {"success": False}, {}],
        [{"result": {"warnings": ["w"]}}, {"result": None}, {"error": "e"}, {}],
    ]
    for number, *others in product(*subsets):
        message = decode_tree(method="pong", **number, **dict(ChainMap(*others)))
        assert message == Pong(req_id=number.get("req_id"))


# Status


def test_status() -> None:
    message = decode(
        '{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"online","api_version":"v2",'
        '"connection_id":16174536464690282295,"upcoming_maintenance":[],"emergency":[]}]}',
    )
    assert message == Status(
        system="online",
        version="2.0.10",
        api_version="v2",
        connection_id=16174536464690282295,  # above 2**63: no float, no signed 64 bits
    )


def test_status_with_data_before_type_and_fewer_fields() -> None:
    message = decode('{"data":[{"system":"maintenance"}],"type":"update","channel":"status"}')
    assert message == Status(system="maintenance")


def test_during_maintenance_there_is_no_connection_id() -> None:
    message = decode(
        '{"channel":"status","data":[{"api_version":"v2","system":"maintenance","version":"2.0.6"}],"type":"update"}'
    )
    assert message == Status(system="maintenance", version="2.0.6", api_version="v2")


def test_recorded_answers_and_states(captures: Path) -> None:
    codec = codec_for("v2")
    lines = (captures / "more" / "v2_control_and_error_frames.jsonl").read_text().splitlines()
    messages = [codec.decode(line) for line in lines]
    assert not codec.unknown
    assert [type(message) for message in messages if not isinstance(message, Refusal)] == [Pong, *[Status] * 3]
    refusals = {message.error: message for message in messages if isinstance(message, Refusal)}
    assert len(refusals) == len(messages) - 4
    limited = refusals.pop(next(error for error in refusals if error.startswith("Rate limit for snapshot")))
    assert (limited.kind, limited.mentioned, limited.channel) == (RefusalKind.LATER, ("YFI/USD",), "level3")
    stale = [error for error, refusal in refusals.items() if refusal.kind is RefusalKind.STALE_TOKEN]
    assert stale == ["ESession:Invalid session"]
    assert {refusals[error].kind for error in refusals.keys() - stale} == {RefusalKind.FINAL}
    assert {refusal.symbol for refusal in refusals.values()} == {None, "WWW/USD"}


def test_the_last_entry_of_a_status_holds() -> None:
    assert decode_tree(channel="status", data=[{"system": "online"}, {"system": "post_only"}]) == Status(
        system="post_only",
    )


def test_a_status_may_be_an_object() -> None:
    assert decode_tree(channel="status", data={"system": "limit_only"}) == Status(system="limit_only")


@pytest.mark.parametrize("number", ["1.0", '"7"', "null", "true", "1e19"])
def test_a_connection_id_is_a_whole_number(number: str) -> None:
    message = decode(f'{{"channel":"status","data":[{{"system":"online","connection_id":{number}}}]}}')
    assert message == Status(system="online")


def test_notices_are_texts_of_what_came() -> None:
    message = decode(
        '{"channel":"status","data":[{"system":"online","upcoming_maintenance":[{"stage":"imminent_5m",'
        '"services":["spot_ws"]}],"emergency":["fire"]}]}',
    )
    assert isinstance(message, Status)
    assert message.notices == ('{"stage":"imminent_5m","services":["spot_ws"]}', '"fire"')


def test_a_status_is_bounded() -> None:
    many = ["\u202e\x9b" + "x" * 10_000] * 100
    message = decode_tree(
        channel="status",
        data=[{"system": "\x07" * 1000, "version": many, "upcoming_maintenance": many, "emergency": many}],
    )
    assert isinstance(message, Status)
    assert message.system.isprintable()
    assert len(message.system) <= 40
    assert len(message.version) <= 40
    assert len(message.notices) == 16
    assert all(len(notice) <= 500 and notice.isprintable() for notice in message.notices)


@pytest.mark.parametrize("notices", ["none", 5, None, {"a": 1}])
def test_notices_that_are_no_list_are_none(notices: object) -> None:
    assert decode_tree(channel="status", data=[{"system": "online", "emergency": notices}]) == Status(system="online")


@pytest.mark.parametrize(
    ("times", "in_ns", "out_ns"),
    [
        ({"time_in": "2026-08-02T03:36:10.5Z", "time_out": "2026-08-02T03:36:10.500001Z"}, 500_000_000, 500_001_000),
        ({"time_in": "2026-08-02T03:36:10Z"}, 0, None),
        ({"time_in": "noon", "time_out": 5}, None, None),
        ({}, None, None),
    ],
    ids=["both", "one", "nonsense", "none"],
)
def test_the_times_of_a_pong(times: dict[str, object], in_ns: int | None, out_ns: int | None) -> None:
    second = 1_785_641_770 * 10**9
    pong = decode_tree(method="pong", req_id=1, **times)
    assert isinstance(pong, Pong)
    assert pong.in_ns == (None if in_ns is None else second + in_ns)
    assert pong.out_ns == (None if out_ns is None else second + out_ns)
