"""An engine for commands, which run an event loop of their own: each connection has a broker and a relay of its own."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from kraken_trio import Book, Request, Trades, open_client
from kraken_trio.relay import publish
from kraken_trio.testing import MemoryBroker, open_exchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

    from kraken_trio.broker.seam import Link

REQUESTS: tuple[Request[Any], ...] = (Book("BTC/USD"), Trades("BTC/USD", snapshot=True), Book("ETH/USD", 25))


class Published:
    """Publishes :data:`REQUESTS` of a fake exchange, in memory."""

    name = "memory://broker/kraken"
    stream = "kraken"
    lease_ttl = 3.0

    def __init__(self, rate: float = 50.0) -> None:
        self.rate = rate

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Link]:
        broker = MemoryBroker(epoch_ns=time.time_ns() - round(trio.current_time() * 1e9))
        async with (
            open_exchange(rate=self.rate) as exchange,
            open_client(exchange.url, transport=exchange.connect) as client,
            publish(client, broker, *REQUESTS, keyframe_every=0.5) as relay,
        ):
            await relay.wait_owner()
            async with broker.connect() as link:
                yield link
