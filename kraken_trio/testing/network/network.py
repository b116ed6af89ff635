"""A network in memory between clients and an exchange, with all faults of real networks.

::

    async def main():
        network = Network(seed=1, conditions=Conditions(latency=(0.01, 0.2)))
        async with open_exchange(network=network) as exchange:
            async with open_client(exchange.url, transport=network.transport()) as client:
                ...
                network.inject(HalfOpen(direction=Direction.TO_CLIENT))

    run_virtual(main)

There are no sockets, so it can be used with virtual time (:func:`~kraken_trio.testing.run_virtual`, or
:class:`trio.testing.MockClock`): an hour takes seconds, and the same seed gives the same hour again. Everything
random about a link follows from the network's seed and the link's number.
"""

from __future__ import annotations

import errno
import os
import socket
from math import inf
from operator import itemgetter
from random import Random
from typing import TYPE_CHECKING, Any, get_args

import trio

from kraken_trio.testing import checks
from kraken_trio.testing.faults import Fault, Scheduled
from kraken_trio.testing.faults.armed import ArmedFaults
from kraken_trio.testing.faults.network import (
    BlackHole,
    Conditions,
    Degrade,
    DelayDial,
    Direction,
    HalfOpen,
    HangDial,
    LinkFault,
    Outage,
    RefuseDial,
    ResetLink,
    UnknownHost,
)
from kraken_trio.testing.network.link import Link, MemoryStream
from kraken_trio.transport.choice import choose

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from kraken_trio.transport import Connect
    from kraken_trio.transport.choice import TransportName

__all__ = ["Network"]

_A_FAULT = checks.instance(*get_args(LinkFault), wanted="a fault of the network, such as ResetLink()")

_DIALS = (RefuseDial, HangDial, DelayDial, UnknownHost)
_PERFECT = Conditions()


