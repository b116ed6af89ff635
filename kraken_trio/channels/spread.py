"""Spreads: the latest event."""

from __future__ import annotations

from kraken_trio.channels.latest import LatestState

__all__ = ["SpreadState"]


class SpreadState(LatestState):
    """The latest best bid and ask. A trade changes one of them, but they change without trades, too."""

    __slots__ = ()

    tells_of_trades = False

    @property
    def moves_with_prices(self) -> bool:
        return True
