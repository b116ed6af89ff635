"""The numbers of all feeds that a client has had."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

    from kraken_trio.runtime.feed import FeedSender
    from kraken_trio.statistics import ClientStatistics

__all__ = ["FeedTotals"]


class FeedTotals:
    """Sums over the open feeds, and over those that were closed."""

    def __init__(self) -> None:
        self._open: dict[FeedSender, None] = {}
        self._delivered = self._dropped = self._conflated = 0
        self._held_seconds = 0.0

    def add(self, sender: FeedSender, when_closed: Callable[[], None]) -> None:
        """Count a feed in. ``when_closed`` is called when the program closes it."""

        def close() -> None:
            if sender in self._open:
                self._close(sender)
            when_closed()

        self._open[sender] = None
        sender.call_when_closed(close)

    def _close(self, sender: FeedSender) -> None:
        del self._open[sender]
        now = sender.statistics()
        self._delivered += now.delivered
        self._dropped += now.dropped
        self._conflated += now.conflated
        self._held_seconds += now.held_seconds

    def added_to(self, statistics: ClientStatistics) -> ClientStatistics:
        """The client's statistics, with these numbers."""
        now = [sender.statistics() for sender in self._open]
        return attrs.evolve(
            statistics,
            delivered=self._delivered + sum(feed.delivered for feed in now),
            dropped=self._dropped + sum(feed.dropped for feed in now),
            conflated=self._conflated + sum(feed.conflated for feed in now),
            held_seconds=self._held_seconds + sum(feed.held_seconds for feed in now),
            queue_ratio=max((feed.buffered / feed.capacity for feed in now), default=0.0),
        )
