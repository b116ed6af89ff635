"""From clients to the :mod:`~kraken_trio.broker.publisher`: which feed is published of each channel and symbol.

One task for each feed receives its events. What waits for the broker is bounded: when the publisher is full, nothing is
received until something has been sent, or what waits is conflated (:class:`Backpressure`).
"""

from __future__ import annotations

import enum
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import trio

from kraken_trio.broker.publisher import key_of
from kraken_trio.errors import KrakenTrioError
from kraken_trio.events import Cause
from kraken_trio.relay.log import log
from kraken_trio.requests import Lifecycle
from kraken_trio.runtime.feed import view_of, whole_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from kraken_trio.broker.publisher import Publisher
    from kraken_trio.broker.subjects import Key
    from kraken_trio.client import Client
    from kraken_trio.events import Event
    from kraken_trio.relay.sending import Sender
    from kraken_trio.requests import Request
    from kraken_trio.runtime.feed import Feed

__all__ = ["Backpressure", "Intake"]

_RECEIVED: Final = 1024
"""How many events are taken from a feed in one go."""
_TOGETHER: Final = 1.0
"""Seconds after which a client and its relay have not been left together: readers are told that nothing follows."""


class Backpressure(enum.Enum):
    """What happens if the broker does not take events as fast as they come, and the outbox is full."""

    HOLD = "hold"
    """Nothing more is received: TCP slows the exchange down. Give the clients a large ``Settings.stall_limit``, or
    their feeds end. A standby of this shard is not held up."""
    CONFLATE = "conflate"
    """What waits is dropped. Each channel and symbol then goes on with a :class:`~kraken_trio.Gap` (cause ``OVERFLOW``)
    and its latest state."""


class Intake:
    """The feeds of one shard's clients. ``fail`` ends the relay's block with an error."""

    def __init__(
        self,
        publisher: Publisher,
        sender: Sender,
        *,
        policy: Backpressure,
        fail: Callable[[Exception], None],
    ) -> None:
        self._publisher = publisher
        self._sender = sender
        self._policy = policy
        self._fail = fail
        self._nursery: trio.Nursery | None = None
        self._feeds: dict[Client, list[Feed[Any]]] = {}
        self._having: dict[Key, list[Feed[Any]]] = {}
        """Feeds that get the events of a key: also of what was dropped, or of what is another client's now.
        The one that was the last to be published stands last."""
        self._published: dict[Key, Feed[Any]] = {}
        """Which of them are published."""
        self._muted: dict[Feed[Any], set[Key]] = {}
        """Of each feed, the keys that another one has: its own events of them would come twice."""
        self._ended: set[Request[Any]] = set()
        """What was received by a client whose block was left, and readers do not know that yet."""
        self._followed: set[Client] = set()
        """Those of which there is a feed of what they tell of themselves, or is about to be."""
        self._holding = 0
        """How many feeds wait until fewer events wait."""
        self._held_since = 0.0
        self._held_seconds = 0.0

    def held_seconds(self, now: float) -> float:
        """For how long nothing was received because the outbox was full."""
        return self._held_seconds + (now - self._held_since if self._holding else 0.0)

    def begin(self, nursery: trio.Nursery) -> None:
        """Feeds are received in this nursery."""
        self._nursery = nursery

    def end(self) -> None:
        """Receive nothing more."""
        assert self._nursery is not None  # it has begun
        self._nursery.cancel_scope.cancel()

    async def add(self, client: Client, *requests: Request[Any]) -> None:
        """:meth:`Relay.add <kraken_trio.relay.Relay.add>`."""
        nursery = self._nursery
        assert nursery is not None  # it has begun
        self._publisher.check(requests)
        if client not in self._followed:
            self._followed.add(client)
            await nursery.start(self._feed, client, (Lifecycle(),))
        new = []
        for request in requests:
            feed = next((feed for feed in self._feeds.get(client, ()) if request in feed.requests), None)
            if feed is None:
                new.append(request)
            else:
                self._add(feed, request, whole_of(feed, request))
        if new:
            await nursery.start(self._feed, client, tuple(new))
        else:
            await trio.lowlevel.checkpoint()

    def drop(self, *requests: Request[Any]) -> None:
        """:meth:`Relay.drop <kraken_trio.relay.Relay.drop>`."""
        for request in requests:
            self._publisher.drop(request)
            self._published.pop(key_of(request), None)
        self._sender.wake()

    def _add(self, feed: Feed[Any], request: Request[Any], whole: Sequence[Event] | None = None) -> None:
        """Publish a feed's events of a request. ``whole`` is what those that it has had already amount to."""
        if request != Lifecycle():
            self._tell_ended((request,))
            key = key_of(request)
            if self._published.get(key, feed) is not feed:
                self._publisher.drop(request)
            self._published[key] = feed
            having = self._having[key]
            having.remove(feed)
            for other in having:
                self._muted[other].add(key)
            self._muted[feed].discard(key)
            having.append(feed)
            self._publisher.add(request, trio.current_time(), view_of(feed, request), whole)
            self._sender.wake()

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
                    self._hand_over(client, feed)
        except KrakenTrioError as error:
            if not is_running:
                raise
            self._fail(error)
            return
        finally:
            if requests == (Lifecycle(),):
                self._followed.discard(client)
        received = {request for feeds in self._feeds.values() for feed in feeds for request in feed.requests}
        ended = set(requests) - received - {Lifecycle()}
        self._ended.update(ended)
        # If the relay is left as well, its successor says what there is to be said.
        await trio.sleep(_TOGETHER)
        self._tell_ended(request for request in requests if request in ended)

    def _hand_over(self, client: Client, feed: Feed[Any]) -> None:
        """Of a client that was left: publish what it received from the feeds of others that receive it as well."""
        for request in feed.requests:
            key = key_of(request)
            if self._published.get(key) is feed:  # and was not dropped
                own = self._feeds[client]  # all of these end
                for other in reversed(self._having[key]):
                    if other not in own and request in other.requests:
                        self._add(other, request, whole_of(other, request))
                        break

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
            self._sender.wake()

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

    def _take(self, events: Sequence[Event]) -> None:
        publisher = self._publisher
        publisher.take(events, trio.current_time())
        if publisher.is_full:
            if not self._sender.is_full:
                self._sender.is_full = True
                waiting = publisher.waiting
                log(
                    "outbox_full",
                    f"shard {publisher.name}: {waiting} events wait for the broker: {self._policy.value}",
                    shard=publisher.name,
                    events=waiting,
                    policy=self._policy.value,
                )
            if self._policy is Backpressure.CONFLATE:
                publisher.conflate()
        if publisher.producer is not None:
            self._sender.wake()

    async def _room(self) -> None:
        """Wait until fewer events wait."""
        if not self._holding:
            self._held_since = trio.current_time()
        self._holding += 1
        try:
            while self._publisher.is_full:
                await self._sender.wait_passed()
        finally:
            self._holding -= 1
            if not self._holding:
                self._held_seconds += trio.current_time() - self._held_since
