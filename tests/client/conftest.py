"""The client on virtual time: against the exchange's pure core, without sockets.

``exchange`` is an :class:`InMemoryExchange`; ``open_client(exchange.url, transport=exchange.connect)`` reaches it.
A test that uses it must name ``autojump_clock`` as well: pytest-trio looks for a clock in a test's own arguments only.
"""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

import kraken_trio as kt
from kraken_trio.testing.exchange.actions import End, Send, SendRaw
from kraken_trio.testing.exchange.core import ExchangeCore
from kraken_trio.testing.exchange.market import Market
from kraken_trio.testing.exchange.market_spec import DEFAULT_MARKETS
from kraken_trio.testing.faults import DropConnect, RefuseConnect
from kraken_trio.transport import ConnectionLost, Limits

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterable

    from trio.testing import MockClock

    from kraken_trio.testing.exchange.actions import Action
    from kraken_trio.testing.exchange.market_spec import MarketSpec
    from kraken_trio.testing.faults import Fault


class Line:
    """One connection, as the client's transport."""

    def __init__(self, exchange: InMemoryExchange, number: int) -> None:
        self.exchange = exchange
        self.number = number
        self.frames: deque[str | bytes] = deque()
        self.lost: ConnectionLost | None = None
        self.news = trio.Event()
        self.deaf = False  # its sends block for ever

    def push(self, frame: str | bytes) -> None:
        self.frames.append(frame)
        self.news.set()

    async def receive(self) -> list[str | bytes]:
        await trio.lowlevel.checkpoint()
        while not self.frames:
            if self.lost is not None:
                raise self.lost
            self.news = trio.Event()
            await self.news.wait()
        batch = list(self.frames)
        self.frames.clear()
        return batch

    async def send(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        if self.deaf:
            await trio.sleep_forever()
        if self.lost is not None:
            raise self.lost
        self.exchange.do(self.exchange.core.receive(self.number, text, trio.current_time()))


class InMemoryExchange:
    """:class:`ExchangeCore` with lists for sockets."""

    url = "ws://localhost/v2"  # a loopback address: the process's budget is not for it

    def __init__(self) -> None:
        self.lines: dict[int, Line] = {}
        self.attempts: list[float] = []
        self.leave_takes = 0.0  # how long closing a connection takes
        self._changed = trio.Event()
        self.core = self.trade()

    def trade(self, specs: Iterable[MarketSpec] = DEFAULT_MARKETS, *, rate: float = 20.0) -> ExchangeCore:
        """Trade these, ``rate`` updates a second, as an exchange that knows nothing of what was before.

        What takes long in virtual time is slow in proportion to the rate.
        """
        market = Market(tuple(specs), seed=7, rate=rate)
        self.core = ExchangeCore(market, now=trio.current_time(), epoch_ns=0, seed=7)
        self._changed.set()
        return self.core

    @asynccontextmanager
    async def connect(self, url: str, *, ssl_context: ssl.SSLContext | None, limits: Limits) -> AsyncIterator[Line]:
        assert url == self.url
        await trio.lowlevel.checkpoint()
        self.attempts.append(trio.current_time())
        refusal = self.core.admit()
        if isinstance(refusal, RefuseConnect):
            raise kt.ConnectError(
                f"HTTP {refusal.status}",
                status=refusal.status,
                retry_after=refusal.retry_after,
                retryable=refusal.status not in (400, 401, 404),
            )
        if isinstance(refusal, DropConnect):
            raise kt.ConnectError("it hung up")
        number, actions = self.core.connect(trio.current_time())
        line = self.lines[number] = Line(self, number)
        self.do(actions)
        try:
            yield line
        finally:
            del self.lines[number]
            self.core.disconnect(number)
            with trio.CancelScope(shield=True):
                await trio.sleep(min(self.leave_takes, limits.close_timeout))

    def inject(self, fault: Fault) -> None:
        self.do(self.core.inject(fault, trio.current_time()))

    def publish(self, updates: int, symbol: str) -> None:
        self.do(self.core.publish(updates, trio.current_time(), symbol))

    def do(self, actions: list[Action]) -> None:
        for action in actions:
            line = self.lines.get(action.connection)
            if line is None:
                continue
            if isinstance(action, Send):
                line.push(action.text)
            elif isinstance(action, SendRaw):
                line.push(action.raw.payload)
            elif isinstance(action, End):
                code = action.how.code
                line.lost = ConnectionLost(f"the peer ended it: {action.how.name}", code=code)
                line.news.set()
        self._changed.set()

    async def keep_time(self) -> None:
        while True:
            deadline = self.core.deadline
            self._changed = trio.Event()
            with trio.move_on_at(float("inf") if deadline is None else deadline):
                await self._changed.wait()
            self.do(self.core.tick(trio.current_time()))


@pytest.fixture
async def exchange(autojump_clock: MockClock, nursery: trio.Nursery) -> InMemoryExchange:
    exchange = InMemoryExchange()
    nursery.start_soon(exchange.keep_time)
    return exchange
