"""``kraken-trio watch``: what it shows, what it cannot watch, and how it ends."""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING, Any

import click
import pytest
import trio

from kraken_trio import Book, Candles, Request, SubscriptionRejected, Ticker, Trades
from kraken_trio._nursery import open_hidden_nursery
from kraken_trio.cli import watch
from kraken_trio.cli.running import refusals, run_and_exit
from kraken_trio.cli.wanted import requests_for
from kraken_trio.testing import Drop, DropConnect, IgnoreRequests, Refuse, RefuseConnect, open_exchange
from tests.cli.test_app import invoke

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kraken_trio.testing import Exchange


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Status lines come before anybody has waited for them."""
    monkeypatch.setattr("kraken_trio.cli.view.live.STATUS_INTERVAL", 0.05)
    monkeypatch.setattr("kraken_trio.cli.view.live.REDRAW_INTERVAL", 0.02)


def test_the_requests_of_a_command_line() -> None:
    found = requests_for(
        ["XBT/USD", "eth/usd", "BTC/USD"],
        ["book", "trades", "ticker", "candles", "book"],
        depth=25,
        interval=5,
        history=True,
    )
    expected: list[Request] = []
    for symbol in ("BTC/USD", "ETH/USD"):
        expected += [Book(symbol, 25), Trades(symbol, snapshot=True), Ticker(symbol), Candles(symbol, 5)]
    assert found == expected


async def watching(
    exchange: Exchange,
    *channels: str,
    until: str = "",
    seconds: float | None = None,
    symbols: Iterable[str] = ("BTC/USD",),
    screen: bool = False,
) -> str:
    """What watch shows until it shows that."""
    stream = io.StringIO()
    wanted = requests_for(symbols, channels or ("book", "trades"), depth=10, interval=1, history=screen)
    with trio.fail_after(60):
        async with open_hidden_nursery() as nursery:

            async def look() -> None:
                while until not in stream.getvalue():  # noqa: ASYNC110 (a screen tells nobody when it changes)
                    await trio.sleep(0.01)  # a thread writes the stream
                nursery.cancel_scope.cancel()

            if until:
                nursery.start_soon(look)
            status = await watch.watch(wanted, exchange.url, seconds=seconds, stream=stream, screen=screen)
            assert status == 0
            assert not until
    return stream.getvalue()


async def test_watch_shows_books_and_trades() -> None:
    async with open_exchange(rate=500) as exchange:
        text = await watching(exchange, until="trade   BTC/USD ")
    assert "book    BTC/USD verified: 10 bids, 10 asks" in text
    assert "0 mismatches, 0 gaps, 1 connection\n" in text


async def test_watch_shows_tickers_and_candles() -> None:
    async with open_exchange(rate=0) as exchange:
        await watching(exchange, "ticker", "candles", until="status  BTC/USD 64")


async def test_watch_on_a_screen() -> None:
    async with open_exchange(rate=0) as exchange:
        assert "\x1b[?1049l" in await watching(exchange, until="spread", screen=True)


async def test_watch_ends_by_itself() -> None:
    async with open_exchange(rate=0) as exchange:
        text = await watching(exchange, seconds=0.05)
    assert text.endswith("0 mismatches, 0 gaps, 1 connection\n")


@pytest.mark.parametrize("channels", [("book", "ticker"), ("book", "trades")])
async def test_watch_keeps_up_with_more_than_it_can_show(
    channels: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_CAPACITY", 1)
    stream = io.StringIO()
    wanted = requests_for(["BTC/USD"], channels, depth=10, interval=1, history=False)
    with trio.fail_after(60):
        async with open_exchange(rate=0) as exchange, open_hidden_nursery() as nursery:
            nursery.start_soon(partial(watch.watch, wanted, exchange.url, seconds=None, stream=stream, screen=False))
            await exchange.wait_until(lambda e: sum(map(len, e.subscriptions.values())) == len(wanted))
            await exchange.publish(300, "BTC/USD")
            book = exchange.book("BTC/USD", 1)
            while f"BTC/USD {book.bids[0][0]} / {book.asks[0][0]}; subscribed" not in stream.getvalue():  # noqa: ASYNC110 (a thread writes the stream)
                await trio.sleep(0.01)  # a thread writes the stream
            nursery.cancel_scope.cancel()
    text = stream.getvalue()
    assert " more skipped to keep up, " in text
    assert ("(overflow" in text) == ("trades" in channels)
    assert text.count(" verified: ") == 1
    assert text.endswith("0 mismatches, 0 gaps, 1 connection\n")


# What is refused


NOT_SUPPORTED = "NOPE/USD (book, trade): Currency pair not supported NOPE/USD"


async def test_a_refused_symbol_is_named_and_the_others_are_watched() -> None:
    symbols = ("BTC/USD", "NOPE/USD", "ETH/USD")
    async with open_exchange(rate=500) as exchange:
        text = await watching(exchange, symbols=symbols, seconds=0.3)
    assert f"refused {NOT_SUPPORTED}" in text
    assert text.endswith(f"0 mismatches, 0 gaps, 1 connection\nrefused: {NOT_SUPPORTED}\n")
    for symbol in ("BTC/USD", "ETH/USD"):
        assert f"book    {symbol} verified: 10 bids, 10 asks" in text


async def test_a_refused_symbol_on_a_screen() -> None:
    async with open_exchange(rate=0) as exchange:
        text = await watching(exchange, symbols=("BTC/USD", "NOPE/USD"), until="spread", screen=True)
    assert "watch, 1 symbol refused" in text
    assert text.endswith(f"refused: {NOT_SUPPORTED}\n")


async def test_one_refused_channel_leaves_the_symbols_other_one() -> None:
    async with open_exchange(rate=500, faults=[Refuse(error="not today", channel="trade", times=None)]) as exchange:
        text = await watching(exchange, seconds=0.2)
    assert "book    BTC/USD verified" in text
    assert text.endswith("\nrefused: BTC/USD (trade): not today\n")


async def test_what_is_refused_after_a_reconnect_leaves_the_others() -> None:
    async with open_exchange(rate=500) as exchange:
        text = await refused_later(exchange, ["BTC/USD", "ETH/USD"], "ETH/USD verified again")
    assert "gap     BTC/USD book (refused): delisted" in text
    assert text.endswith("\nrefused: BTC/USD (book): delisted\n")


async def test_when_nothing_is_left_after_a_reconnect_it_is_over() -> None:
    async with open_exchange(rate=500) as exchange:
        with pytest.raises(SubscriptionRejected) as caught:
            await refused_later(exchange, ["BTC/USD"])
    assert refusals(caught.value.reasons) == ["BTC/USD (book): delisted"]


async def refused_later(exchange: Exchange, symbols: list[str], until: str = "") -> str:
    async with open_hidden_nursery() as nursery:

        async def break_it() -> None:
            await exchange.wait_until(lambda e: sum(map(len, e.subscriptions.values())) == len(symbols))
            exchange.inject(Refuse(error="delisted", symbol="BTC/USD", times=None))
            exchange.inject(Drop())

        nursery.start_soon(break_it)
        return await watching(exchange, "book", symbols=symbols, until=until)


def failing(start: Any) -> tuple[int, str]:
    """What becomes of an error, and its line."""
    with pytest.raises((click.ClickException, SystemExit)) as caught:
        run_and_exit(start)
    if isinstance(caught.value, click.ClickException):
        output = io.StringIO()
        caught.value.show(output)
        return caught.value.exit_code, output.getvalue()
    assert isinstance(caught.value, SystemExit)
    assert isinstance(caught.value.code, int)
    return caught.value.code, ""


def watching_with(*faults: Any, symbols: Iterable[str] = ("BTC/USD",)) -> tuple[int, str]:
    async def start() -> int:
        async with open_exchange(rate=0, faults=faults) as exchange:
            await watching(exchange, symbols=symbols)
        return 0

    return failing(start)


@pytest.mark.parametrize(
    ("faults", "symbols", "words"),
    [
        ([RefuseConnect(status=429, retry_after=30)], ("BTC/USD",), "HTTP 429"),
        ([DropConnect()], ("BTC/USD",), "closed the connection"),
        ([], ("NOPE/USD",), f"Error: the exchange refused {NOT_SUPPORTED}\n"),
        (
            [Refuse(error="no", times=None)],
            ("BTC/USD", "ETH/USD"),
            "BTC/USD (book, trade): no; ETH/USD (book",
        ),
    ],
)
def test_what_watch_cannot_do_is_one_line(faults: list[Any], symbols: tuple[str, ...], words: str) -> None:
    status, output = watching_with(*faults, symbols=symbols)
    assert status == 1
    assert words in output
    assert output.count("\n") == 1


def test_an_exchange_without_an_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "ANSWER_LIMIT", 0.2)
    told = "Error: the exchange has not answered within 0.2 s; try again later\n"
    assert watching_with(IgnoreRequests(times=None)) == (1, told)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://ws.kraken.com", "it must begin with wss://"),
        ("wss://", "it names no host"),
        ("wss://user:secret@ws.kraken.com", "must not contain a user name or password"),
        ("ws://127.0.0.1:1/v2", "cannot connect to 127.0.0.1:1"),
    ],
)
def test_a_wrong_url_is_one_line(url: str, words: str) -> None:
    result = invoke("watch", "BTC/USD", "--url", url)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert words in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: ")
