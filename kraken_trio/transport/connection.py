"""What every transport has in common: connecting within the limits, holding the connection for a block, closing it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import trio

from kraken_trio._address import Address, parse_address
from kraken_trio._nursery import open_hidden_nursery
from kraken_trio.errors import ConnectError
from kraken_trio.transport.dial import OpenStream, check_tls, connect_tcp, start_tls, told, untold
from kraken_trio.transport.seam import Phase, Tell
from kraken_trio.transport.tunnel import first_phase

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from kraken_trio.transport.seam import Connect, Limits, Transport

__all__ = ["READ_AHEAD_BYTES", "Phase", "Stages", "WebSocketConnection", "make_connect"]

Stages: TypeAlias = "Callable[[Phase, trio.abc.Stream], trio.abc.Stream]"
"""Is told that a phase of connecting has ended with this stream, and returns the one to go on with."""

READ_AHEAD_BYTES = 1024 * 1024
"""While nobody receives, reading stops when messages of this size wait; one more read may have come. Book frames have
about 300 bytes, so ``queue_frames`` stops it first: this is for long messages, of which 512 could be gigabytes."""


def _same_stream(_phase: Phase, stream: trio.abc.Stream) -> trio.abc.Stream:
    return stream


class WebSocketConnection(ABC):
    """One WebSocket connection, from TCP to its close.

    It is a :class:`~kraken_trio.transport.Transport` that also :class:`~kraken_trio.transport.Pings`.
    """

    def __init__(self, address: Address, limits: Limits) -> None:
        self._address = address
        self._limits = limits
        self._stream: trio.abc.Stream | None = None  # the outermost layer that is open

    async def open(
        self,
        nursery: trio.Nursery,
        context: ssl.SSLContext | None,
        open_stream: OpenStream,
        stages: Stages,
        tell: Tell,
    ) -> None:
        """Connect, within ``connect_timeout``. If this raises, :meth:`aclose` closes what was opened."""
        address, timeout = self._address, self._limits.connect_timeout
        with trio.move_on_after(timeout) as scope:
            phase = first_phase(open_stream)
            self._stream = stages("tcp", await connect_tcp(address, open_stream, tell))
            if context is not None:
                phase = "in the TLS handshake"
                tell("tls")
                self._stream = stages("tls", await start_tls(self._stream, address, context))
            phase = "in the WebSocket handshake"
            tell("upgrade")
            await self._upgrade(nursery, self._stream)
            stages("upgrade", self._stream)
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
    async def aclose(self) -> None:
        """Close within ``close_timeout``, whatever happened before, even when cancelled. Raises nothing of its own."""


def make_connect(
    connection: Callable[[Address, Limits], WebSocketConnection], open_stream: OpenStream, stages: Stages | None = None
) -> Connect:
    """A :class:`~kraken_trio.transport.Connect` that makes such connections, over streams opened in this way.

    It :class:`~kraken_trio.transport.TellsPhases`.
    """
    return _Connect(connection, open_stream, stages or _same_stream, untold)


class _Connect:
    """What :func:`make_connect` returns."""

    def __init__(
        self,
        connection: Callable[[Address, Limits], WebSocketConnection],
        open_stream: OpenStream,
        stages: Stages,
        tell: Tell,
    ) -> None:
        self._connection = connection
        self._open_stream = open_stream
        self._stages = stages
        self._tell = tell

    def telling(self, tell: Tell, /) -> Connect:
        return _Connect(self._connection, told(self._open_stream, tell), self._stages, tell)

    def __call__(
        self, url: str, *, ssl_context: ssl.SSLContext | None, limits: Limits
    ) -> AbstractAsyncContextManager[Transport]:
        return self._open(url, ssl_context, limits)

    @asynccontextmanager
    async def _open(self, url: str, ssl_context: ssl.SSLContext | None, limits: Limits) -> AsyncIterator[Transport]:
        address = parse_address(url)
        context = check_tls(address, ssl_context)
        async with open_hidden_nursery() as nursery:
            opened = self._connection(address, limits)
            try:
                await opened.open(nursery, context, self._open_stream, self._stages, self._tell)
                yield opened
            finally:
                await opened.aclose()  # noqa: ASYNC102 (it shields itself, with a timeout)
