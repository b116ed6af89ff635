"""Everything is bounded (promise 4): connection attempts, requests, and events that wait in a feed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kraken_trio.testing.oracle.broken import BrokenPromise

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kraken_trio.settings import Settings
    from kraken_trio.statistics import FeedStatistics

__all__ = ["Pacing", "check_buffered", "check_dials"]

CONNECT_WINDOW: Final = 600.0
CONNECT_LIMIT: Final = 120
"""Attempts in any such window: Kraken bans at about 150."""
BATCH_LIMIT: Final = 1500
"""The most events of one batch of frames here, which may wait beyond a feed's capacity."""
_LOOKED_BACK: Final = 400
"""The number of requests that matter at any allowed rate."""


class Pacing:
    """The requests of one client."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._times: list[float] = []

    def asked(self, text: str, now: float) -> None:
        """Add a request of the client. Raises :class:`BrokenPromise` if it was sent too soon."""
        if '"ping"' in text:
            return
        settings = self._settings
        self._times.append(now)
        for back, since in enumerate(reversed(self._times[-_LOOKED_BACK:]), 1):
            if back > settings.request_burst + settings.request_rate * (now - since) + 1.001:
                raise BrokenPromise(4, f"{back} requests in {now - since} s")


def check_dials(dials: Iterable[float]) -> None:
    """Raise :class:`BrokenPromise` if clients connected too often in any window."""
    times = list(dials)
    for first, last in zip(times, times[CONNECT_LIMIT:], strict=False):
        if last - first < CONNECT_WINDOW:
            raise BrokenPromise(4, f"more than {CONNECT_LIMIT} attempts to connect from {first} to {last}")


def check_buffered(name: str, numbers: FeedStatistics) -> None:
    """Raise :class:`BrokenPromise` if too many events have waited in this feed."""
    if numbers.high_water > numbers.capacity + BATCH_LIMIT:
        raise BrokenPromise(4, f"{name}: {numbers}")
