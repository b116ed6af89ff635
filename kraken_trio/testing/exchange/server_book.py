"""The exchange's side of an order book: every level, and the part of each change that is visible per depth.

A client of depth N holds the best N levels of each side and is sent only changes among them:

* a level that changes, or enters, among the best N: sent;
* a removed level among the best N: its removal is sent, then the level that enters at place N;
* a level pushed out of the best N by a better one: nothing is sent, the client cuts.

A client cuts after the *whole* message, so within one it may still hold levels that were pushed
out in it. If such a level is removed before the message ends, that must be sent, too, or the client would
take it back. Clients that cut after every level end with the same book.

Prices and quantities are integers, scaled by the market's precisions. A *key* is the price of an ask, and the
negated price of a bid, so that on both sides the best level has the lowest key.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Literal, TypeAlias
from zlib import crc32

import attrs

__all__ = [
    "ASK",
    "BID",
    "CHECKED_LEVELS",
    "BookChange",
    "DepthChange",
    "ServerBook",
    "ServerSide",
    "SideName",
    "scaled_text",
]

CHECKED_LEVELS = 10

SideName: TypeAlias = Literal["bid", "ask"]
BID: SideName = "bid"
ASK: SideName = "ask"

Levels: TypeAlias = "tuple[tuple[int, int], ...]"


def scaled_text(value: int, precision: int) -> str:
    """``value`` scaled down by ``10 ** precision``, with exactly that many decimals: ``(5, 2)`` gives ``0.05``."""
    if precision == 0:
        return str(value)
    if value < 0:
        return "-" + scaled_text(-value, precision)
    digits = str(value)
    if len(digits) <= precision:
        digits = digits.zfill(precision + 1)
    return f"{digits[:-precision]}.{digits[-precision:]}"


@attrs.frozen
class DepthChange:
    """One message for one depth: ``(price, quantity)`` in the order of the changes."""

    bids: Levels
    asks: Levels


@attrs.frozen
class BookChange:
    """One message's worth of change."""

    windows: dict[int, DepthChange]
    """Per watched depth; depths at which nothing was visible are absent."""
    checksum: int
    """After the change."""
    top_changed: bool
    """Whether the ten best levels of a side changed."""
    best_changed: bool
    """Whether the best bid or the best ask changed, in price or quantity."""


class ServerSide:
    """One side, complete and sorted."""

    __slots__ = ("_emitted", "_hashed", "_loaded_ns", "_pushed_out", "_times", "keys", "qty", "sign", "time_ns")

    def __init__(self, sign: int) -> None:
        self.sign: int = sign
        """1 for asks, -1 for bids."""
        self.keys: list[int] = []
        """Best first: the lowest."""
        self.qty: dict[int, int] = {}
        self.time_ns: int = 0
        """When the next changes happen."""
        self._times: dict[int, int] = {}
        self._loaded_ns = 0
        self._hashed: str | None = None
        """The text to hash, until one of its levels changes."""
        self._emitted: dict[int, list[tuple[int, int]]] = {}
        self._pushed_out: dict[int, set[int]] = {}

    def load(self, levels: dict[int, int], time_ns: int = 0) -> None:
        """Replace everything by these quantities by key, as of this time."""
        self.qty = dict(levels)
        self.keys = sorted(levels)
        self._hashed = None
        self._times.clear()
        self._loaded_ns = self.time_ns = time_ns

    def time_of(self, key: int) -> int | None:
        """When a level was last changed; None if there is none."""
        return self._times.get(key, self._loaded_ns) if key in self.qty else None

    def watch(self, depths: frozenset[int]) -> None:
        self._emitted = {depth: [] for depth in depths}
        self._pushed_out = {depth: set() for depth in depths}

    def put(self, key: int, qty: int) -> None:
        """Set the quantity at ``key``; zero removes the level."""
        keys = self.keys
        index = bisect_left(keys, key)
        known = index < len(keys) and keys[index] == key
        price = self.sign * key
        if index < CHECKED_LEVELS:
            self._hashed = None
        if qty:
            self.qty[key] = qty
            self._times[key] = self.time_ns
            if not known:
                keys.insert(index, key)
            for depth, out in self._emitted.items():
                if index < depth:
                    out.append((price, qty))
                    if not known and len(keys) > depth:
                        self._pushed_out[depth].add(keys[depth])
        elif known:
            del keys[index]
            del self.qty[key]
            self._times.pop(key, None)
            for depth, out in self._emitted.items():
                if index < depth:
                    out.append((price, 0))
                    if len(keys) >= depth:
                        entering = keys[depth - 1]
                        out.append((self.sign * entering, self.qty[entering]))
                elif key in self._pushed_out[depth]:
                    out.append((price, 0))

    def drain(self, depth: int) -> Levels:
        """What was emitted for ``depth`` since the last call."""
        out = self._emitted[depth]
        if not out:
            return ()
        taken = tuple(out)
        out.clear()
        self._pushed_out[depth].clear()
        return taken

    def best(self) -> tuple[int, int] | None:
        """The best key and its quantity."""
        return (self.keys[0], self.qty[self.keys[0]]) if self.keys else None

    def top(self, depth: int | None) -> list[tuple[int, int]]:
        """``(price, quantity)`` of the best ``depth`` levels, best first."""
        keys = self.keys if depth is None else self.keys[:depth]
        return [(self.sign * key, self.qty[key]) for key in keys]

    def hashed(self) -> str:
        if self._hashed is None:
            qty = self.qty
            self._hashed = "".join([f"{abs(key)}{qty[key]}" for key in self.keys[:CHECKED_LEVELS]])
        return self._hashed


