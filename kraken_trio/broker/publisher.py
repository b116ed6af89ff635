"""A shard's events in, messages out: the producing side of the protocol.

What is numbered are the events of a *key* (a channel and a symbol), when they are made into a message:

1. Under each new owner of the shard, a key begins at 0, with its state (a book: a snapshot) or, where that is not known
   yet, with the first event that may be one's first. Until then nothing of it is published.
2. Events wait here until there is room for messages, each key for itself: so messages are the larger the more there is
   to do, and nobody waits for them to fill.
3. If too many wait, they can be dropped (:meth:`Publisher.conflate`). Each of these keys then goes on with one
   :class:`~kraken_trio.Gap` and its latest state.
4. Key frames are made of a key's state every ``keyframe_every`` seconds, and as soon as it is known again after a gap;
   the catalog likewise, and whenever it changes.

A standby's publisher takes all events, too, and knows all states. It only makes no messages.
"""

from __future__ import annotations

import enum
import heapq
from collections import OrderedDict, deque
from itertools import groupby, islice
from math import inf
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from kraken_trio._text import printable
from kraken_trio.broker.messages import Batch, Catalog, Form, KeyFrame, encode
from kraken_trio.broker.states import new_state
from kraken_trio.broker.subjects import LIFECYCLE, Kind, Subject
from kraken_trio.channels import CHANNELS, Kept
from kraken_trio.events import Cause, Gap, StatusUpdate
from kraken_trio.requests import Balances, Executions, Lifecycle, Request
from kraken_trio.statistics import Counters

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kraken_trio.broker.subjects import Key
    from kraken_trio.channels import ChannelState, View
    from kraken_trio.events import Event

__all__ = ["Message", "Publisher", "PublisherCounts", "key_of"]

_LARGEST: Final = 900 * 1024
"""Bytes of a batch: a larger one is divided. Brokers take 1 MiB by default, with a subject and headers."""
_HISTORY: Final = 1000
_HISTORY_SECONDS: Final = 60.0
"""How many trades of a symbol a standby keeps, and for how many seconds: among them is what an owner has received, and
not sent before it ended."""
_DROPPED: Final = "the relay does not publish this any more"
_NOT_ASKED_FOR: Final[Mapping[type[Request[Any]], str]] = {
    Lifecycle: "it is always published",
    Executions: "what is an account's is not published",
    Balances: "what is an account's is not published",
}


@attrs.frozen
class Message:
    """A message to be published."""

    subject: Subject
    data: bytes
    message_id: str
    events: int = 0
    """How many numbered events are in it: none in a key frame or a catalog."""


@attrs.define
class PublisherCounts:
    """What has been made so far."""

    key_frames: int = 0
    conflated: int = 0
    """Events that were dropped because too many waited, and stand in gaps."""


class _Phase(enum.Enum):
    """What a key's next message begins with."""

    UNKNOWN = "its first event that may be one's first"
    BEGINNING = "its state"
    FLOWING = "its next events"
    LOST = "a gap, then its state"


class _OfView:
    """The state of a key of which a feed has a view (a book)."""

    def __init__(self, cls: type[ChannelState], view: View | None, *, is_kept_up: bool) -> None:
        self._cls = cls
        self._view: Any = view
        self._is_kept_up = is_kept_up

    def follow(self, events: Sequence[Any], now: float) -> None:
        del now
        if not self._is_kept_up:
            for event in events:
                self._view.follow(event)

    @property
    def is_known(self) -> bool:
        return bool(self._view.available)

    def start(self) -> Sequence[Event]:
        return self.keep().events

    def keep(self) -> Kept:
        return self._cls.keep_view(self._view)


