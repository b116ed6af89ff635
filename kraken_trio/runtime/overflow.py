"""What a feed does with events for which its channel has no room: one policy per member of ``Overflow``. Pure.

:class:`Backlog` (``Overflow.BACKPRESSURE`` and ``Overflow.FAIL``)
    stands behind the full channel, and leaves nothing out: either its feed holds up reading until all of it has gone
    into the channel, or its feed fails.
:class:`ConflatingBuffer` (``Overflow.CONFLATE``)
    keeps what there was room for, and behind it, for each key, the latest state.
:class:`DroppingBuffer` (``Overflow.DROP_OLDEST``)
    drops the oldest, and remembers for each key what was dropped: one :class:`~kraken_trio.Gap`.

The two buffers hold nobody up. They take over what waits in the full channel, and all that comes after it, until the
program has taken everything; then the channel is used again.

A *key* is a channel and a symbol. What is true of a channel's events is asked of :mod:`kraken_trio.channels`. Keys of a
cumulative channel, such as that of books, are cumulative: what the program has is the result of all events, and no
update can be left out. When some were, the result itself is asked for, ``rebuild(key)``: the verified local book as a
``BookSnapshot``, as of the last event that was offered. It is None only if that key's last event was a gap: then the
exchange will send a snapshot.

All keep the order of the events of each key. The buffers are bounded, whatever comes.
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
"""Channel and symbol; of what the client itself tells, the event's class and None."""


def key_of(event: Event) -> Key:
    """What ``event`` is about. Two events of different keys know nothing of each other."""
    if event.channel is None and not isinstance(event, Gap):
        return f"({type(event).__name__})", None
    return event.channel, event.symbol


def _is_data(event: Event) -> bool:
    """Whether it is the exchange's: not a gap, and not what the client itself says."""
    return event.channel is not None and not isinstance(event, Gap)


def _is_delta(event: Event) -> bool:
    """Whether it makes sense only with all that was before it."""
    return event.channel is not None and not isinstance(event, Gap) and CHANNELS[event.channel].is_delta(event)


def _neighbours(event: Event) -> tuple[int | None, int | None]:
    """The numbers before and after it, where the exchange numbers its events one by one."""
    if isinstance(event, Gap):
        return event.after_id, event.before_id
    return (None, None) if event.channel is None else CHANNELS[event.channel].neighbours(event)


class Rebuild(Protocol):
    """All events of a cumulative key so far, as one event that starts anew; None while it is not known."""

    def __call__(self, key: Key, /) -> Event | None: ...


class Policy(Protocol):
    """What waits beside a full channel."""

    dropped: int
    """Events of the exchange that the program never gets."""
    conflated: int
    """Events in whose place a later one of the same key, or one made of several, is delivered."""

    def offer(self, event: Event) -> None:
        """Take an event that has just come."""
        ...

    def pop(self) -> Event:
        """Give the program the next one. There is one: see ``len()``."""
        ...

    def clear(self) -> None:
        """Forget all: nobody takes any more."""
        ...

    def __len__(self) -> int: ...


class Backlog:
    """The events that have not yet gone into the channel, in order."""

    def __init__(self, *, fails: bool) -> None:
        self.fails = fails
        """Whether the feed fails at once, instead of holding up reading."""
        self.dropped: int = 0
        self.conflated: int = 0
        self._events: deque[Event] = deque()
        self.offer: Callable[[Event], None] = self._events.append
        self.pop: Callable[[], Event] = self._events.popleft

    def __len__(self) -> int:
        return len(self._events)

    @property
    def first(self) -> Event:
        return self._events[0]

    def drop(self) -> None:
        """Forget all, and count it: the feed has failed."""
        self.dropped += len(self._events)
        self._events.clear()

    def clear(self) -> None:
        self._events.clear()


def _merged(first: Event | None, later: Event) -> Event:
    """Two events of what the client itself tells, as one: where it was before both, and where it is after them."""
    if isinstance(first, StateChange) and isinstance(later, StateChange):
        return msgspec.structs.replace(later, previous=first.previous)
    return later


@attrs.define
class _Pending:
    """One key's latest event, and how many it stands for."""

    event: Event
    count: int = 1


