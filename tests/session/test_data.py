"""From frames to events: who gets what, in which order, and what a latecomer starts with."""

from __future__ import annotations

import pytest

from kraken_trio.events import (
    BookSnapshot,
    Candle,
    Cause,
    ConnectionState,
    Gap,
    InstrumentUpdate,
    TickerUpdate,
    Trade,
)
from kraken_trio.requests import Book, Candles, Instruments, Request, Ticker, Trades
from kraken_trio.statistics import SubscriptionState
from tests.session.driver import (
    ALREADY,
    BTC,
    BUSY,
    ETH,
    UNKNOWN_PAIR,
    Client,
    Market,
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
    assert client.state() is ConnectionState.SUBSCRIBED
    assert client.count("unmatched_answers") == 0


def test_a_book_update_overtakes_no_answer() -> None:
    client, market = Client(), Market()
    client.add("feed", Book(BTC))
    client.receive(market.tick("7.00"))
    assert client.answers == {}
    assert client.count("late") == 1


@pytest.mark.parametrize(
    ("request_", "old"),
    [(Book(BTC), Market().snapshot()), (Ticker(BTC), ticker(1)), (Trades(BTC), trades(1, 2, history=True))],
    ids=str,
)
def test_data_that_seemed_to_overtake_its_answer_is_none_if_that_says_no(request_: Request, old: str) -> None:
    client = Client()
    client.add("feed", request_)
    asked = client.request()
    client.receive(old, refusal(UNKNOWN_PAIR, asked, BTC))
    assert client.answers == {"feed": {}}
    assert client.kinds("feed")[-1] == "Gap refused"
    assert client.states == {request_: SubscriptionState.REFUSED}
    client.add("other", request_)
    client.receive(old, refusal(BUSY, client.request(), BTC))
    assert client.kinds("other")[-1] == "Gap resubscribed"
    assert client.state() is ConnectionState.RESYNCING
    client.advance(1, heartbeat=1)
    client.receive(*acks(client.request()), old)
    assert client.state() is ConnectionState.SUBSCRIBED


def test_what_was_known_before_such_a_no_is_not_known_any_more() -> None:
    client = Client()
    client.add("feed", Candles(BTC))
    client.receive(candle(1), refusal(BUSY, client.request(), BTC))
    client.advance(1, heartbeat=1)
    client.accept()
    client.receive(candle(2))
    client.add("late", Candles(BTC))
    assert [event.interval_begin.minute for event in client.events("late") if isinstance(event, Candle)] == [2]


def test_a_no_to_an_older_request_changes_nothing() -> None:
    client = Client()
    client.add("one", Ticker(BTC))
    older = client.request()
    client.remove("one")
    client.add("two", Ticker(BTC))
    client.accept()
    client.receive(*acks(client.request()), ticker(1), refusal(UNKNOWN_PAIR, older, BTC))
    assert client.kinds("two") == ["TickerUpdate"]
    assert client.states == {Ticker(BTC): SubscriptionState.LIVE}


def test_what_overtook_its_answer_stays_if_that_says_that_it_was_there_already() -> None:
    client = Client()
    client.add("feed", Ticker(BTC))
    asked = client.request()
    client.receive(ticker(1), refusal(ALREADY, asked, BTC))
    assert client.kinds("feed") == ["TickerUpdate"]
    assert client.requests() == []
    assert client.count("unmatched_answers") == 0


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
        event.trade_id or 0 if isinstance(event, Trade) else f"missed {getattr(event, 'missed', '?')}"
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


def test_a_repeated_trade_comes_once_and_a_jump_is_told() -> None:
    client = Client()
    client.follow("feed", Trades(BTC))
    client.receive(trades(1, 2), trades(2, 3), trades(9))
    assert ids(client, "feed") == [1, 2, 3, "missed 5", 9]
    assert client.count("trades_missed") == 5
    (gap,) = [event for event in client.effects.deliver["feed"] if isinstance(event, Gap)]
    assert (gap.cause, gap.channel, gap.symbol) == (Cause.MISSED, "trade", BTC)
    assert gap.detail == "trades 4 to 8 are missing"
    assert client.state() is ConnectionState.SUBSCRIBED


def test_history_goes_to_those_who_asked_for_it() -> None:
    client = Client(connect=False)
    client.add("plain", Trades(BTC))
    client.add("history", Trades(BTC, snapshot=True))
    client.connect()
    (asked,) = client.requests()
    assert asked["params"]["snapshot"] is True
    client.receive(*acks(asked), trades(1, 2, history=True), trades(3))
    assert ids(client, "plain") == [3]
    assert ids(client, "history") == [1, 2, 3]


# What a latecomer starts with


def test_a_latecomer_starts_with_what_is_known_and_asks_nothing() -> None:
    client, market = Client(), Market()
    wishes: list[Request] = [Book(BTC), Ticker(BTC), Candles(BTC), Instruments(), Trades(BTC)]
    client.follow("first", *wishes)
    client.receive(
        market.snapshot(),
        market.tick("7.00"),
        ticker(1, kind="snapshot"),
        ticker(2),
        candle(1),
        candle(2),
        instruments([asset("BTC")], [pair(BTC)], kind="snapshot"),
        instruments([], [pair(BTC, "maintenance")]),
        trades(1, 2),
    )
    client.events("first")
    client.add("late", *wishes)
    assert client.answers["late"] == {}
    assert client.requests() == []
    book, tick, one, two, reference = client.events("late")
    assert isinstance(book, BookSnapshot)
    assert book.checksum == market.checksum
    assert isinstance(tick, TickerUpdate)
    assert tick.snapshot
    assert tick.last == 2
    assert [c.interval_begin.minute for c in (one, two) if isinstance(c, Candle) and c.snapshot] == [1, 2]
    assert isinstance(reference, InstrumentUpdate)
    assert reference.snapshot
    assert reference.pairs[0].status == "maintenance"
    assert client.events("first") == []
    client.receive(market.tick("8.00"), ticker(3))
    assert client.kinds("late") == client.kinds("first") == ["BookUpdate", "TickerUpdate"]


def test_a_latecomer_starts_with_nothing_while_nothing_is_known() -> None:
    client, market = Client(), Market()
    client.follow("first", Book(BTC), Ticker(BTC))
    client.add("late", Book(BTC), Ticker(BTC))
    assert client.answers["late"] == {}
    assert client.events("late") == []
    client.receive(market.snapshot(), ticker(1))
    assert client.kinds("late") == client.kinds("first") == ["BookSnapshot", "TickerUpdate"]


def test_a_latecomer_to_a_book_that_failed_starts_with_its_next_snapshot() -> None:
    client, market = Client(), Market()
    client.follow_book("first", market)
    client.receive(market.tick("7.00", spoil=1))
    client.add("late", Book(BTC))
    assert client.events("late") == []
    client.accept()
    assert client.answers.get("late") is None
    client.accept()
    assert client.answers["late"] == {}
    client.receive(market.snapshot())
    assert client.kinds("first") == ["Gap checksum", "BookSnapshot"]
    assert client.kinds("late") == ["BookSnapshot"]


def test_what_was_known_before_a_loss_is_not_known_any_more() -> None:
    client = Client()
    client.follow("first", Ticker(BTC), Candles(BTC))
    client.receive(ticker(1), candle(1))
    client.lose()
    client.reconnect()
    client.accept()
    client.receive(ticker(2), candle(2))
    client.add("late", Ticker(BTC), Candles(BTC))
    assert [getattr(event, "epoch", None) for event in client.events("late")] == [2, 2]


def test_a_feed_whose_other_wishes_take_long_starts_with_the_present() -> None:
    client, market = Client(), Market()
    client.add("feed", Book(BTC), Ticker(ETH), Trades(ETH))
    book, tickers, _ = client.requests()
    client.receive(*acks(book), *acks(tickers), market.snapshot(), market.tick("7.00"), ticker(1, ETH), ticker(2, ETH))
    assert client.events("feed") == []
    client.receive(trades(1, symbol=ETH))
    first, second, third = client.events("feed")
    assert isinstance(first, BookSnapshot)
    assert first.checksum == market.checksum
    assert isinstance(second, TickerUpdate)
    assert second.last == 2
    assert isinstance(third, Trade)


def test_one_batch_keeps_the_order_of_the_wire() -> None:
    client, market = Client(), Market()
    client.follow_book("feed", market, Ticker(BTC), Trades(BTC))
    client.receive(ticker(1), trades(1), market.tick("7.00"), ticker(2), market.tick("8.00"), trades(2))
    assert client.kinds("feed") == ["TickerUpdate", "Trade", "BookUpdate", "TickerUpdate", "BookUpdate", "Trade"]
