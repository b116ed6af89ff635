"""The fast transport: the Sans-I/O core of the ``websockets`` library over our own stream.

One read of the stream gives one batch of messages. :mod:`kraken_trio.transport.protocol` parses them.

* The task that calls :meth:`receive` reads the stream itself: passing a batch from one task to another costs 10 to
  30 µs, as much as reading it when messages come one by one. Only when nobody has received for
  :data:`READ_AHEAD_AFTER` seconds, a background task reads ahead, so that PINGs are answered and a CLOSE is seen while
  consumers are slow. It stops, and TCP slows the peer down, when ``limits.queue_frames`` messages or
  :data:`~kraken_trio.transport.connection.READ_AHEAD_BYTES` wait.
* A lock serializes writers, first come, first served. Answers to the peer are written by a task of their own, so a peer
  that does not read does not block reading. At most :data:`~kraken_trio.transport.protocol.MAX_ANSWERS` wait.
* What ends the background tasks becomes the reason of a :class:`ConnectionLost`. They are shielded from the user's
  cancellation, so that the close handshake still has a reader.
* Closing is: a shielded and bounded close handshake, then the stream is closed by force, then the tasks are cancelled.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, suppress
from copy import copy
from typing import TYPE_CHECKING

import trio

from kraken_trio._nursery import open_hidden_nursery
from kraken_trio._text import printable
from kraken_trio.errors import ConnectError
from kraken_trio.transport.connection import READ_AHEAD_BYTES, WebSocketConnection, make_connect
from kraken_trio.transport.formatting import describe
from kraken_trio.transport.protocol import WebSocketProtocol
from kraken_trio.transport.reading import RECEIVE_BYTES
from kraken_trio.transport.seam import Connect, ConnectionLost, Limits, Transport
from kraken_trio.transport.upgrade import read_acceptance

if TYPE_CHECKING:
    import ssl

    from kraken_trio._address import Address
    from kraken_trio.transport.connection import Stages
    from kraken_trio.transport.dial import OpenStream

__all__ = ["WebsocketsConnection", "connect", "connect_over"]

READ_AHEAD_AFTER = 0.1
"""Seconds. A peer waits up to twice as long for its PONG while nobody receives; peers' timeouts are many seconds."""


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
    return make_connect(WebsocketsConnection, open_stream, stages)


