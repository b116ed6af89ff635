"""One accepted socket: the server's side of a WebSocket, with control over how it ends.

The incoming half and the handshake are wsproto's; outgoing data frames are written by hand, which is what makes tens of
thousands of them per second possible. One task reads, one writes. Whatever the client sends, nothing is raised.
"""

from __future__ import annotations

import socket
import ssl
import struct
import sys
from collections import deque
from typing import TYPE_CHECKING, Protocol, TypeAlias

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from kraken_trio.testing.exchange.hosts import PATHS, Host
from kraken_trio.testing.faults import DelayConnect, DropConnect, DropHow, HangConnect, RawKind, RefuseConnect
from kraken_trio.testing.network.link import MemoryStream

if TYPE_CHECKING:
    from kraken_trio.testing.faults import Raw

__all__ = ["ConnectionEnd", "Front", "Peer", "Wire"]

_CHUNK = 64 * 1024
_MAX_MESSAGE = 1024 * 1024
"""The largest message accepted from a client, in bytes."""
_GOODBYE = 1.0
"""Timeout of the client's part of the close handshake, in seconds."""
_GONE = (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError, OSError)


class ConnectionEnd(Protocol):
    """The exchange's end of a connection, as its shell uses it: none of this waits."""

    @property
    def queued(self) -> int: ...
    @property
    def link(self) -> int | None: ...
    def send(self, text: str) -> None: ...
    def send_raw(self, raw: Raw) -> None: ...
    def end(self, how: DropHow, reason: str = "") -> None: ...
    def freeze(self) -> None: ...


class Front(Protocol):
    """What a peer needs of the exchange."""

    def admit(self) -> RefuseConnect | HangConnect | DropConnect | DelayConnect | None: ...
    def connected(self, end: ConnectionEnd, *, protocol: str, host: Host = Host.ALL) -> int: ...
    def received(self, number: int, data: str | bytes) -> None: ...
    def disconnected(self, number: int) -> None: ...
    def written(self) -> None: ...


