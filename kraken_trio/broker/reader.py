"""Messages of a broker in, events and gaps out: the consuming side of the protocol, of one feed.

What a *key* (a channel and a symbol) yields is what the producer's client yielded, verified again, from some state on:

1. Its events have a producer and a sequence. The next one is taken; repeats are left out; what an earlier producer
   still sends is left out, too.
2. Whatever is missing is a :class:`~kraken_trio.Gap` in its place: numbers that were skipped, the last events of a
   producer that was replaced, what the broker does not store any more, and what fails a check here.
3. A channel that is the sum of its events (a book) then begins anew with a snapshot: the producer's next one, or a key
   frame. The others go on at once.
4. What is before the start of a feed is read *silently*, to find the state as of there, with which the feed begins.

What a message is to a key follows from both of their numbers (:class:`~kraken_trio.broker.tracking.Relation`), and what
is to be done with a key frame is one table, :data:`FRAMES`.
"""

from __future__ import annotations

import enum
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import msgspec

from kraken_trio._text import printable
from kraken_trio.broker.messages import Batch, decode_batch, decode_key_frame, decode_number
from kraken_trio.broker.position import Place
from kraken_trio.broker.progress import Delivery
from kraken_trio.broker.subjects import Kind
from kraken_trio.broker.tracking import Relation, TrackedKey
from kraken_trio.errors import ProtocolError
from kraken_trio.events import Cause, Gap

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from kraken_trio.broker.messages import KeyFrame
    from kraken_trio.broker.position import Taken
    from kraken_trio.broker.subjects import Key, Subject
    from kraken_trio.channels import ChannelState, Failure
    from kraken_trio.events import Event
    from kraken_trio.evidence import ChecksumEvidence
    from kraken_trio.requests import Request
    from kraken_trio.statistics import Counters

__all__ = ["FRAMES", "Message", "Reader", "Verdict"]


class Message(Protocol):
    """What the reader has to know of a message of the broker."""

    @property
    def subject(self) -> Subject: ...
    @property
    def data(self) -> bytes: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...


class Verdict(enum.Enum):
    """What is done with a key frame."""

    IGNORE = "nothing is missing, or it is too old"
    BEGIN = "its state is taken"
    MISSED = "the same, and events before it were lost"
    REPLACED = "the same, and the producer is another one"


_I, _B, _M, _R = Verdict.IGNORE, Verdict.BEGIN, Verdict.MISSED, Verdict.REPLACED

FRAMES: Final[Mapping[tuple[Relation, bool], Verdict]] = {
    (relation, is_whole): verdict
    for relation, row in {
        # the state of the key:  unknown, known
        Relation.FIRST: (_B, _B),
        Relation.STALE: (_I, _I),
        Relation.LATER: (_R, _R),
        Relation.BEHIND: (_I, _I),
        Relation.LEVEL: (_B, _I),
        Relation.AHEAD: (_M, _M),
    }.items()
    for is_whole, verdict in zip((False, True), row, strict=True)
}
"""What is done with a key frame, by its relation to the key, and whether the key's state is known."""


MAX_HELD: Final = 10_000
"""Messages after the start that are held while another partition has not reached its own; then the feed begins without
it."""
_MISSED: Final = "{} of the producer's events did not come through the broker"
_REPLACED: Final = "another producer took over"
_EXPIRED: Final = "the broker does not store this part any more"
_SILENT: Final = (
    "nothing has come for {:g} s, not even a key frame: is its relay running, and connected to the exchange?"
)
_UNKNOWN: Final = "the state as of here is not stored any more"
_timestamp: Final = attrgetter("timestamp")


class _Output:
    """What one message gives the feed."""

    def __init__(self, counters: Counters, *, begin: int = 0) -> None:
        self.events: list[Event] = []
        self.counts: list[int] = []
        self._counters = counters
        self._begin = begin  # what belongs to fewer of the message's events was received before

    def put(self, key: TrackedKey, event: Event, count: int) -> None:
        """Add an event, with which so many of the message's own are received."""
        if key.is_heard and count >= self._begin:
            key.has_begun = True
            self.events.append(event)
            self.counts.append(count)
            if type(event) is Gap:
                self._counters.gaps += 1
                self._counters.gaps_by_cause[event.cause] = self._counters.gaps_by_cause.get(event.cause, 0) + 1


