"""The results of a market's trades: the latest trades, the ticker's figures, and the candles.

Integers throughout: prices and quantities scaled by the market's precisions, times in nanoseconds since 1970.
"""

from __future__ import annotations

from collections import deque

import attrs

from kraken_trio.requests import INTERVALS

__all__ = ["Candle", "Tape", "TradePrint"]

SNAPSHOT_TRADES = 50
"""The number of trades in a trade snapshot."""
SNAPSHOT_CANDLES = 60
"""The number of candles kept per interval. (Kraken sends up to 720; fewer keep frames readable.)"""
_MINUTE_NS = 60 * 10**9


@attrs.frozen
class TradePrint:
    """One trade."""

    side: str
    """The taker's side: ``buy`` or ``sell``."""
    price: int
    qty: int
    ord_type: str
    trade_id: int
    time_ns: int


@attrs.define
class Candle:
    """One candle, in progress or final."""

    interval: int
    begin_ns: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    cost: int
    """Sum of price times quantity."""
    trades: int

    @property
    def vwap(self) -> int:
        return (self.cost + self.volume // 2) // self.volume

    @property
    def end_ns(self) -> int:
        return self.begin_ns + self.interval * _MINUTE_NS


class Tape:
    """Aggregates of one market's trades. The "24 hours" are the time since the market's beginning."""

    def __init__(self, first_trade_id: int) -> None:
        self.next_id: int = first_trade_id
        self.latest: deque[TradePrint] = deque(maxlen=SNAPSHOT_TRADES)
        """Oldest first."""
        self.candles: dict[int, deque[Candle]] = {interval: deque(maxlen=SNAPSHOT_CANDLES) for interval in INTERVALS}
        """By interval, oldest first; intervals without trades are absent."""
        self.count: int = 0
        self.volume: int = 0
        self.cost: int = 0
        self.open: int = 0
        self.high: int = 0
        self.low: int = 0

    def record(self, side: str, price: int, qty: int, ord_type: str, time_ns: int) -> TradePrint:
        """Add a trade."""
        trade = TradePrint(side, price, qty, ord_type, self.next_id, time_ns)
        self.next_id += 1
        self.latest.append(trade)
        if not self.count:
            self.open = self.high = self.low = price
        self.count += 1
        self.volume += qty
        self.cost += price * qty
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        for interval, candles in self.candles.items():
            begin = time_ns - time_ns % (interval * _MINUTE_NS)
            candle = candles[-1] if candles else None
            if candle is None or candle.begin_ns < begin:
                candles.append(Candle(interval, begin, price, price, price, price, qty, price * qty, 1))
                continue
            if price > candle.high:
                candle.high = price
            elif price < candle.low:
                candle.low = price
            candle.close = price
            candle.volume += qty
            candle.cost += price * qty
            candle.trades += 1
        return trade

    @property
    def last(self) -> int:
        """The price of the latest trade; 0 before the first."""
        return self.latest[-1].price if self.latest else 0

    @property
    def vwap(self) -> int:
        """Volume-weighted average price; 0 before the first trade."""
        return (self.cost + self.volume // 2) // self.volume if self.volume else 0
