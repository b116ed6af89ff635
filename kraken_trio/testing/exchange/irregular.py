"""Irregular snapshots and updates: applied by the rules, each gives the exchange's book."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from kraken_trio.testing.exchange.server_book import DepthChange
from kraken_trio.testing.faults import Irregularity, UpdateIrregularity

if TYPE_CHECKING:
    from random import Random

    from kraken_trio.testing.exchange.server_book import ServerBook, ServerSide

__all__ = ["irregular", "irregular_update"]

_REPETITIONS: Final = 4
_EXTRA: Final = 3
"""The number of surplus levels."""

_Side: TypeAlias = tuple[tuple[int, int], ...]


def irregular(how: Irregularity, book: ServerBook, top: DepthChange, depth: int, random: Random) -> DepthChange | None:
    """The levels of a snapshot with this irregularity; None if this book lacks the necessary levels."""
    if how is Irregularity.UNSORTED:
        found = DepthChange(_shuffled(top.bids, random), _shuffled(top.asks, random))
    elif how is Irregularity.EXTRA_LEVELS:
        found = DepthChange(tuple(book.bids.top(depth + _EXTRA)), tuple(book.asks.top(depth + _EXTRA)))
    elif how is Irregularity.ZERO_QUANTITY:
        found = DepthChange(_with_zero(top.bids, -1), _with_zero(top.asks, 1))
    else:
        found = DepthChange(_with_repetition(top.bids), _with_repetition(top.asks))
    return None if found == top else found


def _shuffled(side: _Side, random: Random) -> _Side:
    levels = list(side)
    random.shuffle(levels)
    return tuple(levels) if tuple(levels) != side else side[::-1]


def _with_zero(side: _Side, step: int) -> _Side:
    """A level of zero quantity behind the best one."""
    if not side:
        return side
    taken = {price for price, _ in side}
    price = side[0][0] + step
    while price in taken:
        price += step
    return (side[0], (price, 0), *side[1:]) if price > 0 else side


def _with_repetition(side: _Side) -> _Side:
    """The best price twice; the second quantity counts."""
    return ((side[0][0], side[0][1] + 1), *side) if side else side


def irregular_update(
    how: UpdateIrregularity, book: ServerBook, window: DepthChange, depth: int, time_ns: int
) -> DepthChange | None:
    """An update of this book with this irregularity; None if the book has no level for it. ``time_ns`` is its time."""
    bids, asks = window.bids, window.asks
    if how is UpdateIrregularity.BOTH_SIDES:
        found = DepthChange(bids or tuple(book.bids.top(1)), asks or tuple(book.asks.top(1)))
        return found if found.bids and found.asks else None
    if how is UpdateIrregularity.REPEATED_PRICE:
        return DepthChange(_repeated(bids), asks) if bids else DepthChange(bids, _repeated(asks))
    old_bids, old_asks = _unchanged(book.bids, depth, time_ns), _unchanged(book.asks, depth, time_ns)
    if bids and old_bids:
        return DepthChange((*bids, old_bids[-1]), asks)
    return DepthChange(bids, (*asks, old_asks[-1])) if old_asks else None


def _repeated(side: _Side) -> _Side:
    """The last price five times; the last quantity counts."""
    price, qty = side[-1]
    return (*side[:-1], *((price, qty + more) for more in range(_REPETITIONS, 0, -1)), side[-1])


def _unchanged(side: ServerSide, depth: int, time_ns: int) -> _Side:
    """The levels of the window that were there before this update."""
    return tuple(level for level in side.top(depth) if (side.time_of(side.sign * level[0]) or 0) < time_ns)
