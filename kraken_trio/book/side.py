"""One side of a book: three parallel lists, best level *last*.

``keys``     the price as an integer, scaled by the book; negated for asks, so that both sides sort ascending
``tokens``   what the level contributes to the checksum; None in a book that follows another one, until it is needed
``levels``   the :class:`~kraken_trio.Level` itself

Flat lists are faster than trees here: ``bisect`` and the shift of an insert run in C, and changes happen near the best
price, where little has to be shifted. Levels that are cut off at the worst end stay in the lists, before ``start``, and
are removed in batches, which makes cutting cheap.
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
        """The index of the worst level. Levels before it have been cut off."""
        self.touched: bool = False
        """Whether one of the checked levels may have changed since the last call of :meth:`top`."""
        self._top: bytes = b""

    def top(self) -> bytes:
        """The string that is hashed: the tokens of the checked levels, best first."""
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
        """Replace everything by these, sorted by key."""
        self.keys, self.tokens, self.levels = keys, tokens, levels
        self.start = 0
        self.touched = True

    def copied(self) -> Side:
        """A side of its own with the same levels."""
        self.drop_the_cut()
        side = Side()
        side.load([*self.keys], None if self.tokens is None else [*self.tokens], [*self.levels])
        return side

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
        """Remove what has been cut off."""
        del self.keys[: self.start]
        if self.tokens is not None:
            del self.tokens[: self.start]
        del self.levels[: self.start]
        self.start = 0

    def rescale(self, factor: int) -> None:
        """Scale the keys for prices with more decimals."""
        self.keys = [key * factor for key in self.keys]
