"""The numbers of a relay, beside those of its clients: what a shard's process serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from kraken_trio.metrics.server import serve_those

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.core import Metric

    from kraken_trio import Client
    from kraken_trio.relay import RelayStatistics

__all__ = ["relay_families", "serve_relay"]

_COUNTERS: Final = (
    ("events", "events", "Events that the broker has stored."),
    ("messages", "messages", "Messages that it has stored, with key frames and catalogs."),
    ("bytes", "bytes", "Their bytes, after compression."),
    ("key_frames", "key_frames", "Key frames that were made."),
    ("takeovers", "takeovers", "How often this process became the owner of its shard."),
    ("fenced", "fenced", "How often another process took over from it."),
    ("broker_connects", "connects", "Connections to the broker."),
    ("conflated", "conflated", "Events that were dropped because the outbox was full."),
    ("held_seconds", "held_seconds", "Time for which nothing was received because the outbox was full."),
    ("too_large", "too_large", "Messages that the broker did not take because of their size."),
)
"""Names, fields of RelayStatistics, and help texts."""
_GAUGES: Final = (
    ("owner", "is_owner", "1 if this process is the owner of its shard; of all processes of a shard, one is."),
    ("broker_connected", "is_connected", "1 if there is a connection to the broker."),
    ("requests", "requests", "What is published, each of a channel and symbol."),
    ("waiting_events", "waiting_events", "Events that wait to be sent."),
    ("unacked_messages", "unacked_messages", "Messages that were sent, or are about to be, and are not acknowledged."),
    ("unacked_bytes", "unacked_bytes", "Their bytes."),
)


def relay_families(now: RelayStatistics) -> Iterator[Metric]:
    """The numbers of a relay."""
    for metric, field, text in _COUNTERS:
        counter = CounterMetricFamily(f"kraken_trio_relay_{metric}", text)
        counter.add_metric([], getattr(now, field))
        yield counter
    for metric, field, text in _GAUGES:
        gauge = GaugeMetricFamily(f"kraken_trio_relay_{metric}", text)
        gauge.add_metric([], getattr(now, field))
        yield gauge


class _Relay(Collector):
    def __init__(self, read: Callable[[], RelayStatistics]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        return relay_families(self._read())


async def serve_relay(  # noqa: ASYNC128 (serve_those does it)
    read: Callable[[], RelayStatistics],
    clients: Callable[[], Iterable[Client]],
    port: int,
    *,
    host: str = "127.0.0.1",
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """As :func:`~kraken_trio.metrics.serve`, for the clients of a relay that there are, and the relay itself.

    ``/healthz`` is 503 also while there is no connection to the broker.
    """
    registry = CollectorRegistry()
    registry.register(_Relay(read))

    def problems() -> Iterable[str]:
        return () if read().is_connected else ("no connection to the broker",)

    await serve_those(clients, port, host=host, registry=registry, more_problems=problems, task_status=task_status)
