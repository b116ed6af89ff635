"""The fake exchange in the hands of a test of a session: honest, but as slow as the test wants it to be.

It reads one request at a time, in order, and what it has to say waits in ``outbox`` until the test delivers it. What it
thinks the client has subscribed to is compared with the client's own idea.

It is :class:`~kraken_trio.testing.ExchangeCore`. Its markets do nothing by themselves, and its snapshots go out when
the test says so. Prices are whole numbers, bids are below 100; a trade costs one more than the one before it, so that
the prices of tickers count.
"""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

from kraken_trio.testing import (
    CorruptChecksum,
    ExchangeCore,
    Market,
    MarketSpec,
    Mute,
    Refuse,
    Shape,
    SkipUpdate,
)
from kraken_trio.testing.exchange.actions import Send
from kraken_trio.testing.exchange.server_book import ASK, BID
from tests.session.driver import BTC, BUSY, ETH, RATE_LIMIT, SOL, UNKNOWN_PAIR

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kraken_trio.testing.exchange.actions import Action
    from kraken_trio.testing.exchange.subscriptions import Connection
    from tests.session.driver import Asked, Levels

Topic: TypeAlias = tuple[str, str]
"""Channel and symbol."""

SYMBOLS: Final = (BTC, ETH, SOL)
NEVER: Final = 1e9
"""Seconds: snapshots wait until the test lets them go."""
MARKETS: Final = tuple(
    MarketSpec(symbol=symbol, price_precision=0, qty_precision=2, start_price="100", levels=12, spacing=1)
    for symbol in SYMBOLS
)


class Exchange:
    def __init__(self) -> None:
        self.core = ExchangeCore(Market(MARKETS, rate=0), now=0.0, epoch_ns=0, snapshot_delay=NEVER)
        self.delisted: set[str] = set()
        self.number = 0
        self.connect()

    def connect(self) -> None:
        """A new connection knows nothing of the one before."""
        self.core.disconnect(self.number)
        while self.core.timer_due is not None:
            self.core.run_timers(self.core.timer_due)  # snapshots of the one before: nobody gets them
        self.number, _ = self.core.connect(0.0)
        self.unnoticed: set[str] = set()
        """Books of which the client missed an update, and cannot know it before the next one."""
        self.outbox: deque[str] = deque()

    @property
    def connection(self) -> Connection:
        return self.core.connections[self.number]

    @property
    def subscriptions(self) -> dict[Topic, Asked]:
        """The depth of each, where it has one."""
        return {
            (sub.channel, sub.symbol or ""): {"depth": sub.variant} if sub.channel == "book" else {}
            for sub in self.connection.subscriptions.values()
        }

    @property
    def due(self) -> list[Topic]:
        """Accepted, and the snapshot has not gone out yet."""
        return [(sub.channel, sub.symbol or "") for sub in self.connection.subscriptions.values() if not sub.live]

    @property
    def quiet(self) -> bool:
        """Nothing is under way to the client."""
        return not self.outbox and not self.due

    def book(self, symbol: str, depth: int) -> tuple[int, list[Levels]]:
        """Its checksum, and its bids and asks as texts."""
        book = self.core.market.symbols[symbol].book
        sides = [
            [(str(price), f"{qty // 100}.{qty % 100:02}") for price, qty in side.top(depth)]
            for side in (book.bids, book.asks)
        ]
        return book.checksum(), sides

    def _say(self, actions: Iterable[Action]) -> int:
        """Put it into the outbox. Returns how much that was."""
        texts = [action.text for action in actions if isinstance(action, Send)]
        self.outbox += texts
        return len(texts)

    # Requests

    def read(self, asked: Asked, *, mute: bool = False) -> None:
        """Do what is asked, and say so."""
        if asked["method"] == "subscribe":
            there = {symbol for _, symbol in self.subscriptions}
            for symbol in self.delisted - there:
                self.core.inject(Refuse(error=UNKNOWN_PAIR, symbol=symbol, times=None), 0.0)
            if mute:
                self.core.inject(Mute(times=None), 0.0)
        self._say(self.core.receive(self.number, json.dumps(asked), 0.0))
        self.core.armed.clear()

    def refuse(self, asked: Asked, how: str) -> None:
        """Do nothing of it."""
        shape = {"bare": Shape.BARE, "whole": Shape.WHOLE}.get(how, Shape.WITH_SYMBOL)
        error = BUSY if how == "busy" else RATE_LIMIT
        self.core.inject(Refuse(error=error, shape=shape, method=asked["method"], times=None), 0.0)
        self._say(self.core.receive(self.number, json.dumps(asked), 0.0))
        self.core.armed.clear()

    # Data

    def send_snapshot(self) -> None:
        """The oldest one that is due."""
        before = len(self.due)
        while len(self.due) == before:
            due = self.core.timer_due
            assert due is not None
            self.core.run_timers(due)
        actions = self.core.take_actions()
        self.unnoticed -= {
            json.loads(a.text)["data"][0]["symbol"] for a in actions if isinstance(a, Send) and '"book"' in a.text
        }
        self._say(actions)

    def trade(self, symbol: str, *, lost: bool = False) -> None:
        if lost:
            self.core.inject(SkipUpdate(channel="trade", symbol=symbol), 0.0)
        price = self.core.market.symbols[symbol].tape.last + 1
        self._say(self.core.trade(symbol, price, 100, 0.0, buy=True))
        self.core.armed.clear()

    def move(self, symbol: str, price: int, qty: int, *, lost: bool = False, spoilt: bool = False) -> None:
        """The quantity at a price changes; below 100 it is a bid. Removing what is not there does nothing."""
        if lost:
            self.core.inject(SkipUpdate(symbol=symbol, top=False), 0.0)
            withheld = self.core.frames_withheld
        elif spoilt:
            self.core.inject(CorruptChecksum(symbol=symbol), 0.0)
        self._say(self.core.move(symbol, BID if price < 100 else ASK, price, qty * 100, 0.0))
        if lost and self.core.frames_withheld > withheld:
            self.unnoticed.add(symbol)
        self.core.armed.clear()
