"""Both ends of a feed, over one shared state, like Trio's own memory channels.

:class:`FeedSender` is the end of the shell, which has the events; :class:`Feed` is the end of the program. Between them
is a bounded :class:`~kraken_trio.runtime.channel.Channel`.

Events that do not fit into the channel go to a :mod:`policy <kraken_trio.runtime.overflow>`, one per member of
:class:`~kraken_trio.Overflow`:

* a *backlog* follows the full channel: the rest of one batch of frames, and what a loss, a start or a state adds.
  Nothing more is read until the backlog is empty (``BACKPRESSURE``), or the feed fails (``FAIL``);
* a *buffer* takes over what is in the full channel and everything after it, until the program has received all of it;
  it always has room (``CONFLATE``, ``DROP_OLDEST``).

A consumer may be many events behind the client. So a feed has views of its own, such as order books, which follow the
events as they are *received*: ``feed.book(symbol)`` is the book as of the last received event, not as of now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from copy import copy
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs
import trio

from kraken_trio.book import Level3Book, OrderBook
from kraken_trio.channels import CHANNELS, ChannelState, View
from kraken_trio.channels.balances import Balances
from kraken_trio.channels.executions import OpenOrders
from kraken_trio.errors import ConsumerTooSlow
from kraken_trio.requests import Overflow, Request, canonical_symbol
from kraken_trio.runtime.channel import Channel
from kraken_trio.runtime.overflow import Backlog, Key, Policy, Rebuild, make_policy
from kraken_trio.statistics import FeedStatistics

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

    from typing_extensions import TypeVar

    from kraken_trio.broker.position import Place, Position
    from kraken_trio.broker.progress import Delivery, Progress
    from kraken_trio.events import Balance, Event, Order
    from kraken_trio.statistics import Histogram
else:
    from typing import TypeVar

__all__ = [
    "Feed",
    "FeedSender",
    "Views",
    "Wish",
    "books_among",
    "find_book",
    "open_feed",
    "open_wish",
    "view_of",
    "views_for",
    "whole_of",
]

Views: TypeAlias = "dict[str | None, dict[str | None, View]]"
"""What follows the events of a feed, such as its books, by channel and symbol."""

if TYPE_CHECKING:
    E_co = TypeVar("E_co", covariant=True, default=Event)
else:  # defaults of type variables come with Python 3.13
    E_co = TypeVar("E_co", covariant=True)
E = TypeVar("E")
V = TypeVar("V")
_B = TypeVar("_B", OrderBook, Level3Book)

_EVENTS_PER_CHECKPOINT: Final = 64
"""``async for`` yields so many events without a full checkpoint, at most: other tasks wait for no more than these."""
_SECONDS_PER_CHECKPOINT: Final = 0.0005
"""The first step of ``async for`` after so many seconds is a full checkpoint, as the body may take long."""
_CLOSED: Final = "this feed was closed: its subscribe block has been left, or aclose() was called"


@attrs.define(eq=False)
class _State:
    """What both ends share."""

    requests: tuple[Request[Any], ...]
    overflow: Overflow
    capacity: int
    policy: Policy
    channel: Channel[Any]
    rebuild: Rebuild
    on_close: Callable[[], None] | None = None
    on_wait: Callable[[], None] | None = None
    """Called when the program begins to wait for an event."""
    is_buffering: bool = False
    """Whether all waiting events are in the policy's buffer, and the channel is empty."""
    is_behind: bool = False
    """Whether the sender holds events for which there has been no room: see :meth:`FeedSender.fill`."""
    is_ended: bool = False
    """Whether the sender's end is closed."""
    is_closed: bool = False
    """Whether the program's end is closed."""
    error: Exception | None = None
    """The failure that ended it, if one did."""
    buffered: int = 0
    """The number of waiting events, in the channel and the policy."""
    lost: int = 0
    """How many waiting events were dropped when it ended."""
    left_out: bool = False
    """Whether it was closed while events were left out."""
    high_water: int = 0
    delivered: int = 0
    held_seconds: float = 0.0
    held_since: float | None = None
    """Since when it holds up reading; None if it does not."""
    commit: Callable[[], Awaitable[None]] | None = None
    """Says that all that was received is done, if the program is a member of a group."""
    progress: Progress | None = None
    """Where its events are stored, if they come from a broker."""
    mark: tuple[int, float, Histogram] | None = None
    """What is measured now, if anything: the time until so many events have passed, since when, and for whom."""

    def count(self, buffered: int) -> None:
        self.buffered = buffered
        self.high_water = max(self.high_water, buffered)

    @property
    def passed(self) -> int:
        """How many events do not wait any more."""
        return self.delivered + self.policy.dropped + self.policy.conflated

    @property
    def missing(self) -> int:
        """How many of the events that were added have not been received: they wait, or were lost at its end."""
        return self.buffered + self.lost

    @property
    def in_order(self) -> bool:
        """Whether the program has received all events before those that are missing."""
        return not (self.is_buffering or self.left_out)

    def measure(self) -> None:
        """If all that waited at the mark has passed, say how long that took."""
        assert self.mark is not None  # it is asked for where there is a mark
        position, since, histogram = self.mark
        if not self.buffered or self.passed >= position:
            histogram.observe(int((trio.current_time() - since) * 1e9))
            self.mark = None

    def statistics(self) -> FeedStatistics:
        held_now = 0.0 if self.held_since is None else trio.current_time() - self.held_since
        return FeedStatistics(
            buffered=self.buffered,
            capacity=self.capacity,
            high_water=self.high_water,
            delivered=self.delivered,
            dropped=self.policy.dropped,
            conflated=self.policy.conflated,
            held_seconds=self.held_seconds + held_now,
        )

    def __str__(self) -> str:
        wanted = ", ".join(map(str, self.requests))
        ended = " closed" if self.is_closed else f" failed: {self.error}" if self.error else ""
        return f"{wanted}: {self.buffered}/{self.capacity} buffered{ended}"