class _OfState:
    """The state of a key without views."""

    def __init__(self, request: Any, cls: type[ChannelState]) -> None:
        # Whoever takes over gives the history that it has: it may have what was lost in between.
        self._request: Request[Any] = attrs.evolve(request, snapshot=True) if cls.has_history else request
        self._cls = cls
        self._has_numbers = True
        self._state = self._new()
        self._history: deque[tuple[float, Any]] = deque(maxlen=_HISTORY)
        """(where there is history) Its latest events without a hole, and when they came: more than a state keeps."""

    def _new(self) -> ChannelState:
        return new_state(self._cls, self._request, Counters(), numbers_trades=self._has_numbers)

    def follow(self, events: Sequence[Any], now: float) -> None:
        for cls, run in groupby(events, type):
            if cls is Gap:
                self._state.reset()
                if not self._has_numbers:
                    self._history.clear()
            elif self._cls.has_history:
                # History and what follows it never come in one frame.
                for _, part in groupby(run, lambda event: event.snapshot):
                    self._take_history(list(part), now)
            else:
                self._state.take(list(run))

    def _take_history(self, events: list[Any], now: float) -> None:
        has_numbers = events[0].trade_id is not None
        if has_numbers is not self._has_numbers:
            self._has_numbers = has_numbers
            self._state = self._new()
            self._history.clear()
        self._state.take(events)
        history = self._history
        for event in events:
            if history and has_numbers and self._cls.neighbours(event)[0] != history[-1][1].trade_id:
                history.clear()
            history.append((now, event))
        while history[0][0] < now - _HISTORY_SECONDS:
            history.popleft()

    @property
    def is_known(self) -> bool:
        return bool(self._state.keep().events)

    def start(self) -> Sequence[Event]:
        kept = self._state.start(self._request)
        if len(self._history) <= len(kept):
            return kept
        return [msgspec.structs.replace(event, snapshot=True) for _, event in self._history]

    def keep(self) -> Kept:
        return self._state.keep()


class _OfClients:
    """The state of what clients tell of themselves: the exchange's latest status."""

    is_known = True

    def __init__(self) -> None:
        self._status: StatusUpdate | None = None

    def follow(self, events: Sequence[Any], now: float) -> None:
        del now
        for event in events:
            if type(event) is StatusUpdate:
                self._status = event

    def start(self) -> Sequence[Event]:
        return () if self._status is None else (self._status,)

    def keep(self) -> Kept:
        return Kept(tuple(self.start()))


@attrs.define
class _Lost:
    """What was dropped of a key."""

    count: int = 0
    """Events of the exchange."""
    missed: int | None = 0
    """The same, and what the gaps among them say; None if one of these does not know."""
    gaps: int = 0
    gap: Gap | None = None
    """The last of them."""
    first: Event | None = None
    last: Event | None = None

    def add(self, events: Iterable[Event]) -> None:
        for event in events:
            self.first = self.first or event
            self.last = event
            if isinstance(event, Gap):
                self.gaps += 1
                self.gap = event
                self.missed = None if self.missed is None or event.missed is None else self.missed + event.missed
            else:
                self.count += 1
                self.missed = None if self.missed is None else self.missed + 1

    def as_gap(self, key: Key) -> Gap:
        gap, last = self.gap, self.last
        assert last is not None  # it is made when something is dropped
        if gap is not None and self.gaps == 1 and not self.count:
            return gap
        cause, evidence = Cause.OVERFLOW, None
        detail = f"the broker did not take events as fast as they came, and the relay dropped {self.count}"
        if gap is not None:
            cause, evidence = gap.cause, gap.evidence
            detail += f", and {self.gaps} gaps, the last: {gap.detail or cause.value}"
        channel = None if key == LIFECYCLE else key[0]
        return Gap(
            symbol=key[1],
            cause=cause,
            channel=channel,
            detail=printable(detail),
            missed=self.missed,
            after_id=_neighbours(self.first)[0],
            before_id=_neighbours(last)[1],
            evidence=evidence,
            epoch=last.epoch,
            received_ns=last.received_ns,
        )


def _neighbours(event: Any) -> tuple[int | None, int | None]:
    """The numbers before and after it, where the exchange numbers its events."""
    if type(event) is Gap:
        return event.after_id, event.before_id
    return (None, None) if event.channel is None else CHANNELS[event.channel].neighbours(event)


def _gap(stream: _Stream, cause: Cause, detail: str) -> Gap:
    """One of our own, after the last event that was taken."""
    channel, symbol = stream.key
    gap = Gap(symbol=symbol, cause=cause, channel=channel, detail=printable(detail))
    last = stream.last
    return gap if last is None else msgspec.structs.replace(gap, epoch=last.epoch, received_ns=last.received_ns)


