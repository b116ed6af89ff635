"""A broker in memory, with the faults of real ones: what a relay and its readers are tested with, on virtual time.

::

    broker = MemoryBroker()
    async with publish(client, broker.seen_by("A"), Book("BTC/USD")):
        ...
        broker.seen_by("A").freeze(60)  # as a stopped process (SIGSTOP) is
        broker.lose_acks(3)

It stores messages in a log with offsets, gives leases with a time to live by its own clock, and refuses what an earlier
owner of a shard publishes: an :class:`~kraken_trio.broker.seam.Engine` like those of NATS and Kafka. With one partition
everything is in one log, as in a stream of NATS; with more, leases and catalogs are in one of their own, as in Kafka.

What was sent to it arrives even if the sender has given up meanwhile, as bytes in a network do.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import Counter, defaultdict, deque
from contextlib import asynccontextmanager
from math import inf
from operator import itemgetter
from random import Random
from typing import TYPE_CHECKING, Final
from zlib import crc32

import attrs
import trio

from kraken_trio.broker.messages import LeaseNote, encode
from kraken_trio.broker.position import Place, begin_at
from kraken_trio.broker.seam import BrokerLost, Fence, Fenced, Incoming, Record, Start, Taken, TooLarge
from kraken_trio.broker.subjects import Kind, Subject, encode_symbol
from kraken_trio.errors import ConnectError
from kraken_trio.testing import checks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from kraken_trio.broker.seam import Link, Outgoing, Source
    from kraken_trio.broker.subjects import Key

__all__ = ["MemoryBroker", "MemoryBrokerView"]

_EPOCH_NS: Final = 1_767_225_600_000_000_000
"""2026-01-01: what its clock shows when Trio's shows 0, unless it is told otherwise."""
_REPEATS_KNOWN_FOR: Final = 120.0
"""Seconds for which a message id is remembered, as NATS does by default."""
_BATCH: Final = 256
"""How many messages a source returns at most in one go."""
_CONTROL: Final = -1
"""The partition of leases and catalogs, where there are several others."""

_NEVER: Final = (inf, -inf)
"""A time without a beginning, or an end."""

_whole = checks.integer(least=1)
_seconds = checks.number(least=0)
_positive = checks.number(above=0)


@attrs.frozen
class _Entry:
    """A stored message."""

    at: float
    """When it was stored, by Trio's clock."""
    incoming: Incoming
    message_id: str


@attrs.define
class _Log:
    """One partition."""

    partition: int
    next_offset: int
    entries: list[_Entry] = attrs.Factory(list)
    dropped_to: int = 0
    """Messages before this offset are not stored any more."""
    dropped_ns: int = -1
    """When the last of them was stored."""

    def index(self, offset: int) -> int:
        return bisect_left(self.entries, offset, key=lambda entry: entry.incoming.offset)

    def offset_at(self, time_ns: int) -> int:
        """That of the first message which was stored then or later."""
        index = bisect_left(self.entries, time_ns, key=lambda entry: entry.incoming.time_ns)
        return self.entries[index].incoming.offset if index < len(self.entries) else self.next_offset

    def drop(self, count: int) -> None:
        if count > 0:
            last = self.entries[count - 1].incoming
            self.dropped_to, self.dropped_ns = last.offset + 1, last.time_ns
            del self.entries[:count]


@attrs.define
class _Lease:
    producer: int
    holder: str
    until: float
    """By the broker's clock."""


@attrs.define(eq=False)
class _Request:
    """Something that was asked of the broker."""

    link: _Link
    do: Callable[[float], object]
    """What the broker does when it has arrived, and what it answers: an exception is one of its answers, too."""
    is_store: bool = False
    is_queued: bool = False
    """Whether it is only waiting for the broker's disk."""
    answer: object = None
    answer_at: float = inf