class Network:
    """Clients dial on one side, an exchange listens on the other. To be used from one Trio run."""

    def __init__(self, *, seed: int = 0, conditions: Conditions = _PERFECT) -> None:
        checks.seed("seed", seed)
        checks.instance(Conditions, wanted="Conditions(...)")("conditions", conditions)
        self.links: list[Link] = []
        """Every connection so far, oldest first."""
        self.dials: list[float] = []
        """When clients dialled, by Trio's clock, successfully or not."""
        self._seed = seed
        self._usual = conditions
        self._listeners: dict[tuple[str, int], Callable[[MemoryStream], Any]] = {}
        self._armed: ArmedFaults[LinkFault] = ArmedFaults()
        self._degraded: list[tuple[float, Degrade]] = []
        self._unreachable_until = -inf
        self._deserted_until = -inf
        self._changed = trio.Event()
        self._hanging = trio.Event()

    # Connecting

    def transport(self, name: TransportName = "auto") -> Connect:
        """The argument for ``open_client(..., transport=...)``: the named transport over this network."""
        return choose(name, self.open_stream)

    async def open_stream(self, host: str, port: int) -> MemoryStream:
        """Dial. Raises :class:`OSError` as :func:`trio.open_tcp_stream` does."""
        self.dials.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        fault = self._armed.first(_DIALS)
        if isinstance(fault, UnknownHost):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if isinstance(fault, HangDial):
            await self._hanging.wait()
        if isinstance(fault, DelayDial):
            await trio.sleep(fault.seconds)
        while trio.current_time() < self._unreachable_until:
            changed = self._changed
            with trio.move_on_at(self._unreachable_until):
                await changed.wait()
        random = Random(f"{self._seed}/link {len(self.links) + 1}")  # noqa: S311 (weather, no secret)
        low, high = self._usual.latency
        await trio.sleep(2 * (low + (high - low) * random.random()))  # there and back
        answer = self._listeners.get((host, port))
        if answer is None or isinstance(fault, RefuseDial) or trio.current_time() < self._deserted_until:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        link = Link(len(self.links) + 1, random, self._usual)
        self.links.append(link)
        for _, degrade in self._degraded:
            if degrade.link is None:
                link.set_conditions(degrade.conditions, degrade.direction)
        answer(link.server)
        return link.client

    async def listen(
        self,
        host: str,
        port: int,
        serve: Callable[[MemoryStream], Awaitable[object]],
        nursery: trio.Nursery,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Call ``serve``, in a task of ``nursery``, with the server's end of every link to this address."""
        if (host, port) in self._listeners:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        self._listeners[host, port] = lambda stream: nursery.start_soon(serve, stream)
        task_status.started()
        try:
            await self._keep_time()
        finally:
            del self._listeners[host, port]

    # Faults

    @property
    def faults(self) -> tuple[LinkFault, ...]:
        """The armed faults that still wait for a client to dial."""
        return self._armed.pending()

    def inject(self, fault: LinkFault) -> None:
        """Inject a fault: it happens now, or is armed (see :mod:`kraken_trio.testing.faults.network`)."""
        _check("fault", fault)
        now = trio.current_time()
        match fault:
            case ResetLink(link=number):
                for link in self._some(number):
                    link.reset()
            case HalfOpen(direction=direction, seconds=seconds, link=number):
                for link in self._some(number):
                    link.silence(direction, seconds)
            case BlackHole(seconds=seconds, link=number, dials=dials):
                for link in self._some(number):
                    link.silence(Direction.BOTH, seconds)
                if dials:
                    self._unreachable_until = max(self._unreachable_until, inf if seconds is None else now + seconds)
            case Outage(seconds=seconds):
                self._deserted_until = max(self._deserted_until, now + seconds)
                for link in self._some(None):
                    link.reset()
            case Degrade(seconds=seconds):
                self._degraded.append((inf if seconds is None else now + seconds, fault))
                self._apply(fault)
                self._notify()
            case _:
                self._armed.arm(fault)

    async def play(self, script: Iterable[LinkFault | Scheduled]) -> None:
        """Inject these faults; a :class:`~kraken_trio.testing.Scheduled` one at its time from now."""
        script = checks.items("script", script, _check, "faults in a list")
        start = trio.current_time()
        entries = [(start + item.at, item.fault) if isinstance(item, Scheduled) else (start, item) for item in script]
        await trio.lowlevel.checkpoint()
        for due, fault in sorted(entries, key=itemgetter(0)):
            await trio.sleep_until(due)
            self.inject(fault)  # type: ignore[arg-type]  # it was checked

    def heal(self) -> None:
        """Undo every fault: open links deliver everything again, and clients can connect."""
        self._armed.clear()
        self._unreachable_until = self._deserted_until = -inf
        self._degraded.clear()
        for link in self._some(None):
            link.heal()
            link.set_conditions(self._usual)
        self._hanging.set()
        self._hanging = trio.Event()
        self._notify()

    def _some(self, number: int | None) -> list[Link]:
        return [link for link in self.links if link.open and number in (None, link.number)]

    def _apply(self, fault: Degrade) -> None:
        for link in self._some(fault.link):
            link.set_conditions(fault.conditions, fault.direction)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _keep_time(self) -> None:
        """End a temporary degradation in time."""
        while True:
            changed = self._changed
            with trio.move_on_at(min((until for until, _ in self._degraded), default=inf)):
                await changed.wait()
            now = trio.current_time()
            if any(until <= now for until, _ in self._degraded):
                self._degraded = [entry for entry in self._degraded if entry[0] > now]
                for link in self._some(None):
                    link.set_conditions(self._usual)
                for _, fault in self._degraded:
                    self._apply(fault)

    def __repr__(self) -> str:
        is_open = sum(link.open for link in self.links)
        return f"<Network: {is_open} of {len(self.links)} links open>"


def _check(name: str, fault: object) -> None:
    one = fault.fault if isinstance(fault, Scheduled) else fault
    if isinstance(one, Fault):
        raise checks.wrong_type(name, one, "a fault of the network; this is one of the exchange: inject it there")
    _A_FAULT(name, one)
