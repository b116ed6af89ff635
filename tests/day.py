"""A small recording to be played: two clients, one after the other, among faults, in several segments."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import trio

import kraken_trio as kt
from kraken_trio.recordings import record
from kraken_trio.runtime.recorder import in_line
from kraken_trio.testing.faults import CorruptLevel, Drop
from kraken_trio.testing.network.virtual_time import run_virtual
from tests.client.conftest import InMemoryExchange
from tests.opening import open_at

if TYPE_CHECKING:
    from pathlib import Path

BOOK, TRADES, ETH, STATE = kt.Book("BTC/USD"), kt.Trades("BTC/USD"), kt.Book("ETH/USD", depth=25), kt.Lifecycle()
START_NS = int(datetime(2027, 3, 1, 12, tzinfo=UTC).timestamp()) * 10**9
SECOND = 10**9


def make(folder: Path) -> None:
    """Record it."""
    run_virtual(_record, folder, seed=3)


async def _record(folder: Path) -> None:
    exchange = InMemoryExchange()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(exchange.keep_time)
        for fault in (Drop(), None):
            async with open_at(exchange, lambda: START_NS + round(trio.current_time() * SECOND)) as client:
                async with record(
                    client, folder, ETH, work=in_line, keyframe_every=2, flush_every=0.5, max_segment_bytes=12_000
                ):
                    async with client.subscribe(BOOK, TRADES, STATE):
                        await trio.sleep(3)
                        exchange.inject(CorruptLevel(symbol="BTC/USD"))
                        await trio.sleep(3)
                        if fault is not None:
                            exchange.inject(fault)
                        await trio.sleep(4)
            await trio.sleep(30)
        nursery.cancel_scope.cancel()
