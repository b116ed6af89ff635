"""Tickers: the latest event."""

from __future__ import annotations

from kraken_trio.channels.latest import LatestState

__all__ = ["TickerState"]


class TickerState(LatestState):
    """The latest ticker."""

    __slots__ = ()

    @property
    def moves_with_prices(self) -> bool:
        return bool(self._request.trigger == "bbo")
