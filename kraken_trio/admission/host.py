"""The budget of a host: a file in which processes count their connection attempts together.

The contents of the file are handled by :class:`~kraken_trio.admission.ledger.HostLedger`. Here the file is read and
written, in a worker thread, under a lock of the operating system on a second file beside it, ``<file>.lock``. The lock
is released when its holder ends, even by ``kill -9``. On any error clients wait; no attempt is made without being
counted.

It is for the processes of one host, and a local file system. The file survives the processes, but is not synced to
disk: after a power failure the last attempts may be missing.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio
from filelock import FileLock, Timeout

from kraken_trio._text import printable
from kraken_trio.admission.ledger import HostLedger
from kraken_trio.admission.seam import Wait, too_many
from kraken_trio.settings import MAX_CONNECT_BUDGET

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import FileIO

__all__ = ["HostBudget"]

LOCK_PATIENCE: Final = 1.0
"""Seconds to wait for the lock at a time. A holder needs it for milliseconds, unless it is stopped."""
LOCK_POLL: Final = 0.01
"""Seconds between two attempts to get it: a blocking wait could not be abandoned."""
ANSWER_PATIENCE: Final = 5.0
"""Seconds to wait for the file system, which may be on an unreachable network."""
TRY_AGAIN: Final = 5.0
"""Seconds until a file that cannot be used is tried again."""

_FLAGS: Final = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)


class HostBudget:
    """An :class:`~kraken_trio.admission.Admission` of at most 120 attempts in any 600 s for all that name the file.

    The clocks give nanoseconds.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        lock_patience: float = LOCK_PATIENCE,
    ) -> None:
        self._path = Path(path).absolute()  # the working directory may change later
        self._name = printable(self._path)
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._lock_patience = lock_patience
        self._last: bytes | None = None  # the contents of the file
        self._one_thread = trio.CapacityLimiter(1)  # at most one thread waits for a file system that never answers

    def left(self, limit: int = MAX_CONNECT_BUDGET, /) -> int | None:
        """See :meth:`Budget.left`. What other processes have taken since the last look at the file is not known."""
        if self._last is None:
            return None
        return HostLedger(self._last, wall=self._wall_ns(), monotonic=self._monotonic_ns()).left(limit)

    async def take(self, limit: int = MAX_CONNECT_BUDGET, /) -> Wait | None:
        """See :meth:`Admission.take`. Cancelling does not wait for the file."""
        with trio.move_on_after(ANSWER_PATIENCE):
            return await trio.to_thread.run_sync(self.take_now, limit, abandon_on_cancel=True, limiter=self._one_thread)
        return Wait(TRY_AGAIN, f"the budget file {self._name} does not answer")

    def take_now(self, limit: int = MAX_CONNECT_BUDGET) -> Wait | None:
        """The same, in a worker thread."""
        try:
            path = os.path.realpath(self._path)  # one file has one lock, by whatever path it is named
            mode = _permissions(path)
            with FileLock(  # not the soft kind, which would outlive a holder that is killed
                f"{path}.lock", self._lock_patience, mode, poll_interval=LOCK_POLL, fallback_to_soft=False
            ):
                wait = self._count(path, limit)
        except Timeout:
            return Wait(LOCK_PATIENCE, f"another process holds the lock of the budget file {self._name}")
        except OSError as error:
            return self._unusable(error.strerror or str(error))
        except ValueError as error:
            return self._unusable(f"{error}; name another, or delete it")
        return Wait(wait, too_many(limit, f"the processes that share the budget file {self._name}")) if wait else None

    def _unusable(self, why: str) -> Wait:
        return Wait(TRY_AGAIN, f"the budget file {self._name} cannot be used: {printable(why)}")

    def _count(self, path: str, limit: int) -> float:
        """Count an attempt, and return 0; or return how many seconds to wait."""
        with _open(path) as file:
            data = file.read(HostLedger.SIZE)
            ledger = HostLedger(data, wall=self._wall_ns(), monotonic=self._monotonic_ns())
            wait = ledger.wait(limit)
            ledger.take(limit)
            self._last = fresh = ledger.to_bytes()
            if fresh != data:  # also if attempts have expired, or damaged lines were given a time
                file.seek(0)
                # In place: the file keeps its owner and permissions, and may be in a folder of another user. A
                # truncated write loses no attempt; see HostLedger.
                if file.write(fresh) != len(fresh):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return wait


def _open(path: str) -> FileIO:
    """Open the file; create it if necessary."""
    return os.fdopen(os.open(path, _FLAGS, 0o666), "r+b", buffering=0)  # unbuffered: one write is one write


def _permissions(path: str) -> int:
    """The permissions of the lock: those who may write the file may lock it. Raises if the file is unusable."""
    with _open(path) as file:
        mode = os.fstat(file.fileno()).st_mode
    if not stat.S_ISREG(mode):
        msg = "it is no regular file"
        raise ValueError(msg)
    return (stat.S_IMODE(mode) & 0o666) | 0o600
