"""An exchange that is reached without a socket: it does to a client what it does over one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import trio

import kraken_trio as kt
from kraken_trio.testing import (
    DelayConnect,
    Drop,
    DropConnect,
    DropHow,
    Freeze,
    HangConnect,
    Network,
    Raw,
    RawKind,
    RefuseConnect,
    open_exchange,
    run_virtual,
)
from kraken_trio.testing.exchange.memory import MemoryTransport
from kraken_trio.transport import ConnectionLost, Limits, Pings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio.testing import MockClock

    from kraken_trio.testing import Exchange

SUBSCRIBE = '{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USD"]}}'


async def connected(
    use: Callable[[Exchange, MemoryTransport], Awaitable[None]], *faults: Any, path: str = "/v2"
) -> None:
    async with open_exchange(network=Network(), rate=0, faults=faults) as exchange:
        url = exchange.url.replace("/v2", path)
        async with exchange.connect(url, ssl_context=None, limits=Limits()) as transport:
            assert isinstance(transport, MemoryTransport)
            await use(exchange, transport)


def test_an_hour_of_a_client_takes_a_moment() -> None:
    async def program() -> int:
        async with (
            open_exchange(network=Network(), rate=0.1, epoch_ns=0) as exchange,
            kt.open_client(exchange.url, transport=exchange.connect) as client,
            client.subscribe(kt.Book("BTC/USD"), capacity=100_000) as feed,
        ):
            await trio.sleep(1800)
            exchange.inject(Drop(how=DropHow.RESET))
            await trio.sleep(1800)
            await feed.receive_many(100_000)
            assert feed.book("BTC/USD").available
            assert client.statistics().connects == exchange.connects == 2
            return client.statistics().frames

    assert run_virtual(program) == run_virtual(program) > 3600


async def test_it_is_a_connection_of_the_exchange_like_others(autojump_clock: MockClock) -> None:
    async def use(exchange: Exchange, transport: MemoryTransport) -> None:
        assert isinstance(transport, Pings)
        assert exchange.connections == 1
        await transport.send(SUBSCRIBE)
        frames = [json.loads(frame) for frame in await transport.receive()]
        assert [frame.get("channel") or frame["method"] for frame in frames] == ["status", "subscribe", "book"]
        assert await exchange.publish(50, "BTC/USD") == exchange.statistics().frames_queued
        await transport.receive()
        await exchange.drained()
        assert exchange.journal[0].link is None

    await connected(use)


@pytest.mark.parametrize("how", DropHow)
async def test_what_was_sent_before_an_end_arrives(autojump_clock: MockClock, how: DropHow) -> None:
    async def use(exchange: Exchange, transport: MemoryTransport) -> None:
        exchange.inject(Drop(how=how, notice="restarting", reason="soon"))
        assert (await transport.receive())[-1] == "restarting"
        with pytest.raises(ConnectionLost, match="soon") as caught:
            await transport.receive()
        assert caught.value.code == how.code
        for call in (transport.send("{}"), transport.ping()):
            with pytest.raises(ConnectionLost):
                await call
        assert exchange.connections == 0

    await connected(use)


@pytest.mark.parametrize(
    ("raw", "arrives"),
    [
        (Raw(payload="text"), "text"),
        (Raw(payload=b"text"), "text"),
        (Raw(payload=b"\xff\x00", kind=RawKind.BINARY), b"\xff\x00"),
        (Raw(payload="x", kind=RawKind.BINARY), b"x"),
        (Raw(payload=b"\xff\x00"), None),
        (Raw(payload=b"\x82\x03abc", kind=RawKind.TCP), None),
    ],
)
async def test_raw_frames(autojump_clock: MockClock, raw: Raw, arrives: Any) -> None:
    async def use(exchange: Exchange, transport: MemoryTransport) -> None:
        await transport.receive()
        exchange.inject(raw)
        if arrives is None:
            with pytest.raises(ConnectionLost):
                await transport.receive()
        else:
            assert await transport.receive() == [arrives]

    await connected(use)


async def test_a_ping_is_answered_behind_what_was_sent(autojump_clock: MockClock) -> None:
    async def use(exchange: Exchange, transport: MemoryTransport) -> None:
        with trio.move_on_after(20) as scope:
            await transport.ping()
        assert scope.cancelled_caught  # its status is not read
        await transport.receive()
        await transport.ping()
        exchange.inject(Freeze())
        await transport.send(SUBSCRIBE)  # lost
        with trio.move_on_after(20) as scope:
            await transport.ping()
        assert scope.cancelled_caught

    await connected(use)


async def test_a_peer_that_reads_nothing(autojump_clock: MockClock) -> None:
    async def use(exchange: Exchange, transport: MemoryTransport) -> None:
        transport.deaf = True
        with trio.move_on_after(20) as scope:
            await transport.send(SUBSCRIBE)
        assert scope.cancelled_caught
        assert exchange.requests == []

    await connected(use)


@pytest.mark.parametrize(
    ("fault", "status", "retryable"),
    [
        (RefuseConnect(status=503, retry_after=7), 503, True),
        (RefuseConnect(status=404), 404, False),
        (RefuseConnect(status=302), 302, False),
        (DropConnect(), None, True),
        (HangConnect(), None, True),
        (DelayConnect(seconds=11), None, True),
    ],
)
async def test_an_upgrade_can_fail(autojump_clock: MockClock, fault: Any, status: int | None, retryable: bool) -> None:
    async def use(exchange: Exchange, transport: MemoryTransport) -> None:
        pytest.fail("it is connected")

    with pytest.raises(kt.ConnectError) as caught:
        await connected(use, fault)
    assert (caught.value.status, caught.value.retryable) == (status, retryable)
    assert caught.value.retry_after == getattr(fault, "retry_after", None)


async def test_a_slow_upgrade_and_other_paths(autojump_clock: MockClock) -> None:
    async def greeted(exchange: Exchange, transport: MemoryTransport) -> None:
        assert '"event":"systemStatus"' in str(await transport.receive())
        assert trio.current_time() == 9

    await connected(greeted, DelayConnect(seconds=9), path="/")
    with pytest.raises(kt.ConnectError, match="404"):
        await connected(greeted, path="/v3")
