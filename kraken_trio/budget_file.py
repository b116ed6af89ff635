"""The budget of a host: a file in which processes count their connection attempts together.

What is in the file, and what it allows, decides :class:`~kraken_trio.session.budget.HostLedger`. Here it is read and
written, under the operating system's lock on the file, which goes when its holder does, even by ``kill -9``. It all
happens in a worker thread. Whatever goes wrong means waiting: never an attempt that was not counted.

It is for processes of one host and a file system of that host. What is written outlives the processes, but is not
forced to the disk: after a power failure the last attempts may be forgotten.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from kraken_trio.budget import Wait, made_too_many
from kraken_trio.errors import printable
from kraken_trio.session.budget import HostLedger

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import FileIO

__all__ = ["BudgetFile"]

LOCK_PATIENCE: Final = 1.0
"""Seconds to wait for the lock at a time. Nobody needs it for longer than milliseconds, unless it is stopped."""
LOCK_POLL: Final = 0.01
"""Seconds between two attempts to get it: an unlimited wait for a lock could not be abandoned."""
ANSWER_PATIENCE: Final = 5.0
"""Seconds to wait for the file system, such as one on a network that is gone."""
TRY_AGAIN: Final = 5.0
"""Seconds until a file that cannot be used is looked at again: somebody may have repaired it."""

_LOCKED_BYTE: Final = 1 << 30
"""Windows locks bytes, and nobody else can read them: so it is one far behind the end."""


class BudgetFile:
    """One client's access to the file. The clocks give nanoseconds."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        lock_patience: float = LOCK_PATIENCE,
    ) -> None:
        self._path = Path(path).absolute()  # as it is meant now, whatever the working directory is later
        self._name = printable(self._path)
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._lock_patience = lock_patience
        self._one_thread = trio.CapacityLimiter(1)  # not more for a file system that never answers

    async def take(self, limit: int) -> Wait | None:
        """None: an attempt counts as made. Else how long to wait, and why. Cancelling does not wait for the file."""
        with trio.move_on_after(ANSWER_PATIENCE):
            return await trio.to_thread.run_sync(self.take_now, limit, abandon_on_cancel=True, limiter=self._one_thread)
        return Wait(TRY_AGAIN, f"the budget file {self._name} does not answer")

    def take_now(self, limit: int) -> Wait | None:
        """The same, in a worker thread."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            with os.fdopen(descriptor, "r+b", buffering=0) as file:  # unbuffered: one write is one write
                if not self._lock(descriptor):
                    return Wait(LOCK_PATIENCE, f"another process holds the budget file {self._name}")
                try:
                    wait = self._count(file, limit)
                finally:
                    _unlock(descriptor)  # closing does not, while a process that was forked meanwhile has it open
        except OSError as error:
            return Wait(TRY_AGAIN, f"the budget file {self._name} cannot be used: {error.strerror or error}")
        except ValueError as error:
            return Wait(TRY_AGAIN, f"the budget file {self._name} cannot be used: {error}; name another, or delete it")
        return Wait(wait, made_too_many(limit, f"the processes that count in {self._name}")) if wait else None

    def _count(self, file: FileIO, limit: int) -> float:
        """Make an attempt: 0, and it counts as made; or how many seconds to wait."""
        data = file.read(HostLedger.SIZE)
        ledger = HostLedger(data, wall=self._wall_ns(), monotonic=self._monotonic_ns())
        wait = ledger.wait(limit)
        ledger.take(limit)
        fresh = ledger.to_bytes()
        if fresh != data:  # attempts that are over are forgotten, what made no sense has a time from now on
            file.seek(0)
            if file.write(fresh) != len(fresh):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return wait

    def _lock(self, descriptor: int) -> bool:
        """Lock the file; False if that takes longer than one may wait."""
        patient_until = time.monotonic() + self._lock_patience
        while not _try_lock(descriptor):
            if time.monotonic() >= patient_until:
                return False
            time.sleep(LOCK_POLL)
        return True


if sys.platform == "win32":

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
