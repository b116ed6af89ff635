"""The default transport's own promise: messages that were read together come together, and none waits for long."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

if TYPE_CHECKING:
    from kraken_trio.transport import Transport

    from .conftest import Network, Peer

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
