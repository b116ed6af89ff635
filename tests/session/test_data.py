"""From frames to events: who gets what, in which order, and what a latecomer starts with."""

from __future__ import annotations

import pytest

from kraken_trio.events import BookSnapshot, ConnectionState, TickerUpdate, Trade
from kraken_trio.requests import Book, Candles, Instruments, Request, Ticker, Trades
from tests.session.driver import (
    BTC,
    ETH,
    SOL,
    UNKNOWN_PAIR,
    Client,
    Market,
    ack,
    acks,
    asset,
    candle,
    data,
    instruments,
    pair,
    refusal,
    ticker,
    trade,
    trades,
    words,
)


@pytest.mark.parametrize(
    ("request_", "first"),
    [
        (Book(BTC), Market().snapshot()),
        (Ticker(BTC), ticker(1, kind="snapshot")),
        (Candles(BTC), candle(1, kind="snapshot")),
        (Instruments(), instruments([asset("BTC")], [pair(BTC)], kind="snapshot")),
        (Trades(BTC), trades(7)),
        (Trades(BTC, snapshot=True), trades(7, history=True)),
    ],
    ids=str,
)
def test_data_that_overtakes_its_answer_is_the_answer_and_comes_once(request_: Request, first: str) -> None:
    client = Client()
    client.add("feed", request_)
    asked = client.request()
    client.receive(first, *acks(asked))
    assert client.answers == {"feed": {}}
    assert len(client.events("feed")) == 1
    assert client.state is ConnectionState.SUBSCRIBED
    assert client.count("unmatched_answers") == 0


def test_a_book_update_overtakes_no_answer() -> None:
    client, market = Client(), Market()
    client.add("feed", Book(BTC))
    client.receive(market.tick("7.00"))
    assert client.answers == {}
    assert client.count("late") == 1


def test_data_that_overtakes_its_answer_comes_too_late_for_a_feed_that_is_refused() -> None:
    client = Client()
    client.add("feed", Ticker(BTC), Trades(ETH))
    client.receive(refusal(UNKNOWN_PAIR, client.requests()[1], ETH), ticker(1))
    assert client.answers == {"feed": {Trades(ETH): UNKNOWN_PAIR}}
    assert client.events("feed") == []
    assert client.count("late") == 1
    assert words(client.requests()) == ["unsubscribe ticker BTC/USD"]


# Trades


def ids(client: Client, feed: object) -> list[int | str]:
    """The numbers of the trades that came; gaps as the number of missing trades in a text."""
    return [
        event.trade_id if isinstance(event, Trade) else f"missed {getattr(event, 'missed', '?')}"
        for event in client.events(feed)
    ]


def test_trades_of_several_symbols_come_in_the_order_of_the_wire() -> None:
    client = Client()
    client.follow("feed", Trades(BTC), Trades(ETH))
    entries = [trade(1), trade(10, ETH), trade(2), trade(12, ETH), trade(12, ETH), trade(3)]
    client.receive(data("trade", "update", entries))
    assert ids(client, "feed") == [1, 10, 2, "missed 1", 12, 3]


def test_a_latecomers_history_has_no_holes() -> None:
    client = Client()
    client.follow("old", Trades(BTC))
    client.receive(trades(1, 2, 5, 6, 7))
    client.add("new", Trades(BTC, snapshot=True))
    first = client.events("new")
    assert [event.trade_id for event in first if isinstance(event, Trade) and event.snapshot] == [5, 6, 7]
    client.add("newer", Trades(BTC))
    assert client.events("newer") == []
    assert client.requests() == []
