"""One shard's producer: what clients receive goes to a broker, as long as this process is the shard's owner.

::

    async with kt.open_client() as client:
        async with publish(client, "nats://host:4222", kt.Book("BTC/USD"), kt.Trades("BTC/USD")) as relay:
            ...

Its tasks:

* one per feed: receives, and gives to the :mod:`~kraken_trio.broker.publisher`
* one connects to the broker, again and again. On each connection, one keeps the :mod:`~kraken_trio.broker.lease`, and
  one sends: from the first message of the :mod:`~kraken_trio.broker.outbox` that is not acknowledged

A process that is not the owner does all of this, but sends nothing: it is a standby, and takes over when the owner's
lease has ended. An owner that was stopped, or lost the broker, sends nothing after its lease has ended, by its own
clock; and the broker refuses whatever an earlier owner sends.
"""

from __future__ import annotations

import enum
import os
import platform
import secrets
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from kraken_trio._nursery import open_hidden_nursery
from kraken_trio.broker.choice import engine_for
from kraken_trio.broker.lease import Ask, Lease, Standing
from kraken_trio.broker.messages import Form
from kraken_trio.broker.outbox import Outbox
from kraken_trio.broker.publisher import Message, Publisher, key_of
from kraken_trio.broker.seam import BrokerLost, Fence, Fenced, TooLarge
from kraken_trio.errors import ConnectError, KrakenTrioError
from kraken_trio.events import Cause
from kraken_trio.relay.comparison import catalog_of, difference
from kraken_trio.relay.log import log
from kraken_trio.requests import Lifecycle
from kraken_trio.runtime.feed import view_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    from kraken_trio.broker.login import BrokerLogin, BrokerTls
    from kraken_trio.broker.seam import Engine, Link
    from kraken_trio.broker.subjects import Key
    from kraken_trio.client import Client
    from kraken_trio.events import Event
    from kraken_trio.requests import Request
    from kraken_trio.runtime.feed import Feed

__all__ = ["Backpressure", "Relay", "RelayStatistics", "new_holder", "open_relay", "publish"]

_RECEIVED: Final = 1024
"""How many events are taken from a feed in one go."""
_WINDOW: Final = 256
"""How many messages may be sent without being acknowledged."""
_WINDOW_BYTES: Final = 4 * 1024 * 1024
"""The same in bytes. A broker that stops takes no more memory than this, whatever is in the messages."""
_RETRY: Final = 0.1
_MAX_RETRY: Final = 5.0
"""Seconds until the next attempt to connect to the broker: at first, doubling, and at most."""
_MAX_RETRY_OF_OWNER: Final = 1.0
"""The same for who is, or was, the shard's owner: it has what nobody else has, and nobody waits for it for long."""
_TELL_AGAIN: Final = 30.0
"""Seconds after which it is logged again that there is no connection to the broker, for the same reason."""
_TOGETHER: Final = 1.0
"""Seconds after which a client and its relay have not been left together: readers are told that nothing follows."""
_RELEASE: Final = 1.0
"""Seconds for giving the lease back when leaving: without that a standby waits until it has ended."""


class Backpressure(enum.Enum):
    """What happens if the broker does not take events as fast as they come, and the outbox is full."""

    HOLD = "hold"
    """Nothing more is received: TCP slows the exchange down. Give the clients a large ``Settings.stall_limit``, or
    their feeds end. A standby of this shard is not held up."""
    CONFLATE = "conflate"
    """What waits is dropped. Each channel and symbol then goes on with a :class:`~kraken_trio.Gap` (cause ``OVERFLOW``)
    and its latest state."""


@attrs.frozen
class RelayStatistics:
    """All numbers of a relay."""

    shard: int
    shards: int
    standing: Standing
    """Whether this process is the shard's owner."""
    producer: int | None
    """Its number as the owner; None for a standby."""
    is_connected: bool
    """Whether there is a connection to the broker."""
    requests: int
    """How many there are: what is published, each of a channel and symbol."""
    events: int
    """Events that the broker has stored."""
    messages: int
    """Messages that it has stored, with key frames and catalogs."""
    bytes: int
    """Their bytes, after compression."""
    key_frames: int
    """Key frames that were made."""
    waiting_events: int
    """Events that wait to be sent."""
    unacked_messages: int
    """Messages that were sent, or are about to be, and are not acknowledged."""
    unacked_bytes: int
    takeovers: int
    """How often this process became the owner."""
    fenced: int
    """How often another one took over from it."""
    connects: int
    """Connections to the broker."""
    conflated: int
    """Events that were dropped because the outbox was full."""
    held_seconds: float
    """For how long nothing was received because the outbox was full."""
    too_large: int
    """Messages that the broker did not take because of their size."""

    @property
    def is_owner(self) -> bool:
        """Whether this process is the owner, and its lease has not ended."""
        return self.standing is Standing.OWNER


