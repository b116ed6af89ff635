"""The transport over trio-websocket, by its public API only.

trio-websocket runs a reader task that we do not control: it may die, or wait for a peer for ever. So

* the stream is opened here and owned here; closing always closes it, whatever the library thinks of its state;
* the library sees the stream through a :class:`_GuardedStream`, which checks the peer's response to the upgrade,
  remembers how the stream ended, and lets nothing be written after a write that was cancelled half-way;
* the library's queue is bounded in messages only, so reading stops while nobody receives and
  :data:`~kraken_trio.transport.connection.READ_AHEAD_BYTES` of payload wait;
* the reader runs in a task of its own. What kills it becomes the reason of a :class:`ConnectionLost`, and never
  cancels the body of the block. It is shielded from the user's cancellation, so that the close handshake still has a
  reader;
* closing is: a shielded and bounded close handshake, then the stream is closed by force, then the reader is cancelled.
"""

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager, suppress
from typing import TYPE_CHECKING, cast

import trio
import trio_websocket as library
from wsproto.frame_protocol import CloseReason

from kraken_trio._nursery import open_hidden_nursery
from kraken_trio._text import printable
from kraken_trio.errors import ConnectError
from kraken_trio.transport.connection import READ_AHEAD_BYTES, WebSocketConnection, make_connect
from kraken_trio.transport.formatting import SingleLineFilter, close_received, describe
from kraken_trio.transport.reading import RECEIVE_BYTES
from kraken_trio.transport.seam import Connect, ConnectionLost, Limits, Transport
from kraken_trio.transport.upgrade import read_acceptance

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from kraken_trio._address import Address
    from kraken_trio.transport.connection import Stages
    from kraken_trio.transport.dial import OpenStream

__all__ = ["TrioWebSocketConnection", "connect", "connect_over"]

_LINGER = 0.05
"""Seconds for which received messages wait for those behind them, at most: the library may be busy with a PONG that the
peer does not read."""
# The first byte of a frame (RFC 6455, section 5.2).
_CLOSE_FRAME = 0x88
_IS_CONTROL = 0x08


def connect(url: str, *, ssl_context: ssl.SSLContext | None, limits: Limits) -> AbstractAsyncContextManager[Transport]:
    """Connect to a ``ws://`` or ``wss://`` URL: see :class:`~kraken_trio.transport.Connect`.

    ``ssl_context`` is for ``wss`` and must verify certificate and host name, or be None for Python's default
    (else :class:`ValueError`).
    """
    return connect_over(trio.open_tcp_stream)(url, ssl_context=ssl_context, limits=limits)


def connect_over(open_stream: OpenStream, stages: Stages | None = None) -> Connect:
    """A :func:`connect` over another network than this machine's: ``open_stream(host, port)`` gives the stream.

    ``stages`` is told how connecting goes on.
    """
    return make_connect(TrioWebSocketConnection, open_stream, stages)


