"""An order-by-order market and a client's book of it, both slow and obvious: lists only, and nothing of the package.

:class:`Ledger` is a client's book: it applies the events of a message by the letter of the rules. :class:`Exchange` has
all orders of one symbol, and tells a client of some depth what happens in its window, as Kraken does.
"""

from __future__ import annotations

import random
import zlib
from decimal import Decimal
from typing import TypeAlias

PRICE_PLACES, QTY_PLACES = 1, 8

Resting: TypeAlias = tuple[str, str, str, str]
"""Id, price, quantity, time: with the digits of the wire."""
Told: TypeAlias = tuple[str, str, str, str, str]
"""What happened, and then the same."""
Line: TypeAlias = tuple[str, list[tuple[str, str]]]
"""A price, with its orders in the order of their queue: id and quantity."""


class LostError(Exception):
    """A message was lost."""


def padded(text: str, places: int) -> str:
    """All digits of a number, without a point and without leading zeros."""
    return f"{Decimal(text):.{places}f}".replace(".", "").lstrip("0")


def checksum(asks: list[Line], bids: list[Line]) -> int:
    hashed = ""
    for side in (asks, bids):
        for price, queue in side[:10]:
            for _, qty in queue:
                hashed += padded(price, PRICE_PLACES) + padded(qty, QTY_PLACES)
    return zlib.crc32(hashed.encode())


