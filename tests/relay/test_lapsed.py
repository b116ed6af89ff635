"""Whose lease has ended publishes nothing more, even if the broker would still take it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio

from kraken_trio import Book, open_client
from kraken_trio.broker.lease import Standing
from kraken_trio.relay import open_relay
from kraken_trio.testing import MemoryBroker, open_exchange
from tests.cli.doctor.test_doctor_relay import Altered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock


async def test_an_owner_whose_renewals_are_not_answered_stops(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(lease_ttl=3.0)

    @asynccontextmanager
    async def connect() -> AsyncIterator[Any]:
        async with broker.connect() as link:

            async def renew(_: object) -> None:
                await trio.sleep_forever()

            yield Altered(link, renew=renew)

    engine: Any = Altered(broker, connect=connect)
    async with (
        open_exchange(rate=50) as exchange,
        open_client(exchange.url, transport=exchange.connect) as client,
        open_relay(engine, keyframe_every=1.0, drain_timeout=1.0) as relay,
    ):
        await relay.add(client, Book("BTC/USD"))
        await relay.wait_owner()
        await trio.sleep(2.5)
        before = len(broker.messages())
        assert before > 10
        await trio.sleep(1.0)
        assert relay.statistics().standing is Standing.LAPSED
        stopped = len(broker.messages())
        await trio.sleep(20.0)
        assert len(broker.messages()) == stopped
        assert relay.statistics().waiting_events > 100, "they wait: perhaps it is the owner again"
