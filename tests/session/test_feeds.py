"""Several feeds of one client: shared subscriptions, who is refused, who waits for what."""

from __future__ import annotations

import pytest

from kraken_trio.events import BookSnapshot, Candle, Cause, ConnectionState, Gap, StateChange, TickerUpdate, Trade
from kraken_trio.requests import Book, Candles, Instruments, Lifecycle, Request, Ticker, Trades
from kraken_trio.session.subscription import SubscriptionState
from tests.session.driver import (
    ABSENT,
    BTC,
    BUSY,
    ETH,
    SOL,
    UNKNOWN_PAIR,
    Client,
    Market,
    ack,
    acks,
    asset,
    candle,
    instruments,
    pair,
    refusal,
    ticker,
    trades,
    words,
)


def test_a_feed_that_joins_what_was_refused_gets_an_answer_of_its_own() -> None:
    client = Client()
    client.follow("old", Ticker(BTC))
    client.lose()
    client.reconnect()
    client.receive(refusal(UNKNOWN_PAIR, client.request(), BTC))
    client.add("new", Ticker(BTC))
    assert "new" not in client.answers
    client.receive(refusal(UNKNOWN_PAIR, client.request(), BTC))
    assert client.answers["new"] == {Ticker(BTC): UNKNOWN_PAIR}
    assert client.session.statistics().subscriptions == {Ticker(BTC): SubscriptionState.REFUSED}
    assert "Gap refused" in client.kinds("old")
    assert client.events("new") == []


def test_a_feed_that_joins_during_an_outage_waits_for_its_end() -> None:
    client, market = Client(), Market()
    client.follow_book("old", market)
    client.lose()
    client.add("new", Book(BTC))
    assert "new" not in client.answers
    client.reconnect()
    client.accept()
    client.receive(market.snapshot())
    assert client.answers["new"] == {}
    assert client.kinds("new") == ["BookSnapshot"]
    assert client.kinds("old") == ["Gap disconnected", "BookSnapshot"]


def test_a_feed_that_joins_what_is_about_to_be_parked_does_not_wait_for_the_end_of_its_rest() -> None:
    client, market = Client(attempts=1), Market()
    client.follow_book("old", market)
    client.receive(market.tick("7.00", spoil=1))
    client.accept()  # unsubscribe
    client.accept()  # subscribe
    client.receive(market.snapshot(spoil=1))
    (leaving,) = client.requests()
    assert client.session.statistics().parked == 1
    client.add("new", Book(BTC))
    client.receive(*acks(leaving))
    client.accept()
    client.receive(market.snapshot())
    assert client.answers["new"] == {}
    assert client.kinds("new") == ["BookSnapshot"]
    assert client.kinds("old")[-1] == "BookSnapshot"
    client.advance(2 * client.settings.park_time, heartbeat=1)
    assert client.requests() == []
    assert client.state is ConnectionState.SUBSCRIBED


def test_only_what_is_too_much_is_refused() -> None:
    client = Client(max_subscriptions=2)
    client.follow("old", Ticker(BTC))
    client.add("new", Ticker(ETH), Ticker(SOL), Ticker(BTC), Lifecycle())
    assert list(client.answers["new"]) == [Ticker(SOL)]
    assert "max_subscriptions" in client.answers["new"][Ticker(SOL)]
    assert client.requests() == []
    client.follow("other", Ticker(BTC), Ticker(ETH))


def test_a_refused_feed_does_not_wait_for_the_next_connection() -> None:
    client = Client()
    client.add("feed", Ticker(BTC), Trades(ETH))
    client.receive(refusal(UNKNOWN_PAIR, client.requests()[0], BTC))
    assert client.answers == {}  # the other answer is just coming
    client.lose()
    assert client.answers == {"feed": {Ticker(BTC): UNKNOWN_PAIR}}
    assert list(client.session.subscriptions) == []


def test_a_feed_gets_nothing_before_its_answer() -> None:
    """Nobody reads it yet, so what came would fill its channel."""
    client = Client()
    client.add("feed", Lifecycle(), Book(BTC))
    client.lose()
    client.reconnect()
    assert client.events("feed") == []
    client.accept()
    client.receive(Market().snapshot())
    assert client.kinds("feed") == ["BookSnapshot", "StateChange"]


def test_what_an_exchange_says_is_printable_wherever_it_appears() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.lose()
    client.reconnect()
    (asked,) = client.requests()
    client.receive(refusal("\x1b[2J" + 1000 * "no", asked), refusal("no", None, "\x1b[2J" + 1000 * "X"))
    gaps = [event for event in client.events("feed") if isinstance(event, Gap)]
    for text in (*client.warnings, *(gap.detail for gap in gaps)):
        assert text.isprintable()
        assert len(text) < 300
