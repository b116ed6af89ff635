"""A book as its subscriber sees it, and what falls out of it.

An exchange does not report the levels that leave the subscribed depth: whoever applies its updates must cut the book
after each message. Those who read an export do not know that, so it tells them: :meth:`Window.apply` returns what was
cut, which :class:`~kraken_trio.OrderBook` does not.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from decimal import Decimal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from kraken_trio import BookSnapshot, BookUpdate, Level

__all__ = ["Ladder", "Window"]

_KEPT: Final = 100_000
"""Prices whose numbers are kept: a few megabytes. An update's price was nearly always seen before."""


class _Numbers(dict[str, Decimal]):
    """The numbers of prices' texts, each made once."""

    def __missing__(self, text: str) -> Decimal:
        if len(self) >= _KEPT:
            self.clear()
        self[text] = value = Decimal(text)
        return value


_numbers: Final = _Numbers()


def is_zero(text: str) -> bool:
    """Whether a quantity is zero."""
    return not text.strip("0.") or ("e" in text.lower() and not Decimal(text))


class Ladder:
    """One side of a book."""

    __slots__ = ("_best_is_last", "levels", "prices")

    def __init__(self, *, best_is_last: bool) -> None:
        self._best_is_last = best_is_last
        self.prices: list[Decimal] = []
        """Ascending."""
        self.levels: dict[Decimal, Level] = {}

    def load(self, levels: Sequence[Level]) -> None:
        self.levels = {_numbers[str(level.price_text)]: level for level in levels}
        self.prices = sorted(self.levels)

    def change(self, changes: Sequence[Level], depth: int) -> Sequence[Level]:
        """Apply the levels of one message; returns those that were cut, as they stood."""
        prices, levels = self.prices, self.levels
        for level in changes:
            price = _numbers[str(level.price_text)]
            if is_zero(str(level.qty_text)):
                if levels.pop(price, None) is not None:
                    del prices[bisect_left(prices, price)]
            else:
                if price not in levels:
                    insort(prices, price)
                levels[price] = level
        excess = len(prices) - depth
        if excess <= 0:
            return ()
        if self._best_is_last:
            cut = prices[:excess]
            del prices[:excess]
        else:
            cut = prices[depth:]
            del prices[depth:]
        return [levels.pop(price) for price in cut]

    def best(self, count: int) -> list[Level]:
        """The best ``count`` levels, best first."""
        prices = self.prices[: -count - 1 : -1] if self._best_is_last else self.prices[:count]
        return [self.levels[price] for price in prices]

    def top(self) -> Level | None:
        """The best level."""
        if not self.prices:
            return None
        return self.levels[self.prices[-1 if self._best_is_last else 0]]

    def all(self) -> list[Level]:
        """All levels, best first."""
        return self.best(len(self.prices))


class Window:
    """One symbol's book, cut to ``depth`` levels a side after each message.

    It verifies nothing: what it is given comes from a feed, which has.
    """

    __slots__ = ("asks", "available", "bids", "depth", "epoch", "symbol", "timestamp")

    def __init__(self, symbol: str, depth: int) -> None:
        self.symbol: str = symbol
        self.depth: int = depth
        self.bids: Ladder = Ladder(best_is_last=True)
        self.asks: Ladder = Ladder(best_is_last=False)
        self.available: bool = False
        """From a snapshot to the next gap."""
        self.timestamp: datetime | None = None
        """The exchange's, of the last message."""
        self.epoch: int = 0
        """Of the last message."""

    def load(self, snapshot: BookSnapshot) -> None:
        self.bids.load(snapshot.bids)
        self.asks.load(snapshot.asks)
        self.available = True
        self.timestamp, self.epoch = snapshot.timestamp, snapshot.epoch

    def apply(self, update: BookUpdate) -> tuple[Sequence[Level], Sequence[Level]]:
        """Apply an update; returns the bids and the asks that left the window."""
        self.timestamp, self.epoch = update.timestamp, update.epoch
        bids, asks = update.bids, update.asks
        return (
            self.bids.change(bids, self.depth) if bids else (),
            self.asks.change(asks, self.depth) if asks else (),
        )

    def drop(self) -> None:
        """After a gap: nothing is known until the next snapshot."""
        self.available = False
        self.bids.load(())
        self.asks.load(())
