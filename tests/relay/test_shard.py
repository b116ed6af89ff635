"""What a shard subscribes to while it runs, over which connections: against the fake exchange, on virtual time."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from kraken_trio import (
    Book,
    Endpoint,
    Event,
    Instruments,
    KrakenTrioError,
    Level3,
    Ticker,
    Trades,
)
from kraken_trio.admission.default import EXEMPT
from kraken_trio.client import open_with
from kraken_trio.relay import shard as module
from kraken_trio.relay.shard import RETRY_REFUSED, SETTINGS, Shard
from kraken_trio.relay.sources import Connections, Sources, parse_channels
from kraken_trio.testing import DEFAULT_MARKETS, Drop, Raw, Refuse, open_exchange
from kraken_trio.testing.exchange.dialects.v2_frames import instruments
from tests.client.private import API, EPOCH_NS, client_of
from tests.transport.conftest import in_virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from kraken_trio import Client, Request
    from kraken_trio.testing import Exchange, MarketSpec

NAMES = [spec.symbol for spec in DEFAULT_MARKETS if spec.multiplier is None]


class Relay:
    """Publishes nothing, and remembers what it was given."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.feeds: list[tuple[Client, tuple[Request[Any], ...]]] = []
        self.published: set[Request[Any]] = set()
        self.events: list[Event] = []

    async def add(self, client: Client, *requests: Request[Any]) -> None:
        assert requests
        known = {request for other, some in self.feeds if other is client for request in some}
        new = [request for request in requests if request not in known]
        if new:
            await self._nursery.start(self._take, client, new)
            self.feeds.append((client, tuple(new)))
        self.published.update(requests)

    async def _take(self, client: Client, new: Sequence[Request[Any]], task_status: Any) -> None:
        async with client.subscribe(*new) as feed:
            task_status.started()
            try:
                async for event in feed:
                    self.events.append(event)
            except trio.ClosedResourceError:
                pass

    def drop(self, *requests: Request[Any]) -> None:
        assert requests
        self.published.difference_update(requests)


@attrs.frozen
class World:
    exchange: Exchange
    shard: Shard
    relay: Relay

    async def until(self, condition: Callable[[], object]) -> None:
        with trio.fail_after(100):
            while not condition():  # noqa: ASYNC110 (nothing tells when)
                await trio.sleep(0.01)

    def tell(self, symbol: str, status: str) -> None:
        """The exchange's reference data change."""
        (spec,) = [spec for spec in DEFAULT_MARKETS if spec.symbol == symbol]
        self.exchange.inject(Raw(payload=instruments("update", [attrs.evolve(spec, status=status)])))


@asynccontextmanager
async def running(
    symbols: Sequence[str] | None,
    *channels: str,
    shard: tuple[int, int] = (0, 1),
    markets: Sequence[MarketSpec] = DEFAULT_MARKETS,
    **options: Any,
) -> AsyncIterator[World]:

    def public() -> AbstractAsyncContextManager[Client]:
        return open_with(
            Endpoint(exchange.url_of("public")),
            settings=SETTINGS,
            ssl_context=None,
            connect=exchange.connect,
            wall_ns=lambda: exchange.time_ns,
            jitter=lambda: 0.5,
            admission=EXEMPT,
        )

    def level3() -> AbstractAsyncContextManager[Client]:
        return client_of(exchange, host="l3", settings=SETTINGS)

    async with (
        open_exchange(markets=markets, rate=20, epoch_ns=EPOCH_NS, keys=[API], **options) as exchange,
        trio.open_nursery() as nursery,
    ):
        relay = Relay(nursery)
        wanted = None if symbols is None else frozenset(symbols)
        one = Shard(Sources(wanted, parse_channels(channels), *shard), relay, public, level3)
        nursery.start_soon(one.run)
        yield World(exchange, one, relay)
        nursery.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def virtual_time(request: pytest.FixtureRequest) -> None:
    request.node.add_marker(pytest.mark.trio(run=in_virtual_time), append=False)


