"""What is wanted, what has been asked, and what the exchange answered.

Wishes live here, apart from any connection: :meth:`Registry.add` and :meth:`Registry.remove` change them,
:meth:`Registry.online` and :meth:`Registry.offline` say whether there is somebody to ask. From the difference
between what is wanted and what has been asked follows what is to be sent: :meth:`Registry.flush`.

Rules:

1. An answer is matched by the request's number and the symbol; the ``method`` that a refusal names is not trusted. Only
   the answer to the latest request about a subscription counts.
2. A subscription is left, and the answer to that awaited, before it is asked for again. Whatever the exchange may have
   is left when nobody wants it any more, whether it answered or not.
3. Every wait for the exchange has a deadline; every retry a longer pause than the one before, and a last one. Then the
   subscription is parked: left, announced by a gap, and tried again after a long rest.
4. Requests of one kind share a frame; frames are paced, and a rate-limit refusal pauses all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import attrs

from kraken_trio.events import Cause
from kraken_trio.requests import Lifecycle, Trades
from kraken_trio.session.flights import Flight, Flights
from kraken_trio.session.subscription import Key, Step, Subscription, key_of
from kraken_trio.session.timing import Pacer, Timers, growing
from kraken_trio.wire import v2
from kraken_trio.wire.messages import Ack, Method, Refusal, RefusalKind

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from kraken_trio.errors import ChecksumMismatch
    from kraken_trio.requests import Request
    from kraken_trio.session.statistics import Counters
    from kraken_trio.session.timing import ListeningClock
    from kraken_trio.settings import Settings

__all__ = ["FeedEntry", "Listener", "Registry"]

_RATE_LIMIT_PAUSE: Final = 1.0
"""Seconds without any request after "Exceeded msg rate"; also the first wait of the symbol that was refused."""


class Listener(Protocol):
    """Who is told what the registry decides."""

    def gap(self, sub: Subscription, cause: Cause, detail: str, evidence: ChecksumMismatch | None) -> None:
        """The feeds of ``sub`` miss events from here on."""
        ...

    def broken(self, sub: Subscription, cause: Cause) -> None:
        """``sub`` is not as wanted any more, and is made anew."""
        ...

    def answered(self, feed: Hashable, reasons: dict[Request, str]) -> None:
        """A ``subscribe`` has its answer: it is in force, or, with reasons, it is not and never was."""
        ...


@attrs.define
class FeedEntry:
    """One feed's wishes."""

    requests: tuple[Request, ...]
    waiting: set[Key] = attrs.Factory(set)
    """What the exchange has not answered yet."""
    reasons: dict[Request, str] = attrs.Factory(dict)
    answered: bool = False

    @property
    def wants_lifecycle(self) -> bool:
        """Does it want to know how client and exchange are?"""
        return any(isinstance(request, Lifecycle) for request in self.requests)

    @property
    def keys(self) -> Iterable[tuple[Key, Request]]:
        """What it wants from the exchange."""
        return [(key_of(request), request) for request in self.requests if request.channel is not None]


