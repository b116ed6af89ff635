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

from typing import TYPE_CHECKING, Final

import attrs
import trio

from kraken_trio.broker.kafka.follower import PARTITION, Follower, headers_of
from kraken_trio.broker.messages import decode_lease
from kraken_trio.broker.seam import Incoming
from kraken_trio.broker.subjects import Kind, Subject, parse_subject
from kraken_trio.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from confluent_kafka import Message

    from kraken_trio.broker.kafka.client import Asker, Setup

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


class Control(Follower):
    """What is in the topic, as far as it has been read."""

    def __init__(self, setup: Setup, asker: Asker) -> None:
        super().__init__(setup, setup.address.control, asker)
        self.leases: dict[int, Lease] = {}
        self.catalogs: dict[int, Incoming] = {}
        self.base: int | None = None
        """What owners' numbers count from, once there is any."""

    def is_free(self, shard: int, holder: str, ttl: float) -> bool:
        """Whether the shard has no owner, as far as is known, or only ourselves under an earlier number."""
        lease = self.leases.get(shard)
        return (
            lease is None or lease.is_released or lease.holder == holder or trio.current_time() - lease.heard_at >= ttl
        )

    def _clear(self) -> None:
        self.leases.clear()
        self.catalogs.clear()
        self.base = None

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


def subject_of(headers: Mapping[str, bytes]) -> Subject | None:
    """What a message is about; None if it is none of a relay."""
    try:
        return parse_subject(headers[SUBJECT].decode("ascii"))
    except (KeyError, AttributeError, UnicodeDecodeError, ProtocolError):
        return None
