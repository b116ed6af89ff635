"""A request of many symbols is refused, and the answer says more or less clearly which of them is meant."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, strategies as st

from kraken_trio.events import Cause, Gap
from kraken_trio.requests import Ticker
from kraken_trio.statistics import SubscriptionState
from tests.session.driver import UNKNOWN_PAIR, Asked, Client, ack, refusal, ticker, words

if TYPE_CHECKING:
    from collections.abc import Iterable

SYMBOLS = [f"A{number}/USD" for number in range(43)]
STYLES = ("symbol", "result", "text", "text in lower case", "nothing")
"""Where the refused symbol stands."""
SILENT = "nothing, and no other answer"


class Exchange:
    """It does not know some symbols (any more), and says so in its own way."""

    def __init__(self, style: str, unknown: Iterable[str]) -> None:
        self.style = style
        self.unknown = set(unknown)
        self.requests = 0

    def answer(self, asked: Asked, *, refusal_first: bool) -> list[str]:
        self.requests += 1
        symbols = asked["params"]["symbol"]
        bad = [symbol for symbol in symbols if asked["method"] == "subscribe" and symbol in self.unknown]
        good = [ack(asked, symbol) for symbol in symbols if symbol not in bad]
        if asked["method"] == "subscribe":
            good += [ticker(1, symbol, kind="snapshot") for symbol in symbols if symbol not in bad]
        refusals = [self.refusal(asked, symbol) for symbol in bad]
        if self.style.startswith("nothing"):
            refusals = [refusal(UNKNOWN_PAIR, asked)] if bad else []
            if bad and "no other" in self.style:
                good = []
        return refusals + good if refusal_first else good + refusals

    def refusal(self, asked: Asked, symbol: str) -> str:
        if self.style == "symbol":
            return refusal(UNKNOWN_PAIR, asked, symbol)
        if self.style == "result":
            answer = json.loads(refusal(UNKNOWN_PAIR, asked)) | {"result": {"channel": "ticker", "symbol": symbol}}
            return json.dumps(answer)
        text = f"{UNKNOWN_PAIR} {symbol}"
        return refusal(text.lower() if "lower" in self.style else text, asked)


def serve(client: Client, exchange: Exchange, *, refusal_first: bool) -> None:
    for _ in range(100):
        asked = client.requests()
        for one in asked:
            client.receive(*exchange.answer(one, refusal_first=refusal_first))
        if not asked and client.session.flushed:
            return
        client.advance(1, heartbeat=1)
    raise AssertionError("it never comes to an end")


@pytest.mark.parametrize("refusal_first", [True, False])
@pytest.mark.parametrize("style", STYLES)
@given(unknown=st.sets(st.sampled_from(SYMBOLS)))
@example(unknown={SYMBOLS[0]})
@example(unknown={SYMBOLS[7], SYMBOLS[42]})
@example(unknown=set(SYMBOLS))
def test_on_replay_none_but_the_unknown_are_refused(style: str, refusal_first: bool, unknown: set[str]) -> None:
    """42 healthy ones are not lost because of one; and it does not take many requests to find that one."""
    client = Client(symbols_per_request=50)
    exchange = Exchange(style, ())
    for symbol in SYMBOLS:
        client.add(symbol, Ticker(symbol))
    serve(client, exchange, refusal_first=refusal_first)
    client.lose()
    exchange.unknown, exchange.requests = unknown, 0
    client.reconnect()
    serve(client, exchange, refusal_first=refusal_first)
    states = client.states
    assert {symbol for symbol in SYMBOLS if states[Ticker(symbol)] is SubscriptionState.REFUSED} == unknown
    assert client.count("refusals") == len(unknown)
    for symbol in SYMBOLS:
        causes = [event.cause for event in client.events(symbol) if isinstance(event, Gap)]
        assert causes == [Cause.DISCONNECTED] + [Cause.REFUSED] * (symbol in unknown)
    assert exchange.requests <= 2 + 2 * len(unknown)
    client.receive(*(ticker(2, symbol) for symbol in SYMBOLS))
    assert {symbol for symbol in SYMBOLS if client.events(symbol)} == set(SYMBOLS) - unknown


@given(st.permutations(SYMBOLS), st.integers(1, 42))
def test_one_that_is_refused_without_a_word_about_it_is_found_by_halving(order: list[str], place: int) -> None:
    """Nothing else is answered. (Whoever is asked for alone first is taken for an example of all.)"""
    client, exchange = Client(), Exchange(SILENT, ())
    client.add("feed", *map(Ticker, order))
    serve(client, exchange, refusal_first=True)
    client.lose()
    exchange.unknown, exchange.requests = {order[place]}, 0
    client.reconnect()
    serve(client, exchange, refusal_first=True)
    states = client.states
    refused = {symbol for symbol in order if states[Ticker(symbol)] is SubscriptionState.REFUSED}
    assert refused == {order[place]}
    assert exchange.requests <= 20  # three for each halving of 43


def test_a_first_subscribe_names_only_what_is_refused() -> None:
    client = Client()
    client.add("feed", *(Ticker(symbol) for symbol in SYMBOLS))
    serve(client, Exchange("nothing", {SYMBOLS[3]}), refusal_first=True)
    assert client.answers == {"feed": {Ticker(SYMBOLS[3]): UNKNOWN_PAIR}}


def test_where_all_are_refused_in_the_same_words_two_requests_are_enough() -> None:
    """A depth that is not offered: the error has no symbol, and is meant for all."""
    client = Client()
    exchange = Exchange(SILENT, SYMBOLS)
    client.add("feed", *(Ticker(symbol) for symbol in SYMBOLS))
    serve(client, exchange, refusal_first=True)
    assert client.answers == {"feed": dict.fromkeys(map(Ticker, SYMBOLS), UNKNOWN_PAIR)}
    assert exchange.requests == 2
    assert words(client.requests()) == []


def test_a_yes_that_follows_a_no_counts() -> None:
    client = Client()
    client.add("one", Ticker(SYMBOLS[0]))
    client.add("other", Ticker(SYMBOLS[1]))
    client.accept()
    client.lose()
    client.reconnect()
    asked = client.request()
    client.receive(refusal(f"{UNKNOWN_PAIR} {SYMBOLS[0]}", asked), ack(asked, SYMBOLS[0]), ack(asked, SYMBOLS[1]))
    client.receive(ticker(1, SYMBOLS[0]))
    assert client.states[Ticker(SYMBOLS[0])] is SubscriptionState.LIVE


def test_a_refusal_of_many_is_not_about_what_nobody_wants_any_more() -> None:
    client = Client(connect=False)
    client.add("stays", Ticker(SYMBOLS[0]))
    client.add("goes", Ticker(SYMBOLS[1]))
    client.connect()
    asked = client.request()
    client.remove("goes")
    client.receive(refusal(UNKNOWN_PAIR, asked))
    assert client.answers == {"stays": {Ticker(SYMBOLS[0]): UNKNOWN_PAIR}}
    assert words(client.requests()) == [f"unsubscribe ticker {SYMBOLS[1]}"]