class Registry:
    """The wanted subscriptions of all feeds, and the exchange's answers to them."""

    def __init__(self, settings: Settings, counters: Counters, clock: ListeningClock, listener: Listener) -> None:
        self._settings = settings
        self._counters = counters
        self._clock = clock
        self._listener = listener
        self.subscriptions: dict[Key, Subscription] = {}
        self.by_channel: dict[str, dict[str | None, Subscription]] = {name: {} for name in v2.CHANNELS}
        self.feeds: dict[Hashable, FeedEntry] = {}
        self.unsettled: set[Key] = set()
        """What is not as wanted."""
        self._todo: dict[Key, Method] = {}
        self._flights = Flights(clock)
        self._patience: Timers[Key] = Timers()  # waits for a first message, on the listening clock
        self._alarms: Timers[Key] = Timers()  # our own pauses
        self._pacer = Pacer(settings.request_rate, settings.request_burst)
        self._is_online: bool = False
        self.live_since: float | None = None
        """When the first subscription of this connection, or of the last one, got verified data."""
        self._last_req_id: int = 0

    # Wishes

    def add(self, feed: Hashable, requests: Sequence[Request]) -> None:
        """``feed`` wants all of ``requests``, or nothing."""
        entry = FeedEntry(tuple(dict.fromkeys(requests)))
        entry.reasons = self._objections(entry)
        if entry.reasons:
            self._listener.answered(feed, entry.reasons)
            return
        self.feeds[feed] = entry
        for key, request in entry.keys:
            sub = self.subscriptions.get(key)
            if sub is None:
                sub = self.subscriptions[key] = self.by_channel[key[0]][key[1]] = Subscription(request)
                self._ask(sub)
            elif sub.step in (Step.REFUSED, Step.PARKED):
                self._alarms.clear(key)
                sub.attempts = sub.throttled = 0
                self._go(sub, Step.WAITING)
                self._ask(sub)
            elif sub.step is Step.LEAVING and sub.then in (Step.PARKED, Step.GONE):
                if not sub.wanted_by:
                    sub.renew(request)
                    sub.confirmed_once = sub.gapped = False
                self._alarms.clear(key)
                sub.attempts = sub.throttled = 0
                sub.then = Step.WAITING
            sub.wanted_by[feed] = _joined(sub.wanted_by.get(feed), request)
            self._mark(sub)
            if sub.step not in (Step.CONFIRMED, Step.LIVE):
                entry.waiting.add(key)
        self._check_answered(feed)

    def remove(self, feed: Hashable) -> None:
        """``feed`` wants nothing any more."""
        entry = self.feeds.pop(feed, None)
        for key, _ in entry.keys if entry else ():
            sub = self.subscriptions.get(key)
            if sub is None or sub.wanted_by.pop(feed, None) is None:
                continue
            sub.audience = tuple(other for other in sub.audience if other != feed)
            sub.newcomers = tuple(other for other in sub.newcomers if other != feed)
            if not sub.wanted_by:
                self._alarms.clear(key)
                if sub.step is Step.LEAVING:
                    sub.then = Step.GONE
                    self._mark(sub)
                elif sub.on_wire is not None:
                    self._leave(sub, Step.GONE)
                else:
                    self._forget(sub)

    def _objections(self, entry: FeedEntry) -> dict[Request, str]:
        """What the client itself refuses, as Kraken would."""
        reasons: dict[Request, str] = {}
        if len(self.feeds) >= self._settings.max_feeds:
            text = f"this client has its {self._settings.max_feeds} feeds (Settings.max_feeds): open another client"
            return dict.fromkeys(entry.requests, text)
        wanted: dict[Key, Request] = {key: sub.request for key, sub in self.subscriptions.items() if sub.wanted_by}
        count = len(self.subscriptions)  # those that are just being left as well: they are as much to remember
        for key, request in entry.keys:
            known = wanted.get(key)
            is_new = known is None and key not in self.subscriptions
            if is_new and count >= self._settings.max_subscriptions:
                reasons[request] = (
                    f"this client has its {self._settings.max_subscriptions} subscriptions "
                    f"(Settings.max_subscriptions): open another client"
                )
            elif known is None:
                wanted[key] = request
                count += is_new
            elif known.variant != request.variant:
                assert known.variant is not None  # a channel has a variant or it has not
                name, value = known.variant
                reasons[request] = (
                    f"{request.symbol} is subscribed with {name}={value} on this connection, and Kraken allows one "
                    f"{name} per symbol: use {name}={value}, or open another client"
                )
        return reasons

    # The connection

    def online(self) -> None:
        """There is a new connection: everything wanted is to be asked for."""
        self._is_online = True
        self.live_since = None
        for sub in self.subscriptions.values():
            self._ask(sub)

    def offline(self, cause: Cause, detail: str) -> None:
        """The connection is lost, and with it all that was asked."""
        self._is_online = False
        self._todo.clear()
        self._flights.clear()
        self._patience.clear_all()
        self._alarms.clear_all()
        for sub in list(self.subscriptions.values()):
            if not sub.wanted_by:
                self._forget(sub)
                continue
            self._go(sub, Step.WAITING)
            sub.attempts = sub.throttled = 0
            sub.on_wire = None
            sub.follower.reset()
            self.gap(sub, cause, detail)
        for feed in list(self.feeds):
            self._check_answered(feed)

    # Asking

    def flush(self, now: float) -> list[str]:
        """The frames that may be sent now."""
        frames: list[str] = []
        while self._may_ask and self._pacer.take(now):
            frames.append(self._next_request(now))
        return frames

    @property
    def _may_ask(self) -> bool:
        return bool(self._todo) and len(self._flights) < self._settings.requests_in_flight

    def _next_request(self, now: float) -> str:
        first, method = next(iter(self._todo.items()))
        kind = self._kind(first, method)
        keys = [key for key, its in self._todo.items() if its is method and self._kind(key, method) == kind]
        del keys[self._settings.symbols_per_request :]
        number = self.next_req_id()
        requests: list[Request] = []
        for key in keys:
            del self._todo[key]
            sub = self.subscriptions[key]
            sub.req_id = number
            if method is Method.SUBSCRIBE:
                sub.on_wire = sub.request
                self._go(sub, Step.ASKED)
            assert sub.on_wire is not None  # only what was asked for is left
            requests.append(sub.on_wire)
        self._flights.take_off(number, Flight(method, dict.fromkeys(keys)), now, self._settings.answer_timeout)
        self._counters.requests_sent += 1
        return v2.request(method, requests, number)

    def _kind(self, key: Key, method: Method) -> tuple[object, ...]:
        """What two requests must agree in to share a frame."""
        sub = self.subscriptions[key]
        request = sub.request if method is Method.SUBSCRIBE else sub.on_wire
        assert request is not None  # only what was asked for is left
        return (key[0], request.variant)

    def next_req_id(self) -> int:
        """A number that no request of this client had before."""
        self._last_req_id += 1
        return self._last_req_id

    # Answers

    def ack(self, message: Ack, now: float) -> None:
        """A request was accepted, for one symbol."""
        number = self._flights.find(message.req_id, message.symbol, message.channel, message.method)
        flight = None if number is None else self._flights[number]
        key = None if number is None else self._flights.land(number, message.symbol)
        if number is None or flight is None or key is None:
            self._counters.unmatched_answers += 1
            return
        sub = self._awaiting(number, flight, key)
        if sub is None:
            return
        if flight.method is Method.SUBSCRIBE:
            self.confirm(sub, now)
        else:
            self._left(sub)

    def refusal(self, message: Refusal, now: float) -> None:
        """A request was refused, for one symbol or whole."""
        if message.kind is RefusalKind.RATE_LIMITED:
            self._counters.rate_limited += 1
            self._pacer.pause(now + _RATE_LIMIT_PAUSE)
        number = self._flights.find(message.req_id, message.symbol, None, None)
        if number is None:
            if message.kind is RefusalKind.RATE_LIMITED and message.req_id is None:
                self._flights.doubt_all(now, _RATE_LIMIT_PAUSE)
            else:
                self._counters.unmatched_answers += 1
            return
        flight = self._flights[number]
        keys = list(flight.keys) if message.symbol is None else [self._flights.land(number, message.symbol)]
        if message.symbol is None:
            self._flights.forget(number)
        for key in keys:
            if key is None:
                self._counters.unmatched_answers += 1
                continue
            self._counters.refusals += 1
            sub = self._awaiting(number, flight, key) or self._mistaken(number, flight, key, message)
            if sub is not None:
                self._refused(sub, flight.method, message.kind, message.error, now)

    def _refused(self, sub: Subscription, method: Method, kind: RefusalKind, text: str, now: float) -> None:
        if method is Method.UNSUBSCRIBE:
            if kind is RefusalKind.RATE_LIMITED:
                self._pacer.pause(now + _RATE_LIMIT_PAUSE)
                self._todo[sub.key] = Method.UNSUBSCRIBE
            elif kind is RefusalKind.LATER:
                self._pacer.pause(now + _RATE_LIMIT_PAUSE)
                self._leave_again(sub)
            else:
                self._left(sub)
        elif kind is RefusalKind.RATE_LIMITED:
            self._throttle(sub, now)
        elif kind is RefusalKind.LATER:
            self._retry(sub, text, now)
        elif kind is RefusalKind.ALREADY:
            self._again(sub, text, now)  # no snapshot follows, so it is of no use: it has to be left first
        else:
            sub.on_wire = None
            self._go(sub, Step.REFUSED)
            self._denied(sub, Cause.REFUSED, text)

    def _awaiting(self, number: int, flight: Flight, key: Key) -> Subscription | None:
        """The subscription, if it still awaits this answer: nothing else has been asked since, or is to be asked."""
        sub = self.subscriptions.get(key)
        step = Step.ASKED if flight.method is Method.SUBSCRIBE else Step.LEAVING
        return sub if sub is not None and sub.step is step and sub.req_id == number else None

    def _mistaken(self, number: int, flight: Flight, key: Key, message: Refusal) -> Subscription | None:
        """The subscription, if this refusal is the answer that data seemed to have overtaken: it was older data."""
        sub = self.subscriptions.get(key)
        if (
            sub is None
            or sub.step is not Step.LIVE
            or sub.req_id != number
            or flight.method is not Method.SUBSCRIBE
            or message.kind is RefusalKind.ALREADY
        ):
            return None
        sub.follower.reset()
        if message.kind is not RefusalKind.FINAL:  # else they are told that it is refused
            self.gap(sub, Cause.RESUBSCRIBED, message.error)
        self._go(sub, Step.ASKED)
        return sub

    # Steps of a subscription

    def confirm(self, sub: Subscription, now: float) -> None:
        """The exchange has said yes, by its answer or by data that overtook it."""
        self._go(sub, Step.CONFIRMED)
        sub.confirmed_once = True
        sub.throttled = 0
        if sub.owes_data:
            self._patience.set(sub.key, self._clock.at(now) + self._settings.snapshot_timeout)
        else:
            sub.gapped = False  # what comes now is complete
        for feed in list(sub.wanted_by):
            self.feeds[feed].waiting.discard(sub.key)
            self._check_answered(feed)

    def live(self, sub: Subscription, now: float) -> None:
        """Its first good data has come."""
        if sub.step is not Step.LIVE:
            self._go(sub, Step.LIVE)
            sub.live_since = now
            if self.live_since is None:
                self.live_since = now
        self._patience.clear(sub.key)
        sub.gapped = False
        sub.cause = None

    def empty(self, channel: str, now: float) -> None:
        """A snapshot that holds nothing has come: of the first subscription that it may be of.

        If it was another one's, that one is made anew in its time, and then its own is told apart.
        """
        for sub in self.by_channel[channel].values():
            if sub.step is Step.CONFIRMED and sub.owes_data and not sub.is_book:
                self.live(sub, now)
                return

    def fail(
        self, sub: Subscription, cause: Cause, detail: str, now: float, evidence: ChecksumMismatch | None = None
    ) -> None:
        """Its data cannot be trusted: leave it, and subscribe anew."""
        if sub.step is Step.LIVE and now - sub.live_since >= self._settings.stable_after:
            sub.attempts = 0
        self._break(sub, cause, detail, evidence)
        self._again(sub, detail, now)
        self._listener.broken(sub, cause)

    def refresh(self, sub: Subscription, detail: str) -> None:
        """Nothing says that it failed, but it may be dead: subscribe it anew. Whoever wants this limits how often."""
        self._break(sub, Cause.RESUBSCRIBED, detail, None)
        self._leave(sub, Step.WAITING)
        self._listener.broken(sub, Cause.RESUBSCRIBED)

    def _break(self, sub: Subscription, cause: Cause, detail: str, evidence: ChecksumMismatch | None) -> None:
        sub.cause = cause
        sub.follower.reset()
        self._counters.resyncs += 1
        self.gap(sub, cause, detail, evidence)

    def gap(self, sub: Subscription, cause: Cause, detail: str, evidence: ChecksumMismatch | None = None) -> None:
        """Tell its feeds, once, that from here on events are missing."""
        if sub.confirmed_once and not sub.gapped:
            sub.gapped = True
            self._listener.gap(sub, cause, detail, evidence)

    def tick(self, now: float) -> None:
        """Do what is due."""
        for number, flight in self._flights.overdue(now):
            self._unanswered(number, flight, now)
        for key in self._patience.pop_due(lambda reading: self._clock.when(reading) <= now):
            self.fail(self.subscriptions[key], Cause.RESUBSCRIBED, "its first data never came", now)
        for key in self._alarms.pop_due(lambda at: at <= now):
            sub = self.subscriptions[key]
            if sub.step is Step.LEAVING:
                sub.then = Step.WAITING
            else:
                self._go(sub, Step.WAITING)
                self._ask(sub)

    def deadline(self, now: float) -> float:
        """When :meth:`tick` or :meth:`flush` is wanted next."""
        paced = self._pacer.ready_at(now) if self._may_ask else float("inf")
        patience = min(self._patience.earliest(), self._flights.earliest())
        return min(self._clock.when(patience), self._alarms.earliest(), paced)

    @property
    def idle(self) -> bool:
        """Nothing is left to send, and no answer is awaited."""
        return not self._todo and not self._flights

    def _unanswered(self, number: int, flight: Flight, now: float) -> None:
        for key in flight.keys:
            sub = self._awaiting(number, flight, key)
            if sub is None:
                continue
            if flight.method is Method.UNSUBSCRIBE and flight.throttled:
                self._todo[key] = Method.UNSUBSCRIBE
            elif flight.method is Method.UNSUBSCRIBE and sub.then is Step.GONE:
                self._leave_again(sub)  # else nobody would ever take it off the exchange's hands
            elif flight.method is Method.UNSUBSCRIBE:
                self._left(sub)  # answers come in order: whatever is asked next is asked after it
            elif flight.throttled:
                self._throttle(sub, now)
            else:
                sub.cause = sub.cause or Cause.RESUBSCRIBED
                self._retry(sub, f"the exchange did not answer within {self._settings.answer_timeout:g} s", now)

    def _throttle(self, sub: Subscription, now: float) -> None:
        """Ask again after a pause. That there were too many requests is no failure of this one."""
        sub.throttled += 1
        self._pause(sub, now + growing(_RATE_LIMIT_PAUSE, sub.throttled, self._settings.attempt_delay_max))

    def _retry(self, sub: Subscription, text: str, now: float) -> None:
        """Ask again after a pause, unless it was the last time."""
        sub.attempts += 1
        if sub.attempts > self._settings.attempts:
            self._park(sub, text, now)
        else:
            self._pause(sub, now + self._delay(sub.attempts))

    def _again(self, sub: Subscription, text: str, now: float) -> None:
        """Leave it, then ask again, unless it was the last time. The first time without a pause."""
        sub.attempts += 1
        if sub.attempts > self._settings.attempts:
            self._park(sub, text, now)
        elif sub.attempts == 1:
            self._leave(sub, Step.WAITING)
        else:
            self._leave(sub, Step.PAUSED)
            self._alarms.set(sub.key, now + self._delay(sub.attempts - 1))

    def _delay(self, nth: int) -> float:
        return growing(self._settings.attempt_delay, nth, self._settings.attempt_delay_max)

    def _pause(self, sub: Subscription, until: float) -> None:
        self._go(sub, Step.PAUSED)
        self._alarms.set(sub.key, until)
        for feed in list(sub.wanted_by):
            self._check_answered(feed)

    def _park(self, sub: Subscription, text: str, now: float) -> None:
        self._counters.parked += 1
        sub.attempts = self._settings.attempts  # after the rest it has one more try
        self._leave(sub, Step.PARKED)
        self._alarms.set(sub.key, now + self._settings.park_time)
        rest = f"given up after {self._settings.attempts + 1} attempts, tried again in {self._settings.park_time:g} s"
        self._denied(sub, Cause.PARKED, f"{text} ({rest})")

    def _denied(self, sub: Subscription, cause: Cause, text: str) -> None:
        """Whoever waits for it is refused; whoever had it is told."""
        sub.gapped = True
        if sub.audience:
            self._listener.gap(sub, cause, text, None)
        for feed, request in list(sub.wanted_by.items()):
            entry = self.feeds[feed]
            if sub.key in entry.waiting:
                entry.waiting.discard(sub.key)
                entry.reasons[request] = text
            self._check_answered(feed)

    def _leave(self, sub: Subscription, then: Step) -> None:
        self._go(sub, Step.LEAVING)
        sub.then = then
        sub.departures = 0
        self._patience.clear(sub.key)
        self._todo[sub.key] = Method.UNSUBSCRIBE

    def _leave_again(self, sub: Subscription) -> None:
        """The exchange did not let it go: once more, unless it was the last time. Then what comes of it is late."""
        sub.departures += 1
        if sub.departures < self._settings.attempts:
            self._todo[sub.key] = Method.UNSUBSCRIBE
        else:
            self._left(sub)

    def _left(self, sub: Subscription) -> None:
        sub.on_wire = None
        if sub.then is Step.GONE:
            self._forget(sub)
            return
        self._go(sub, sub.then)
        if sub.step is Step.WAITING:
            self._ask(sub)

    def _ask(self, sub: Subscription) -> None:
        if self._is_online:
            self._todo[sub.key] = Method.SUBSCRIBE

    def _go(self, sub: Subscription, step: Step) -> None:
        sub.go(step)
        self._mark(sub)

    def _mark(self, sub: Subscription) -> None:
        if sub.settled or not sub.wanted_by:
            self.unsettled.discard(sub.key)
        else:
            self.unsettled.add(sub.key)

    def _forget(self, sub: Subscription) -> None:
        self._go(sub, Step.GONE)
        del self.subscriptions[sub.key]
        del self.by_channel[sub.key[0]][sub.key[1]]
        self._todo.pop(sub.key, None)
        self._patience.clear(sub.key)
        self._alarms.clear(sub.key)

    def _check_answered(self, feed: Hashable) -> None:
        """Has everything been said about the feed's wishes?"""
        entry = self.feeds[feed]
        if entry.answered:
            return
        if entry.reasons:
            # One no is enough; but those whose answer is just coming are waited for, to name all that is wrong.
            coming = (Step.WAITING, Step.ASKED) if self._is_online else ()
            if any(self.subscriptions[key].step in coming for key in entry.waiting):
                return
            self.remove(feed)
            self._listener.answered(feed, entry.reasons)
        elif not entry.waiting:
            entry.answered = True
            for key, _ in entry.keys:
                sub = self.subscriptions[key]
                if feed not in sub.audience:
                    sub.audience += (feed,)
            self._listener.answered(feed, {})


def _joined(before: Request | None, request: Request) -> Request:
    """Two wishes of one feed that differ only in whether they want history."""
    if isinstance(before, Trades) and isinstance(request, Trades):
        return attrs.evolve(request, snapshot=before.snapshot or request.snapshot)
    return request
