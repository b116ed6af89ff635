"""Writing to what is not always there: a terminal that was stopped, a full disk, a pipe that nobody reads any more."""

from __future__ import annotations

import io
import os
import select
import sys
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TextIO

    from _typeshed import ReadableBuffer

__all__ = ["descriptor", "discard_rest", "forgiving", "write_all"]


def descriptor(stream: IO[str]) -> int | None:
    """What to write to without Python's buffer: its lock, held by a stuck thread, would hold up the program's end."""
    if sys.platform == "win32":  # a console wants its own encoding
        return None
    try:
        return stream.fileno()
    except OSError:
        return None


def write_all(fd: int, data: bytes) -> None:
    """Write it, however long that takes. Raises :class:`OSError`."""
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            select.select([], [fd], [])


def forgiving(stream: TextIO) -> TextIO:
    """The same stream, but what cannot be written is lost, and no error: what a command does is worth more.

    A stream that is no file is returned as it is.
    """
    fd = descriptor(stream)
    if fd is None:
        return stream
    raw: Any = _Forgiving(fd)  # which writes everything at once, and so does without a buffer
    return io.TextIOWrapper(raw, encoding=stream.encoding, errors="backslashreplace", write_through=True)


class _Forgiving(io.RawIOBase):
    """A file descriptor, which is not closed."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def write(self, data: ReadableBuffer, /) -> int:
        whole = bytes(data)
        with suppress(OSError):
            write_all(self._fd, whole)
        return len(whole)


def discard_rest(stream: IO[str]) -> None:
    """Lose what Python's buffer still holds: writing it has failed, and would fail again when the program ends."""
    fd = descriptor(stream)
    if fd is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, fd)
        os.close(nowhere)
