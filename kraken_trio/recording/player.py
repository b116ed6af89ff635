"""Records of a log in, events out: what a session's feeds got, again.

Frames go the way that they went in the session, through the same :class:`~kraken_trio.session.intake.Intake`: decoded,
verified, merged. What the session *decided* (when a subscription begins to take data, when it is given up, which gap
went to whom, which state the client was in) is taken from the log, because another version may decide otherwise. Where
the data and the decisions disagree, the log is damaged, or was not written by this client; then the subscription is
distrusted until it begins again: its feeds get a gap, and :attr:`Player.disagreements` says what it was.

Rules:

1. A decision that a frame led to stands right before that frame, with how much of the frame had been taken before it.
2. A subscription is known from where it begins, or from its key frame. What comes for an unknown one is ignored.
3. A feed begins where all its requests are in force, as in a session: with what a late feed starts with.
4. Where the log has a hole, everything becomes unknown, and each feed gets a gap for each of its subscriptions.
"""

from __future__ import annotations

from collections import deque
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import attrs

from kraken_trio._text import printable
from kraken_trio.book.core import NAME
from kraken_trio.channels import CHANNELS, Kept
from kraken_trio.encoding import decode_request
from kraken_trio.errors import ProtocolError
from kraken_trio.events import Cause, ConnectionState, Gap, StateChange
from kraken_trio.recording.records import (
    Begun,
    Changed,
    ClientFrame,
    Decision,
    Hole,
    KeyFrame,
    Missed,
    Other,
    Reported,
    Reset,
    Resynced,
    Started,
    Stepped,
    Told,
    answered,
    event_of,
)
from kraken_trio.session.deliveries import Deliveries
from kraken_trio.session.intake import Intake
from kraken_trio.session.queries import answers
from kraken_trio.session.routing import Routing
from kraken_trio.session.steps import Happening, Step
from kraken_trio.session.subscription import Subscription, key_of
from kraken_trio.statistics import ClientStatistics, Counters

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from kraken_trio.events import Event, StatusUpdate
    from kraken_trio.evidence import ChecksumEvidence
    from kraken_trio.recording.records import Entry, Named, Question
    from kraken_trio.requests import Request
    from kraken_trio.session.deliveries import Effects
    from kraken_trio.session.subscription import Key
    from kraken_trio.wire.codec import Codec
    from kraken_trio.wire.messages import Message

__all__ = ["Player"]

MAX_DISAGREEMENTS: Final = 1000
"""How many are described; all are counted."""
_DAMAGED: Final = "the recording is damaged here, or was changed"
_NOBODY_WANTED_IT: Final = frozenset({"unwanted", "dropped", "lost for good"})
_ANEW: Final = frozenset({Step.TO_SUBSCRIBE.value, Step.GONE.value})
"""Steps from which a subscription's data begin again."""
_STEPS: Final[Mapping[str, Step]] = {step.value: step for step in Step}


@attrs.define(eq=False)
class _Audience:
    """What one feed wants, and what it still waits for."""

    wanted: dict[Key, Request[Any]]
    wants_lifecycle: bool
    waiting: set[Key]
    has_begun: bool = False


