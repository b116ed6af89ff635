"""Brokers with one stream each, for the contract of engines: what a test needs of them beside the seam."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs
import trio
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from kraken_trio.broker.kafka import KafkaEngine
from kraken_trio.broker.nats import NatsEngine
from tests.broker.nats_server import NatsServer, ask, insist

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kraken_trio.broker.seam import Engine
    from kraken_trio.testing import MemoryBroker
    from tests.broker.kafka_server import KafkaServer

PATIENCE = 60.0
"""Seconds for what takes none on a machine that has nothing else to do."""


class Site(Protocol):
    """A broker, and one stream of it."""

    @property
    def lease_ttl(self) -> float: ...

    def engine(self, program: str = "") -> Engine:
        """The engine of a program."""
        ...

    async def crash(self) -> None:
        """Kill the broker, and start it again: with all that it has acknowledged."""
        ...

    async def expire(self, keep: int) -> None:
        """Let the stream's retention drop all messages but the last ``keep`` of each partition."""
        ...

    async def remake(self) -> None:
        """Delete the stream: who publishes next makes another one of the same name."""
        ...


@attrs.frozen
class MemorySite:
    """In memory."""

    broker: MemoryBroker

    @property
    def lease_ttl(self) -> float:
        return self.broker.lease_ttl

    def engine(self, program: str = "") -> Engine:
        return self.broker.seen_by(program)

    async def crash(self) -> None:
        self.broker.drop_links(in_flight=True)

    async def expire(self, keep: int) -> None:
        self.broker.expire(keep=keep)

    async def remake(self) -> None:
        self.broker.remake()


@attrs.frozen
class NatsSite:
    """A server, which several tests share."""

    server: NatsServer
    stream: str
    query: str = "?max_bytes=64MiB"
    """A server promises its disk to no more streams than it has room for."""
    options: dict[str, Any] = attrs.Factory(dict)

    @property
    def lease_ttl(self) -> float:
        return self.engine().lease_ttl

    def engine(self, program: str = "") -> Engine:
        return NatsEngine(f"{self.server.url}/{self.stream}{self.query}", **self.options)

    async def crash(self) -> None:
        def kill_and_start() -> None:
            self.server.kill()
            self.server.start()

        await trio.to_thread.run_sync(kill_and_start)

    async def expire(self, keep: int) -> None:
        # As its retention does: the first ones go, leases as well.
        purge = f"$JS.API.STREAM.PURGE.{self.stream}"
        await trio.to_thread.run_sync(insist, self.server, purge, {"keep": keep})

    async def remake(self) -> None:
        await trio.to_thread.run_sync(insist, self.server, f"$JS.API.STREAM.DELETE.{self.stream}")


@attrs.frozen
class NatsClusterSite:
    """Three servers, each with a copy of the stream. One of them is killed: the one that leads it."""

    servers: Sequence[NatsServer]
    stream: str
    is_atomic: bool = True

    def __attrs_post_init__(self) -> None:
        if not self.is_atomic:
            # Made by hand, and not as we would: without atomic batches.
            subjects = [f"{self.stream}.>"]
            config = {"name": self.stream, "subjects": subjects, "num_replicas": 3, "max_bytes": 64 << 20}
            insist(self.servers[0], f"$JS.API.STREAM.CREATE.{self.stream}", config)

    @property
    def lease_ttl(self) -> float:
        return self.engine().lease_ttl

    def engine(self, program: str = "") -> Engine:
        servers = ",".join(f"127.0.0.1:{server.port}" for server in self.servers)
        return NatsEngine(f"nats://{servers}/{self.stream}?replicas=3&max_bytes=64MiB")

    async def crash(self) -> None:
        def kill_and_start() -> None:
            leader = self.leader()
            leader.kill()
            leader.start()

        await trio.to_thread.run_sync(kill_and_start)

    def leader(self) -> NatsServer:
        """The server that leads the stream."""
        while True:
            for server in self.servers:
                found: Any = ask(server, f"$JS.API.STREAM.INFO.{self.stream}")
                if found is not None and (name := found["cluster"].get("leader")):
                    return next(one for one in self.servers if one.name == name)

    async def expire(self, keep: int) -> None:
        purge = f"$JS.API.STREAM.PURGE.{self.stream}"
        await trio.to_thread.run_sync(insist, self.servers[0], purge, {"keep": keep})

    async def remake(self) -> None:
        await trio.to_thread.run_sync(insist, self.servers[0], f"$JS.API.STREAM.DELETE.{self.stream}")


@attrs.frozen
class KafkaSite:
    """A server, which several tests share."""

    server: KafkaServer
    topic: str

    @property
    def lease_ttl(self) -> float:
        return self.engine().lease_ttl

    def engine(self, program: str = "") -> Engine:
        return KafkaEngine(f"kafka://{self.server.address}/{self.topic}")

    async def crash(self) -> None:
        def kill_and_start() -> None:
            self.server.kill()
            self.server.start()

        await trio.to_thread.run_sync(kill_and_start)

    async def expire(self, keep: int) -> None:
        def drop() -> None:
            config = {"bootstrap.servers": self.server.address, "group.id": "x", "log_level": 0}
            consumer = Consumer({**config, "isolation.level": "read_uncommitted"})
            partitions = consumer.list_topics(self.topic, PATIENCE).topics[self.topic].partitions
            ends = [TopicPartition(self.topic, partition) for partition in partitions]
            for end in ends:
                low, high = consumer.get_watermark_offsets(end, PATIENCE)
                end.offset = max(low, high - keep)
            consumer.close()
            admin = AdminClient({"bootstrap.servers": self.server.address, "log_level": 0})
            for dropped in admin.delete_records(ends).values():
                dropped.result(PATIENCE)

        await trio.to_thread.run_sync(drop)

    async def remake(self) -> None:
        def delete() -> None:
            admin = AdminClient({"bootstrap.servers": self.server.address, "log_level": 0})
            for deleted in admin.delete_topics([self.topic, f"{self.topic}.control"]).values():
                deleted.result(PATIENCE)

        await trio.to_thread.run_sync(delete)