class FeedSender:
    """The sending end of a feed. Nothing here raises because of what the program does."""

    def __init__(self, state: _State) -> None:
        """(see :func:`open_feed`)."""
        self.requests: tuple[Request[Any], ...] = state.requests
        self._state = state
        self._backlog: Backlog | None = state.policy if isinstance(state.policy, Backlog) else None
        self._queued: Collection[Event] = () if self._backlog is None else self._backlog.events
        self._put = state.channel.put
        self._draining: trio.CancelScope | None = None

    @property
    def is_ended(self) -> bool:
        """Whether no more events are accepted: :meth:`end` was called, the program closed its end, or was too slow."""
        return self._state.is_ended

    @property
    def error(self) -> Exception | None:
        """The failure that ended it, if one did."""
        return self._state.error

    @property
    def buffered(self) -> int:
        """How many events wait for the program."""
        return self._state.buffered

    def statistics(self) -> FeedStatistics:
        """All numbers of the feed, as of now."""
        return self._state.statistics()

    def mark(self, now: float, histogram: Histogram) -> None:
        """Have ``histogram`` told how long it takes until the program has received all that waits now."""
        state = self._state
        if state.mark is None and state.buffered:
            state.mark = (state.passed + state.buffered, now, histogram)

    def call_when_closed(self, callback: Callable[[], None]) -> None:
        """Set ``callback`` to be called when the program closes its end."""
        self._state.on_close = callback

    def offer(self, events: Sequence[Event]) -> bool:
        """Accept ``events``, in order.

        Returns False if the feed is full. Then either the feed :attr:`is_ended`, because its policy is to fail; or
        nothing more should be read until :meth:`drain` has returned. Events offered until then are accepted, too.
        """
        state = self._state
        if state.is_ended:
            return True
        if state.is_buffering or self._queued:
            return self._overflow(events, len(events))
        taken = self._put(events)
        if taken < len(events):
            return self._overflow(events[taken:], len(events))
        state.buffered = buffered = state.buffered + len(events)
        if buffered > state.high_water:  # noqa: PLR1730 (max() costs as much as sending an event)
            state.high_water = buffered
        return True

    def keep_position(self, progress: Progress) -> None:
        """Have the feed know where it is in a broker's log."""
        self._state.progress = progress

    def commit_by(self, commit: Callable[[], Awaitable[None]]) -> None:
        """Have ``commit`` keep the place of the feed, which is one of a group's."""
        self._state.commit = commit

    @property
    def passed(self) -> int:
        """(of a feed with a position) How many of the events that were added have been received."""
        state = self._state
        assert state.progress is not None  # keep_position() was called
        return state.progress.offered - state.missing

    def places(self) -> dict[int, Place]:
        """(likewise) The places after the last event that was received."""
        state = self._state
        assert state.progress is not None
        return state.progress.places(state.missing, in_order=state.in_order)

    def rebuild_by(self, rebuild: Rebuild) -> None:
        """Have ``rebuild`` say what the state of a cumulative key is: this feed does not share it with others."""
        self._state.rebuild = rebuild

    def deliver(self, delivery: Delivery) -> bool:
        """Accept the events of a message of a broker. Otherwise as :meth:`offer`."""
        state = self._state
        assert state.progress is not None  # keep_position() was called
        if not state.is_ended:
            state.progress.add(delivery, state.buffered, in_order=state.in_order)
        return self.offer(delivery.events)

    def call_when_waiting(self, callback: Callable[[], None] | None) -> None:
        """Set ``callback`` to be called whenever the program begins to wait for an event."""
        self._state.on_wait = callback

    def fill(self, events: Sequence[Event]) -> Sequence[Event]:
        """Accept as many of ``events`` as there is room for, and return the rest, which is for :meth:`feed`."""
        state = self._state
        if state.is_ended:
            return ()
        if state.is_buffering:  # an overflow of before
            self.offer(events)
            return ()
        taken = self._put(events)
        state.count(state.buffered + taken)
        state.is_behind = taken < len(events)
        return events[taken:]

    @property
    def holds_up(self) -> bool:
        """Whether :meth:`drain` has to be called."""
        return bool(self._queued)

    async def feed(self, events: deque[Event]) -> None:
        """Move ``events`` to the program as it makes room for them, whatever the policy is. Cancelling loses none."""
        state = self._state
        while events and not state.is_ended:
            state.count(state.buffered + 1)
            try:
                await state.channel.send(events[0])
            except trio.Cancelled:
                state.buffered -= 1
                raise
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                break  # the program has closed its end
            if events:
                events.popleft()
        events.clear()
        state.is_behind = False
        await trio.lowlevel.checkpoint_if_cancelled()

    def clear(self) -> None:
        """Drop all waiting events."""
        state = self._state
        if state.is_ended:
            return
        state.buffered -= len(state.policy) + state.channel.clear()  # one may have been handed over already
        state.policy.clear()
        state.is_buffering = state.is_behind = False
        state.mark = None

    def _overflow(self, rest: Sequence[Event], offered: int) -> bool:
        """The channel is full: pass ``rest`` of the ``offered`` events to the policy."""
        state = self._state
        policy = state.policy
        backlog = self._backlog
        if backlog is None and not state.is_buffering:
            for event in state.channel.queue:
                policy.offer(event)
            state.channel.clear()
            state.is_buffering = True
        for event in rest:  # mutant: rest of a batch
            policy.offer(event)
        if backlog is None:
            state.count(len(policy))
            return True
        state.count(state.buffered + offered)
        if backlog.fails:
            self._fail("and its policy is to fail")
        return False

    async def drain(self, limit: float) -> bool:  # noqa: ASYNC910 (it is called when there is a backlog)
        """Wait until the backlog has moved into the channel; after ``limit`` seconds the feed fails.

        Returns False if it has failed. The time counts as ``FeedStatistics.held_seconds``.
        """
        state = self._state
        # Between the decision to call this and the call.
        if state.is_ended:  # mutant: end before the wait
            return True  # noqa: ASYNC910 (there is nothing to wait for)
        state.held_since = started = trio.current_time()
        self._draining = trio.move_on_after(limit)  # mutant: stall limit
        try:
            with self._draining as scope:
                await self._move_backlog()
        finally:
            self._draining = None
            state.held_since = None
            state.held_seconds += trio.current_time() - started
            if state.is_ended:
                state.channel.end()  # end() leaves this to us
        if scope.cancelled_caught and not state.is_ended:
            self._fail(f"and held up reading for more than {limit:g} s")
            return False
        return True

    async def _move_backlog(self) -> None:  # noqa: ASYNC910 (it is called when there is a backlog)
        backlog, channel = self._backlog, self._state.channel
        assert backlog is not None  # the other policies always have room
        while backlog:
            # It is removed from the backlog after it was sent, not before: sending may be cancelled.
            if not channel.put((backlog.first,)):
                try:
                    await channel.send(backlog.first)
                except trio.BrokenResourceError:
                    return  # noqa: ASYNC910 (the program has closed its end)
            if backlog:  # otherwise the program has closed its end just now
                backlog.pop()

    def end(self, error: Exception | None) -> None:
        """Accept no more events: after the waiting ones the program gets ``error``, or the end of the channel."""
        state = self._state
        if state.is_ended:
            return
        state.is_ended = True
        state.error = error
        if self._draining is None:  # mutant: end while an event changes hands
            state.channel.end()
        else:
            # The event that drain() waits to send may have been received just now, and still be first in the backlog.
            # So drain() closes the channel when it returns; then the program takes the rest of the backlog.
            self._draining.cancel()

    def _fail(self, why: str) -> None:
        state, backlog = self._state, self._backlog
        assert backlog is not None  # the other policies never fail
        state.buffered -= len(backlog)
        state.lost = len(backlog)
        backlog.drop()
        what = f"the feed's channel ({state.capacity} events) was full, {why}"
        self.end(ConsumerTooSlow(f"{what}: read faster (receive_many), or raise capacity"))

    def __repr__(self) -> str:
        return f"<FeedSender of {self._state}>"


