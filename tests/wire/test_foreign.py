"""What is not v2: another of Kraken's protocols, and words that are no JSON."""

from __future__ import annotations

import json
from string import ascii_letters
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from kraken_trio import ProtocolError
from kraken_trio.wire import codec_for
from kraken_trio.wire.messages import Foreign, Message, Notice, Refusal, Unknown

if TYPE_CHECKING:
    from pathlib import Path


def decode(frame: str | bytes) -> Message:
    codec = codec_for("v2")
    message = codec.decode(frame)
    assert codec.decode(frame.encode() if isinstance(frame, str) else frame.decode()) == message
    return message


# Protocols

V1 = (
    '{"connectionID":13688620010177543517,"event":"systemStatus","status":"online","version":"1.9.1"}',
    '{"event":"heartbeat"}',
    '{"event":"pong","reqid":42}',
    (
        '{"channelID":336,"channelName":"book-10","event":"subscriptionStatus","pair":"XBT/USD","status":"subscribed",'
        '"subscription":{"depth":10,"name":"book"}}'
    ),
    (
        '{"errorMessage":"Subscription depth not supported","event":"subscriptionStatus","pair":"XBT/USD",'
        '"status":"error","subscription":{"depth":42,"name":"book"}}'
    ),
    '[0,{"as":[],"bs":[]},"book-10","XBT/USD"]',
    (
        '[336,{"a":[["27130.2","0.0","1693415479.7"]]},{"b":[["27136.0","4.2","1693415479.7"]],"c":"2366297588"},"book-10",'
        '"XBT/USD"]'
    ),
    '[321,[["57126.70000","0.02063928","1616333924.737428","b","m",""]],"trade","XBT/USD"]',
    '[343,["1675209613.118218","1675209660.000000","1.0","1.0","1.0","1.0","1.0","0.39012812",7],"ohlc-1","XBT/USD"]',
    '[341,["31760.00000","31760.10000","1654031976.197239","0.02167307","6.46761464"],"spread","XBT/USD"]',
    '[[],"openOrders",{"sequence":1}]',
    '[[{"T6JESJ-ZQZXR-IQ4S5R":{"cost":"5953.07941194"}}],"ownTrades",{"sequence":1}]',
)
FUTURES = (
    '{"event":"info","version":1}',
    '{"event":"alert","message":"Bad request"}',
    '{"event":"subscribed","feed":"book","product_ids":["PI_XBTUSD"]}',
    '{"feed":"heartbeat","time":1534262350627}',
    '{"feed":"book_snapshot","product_id":"PI_XBTUSD","timestamp":1612269825817,"seq":326072249,"bids":[],"asks":[]}',
)


@pytest.mark.parametrize(
    ("frame", "protocol"), [*((text, "v1") for text in V1), *((text, "futures") for text in FUTURES)]
)
def test_another_protocol_is_recognised(frame: str, protocol: str) -> None:
    shown = frame if len(frame) <= 200 else frame[:199] + "…"
    message = decode(frame)
    assert message == Foreign(protocol=protocol, text=shown)
    assert not message.is_pushed


@pytest.mark.parametrize("name", ["more/v1_public_frames.jsonl", "more/v1_private_frames.jsonl"])
def test_recorded_frames_of_v1(captures: Path, name: str) -> None:
    for line in (captures / name).read_text().splitlines():
        message = decode(line)
        assert isinstance(message, Foreign), line
        assert message.protocol == "v1"


def test_the_excerpt_is_printable() -> None:
    message = decode(json.dumps({"event": "systemStatus", "status": "\x1b[2J\u202e" * 100}, ensure_ascii=False))
    assert isinstance(message, Foreign)
    assert message.text.isprintable()
    assert len(message.text) <= 200


def test_what_may_come_from_either_is_quoted() -> None:
    """v1 says so of any request of ours; v2 may."""
    message = decode('{"errorMessage":"Malformed request","event":"error"}')
    assert isinstance(message, Refusal)
    assert (message.error, message.req_id) == ("Malformed request", None)


