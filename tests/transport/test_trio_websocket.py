"""The second transport's own promise: messages that were read together come together, and none waits for long."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given, strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import WebSocketURI

from kraken_trio.transport import ConnectionLost, trio_websocket
from tests.transport.frames import BINARY, CLOSE, controls, cut, messages_as_frames, places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kraken_trio.transport import Transport

    from .conftest import Network, Peer


@pytest.fixture
def transport_name() -> str:
    return "trio-websocket"


async def test_messages_that_were_read_together_come_in_few_batches(network: Network) -> None:
    limits = attrs.evolve(network.limits, queue_frames=512)
    texts = [str(n) for n in range(1000)]

    async def script(peer: Peer) -> None:
        await peer.accept()
        assert (await peer.next_frame())[1] == b"go"
        await peer.send(peer.text(*texts))
        await peer.gone()

    async def body(transport: Transport) -> None:
        await transport.send("go")
        received: list[str | bytes] = []
        batches = 0
        while len(received) < len(texts):
            batch = await transport.receive()
            assert 1 <= len(batch) <= limits.queue_frames
            received += batch
            batches += 1
        assert received == texts
        assert batches < 50

    await network.visit(script, body, limits=limits)


async def test_a_receive_that_is_cancelled_within_a_batch_loses_nothing(network: Network) -> None:
    limits = attrs.evolve(network.limits, queue_frames=512)
    texts = [str(n) for n in range(2000)]
    chance = random.Random(5)

    async def script(peer: Peer) -> None:
        await peer.accept()
        for start in range(0, len(texts), 100):
            await peer.send(peer.text(*texts[start : start + 100]))
            await trio.lowlevel.checkpoint()
        await peer.gone()

    async def body(transport: Transport) -> None:
        received: list[str | bytes] = []

        async def receive() -> None:
            received.extend(await transport.receive())

        while len(received) < len(texts):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(receive)
                    for _ in range(chance.randrange(30)):
                        await trio.lowlevel.checkpoint()
                    if chance.random() < 0.7:
                        scope.cancel()
        assert received == texts

    await network.visit(script, body, limits=limits)


async def test_a_message_longer_than_what_is_read_ahead_is_received(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trio_websocket, "READ_AHEAD_BYTES", 1_000)
    long = ["é" * 4_900, "x" * 9_900] * 20

    async def script(peer: Peer) -> None:
        await peer.accept(peer.text(*long) + peer.frame(BINARY, b"x" * 9_900) * 20)
        await peer.gone()

    async def body(transport: Transport) -> None:
        assert await network.take(transport, 60) == long + [b"x" * 9_900] * 20
        assert isinstance(transport, trio_websocket.TrioWebSocketConnection)
        assert transport._guarded is not None
        assert transport._guarded._bytes_ahead == 0  # what was taken is known to the byte

    await network.visit(script, body)


@given(messages_as_frames(), st.lists(controls, max_size=3).map(b"".join), places)
def test_payload_of_messages_is_counted_and_nothing_else(message: bytes, others: bytes, where: Sequence[int]) -> None:
    core = ClientProtocol(WebSocketURI(False, "exchange.test", 80, "/", ""), state=State.OPEN, max_size=None)
    core.receive_data(others + message + others + message)
    frames = [frame for frame in core.events_received() if isinstance(frame, Frame)]
    expected = sum(len(frame.data) for frame in frames if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT))
    counter = trio_websocket._PayloadCounter()
    pieces = cut(others + message + others + message, where)
    assert sum(map(counter.count, pieces)) == expected


async def test_the_close_handshake_reads_on_while_the_peer_is_held_up(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trio_websocket, "READ_AHEAD_BYTES", 1_000)

    async def script(peer: Peer) -> None:
        await peer.accept(peer.text(*["x" * 900] * 5))
        await peer.send(peer.text(*["x" * 900] * 500))
        assert await peer.next_frame() == (CLOSE, b"\x03\xe8")
        await peer.send(peer.close(1000))
        await peer.gone()

    async def body(transport: Transport) -> None:
        await trio.sleep(0.01)
        await trio.testing.wait_all_tasks_blocked()

    visit = await network.visit(script, body)
    assert visit.leaving < network.limits.close_timeout


async def test_a_send_between_a_close_and_its_answer_is_told_of_the_close(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: it was taken for a violation of the protocol, and the code was lost."""
    send_all = trio_websocket._GuardedStream.send_all
    answering, answer = trio.Event(), trio.Event()

    async def held_up(stream: Any, data: bytes | bytearray | memoryview) -> None:
        if data[0] == 0x88:
            answering.set()
            await answer.wait()
        await send_all(stream, data)

    monkeypatch.setattr(trio_websocket._GuardedStream, "send_all", held_up)

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.send(peer.close(1008, "enough"))
        await peer.gone()

    async def body(transport: Transport) -> None:
        await answering.wait()
        with pytest.raises(ConnectionLost, match="enough") as caught:
            await transport.send("one more")
        assert caught.value.code == 1008
        answer.set()

    await network.visit(script, body)