class TrioWebSocketConnection(WebSocketConnection):
    """A trio-websocket connection."""

    def __init__(self, address: Address, limits: Limits) -> None:
        super().__init__(address, limits)
        self._guarded: _GuardedStream | None = None
        self._websocket: library.WebSocketConnection | None = None
        self._reader = trio.CancelScope()
        self._closing = trio.CancelScope()
        self._batch: list[str | bytes] = []  # received, and not yet returned
        self._pings_sent = 0  # the library wants each payload to differ
        self._over: str | None = None  # why nothing more may be done, unless the WebSocket itself says so

    def __repr__(self) -> str:
        return f"<trio-websocket connection to {self._address}{f', over: {self._over}' if self._over else ''}>"

    # -- opening --------------------------------------------------------------------------------------------------

    async def _upgrade(self, nursery: trio.Nursery, stream: trio.abc.Stream) -> None:
        await nursery.start(self._read, stream)
        # From here on the connection ends by aclose() only, which needs the reader until the last moment. (Not before:
        # if cancelled right now, start() keeps the task and waits for its end, which a shield would put off for ever.)
        self._reader.shield = True

    async def _read(self, stream: trio.abc.Stream, *, task_status: trio.TaskStatus[None]) -> None:
        """Hold the nursery of trio-websocket's reader task, and turn whatever ends it into state."""
        self._guarded = guarded = _GuardedStream(stream, self._address, self._on_torn_write)
        try:
            with self._reader:
                async with open_hidden_nursery() as nursery:
                    self._websocket = await library.wrap_client_stream(
                        nursery,
                        cast("trio.SocketStream", guarded),  # annotated too narrowly: any Stream does
                        self._address.host_header,
                        self._address.target,
                        message_queue_size=self._limits.queue_frames,
                        max_message_size=self._limits.max_frame_bytes,
                        receive_buffer_size=RECEIVE_BYTES,
                    )
                    task_status.started()
        except ConnectError:
            raise
        except Exception as exc:  # noqa: BLE001 (it is reported in our terms)
            # Not ours: h11's, wsproto's, or a bug there. All mean that the peer's bytes made no sense at this point.
            why = printable(_root(exc))
            if self._websocket is None:
                msg = f"{self._address} violated the WebSocket handshake: {why}"
                raise ConnectError(msg) from None  # a traceback would repeat the peer's text unescaped
            self._over = f"the WebSocket reader failed: {why}"
        finally:
            self._closing.cancel()  # no reader is left for the peer's CLOSE

    # -- using ----------------------------------------------------------------------------------------------------

    async def receive(self) -> list[str | bytes]:
        # trio-websocket has no public way to take what is there without waiting. But while its reader processes bytes
        # that it has read, waiting is short; and when it wants more bytes, the guarded stream ends the waiting.
        websocket, guarded, batch = self._open_websocket(), self._guarded, self._batch
        assert guarded is not None  # it is as old as the WebSocket
        guarded.attend()
        try:
            if batch:  # a receive that was cancelled has left it
                await trio.lowlevel.checkpoint()
            else:
                batch.append(await websocket.get_message())
            if guarded.has_bytes:
                with trio.move_on_after(_LINGER) as guarded.until_empty:  # noqa: ASYNC912 (there is room for one more)
                    while len(batch) < self._limits.queue_frames:
                        batch.append(await websocket.get_message())
        except library.ConnectionClosed as exc:
            if not batch:
                raise self._lost(exc.reason) from None
        finally:
            guarded.is_attended = False
        self._batch = []
        guarded.taken(batch)
        return batch

    async def send(self, text: str) -> None:
        try:
            await self._open_websocket().send_message(text)
        except library.ConnectionClosed as exc:
            raise self._lost(exc.reason) from None

    async def ping(self) -> None:
        self._pings_sent += 1
        try:
            await self._open_websocket().ping(b"%d" % self._pings_sent)
        except library.ConnectionClosed as exc:
            raise self._lost(exc.reason) from None

    def _open_websocket(self) -> library.WebSocketConnection:
        if self._over is not None:
            raise ConnectionLost(self._over)
        assert self._websocket is not None  # nobody has this object before open() has returned
        return self._websocket

    def _on_torn_write(self) -> None:
        self._over = "a send was cancelled half-way, so nothing more can be sent"
        self._reader.cancel()  # wakes a receive() that waits

    def _lost(self, reason: library.CloseReason | None) -> ConnectionLost:
        """The error to raise, with a ``code`` only if the peer sent it; the library's own verdicts look the same."""
        assert self._guarded is not None
        if self._over is not None:
            return ConnectionLost(self._over)
        if reason is None or reason.code == 1006:
            return ConnectionLost(self._guarded.ended or "the connection ended")
        text = reason.reason or ""
        # A CLOSE of the peer is answered, but a send() at that very moment is told before the answer is written.
        if not (self._guarded.close_sent or self._guarded.close_code == reason.code):  # mutant: close before its answer
            return ConnectionLost(f"the peer violated the WebSocket protocol{text and f': {printable(text)}'}")
        if reason.code == 1009 and text.startswith("Exceeded maximum message size"):
            return ConnectionLost(f"the peer sent a message of more than {self._limits.max_frame_bytes} bytes")
        return close_received(CloseReason, int(reason.code), text)

    # -- closing --------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        # Nested, because a second Ctrl-C breaks through every shield.
        try:
            if self._websocket is not None:
                self._closing.shield = True
                self._closing.deadline = trio.current_time() + self._limits.close_timeout
                with self._closing, suppress(Exception):  # a courtesy: its failure does not matter
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
    """The first error of a chain: wsproto then fails to report it to the peer, and that error hides it."""
    while exc.__context__ is not None:
        exc = exc.__context__
    return exc


def _payload_bytes(message: str | bytes) -> int:
    """The size of a message on the wire, without frame headers."""
    return len(message) if isinstance(message, bytes) or message.isascii() else len(message.encode())