class Ledger:
    """A client's book, by the rules."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.bids: list[list[str]] = []
        """All orders, in the order in which they were added: id, price, quantity."""
        self.asks: list[list[str]] = []

    def load(self, bids: list[Resting], asks: list[Resting]) -> None:
        self.bids = [[name, price, qty] for name, price, qty, _ in bids]
        self.asks = [[name, price, qty] for name, price, qty, _ in asks]
        self._cut()

    def apply(self, bids: list[Told], asks: list[Told]) -> None:
        self._apply(self.bids, self.asks, bids)
        self._apply(self.asks, self.bids, asks)
        self._cut()

    def _apply(self, mine: list[list[str]], others: list[list[str]], events: list[Told]) -> None:
        adds = sorted([event for event in events if event[0] == "add"], key=lambda event: event[4])
        for event in events:
            kind, name, price, qty, _ = adds.pop(0) if event[0] == "add" else event
            at = [order[0] for order in mine].index(name) if any(order[0] == name for order in mine) else None
            if kind == "add":
                for side in (mine, others):
                    side[:] = [order for order in side if order[0] != name]
                mine.append([name, price, qty])
            elif at is None:
                raise LostError
            elif kind == "modify" and Decimal(mine[at][1]) == Decimal(price):
                mine[at] = [name, price, qty]
            else:
                del mine[at]
                if kind == "modify":
                    mine.append([name, price, qty])

    def _cut(self) -> None:
        for side, lines in ((self.bids, self.lines("bids")), (self.asks, self.lines("asks"))):
            kept = {Decimal(price) for price, _ in lines[: self.depth]}
            side[:] = [order for order in side if Decimal(order[1]) in kept]

    def lines(self, side: str) -> list[Line]:
        """One side by prices, best first."""
        orders = self.bids if side == "bids" else self.asks
        prices = sorted({Decimal(price) for _, price, _ in orders}, reverse=side == "bids")
        return [(str(price), [(name, qty) for name, of, qty in orders if Decimal(of) == price]) for price in prices]

    @property
    def checksum(self) -> int:
        return checksum(self.lines("asks"), self.lines("bids"))


class Exchange:
    """All orders of a symbol. Every method returns the messages that tell of the change, as bids and asks."""

    def __init__(self, depth: int, seed: int, *, exponents: bool = False) -> None:
        self.depth = depth
        self._dice = random.Random(seed)
        self._exponents = exponents
        self._clock = 0
        self._filled: tuple[dict[str, list[Told]], dict[str, list[Told]]] = ({}, {})
        self._names = 0
        # Per side all orders in the order of time: [id, ticks, units, time].
        self._sides: dict[str, list[list[int | str]]] = {"bids": [], "asks": []}
        for side, best, step in (("bids", 100_000, -1), ("asks", 100_001, 1)):
            for away in range(depth + 3):
                for _ in range(self._dice.randint(1, 3)):
                    self._add(side, best + step * away)
        self._shown = {side: self.lines(side) for side in self._sides}

    def _time(self) -> str:
        self._clock += self._dice.randint(1, 10**8)
        seconds, nano = divmod(self._clock, 10**9)
        return f"2026-10-01T{10 + seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{nano:09}Z"

    def _add(self, side: str, ticks: int, name: str | None = None, units: int | None = None) -> None:
        self._names += 1
        name = name or f"O{self._names:05}-MODEL-ORDER0"
        self._sides[side].append([name, ticks, units or self._dice.choice([1, 1000, 10**8, 123456789]), self._time()])

    def _qty(self, units: int) -> str:
        text = f"{units // 10**QTY_PLACES}.{units % 10**QTY_PLACES:0{QTY_PLACES}}"
        if self._exponents and 0 < units <= 1000 and self._dice.random() < 0.5:
            return {1: "1e-08", 1000: "1e-05"}.get(units, text)
        return text

    def _ticks(self, side: str) -> list[int]:
        return sorted({int(order[1]) for order in self._sides[side]}, reverse=side == "bids")

    def window(self, side: str) -> list[list[int | str]]:
        """The visible orders, best price first, each price in the order of its queue."""
        shown = set(self._ticks(side)[: self.depth])
        visible = [order for order in self._sides[side] if order[1] in shown]
        return sorted(visible, key=lambda order: int(order[1]), reverse=side == "bids")  # equal ones keep their order

    def lines(self, side: str) -> list[Line]:
        found: list[Line] = []
        for name, ticks, units, _ in self.window(side):
            price = f"{int(ticks) / 10:.1f}"
            if not found or found[-1][0] != price:
                found.append((price, []))
            found[-1][1].append((str(name), f"{int(units) / 10**8:.8f}"))
        return found

    def _resting(self, order: list[int | str]) -> Resting:
        name, ticks, units, time = order
        return str(name), f"{int(ticks) / 10:.1f}", self._qty(int(units)), str(time)

    def snapshot(self) -> tuple[list[Resting], list[Resting]]:
        bids, asks = ([self._resting(order) for order in self.window(side)] for side in ("bids", "asks"))
        return bids, asks

    @property
    def checksum(self) -> int:
        return checksum(self.lines("asks"), self.lines("bids"))

    def _message(self, gone: dict[str, list[Told]], changed: dict[str, list[Told]]) -> dict[str, list[Told]]:
        """What a client is told: what is gone, what has come into its window, what has changed."""
        message: dict[str, list[Told]] = {}
        for side in ("bids", "asks"):
            known = {name for _, queue in self._shown[side] for name, _ in queue}
            gone_now = [event for event in gone.get(side, []) if event[1] in known]
            left = known - {event[1] for event in gone_now}
            come = [order for order in self.window(side) if order[0] not in left]
            self._dice.shuffle(come)
            adds: list[Told] = [("add", *self._resting(order)) for order in come]
            message[side] = gone_now + adds + [event for event in changed.get(side, []) if event[1] in left]
            self._shown[side] = self.lines(side)
        return message

    def step(self) -> list[tuple[dict[str, list[Told]], int]]:
        """Something happens. Returns the messages, each with the checksum after it."""
        told: list[tuple[dict[str, list[Told]], int]] = []

        def say(gone: dict[str, list[Told]] = {}, changed: dict[str, list[Told]] = {}) -> None:  # noqa: B006 (never changed)
            message = self._message(gone, changed)
            if message["bids"] or message["asks"]:
                told.append((message, self.checksum))

        side = self._dice.choice(["bids", "asks"])
        other = "asks" if side == "bids" else "bids"
        away = 1 if side == "asks" else -1
        best = self._ticks(side)[0]
        what = self._dice.choice(["place", "place", "cancel", "cancel", "fill", "amend", "take", "improve"])
        orders = self._sides[side]
        order = self._dice.choice(orders[-8:] + self.window(side)[:8])
        name, ticks, units, time = order
        if len(self._ticks(side)) < self.depth + 2:
            what = "deepen"
        if what == "place":
            self._add(side, best + away * self._dice.randint(0, self.depth + 1))
            say()
        elif what == "deepen":
            self._add(side, self._ticks(side)[-1] + away)
            say()
        elif what == "improve":
            if abs(best - self._ticks(other)[0]) > 1:
                self._add(side, best - away)
                say()
        elif what == "cancel":
            orders.remove(order)
            say({side: [("delete", str(name), f"{int(ticks) / 10:.1f}", self._qty(int(units)), self._time())]})
        elif what == "fill":
            self._fill(side)
            say(*self._filled)
        elif what == "take":
            # A taker clears the best price, and its rest is shown on the other side.
            gone: list[Told] = []
            for one in [one for one in orders if one[1] == best]:
                orders.remove(one)
                gone.append(("delete", str(one[0]), f"{best / 10:.1f}", "0.00000000", self._time()))
            self._add(other, best)
            say({side: gone})
        else:
            orders.remove(order)
            say({side: [("delete", str(name), f"{int(ticks) / 10:.1f}", self._qty(int(units)), str(time))]})
            self._add(side, best + away * self._dice.randint(0, self.depth), str(name), int(units))
            say()
        return told

    def _fill(self, side: str) -> None:
        orders = self._sides[side]
        order = self.window(side)[0]
        if self._dice.random() < 0.5:
            order = self._dice.choice(self.window(side))  # its owner makes it smaller
        name, ticks, units, time = order
        price = f"{int(ticks) / 10:.1f}"
        if int(units) > 1 and self._dice.random() < 0.6:
            order[2] = int(units) // 2
            self._filled = ({}, {side: [("modify", str(name), price, self._qty(int(order[2])), str(time))]})
        else:
            orders.remove(order)
            self._filled = ({side: [("delete", str(name), price, "0.00000000", self._time())]}, {})
