"""An hour of virtual time, with as many symbols as Kraken has: nothing grows."""

from __future__ import annotations

import gc

import attrs
import trio
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

import kraken_trio as kt
from kraken_trio.metrics import register
from kraken_trio.testing import DEFAULT_MARKETS, CorruptChecksum, Drop, Network, open_exchange, run_virtual
from tests.metrics.scraping import samples

SYMBOLS = [f"A{number:04}/USD" for number in range(1500)]
MARKETS = [attrs.evolve(DEFAULT_MARKETS[0], symbol=symbol, levels=12, history=1) for symbol in SYMBOLS]
SETTINGS = kt.Settings(request_rate=1000.0, request_burst=1000)
MINUTES = 60


def test_an_hour_with_1500_symbols_adds_no_series_and_no_objects() -> None:
    series: list[int] = []
    objects: list[int] = []

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
            with register(client, registry=registry):
                for minute in range(MINUTES):
                    await trio.sleep(60)
                    if minute % 10 == 5:
                        exchange.inject(CorruptChecksum())
                    if minute % 20 == 15:
                        exchange.inject(Drop())
                    text = generate_latest(registry).decode()
                    if minute % 20 == 19:
                        series.append(len(samples(text)))
                        gc.collect()
                        objects.append(len(gc.get_objects()))
                now = client.statistics()
            nursery.cancel_scope.cancel()
        assert sum(now.losses_by_cause.values()) == MINUTES // 20
        assert sum(now.state_seconds.values()) >= 60 * MINUTES - 1
        assert now.lag.count > 1000
        assert now.waiting_time.count > 1000

    run_virtual(main)
    assert series[0] == series[-1] < 700
    assert objects[-1] < 1.02 * objects[0]