class Reader:
    """The messages of a feed's keys.

    ``is_owed``: the feed was given a start, so that whatever is missing after it is to be told, also before the first
    state. ``is_resumed``: that is a place in the log, up to which everything was received before: channels whose events
    are no sum begin with the next one.

    It is told what a source is like (:meth:`open`, again after each lost connection), which partitions have been read
    up to their start (:meth:`reach`), and the messages (:meth:`take`).
    """

    def __init__(
        self,
        requests: Iterable[Request[Any]],
        counters: Counters,
        *,
        is_owed: bool = False,
        is_resumed: bool = False,
    ) -> None:
        self._counters = counters
        self._is_owed = is_owed or is_resumed
        self._is_resumed = is_resumed
        self._keys: dict[Key, TrackedKey] = {
            (request.channel, request.symbol): TrackedKey(request, counters)
            for request in requests
            if request.channel is not None
        }
        self._starts: dict[int, Place] = {}
        self._next: dict[int, int] = {}  # by partition, the offset after the last message
        self._logs: dict[int, str] = {}  # by partition, which log is read: see Place
        self._expired: set[int] = set()
        self._by_partition: dict[int, list[TrackedKey]] = {}
        self._heard: set[int] = set()
        self._reached: set[int] = set()
        self.silent: int = 0
        """How many keys have been told to be silent, and are."""
        self._held: list[Message] = []  # from the start on, until all partitions have reached theirs
        self.gaps: list[Gap] = []
        """What this reader found to be missing, since they were taken away."""

    # What the source is like

    @property
    def keys(self) -> Collection[Key]:
        """What is to be read."""
        return self._keys.keys()

    @property
    def has_begun(self) -> bool:
        """Whether the start has been reached in every partition."""
        return len(self._heard) == len(self._starts)

    @property
    def starts(self) -> Mapping[int, Place]:
        """Where the feed begins, by partition."""
        return self._starts

    @property
    def places(self) -> Mapping[int, Place]:
        """Where to go on after a lost connection, by partition."""
        return {
            partition: Place(self._next[partition], 0, self._logs[partition]) if partition in self._heard else start
            for partition, start in self._starts.items()
        }

    def open(self, taken: Taken) -> list[Delivery]:
        """Read from a new source: the first one, or one that begins at :attr:`places`."""
        self._held.clear()
        for state in self._keys.values():
            state.has_news = state.has_news or not state.is_abandoned  # nothing could come meanwhile
        if not self._starts:
            for key, state in self._keys.items():
                self._by_partition.setdefault(taken.partition_of.get(key, 0), []).append(state)
            self._starts = {partition: taken.starts[partition] for partition in sorted(self._by_partition)}
        self._logs = {partition: taken.starts[partition].log for partition in self._starts}
        for partition in self._starts.keys() & (taken.expired - self._heard):
            self._starts[partition] = taken.starts[partition]
            self._expired.add(partition)
        output = _Output(self._counters)
        for partition in sorted(taken.expired & self._heard):
            # In another log of the same name, offsets may be lower, and numbers of producers as well.
            self._next[partition] = min(self._next[partition], taken.starts[partition].offset)
            for state in self._by_partition[partition]:
                state.is_abandoned = True
                if not state.is_told:
                    self._put_gap(state, self._gap(state, Cause.EXPIRED, _EXPIRED, None), 0, output)
                state.lose()
        return [Delivery(output.events)] if output.events else []

    def reach(self, partitions: Iterable[int]) -> Iterator[Delivery]:
        """These have been read up to their start, all that is stored of them.

        The feed begins, with the state as of there, when that is so of all its partitions.
        """
        self._reached.update(self._starts.keys() & set(partitions))
        if len(self._reached) == len(self._starts):
            yield from self._release()

    def _release(self) -> Iterator[Delivery]:
        """The feed begins with the partitions whose start was reached."""
        output = _Output(self._counters)
        for partition in sorted(self._reached - self._heard):
            self._heard.add(partition)
            self._next[partition] = self._starts[partition].offset
            for key in self._by_partition[partition]:
                self._begin(key, output, is_expired=partition in self._expired)
        if output.events:
            yield Delivery(output.events)
        held, self._held = self._held, []
        yield from self.take(held)

    def _begin(self, key: TrackedKey, output: _Output, *, is_expired: bool) -> None:
        key.is_heard = True
        key.is_resumed = self._is_resumed
        key.is_told = not self._is_owed
        if is_expired:
            self._put_gap(key, self._gap(key, Cause.EXPIRED, _EXPIRED, None), 0, output)
        if key.refusal:
            self._put_gap(key, self._gap(key, Cause.REFUSED, key.refusal, None), 0, output)
            return
        if self._is_resumed and key.producer >= 0:
            key.is_first = False  # what comes of a history follows what was received of it
        announced = key.announced
        if key.is_cumulative or not self._is_resumed:
            for event in key.state.start(key.request):
                output.put(key, event, 0)
                key.is_told, key.announced = False, None  # a gap of before the start stands after none of it
        if not key.is_cumulative:
            key.is_told = False
            if announced is not None and key.announced is None:
                # But after a history, which ends before it: who stops here must have been told.
                output.put(key, announced, 0)
                key.is_told, key.announced = True, announced

    def falls_silent(self, seconds: float, limit: float) -> bool:
        """Whether :meth:`listen` would tell of a key now."""
        return any(
            key.silent_for + seconds >= limit and not (key.has_news or key.is_silent or key.is_told)
            for key in self._keys.values()
        )

    def listen(self, seconds: float, limit: float) -> list[Delivery]:
        """So many more seconds were spent waiting for messages. A key of which nothing comes for ``limit`` is told.

        There are key frames of each, even if nothing happens: their producer is gone, or nobody takes its place. What
        is a sum begins anew with the next one.
        """
        output = _Output(self._counters)
        self.silent = 0
        for key in self._keys.values():
            was_silent = key.is_silent and not key.has_news
            key.silent_for = 0.0 if key.has_news else key.silent_for + seconds
            key.is_silent = was_silent or (key.silent_for >= limit and not key.is_told)
            key.has_news = False
            if key.silent_for >= limit:
                key.is_abandoned = True
            if key.is_silent:
                self.silent += 1
                if not was_silent:
                    cause, detail = Cause.SILENCE, _SILENT.format(limit)
                    if key.damage:
                        cause, detail = Cause.MALFORMED, key.damage
                    self._put_gap(key, self._gap(key, cause, detail, None), 0, output)
                    key.lose()
        return [Delivery(output.events)] if output.events else []

    def leave(self, detail: str) -> list[Delivery]:
        """Nothing more is read."""
        output = _Output(self._counters)
        for key in self._keys.values():
            self._put_gap(key, self._gap(key, Cause.FAILOVER, detail, None), 0, output)
            key.lose()
        return [Delivery(output.events)] if output.events else []

    # Messages

    def take(self, messages: Iterable[Message]) -> Iterator[Delivery]:
        """Take messages of the source, in order within each partition. Repeats do no harm.

        What they give the feed is found out one by one: :meth:`rebuild` returns the state as of the last delivery.
        """
        for message in messages:
            partition = message.partition
            key = self._keys.get(message.subject.key)
            if key is None or partition not in self._starts:
                continue
            start = self._starts[partition]
            if partition in self._heard:
                if message.offset < self._next[partition]:
                    continue  # read again, after a lost connection: an old key frame is no news of a silent producer
                if start.index and message.offset == start.offset == self._next[partition]:
                    delivery = self._rest(key, message, start.index)
                else:
                    delivery = self._message(key, message)
                self._next[partition] = message.offset + 1
                yield delivery
            elif message.offset < start.offset:
                self._message(key, message)  # silently
            else:
                if message.offset == start.offset and start.index:
                    self._first(key, message, start.index)
                self._held.append(message)
                self._reached.add(partition)
                if len(self._reached) == len(self._starts) or len(self._held) >= MAX_HELD:
                    yield from self._release()

    def known(self, key: Key) -> tuple[bool, int]:
        """Whether a key's state is known, and when its last event was received by the producer; 0 before the first."""
        found = self._keys[key]
        return found.is_whole, 0 if found.last is None else found.last.received_ns

    def rebuild(self, key: tuple[str | None, str | None], /) -> Event | None:
        """All events so far of a cumulative key as one; None while its state is unknown."""
        found = self._keys.get(cast("Key", key))
        return found.state.rebuild() if found is not None and found.is_whole else None

    def _first(self, key: TrackedKey, message: Message, received: int) -> None:
        """The message in the middle of which the feed begins: so many of its events were received before."""
        if message.subject.kind is Kind.DATA:
            batch, _ = self._decoded(key, message)
            self._batch(key, msgspec.structs.replace(batch, events=batch.events[:received]), _Output(self._counters))

    def _rest(self, key: TrackedKey, message: Message, received: int) -> Delivery:
        """What comes of it after those."""
        key.is_resumed = False  # it was received before, up to here
        if message.subject.kind is Kind.DATA:
            output = _Output(self._counters)
            self._batch(key, self._decoded(key, message)[0], output)
        else:
            output = _Output(self._counters, begin=received + 1)
            self._frame(key, message, output, was_taken=True)
        return self._delivery(message, output.events, output.counts)

    def _message(self, key: TrackedKey, message: Message) -> Delivery:
        output = _Output(self._counters)
        if message.subject.kind is Kind.DATA:
            batch, is_plain = self._decoded(key, message)
            events = batch.events
            if (  # as nearly all are: the next ones, which need nothing but to be verified
                is_plain
                and batch.seq == key.expected
                and batch.producer == key.producer
                and key.is_whole
                and key.is_heard
                and key.announced is None
                and not key.is_first
                and key.had is None
                and batch.request is None
            ):
                key.expected += len(events)
                key.damage = ""
                key.hear()
                taken, failure = key.state.take(events)
                if taken is events:
                    key.last = events[-1]
                    key.is_told = False
                    return self._delivery(message, events)
                self._put(key, events, taken, failure, 0, output, None)
            else:
                self._batch(key, batch, output)
        else:
            self._frame(key, message, output)
        return self._delivery(message, output.events, output.counts)

    def _delivery(self, message: Message, events: Sequence[Event], counts: Sequence[int] | None = None) -> Delivery:
        partition = message.partition
        return Delivery(events, partition, message.offset, counts, self._logs[partition])

    # Batches

    def _decoded(self, key: TrackedKey, message: Message) -> tuple[Batch, bool]:
        """A batch, and whether all of it can be taken at once. One that cannot be read is one without events."""
        try:
            batch = decode_batch(message.data)
            return batch, key.check(batch.events)
        except ProtocolError as error:
            self._counters.malformed += 1
            key.damage = str(error)
            return Batch(producer=-1, seq=0, channel=key.channel, symbol=key.symbol, events=()), False

    def _batch(self, key: TrackedKey, batch: Batch, output: _Output) -> None:
        """Take the part of a batch that is new."""
        events = batch.events
        relation = key.of_batch(batch)
        pending: Gap | None = None
        match relation:
            case Relation.STALE:
                self._counters.late += len(events)
                return
            case Relation.BEHIND:
                key.hear()
                return
            case _ if self._is_refused(key, batch, output):
                return
            case Relation.FIRST | Relation.LATER:
                self._replace(key, relation, batch.producer, events, output, begins=not batch.seq)
                key.expected = batch.seq
                if not key.is_cumulative:
                    # From its beginning on; otherwise a key frame is to say what is published.
                    key.is_whole = not batch.seq
            case Relation.AHEAD:
                pending = self._lost(key, batch.seq - key.expected, events)
                key.expected = batch.seq
            case _:  # LEVEL: it goes on
                pass
        key.hear()
        key.damage = ""
        known = key.expected - batch.seq
        key.expected = batch.seq + len(events)
        self._events(key, events[known:], known, output, pending)

    def _is_refused(self, key: TrackedKey, batch: Batch, output: _Output) -> bool:
        """Whether it is of something else than what was asked for: then only its numbers are taken."""
        problem = key.refusal if batch.request is None else key.objection(batch.request)
        if problem:
            key.hear()
            self._refuse(key, output, problem)
            key.producer, key.expected = batch.producer, batch.seq + len(batch.events)
        key.refusal = problem
        return bool(problem)

    def _events(self, key: TrackedKey, events: Sequence[Any], base: int, output: _Output, pending: Gap | None) -> None:
        """Take events in the order of the producer, from the ``base``-th of their message on.

        ``pending`` is a gap before them; a more exact one that the state finds replaces it.
        """
        for run in _runs(key, events):
            first = run[0]
            if type(first) is Gap:
                self._put_gap(key, pending, base, output)
                for count, gap in enumerate(run, base + 1):
                    output.put(key, gap, count)
                key.lose()
                key.is_told, key.announced = True, run[-1]
                pending = None
            elif not key.is_whole and key.cls.is_delta(first):
                if pending is None and not key.is_told:
                    pending = self._gap(key, Cause.EXPIRED, _UNKNOWN, first)
                self._put_gap(key, pending, base, output)
                pending = None
            else:
                key.fit(first)
                if key.is_first or key.had is not None:
                    self._put_gap(key, pending, base, output)
                    self._history(key, run, base, output)
                else:
                    taken, failure = key.state.take(run)
                    self._put(key, run, taken, failure, base, output, pending)
                pending = None
            base += len(run)
        self._put_gap(key, pending, base, output)

    def _history(self, key: TrackedKey, run: Sequence[Any], base: int, output: _Output) -> None:
        """What a producer of a channel with history begins with, and what follows of which the feed may have had some.

        Of the first producer, it gets as much as it asked for; of a later one, what is newer than what it has had.
        """
        if key.is_first and run[0].snapshot:
            key.state.take(run)
            key.last = run[-1]
            events = tuple(key.state.start(key.request))[-len(run) :]
            self._start(key, events, base + len(run), output, is_new=not key.is_resumed)
            return
        key.is_first = False
        known = 0
        while key.had is not None and known < len(run):
            if key.was_had(run[known]):
                known += 1
            else:
                key.had = None
        if known < len(run):
            taken, failure = key.state.take(run[known:])
            self._put(key, run[known:], taken, failure, base + known, output, None)

    def _start(self, key: TrackedKey, events: Sequence[Event], end: int, output: _Output, *, is_new: bool) -> None:
        """The feed begins with a state, if that is new to it; the last of its events is the ``end``-th of a message."""
        if is_new:
            for count, event in enumerate(events, end - len(events) + 1):
                output.put(key, event, count)
                key.is_told, key.announced = False, None

    def _put(
        self,
        key: TrackedKey,
        run: Sequence[Any],
        taken: Sequence[Event],
        failure: Failure | None,
        base: int,
        output: _Output,
        pending: Gap | None,
    ) -> None:
        """What the state has ``taken`` of a ``run``, and found to be missing in it, goes to the feed."""
        counts = {id(event): count for count, event in enumerate(run, base + 1)}
        count = base
        for event in taken:
            if type(event) is Gap:  # of the state's own
                if pending is None and key.announced is not None:
                    continue  # the producer has just told the same
                self._note(key, event)
                pending = None
            else:
                self._put_gap(key, pending, count, output)
                pending = None
                count = counts.get(id(event), count + 1)  # a book's own snapshot is another one than that which came
                key.is_told, key.announced = False, None
                key.is_whole = key.is_whole or key.is_cumulative
            output.put(key, event, count)
        key.last = run[-1]
        self._put_gap(key, pending, count, output)
        if failure is not None:
            gap = self._gap(key, failure.cause, failure.detail, key.last, evidence=failure.evidence)
            self._put_gap(key, gap, count, output)
            key.lose()

    # Key frames

    def _frame(self, key: TrackedKey, message: Message, output: _Output, *, was_taken: bool = False) -> None:
        """Take a key frame, if it is needed. ``was_taken``: it was needed when the feed was read before."""
        try:
            producer, seq = decode_number(message.data)
            relation = key.of_frame(producer, seq)
            verdict = Verdict.BEGIN if was_taken else FRAMES[relation, key.is_whole]
            if relation is not Relation.STALE:
                key.hear()
            if verdict is Verdict.IGNORE:
                return
            frame = decode_key_frame(message.data)
            if problem := key.objection(frame.request):
                self._refuse(key, output, problem)
                return
            key.refusal = ""
            state = key.restored(frame)
        except (ProtocolError, ValueError):  # of values that no state can have
            self._counters.malformed += 1
            return
        pending: Gap | None = None
        if verdict is Verdict.REPLACED or relation is Relation.FIRST:
            self._replace(key, relation, producer, frame.events, output, begins=True)
        elif verdict is Verdict.MISSED:
            pending = self._lost(key, seq + 1 - key.expected, frame.events)
        key.expected = seq + 1
        key.damage = ""
        key.is_first = relation is Relation.FIRST and seq < 0 and key.cls.has_history
        if frame.events:
            key.last = frame.events[-1]
        if not key.is_cumulative:
            if relation is Relation.LEVEL and not was_taken and (key.is_heard or key.had is not None):
                key.is_whole = True  # nothing is missing
                return
            if key.cls.has_history and relation not in {Relation.FIRST, Relation.LEVEL}:
                self._recover(key, frame, state, output, pending)
                return
        events = state.start(key.request)
        key.state = state
        key.is_whole = bool(events) or not key.is_cumulative
        self._put_gap(key, pending, 0, output)
        is_new = not (key.cls.has_history and key.is_resumed and relation is Relation.FIRST)
        self._start(key, events, len(frame.events), output, is_new=is_new)

    def _recover(
        self, key: TrackedKey, frame: KeyFrame, state: ChannelState, output: _Output, pending: Gap | None
    ) -> None:
        """What was missed comes out of the history in a key frame, as far as that reaches."""
        if key.state.last_received_ns:  # it knows what it has had
            history = [msgspec.structs.replace(event, snapshot=True) for event in frame.events]
            self._events(key, history, 0, output, pending)
        else:
            self._put_gap(key, pending, 0, output)
            key.state = state
        key.is_whole = True

    # Gaps

    def _replace(
        self,
        key: TrackedKey,
        relation: Relation,
        producer: int,
        events: Sequence[Event],
        output: _Output,
        *,
        begins: bool,
    ) -> None:
        """Another producer: its numbers count from here on. ``begins``: so does its state, whatever was before."""
        key.producer = producer
        if relation is Relation.LATER:
            is_owed = key.has_begun or not key.is_told
            cause, detail = Cause.FAILOVER, _REPLACED
            key.is_first = False
            if key.cls.has_history:
                # Of trades without numbers, the state knows none after a gap; and a key frame may be behind.
                kept = key.state.keep().events[-1:]
                known = [event for event in (key.had, key.last, *kept) if event is not None]
                key.had = max(known, key=_timestamp, default=None)
        else:
            # Of what the feed may have had before its place nothing is stored any more.
            is_owed = begins and key.is_resumed and not key.is_told
            cause, detail = Cause.EXPIRED, _UNKNOWN
            key.is_first = begins and key.cls.has_history
        if is_owed:
            self._put_gap(key, self._gap(key, cause, detail, _first(events)), 0, output)
        if relation is Relation.LATER:
            key.lose()

    def _lost(self, key: TrackedKey, count: int, events: Sequence[Event]) -> Gap | None:
        """So many events before these did not come. Returns the gap, unless the feed knows that some are missing."""
        cause = Cause.MALFORMED if key.damage else Cause.MISSED
        detail = key.damage or _MISSED.format(count)
        key.is_first = False
        is_known = key.is_told and key.announced is None  # a gap of the producer is about what comes before it
        key.announced = None
        key.lose()
        return None if is_known else self._gap(key, cause, detail, _first(events), missed=count)

    def _refuse(self, key: TrackedKey, output: _Output, problem: str) -> None:
        """What is published now is not what was asked for."""
        if not key.refusal:
            self._put_gap(key, self._gap(key, Cause.REFUSED, problem, key.last), 0, output)
        key.refusal = problem
        key.lose()
        key.is_whole = False  # until the next key frame, or beginning, of what was asked for

    def _gap(
        self,
        key: TrackedKey,
        cause: Cause,
        detail: str,
        near: Event | None,
        *,
        evidence: ChecksumEvidence | None = None,
        missed: int | None = None,
    ) -> Gap:
        near = key.last if near is None else near
        return Gap(
            symbol=key.symbol,
            cause=cause,
            channel=key.channel,
            detail=printable(detail),
            missed=missed,
            evidence=evidence,
            epoch=0 if near is None else near.epoch,
            received_ns=0 if near is None else near.received_ns,
        )

    def _put_gap(self, key: TrackedKey, gap: Gap | None, count: int, output: _Output) -> None:
        """Tell the feed of a gap, if there is one."""
        if gap is not None:
            output.put(key, gap, count)
            key.is_told = True
            self._note(key, gap)

    def _note(self, key: TrackedKey, gap: Gap) -> None:
        if key.is_heard:
            self.gaps.append(gap)


def _first(events: Sequence[Event]) -> Event | None:
    return events[0] if events else None


def _runs(key: TrackedKey, events: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """The events in runs that a state can take: of one class; either all history, or none."""
    for _, run in groupby(events, _class_and_age if key.cls.has_history else type):
        yield list(run)


def _class_and_age(event: Any) -> tuple[type, object]:
    return type(event), getattr(event, "snapshot", None)
