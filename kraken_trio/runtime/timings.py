"""How long a client's work takes, and how late its data are: measured of a few batches of frames. Pure code."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final

from kraken_trio.events import BookUpdate, Trade
from kraken_trio.statistics import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["FRAMES_PER_MEASUREMENT", "SECONDS_PER_MEASUREMENT", "Timings"]

FRAMES_PER_MEASUREMENT: Final = 256
"""After so many frames a batch is measured: what that costs is then shared by all of them."""
SECONDS_PER_MEASUREMENT: Final = 1.0
"""A batch is measured as well if the last one was so long ago: few frames are measured more often."""
_WINDOW: Final = 60.0
"""Seconds: the smallest lag is that of this minute and the one before."""


class Timings:
    """Histograms of one client. ``now`` and the like are a monotonic clock in seconds."""

    def __init__(self) -> None:
        self.lag: Histogram = Histogram()
        self.processing: Histogram = Histogram()
        self.delivery: Histogram = Histogram()
        self.waiting: Histogram = Histogram()
        """The consumers', of whatever is in the feeds when a batch is measured."""
        self._lowest = self._lowest_before = inf  # lag in nanoseconds
        self._window_ends = -inf

    def take(
        self, delivered: Iterable[Sequence[Any]], received_ns: int, started: float, processed: float, done: float
    ) -> None:
        """Measure a batch.

        ``delivered`` are the events of each feed, if it has any; ``started`` is when the batch was received,
        ``processed`` when the session had taken it, and ``done`` when the feeds had the events.
        """
        self.processing.observe(int((processed - started) * 1e9))
        self.delivery.observe(int((done - started) * 1e9))
        for events in delivered:
            event = events[-1] if events else None
            if isinstance(event, BookUpdate) or (isinstance(event, Trade) and not event.snapshot):
                timestamp = event.timestamp
            else:
                continue  # others are older than the message by which they came
            if timestamp is not None and event.received_ns == received_ns:
                self._late(received_ns - int(timestamp.timestamp() * 1e9), started)
                return

    def _late(self, lag_ns: int, now: float) -> None:
        self.lag.observe(lag_ns)
        if now >= self._window_ends:
            self._lowest_before, self._lowest = self._lowest, inf
            self._window_ends = now + _WINDOW
        self._lowest = min(self._lowest, lag_ns)

    def clock_offset(self, ping_seconds: float | None) -> float | None:
        """How many seconds this machine's clock seems to be ahead of the exchange's; None if that is unknown."""
        lowest = min(self._lowest, self._lowest_before)
        return None if lowest == inf else lowest / 1e9 - (ping_seconds or 0.0) / 2
