"""The two topics: where they are made, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # (it exports them without saying so)
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from kraken_trio.broker.kafka.asking import count_partitions, watermarks
from kraken_trio.broker.kafka.client import ANSWER_WITHIN, Watch
from kraken_trio.broker.kafka.errors import error_of, loss
from kraken_trio.broker.options import duration, parse_options, size, whole
from kraken_trio.broker.seam import BrokerLost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kraken_trio.broker.kafka.address import Address
    from kraken_trio.broker.kafka.client import Setup

_MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
"""Of topics that we make. The largest books have a tenth of it, compressed."""
_DEFAULT_MESSAGE_BYTES: Final = 1_048_588
"""Kafka's default, of topics whose settings we may not see."""
_SEGMENT_BYTES: Final = 64 * 1024 * 1024
"""Of the data's files: what is dropped, is dropped by the file."""
_STEP: Final = 0.1
"""Seconds."""
_TOO_OLD: Final = frozenset({KafkaError._UNSUPPORTED_FEATURE, KafkaError.UNSUPPORTED_VERSION})

_OPTIONS: Final = {"partitions": whole(9999), "replicas": whole(9999), "max_age": duration, "max_bytes": size}
_KNOWN: Final = "partitions=8, replicas=3, max_age=24h, max_bytes=50GiB"

_COMMON: Final[Mapping[str, str]] = {
    "max.message.bytes": str(_MAX_MESSAGE_BYTES),
    # By the broker's clock: all who publish have clocks of their own.
    "message.timestamp.type": "LogAppendTime",
}
_CONTROL: Final[Mapping[str, str]] = {
    **_COMMON,
    "cleanup.policy": "compact",
    # Who connects reads all of it: it is kept short, a minute or two of leases and catalogs.
    "segment.ms": "60000",
    "segment.bytes": str(16 * 1024 * 1024),
    "min.cleanable.dirty.ratio": "0.1",
    "max.compaction.lag.ms": "120000",
}


@attrs.frozen
class Limits:
    """How the topics are made, if they are missing."""

    partitions: int = 8
    """More let more consumers share it; each symbol is in one of them."""
    replicas: int | None = None
    """None: as many as the broker's ``default.replication.factor`` says."""
    max_age: int = 6 * 3600
    """Seconds."""
    max_bytes: int = 8 << 30
    """Of all partitions."""

    @classmethod
    def parse(cls, query: str) -> Limits:
        """Of ``partitions=8&replicas=3&max_age=24h&max_bytes=50GiB``. Raises :class:`ValueError`."""
        return cls(**parse_options(query, _OPTIONS, _KNOWN))

    def topics(self, address: Address) -> list[NewTopic]:
        """What to make."""
        kept = {
            **_COMMON,
            "cleanup.policy": "delete",
            "retention.ms": str(self.max_age * 1000),
            "retention.bytes": str(max(self.max_bytes // self.partitions, _SEGMENT_BYTES)),
            "segment.bytes": str(_SEGMENT_BYTES),
        }
        replicas = -1 if self.replicas is None else self.replicas
        return [
            NewTopic(address.topic, self.partitions, replicas, config=kept),
            *(NewTopic(name, 1, replicas, config=dict(_CONTROL)) for name in (address.control, address.groups)),
        ]


def make_topics(consumer: Consumer, setup: Setup, limits: Limits) -> tuple[int, int]:
    """Make those that are missing. Blocks. How many partitions the data have, and how large a message may be."""
    address = setup.address
    # The futures of a client die with it.
    admin = AdminClient(setup.config(Watch()))
    _make(admin, consumer, limits.topics(address)[:2])
    count = _wait_for(consumer, address.topic)
    return count, message_limit(admin, address.topic, address.control)


def topic_id(setup: Setup, topic: str) -> str:
    """Which topic of this name it is; empty if a broker does not say (before 2.8). Blocks; raises KafkaException."""
    admin = AdminClient(setup.config(Watch()))
    (future,) = admin.describe_topics(TopicCollection([topic]), request_timeout=ANSWER_WITHIN).values()
    try:
        found = future.result(2 * ANSWER_WITHIN).topic_id
    except KafkaException as error:
        if error_of(error).code() in _TOO_OLD:
            return ""
        raise
    is_given = found.get_most_significant_bits() or found.get_least_significant_bits()
    return str(found) if is_given else ""


def make_groups_topic(consumer: Consumer, setup: Setup, limits: Limits) -> None:
    """Make the topic of consumer groups' records, if it is missing. Blocks."""
    _make(AdminClient(setup.config(Watch())), consumer, limits.topics(setup.address)[2:])


def _make(admin: AdminClient, consumer: Consumer, topics: list[NewTopic]) -> None:
    """Make those that are missing, and wait until they are there. Blocks."""
    new = [topic for topic in topics if not count_partitions(consumer, topic.topic)]
    if new:
        made = admin.create_topics(new, operation_timeout=ANSWER_WITHIN, request_timeout=ANSWER_WITHIN)
        for name, future in made.items():
            try:
                future.result(2 * ANSWER_WITHIN)
            except KafkaException as error:
                if error_of(error).code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise loss(error, f"the topic {name} is not there, and cannot be made: ") from None
        for topic in new:
            _wait_for(consumer, topic.topic)


def _wait_for(consumer: Consumer, topic: str) -> int:
    """Until a topic that has just been made is there, as far as we see; how many partitions it has. Blocks."""
    for _ in range(int(ANSWER_WITHIN / _STEP)):
        count = count_partitions(consumer, topic)
        try:
            if count and all(watermarks(consumer, TopicPartition(topic, partition)) for partition in range(count)):
                return count
        except KafkaException as error:
            if not error_of(error).retriable() and error_of(error).code() != KafkaError.NOT_LEADER_FOR_PARTITION:
                raise
        consumer.poll(_STEP)
    msg = f"the topic {topic} has just been made, and is not there yet"
    raise BrokerLost(msg)


def message_limit(admin: AdminClient, *topics: str) -> int:
    """How large a message may be, by the topics' settings. Blocks."""
    limit = _MAX_MESSAGE_BYTES
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
    for future in admin.describe_configs(resources, request_timeout=ANSWER_WITHIN).values():
        try:
            limit = min(limit, int(future.result(2 * ANSWER_WITHIN)["max.message.bytes"].value))
        except (KafkaException, KeyError):
            # It needs a right that nobody may have given us.
            limit = min(limit, _DEFAULT_MESSAGE_BYTES)
    return limit
