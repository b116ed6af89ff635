"""Replays a recording as a client: the other :class:`~kraken_trio.runtime.shell.Shell`, whose clock is the log's.

One task reads, plays and delivers, a batch at a time, in the order of the files. It stands while it is paused, while
nobody listens, before the first task waits for anything, and at the end; what a program asks for in between
(:meth:`Replayer.seek`, :meth:`Replayer.step`) is done by the same task, between two batches.
"""

from __future__ import annotations

from collections import deque
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Final

import attrs
import trio

from kraken_trio.errors import SubscriptionRejected
from kraken_trio.events import Cause
from kraken_trio.runtime.feed import FeedSender
from kraken_trio.runtime.feeds import FeedTotals
from kraken_trio.runtime.pace import Pace
from kraken_trio.runtime.waiting import StateWaiters
from kraken_trio.session.records import ConsumerFailed, RecordingDamaged

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from kraken_trio.events import ConnectionState, Event
    from kraken_trio.runtime.overflow import Key
    from kraken_trio.runtime.shell import Telemetry
    from kraken_trio.settings import Settings
    from kraken_trio.statistics import ClientStatistics
    from kraken_trio.storage.playback import Item, Playback

__all__ = ["Replayer"]

_RECORDS_PER_CHECKPOINT: Final = 128
"""Other tasks run each time after so many frames and other records, or a batch more: a feed whose program takes what is
there in lists is then empty each time, and what it has got is still in the caches."""
_SOUGHT: Final = "the replay went to another time"


@attrs.define(eq=False)
class _Order:
    """What a program has asked for, and waits for."""

    seek_ns: int | None = None
    """To go there; None to play one batch."""
    done: trio.Event = attrs.Factory(trio.Event)
    is_played: bool = False


