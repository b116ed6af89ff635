"""The reference book: Kraken's order book and its checksum, written for readability.

It shares no code with the client's :class:`~kraken_trio.OrderBook`, so that one can be checked against the other.
Everything is kept as the text of the wire, and sorted only when it is read.

The rules (Kraken's v2 protocol):

1. The levels of a message are applied in order. A quantity is absolute; zero removes the level.
2. After the whole message each side is cut to the subscribed depth.
3. The checksum is the CRC32 of the ten best asks (lowest first), then the ten best bids (highest first); of each level
   the price, then the quantity, both without the point and then without leading zeros.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zlib import crc32

from kraken_trio.testing import checks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["ReferenceBook", "parse_frame"]

CHECKED_LEVELS = 10
_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")


@lru_cache(maxsize=1 << 16)
def _number(text: str) -> Decimal:
    if not isinstance(text, str):
        raise checks.wrong_type("level", text, "texts, with the digits of the wire")  # noqa: EM101 (it makes the message, and is none)
    if not _DECIMAL.fullmatch(text):
        raise checks.wrong_value("level", text, "a decimal number, as text")  # noqa: EM101 (it makes the message, and is none)
    return Decimal(text)


def parse_frame(frame: str | bytes) -> Any:
    """A frame as dicts and lists, with every number as its text."""
    return json.loads(frame, parse_float=str, parse_int=str)


class ReferenceBook:  # noqa: PLW1641 (it changes, so it has no hash)
    """One symbol's book. Prices and quantities are texts: ``("64525.0", "0.53807066")``.

    ``depth`` is the subscribed depth; None keeps every level.
    """

    def __init__(
        self,
        depth: int | None = None,
        *,
        bids: Iterable[tuple[str, str]] = (),
        asks: Iterable[tuple[str, str]] = (),
    ) -> None:
        checks.optional(checks.integer(least=1))("depth", depth)
        self.depth: int | None = depth
        """Levels kept per side; None: all."""
        self._bids: dict[str, str] = {}
        self._asks: dict[str, str] = {}
        self.apply(bids=bids, asks=asks)

    def load(self, *, bids: Iterable[tuple[str, str]], asks: Iterable[tuple[str, str]]) -> None:
        """Replace everything by this snapshot."""
        self._bids.clear()
        self._asks.clear()
        self.apply(bids=bids, asks=asks)

    def apply(self, *, bids: Iterable[tuple[str, str]] = (), asks: Iterable[tuple[str, str]] = ()) -> None:
        """Apply one message's levels in order, then cut to depth."""
        for levels, changes, best_is_highest in ((self._bids, bids, True), (self._asks, asks, False)):
            for price, qty in changes:
                if _number(qty) == 0:
                    levels.pop(price, None)
                else:
                    _number(price)  # raises if it is not a number
                    levels[price] = qty
            if self.depth is not None and len(levels) > self.depth:
                for price in sorted(levels, key=_number, reverse=best_is_highest)[self.depth :]:
                    del levels[price]

    def feed(self, frame: str | bytes) -> bool:
        """Apply a ``book`` frame, snapshot or update. Returns whether its checksum, if any, matches.

        Raises :class:`ValueError` for a frame of another channel.
        """
        message = parse_frame(frame)
        if not isinstance(message, dict) or message.get("channel") != "book":
            msg = "not a book frame"
            raise ValueError(msg)
        right = True
        for data in message["data"]:
            bids = [(level["price"], level["qty"]) for level in data["bids"]]
            asks = [(level["price"], level["qty"]) for level in data["asks"]]
            if message["type"] == "snapshot":
                self.load(bids=bids, asks=asks)
            else:
                self.apply(bids=bids, asks=asks)
            if "checksum" in data:
                right = right and int(data["checksum"]) == self.checksum()
        return right

    @property
    def bids(self) -> list[tuple[str, str]]:
        """All bids, highest price first."""
        return [(price, self._bids[price]) for price in sorted(self._bids, key=_number, reverse=True)]

    @property
    def asks(self) -> list[tuple[str, str]]:
        """All asks, lowest price first."""
        return [(price, self._asks[price]) for price in sorted(self._asks, key=_number)]

    @property
    def crossed(self) -> bool:
        """Whether the best bid is not below the best ask."""
        return bool(self._bids and self._asks) and max(map(_number, self._bids)) >= min(map(_number, self._asks))

    def hashed(self) -> str:
        """The string that the checksum is computed from."""
        levels = self.asks[:CHECKED_LEVELS] + self.bids[:CHECKED_LEVELS]
        return "".join(_token(price) + _token(qty) for price, qty in levels)

    def checksum(self) -> int:
        """The CRC32, unsigned, as Kraken sends it."""
        return crc32(self.hashed().encode("ascii"))

    def cut(self, depth: int | None) -> ReferenceBook:
        """A copy with the best ``depth`` levels of each side; with all of them for None."""
        return ReferenceBook(depth, bids=self._bids.items(), asks=self._asks.items())

    def same_levels(self, bids: Sequence[tuple[str, str]], asks: Sequence[tuple[str, str]]) -> bool:
        """Whether these are, in any order, exactly the levels of this book. Faster than comparing sorted sides."""
        return self._bids == dict(bids) and self._asks == dict(asks)

    def __eq__(self, other: object) -> bool:
        """Equal if the levels are, digit for digit; the depth is not compared."""
        if not isinstance(other, ReferenceBook):
            return NotImplemented
        return self._bids == other._bids and self._asks == other._asks

    def __repr__(self) -> str:
        return f"<ReferenceBook depth={self.depth} bids={self.bids[:3]}… asks={self.asks[:3]}…>"


def _token(text: str) -> str:
    return text.replace(".", "").lstrip("0")
