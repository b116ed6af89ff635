"""What is told of each subscription: its age, how often it was requested, its last data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kraken_trio.requests import Book, Request, Ticker
from tests.session.driver import BTC, BUSY, Client, Market, refusal, ticker

if TYPE_CHECKING:
    from kraken_trio.statistics import SubscriptionStatistics

TICKER = Ticker(BTC)
SECOND = 10**9


def told(client: Client, request: Request, wall_ns: int = 0) -> SubscriptionStatistics:
    return client.session.statistics(wall_ns=wall_ns, now=client.now).subscriptions[request]


def test_age_and_attempts_begin_when_it_is_wanted() -> None:
    client = Client()
    client.add("feed", TICKER)
    assert told(client, TICKER).age == 0.0
    client.advance(1)
    assert client.requests()
    now = told(client, TICKER)
    assert now.age == pytest.approx(1.0)
    assert (now.attempts, now.last_received_ns, now.data_age) == (1, None, None)


def test_every_request_is_an_attempt_and_an_unsubscribe_is_none() -> None:
    client, market = Client(), Market()
    client.follow_book("feed", market)
    assert told(client, Book(BTC)).attempts == 1
    client.receive(market.tick("1", spoil=1))  # it is unsubscribed, and requested again
    client.accept()
    client.advance(1)
    assert told(client, Book(BTC)).attempts == 2
    client.receive(refusal(BUSY, client.request(), BTC))
    client.advance(5, heartbeat=0.5)
    assert told(client, Book(BTC)).attempts == 3
    client.lose()
    client.reconnect()
    assert told(client, Book(BTC)).attempts == 4


def test_its_last_data_outlives_a_gap_and_the_connection() -> None:
    client, market = Client(), Market()
    client.follow_book("feed", market, TICKER)
    client.receive(ticker(1))
    for request in (Book(BTC), TICKER):
        received_ns = told(client, request).last_received_ns
        assert received_ns
        assert told(client, request, received_ns + 5 * SECOND).data_age == 5.0
        assert told(client, request, received_ns - SECOND).data_age == 0.0  # the clock was set back
    before = {request: told(client, request).last_received_ns for request in (Book(BTC), TICKER)}
    client.lose()
    client.reconnect()
    assert {request: told(client, request).last_received_ns for request in before} == before


def test_it_begins_anew_when_nobody_wanted_it_in_between() -> None:
    client = Client()
    client.follow("feed", TICKER)
    client.receive(ticker(1))
    client.remove("feed")
    client.advance(3)
    client.add("another", TICKER)  # before the exchange has answered the unsubscribe
    now = told(client, TICKER)
    assert (now.age, now.attempts, now.last_received_ns) == (0.0, 0, None)
    client.advance(2)
    client.add("third", TICKER)
    assert told(client, TICKER).age == pytest.approx(2.0)  # it has been wanted all the time


def test_without_a_time_the_numbers_are_those_of_the_last_call() -> None:
    client = Client()
    client.follow("feed", TICKER)
    client.receive(ticker(1))
    now = client.session.statistics()
    assert now.subscriptions[TICKER].data_age == 0.0
    assert now.subscriptions[TICKER].age >= 0.0
    assert now.taken_ns == now.subscriptions[TICKER].last_received_ns
