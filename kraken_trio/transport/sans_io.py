"""The fast transport: the Sans-I/O core of the ``websockets`` library over our own stream.

One read of the stream gives one batch of messages. Nearly all frames that an exchange sends are whole text messages,
so those are cut out of the bytes here: their header is two, four or ten bytes, and that takes a sixteenth of the time
of the library's parser. Every other frame goes through the library's core, which judges and answers it; so does what
we send. That this gives the same messages as the core alone, however the bytes are cut, is tested.

Headers are judged as soon as they are there: the core alone would wait for the payload of a frame that can only be
garbage. Text is checked to be UTF-8 and given as :class:`str` (0.04 µs for 300 bytes), so both transports give
the same; other text ends the connection, as RFC 6455 demands.

* Whoever calls :meth:`receive` reads the stream, without a task between: handing a batch over from one task to
  another costs 10 to 30 µs, as much as reading it when messages come one by one. Only when nobody has received for
  :data:`STAND_IN_AFTER` seconds, a *stand-in* task reads ahead, so that a PING is answered and a CLOSE is seen while
  consumers hold up reading. It stops, and TCP slows the peer, when ``limits.queue_frames`` messages or
  :data:`~kraken_trio.transport.line.READ_AHEAD_BYTES` wait.
* A lock lets one writer at a time, first come, first served. Answers to the peer are written by a task of
  their own, so a peer that does not read does not hold up reading. At most :data:`MAX_ANSWERS` wait.
* What the background tasks die of becomes the reason of a :class:`ConnectionLost`. They are shielded from the
  user's cancellation, so that the goodbye still has a reader.
* Leaving is: a shielded and bounded goodbye, then the stream is closed by force, then the tasks are cancelled.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import AbstractAsyncContextManager, suppress
from copy import copy
from typing import TYPE_CHECKING

import trio
from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.uri import WebSocketURI

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

    from kraken_trio._address import Address
    from kraken_trio.transport.dial import OpenStream

__all__ = ["connect", "connecting_with"]

STAND_IN_AFTER = 0.1
"""Seconds. A peer waits up to twice as long for its PONG while nobody receives; peers' patience is many seconds."""
MAX_ANSWERS = 16
"""How many answers may wait for a peer that does not read. The oldest PONG is dropped then: the newest says
all (RFC 6455, section 5.5.3). A CLOSE is always the newest."""

_log = logging.getLogger("kraken_trio.websockets")
_log.addFilter(OneLine())

