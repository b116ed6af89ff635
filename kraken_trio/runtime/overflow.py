"""What happens to events for which a feed's channel has no room: one policy per member of ``Overflow``. Pure.

:class:`Backlog` (``Overflow.BACKPRESSURE`` and ``Overflow.FAIL``)
    follows the full channel, and drops nothing: either the feed holds up reading until the backlog has moved into the
    channel, or the feed fails.
:class:`ConflatingBuffer` (``Overflow.CONFLATE``)
    keeps the events for which there was room, and behind them the latest state of each key.
:class:`DroppingBuffer` (``Overflow.DROP_OLDEST``)
    drops the oldest events, and keeps one :class:`~kraken_trio.Gap` per key for them.

The two buffers do not hold up reading. They take over what waits in the full channel and everything after it, until the
program has received all of it; then the channel is used again.

A *key* is a channel and a symbol. The properties of a channel come from :mod:`kraken_trio.channels`. Keys of cumulative
channels (books, reference data) are cumulative: the program's state is the sum of all events, so no update can be left
out. If some were, the sum itself is delivered, ``rebuild(key)``: the verified local book as a ``BookSnapshot``, as of
the last event that was offered. It is None only if the key's last event was a gap: then the exchange will send a
snapshot.

All policies keep the order of the events of each key. The buffers are bounded, whatever comes.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Protocol, TypeAlias, assert_never

import attrs
import msgspec

from kraken_trio._text import printable
from kraken_trio.channels import CHANNELS
from kraken_trio.events import Cause, Event, Gap, StateChange
from kraken_trio.requests import Overflow

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = ["Backlog", "ConflatingBuffer", "DroppingBuffer", "Key", "Policy", "Rebuild", "key_of", "make_policy"]

Key: TypeAlias = tuple[str | None, str | None]
"""Channel and symbol; for the client's own events, the event's class and None."""


def key_of(event: Event) -> Key:
    """The key of ``event``. Events of different keys are independent of each other."""
    channel = event.channel
    if channel is None and not isinstance(event, Gap):
        return f"({type(event).__name__})", None
    if channel is not None and event.symbol is not None and not CHANNELS[channel].has_symbols:
        return channel, None
    return channel, event.symbol


def _is_data(event: Event) -> bool:
    """Whether it comes from the exchange: neither a gap nor one of the client's own events."""
    return event.channel is not None and not isinstance(event, Gap)


def _is_delta(event: Event) -> bool:
    """Whether it can be used only together with all earlier ones."""
    return event.channel is not None and not isinstance(event, Gap) and CHANNELS[event.channel].is_delta(event)


def _neighbours(event: Event) -> tuple[int | None, int | None]:
    """The sequence numbers before and after it, where the exchange numbers its events."""
    if isinstance(event, Gap):
        return event.after_id, event.before_id
    return (None, None) if event.channel is None else CHANNELS[event.channel].neighbours(event)


class Rebuild(Protocol):
    """All events of a cumulative key so far, as one snapshot event; None while the state is unknown."""

    def __call__(self, key: Key, /) -> Event | None: ...


class Policy(Protocol):
    """Holds the events that do not fit into the channel."""

    dropped: int
    """Events of the exchange that the program never gets."""
    conflated: int
    """Events that were replaced by a later or merged one of the same key."""

    def offer(self, event: Event) -> None:
        """Add a new event."""
        ...

    def pop(self) -> Event:
        """Remove and return the next event for the program. Must not be called when empty, see ``len()``."""
        ...

    def clear(self) -> None:
        """Remove all events: the feed is closed."""
        ...

    def __len__(self) -> int: ...


class Backlog:
    """The events that have not yet moved into the channel, in order."""

    def __init__(self, *, fails: bool) -> None:
        self.fails = fails
        """Whether the feed fails at once, instead of holding up reading."""
        self.dropped: int = 0
        self.conflated: int = 0
        self.events: deque[Event] = deque()
        self.offer: Callable[[Event], None] = self.events.append
        self.pop: Callable[[], Event] = self.events.popleft

    def __len__(self) -> int:
        return len(self.events)

    @property
    def first(self) -> Event:
        return self.events[0]

    def drop(self) -> None:
        """Remove all events, and count them as dropped: the feed has failed."""
        self.dropped += len(self.events)
        self.events.clear()

    def clear(self) -> None:
        self.events.clear()


def _merged(first: Event | None, later: Event) -> Event:
    """Two of the client's own events as one: from the state before both to the state after both."""
    if isinstance(first, StateChange) and isinstance(later, StateChange):
        return msgspec.structs.replace(later, previous=first.previous)
    return later