class Replayer:
    """Plays a recording to feeds. ``speed`` None: as fast as they take it."""

    def __init__(
        self, playback: Playback, *, settings: Settings, telemetry: Telemetry, speed: float | None, paused: bool
    ) -> None:
        self.name: str = playback.name
        self.max_capacity: int = settings.max_capacity
        self.now_ns: int = 0
        """Up to when the recording has been played, by its wall clock; 0 at its beginning."""
        self.has_ended: bool = False
        """Whether all of it has been played."""
        self.is_paused: bool = paused
        self._playback = playback
        self._player = playback.player
        self._settings = settings
        self._telemetry = telemetry
        self._speed = speed
        self._pace = Pace(speed or 1.0)
        self._is_started = False  # has anybody waited for anything yet?
        self._feeds: dict[FeedSender, None] = {}
        self._totals = FeedTotals()
        self._waiters = StateWaiters()
        self._orders: deque[_Order] = deque()
        self._changed = trio.Event()  # anything that the task has to look at
        self._full: dict[FeedSender, deque[Event]] = {}  # feeds without room, and what waits for it
        self._is_over = False  # has the last item been played?
        self._ended: Exception | None = None
        self._told = self._told_disagreements = 0  # how many have been reported
        self._is_at_once = True  # do new feeds begin as if they had been there before?

    # The task

    async def run(self) -> None:
        """Play, until cancelled."""
        records = 0
        while True:  # noqa: ASYNC913 (it waits wherever there is nothing to do)
            if self._orders:
                self._obey(self._orders.popleft())
            elif self._full:
                await self._relieve()
            elif not self._is_running:
                await self._stand()
            elif (item := self._playback.ahead()) is None:
                self._end()
            elif self._speed is None or await self._is_due(item):
                self._play(item)
                records += len(item.what) if isinstance(item.what, list) else 1
                if records >= _RECORDS_PER_CHECKPOINT:
                    records = 0
                    await trio.lowlevel.checkpoint()

    @property
    def _is_running(self) -> bool:
        if self.has_ended:
            return False
        is_wanted = self._is_started and bool(self._feeds or self._waiters)
        return self._is_over or (is_wanted and not self.is_paused)

    async def _stand(self) -> None:
        """Wait until something changes. The log's clock stands."""
        self._pace.stop(trio.current_time())
        self._changed = trio.Event()
        await self._changed.wait()

    async def _is_due(self, item: Item) -> bool:
        """Wait until this item is due. Returns False if something changes before."""
        now = trio.current_time()
        self._pace.go(now)
        due = self._pace.due(item)
        if due > now:
            self._changed = trio.Event()
            with trio.move_on_at(due):
                await self._changed.wait()
                return False
        return True

    async def _relieve(self) -> None:
        """Wait for the consumer of a feed that is full, or until something changes."""
        feed = next(iter(self._full))
        rest = self._full[feed]
        is_served = True
        self._changed = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_when_changed, nursery.cancel_scope)
            if feed.holds_up:
                is_served = await feed.drain(self._settings.stall_limit)
            while rest:
                await feed.feed(rest)
            self._full.pop(feed, None)
            nursery.cancel_scope.cancel()
        if not is_served:
            self._give_up(feed)

    async def _cancel_when_changed(self, scope: trio.CancelScope) -> None:
        await self._changed.wait()
        scope.cancel()

    def _play(self, item: Item) -> None:
        """Play one item, and give the feeds what follows from it."""
        self._is_at_once = False
        self._pace.played(item)
        if item.wall_ns:
            self.now_ns = item.wall_ns
        self._playback.play()
        self._deliver()
        if len(self._playback.damage) != self._told or self._player.disagreement_count != self._told_disagreements:
            self._report_damage()

    def _deliver(self) -> None:
        effects, changes = self._player.take()
        for change in changes:
            self._waiters.reach(change.current)
        for feed, events in effects.deliver.items():
            assert isinstance(feed, FeedSender)  # the player uses feeds as keys only
            self._put(feed, events)

    def _put(self, feed: FeedSender, events: Sequence[Event]) -> None:
        rest = self._full.get(feed)
        if rest is not None:
            rest.extend(events)
        elif self._speed is None:
            more = feed.fill(events)
            if more:
                self._full[feed] = deque(more)
        elif not feed.offer(events):
            if feed.is_ended:
                self._give_up(feed)
            else:
                self._full[feed] = deque()

    def _give_up(self, feed: FeedSender) -> None:
        """Remove a feed whose consumer was too slow."""
        failure = ConsumerFailed(requests=feed.requests, detail=str(feed.error))
        self._telemetry.consume([failure], trio.current_time())
        self._detach(feed)

    def _end(self) -> None:
        """All of the recording has been played."""
        self.has_ended = True
        self._player.end()
        self._deliver()
        for feed in list(self._feeds):
            for event in self._full.pop(feed, ()):  # no more than the last change of state
                feed.offer((event,))
            if feed.buffered:  # until it is empty, one can go back
                feed.call_when_waiting(partial(self._finish, feed))
            else:
                self._finish(feed)
        self._waiters.end(trio.ClosedResourceError(_OVER))

    def _finish(self, feed: FeedSender) -> None:
        """Nothing more comes, unless one has gone back meanwhile."""
        if self.has_ended:
            feed.end(None)
            self._detach(feed)

    def _report_damage(self) -> None:
        damage = self._playback.damage
        records = [RecordingDamaged(detail=str(one)) for one in damage[self._told :]]
        self._told = len(damage)
        count = self._player.disagreement_count
        fresh = min(count - self._told_disagreements, len(self._player.disagreements))
        records += [RecordingDamaged(detail=one) for one in list(self._player.disagreements)[-fresh:] if fresh]
        self._told_disagreements = count
        self._telemetry.consume(records, trio.current_time())

    # Orders

    def _obey(self, order: _Order) -> None:
        if order.seek_ns is not None:
            self._go_to(order.seek_ns)
        else:
            order.is_played = self._step()
        order.done.set()

    def _step(self) -> bool:
        """Play up to the end of the next batch. Returns whether there was one."""
        batches = self._playback.batches
        while not self.has_ended:
            item = self._playback.ahead()
            if item is None:
                self._is_over = True
                break
            if self._playback.batches != batches and not item.is_rest:
                break
            self._play(item)
        return self._playback.batches != batches

    def _go_to(self, at_ns: int) -> None:
        """Everything that waits is dropped; each feed gets gaps, and starts anew with the state as of then."""
        player = self._player
        for feed in self._feeds:
            feed.clear()
        self._full.clear()
        player.part(Cause.SOUGHT, _SOUGHT)
        self._deliver()
        for feed in self._feeds:
            player.remove(feed)
        self._playback.seek(at_ns)
        player.take()
        for feed in self._feeds:
            player.add(feed, feed.requests, at_once=True)
        player.restate(Cause.SOUGHT, _SOUGHT)
        self._deliver()
        item = self._playback.ahead()
        self.now_ns = at_ns if item is None else item.wall_ns
        self.has_ended = self._is_over = False
        self._is_at_once = True
        self._pace.jump()

    async def _order(self, order: _Order) -> bool:
        if self._ended is not None:
            raise copy(self._ended)
        self._orders.append(order)
        self._changed.set()
        await order.done.wait()
        if self._ended is not None:
            raise copy(self._ended)
        return order.is_played

    # What a program can do with a replay

    @property
    def damage(self) -> tuple[str, ...]:
        """What was found to be damaged so far."""
        return (*map(str, self._playback.damage), *self._player.disagreements)

    @property
    def playback(self) -> Playback:
        """What is played."""
        return self._playback

    @property
    def speed(self) -> float | None:
        """Seconds of the recording in a second; None: as fast as the feeds take it."""
        return self._speed

    def set_speed(self, speed: float | None) -> None:
        """From here on."""
        self._pace.stop(trio.current_time())
        self._speed = speed
        self._pace.speed = speed or 1.0
        self._changed.set()

    def pause(self) -> None:
        """Play nothing more."""
        self.is_paused = True
        self._changed.set()

    def resume(self) -> None:
        """Go on."""
        self.is_paused = False
        self._is_started = True
        self._changed.set()

    async def step(self) -> bool:
        """Play one batch, with what was decided before it. Returns False if there is none."""
        return await self._order(_Order())

    async def seek(self, at_ns: int) -> None:
        """Go to this time."""
        await self._order(_Order(seek_ns=at_ns))

    def begin_at(self, at_ns: int) -> None:
        """Go to this time, before anything is played."""
        self._go_to(at_ns)

    # The interface for clients

    @property
    def state(self) -> ConnectionState:
        return self._player.state

    @property
    def system_status(self) -> str | None:
        status = self._player.deliveries.status
        return None if status is None else status.system

    def statistics(self) -> ClientStatistics:
        now = self._player.statistics(log_lines_left_out=self._telemetry.left_out, wall_ns=self.now_ns)
        counted = self._telemetry.counted(trio.current_time())
        return attrs.evolve(self._totals.added_to(now), **attrs.asdict(counted, recurse=False))

    def rebuild(self, key: Key, /) -> Event | None:
        return self._player.rebuild(key)

    async def wait_for(self, states: Collection[ConnectionState]) -> ConnectionState:
        self._start()
        over = trio.ClosedResourceError(_OVER) if self.has_ended else None
        return await self._waiters.wait(states, self.state, self._ended or over)

    async def attach(self, sender: FeedSender) -> None:
        await trio.lowlevel.checkpoint()
        if self._ended is not None:
            raise copy(self._ended)
        reasons = {request: why for request in sender.requests if (why := self._playback.refusal(request)) is not None}
        if reasons:
            raise SubscriptionRejected(reasons)
        if self.has_ended:
            sender.end(None)
            return
        self._totals.add(sender, partial(self._detach, sender))
        sender.call_when_waiting(partial(self._begin_with, sender))
        self._feeds[sender] = None
        self._player.add(sender, sender.requests, at_once=self._is_at_once)
        effects, _ = self._player.take()
        for events in effects.deliver.values():
            self._put(sender, events)
        self._changed.set()

    def _detach(self, sender: FeedSender) -> None:
        if sender in self._feeds:
            del self._feeds[sender]
            self._full.pop(sender, None)
            self._player.remove(sender)
            self._changed.set()

    def _begin_with(self, sender: FeedSender) -> None:
        """The first wait for an event starts the clock."""
        sender.call_when_waiting(None)
        self._start()

    def _start(self) -> None:
        if not self._is_started and not self.is_paused:
            self._is_started = True
        self._changed.set()

    def close(self) -> None:
        """End feeds and release waiters: the client's block is being left."""
        if self._ended is None:
            self._ended = trio.ClosedResourceError("the client's block has been left")
        for feed in self._feeds:
            feed.end(None)
        self._waiters.end(self._ended)
        for order in self._orders:
            order.done.set()


_OVER: Final = "the recording ended before"
