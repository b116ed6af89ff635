"""The transport over trio-websocket, by its public API only.

trio-websocket runs a reader task that we do not control: it may die, or wait for a peer for ever. So

* the stream is opened here and owned here; leaving always closes it, whatever the library thinks of its state;
* the library sees the stream through :class:`_Guard`, which judges the peer's answer to the upgrade, remembers how the
  stream ended, and lets nothing be written after a write that was cancelled half-way;
* the library's queue is bounded in messages only, so the stream is not read on while nobody receives and
  :data:`~kraken_trio.transport.line.READ_AHEAD_BYTES` wait;
* the reader runs in a task of its own. What kills it becomes the reason of a :class:`ConnectionLost`, and never
  cancels the body of the block. It is shielded from the user's cancellation, so that the goodbye still has a reader;
* leaving is: a shielded and bounded goodbye, then the stream is closed by force, then the reader is cancelled.
"""

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager, suppress
from typing import TYPE_CHECKING, cast

import trio
from trio_websocket import CloseReason, ConnectionClosed, WebSocketConnection, wrap_client_stream

from kraken_trio._nursery import open_hidden_nursery
from kraken_trio._text import printable
from kraken_trio.errors import ConnectError
from kraken_trio.transport import Connect, ConnectionLost, Limits, Transport
from kraken_trio.transport.line import (
    READ_AHEAD_BYTES,
    RECEIVE_BYTES,
    Line,
    OneLine,
    closed_by_peer,
    connecting_by,
)
from kraken_trio.transport.upgrade import read_acceptance

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from kraken_trio._address import Address
    from kraken_trio.transport.dial import OpenStream

__all__ = ["connect", "connecting_with"]

_LINGER = 0.05
"""Seconds for which received messages wait for those behind them, at most: a PONG that the peer does not take may be in
the way."""
_CLOSE_FRAME = 0x88  # the first byte of a WebSocket CLOSE (RFC 6455, section 5.2: FIN, opcode 8)


def connect(url: str, *, ssl_context: ssl.SSLContext | None, limits: Limits) -> AbstractAsyncContextManager[Transport]:
    """Connect to a ``ws://`` or ``wss://`` URL: see :class:`~kraken_trio.transport.Connect`.

    ``ssl_context`` is for ``wss`` and must verify certificate and host name, or be None for Python's default
    (else :class:`ValueError`).
    """
    return connecting_with(trio.open_tcp_stream)(url, ssl_context=ssl_context, limits=limits)


def connecting_with(open_stream: OpenStream) -> Connect:
    """A :func:`connect` over another network than this machine's: ``open_stream(host, port)`` gives the stream."""
    return connecting_by(_Line, open_stream)