@attrs.define
class _Pending:
    """One key's latest event, and the number of events that it replaces, itself included."""

    event: Event
    count: int = 1


class ConflatingBuffer:
    """Keeps the latest state of each key.

    While the queue has room and nothing is pending, events are queued. After that they become pending: one entry per
    key, in the order in which the keys became pending, so that none is starved. Pending events are delivered after
    queued ones. A cumulative key is rebuilt as late as possible, when it is delivered.

    It holds at most ``capacity`` events, and one for each key.
    """

    def __init__(self, capacity: int, cumulative: Collection[Key], rebuild: Rebuild) -> None:
        self._capacity = capacity
        self._cumulative = frozenset(cumulative)
        self._rebuild = rebuild
        self._queue: deque[Event] = deque()
        self._pending: OrderedDict[Key, _Pending] = OrderedDict()
        self.dropped: int = 0
        self.conflated: int = 0

    def __len__(self) -> int:
        return len(self._queue) + len(self._pending)

    def offer(self, event: Event) -> None:
        if not self._pending and len(self._queue) < self._capacity:
            self._queue.append(event)
            return
        key = key_of(event)
        pending = self._pending.get(key)
        if pending is None:
            self._pending[key] = _Pending(event)
        else:
            pending.event = _merged(pending.event, event)
            pending.count += 1
            self.conflated += 1

    def pop(self) -> Event:
        if self._queue:
            return self._queue.popleft()
        key, pending = self._pending.popitem(last=False)
        if pending.count == 1 or key not in self._cumulative:  # mutant: conflated book
            return pending.event
        rebuilt = self._rebuild(key)
        return pending.event if rebuilt is None else rebuilt  # a gap, if it cannot be rebuilt

    def clear(self) -> None:
        self._queue.clear()
        self._pending.clear()


@attrs.define
class _Hole:
    """The consecutive events of one key that were dropped. ``event`` is delivered in their place."""

    key: Key
    first: Event
    last: Event
    count: int = 0
    """Dropped events of the exchange."""
    missed: int | None = 0
    """Those, plus the missed events of dropped gaps; None if one of these was unknown."""
    gaps: int = 0
    gap: Gap | None = None
    """The last dropped gap."""
    own: Event | None = None
    """The client's own events, which are merged instead of dropped."""

    def add(self, event: Event) -> None:
        self.last = event
        if isinstance(event, Gap):
            self.gaps += 1
            self.gap = event
            self.missed = None if self.missed is None or event.missed is None else self.missed + event.missed
        elif event.channel is None:
            self.own = _merged(self.own, event)
        else:
            self.count += 1
            if self.missed is not None:
                self.missed += 1

    @property
    def event(self) -> Event:
        if self.own is not None:
            return self.own
        if self.gap is not None and self.gaps == 1 and not self.count:
            return self.gap
        cause, evidence = Cause.OVERFLOW, None
        detail = f"the feed was full, and {self.count} of its events were dropped"
        if self.gap is not None:
            # The overflow is in the statistics as well; the cause of the dropped gap is only here.
            cause, evidence = self.gap.cause, self.gap.evidence
            detail += f", and {self.gaps} gaps, the last: {self.gap.detail or cause.value}"
        channel, symbol = self.key
        if channel in CHANNELS:
            detail += CHANNELS[channel].how_to_recover(self.first, self.last)
        return Gap(
            symbol=symbol,
            cause=cause,
            channel=channel,
            detail=printable(detail),
            missed=self.missed,
            after_id=_neighbours(self.first)[0],
            before_id=_neighbours(self.last)[1],
            evidence=evidence,
            epoch=self.last.epoch,
            received_ns=self.last.received_ns,
        )


