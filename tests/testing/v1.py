"""A plain client of v1, for tests: it knows only the texts of the wire, and shares no code with the package."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import lru_cache
from typing import Any
from zlib import crc32


@lru_cache(maxsize=1 << 16)
def number(text: str) -> Decimal:
    return Decimal(text)


class PlainBook:
    """A book as v1's documents tell a client to keep it."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.sides: dict[str, dict[str, str]] = {"a": {}, "b": {}}
        self.proofs = 0

    def take(self, payloads: list[Any]) -> None:
        for payload in payloads:
            for key, levels in payload.items():
                if key in ("as", "bs"):
                    self.sides[key[0]] = {price: qty for price, qty, _ in levels}
                elif key in ("a", "b"):
                    self.apply(key, levels)
        for key, side in self.sides.items():
            if len(side) > self.depth:
                self.sides[key] = dict(self.levels(key)[: self.depth])
        checksum = payloads[-1].get("c")
        if checksum is not None:
            assert checksum == str(self.checksum())
            self.proofs += 1

    def apply(self, key: str, levels: list[Any]) -> None:
        for price, qty, *_ in levels:
            if number(qty):
                self.sides[key][price] = qty
            else:
                self.sides[key].pop(price, None)

    def levels(self, key: str) -> list[tuple[str, str]]:
        return sorted(self.sides[key].items(), key=lambda level: number(level[0]), reverse=key == "b")

    def checksum(self) -> int:
        best = self.levels("a")[:10] + self.levels("b")[:10]
        return crc32("".join(text.replace(".", "").lstrip("0") for level in best for text in level).encode())

    def values(self) -> Any:
        """Bids and asks as numbers, best first."""
        return [[(number(price), number(qty)) for price, qty in self.levels(key)] for key in ("b", "a")]


class PlainClient:
    """What one connection has told."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.books: dict[tuple[str, int], PlainBook] = {}
        self.data: list[tuple[str, str, list[Any]]] = []
        """Of each frame: channel, pair, payloads."""

    def take(self, text: str) -> None:
        frame = json.loads(text)
        if isinstance(frame, dict):
            self.events.append(frame)
            return
        channel_id, *payloads, channel, pair = frame
        assert type(channel_id) is int
        self.data.append((channel, pair, payloads))
        if channel.startswith("book-"):
            depth = int(channel[5:])
            if "as" in payloads[0]:
                self.books[pair, depth] = PlainBook(depth)
            self.books[pair, depth].take(payloads)

    def of(self, channel: str) -> list[Any]:
        """The payloads of this channel's frames."""
        return [payloads for name, _, payloads in self.data if name == channel]
