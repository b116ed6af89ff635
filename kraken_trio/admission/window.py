"""A sliding window over the connection attempts of a process, as pure arithmetic.

Both ends of the window count: no interval of 600 seconds contains more attempts than allowed.
"""

from __future__ import annotations

from collections import deque
from math import inf, nextafter

from kraken_trio.settings import CONNECT_WINDOW, MAX_CONNECT_BUDGET

__all__ = ["SlidingWindow"]


class SlidingWindow:
    """At most ``attempts`` in any ``window`` seconds. Every method is given ``now``, which never goes back."""

    def __init__(self, attempts: int = MAX_CONNECT_BUDGET, window: float = CONNECT_WINDOW) -> None:
        self._attempts = attempts
        self._window = window
        self._taken: deque[float] = deque(maxlen=attempts)  # older ones are irrelevant

    def _end(self, taken: float) -> float:
        return nextafter(taken + self._window, inf)  # later than the sum even where that was rounded down

    def ready_at(self, now: float, limit: int | None = None) -> float:
        """When the next attempt may be made: ``now`` or later.

        A lower ``limit`` applies to this attempt only: it waits until fewer than ``limit`` attempts are in the window.
        """
        limit = self._attempts if limit is None else min(limit, self._attempts)
        return now if len(self._taken) < limit else max(now, self._end(self._taken[-limit]))

    def left(self, now: float, limit: int | None = None) -> int:
        """How many may be made now."""
        limit = self._attempts if limit is None else min(limit, self._attempts)
        return max(0, limit - sum(self._end(taken) > now for taken in self._taken))

    def take(self, now: float, limit: int | None = None) -> bool:
        """Whether one may be made now. If so, it counts as made."""
        if self.ready_at(now, limit) > now:  # mutant: connect budget
            return False
        self._taken.append(now)
        return True
