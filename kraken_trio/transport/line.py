"""What every transport does in the same way: dial within the limits, hold the connection for a block, hang up."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from kraken_trio._address import Address, parse_address
from kraken_trio._nursery import open_hidden_nursery
from kraken_trio._text import printable
from kraken_trio.errors import ConnectError
from kraken_trio.transport import ConnectionLost
from kraken_trio.transport.dial import OpenStream, check_tls, reach, secure

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from kraken_trio.transport import Connect, Limits, Transport

__all__ = ["READ_AHEAD_BYTES", "RECEIVE_BYTES", "Line", "OneLine", "closed_by_peer", "connecting_by"]

RECEIVE_BYTES = 64 * 1024
"""The most that is read from the stream at once."""
READ_AHEAD_BYTES = 1024 * 1024
"""While nobody receives, reading stops when so many bytes of messages wait; one read more may have come. Book frames
have about 300 bytes, so ``queue_frames`` stops it first: this is for long ones, of which 512 could be gigabytes."""


class Line(ABC):
    """One connection, from dialling to hanging up.

    It is a :class:`~kraken_trio.transport.Transport` that :class:`~kraken_trio.transport.Pings`.
    """

    def __init__(self, address: Address, limits: Limits) -> None:
        self._address = address
        self._limits = limits
        self._stream: trio.abc.Stream | None = None  # the outermost layer that is open

    async def open(self, nursery: trio.Nursery, context: ssl.SSLContext | None, open_stream: OpenStream) -> None:
        """Dial, within ``connect_timeout``. What was opened when this raises is closed by :meth:`leave`."""
        address, timeout = self._address, self._limits.connect_timeout
        with trio.move_on_after(timeout) as scope:
            phase = "looking up the name, or connecting by TCP"
            self._stream = await reach(address, open_stream)
            if context is not None:
                phase = "in TLS's handshake"
                self._stream = await secure(self._stream, address, context)
            phase = "waiting for the answer to the WebSocket request"
            await self._upgrade(nursery, self._stream)
        if scope.cancelled_caught:
            msg = (
                f"no connection to {address} within {timeout:g} s (while {phase}); "
                "check the address, the network, and any firewall or proxy on the way"
            )
            raise ConnectError(msg)

    @abstractmethod
    async def _upgrade(self, nursery: trio.Nursery, stream: trio.abc.Stream) -> None:
        """Make the stream a WebSocket, with whatever tasks it needs. Raises :class:`~kraken_trio.ConnectError`."""

    @abstractmethod
    async def receive(self) -> list[str | bytes]: ...

    @abstractmethod
    async def send(self, text: str) -> None: ...

    @abstractmethod
    async def ping(self) -> None: ...

    @abstractmethod
    async def leave(self) -> None:
        """Close within ``close_timeout``, whatever happened before, even when cancelled. Raises nothing of its own."""


def connecting_by(line: Callable[[Address, Limits], Line], open_stream: OpenStream) -> Connect:
    """A :class:`~kraken_trio.transport.Connect` of such lines, over streams that are opened in this way."""

    @asynccontextmanager
    async def hold(url: str, ssl_context: ssl.SSLContext | None, limits: Limits) -> AsyncIterator[Transport]:
        address = parse_address(url)
        context = check_tls(address, ssl_context)
        async with open_hidden_nursery() as nursery:
            held = line(address, limits)
            try:
                await held.open(nursery, context, open_stream)
                yield held
            finally:
                await held.leave()  # noqa: ASYNC102 (it shields itself, with a timeout)

    def connect(
        url: str, *, ssl_context: ssl.SSLContext | None, limits: Limits
    ) -> AbstractAsyncContextManager[Transport]:
        return hold(url, ssl_context, limits)

    return connect


_CLOSE_NAMES = {
    1000: "NORMAL_CLOSURE",
    1001: "GOING_AWAY",
    1002: "PROTOCOL_ERROR",
    1003: "UNSUPPORTED_DATA",
    1007: "INVALID_FRAME_PAYLOAD_DATA",
    1008: "POLICY_VIOLATION",
    1009: "MESSAGE_TOO_BIG",
    1010: "MANDATORY_EXT",
    1011: "INTERNAL_ERROR",
    1012: "SERVICE_RESTART",
    1013: "TRY_AGAIN_LATER",
    1014: "BAD_GATEWAY",
}
"""RFC 6455, section 7.4.1, and IANA's registry of close codes."""


def closed_by_peer(code: int, reason: str) -> ConnectionLost:
    """What to tell when the peer has sent a CLOSE; 1005 means that it named no code."""
    if code == 1005:
        return ConnectionLost("the peer closed the connection, without a code")
    name = _CLOSE_NAMES.get(code, "PRIVATE_RESERVED" if code >= 4000 else "IANA_RESERVED")
    said = f": {printable(reason)}" if reason else ""
    return ConnectionLost(f"the peer closed the connection: {code} {name}{said}", code=code)


class OneLine(logging.Filter):
    """WebSocket libraries log peers' texts as they are (at level DEBUG): make each record one printable line."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text}: {record.exc_info[1]!r}"  # a traceback would repeat the error's words as they are
        record.exc_info = record.exc_text = record.stack_info = None
        record.msg, record.args = printable(text, 500), ()
        return True
