"""Asking the exchange: frames, pacing, answers of every kind, and no answer at all."""

from __future__ import annotations

import pytest

from kraken_trio.events import Cause, ConnectionState, Gap
from kraken_trio.requests import Book, Candles, Instruments, Request, Ticker, Trades
from kraken_trio.session.subscription import SubscriptionState
from tests.session.driver import (
    ABSENT,
    ALREADY,
    BARE_RATE_LIMIT,
    BTC,
    BUSY,
    ETH,
    RATE_LIMIT,
    SOL,
    UNKNOWN_PAIR,
    Client,
    Market,
    ack,
    acks,
    asset,
    candle,
    instruments,
    refusal,
    ticker,
    trades,
    words,
)

# No answer


def test_what_is_left_because_another_symbol_was_not_answered_is_not_judged_any_more() -> None:
    """A late tick finds two things due, and what it does about the first ends the second."""
    client = Client()
    client.add("feed", Book(BTC), Ticker(ETH), Ticker(SOL))
    book, tickers = client.requests()
    client.now += 0.1
    client.receive(*acks(book), refusal(UNKNOWN_PAIR, tickers, SOL))
    client.now += client.settings.answer_timeout + 1
    client.tick()
    assert client.answers == {"feed": {Ticker(SOL): UNKNOWN_PAIR}}
    assert client.count("resyncs") == 0


def test_an_answer_that_never_came_is_not_missed_by_the_next_request() -> None:
    client = Client()
    client.add("first", Ticker(BTC))
    client.requests()  # and there is no answer
    client.advance(5)
    client.remove("first")
    client.add("second", Ticker(BTC))
    assert words(client.accept()) == ["unsubscribe ticker BTC/USD"]
    (again,) = client.requests()
    client.advance(5.5, heartbeat=1)  # the first request's time is over, the second one's is not
    client.receive(ack(again, BTC))
    assert client.answers["second"] == {}
    assert client.requests() == []


def test_an_answer_that_comes_late_is_not_taken_for_the_next_one() -> None:
    client = Client()
    client.add("first", Ticker(BTC))
    first = client.request()
    client.remove("first")
    client.add("second", Ticker(BTC))
    assert words(client.accept()) == ["unsubscribe ticker BTC/USD"]
    second = client.request()
    client.receive(ack(first, BTC))
    assert "second" not in client.answers
    client.receive(refusal(UNKNOWN_PAIR, second, BTC))
    assert client.answers["second"] == {Ticker(BTC): UNKNOWN_PAIR}


@pytest.mark.parametrize("seconds", [10, 10.5])  # paused, and asked again
def test_what_was_asked_without_an_answer_is_left_too(seconds: float) -> None:
    """The exchange may be slow, and take it up when nobody wants it any more."""
    client = Client()
    client.add("feed", Ticker(BTC))
    client.advance(seconds, heartbeat=1)
    client.remove("feed")
    assert words(client.requests())[-1] == "unsubscribe ticker BTC/USD"


def test_what_the_exchange_finally_refused_is_not_left() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.lose()
    client.reconnect()
    client.receive(refusal(UNKNOWN_PAIR, client.request(), BTC))
    client.remove("feed")
    assert client.requests() == []
    assert list(client.session.subscriptions) == []


# Answers without a number


def test_an_answer_without_a_number_belongs_to_the_oldest_request_that_fits() -> None:
    client = Client()
    requests: list[Request] = [Book(BTC), Ticker(BTC), Ticker(ETH), Instruments()]
    for request in requests:
        client.add(request, request)
    book, btc, eth, reference = client.requests()
    client.receive(ack(eth, ETH, req_id=None))
    assert client.answers == {Ticker(ETH): {}}
    client.receive(ack(btc, BTC, req_id=None))
    client.receive(ack(reference, req_id=None))
    assert list(client.answers) == [Ticker(ETH), Ticker(BTC), Instruments()]
    client.receive(refusal(UNKNOWN_PAIR, None, BTC))
    assert client.answers[Book(BTC)] == {Book(BTC): UNKNOWN_PAIR}
    assert client.count("unmatched_answers") == 0


def test_an_answer_without_a_number_that_fits_nothing_is_counted() -> None:
    client = Client()
    client.add("feed", Ticker(BTC))
    (asked,) = client.requests()
    client.receive(ack(asked, ETH, req_id=None), ack(asked, BTC, method="unsubscribe", req_id=None))
    client.receive(ack(asked, req_id=None), refusal(UNKNOWN_PAIR), refusal(UNKNOWN_PAIR, None, SOL))
    assert client.answers == {}
    assert client.count("unmatched_answers") == 5


def test_a_refusal_with_the_number_of_something_else_puts_no_request_in_doubt() -> None:
    client = Client()
    client.add("feed", Ticker(BTC))
    (asked,) = client.requests()
    client.receive(refusal(RATE_LIMIT, asked | {"req_id": 4711, "method": "ping"}))
    client.advance(2)
    client.receive(*acks(asked))
    assert client.answers == {"feed": {}}
    assert client.count("unmatched_answers") == 1
    assert client.count("rate_limited") == 1


# Leaving


@pytest.mark.parametrize("error", [BUSY, RATE_LIMIT])
def test_leaving_is_asked_again_until_it_is_done(error: str) -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.remove("feed")
    for _ in range(3):
        client.receive(refusal(error, client.request(), BTC))
        assert not client.session.flushed
        client.advance(0.9)
        assert client.requests() == []
        client.advance(0.2)
    client.accept()
    assert list(client.session.subscriptions) == []
    assert client.session.flushed


@pytest.mark.parametrize("error", [ABSENT, UNKNOWN_PAIR])
def test_what_the_exchange_does_not_have_is_left(error: str) -> None:
    client = Client()
    client.follow("feed", Ticker(BTC))
    client.remove("feed")
    client.receive(refusal(error, client.request() | {"method": "subscribe"}, BTC))
    assert list(client.session.subscriptions) == []
