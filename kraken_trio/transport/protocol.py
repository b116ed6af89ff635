"""The client's half of the WebSocket protocol without I/O: bytes in, messages and answers out.

It is the Sans-I/O core of the ``websockets`` library, with a shortcut. Nearly all frames that an exchange sends are
whole text messages, so those are cut out of the bytes here: their header is two, four or ten bytes, and that takes a
sixteenth of the time of the library's parser. Every other frame is passed to the library's core, which checks and
answers it, and which makes all frames that are sent. A test verifies that this gives the same messages as the core
alone, however the bytes are cut. Where it was built, ``_frames.pyx`` cuts the usual frames in the loop's place.

Frame headers are checked as soon as they are there: the core alone would wait for the payload of a frame that can only
be garbage. Text is checked to be UTF-8 and given as :class:`str` (0.04 µs for 300 bytes), so both transports give the
same; other text ends the connection, as RFC 6455 demands.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.uri import WebSocketURI

from kraken_trio._compiled import compiled
from kraken_trio._text import printable
from kraken_trio.errors import ConnectError
from kraken_trio.transport.formatting import SingleLineFilter, close_received
from kraken_trio.transport.seam import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Callable

    from kraken_trio._address import Address

__all__ = ["MAX_ANSWERS", "WebSocketProtocol"]

MAX_ANSWERS = 16
"""How many answers may wait for a peer that does not read. The oldest PONG is dropped then: the newest suffices
(RFC 6455, section 5.5.3). A CLOSE is always the newest."""

_log = logging.getLogger("kraken_trio.websockets")
_log.addFilter(SingleLineFilter())

_frames: Final = compiled("kraken_trio.transport._frames")
_cut: Callable[[bytes | bytearray, int, int, list[str | bytes]], int] | None = _frames and _frames.cut
"""Cuts messages out faster, as far as they are the usual ones."""

# The first byte of a frame (RFC 6455, section 5.2).
_WHOLE_TEXT = 0x81
_FIN, _RESERVED, _OPCODE, _IS_CONTROL = 0x80, 0x70, 0x0F, 0x08
_DATA = frozenset({Opcode.CONT, Opcode.TEXT, Opcode.BINARY})
_OPCODES = frozenset(Opcode)


class WebSocketProtocol:
    """The state of one connection. The caller writes what is returned as bytes; the ``answers`` go before it."""

    def __init__(self, address: Address, max_frame_bytes: int) -> None:
        self.messages: list[str | bytes] = []
        """Received, and not yet taken."""
        self.answers: deque[bytes] = deque(maxlen=MAX_ANSWERS)
        """Frames that answer the peer, or start the close handshake."""
        self.awaited_pong: bytes | None = None
        """The payload of our last PING, until the PONG for it has come."""
        self.lost: ConnectionLost | None = None
        """Why the peer will send nothing more; None as long as it may."""
        self.is_open: bool = False
        """Whether the handshake has succeeded."""
        self._address = address
        self._max_frame_bytes = max_frame_bytes
        path, _, query = address.target.partition("?")
        uri = WebSocketURI(address.secure, address.host, address.port, path, query)
        # The size is limited here: the core's limit counts a PING between fragments as a part of their message.
        self._core = ClientProtocol(uri, max_size=None, logger=_log)
        self._is_closing = False  # our CLOSE has been made: no frame may follow it
        self._pings_sent = 0
        self._tail = bytearray()  # an incomplete frame
        self._tail_needs = 0  # the length at which parsing it can make progress
        self._fragments: bytearray | None = None  # of a message that comes in several frames
        self._fragments_are_text = False

    # -- handshake ------------------------------------------------------------------------------------------------

    def request(self) -> bytes:
        """The HTTP request for a WebSocket."""
        self._core.send_request(self._core.connect())
        return b"".join(self._core.data_to_send())

    def accept(self, head: bytes) -> None:
        """Take the head of a 101 response. Raises :class:`~kraken_trio.ConnectError` if it violates the handshake."""
        core = self._core
        core.receive_data(head)
        core.events_received()
        if core.handshake_exc is not None:
            error = core.handshake_exc.__cause__ or core.handshake_exc
            msg = f"{self._address} violated the WebSocket handshake: {printable(error)}"
            raise ConnectError(msg) from None  # a traceback would repeat the peer's text unescaped
        self.is_open = True

    # -- receiving ------------------------------------------------------------------------------------------------

    def take(self) -> list[str | bytes]:
        """The received messages, which are the caller's from now on."""
        messages, self.messages = self.messages, []
        return messages

    def receive_data(self, data: bytes | bytearray) -> bool:
        """Parse what was read. Bytes after the peer's end are ignored.

        Returns whether there may be more than new messages: an answer, a PONG, the end.
        """
        if self.lost is not None:
            return False
        if self._tail:
            self._tail += data
            if len(self._tail) < self._tail_needs:
                return False
            data = bytes(self._tail)
        limit = self._max_frame_bytes
        position, end, needs = 0, len(data), 2
        is_more = False
        try:
            while True:
                if _cut is not None and self._fragments is None:
                    position = _cut(data, position, limit, self.messages)
                if end - position < 2:
                    break
                first, size = data[position], data[position + 1]
                start = position + 2
                if size >= 126:
                    if size > 127:
                        self._fail(CloseCode.PROTOCOL_ERROR, "a frame from a server is masked")
                        return True
                    start += 2 if size == 126 else 8
                    if start > end:
                        needs = start - position
                        break
                    size = int.from_bytes(data[position + 2 : start])
                stop = start + size
                if first == _WHOLE_TEXT and stop <= end and size <= limit and self._fragments is None:
                    self.messages.append(data[start:stop].decode())
                else:
                    if not self._check_header(first, size):
                        return True
                    if stop > end:
                        needs = stop - position
                        break
                    self._receive_frame(data[position:stop])
                    is_more = True
                    if self.lost is not None:
                        return True
                position = stop
        except UnicodeDecodeError:
            self._fail(CloseCode.INVALID_DATA, "a text is not UTF-8")
            return True
        if position < end or self._tail:
            self._tail = bytearray(data[position:])
            self._tail_needs = needs
        return is_more

    def _check_header(self, first: int, size: int) -> bool:
        """Check a frame by its header, and fail the connection if it is invalid."""
        opcode = first & _OPCODE
        is_control = opcode & _IS_CONTROL
        message_bytes = size + len(self._fragments or b"")
        violation = None
        if first & _RESERVED:
            violation = "a reserved bit is set, without an extension"
        elif opcode not in _OPCODES:
            violation = f"unknown opcode {opcode:#x}"
        elif is_control and not first & _FIN:
            violation = "a control frame is fragmented"
        elif is_control and size > 125:
            violation = "a control frame has more than 125 bytes"
        elif size >> 63:
            violation = "a length has more than 63 bits"
        if violation is not None:
            self._fail(CloseCode.PROTOCOL_ERROR, violation)
        elif not is_control and message_bytes > self._max_frame_bytes:  # mutant: length of a message
            too_long = f"a message of more than {self._max_frame_bytes} bytes"
            self._fail(CloseCode.MESSAGE_TOO_BIG, too_long, ConnectionLost(f"the peer sent {too_long}"))
        return self.lost is None

    def _receive_frame(self, frame: bytes | bytearray) -> None:
        """Let the core check and answer a frame, and join fragments."""
        core = self._core
        core.receive_data(frame)
        is_closed = core.state is not State.OPEN and not self._is_closing
        for event in core.events_received():
            assert isinstance(event, Frame)  # the response has been taken by accept()
            if event.opcode is Opcode.CLOSE:
                is_closed = True
            elif event.opcode is Opcode.PONG:
                if event.data == self.awaited_pong:
                    self.awaited_pong = None
            elif event.opcode in _DATA:
                if event.opcode is not Opcode.CONT:
                    self._fragments = bytearray()
                    self._fragments_are_text = event.opcode is Opcode.TEXT
                assert self._fragments is not None  # the core has checked the order
                self._fragments += event.data
                if event.fin:
                    joined, self._fragments = self._fragments, None
                    self.messages.append(joined.decode() if self._fragments_are_text else bytes(joined))
        self._answer()
        if is_closed:
            core.receive_eof()  # whatever follows does not count
            closed = core.close_exc
            if closed.__cause__ is not None:
                self.lost = _protocol_violation(closed.__cause__)
            else:
                assert closed.rcvd is not None  # the only other way to be closed
                self.lost = close_received(CloseCode, closed.rcvd.code, closed.rcvd.reason)

    def _fail(self, code: CloseCode, why: str, lost: ConnectionLost | None = None) -> None:
        """Fail the connection (RFC 6455, section 7.1.7): send a CLOSE, and ignore whatever comes."""
        self._core.fail(code, why)
        self._answer()
        self._core.receive_eof()
        self.lost = lost or _protocol_violation(why)

    def _answer(self) -> None:
        answers = self._core.data_to_send()
        if not self._is_closing:
            self.answers.extend(answers)

    # -- sending --------------------------------------------------------------------------------------------------

    def text(self, payload: bytes) -> list[bytes]:
        """The frames of a text message."""
        self._core.send_text(payload)
        return self._core.data_to_send()

    def ping(self) -> list[bytes]:
        """The frames of a PING, each with another payload: ``awaited_pong`` is None again when its PONG has come."""
        self._pings_sent += 1
        self.awaited_pong = b"%d" % self._pings_sent
        self._core.send_ping(self.awaited_pong)
        return self._core.data_to_send()

    def close(self) -> None:
        """Start the close handshake. The CLOSE is the last of the ``answers``."""
        self._core.send_close(CloseCode.NORMAL_CLOSURE)
        self._answer()
        self._is_closing = True


def _protocol_violation(why: object) -> ConnectionLost:
    return ConnectionLost(f"the peer violated the WebSocket protocol: {printable(why)}")
