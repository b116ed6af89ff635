"""The commands as a user meets them: their help, their errors, and their exit statuses."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click
import pytest
import trio
from click.testing import CliRunner, Result

from kraken_trio import errors, events, requests
from kraken_trio._nursery import open_hidden_nursery
from kraken_trio.cli import app, demo, live, watch
from kraken_trio.testing import DropConnect, Exchange, IgnoreRequests, RefuseConnect, open_exchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kraken_trio.cli.walk import Sides

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-m", "kraken_trio"]


def invoke(*args: str) -> Result:
    return CliRunner().invoke(app.cli, list(args))


def run(*args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [*PROGRAM, *args],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
        **options,
    )
    return done


@pytest.mark.parametrize("args", [["--help"], ["-h"], ["demo", "--help"], ["watch", "-h"], ["verify", "--help"]])
def test_help_has_examples(args: list[str]) -> None:
    result = invoke(*args)
    assert result.exit_code == 0
    assert "Examples:" in result.output
    assert max(map(len, result.output.splitlines())) <= 100


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["watch"], "Missing argument 'SYMBOL...'"),
        (["watch", "BTCUSD"], "write BASE/QUOTE, such as 'BTC/USD'"),
        (["watch", "\x1b[2J"], "is no symbol"),
        (["watch", "BTC/USD", "--depth", "20"], "'20' is not one of '10', '25', '100', '500', '1000'"),
        (["watch", "BTC/USD", "--channel", "level3"], "'level3' is not one of"),
        (["watch", "BTC/USD", "--seconds", "0"], "no length of time"),
        (["watch", "BTC/USD", "--seconds", "nan"], "no length of time"),
        (["watch", "BTC/USD", "--seconds", "inf"], "no length of time"),
        (["demo", "--seconds", "1"], "3.0<=x<=600.0"),
        (["demo", "--seconds", "nan"], "no length of time"),
        (["demo", "--seed", "x"], "not a valid integer"),
        (["fly"], "No such command 'fly'"),
    ],
)
def test_a_command_that_makes_no_sense(args: list[str], words: str) -> None:
    result = invoke(*args)
    assert result.exit_code == 2
    assert words in result.output
    assert "\x1b" not in result.output


def test_the_requests_of_a_command_line() -> None:
    found = watch.requests_for(
        ["XBT/USD", "eth/usd", "BTC/USD"],
        ["book", "trades", "ticker", "candles", "book"],
        depth=25,
        interval=5,
        history=True,
    )
    assert found == [
        request
        for symbol in ("BTC/USD", "ETH/USD")
        for request in (
            requests.Book(symbol, 25),
            requests.Trades(symbol, snapshot=True),
            requests.Ticker(symbol),
            requests.Candles(symbol, 5),
        )
    ]


# watch


async def watching(
    exchange: Exchange,
    *channels: str,
    until: str = "",
    seconds: float | None = None,
    symbols: tuple[str, ...] = ("BTC/USD",),
    screen: bool = False,
) -> str:
    """What watch shows until it shows that."""
    stream = io.StringIO()
    wanted = watch.requests_for(symbols, channels or ("book", "trades"), depth=10, interval=1, history=screen)
    with trio.fail_after(60):
        async with open_hidden_nursery() as nursery:

            async def look() -> None:
                while True:
                    await trio.sleep(0.01)  # a thread writes the stream
                    if until in stream.getvalue():
                        break
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
    assert "book    BTC/USD verified for the first time: 10 bids, 10 asks" in text
    assert "0 mismatches, 0 gaps, 1 connection\n" in text


async def test_watch_shows_tickers_and_candles() -> None:
    async with open_exchange(rate=0) as exchange:
        await watching(exchange, "ticker", "candles", until="01   BTC/USD 64")


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
    wanted = watch.requests_for(["BTC/USD"], channels, depth=10, interval=1, history=False)
    with trio.fail_after(60):
        async with open_exchange(rate=0) as exchange, open_hidden_nursery() as nursery:
            nursery.start_soon(partial(watch.watch, wanted, exchange.url, seconds=None, stream=stream, screen=False))
            await exchange.wait_until(lambda e: sum(map(len, e.subscriptions.values())) == len(wanted))
            await exchange.publish(300, "BTC/USD")
            book = exchange.book("BTC/USD", 1)
            while f"BTC/USD {book.bids[0][0]} / {book.asks[0][0]}; subscribed" not in stream.getvalue():  # noqa: ASYNC110
                await trio.sleep(0.01)  # a thread writes the stream
            nursery.cancel_scope.cancel()
    text = stream.getvalue()
    assert " more passed over, to keep up, " in text
    assert ("(overflow" in text) == ("trades" in channels)
    assert text.count("for the first time") == 1
    assert text.endswith("0 mismatches, 0 gaps, 1 connection\n")


def failing(start: Any) -> tuple[int, str]:
    """What becomes of an error, and its line."""
    with pytest.raises((click.ClickException, SystemExit)) as caught:
        app._trio(start)
    if isinstance(caught.value, click.ClickException):
        output = io.StringIO()
        caught.value.show(output)
        return caught.value.exit_code, output.getvalue()
    assert isinstance(caught.value, SystemExit)
    assert isinstance(caught.value.code, int)
    return caught.value.code, ""


@asynccontextmanager
async def exchange_with(*faults: Any) -> AsyncIterator[Exchange]:
    async with open_exchange(rate=0, faults=faults) as exchange:
        yield exchange


@pytest.mark.parametrize(
    ("faults", "symbols", "words"),
    [
        ([RefuseConnect(status=429, retry_after=30)], ("BTC/USD",), "HTTP 429"),
        ([DropConnect()], ("BTC/USD",), "closed the connection"),
        (
            [],
            ("NO/PE", "BTC/USD"),
            "the exchange refused NO/PE (book, trade): Currency pair not supported NO/PE. Check",
        ),
    ],
)
def test_what_watch_cannot_do_is_one_line(faults: list[Any], symbols: tuple[str, ...], words: str) -> None:
    async def start() -> int:
        async with exchange_with(*faults) as exchange:
            await watching(exchange, symbols=symbols)
        return 0

    status, output = failing(start)
    assert status == 1
    assert words in output
    assert output.count("\n") == 1


def test_an_exchange_without_an_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "ANSWER_LIMIT", 0.2)

    async def start() -> int:
        async with exchange_with(IgnoreRequests(times=None)) as exchange:
            await watching(exchange)
        return 0

    assert failing(start) == (1, "Error: the exchange has not answered within 0.2 s; try again later\n")


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
    done = run("watch", "BTC/USD", "--url", url)
    assert done.returncode == 1
    assert done.stdout == ""
    assert words in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in done.stderr


# Signals


async def signalled(number: int) -> int:
    async def forever() -> int:
        os.kill(os.getpid(), number)
        await trio.sleep_forever()

    return await live.run_until_signal(forever)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill() of oneself")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_ends_it_with_the_status_of_shells(number: int, status: int) -> None:
    assert await signalled(number) == status


async def test_without_a_signal_the_status_is_the_run_s() -> None:
    async def three() -> int:
        await trio.lowlevel.checkpoint()
        return 3

    assert await live.run_until_signal(three) == 3


async def test_what_is_raised_comes_out_as_it_is() -> None:
    async def broken() -> int:
        await trio.lowlevel.checkpoint()
        raise errors.KrakenTrioError

    with pytest.raises(errors.KrakenTrioError):
        await live.run_until_signal(broken)


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent differently there")
def test_ctrl_c_in_the_demo() -> None:
    with subprocess.Popen(
        [*PROGRAM, "demo", "--plain", "--seconds", "60"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        errors_said = process.stderr.read()
        rest = process.stdout.read()
    assert process.returncode == 130
    assert errors_said == "stopped\n"
    assert "promise" not in rest


@pytest.mark.skipif(sys.platform == "win32", reason="a closed pipe is told differently there")
def test_a_reader_that_goes_away() -> None:
    with subprocess.Popen(
        [*PROGRAM, "demo", "--plain", "--seconds", "60"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 1
    assert said == b""


# The demo


def test_the_demo_holds_every_promise() -> None:
    done = run("demo", "--plain", "--seconds", "4", "--seed", "1")
    assert done.stderr == ""
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert lines[-1] == "every promise held"
    assert sum(line.startswith("  held") for line in lines) == 7
    for words in (
        "refused SubscriptionRejected, NOPE/USD: Currency pair not supported NOPE/USD",
        "gap     BTC/USD book (checksum)",
        "book    BTC/USD verified again",
        "(disconnected)",
        "disconnected → connecting (retry)",
    ):
        assert words in done.stdout


async def test_the_demo_notices_a_broken_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = demo._Play.case

    def doctored(play: demo._Play) -> Any:
        play.history = [event for event in play.history if not isinstance(event, events.Gap)]
        case = honest(play)
        empty: Sides = ((), ())
        return attrs.evolve(case, local=dict.fromkeys(case.local, empty))

    monkeypatch.setattr(demo._Play, "case", doctored)
    stream = io.StringIO()
    assert await demo.run_demo(seconds=3, seed=2, stream=stream, screen=True) == 1
    text = stream.getvalue()
    assert "BROKEN" in text
    assert "4 of 7 promises broken" in text


# Without the extra


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_it_says_what_to_install(missing: str, tmp_path: Path) -> None:
    (tmp_path / f"{missing}.py").write_text(f"raise ModuleNotFoundError('no {missing}', name='{missing}')\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = run("demo", env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 2
    assert done.stderr == f"kraken-trio: {missing} is not installed: pip install 'kraken-trio[cli]'\n"


def test_any_other_missing_module_is_a_bug(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("import no_such_module_at_all\n")
    done = run("demo", env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])})
    assert done.returncode == 1
    assert "ModuleNotFoundError: No module named 'no_such_module_at_all'" in done.stderr
