"""``kraken-trio stream``: what a relay publishes, in the view of ``watch``; and the doctor's look at it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kraken_trio import Book, Candles, Instruments, Level3, Request, Ticker, Trades
from kraken_trio.cli import brokers, watch
from kraken_trio.cli.stream import in_words, requests_of
from tests.cli.published import Published
from tests.cli.test_app import invoke


@pytest.fixture(autouse=True)
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brokers, "engine_for", lambda *_: Published())


def test_what_is_asked_for() -> None:
    assert requests_of(("btc/usd", "BTC/USD"), (), history=True) == [Book("BTC/USD"), Trades("BTC/USD", snapshot=True)]
    assert requests_of(("A/B", "C/D"), ("book:25,ticker", "instruments"), history=False) == [
        *(request for name in ("A/B", "C/D") for request in (Book(name, 25), Ticker(name))),
        Instruments(),
    ]
    assert requests_of(("A/B",), ("trades",), history=False) == [Trades("A/B")]


def test_a_stream_is_shown_as_the_exchange_is() -> None:
    result = invoke("stream", "nats://localhost/kraken", "BTC/USD", "--plain", "--seconds", "1")
    assert result.exit_code == 0
    assert "BTC/USD verified: 10 bids, 10 asks" in result.stdout
    assert "0 mismatches, 0 gaps" in result.stdout
    assert result.stderr == "connecting to nats://localhost/kraken (Ctrl-C stops)\n"


def test_what_is_not_published_is_refused_with_what_is() -> None:
    result = invoke("stream", "nats://localhost", "ETH/USD", "--plain", "--channel", "book:10")
    assert result.exit_code == 1
    assert "this stream has not ETH/USD (book): it is published as book:25 of ETH/USD" in result.stderr


@pytest.mark.parametrize(
    "request_", [Book("A/B", 25), Trades("A/B"), Ticker("A/B", "bbo"), Candles("A/B", 5), Level3("A/B"), Instruments()]
)
def test_what_there_is_is_said_as_it_is_written(request_: Request[Any]) -> None:
    words = in_words(f"there is {request_} and 3 more").removeprefix("there is ").removesuffix(" and 3 more")
    channel, _, symbol = words.partition(" of ")
    (wanted,) = requests_of((symbol or "A/B",), (channel,), history=False)
    assert wanted == request_


def test_others_are_shown() -> None:
    line = "stream nats://localhost BTC/USD DOGE/USD --plain --channel book --seconds 0.5"
    result = invoke(*line.split())
    assert result.exit_code == 0
    assert "refused: DOGE/USD (book): it is not published; there is book:10 of BTC/USD" in result.stdout


def test_what_is_no_stream_is_said_before_it_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def engine_for(*_: object) -> Published:
        msg = "a name has letters"
        raise ValueError(msg)

    monkeypatch.setattr(brokers, "engine_for", engine_for)
    result = invoke("stream", "nats://localhost/a.b", "BTC/USD", "--plain")
    assert (result.exit_code, "a name has letters" in result.stderr) == (2, True)
    assert "connecting" not in result.stderr


def test_who_does_not_answer_is_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "ANSWER_LIMIT", 0.0)
    result = invoke("stream", "nats://localhost", "BTC/USD", "--plain")
    assert result.exit_code == 1
    assert "the broker has not answered within 0 s" in result.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "Missing argument 'URL'"),
        ("nats://localhost", "Missing argument 'SYMBOL...'"),
        ("nats://localhost BTC", "'BTC' is no symbol"),
        ("nats://localhost BTC/USD --channel x", "'x' is no channel"),
        ("localhost BTC/USD", "no URL of a broker"),
        ("nats://me:very-secret@localhost BTC/USD", "set KRAKEN_BROKER_USER"),
    ],
)
def test_usage_errors(line: str, words: str) -> None:
    result = invoke("stream", *line.split())
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert "very-secret" not in result.stderr


def test_the_doctor_looks_at_relays() -> None:
    result = invoke("doctor", "--relay", "nats://localhost", "ETH/USD", "--format", "json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["url"]) == (0, "memory://broker/kraken")
    assert {one["level"] for one in found["checks"]} == {"ok"}


@pytest.mark.parametrize("option", [("--folder", "x"), ("--url", "wss://localhost/v2")])
def test_the_doctor_of_relays_knows_no_folder(option: tuple[str, str]) -> None:
    result = invoke("doctor", "--relay", "nats://localhost", *option)
    assert (result.exit_code, "leave out" in result.stderr) == (2, True)
