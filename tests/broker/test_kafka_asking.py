"""What is asked of a broker, while it has not an answer to everything."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from kraken_trio.broker.kafka.asking import watermarks
from kraken_trio.broker.kafka.errors import NO_TOPIC, PASSING


class FakeConsumer:
    """It refuses to tell offsets with these errors, one after the other, and then tells them."""

    def __init__(self, *errors: int, partitions: int = 1) -> None:
        self.errors = list(errors)
        self.partitions = partitions

    def get_watermark_offsets(self, *_: object, timeout: float) -> tuple[int, int]:
        del timeout
        if self.errors:
            raise KafkaException(KafkaError(self.errors.pop(0)))
        return 3, 9

    def list_topics(self, topic: str, _timeout: float) -> Any:
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions=range(self.partitions), error=None)})

    def poll(self, _seconds: float) -> None:
        """No time passes."""


def ask(consumer: Any) -> tuple[int, int] | None:
    return watermarks(consumer, TopicPartition("kraken.control", 0))


@pytest.mark.parametrize("code", sorted(NO_TOPIC | PASSING))
def test_a_partition_without_a_leader_is_waited_for(code: int) -> None:
    """Once one that was called unknown meanwhile was taken for an empty one: a shard seemed to have no owner."""
    assert ask(FakeConsumer(code, code)) == (3, 9)
    with pytest.raises(KafkaException):
        ask(FakeConsumer(*[code] * 1000))


@pytest.mark.parametrize("code", sorted(NO_TOPIC))
def test_a_partition_that_is_not_there_is_not_waited_for(code: int) -> None:
    assert ask(FakeConsumer(code, partitions=0)) is None


def test_other_errors_are_raised_at_once() -> None:
    consumer = FakeConsumer(KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaException):
        ask(consumer)
    assert len(consumer.errors) == 1