class Player:
    """A client's log, played in order to any number of feeds."""

    def __init__(self, codec: Codec) -> None:
        self.counters: Counters = Counters()
        self.deliveries: Deliveries = Deliveries(self.counters)
        self.state: ConnectionState = ConnectionState.DISCONNECTED
        """The client's state, as of here."""
        self.epoch_base: int = 0
        """What is added to the epochs of the segment."""
        self.disagreement_count: int = 0
        self.disagreements: deque[str] = deque(maxlen=MAX_DISAGREEMENTS)
        """Where data and decisions disagreed: the latest."""
        self.by_key: dict[Key, Subscription] = {}
        self.by_channel: dict[str, dict[str | None, Subscription]] = {name: {} for name in CHANNELS}
        self._codec = codec
        self._feeds: dict[Hashable, _Audience] = {}
        self._due: deque[Decision] = deque()  # of the next frame
        self._failed: set[Key] = set()  # by data of the current frame
        self._was_malformed = False  # the current frame
        self._distrusted: set[Key] = set()  # because of a disagreement
        self._changes: list[StateChange] = []
        self._is_known = False  # is the client's own state?
        self._recorded_ns = 0  # the time of the last record that was not a frame
        self._routing = Routing(self.counters, self.deliveries, self, self)
        self._intake = Intake(codec, self.counters, self.deliveries, self.by_channel, self._routing, self)

    # Feeds

    def add(self, feed: Hashable, requests: Sequence[Request[Any]], *, at_once: bool = False) -> None:
        """From here on ``feed`` gets what these requests yield.

        It begins where all of them are in force; ``at_once``: here, as if it had been there before.
        """
        wanted: dict[Key, Request[Any]] = {}
        for request in requests:
            if request.channel is not None:
                key = key_of(request)
                wanted[key] = wanted[key].joined(request) if key in wanted else request
        waiting = set() if at_once else set(wanted)
        audience = _Audience(wanted, any(request.channel is None for request in requests), waiting)
        self._feeds[feed] = audience
        for key, request in wanted.items():
            sub = self._sub_for(audience, key)
            if sub is not None:
                sub.wanted_by[feed] = request
                if sub.is_confirmed:
                    audience.waiting.discard(key)
        self._check_begin(feed, audience, goes_on=at_once)

    def remove(self, feed: Hashable) -> None:
        """``feed`` gets nothing more."""
        self._feeds.pop(feed, None)
        self.deliveries.lifecycle_feeds.pop(feed, None)
        for sub in self.by_key.values():
            if sub.wanted_by.pop(feed, None) is not None:
                sub.audience = tuple(other for other in sub.audience if other is not feed)
                sub.newcomers = tuple(other for other in sub.newcomers if other is not feed)

    def rebuild(self, key: tuple[str | None, str | None]) -> Event | None:
        """All events of a cumulative channel and symbol so far, as one; None while the state is unknown."""
        channel, symbol = key
        sub = None if channel is None else self.by_key.get((channel, symbol))
        return None if sub is None else sub.state.rebuild()

    def take(self) -> tuple[Effects, list[StateChange]]:
        """The deliveries since the last call, and the changes of the client's state."""
        changes, self._changes = self._changes, []
        return self.deliveries.take(), changes

    def statistics(self, *, log_lines_left_out: int = 0, wall_ns: int | None = None) -> ClientStatistics:
        """All numbers, as of here. Only what a log tells is counted: no connection attempts or pings.

        ``wall_ns`` is the log's time now; None: that of the last record.
        """
        self._intake.count()
        taken_ns = self._now_ns if wall_ns is None else wall_ns
        status = self.deliveries.status
        return ClientStatistics(
            state=self.state,
            epoch=self.deliveries.epoch,
            system_status=None if status is None else status.system,
            subscriptions=MappingProxyType(
                {sub.request: sub.statistics(taken_ns, taken_ns / 1e9) for sub in self.by_key.values() if sub.wanted_by}
            ),
            feeds=len(self._feeds),
            ping_seconds=None,
            last_mismatch=self._routing.last_mismatch,
            core=NAME,
            warnings=(),
            unknown=MappingProxyType(dict(self._codec.unknown)),
            taken_ns=taken_ns,
            messages=MappingProxyType(self._intake.messages),
            message_bytes=MappingProxyType(self._intake.message_bytes),
            log_lines_left_out=log_lines_left_out,
            **attrs.asdict(self.counters),
        )

    @property
    def _now_ns(self) -> int:
        return max(self._recorded_ns, self.deliveries.received_ns)

    def _sub_for(self, audience: _Audience, key: Key) -> Subscription | None:
        """The subscription, if it is of the variant that is wanted."""
        sub = self.by_key.get(key)
        return sub if sub is not None and sub.request.variant == audience.wanted[key].variant else None

    def _check_begin(self, feed: Hashable, audience: _Audience, *, goes_on: bool = False) -> None:
        """All requests are in force: the feed starts with the present state."""
        if audience.has_begun or audience.waiting:
            return
        audience.has_begun = True
        deliveries = self.deliveries
        if audience.wants_lifecycle:
            deliveries.lifecycle_feeds[feed] = None
            if deliveries.status is not None:
                deliveries.deliver((feed,), deliveries.status)
        for key in audience.wanted:
            sub = self._sub_for(audience, key)
            if sub is not None:
                self._join(feed, sub, goes_on=goes_on)

    def _join(self, feed: Hashable, sub: Subscription, *, goes_on: bool = False) -> None:
        """``goes_on``: as if it had been there before."""
        if feed not in sub.audience:
            sub.audience += (feed,)
        if sub.step is Step.LIVE or (goes_on and sub.state.last_received_ns):
            self.start((feed,), sub)
        elif sub.state.has_history:
            sub.newcomers += (feed,)

    # Frames

    def frames(self, frames: Sequence[str | bytes], received_ns: int) -> None:
        """Frames of one batch for which no decision is due."""
        self._intake.take(frames, received_ns)

    def frame(self, frame: str | bytes, received_ns: int) -> None:
        """One frame, with the decisions that stand before it."""
        if not self._due:
            self._intake.take((frame,), received_ns)
            return
        due, first = self._due, self._due[0]
        self._failed.clear()
        self._was_malformed = False
        checks = [one.key for one in due if isinstance(one, Resynced) and one.cause in _OF_DATA]
        self._intake.take_one(frame, first.frame or 0, received_ns)
        while due:
            self._decide(due.popleft())
        for key in checks:
            if key not in self._failed and key in self.by_key and not self._was_malformed:
                self._disagree(key, "the log says that its data failed a check, but they pass it")

    @property
    def has_decisions(self) -> bool:
        """Whether the next frame has to be given to :meth:`frame`, alone."""
        return bool(self._due)

    def handle(self, _frame: str | bytes, message: Message) -> bool:
        """(for the intake) Not data: what follows from it is in the log."""
        return message.is_pushed

    def malformed(self, _frame: str | bytes, _error: ProtocolError) -> None:
        """(for the intake) What follows from it is in the log. If nothing is, nobody knows what it was."""
        self.counters.malformed += 1
        self._was_malformed = True
        if not any(isinstance(one, Other) and one.what == "FrameMalformed" for one in self._due):
            detail = "a frame cannot be decoded, but the log does not say so"
            self.disagreement_count += 1
            self.disagreements.append(detail)
            self.forget(
                Cause.NOT_RECORDED, f"the recording is damaged here, or was changed: {detail}", keeps_state=True
            )

    # What the routing asks

    def accepted(self, sub: Subscription) -> None:
        """(for the routing) Data came before the exchange's answer: the log says whether it counted as the answer."""
        self._decide_taken()
        if not sub.is_confirmed:
            self._disagree(sub.key, "there are data before it was confirmed")

    def live(self, sub: Subscription) -> None:
        """(for the routing) Its first data passed."""
        self._decide_taken()
        if sub.step is not Step.LIVE and self.by_key.get(sub.key) is sub:
            self._disagree(sub.key, "its first data pass every check, but the log does not say so")

    def start(self, feeds: Sequence[Hashable], sub: Subscription) -> None:
        """(for the routing) Deliver to these feeds what they start with."""
        for feed in feeds:
            self.deliveries.deliver_all((feed,), sub.state.start(sub.wanted_by[feed]))

    def fail(self, sub: Subscription, cause: Cause, detail: str, evidence: ChecksumEvidence | None = None) -> None:
        """(for the routing) Its data failed a check."""
        self._failed.add(sub.key)
        step = sub.step
        self._decide_taken()
        if sub.step is step and self.by_key.get(sub.key) is sub:
            self._disagree(sub.key, detail, cause, evidence)

    def _decide_taken(self) -> None:
        due, taken = self._due, self.deliveries.taken
        while due and due[0].taken <= taken:
            self._decide(due.popleft())

    def _disagree(
        self, key: Key, detail: str, cause: Cause = Cause.MALFORMED, evidence: ChecksumEvidence | None = None
    ) -> None:
        """Data and log disagree about this subscription: nothing more of it is taken until it begins again."""
        channel, symbol = key
        self.disagreement_count += 1
        self.disagreements.append(f"{channel} {printable(symbol, 40)}: {printable(detail)}")
        sub = self.by_key.get(key)
        if sub is not None and sub.takes_data:
            self._distrusted.add(key)
            sub.reset()
            sub.step = Step.PAUSED
            text = f"{_DAMAGED}: {detail}"
            self.deliveries.announce(sub.audience, (key,), symbol, channel, cause, text, evidence)

    # Other records

    def record(self, entry: Entry, wall_ns: int = 0) -> None:
        """Any record that is not a frame, and its time in the log, if that is known."""
        self._recorded_ns = wall_ns or self._recorded_ns
        if isinstance(entry, Decision):
            if entry.frame is None:
                self._decide(entry)
            else:
                self._due.append(entry)
        elif isinstance(entry, Told):
            if entry.what == "Connected":
                self.deliveries.epoch = self.epoch_base + entry.epoch
                self.counters.connects += 1
            elif entry.query is not None:
                self._answer(entry.query)
        elif isinstance(entry, ClientFrame):
            self._know_client(entry)
        elif isinstance(entry, KeyFrame):
            self._know(entry)
        elif isinstance(entry, Started):
            self.forget(Cause.NOT_RECORDED, "the recording was interrupted here")
        elif isinstance(entry, Hole):
            text = f"{entry.batches} batches ({entry.frames} frames) were not recorded: {printable(entry.why)}"
            self.forget(Cause.NOT_RECORDED, text, keeps_state=True)

    def _answer(self, question: Question) -> None:
        happening = answered(question)
        for sub, passed, _ in answers(self.by_channel, happening.query, happening.answer):
            self.deliveries.deliver_all(sub.audience, passed)  # a failure is among the decisions that follow

    def _decide(self, entry: Decision) -> None:
        if isinstance(entry, Stepped):
            self._step(entry)
        elif isinstance(entry, Missed):
            self._miss(entry)
        elif isinstance(entry, Begun):
            self._begin(_request_of(entry.request))
        elif isinstance(entry, Reset | Resynced):
            self.counters.resyncs += isinstance(entry, Resynced)
            sub = self.by_key.get(entry.key)
            if sub is not None:
                sub.reset()
        elif isinstance(entry, Changed):
            self._change(event_of(entry.change, self.epoch_base))
        elif isinstance(entry, Reported):
            status: StatusUpdate = event_of(entry.status, self.epoch_base)
            self.deliveries.status = status
            self.deliveries.deliver(self.deliveries.lifecycle_feeds, status)

    def _begin(self, request: Request[Any], kept: Kept | None = None) -> Subscription:
        """A subscription is known from here on. Feeds that want it, and have begun, go on with it."""
        key = key_of(request)
        state = CHANNELS[key[0]](request, self.counters, self._codec)
        if kept is not None:
            state.restore(kept)
        self._distrusted.discard(key)
        sub = self.by_key[key] = self.by_channel[key[0]][key[1]] = Subscription(request, state, self._now_ns / 1e9)
        for feed, audience in self._feeds.items():
            if key in audience.wanted and self._sub_for(audience, key) is sub:
                sub.wanted_by[feed] = audience.wanted[key]
                if audience.has_begun:
                    self._join(feed, sub)
        return sub

    def _step(self, entry: Stepped) -> None:
        sub = self.by_key.get(entry.key)
        if sub is None:
            return
        if entry.key in self._distrusted:
            if entry.step not in _ANEW:
                return
            self._distrusted.discard(entry.key)
        was_confirmed = sub.is_confirmed
        sub.step = _STEPS.get(entry.step, Step.PAUSED)
        sub.asked += sub.step is Step.SUBSCRIBING and entry.because == Happening.SENT.value
        if _lacks_data(sub):
            self._disagree(sub.key, "the log says that its first data came, but they are not there")
            return
        if sub.is_confirmed and not was_confirmed:
            self._confirm(sub)
        if sub.step is Step.LIVE and sub.newcomers:  # live without data: an empty snapshot
            newcomers, sub.newcomers = sub.newcomers, ()
            self.start(newcomers, sub)
        if was_confirmed and entry.because in _NOBODY_WANTED_IT:
            self._announce(sub, Cause.NOT_RECORDED, "the recorded program did not want it from here on")
        if sub.step is Step.GONE:
            del self.by_key[sub.key], self.by_channel[sub.key[0]][sub.key[1]]

    def _confirm(self, sub: Subscription) -> None:
        for feed in list(sub.wanted_by):
            audience = self._feeds[feed]
            audience.waiting.discard(sub.key)
            self._check_begin(feed, audience)

    def _miss(self, entry: Missed) -> None:
        gap: Gap = event_of(entry.gap, self.epoch_base)
        subs = [self.by_key[key] for key in entry.keys if key in self.by_key]
        self.deliveries.deliver_all(dict.fromkeys(feed for sub in subs for feed in sub.audience), (gap,))

    def _change(self, change: StateChange) -> None:
        self.state = change.current
        self._changes.append(change)
        self.deliveries.deliver(self.deliveries.lifecycle_feeds, change)

    # State from key frames

    def _know_client(self, entry: ClientFrame) -> None:
        deliveries = self.deliveries
        if self._is_known:
            return
        self._is_known = True
        state = ConnectionState(entry.state)
        deliveries.epoch = self.epoch_base + entry.epoch
        deliveries.received_ns = entry.received_ns
        if state is not self.state:
            if self._feeds or self._changes:
                self._set_state(state, "the recording continues")
            self.state = state
        for named in entry.status:
            status = event_of(named, self.epoch_base)
            if status != deliveries.status:
                deliveries.status = status
                deliveries.deliver(deliveries.lifecycle_feeds, status)

    def _know(self, entry: KeyFrame) -> None:
        request = _request_of(entry.request)
        key = key_of(request)
        if key in self.by_key and key not in self._distrusted:
            return
        events = tuple(event_of(event, self.epoch_base) for event in entry.events)
        if any(event.channel != key[0] for event in events):
            msg = f"a key frame of {request} has events of another channel"
            raise ProtocolError(msg)
        if CHANNELS[key[0]].must_verify and entry.step == Step.LIVE.value and not events:
            msg = f"a key frame of {request} lacks its data"
            raise ProtocolError(msg)
        marks = dict(entry.marks)
        sub = self._begin(request, Kept(events, marks))
        sub.newcomers = ()
        sub.step = _STEPS.get(entry.step, Step.PAUSED)
        for feed in sub.audience:
            self._join(feed, sub, goes_on=True)
        if sub.is_confirmed:
            self._confirm(sub)

    # Holes

    def forget(self, cause: Cause, detail: str, *, keeps_state: bool = False) -> None:
        """What follows is not known to continue from here."""
        if not keeps_state and self.state is not ConnectionState.DISCONNECTED:
            self._set_state(ConnectionState.DISCONNECTED, detail, cause)
        for sub in self.by_key.values():
            if sub.is_confirmed:  # or its feeds have got a gap already
                self._announce(sub, cause, detail)
        self._clear()

    def part(self, cause: Cause, detail: str) -> None:
        """The same, and every feed gets a gap for each of its subscriptions, whatever it has got before."""
        if self.state is not ConnectionState.DISCONNECTED:
            self._set_state(ConnectionState.DISCONNECTED, detail, cause)
        for feed, audience in self._feeds.items():
            for key in audience.wanted:
                channel, symbol = key
                self.deliveries.announce((feed,), (key,), symbol, channel, cause, detail)
        self._clear()

    def _clear(self) -> None:
        """Nothing is known."""
        self.by_key.clear()
        for subs in self.by_channel.values():
            subs.clear()
        self._due.clear()
        self._distrusted.clear()
        self._is_known = False

    def restate(self, cause: Cause, detail: str) -> None:
        """Tell the feeds of the client's state what it is, as a change from DISCONNECTED."""
        state, self.state = self.state, ConnectionState.DISCONNECTED
        if state is not ConnectionState.DISCONNECTED:
            self._set_state(state, detail, cause)

    def end(self) -> None:
        """The recording ends: as a client whose block is left."""
        if self.state is not ConnectionState.DISCONNECTED:
            self._set_state(ConnectionState.DISCONNECTED, "", Cause.CLOSED)

    def _set_state(self, state: ConnectionState, detail: str, cause: Cause = Cause.NOT_RECORDED) -> None:
        deliveries = self.deliveries
        change = StateChange(
            previous=self.state,
            current=state,
            cause=cause,
            detail=printable(detail),
            epoch=deliveries.epoch,
            received_ns=deliveries.received_ns,
        )
        self._change(change)

    def _announce(self, sub: Subscription, cause: Cause, detail: str) -> None:
        channel, symbol = sub.key
        self.deliveries.announce(sub.audience, (sub.key,), symbol, channel, cause, detail)

    def requests(self) -> Iterable[Request[Any]]:
        """The requests of the subscriptions that are known here."""
        return [sub.request for sub in self.by_key.values()]


def _lacks_data(sub: Subscription) -> bool:
    """Whether a subscription is live, whose first data are damaged: nothing could be done with the next."""
    return sub.step is Step.LIVE and sub.state.must_verify and sub.state.rebuild() is None


_OF_DATA: Final = frozenset({Cause.CHECKSUM.value, Cause.CROSSED.value, Cause.MISSED.value})


def _request_of(named: Named) -> Request[Any]:
    """The request of a subscription. Raises :class:`ProtocolError`."""
    request = decode_request(named)
    if request.channel not in CHANNELS:
        msg = f"{request} is no subscription"
        raise ProtocolError(msg)
    return request
