"""The exchange's core in the hands of a test."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kraken_trio.testing import ExchangeCore, Market, MarketSpec, Recording
from kraken_trio.testing.exchange.actions import Send

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kraken_trio.testing.exchange.actions import Action

MARKETS = tuple(
    MarketSpec(symbol=symbol, price_precision=1, qty_precision=8, start_price="64525.0", levels=60)
    for symbol in ("BTC/USD", "ETH/USD")
)


class Venue:
    """A core with two connections."""

    def __init__(self, *faults: Any, recording: Recording | None = None, markets: Any = MARKETS) -> None:
        market = Market(markets if recording is None else (), seed=5, rate=0)
        self.core = ExchangeCore(market, now=0.0, epoch_ns=0, faults=faults, recording=recording)
        self.now = 0.0
        for _ in range(2):
            self.core.connect(0.0)

    def inject(self, fault: Any) -> Any:
        return self.core.inject(fault, self.now)

    def ask(
        self,
        method: str = "subscribe",
        connection: int = 1,
        channel: str = "book",
        symbol: Any = ("BTC/USD",),
        **params: Any,
    ) -> list[dict[str, Any]]:
        params |= {"channel": channel} | ({} if symbol is None else {"symbol": list(symbol)})
        message = {"method": method, "params": params, "req_id": 9}
        return frames(self.core.receive(connection, json.dumps(message), self.now))

    def publish(self, updates: int = 1, symbol: Any = "BTC/USD") -> Any:
        return [text_of(action) for action in self.core.publish(updates, self.now, symbol)]

    def tick(self, now: float) -> Any:
        self.now = now
        out = []
        while (deadline := self.core.deadline) is not None and deadline <= now:
            out += self.core.tick(deadline)
        return out


def text_of(action: Action) -> str:
    assert isinstance(action, Send)
    return action.text


def frames(actions: Iterable[Action]) -> list[dict[str, Any]]:
    return [json.loads(action.text) for action in actions if isinstance(action, Send)]