@attrs.define(eq=False)
class _Numbers:
    """What is counted."""

    events: int = 0
    messages: int = 0
    bytes: int = 0
    takeovers: int = 0
    fenced: int = 0
    connects: int = 0
    too_large: int = 0
    held_seconds: float = 0.0


class Relay:
    """A shard's producer. Created by :func:`open_relay` and :func:`publish`."""

    def __init__(
        self,
        engine: Engine,
        publisher: Publisher,
        *,
        shard: int,
        shards: int,
        policy: Backpressure,
        holder: str,
    ) -> None:
        """(not to be called by programs)."""
        self._engine = engine
        self._publisher = publisher
        self._shard = shard
        self._shards = shards
        self._name = f"{shard}/{shards}"
        self._policy = policy
        self._holder = holder
        self._receiving: trio.Nursery | None = None
        self._lease: Lease[Fence] = Lease(engine.lease_ttl)
        self._outbox: Outbox[Message] = Outbox(_WINDOW, _WINDOW_BYTES)
        self._numbers = _Numbers()
        self._feeds: dict[Client, list[Feed[Any]]] = {}
        self._having: dict[Key, list[Feed[Any]]] = {}
        """Feeds that get the events of a key: also of what was dropped, or of what is another client's now."""
        self._published: dict[Key, Feed[Any]] = {}
        """Which of them are published."""
        self._muted: dict[Feed[Any], set[Key]] = {}
        """Of each feed, the keys that another one has: its own events of them would come twice."""
        self._ended: set[Request[Any]] = set()
        """What was received by a client whose block was left, and readers do not know that yet."""
        self._followed: set[Client] = set()
        """Those of which there is a feed of what they tell of themselves, or is about to be."""
        self._link: Link | None = None
        self._answered: Link | None = None
        """The last connection over which the broker has said whether this process is the owner."""
        self._has_broker = True
        """Whether there is, or may be again, a connection to it."""
        self._is_leaving = False
        self._compared: Link | None = None
        """The last connection over which the owner's catalog was looked at."""
        self.block: trio.CancelScope = trio.CancelScope()
        """What is cancelled when it fails."""
        self.failure: Exception | None = None
        """What ended it, if something did."""
        self._is_full = False
        self._holding = 0
        self._held_since = 0.0
        self._woken = trio.Event()
        """Something was put into the publisher, or the lease is another."""
        self._leased = trio.Event()
        """The lease is another. Who keeps it has no need to be woken by each event."""
        self._passed = trio.Event()
        """Something has left the publisher or the outbox, or the standing has changed."""

    # For programs

    @property
    def is_owner(self) -> bool:
        """Whether this process is the shard's owner now."""
        return self._lease.may_publish(trio.current_time())

    @property
    def requests(self) -> tuple[Request[Any], ...]:
        """What is published, or would be by the owner."""
        return self._publisher.requests

    def statistics(self) -> RelayStatistics:
        """All numbers, as of now."""
        now = trio.current_time()
        numbers, publisher = self._numbers, self._publisher
        fence = self._lease.fence
        return RelayStatistics(
            shard=self._shard,
            shards=self._shards,
            standing=self._lease.standing(now),
            producer=None if fence is None else fence.producer,
            is_connected=self._link is not None,
            requests=len(publisher.requests),
            events=numbers.events,
            messages=numbers.messages,
            bytes=numbers.bytes,
            key_frames=publisher.counts.key_frames,
            waiting_events=publisher.waiting,
            unacked_messages=len(self._outbox),
            unacked_bytes=self._outbox.bytes,
            takeovers=numbers.takeovers,
            fenced=numbers.fenced,
            connects=numbers.connects,
            conflated=publisher.counts.conflated,
            held_seconds=numbers.held_seconds + (now - self._held_since if self._holding else 0.0),
            too_large=numbers.too_large,
        )

    async def wait_owner(self) -> None:
        """Wait until this process is the shard's owner."""
        await trio.lowlevel.checkpoint()
        while not self.is_owner:
            await self._passed.wait()

    async def wait_placed(self) -> None:
        """Wait until the broker has said what this process is to the shard: the owner, or a standby of another one."""
        await trio.lowlevel.checkpoint()
        while self._link is None or self._answered is not self._link:
            await self._passed.wait()

    async def add(self, client: Client, *requests: Request[Any]) -> None:
        """Subscribe to these, with one feed of ``client``, and publish them: also while it runs.

        Returns when the exchange has confirmed them. Raises :class:`~kraken_trio.SubscriptionRejected` if any is
        refused, and :class:`ValueError` for what is not published: of a channel and symbol only one request can be; and
        nothing of an account. Then none of them is in force.

        What was dropped before, of a feed that is still there, is published again without another subscription. What
        another client receives is this one's from then on, after a :class:`~kraken_trio.Gap` (cause ``CLOSED``). What
        was received by a client whose block was left meanwhile (a reader gets a :class:`~kraken_trio.Gap`, cause
        ``CLOSED``) can be added again with another client, and goes on.
        """
        receiving = self._receiving
        assert receiving is not None  # programs get a relay that runs
        self._publisher.check(requests)
        if client not in self._followed:
            self._followed.add(client)
            await receiving.start(self._feed, client, (Lifecycle(),))
        new = []
        for request in requests:
            feed = next((feed for feed in self._feeds.get(client, ()) if request in feed.requests), None)
            if feed is None:
                new.append(request)
            else:
                self._add(feed, request)
        if new:
            await receiving.start(self._feed, client, tuple(new))
        else:
            await trio.lowlevel.checkpoint()

    def drop(self, *requests: Request[Any]) -> None:
        """Publish these no more. Their feed goes on, and what it receives of them is left out."""
        for request in requests:
            self._publisher.drop(request)
            self._published.pop(key_of(request), None)
        self._wake()

    def __repr__(self) -> str:
        standing = self._lease.standing(trio.current_time())
        return f"<Relay of shard {self._name} to {self._engine.name}: {standing.value}>"

    # Feeds

    def _add(self, feed: Feed[Any], request: Request[Any]) -> None:
        if request != Lifecycle():
            self._tell_ended((request,))
            key = key_of(request)
            if self._published.get(key, feed) is not feed:
                self._publisher.drop(request)
            self._published[key] = feed
            for other in self._having[key]:
                self._muted[other].add(key)
            self._muted[feed].remove(key)
            self._publisher.add(request, trio.current_time(), view_of(feed, request))
            self._wake()

    async def _feed(
        self,
        client: Client,
        requests: Sequence[Request[Any]],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        is_running = False
        try:
            async with client.subscribe(*requests) as feed:
                self._publisher.check(request for request in requests if request != Lifecycle())  # it took a while
                with self._registered(client, feed):
                    for request in requests:
                        self._add(feed, request)
                    is_running = True
                    task_status.started()
                    await self._receive(feed)
        except KrakenTrioError as error:
            if not is_running:
                raise
            self._fail(error)
            return
        finally:
            if requests == (Lifecycle(),):
                self._followed.discard(client)
        received = {request for feeds in self._feeds.values() for feed in feeds for request in feed.requests}
        self._ended.update(set(requests) - received - {Lifecycle()})
        # If the relay is left as well, its successor says what there is to be said.
        await trio.sleep(_TOGETHER)
        self._tell_ended(requests)

    @contextmanager
    def _registered(self, client: Client, feed: Feed[Any]) -> Iterator[None]:
        """Have a feed of a client in all tables."""
        keys = [key_of(request) for request in feed.requests]
        self._feeds.setdefault(client, []).append(feed)
        self._muted[feed] = set()
        for key in keys:
            self._having.setdefault(key, []).append(feed)
        try:
            yield
        finally:
            self._feeds[client].remove(feed)
            if not self._feeds[client]:
                del self._feeds[client]
            del self._muted[feed]
            for key in keys:
                self._having[key].remove(feed)
                if not self._having[key]:
                    del self._having[key]
                if self._published.get(key) is feed:
                    del self._published[key]

    def _tell_ended(self, requests: Iterable[Request[Any]]) -> None:
        """Tell readers that nothing follows of those whose client was left."""
        ended = [request for request in requests if request in self._ended]
        if ended:
            self._ended.difference_update(ended)
            detail = "the relay's client, which received this, was closed"
            self._publisher.lose(ended, Cause.CLOSED, detail, trio.current_time())
            self._wake()

    async def _receive(self, feed: Feed[Any]) -> None:
        try:
            while True:
                if self._publisher.is_full:
                    await self._room()
                events: Sequence[Event] = await feed.receive_many(_RECEIVED)
                if muted := self._muted[feed]:
                    events = [event for event in events if (event.channel, event.symbol) not in muted]
                self._take(events)
        except (trio.EndOfChannel, trio.ClosedResourceError):
            pass  # the client's block was left

    def _fail(self, error: Exception) -> None:
        """Have the block end with this error."""
        if self.failure is None:
            self.failure = error
            self.block.cancel()

    def _take(self, events: Sequence[Event]) -> None:
        publisher = self._publisher
        publisher.take(events, trio.current_time())
        if publisher.is_full:
            if not self._is_full:
                self._is_full = True
                waiting = publisher.waiting
                log(
                    "outbox_full",
                    f"shard {self._name}: {waiting} events wait for the broker: {self._policy.value}",
                    shard=self._name,
                    events=waiting,
                    policy=self._policy.value,
                )
            if self._policy is Backpressure.CONFLATE:
                publisher.conflate()
        if publisher.producer is not None:
            self._wake()

    async def _room(self) -> None:
        """Wait until fewer events wait."""
        if not self._holding:
            self._held_since = trio.current_time()
        self._holding += 1
        try:
            while self._publisher.is_full:
                await self._passed.wait()
        finally:
            self._holding -= 1
            if not self._holding:
                self._numbers.held_seconds += trio.current_time() - self._held_since

    # The broker

    def _wake(self) -> None:
        self._woken.set()
        self._woken = trio.Event()

    def _has_lease(self) -> None:
        """It is another one, or was renewed, or lost."""
        self._leased.set()
        self._leased = trio.Event()
        self._wake()
        self._has_passed()

    def _has_passed(self) -> None:
        self._passed.set()
        self._passed = trio.Event()

    async def run(
        self, *, require_broker: bool, task_status: trio.TaskStatus[trio.CancelScope] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run, until the scope that it starts with is cancelled, and nothing else is.

        Raises :class:`~kraken_trio.ConnectError` before that, if there is no broker, but has to be one.
        """
        with trio.CancelScope() as scope:
            async with open_hidden_nursery() as sending, open_hidden_nursery() as receiving:
                self._receiving = receiving
                if require_broker:
                    await sending.start(self._serve)
                else:
                    sending.start_soon(self._serve)
                task_status.started(scope)
                await trio.lowlevel.checkpoint_if_cancelled()  # it was not to be started any more
                # What ends the block from outside must not end this before everything is sent.
                scope.shield = True
                await trio.sleep_forever()

    async def _serve(self, *, task_status: trio.TaskStatus[None] | None = None) -> None:
        """Be connected to the broker. With ``task_status``, raises if there is none at first."""
        retry_in = _RETRY
        is_again = False
        told, told_at = "", 0.0
        while True:
            what = "no connection to"
            try:
                async with self._engine.connect() as link:
                    if task_status is not None:
                        task_status.started()
                        task_status = None
                    log("broker_connected", f"shard {self._name}: connected to {self._engine.name}", **self._labels())
                    self._numbers.connects += 1
                    self._link = link
                    patience = self._engine.lease_ttl + _MAX_RETRY_OF_OWNER if is_again else 0.0
                    self._lease.connected(trio.current_time(), patience)
                    is_again, told = True, ""
                    try:
                        has_worked, detail = await self._use(link)
                    finally:
                        self._link = None
                    what = "lost the connection to"
                    if has_worked:
                        retry_in = _RETRY
            except ConnectError as error:
                if task_status is not None:
                    raise
                if not error.retryable:
                    self._has_broker = False
                    self._fail(error)
                    return
                detail = str(error)
            if self._lease.fence is not None:
                retry_in = min(retry_in, _MAX_RETRY_OF_OWNER)
            text = f"shard {self._name}: {what} {self._engine.name} ({detail})"
            if text != told or trio.current_time() >= told_at + _TELL_AGAIN:
                told, told_at = text, trio.current_time()
                next_in = f"{text}; next attempt in {retry_in:g} s"
                log("broker_lost", next_in, **self._labels(), detail=detail, retry_in=retry_in)
            await trio.sleep(retry_in)
            retry_in = min(2 * retry_in, _MAX_RETRY)

    def _labels(self) -> dict[str, str]:
        return {"shard": self._name, "broker": self._engine.name}

    async def _use(self, link: Link) -> tuple[bool, str]:
        """Use a connection until it is lost. Returns whether it has been of any use, and how it was lost.

        Raises :class:`~kraken_trio.ConnectError` if the broker cannot do what it is wanted for.
        """
        use = _Use()
        async with trio.open_nursery() as nursery:
            use.scope = nursery.cancel_scope
            nursery.start_soon(self._keep, link, use)
            nursery.start_soon(self._send, link, use)
        if use.refused is not None:
            raise use.refused
        return use.has_worked, use.detail

    async def _keep(self, link: Link, use: _Use) -> None:
        """Get and renew the lease."""
        lease = self._lease
        try:
            while True:
                if self._is_leaving and lease.ask is Ask.ACQUIRE:
                    await trio.sleep_forever()
                if trio.current_time() < lease.due:
                    await self._sleep(lease.due, self._leased)
                    continue
                await self._ask(link)
                use.has_worked = True
        except BrokerLost as error:
            use.end(str(error))
        except ConnectError as error:
            use.refused = error
            use.end(str(error))

    async def _ask(self, link: Link) -> None:
        lease, sent = self._lease, trio.current_time()
        fence = lease.fence
        if fence is None:
            found = await link.acquire(self._shard, self._holder)
            now = trio.current_time()
            is_first, self._answered = self._answered is not link, link
            if found is None:
                lease.refused(now)
                if is_first:
                    self._has_passed()
                await self._compare(link)
                return
            lease.acquired(found, sent)
            self._publisher.begin(found.producer, now)
            self._numbers.takeovers += 1
            text = f"shard {self._name}: this process is the owner now, as producer {found.producer}"
            log("owner_begun", text, shard=self._name, producer=found.producer, holder=self._holder)
        else:
            try:
                await link.renew(fence)
            except Fenced as error:
                self._fenced(fence, str(error))
                return
            if lease.fence is fence and lease.standing(sent) is Standing.LAPSED:
                seconds = round(trio.current_time() - lease.until, 3)
                text = (
                    f"shard {self._name}: the lease had ended {seconds:g} s ago, but nobody else has had it: it goes on"
                )
                log("owner_resumed", text, shard=self._name, producer=fence.producer, seconds=seconds)
            lease.renewed(sent)
            self._answered = link
        self._has_lease()

    async def _compare(self, link: Link) -> None:
        """Once per connection: readers would lose what the owner publishes, if another thing followed at a takeover."""
        if self._compared is link or not self.requests:
            return
        self._compared = link
        owner = catalog_of(await link.catalogs(), self._shard)
        found = None if owner is None else difference(owner, self._shards, self.requests)
        if found is not None:
            text = f"shard {self._name}: {found}: give all processes of a shard the same options"
            log("standby_differs", text, shard=self._name, detail=found)

    def _fenced(self, fence: Fence, detail: str) -> None:
        """Another process is the owner."""
        if self._lease.fence is not fence:
            return  # the other task knows
        lost = self._publisher.waiting + sum(message.events for message in self._outbox.window())
        self._lease.fenced(trio.current_time())
        self._publisher.end()
        self._outbox.clear()
        self._is_full = False
        self._numbers.fenced += 1
        text = f"shard {self._name}: this process is not the owner any more: {detail}"
        log("owner_lost", text, shard=self._name, producer=fence.producer, events=lost, detail=detail)
        self._has_lease()

    async def _send(self, link: Link, use: _Use) -> None:
        """Send what is to be sent."""
        publisher, outbox, lease = self._publisher, self._outbox, self._lease
        try:
            while True:
                now = trio.current_time()
                fence = lease.fence
                if fence is None or not lease.may_publish(now):  # mutant: lease that has ended
                    await self._woken.wait()
                    continue
                if outbox.room:
                    outbox.add(publisher.messages(outbox.room, now, outbox.room_bytes))
                    if self._is_full and not publisher.is_full:
                        self._is_full = False
                    self._has_passed()
                window = outbox.window()
                if window:
                    await self._publish(link, fence, window)
                    use.has_worked = True
                else:
                    await self._sleep(publisher.next_due, self._woken)
        except BrokerLost as error:
            self._acked(error.acked)
            use.end(str(error))

    async def _publish(self, link: Link, fence: Fence, window: Sequence[Message]) -> None:
        try:
            await link.publish(fence, window)
        except Fenced as error:
            self._acked(error.acked)
            self._fenced(fence, str(error))
        except TooLarge as error:
            self._acked(error.acked)
            for message in self._outbox.acked(1):
                self._numbers.too_large += 1
                size = len(message.data)
                text = f"shard {self._name}: a message of {message.subject} is left out: {error}"
                subject = str(message.subject)
                log("message_too_large", text, shard=self._name, subject=subject, bytes=size, detail=str(error))
        else:
            self._acked(len(window))

    def _acked(self, count: int) -> None:
        numbers = self._numbers
        for message in self._outbox.acked(count):
            numbers.events += message.events
            numbers.messages += 1
            numbers.bytes += len(message.data)
        self._has_passed()

    async def _sleep(self, until: float, woken: trio.Event) -> None:
        """Sleep until then, or until woken."""
        with trio.move_on_at(until):
            await woken.wait()

    # Leaving

    async def drain(self, seconds: float) -> None:
        """Receive nothing more; send what there is, for so long at most, and give the lease back."""
        began = trio.current_time()
        self._is_leaving = True
        assert self._receiving is not None  # it runs
        self._receiving.cancel_scope.cancel()
        fence = self._lease.fence
        if fence is not None and self._has_broker:
            with trio.move_on_after(seconds):
                await trio.lowlevel.checkpoint()
                while self._lease.fence is fence and not (self._publisher.is_idle and not self._outbox):
                    await self._passed.wait()
        lost = self._publisher.waiting + sum(message.events for message in self._outbox.window())
        messages = len(self._outbox)
        if fence is None or (self._publisher.is_idle and not messages):
            took = round(trio.current_time() - began, 3)
            what = "it was not the owner, and had nothing to store" if fence is None else "everything is stored"
            log("relay_drained", f"shard {self._name}: {what}", shard=self._name, seconds=took)
        else:
            some = "1 event was" if lost == 1 else f"{lost} events were"
            more = f"{messages} message{'' if messages == 1 else 's'}"
            text = f"shard {self._name}: {some} not stored in time; {more} waited for the broker's answer"
            log("relay_not_drained", text, shard=self._name, events=lost, messages=messages)
        fence, link = self._lease.fence, self._link
        if fence is not None and link is not None:
            self._lease.fenced(trio.current_time())
            with trio.move_on_after(_RELEASE):
                await trio.lowlevel.checkpoint()
                with suppress(BrokerLost):  # then it ends by itself
                    await link.release(fence)


@attrs.define(eq=False)
class _Use:
    """What became of a connection."""

    has_worked: bool = False
    detail: str = "it was closed"
    refused: ConnectError | None = None
    """Why the broker does not let us be an owner, if it does not."""
    scope: trio.CancelScope | None = None

    def end(self, detail: str) -> None:
        self.detail = detail
        assert self.scope is not None  # it is set before any task runs
        self.scope.cancel()


def new_holder() -> str:
    """A name for people, of this process alone."""
    return f"{platform.node()}:{os.getpid()}:{secrets.token_hex(4)}"


def _check(
    shard: int,
    shards: int,
    policy: Backpressure,
    form: Form,
    keyframe_every: float,
    capacity: int,
    drain_timeout: float,
) -> None:
    """Refuse what could not be meant, before anything is opened."""
    if not 0 <= shard < shards:
        msg = f"shard={shard} of shards={shards}: shards are numbered from 0"
        raise ValueError(msg)
    for name, value, kind in (("policy", policy, Backpressure), ("form", form, Form)):
        if not isinstance(value, kind):
            msg = f"{name}={value!r}: one of {', '.join(map(str, kind))}"
            raise TypeError(msg)
    if not 0 < keyframe_every < inf:
        msg = f"keyframe_every={keyframe_every!r}: a positive number of seconds"
        raise ValueError(msg)
    if not 0 <= drain_timeout < inf:
        msg = f"drain_timeout={drain_timeout!r}: a number of seconds, not negative"
        raise ValueError(msg)
    if capacity < 1:
        msg = f"capacity={capacity!r}: a number of events, at least 1"
        raise ValueError(msg)


@asynccontextmanager
async def open_relay(
    to: Engine | str,
    *,
    shard: int = 0,
    shards: int = 1,
    policy: Backpressure = Backpressure.CONFLATE,
    form: Form = Form.JSON,
    keyframe_every: float = 5.0,
    capacity: int = 50_000,
    drain_timeout: float = 10.0,
    holder: str | None = None,
    require_broker: bool = True,
    login: BrokerLogin | None = None,
    tls: BrokerTls | None = None,
) -> AsyncIterator[Relay]:
    """Publish one shard's events to a broker while a block runs, as long as this process is its owner.

    What is published is said with :meth:`Relay.add`. ``to`` is the broker's URL (``nats://host:4222/stream``), or an
    engine; ``login`` and ``tls`` are for a URL. Several processes may do this for one shard: one of them is the owner,
    the others are standbys with books of their own, and the first to notice takes over when the owner's lease has
    ended.

    Entering makes the first connection to the broker, and raises :class:`~kraken_trio.ConnectError` if that fails; with
    ``require_broker=False`` it keeps trying, unless another attempt is of no use. Later losses are recovered in the
    background: publishing goes on where it stopped. A feed's failure (:class:`~kraken_trio.ConnectError` if the
    exchange refuses its client for good, :class:`~kraken_trio.ConsumerTooSlow`) ends the block, and is raised.

    ``policy`` says what happens if the broker is too slow and ``capacity`` events wait. ``keyframe_every`` is the time
    in seconds between two key frames of a channel and symbol: what a reader that comes later waits at most. ``holder``
    is a name for people, another one for each process. ``form`` is how messages are written.

    Leaving stops receiving, sends what there is, for up to ``drain_timeout`` seconds, and gives the lease back, so that
    a standby takes over at once.

    Raises :class:`ValueError` and :class:`TypeError` for arguments that mean nothing, before anything is opened.
    """
    _check(shard, shards, policy, form, keyframe_every, capacity, drain_timeout)
    engine = engine_for(to, login, tls)
    publisher = Publisher(shard, shards, keyframe_every=keyframe_every, form=form, capacity=capacity)
    relay = Relay(engine, publisher, shard=shard, shards=shards, policy=policy, holder=holder or new_holder())
    async with open_hidden_nursery() as nursery:
        running = await nursery.start(partial(relay.run, require_broker=require_broker))
        try:
            with relay.block:
                yield relay
        finally:
            with trio.CancelScope(shield=True):
                await relay.drain(drain_timeout)
            running.cancel()
        if relay.failure is not None:
            raise relay.failure


@asynccontextmanager
async def publish(
    client: Client,
    to: Engine | str,
    *requests: Request[Any],
    shard: int = 0,
    shards: int = 1,
    policy: Backpressure = Backpressure.CONFLATE,
    form: Form = Form.JSON,
    keyframe_every: float = 5.0,
    capacity: int = 50_000,
    drain_timeout: float = 10.0,
    holder: str | None = None,
    require_broker: bool = True,
    login: BrokerLogin | None = None,
    tls: BrokerTls | None = None,
) -> AsyncIterator[Relay]:
    """Publish what these requests of a client yield, while a block runs: :func:`open_relay`, and :meth:`Relay.add`."""
    async with open_relay(
        to,
        shard=shard,
        shards=shards,
        policy=policy,
        form=form,
        keyframe_every=keyframe_every,
        capacity=capacity,
        drain_timeout=drain_timeout,
        holder=holder,
        require_broker=require_broker,
        login=login,
        tls=tls,
    ) as relay:
        await relay.add(client, *requests)
        yield relay