class _PayloadCounter:
    """Counts the payload of messages in a stream of frames that is cut anywhere. Control frames do not count."""

    def __init__(self) -> None:
        self.close_code: int | None = None
        """The code of a CLOSE, if there was one; 1005 if that had none."""
        self._header: bytes | bytearray = b""  # an incomplete one
        self._left = 0  # bytes of the current frame that are still to come
        self._is_data = False  # whether they count

    def count(self, data: bytes | bytearray) -> int:
        """How many of the next bytes of the stream are payload of messages."""
        data = self._header + data
        end, position, is_data = len(data), self._left, self._is_data  # position: of the next header
        counted = position if is_data else 0
        while end - position >= 2:
            first, size = data[position], data[position + 1]
            start = position + (2 if size < 126 else 4 if size == 126 else 10)
            if start > end:
                break
            if size == 126:
                size = data[position + 2] << 8 | data[position + 3]
            elif size > 126:
                size = int.from_bytes(data[position + 2 : start])
            is_data = not first & _IS_CONTROL  # mutant: payload of messages
            if first == _CLOSE_FRAME:
                self.close_code = int.from_bytes(data[start : start + 2]) if size else CloseReason.NO_STATUS_RCVD
            if is_data:
                counted += size
            position = start + size
        self._header, self._left, self._is_data = data[position:], max(0, position - end), is_data
        return counted - self._left if is_data else counted


class _GuardedStream(trio.abc.Stream):
    """The stream as the library sees it."""

    def __init__(self, stream: trio.abc.Stream, address: Address, on_torn_write: Callable[[], None]) -> None:
        self._stream = stream
        self._address = address
        self._on_torn_write = on_torn_write
        self._accepted = False
        self._is_torn = False
        self.has_bytes = False
        """Whether the library is processing what it has read."""
        self.until_empty: trio.CancelScope | None = None
        """To be cancelled when it has finished."""
        self.close_sent = False
        """True once the library has begun to write a CLOSE, be it the first or the answer."""
        self.ended: str | None = None
        """How the stream ended, if it did: the first cause, in either direction."""
        self.is_attended = False
        """Whether somebody receives."""
        self._receive_calls = 0
        self._payload = _PayloadCounter()
        self._bytes_ahead = 0  # of messages: read, and not yet taken by receive()
        self._is_closing = False  # a CLOSE was written: the library discards messages before the answer
        self._resume_reading = trio.Event()

    @property
    def close_code(self) -> int | None:
        """The code of the peer's CLOSE, if it has sent one."""
        return self._payload.close_code

    def attend(self) -> None:
        """Somebody receives."""
        self.is_attended = True
        self._receive_calls += 1
        self._resume_reading.set()

    def taken(self, messages: list[str | bytes]) -> None:
        """These do not wait any more."""
        self._bytes_ahead -= sum(map(_payload_bytes, messages))

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if not self._accepted:
            acceptance, behind_it = await read_acceptance(self._stream, self._address)
            self._accepted = True
            self._bytes_ahead = self._payload.count(behind_it)
            return acceptance + behind_it
        self.has_bytes = False
        if self.until_empty is not None:
            self.until_empty.cancel()
            self.until_empty = None
        if self._bytes_ahead >= READ_AHEAD_BYTES:
            await self._wait_for_receiver()
        try:
            data = await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError as exc:
            self._ended_by(exc)
            raise
        if not data:
            self.ended = self.ended or "the peer ended the stream without a WebSocket close"
        self.has_bytes = True
        self._bytes_ahead += self._payload.count(data)
        return data

    async def _wait_for_receiver(self) -> None:
        """Enough waits: read on when somebody receives and there is no whole message to receive."""
        while self._bytes_ahead >= READ_AHEAD_BYTES and not self._is_closing:
            if self.is_attended:
                calls = self._receive_calls
                await trio.lowlevel.checkpoint()  # a receive() that finds a message has it by then
                if self.is_attended and self._receive_calls == calls:
                    return
            else:
                self._resume_reading = trio.Event()
                await self._resume_reading.wait()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_torn:
            msg = "an earlier write was cancelled half-way"
            raise trio.BrokenResourceError(msg)
        self.close_sent = self.close_sent or data[0] == _CLOSE_FRAME
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError as exc:
            self._ended_by(exc)
            if not self._accepted:  # mutant: request that never left
                # The library would take it for an orderly end, and wait for the answer to a request that never left.
                msg = f"the connection to {self._address} broke during the WebSocket handshake: {describe(exc)}"
                raise ConnectError(msg) from exc
            raise
        except BaseException:
            # Trio does not say how much was written: a frame may be cut anywhere, and another after it is garbage.
            self._is_torn = True
            self._on_torn_write()
            raise
        if self.close_sent:
            self._is_closing = True
            self._resume_reading.set()

    def _ended_by(self, exc: trio.BrokenResourceError) -> None:
        self.ended = self.ended or f"the connection broke: {describe(exc)}"

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


logging.getLogger("trio-websocket").addFilter(SingleLineFilter())