class Wish(FeedSender):
    """Wants its requests, and drops their events: for what is only to be recorded."""

    def offer(self, events: Sequence[Event]) -> bool:
        del events
        return True

    def close(self) -> None:
        """Nothing is wanted any more."""
        self.end(None)
        if self._state.on_close is not None:
            self._state.on_close()


def open_wish(requests: Sequence[Request[Any]]) -> Wish:
    """A feed's sending end, without the other one."""
    sender, _ = open_feed(requests, 1, Overflow.DROP_OLDEST)
    return Wish(sender._state)  # noqa: SLF001 (the same class)


class Feed(trio.abc.ReceiveChannel[E_co]):
    """The events of one ``subscribe``, in the order in which the exchange sent them.

    ``async for event in feed`` ends when the client's block is left. After a failure
    (:class:`~kraken_trio.ConsumerTooSlow`, or :class:`~kraken_trio.ConnectError` if the exchange refuses the client
    permanently) the events before it are still yielded; then it is raised, by this and every later call.

    ``async for`` is an exception to the rule that each ``await`` lets other tasks run: while events are waiting, it is
    a full checkpoint only after 64 events, or at the first step after 0.5 ms. This makes it several times faster than
    :meth:`receive`. It notices at each step if its own task has cancelled a scope around it; deadlines, and what other
    tasks cancel, it notices after the next full checkpoint. Neither loses an event. (So
    :func:`trio.testing.assert_checkpoints` need not hold for one step.)

    Only one task may receive at a time, so that ``book`` is exact; a second one gets :class:`trio.BusyResourceError`.
    """

    def __init__(self, state: _State) -> None:
        """(not to be called by programs: ``Client.subscribe`` creates feeds)."""
        self.requests: tuple[Request[Any], ...] = state.requests
        """The requests with which it was opened."""
        self.overflow: Overflow = state.overflow
        """What happens when it is full."""
        self._state = state
        self._channel = state.channel
        self._waiting = state.channel.queue
        self._is_receiving = False
        self._steps_left = 0  # of ``async for``, before one must be a full checkpoint
        self._steps_until = 0.0
        self._current_time: Callable[[], float] = trio.current_time
        self._views = views_for(self.requests)
        self._books = books_among(self._views, OrderBook)
        self._level3_books = books_among(self._views, Level3Book)

    @trio.lowlevel.enable_ki_protection
    async def receive(self) -> E_co:
        """Wait for the next event. Cancelling loses no event. Always a checkpoint.

        Raises :class:`trio.EndOfChannel` after the client's block was left, :class:`trio.ClosedResourceError` after
        this feed's block was left, and the failure that ended the feed, if one did.
        """
        return (await self.receive_many(1))[0]

    @trio.lowlevel.enable_ki_protection  # mutant: ctrl c within a call
    async def receive_many(self, max_events: int = 256) -> list[E_co]:
        """Wait for the next event, and return it with all that are there, up to ``max_events``, in order.

        Several times faster than :meth:`receive` when events come in bursts; ``book`` is then as of the last of them.
        Raises as :meth:`receive` does. Cancelling loses no event. Always a checkpoint.
        """
        if max_events < 1:
            raise _none_wanted(max_events)
        if self._is_receiving:
            msg = "another task is receiving from this feed"
            raise trio.BusyResourceError(msg)
        state = self._state
        events: list[Any] = []
        self._is_receiving = True
        # A step of another task is to get here as well, and to be refused.
        self._steps_left = 0  # mutant: step while another task receives
        try:
            events = await self._next()
        except trio.EndOfChannel:
            await trio.lowlevel.checkpoint()
        except trio.ClosedResourceError:
            raise trio.ClosedResourceError(_CLOSED) from None
        finally:
            self._is_receiving = False
        # Possibly by another task, between receiving the event and resuming this task.
        if state.is_closed:  # mutant: closed while receiving
            raise trio.ClosedResourceError(_CLOSED)
        if events and max_events == 1:
            state.buffered -= 1
            state.delivered += 1
        else:
            self._take(events, max_events)
        if not events:
            raise copy(state.error) or trio.EndOfChannel  # a copy: each raise gets a traceback of its own
        if state.mark is not None:
            state.measure()
        if self._views:
            self._follow(events)
        return events

    async def _next(self) -> list[Any]:
        """Wait for the next event. Empty if some are held back: what is there is taken from them."""
        state = self._state
        if state.is_buffering:
            await trio.lowlevel.checkpoint()
            if state.is_buffering:  # still
                return []
        if state.on_wait is not None and not state.buffered:
            state.on_wait()
        return [await self._channel.receive()]

    def _follow(self, events: Sequence[Any]) -> None:
        """Have the views follow these events."""
        views, runs = self._views, defaultdict[View, list[Any]](list)
        for event in events:
            of_channel = views.get(event.channel)
            if of_channel is not None:
                view = of_channel.get(event.symbol)
                if view is not None:
                    runs[view].append(event)  # mutant: book of a feed
        if runs:
            state = self._state
            # Then the client's own state is that after the last of these events.
            is_up_to_date = not (self._waiting or state.policy or state.is_behind or state.is_ended)
            for view, run in runs.items():
                key = run[0].channel, run[0].symbol
                view.follow_all(run, partial(state.rebuild, key) if is_up_to_date else _unknown)

    def batches(self, max_events: int = 256) -> AsyncIterator[list[E_co]]:
        """Iterate over the events in lists, as :meth:`receive_many` returns them, each of them a checkpoint.

        Ends, or raises, when and as ``async for event in feed`` does.
        """
        if max_events < 1:
            raise _none_wanted(max_events)
        return _Batches(self, max_events)

    @trio.lowlevel.enable_ki_protection  # mutant: ctrl c within a step
    async def __anext__(self) -> E_co:
        """The next event: see the class."""
        state = self._state
        # mutant: long run of steps, steps of a slow body
        if state.buffered and self._steps_left and self._current_time() < self._steps_until:
            self._steps_left -= 1
            await trio.lowlevel.checkpoint_if_cancelled()  # mutant: cancelled between two steps
            # From here to the return is no await: nothing can be cancelled once an event is taken.
            if self._waiting:
                event = self._channel.pop()
                state.buffered -= 1
                state.delivered += 1
            else:
                events: list[Any] = []
                if state.is_buffering:
                    self._take(events, 1)
                event = events[0] if events else None
            if event is not None:
                of_channel = self._views.get(event.channel)
                if of_channel is not None:
                    view = of_channel.get(event.symbol)
                    if view is not None:
                        view.follow(event)  # mutant: book of a step
                return event  # type: ignore[no-any-return]  # (a cast would be one call more)
        try:
            (event,) = await self.receive_many(1)
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
        self._current_time = trio.lowlevel.current_clock().current_time
        self._steps_until = self._current_time() + _SECONDS_PER_CHECKPOINT
        self._steps_left = _EVENTS_PER_CHECKPOINT - 1
        return event

    def _take(self, events: list[Any], max_events: int) -> None:
        """Append the events that are there to ``events``, up to ``max_events`` in total."""
        state = self._state
        # Is the next event in the policy instead of the channel?
        if state.is_buffering or not self._channel.take(events, max_events):
            policy = state.policy
            while len(events) < max_events and policy:
                events.append(policy.pop())
            state.is_buffering = state.is_buffering and bool(policy)
            state.count(len(policy))
        else:
            state.buffered -= len(events)
        state.delivered += len(events)

    def close(self) -> None:
        """Close the feed, like :meth:`aclose`, but without a checkpoint."""
        state = self._state
        if state.is_closed:
            return
        state.is_closed = state.is_ended = True
        state.mark = None
        state.left_out, state.is_buffering = state.is_buffering, False
        state.policy.clear()
        state.lost += state.buffered
        state.buffered = 0
        state.channel.close()
        for of_channel in self._views.values():
            for view in of_channel.values():
                view.invalidate("its feed is closed")
        if state.on_close is not None:
            state.on_close()

    async def aclose(self) -> None:
        """Close the feed: unsubscribe, and drop waiting events. Leaving the ``subscribe`` block does the same."""
        self.close()
        await trio.lowlevel.checkpoint()

    def book(self, symbol: str) -> OrderBook:
        """The verified book of ``symbol``, as of the last event that was received from this feed.

        It is the same object each time, and changes when the next event is received. Raises
        :class:`~kraken_trio.BookUnavailable` before its first snapshot, and from a :class:`~kraken_trio.Gap` to the
        next snapshot (reading a kept object does so, too), and :class:`ValueError` if this feed has no such book.
        """
        return find_book(self._books, symbol, "feed")

    def level3(self, symbol: str) -> Level3Book:
        """The verified single orders of ``symbol``, as of the last event that was received from this feed.

        Otherwise as :meth:`book`.
        """
        return find_book(self._level3_books, symbol, "feed", "Level3")

    @property
    def books(self) -> Mapping[str, OrderBook]:
        """All books of this feed by symbol, including those that are unavailable: see ``OrderBook.available``."""
        return MappingProxyType(self._books)

    @property
    def level3_books(self) -> Mapping[str, Level3Book]:
        """The same of single orders: see ``Level3Book.available``."""
        return MappingProxyType(self._level3_books)

    @property
    def orders(self) -> Mapping[str, Order]:
        """The open orders of the account by their ids, as of the last event that was received from this feed.

        After a :class:`~kraken_trio.Gap` they are as before it, up to the next :class:`~kraken_trio.OrdersSnapshot`.
        Raises :class:`ValueError` if this feed was not opened with :class:`~kraken_trio.Executions`.
        """
        return MappingProxyType(self._view_of("executions", OpenOrders).orders)

    @property
    def balances(self) -> Mapping[str, Balance]:
        """The balances of the account by asset, as of the last event that was received from this feed.

        After a :class:`~kraken_trio.Gap` they are as before it, up to the next :class:`~kraken_trio.BalancesSnapshot`.
        Raises :class:`ValueError` if this feed was not opened with :class:`~kraken_trio.Balances`.
        """
        return MappingProxyType(self._view_of("balances", Balances).balances)

    def _view_of(self, channel: str, kind: type[V]) -> V:
        view = next(iter(self._views.get(channel, {}).values()), None)
        if not isinstance(view, kind):
            msg = f"this feed was not opened with {channel.capitalize()}()"
            raise ValueError(msg)  # noqa: TRY004 (it is about the feed, not about an argument)
        return view

    @property
    def position(self) -> Position | None:
        """The place in the broker's log after the last event that was received from this feed.

        Store it with what was made of the events, and go on there: ``open_stream(…, start=position)``. It is None if
        the client is not one of :func:`~kraken_trio.open_stream`, and until all events with which the feed began (the
        states as of its start) were received. With ``Overflow.CONFLATE`` and ``DROP_OLDEST`` it stays where it is while
        events are left out, until none waits. What is dropped when the feed ends was not received. The feeds of a group
        have none: see :meth:`commit`.
        """
        state = self._state
        if state.progress is None or state.commit is not None:
            return None
        return state.progress.position(state.missing, in_order=state.in_order)

    async def commit(self) -> None:
        """Say that all that was received from this feed so far is done: of ``open_stream(…, group=…)``.

        The broker keeps that place. Whoever reads these symbols after us, this program included, goes on there: without
        a commit it gets again what was received. Symbols that another member should have are handed over by it.
        Of symbols that another member has taken over meanwhile nothing is kept: a gap, ``FAILOVER``, says so.

        Raises :class:`trio.ClosedResourceError` if this feed's block, or the client's, is left before all is kept, or
        the failure that ended them; :class:`RuntimeError` for any other feed.
        """
        commit = self._state.commit
        if commit is None:
            msg = "only feeds of a group are committed: open_stream(…, group=…)"
            raise RuntimeError(msg)
        await trio.lowlevel.checkpoint()
        await commit()

    def statistics(self) -> FeedStatistics:
        """All numbers, as of now."""
        return self._state.statistics()

    def __repr__(self) -> str:
        return f"<Feed of {self._state}>"


