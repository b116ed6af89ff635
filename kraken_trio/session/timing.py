"""Time as pure arithmetic: every method is given ``now``, in seconds of one monotonic clock."""

from __future__ import annotations

import heapq
from math import inf
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator


__all__ = ["SNAPSHOT_POINTS", "Budget", "PausableClock", "Timers", "TokenBucket", "growing"]

SNAPSHOT_POINTS: Final = 100
"""What snapshots may cost per second, in Kraken's points, and what may be taken at once: half of what it allows."""
_K = TypeVar("_K", bound="Hashable")


def growing(first: float, nth: int, limit: float) -> float:
    """``first``, doubled for every one after the first, at most ``limit``. ``nth`` counts from 1."""
    return min(limit, first * 2.0 ** min(nth - 1, 60))


class PausableClock:
    """A clock that can be stopped.

    To test whether it has reached a reading, use ``when(reading) <= now``: deadlines are computed that way, and
    ``at(now) >= reading`` may differ after rounding.
    """

    def __init__(self) -> None:
        self._stopped_for: float = 0.0
        self._since: float | None = None

    @property
    def held(self) -> bool:
        """Whether it is stopped."""
        return self._since is not None

    def hold(self, now: float) -> None:
        """Stop it."""
        if self._since is None:  # mutant: clock stands still
            self._since = now

    def resume(self, now: float) -> None:
        """Start it again."""
        if self._since is not None:
            self._stopped_for += now - self._since
            self._since = None

    def at(self, now: float) -> float:
        """This clock's reading."""
        return (now if self._since is None else self._since) - self._stopped_for

    def when(self, reading: float) -> float:
        """When this clock will show ``reading`` if it is not stopped; never while it is."""
        return inf if self._since is not None else reading + self._stopped_for


class Budget(Protocol):
    """What may be taken of something that others may take of, too."""

    def ready_at(self, now: float, cost: int, /) -> float:
        """When so much may be taken, if nobody else takes any: ``now`` or later."""
        ...

    def take(self, now: float, cost: int, /) -> bool:
        """Whether so much may be taken now. If so, it is taken."""
        ...

    def pause(self, until: float, /) -> None:
        """Take nothing before ``until``."""
        ...


class TokenBucket:
    """A token bucket: ``burst`` at once, ``rate`` per second in the long run.

    What is taken costs one, or any other number; what costs more than ``burst`` needs a full bucket.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._interval = 1.0 / rate
        self._depth = burst * self._interval
        self._free_at = -inf  # when the bucket would be full again
        self._paused_until = -inf

    def ready_at(self, now: float, cost: int = 1) -> float:
        """When the next request, of this cost, may be sent: ``now`` or later."""
        return max(now, self._free_at - self._depth + cost * self._interval, self._paused_until)

    def take(self, now: float, cost: int = 1) -> bool:
        """Whether one may be sent now. If so, it counts as sent."""
        if self.ready_at(now, cost) > now:  # mutant: pacing
            return False
        self._free_at = max(now, self._free_at) + cost * self._interval
        return True

    def pause(self, until: float) -> None:
        """Send nothing before ``until``."""
        self._paused_until = max(self._paused_until, until)


class Timers(Generic[_K]):
    """One deadline per key; the earliest first."""

    def __init__(self) -> None:
        self._due: dict[_K, float] = {}
        self._heap: list[tuple[float, int, _K]] = []  # cleared and replaced entries stay until they come up
        self._count = 0  # keys are never compared

    def set(self, key: _K, at: float) -> None:
        """Set when ``key`` is due; an earlier setting is replaced."""
        self._due[key] = at
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, key))
        if len(self._heap) > 64 + 4 * len(self._due):
            self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)

    def get(self, key: _K) -> float | None:
        """When ``key`` is due, if it is set."""
        return self._due.get(key)

    def clear(self, key: _K) -> None:
        """Remove ``key``."""
        self._due.pop(key, None)

    def clear_all(self) -> None:
        """Remove all keys."""
        self._due.clear()
        self._heap.clear()

    def earliest(self) -> float:
        """When the first key is due; infinity if none is."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else inf

    def pop_due(self, is_due: Callable[[float], bool]) -> Iterator[_K]:
        """Remove and yield the keys that are due, the earliest first.

        A key that is cleared while an earlier one is handled is not yielded.
        """
        while is_due(self.earliest()):
            key = heapq.heappop(self._heap)[2]
            del self._due[key]
            yield key
