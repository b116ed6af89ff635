"""Level 3's book as the exchange's messages make it: every level is a queue.

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
        for side, orders in zip(self._sides, (bids, asks), strict=True):
            side.clear()
            self._change(side, orders)
        self._cut()

    def apply(self, bids: Iterable[Change], asks: Iterable[Change]) -> None:
        """Apply a message, then cut. What is unknown is left out: the checksum then fails."""
        for side, changes in zip(self._sides, (bids, asks), strict=True):
            # What is added stands in the order of time, whatever the order in the message.
            self._change(side, sorted(changes, key=lambda one: (one[0] == "add", one[4] if one[0] == "add" else "")))
        self._cut()

    def _change(self, side: dict[str, Resting], changes: Iterable[Change]) -> None:
        for kind, order_id, price, qty, time in changes:
            if "e" not in qty.lower():
                self._decimals = max(self._decimals, len(qty.partition(".")[2]))
            if kind == "modify" and order_id in side and side[order_id][1] == price:
                side[order_id] = (order_id, price, qty, time)  # it keeps its place
                continue
            was = side.pop(order_id, None)
            if kind == "add" or (kind == "modify" and was is not None):
                side[order_id] = (order_id, price, qty, time)

    def _cut(self) -> None:
        for side, is_bid in zip(self._sides, (True, False), strict=True):
            prices = sorted({Decimal(order[1]) for order in side.values()}, reverse=is_bid)
            gone = set(prices[self._depth :]) if self._depth is not None else set()
            if gone:
                for order in [order for order in side.values() if Decimal(order[1]) in gone]:
                    del side[order[0]]

    @property
    def bids(self) -> tuple[Resting, ...]:
        """All bids: the highest price first, at each in the order of the queue."""
        return tuple(sorted(self._sides[0].values(), key=lambda order: -Decimal(order[1])))

    @property
    def asks(self) -> tuple[Resting, ...]:
        """All asks: the lowest price first, at each in the order of the queue."""
        return tuple(sorted(self._sides[1].values(), key=lambda order: Decimal(order[1])))

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
