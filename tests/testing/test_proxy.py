"""The bad network: what each fault does to plain bytes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from kraken_trio.testing import (
    Cut,
    Delay,
    NetworkFault,
    Proxy,
    Reset,
    Split,
    Stall,
    Tear,
    Throttle,
    Unreachable,
    open_proxy,
)
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE = 30
TEXT = bytes(range(256)) * 40


class Peer:
    """An echo: what it read, and how it read it."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ends: list[str] = []

    async def serve(self, stream: trio.SocketStream) -> None:
        try:
            while data := await stream.receive_some():
                self.pieces.append(bytes(data))
                await stream.send_all(data)
            self.ends.append("eof")
        except trio.BrokenResourceError:
            self.ends.append("broken")


@asynccontextmanager
async def proxied() -> AsyncIterator[tuple[Peer, Proxy, trio.SocketStream]]:
    peer = Peer()
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, peer.serve, 0)
            port = listeners[0].socket.getsockname()[1]
            async with open_proxy(f"ws://127.0.0.1:{port}/v2?x=1", seed=3) as proxy:
                stream = await connect(proxy)
                async with stream:
                    await until(lambda: proxy.connections == 1)
                    yield peer, proxy, stream
            nursery.cancel_scope.cancel()


async def connect(proxy: Proxy) -> trio.SocketStream:
    assert proxy.url.startswith("ws://127.0.0.1:")
    assert proxy.url.endswith("/v2?x=1")
    return await trio.open_tcp_stream("127.0.0.1", int(proxy.url.split(":")[2].split("/")[0]))


async def echoed(stream: trio.SocketStream, text: bytes = TEXT) -> bytes:
    """Send it, and read as much."""
    got = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, text)
        while len(got) < len(text):
            data = await stream.receive_some()
            if not data:
                break
            got += data
    return got


async def test_a_good_network_passes_bytes_and_ends() -> None:
    async with proxied() as (peer, proxy, stream):
        assert await echoed(stream) == TEXT
        assert (proxy.connects, proxy.connections) == (1, 1)
        await stream.send_eof()
        assert await stream.receive_some() == b""
        assert peer.ends == ["eof"]
        await until(lambda: not proxy.connections)


@pytest.mark.parametrize("fault", [Split(max_bytes=3), Delay(seconds=0.01), Throttle(bytes_per_second=500_000)])
async def test_a_slow_network_loses_nothing(fault: NetworkFault) -> None:
    async with proxied() as (peer, proxy, stream):
        proxy.inject(fault)
        assert proxy.faults == (fault,)
        assert await echoed(stream) == TEXT
        assert b"".join(peer.pieces) == TEXT
        proxy.clear_faults()
        assert not proxy.faults
        assert await echoed(stream) == TEXT


async def test_a_clearing_ends_a_throttle_and_a_delay() -> None:
    async with proxied() as (_, proxy, stream):
        proxy.inject(Throttle(bytes_per_second=1))
        proxy.inject(Delay(seconds=1e6))
        await stream.send_all(TEXT)
        await trio.testing.wait_all_tasks_blocked()
        proxy.clear_faults()
        assert await echoed(stream, b"") == b""
        got = b""
        while len(got) < len(TEXT):
            got += await stream.receive_some()
        assert got == TEXT


async def test_nothing_passes_a_stall_until_it_is_cleared() -> None:
    async with proxied() as (peer, proxy, stream):
        assert await echoed(stream, b"before") == b"before"
        proxy.inject(Stall())
        await stream.send_all(b"during")
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert peer.pieces == [b"before"]
        proxy.clear_faults()
        assert await stream.receive_some() == b"during"


async def test_a_stalled_connection_can_be_cut() -> None:
    async with proxied() as (_, proxy, stream):
        proxy.inject(Stall())
        await stream.send_all(b"x")
        await trio.testing.wait_all_tasks_blocked(0.05)
        proxy.inject(Reset())
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        await until(lambda: not proxy.connections)


async def test_a_cut_ends_both_sides() -> None:
    async with proxied() as (peer, proxy, stream):
        assert await echoed(stream, b"before") == b"before"
        proxy.inject(Cut())
        assert await stream.receive_some() == b""
        await until(lambda: peer.ends)
        async with await connect(proxy) as another:
            assert await echoed(another) == TEXT


async def test_a_reset_is_no_end_of_a_stream() -> None:
    async with proxied() as (peer, proxy, stream):
        assert await echoed(stream, b"before") == b"before"
        proxy.inject(Reset())
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        await until(lambda: peer.ends)
        assert peer.ends == ["broken"]


async def test_of_torn_bytes_a_part_comes() -> None:
    async with proxied() as (_, proxy, stream):
        proxy.inject(Tear())
        await stream.send_all(b"x" * 100)
        got = b""
        try:
            while data := await stream.receive_some():
                got += data
        except trio.BrokenResourceError:
            pass
        assert len(got) < 100
        assert got == b"x" * len(got)


async def test_who_is_unreachable_resets_new_connections_only() -> None:
    async with proxied() as (_, proxy, stream):
        assert await echoed(stream, b"before") == b"before"
        proxy.inject(Unreachable())
        async with await connect(proxy) as another:
            with pytest.raises(trio.BrokenResourceError):
                await another.send_all(b"x")
                await another.receive_some()
        assert await echoed(stream, b"after") == b"after"
        proxy.clear_faults()
        async with await connect(proxy) as another:
            assert await echoed(another, b"again") == b"again"


async def test_nobody_behind_it_is_a_reset() -> None:
    with trio.fail_after(PATIENCE):
        async with open_proxy("ws://127.0.0.1:1/v2?x=1") as proxy, await connect(proxy) as stream:
            with pytest.raises(trio.BrokenResourceError):
                await stream.send_all(b"x")
                await stream.receive_some()


@pytest.mark.parametrize("url", ["ws://127.0.0.1/v2", "nonsense", ""])
async def test_a_url_without_a_port_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="no host and port"):
        async with open_proxy(url):
            pytest.fail("there is nothing to connect to")


@pytest.mark.parametrize("number", [0, -1, float("inf"), float("nan")])
def test_what_a_fault_is_of_is_positive(number: float) -> None:
    for make in (lambda: Delay(seconds=number), lambda: Throttle(bytes_per_second=number)):
        with pytest.raises(ValueError, match="a number, more than 0"):
            make()


async def test_its_repr_says_what_it_does() -> None:
    async with proxied() as (_, proxy, stream):
        await echoed(stream, b"x")
        assert repr(proxy).endswith("1 connections, no fault>")
        proxy.inject(Stall())
        assert repr(proxy).endswith("1 connections, Stall()>")
