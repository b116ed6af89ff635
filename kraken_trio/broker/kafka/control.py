"""The topic of leases and catalogs, read by whoever wants to know: partition 0 of ``NAME.control``, from its beginning.

Keys are ``3.lease`` and ``3.catalog``, so that compaction leaves the newest of each. Headers of a lease:

============  =============================================================================================
``producer``  the owner's number; not in its first record, whose offset makes it: ``base`` and the offset
``base``      what numbers count from: they have to grow also if the topic is deleted and made again. The very
              first record has none: then it is its own time, in microseconds
``released``  it is the owner's last one
============  =============================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import attrs
import trio
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from kraken_trio.broker.kafka.client import ANSWER_WITHIN, BATCH, POLL_EVERY, Watch, watermarks, words
from kraken_trio.broker.messages import decode_lease
from kraken_trio.broker.seam import BrokerLost, Incoming
from kraken_trio.broker.subjects import Kind, Subject, parse_subject
from kraken_trio.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from confluent_kafka import Consumer, Message

    from kraken_trio.broker.kafka.client import Setup

PARTITION: Final = 0
"""Of the control topic: all in one order."""
BASE: Final = "base"
PRODUCER: Final = "producer"
RELEASED: Final = "released"
SUBJECT: Final = "subject"
"""The headers."""
_MS: Final = 1_000_000
"""Nanoseconds."""


@attrs.frozen
class Lease:
    """The last that was heard of a shard's owner."""

    producer: int
    holder: str
    heard_at: float
    """By Trio's clock: when we read it, later than it was written."""
    is_released: bool


class Control:
    """What is in the topic, as far as it has been read."""

    def __init__(self, setup: Setup, asker: Consumer) -> None:
        self.leases: dict[int, Lease] = {}
        self.catalogs: dict[int, Incoming] = {}
        self.base: int | None = None
        """What owners' numbers count from, once there is any."""
        self._setup = setup
        self._asker = asker
        self._consumer: Consumer | None = None
        self._next: int | None = None
        self._lock = trio.Lock()

    def is_free(self, shard: int, holder: str, ttl: float) -> bool:
        """Whether the shard has no owner, as far as is known, or only ourselves under an earlier number."""
        lease = self.leases.get(shard)
        return (
            lease is None or lease.is_released or lease.holder == holder or trio.current_time() - lease.heard_at >= ttl
        )

    async def catch_up(self) -> bool:
        """Read all that is there now. Returns whether the topic exists. Raises :class:`BrokerLost`."""
        partition = TopicPartition(self._setup.address.control, PARTITION)
        async with self._lock:
            found = await self._setup.in_thread(watermarks, self._asker, partition)
            if found is None:
                return False
            if self._consumer is None:
                self._consumer = self._setup.consumer(Watch())
            low, high = found
            if self._next is None or not low <= self._next <= high:
                # The first time; or somebody has deleted it, and what we know with it.
                self.leases.clear()
                self.catalogs.clear()
                self.base = None
                self._next = low
                partition.offset = low
                self._consumer.assign([partition])
            deadline = trio.current_time() + ANSWER_WITHIN
            while self._next < high:
                if self._take():
                    deadline = trio.current_time() + ANSWER_WITHIN
                elif trio.current_time() > deadline:
                    msg = f"{partition.topic}: no answer for {ANSWER_WITHIN:g} s"
                    raise BrokerLost(msg)
                await trio.sleep(POLL_EVERY)
        return True

    def look(self) -> None:
        """Read what has come, without asking the broker."""
        if self._next is not None and not self._lock.locked():
            while self._take() == BATCH:
                pass

    def close(self) -> None:
        """Blocks for a moment."""
        if self._consumer is not None:
            self._consumer.close()

    def _take(self) -> int:
        """Take some of what has come; how many they were."""
        try:
            assert self._consumer is not None
            messages = self._consumer.consume(BATCH, 0)
        except KafkaException as raised:
            raise BrokerLost(words(raised)) from None
        for message in messages:
            error, offset = message.error(), message.offset()
            assert offset is not None
            if error is None:
                self._next = offset + 1
                self._read(message, offset)
            elif error.code() == KafkaError._PARTITION_EOF:
                # Beyond the marks of transactions, which are no messages.
                self._next = offset
            else:
                raise BrokerLost(words(error))
        return len(messages)

    def _read(self, message: Message, offset: int) -> None:
        headers = headers_of(message)
        subject, data = subject_of(headers), message.value()
        if subject is None or data is None:
            return
        if subject.kind is Kind.CATALOG:
            self.catalogs[subject.shard] = Incoming(subject, data, PARTITION, offset, message.timestamp()[1] * _MS)
        elif subject.kind is Kind.LEASE:
            try:
                holder = decode_lease(data).holder
                if BASE in headers:
                    self.base = int(headers[BASE])
                elif self.base is None:
                    self.base = message.timestamp()[1] * 1000
                producer = int(headers[PRODUCER]) if PRODUCER in headers else self.base + offset
            except (ProtocolError, ValueError):
                return
            known = self.leases.get(subject.shard)
            if known is None or producer >= known.producer:
                self.leases[subject.shard] = Lease(producer, holder, trio.current_time(), RELEASED in headers)


def headers_of(message: Message) -> Mapping[str, bytes]:
    """The headers; of a name that stands twice, one."""
    return dict(cast("list[tuple[str, bytes]]", message.headers() or ()))


def subject_of(headers: Mapping[str, bytes]) -> Subject | None:
    """What a message is about; None if it is none of a relay."""
    try:
        return parse_subject(headers[SUBJECT].decode("ascii"))
    except (KeyError, AttributeError, UnicodeDecodeError, ProtocolError):
        return None