# The first byte of a frame (RFC 6455, section 5.2).
_WHOLE_TEXT = 0x81
_LAST, _RESERVED, _OPCODE, _IS_CONTROL = 0x80, 0x70, 0x0F, 0x08
_DATA = frozenset({Opcode.CONT, Opcode.TEXT, Opcode.BINARY})
_OPCODES = frozenset(Opcode)


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
    """A connection over the core."""

    def __init__(self, address: Address, limits: Limits) -> None:
        super().__init__(address, limits)
        path, _, query = address.target.partition("?")
        uri = WebSocketURI(address.secure, address.host, address.port, path, query)
        # The size is limited here: the core's limit counts a PING between fragments as a part of their message.
        self._core = ClientProtocol(uri, max_size=None, logger=_log)
        self._background = trio.CancelScope(shield=True)
        # Receiving
        self._messages: list[str | bytes] = []  # these wait for receive()
        self._bytes_read = 0  # for them
        self._is_reading = False  # somebody is
        self._is_attended = False  # receive() has been called lately
        self._receivers = trio.lowlevel.ParkingLot()  # that wait for somebody else's read
        self._tail = bytearray()  # the beginning of a frame
        self._tail_needs = 0  # how long it must be before it is worth a look
        self._fragments: bytearray | None = None  # of a message that comes in parts
        self._fragments_are_text = False
        # Sending
        self._writing = trio.Lock()
        self._answers: deque[bytes] = deque(maxlen=MAX_ANSWERS)
        self._answerer = trio.lowlevel.ParkingLot()
        self._pings = 0  # that were sent
        self._ponged: tuple[bytes, trio.Event] | None = None  # what the awaited PONG says, and that it came
        self._broken: ConnectionLost | None = None  # a write has failed, or was cancelled half-way
        # The end
        self._over: ConnectionLost | None = None  # why nothing will come after the messages that wait
        self._leaving = trio.Event()
        self._ended = trio.Event()  # the peer has nothing more to say

    def __repr__(self) -> str:
        return f"<websockets connection to {self._address}{f', over: {self._over}' if self._over else ''}>"

    # -- opening --------------------------------------------------------------------------------------------------

    async def _upgrade(self, nursery: trio.Nursery, stream: trio.abc.Stream) -> None:
        core, address = self._core, self._address
        core.send_request(core.connect())
        try:
            await stream.send_all(b"".join(core.data_to_send()))
        except trio.BrokenResourceError as exc:
            msg = f"the connection to {address} broke in the WebSocket upgrade: {printable(exc)}"
            raise ConnectError(msg) from exc
        answer, behind_it = await read_acceptance(stream, address)
        core.receive_data(answer)
        core.events_received()
        if core.handshake_exc is not None:
            error = core.handshake_exc.__cause__ or core.handshake_exc
            msg = f"{address} broke the rules of the WebSocket upgrade: {printable(error)}"
            raise ConnectError(msg) from None  # a traceback would repeat the peer's words as they are
        nursery.start_soon(self._run)
        self._take(behind_it)

    async def _run(self) -> None:
        """Hold the background tasks, until leaving cancels them."""
        with self._background:
            async with open_hidden_nursery() as nursery:
                nursery.start_soon(self._write_answers)
                await self._stand_in()

    # -- receiving ------------------------------------------------------------------------------------------------

    async def receive(self) -> list[str | bytes]:
        self._is_attended = True
        while not self._messages:
            if self._over is not None:
                raise copy(self._over)
            if self._is_reading:
                await self._receivers.park()
            else:
                await self._read()
        messages, self._messages = self._messages, []
        self._bytes_read = 0
        return messages

    async def _read(self) -> None:
        """Read once. What came of it is in the state."""
        assert self._stream is not None  # it has been upgraded
        self._is_reading = True
        try:
            data = await self._stream.receive_some(RECEIVE_BYTES)
            if data:
                self._bytes_read += len(data)
                self._take(data)
                if self._leaving.is_set():
                    self._messages.clear()
            else:
                self._end(self._broken or ConnectionLost("the peer ended the stream without a WebSocket close"))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self._end(self._broken or ConnectionLost(f"the connection broke: {printable(exc)}"))
        except Exception as exc:  # noqa: BLE001 (a bug, here or in a library: it must not end the user's block)
            self._end(ConnectionLost(f"the WebSocket reader failed: {printable(repr(exc))}"))
        finally:
            self._is_reading = False
            self._receivers.unpark_all()

    async def _stand_in(self) -> None:
        """Read ahead while nobody receives; and for the goodbye."""
        while not self._leaving.is_set():
            self._is_attended = self._is_reading
            with trio.move_on_after(STAND_IN_AFTER):
                await self._leaving.wait()
            if self._is_reading:  # a quiet connection is looked at when that read ends, not ten times a second
                await self._receivers.park()
            while not (self._is_attended or self._is_reading or self._is_far_ahead() or self._ended.is_set()):
                await self._read()
        while not self._ended.is_set():
            if self._is_reading:
                await self._receivers.park()
            else:
                await self._read()

    def _is_far_ahead(self) -> bool:
        waiting = len(self._messages)
        return waiting >= self._limits.queue_frames or (waiting > 0 and self._bytes_read >= READ_AHEAD_BYTES)

    def _take(self, data: bytes | bytearray) -> None:
        """Take the messages out of what was read, and hand all other frames to the core."""
        if self._ended.is_set():
            return
        if self._tail:
            self._tail += data
            if len(self._tail) < self._tail_needs:
                return
            data = bytes(self._tail)
        limit = self._limits.max_frame_bytes
        position, end, needs = 0, len(data), 2
        try:
            while end - position >= 2:
                first, size = data[position], data[position + 1]
                start = position + 2
                if size >= 126:
                    if size > 127:
                        self._refuse(CloseCode.PROTOCOL_ERROR, "a frame from a server is masked")
                        return
                    start += 2 if size == 126 else 8
                    if start > end:
                        needs = start - position
                        break
                    size = int.from_bytes(data[position + 2 : start])
                stop = start + size
                if first == _WHOLE_TEXT and stop <= end and size <= limit and self._fragments is None:
                    self._messages.append(data[start:stop].decode())
                else:
                    if not self._is_acceptable(first, size):
                        return
                    if stop > end:
                        needs = stop - position
                        break
                    self._hand_on(data[position:stop])
                    if self._ended.is_set():
                        return
                position = stop
        except UnicodeDecodeError:
            self._refuse(CloseCode.INVALID_DATA, "a text is not UTF-8")
            return
        self._tail = bytearray(data[position:])
        self._tail_needs = needs

    def _is_acceptable(self, first: int, size: int) -> bool:
        """Judge a frame by its header; refuse it if it is wrong."""
        opcode = first & _OPCODE
        is_control = opcode & _IS_CONTROL
        wrong = None
        if first & _RESERVED:
            wrong = "a reserved bit is set, without an extension"
        elif opcode not in _OPCODES:
            wrong = f"unknown opcode {opcode:#x}"
        elif is_control and not first & _LAST:
            wrong = "a control frame is fragmented"
        elif is_control and size > 125:
            wrong = "a control frame has more than 125 bytes"
        elif size >> 63:
            wrong = "a length has more than 63 bits"
        if wrong is not None:
            self._refuse(CloseCode.PROTOCOL_ERROR, wrong)
        elif not is_control and size + len(self._fragments or b"") > self._limits.max_frame_bytes:
            said = f"a message of more than {self._limits.max_frame_bytes} bytes"
            self._refuse(CloseCode.MESSAGE_TOO_BIG, said, ConnectionLost(f"the peer sent {said}"))
        return not self._ended.is_set()

    def _hand_on(self, frame: bytes | bytearray) -> None:
        """Let the core judge and answer a frame, and join fragments."""
        core = self._core
        core.receive_data(frame)
        is_closed = core.state is not State.OPEN and not self._leaving.is_set()
        for event in core.events_received():
            assert isinstance(event, Frame)  # the response has been
            if event.opcode is Opcode.CLOSE:
                is_closed = True
            elif event.opcode is Opcode.PONG:
                if self._ponged is not None and self._ponged[0] == event.data:
                    self._ponged[1].set()
            elif event.opcode in _DATA:
                if event.opcode is not Opcode.CONT:
                    self._fragments = bytearray()
                    self._fragments_are_text = event.opcode is Opcode.TEXT
                assert self._fragments is not None  # the core has seen to the order
                self._fragments += event.data
                if event.fin:
                    joined, self._fragments = self._fragments, None
                    self._messages.append(joined.decode() if self._fragments_are_text else bytes(joined))
        self._answer()
        if is_closed:
            core.receive_eof()  # whatever follows does not count
            closed = core.close_exc
            if closed.__cause__ is not None:
                self._end(_broke_the_protocol(closed.__cause__))
            else:
                assert closed.rcvd is not None  # what else could it be
                self._end(closed_by_peer(closed.rcvd.code, closed.rcvd.reason))

    def _refuse(self, code: CloseCode, why: str, lost: ConnectionLost | None = None) -> None:
        """The peer did what it must not do: say so, and listen no more."""
        self._core.fail(code, why)
        self._answer()
        self._core.receive_eof()
        self._end(lost or _broke_the_protocol(why))

    def _end(self, lost: ConnectionLost) -> None:
        """Nothing more will come. What is told is what was seen first."""
        self._over = self._over or lost
        self._ended.set()

    # -- sending --------------------------------------------------------------------------------------------------

    async def send(self, text: str) -> None:
        payload = text.encode()
        if self._over is None and self._broken is None:
            async with self._writing:
                if self._over is None and self._broken is None:
                    self._core.send_text(payload)
                    await self._write(self._core.data_to_send())
                    return
        raise self._why_not()

    async def ping(self) -> None:
        self._pings += 1
        payload, ponged = b"%d" % self._pings, trio.Event()
        self._ponged = (payload, ponged)
        async with self._writing:
            if self._over is not None or self._broken is not None:
                raise self._why_not()
            self._core.send_ping(payload)
            await self._write(self._core.data_to_send())
        await ponged.wait()

    def _why_not(self) -> ConnectionLost:
        """Why nothing can be sent."""
        lost = self._over or self._broken
        assert lost is not None  # somebody has looked
        return copy(lost)

    def _answer(self) -> None:
        """Let the core's answers be written as soon as the writer before them is done."""
        answers = self._core.data_to_send()
        if not self._leaving.is_set():  # our CLOSE was the last
            self._answers.extend(answers)
            self._answerer.unpark_all()

    async def _write_answers(self) -> None:
        with suppress(Exception):  # who reads or sends next will be told
            while self._broken is None:
                if self._answers:
                    await self._flush()
                else:
                    await self._answerer.park()

    async def _flush(self) -> None:
        async with self._writing:
            if self._answers and self._broken is None:
                await self._write([])

    async def _write(self, frames: list[bytes]) -> None:
        """Write the answers that wait, then these frames. The caller holds the lock."""
        assert self._stream is not None  # it has been upgraded
        data = b"".join([*self._answers, *frames])
        self._answers.clear()
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self._broken = ConnectionLost(f"the connection broke: {printable(exc)}")
            raise copy(self._broken) from None
        except BaseException:
            # Trio does not say how much was written: a frame may be cut anywhere, and another one after it is garbage.
            torn = "a send was cancelled while it was being written, so nothing more can be sent"
            self._broken = ConnectionLost(torn)
            self._messages.clear()
            self._end(self._broken)
            with trio.CancelScope(shield=True), suppress(Exception):
                await trio.aclose_forcefully(self._stream)  # wakes who reads
            raise

    # -- leaving --------------------------------------------------------------------------------------------------

    async def leave(self) -> None:
        # Nested, because a second Ctrl-C breaks through every shield.
        try:
            if self._core.state is not State.CONNECTING and self._broken is None:
                with trio.move_on_after(self._limits.close_timeout, shield=True), suppress(Exception):
                    await self._say_goodbye()  # politeness: how it fails does not matter
        finally:
            self._messages.clear()
            self._end(ConnectionLost("its block has been left"))
            try:
                if self._stream is not None:
                    with trio.CancelScope(shield=True), suppress(Exception):
                        await trio.aclose_forcefully(self._stream)
            finally:
                self._background.cancel()

    async def _say_goodbye(self) -> None:
        if self._over is None:
            self._over = ConnectionLost("its block has been left")
            self._core.send_close(CloseCode.NORMAL_CLOSURE)
            self._answers.extend(self._core.data_to_send())
        self._messages.clear()
        self._leaving.set()
        await self._flush()
        await self._ended.wait()


def _broke_the_protocol(why: object) -> ConnectionLost:
    return ConnectionLost(f"the peer broke the WebSocket protocol: {printable(why)}")
