"""The transport over trio-websocket, by its public API only.

trio-websocket runs a reader task that we do not control: it may die, or wait for a peer for ever. So

* the stream is opened here and owned here; leaving always closes it, whatever the library thinks of its state;
* the library sees the stream through :class:`_Guard`, which judges the peer's answer to the upgrade, remembers how the
  stream ended, and lets nothing be written after a write that was cancelled half-way;
* the reader runs in a task of its own. What kills it becomes the reason of a :class:`ConnectionLost`, and never
  cancels the body of the block. It is shielded from the user's cancellation, so that the goodbye still has a reader;
* leaving is: a shielded and bounded goodbye, then the stream is closed by force, then the reader is cancelled.
"""

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, cast

import trio
from trio_websocket import CloseReason, ConnectionClosed, WebSocketConnection, wrap_client_stream

from kraken_trio._nursery import open_hidden_nursery
from kraken_trio.errors import ConnectError, printable
from kraken_trio.transport import Connect, ConnectionLost, Limits, Transport
from kraken_trio.transport.address import Address, parse_address
from kraken_trio.transport.dial import OpenStream, check_tls, reach, secure
from kraken_trio.transport.upgrade import read_acceptance

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

__all__ = ["connect", "connecting_with"]

RECEIVE_BYTES = 64 * 1024
"""The most that is read from the stream at once."""

_CLOSE_FRAME = 0x88  # the first byte of a WebSocket CLOSE (RFC 6455, section 5.2: FIN, opcode 8)


def connect(url: str, *, ssl_context: ssl.SSLContext | None, limits: Limits) -> AbstractAsyncContextManager[Transport]:
    """Connect to a ``ws://`` or ``wss://`` URL: see :class:`~kraken_trio.transport.Connect`.

    ``ssl_context`` is for ``wss`` and must verify certificate and host name, or be None for Python's default
    (else :class:`ValueError`).
    """
    return _connect(url, ssl_context=ssl_context, limits=limits, open_stream=trio.open_tcp_stream)


def connecting_with(open_stream: OpenStream) -> Connect:
    """A :func:`connect` over another network than this machine's: ``open_stream(host, port)`` gives the stream."""

    def connect(
        url: str, *, ssl_context: ssl.SSLContext | None, limits: Limits
    ) -> AbstractAsyncContextManager[Transport]:
        return _connect(url, ssl_context=ssl_context, limits=limits, open_stream=open_stream)

    return connect


@asynccontextmanager
async def _connect(
    url: str, *, ssl_context: ssl.SSLContext | None, limits: Limits, open_stream: OpenStream
) -> AsyncIterator[Transport]:
    address = parse_address(url)
    context = check_tls(address, ssl_context)
    async with open_hidden_nursery() as nursery:
        line = _Line(address, limits)
        try:
            await line.open(nursery, context, open_stream)
            yield line
        finally:
            await line.leave()


class _Line:
    """One connection, from dialling to hanging up. It is a :class:`~kraken_trio.transport.Transport`."""

    def __init__(self, address: Address, limits: Limits) -> None:
        self._address = address
        self._limits = limits
        self._phase = ""
        self._stream: trio.abc.Stream | None = None  # the outermost layer that is open
        self._guard: _Guard | None = None
        self._websocket: WebSocketConnection | None = None
        self._reader = trio.CancelScope()
        self._goodbye = trio.CancelScope()
        self._over: str | None = None  # why nothing more may be done, if it is not the WebSocket itself that says so

    def __repr__(self) -> str:
        return f"<trio-websocket connection to {self._address}{f', over: {self._over}' if self._over else ''}>"

    # -- opening --------------------------------------------------------------------------------------------------

    async def open(self, nursery: trio.Nursery, context: ssl.SSLContext | None, open_stream: OpenStream) -> None:
        """Dial, within ``connect_timeout``. What was opened when this raises is closed by :meth:`leave`."""
        address, limits = self._address, self._limits
        with trio.move_on_after(limits.connect_timeout) as scope:
            self._phase = "looking up the name, or connecting by TCP"
            self._stream = await reach(address, open_stream)
            if context is not None:
                self._phase = "in TLS's handshake"
                self._stream = await secure(self._stream, address, context)
            self._phase = "waiting for the answer to the WebSocket request"
            await nursery.start(self._read, self._stream)
        if scope.cancelled_caught:
            msg = (
                f"no connection to {address} within {limits.connect_timeout:g} s (while {self._phase}); "
                "check the address, the network, and any firewall or proxy on the way"
            )
            raise ConnectError(msg)

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
                    # From here on the connection ends by leave() only, which needs the reader until the last moment.
                    self._reader.shield = True
                    task_status.started()
        except ConnectError:
            raise
        except Exception as exc:
            # Not ours: h11's, wsproto's, or a bug there. All mean that the peer's bytes made no sense at this point.
            why = printable(_root(exc))
            if self._websocket is None:
                msg = f"{self._address} broke the rules of the WebSocket upgrade: {why}"
                raise ConnectError(msg) from exc
            self._over = f"the WebSocket reader failed: {why}"
        finally:
            self._goodbye.cancel()  # nobody is left who could read the peer's goodbye

    # -- using ----------------------------------------------------------------------------------------------------

    async def receive(self) -> list[str | bytes]:
        # One message at a time: trio-websocket has no public way to take what is there without waiting.
        try:
            return [await self._open_websocket().get_message()]
        except ConnectionClosed as exc:
            raise self._lost(exc.reason) from None

    async def send(self, text: str) -> None:
        try:
            await self._open_websocket().send_message(text)
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
        if reason.code == 1005:
            return ConnectionLost("the peer closed the connection, without a code")
        code = int(reason.code)
        return ConnectionLost(f"the peer closed the connection: {code} {reason.name}{said}", code=code)

    # -- leaving --------------------------------------------------------------------------------------------------

    async def leave(self) -> None:
        """Close within ``close_timeout``, whatever happened before, even when cancelled. Raises nothing of its own."""
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


class _Guard(trio.abc.Stream):
    """The stream as the library sees it."""

    def __init__(self, stream: trio.abc.Stream, address: Address, on_torn: Callable[[], None]) -> None:
        self._stream = stream
        self._address = address
        self._on_torn = on_torn
        self._accepted = False
        self._is_torn = False
        self.close_sent = False
        """True once the library has begun to write a CLOSE, be it the first or the answer."""
        self.ended: str | None = None
        """How the stream ended, if it did: what was seen first, in either direction."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if not self._accepted:
            answer = await read_acceptance(self._stream, self._address)
            self._accepted = True
            return answer
        try:
            data = await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError as exc:
            self._ended_by(exc)
            raise
        if not data:
            self.ended = self.ended or "the peer ended the stream without a WebSocket close"
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_torn:
            msg = "an earlier write was cancelled half-way"
            raise trio.BrokenResourceError(msg)
        self.close_sent = self.close_sent or data[0] == _CLOSE_FRAME
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError as exc:
            self._ended_by(exc)
            raise
        except BaseException:
            # Trio does not say how much was written: a frame may be cut anywhere, and another after it is garbage.
            self._is_torn = True
            self._on_torn()
            raise

    def _ended_by(self, exc: trio.BrokenResourceError) -> None:
        self.ended = self.ended or f"the connection broke: {printable(exc)}"

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


class _OneLine(logging.Filter):
    """trio-websocket logs peers' texts as they are (at level DEBUG): make each record one printable line."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = printable(record.getMessage(), 500), ()
        return True


logging.getLogger("trio-websocket").addFilter(_OneLine())