def _check_type(request: object) -> None:
    if not isinstance(request, Request):
        msg = f"a relay publishes requests such as Book('BTC/USD'), not {request!r}"
        raise TypeError(msg)


def key_of(request: Request[Any]) -> Key:
    """Under which key its events are published."""
    return (LIFECYCLE[0] if request.channel is None else request.channel), request.symbol


def _state(request: Request[Any], view: View | None) -> _OfView | _OfState | _OfClients:
    if request.channel is None:
        return _OfClients()
    cls = CHANNELS[request.channel]
    own = cls.view(request) if view is None else None
    if view is None and own is None:
        return _OfState(request, cls)
    return _OfView(cls, view or own, is_kept_up=view is not None)


@attrs.define(eq=False)
class _Stream:
    """A key, and where its stream of events is."""

    key: Key
    request: Request[Any]
    state: _OfView | _OfState | _OfClients
    subject: Subject
    frame_subject: Subject
    phase: _Phase = _Phase.UNKNOWN
    waiting: deque[Any] = attrs.Factory(deque)
    """Events that are to be published, while it is FLOWING."""
    seq: int = 0
    """The number of the next event."""
    has_begun: bool = False
    """Whether readers have been told what was subscribed to."""
    lost: _Lost = attrs.Factory(_Lost)
    frame_due: float = inf
    frames: int = 0
    was_interrupted: bool = False
    """Whether there is to be a key frame as soon as the state is known: it began, or went on, with a gap."""
    is_ended: bool = False
    """Whether nothing follows what was taken (see :meth:`Publisher.lose`), as far as is known."""
    last: Any = None
    """The last event that was taken."""

    def begins(self, event: Any) -> bool:
        """Whether it may begin with this event."""
        return type(event) is not Gap and CHANNELS[self.key[0]].begins(event)


