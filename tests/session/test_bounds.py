"""What a peer or a program can make a session remember, send or say has a limit: here each is reached."""

from __future__ import annotations

import re

import pytest

from kraken_trio.events import ConnectionState
from kraken_trio.requests import Book, Lifecycle, Request, Ticker, Trades
from tests.session.driver import (
    BTC,
    ETH,
    HEARTBEAT,
    NONSENSE,
    SOL,
    Client,
    Market,
    acks,
    refusal,
    status,
    ticker,
    words,
)


def symbols(count: int) -> list[str]:
    return [f"A{number}/USD" for number in range(count)]


# Feeds and subscriptions


def test_feeds_are_bounded() -> None:
    client = Client(max_feeds=2)
    client.follow("one", Ticker(BTC))
    client.follow("two", Lifecycle())
    client.add("three", Ticker(BTC), Lifecycle())
    assert set(client.answers["three"]) == {Ticker(BTC), Lifecycle()}
    assert all("2 open feeds (Settings.max_feeds)" in text for text in client.answers["three"].values())
    assert client.session.statistics().feeds == 2
    client.remove("two")
    client.follow("four", Ticker(BTC))


def test_subscriptions_that_are_just_being_left_count() -> None:
    """Else a program that comes and goes quickly would leave more and more of them behind."""
    client = Client(max_subscriptions=2)
    client.follow("old", Ticker(BTC), Ticker(ETH))
    client.remove("old")
    client.add("new", Ticker(SOL))
    assert "max_subscriptions" in client.answers["new"][Ticker(SOL)]
    client.add("same", Ticker(BTC))  # that is no new one
    client.accept()
    client.accept()
    assert client.answers["same"] == {}
    client.follow("other", Ticker(SOL))
    assert len(list(client.session.subscriptions)) == 2


# Requests


def test_requests_in_flight_are_bounded() -> None:
    client = Client(requests_in_flight=3, request_burst=100, symbols_per_request=1)
    wanted: list[Request] = [Ticker(symbol) for symbol in symbols(8)]
    client.add("feed", *wanted)
    first = client.requests()
    assert len(first) == 3
    client.advance(5, heartbeat=1)
    assert client.requests() == []
    client.receive(*acks(first[0]), *acks(first[1]))
    second = client.requests()
    assert len(second) == 2  # as many as were answered
    client.receive(*(frame for asked in [first[2], *second] for frame in acks(asked)))
    for _ in range(2):
        client.accept()
    assert client.answers["feed"] == {}
    assert client.state() is ConnectionState.SUBSCRIBED


def test_an_exchange_that_answers_nothing_is_not_asked_more_and_more() -> None:
    client = Client(requests_in_flight=3, request_burst=100, symbols_per_request=1, answer_timeout=10)
    client.add("feed", *(Ticker(symbol) for symbol in symbols(50)))
    for _ in range(30):
        assert len(client.requests()) <= 3
        client.advance(10, heartbeat=1)
    asked_at = sorted(client.sent_at.values())
    assert all(later - earlier >= 9.9 for earlier, later in zip(asked_at, asked_at[3:], strict=False))


def test_a_program_that_comes_and_goes_while_nobody_listens_sends_a_bounded_number() -> None:
    client = Client(requests_in_flight=5)
    client.hold()
    for number in range(200):
        client.add(number, Ticker(symbols(200)[number]))
        client.advance(1)
        client.remove(number)
    assert len(client.requests()) <= 5
    client.resume()
    for _ in range(500):
        client.accept()
        client.advance(1, heartbeat=1)
    assert list(client.session.subscriptions) == []


# Log lines


def test_a_flood_of_nonsense_is_a_trickle_in_the_log() -> None:
    client = Client(log_rate=2.0, log_burst=50)
    client.follow("feed", Ticker(BTC))
    for _ in range(10):
        for _ in range(1000):
            client.receive(NONSENSE, HEARTBEAT)
            client.now += 0.001
    assert client.count("malformed") == 10_000
    assert 50 <= len(client.warnings) <= 50 + 2 * 10 + 1
    assert len(client.warnings) + client.count("log_lines_left_out") == 10_000
    told = sum(int(found[1]) for line in client.warnings if (found := re.search(r"this, (\d+) lines were", line)))
    assert client.count("log_lines_left_out") - 1000 < told <= client.count("log_lines_left_out")
    # It hides nothing of the other level, and no lost connection.
    client.lose()
    assert "the connection is lost (disconnected" in client.warnings[-1]
    client.reconnect()
    assert "connecting" in client.notes[-1]
    assert "connected again after" in client.warnings[-1]


@pytest.mark.parametrize("kind", ["refusals", "statuses", "warnings", "mismatches"])
def test_whatever_a_peer_repeats_is_a_trickle_in_the_log(kind: str) -> None:
    client, market = Client(log_rate=1.0, log_burst=5, attempts=10_000, attempt_delay=0.001), Market()
    client.follow_book("feed", market)
    for number in range(1000):
        client.now += 0.001
        if kind == "refusals":
            client.receive(refusal(f"no {number}"))
        elif kind == "statuses":
            client.receive(status(f"status {number}"))
        elif kind == "warnings":
            client.receive(
                '{"method":"subscribe","success":true,"result":{"channel":"book","warnings":["' + str(number) + '"]}}'
            )
        else:
            client.receive(market.snapshot(spoil=1))
            client.accept()
            client.accept()
    assert len(client.notes) + len(client.warnings) <= 3 * (5 + 1 + 1)


# Gaps


def test_every_frame_that_makes_no_sense_is_a_gap_until_the_connection_ends() -> None:
    client = Client(malformed_limit=20)
    client.follow("feed", Trades(BTC))
    client.receive(*[NONSENSE] * 20)
    assert client.kinds("feed") == ["Gap malformed"] * 19
    assert client.drops


def test_a_burst_of_good_data_is_delivered_whole() -> None:
    client = Client()
    client.follow("feed", Ticker(BTC), Book(ETH))
    client.receive(*(ticker(number) for number in range(1, 5001)))
    assert client.kinds("feed") == ["TickerUpdate"] * 5000
    assert words(client.requests()) == []