class ConflatingBuffer:
    """For each key the latest state.

    While the queue has room, and nothing is pending, events are queued as they are. Then they become pending: one entry
    per key, in the order in which the keys came to be pending, which is fair to each. What is pending is delivered
    after what is queued. A cumulative key is rebuilt as late as possible, when it is delivered.

    Never more than ``capacity`` and one for each key.
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
    """What was dropped of one key, one after the other. ``event`` is what tells the program of it."""

    key: Key
    count: int = 0
    """Dropped events of the exchange."""
    missed: int | None = 0
    """Those, and what the dropped gaps told of; None when one of these did not know."""
    gaps: int = 0
    gap: Gap | None = None
    """The last one among them."""
    own: Event | None = None
    """What the client itself told: it is not dropped, but made one."""
    after_id: int | None = None
    """The trade before the first of them, where that is known."""
    before_id: int | None = None
    """The trade after the last of them, where that is known."""
    epoch: int = 0
    received_ns: int = 0

    def add(self, event: Event) -> None:
        self.epoch, self.received_ns = event.epoch, event.received_ns
        after, self.before_id = _neighbours(event)
        if not self.count and not self.gaps:
            self.after_id = after
        if isinstance(event, Gap):
            self.gaps += 1
            self.gap = event
            self.missed = None if self.missed is None or event.missed is None else self.missed + event.missed
        elif _is_data(event):
            self.count += 1
            self.missed = None if self.missed is None else self.missed + 1
        else:
            self.own = _merged(self.own, event)

    @property
    def event(self) -> Event:
        if self.own is not None:
            return self.own
        if self.gap is not None and self.gaps == 1 and not self.count:
            return self.gap
        cause, evidence = Cause.OVERFLOW, None
        detail = f"the feed was full, and {self.count} of its events were dropped"
        if self.gap is not None:
            # That it was too slow the program can see anywhere; what the exchange or the line did it hears only here.
            cause, evidence = self.gap.cause, self.gap.evidence
            detail += f", and {self.gaps} gaps, the last: {self.gap.detail or cause.value}"
        channel, symbol = self.key
        return Gap(
            symbol=symbol,
            cause=cause,
            channel=channel,
            detail=printable(detail),
            missed=self.missed,
            after_id=self.after_id,
            before_id=self.before_id,
            evidence=evidence,
            epoch=self.epoch,
            received_ns=self.received_ns,
        )


class DroppingBuffer:
    """The latest events, and for each key, where older ones stood, a hole: one gap that tells how many.

    The program takes the holes first, then the queue. Whatever of a key comes after its hole comes after its gap.

    A program that is slow for ever must not get gaps only. So the holes are told in rounds: when a round begins, the
    first of the queue is put in front, where it is not dropped any more. The round tells each hole once; what is in
    front comes after it. What is dropped meanwhile adds to a hole that this round has yet to tell, or makes one for the
    next. (To the key of the event in front its hole is told first, so that nothing can be added that came after it.)

    When an update of a cumulative key is dropped, so are its later ones, up to its next snapshot or gap: nobody could
    apply them. If there is none, whatever comes of it adds to its hole. When the hole is told the key is rebuilt, and
    queued as the last: it is exactly as of then, and what comes after it is queued after it. Such a snapshot is not
    dropped: when it has become the first of the queue it is put in front instead. So after its gap a book comes as a
    snapshot, however slow the program is.

    Never more than ``capacity``, or one for each cumulative key and one, whichever is more; and one for each key.
    """

    def __init__(self, capacity: int, cumulative: Collection[Key], rebuild: Rebuild) -> None:
        self._capacity = capacity
        self._rebuild = rebuild
        self._holes: OrderedDict[Key, _Hole] = OrderedDict()
        self._round = 0  # how many of the holes are still to be told before what is in front
        self._front: deque[Event] = deque()
        self._queue: OrderedDict[int, Event] = OrderedDict()
        self._number = 0  # of the last that was queued
        self._where: dict[Key, deque[int]] = {
            key: deque() for key in cumulative
        }  # each cumulative key's numbers in the queue
        self._made: set[int] = set()  # the numbers of the rebuilt events that were queued
        self._broken: set[Key] = set()  # cumulative keys that have a hole, and nothing in the queue
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
        if rebuilt is not None:  # else its last event was a gap, and the exchange will send it
            self._enqueue(key, rebuilt)
            self._made.add(self._number)

    def _enqueue(self, key: Key, event: Event) -> None:
        self._number += 1
        self._queue[self._number] = event
        if key in self._where:
            self._where[key].append(self._number)

    def _take_first(self) -> tuple[Key, Event, bool]:
        """The first of the queue, its key, and whether it may not be dropped."""
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
            hole = self._holes[key] = _Hole(key)
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