class ServerBook:
    """Both sides. Change it with :meth:`put`, any number of times, then take the message with :meth:`commit`."""

    __slots__ = ("_best", "_checksum", "_top", "asks", "bids", "watched")

    def __init__(
        self, bids: dict[int, int] | None = None, asks: dict[int, int] | None = None, time_ns: int = 0
    ) -> None:
        """``bids`` and ``asks`` are quantities by price (both positive), as of this time."""
        self.bids: ServerSide = ServerSide(-1)
        self.asks: ServerSide = ServerSide(1)
        self.bids.load({-price: qty for price, qty in (bids or {}).items()}, time_ns)
        self.asks.load(asks or {}, time_ns)
        self.watched: frozenset[int] = frozenset()
        self._top = self.hashed()
        self._checksum = crc32(self._top.encode("ascii"))
        self._best = (self.bids.best(), self.asks.best())

    def watch(self, depths: frozenset[int]) -> None:
        """Set the depths for which :meth:`commit` reports changes."""
        self.watched = depths
        self.bids.watch(depths)
        self.asks.watch(depths)

    def set_time(self, time_ns: int) -> None:
        """Set when the next changes happen."""
        self.bids.time_ns = self.asks.time_ns = time_ns

    def side(self, name: SideName) -> ServerSide:
        return self.bids if name == BID else self.asks

    def put(self, name: SideName, price: int, qty: int) -> None:
        """Set the quantity at ``price``; zero removes the level."""
        side = self.side(name)
        side.put(side.sign * price, qty)

    def commit(self) -> BookChange:
        """The changes since the last commit as one message."""
        windows: dict[int, DepthChange] = {}
        for depth in self.watched:
            bids, asks = self.bids.drain(depth), self.asks.drain(depth)
            if bids or asks:
                windows[depth] = DepthChange(bids, asks)
        top = self.hashed()
        top_changed = top != self._top
        if top_changed:
            self._top = top
            self._checksum = crc32(top.encode("ascii"))
        best = (self.bids.best(), self.asks.best())
        best_changed = best != self._best
        self._best = best
        return BookChange(windows, self._checksum, top_changed, best_changed)

    def hashed(self) -> str:
        """The string to hash. A scaled integer's digits are those of the wire without point and leading zeros."""
        return self.asks.hashed() + self.bids.hashed()

    def checksum(self) -> int:
        return crc32(self.hashed().encode("ascii"))

    @property
    def crossed(self) -> bool:
        return bool(self.bids.keys and self.asks.keys) and -self.bids.keys[0] >= self.asks.keys[0]
