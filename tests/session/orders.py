"""A symbol of Level 3: what the exchange tells of its orders."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

from tests.book.order_model import Exchange
from tests.session.driver import BTC, data


class Orders:
    """The exchange's orders of one symbol, and its frames."""

    def __init__(self, symbol: str = BTC, *, depth: int = 10, seed: int = 7) -> None:
        self.symbol = symbol
        self.exchange = Exchange(depth, seed)
        self._waiting: deque[tuple[dict[str, list[Any]], int]] = deque()

    def snapshot(self, *, spoil: int = 0) -> str:
        self._waiting.clear()
        bids, asks = self.exchange.snapshot()
        return self._frame("snapshot", {"bids": bids, "asks": asks}, self.exchange.checksum ^ spoil)

    def update(self, *, spoil: int = 0) -> str:
        while not self._waiting:
            self._waiting.extend(self.exchange.step())
        message, checksum = self._waiting.popleft()
        return self._frame("update", message, checksum ^ spoil)

    def _frame(self, kind: str, sides: dict[str, list[Any]], checksum: int) -> str:
        names = ("event", "order_id", "limit_price", "order_qty", "timestamp")[kind == "snapshot" :]
        texts = {
            side: ",".join(
                "{"
                + ",".join(
                    f'"{name}":{value if name in ("limit_price", "order_qty") else json.dumps(value)}'
                    for name, value in zip(names, order, strict=True)
                )
                + "}"
                for order in orders
            )
            for side, orders in sides.items()
        }
        entry = (
            f'{{"checksum":{checksum},"symbol":"{self.symbol}","bids":[{texts["bids"]}],"asks":[{texts["asks"]}],'
            '"timestamp":"2026-10-01T10:00:00.000000001Z"}'
        )
        return data("level3", kind, [entry])
