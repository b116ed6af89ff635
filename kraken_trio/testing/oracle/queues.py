"""Level 3's book as the exchange's messages make it: every level is a queue in the order of time.

It shares no code with the client's :class:`~kraken_trio.Level3Book`. Everything is kept as the text of the wire.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeAlias
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Change", "Queues", "Resting"]

Resting: TypeAlias = tuple[str, str, str, str]
"""An order: its id, price, quantity and time."""
Change: TypeAlias = tuple[str, str, str, str, str]
"""What happened to it (``add``, ``modify`` or ``delete``), and the order."""

_CHECKED_LEVELS: Final = 10


class Queues:
    """Both sides of one symbol, at most ``depth`` prices of each."""

    def __init__(self, depth: int | None) -> None:
        self._depth = depth
        self._sides: tuple[dict[str, Resting], dict[str, Resting]] = ({}, {})
        self._decimals = 0
        """Of quantities, by those without an exponent."""

    def load(self, bids: Iterable[Change], asks: Iterable[Change]) -> None:
        """Replace everything by a snapshot."""
        for side in self._sides:
            side.clear()
        self.apply(bids, asks)

    def apply(self, bids: Iterable[Change], asks: Iterable[Change]) -> None:
        """Apply a message, then cut. What is unknown is left out: the checksum then fails."""
        for side, changes, is_bid in zip(self._sides, (bids, asks), (True, False), strict=True):
            for kind, *order in changes:
                order_id, price, qty, time = order
                if "e" not in qty.lower():
                    self._decimals = max(self._decimals, len(qty.partition(".")[2]))
                if kind == "delete":
                    side.pop(order_id, None)
                elif kind == "add" or order_id in side:
                    side[order_id] = (order_id, price, qty, time)
            if self._depth is not None:
                prices = sorted({Decimal(order[1]) for order in side.values()}, reverse=is_bid)
                for price in prices[self._depth :]:
                    for gone in [order_id for order_id, order in side.items() if Decimal(order[1]) == price]:
                        del side[gone]

    @property
    def bids(self) -> tuple[Resting, ...]:
        """All bids: the highest price first, at each the oldest first."""
        return tuple(sorted(self._sides[0].values(), key=lambda order: (-Decimal(order[1]), order[3])))

    @property
    def asks(self) -> tuple[Resting, ...]:
        """All asks: the lowest price first, at each the oldest first."""
        return tuple(sorted(self._sides[1].values(), key=lambda order: (Decimal(order[1]), order[3])))

    @property
    def crossed(self) -> bool:
        bids, asks = self.bids, self.asks
        return bool(bids and asks) and Decimal(bids[0][1]) >= Decimal(asks[0][1])

    def checksum(self) -> int:
        """Of all orders of the ten best prices: asks, then bids, each price and quantity without point and zeros."""
        text = []
        for side in (self.asks, self.bids):
            best = list(dict.fromkeys(order[1] for order in side))[:_CHECKED_LEVELS]
            text += [_digits(price) + self._quantity(qty) for _, price, qty, _ in side if price in best]
        return crc32("".join(text).encode())

    def _quantity(self, text: str) -> str:
        return _digits(f"{Decimal(text):.{self._decimals}f}" if "e" in text.lower() else text)


def _digits(text: str) -> str:
    return text.replace(".", "").lstrip("0")
