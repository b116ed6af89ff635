"""A heartbeat proves the connection; whether a subscription lives is judged by what it does."""

from __future__ import annotations

import pytest

from kraken_trio.events import Cause, ConnectionState, Gap
from kraken_trio.requests import Book, Candles, Instruments, Request, Ticker, Trades
from kraken_trio.session.subscription import SubscriptionState
from tests.session.driver import (
    BTC,
    ETH,
    SOL,
    Client,
    Market,
    asset,
    candle,
    data,
    instruments,
    ticker,
    trades,
    words,
)

BEAT = 1.0
"""Seconds between the heartbeats of a connection that lives."""


def causes(client: Client, feed: object = "feed") -> list[Cause]:
    return [event.cause for event in client.events(feed) if isinstance(event, Gap)]


# Confirmed, and the first data never comes


FIRST: list[tuple[Request, str]] = [
    (Book(BTC), Market().snapshot()),
    (Ticker(BTC), ticker(1, kind="snapshot")),
    (Candles(BTC), candle(1, kind="snapshot")),
    (Instruments(), instruments([asset("BTC")], kind="snapshot")),
]


@pytest.mark.parametrize(("request_", "first"), FIRST, ids=[str(request) for request, _ in FIRST])
def test_what_is_confirmed_and_then_silent_is_subscribed_anew(request_: Request, first: str) -> None:
    client = Client()
    client.follow("feed", request_)
    client.advance(9.9, heartbeat=BEAT)
    assert client.requests() == []
    client.advance(0.2, heartbeat=BEAT)
    assert client.state() is ConnectionState.RESYNCING
    (gap,) = client.events("feed")
    assert isinstance(gap, Gap)
    assert (gap.cause, gap.channel, gap.symbol) == (Cause.RESUBSCRIBED, request_.channel, request_.symbol)
    assert "first data" in gap.detail
    assert client.count("resyncs") == 1
    assert [asked["method"] for asked in client.accept()] == ["unsubscribe"]
    assert [asked["method"] for asked in client.accept()] == ["subscribe"]
    client.receive(first)
    assert client.state() is ConnectionState.SUBSCRIBED
    assert len(client.events("feed")) == 1
    client.advance(100, heartbeat=BEAT)
    assert client.requests() == []


def test_that_it_must_be_made_anew_is_why_the_state_changes() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.advance(11, heartbeat=BEAT)
    change = client.changes[-1]
    assert (change.current, change.cause, change.detail) == (ConnectionState.RESYNCING, Cause.RESUBSCRIBED, BTC)


def test_what_stays_silent_is_parked_with_one_gap_more_and_tried_again_after_a_rest() -> None:
    client = Client()
    client.follow("feed", Candles(BTC))
    client.follow("other", Ticker(ETH))
    client.receive(ticker(1, ETH))
    asked: list[str] = []
    while not client.count("parked"):
        client.advance(1, heartbeat=BEAT)
        asked += words(client.accept())
    assert causes(client) == [Cause.RESUBSCRIBED, Cause.PARKED]
    assert asked.count("subscribe ohlc BTC/USD") == client.settings.attempts
    assert client.session.statistics().subscriptions[Candles(BTC)] is SubscriptionState.PARKED
    client.advance(1, heartbeat=BEAT)
    client.accept()
    client.advance(client.settings.park_time - 5, heartbeat=BEAT)
    assert client.requests() == []
    client.advance(5, heartbeat=BEAT)
    assert words(client.accept()) == ["subscribe ohlc BTC/USD"]
    client.receive(candle(1))
    assert client.session.statistics().subscriptions[Candles(BTC)] is SubscriptionState.LIVE
    assert client.kinds("other") == ["TickerUpdate"]


def test_a_gap_is_told_once_however_often_it_is_tried() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.receive(ticker(1))
    client.events("feed")
    client.lose()
    client.reconnect()
    for _ in range(60):
        client.advance(1, heartbeat=BEAT)
        client.accept()
    assert causes(client) == [Cause.DISCONNECTED]


def test_while_we_do_not_listen_nothing_is_missed() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.hold()
    client.advance(100)
    client.resume()
    client.advance(9, heartbeat=BEAT)
    assert client.requests() == []


def test_trades_of_a_symbol_that_never_had_any_are_not_waited_for() -> None:
    client = Client()
    client.follow("feed", Trades(BTC))
    client.advance(3600, heartbeat=BEAT)
    client.lose()
    client.reconnect()
    client.accept()
    client.advance(3600, heartbeat=BEAT)
    assert client.requests() == []
    assert causes(client) == [Cause.DISCONNECTED]
    assert client.state() is ConnectionState.SUBSCRIBED


def test_trades_of_a_symbol_that_had_some_are_waited_for() -> None:
    client = Client()
    client.follow("feed", Trades(BTC))
    client.receive(trades(1))
    client.lose()
    client.reconnect()
    client.accept()
    client.advance(11, heartbeat=BEAT)
    assert words(client.accept()) == ["unsubscribe trade BTC/USD"]
    client.accept()
    client.receive(trades(1, 2, history=True))
    assert client.kinds("feed") == ["Trade", "Gap disconnected", "Trade"]


# There is nothing yet: that is an answer, too


def empty(channel: str) -> str:
    return data(channel, "snapshot", [])


def test_an_empty_snapshot_is_waited_for_no_longer() -> None:
    client = Client()
    client.follow("feed", Candles(BTC))
    client.receive(empty("ohlc"))
    assert client.session.statistics().subscriptions[Candles(BTC)] is SubscriptionState.LIVE
    client.advance(100, heartbeat=BEAT)
    assert client.requests() == []
    assert client.events("feed") == []
    client.receive(candle(1))
    assert client.kinds("feed") == ["Candle"]


def test_an_empty_snapshot_of_trades_after_an_outage() -> None:
    client = Client()
    client.follow("feed", Trades(BTC))
    client.receive(trades(7))
    client.lose()
    client.reconnect()
    client.accept()
    client.receive(empty("trade"))
    client.advance(100, heartbeat=BEAT)
    assert client.requests() == []
    client.receive(trades(1))  # the exchange lost its memory
    assert client.kinds("feed") == ["Trade", "Gap disconnected", "Gap missed", "Trade"]


def test_an_empty_snapshot_that_was_taken_for_another_ones_sets_itself_right() -> None:
    client = Client()
    client.follow("feed", Candles(BTC), Candles(ETH), Candles(SOL))
    client.receive(empty("ohlc"))  # it was that of ETH
    client.receive(candle(1), candle(1, symbol=SOL))
    client.advance(11, heartbeat=BEAT)
    assert words(client.accept()) == ["unsubscribe ohlc ETH/USD"]
    assert words(client.accept()) == ["subscribe ohlc ETH/USD"]
    client.receive(empty("ohlc"))
    client.advance(100, heartbeat=BEAT)
    assert client.requests() == []
    assert client.kinds("feed") == ["Candle", "Candle", "Gap resubscribed"]


@pytest.mark.parametrize("channel", ["book", "ticker", "trade", "ohlc", "status"])
def test_an_empty_snapshot_that_nobody_waits_for_changes_nothing(channel: str) -> None:
    client = Client()
    client.follow("feed", Book(BTC), Trades(BTC))
    client.receive(empty(channel), data(channel, "update", []))
    assert client.session.statistics().subscriptions == {
        Book(BTC): SubscriptionState.CONFIRMED,
        Trades(BTC): SubscriptionState.CONFIRMED,
    }
    assert client.count("malformed") == 0
