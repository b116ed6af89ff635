"""A client's connection without a socket: frames go straight from the exchange's core to the client, and back.

There are no bytes, no WebSocket and no latency: it is the fastest way to run a client, and works with virtual time.
A :class:`~kraken_trio.testing.Network` has what it leaves out.
"""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import trio

from kraken_trio.errors import ConnectError
from kraken_trio.testing.exchange.hosts import PATHS
from kraken_trio.testing.faults import DelayConnect, DropConnect, DropHow, HangConnect, RawKind, RefuseConnect
from kraken_trio.transport import ConnectionLost

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from kraken_trio.testing.exchange.peer import Front
    from kraken_trio.testing.faults import Raw
    from kraken_trio.transport import Limits

__all__ = ["MemoryPeer", "MemoryTransport", "connect_in_memory"]


def _is_hopeless(status: int) -> bool:
    """Whether clients do not retry after a refusal with this status."""
    return status in (400, 401, 404) or 300 <= status < 400


class MemoryPeer:
    """The exchange's end. Called by its shell; nothing here waits."""

    link: Final = None

    def __init__(self) -> None:
        self.frames: deque[str | bytes] = deque()
        """Frames that were sent and not yet received."""
        self.lost: ConnectionLost | None = None
        """How it has ended."""
        self.frozen: bool = False
        self.arrived: trio.Event = trio.Event()
        self.taken: trio.Event = trio.Event()

    @property
    def queued(self) -> int:
        """Frames that wait for the client."""
        return len(self.frames)

    def send(self, text: str) -> None:
        self._push(text)

    def send_raw(self, raw: Raw) -> None:
        if raw.kind is RawKind.TCP:
            self.lose("the peer broke the WebSocket protocol")
        elif raw.kind is RawKind.BINARY:
            self._push(raw.payload if isinstance(raw.payload, bytes) else raw.payload.encode())
        else:
            try:
                self._push(raw.payload if isinstance(raw.payload, str) else raw.payload.decode())
            except UnicodeDecodeError:
                self.lose("the peer sent a text that is not UTF-8")

    def end(self, how: DropHow, reason: str = "") -> None:
        self.lose(f"the peer ended it: {how.name} {reason}".rstrip(), how.code)

    def freeze(self) -> None:
        self.frozen = True

    def _push(self, frame: str | bytes) -> None:
        self.frames.append(frame)
        self.arrived.set()

    def lose(self, why: str, code: int | None = None) -> None:
        """End it; what was sent before still arrives."""
        self.lost = self.lost or ConnectionLost(why, code=code)
        self.arrived.set()


class MemoryTransport:
    """The client's end: a :class:`~kraken_trio.transport.Transport` that can be pinged."""

    def __init__(self, front: Front, peer: MemoryPeer, number: int) -> None:
        self.number: int = number
        """The exchange's number of this connection."""
        self.peer: MemoryPeer = peer
        self.deaf: bool = False
        """Whether sending blocks for ever, as if the exchange did not read."""
        self._front = front

    async def receive(self) -> list[str | bytes]:
        """Wait for frames."""
        await trio.lowlevel.checkpoint()
        peer = self.peer
        while not peer.frames:
            if peer.lost is not None:
                raise peer.lost
            peer.arrived = trio.Event()
            await peer.arrived.wait()
        batch = list(peer.frames)
        peer.frames.clear()
        peer.taken.set()
        self._front.written()
        return batch

    async def send(self, text: str) -> None:
        """Send a frame to the exchange."""
        await self._reach()
        if not self.peer.frozen:
            self._front.received(self.number, text)

    async def ping(self) -> None:
        """Wait for the answer to a WebSocket PING, which comes after everything sent before."""
        await self._reach()
        if self.peer.frozen:
            await trio.sleep_forever()
        while self.peer.frames:
            self.peer.taken = trio.Event()
            await self.peer.taken.wait()

    async def _reach(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.deaf:
            await trio.sleep_forever()
        if self.peer.lost is not None:
            raise self.peer.lost


@asynccontextmanager
async def connect_in_memory(
    front: Front,
    url: str,
    *,
    ssl_context: ssl.SSLContext | None,
    limits: Limits,
    kind: type[MemoryTransport] = MemoryTransport,
) -> AsyncIterator[MemoryTransport]:
    """Connect a client to the exchange, as a :class:`~kraken_trio.transport.Connect` does."""
    del ssl_context  # without TLS there is nothing to verify
    await trio.lowlevel.checkpoint()
    path = urlsplit(url).path or "/"
    if path not in PATHS:
        msg = f"{url} refused the WebSocket connection: HTTP 404"
        raise ConnectError(msg, status=404, retryable=False)
    await _admitted(front, url, limits)
    peer = MemoryPeer()
    protocol, host = PATHS[path]
    number = front.connected(peer, protocol=protocol, host=host)
    try:
        yield kind(front, peer, number)
    finally:
        front.disconnected(number)


async def _admitted(front: Front, url: str, limits: Limits) -> None:
    """Connect. Raises :class:`ConnectError` as a real transport does."""
    with trio.move_on_after(limits.connect_timeout):  # noqa: ASYNC912 (most connections are admitted at once)
        match front.admit():
            case RefuseConnect(status=status, retry_after=retry_after):
                msg = f"{url} refused the WebSocket connection: HTTP {status}"
                raise ConnectError(msg, status=status, retry_after=retry_after, retryable=not _is_hopeless(status))
            case DropConnect():
                msg = f"{url} closed the connection in the WebSocket upgrade, without an answer"
                raise ConnectError(msg)
            case HangConnect():
                await trio.sleep_forever()
            case DelayConnect(seconds=seconds):
                await trio.sleep(seconds)
            case None:
                pass
        return
    msg = f"{url} did not answer the WebSocket request within {limits.connect_timeout:g} s"
    raise ConnectError(msg)
