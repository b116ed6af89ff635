"""A budget in memory. All clients of the process share one, whatever they connect to, and in any thread."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from kraken_trio.admission.seam import Wait, too_many
from kraken_trio.admission.window import SlidingWindow
from kraken_trio.settings import MAX_CONNECT_BUDGET

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PROCESS", "ConnectBudget"]


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

    async def take(self, limit: int = MAX_CONNECT_BUDGET, /) -> Wait | None:
        """See :meth:`Admission.take`. Not a checkpoint."""
        return self.take_nowait(limit)


def _wait(seconds: float, limit: int) -> Wait | None:
    return Wait(seconds, too_many(limit, "the clients of this process")) if seconds else None


PROCESS: Final = ConnectBudget(time.monotonic)
"""The budget of this process, on real time."""
