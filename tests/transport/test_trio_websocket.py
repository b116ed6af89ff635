"""The default transport's own promise: messages that were read together come together, and none waits for long."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import attrs
import pytest
import trio
import trio.testing

from kraken_trio.transport import trio_websocket
from kraken_trio.transport.line import RECEIVE_BYTES
from tests.transport.conftest import CLOSE

if TYPE_CHECKING:
    from kraken_trio.transport import Transport

    from .conftest import Network, Peer

BINARY = 2

pytestmark = pytest.mark.parametrize("transport_name", ["trio-websocket"], indirect=True)


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


@pytest.mark.parametrize("size", [10, 9_000])
async def test_reading_ahead_is_bounded(network: Network, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the number of messages if they are short, else by their bytes; then TCP holds the peer up."""
    monkeypatch.setattr(trio_websocket, "READ_AHEAD_BYTES", 100_000)
    limits = attrs.evolve(network.limits, queue_frames=1000)
    texts = [f"{number:0{size}}" for number in range(1_500 if size == 10 else 300)]

    async def script(peer: Peer) -> None:
        await peer.accept()
        await peer.send(peer.text(*texts))
        await peer.gone()

    async def body(transport: Transport) -> None:
        assert isinstance(transport, trio_websocket._Line)
        assert transport._websocket is not None
        queue = transport._websocket._recv_channel
        received: list[str | bytes] = []
        while len(received) < len(texts):
            await trio.sleep(0.001)  # nobody receives
            await trio.testing.wait_all_tasks_blocked()
            waiting = queue.statistics().current_buffer_used
            assert waiting <= 1000
            assert waiting * size < 100_000 + 2 * RECEIVE_BYTES
            received += await transport.receive()
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
        assert isinstance(transport, trio_websocket._Line)
        assert transport._guard is not None
        assert transport._guard._bytes_ahead == 0  # what was taken is known to the byte

    await network.visit(script, body)


async def test_leaving_while_the_peer_is_held_up_hears_its_goodbye(
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
