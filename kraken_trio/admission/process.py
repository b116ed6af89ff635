"""Budgets in memory, for clients in any threads of the process.

All clients share that of connection attempts, whatever they connect to; those with the same API key share that of
snapshots.
"""

from __future__ import annotations

import threading
import time
from math import inf
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from kraken_trio.admission.seam import Wait, too_many
from kraken_trio.admission.window import SlidingWindow
from kraken_trio.session.timing import SNAPSHOT_POINTS, TokenBucket
from kraken_trio.settings import MAX_CONNECT_BUDGET

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from kraken_trio.session.timing import Budget

__all__ = ["PROCESS", "SNAPSHOTS", "ConnectBudget", "SnapshotBudgets"]


class ConnectBudget:
    """An :class:`Admission` of at most 120 attempts in any 600 s. Safe to use from several threads.

    ``clock`` is a monotonic clock in seconds, the same for all threads; for clients on virtual time,
    :func:`trio.current_time`.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._window = SlidingWindow()

    def peek(self, limit: int = MAX_CONNECT_BUDGET) -> Wait | None:
        """What :meth:`take_nowait` would return, without counting an attempt."""
        with self._lock:
            now = self._clock()
            ready_at = self._window.ready_at(now, limit)
        return _wait(ready_at - now, limit)

    def take_nowait(self, limit: int = MAX_CONNECT_BUDGET) -> Wait | None:
        """The same as :meth:`take`."""
        with self._lock:
            now = self._clock()
            ready_at = self._window.ready_at(now, limit)
            self._window.take(now, limit)
        return _wait(ready_at - now, limit)

    def left(self, limit: int = MAX_CONNECT_BUDGET, /) -> int:
        """See :meth:`Budget.left`."""
        with self._lock:
            return self._window.left(self._clock(), limit)

    async def take(self, limit: int = MAX_CONNECT_BUDGET, /) -> Wait | None:
        """See :meth:`Admission.take`. Not a checkpoint."""
        return self.take_nowait(limit)


def _wait(seconds: float, limit: int) -> Wait | None:
    return Wait(seconds, too_many(limit, "the clients of this process")) if seconds else None


class SnapshotBudgets:
    """The budgets of snapshots (see :class:`~kraken_trio.session.session.Session`), one per API key.

    ``clock`` is a monotonic clock in seconds, the same for all threads.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: WeakValueDictionary[Hashable, TokenBucket] = WeakValueDictionary()
        self._processes = 1

    def share(self, processes: int) -> None:
        """From now on take one of so many parts of each key's points: other processes use the same keys."""
        with self._lock:
            self._processes = processes

    def budget_of(self, key: Hashable, now: float) -> Budget:
        """The budget that all clients with this ``key`` share: anything that stands for the API key.

        ``now`` is the present time on the clock of this client's session, which may be another than those of others.
        """
        with self._lock:
            bucket = self._buckets.get(key)
            if bucket is None:
                # The largest snapshot costs all that may be taken at once.
                bucket = self._buckets[key] = TokenBucket(SNAPSHOT_POINTS / self._processes, SNAPSHOT_POINTS)
        return _Share(bucket, self._lock, self._clock() - now)


class _Share:
    """A shared bucket, by the clock of one session, which is behind the bucket's by ``behind`` seconds."""

    def __init__(self, bucket: TokenBucket, lock: threading.Lock, behind: float) -> None:
        self._bucket = bucket
        self._lock = lock
        self._behind = behind

    def ready_at(self, now: float, cost: int) -> float:
        with self._lock:
            return self._ready_at(now, cost)

    def _ready_at(self, now: float, cost: int) -> float:
        return max(now, self._bucket.ready_at(-inf, cost) - self._behind)  # `now` itself is never rounded

    def take(self, now: float, cost: int) -> bool:
        with self._lock:
            if self._ready_at(now, cost) > now:
                return False
            # Not only `now`, which may be a little early after rounding.
            return self._bucket.take(self._bucket.ready_at(now + self._behind, cost), cost)

    def pause(self, until: float) -> None:
        with self._lock:
            self._bucket.pause(until + self._behind)


PROCESS: Final = ConnectBudget(time.monotonic)
"""The budget of this process, on real time."""
SNAPSHOTS: Final = SnapshotBudgets(time.monotonic)
"""Those of this process, on real time."""
