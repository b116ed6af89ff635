"""The fast transport's own promises: batches, and a connection that lives while nobody receives.

What it has in common with the other one is in test_connecting.py and test_misbehaving_peers.py.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import attrs
import pytest
import trio
import trio.testing

from kraken_trio.errors import ConnectError
from kraken_trio.transport import ConnectionLost, Limits, websockets
from tests.transport.conftest import Peer
from tests.transport.frames import CLOSE, PING, PONG, TEXT

if TYPE_CHECKING:
    from kraken_trio.transport import Transport
    from tests.transport.conftest import Network


@pytest.fixture
def transport_name() -> str:
    return "websockets"


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
        ponged.set()
        assert await peer.next_frame() == (TEXT, b"we write as well")
        await peer.send(peer.text("last"))
        await peer.gone()

    async def body(transport: Transport) -> None:
        await ponged.wait()
        await transport.send("we write as well")
        assert await network.take(transport, count + 1) == [*map(str, range(count)), "last"]

    ponged = trio.Event()
    await network.visit(script, body)


async def test_a_close_is_seen_while_nobody_receives(memory: Network) -> None:
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

    await memory.visit(script, body)


async def test_receiving_goes_on_behind_the_task_that_reads_ahead(memory: Network) -> None:
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

    await memory.visit(script, body)


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


async def test_what_is_read_after_a_torn_write_does_not_count(memory: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reading task may have its bytes already when the write is cancelled."""
    torn = trio.Event()

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.gone()

    async def late(max_bytes: int | None = None) -> bytes:
        await torn.wait()
        return Peer.text("too late")

    async def never_written(data: bytes) -> None:
        await trio.sleep_forever()

    async def receive(transport: Transport) -> None:
        with pytest.raises(ConnectionLost, match="a send was cancelled"):
            await transport.receive()

    async def body(transport: Transport) -> None:
        monkeypatch.setattr(memory.opened[0], "receive_some", late)
        monkeypatch.setattr(memory.opened[0], "send_all", never_written)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive, transport)
            with trio.move_on_after(0.01):
                await transport.send("x")
            torn.set()

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

    connect = websockets.connect_over(open_stream)
    with pytest.raises(ConnectError, match="broke during the WebSocket handshake"):
        async with connect("ws://exchange.test", ssl_context=None, limits=Limits()):
            pass


# -- leaving ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [b"\x83\x00", b"\x80\x01a", b"\x88\x01\x03"])
async def test_garbage_instead_of_a_close(network: Network, wrong: bytes) -> None:
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
