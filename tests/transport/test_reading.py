"""A TCP stream that waits before it reads is a stream like any other."""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any

import pytest
import trio
import trio.testing

from kraken_trio.transport.reading import read_when_readable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="os.read takes no sockets there")


async def _pair() -> tuple[Any, Any]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        ours = await trio.open_tcp_stream(*listener.socket.getsockname())
        theirs = await listener.accept()
    streams = read_when_readable(ours), read_when_readable(theirs)
    assert all(type(stream) is not trio.SocketStream for stream in streams)
    return streams


async def test_it_keeps_every_promise_of_a_stream() -> None:
    await trio.testing.check_half_closeable_stream(_pair, None)


async def test_a_broken_connection_is_told_as_one() -> None:
    ours, theirs = await _pair()
    async with ours, theirs:
        ours._stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset by close
        await ours.aclose()
        with pytest.raises(trio.BrokenResourceError, match="reset"):
            await theirs.receive_some()


async def test_a_socket_that_was_closed_before_the_read_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number may be another file's by then."""
    ours, theirs = await _pair()

    async def closed_meanwhile(_number: int) -> None:
        await ours.aclose()

    async with ours, theirs:
        monkeypatch.setattr(trio.lowlevel, "wait_readable", closed_meanwhile)
        with pytest.raises(trio.ClosedResourceError):
            await ours.receive_some()


async def test_a_false_alarm_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = await _pair()
    wait = trio.lowlevel.wait_readable
    alarms = 0

    async def false_alarm(number: int) -> None:
        nonlocal alarms
        alarms += 1
        if alarms < 3:
            await trio.lowlevel.checkpoint()
        else:
            await theirs.send_all(b"at last")
            await wait(number)

    async with ours, theirs:
        monkeypatch.setattr(trio.lowlevel, "wait_readable", false_alarm)
        assert await ours.receive_some() == b"at last"
