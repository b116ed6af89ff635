"""What ``open_client`` takes, and what it makes of an endpoint. On virtual time."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any

import pytest

import kraken_trio as kt
from kraken_trio.testing.faults import CorruptChecksum

if TYPE_CHECKING:
    from trio.testing import MockClock

    from .conftest import InMemoryExchange


def test_help_shows_what_is_meant_and_not_every_default() -> None:
    signature = str(inspect.signature(kt.open_client))
    assert "settings: 'Settings' = Settings()," in signature
    assert "= Endpoint(url='wss://ws.kraken.com/v2', protocol='v2')," in signature


async def test_a_url_speaks_v2(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    for endpoint in (exchange.url, kt.Endpoint(exchange.url), kt.Endpoint(exchange.url, "v2")):
        async with (
            kt.open_client(endpoint, transport=exchange.connect) as client,
            client.subscribe(kt.Book("BTC/USD")) as feed,
        ):
            assert isinstance(await feed.receive(), kt.BookSnapshot)


@pytest.mark.parametrize(
    ("endpoint", "error", "says"),
    [
        (123, TypeError, "for an Endpoint or a URL, not 123"),
        (None, TypeError, "for an Endpoint or a URL, not None"),
        (kt.Endpoint("ws://127.0.0.1:1/v9", "v9"), ValueError, "'v9' is no protocol of this version"),
    ],
)
async def test_what_is_no_endpoint_is_refused(endpoint: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        async with kt.open_client(endpoint):
            pytest.fail("it cannot be meant")


async def test_a_channel_that_is_not_served_is_refused_without_asking(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    endpoint = kt.Endpoint(exchange.url, serves=["book", "ticker"])
    async with kt.open_client(endpoint, transport=exchange.connect) as client:
        with pytest.raises(kt.SubscriptionRejected, match=r"no channel 'trade'; it has book, ticker") as caught:
            async with client.subscribe(kt.Book("BTC/USD"), kt.Trades("BTC/USD")):
                pytest.fail("it is refused")
        assert set(caught.value.reasons) == {kt.Trades("BTC/USD")}
        assert not exchange.core.requests
        async with client.subscribe(kt.Book("BTC/USD"), kt.Lifecycle()) as feed:
            assert isinstance(await feed.receive(), kt.StatusUpdate)


async def test_the_query_of_a_url_is_told_to_nobody_but_the_server(
    autojump_clock: MockClock, exchange: InMemoryExchange, caplog: pytest.LogCaptureFixture
) -> None:
    name, url = exchange.url, f"{exchange.url}?token=SECRET"
    exchange.url = url
    caplog.set_level(logging.DEBUG)
    async with (
        kt.open_client(url, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD")) as feed,
    ):
        await feed.receive()
        exchange.inject(CorruptChecksum(symbol="BTC/USD"))
        while not isinstance(await feed.receive(), kt.Gap):
            pass
        assert f"<Client of {name}:" in repr(client)
        assert "SECRET" not in repr(client)
    assert all(line.startswith(f"{name}: ") for line in caplog.messages)
    assert "SECRET" not in caplog.text