class _Batches(AsyncIterator[list[E]]):
    """What :meth:`Feed.batches` returns. It has nothing to clean up, so it may be left at any point."""

    def __init__(self, feed: Feed[E], max_events: int) -> None:
        self._feed = feed
        self._max_events = max_events

    @trio.lowlevel.enable_ki_protection
    async def __anext__(self) -> list[E]:
        try:
            return await self._feed.receive_many(self._max_events)
        except trio.EndOfChannel:
            raise StopAsyncIteration from None


def view_of(feed: Feed[Any], request: Request[Any]) -> View | None:
    """What follows the events of one of the requests of a feed, if anything does."""
    return feed._views.get(request.channel, {}).get(request.symbol)  # noqa: SLF001 (of its own module; a method would be public to programs)


def whole_of(feed: Feed[Any], request: Request[Any]) -> Sequence[Event] | None:
    """The sum of all events of one of the requests of a feed, as one event; none while that is not known.

    It is as of the last event that waits. None where :func:`view_of` says more, or events are no part of a sum.
    """
    cls = _state_of(request)
    if cls is None or not cls.is_cumulative or view_of(feed, request) is not None:
        return None
    whole = feed._state.rebuild((request.channel, request.symbol))  # noqa: SLF001 (as in view_of)
    return () if whole is None else (whole,)


