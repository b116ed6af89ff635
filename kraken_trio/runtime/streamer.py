"""Reads what relays publish, as a client: a :class:`~kraken_trio.runtime.shell.Shell` beside actor and replayer.

One connection to the broker serves the client: all feeds, and what is known of shards and exchange. If it is lost,
another one is made, and each feed goes on where it was. A feed is read by a task of its own, and as fast as its program
takes it: it holds up no other.

The states are those of a client of the exchange, by the same table: what is connected is the broker. What happens to
the producers is told by gaps.
"""

from __future__ import annotations

from copy import copy
from datetime import UTC, datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from kraken_trio._text import printable
from kraken_trio.book.core import NAME
from kraken_trio.broker.catalog import Published, Statuses, published
from kraken_trio.broker.group import GONE_AFTER
from kraken_trio.broker.position import Start
from kraken_trio.broker.progress import Delivery, Progress
from kraken_trio.broker.reader import Reader
from kraken_trio.broker.seam import BrokerLost, KeepsRecords
from kraken_trio.broker.subjects import LIFECYCLE
from kraken_trio.errors import ConnectError, SubscriptionRejected
from kraken_trio.events import ConnectionState, StateChange
from kraken_trio.runtime.feeds import FeedTotals
from kraken_trio.runtime.parts import PARTITIONS, WHOLE, Part, Stream
from kraken_trio.runtime.sharing import Sharing
from kraken_trio.runtime.waiting import StateWaiters
from kraken_trio.session.lifecycle import StateMachine, Trigger
from kraken_trio.session.records import ClientLeft, ConsumerFailed, ExchangeStatus, GapAnnounced, StateChanged
from kraken_trio.statistics import ClientStatistics, Counters, SubscriptionState, SubscriptionStatistics

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from kraken_trio.broker.seam import Engine, Incoming, Link
    from kraken_trio.events import Event
    from kraken_trio.evidence import ChecksumEvidence
    from kraken_trio.requests import Request
    from kraken_trio.runtime.feed import FeedSender
    from kraken_trio.runtime.overflow import Key
    from kraken_trio.runtime.shell import Telemetry
    from kraken_trio.session.records import Record
    from kraken_trio.settings import Settings

__all__ = ["Streamer"]

_FIRST_DELAY: Final = 0.1
"""Seconds before the second attempt to connect; doubled for each further one. A broker counts no attempts."""
_LONGEST_DELAY: Final = 5.0
"""Seconds: the longest of these waits."""
_STABLE_AFTER: Final = 10.0
"""Seconds: a connection that held so long makes the next loss the first again."""
_FRAMES_BACK: Final = 3
"""How many intervals between key frames a feed's source begins before its start: the last one may be late."""
_NO_RELAY_DELAY: Final = 1.0
"""Seconds between two looks for the first catalog."""
_LISTEN: Final = 1.0
"""Seconds between two looks for what has fallen silent, while nothing comes."""
_SILENCE: Final = 10.0
"""Seconds after which it is told, at least."""
_EVENTS_PER_CHECKPOINT: Final = 1024
"""Other tasks run after so many events of a feed that always has room."""


