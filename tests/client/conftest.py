"""The client on virtual time: against the fake exchange, without sockets.

``exchange`` is an :class:`InMemoryExchange`; ``open_client(exchange.url, transport=exchange.connect)`` reaches it.
A test that uses it must name ``autojump_clock`` as well: pytest-trio looks for a clock in a test's own arguments only.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from kraken_trio.testing import Market
from kraken_trio.testing.exchange.core import ExchangeCore
from kraken_trio.testing.exchange.market_spec import DEFAULT_MARKETS
from kraken_trio.testing.exchange.memory import MemoryTransport, connect_in_memory
from kraken_trio.testing.exchange.shell import Shell

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterable

    from trio.testing import MockClock

    from kraken_trio.testing import Fault, MarketSpec
    from kraken_trio.testing.exchange.actions import Action
    from kraken_trio.transport import Limits


class InMemoryExchange:
    """The shell of :func:`~kraken_trio.testing.open_exchange`, whose core and connections a test may touch."""

    url = "ws://localhost/v2"  # a loopback address: the process's budget is not for it

    def __init__(self) -> None:
        self._keeping = trio.CancelScope()
        self.shell = self.trade()
        self.lines: dict[int, MemoryTransport] = {}
        """The clients' connections that are open, by the exchange's numbers."""
        self.kind: type[MemoryTransport] = MemoryTransport
        """What those are."""
        self.attempts: list[float] = []
        self.leave_takes = 0.0  # how long closing a connection takes

    def trade(self, specs: Iterable[MarketSpec] = DEFAULT_MARKETS, *, rate: float = 20.0) -> Shell:
        """Trade these, ``rate`` updates a second, as an exchange that knows nothing of what was before.

        What takes long in virtual time is slow in proportion to the rate.
        """
        market = Market(tuple(specs), seed=7, rate=rate)
        core = ExchangeCore(market, now=trio.current_time(), epoch_ns=0, seed=7)
        self.shell = Shell(core, None, None)
        self._keeping.cancel()
        return self.shell

    @property
    def core(self) -> ExchangeCore:
        return self.shell.core

    @asynccontextmanager
    async def connect(
        self, url: str, *, ssl_context: ssl.SSLContext | None, limits: Limits
    ) -> AsyncIterator[MemoryTransport]:
        assert url == self.url
        self.attempts.append(trio.current_time())
        connecting = connect_in_memory(self.shell, url, ssl_context=ssl_context, limits=limits, kind=self.kind)
        async with connecting as line:
            self.lines[line.number] = line
            try:
                yield line
            finally:
                del self.lines[line.number]
        with trio.CancelScope(shield=True):
            await trio.sleep(min(self.leave_takes, limits.close_timeout))

    def inject(self, fault: Fault) -> None:
        self.do(self.core.inject(fault, trio.current_time()))

    def publish(self, updates: int, symbol: str) -> None:
        self.do(self.core.publish(updates, trio.current_time(), symbol))

    def do(self, actions: list[Action]) -> None:
        self.shell.do(actions)

    async def keep_time(self) -> None:
        while True:  # `trade` may put another shell in the place of this one
            with trio.CancelScope() as self._keeping:
                await self.shell.keep_time()


@pytest.fixture
async def exchange(autojump_clock: MockClock, nursery: trio.Nursery) -> InMemoryExchange:
    exchange = InMemoryExchange()
    nursery.start_soon(exchange.keep_time)
    return exchange
