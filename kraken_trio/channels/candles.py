"""Candles: the latest event of each interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kraken_trio.channels.latest import LatestState

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["CandleState"]


class CandleState(LatestState):
    """The latest event of each interval; the last 1000 intervals."""

    __slots__ = ()

    kept = 1000

    @staticmethod
    def identity(event: Any, /) -> Hashable:
        begin: Hashable = event.interval_begin
        return begin