class Streamer:
    """Reads from a broker to feeds. Each feed begins at ``start``; ``is_resumed``: what is before it was received."""

    def __init__(
        self,
        engine: Engine,
        *,
        start: Start,
        settings: Settings,
        telemetry: Telemetry,
        wall_ns: Callable[[], int],
        jitter: Callable[[], float],
        group: str | None = None,
    ) -> None:
        self.name: str = engine.name
        self.max_capacity: int = settings.max_capacity
        self._engine = engine
        self._start = start
        self._settings = settings
        self._telemetry = telemetry
        self._wall_ns = wall_ns
        self._jitter = jitter
        self._sharing = None if group is None else Sharing(self, group, jitter)
        self._claimed = 0  # how many parts there have been
        self._machine = StateMachine()
        self._statuses = Statuses()
        self._counters = Counters()
        self._epoch = 0
        self._published = Published()
        self._messages: dict[str, int] = {}
        self._message_bytes: dict[str, int] = {}
        self._mismatch: ChecksumEvidence | None = None
        self._next_attempt: datetime | None = None
        self._streams: dict[FeedSender, Stream] = {}
        self._totals = FeedTotals()
        self._waiters = StateWaiters()
        self._nursery: trio.Nursery | None = None  # of the client
        self._link: Link | None = None  # while there is a connection
        self._tasks: trio.Nursery | None = None  # of the connection
        self._lost: BrokerLost | None = None
        self._changed = trio.Event()  # a connection was made, or the client has ended
        self._ended: Exception | None = None

    # The connection

    async def run(
        self, nursery: trio.Nursery, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Connect, and stay connected, until cancelled. ``nursery`` is the client's.

        Raises :class:`~kraken_trio.ConnectError` if the first attempt fails and must not, or if another one would.
        """
        self._nursery = nursery
        self._advance(Trigger.OPENED)
        must_connect = self._settings.require_first_connection
        if not must_connect:
            task_status.started()
        failures = 0
        while True:
            self._counters.attempts += 1
            began = trio.current_time()
            try:
                async with self._engine.connect() as link:
                    self._connected()
                    if must_connect:
                        task_status.started()
                        must_connect = False
                    began = trio.current_time()
                    await self._serve(link)
            except ConnectError as error:
                if must_connect:
                    raise
                trigger, detail = Trigger.CONNECT_FAILED, str(error)
                if not error.retryable:
                    self._advance(Trigger.REFUSED, detail)
                    self._end(error)
                    return
            except BrokerLost as error:
                trigger, detail = Trigger.DISCONNECTED, str(error)
                self._counters.losses += 1
                if trio.current_time() - began >= _STABLE_AFTER:
                    failures = 0
            delay = min(_FIRST_DELAY * 2**failures, _LONGEST_DELAY) * (1 + self._jitter() / 4)
            failures += 1
            self._next_attempt = datetime.fromtimestamp(self._wall_ns() / 1e9, UTC) + timedelta(seconds=delay)
            self._advance(trigger, detail, self._next_attempt)
            await trio.sleep(delay)
            self._next_attempt = None
            self._advance(Trigger.RETRY)

    def _connected(self) -> None:
        self._epoch += 1
        self._counters.connects += 1
        self._lost = None
        is_idle = all(stream.is_settled for stream in self._streams.values())
        self._advance(Trigger.CONNECTED_IDLE if is_idle else Trigger.CONNECTED)

    async def _serve(self, link: Link) -> None:
        """Read with a connection until it is lost. Raises :class:`BrokerLost`."""
        async with trio.open_nursery() as tasks:
            self._link, self._tasks = link, tasks
            try:
                tasks.start_soon(self._guarded, self._follow_status, link)
                for stream in self._streams.values():
                    self._start_reading(stream)
                self._notify()
                await trio.sleep_forever()
            finally:
                self._link = self._tasks = None
                for stream in self._streams.values():
                    for part in stream.parts.values():
                        part.is_open = False
        assert self._lost is not None  # nothing else ends these tasks but a cancellation from outside
        raise self._lost

    async def _guarded(self, task: Callable[..., Any], link: Link, *args: Any) -> None:
        """Run a task of a connection. If it finds the connection lost, all of them end."""
        try:
            await task(link, *args)
        except BrokerLost as error:
            self._lost = self._lost or error
            if self._tasks is not None:
                self._tasks.cancel_scope.cancel()

    async def _follow_status(self, link: Link) -> None:
        """What producers tell of the exchange's status."""
        while not await link.catalogs():  # noqa: ASYNC110 (only the broker knows)
            await trio.sleep(_NO_RELAY_DELAY)  # nothing has ever been published: there may be no stream yet
        async with link.read((LIFECYCLE,), Start(), back=self._back) as source:
            while True:
                for status in self._statuses.take(await source.receive()):
                    self._report(ExchangeStatus(status=status, is_new_system=True))
                    self._tell(status)

    @property
    def _back(self) -> float:
        """How far before its start a source has to begin."""
        return _FRAMES_BACK * self._published.keyframe_every

    @property
    def _patience(self) -> float:
        """For how long nothing has to come of a key until that is told."""
        return max(_SILENCE, self._back)

    # Feeds

    def _start_reading(self, stream: Stream) -> None:
        """Read with this connection, if there is one."""
        if self._tasks is not None and self._link is not None:
            for part in stream.parts.values():
                self._tasks.start_soon(self._guarded, self._read, self._link, stream, part)
            if self._sharing is not None and stream.group is not None:
                self._tasks.start_soon(self._guarded, self._sharing.coordinate, self._link, stream, stream.group)

    async def _read(self, link: Link, stream: Stream, part: Part) -> None:
        """Read a part of a feed."""
        if part.is_leaving:
            return
        reader, sender = part.reader, stream.sender
        with trio.CancelScope() as part.scope:
            start = Start(places=reader.places) if reader.starts else part.start
            async with link.read(reader.keys, start, back=self._back) as source:
                part.attempts += 1
                part.is_open = True
                for partition in source.taken.expired:
                    stream.progress.restart(part.base + partition, source.taken.starts[partition])
                for delivery in reader.open(source.taken):
                    await self._deliver(stream, part, delivery)
                if self._sharing is not None and stream.group is not None:
                    await self._sharing.keep_start(link, stream, stream.group, part)
                stream.in_force.set()
                self.settle()
                count = 0
                waited = 0.0
                while not sender.is_ended:
                    messages: Sequence[Incoming] = ()
                    began = trio.current_time()
                    with trio.move_on_after(_LISTEN):
                        messages = await source.receive()
                    waited += trio.current_time() - began
                    for message in messages:
                        self._count(message)
                        while stream.group is not None and trio.current_time() - stream.beat_at >= GONE_AFTER:
                            await stream.looked.wait()  # others may have taken this meanwhile, as after a SIGSTOP
                        for delivery in reader.take((message,)):
                            count += len(delivery.events)
                            await self._deliver(stream, part, delivery)
                        if count >= _EVENTS_PER_CHECKPOINT:
                            count = 0
                            await trio.lowlevel.checkpoint()
                    if waited >= _LISTEN:
                        await self._listen(link, stream, part, waited)
                        waited = 0.0
                    if not reader.has_begun:
                        for delivery in reader.reach(source.reached):
                            await self._deliver(stream, part, delivery)
                        self._begin(stream, part)

    async def _listen(self, link: Link, stream: Stream, part: Part, seconds: float) -> None:
        """Find out of which keys nothing comes any more."""
        was_silent = part.reader.silent
        if part.reader.falls_silent(seconds, self._patience):
            # By now there may be fewer key frames.
            self._published = published(await link.catalogs())
        for delivery in part.reader.listen(seconds, self._patience):
            await self._deliver(stream, part, delivery)
        if part.reader.silent and not was_silent:
            self._advance(Trigger.RESUBSCRIBED, "of some channels and symbols nothing comes, not even key frames")
        elif was_silent and not part.reader.silent:
            self.settle()

    def _begin(self, stream: Stream, part: Part) -> None:
        if part.reader.has_begun and not part.has_begun:
            part.has_begun = True
            stream.progress.begin({part.base + number: place for number, place in part.reader.starts.items()})
            self.settle()

    async def _deliver(self, stream: Stream, part: Part, delivery: Delivery) -> None:
        """Put events into a feed, and wait until its program has made room, if that is its policy."""
        self._counters.events += len(delivery.events)
        if delivery.partition is not None:
            delivery.partition += part.base
            if not part.has_begun:
                self._begin(stream, part)  # all with which it begins was delivered before
        is_accepted = stream.sender.deliver(delivery)
        if delivery.events:
            part.offered = stream.progress.offered
        if part.reader.gaps:
            self.note(part.reader)
        if not is_accepted:
            await self._relieve(stream)

    async def _relieve(self, stream: Stream) -> None:
        """The feed is full."""
        if stream.sender.is_ended:
            self._give_up(stream)
        elif stream.drained is not None:
            await stream.drained.wait()
        else:
            stream.drained = trio.Event()
            await self._drain(stream)

    async def _drain(self, stream: Stream) -> None:
        """Wait until the program has made room. If the connection is lost meanwhile, another task goes on waiting."""
        sender = stream.sender
        is_served = True
        try:
            is_served = await sender.drain(self._settings.stall_limit)
        finally:
            if stream.drained is not None:
                stream.drained.set()
                stream.drained = None
            if not is_served:
                self._give_up(stream)
            elif sender.holds_up and not sender.is_ended:
                self._drain_later(stream)

    def _drain_later(self, stream: Stream) -> None:
        if self._ended is None and stream.drained is None:
            assert self._nursery is not None  # run() has set it
            stream.drained = trio.Event()
            self._nursery.start_soon(self._drain, stream)

    def _give_up(self, stream: Stream) -> None:
        """Remove a feed whose consumer was too slow."""
        self._report(ConsumerFailed(requests=stream.sender.requests, detail=str(stream.sender.error)))
        self._detach(stream.sender)

    def _tell(self, event: Event) -> None:
        """Give an event of the client's own to the feeds that want it."""
        for stream in list(self._streams.values()):
            if stream.wants_lifecycle:
                self.offer(stream, Delivery((event,)))

    def offer(self, stream: Stream, delivery: Delivery) -> None:
        """Put events into a feed without waiting for its program."""
        self._counters.events += len(delivery.events)
        if not stream.sender.deliver(delivery):
            if stream.sender.is_ended:
                self._give_up(stream)
            else:
                self._drain_later(stream)

    def _count(self, message: Incoming) -> None:
        channel = message.subject.channel
        self._counters.frames += 1
        self._messages[channel] = self._messages.get(channel, 0) + 1
        self._message_bytes[channel] = self._message_bytes.get(channel, 0) + len(message.data)

    def note(self, reader: Reader) -> None:
        """Report what a reader found to be missing."""
        gaps, reader.gaps = reader.gaps, []
        for gap in gaps:
            self._mismatch = gap.evidence or self._mismatch
            self._report(GapAnnounced(gap=gap, keys=((str(gap.channel), gap.symbol),)))

    # For its part in a group

    @property
    def link(self) -> Link | None:
        return self._link

    @property
    def ended(self) -> Exception | None:
        return self._ended

    @property
    def is_reading(self) -> bool:
        return self._tasks is not None

    @property
    def streams(self) -> Collection[Stream]:
        return self._streams.values()

    @property
    def changed(self) -> trio.Event:
        return self._changed

    def begin_reading(self, link: Link, stream: Stream, part: Part) -> None:
        assert self._tasks is not None  # is_reading
        self._tasks.start_soon(self._guarded, self._read, link, stream, part)

    async def leave(self) -> None:
        """Before the client's block is left: others need not wait for what this member of a group has."""
        if self._sharing is not None:
            await self._sharing.leave()

    # States

    def _advance(self, trigger: Trigger, detail: str = "", retry_at: datetime | None = None) -> None:
        if self._ended is not None:
            return  # some task has not noticed yet
        previous = self._machine.advance(trigger)
        if previous is None:
            return
        change = StateChange(
            previous=previous,
            current=self._machine.state,
            cause=trigger.cause,
            detail=printable(detail),
            epoch=self._epoch,
            received_ns=self._wall_ns(),
            retry_at=retry_at,
        )
        self._report(StateChanged(change=change))
        self._tell(change)
        self._waiters.reach(change.current)

    def settle(self) -> None:
        """If all feeds get what is published now, the client has what it wants."""
        if self._link is not None and all(stream.is_settled for stream in self._streams.values()):
            self._advance(Trigger.SETTLED)

    def _report(self, record: Record) -> None:
        self._telemetry.consume([record], trio.current_time())

    # The interface for clients

    @property
    def state(self) -> ConnectionState:
        return self._machine.state

    @property
    def system_status(self) -> str | None:
        status = self._statuses.latest
        return None if status is None else status.system

    def rebuild(self, key: Key, /) -> Event | None:
        """(of a feed, its own: see :meth:`attach`)."""
        del key
        return None

    async def wait_for(self, states: Collection[ConnectionState]) -> ConnectionState:
        return await self._waiters.wait(states, self.state, self._ended)

    async def attach(self, sender: FeedSender) -> None:
        await trio.lowlevel.checkpoint()
        if self._ended is not None:
            raise copy(self._ended)
        if len(self._streams) >= self._settings.max_feeds:
            why = f"{len(self._streams)} feeds are open, and Settings.max_feeds allows no more"
            raise SubscriptionRejected(dict.fromkeys(sender.requests, why))
        if any(request.channel is not None for request in sender.requests):
            await self._check(sender.requests)
        requests = [request for request in sender.requests if request.channel is not None]
        stream = Stream(
            sender=sender,
            progress=Progress(self._engine.stream, self._start.places if self._sharing is None else {}),
            since=trio.current_time(),
            wants_lifecycle=len(requests) < len(sender.requests),
        )
        sender.keep_position(stream.progress)
        sender.rebuild_by(stream.rebuild)
        if self._sharing is not None and requests:
            self._sharing.join(stream, requests)
        elif requests:
            stream.parts[WHOLE] = self.make_part(requests, None)
        self._totals.add(sender, partial(self._detach, sender))
        self._streams[sender] = stream
        if stream.wants_lifecycle and self._statuses.latest is not None:
            self.offer(stream, Delivery((self._statuses.latest,)))
        if not requests:
            return
        if self._tasks is not None:
            self._advance(Trigger.SUBSCRIBING)
        self._start_reading(stream)
        await stream.in_force.wait()
        if self._ended is not None:
            raise copy(self._ended)

    def make_part(self, requests: Sequence[Request[Any]], start: Start | None) -> Part:
        """What these are read with, from ``start``; None: from where the feeds of this client begin."""
        start = self._start if start is None else start
        reader = Reader(requests, self._counters, is_owed=start != Start(), is_resumed=start.places is not None)
        self._claimed += 1
        return Part(reader, start, base=0 if self._sharing is None else self._claimed * PARTITIONS)

    async def _check(self, requests: Sequence[Request[Any]]) -> None:
        """Raise :class:`~kraken_trio.SubscriptionRejected` if one of them is not published."""
        while True:
            if self._ended is not None:
                raise copy(self._ended)
            changed = self._changed  # it may be set before the question has failed
            if (link := self._link) is not None:
                try:
                    self._published = published(await link.catalogs())
                except BrokerLost:
                    pass  # those who read with it find it lost, too
                else:
                    break
            await changed.wait()
        if self._ended is not None:
            raise copy(self._ended)
        if self._sharing is not None and not isinstance(link, KeepsRecords):
            raise SubscriptionRejected(dict.fromkeys(requests, f"{self.name} has no groups"))
        reasons = {request: why for request in requests if (why := self._published.refusal(request)) is not None}
        if reasons:
            self._counters.refusals += len(reasons)
            raise SubscriptionRejected(reasons)

    def _detach(self, sender: FeedSender) -> None:
        stream = self._streams.pop(sender, None)
        if stream is not None:
            for part in stream.parts.values():
                part.stop()
            stream.in_force.set()
            self.settle()
            if self._sharing is not None and self._ended is None:
                assert self._nursery is not None  # run() has set it
                self._sharing.leave_soon(stream, self._nursery)

    def close(self) -> None:
        """End feeds and release waiters: the client's block is being left."""
        self._advance(Trigger.CLOSED)
        self._end(None)

    def left(self) -> None:
        """The client's block has been left, and its connection is closed."""
        self._report(ClientLeft())

    def _end(self, error: ConnectError | None) -> None:
        if self._ended is None:
            self._ended = error or trio.ClosedResourceError("the client's block has been left")
        for sender, stream in self._streams.items():
            sender.end(error)
            stream.in_force.set()
        self._waiters.end(self._ended)
        self._notify()

    def _notify(self) -> None:
        """Wake those who wait for a connection, or the end."""
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    # Numbers

    def statistics(self) -> ClientStatistics:
        moment, wall_ns = trio.current_time(), self._wall_ns()
        now = ClientStatistics(
            state=self.state,
            epoch=self._epoch,
            system_status=self.system_status,
            subscriptions=MappingProxyType(self._subscriptions(moment, wall_ns)),
            feeds=len(self._streams),
            ping_seconds=None,
            last_mismatch=self._mismatch,
            core=NAME,
            warnings=(),
            unknown=MappingProxyType({}),
            next_attempt=self._next_attempt,
            taken_ns=wall_ns,
            messages=MappingProxyType(dict(self._messages)),
            message_bytes=MappingProxyType(dict(self._message_bytes)),
            log_lines_left_out=self._telemetry.left_out,
            **attrs.asdict(self._counters),
        )
        counted = self._telemetry.counted(moment)
        return attrs.evolve(self._totals.added_to(now), **attrs.asdict(counted, recurse=False))

    def _subscriptions(self, now: float, wall_ns: int) -> Mapping[Request[Any], SubscriptionStatistics]:
        found: dict[Request[Any], SubscriptionStatistics] = {}
        for stream in self._streams.values():
            for request in stream.sender.requests:
                if request.channel is None or request in found:
                    continue
                part = stream.part_of(request.symbol)
                if part is None:
                    continue  # another member of the group has it
                is_whole, received_ns = part.reader.known((request.channel, request.symbol))
                if not part.is_open:
                    state = SubscriptionState.RESYNCING if part.attempts else SubscriptionState.REQUESTED
                elif is_whole:
                    state = SubscriptionState.LIVE
                else:
                    state = SubscriptionState.RESYNCING if received_ns else SubscriptionState.CONFIRMED
                found[request] = SubscriptionStatistics(
                    state=state,
                    age=now - stream.since,
                    attempts=part.attempts,
                    last_received_ns=received_ns or None,
                    data_age=max(0, wall_ns - received_ns) / 1e9 if received_ns else None,
                )
        return found
