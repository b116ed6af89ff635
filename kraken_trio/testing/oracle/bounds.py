"""Everything is bounded (promise 4): how often clients dial and ask, and how much waits in a feed."""

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
"""Events that one batch of frames can hold here: so many may wait beyond a feed's capacity."""
_LOOKED_BACK: Final = 400
"""Requests: as many as matter at any rate that is allowed here."""


class Pacing:
    """The requests of one client."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._times: list[float] = []

    def asked(self, text: str, now: float) -> None:
        """The client has sent this. Raises :class:`BrokenPromise` if that was too soon."""
        if '"ping"' in text:
            return
        settings = self._settings
        self._times.append(now)
        for back, since in enumerate(reversed(self._times[-_LOOKED_BACK:]), 1):
            if back > settings.request_burst + settings.request_rate * (now - since) + 1.001:
                raise BrokenPromise(4, f"{back} requests in {now - since} s")


def check_dials(dials: Iterable[float]) -> None:
    """Raise :class:`BrokenPromise` if clients dialled too often, in any window."""
    times = list(dials)
    for first, last in zip(times, times[CONNECT_LIMIT:], strict=False):
        if last - first < CONNECT_WINDOW:
            raise BrokenPromise(4, f"more than {CONNECT_LIMIT} attempts to connect from {first} to {last}")


def check_buffered(name: str, numbers: FeedStatistics) -> None:
    """Raise :class:`BrokenPromise` if too much has waited in this feed."""
    if numbers.high_water > numbers.capacity + BATCH_LIMIT:
        raise BrokenPromise(4, f"{name}: {numbers}")
