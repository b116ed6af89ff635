"""What seems to live, and does not: three layers find it. On virtual time."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

import kraken_trio as kt
from kraken_trio.testing import (
    DEFAULT_MARKETS,
    CorruptChecksum,
    Freeze,
    IgnoreRequests,
    Mute,
    StopHeartbeats,
)
from kraken_trio.testing.exchange.memory import MemoryTransport

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

    from kraken_trio.transport import Limits, Transport
    from tests.client.conftest import InMemoryExchange


S = kt.ConnectionState.SUBSCRIBED


async def until_gap(feed: kt.Feed) -> kt.Gap:
    async for event in feed:
        if isinstance(event, kt.Gap):
            return event
    pytest.fail("the feed has ended")


async def drain(feed: kt.Feed, seen: list[tuple[float, kt.Event]]) -> None:
    """What comes, and when."""
    async for event in feed:
        seen.append((trio.current_time(), event))  # noqa: PERF401 (so that it is there when the task is cancelled)


# The transport


class PingedTransport(MemoryTransport):
    """Counts the WebSocket PINGs, and may lose what is said."""

    loses_all = False
    pings = 0

    async def send(self, text: str) -> None:
        if not self.loses_all:
            await super().send(text)
        await trio.lowlevel.checkpoint()

    async def ping(self) -> None:
        self.pings += 1
        if self.loses_all:
            await trio.sleep_forever()
        await super().ping()


@pytest.fixture
def pinging(exchange: InMemoryExchange) -> None:
    exchange.kind = PingedTransport


async def test_a_peer_that_sends_and_does_not_hear_us_is_left(
    autojump_clock: MockClock, exchange: InMemoryExchange, pinging: None
) -> None:
    """Half of the connection is dead: data comes all the time, and all we say gets lost."""
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD"), capacity=100_000) as feed,
    ):
        await client.wait_for(S)
        await trio.sleep(60)
        (line,) = exchange.lines.values()
        assert isinstance(line, PingedTransport)
        assert line.pings == 3
        line.loses_all = True
        dead = trio.current_time()
        gap = await until_gap(feed)
        assert gap.cause is kt.Cause.SILENCE
        assert gap.detail == "a WebSocket PING was not answered for 20 s"
        assert 20 <= trio.current_time() - dead <= 36
        await client.wait_for(S)
        assert client.statistics().connects == 2


async def test_a_slow_consumer_is_no_deaf_peer(
    autojump_clock: MockClock, exchange: InMemoryExchange, pinging: None
) -> None:
    """While a full feed holds up reading, a PONG, which is behind what nobody reads, cannot be seen."""
    exchange.trade(rate=5.0)
    async with kt.open_client(exchange.url, transport=exchange.connect) as client:
        async with client.subscribe(kt.Book("BTC/USD"), capacity=1) as feed:
            for _ in range(100):
                await trio.sleep(8)
                with trio.move_on_after(0.01):
                    while True:
                        await feed.receive_many(100)
            assert client.statistics().losses == 0
            assert client.statistics().keepalives_sent > 10


@pytest.mark.parametrize("fault", [Freeze(), StopHeartbeats()], ids=str)
async def test_a_half_open_connection_is_found_though_no_ping_is_ever_answered(
    autojump_clock: MockClock, exchange: InMemoryExchange, pinging: None, fault: Freeze | StopHeartbeats
) -> None:
    """The stated time is `Settings.silence_limit`."""
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Trades("BTC/USD"), capacity=100_000) as feed,
    ):
        await client.wait_for(S)
        exchange.core.pause()
        exchange.inject(IgnoreRequests(method="ping", times=None))
        await trio.sleep(3)
        exchange.inject(fault)
        dead = trio.current_time()
        gap = await until_gap(feed)
        assert gap.cause is kt.Cause.SILENCE
        assert 9 <= trio.current_time() - dead <= 11


async def test_a_transport_that_cannot_ping_is_not_judged_by_that(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    @asynccontextmanager
    async def connect(url: str, *, ssl_context: ssl.SSLContext | None, limits: Limits) -> AsyncIterator[Transport]:
        async with exchange.connect(url, ssl_context=ssl_context, limits=limits) as line:
            yield Silent(line)

    class Silent:
        def __init__(self, line: Transport) -> None:
            self.receive, self.send = line.receive, line.send

    exchange.trade(rate=1.0)
    async with kt.open_client(exchange.url, transport=connect) as client:
        assert not hasattr(Silent, "ping")
        async with client.subscribe(kt.Ticker("BTC/USD"), capacity=100_000):
            await trio.sleep(600)
            assert client.statistics().losses == 0


async def test_a_line_that_breaks_under_a_ping_is_lost(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    class Breaking(MemoryTransport):
        async def ping(self) -> None:
            await trio.lowlevel.checkpoint()
            raise kt.transport.ConnectionLost("it broke under the ping")

    exchange.kind = Breaking
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD"), capacity=100_000) as feed,
    ):
        gap = await until_gap(feed)
        assert (gap.cause, gap.detail) == (kt.Cause.DISCONNECTED, "it broke under the ping")
        await client.wait_for(S)


# The subscription


@pytest.mark.parametrize(
    "request_", [kt.Book("BTC/USD"), kt.Ticker("BTC/USD"), kt.Candles("BTC/USD"), kt.Instruments()], ids=str
)
async def test_what_is_accepted_and_never_heard_of_is_subscribed_anew(
    autojump_clock: MockClock, exchange: InMemoryExchange, request_: kt.Request
) -> None:
    exchange.inject(Mute(channel=request_.channel))
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(request_, capacity=100_000) as feed,
    ):
        asked = trio.current_time()
        gap = await until_gap(feed)
        assert (gap.cause, gap.channel, gap.symbol) == (kt.Cause.RESUBSCRIBED, request_.channel, request_.symbol)
        assert not isinstance(await feed.receive(), kt.Gap)
        assert 10 <= trio.current_time() - asked <= 11
        assert client.statistics().connects == 1


async def test_a_book_that_dies_while_its_symbol_trades_is_brought_back(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD"), kt.Trades("BTC/USD"), capacity=100_000) as feed,
        client.subscribe(kt.Book("ETH/USD"), kt.Trades("ETH/USD"), kt.Ticker("ETH/USD"), capacity=100_000) as other,
    ):
        await client.wait_for(S)
        await trio.sleep(60)
        assert client.statistics().stale == 0
        exchange.inject(Mute(symbol="BTC/USD", channel="book", existing=True))
        dead = trio.current_time()
        await feed.receive_many(100_000)
        gap = await until_gap(feed)
        assert (gap.cause, gap.channel, gap.symbol) == (kt.Cause.RESUBSCRIBED, "book", "BTC/USD")
        assert 30 <= trio.current_time() - dead <= 41
        with pytest.raises(kt.BookUnavailable):
            feed.book("BTC/USD")
        async for event in feed:
            assert not isinstance(event, kt.BookUpdate | kt.Gap)
            if isinstance(event, kt.BookSnapshot):
                break
        assert trio.current_time() - dead <= 60  # the next one was accepted and silent, too
        assert client.statistics().stale == 1
        assert client.statistics().connects == 1
        assert not [event for event in await other.receive_many(100_000) if isinstance(event, kt.Gap)]


async def test_an_hour_with_a_market_that_lives_suspects_nobody(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    exchange.trade(rate=0.5)
    symbols = [spec.symbol for spec in DEFAULT_MARKETS]
    requests = [kind(symbol) for symbol in symbols for kind in (kt.Book, kt.Trades, kt.Ticker, kt.Candles)]
    seen: list[tuple[float, kt.Event]] = []
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(*requests, capacity=100_000) as feed,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(drain, feed, seen)
        await trio.sleep(3600)
        assert client.statistics().resyncs == client.statistics().gaps == 0
        assert client.statistics().requests_sent == 4
        assert len(seen) > 2000
        nursery.cancel_scope.cancel()


async def test_an_hour_with_a_symbol_that_always_mismatches(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    """It is parked, and tried again after each rest; the others do not notice, and no connection is used up."""
    exchange.trade(rate=1.0)
    exchange.inject(CorruptChecksum(symbol="BTC/USD", times=None))
    settings = kt.Settings()
    others = [spec.symbol for spec in DEFAULT_MARKETS if spec.symbol != "BTC/USD"]
    good: list[tuple[float, kt.Event]] = []
    bad: list[tuple[float, kt.Event]] = []
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(*map(kt.Book, others), capacity=100_000) as good_feed,
        client.subscribe(kt.Book("BTC/USD"), capacity=100_000) as bad_feed,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(drain, good_feed, good)
        nursery.start_soon(drain, bad_feed, bad)
        await trio.sleep(3600)
        statistics = client.statistics()
        subscriptions = statistics.subscriptions
        nursery.cancel_scope.cancel()
    # The others are untouched: one snapshot each, then updates only, over the one connection.
    assert [type(event) for _, event in good[: len(others)]] == [kt.BookSnapshot] * len(others)
    assert {type(event) for _, event in good[len(others) :]} == {kt.BookUpdate}
    assert len(good) > 1000
    for symbol in others:
        assert subscriptions[kt.Book(symbol)].state is kt.SubscriptionState.LIVE
    assert len(exchange.attempts) == statistics.connects == 1  # far fewer than 120 in 600 s
    # The symbol: never a book that is not verified, parked with a gap, and tried again.
    assert not [event for _, event in bad if isinstance(event, kt.BookUpdate)]
    gaps = [(at, event.cause) for at, event in bad if isinstance(event, kt.Gap)]
    assert {cause for _, cause in gaps} == {kt.Cause.CHECKSUM, kt.Cause.PARKED}
    parked = [at for at, cause in gaps if cause is kt.Cause.PARKED]
    tried = [at for at, event in bad if isinstance(event, kt.BookSnapshot)]
    assert len(parked) == statistics.parked == 4
    assert len(tried) == settings.attempts + 1 + 3  # then once after each rest
    for rest_began, rest_ended in zip(parked, tried[-3:], strict=False):
        assert rest_ended - rest_began == pytest.approx(settings.park_time, abs=1)
    assert statistics.requests_sent < 30