class _Line(Line):
    """A trio-websocket connection."""

    def __init__(self, address: Address, limits: Limits) -> None:
        super().__init__(address, limits)
        self._guard: _Guard | None = None
        self._websocket: WebSocketConnection | None = None
        self._reader = trio.CancelScope()
        self._goodbye = trio.CancelScope()
        self._batch: list[str | bytes] = []  # received, and not yet returned
        self._pings = 0  # that were sent: the library wants each to be another one
        self._over: str | None = None  # why nothing more may be done, if it is not the WebSocket itself that says so

    def __repr__(self) -> str:
        return f"<trio-websocket connection to {self._address}{f', over: {self._over}' if self._over else ''}>"

    # -- opening --------------------------------------------------------------------------------------------------

    async def _upgrade(self, nursery: trio.Nursery, stream: trio.abc.Stream) -> None:
        await nursery.start(self._read, stream)
        # From here on the connection ends by leave() only, which needs the reader until the last moment. (Not before:
        # if cancelled right now, start() keeps the task and waits for its end, which a shield would put off for ever.)
        self._reader.shield = True

    async def _read(self, stream: trio.abc.Stream, *, task_status: trio.TaskStatus[None]) -> None:
        """Hold the nursery of trio-websocket's reader task, and turn whatever that dies of into state."""
        self._guard = guard = _Guard(stream, self._address, self._torn)
        try:
            with self._reader:
                async with open_hidden_nursery() as nursery:
                    self._websocket = await wrap_client_stream(
                        nursery,
                        cast("trio.SocketStream", guard),  # annotated too narrowly: any Stream does
                        self._address.host_header,
                        self._address.target,
                        message_queue_size=self._limits.queue_frames,
                        max_message_size=self._limits.max_frame_bytes,
                        receive_buffer_size=RECEIVE_BYTES,
                    )
                    task_status.started()
        except ConnectError:
            raise
        except Exception as exc:  # noqa: BLE001 (said again, in our words)
            # Not ours: h11's, wsproto's, or a bug there. All mean that the peer's bytes made no sense at this point.
            why = printable(_root(exc))
            if self._websocket is None:
                msg = f"{self._address} broke the rules of the WebSocket upgrade: {why}"
                raise ConnectError(msg) from None  # a traceback would repeat the peer's words as they are
            self._over = f"the WebSocket reader failed: {why}"
        finally:
            self._goodbye.cancel()  # nobody is left who could read the peer's goodbye

    # -- using ----------------------------------------------------------------------------------------------------

    async def receive(self) -> list[str | bytes]:
        # trio-websocket has no public way to take what is there without waiting. But while its reader is at work on
        # bytes that it has read, waiting is short; and when it wants more bytes, the guard ends the waiting.
        websocket, guard, batch = self._open_websocket(), self._guard, self._batch
        assert guard is not None  # it is as old as the WebSocket
        guard.attend()
        try:
            if batch:  # a receive that was cancelled has left it
                await trio.lowlevel.checkpoint()
            else:
                batch.append(await websocket.get_message())
            if guard.has_bytes:
                with trio.move_on_after(_LINGER) as guard.until_empty:  # noqa: ASYNC912 (there is room for one more)
                    while len(batch) < self._limits.queue_frames:
                        batch.append(await websocket.get_message())
        except ConnectionClosed as exc:
            if not batch:
                raise self._lost(exc.reason) from None
        finally:
            guard.is_attended = False
        self._batch = []
        guard.taken(batch)
        return batch

    async def send(self, text: str) -> None:
        try:
            await self._open_websocket().send_message(text)
        except ConnectionClosed as exc:
            raise self._lost(exc.reason) from None

    async def ping(self) -> None:
        self._pings += 1
        try:
            await self._open_websocket().ping(b"%d" % self._pings)
        except ConnectionClosed as exc:
            raise self._lost(exc.reason) from None

    def _open_websocket(self) -> WebSocketConnection:
        if self._over is not None:
            raise ConnectionLost(self._over)
        assert self._websocket is not None  # nobody has this object before open() has returned
        return self._websocket

    def _torn(self) -> None:
        self._over = "a send was cancelled while it was being written, so nothing more can be sent"
        self._reader.cancel()  # wakes a receive() that waits

    def _lost(self, reason: CloseReason | None) -> ConnectionLost:
        """What to tell: ``code`` only if the peer sent it; the library's own verdicts look the same."""
        assert self._guard is not None
        if self._over is not None:
            return ConnectionLost(self._over)
        if reason is None or reason.code == 1006:
            return ConnectionLost(self._guard.ended or "the connection ended")
        said = f": {printable(reason.reason)}" if reason.reason else ""
        if not self._guard.close_sent:  # a CLOSE of the peer would have been answered
            return ConnectionLost(f"the peer broke the WebSocket protocol{said}")
        if reason.code == 1009 and said.startswith(": Exceeded maximum message size"):
            return ConnectionLost(f"the peer sent a message of more than {self._limits.max_frame_bytes} bytes")
        return closed_by_peer(int(reason.code), reason.reason or "")

    # -- leaving --------------------------------------------------------------------------------------------------

    async def leave(self) -> None:
        # Nested, because a second Ctrl-C breaks through every shield.
        try:
            if self._websocket is not None:
                self._goodbye.shield = True
                self._goodbye.deadline = trio.current_time() + self._limits.close_timeout
                with self._goodbye, suppress(Exception):  # politeness: how it fails does not matter
                    await self._websocket.aclose()
        finally:
            self._over = self._over or "its block has been left"
            try:
                if self._stream is not None:
                    with trio.CancelScope(shield=True), suppress(Exception):
                        await trio.aclose_forcefully(self._stream)
            finally:
                self._reader.cancel()


