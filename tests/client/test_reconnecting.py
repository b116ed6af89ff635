"""When a client comes back, when it does not, and how seldom: on virtual time, and over both transports."""

from __future__ import annotations

import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

import pytest
import trio

import kraken_trio as kt
from kraken_trio.testing import open_exchange
from kraken_trio.testing.faults import Drop, DropHow, RefuseConnect

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

    from kraken_trio.testing.exchange.memory import MemoryTransport
    from kraken_trio.transport import Limits

    from .conftest import InMemoryExchange

PATIENCE = 30  # seconds in which anything here is done; only a hang takes so long
HOUR = 3600.0
QUICK = kt.Settings(quick_delay=0.01)
BTC, ETH = kt.Book("BTC/USD"), kt.Book("ETH/USD")


def busiest(times: list[float]) -> int:
    """The most attempts in any 600 seconds."""
    return max(sum(start <= at <= start + 600 for at in times) for start in times)


# For good


async def ends(feed: kt.Feed) -> kt.ConnectError:
    """The error that this feed ends with, behind everything that came before."""
    with pytest.raises(kt.ConnectError) as caught:
        while True:
            await feed.receive()
    return caught.value


@pytest.fixture(params=["websockets", "trio-websocket"])
def transport(request: pytest.FixtureRequest) -> Literal["websockets", "trio-websocket"]:
    chosen: Literal["websockets", "trio-websocket"] = request.param
    return chosen


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_a_hopeless_status_raises_at_the_first_connection(
    status: int, transport: Literal["websockets", "trio-websocket"]
) -> None:
    with trio.fail_after(PATIENCE):
        async with open_exchange(faults=[RefuseConnect(status=status)]) as exchange:
            with pytest.raises(kt.ConnectError, match=f"HTTP {status}") as caught:
                async with kt.open_client(exchange.url, transport=transport):
                    pytest.fail("it is refused")
    assert not caught.value.retryable
    assert caught.value.status == status


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_a_hopeless_status_at_a_reconnect_raises_in_every_feed(
    status: int, transport: Literal["websockets", "trio-websocket"]
) -> None:
    with trio.fail_after(PATIENCE):
        async with open_exchange() as exchange:
            async with (
                kt.open_client(exchange.url, settings=QUICK, transport=transport) as client,
                client.subscribe(BTC) as one,
                client.subscribe(BTC, ETH) as two,
                client.subscribe(kt.Lifecycle()) as three,
            ):
                exchange.inject(RefuseConnect(status=status))
                exchange.inject(Drop())
                errors = [await ends(feed) for feed in (one, two, three)]
                assert [(error.status, error.retryable) for error in errors] == [(status, False)] * 3
                assert len({id(error) for error in errors}) == 3
                assert client.statistics().attempts == 2


async def test_close_code_1008_raises_in_every_feed(transport: Literal["websockets", "trio-websocket"]) -> None:
    with trio.fail_after(PATIENCE):
        async with open_exchange() as exchange:
            async with (
                kt.open_client(exchange.url, settings=QUICK, transport=transport) as client,
                client.subscribe(BTC) as one,
                client.subscribe(BTC, ETH) as two,
            ):
                exchange.inject(Drop(how=DropHow.CLOSE_1008))
                for feed in (one, two):
                    error = await ends(feed)
                    assert "1008" in str(error)
                    assert not error.retryable
                assert client.statistics().attempts == 1


# Not now


@pytest.mark.parametrize(
    ("status", "pauses"), [(429, [60, 120, 240, 480, 600, 600]), (403, [60, 120]), (503, [15, 30])]
)
async def test_after_a_refusal_the_client_stays_away_for_long(
    autojump_clock: MockClock, exchange: InMemoryExchange, status: int, pauses: list[float]
) -> None:
    exchange.core.pause()
    async with kt.open_client(exchange.url, transport=exchange.connect) as client, client.subscribe(BTC) as feed:
        exchange.inject(RefuseConnect(status=status, times=len(pauses)))
        exchange.inject(Drop())
        async for event in feed:
            if isinstance(event, kt.BookSnapshot) and event.epoch == 2:
                break
        refused = exchange.attempts[1:]
        waits = [later - earlier for earlier, later in itertools.pairwise(refused)]
        assert all(pause <= wait <= 1.25 * pause + 1 for pause, wait in zip(pauses, waits, strict=True))


# An exchange that cannot be used


class AcceptsAndDrops:
    """An exchange that ends each connection so many seconds after it has accepted it."""

    def __init__(self, exchange: InMemoryExchange, after: float) -> None:
        self.exchange = exchange
        self.after = after

    @asynccontextmanager
    async def connect(
        self, url: str, *, ssl_context: ssl.SSLContext | None, limits: Limits
    ) -> AsyncIterator[MemoryTransport]:
        exchange = self.exchange
        async with exchange.connect(url, ssl_context=ssl_context, limits=limits) as line:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.drop, line)
                yield line
                nursery.cancel_scope.cancel()

    async def drop(self, line: MemoryTransport) -> None:
        await trio.sleep(self.after)
        self.exchange.inject(Drop(how=DropHow.RESET))


@pytest.mark.parametrize("after", [0.0, 1.0, 29.0])
async def test_an_exchange_that_accepts_and_drops_for_an_hour(
    autojump_clock: MockClock, exchange: InMemoryExchange, after: float
) -> None:
    exchange.core.pause()
    drops = AcceptsAndDrops(exchange, after)
    async with kt.open_client(exchange.url, transport=drops.connect) as client:
        with trio.move_on_after(HOUR):
            async with client.subscribe(BTC, capacity=10_000) as feed:
                async for _event in feed:
                    pass
        assert client.statistics().losses > 20
        assert busiest(exchange.attempts) <= 18  # 120 are allowed
        waits = [later - earlier for earlier, later in itertools.pairwise(exchange.attempts)]
        assert min(waits[2:]) >= 5
        assert min(waits[10:]) >= 60  # it has come to its longest wait, and stays there
