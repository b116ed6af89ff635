"""``--metrics-port``: the numbers of a command that runs long."""

from __future__ import annotations

import io
import re
import sys
from typing import TYPE_CHECKING

import pytest
import trio

import kraken_trio as kt
from kraken_trio._nursery import open_hidden_nursery
from kraken_trio.cli import record, watch
from kraken_trio.cli.running import exposing
from kraken_trio.testing import open_exchange
from tests.cli.test_app import invoke
from tests.metrics.scraping import fetch, value

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


async def scraped(run: Callable[[], Awaitable[int]], output: Callable[[], str]) -> str:
    """What a command serves when its books are verified."""
    async with open_hidden_nursery() as nursery:
        nursery.start_soon(run)
        with trio.fail_after(60):
            while (said := re.search(r"metrics at http://127.0.0.1:(\d+)/metrics", output())) is None:  # noqa: ASYNC110 (another thread may write it)
                await trio.sleep(0.01)
            while (await fetch(int(said[1]), "/healthz"))[1] != "ok\n" or "book_verified{" not in (  # noqa: ASYNC110 (a server is asked)
                text := (await fetch(int(said[1])))[1]
            ):
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    return text


async def test_watch_serves_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    said = ""

    def output() -> str:
        nonlocal said
        said += capsys.readouterr().err
        return said

    async with open_exchange() as exchange:

        async def run() -> int:
            return await watch.watch(
                [kt.Book("BTC/USD")], exchange.url, seconds=None, stream=io.StringIO(), screen=False, metrics_port=0
            )

        text = await scraped(run, output)
    assert value(text, "kraken_trio_book_verified", channel="book", symbol="BTC/USD") == 1


async def test_record_serves_metrics(tmp_path: Path) -> None:
    stream = io.StringIO()
    async with open_exchange() as exchange:

        async def run() -> int:
            return await record.run(
                [kt.Book("BTC/USD")],
                exchange.url,
                str(tmp_path / "data"),
                record.Options(),
                seconds=None,
                stream=stream,
                screen=False,
                metrics_port=0,
            )

        text = await scraped(run, stream.getvalue)
    assert value(text, "kraken_trio_book_verified", channel="book", symbol="BTC/USD") == 1


def test_replay_serves_metrics(recorded_day: Path) -> None:
    result = invoke("replay", str(recorded_day), "--speed", "max", "--plain", "--metrics-port", "0")
    assert result.exit_code == 0, result.output
    assert "metrics at http://127.0.0.1:" in result.output


@pytest.mark.parametrize("command", ["watch", "record", "replay"])
def test_the_help_tells_of_it(command: str) -> None:
    assert "--metrics-port PORT" in invoke(command, "--help").output


async def test_a_port_that_is_taken_is_one_line() -> None:
    async with open_exchange() as exchange, kt.open_client(exchange.url) as client:
        ports: list[str] = []
        async with exposing(client, 0, ports.append):
            port = int(re.findall(r":(\d+)/", ports[0])[0])
            with pytest.raises(
                kt.KrakenTrioError, match=f"--metrics-port {port}: cannot listen at 127.0.0.1: .*in use"
            ):
                async with exposing(client, port, ports.append):
                    pass
        with pytest.raises(OSError, match=r"."):
            await trio.open_tcp_stream("127.0.0.1", port)


async def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kraken_trio.metrics", None)
    async with open_exchange() as exchange, kt.open_client(exchange.url) as client:
        with pytest.raises(kt.KrakenTrioError, match=r"pip install 'kraken-trio\[metrics\]'"):
            async with exposing(client, 0, print):
                pass
