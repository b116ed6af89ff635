"""The fast transport's own promises: batches, any cut of the bytes, and a connection that lives while nobody receives.

What it has in common with the other one is in test_connecting.py and test_misbehaving_peers.py.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given, strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import SERVER, Protocol, State
from websockets.uri import WebSocketURI

from kraken_trio._address import parse_address
from kraken_trio.errors import ConnectError
from kraken_trio.transport import ConnectionLost, Limits, sans_io
from kraken_trio.transport.line import RECEIVE_BYTES
from kraken_trio.transport.sans_io import MAX_ANSWERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kraken_trio.transport import Transport
    from tests.transport.conftest import Network, Peer

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


@pytest.fixture
def transport_name() -> str:
    return "websockets"


# -- frames out of bytes ----------------------------------------------------------------------------------------------


def unconnected(max_frame_bytes: int = 10_000) -> sans_io._Line:
    line = sans_io._Line(parse_address("ws://exchange.test"), Limits(max_frame_bytes=max_frame_bytes))
    line._core = opened_core()
    return line


def opened_core() -> ClientProtocol:
    return ClientProtocol(WebSocketURI(False, "exchange.test", 80, "/", ""), state=State.OPEN, max_size=None)


Seen = tuple[list["str | bytes"], list[bytes], str | None]


def seen_by_us(pieces: Iterable[bytes], max_frame_bytes: int = 10_000) -> Seen:
    """The messages, what was answered, and why it is over."""
    line = unconnected(max_frame_bytes)
    answered: list[bytes] = []
    for piece in pieces:
        line._take(piece)
        answered += line._answers
        line._answers.clear()
    return line._messages, pongs(answered), line._over.reason if line._over else None


def pongs(frames: Iterable[bytes]) -> list[bytes]:
    server = Protocol(SERVER)
    server.receive_data(b"".join(frames))
    events = [event for event in server.events_received() if isinstance(event, Frame)]
    return [bytes(event.data) for event in events if event.opcode is Opcode.PONG]


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


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    return Frame(Opcode(opcode), payload, fin).serialize(mask=False)


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    ends = [*sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


controls = st.builds(frame, st.sampled_from([PING, PONG]), st.binary(max_size=125))
payloads = st.one_of(st.binary(max_size=20), st.integers(0, 400).map(bytes), st.integers(65_530, 65_540).map(bytes))


@st.composite
def messages_as_frames(draw: st.DrawFn) -> bytes:
    """One message, whole or in fragments, perhaps with control frames between them; cut inside of characters, too."""
    is_text = draw(st.booleans())
    payload = draw(st.text(max_size=200)).encode() if is_text else draw(payloads)
    parts = cut(payload, draw(st.lists(st.integers(0, 70_000), max_size=4)))
    if len(parts) > 1 and draw(st.booleans()):
        parts.append(b"")
    out = b""
    for number, part in enumerate(parts):
        opcode = 0 if number else TEXT if is_text else BINARY
        out += frame(opcode, part, fin=number == len(parts) - 1)
        if number < len(parts) - 1:
            out += b"".join(draw(st.lists(controls, max_size=2)))
    return out


streams = st.lists(st.one_of(messages_as_frames(), controls), max_size=8).map(b"".join)
places = st.lists(st.integers(0, 200_000), max_size=12)


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
    line = unconnected()
    line._take(frame(TEXT, b"", fin=False))
    for _ in range(100):
        line._take(frame(0, b"", fin=False) * 100)
    assert not line._fragments
    assert not line._tail
    line._take(frame(0, b"end"))
    assert line._messages == ["end"]


def test_of_many_pings_the_last_are_answered() -> None:
    line = unconnected()
    line._take(b"".join(frame(PING, b"%d" % n) for n in range(100)))
    assert pongs(line._answers) == [b"%d" % n for n in range(100 - MAX_ANSWERS, 100)]
    line._take(frame(CLOSE, struct.pack("!H", 1000)))
    server = Protocol(SERVER)
    server.receive_data(b"".join(line._answers))
    last = server.events_received()[-1]
    assert isinstance(last, Frame)
    assert last.opcode is Opcode.CLOSE, "which is never dropped"


# -- batches ----------------------------------------------------------------------------------------------------------


async def test_what_was_read_at_once_is_one_batch(network: Network) -> None:
    texts = [str(n) for n in range(1000)]

    async def script(peer: Peer) -> None:
        await peer.accept(peer.text("one", "two"))
        assert await peer.next_frame() == (TEXT, b"more")
        await peer.send(peer.text(*texts))
        await peer.gone()

    async def body(transport: Transport) -> None:
        assert await transport.receive() == ["one", "two"]
        await transport.send("more")
        assert await transport.receive() == texts

    await network.visit(script, body)


async def test_a_long_message_among_short_ones(network: Network) -> None:
    limits = attrs.evolve(network.limits, max_frame_bytes=1_000_000)
    long = "x" * 1_000_000

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.send(peer.text("a", long, "b", long, "c"))
        await peer.gone()

    async def body(transport: Transport) -> None:
        assert await network.take(transport, 5) == ["a", long, "b", long, "c"]

    await network.visit(script, body, limits=limits)


# -- while nobody receives --------------------------------------------------------------------------------------------


async def test_a_ping_behind_messages_that_nobody_receives_is_answered(network: Network) -> None:
    count = network.limits.queue_frames - 1

    async def script(peer: Peer) -> None:
        await peer.accept()
        for n in range(count):
            await peer.send(peer.text(str(n)))
            await trio.sleep(0.001)
        await peer.send(peer.frame(PING, b"still there?"))
        assert await peer.next_frame() == (PONG, b"still there?")
        assert await peer.next_frame() == (TEXT, b"we write as well")
        await peer.send(peer.text("last"))
        await peer.gone()

    async def body(transport: Transport) -> None:
        await trio.sleep(0.3)
        await transport.send("we write as well")
        assert await network.take(transport, count + 1) == [*map(str, range(count)), "last"]

    await network.visit(script, body)


async def test_a_close_is_seen_while_nobody_receives(network: Network) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept(peer.text("unread"))
        await peer.send(peer.close(1001))
        assert await peer.next_frame() == (CLOSE, struct.pack("!H", 1001))
        await peer.gone()

    async def body(transport: Transport) -> None:
        await trio.sleep(0.3)
        with pytest.raises(ConnectionLost, match="1001 GOING_AWAY"):
            await transport.send("x")
        assert await transport.receive() == ["unread"]
        with pytest.raises(ConnectionLost, match="1001 GOING_AWAY"):
            await transport.receive()

    await network.visit(script, body)


@pytest.mark.parametrize("size", [10, 9_000])
async def test_reading_ahead_is_bounded(loopback: Network, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the number of messages if they are short, else by their bytes; then TCP holds the peer up."""
    monkeypatch.setattr(sans_io, "READ_AHEAD_BYTES", 100_000)
    limits = attrs.evolve(loopback.limits, queue_frames=1000)
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.accept()
        try:
            while True:
                await peer.send(peer.text(f"{sent:0{size}}"))
                sent += 1
        except trio.BrokenResourceError:
            pass

    async def body(transport: Transport) -> None:
        before = -1
        while sent != before:  # until the peer is held up
            before = sent
            await trio.sleep(0.3)
        assert isinstance(transport, sans_io._Line)
        waiting = transport._messages
        assert len(waiting) < 1000 + RECEIVE_BYTES // (size + 2)
        assert sum(map(len, waiting)) < 100_000 + RECEIVE_BYTES
        messages: list[str | bytes] = []
        while len(messages) < before:
            messages += await transport.receive()
        assert messages == [f"{n:0{size}}" for n in range(len(messages))]

    await loopback.visit(script, body, limits=limits)


