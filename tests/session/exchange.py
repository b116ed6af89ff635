"""A model of the exchange, to hold a session against: honest, but as slow as a test wants it to be.

It reads one request at a time, in order, and what it has to say waits in ``outbox`` until the test delivers it. It
knows what it thinks the client has subscribed to: that is what the client's own idea is compared with.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from tests.session.driver import (
    ABSENT,
    ALREADY,
    BARE_RATE_LIMIT,
    BTC,
    BUSY,
    ETH,
    RATE_LIMIT,
    SOL,
    UNKNOWN_PAIR,
    Market,
    ack,
    pong,
    refusal,
    ticker,
    trades,
)

if TYPE_CHECKING:
    from tests.session.driver import Asked

Topic: TypeAlias = tuple[str, str]
"""Channel and symbol."""

SYMBOLS = (BTC, ETH, SOL)
TRADES_KEPT = 50


class Exchange:
    def __init__(self) -> None:
        self.markets = {symbol: Market(symbol) for symbol in SYMBOLS}
        self.last_trade = dict.fromkeys(SYMBOLS, 100)
        self.last_tick = dict.fromkeys(SYMBOLS, 0)
        self.delisted: set[str] = set()
        self.connect()

    def connect(self) -> None:
        """A new connection knows nothing of the one before."""
        self.subscriptions: dict[Topic, Asked] = {}
        """The parameters of each."""
        self.mute: set[Topic] = set()
        """Accepted, but without data."""
        self.due: deque[Topic] = deque()
        """Accepted, and the snapshot has not gone out yet."""
        self.unnoticed: set[str] = set()
        """Books of which the client missed an update, and cannot know it before the next one."""
        self.outbox: deque[str] = deque()

    @property
    def quiet(self) -> bool:
        """Nothing is under way to the client."""
        return not self.outbox and not self.due

    # Requests

    def read(self, asked: Asked, *, mute: bool = False) -> None:
        """Do what is asked, and say so."""
        if asked["method"] == "ping":
            self.outbox.append(pong(asked))
            return
        for symbol in asked["params"]["symbol"]:
            topic = (asked["params"]["channel"], symbol)
            do = self._subscribe if asked["method"] == "subscribe" else self._unsubscribe
            error = do(topic, asked["params"], mute=mute)
            self.outbox.append(refusal(error, asked, symbol) if error else ack(asked, symbol))

    def _subscribe(self, topic: Topic, params: Asked, *, mute: bool) -> str | None:
        if topic in self.subscriptions:
            return ALREADY
        if topic[1] in self.delisted:
            return UNKNOWN_PAIR
        self.subscriptions[topic] = params
        if mute:
            self.mute.add(topic)
        else:
            self.due.append(topic)
        return None

    def _unsubscribe(self, topic: Topic, params: Asked, *, mute: bool) -> str | None:
        known = self.subscriptions.get(topic)
        if known is None or known.get("depth") != params.get("depth"):
            return ABSENT
        del self.subscriptions[topic]
        self.mute.discard(topic)
        if topic in self.due:
            self.due.remove(topic)
        return None

    def refuse(self, asked: Asked, how: str) -> None:
        """Do nothing of it."""
        error = BUSY if how == "busy" else RATE_LIMIT
        if how == "bare":
            self.outbox.append(BARE_RATE_LIMIT)
        elif how == "whole":
            self.outbox.append(refusal(RATE_LIMIT, asked))
        else:
            self.outbox += [refusal(error, asked, symbol) for symbol in asked["params"]["symbol"]]

    # Data

    def send_snapshot(self) -> None:
        """The oldest one that is due."""
        channel, symbol = self.due.popleft()
        if channel == "book":
            self.unnoticed.discard(symbol)
            self.outbox.append(self.markets[symbol].snapshot())
        elif channel == "ticker":
            self.outbox.append(ticker(self.last_tick[symbol], symbol, kind="snapshot"))
        elif self.subscriptions[channel, symbol]["snapshot"]:
            last = self.last_trade[symbol]
            self.outbox.append(trades(*range(last - TRADES_KEPT + 1, last + 1), symbol=symbol, history=True))

    def _listens(self, topic: Topic) -> bool:
        return topic in self.subscriptions and topic not in self.mute and topic not in self.due

    def trade(self, symbol: str, *, lost: bool = False) -> None:
        self.last_trade[symbol] += 1
        if self._listens(("trade", symbol)) and not lost:
            self.outbox.append(trades(self.last_trade[symbol], symbol=symbol))

    def tick(self, symbol: str) -> None:
        self.last_tick[symbol] += 1
        if self._listens(("ticker", symbol)):
            self.outbox.append(ticker(self.last_tick[symbol], symbol))

    def move(self, symbol: str, price: int, qty: int, *, lost: bool = False, spoilt: bool = False) -> None:
        """The quantity at a price changes; below 100 it is a bid. Removing what is not there does nothing."""
        market = self.markets[symbol]
        side = market.bids if price < 100 else market.asks
        if qty == 0 and float(price) not in side:
            return
        level = [(f"{price}.0", f"{qty}.00")]
        before = market.checksum
        frame = market.update(*((level, []) if price < 100 else ([], level)), spoil=int(spoilt))
        if market.checksum == before or not self._listens(("book", symbol)):
            return
        if lost:
            self.unnoticed.add(symbol)
        else:
            self.outbox.append(frame)