class WebsocketsConnection(WebSocketConnection):
    """A connection over the library's core."""

    def __init__(self, address: Address, limits: Limits) -> None:
        super().__init__(address, limits)
        self._protocol = WebSocketProtocol(address, limits.max_frame_bytes)
        self._background = trio.CancelScope(shield=True)
        # Receiving
        self._is_reading = False  # a task is in _read()
        self._is_attended = False  # receive() has been called lately
        self._waiting_for_read = trio.lowlevel.ParkingLot()  # for another task's read
        # Sending
        self._writing = trio.Lock()
        self._waiting_for_answers = trio.lowlevel.ParkingLot()
        self._pong_received = trio.Event()
        self._broken: ConnectionLost | None = None  # a write has failed, or was cancelled half-way
        # The end
        self._over: ConnectionLost | None = None  # why nothing will come after the messages that wait
        self._closing = trio.Event()
        self._peer_ended = trio.Event()  # the peer will send nothing more

    def __repr__(self) -> str:
        return f"<websockets connection to {self._address}{f', over: {self._over}' if self._over else ''}>"

    # -- opening --------------------------------------------------------------------------------------------------

    async def _upgrade(self, nursery: trio.Nursery, stream: trio.abc.Stream) -> None:
        try:
            await stream.send_all(self._protocol.request())
        except trio.BrokenResourceError as exc:
            msg = f"the connection to {self._address} broke during the WebSocket handshake: {describe(exc)}"
            raise ConnectError(msg) from exc
        head, behind_it = await read_acceptance(stream, self._address)
        self._protocol.accept(head)
        nursery.start_soon(self._run)
        self._receive_data(behind_it)

    async def _run(self) -> None:
        """Hold the background tasks, until closing cancels them."""
        with self._background:
            async with open_hidden_nursery() as nursery:
                nursery.start_soon(self._write_answers)
                await self._read_ahead()  # mutant: reading ahead

    # -- receiving ------------------------------------------------------------------------------------------------

    async def receive(self) -> list[str | bytes]:
        self._is_attended = True
        while not self._protocol.messages:
            if self._over is not None:
                raise copy(self._over)
            if self._is_reading:
                await self._waiting_for_read.park()
            else:
                await self._read()
        return self._protocol.take()

    async def _read(self) -> None:
        """Read once. The outcome is in the state."""
        assert self._stream is not None  # it has been upgraded
        self._is_reading = True
        try:
            data = await self._stream.receive_some(RECEIVE_BYTES)
            if data:
                self._receive_data(data)
            else:
                self._end(self._broken or ConnectionLost("the peer ended the stream without a WebSocket close"))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self._end(self._broken or ConnectionLost(f"the connection broke: {describe(exc)}"))
        except Exception as exc:  # noqa: BLE001 (a bug, here or in a library: it must not end the user's block)
            self._end(ConnectionLost(f"the WebSocket reader failed: {printable(repr(exc))}"))
        finally:
            self._is_reading = False
            if self._waiting_for_read:
                self._waiting_for_read.unpark_all()

    def _receive_data(self, data: bytes | bytearray) -> None:
        if self._peer_ended.is_set():
            return
        protocol = self._protocol
        if protocol.receive_data(data):
            if protocol.answers:
                self._waiting_for_answers.unpark_all()
            if protocol.awaited_pong is None:
                self._pong_received.set()
            if protocol.lost is not None:
                self._end(protocol.lost)
        if self._closing.is_set():
            protocol.messages.clear()

    async def _read_ahead(self) -> None:
        """Read while nobody receives; and during the close handshake."""
        while not self._closing.is_set():
            self._is_attended = self._is_reading
            with trio.move_on_after(READ_AHEAD_AFTER):
                await self._closing.wait()
            if self._is_reading:  # a quiet connection is looked at when that read ends, not ten times a second
                await self._waiting_for_read.park()
            while not (self._is_attended or self._is_reading or self._is_far_ahead() or self._peer_ended.is_set()):
                await self._read()
        while not self._peer_ended.is_set():
            if self._is_reading:
                await self._waiting_for_read.park()
            else:
                await self._read()

    def _is_far_ahead(self) -> bool:
        waiting = self._protocol.messages
        return len(waiting) >= self._limits.queue_frames or sum(map(len, waiting)) >= READ_AHEAD_BYTES

    def _end(self, lost: ConnectionLost) -> None:
        """Nothing more will come. The first reason is the one that is reported."""
        self._over = self._over or lost
        self._peer_ended.set()

    # -- sending --------------------------------------------------------------------------------------------------

    async def send(self, text: str) -> None:
        payload = text.encode()
        self._check_writable()
        async with self._writing:
            self._check_writable()
            await self._write(self._protocol.text(payload))

    async def ping(self) -> None:
        async with self._writing:
            self._check_writable()
            self._pong_received = received = trio.Event()
            await self._write(self._protocol.ping())
        await received.wait()

    def _check_writable(self) -> None:
        lost = self._over or self._broken
        if lost is not None:
            raise copy(lost)

    async def _write_answers(self) -> None:
        """Write answers as soon as the writer before them is done."""
        with suppress(Exception):  # whoever reads or sends next is told
            while self._broken is None:
                if self._protocol.answers:
                    await self._flush()
                else:
                    await self._waiting_for_answers.park()

    async def _flush(self) -> None:
        async with self._writing:
            if self._protocol.answers and self._broken is None:
                await self._write([])

    async def _write(self, frames: list[bytes]) -> None:
        """Write the waiting answers, then these frames. The caller holds the lock."""
        assert self._stream is not None  # it has been upgraded
        data = b"".join([*self._protocol.answers, *frames])
        self._protocol.answers.clear()
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self._broken = ConnectionLost(f"the connection broke: {describe(exc)}")
            raise copy(self._broken) from None
        except BaseException:
            # Trio does not say how much was written: a frame may be cut anywhere, and another one after it is garbage.
            self._broken = ConnectionLost("a send was cancelled half-way, so nothing more can be sent")
            self._protocol.messages.clear()
            self._end(self._broken)
            with trio.CancelScope(shield=True), suppress(Exception):
                await trio.aclose_forcefully(self._stream)  # wakes the reading task
            raise

    # -- closing --------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        # Nested, because a second Ctrl-C breaks through every shield.
        try:
            if self._protocol.is_open and self._broken is None:
                with trio.move_on_after(self._limits.close_timeout, shield=True), suppress(Exception):
                    await self._close_handshake()  # a courtesy: its failure does not matter
        finally:
            self._protocol.messages.clear()
            self._end(ConnectionLost("its block has been left"))
            try:
                if self._stream is not None:
                    with trio.CancelScope(shield=True), suppress(Exception):
                        await trio.aclose_forcefully(self._stream)
            finally:
                self._background.cancel()

    async def _close_handshake(self) -> None:
        if self._over is None:
            self._over = ConnectionLost("its block has been left")
            self._protocol.close()
        self._protocol.messages.clear()
        self._closing.set()
        await self._flush()
        await self._peer_ended.wait()
