"""A name is looked up first, then its addresses are tried: two phases that can be told apart.

``trio.open_tcp_stream`` does both in one. Here it is given one address at a time, in the order and at the pace of
RFC 8305: the families take turns, and the next address is tried when the one before it has failed or has had
:data:`PATIENCE` seconds. The first connection is taken; the others are given up.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import trio

from kraken_trio._nursery import open_hidden_nursery
from kraken_trio.transport.dial import untold

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kraken_trio.transport.dial import OpenStream
    from kraken_trio.transport.seam import Tell

__all__ = ["PATIENCE", "LookUp", "TcpByName"]

PATIENCE: Final = 0.25
"""Seconds for an address, before the next one is tried beside it: Trio's own."""

LookUp: TypeAlias = Callable[..., Awaitable["Sequence[tuple[Any, ...]]"]]
"""``trio.socket.getaddrinfo``, or the like."""


class TcpByName:
    """An :data:`~kraken_trio.transport.dial.OpenStream` that tells of the lookup and of TCP as two phases."""

    def __init__(
        self,
        look_up: LookUp = trio.socket.getaddrinfo,
        open_stream: OpenStream = trio.open_tcp_stream,
        tell: Tell = untold,
    ) -> None:
        self._look_up = look_up
        self._open_stream = open_stream
        self._tell = tell

    def telling(self, tell: Tell, /) -> TcpByName:
        """The same, which tells each phase when it begins."""
        return TcpByName(self._look_up, self._open_stream, tell)

    async def __call__(self, host: str, port: int) -> trio.abc.Stream:
        """Open a stream to ``host:port``. Raises what ``trio.open_tcp_stream`` raises."""
        self._tell("name")
        found = await self._look_up(host, port, type=socket.SOCK_STREAM)
        self._tell("tcp")
        return await self._first(_in_turns(found), port)

    async def _first(self, hosts: Sequence[str], port: int) -> trio.abc.Stream:
        """The first connection to one of them."""
        opened: list[trio.abc.Stream] = []
        errors: list[Exception] = []

        async def attempt(host: str, has_failed: trio.Event) -> None:
            try:
                opened.append(await self._open_stream(host, port))
            except OSError as exc:
                errors.append(_of_one_address(exc))
                has_failed.set()
            else:
                nursery.cancel_scope.cancel()

        first: trio.abc.Stream | None = None
        try:
            async with open_hidden_nursery() as nursery:
                for host in hosts:
                    has_failed = trio.Event()
                    nursery.start_soon(attempt, host, has_failed)
                    with trio.move_on_after(PATIENCE):
                        await has_failed.wait()
            first = opened.pop(0) if opened else None
        finally:
            with trio.CancelScope(shield=True):  # noqa: ASYNC912 (mostly there is nothing to close)
                for stream in opened:  # two were ready at once; or we are cancelled
                    await trio.aclose_forcefully(stream)
        if first is None:
            msg = f"all attempts to connect to port {port} failed"
            raise OSError(msg) from ExceptionGroup(msg, errors)
        return first


def _of_one_address(exc: OSError) -> Exception:
    """The cause, if there is one: ``trio.open_tcp_stream`` raises a group, of one attempt here."""
    cause = exc.__cause__
    return cause.exceptions[0] if isinstance(cause, ExceptionGroup) else exc


def _in_turns(found: Iterable[tuple[Any, ...]]) -> list[str]:
    """The addresses, each once, a family after the other, beginning with that of the first."""
    families: dict[int, dict[str, None]] = {}
    for family, _kind, _protocol, _name, address in found:
        families.setdefault(family, {})[_host(address)] = None
    columns = zip_longest(*families.values())
    return [host for column in columns for host in column if host is not None]


def _host(address: tuple[Any, ...]) -> str:
    """An address as text; one of IPv6 that is valid on one network only says on which."""
    host, _port, *more = address
    scope = more[1] if len(more) > 1 else 0
    return f"{host}%{scope}" if scope and "%" not in host else str(host)
