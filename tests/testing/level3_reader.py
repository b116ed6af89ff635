"""A reader of ``level3``, which shares nothing with the exchange or the client: queues of texts, by Kraken's rules."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from zlib import crc32

SIDES = ("bids", "asks")


class LostSynchronisation(Exception):  # noqa: N818 (it says what has happened)
    """A message does not fit what came before."""


def read(text: str) -> Any:
    """A frame, with numbers as texts."""
    return json.loads(text, parse_float=str, parse_int=str)


class Level3Reader:
    def __init__(self, depth: int, price_precision: int, qty_precision: int) -> None:
        self.depth = depth
        self.precisions = (price_precision, qty_precision)
        self.orders: dict[str, dict[str, dict[str, Any]]] = {side: {} for side in SIDES}
        """By side and id, in order of arrival."""

    def feed(self, text: str) -> bool:
        """Apply a frame. Returns whether its checksum fits."""
        message = read(text)
        (data,) = message["data"]
        for side in SIDES:
            if message["type"] == "snapshot":
                self.orders[side] = {order["order_id"]: order for order in data[side]}
            else:
                self._apply(side, data[side])
            self._cut(side)
        return bool(self.checksum() == int(data["checksum"]))

    def _apply(self, side: str, events: list[dict[str, Any]]) -> None:
        orders = self.orders[side]
        adds = sorted((e for e in events if e["event"] == "add"), key=lambda e: e["timestamp"])
        for event in events:
            if event["event"] == "add":
                add = adds.pop(0)
                orders.pop(add["order_id"], None)
                orders[add["order_id"]] = add
            elif event["order_id"] not in orders:
                raise LostSynchronisation(event)
            elif event["event"] == "delete":
                del orders[event["order_id"]]
            else:
                known = orders[event["order_id"]]
                assert (known["limit_price"], known["timestamp"]) == (event["limit_price"], event["timestamp"])
                orders[event["order_id"]] = event

    def levels(self, side: str) -> list[tuple[str, list[dict[str, Any]]]]:
        """Price and queue of each level, best first."""
        found: dict[str, list[dict[str, Any]]] = {}
        for order in self.orders[side].values():
            found.setdefault(order["limit_price"], []).append(order)
        return sorted(found.items(), key=lambda level: Decimal(level[0]), reverse=side == "bids")

    def _cut(self, side: str) -> None:
        kept = {price for price, _ in self.levels(side)[: self.depth]}
        self.orders[side] = {name: o for name, o in self.orders[side].items() if o["limit_price"] in kept}

    def quantities(self, side: str) -> list[tuple[str, Decimal]]:
        """Price levels: the sums of the queues."""
        return [
            (price, sum((Decimal(order["order_qty"]) for order in queue), Decimal(0)))
            for price, queue in self.levels(side)
        ]

    def checksum(self) -> int:
        tokens = []
        for side in ("asks", "bids"):
            for price, queue in self.levels(side)[:10]:
                for order in queue:
                    for text, precision in zip((price, order["order_qty"]), self.precisions, strict=True):
                        tokens.append(f"{Decimal(text):.{precision}f}".replace(".", "").lstrip("0"))
        return crc32("".join(tokens).encode())
