"""One side of a book: three parallel lists, best level first.

``keys``     the price as an integer, scaled by the book; bids are negated, so both sides sort ascending
``tokens``   what the level contributes to the checksum
``levels``   the :class:`~kraken_trio.Level` itself, for the reader

A flat list beats any tree here: the side is at most a thousand entries, ``bisect`` and the shift of an insert
run in C, and changes happen near the best price.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kraken_trio.events import Level

__all__ = ["CHECKED_LEVELS", "Side"]

CHECKED_LEVELS = 10
"""How many of the best levels of a side the exchange's checksum covers, whatever the depth."""


class Side:
    """Sorted levels of one side."""

    __slots__ = ("_top", "keys", "levels", "tokens", "touched")

    def __init__(self) -> None:
        self.keys: list[int] = []
        self.tokens: list[str] = []
        self.levels: list[Level] = []
        self.touched: bool = False
        """May one of the checked levels have changed since :meth:`top` was last called?"""
        self._top: bytes = b""

    def top(self) -> bytes:
        """The tokens of the checked levels, to be hashed."""
        if self.touched:
            self._top = "".join(self.tokens[:CHECKED_LEVELS]).encode()
            self.touched = False
        return self._top

    def put(self, key: int, token: str, level: Level) -> None:
        """The level at ``key`` is now this; with an empty token there is none any more.

        Removing what is not there changes nothing.
        """
        keys = self.keys
        index = bisect_left(keys, key)
        if index < len(keys) and keys[index] == key:
            if token:
                self.tokens[index] = token
                self.levels[index] = level
            else:
                del keys[index], self.tokens[index], self.levels[index]
        elif token:
            keys.insert(index, key)
            self.tokens.insert(index, token)
            self.levels.insert(index, level)
        else:
            return
        if index < CHECKED_LEVELS:
            self.touched = True

    def load(self, rows: dict[int, tuple[str, Level]]) -> None:
        """Forget everything and hold these rows, given by key in any order."""
        self.keys = sorted(rows)
        self.tokens = [rows[key][0] for key in self.keys]
        self.levels = [rows[key][1] for key in self.keys]
        self.touched = True

    def truncate(self, depth: int) -> None:
        """Keep the best ``depth`` levels."""
        if len(self.keys) > depth:
            del self.keys[depth:]
            del self.tokens[depth:]
            del self.levels[depth:]
            if depth < CHECKED_LEVELS:
                self.touched = True

    def rescale(self, factor: int) -> None:
        """Prices with more decimals than before have come: widen the keys."""
        self.keys = [key * factor for key in self.keys]
