"""The small HTTP server."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from prometheus_client import CollectorRegistry, Counter

import kraken_trio as kt
from kraken_trio.metrics import http as module, serve
from kraken_trio.testing import open_exchange
from tests.metrics.scraping import ask, fetch, value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kraken_trio.testing import Exchange


@asynccontextmanager
async def served(registry: CollectorRegistry | None = None) -> AsyncIterator[tuple[Exchange, kt.Client, int]]:
    async with (
        open_exchange() as exchange,
        kt.open_client(exchange.url) as client,
        trio.open_nursery() as nursery,
    ):
        port: int = await nursery.start(partial(serve, client, 0, registry=registry))
        yield exchange, client, port
        nursery.cancel_scope.cancel()


async def test_metrics_and_health_are_served() -> None:
    async with served() as (_, client, port):
        async with client.subscribe(kt.Book("BTC/USD")) as feed:
            await feed.receive()
            status, text = await fetch(port)
            assert status == 200
            assert value(text, "kraken_trio_book_verified", channel="book", symbol="BTC/USD") == 1
            assert await fetch(port, "/healthz") == (200, "ok\n")


async def test_health_names_what_is_not_well() -> None:
    settings = kt.Settings(require_first_connection=False)
    async with (
        open_exchange() as exchange,
        kt.open_client(kt.Endpoint("ws://127.0.0.1:1/v2"), settings=settings) as gone,
        kt.open_client(exchange.url) as client,
        trio.open_nursery() as nursery,
    ):
        port: int = await nursery.start(serve, (client, gone), 0)
        status, text = await fetch(port, "/healthz")
        assert status == 503
        assert text.startswith(f"{gone.name}: not connected (")
        assert text.count("\n") == 1
        nursery.cancel_scope.cancel()


async def test_openmetrics_is_served_to_who_asks_for_it() -> None:
    async with served() as (_, _, port):
        _, text = await fetch(port, accept="application/openmetrics-text; version=1.0.0")
        assert text.endswith("# EOF\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404, id="elsewhere"),
        pytest.param(b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 405, id="post"),
        pytest.param(b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", 200, id="old-http"),
        pytest.param(b"nonsense\r\n\r\n", 400, id="nonsense"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", 431, id="too-long"),
    ],
)
async def test_every_request_has_one_answer(request_: bytes, status: int) -> None:
    async with served() as (_, _, port):
        head, _ = await ask(port, request_)
        assert int(head.split()[1]) == status
        assert "connection: close" in head.lower()


async def test_head_has_no_body() -> None:
    async with served() as (_, _, port):
        assert await fetch(port, method="HEAD") == (200, "")


async def test_numbers_of_the_programs_own_are_served_as_well() -> None:
    registry = CollectorRegistry()
    Counter("orders", "Mine.", registry=registry).inc(5)
    async with served(registry) as (_, _, port):
        _, text = await fetch(port)
        assert value(text, "orders_total") == 5
        assert value(text, "kraken_trio_up") == 1


async def test_a_collector_that_fails_is_an_answer_and_ends_nothing() -> None:
    class Broken:
        def describe(self) -> tuple[()]:
            return ()

        def collect(self) -> None:
            msg = "broken"
            raise RuntimeError(msg)

    registry = CollectorRegistry()
    registry.register(Broken())  # type: ignore[arg-type]  # its collect raises
    async with served(registry) as (_, _, port):
        for _ in range(2):
            status, text = await fetch(port)
            assert (status, "broken" in text) == (500, True)


async def test_numbers_that_cannot_be_read_are_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_client: object) -> None:
        msg = "no numbers"
        raise OSError(msg)

    async with served() as (_, _, port):
        with monkeypatch.context() as patch:
            patch.setattr(kt.Client, "statistics", broken)
            for path in ("/metrics", "/healthz"):
                status, text = await fetch(port, path)
                assert (status, "no numbers" in text) == (500, True)
        assert (await fetch(port, "/healthz"))[0] == 200


async def test_what_register_refuses_opens_no_port() -> None:
    with pytest.raises(ValueError, match="at least one client"):
        await serve((), 0)  # a listener that is left open is a warning, and so an error


async def test_idle_connections_are_closed_and_do_not_keep_others_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REQUEST_SECONDS", 0.2)
    async with served() as (_, _, port):
        idle = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(module.MAX_CONNECTIONS + 3)]
        await idle[0].send_all(b"GET /met")
        with trio.fail_after(5):
            for stream in idle:  # each is closed, at once or after its time
                with suppress(trio.BrokenResourceError):
                    assert await stream.receive_some() == b""
                await stream.aclose()
        assert (await fetch(port))[0] == 200


async def test_a_peer_that_leaves_at_any_moment_ends_nothing() -> None:
    async with served() as (_, _, port):
        for begun in (b"", b"GET", b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"):
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            if begun:
                await stream.send_all(begun)
            await trio.aclose_forcefully(stream)
        assert (await fetch(port))[0] == 200


async def test_a_port_that_is_taken_is_an_error_of_the_caller() -> None:
    async with served() as (_, client, port):
        with pytest.raises(OSError, match="in use"):
            await serve(client, port)


async def test_nothing_is_left_after_cancelling() -> None:
    registry = CollectorRegistry()
    async with served(registry) as (_, _, port):
        pass
    assert list(registry.collect()) == []
    with pytest.raises(OSError, match=r"."):
        await trio.open_tcp_stream("127.0.0.1", port)
