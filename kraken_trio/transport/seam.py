"""What a transport is, whichever library it is made of. Its promises: :mod:`kraken_trio.transport`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

import attrs

if TYPE_CHECKING:
    import ssl
    from contextlib import AbstractAsyncContextManager

__all__ = ["Connect", "ConnectionLost", "Limits", "Phase", "Pings", "Tell", "TellsPhases", "Transport"]

Phase: TypeAlias = Literal["token", "name", "tcp", "proxy", "tls", "upgrade"]
"""What is done in an attempt to connect, in this order: a token is got, the name is looked up, TCP is connected, a
proxy is asked to connect, TLS is begun, and HTTP is upgraded to WebSocket."""
Tell: TypeAlias = Callable[[Phase], None]
"""Is told that a phase begins, and that the one before it is over."""


class ConnectionLost(Exception):  # noqa: N818 (named like the event it is; it never reaches a user)
    """The connection is over. ``code`` is the peer's WebSocket close code, if it sent one."""

    def __init__(self, reason: str, *, code: int | None = None) -> None:
        super().__init__(reason)
        self.reason: str = reason
        self.code: int | None = code


@attrs.frozen(kw_only=True)
class Limits:
    """The bounds of a transport, in seconds, bytes and frames."""

    connect_timeout: float = 10.0
    """For all of name resolution, TCP, TLS and the WebSocket handshake."""
    close_timeout: float = 2.0
    """For the close handshake, and everything after it."""
    max_frame_bytes: int = 8 * 1024 * 1024
    """The largest message that is accepted; a larger one ends the connection."""
    queue_frames: int = 512
    """How many received messages may wait before reading stops."""


class Transport(Protocol):
    """One WebSocket connection. One task may receive while another sends; no two may do the same."""

    async def receive(self) -> list[str | bytes]:
        """Wait for messages: at least one, in order. Cancelling loses none. Raises :class:`ConnectionLost`."""
        ...

    async def send(self, text: str) -> None:
        """Send one text message. Raises :class:`ConnectionLost`."""
        ...


@runtime_checkable
class Pings(Protocol):
    """An optional part of a :class:`Transport`. Both of ours have it."""

    async def ping(self) -> None:
        """Send a WebSocket PING, and wait for its PONG, without a limit: give it a deadline.

        Other tasks may send and receive meanwhile, and one must receive: a PONG behind messages that nobody takes is
        not seen. Raises :class:`ConnectionLost` if the connection is lost already; a later loss is raised by
        ``receive``. One at a time.
        """
        ...


class Connect(Protocol):
    """How a transport is opened.

    The result's ``__aenter__`` raises :class:`~kraken_trio.ConnectError`; its ``__aexit__`` closes the connection
    within ``limits.close_timeout`` even when it is cancelled, and never replaces the body's error by one of its own.
    """

    def __call__(
        self, url: str, *, ssl_context: ssl.SSLContext | None, limits: Limits
    ) -> AbstractAsyncContextManager[Transport]: ...


@runtime_checkable
class TellsPhases(Protocol):
    """An optional part of a :class:`Connect`: it tells how connecting goes on. Ours have it."""

    def telling(self, tell: Tell, /) -> Connect:
        """The same, which tells each phase when it begins."""
        ...