async def test_symbols_that_were_named() -> None:
    async with running(["BTC/USD", "ETH/USD"], "book:25,trades", "instruments") as world:
        wanted = {
            *(Book(symbol, 25) for symbol in ("BTC/USD", "ETH/USD")),
            *(Trades(symbol, snapshot=True) for symbol in ("BTC/USD", "ETH/USD")),
            Instruments(),
        }
        await world.until(lambda: world.relay.published == wanted)
        assert world.shard.requests == wanted
        assert len(world.shard.clients) == 1
        await world.until(lambda: {event.channel for event in world.relay.events} == {"book", "trade", "instrument"})


async def test_shards_have_all_symbols_between_them() -> None:
    found: list[Any] = []
    for number in range(3):
        async with running(None, "ticker", shard=(number, 3)) as world:
            await trio.sleep(10)
            found += world.relay.published
            assert len(world.shard.clients) == 1, "also where there is no symbol: it follows what is listed"
    assert sorted(found, key=str) == sorted(map(Ticker, NAMES), key=str)


async def test_new_listings_join_and_delisted_ones_leave() -> None:
    markets = [
        attrs.evolve(spec, status="work_in_progress") if spec.symbol == "TRX/BTC" else spec for spec in DEFAULT_MARKETS
    ]
    async with running(None, "ticker", markets=markets) as world:
        listed = {Ticker(name) for name in NAMES if name != "TRX/BTC"}
        await world.until(lambda: world.relay.published == listed)
        world.tell("TRX/BTC", "online")
        await world.until(lambda: world.relay.published == listed | {Ticker("TRX/BTC")})
        world.tell("GST/EUR", "delisted")
        await world.until(lambda: world.relay.published == (listed | {Ticker("TRX/BTC")}) - {Ticker("GST/EUR")})
        assert Ticker("GST/EUR") not in world.shard.requests
        feeds = len(world.relay.feeds)
        world.tell("GST/EUR", "post_only")
        await world.until(lambda: world.relay.published == listed | {Ticker("TRX/BTC")})
        assert len(world.relay.feeds) == feeds, "the one that it had"


async def test_a_snapshot_after_a_lost_connection_says_what_has_changed_meanwhile() -> None:
    async with running(None, "ticker") as world:
        listed = set(map(Ticker, NAMES))
        await world.until(lambda: world.relay.published == listed)
        world.tell("GST/EUR", "delisted")
        await world.until(lambda: world.relay.published == listed - {Ticker("GST/EUR")})
        world.exchange.inject(Drop())  # after which the exchange lists it again
        await world.until(lambda: world.relay.published == listed)


async def test_connections_have_so_many_symbols_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Connections", lambda: Connections(3))
    async with running(None, "ticker,book") as world:
        await world.until(lambda: len(world.relay.published) == 2 * len(NAMES))
        assert len(world.shard.clients) == 3
        for subscribed in world.exchange.subscriptions.values():
            assert 2 <= len({symbol for channel, symbol, _ in subscribed if channel == "book"}) <= 3


async def test_level_3_has_connections_of_its_own() -> None:
    async with running(["BTC/USD"], "level3:10,book") as world:
        await world.until(lambda: len(world.relay.feeds) == 2)
        assert {requests for _, requests in world.relay.feeds} == {(Book("BTC/USD"),), (Level3("BTC/USD"),)}
        assert len({id(client) for client, _ in world.relay.feeds}) == len(world.shard.clients) == 2


async def test_what_is_refused_is_left_out_and_tried_again() -> None:
    refusal = Refuse(symbol="GST/EUR", error="Currency pair not supported {symbol}", times=None)
    async with running(["BTC/USD", "GST/EUR"], "book", faults=[refusal]) as world:
        await world.until(lambda: world.relay.published == {Book("BTC/USD")})
        assert world.shard.refused == {Book("GST/EUR")}
        world.exchange.clear_faults()
        await trio.sleep(RETRY_REFUSED + 5)
        assert world.relay.published == {Book("BTC/USD"), Book("GST/EUR")}
        assert not world.shard.refused


async def test_everything_that_was_named_is_refused() -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(KrakenTrioError, match="refuses everything .* not supported NOPE/USD")):
        async with running(["NOPE/USD"], "book,trades"):
            await trio.sleep(60)


async def test_a_shard_without_symbols_waits() -> None:
    async with running(["BTC/USD"], "book", shard=(0, 2)) as world:
        await trio.sleep(60)
        assert (world.shard.clients, world.relay.published) == ([], set())