class DroppingBuffer:
    """Keeps the latest events, and for each key, in place of dropped ones, a hole: one gap with their number.

    The program gets the holes first, then the queue. Events of a key that came after its hole are delivered after its
    gap.

    A program that is always too slow must not get gaps only. So holes are delivered in rounds: when a round begins, the
    first event of the queue is moved to the front, where it cannot be dropped. The round delivers each hole once; then
    comes the front. Events dropped meanwhile add to a hole that is still to come in this round, or start one for the
    next. (The hole of the front event's key is delivered first, so that nothing later can be added to it.)

    If an update of a cumulative key is dropped, so are its later ones, up to its next snapshot or gap, because they
    could not be applied. If there is none, all further events of the key add to its hole. When the hole is delivered,
    the key is rebuilt, and the result is queued last: it is exactly as of then, and later events are queued after it.
    Such a snapshot is never dropped: when it becomes the first of the queue, it is moved to the front instead. So after
    its gap a book continues with a snapshot, however slow the program is.

    It holds at most ``capacity`` events, or one more than there are cumulative keys if that is larger, and one for each
    key.
    """

    def __init__(self, capacity: int, cumulative: Collection[Key], rebuild: Rebuild) -> None:
        self._capacity = capacity
        self._rebuild = rebuild
        self._holes: OrderedDict[Key, _Hole] = OrderedDict()
        self._round = 0  # how many holes are still to be delivered before the front
        self._front: deque[Event] = deque()
        self._queue: OrderedDict[int, Event] = OrderedDict()
        self._number = 0  # of the last queued event
        self._where: dict[Key, deque[int]] = {
            key: deque() for key in cumulative
        }  # each cumulative key's numbers in the queue
        self._made: set[int] = set()  # the numbers of queued rebuilt events
        self._broken: set[Key] = set()  # cumulative keys with a hole and nothing in the queue
        self.dropped: int = 0
        self.conflated: int = 0

    def __len__(self) -> int:
        return len(self._holes) + len(self._front) + len(self._queue)

    def offer(self, event: Event) -> None:
        key = key_of(event)
        if key in self._broken:
            self._lose(key, event)
            return
        self._enqueue(key, event)
        # mutant: bound of the buffer
        while self._queue and len(self._front) + len(self._queue) > self._capacity:
            self._drop_first()

    def pop(self) -> Event:
        if not self._front and not self._round:
            self._begin_round()
        if self._round:
            self._round -= 1
            key, hole = self._holes.popitem(last=False)
            if key in self._broken:  # mutant: snapshot after a hole
                self._mend(key)
            return hole.event
        return self._front.popleft() if self._front else self._take_first()[1]

    def clear(self) -> None:
        self._round = 0
        self._holes.clear()
        self._front.clear()
        self._queue.clear()
        self._made.clear()
        self._broken.clear()
        for numbers in self._where.values():
            numbers.clear()

    def _begin_round(self) -> None:
        self._round = len(self._holes)
        if self._round and self._queue:
            key, event, _ = self._take_first()
            self._front.append(event)
            if key in self._holes:
                self._holes.move_to_end(key, last=False)

    def _mend(self, key: Key) -> None:
        self._broken.discard(key)
        rebuilt = self._rebuild(key)
        if rebuilt is not None:  # otherwise its last event was a gap, and the exchange will send a snapshot
            self._enqueue(key, rebuilt)
            self._made.add(self._number)

    def _enqueue(self, key: Key, event: Event) -> None:
        self._number += 1
        self._queue[self._number] = event
        if key in self._where:
            self._where[key].append(self._number)

    def _take_first(self) -> tuple[Key, Event, bool]:
        """Remove the first of the queue. Returns its key, the event, and whether it must not be dropped."""
        number, event = self._queue.popitem(last=False)
        key = key_of(event)
        if key in self._where:
            self._where[key].popleft()
        is_made = number in self._made
        self._made.discard(number)
        return key, event, is_made

    def _drop_first(self) -> None:
        key, event, is_made = self._take_first()
        if is_made:
            self._front.append(event)
        else:
            self._lose(key, event)  # mutant: gap for the dropped
            if key in self._where:  # mutant: rest of a dropped book
                self._lose_what_follows(key)

    def _lose_what_follows(self, key: Key) -> None:
        numbers = self._where[key]
        while numbers:
            event = self._queue[numbers[0]]
            if not _is_delta(event):
                return
            del self._queue[numbers.popleft()]
            self._lose(key, event)
        self._broken.add(key)

    def _lose(self, key: Key, event: Event) -> None:
        hole = self._holes.get(key)
        if _is_data(event):
            self.dropped += 1
        elif hole is not None:
            self.conflated += 1
        if hole is None:
            hole = self._holes[key] = _Hole(key, event, event)
        hole.add(event)


def make_policy(overflow: Overflow, capacity: int, cumulative: Collection[Key], rebuild: Rebuild) -> Policy:
    """The policy of a feed for ``capacity`` events."""
    match overflow:
        case Overflow.BACKPRESSURE:
            return Backlog(fails=False)
        case Overflow.FAIL:
            return Backlog(fails=True)
        case Overflow.CONFLATE:
            return ConflatingBuffer(capacity, cumulative, rebuild)
        case Overflow.DROP_OLDEST:
            return DroppingBuffer(capacity, cumulative, rebuild)
        case _:
            assert_never(overflow)