def _unknown() -> None:
    """(a view that asks for the latest state) It is not that after the last event."""


def _none_wanted(max_events: int) -> ValueError:
    return ValueError(f"max_events={max_events}: at least 1")


def _state_of(request: Request[Any]) -> type[ChannelState] | None:
    """The state class of the request's channel; None for :class:`~kraken_trio.Lifecycle`."""
    return None if request.channel is None else CHANNELS.get(request.channel)


def views_for(requests: Iterable[Request[Any]]) -> Views:
    """The views of a feed."""
    views: Views = {}
    for request in requests:
        state = _state_of(request)
        view = None if state is None else state.view(request)
        if view is not None and state is not None:
            make = dict if state.has_symbols else _OfAny
            views.setdefault(request.channel, make())[request.symbol] = view
    return views


class _OfAny(dict[str | None, View]):
    """The view of a channel that has no symbols, for its events, which may have."""

    def get(self, _symbol: object, default: Any = None) -> Any:
        """The view."""
        return next(iter(self.values()), default)


def books_among(views: Views, kind: type[_B]) -> dict[str, _B]:
    """Those of the views that are books of this kind, by symbol."""
    return {
        str(symbol): view
        for of_channel in views.values()
        for symbol, view in of_channel.items()
        if isinstance(view, kind)
    }


