"""The engine, and its links: :class:`KafkaEngine`."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Final

import trio

from kraken_trio.broker.kafka.address import Address
from kraken_trio.broker.kafka.client import CLOSED, Asker, Setup, check, connect
from kraken_trio.broker.kafka.control import BASE, PRODUCER, RELEASED, SUBJECT, Control
from kraken_trio.broker.kafka.errors import MisconfiguredError
from kraken_trio.broker.kafka.follower import PARTITION
from kraken_trio.broker.kafka.owner import Headers, Outbound, Owner
from kraken_trio.broker.kafka.records import Records
from kraken_trio.broker.kafka.source import open_source, record_key
from kraken_trio.broker.kafka.topics import Limits, make_groups_topic, make_topics
from kraken_trio.broker.messages import LeaseNote, encode
from kraken_trio.broker.partitioning import partition_of
from kraken_trio.broker.seam import BrokerLost, Fence, Fenced, TooLarge
from kraken_trio.broker.subjects import Kind, Subject
from kraken_trio.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from kraken_trio.broker.login import BrokerLogin, BrokerTls
    from kraken_trio.broker.seam import Incoming, Link, Outgoing, Record, Source, Start
    from kraken_trio.broker.subjects import Key

LEASE_TTL: Final = 3.0
"""Seconds."""
_OVERHEAD: Final = 1024
"""Bytes of a message beside its data: key, headers, frame."""


class KafkaEngine:
    """Apache Kafka, 2.5 or later: an :class:`~kraken_trio.broker.seam.Engine`.

    ``url`` is ``kafka://host[:port][,host[:port]…][/topic]``; the topic is ``kraken`` by default, and ``topic.control``
    is another. Who publishes first makes them, if they do not exist. After a ``?`` may stand how:
    ``partitions=8&replicas=3&max_age=24h&max_bytes=50GiB``, by default 8 partitions, as many replicas as
    ``default.replication.factor`` of the broker says, 6 hours and 8 GiB. Topics that exist are taken as they are: both
    should have ``message.timestamp.type=LogAppendTime``, and the control topic one partition and
    ``cleanup.policy=compact``. The number of partitions must not be changed while anybody publishes or reads: keys
    would move.

    ``login``: SASL with PLAIN or SCRAM. ``tls``: files of PEM. Raises :class:`ValueError` for what cannot be.
    """

    def __init__(
        self,
        url: str,
        *,
        login: BrokerLogin | None = None,
        tls: BrokerTls | None = None,
        lease_ttl: float = LEASE_TTL,
    ) -> None:
        address, query = Address.parse(url)
        self._limits = Limits.parse(query)
        check(address, login, tls)
        self._setup = Setup(address, login, tls)
        self._lease_ttl = lease_ttl

    @property
    def name(self) -> str:
        """As for any engine."""
        return str(self._setup.address)

    @property
    def stream(self) -> str:
        """As for any engine."""
        return self._setup.address.topic

    @property
    def lease_ttl(self) -> float:
        """As for any engine."""
        return self._lease_ttl

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[Link]:
        setup = self._setup
        asker = await trio.to_thread.run_sync(connect, setup, abandon_on_cancel=True, limiter=setup.limiter)
        link = _Link(setup, asker, self._limits, self._lease_ttl)
        try:
            yield link
        finally:
            await link.close()  # noqa: ASYNC102 (it has a shield and a limit of its own)

    def connect(self) -> AbstractAsyncContextManager[Link]:
        """As for any engine."""
        return self._connect()

    def __repr__(self) -> str:
        return f"<KafkaEngine {self.name}>"


class _Link:
    """:class:`~kraken_trio.broker.seam.Link`."""

    def __init__(self, setup: Setup, asker: Asker, limits: Limits, lease_ttl: float) -> None:
        self._setup = setup
        self._asker = asker
        self._control = Control(setup, asker)
        self._records = Records(setup, asker)
        self._has_groups = False
        self._lease_ttl = lease_ttl
        self._owners: dict[int, Owner] = {}
        self._limits = limits
        self._partitions = 0
        self._max_message_bytes = 0
        self._resuming = trio.Lock()
        self._lost: str | None = None

    async def close(self) -> None:
        """Close all; what was not acknowledged is dropped."""
        self._lost = CLOSED
        owners = [owner.end() for owner in self._owners.values()]
        self._owners.clear()
        await self._setup.close(*owners, *self._control.end(), *self._records.end(), self._asker.close)

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        """What finds the connection lost ends the link."""
        if self._lost is not None:
            raise BrokerLost(self._lost)
        try:
            yield
        except BrokerLost as error:
            self._lose(error)
            raise

    def _lose(self, error: BrokerLost) -> None:
        self._lost = self._lost or str(error)

    # Producing

    async def acquire(self, shard: int, holder: str) -> Fence | None:
        """As for any link."""
        try:
            with self._in_use():
                return await self._acquire(shard, holder)
        except MisconfiguredError as error:
            raise ConnectError(str(error), retryable=False) from None

    async def _acquire(self, shard: int, holder: str) -> Fence | None:
        await self._make_topics()
        self._control.look()
        owner = self._owners.get(shard)
        # Our own lease, on a link that is lost, need not age.
        own = "" if owner is not None and owner.is_usable else holder
        if not self._control.is_free(shard, own, self._lease_ttl):
            await trio.lowlevel.checkpoint()
            return None
        # What has come meanwhile counts, too: we may have slept.
        await self._control.catch_up()
        if not self._control.is_free(shard, own, self._lease_ttl):
            return None
        owner = await self._begin(shard)
        note = encode(LeaseNote(shard=shard, holder=holder))
        try:
            offset = await owner.send([self._lease_record(shard, note)])
        except Fenced:
            # Somebody was quicker, by the time that this took.
            await self._drop(shard)
            return None
        # It is read again: what its number counts from may stand in it.
        await self._control.catch_up()
        assert self._control.base is not None
        owner.number = self._control.base + offset
        return Fence(shard, owner.number, note)

    async def _begin(self, shard: int) -> Owner:
        """A producer that has fenced all before it."""
        await self._drop(shard)
        owner = Owner(self._setup, shard, self._max_message_bytes)
        self._owners[shard] = owner
        await owner.begin()
        return owner

    async def _drop(self, shard: int) -> None:
        owner = self._owners.pop(shard, None)
        if owner is not None:
            await self._setup.close(owner.end())

    def _lease_record(self, shard: int, note: bytes, *more: tuple[str, str | bytes | None]) -> Outbound:
        subject = str(Subject(shard, Kind.LEASE))
        headers: Headers = [(SUBJECT, subject), *more]
        if self._control.base is not None:
            headers.append((BASE, b"%d" % self._control.base))
        return Outbound(self._setup.address.control, PARTITION, subject, note, headers)

    async def _owner(self, fence: Fence) -> Owner:
        """The producer of this fence: that of this link, or a new one, if nobody else has become the owner."""
        async with self._resuming:
            owner = self._owners.get(fence.shard)
            if owner is None or owner.number != fence.producer:
                await self._make_topics()
                await self._confirm(fence)
                owner = await self._begin(fence.shard)
                # Who was the owner before this can write nothing any more: what stands there now is true.
                await self._confirm(fence)
                owner.number = fence.producer
        return owner

    async def _confirm(self, fence: Fence) -> None:
        await self._control.catch_up()
        lease = self._control.leases.get(fence.shard)
        if lease is None or lease.producer != fence.producer or lease.is_released:
            msg = f"another relay is the owner of shard {fence.shard} now"
            raise Fenced(msg)

    async def renew(self, fence: Fence) -> None:
        """As for any link."""
        with self._in_use():
            owner = await self._owner(fence)
            await owner.send([self._lease_record(fence.shard, _note(fence), _number(fence))])
            await owner.commit()

    async def release(self, fence: Fence) -> None:
        """As for any link."""
        with self._in_use():
            with suppress(Fenced):
                owner = await self._owner(fence)
                record = self._lease_record(fence.shard, _note(fence), _number(fence), (RELEASED, b""))
                await owner.send([record])
                await owner.commit(now=True)
            await self._drop(fence.shard)

    async def publish(self, fence: Fence, messages: Sequence[Outgoing]) -> None:
        """As for any link."""
        with self._in_use():
            await self._publish(fence, messages)

    async def _publish(self, fence: Fence, messages: Sequence[Outgoing]) -> None:
        owner = await self._owner(fence)
        limit = self._max_message_bytes - _OVERHEAD
        too_large = next((at for at, message in enumerate(messages) if len(message.data) > limit), None)
        await owner.send([self._record(message) for message in messages[:too_large]])
        if too_large is not None:
            size = len(messages[too_large].data)
            msg = f"a message of {size} bytes: max.message.bytes of the topic allows {limit}; raise that of both topics"
            raise TooLarge(msg, too_large)

    def _record(self, message: Outgoing) -> Outbound:
        subject = message.subject
        text = str(subject)
        headers: Headers = [(SUBJECT, text)]
        if subject.kind in {Kind.DATA, Kind.KEY}:
            key = record_key(subject.symbol)
            partition = partition_of(key.encode(), self._partitions)
            return Outbound(self._setup.address.topic, partition, key, message.data, headers)
        return Outbound(self._setup.address.control, PARTITION, text, message.data, headers)

    async def _make_topics(self) -> None:
        """Make the topics, if they are not there, and see what they are like."""
        if not self._partitions:
            self._partitions, self._max_message_bytes = await self._setup.in_thread(
                self._asker.call, make_topics, self._setup, self._limits
            )

    # Reading

    async def catalogs(self) -> Sequence[Incoming]:
        """As for any link."""
        with self._in_use():
            await self._control.catch_up()
        return list(self._control.catalogs.values())

    # Consumer groups

    async def records(self, prefix: str) -> Mapping[str, Record]:
        """As for any link."""
        with self._in_use():
            await self._records.catch_up()
        return self._records.find(prefix)

    async def write(self, name: str, value: bytes, revision: int) -> int | None:
        """As for any link."""
        with self._in_use():
            if not self._has_groups:
                await self._setup.in_thread(self._asker.call, make_groups_topic, self._setup, self._limits)
                self._has_groups = True
            return await self._records.write(name, value, revision)

    @asynccontextmanager
    async def _read(self, keys: Collection[Key], start: Start, back: float) -> AsyncIterator[Source]:
        if self._lost is not None:
            raise BrokerLost(self._lost)
        source = await self._setup.in_thread(open_source, self._setup, keys, start, back)
        source.on_loss = self._lose
        try:
            yield source
        finally:
            await self._setup.close(source.end())  # noqa: ASYNC102 (it has a shield and a limit of its own)

    def read(self, keys: Collection[Key], start: Start, *, back: float) -> AbstractAsyncContextManager[Source]:
        """As for any link."""
        return self._read(keys, start, back)


def _note(fence: Fence) -> bytes:
    assert isinstance(fence.token, bytes)
    return fence.token


def _number(fence: Fence) -> tuple[str, bytes]:
    return PRODUCER, b"%d" % fence.producer
