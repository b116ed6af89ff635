"""The frames that we send are those of the protocol's documentation, key for key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from kraken_trio import Book, Candles, Instruments, Ticker, Trades
from kraken_trio.wire.messages import Method
from kraken_trio.wire.v2.requests import ping, request

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
