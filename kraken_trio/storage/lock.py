"""One writer per folder: a lock of the operating system, which is released when its holder ends, even by ``kill -9``.

Readers need no lock. The lock is on the file ``.recorder.lock``; beside it, ``.recorder.pid`` tells those who are
refused which process holds it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from kraken_trio._text import printable
from kraken_trio.errors import RecordingError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FolderLock", "holder_of", "is_locked"]

LOCK_NAME: Final = ".recorder.lock"
PID_NAME: Final = ".recorder.pid"
_MAX_PID_BYTES: Final = 20


class FolderLock:
    """The lock of a folder, which exists. Raises :class:`RecordingError` if another writer holds it."""

    def __init__(self, folder: Path) -> None:
        # Not the soft kind, which would outlive a holder that is killed. Any thread may release it.
        self._lock = FileLock(folder / LOCK_NAME, timeout=0, thread_local=False, fallback_to_soft=False)
        pid = folder / PID_NAME
        try:
            self._lock.acquire()
        except Timeout:
            holder = holder_of(folder)
            msg = f"{printable(folder)} is being recorded by {holder}: record into another folder, or stop that one"
            raise RecordingError(msg) from None
        with suppress(OSError):  # on a full disk, for example; it is for a message only
            pid.write_text(f"{os.getpid()}\n", encoding="ascii")

    def release(self) -> None:
        """Let others write. May be called again."""
        self._lock.release()


def is_locked(folder: Path) -> bool:
    """Whether a writer has a folder now. Nothing is created; where this cannot be found out, none has it."""
    path = folder / LOCK_NAME
    if not path.is_file():
        return False
    lock = FileLock(path, timeout=0, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        return True
    except OSError:  # a medium that cannot be written
        return False
    lock.release()
    return False


def holder_of(folder: Path) -> str:
    """Who has the lock of a folder that is locked, for a message."""
    try:
        with (folder / PID_NAME).open("rb") as file:
            text = file.read(_MAX_PID_BYTES).strip()
    except OSError:
        text = b""
    return f"process {int(text)}" if text.isdigit() else "another process"
