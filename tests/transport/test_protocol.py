"""The protocol of the fast transport: any cut of the bytes gives the same messages, and anything else ends it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import SERVER, Protocol, State
from websockets.server import ServerProtocol
from websockets.uri import WebSocketURI

from kraken_trio._address import parse_address
from kraken_trio.transport.protocol import MAX_ANSWERS, WebSocketProtocol
from tests.transport.frames import BINARY, CLOSE, PING, TEXT, cut, frame, places, streams

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def opened(max_frame_bytes: int = 10_000) -> WebSocketProtocol:
    """A connection whose handshake is done."""
    protocol = WebSocketProtocol(parse_address("ws://exchange.test"), max_frame_bytes)
    server = ServerProtocol()
    server.receive_data(protocol.request())
    (request,) = server.events_received()
    assert isinstance(request, Request)
    server.send_response(server.accept(request))
    protocol.accept(b"".join(server.data_to_send()))
    return protocol


def opened_core() -> ClientProtocol:
    return ClientProtocol(WebSocketURI(False, "exchange.test", 80, "/", ""), state=State.OPEN, max_size=None)


Seen = tuple[list["str | bytes"], list[bytes], str | None]


def seen_by_us(pieces: Iterable[bytes], max_frame_bytes: int = 10_000) -> Seen:
    """The messages, what was answered, and why it is over."""
    protocol = opened(max_frame_bytes)
    answered: list[bytes] = []
    for piece in pieces:
        protocol.receive_data(piece)
        answered += protocol.answers
        protocol.answers.clear()
    return protocol.messages, pongs(answered), protocol.lost.reason if protocol.lost else None


def pongs(frames: Iterable[bytes]) -> list[bytes]:
    """The last ones: how many there are before them depends on how the bytes were cut."""
    server = Protocol(SERVER)
    server.receive_data(b"".join(frames))
    events = [event for event in server.events_received() if isinstance(event, Frame)]
    return [bytes(event.data) for event in events if event.opcode is Opcode.PONG][-MAX_ANSWERS:]


def seen_by_the_core(data: bytes) -> Seen:
    core = opened_core()
    core.receive_data(data)
    messages: list[str | bytes] = []
    whole, is_text = b"", False
    for event in core.events_received():
        assert isinstance(event, Frame)
        if event.opcode in (Opcode.TEXT, Opcode.BINARY):
            whole, is_text = b"", event.opcode is Opcode.TEXT
        if event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            whole += event.data
            if event.fin:
                messages.append(whole.decode() if is_text else whole)
    return messages, pongs(core.data_to_send()), None


@given(streams, places)
def test_any_way_to_cut_the_bytes_gives_what_the_core_gives(data: bytes, where: Sequence[int]) -> None:
    assert seen_by_us(cut(data, where), 1 << 20) == seen_by_the_core(data)


def test_cuts_at_every_byte() -> None:
    data = (
        frame(TEXT, "first ✓".encode())
        + frame(TEXT, b"x" * 126)
        + frame(TEXT, "zwei€"[:5].encode()[:-1], fin=False)
        + frame(PING, b"between")
        + frame(0, "zwei€"[:5].encode()[-1:], fin=False)
        + frame(0, b"")
        + frame(BINARY, b"\x00" * 65_536)
        + frame(TEXT, b"")
        + frame(PING, b"")
        + frame(TEXT, b"last")
    )
    expected = seen_by_the_core(data)
    assert expected[0][:3] == ["first ✓", "x" * 126, "zwei€"]
    for place in [*range(300), *range(len(data) - 300, len(data))]:
        assert seen_by_us(cut(data, [place]), 1 << 20) == expected
    small = data[:200] + data[-30:]
    assert seen_by_us([data[i : i + 1] for i in range(200)]) == seen_by_us([data[:200]])
    assert seen_by_us([small[i : i + 1] for i in range(len(small))]) == seen_by_us([small])


@given(st.binary(max_size=300), places)
def test_any_bytes_give_messages_or_an_end_however_they_are_cut(data: bytes, where: Sequence[int]) -> None:
    seen = seen_by_us([data], max_frame_bytes=100)
    assert seen_by_us(cut(data, where), max_frame_bytes=100) == seen
    assert seen[2] is None or seen[2].startswith("the peer ")


@given(streams, st.binary(min_size=1, max_size=20), places)
def test_messages_before_garbage_are_given(data: bytes, garbage: bytes, where: Sequence[int]) -> None:
    messages, _, over = seen_by_us(cut(data + garbage, where), 1 << 20)
    before = seen_by_the_core(data)[0]
    assert messages[: len(before)] == before
    assert over is None or over.startswith("the peer ")


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"\x81\x7f" + struct.pack("!Q", 10_001), "a message of more than 10000 bytes"),
        (b"\x02\x7e" + struct.pack("!H", 10_001), "a message of more than 10000 bytes"),
        (b"\x01\x02ab\x80\x7e" + struct.pack("!H", 9_999), "a message of more than 10000 bytes"),
        (b"\x88\x7e", None),
        (b"\x88\x7e\x00\x7e", "a control frame has more than 125 bytes"),
        (b"\x81\x80", "a frame from a server is masked"),
    ],
)
def test_a_wrong_header_is_enough(head: bytes, said: str | None) -> None:
    _, _, over = seen_by_us([head])
    assert over is None if said is None else said in (over or "")


def test_endless_empty_fragments_take_no_memory() -> None:
    protocol = opened()
    protocol.receive_data(frame(TEXT, b"", fin=False))
    for _ in range(100):
        protocol.receive_data(frame(0, b"", fin=False) * 100)
    assert not protocol._fragments
    assert not protocol._tail
    protocol.receive_data(frame(0, b"end"))
    assert protocol.messages == ["end"]


def test_of_many_pings_the_last_are_answered() -> None:
    protocol = opened()
    protocol.receive_data(b"".join(frame(PING, b"%d" % n) for n in range(100)))
    assert pongs(protocol.answers) == [b"%d" % n for n in range(100 - MAX_ANSWERS, 100)]
    protocol.receive_data(frame(CLOSE, struct.pack("!H", 1000)))
    server = Protocol(SERVER)
    server.receive_data(b"".join(protocol.answers))
    last = server.events_received()[-1]
    assert isinstance(last, Frame)
    assert last.opcode is Opcode.CLOSE, "which is never dropped"
