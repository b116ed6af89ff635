"""What is remembered of a channel's data: to check what comes next, and to start a feed that comes later.

One follower per subscription. Each has ``start(request)``: what a feed that asks for ``request`` now gets first;
``heard``: when the last of its events was received (``received_ns``), 0 before the first; and ``reset()``, called when
events were missed: what is remembered is then no longer the present.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from kraken_trio.book import LeadingBook
from kraken_trio.events import (
    Asset,
    Candle,
    InstrumentUpdate,
    Pair,
    TickerUpdate,
    Trade,
)
from kraken_trio.requests import Book, Request, Trades

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kraken_trio.wire.messages import DataEvent

__all__ = ["BookFollower", "InstrumentFollower", "LatestFollower", "TradeFollower", "follower_of"]

_TRADES_KEPT: Final = 50  # as many as Kraken's own trade snapshot
_CANDLES_KEPT: Final = 1000
_Identity: TypeAlias = tuple[int, Decimal, Decimal, datetime]
"""Of a trade. Its number alone is not enough: the exchange may begin to number anew."""
_REFERENCE_KEPT: Final = 20_000  # assets or pairs; Kraken has about 1500


class BookFollower:
    """The verified book."""

    def __init__(self, request: Book) -> None:
        self.book: LeadingBook = LeadingBook(request.depth)
        self.crossed_accepted: bool = False
        """A fresh snapshot was crossed as well: it is the exchange's own state, until it is over."""

    @property
    def heard(self) -> int:
        return self.book.received_ns

    def start(self, request: Request) -> Sequence[DataEvent]:
        del request
        return (self.book.snapshot(),) if self.book.available else ()

    def reset(self) -> None:
        self.book.invalidate("events are missing; its next snapshot has not come yet")


class TradeFollower:
    """The last trades: by their numbers a missing one is noticed, and by all they say a repeated one is known."""

    def __init__(self) -> None:
        self._recent: OrderedDict[_Identity, Trade] = OrderedDict()

    @property
    def last(self) -> Trade | None:
        """The latest; None before the first of all."""
        return self._recent[next(reversed(self._recent))] if self._recent else None

    @property
    def heard(self) -> int:
        return 0 if self.last is None else self.last.received_ns

    def news(self, trades: Sequence[Trade]) -> list[tuple[int | None, Trade]]:
        """The trades that were not seen before, each with the number of the one before the hole that it ends.

        None: there is no hole right before it, nor before the first trade of all. A number that is not smaller than
        the trade's own: the exchange began to number anew there, and nobody knows how many are missing.

        All ``trades`` are history, or none is. History repeats what is known, and what was before: that is no news.
        """
        recent, newest = self._recent, self.last
        last = trades[0].trade_id - 1 if newest is None else newest.trade_id
        if newest is not None and trades[0].snapshot:
            trades = self._since(newest, trades)
        found: list[tuple[int | None, Trade]] = []
        for trade in trades:
            number, identity = trade.trade_id, _identity(trade)
            if identity in recent:
                continue
            recent[identity] = trade
            if len(recent) > _TRADES_KEPT:
                recent.popitem(last=False)
            found.append((None if number == last + 1 else last, trade))
            last = number
        return found

    def _since(self, newest: Trade, history: Sequence[Trade]) -> Sequence[Trade]:
        """What of ``history`` comes after the newest trade that we know."""
        known = [index for index, trade in enumerate(history) if _identity(trade) in self._recent]
        if known:
            return history[known[-1] + 1 :]
        last = newest.trade_id
        if history[-1].trade_id < last or any(trade.trade_id == last for trade in history):
            return history  # another trade has this number by now: it began anew while we were away
        return [trade for trade in history if trade.trade_id > last]

    def start(self, request: Request) -> Sequence[DataEvent]:
        if not (isinstance(request, Trades) and request.snapshot):
            return ()
        unbroken: deque[Trade] = deque()
        for trade in reversed(self._recent.values()):
            if unbroken and trade.trade_id != unbroken[0].trade_id - 1:
                break
            unbroken.appendleft(attrs.evolve(trade, snapshot=True))
        return unbroken

    def reset(self) -> None:
        """The numbers go on across connections; so does the memory."""


def _identity(trade: Trade) -> _Identity:
    return (trade.trade_id, trade.price, trade.qty, trade.timestamp)


_Latest: TypeAlias = TickerUpdate | Candle


class LatestFollower:
    """The latest event, or the latest of each interval."""

    def __init__(self) -> None:
        self._latest: OrderedDict[object, _Latest] = OrderedDict()

    def see(self, event: _Latest) -> None:
        """Remember it."""
        self._latest[event.interval_begin if isinstance(event, Candle) else None] = event
        if len(self._latest) > _CANDLES_KEPT:
            self._latest.popitem(last=False)

    @property
    def heard(self) -> int:
        return self._latest[next(reversed(self._latest))].received_ns if self._latest else 0

    def start(self, request: Request) -> Sequence[DataEvent]:
        del request
        return [attrs.evolve(event, snapshot=True) for event in self._latest.values()]

    def reset(self) -> None:
        self._latest.clear()


class InstrumentFollower:
    """All reference data, merged."""

    def __init__(self) -> None:
        self._assets: dict[str, Asset] = {}
        self._pairs: dict[str, Pair] = {}
        self._last: InstrumentUpdate | None = None

    def see(self, event: InstrumentUpdate) -> None:
        """Merge it."""
        if event.snapshot:
            self.reset()
        self._last = event
        for asset in event.assets:
            if asset.id in self._assets or len(self._assets) < _REFERENCE_KEPT:
                self._assets[asset.id] = asset
        for pair in event.pairs:
            if pair.symbol in self._pairs or len(self._pairs) < _REFERENCE_KEPT:
                self._pairs[pair.symbol] = pair

    @property
    def heard(self) -> int:
        return 0 if self._last is None else self._last.received_ns

    def start(self, request: Request) -> Sequence[DataEvent]:
        del request
        if self._last is None:
            return ()
        assets, pairs = tuple(self._assets.values()), tuple(self._pairs.values())
        return (attrs.evolve(self._last, assets=assets, pairs=pairs, snapshot=True),)

    def reset(self) -> None:
        self._assets.clear()
        self._pairs.clear()
        self._last = None


AnyFollower: TypeAlias = BookFollower | TradeFollower | LatestFollower | InstrumentFollower


def follower_of(request: Request) -> AnyFollower:
    """A new follower for the channel of ``request``."""
    if isinstance(request, Book):
        return BookFollower(request)
    if request.channel == "trade":
        return TradeFollower()
    if request.channel == "instrument":
        return InstrumentFollower()
    return LatestFollower()
