"""The seam: what is above it is given a codec by the name of a protocol."""

from __future__ import annotations

import pytest

from kraken_trio import Book
from kraken_trio.wire import Codec, codec_for
from kraken_trio.wire.messages import Data, Empty, Foreign, Heartbeat, Method, Notice, Pong, Status


def test_a_codec_has_all_that_is_promised() -> None:
    codec: Codec = codec_for("v2")
    assert set(codec.channels) == {
        "book", "level3", "trade", "ticker", "ohlc", "instrument", "executions", "balances",
    }  # fmt: skip
    assert codec.snapshots_carry_checksums
    assert codec.decode('{"channel":"heartbeat"}') == Heartbeat()
    assert codec.decode(b'{"method":"pong"}', epoch=1, received_ns=1) == Pong(req_id=None)
    assert '"subscribe"' in codec.request(Method.SUBSCRIBE, [Book("BTC/USD")], 1)[0]
    assert '"ping"' in codec.ping(2)
    assert codec.guess_topic('{"channel":"book","data":[{"symbol":"BTC/USD"') == ("book", "BTC/USD")


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_a_request_mentions_what_it_is_about(protocol: str) -> None:
    codec = codec_for(protocol)
    (frame,) = codec.request(Method.SUBSCRIBE, [Book("BTC/USD"), Book("ETH/DOGE")], 1)
    asked = [("book", "BTC/USD"), ("book", "ETH/DOGE"), ("book", "ETH/USD"), ("trade", "BTC/USD")]
    assert [codec.mentions(frame, *key) for key in asked] == [True, True, False, False]
    assert codec.mentions(frame, "book", None)


def test_each_codec_counts_for_itself() -> None:
    one, other = codec_for("v2"), codec_for("v2")
    one.decode('{"channel":"new"}')
    assert (one.unknown, other.unknown) == ({"channel new": 1}, {})


@pytest.mark.parametrize("name", ["v3", "", "V2", "futures"])
def test_an_unknown_protocol_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(ValueError, match=r"is no protocol of this version: choose one of 'v1', 'v2'") as caught:
        codec_for(name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        ('{"channel":"heartbeat"}', Heartbeat),
        ('{"channel":"status","data":[{"system":"online"}]}', Status),
        ('{"channel":"ticker","type":"snapshot","data":[]}', Empty),
        ('{"channel":"ticker","type":"update","data":[]}', Data),
        ('{"channel":"book","type":"update","data":[]}', Data),
    ],
)
def test_what_the_exchange_sends_on_its_own_is_pushed(frame: str, kind: type[object]) -> None:
    message = codec_for("v2").decode(frame)
    assert isinstance(message, kind)
    assert message.is_pushed


def test_answers_and_what_a_proxy_says_are_not() -> None:
    codec = codec_for("v2")
    for frame in (
        '{"method":"pong","req_id":1}',
        '{"method":"subscribe","success":true,"result":{"channel":"book"}}',
        '{"method":"subscribe","success":false}',
        '{"Error":"Exceeded msg rate"}',
        "CloudFlare WebSocket proxy restarting",
        '{"event":"heartbeat"}',
        "{}",
    ):
        assert not codec.decode(frame).is_pushed
    assert Notice.is_pushed is Foreign.is_pushed is False