@pytest.mark.parametrize(
    "frame",
    [
        '{"event":"info","version":2,"serverId":"0","platform":{"status":1}}',  # another exchange
        '{"event":"info"}',
        '{"event":5}',
        '{"event":"auction"}',
        '{"feed":5}',
    ],
)
def test_what_is_not_certain_is_unknown(frame: str) -> None:
    message = decode(frame)
    assert message == Unknown(what="frame")
    assert not message.is_pushed


@pytest.mark.parametrize(
    "frame",
    [
        "[]",
        "[0]",
        '["book-10","XBT/USD"]',
        '[0,"book-10","XBT/USD"]',  # no payload
        '[true,{},"book-10","XBT/USD"]',
        '["0",{},"book-10","XBT/USD"]',
        '[0,{},"candles","XBT/USD"]',
        '[0,{},5,"XBT/USD"]',
        '[0,{},"book-10",5]',
        '[0,{},"book-10",null]',
        '[[],"openOrders",{}]',
        '[[],"closedOrders",{"sequence":1}]',
        '[0,[],"openOrders",{"sequence":1}]',
        '[17470,"hb"]',
    ],
)
def test_other_arrays_are_malformed(frame: str) -> None:
    with pytest.raises(ProtocolError, match="not an object"):
        decode(frame)


@pytest.mark.parametrize("key", ["method", "channel"])
def test_a_frame_of_v2_is_none_of_another_protocol(key: str) -> None:
    for frame in (*V1, *FUTURES):
        if frame.startswith("{"):
            message = decode(json.dumps({**json.loads(frame), key: "new"}))
            assert not isinstance(message, Foreign)


# Words


@pytest.mark.parametrize(
    "text",
    [
        "CloudFlare WebSocket proxy restarting",
        "Service Unavailable",
        "502 Bad Gateway",
        "going away - please reconnect.",
        "Wartungsarbeiten für Stunden",
        "  the server restarts now\r\n",
    ],
)
def test_words_are_a_notice(text: str) -> None:
    message = decode(text)
    assert message == Notice(text=text.strip())
    assert not message.is_pushed


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "restarting",  # one word may be the rest of anything
        "true",
        "1.5 2.5",
        "BTC/USD XBT/USD",
        "5e 5f",
        "{}}",
        '{"channel":"book"',
        'restarting, says "proxy"',
        "channel: book, type: update",
        "[proxy restarting]",
        "proxy \\u0000 restarting",
        "proxy\x1brestarting now",
        "proxy restarting now\x00",
        "proxy \u202erestarting now",
        "proxy restarting " + "x" * 500,
        b"proxy restarting \xff",
    ],
)
def test_what_may_be_damaged_is_no_notice(text: str | bytes) -> None:
    with pytest.raises(ProtocolError, match="the frame begins"):
        decode(text)


FRAMES = (
    (
        '{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[],"asks":[{"price":64525.3,"qty":0.0}],'
        '"checksum":2175437505,"timestamp":"2026-07-19T17:54:39.784623Z"}]}'
    ),
    '{"channel": "trade", "type": "update", "data": [{"symbol": "BTC/USD", "side": "buy", "price": 81011.5}]}',
    '{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"online","api_version":"v2"}]}',
    '{"method":"subscribe","req_id":17,"result":{"channel":"book","symbol":"BTC/USD"},"success":true}',
)


@given(st.sampled_from(FRAMES), st.data())
def test_no_piece_of_a_frame_is_a_notice(frame: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(frame)))
    piece = frame[start : data.draw(st.integers(start, len(frame)))]
    try:
        message: Message | None = decode(piece)
    except ProtocolError:
        return
    assert not isinstance(message, Notice | Foreign)


@given(st.lists(st.text(ascii_letters, min_size=3, max_size=12), min_size=2, max_size=8))
def test_any_words_are_a_notice(words: list[str]) -> None:
    text = " ".join(words)
    assert decode(text) == Notice(text=text)
