"""An hour of virtual time, with as many symbols as Kraken has: nothing grows but the exchange's market."""

from __future__ import annotations

import gc
import logging
from collections import Counter
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING

import attrs
import trio
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

import kraken_trio as kt
from kraken_trio.metrics import register
from kraken_trio.testing import DEFAULT_MARKETS, CorruptChecksum, Drop, Network, open_exchange, run_virtual
from tests.metrics.scraping import samples

if TYPE_CHECKING:
    import pytest

SYMBOLS = [f"A{number:04}/USD" for number in range(1500)]
MARKETS = [attrs.evolve(DEFAULT_MARKETS[0], symbol=symbol, levels=12, history=1) for symbol in SYMBOLS]
SETTINGS = kt.Settings(request_rate=1000.0, request_burst=1000)
MINUTES = 60
ALLOWED = 30
"""Objects more after forty minutes: some are on their way when they are counted. One a minute would be 40,
one a message 3000."""


def held_by(holder: object) -> set[int]:
    """The ids of everything that is held by this, but for what belongs to Trio: its tasks would lead to all others."""
    found: set[int] = set()
    waiting = [holder]
    while waiting:
        one = waiting.pop()
        is_shared = isinstance(one, type | ModuleType | FunctionType) or type(one).__module__.startswith("trio")
        if id(one) not in found and not is_shared:
            found.add(id(one))
            waiting += gc.get_referents(one)
    return found


def count_objects(*, without: object) -> Counter[str]:
    """How many objects of each type there are, but for those that this one holds."""
    gc.collect()
    there, others = gc.get_objects(), held_by(without)
    return Counter(type(one).__name__ for one in there if id(one) not in others)


def test_an_hour_with_1500_symbols_adds_no_series_and_no_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("kraken_trio"), "propagate", False)  # pytest keeps what is logged
    series: list[int] = []
    objects: list[Counter[str]] = []

    async def main() -> None:
        registry, network = CollectorRegistry(), Network()
        async with (
            open_exchange(markets=MARKETS, rate=1.0, network=network, journal_limit=10) as exchange,
            kt.open_client(exchange.url, settings=SETTINGS, transport=exchange.connect) as client,
            client.subscribe(*map(kt.Book, SYMBOLS), capacity=4096) as feed,
            trio.open_nursery() as nursery,
        ):

            async def consume() -> None:
                async for _ in feed.batches():
                    pass

            nursery.start_soon(consume)
            for symbol in SYMBOLS:  # what a book gets with its first update is there from the start
                await exchange.publish(4, symbol)
            with register(client, registry=registry):
                for minute in range(MINUTES):
                    await trio.sleep(60)
                    if minute % 10 == 5:
                        exchange.inject(CorruptChecksum())
                    if minute % 30 == 15:
                        exchange.inject(Drop())
                    text = generate_latest(registry).decode()
                    if minute in (MINUTES // 3 - 1, MINUTES - 1):
                        series.append(len(samples(text)))
                        objects.append(count_objects(without=exchange))
                now = client.statistics()
            nursery.cancel_scope.cancel()
        assert sum(now.losses_by_cause.values()) == MINUTES // 30
        assert sum(now.state_seconds.values()) >= 60 * MINUTES - 1
        assert now.lag.count > 1000
        assert now.waiting_time.count > 1000

    run_virtual(main)
    assert series[0] == series[-1] < 700
    grown = objects[-1] - objects[0]
    assert grown.total() < ALLOWED, grown.most_common(10)
