"""The seam to a WebSocket library: connect, receive a batch of frames, send, close.

A transport promises the actor four things, whatever the peer does:

1. *Connecting ends*: within ``limits.connect_timeout`` it either yields a connection or raises a
   :class:`~kraken_trio.ConnectError` that names the cause.
2. *Receiving ends*: a peer that closes, resets, or breaks the protocol raises :class:`ConnectionLost`. (Silence is
   not the transport's business: the session judges it. It has PINGs sent, if the transport is one that :class:`Pings`.)
3. *Sending is all or nothing*: after a send that was cancelled half-way, nothing more is written; every later
   call raises :class:`ConnectionLost`.
4. *Leaving ends*: within ``limits.close_timeout``, with the stream closed and no task left behind.

While nobody receives, the peer's PINGs are answered and its CLOSE is seen, as long as what came before them fits into
what a transport may hold (``limits.queue_frames``). Sending does not wait for receiving.

A library's own exceptions stop at the module that imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import attrs

if TYPE_CHECKING:
    import ssl
    from contextlib import AbstractAsyncContextManager

__all__ = ["Connect", "ConnectionLost", "Limits", "Pings", "Transport"]


class ConnectionLost(Exception):  # noqa: N818 (named like the event it is; it never reaches a user)
    """The connection is over. ``code`` is the peer's WebSocket close code, if it sent one."""

    def __init__(self, reason: str, *, code: int | None = None) -> None:
        super().__init__(reason)
        self.reason: str = reason
        self.code: int | None = code


@attrs.frozen(kw_only=True)
class Limits:
    """What a transport may use: seconds and bytes."""

    connect_timeout: float = 10.0
    """For the whole of it: name, TCP, TLS and the WebSocket upgrade."""
    close_timeout: float = 2.0
    """For the WebSocket goodbye, and everything after it."""
    max_frame_bytes: int = 8 * 1024 * 1024
    """The largest message that is taken; a larger one ends the connection."""
    queue_frames: int = 512
    """How many frames a library may hold for us before it stops reading."""


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
    """What a :class:`Transport` may have on top. Ours do."""

    async def ping(self) -> None:
        """Send a WebSocket PING, and wait for its PONG: for as long as that takes, so give it a deadline.

        Others may send and receive meanwhile, and somebody must receive: a PONG behind messages that nobody takes is
        not seen. Raises :class:`ConnectionLost` if the connection is lost already; later that is for who receives.
        One at a time.
        """
        ...


class Connect(Protocol):
    """How a transport is opened.

    The result's ``__aenter__`` raises :class:`~kraken_trio.ConnectError`; its ``__aexit__`` closes the connection
    within ``limits.close_timeout`` even when it is cancelled, and never raises an error of its own in place of
    the body's.
    """

    def __call__(
        self, url: str, *, ssl_context: ssl.SSLContext | None, limits: Limits
    ) -> AbstractAsyncContextManager[Transport]: ...
