"""From an async function to an exit status; and how a refusal is told."""

from __future__ import annotations

import os
import signal
import sys

import click
import pytest
import trio

from kraken_trio import Book, Candles, ConnectError, KrakenTrioError, Request, SubscriptionRejected, Ticker, Trades
from kraken_trio.cli.running import refusals, run_and_exit, run_until_signal


async def signalled(number: int) -> int:
    async def forever() -> int:
        os.kill(os.getpid(), number)
        await trio.sleep_forever()

    return await run_until_signal(forever)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill() of oneself")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_ends_it_with_the_status_of_shells(number: int, status: int) -> None:
    assert await signalled(number) == status


async def test_without_a_signal_the_status_is_that_of_the_function() -> None:
    async def three() -> int:
        await trio.lowlevel.checkpoint()
        return 3

    assert await run_until_signal(three) == 3


async def test_what_is_raised_comes_out_as_it_is() -> None:
    async def broken() -> int:
        await trio.lowlevel.checkpoint()
        raise KrakenTrioError

    with pytest.raises(KrakenTrioError):
        await run_until_signal(broken)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectError("cannot connect"), "cannot connect"),
        (SubscriptionRejected({Book("NOPE/USD"): "No"}), "the exchange refused NOPE/USD (book): No"),
    ],
)
def test_an_error_of_the_library_becomes_one_line(error: KrakenTrioError, words: str) -> None:
    async def broken() -> int:
        await trio.lowlevel.checkpoint()
        raise error

    with pytest.raises(click.ClickException) as caught:
        run_and_exit(broken)
    assert (caught.value.exit_code, caught.value.message) == (1, words)


@pytest.mark.parametrize(("status", "said"), [(0, ""), (1, ""), (130, "stopped\n"), (143, "")])
def test_the_status_is_the_process_s(status: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def done() -> int:
        await trio.lowlevel.checkpoint()
        return status

    with pytest.raises(SystemExit) as caught:
        run_and_exit(done)
    assert caught.value.code == status
    assert capsys.readouterr().err == said


def test_refusals_are_told_by_symbol_and_words() -> None:
    reasons: dict[Request, str] = {
        Book("A/USD"): "no",
        Trades("A/USD"): "no",
        Ticker("A/USD"): "\x1b[2Jnever",
        Candles("B/USD"): "no",
    }
    assert refusals(reasons) == ["A/USD (book, trade): no", "A/USD (ticker): \\x1b[2Jnever", "B/USD (ohlc): no"]