async def test_receiving_goes_on_behind_the_stand_in(network: Network) -> None:
    """It has begun to read; whoever receives then gets what it reads, and reads by itself from there on."""

    async def script(peer: Peer) -> None:
        await peer.accept()
        for round_ in range(3):
            assert await peer.next_frame() == (TEXT, b"now")
            await peer.send(peer.frame(TEXT, b"he", fin=False))
            await trio.sleep(0.01)
            await peer.send(peer.frame(0, b"llo %d" % round_))
        await peer.gone()

    async def body(transport: Transport) -> None:
        for round_ in range(3):
            await trio.sleep(0.25)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(transport.send, "now")
                assert await transport.receive() == [f"hello {round_}"]

    await network.visit(script, body)


async def test_of_two_that_receive_one_waits_for_the_other(memory: Network) -> None:
    got: list[str | bytes] = []

    async def script(peer: Peer) -> None:
        await peer.accept()
        await trio.sleep(0.05)
        await peer.send(peer.text("a"))
        await trio.sleep(0.05)
        await peer.send(peer.text("b"))
        await peer.gone()

    async def receive(transport: Transport) -> None:
        got.extend(await transport.receive())

    async def body(transport: Transport) -> None:
        async with trio.open_nursery() as nursery:
            with trio.move_on_after(0.01):
                await transport.receive()
            nursery.start_soon(receive, transport)
            nursery.start_soon(receive, transport)
        assert got == ["a", "b"]

    await memory.visit(script, body)


# -- writing ----------------------------------------------------------------------------------------------------------


async def test_frames_never_interleave(loopback: Network) -> None:
    """A PING a millisecond, while two tasks send more than fits into the socket."""
    text = "x" * 100_000

    async def script(peer: Peer) -> None:
        await peer.accept()

        async def ask() -> None:
            asked = 0
            while True:
                await peer.send(peer.frame(PING, b"%d" % asked) + peer.text("news"))
                asked += 1
                await trio.sleep(0.001)

        frames: list[tuple[int, bytes]] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            while sum(opcode == TEXT for opcode, _ in frames) < 20:
                frames.append(await peer.next_frame())
                await trio.sleep(0.0005)
            nursery.cancel_scope.cancel()
        assert {payload for opcode, payload in frames if opcode == TEXT} == {text.encode()}
        answers = [int(payload) for opcode, payload in frames if opcode == PONG]
        assert answers == sorted(set(answers))
        assert len(answers) > 5, "not starved by the two that send"

    async def send(transport: Transport) -> None:
        for _ in range(10):
            await transport.send(text)

    async def body(transport: Transport) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, transport)
            nursery.start_soon(send, transport)
            with pytest.raises(ConnectionLost):
                while True:
                    await transport.receive()

    await loopback.visit(script, body)


