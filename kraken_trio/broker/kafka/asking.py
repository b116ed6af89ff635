"""Questions to brokers, which block, for a consumer that reads nothing; and what a message says of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError, KafkaException

from kraken_trio.broker.kafka.client import ANSWER_WITHIN
from kraken_trio.broker.kafka.errors import NO_TOPIC, PASSING, error_of, words
from kraken_trio.broker.seam import BrokerLost

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message, TopicPartition

_PAUSE: Final = 0.1
"""Seconds before something is asked again."""


def progress(message: Message) -> tuple[int, int, bool] | None:
    """Partition and offset of a message, and whether it is the end of the partition for now; None if it says nothing.

    Raises :class:`BrokerLost` for an error.
    """
    error, partition, offset = message.error(), message.partition(), message.offset()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:
        if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            # It looks for the coordinator of a group, although it is in none.
            return None
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            msg = "the messages that come next are no longer stored: they expired before they were read"
            raise BrokerLost(msg)
        raise BrokerLost(words(error))
    assert partition is not None
    assert offset is not None
    return partition, offset, error is not None


def watermarks(consumer: Consumer, partition: TopicPartition) -> tuple[int, int] | None:
    """The first offset that is stored, and the next one; None if there is no such topic or partition.

    Blocks, also while a partition has no leader for a moment: librdkafka may call it unknown then. Raises
    :class:`KafkaException`.
    """
    patience = int(ANSWER_WITHIN / _PAUSE)
    while True:
        try:
            return consumer.get_watermark_offsets(partition, timeout=ANSWER_WITHIN)
        except KafkaException as error:
            code, patience = error_of(error).code(), patience - 1
            if code in NO_TOPIC:
                if count_partitions(consumer, partition.topic) <= partition.partition:
                    return None
            elif code not in PASSING:
                raise
            if not patience:
                raise
        consumer.poll(_PAUSE)


def count_partitions(consumer: Consumer, topic: str) -> int:
    """How many partitions a topic has; 0 if there is none of this name. Blocks; raises :class:`KafkaException`."""
    found = consumer.list_topics(topic, ANSWER_WITHIN).topics[topic]
    if found.error is not None and found.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
        raise KafkaException(found.error)
    return len(found.partitions)
