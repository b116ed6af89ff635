"""What is remembered of a channel's data: to check what comes next, and to start a feed that comes later.

One follower per subscription. Each has ``start(request)``: what a feed that asks for ``request`` now gets first; and
``reset()``, called when events were missed: what is remembered is then no longer the present.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from kraken_trio.book import OrderBook
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
_REFERENCE_KEPT: Final = 20_000  # assets or pairs; Kraken has about 1500


class BookFollower:
    """The verified book."""

    def __init__(self, request: Book) -> None:
        self.book: OrderBook = OrderBook(request.depth)
        self.crossed_accepted: bool = False
        """A fresh snapshot was crossed as well: it is the exchange's own state, until it is over."""

    def start(self, request: Request) -> Sequence[DataEvent]:
        del request
        return (self.book.snapshot(),) if self.book.available else ()

    def reset(self) -> None:
        self.book.invalidate("events are missing; its next snapshot has not come yet")


class TradeFollower:
    """The last trades: by their numbers a repeated one is known, and a missing one is noticed."""

    def __init__(self) -> None:
        self._recent: deque[Trade] = deque(maxlen=_TRADES_KEPT)

    @property
    def begun(self) -> bool:
        """Has there been any trade?"""
        return bool(self._recent)

    def news(self, trades: Sequence[Trade]) -> list[tuple[int | None, Trade]]:
        """The trades that were not seen before, each with how many are missing right before it.

        None instead of a number: the exchange's numbering began anew there, and nobody knows. The first trade of all
        has nothing missing before it.
        """
        found: list[tuple[int | None, Trade]] = []
        history = bool(trades) and trades[0].snapshot
        for trade in trades:
            last = self._recent[-1].trade_id if self._recent else None
            missing: int | None = 0 if last is None else trade.trade_id - last - 1
            if missing is not None and missing < 0:
                # History repeats what we know, and what was before we came. Anything else under an old number is new.
                if self._knows(trade) or (history and last is not None and trades[-1].trade_id >= last):
                    continue
                missing = None
            self._recent.append(trade)
            found.append((missing, trade))
        return found

    def _knows(self, trade: Trade) -> bool:
        return any(
            (old.trade_id, old.price, old.qty, old.timestamp)
            == (trade.trade_id, trade.price, trade.qty, trade.timestamp)
            for old in self._recent
        )

    def start(self, request: Request) -> Sequence[DataEvent]:
        if not (isinstance(request, Trades) and request.snapshot):
            return ()
        unbroken: deque[Trade] = deque()
        for trade in reversed(self._recent):
            if unbroken and trade.trade_id != unbroken[0].trade_id - 1:
                break
            unbroken.appendleft(attrs.evolve(trade, snapshot=True))
        return unbroken

    def reset(self) -> None:
        """The numbers go on across connections; so does the memory."""


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
