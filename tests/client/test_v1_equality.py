"""The same market over v1 and v2: after every message, two clients have the same books and trades by value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import kraken_trio as kt
from kraken_trio.testing import (
    DEFAULT_MARKETS,
    CorruptChecksum,
    Drop,
    IrregularUpdate,
    Network,
    OmitChecksum,
    SkipUpdate,
    UnknownField,
    UpdateIrregularity,
    open_exchange,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

    from kraken_trio.requests import Depth
    from kraken_trio.testing import Exchange

SYMBOLS = tuple(spec.symbol for spec in DEFAULT_MARKETS if spec.weight)


class Reader:
    """A client, and all that its feed has told."""

    def __init__(self, exchange: Exchange, protocol: str, depth: Depth) -> None:
        url = exchange.v1_url if protocol == "v1" else exchange.url
        self.client = kt.open_client(kt.Endpoint(url, protocol), transport=exchange.connect)
        self.requests: list[kt.Request[Any]] = [
            *(kt.Book(symbol, depth=depth) for symbol in SYMBOLS),
            *(kt.Trades(symbol) for symbol in SYMBOLS),
        ]
        self.events: list[Any] = []
        self.feed: kt.Feed[Any] | None = None

    async def run(self) -> None:
        async with self.client as client, client.subscribe(*self.requests) as feed:
            self.feed = feed
            async for event in feed:
                self.events.append(event)

    def book(self, symbol: str) -> Any:
        """Bids and asks, as numbers."""
        assert self.feed is not None
        book = self.feed.book(symbol)
        return [[(level.price, level.qty) for level in side] for side in (book.bids, book.asks)]

    def trades(self, symbol: str) -> list[Any]:
        """All that were pushed, as values. (A snapshot of trades is something that v1 has not.)"""
        return [
            (trade.price, trade.qty, trade.side, trade.ord_type, trade.timestamp)
            for trade in self.events
            if isinstance(trade, kt.Trade) and trade.symbol == symbol and not trade.snapshot
        ]

    def gaps(self) -> list[kt.Cause]:
        return [event.cause for event in self.events if isinstance(event, kt.Gap)]


@pytest.fixture(params=range(3), ids="seed {}".format)
async def exchange(request: Any, autojump_clock: MockClock) -> AsyncIterator[Exchange]:
    async with open_exchange(seed=request.param, rate=0, epoch_ns=10**18, network=Network()) as exchange:
        yield exchange


async def settled(readers: list[Reader]) -> None:
    """Wait until both have all books."""
    with trio.fail_after(100):
        while any(reader.feed is None or not all(available(reader)) for reader in readers):  # noqa: ASYNC110 (a book tells nobody)
            await trio.sleep(0.1)
    await wait_all_tasks_blocked()


def available(reader: Reader) -> list[bool]:
    assert reader.feed is not None
    return [reader.feed.book(symbol).available for symbol in SYMBOLS]


@pytest.mark.parametrize("depth", [10, 100])
async def test_books_and_trades_are_equal_after_every_message(
    autojump_clock: MockClock, exchange: Exchange, nursery: trio.Nursery, depth: Depth
) -> None:
    v1, v2 = readers = [Reader(exchange, protocol, depth) for protocol in ("v1", "v2")]
    for reader in readers:
        nursery.start_soon(reader.run)
    await settled(readers)
    for number in range(250):
        await exchange.publish(1)
        await wait_all_tasks_blocked()
        for symbol in SYMBOLS:
            assert v1.book(symbol) == v2.book(symbol)
            if not number % 50:
                own = exchange.book(symbol, depth)
                assert [len(side) for side in v1.book(symbol)] == [len(own.bids), len(own.asks)]
    assert sum(map(len, map(v1.trades, SYMBOLS))) > 20
    for symbol in SYMBOLS:
        assert v1.trades(symbol) == v2.trades(symbol)
    assert v1.gaps() == v2.gaps() == []
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("fault", "causes"),
    [
        (CorruptChecksum(symbol="BTC/USD", connection=1), {kt.Cause.CHECKSUM}),
        (SkipUpdate(symbol="BTC/USD", connection=1), {kt.Cause.CHECKSUM}),
        (Drop(connection=1), {kt.Cause.DISCONNECTED}),
        (OmitChecksum(symbol="BTC/USD", connection=1), set()),
        (UnknownField(times=20), set()),
        *((IrregularUpdate(how=how, connection=1, times=5), set()) for how in UpdateIrregularity),
    ],
    ids=str,
)
async def test_books_are_equal_again_after_a_fault_of_v1(
    autojump_clock: MockClock, nursery: trio.Nursery, fault: Any, causes: set[kt.Cause]
) -> None:
    async with open_exchange(seed=5, rate=0, epoch_ns=10**18, network=Network()) as exchange:
        v1, v2 = readers = [Reader(exchange, protocol, 10) for protocol in ("v1", "v2")]
        for reader in readers:  # so that number 1 is v1's
            nursery.start_soon(reader.run)
            await settled([reader])
        exchange.inject(fault)
        await exchange.publish(60, "BTC/USD")
        await trio.sleep(1)
        await settled(readers)
        await exchange.publish(60)
        await wait_all_tasks_blocked()
        for symbol in SYMBOLS:
            assert v1.book(symbol) == v2.book(symbol)
        assert set(v1.gaps()) == causes
        assert v2.gaps() == []
        nursery.cancel_scope.cancel()
