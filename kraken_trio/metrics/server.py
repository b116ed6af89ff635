"""A small HTTP server for Prometheus and for whoever asks whether a client is well. It has no thread of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from kraken_trio import Client
from kraken_trio.metrics.collector import MAX_SERIES, Collector, register, register_those
from kraken_trio.metrics.health import problems
from kraken_trio.metrics.http import TEXT, HttpServer, health

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kraken_trio.metrics.http import Answer

__all__ = ["serve", "serve_those"]


async def serve(  # noqa: ASYNC128 (_listen does it)
    clients: Client | Iterable[Client],
    port: int,
    *,
    host: str = "127.0.0.1",
    registry: CollectorRegistry | None = None,
    max_series: int = MAX_SERIES,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the numbers of these clients over HTTP, until cancelled: ``await nursery.start(serve, client, 9464)``.

    * ``/metrics``: all numbers, for Prometheus;
    * ``/healthz``: 200 while every client is connected, everything that it wants is confirmed, every book verified, and
      every recording can be written; else 503, and a line for each thing that is wrong.

    ``nursery.start`` returns the port; with port 0, a free one is taken. ``registry`` is one of yours, whose other
    numbers are served as well; ``max_series`` is as for :func:`register`.

    It is answered in the Trio thread. At most 8 connections are served at a time, each for at most 5 s. There is no
    encryption and no password: whoever can connect to ``host`` sees the numbers, but no data and no secrets.

    Raises :class:`OSError` if the port cannot be used, and :class:`ValueError` as :func:`register` does.
    """
    several = (clients,) if isinstance(clients, Client) else tuple(clients)
    registry = CollectorRegistry() if registry is None else registry
    with register(*several, registry=registry, max_series=max_series) as collector:
        await _listen(_Pages(registry, collector, lambda: ()), port, host, task_status)


async def serve_those(  # noqa: ASYNC128 (_listen does it)
    clients: Callable[[], Iterable[Client]],
    port: int,
    *,
    host: str,
    registry: CollectorRegistry,
    more_problems: Callable[[], Iterable[str]] = lambda: (),
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """As :func:`serve`, for the clients that there are whenever somebody asks, and with more lines of ``/healthz``."""
    with register_those(clients, registry, MAX_SERIES) as collector:
        await _listen(_Pages(registry, collector, more_problems), port, host, task_status)


async def _listen(pages: _Pages, port: int, host: str, task_status: trio.TaskStatus[int]) -> None:
    listeners = await trio.open_tcp_listeners(port, host=host)
    task_status.started(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(HttpServer(pages.answer).handle, listeners)


class _Pages:
    def __init__(self, registry: CollectorRegistry, collector: Collector, more: Callable[[], Iterable[str]]) -> None:
        self._registry = registry
        self._collector = collector
        self._more = more

    async def answer(self, path: bytes, accept: str) -> Answer:
        if path == b"/metrics":
            encode, kind = choose_encoder(accept)
            return 200, kind, encode(self._registry)
        if path == b"/healthz":
            found = [line for name, now in self._collector.statistics().items() for line in problems(name, now)]
            return health([*self._more(), *found])
        return 404, TEXT, b"there are /metrics and /healthz\n"
