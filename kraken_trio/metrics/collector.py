"""Clients in a registry of ``prometheus_client``: their numbers are read when somebody asks for them."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

import trio
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector as _Base

from kraken_trio import Client
from kraken_trio.metrics.families import families

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from kraken_trio import ClientStatistics

__all__ = ["MAX_SERIES", "Collector", "register", "register_those"]

MAX_SERIES: Final = 100
"""How many symbols each metric by symbol has, for each client, unless it is told otherwise."""
ANSWER_SECONDS: Final = 1.0
"""How long another thread waits for the Trio loop."""


class Collector(_Base):
    """Clients in a registry: what :func:`register` returns. ``with`` takes them out of it at the end of the block."""

    def __init__(self, clients: Callable[[], Iterable[Client]], registry: CollectorRegistry, max_series: int) -> None:
        """(see :func:`register`)."""
        self._clients = clients
        self._registry = registry
        self._max_series = max_series
        self._token = trio.lowlevel.current_trio_token()

    def describe(self) -> Iterable[Metric]:
        """What there will be, without any numbers: a registry has each metric once."""
        return (_up(), *families({}, self._max_series))

    def collect(self) -> Iterator[Metric]:
        """The numbers as of now. From any thread; if the loop does not answer within a second, without them."""
        now = self._read() if self._is_in_trio() else self._read_from_thread()
        up = _up()
        for name in _named(self._clients()):
            up.add_metric([name], int(now is not None))
        yield up
        if now is not None:
            yield from families(now, self._max_series)

    def statistics(self) -> Mapping[str, ClientStatistics]:
        """The numbers of all clients, by their labels; to be called in Trio."""
        return self._read()

    def unregister(self) -> None:
        """Take the clients out of the registry."""
        self._registry.unregister(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.unregister()

    def _read(self) -> dict[str, ClientStatistics]:
        return {name: client.statistics() for name, client in _named(self._clients()).items()}

    def _is_in_trio(self) -> bool:
        try:
            return trio.lowlevel.current_trio_token() is self._token
        except RuntimeError:
            return False

    def _read_from_thread(self) -> dict[str, ClientStatistics] | None:
        box: SimpleQueue[dict[str, ClientStatistics] | Exception] = SimpleQueue()

        def answer() -> None:
            try:
                box.put(self._read())
            except Exception as error:  # noqa: BLE001 (it is the asker's: here it would end the whole run)
                box.put(error)

        try:
            self._token.run_sync_soon(answer)
            now = box.get(timeout=ANSWER_SECONDS)
        except (Empty, trio.RunFinishedError):
            return None
        if isinstance(now, Exception):
            raise now
        return now


def _up() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "kraken_trio_up", "1 if the client's numbers could be read; 0 if its event loop is busy.", labels=("client",)
    )


def register(*clients: Client, registry: CollectorRegistry = REGISTRY, max_series: int = MAX_SERIES) -> Collector:
    """Add these clients to a registry of ``prometheus_client``, by default its own; to be called in Trio.

    Their numbers are read when the registry is asked, in the Trio thread: another thread crosses over, and waits for a
    second at most. If the loop does not answer by then, ``kraken_trio_up`` is 0, and the rest is missing.

    The label ``client`` is :attr:`Client.name <kraken_trio.Client.name>`, with a number if several have the same.
    ``max_series`` limits the metrics by symbol: each has so many symbols of a client, at most; those that were
    subscribed to first have a series each, and the rest share the one with the symbol ``other``.

    The registry holds the clients until :meth:`Collector.unregister`, or the end of ``with register(…):``. Raises
    :class:`ValueError` if it holds others already: pass all clients at once, or give each call a registry of its own.
    """
    if not clients:
        msg = "register needs at least one client"
        raise ValueError(msg)
    if type(max_series) is not int or max_series < 1:
        msg = f"max_series={max_series!r}: a whole number, at least 1"
        raise ValueError(msg)
    for client in clients:
        if not isinstance(client, Client):
            msg = f"metrics are those of a Client, not of {client!r}"
            raise TypeError(msg)
    return register_those(lambda: clients, registry, max_series)


def register_those(clients: Callable[[], Iterable[Client]], registry: CollectorRegistry, max_series: int) -> Collector:
    """As :func:`register`, for the clients that there are whenever somebody asks."""
    collector = Collector(clients, registry, max_series)
    try:
        registry.register(collector)
    except ValueError as error:  # which lists all names
        msg = "this registry has clients already: pass all of them to one register, or take a registry of its own"
        raise ValueError(msg) from error
    return collector


def _named(clients: Iterable[Client]) -> dict[str, Client]:
    """Each under a name of its own."""
    named: dict[str, Client] = {}
    for client in clients:
        name, number = client.name, 1
        while name in named:
            number += 1
            name = f"{client.name} {number}"
        named[name] = client
    return named
