"""The connection: is the peer alive, what happens at a loss, and what comes back after it."""

from __future__ import annotations

from math import inf

import pytest

from kraken_trio.errors import ConnectError
from kraken_trio.events import BookSnapshot, Cause, ConnectionState, Gap, StateChange, Trade
from kraken_trio.requests import Book, Candles, Instruments, Lifecycle, Ticker, Trades
from tests.session.driver import (
    BTC,
    BUSY,
    ETH,
    HEARTBEAT,
    SOL,
    Client,
    Market,
    ack,
    acks,
    asset,
    candle,
    instruments,
    pong,
    status,
    ticker,
    trades,
    words,
)

D, C, S, R = (
    ConnectionState.DISCONNECTED,
    ConnectionState.CONNECTING,
    ConnectionState.SUBSCRIBED,
    ConnectionState.RESYNCING,
)


def test_a_feed_that_holds_up_reading_does_so_across_a_loss() -> None:
    client = Client()
    client.hold()
    client.lose()
    client.reconnect()
    client.advance(100)
    assert client.drops == []
    client.resume()
    client.advance(client.settings.silence_limit)
    assert client.drops == [Cause.SILENCE]
