"""A name is looked up, then its addresses are tried, at the pace of RFC 8305; all of it is told."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing

from kraken_trio._proxy import parse_proxy
from kraken_trio.errors import ConnectError
from kraken_trio.transport import Limits, TellsPhases
from kraken_trio.transport.dial import connect_tcp, unreachable
from kraken_trio.transport.lookup import PATIENCE, TcpByName
from kraken_trio.transport.tunnel import Tunnel

if TYPE_CHECKING:
    from trio.testing import MockClock

    from kraken_trio.transport import Connect, Phase
    from kraken_trio.transport.dial import OpenStream

V4, V6 = socket.AF_INET, socket.AF_INET6
URL = "ws://exchange.test"


def found(family: int, host: str, scope: int = 0) -> tuple[Any, ...]:
    return (family, socket.SOCK_STREAM, 6, "", (host, 80) if family == V4 else (host, 80, 0, scope))


class Stream(trio.abc.AsyncResource):
    """It says whether it was closed."""

    is_closed = False

    async def aclose(self) -> None:
        self.is_closed = True
        await trio.lowlevel.checkpoint()


@attrs.define
class Net:
    """Names, and what the addresses answer: after so many seconds an error, or none."""

    addresses: list[tuple[Any, ...]]
    answers: dict[str, tuple[float, OSError | None]]
    tried: list[tuple[str, float]] = attrs.Factory(list)
    opened: dict[str, Stream] = attrs.Factory(dict)

    async def look_up(self, host: str, port: int, *, type: int) -> list[tuple[Any, ...]]:  # noqa: A002 (as it is called)
        assert (host, port, type) == ("exchange.test", 80, socket.SOCK_STREAM)
        await trio.sleep(1)
        return self.addresses

    async def open_stream(self, host: str, port: int) -> Any:
        assert port == 80
        self.tried.append((host, round(trio.current_time() - 1, 6)))
        seconds, error = self.answers[host]
        await trio.sleep(seconds)
        if error is not None:
            raise error
        self.opened[host] = stream = Stream()
        return stream

    async def connect(self) -> Any:
        return await TcpByName(self.look_up, self.open_stream)("exchange.test", 80)


REFUSED = ConnectionRefusedError(111, "Connection refused")


@pytest.mark.parametrize(
    ("addresses", "answers", "tried"),
    [
        pytest.param([found(V4, "1")], {"1": (0.1, None)}, [("1", 0)], id="one"),
        pytest.param([found(V4, "1"), found(V4, "1")], {"1": (0.3, None)}, [("1", 0)], id="the same twice"),
        pytest.param(
            [found(V6, "a"), found(V6, "b"), found(V4, "1"), found(V4, "2")],
            {"a": (9, None), "1": (9, None), "b": (9, None), "2": (0.1, None)},
            [("a", 0), ("1", PATIENCE), ("b", 2 * PATIENCE), ("2", 3 * PATIENCE)],
            id="families take turns, each after a while",
        ),
        pytest.param(
            [found(V6, "a"), found(V4, "1")],
            {"a": (0.1, REFUSED), "1": (0, None)},
            [("a", 0), ("1", 0.1)],
            id="the next one at once, if one has failed",
        ),
        pytest.param(
            [found(V6, "fe80::1", 3), found(V6, "fe80::2%eth0", 2)],
            {"fe80::1%3": (0.1, REFUSED), "fe80::2%eth0": (0, None)},
            [("fe80::1%3", 0), ("fe80::2%eth0", 0.1)],
            id="an address of one network",
        ),
        pytest.param(
            [found(V4, "1"), found(V4, "2")],
            {"1": (PATIENCE + 0.1, None), "2": (PATIENCE, None)},
            [("1", 0), ("2", PATIENCE)],
            id="the first one is late, and wins",
        ),
    ],
)
async def test_addresses_are_tried_in_turns(
    addresses: list[Any], answers: dict[str, Any], tried: list[Any], autojump_clock: MockClock
) -> None:
    net = Net(addresses, answers)
    stream = await net.connect()
    assert net.tried == tried
    assert stream in net.opened.values()
    assert not stream.is_closed


async def test_of_two_that_are_ready_at_once_one_is_closed(autojump_clock: MockClock) -> None:
    net = Net([found(V4, "1"), found(V4, "2")], {"1": (2 * PATIENCE, None), "2": (PATIENCE, None)})
    stream = await net.connect()
    assert [other.is_closed for other in net.opened.values() if other is not stream] == [True] * (len(net.opened) - 1)
    assert not stream.is_closed


async def test_a_connection_that_came_too_late_is_closed(autojump_clock: MockClock) -> None:
    """It is there at the moment at which the attempt is given up."""
    net = Net([found(V4, "1")], {"1": (0.1, None)})
    with trio.move_on_after(1.1) as scope:

        async def open_stream(host: str, port: int) -> Any:
            with trio.CancelScope(shield=True):
                return await net.open_stream(host, port)

        await TcpByName(net.look_up, open_stream)("exchange.test", 80)
    assert scope.cancelled_caught
    assert net.opened["1"].is_closed


async def test_every_address_has_failed(autojump_clock: MockClock) -> None:
    group = OSError("all attempts failed")
    group.__cause__ = ExceptionGroup("", [OSError(113, "No route to host")])
    net = Net([found(V4, "1"), found(V4, "2")], {"1": (0, REFUSED), "2": (0, group)})
    with pytest.raises(OSError, match="all attempts") as info:
        await net.connect()
    assert unreachable("it", info.value).startswith("cannot connect to it: Connection refused, No route to host; ")


async def test_the_machines_own_network() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener, await TcpByName()("127.0.0.1", listener.socket.getsockname()[1]) as stream:
        async with await listener.accept() as other:
            await other.send_all(b"x")
            assert await stream.receive_some() == b"x"


# What is told

ConnectOver = Callable[..., Any]


async def nobody(_host: str, _port: int) -> trio.abc.Stream:
    await trio.lowlevel.checkpoint()
    raise ConnectionRefusedError(111, "Connection refused")


async def somebody(_host: str, _port: int) -> trio.abc.Stream:
    """A peer that ends the connection at once."""
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_eof()
    return ours


async def look_up(*_arguments: Any, **_more: Any) -> list[Any]:
    await trio.lowlevel.checkpoint()
    return [found(V4, "1")]


async def proxied(_host: str, _port: int) -> trio.abc.Stream:
    """A proxy that agrees; what it leads to ends the connection at once."""
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
    await theirs.send_eof()
    return ours


async def unknown(*_arguments: Any, **_more: Any) -> list[Any]:
    await trio.lowlevel.checkpoint()
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


PROXY = parse_proxy("http://proxy.test:3128")


@pytest.mark.parametrize(
    ("open_stream", "told"),
    [
        pytest.param(nobody, ["tcp"], id="plain"),
        pytest.param(somebody, ["tcp", "upgrade"], id="plain, connected"),
        pytest.param(TcpByName(unknown, nobody), ["name"], id="a name that is not known"),
        pytest.param(TcpByName(look_up, nobody), ["name", "tcp"], id="by name"),
        pytest.param(TcpByName(look_up, somebody), ["name", "tcp", "upgrade"], id="by name, connected"),
        pytest.param(Tunnel(PROXY, somebody), ["tcp", "proxy"], id="through a proxy that ends it"),
        pytest.param(Tunnel(PROXY, TcpByName(look_up, nobody)), ["name", "tcp"], id="a proxy that is not there"),
        pytest.param(
            Tunnel(PROXY, TcpByName(look_up, proxied)), ["name", "tcp", "proxy", "upgrade"], id="through a proxy"
        ),
    ],
)
async def test_phases_are_told_as_they_begin(
    connect_over: ConnectOver, open_stream: OpenStream, told: list[Phase]
) -> None:
    phases: list[Phase] = []
    silent: Connect = connect_over(open_stream)
    assert isinstance(silent, TellsPhases)
    for connect in (silent, silent.telling(phases.append)):
        with pytest.raises(ConnectError):
            async with connect(URL, ssl_context=None, limits=Limits()):
                pytest.fail("nobody answers")
    assert phases == told


async def test_nobody_need_be_told() -> None:
    with pytest.raises(ConnectError, match="Connection refused"):
        await connect_tcp(PROXY, nobody)
