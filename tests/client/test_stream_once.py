"""Exactly once into a database: result and place are stored in one transaction, wherever the program dies."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import trio

import kraken_trio as kt
from kraken_trio.testing import MemoryBroker
from tests.broker.pure.relayed import BOOK, BTC, KEYS, TRADE, Exchange
from tests.client.relaying import open_relay, open_stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trio.testing import MockClock

BEGINNING_NS = 1_767_225_600_000_000_000  # of the broker's clock


class KilledError(Exception):
    """The program is gone, between any two of its steps."""


class Program:
    """Stores every trade, and whether it got a gap."""

    def __init__(self, random: Random, database: sqlite3.Connection) -> None:
        self.random = random
        self.database = database
        self.database.executescript("create table trades (number); create table gaps (cause); create table place (it);")

    def store(self, events: Sequence[Any], position: kt.Position | None) -> None:
        with self.database:  # a transaction
            for event in events:
                self.step()
                if isinstance(event, kt.Trade):
                    self.database.execute("insert into trades values (?)", (event.received_ns,))
                elif isinstance(event, kt.Gap):
                    self.database.execute("insert into gaps values (?)", (event.cause.value,))
            self.step()
            self.database.execute("delete from place")
            if position is not None:
                self.database.execute("insert into place values (?)", (str(position),))
            self.step()

    def step(self) -> None:
        if self.random.random() < 0.03:
            raise KilledError

    async def run(self, broker: MemoryBroker) -> None:
        """As after any start of its process."""
        row = self.database.execute("select it from place").fetchone()
        async with open_stream(broker, start=BEGINNING_NS if row is None else row[0]) as client:
            async with client.subscribe(kt.Trades(BTC), kt.Book(BTC), capacity=16) as feed:
                while True:
                    events = await feed.receive_many(self.random.randint(1, 9))
                    self.store(events, feed.position)

    async def run_again_and_again(self, broker: MemoryBroker) -> None:
        while True:
            try:
                await self.run(broker)
            except KilledError:
                await trio.sleep(self.random.random())

    def numbers(self) -> list[int]:
        return [number for (number,) in self.database.execute("select number from trades order by rowid")]


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as database:
        yield database


@pytest.mark.parametrize("seed", range(4))
async def test_every_trade_is_stored_once(autojump_clock: MockClock, database: sqlite3.Connection, seed: int) -> None:
    random = Random(seed)
    broker, exchange, program = MemoryBroker(partitions=1 + seed % 2 * 3), Exchange(), Program(random, database)
    async with trio.open_nursery() as nursery:
        async with open_relay(broker, exchange) as relay:
            await relay.begin()
            nursery.start_soon(program.run_again_and_again, broker)
            framed_at = trio.current_time()
            for _ in range(60):
                await relay.happen(TRADE, BOOK, count=random.randint(1, 6))
                # At the latest when it is due: with a key frame that is missing, a state would be, too.
                if random.random() < 0.3 or trio.current_time() - framed_at >= 3:
                    framed_at = trio.current_time()
                    await relay.frames(*KEYS)
                await trio.sleep(random.choice([0.0, 0.1, 2.0]))
            for _ in range(24):
                await trio.sleep(5)
                await relay.frames()
        nursery.cancel_scope.cancel()
    assert program.numbers() == list(range(1, len(exchange.history[TRADE])))
    assert program.database.execute("select cause from gaps").fetchall() == []


@pytest.mark.parametrize("seed", range(4))
async def test_another_producer_costs_no_trade_either(
    autojump_clock: MockClock, database: sqlite3.Connection, seed: int
) -> None:
    """What a later producer begins with, and the program may have received a part of, comes once."""
    random = Random(seed)
    broker, exchange, program = MemoryBroker(lease_ttl=1.0), Exchange(), Program(random, database)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_relays, broker, exchange, random)
        await trio.sleep(0.5)
        nursery.start_soon(program.run_again_and_again, broker)
        await trio.sleep(120)
        nursery.cancel_scope.cancel()
    assert program.numbers() == list(range(1, len(exchange.history[TRADE])))
    assert program.database.execute("select count(*) from gaps where cause = 'failover'").fetchone() != (0,)


async def _relays(broker: MemoryBroker, exchange: Exchange, random: Random) -> None:
    for number in range(5):
        async with open_relay(broker, exchange) as relay:
            await relay.begin()
            for _ in range(8):
                await relay.happen(TRADE, BOOK, count=random.randint(1, 6))
                await trio.sleep(random.choice([0.0, 0.3]))
            if number == 4:
                await relay.frames()
                await trio.sleep_forever()
            for _ in range(random.randint(0, 10)):
                exchange.happen(TRADE)
        await trio.sleep(1.5)