def _root(exc: BaseException) -> BaseException:
    """The first error of a chain: wsproto fails to tell the peer what it did wrong, and that hides what it was."""
    while exc.__context__ is not None:
        exc = exc.__context__
    return exc


def _frame_bytes(message: str | bytes) -> int:
    """As long as it was on the wire, in one frame."""
    size = len(message) if isinstance(message, bytes) or message.isascii() else len(message.encode())
    return size + (2 if size < 126 else 4 if size < 1 << 16 else 10)


class _Guard(trio.abc.Stream):
    """The stream as the library sees it."""

    def __init__(self, stream: trio.abc.Stream, address: Address, on_torn: Callable[[], None]) -> None:
        self._stream = stream
        self._address = address
        self._on_torn = on_torn
        self._accepted = False
        self._is_torn = False
        self.has_bytes = False
        """Is the library at work on what it has read?"""
        self.until_empty: trio.CancelScope | None = None
        """To be cancelled when it has done with it."""
        self.close_sent = False
        """True once the library has begun to write a CLOSE, be it the first or the answer."""
        self.ended: str | None = None
        """How the stream ended, if it did: what was seen first, in either direction."""
        self.is_attended = False
        """Does somebody receive?"""
        self._calls = 0  # of receive()
        self._bytes_ahead = 0  # read, and not yet taken by receive()
        self._is_closing = False  # a CLOSE was written: the library throws away what comes before the answer
        self._to_read_on = trio.Event()

    def attend(self) -> None:
        """Somebody receives."""
        self.is_attended = True
        self._calls += 1
        self._to_read_on.set()

    def taken(self, messages: list[str | bytes]) -> None:
        """These do not wait any more."""
        self._bytes_ahead = max(0, self._bytes_ahead - sum(map(_frame_bytes, messages)))

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if not self._accepted:
            acceptance, behind_it = await read_acceptance(self._stream, self._address)
            self._accepted = True
            self._bytes_ahead = len(behind_it)
            return acceptance + behind_it
        self.has_bytes = False
        if self.until_empty is not None:
            self.until_empty.cancel()
            self.until_empty = None
        if self._bytes_ahead >= READ_AHEAD_BYTES:
            await self._hold_up()
        try:
            data = await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError as exc:
            self._ended_by(exc)
            raise
        if not data:
            self.ended = self.ended or "the peer ended the stream without a WebSocket close"
        self.has_bytes = True
        self._bytes_ahead += len(data)
        return data

    async def _hold_up(self) -> None:
        """Enough waits: read on when somebody receives, and there is not even one whole message for him."""
        while self._bytes_ahead >= READ_AHEAD_BYTES and not self._is_closing:
            if self.is_attended:
                calls = self._calls
                await trio.lowlevel.checkpoint()  # whoever finds a message has it by then
                if self.is_attended and self._calls == calls:
                    return
            else:
                self._to_read_on = trio.Event()
                await self._to_read_on.wait()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_torn:
            msg = "an earlier write was cancelled half-way"
            raise trio.BrokenResourceError(msg)
        self.close_sent = self.close_sent or data[0] == _CLOSE_FRAME
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError as exc:
            self._ended_by(exc)
            if not self._accepted:
                # The library would take it for an orderly end, and wait for the answer to a request that never left.
                msg = f"the connection to {self._address} broke in the WebSocket upgrade: {printable(exc)}"
                raise ConnectError(msg) from exc
            raise
        except BaseException:
            # Trio does not say how much was written: a frame may be cut anywhere, and another after it is garbage.
            self._is_torn = True
            self._on_torn()
            raise
        if self.close_sent:
            self._is_closing = True
            self._to_read_on.set()

    def _ended_by(self, exc: trio.BrokenResourceError) -> None:
        self.ended = self.ended or f"the connection broke: {printable(exc)}"

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


logging.getLogger("trio-websocket").addFilter(OneLine())
