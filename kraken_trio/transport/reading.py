"""Reading a TCP socket when it is readable.

Trio's own stream first tries to read, and waits if nothing is there. That is best for a stream that nearly always has
something. Market data often comes one message at a time: then each first try is a system call and an exception for
nothing.
"""

from __future__ import annotations

import os
import sys
from operator import index
from typing import Final

import trio

__all__ = ["RECEIVE_BYTES", "read_when_readable"]

_CAN_READ: Final = sys.platform != "win32"
"""Whether ``os.read`` takes sockets."""
RECEIVE_BYTES: Final = 64 * 1024
"""The most that is read from a stream at once."""


def read_when_readable(stream: trio.abc.Stream) -> trio.abc.Stream:
    """The same stream, reading in this way if it is a plain TCP stream, and this system allows it."""
    return _ReadableFirst(stream) if _CAN_READ and isinstance(stream, trio.SocketStream) else stream


class _ReadableFirst(trio.abc.HalfCloseableStream):
    """A TCP stream that waits before it reads."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._number: int = stream.socket.fileno()  # -1 once it is closed: it may be another file's then

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        wanted = RECEIVE_BYTES if max_bytes is None else index(max_bytes)
        if wanted < 1:
            msg = f"max_bytes={wanted}: at least 1"
            raise ValueError(msg)
        while True:
            if self._number < 0:
                raise _closed()
            await trio.lowlevel.wait_readable(self._number)
            if self._number < 0:  # mutant: closed socket
                raise _closed()
            try:
                return os.read(self._number, wanted)
            except BlockingIOError:
                pass  # a false alarm
            except OSError as exc:
                msg = f"socket connection broken: {exc}"
                raise trio.BrokenResourceError(msg) from exc

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        self._number = -1
        await self._stream.aclose()


def _closed() -> trio.ClosedResourceError:
    return trio.ClosedResourceError("this socket was already closed")