class Publisher:
    """The messages of one shard.

    ``keyframe_every`` is in seconds; ``batch`` is the number of events in a message, at most; ``capacity`` how many may
    wait before :attr:`is_full` is set. Any number of events can be taken after that, too.
    """

    def __init__(
        self,
        shard: int,
        shards: int,
        *,
        keyframe_every: float = 5.0,
        form: Form = Form.JSON,
        batch: int = 64,
        capacity: int = 50_000,
    ) -> None:
        self.shard: int = shard
        self.shards: int = shards
        self.name: str = f"{shard}/{shards}"
        """For people: which shard of how many."""
        self._keyframe_every = keyframe_every
        self._form = form
        self._batch = batch
        self._capacity = capacity
        self.counts: PublisherCounts = PublisherCounts()
        self.producer: int | None = None
        """The owner's number; None for a standby."""
        self._streams: dict[Key, _Stream] = {}
        self._left: dict[Key, _Stream] = {}
        """Those that are published no more, of which this owner has published something."""
        self._unpublished: dict[Key, tuple[Request[Any], _OfState]] = {}
        """States of what is published no more, and is the sum of its events: they go on following them."""
        self._ready: OrderedDict[Key, _Stream] = OrderedDict()
        """Those that have something to publish, those first that have waited longest."""
        self._frames: list[tuple[float, int, _Stream]] = []
        """When key frames are due; entries whose time is not the stream's any more are void."""
        self._catalog_due = inf
        self._catalogs = 0
        self._pushed = 0
        self._place = 0.0
        self.waiting: int = 0
        """How many events wait."""
        self.add(Lifecycle(), 0.0)

    # What is published

    @property
    def requests(self) -> tuple[Request[Any], ...]:
        """What is published, without what clients tell of themselves."""
        return tuple(stream.request for key, stream in self._streams.items() if key != LIFECYCLE)

    def check(self, requests: Iterable[Request[Any]]) -> None:
        """Raise :class:`ValueError` if these cannot all be published, beside what is published already."""
        wanted = {key: stream.request for key, stream in self._streams.items()}
        for request in requests:
            _check_type(request)
            reason = _NOT_ASKED_FOR.get(type(request))
            if reason is not None:
                msg = f"{request} cannot be asked for: {reason}"
                raise ValueError(msg)
            known = wanted.setdefault(key_of(request), request)
            if known != request:
                msg = f"{request} cannot be published beside {known}: only one of a channel and symbol can"
                raise ValueError(msg)

    def add(
        self, request: Request[Any], now: float, view: View | None = None, whole: Sequence[Event] | None = None
    ) -> None:
        """Publish this, too. ``view`` follows its events elsewhere, before :meth:`take` is called with them.

        What is published already goes on with that view. Where there is none, ``whole`` is the state, if it is not that
        which was published before: empty if it is not known.
        """
        key = key_of(request)
        state = _state(request, view)
        stream = self._streams.get(key)
        if stream is not None:
            if not isinstance(state, _OfState):  # that has no view, and knows more than a new one
                stream.state = state
            return
        known = self._unpublished.pop(key, None)
        if whole is not None:
            state.follow(whole, now)
        elif known is not None and known[0] == request:
            state = known[1]
        subject = Subject(self.shard, Kind.DATA, *key)
        stream = _Stream(key, request, state, subject, attrs.evolve(subject, kind=Kind.KEY))
        self._streams[key] = stream
        if self.producer is not None:
            self._begin(stream, now)
            self._catalog_due = -inf
            if key in self._left:
                self._resume(stream, self._left.pop(key))

    def _resume(self, stream: _Stream, before: _Stream) -> None:
        """Go on in the numbers of what was dropped: readers would take a lower number for a repeat."""
        stream.seq, stream.frames = before.seq, before.frames
        stream.phase = _Phase.FLOWING
        if before.waiting:  # readers do not know yet that it was dropped
            self._close(before)
            stream.waiting.append(before.waiting.pop())
        self._ready.pop(stream.key, None)
        self._put(stream, stream.state.start())

    def drop(self, request: Request[Any]) -> None:
        """Publish this no more. Readers are told so by a gap (cause ``CLOSED``), after what waits."""
        _check_type(request)
        key = key_of(request)
        stream = self._streams.pop(key, None)
        if stream is None:
            return
        stream.frame_due = inf
        if isinstance(stream.state, _OfState) and CHANNELS[key[0]].is_cumulative:
            self._unpublished[key] = request, stream.state
        if self.producer is None:
            return
        self._catalog_due = -inf
        if not stream.seq:  # of this owner readers have had nothing
            self._ready.pop(key, None)
            self.waiting -= len(stream.waiting)
            return
        self._left[key] = stream
        if stream.phase is _Phase.LOST:
            self._close(stream)
        elif not stream.is_ended:
            self._put(stream, [_gap(stream, Cause.CLOSED, _DROPPED)])

    def _close(self, stream: _Stream) -> None:
        """Of a stream that is published no more, readers are told nothing but that."""
        self.waiting += 1 - len(stream.waiting)
        stream.waiting.clear()
        stream.waiting.append(_gap(stream, Cause.CLOSED, _DROPPED))
        stream.phase = _Phase.FLOWING

    # Ownership

    def begin(self, producer: int, now: float) -> None:
        """Be the owner, with this number."""
        self.end()
        self.producer = producer
        self._catalog_due = -inf
        for stream in self._streams.values():
            self._begin(stream, now)

    def end(self) -> None:
        """Be the owner no more: what waits is dropped."""
        self.producer = None
        self._ready.clear()
        self._left.clear()
        self._frames.clear()
        self._catalog_due = inf
        self.waiting = 0
        for stream in self._streams.values():
            stream.waiting.clear()
            stream.frame_due = inf

    def _begin(self, stream: _Stream, now: float) -> None:
        stream.seq = stream.frames = 0
        stream.has_begun = False
        stream.was_interrupted = stream.is_ended
        stream.lost = _Lost()
        stream.phase = _Phase.UNKNOWN
        if stream.key == LIFECYCLE or stream.state.is_known:
            stream.phase = _Phase.BEGINNING
            self._ready[stream.key] = stream
        if stream.is_ended:
            return
        # Spread over the time between two, so that they never come all at once: by the golden ratio, however many.
        self._place = (self._place + 0.618033988749895) % 1.0
        self._schedule(stream, now + self._keyframe_every * self._place)

    def _schedule(self, stream: _Stream, due: float) -> None:
        stream.frame_due = due
        self._pushed += 1
        heapq.heappush(self._frames, (due, self._pushed, stream))

    # Events

    @property
    def is_full(self) -> bool:
        """Whether so many events wait that no more should be taken."""
        return self.waiting >= self._capacity

    def take(self, events: Sequence[Event], now: float) -> None:
        """Take the next events of a feed. Events of what is not published are left out."""
        runs: dict[Key, list[Any]] = {}
        for event in events:
            key: Any = (event.channel, event.symbol)
            run = runs.get(key)
            if run is None:
                runs[key] = [event]
            else:
                run.append(event)
        for key, run in runs.items():
            stream = self._streams.get(key) or self._stream_of(key[0], key[1], run[0])
            if stream is not None:
                self._take(stream, run, now)
            elif key in self._unpublished:
                self._unpublished[key][1].follow(run, now)

    def _stream_of(self, channel: str | None, symbol: str | None, event: Event) -> _Stream | None:
        """The stream of events whose channel and symbol are no key that is published."""
        is_of_clients = channel is None or (symbol is None and type(event) is Gap)
        return self._streams[LIFECYCLE] if is_of_clients else None

    def _take(self, stream: _Stream, events: list[Any], now: float) -> None:
        stream.last = events[-1]
        stream.is_ended = False
        stream.state.follow(events, now)
        if self.producer is None:
            return
        if stream.phase is _Phase.FLOWING:
            self._put(stream, events)
        elif stream.phase is _Phase.UNKNOWN:
            first = next((index for index, event in enumerate(events) if stream.begins(event)), None)
            if first is None:
                return
            stream.phase = _Phase.FLOWING
            self._put(stream, events[first:])
        elif stream.phase is _Phase.LOST:
            self.counts.conflated += len(events)
            stream.lost.add(events)
        if Gap in map(type, events) and stream.key != LIFECYCLE:
            stream.was_interrupted = True  # mutant: key frame after a gap
        if stream.was_interrupted and stream.state.is_known:
            stream.was_interrupted = False
            if stream.frame_due > now:  # or there is one due already, however often this happens
                self._schedule(stream, now)

    def _put(self, stream: _Stream, events: Iterable[Any]) -> None:
        before = len(stream.waiting)
        stream.waiting.extend(events)
        self.waiting += len(stream.waiting) - before
        self._ready.setdefault(stream.key, stream)

    def conflate(self) -> None:
        """Drop all events that wait: their keys go on with a gap, and the state as of then."""
        for stream in self._ready.values():
            if stream.waiting:
                self.counts.conflated += len(stream.waiting)
                if self._left.get(stream.key) is stream:
                    self._close(stream)
                    continue
                self.waiting -= len(stream.waiting)
                if stream.seq:
                    stream.phase = _Phase.LOST
                    stream.lost.add(stream.waiting)
                    stream.was_interrupted = stream.key != LIFECYCLE
                else:  # nothing was published that they would follow
                    stream.phase = _Phase.BEGINNING
                stream.waiting.clear()

    def lose(self, requests: Iterable[Request[Any]], cause: Cause, detail: str, now: float) -> None:
        """Say of each of these that events are missing: nothing follows, nor a key frame, until they begin again."""
        for request in requests:
            key = key_of(request)
            stream = self._streams.get(key)
            if stream is not None and stream.request == request:
                self._take(stream, [_gap(stream, cause, detail)], now)
                stream.was_interrupted = stream.is_ended = True
                stream.frame_due = inf
            elif key in self._unpublished and self._unpublished[key][0] == request:
                del self._unpublished[key]

    # Messages

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be published but key frames and catalogs."""
        return not self._ready

    @property
    def next_due(self) -> float:
        """When there is something to publish: -inf if there is now, inf if there never is."""
        if self.producer is None:
            return inf
        if self._ready:
            return -inf
        while self._frames and self._frames[0][0] != self._frames[0][2].frame_due:
            heapq.heappop(self._frames)
        return min(self._catalog_due, self._frames[0][0] if self._frames else inf)

    def messages(self, limit: int, now: float, max_bytes: float = inf) -> list[Message]:
        """The next messages, about ``limit`` and ``max_bytes`` at most: what follows comes with the next call."""
        if self.producer is None:
            return []
        made: list[Message] = []
        size = 0
        if self._catalog_due <= now:
            made.append(self._catalog(self.producer, now))
        # Whatever there is to publish, key frames have a share.
        for stream in islice(self._due(now), max(1, limit // 2)):
            while stream.key in self._ready:
                made += self._next(self.producer, stream)
            if stream.seq and stream.state.is_known:
                made.append(self._frame(self.producer, stream))
                size += len(made[-1].data)
        while self._ready and len(made) < limit and size < max_bytes:
            key = next(iter(self._ready))
            stream = self._ready[key]
            for message in self._next(self.producer, stream):
                made.append(message)
                size += len(message.data)
            if key in self._ready:
                self._ready.move_to_end(key)
        return made

    def _due(self, now: float) -> Iterable[_Stream]:
        """Those whose key frame is due, each once; the next one is scheduled."""
        while self._frames and self._frames[0][0] <= now:
            due, _, stream = heapq.heappop(self._frames)
            if due == stream.frame_due:
                self._schedule(stream, now + self._keyframe_every)
                yield stream

    def _next(self, producer: int, stream: _Stream) -> list[Message]:
        """The next message of a stream that has one, if it does."""
        events = self._events(stream)
        channel, symbol = stream.key
        data = b""
        request = None if stream.has_begun else stream.request
        while events:
            batch = Batch(
                producer=producer, seq=stream.seq, channel=channel, symbol=symbol, events=events, request=request
            )
            data = encode(batch, self._form)
            if len(data) <= _LARGEST or len(events) == 1:
                break
            half = len(events) // 2
            stream.waiting.extendleft(reversed(events[half:]))
            self.waiting += len(events) - half
            events = events[:half]
        if not stream.waiting:
            self._ready.pop(stream.key, None)
        if not events:
            return []
        message_id = f"{producer}.{stream.subject}.{stream.seq}"
        stream.has_begun = True
        stream.seq += len(events)  # mutant: number of the next event
        return [Message(stream.subject, data, message_id, len(events))]

    def _events(self, stream: _Stream) -> Sequence[Event]:
        phase, waiting = stream.phase, stream.waiting
        if phase is _Phase.FLOWING:
            count = min(self._batch, len(waiting))
            self.waiting -= count
            return [waiting.popleft() for _ in range(count)]
        events = list(stream.state.start())
        if phase is _Phase.BEGINNING:  # mutant: beginning of an owner
            # Since it was put here, its state may have become unknown again.
            is_known = bool(events) or stream.key == LIFECYCLE
            stream.phase = _Phase.FLOWING if is_known else _Phase.UNKNOWN
            # What the state does not tell: that what comes next may not be the next.
            has_end = events and type(stream.last) is Gap and stream.key != LIFECYCLE
            return [*events, stream.last] if has_end else events
        stream.phase = _Phase.FLOWING
        lost, stream.lost = stream.lost, _Lost()
        gap = lost.as_gap(stream.key)
        # Of what is no state, but each event counts, nothing comes again.
        is_state = stream.key == LIFECYCLE or CHANNELS[stream.key[0]].can_conflate
        return [gap, *events] if is_state else [gap]

    def _frame(self, producer: int, stream: _Stream) -> Message:
        kept = stream.state.keep()
        channel, symbol = stream.key
        frame = KeyFrame(
            producer=producer,
            seq=stream.seq - 1,
            channel=channel,
            symbol=symbol,
            request=stream.request,
            events=kept.events,
            marks=kept.marks,
        )
        stream.frames += 1
        self.counts.key_frames += 1
        # An idle key has several with the same number of an event, and none of them is a repeat.
        message_id = f"{producer}.{stream.frame_subject}.{stream.seq - 1}.{stream.frames}"
        return Message(stream.frame_subject, encode(frame, self._form), message_id)

    def _catalog(self, producer: int, now: float) -> Message:
        self._catalog_due = now + self._keyframe_every
        self._catalogs += 1
        catalog = Catalog(
            producer=producer,
            shard=self.shard,
            shards=self.shards,
            keyframe_every=self._keyframe_every,
            requests=self.requests,
        )
        subject = Subject(self.shard, Kind.CATALOG)
        return Message(subject, encode(catalog, self._form), f"{producer}.{subject}.{self._catalogs}")
