"""librdkafka's own mock of a cluster: in this process, at once, and without Java.

It stores, orders and acknowledges, and knows transactions by name. It has no administration (topics are made by asking
for them), fences nobody, and finds no offset for a time.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from confluent_kafka import Consumer

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTITIONS = 4
"""What it gives each topic."""


class KafkaMock:
    """A mock of one broker."""

    def __init__(self, host: Consumer) -> None:
        self._host = host
        (broker,) = host.list_topics(timeout=5).brokers.values()
        self.address = f"{broker.host}:{broker.port}"

    def make(self, topic: str) -> None:
        """Make a topic, and its control topic."""
        for name in (topic, f"{topic}.control"):
            assert len(self._host.list_topics(name, timeout=5).topics[name].partitions) == PARTITIONS


@contextmanager
def kafka_mock() -> Iterator[KafkaMock]:
    """Have one."""
    host = Consumer(
        {
            "test.mock.num.brokers": 1,
            "bootstrap.servers": "is replaced by the mock",
            "group.id": "host",
            "log_level": 0,
            "allow.auto.create.topics": True,
        }
    )
    try:
        yield KafkaMock(host)
    finally:
        host.close()