class _Core:
    """What the broker knows and does."""

    def __init__(self, *, partitions: int, seed: int, clock_rate: float, epoch_ns: int) -> None:
        self.lease_ttl: float = 0.0
        self.latency: tuple[float, float] = (0.0, 0.0)
        self.store_seconds: float = 0.0
        self.timeout: float = inf
        self.max_message_bytes: int = 0
        self.max_messages: int = 0
        self.drops_repeats: bool = True
        self.repeats_dropped: int = 0
        self.fenced: int = 0
        self.paused: tuple[float, float] = _NEVER
        self.holds_acks: bool = False
        self.acks_to_lose: int = 0
        self.changed: trio.Event = trio.Event()
        first = 1 if partitions == 1 else 0  # as NATS and Kafka count
        self.logs: dict[int, _Log] = {number: _Log(number, first) for number in range(partitions)}
        if partitions > 1:
            self.logs[_CONTROL] = _Log(_CONTROL, first)
        self.made: int = 1
        """How often the stream was made."""
        self.leases: dict[int, _Lease] = {}
        self.catalogs: dict[int, Incoming] = {}
        self.records: dict[str, Record] = {}
        self._revision = 0
        self._partitions = partitions
        self._rate = clock_rate
        self._epoch_ns = epoch_ns
        self._random = Random(f"{seed}/broker")  # noqa: S311 (weather, no secret)
        self._owners: dict[int, int] = {}  # shard → the last owner's number
        self._ids: dict[str, float] = {}  # when each was stored
        self._arriving: list[tuple[float, int, _Request]] = []
        self._sent = 0
        self._busy_until = -inf

    # Time

    def clock(self, now: float) -> float:
        return now * self._rate

    def _time_ns(self, now: float) -> int:
        return self._epoch_ns + int(self.clock(now) * 1e9)

    def delay(self) -> float:
        low, high = self.latency
        return low + (high - low) * self._random.random() if high else 0.0

    def notify(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    # What arrives

    def send(self, at: float, request: _Request) -> None:
        self._sent += 1
        heapq.heappush(self._arriving, (at, self._sent, request))
        self.notify()

    @property
    def next_arrival(self) -> float:
        return max(self._arriving[0][0], self.paused[1]) if self._arriving else inf

    def advance(self, now: float) -> None:
        """Do what has arrived by now."""
        since, until = self.paused
        if since <= now < until:
            return
        has_changed = False
        while self._arriving and self._arriving[0][0] <= now:
            arrived, number, request = heapq.heappop(self._arriving)
            if request.link.is_cut_off:
                continue
            at = max(arrived, until)
            if request.is_store and not request.is_queued and self.store_seconds:
                request.is_queued = True
                self._busy_until = max(at, self._busy_until) + self.store_seconds
                heapq.heappush(self._arriving, (self._busy_until, number, request))
                continue
            request.answer = request.do(at)
            request.answer_at = at + self.delay()
            has_changed = True
        if has_changed:
            self.notify()

    def partition_of(self, subject: Subject) -> int:
        if self._partitions == 1:
            return 0
        if subject.kind in {Kind.CATALOG, Kind.LEASE}:
            return _CONTROL
        return crc32(encode_symbol(subject.symbol).encode()) % self._partitions

    def _append(self, now: float, subject: Subject, data: bytes, message_id: str) -> int:
        log = self.logs[self.partition_of(subject)]
        incoming = Incoming(subject, data, log.partition, log.next_offset, self._time_ns(now))
        log.next_offset += 1
        log.entries.append(_Entry(now, incoming, message_id))
        if len(log.entries) > self.max_messages:
            log.drop(max(1, self.max_messages // 16))
        if subject.kind is Kind.CATALOG:
            self.catalogs[subject.shard] = incoming
        return incoming.offset

    def acquire(self, now: float, shard: int, holder: str) -> Fence | None:
        if self.lease_of(now, shard) is not None:
            return None
        note = encode(LeaseNote(shard=shard, holder=holder))
        producer = self._append(now, Subject(shard, Kind.LEASE), note, "")
        self._owners[shard] = producer
        self.leases[shard] = _Lease(producer, holder, self.clock(now) + self.lease_ttl)
        return Fence(shard, producer)

    def lease_of(self, now: float, shard: int) -> _Lease | None:
        """The lease that holds now."""
        lease = self.leases.get(shard)
        return lease if lease is not None and self.clock(now) < lease.until else None

    def renew(self, now: float, fence: Fence) -> Fenced | None:
        if self._owners.get(fence.shard) != fence.producer:
            return Fenced(f"shard {fence.shard} has a later owner than producer {fence.producer}")
        lease = self.leases.get(fence.shard)
        if lease is None:
            return Fenced(f"shard {fence.shard} is not owned by producer {fence.producer} any more")
        lease.until = self.clock(now) + self.lease_ttl
        return None

    def release(self, fence: Fence) -> None:
        lease = self.leases.get(fence.shard)
        if lease is not None and lease.producer == fence.producer:
            del self.leases[fence.shard]

    def store(self, now: float, link: _Link, fence: Fence, message: Outgoing) -> Fenced | None:
        if self._owners.get(fence.shard) != fence.producer:
            self.fenced += 1
            return Fenced(f"shard {fence.shard} has a later owner than producer {fence.producer}")
        stored_at = self._ids.pop(message.message_id, -inf)
        if self.drops_repeats and now - stored_at < _REPEATS_KNOWN_FOR:
            self.repeats_dropped += 1
        else:
            self._append(now, message.subject, message.data, message.message_id)
            stored_at = now
        self._ids[message.message_id] = stored_at
        if len(self._ids) > self.max_messages:
            del self._ids[next(iter(self._ids))]
        if self.acks_to_lose:
            self.acks_to_lose -= 1
            link.lose("the connection was broken", in_flight=False)
        return None

    def write(self, name: str, value: bytes, revision: int) -> int | None:
        known = self.records.get(name)
        if revision != (0 if known is None else known.revision):
            return None
        self._revision += 1
        self.records[name] = Record(value, self._revision)
        return self._revision

    def remake(self) -> None:
        self.made += 1
        for log in self.logs.values():
            log.drop(len(log.entries))
            if self._partitions > 1 and log.partition != _CONTROL:  # as Kafka; numbers of owners grow everywhere
                log.next_offset = log.dropped_to = 0
        self.leases.clear()
        self.catalogs.clear()
        self._owners.clear()
        self._ids.clear()

    def begin(self, now: float, start: Start, keys: Collection[Key], back: float) -> tuple[Taken, dict[int, int]]:
        """Where a source begins, and from where it reads."""
        starts: dict[int, Place] = {}
        first: dict[int, int] = {}
        expired: set[int] = set()
        for partition, log in self.logs.items():
            if partition == _CONTROL:
                continue
            place = Place(log.next_offset, 0, str(self.made))
            if start.time_ns is not None:
                place = Place(log.offset_at(start.time_ns), 0, str(self.made))
                if log.dropped_ns >= start.time_ns:
                    expired.add(partition)
            elif start.places is not None and partition in start.places:
                place, is_expired = begin_at(start.places[partition], log.dropped_to, log.next_offset, str(self.made))
                if is_expired:
                    expired.add(partition)
            starts[partition] = place
            # From the message before it on: relays may have stood still for any time until it was stored.
            index = log.index(place.offset) - 1
            from_ns = log.entries[index].incoming.time_ns if index >= 0 else self._time_ns(now)
            first[partition] = min(place.offset, log.offset_at(from_ns - int(back * 1e9)))
        partition_of = {}
        if self._partitions > 1:
            partition_of = {key: self.partition_of(Subject(0, Kind.DATA, *key)) for key in keys}
        return Taken(starts, frozenset(expired), partition_of), first


class MemoryBroker:
    """A broker in memory. To be used from one Trio run; its time is Trio's.

    It is an :class:`~kraken_trio.broker.seam.Engine` itself; :meth:`seen_by` gives one for each of several programs,
    with faults of its own.

    ``lease_ttl``: for how long a shard's lease holds without being renewed. ``partitions``: of data; more than one is
    like Kafka. ``latency``: the least and the longest time, in seconds, that anything takes in one direction.
    ``store_seconds``: what storing one message takes. ``timeout``: after so many seconds without an answer a link is
    taken for lost. ``max_message_bytes``: larger messages are refused. ``max_messages``: how many each partition keeps;
    older ones expire. ``drops_repeats``: whether a message with an id that was stored in the last two minutes is
    dropped, as NATS does. ``clock_rate``: how many of its seconds pass in one of Trio's. ``epoch_ns``: what its clock
    shows at Trio's zero.
    """

    def __init__(
        self,
        stream: str = "kraken",
        *,
        lease_ttl: float = 3.0,
        partitions: int = 1,
        latency: tuple[float, float] = (0.0, 0.0),
        store_seconds: float = 0.0,
        timeout: float = 5.0,
        max_message_bytes: int = 1024 * 1024,
        max_messages: int = 100_000,
        drops_repeats: bool = True,
        clock_rate: float = 1.0,
        epoch_ns: int = _EPOCH_NS,
        seed: int = 0,
    ) -> None:
        checks.seed("seed", seed)
        _whole("partitions", partitions)
        _whole("max_message_bytes", max_message_bytes)
        _whole("max_messages", max_messages)
        _positive("lease_ttl", lease_ttl)
        _positive("clock_rate", clock_rate)
        self.stream: str = stream
        self._core = _Core(partitions=partitions, seed=seed, clock_rate=clock_rate, epoch_ns=epoch_ns)
        self._core.lease_ttl = lease_ttl
        self._core.timeout = timeout
        self._core.max_message_bytes = max_message_bytes
        self._core.max_messages = max_messages
        self._core.drops_repeats = drops_repeats
        self.slow(latency=latency, store_seconds=store_seconds)
        self._views: dict[str, MemoryBrokerView] = {}

    # An engine

    @property
    def name(self) -> str:
        """As for any engine."""
        return f"memory://broker/{self.stream}"

    @property
    def lease_ttl(self) -> float:
        """As for any engine."""
        return self._core.lease_ttl

    def connect(self) -> AbstractAsyncContextManager[Link]:
        """As for any engine."""
        return self.seen_by("").connect()

    def seen_by(self, name: str) -> MemoryBrokerView:
        """The engine for one of several programs, with faults of its own. The same name gives the same one."""
        if name not in self._views:
            self._views[name] = MemoryBrokerView(self.name, self.stream, name, self._core)
        return self._views[name]

    # What is in it

    def messages(self, *kinds: Kind) -> list[Incoming]:
        """What is stored (of these kinds, or all), in order within each partition."""
        return [entry.incoming for entry in self._entries() if not kinds or entry.incoming.subject.kind in kinds]

    def message_ids(self) -> Counter[str]:
        """How often the message of each id is stored, leases excepted."""
        return Counter(entry.message_id for entry in self._entries() if entry.message_id)

    def _entries(self) -> Iterator[_Entry]:
        self._core.advance(trio.current_time())
        for log in self._core.logs.values():
            yield from log.entries

    def owner(self, shard: int) -> str | None:
        """Who holds the lease of a shard now: its ``holder``; None if nobody does."""
        now = trio.current_time()
        self._core.advance(now)
        lease = self._core.lease_of(now, shard)
        return None if lease is None else lease.holder

    @property
    def links(self) -> int:
        """How many connections are open."""
        return sum(view.links for view in self._views.values())

    @property
    def repeats_dropped(self) -> int:
        """How many messages were not stored because their ids were known."""
        return self._core.repeats_dropped

    @property
    def fenced(self) -> int:
        """How many messages of earlier owners were refused."""
        return self._core.fenced

    # Faults

    def slow(self, *, latency: tuple[float, float] = (0.0, 0.0), store_seconds: float = 0.0) -> None:
        """Set how slow it is from now on; see the class."""
        for seconds in latency:
            _seconds("latency", seconds)
        _seconds("store_seconds", store_seconds)
        self._core.latency = latency
        self._core.store_seconds = store_seconds

    def drop_links(self, *, in_flight: bool = False) -> None:
        """Break all connections; with ``in_flight``, what is on its way to the broker arrives all the same."""
        for view in self._views.values():
            view.drop_links(in_flight=in_flight)

    def pause(self, seconds: float = inf) -> None:
        """Do nothing for so long, as a stopped process: connections stay, and nothing is answered. Leases age."""
        now = trio.current_time()
        self._core.advance(now)
        self._core.paused = (now, now + seconds)
        self._core.notify()

    def resume(self) -> None:
        """Go on after :meth:`pause`: what was sent meanwhile is done now."""
        since, until = self._core.paused
        self._core.paused = (since, min(until, trio.current_time()))
        self._core.notify()

    def hold_acks(self) -> None:
        """Store, and acknowledge nothing until :meth:`release_acks` (but see ``timeout``)."""
        self._core.holds_acks = True

    def release_acks(self) -> None:
        """Acknowledge what was held."""
        self._core.holds_acks = False
        self._core.notify()

    def lose_acks(self, count: int = 1) -> None:
        """Break the connection right after each of the next ``count`` messages is stored: it is not acknowledged."""
        _whole("count", count)
        self._core.acks_to_lose += count

    def expire_lease(self, shard: int) -> None:
        """Let a shard's lease end now, however often it has been renewed."""
        self._core.leases.pop(shard, None)

    def expire(self, *, keep: int = 0) -> None:
        """Let all messages but the last ``keep`` of each partition expire. Catalogs stay."""
        self._core.advance(trio.current_time())
        for log in self._core.logs.values():
            log.drop(len(log.entries) - keep)

    def remake(self) -> None:
        """Delete the stream, and make another one of the same name. All connections break."""
        self._core.advance(trio.current_time())
        self._core.remake()
        self.drop_links()

    def __repr__(self) -> str:
        stored = sum(len(log.entries) for log in self._core.logs.values())
        return f"<MemoryBroker: {stored} messages, {self.links} links, leases of shards {sorted(self._core.leases)}>"


class MemoryBrokerView:
    """The broker as one program sees it: an :class:`~kraken_trio.broker.seam.Engine` (:meth:`MemoryBroker.seen_by`)."""

    def __init__(self, name: str, stream: str, program: str, core: _Core) -> None:
        """(not to be called by programs)."""
        self.name: str = name
        """As for any engine."""
        self.stream: str = stream
        """As for any engine."""
        self._program = program
        self._core = core
        self._weather = _Weather()
        self._links: set[_Link] = set()

    @property
    def lease_ttl(self) -> float:
        """As for any engine."""
        return self._core.lease_ttl

    @property
    def links(self) -> int:
        """How many of its connections are open."""
        return len(self._links)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Link]:
        """As for any engine."""
        link = _Link(self._core, self._weather)
        self._links.add(link)
        try:
            try:
                await link.ask(lambda _: None)
            except BrokerLost as error:
                msg = f"{self.name} cannot be reached: {error}. Is the broker running?"
                raise ConnectError(msg) from None
            yield link
        finally:
            self._links.discard(link)
            link.is_closed = True

    # Faults

    def drop_links(self, *, in_flight: bool = False) -> None:
        """Break its connections; with ``in_flight``, what is on its way to the broker arrives all the same."""
        self._core.advance(trio.current_time())
        for link in self._links:
            link.lose("the connection was reset", in_flight=in_flight)

    def refuse(self, seconds: float) -> None:
        """Break its connections, and refuse new ones for so long."""
        self._weather.refuses_until = trio.current_time() + seconds
        self.drop_links()

    def cut(self, seconds: float) -> None:
        """Let nothing through for so long, in both directions. What was sent meanwhile arrives then.

        After ``MemoryBroker.timeout`` without an answer the program takes its connections for lost.
        """
        now = trio.current_time()
        self._core.advance(now)
        self._weather.cut = (now, now + seconds)
        self._core.notify()

    def freeze(self, seconds: float) -> None:
        """Stop the program for so long, as far as the broker is concerned: what it is about to send leaves it then."""
        self._weather.frozen_until = trio.current_time() + seconds
        self._core.notify()

    def heal(self) -> None:
        """End all of these."""
        weather = self._weather
        weather.cut = (weather.cut[0], min(weather.cut[1], trio.current_time()))
        weather.frozen_until = weather.refuses_until = -inf
        self._core.notify()

    def __repr__(self) -> str:
        return f"<MemoryBroker as seen by {self._program!r}: {self.links} links>"


@attrs.define
class _Weather:
    """What is between one program and the broker."""

    cut: tuple[float, float] = _NEVER
    frozen_until: float = -inf
    refuses_until: float = -inf


class _Link:
    """A connection: :class:`~kraken_trio.broker.seam.Link`."""

    def __init__(self, core: _Core, weather: _Weather) -> None:
        self._core = core
        self._weather = weather
        self._lost: str | None = None
        self._last_arrival = -inf
        self.is_closed: bool = False
        self.is_cut_off: bool = False
        """Whether what is on its way does not arrive."""

    def lose(self, why: str, *, in_flight: bool) -> None:
        self._lost = self._lost or why
        self.is_cut_off = self.is_cut_off or not in_flight
        self._core.notify()

    async def wait(self, ready: Callable[[float], float], patience: float = inf) -> None:
        """Wait until ``ready`` returns a time that has come: when it may be so, as far as is known."""
        core, weather = self._core, self._weather
        await trio.lowlevel.checkpoint()
        deadline = trio.current_time() + patience
        while True:
            now = trio.current_time()
            core.advance(now)
            if now < weather.frozen_until:
                wake_at = weather.frozen_until
                deadline = max(deadline, wake_at + patience)
            else:
                if self._lost is None and now < weather.refuses_until:
                    self.lose("the connection was refused", in_flight=False)
                if self._lost is not None or self.is_closed:
                    raise BrokerLost(self._lost or "this link is closed")
                wake_at = self._silence(now)
                if wake_at == -inf:
                    wake_at = ready(now)
                    if wake_at <= now:
                        return
                    wake_at = min(wake_at, core.next_arrival)
                wake_at = min(wake_at, deadline)
                if deadline <= now:
                    self.lose(f"no answer for {core.timeout:g} s", in_flight=True)
                    continue
            changed = core.changed
            with trio.move_on_at(wake_at):
                await changed.wait()

    def _silence(self, now: float) -> float:
        """If nothing can come now: when that may be otherwise, or the link is lost; -inf if something can."""
        core = self._core
        for since, until in (core.paused, self._weather.cut):
            if since <= now < until:
                if now >= since + core.timeout:  # as that is what was waited for
                    self.lose(f"no answer for {core.timeout:g} s", in_flight=True)
                    return now
                return min(until, since + core.timeout)
        return -inf

    async def _send(self, do: Callable[[float], object], *, is_store: bool = False) -> _Request:
        core, weather = self._core, self._weather
        while (now := trio.current_time()) < weather.frozen_until:
            changed = core.changed
            with trio.move_on_at(weather.frozen_until):
                await changed.wait()
        if self._lost is not None or self.is_closed:
            raise BrokerLost(self._lost or "this link is closed")
        request = _Request(self, do, is_store)
        since, until = weather.cut
        at = now + core.delay()
        self._last_arrival = max(at, self._last_arrival, until if since <= now < until else at)
        core.send(self._last_arrival, request)
        return request

    async def _answer(self, request: _Request) -> object:
        core = self._core

        def ready(now: float) -> float:
            del now
            return inf if request.is_store and core.holds_acks else request.answer_at

        await self.wait(ready, core.timeout)
        return request.answer

    async def ask(self, do: Callable[[float], object]) -> object:
        """Have the broker do something; returns, or raises, its answer."""
        answer = await self._answer(await self._send(do))
        if isinstance(answer, Exception):
            raise answer
        return answer

    # Producing

    async def acquire(self, shard: int, holder: str) -> Fence | None:
        answer = await self.ask(lambda now: self._core.acquire(now, shard, holder))
        assert answer is None or isinstance(answer, Fence)
        return answer

    async def renew(self, fence: Fence) -> None:
        await self.ask(lambda now: self._core.renew(now, fence))

    async def release(self, fence: Fence) -> None:
        await self.ask(lambda _: self._core.release(fence))

    async def publish(self, fence: Fence, messages: Sequence[Outgoing]) -> None:
        core = self._core
        await trio.lowlevel.checkpoint()
        requests: list[_Request] = []
        too_large = False
        for message in messages:
            too_large = len(message.data) > core.max_message_bytes
            if too_large:
                break
            requests.append(await self._send(_storing(core, self, fence, message), is_store=True))
        for index, request in enumerate(requests):
            try:
                answer = await self._answer(request)
            except BrokerLost as error:
                raise BrokerLost(str(error), index) from None
            if isinstance(answer, Fenced):
                raise Fenced(str(answer), index)
        if too_large:
            size = len(messages[len(requests)].data)
            msg = f"a message of {size} bytes, and the broker takes {core.max_message_bytes}"
            raise TooLarge(msg, len(requests))

    # Reading

    async def catalogs(self) -> Sequence[Incoming]:
        answer = await self.ask(lambda _: list(self._core.catalogs.values()))
        assert isinstance(answer, list)
        return answer

    async def records(self, prefix: str) -> Mapping[str, Record]:
        answer = await self.ask(
            lambda _: {name: record for name, record in self._core.records.items() if name.startswith(prefix)}
        )
        assert isinstance(answer, dict)
        return answer

    async def write(self, name: str, value: bytes, revision: int) -> int | None:
        answer = await self.ask(lambda _: self._core.write(name, value, revision))
        assert answer is None or isinstance(answer, int)
        return answer

    @asynccontextmanager
    async def read(self, keys: Collection[Key], start: Start, *, back: float) -> AsyncIterator[Source]:
        wanted = frozenset(keys)
        answer = await self.ask(lambda now: self._core.begin(now, start, wanted, back))
        assert isinstance(answer, tuple)
        yield _Source(self._core, self, wanted, *answer)


def _storing(core: _Core, link: _Link, fence: Fence, message: Outgoing) -> Callable[[float], object]:
    return lambda now: core.store(now, link, fence, message)


class _Source:
    """Messages of some keys: :class:`~kraken_trio.broker.seam.Source`."""

    def __init__(self, core: _Core, link: _Link, keys: frozenset[Key], taken: Taken, first: Mapping[int, int]) -> None:
        self.taken = taken
        self.reached: set[int] = set()
        self._core = core
        self._link = link
        self._keys = keys
        self._next = dict(first)
        self._coming: deque[tuple[float, Incoming]] = deque()
        self._last = defaultdict[int, float](lambda: -inf)

    async def receive(self) -> Sequence[Incoming]:
        await self._link.wait(self._ready)
        now = trio.current_time()
        found: list[Incoming] = []
        while self._coming and self._coming[0][0] <= now and len(found) < _BATCH:
            found.append(self._coming.popleft()[1])
        self.reached |= self._are_reached()
        return found

    def _ready(self, now: float) -> float:
        """When there is something to return."""
        while not (self._coming and self._coming[0][0] <= now) and self._look():
            pass
        if self._are_reached() - self.reached:
            return now
        return self._coming[0][0] if self._coming else inf

    def _are_reached(self) -> set[int]:
        """The partitions of which nothing from before the start is still to come."""
        starts = self.taken.starts
        if len(self.reached) == len(starts):
            return self.reached
        to_come = {one.partition for _, one in self._coming if one.offset < starts[one.partition].begun}
        return {partition for partition, place in starts.items() if self._next[partition] >= place.begun} - to_come

    def _look(self) -> bool:
        """Take some of what has been stored since, each with the time that it takes from there to here."""
        new: list[tuple[float, Incoming]] = []
        has_seen = False
        for partition, offset in self._next.items():
            log = self._core.logs[partition]
            index = log.index(offset)
            entries = log.entries[index : index + _BATCH]
            has_seen = has_seen or bool(entries)
            self._next[partition] = entries[-1].incoming.offset + 1 if entries else log.next_offset
            for entry in entries:
                subject = entry.incoming.subject
                if subject.kind in {Kind.DATA, Kind.KEY} and subject.key in self._keys:
                    at = max(self._last[partition], entry.at + self._core.delay())
                    self._last[partition] = at
                    new.append((at, entry.incoming))
        if new:
            # In order within each partition, as these times are.
            self._coming = deque(sorted([*self._coming, *new], key=itemgetter(0)))
        return has_seen
