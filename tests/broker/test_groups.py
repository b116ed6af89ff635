"""A consumer group over a real server of each kind: members come and go, and every trade is done once.

Members are taken for gone after five seconds of silence, which a busy machine may exceed: `nox -s brokers` runs it.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

import kraken_trio as kt
from kraken_trio.broker.choice import engine_for
from tests.client.test_stream_groups import REQUESTS, SYMBOLS, Relay
from tests.waiting import PATIENCE, until

if TYPE_CHECKING:
    from tests.broker.kafka_server import KafkaServer
    from tests.broker.nats_server import NatsServer

pytestmark = pytest.mark.brokers


@attrs.define
class Member:
    url: str
    done: list[tuple[str, int]]
    symbols: set[str] = attrs.Factory(set)
    is_leaving: bool = False

    async def run(self) -> None:
        async with kt.open_stream(self.url, group="g") as client, client.subscribe(*REQUESTS) as feed:
            while not self.is_leaving:
                events: list[Any] = []
                with trio.move_on_after(0.2):
                    events = await feed.receive_many(20)
                trades = [event for event in events if isinstance(event, kt.Trade)]
                self.done += [(trade.symbol, trade.received_ns) for trade in trades]
                self.symbols |= {trade.symbol for trade in trades}
                await feed.commit()


@pytest.fixture(params=["nats", "kafka"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "nats":
        nats: NatsServer = request.getfixturevalue("nats")
        return f"{nats.url}/groups?max_bytes=64MiB"
    kafka: KafkaServer = request.getfixturevalue("kafka")
    return f"kafka://{kafka.address}/groups?partitions=3"


async def test_members_share_the_symbols(url: str) -> None:
    random = Random(5)
    done: list[tuple[str, int]] = []
    first, second = Member(url, done), Member(url, done)
    engine = engine_for(url)
    async with engine.connect() as link:
        fence = await link.acquire(0, "test")
        assert fence is not None
        relay = Relay(link, fence)
        await relay.begin()
        await relay.frames()

        async def trade(count: int) -> None:
            for _ in range(count):
                await relay.trade(random.choice(SYMBOLS), 2)
                await trio.sleep(0.02)
            await link.renew(fence)
            await relay.frames()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(first.run)
            with trio.fail_after(PATIENCE):
                while first.symbols < {*SYMBOLS}:  # until it has joined, and reads all of them
                    for symbol in SYMBOLS:
                        await relay.trade(symbol, 1)
                    await link.renew(fence)
                    await trio.sleep(0.1)
            begun = dict(relay.counts)
            await trade(100)
            nursery.start_soon(second.run)
            while not second.symbols:
                await trade(50)
            first.is_leaving = True
            await trade(100)
            wanted = [
                (symbol, number) for symbol, count in relay.counts.items() for number in range(begun[symbol], count)
            ]
            await until(lambda: {*wanted} <= {*done}, every=0.1)
            second.is_leaving = True
    assert sorted((symbol, number) for symbol, number in done if number >= begun[symbol]) == sorted(wanted)