def find_book(books: Mapping[str, _B], symbol: str, owner: str, request: str = "Book") -> _B:
    """The book of this symbol: see :meth:`Feed.book`.

    ``owner`` is what the books are those of, ``request`` what asks for one.
    """
    book = books.get(symbol) or books.get(canonical_symbol(symbol))
    if book is None:
        known = ", ".join(books) or "none"
        msg = f"this {owner} was not opened with a {request}({symbol!r}); its books: {known}"
        raise ValueError(msg)
    if not book.available:
        book.best_bid  # noqa: B018 (it raises with the reason)
    return book


def open_feed(
    requests: Sequence[Request[Any]], capacity: int, overflow: Overflow, rebuild: Rebuild = lambda _key: None
) -> tuple[FeedSender, Feed[Any]]:
    """Both ends of a new feed for ``capacity`` events.

    ``rebuild`` returns a verified book, or the reference data, as of the last event that was offered.
    """
    cumulative = [
        (request.channel, request.symbol)
        for request in requests
        if (of_channel := _state_of(request)) is not None and of_channel.is_cumulative
    ]

    def now(key: Key, /) -> Event | None:
        return state.rebuild(key)  # which may be another one later

    state: _State = _State(
        requests=tuple(requests),
        overflow=overflow,
        capacity=capacity,
        policy=make_policy(overflow, capacity, cumulative, now),
        channel=Channel(capacity),
        rebuild=rebuild,
    )
    return FeedSender(state), Feed(state)
