"""A relay that publishes what a test wants, into a broker in memory."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import trio

from kraken_trio.broker.messages import Batch, Catalog, KeyFrame, encode
from kraken_trio.broker.seam import BrokerLost
from kraken_trio.broker.subjects import Key, Kind, Subject
from kraken_trio.events import StatusUpdate
from kraken_trio.requests import Lifecycle, Request
from kraken_trio.stream import open_stream_with
from tests.broker.pure.relayed import KEYS, REQUESTS, Exchange, Log, Producer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from kraken_trio.broker.seam import Engine, Fence, Incoming, Link, Record
    from kraken_trio.client import Client

T = TypeVar("T")

WALL_NS = 1_800_000_000_000_000_000


@attrs.frozen
class Outgoing:
    subject: Subject
    data: bytes
    message_id: str


class Relay:
    """The owner of a shard."""

    def __init__(self, link: Link, fence: Fence, exchange: Exchange) -> None:
        self.link = link
        self.fence = fence
        self.log = Log()
        self.exchange = exchange
        self.producer = Producer(fence.producer, exchange, self.log)
        self.producer.catch_up()
        self._sent = 0

    async def begin(self, requests: Iterable[Request[Any]] = tuple(REQUESTS.values())) -> None:
        """Publish the catalog, and the state of each key."""
        await self.catalog(requests)
        self.producer.begin()
        await self.frames()

    async def catalog(self, requests: Iterable[Request[Any]], *, shard: int = 0, every: float = 5.0) -> None:
        catalog = Catalog(
            producer=self.fence.producer, shard=shard, shards=1, keyframe_every=every, requests=tuple(requests)
        )
        await self.send(Subject(shard, Kind.CATALOG), encode(catalog))

    async def happen(self, *keys: Key, count: int = 1) -> None:
        """This happens at the exchange, and is published, a message for each key."""
        for key in keys:
            for _ in range(count):
                self.exchange.happen(key)
            self.producer.catch_up(key)
            self.producer.publish(key)
        await self.flush()

    async def frames(self, *keys: Key) -> None:
        for key in keys or KEYS:
            self.producer.key_frame(key)
        await self.flush()

    async def status(self, system: str, received_ns: int, *, is_frame: bool = False) -> None:
        events = [StatusUpdate(system=system, epoch=1, received_ns=received_ns)]
        common: Any = {
            "producer": self.fence.producer,
            "seq": 0,
            "channel": "lifecycle",
            "symbol": None,
            "events": events,
        }
        message = KeyFrame(**common, request=Lifecycle(), marks={}) if is_frame else Batch(**common)
        await self.send(Subject(0, Kind.KEY if is_frame else Kind.DATA, "lifecycle"), encode(message))

    async def flush(self) -> None:
        stored, self.log.messages = self.log.messages, []
        for message in stored:
            await self.send(message.subject, message.data)

    async def send(self, subject: Subject, data: bytes) -> None:
        self._sent += 1
        await self.link.publish(self.fence, [Outgoing(subject, data, f"{self.fence.producer}.{self._sent}")])


@asynccontextmanager
async def open_relay(engine: Engine, exchange: Exchange, shard: int = 0) -> AsyncIterator[Relay]:
    async with engine.connect() as link:
        fence = await link.acquire(shard, "test")
        assert fence is not None
        yield Relay(link, fence, exchange)
        await link.release(fence)


def open_stream(engine: Engine, **options: Any) -> AbstractAsyncContextManager[Client]:
    options.setdefault("jitter", lambda: 0.0)
    return open_stream_with(engine, wall_ns=lambda: WALL_NS, **options)


class SlowToFail:
    """An engine whose questions fail some seconds after their link was lost, as where threads ask them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name: str = engine.name
        self.stream: str = engine.stream
        self.lease_ttl: float = engine.lease_ttl

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Any]:
        async with self._engine.connect() as link:
            yield _SlowToFail(link)


class _SlowToFail:
    def __init__(self, link: Any) -> None:
        self._link = link

    def __getattr__(self, name: str) -> Any:
        return getattr(self._link, name)

    async def catalogs(self) -> Sequence[Incoming]:
        answer: Awaitable[Sequence[Incoming]] = self._link.catalogs()
        return await _slow_to_fail(answer)

    async def records(self, prefix: str) -> Mapping[str, Record]:
        answer: Awaitable[Mapping[str, Record]] = self._link.records(prefix)
        return await _slow_to_fail(answer)

    async def write(self, name: str, value: bytes, revision: int) -> int | None:
        answer: Awaitable[int | None] = self._link.write(name, value, revision)
        return await _slow_to_fail(answer)


async def _slow_to_fail(answer: Awaitable[T]) -> T:
    try:
        return await answer
    except BrokerLost as error:
        lost = error
    await trio.sleep(4)
    raise lost