def _frame(opcode: int, payload: bytes) -> bytes:
    """One unfragmented frame of a server (unmasked)."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65536:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + payload


Wire: TypeAlias = trio.SocketStream | MemoryStream
"""The streams that a peer can use."""


def _reset(wire: Wire) -> None:
    if isinstance(wire, MemoryStream):
        wire.reset()
    else:
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        wire.socket.close()


def _close(wire: Wire) -> None:
    if isinstance(wire, MemoryStream):
        wire.close()
    else:
        wire.socket.close()


class Peer:
    """A client's connection, from its TCP accept to its end."""

    def __init__(self, tcp: Wire, front: Front, ssl_context: ssl.SSLContext | None) -> None:
        self._tcp = tcp
        self._front = front
        self._stream: Wire | trio.SSLStream[Wire] = tcp
        if ssl_context is not None:
            self._stream = trio.SSLStream(tcp, ssl_context, server_side=True, https_compatible=True)
        self._ws = WSConnection(ConnectionType.SERVER)
        self._number: int | None = None
        self._queue: deque[bytes] = deque()
        self._more = trio.Event()
        self._ending: DropHow | None = None
        self._frozen = False
        self._scope = trio.CancelScope()
        self._parts: list[str] | list[bytes] = []
        self._size = 0

    # Called by the exchange; these do not wait

    @property
    def queued(self) -> int:
        """Frames that have not been handed to the network."""
        return 0 if self._frozen else len(self._queue)

    @property
    def link(self) -> int | None:
        """The number of the link in a network in memory."""
        return self._tcp.link.number if isinstance(self._tcp, MemoryStream) else None

    def send(self, text: str) -> None:
        self._push(_frame(1, text.encode("utf-8", "surrogatepass")))

    def send_raw(self, raw: Raw) -> None:
        payload = raw.payload.encode() if isinstance(raw.payload, str) else raw.payload
        if raw.kind is RawKind.TCP:
            self._push(payload)
        else:
            self._push(_frame(1 if raw.kind is RawKind.TEXT else 2, payload))

    def end(self, how: DropHow, reason: str = "") -> None:
        """End it; what was sent before goes out first, except for a reset."""
        if self._ending is not None:
            return
        self._ending = how
        if how is DropHow.RESET:
            _reset(self._tcp)
            self._scope.cancel()
            return
        if how is DropHow.TORN:
            self._push(_frame(1, b"x" * 100)[:40])
        elif how.code is not None:
            self._push(self._ws.send(CloseConnection(code=how.code, reason=reason)))
        self._more.set()

    def freeze(self) -> None:
        """Never read or write again, but stay open."""
        self._frozen = True
        self._scope.cancel()

    def _push(self, data: bytes) -> None:
        self._queue.append(data)
        self._more.set()

    # Tasks

    async def run(self) -> None:
        """Serve this client until the connection ends."""
        try:
            with self._scope:
                await self._serve()
            if self._frozen:
                await trio.sleep_forever()
        except _GONE:
            pass
        finally:
            if self._number is not None:
                self._front.disconnected(self._number)
            _close(self._tcp)

    async def _serve(self) -> None:
        if isinstance(self._stream, trio.SSLStream):
            await self._stream.do_handshake()
        if not await self._upgrade():
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            await self._read()
            if self._ending is None:
                nursery.cancel_scope.cancel()
            else:
                # The other task is writing the rest, which has a timeout as well.
                nursery.cancel_scope.deadline = trio.current_time() + _GOODBYE

    async def _upgrade(self) -> bool:
        """Do the upgrade. Returns whether it succeeded."""
        while True:
            data = await self._stream.receive_some(_CHUNK)
            if not data:
                return False
            try:
                self._ws.receive_data(bytes(data))
                request = next(self._ws.events(), None)
            except RemoteProtocolError as error:
                if isinstance(error.event_hint, RejectConnection):
                    await self._stream.send_all(self._ws.send(error.event_hint))
                return False
            if isinstance(request, Request):
                return await self._decide(request)

    async def _decide(self, request: Request) -> bool:
        path = request.target.partition("?")[0]
        if path not in PATHS:
            await self._reject(404, [])
            return False
        match self._front.admit():
            case RefuseConnect(status=status, retry_after=retry_after, body=body):
                after = [] if retry_after is None else [(b"Retry-After", f"{retry_after:g}".encode())]
                await self._reject(status, after, body.encode())
                return False
            case HangConnect():
                while await self._stream.receive_some(_CHUNK):
                    pass
                return False
            case DropConnect():
                return False
            case DelayConnect(seconds=seconds):
                await trio.sleep(seconds)
            case None:
                pass
        await self._stream.send_all(self._ws.send(AcceptConnection()))
        protocol, host = PATHS[path]
        self._number = self._front.connected(self, protocol=protocol, host=host)
        return True

    async def _reject(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> None:
        headers = [*headers, (b"Content-Length", b"%d" % len(body)), (b"Connection", b"close")]
        if body:
            headers.append((b"Content-Type", b"text/html"))
        answer = self._ws.send(RejectConnection(status_code=status, headers=headers, has_body=bool(body)))
        if body:
            answer += self._ws.send(RejectData(data=body))
        await self._stream.send_all(answer)
        await self._say_eof()

    async def _say_eof(self) -> None:
        """End our half of the TCP stream, and wait a little for the client to end the other."""
        with trio.move_on_after(_GOODBYE):
            await self._tcp.send_eof()
            while await self._tcp.receive_some(_CHUNK):
                pass

    async def _read(self) -> None:
        try:
            while True:
                if not self._take_events():
                    return
                data = await self._stream.receive_some(_CHUNK)
                if not data:
                    self._ending = None
                    return
                if self._ending is None or self._ending.code is not None:
                    self._ws.receive_data(bytes(data))
        except RemoteProtocolError as error:
            if self._ending is None:
                hint = error.event_hint
                code = hint.code if isinstance(hint, CloseConnection) else 1002
                self._close(code)
        except LocalProtocolError:
            return  # bytes after the close handshake
        except _GONE:
            self._ending = None

    def _close(self, code: int) -> None:
        self._push(self._ws.send(CloseConnection(code=code)))
        self._ending = DropHow.CLOSE_1000  # any: the close frame is in the queue
        self._more.set()

    def _take_events(self) -> bool:
        """Process received bytes. Returns False at the end of the stream."""
        for event in self._ws.events():
            if isinstance(event, (TextMessage, BytesMessage)):
                if not self._take_message(event):
                    return False
            elif isinstance(event, Ping):
                if self._ending is None:
                    self._push(self._ws.send(event.response()))
            elif isinstance(event, CloseConnection):
                if self._ending is None:
                    self._push(self._ws.send(event.response()))
                    self._ending = DropHow.CLOSE_1000
                    self._more.set()
                return False
        return True

    def _take_message(self, event: TextMessage | BytesMessage) -> bool:
        self._size += len(event.data)
        if self._size > _MAX_MESSAGE:
            if self._ending is None:
                self._close(1009)
            return False
        self._parts.append(event.data)  # type: ignore[arg-type]  # a message's parts are all text, or all bytes
        if event.message_finished:
            whole: str | bytes = (
                "".join(self._parts)  # type: ignore[arg-type]  # a message's parts are all text, or all bytes
                if isinstance(event, TextMessage)
                else b"".join(self._parts)  # type: ignore[arg-type]  # a message's parts are all text, or all bytes
            )
            self._parts, self._size = [], 0
            if self._ending is None and self._number is not None:
                self._front.received(self._number, whole)
        return True

    async def _write(self) -> None:
        try:
            while True:
                while self._queue:
                    batch = bytearray()
                    while self._queue and len(batch) < _CHUNK:
                        batch += self._queue.popleft()
                    await self._stream.send_all(batch)
                    self._front.written()
                if self._ending is not None:
                    break
                self._more = trio.Event()
                await self._more.wait()
            self._scope.deadline = trio.current_time() + _GOODBYE
            if self._ending.code is None:
                await self._tcp.send_eof()
        except _GONE:
            self._scope.cancel()
