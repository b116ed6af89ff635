"""The frames that we send are those of the protocol's documentation, key for key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from kraken_trio import Book, Candles, Instruments, Ticker, Trades
from kraken_trio.wire.codec import codec_for
from kraken_trio.wire.messages import Ack, Data, Method
from kraken_trio.wire.v2.requests import ping, request
from tests.wire.frames import BOOK_SNAPSHOT, BOOK_UPDATE, INSTRUMENTS, LISTS, TICKER, TRADE

if TYPE_CHECKING:
    from kraken_trio import Request


@pytest.mark.parametrize(
    ("asked", "identity", "extras"),
    [
        ([Book("BTC/USD"), Book("ETH/USD")], {"depth": 10}, {"snapshot": True}),
        ([Book("BTC/USD", depth=1000)], {"depth": 1000}, {"snapshot": True}),
        ([Trades("BTC/USD"), Trades("ETH/USD"), Trades("A/B")], {}, {"snapshot": True}),
        ([Trades("BTC/USD", snapshot=True)], {}, {"snapshot": True}),
        ([Ticker("BTC/USD")], {"event_trigger": "trades"}, {"snapshot": True}),
        ([Ticker("BTC/USD", trigger="bbo")], {"event_trigger": "bbo"}, {"snapshot": True}),
        ([Candles("BTC/USD", interval=15)], {"interval": 15}, {"snapshot": True}),
        ([Instruments()], {}, {"snapshot": True}),
        ([Instruments(include_tokenized_assets=True)], {}, {"snapshot": True, "include_tokenized_assets": True}),
    ],
)
def test_requests(asked: list[Request], identity: dict[str, object], extras: dict[str, object]) -> None:
    params: dict[str, object] = {"channel": asked[0].channel}
    if asked[0].symbol is not None:
        params["symbol"] = [one.symbol for one in asked]  # an array, even for one
    assert json.loads(request(Method.SUBSCRIBE, asked, 17)) == {
        "method": "subscribe",
        "params": params | identity | extras,
        "req_id": 17,
    }
    assert json.loads(request(Method.UNSUBSCRIBE, asked, 18)) == {
        "method": "unsubscribe",
        "params": params | identity,
        "req_id": 18,
    }


def test_a_request_is_one_line_of_text() -> None:
    assert request(Method.SUBSCRIBE, [Book("BTC/USD", depth=25), Book("ETH/USD", depth=25)], 17) == (
        '{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD","ETH/USD"],"depth":25,"snapshot":true},'
        '"req_id":17}'
    )


def test_ping() -> None:
    assert ping(101) == '{"method":"ping","req_id":101}'


def test_a_req_id_of_64_bits() -> None:
    assert json.loads(ping(2**64 - 1))["req_id"] == 2**64 - 1


# What an exchange writes


@pytest.mark.parametrize(
    "frame", [*LISTS, INSTRUMENTS, TICKER.replace('"last":0.99981,', "").replace("0.01,", "1E-8,")]
)
def test_data_written_again_are_the_same(frame: str) -> None:
    codec = codec_for("v2")
    message = codec.decode(frame)
    assert isinstance(message, Data)
    again = codec.decode(codec.data(message.events))
    assert (again, repr(again)) == (message, repr(message))
    assert not codec.unknown


@pytest.mark.parametrize("frame", [BOOK_SNAPSHOT, BOOK_UPDATE, TRADE])
def test_they_are_written_as_kraken_writes_them(frame: str) -> None:
    codec = codec_for("v2")
    message = codec.decode(frame)
    assert isinstance(message, Data)
    assert codec.data(message.events) == frame


def test_a_book_without_a_checksum() -> None:
    codec = codec_for("v2")
    message = codec.decode('{"channel":"book","type":"update","data":[{"symbol":"A/B","bids":[],"asks":[]}]}')
    assert isinstance(message, Data)
    assert codec.decode(codec.data(message.events * 2)) == Data("book", message.events * 2)


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize(
    "asked",
    [Book("BTC/USD", 25), Trades("BTC/USD"), Ticker("BTC/USD"), Candles("BTC/USD", 15), Instruments()],
    ids=lambda asked: str(asked.channel),
)
def test_confirmations(asked: Request, method: Method) -> None:
    codec = codec_for("v2")
    assert codec.decode(codec.confirmation(method, asked, 17)[0]) == Ack(
        method=method,
        channel=asked.channel or "",
        symbol=asked.symbol,
        req_id=17,
        depth=25 if isinstance(asked, Book) else None,
        interval=15 if isinstance(asked, Candles) else None,
    )
