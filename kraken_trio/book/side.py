"""One side of a book: three parallel lists, best level *last*.

``keys``     the price as an integer, scaled by the book; those of asks are negated, so both sides sort ascending
``tokens``   what the level contributes to the checksum; None in a book that follows another one, until they are needed
``levels``   the :class:`~kraken_trio.Level` itself, for the reader

A flat list beats any tree here: ``bisect`` and the shift of an insert run in C, and changes happen near the best price,
where little has to be shifted. What is cut off at the worst end stays in the lists for a while, before ``start``, and
is taken out in one go: so cutting costs nothing, either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kraken_trio.book.row import token_of

if TYPE_CHECKING:
    from kraken_trio.events import Level

__all__ = ["CHECKED_LEVELS", "Side"]

CHECKED_LEVELS: Final = 10  # mutant: ten levels
"""How many of the best levels of a side the exchange's checksum covers, whatever the depth."""
_CUT_TOGETHER: Final = 64


class Side:
    """Sorted levels of one side."""

    __slots__ = ("_top", "keys", "levels", "start", "tokens", "touched")

    def __init__(self) -> None:
        self.keys: list[int] = []
        self.tokens: list[str] | None = []
        self.levels: list[Level] = []
        self.start: int = 0
        """Where the worst level is. What stands before it has been cut off."""
        self.touched: bool = False
        """May one of the checked levels have changed since :meth:`top` was last called?"""
        self._top: bytes = b""

    def top(self) -> bytes:
        """The tokens of the checked levels, best first: what is hashed."""
        if self.touched:
            tokens = self.worked_out_tokens()
            whole = len(tokens) - self.start >= CHECKED_LEVELS
            self._top = "".join(
                tokens[: -CHECKED_LEVELS - 1 : -1] if whole else reversed(tokens[self.start :])
            ).encode()
            self.touched = False
        return self._top

    def worked_out_tokens(self) -> list[str]:
        """:attr:`tokens`, which are worked out if they were not needed so far."""
        if self.tokens is None:
            self.tokens = list(map(token_of, self.levels))
        return self.tokens

    def best(self) -> Level | None:
        """The best level; None if there is none."""
        return self.levels[-1] if len(self.levels) > self.start else None

    def best_first(self, limit: int | None = None) -> tuple[Level, ...]:
        """The levels, or the ``limit`` best of them."""
        first = self.start if limit is None else max(self.start, len(self.levels) - limit)
        return tuple(reversed(self.levels[first:]))

    def load(self, keys: list[int], tokens: list[str] | None, levels: list[Level]) -> None:
        """Forget everything and hold these, sorted by key."""
        self.keys, self.tokens, self.levels = keys, tokens, levels
        self.start = 0
        self.touched = True

    def truncate(self, depth: int) -> None:
        """Keep the best ``depth`` levels."""
        start = len(self.keys) - depth
        if start > self.start:
            self.start = start
            if start >= min(depth, _CUT_TOGETHER):
                self.drop_the_cut()
            if depth < CHECKED_LEVELS:
                self.touched = True

    def drop_the_cut(self) -> None:
        """Take out what has been cut off."""
        del self.keys[: self.start]
        if self.tokens is not None:
            del self.tokens[: self.start]
        del self.levels[: self.start]
        self.start = 0

    def rescale(self, factor: int) -> None:
        """Prices with more decimals than before have come: widen the keys."""
        self.keys = [key * factor for key in self.keys]
