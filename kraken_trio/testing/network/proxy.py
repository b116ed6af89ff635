"""A faulty network: a loopback TCP proxy between a client and an exchange, with faults on demand.

::

    async with open_exchange() as exchange, open_proxy(exchange.url) as proxy:
        async with open_client(proxy.url) as client:
            ...
            proxy.inject(Stall())        # nothing passes any more, without an error
            ...
            proxy.clear_faults()

It forwards bytes without interpreting them: a frame may be cut anywhere, and a ``wss`` stream passes, too.
Cuts and delays follow from a seed and from the bytes, apart from what the machine's own network adds
to that.
"""

from __future__ import annotations

import random
import socket
import struct
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, get_args
from urllib.parse import SplitResult, urlsplit

import trio

from kraken_trio._nursery import open_hidden_nursery
from kraken_trio.testing import checks
from kraken_trio.testing.faults.proxy import (
    Cut,
    Delay,
    NetworkFault,
    Reset,
    Split,
    Stall,
    Tear,
    Throttle,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager


__all__ = ["Proxy", "open_proxy"]

_CHUNK: Final = 64 * 1024
_SLICES_PER_SECOND: Final = 20
"""Interval at which a throttled stream gets its share."""
_GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)


class _Link:
    """One connection through the proxy."""

    def __init__(self, client: trio.SocketStream, exchange: trio.SocketStream) -> None:
        self.client = client
        self.exchange = exchange
        self.torn = False
        """Whether only a part of the next bytes passes."""
        self.ended = False

    def end(self, *, reset: bool) -> None:
        self.ended = True
        for stream in (self.client, self.exchange):
            with suppress(*_GONE):
                if reset:
                    linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                stream.socket.close()


class Proxy:
    """A running proxy, from :func:`open_proxy`. To be used from its Trio run."""

    def __init__(self, url: str, host: str, port: int, seed: int) -> None:
        """(not to be called by programs)."""
        self.url: str = url
        """Where clients connect."""
        self.connects: int = 0
        """The number of connections so far."""
        self._host = host
        self._port = port
        self._seed = seed
        self._links: list[_Link] = []
        self._lasting: dict[type[NetworkFault], NetworkFault] = {}
        self._changed = trio.Event()

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._links)

    @property
    def faults(self) -> tuple[NetworkFault, ...]:
        """The lasting faults in force."""
        return tuple(self._lasting.values())

    def inject(self, fault: NetworkFault) -> None:
        """Inject a fault, now or from now on. A lasting one replaces another of its kind."""
        checks.instance(*get_args(NetworkFault), wanted="a fault of the proxy, such as Stall()")("fault", fault)
        if isinstance(fault, Cut | Reset):
            for link in list(self._links):
                link.end(reset=isinstance(fault, Reset))
        elif isinstance(fault, Tear):
            for link in self._links:
                link.torn = True
        else:
            self._lasting[type(fault)] = fault
        self._turn()

    def clear_faults(self) -> None:
        """End all lasting faults. Closed connections stay closed; delayed bytes pass."""
        self._lasting.clear()
        self._turn()

    def __repr__(self) -> str:
        faults = ", ".join(map(str, self.faults)) or "no fault"
        return f"<Proxy {self.url} to {self._host}:{self._port}, {self.connections} connections, {faults}>"

    def _turn(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    # One connection

    async def _serve(self, client: trio.SocketStream) -> None:
        if Unreachable in self._lasting:
            _Link(client, client).end(reset=True)
            return
        try:
            exchange = await trio.open_tcp_stream(self._host, self._port)
        except OSError:
            _Link(client, client).end(reset=True)
            return
        self.connects += 1
        link = _Link(client, exchange)
        self._links.append(link)
        try:
            async with trio.open_nursery() as nursery:
                for source, sink, name in ((client, exchange, "out"), (exchange, client, "in")):
                    choice = random.Random(f"{self._seed} {self.connects} {name}")  # noqa: S311 (repeatable, not secret)
                    nursery.start_soon(self._pump, link, source, sink, choice)
        finally:
            self._links.remove(link)
            link.end(reset=False)

    async def _pump(
        self, link: _Link, source: trio.SocketStream, sink: trio.SocketStream, choice: random.Random
    ) -> None:
        try:
            while data := await source.receive_some(_CHUNK):
                if link.torn and source is link.exchange:
                    await sink.send_all(data[: choice.randrange(len(data))])
                    link.end(reset=False)
                    return
                await self._pass_on(link, data, sink, choice)
            await self._until_moving(link)
            await sink.send_eof()
        except _GONE:
            link.end(reset=False)  # the other direction ends with this one

    async def _pass_on(
        self, link: _Link, data: bytes | bytearray, sink: trio.SocketStream, choice: random.Random
    ) -> None:
        """Forward these bytes, subject to the faults in force."""
        delay = self._lasting.get(Delay)
        if isinstance(delay, Delay):
            await self._wait(delay.seconds * choice.uniform(0.5, 1.0), lambda: Delay not in self._lasting)
        while data:
            await self._until_moving(link)
            throttle, split = self._lasting.get(Throttle), self._lasting.get(Split)
            size = len(data)
            if isinstance(throttle, Throttle):
                size = min(size, max(1, int(throttle.bytes_per_second / _SLICES_PER_SECOND)))
            if isinstance(split, Split):
                size = min(size, choice.randint(1, split.max_bytes))
            await sink.send_all(data[:size])
            data = data[size:]
            if isinstance(throttle, Throttle):
                await self._wait(size / throttle.bytes_per_second, lambda: Throttle not in self._lasting)

    async def _until_moving(self, link: _Link) -> None:
        while Stall in self._lasting and not link.ended:
            await self._changed.wait()

    async def _wait(self, seconds: float, is_over: Callable[[], bool]) -> None:
        with trio.move_on_after(seconds):
            await trio.lowlevel.checkpoint()
            while not is_over():
                await self._changed.wait()


def _has_port(parts: SplitResult) -> bool:
    try:
        return parts.port is not None
    except ValueError:
        return False


def open_proxy(
    url: str, *, seed: int = 0, host: str = "127.0.0.1", port: int = 0
) -> AbstractAsyncContextManager[Proxy]:
    """A proxy to ``url`` on a loopback socket while a block runs: clients connect to its ``url``.

    It opens a connection to the exchange per client, so it may be opened before the exchange, and outlive it.
    Leaving the block closes every connection at once. Raises :class:`ValueError` for a ``url`` without host and port.
    """
    checks.text("a URL with host and port, such as ws://127.0.0.1:8000/v2")("url", url)
    checks.seed("seed", seed)
    checks.text("the name or address of a host", pattern=checks.HOST)("host", host)
    checks.port("port", port)
    parts = urlsplit(url)
    if parts.hostname is None or not _has_port(parts) or parts.port is None:
        msg = f"{url!r} names no host and port, as ws://127.0.0.1:8000/v2 does"
        raise ValueError(msg)
    return _opened(parts, seed, host, port)


@asynccontextmanager
async def _opened(parts: SplitResult, seed: int, host: str, port: int) -> AsyncIterator[Proxy]:
    assert parts.hostname is not None
    assert parts.port is not None
    listeners = await trio.open_tcp_listeners(port, host=host)
    bound = listeners[0].socket.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    proxy = Proxy(parts._replace(netloc=f"{shown}:{bound}").geturl(), parts.hostname, parts.port, seed)
    async with open_hidden_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, proxy._serve, listeners)  # noqa: ASYNC113, SLF001 (they listen already)
        try:
            yield proxy
        finally:
            nursery.cancel_scope.cancel()
