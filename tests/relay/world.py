"""What the tests of producers share: an exchange in memory, clients of it, and a plain reading of what is stored."""

from __future__ import annotations

from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

import kraken_trio as kt
from kraken_trio.admission import ConnectBudget
from kraken_trio.broker.messages import KeyFrame, decode_batch, decode_key_frame
from kraken_trio.broker.subjects import Kind
from kraken_trio.client import open_with
from kraken_trio.testing import Exchange, MarketSpec, MemoryBroker, Network, open_exchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kraken_trio.broker.subjects import Key

EPOCH_NS: Final = 1_785_644_622 * 10**9
BTC, ETH = "BTC/USD", "ETH/USD"
MARKETS: Final = (
    MarketSpec(
        symbol=BTC, price_precision=1, qty_precision=8, start_price="64525.0", levels=30, typical_qty="0.35", weight=2
    ),
    MarketSpec(symbol=ETH, price_precision=2, qty_precision=8, start_price="1877.30", levels=30, typical_qty="4"),
)
REQUESTS: Final[tuple[kt.Request[Any], ...]] = (
    kt.Book(BTC),
    kt.Book(ETH),
    kt.Trades(BTC),
    kt.Ticker(BTC),
    kt.Instruments(),
)


def wall_ns() -> int:
    """A wall clock that follows Trio's."""
    return EPOCH_NS + round(trio.current_time() * 1e9)


@attrs.define(eq=False)
class World:
    """An exchange, and the network to it."""

    exchange: Exchange
    network: Network
    clients: int = 0

    @asynccontextmanager
    async def client(self, **settings: Any) -> AsyncIterator[kt.Client]:
        """A client of the exchange: the same run makes the same events."""
        self.clients += 1
        async with open_with(
            self.exchange.url,
            settings=kt.Settings(**{"stall_limit": 1e6, **settings}),
            ssl_context=None,
            connect=self.network.transport(),
            wall_ns=wall_ns,
            jitter=Random(f"client {self.clients}").random,
            admission=ConnectBudget(trio.current_time),
        ) as client:
            yield client

    def check_book(self, streams: Streams, symbol: str) -> None:
        """The book that a reader has is that of the exchange, which must stand still."""
        book = kt.OrderBook(10)
        for event in streams.of("book", symbol):
            if type(event) is kt.Gap:
                book.invalidate("a gap")
            else:
                book.apply(event)
        assert book.available
        own = self.exchange.book(symbol, 10)
        assert [(level.price_text, level.qty_text) for level in book.bids] == list(own.bids)
        assert [(level.price_text, level.qty_text) for level in book.asks] == list(own.asks)


@asynccontextmanager
async def open_world(*, rate: float = 50.0, seed: int = 1) -> AsyncIterator[World]:
    """An exchange in memory."""
    network = Network(seed=seed)
    async with open_exchange(
        markets=MARKETS, seed=seed, rate=rate, network=network, epoch_ns=EPOCH_NS, snapshot_delay=0.01
    ) as exchange:
        yield World(exchange, network)


@attrs.define
class Streams:
    """What is stored, by key and producer. Repeats are left out, as each reader does."""

    events: dict[Key, dict[int, list[Any]]] = attrs.Factory(dict)
    """By key, and by producer, from its number 0 on."""
    frames: dict[Key, list[KeyFrame]] = attrs.Factory(dict)
    repeats: int = 0
    catalogs: int = 0
    largest: int = 0
    """The most events in a message."""

    def of(self, channel: str, symbol: str | None = None) -> list[Any]:
        """All events of a key, of all producers in order: a new one begins with the state."""
        return [event for events in self.events[channel, symbol].values() for event in events]

    def producers(self, channel: str, symbol: str | None = None) -> list[int]:
        """The producers of a key."""
        return list(self.events[channel, symbol])


def stored(broker: MemoryBroker) -> Streams:
    """Read what is stored. Fails if events of a producer are missing, or out of order, or come after a later one's."""
    found = Streams()
    for message in broker.messages():
        subject = message.subject
        if subject.kind is Kind.CATALOG:
            found.catalogs += 1
        elif subject.kind is Kind.KEY:
            frame = decode_key_frame(message.data)
            assert (frame.channel, frame.symbol) == subject.key
            of_producer = found.events[subject.key][frame.producer]
            assert frame.seq <= len(of_producer) - 1, "a key frame of what is not there yet"
            found.frames.setdefault(subject.key, []).append(frame)
        elif subject.kind is Kind.DATA:
            batch = decode_batch(message.data)
            assert (batch.channel, batch.symbol) == subject.key
            of_key = found.events.setdefault(subject.key, {})
            assert batch.producer >= max(of_key, default=0), "an earlier producer after a later one"
            events = of_key.setdefault(batch.producer, [])
            assert batch.seq <= len(events), "a hole"
            found.repeats += len(events) - batch.seq
            found.largest = max(found.largest, len(batch.events))
            events += batch.events[len(events) - batch.seq :]
    return found