async def test_a_peer_that_does_not_read_its_pongs_does_not_hold_up_receiving(loopback: Network) -> None:
    count = 20_000
    received = trio.Event()

    async def script(peer: Peer) -> None:
        await peer.accept()
        for _ in range(count // 100):
            await peer.send(peer.frame(PING, bytes(125)) * 20 + peer.text(*["news"] * 100))
            await trio.lowlevel.checkpoint()
        await received.wait()
        await peer.gone()

    async def body(transport: Transport) -> None:
        await loopback.take(transport, count)
        received.set()

    await loopback.visit(script, body)


async def test_a_broken_write_is_told_to_who_sends_next(memory: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.send(peer.frame(PING, b"?") + peer.text("a"))
        await trio.sleep(0.1)
        await peer.send(peer.frame(PING, b"?") + peer.text("b"))

    async def broken(data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        raise trio.BrokenResourceError("no way")

    async def body(transport: Transport) -> None:
        monkeypatch.setattr(memory.opened[0], "send_all", broken)
        assert await transport.receive() == ["a"]
        await trio.testing.wait_all_tasks_blocked(0.01)
        for _ in range(2):
            with pytest.raises(ConnectionLost, match="the connection broke: no way"):
                await transport.send("x")
        assert await transport.receive() == ["b"], "it may still be read, to its end"
        with pytest.raises(ConnectionLost, match="the connection broke: no way"):
            await transport.receive()

    await memory.visit(script, body)


async def test_who_waits_for_the_writer_is_told_what_broke(memory: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.gone()

    async def broken(data: bytes) -> None:
        await trio.sleep(0.05)
        raise trio.BrokenResourceError("no way")

    async def send(transport: Transport) -> None:
        with pytest.raises(ConnectionLost, match="the connection broke: no way"):
            await transport.send("x")

    async def body(transport: Transport) -> None:
        monkeypatch.setattr(memory.opened[0], "send_all", broken)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, transport)
            nursery.start_soon(send, transport)

    await memory.visit(script, body)


async def test_a_write_that_fails_in_a_strange_way_ends_the_connection(
    memory: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.send(peer.frame(PING, b"?"))
        await peer.gone()

    async def strange(data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("strange")

    async def body(transport: Transport) -> None:
        monkeypatch.setattr(memory.opened[0], "send_all", strange)
        with pytest.raises(ConnectionLost, match="nothing more can be sent"):
            await transport.receive()

    await memory.visit(script, body)


async def test_a_send_that_cannot_be_encoded_harms_nothing(memory: Network) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        assert await peer.next_frame() == (TEXT, b"fine")
        await peer.gone()

    async def body(transport: Transport) -> None:
        with pytest.raises(UnicodeEncodeError):
            await transport.send("\ud800")
        await transport.send("fine")

    await memory.visit(script, body)


# -- odd streams ------------------------------------------------------------------------------------------------------


async def test_a_stream_that_fails_in_a_strange_way(memory: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.gone()

    async def strange(max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("strange")

    async def body(transport: Transport) -> None:
        monkeypatch.setattr(memory.opened[0], "receive_some", strange)
        for _ in range(2):
            with pytest.raises(ConnectionLost, match=r"the WebSocket reader failed: .*strange"):
                await transport.receive()

    await memory.visit(script, body)


async def test_a_stream_that_breaks_while_the_request_is_written() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.aclose()

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        return ours

    connect = sans_io.connecting_with(open_stream)
    with pytest.raises(ConnectError, match="broke in the WebSocket upgrade"):
        async with connect("ws://exchange.test", ssl_context=None, limits=Limits()):
            pass


# -- leaving ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [b"\x83\x00", b"\x80\x01a", b"\x88\x01\x03"])
async def test_garbage_instead_of_a_goodbye(network: Network, wrong: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        assert await peer.next_frame() == (CLOSE, b"\x03\xe8")
        await peer.send(peer.frame(PING, b"?") + wrong)
        await peer.gone()

    await network.visit(script)


async def test_somebody_still_receives_when_the_block_is_left(memory: Network) -> None:
    ends: list[str] = []

    async def script(peer: Peer) -> None:
        await peer.accept()
        assert await peer.next_frame() == (CLOSE, b"\x03\xe8")
        await peer.send(peer.text("too late") + peer.close(1000))
        await peer.gone()

    async def receive(transport: Transport) -> None:
        with pytest.raises(ConnectionLost, match="its block has been left"):
            await transport.receive()
        ends.append("told")

    async def body(transport: Transport) -> None:
        nursery.start_soon(receive, transport)
        await trio.testing.wait_all_tasks_blocked()

    async with trio.open_nursery() as nursery:
        visit = await memory.visit(script, body)
    assert visit.leaving < memory.limits.close_timeout
    assert ends == ["told"]
