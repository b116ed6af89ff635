"""Requests to the exchange, and its answers.

Rules:

1. An answer is matched by ``req_id`` and symbol; the ``method`` in a refusal is not trusted. Only the answer to the
   latest request about a subscription counts.
2. A refusal of many symbols that does not name one may mean one of them, or all. It means all if a symbol that is
   requested alone is refused with the same text, and none of the others has been accepted since.
3. Every request has a deadline. Requests of one kind share a frame; frames are paced, and a rate-limit refusal pauses
   all of them.
4. A request may be several frames, each with an answer of its own. It is confirmed if all of them are.
5. A snapshot that the exchange counts (see :attr:`Terms.cost <kraken_trio.wire.messages.Terms.cost>`) is requested when
   the budget of snapshots allows it, for the first time as for any other. Those wait in order; all other requests pass
   them.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from kraken_trio.session.derived import METHODS
from kraken_trio.session.pending import PendingRequest, PendingRequests
from kraken_trio.session.records import UnmatchedRefusal
from kraken_trio.session.steps import Step
from kraken_trio.session.timing import TokenBucket
from kraken_trio.wire.messages import Ack, Method, Refusal, RefusalKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kraken_trio.session.deliveries import Deliveries
    from kraken_trio.session.recovery import Recovery
    from kraken_trio.session.subscription import Key, Subscription
    from kraken_trio.session.subscriptions import Subscriptions
    from kraken_trio.session.timing import Budget, PausableClock
    from kraken_trio.settings import Settings
    from kraken_trio.statistics import Counters
    from kraken_trio.wire.codec import Codec

__all__ = ["Dialogue"]

_RATE_LIMIT_PAUSE: Final = 1.0
"""Seconds without any request after "Exceeded msg rate"; and without a snapshot, after a refusal of one."""


class _Next(NamedTuple):
    """The next request."""

    first: Subscription
    """It, and others that share its frame."""
    cost: int
    """What it takes from the budget of snapshots."""
    at: float
    """When it may be sent."""


class Dialogue:
    """Sends the requests about subscriptions, and handles their answers."""

    def __init__(
        self,
        settings: Settings,
        counters: Counters,
        codec: Codec,
        listening: PausableClock,
        deliveries: Deliveries,
        subscriptions: Subscriptions,
        recovery: Recovery,
        snapshots: Budget,
    ) -> None:
        self._settings = settings
        self._counters = counters
        self._codec = codec
        self._deliveries = deliveries
        self._subscriptions = subscriptions
        self._recovery = recovery
        self._pending = PendingRequests(listening)
        self._bucket = TokenBucket(settings.request_rate, settings.request_burst)
        self._snapshots = snapshots
        self._last_req_id: int = 0
        self._unmatched: str = ""
        """The last refusal on this connection that matched no request."""

    def offline(self) -> None:
        """The connection is lost, and with it all answers."""
        self._unmatched = ""
        self._pending.clear()

    # Requests

    def flush(self, now: float) -> list[str]:
        """The frames that may be sent now."""
        frames: list[str] = []
        while True:
            ready = self._next(now)
            # Another client may have taken of the budget meanwhile.
            if ready is None or ready.at > now or (ready.cost and not self._snapshots.take(now, ready.cost)):
                return frames
            self._bucket.take(now)
            frames += self._request(ready, now)

    def _next(self, now: float) -> _Next | None:
        """The request that may be sent first: of those that cost nothing, or of snapshots that cost something."""
        if not self._subscriptions.derived.to_send or len(self._pending) >= self._settings.requests_in_flight:
            return None
        at, waiting = self._bucket.ready_at(now), None
        for key in self._subscriptions.derived.to_send:
            sub = self._subscriptions.by_key[key]
            cost = self._cost(sub)
            if not cost:
                return _Next(sub, 0, at)
            if waiting is None:
                waiting = _Next(sub, cost, max(at, self._snapshots.ready_at(now, cost)))
                if waiting.at <= at:
                    break
        return waiting

    def _cost(self, sub: Subscription) -> int:
        return self._codec.terms(sub.request).cost if sub.step is Step.TO_SUBSCRIBE else 0

    @property
    def idle(self) -> bool:
        """Whether nothing is left to send, and no answer is awaited."""
        return not self._subscriptions.derived.to_send and not self._pending

    def _request(self, ready: _Next, now: float) -> Sequence[str]:
        by_key, to_send = self._subscriptions.by_key, self._subscriptions.derived.to_send
        first = ready.first
        method, kind = METHODS[first.step], _kind(first)
        if self._codec.terms(first.request).is_alone:  # mutant: alone
            subs = [first]
        else:
            subs = [sub for key in to_send if _kind(sub := by_key[key]) == kind]
            del subs[self._settings.symbols_per_request :]
        number = self.next_req_id()
        requests = [self._subscriptions.sent(sub, method, number) for sub in subs]
        keys = dict.fromkeys(sub.key for sub in subs)
        frames = self._codec.request(method, requests, number)
        request = PendingRequest(method, keys, answers=len(frames))
        self._pending.add(number, request, now, self._settings.answer_timeout)
        self._counters.requests_sent += len(frames)
        return frames

    def next_req_id(self) -> int:
        """A ``req_id`` that this client has not used before."""
        self._last_req_id += 1
        return self._last_req_id

    # Confirmations

    def ack(self, message: Ack, now: float) -> None:
        """Handle a confirmation, for one symbol."""
        number = self._pending.find(message.req_id, message.symbol, message.channel, message.method)
        request = None if number is None else self._pending[number]
        if number is not None and request is not None and request.is_several:
            self._one_of_several(number, request, now)
            return
        key = None if number is None else self._pending.resolve(number, message.symbol)
        if number is None or request is None or key is None:
            self._ack_unmatched(message)
            return
        sub = self._awaiting(number, request, key)
        if sub is None:
            return
        if request.method is Method.SUBSCRIBE:
            self._subscriptions.accepted(sub)
        else:
            self._subscriptions.left(sub)

    def _one_of_several(self, number: int, request: PendingRequest, now: float) -> None:
        """Handle one of the answers to a request of several frames: with the last one, it is refused if one was."""
        request.answers -= 1
        if not request.answers and request.refusal is not None:
            self._refused_whole(number, request, request.refusal, now)

    def _ack_unmatched(self, message: Ack) -> None:
        """Handle a confirmation after a refusal, and an unsubscribe by the exchange itself; count the rest."""
        sub = self._subscriptions.by_channel.get(message.channel, {}).get(message.symbol)
        if message.method is Method.SUBSCRIBE:
            is_latest = sub is not None and message.req_id is not None and sub.revocable == message.req_id
            if sub is not None and is_latest and not sub.takes_data:
                self._subscriptions.accepted(sub)
                return
        elif sub is not None and sub.is_confirmed and self._is_unasked(message, sub):  # mutant: unasked unsubscribe
            self._recovery.expelled(sub)
            return
        self._counters.unmatched_answers += 1

    def _is_unasked(self, message: Ack, sub: Subscription) -> bool:
        """Whether this unsubscribe is the exchange's own. One with a ``req_id`` of ours is a late answer.

        But if it was carried out late as well, an account's channel would be silent, and nobody would know.
        """
        is_ours = message.req_id is not None and 0 < message.req_id <= self._last_req_id and sub.state.has_symbols
        said = {"depth": message.depth, "interval": message.interval}
        name, value = sub.request.variant or ("", None)
        return not is_ours and said.get(name) in (None, value)

    # Refusals

    def refusal(self, message: Refusal, now: float) -> None:
        """Handle a refusal of one symbol, or of a whole request."""
        if message.kind is RefusalKind.RATE_LIMITED:
            self._counters.rate_limited += 1
            self._bucket.pause(now + _RATE_LIMIT_PAUSE)
        number, symbol = self._meant(message)
        if number is None:
            if message.kind is RefusalKind.RATE_LIMITED and message.req_id is None:
                self._pending.doubt_all(now, _RATE_LIMIT_PAUSE)
            else:
                self._unmatched = message.error  # mutant: unmatched refusal
                self._deliveries.record(UnmatchedRefusal(text=message.error, frame=self._deliveries.frame))
                self._counters.unmatched_answers += 1
            return
        request = self._pending[number]
        if request.is_several:
            request.refusal = request.refusal or message  # mutant: part of a request
            self._one_of_several(number, request, now)
            return
        if symbol is None:
            self._refused_whole(number, request, message, now)
            return
        key = self._pending.resolve(number, symbol)
        if key is None:
            self._counters.unmatched_answers += 1
            return
        self._counters.refusals += 1
        sub = self._awaiting(number, request, key) or self._contradicted(number, request, key, message)
        if sub is not None:
            self._refused(sub, request.method, message, now)

    def _meant(self, message: Refusal) -> tuple[int | None, str | None]:
        """The ``req_id`` and the symbol that are refused; no symbol if the refusal names none."""
        if message.symbol is not None:
            return self._pending.find(message.req_id, message.symbol, None, None), message.symbol
        for symbol in message.mentioned:
            number = self._pending.find(message.req_id, symbol, None, None)
            if number is not None and self._pending[number].key_of(symbol) is not None:
                return number, symbol
        return self._pending.find(message.req_id, None, None, None), None

    def _refused_whole(self, number: int, request: PendingRequest, message: Refusal, now: float) -> None:
        self._pending.forget(number)
        subs: list[Subscription] = []
        for key in request.keys:
            sub = self._awaiting(number, request, key) or self._contradicted(number, request, key, message)
            if sub is not None:
                subs.append(sub)
        # mutant: doubtful refusal
        if request.method is Method.SUBSCRIBE and message.kind is RefusalKind.FINAL and len(subs) > 1:
            self._subscriptions.doubted(subs, message.error)
            return
        self._counters.refusals += len(request.keys)
        for sub in subs:
            self._refused(sub, request.method, message, now)

    def _refused(self, sub: Subscription, method: Method, message: Refusal, now: float) -> None:
        subscriptions, kind, text = self._subscriptions, message.kind, message.error
        if method is Method.UNSUBSCRIBE:
            if kind is RefusalKind.RATE_LIMITED:
                subscriptions.still_there(sub)
            elif kind is RefusalKind.STALE_TOKEN:
                self._deliveries.effects.renew_token = True
                self._bucket.pause(now + _RATE_LIMIT_PAUSE)
                subscriptions.leave_again(sub)
            elif kind is RefusalKind.LATER:
                self._bucket.pause(now + _RATE_LIMIT_PAUSE)
                subscriptions.leave_again(sub)
            else:
                subscriptions.left(sub)
        elif kind is RefusalKind.RATE_LIMITED:
            self._recovery.throttle(sub)
        elif kind is RefusalKind.LATER:
            if self._codec.terms(sub.request).cost:  # mutant: snapshots pause
                self._snapshots.pause(now + _RATE_LIMIT_PAUSE)
            self._recovery.retry(sub, text)
        elif kind is RefusalKind.STALE_TOKEN:
            self._recovery.unauthorised(sub, text)
        elif kind is RefusalKind.ALREADY:
            self._recovery.again(sub, text)  # no snapshot follows, so it has to be unsubscribed first
        else:
            subscriptions.refused(sub, text)

    def _awaiting(self, number: int, request: PendingRequest, key: Key) -> Subscription | None:
        """The subscription, if it still awaits this answer: no later request about it was sent, and none is due."""
        sub = self._subscriptions.by_key.get(key)
        step = Step.SUBSCRIBING if request.method is Method.SUBSCRIBE else Step.UNSUBSCRIBING
        return sub if sub is not None and sub.step is step and sub.req_id == number else None  # mutant: latest request

    def _contradicted(self, number: int, request: PendingRequest, key: Key, message: Refusal) -> Subscription | None:
        """The subscription, if data had counted as its acceptance and this refusal is the real answer."""
        sub = self._subscriptions.by_key.get(key)
        if (
            sub is None
            or sub.step is not Step.LIVE
            or sub.req_id != number
            or request.method is not Method.SUBSCRIBE
            or message.kind is RefusalKind.ALREADY
        ):
            return None
        # If it is final, its feeds get their gap with the refusal itself.
        self._subscriptions.contradicted(sub, "" if message.kind is RefusalKind.FINAL else message.error)
        return sub

    # Timeouts

    def due(self, now: float) -> float:
        """When :meth:`tick` or :meth:`flush` is due next."""
        ready = self._next(now)
        return min(self._pending.due, inf if ready is None else ready.at)

    def tick(self, now: float) -> None:
        """Do what is due."""
        for number, request in self._pending.overdue(now):
            for key in request.keys:
                sub = self._awaiting(number, request, key)
                if sub is not None:
                    self._unanswered(sub, request)

    def _unanswered(self, sub: Subscription, request: PendingRequest) -> None:
        subscriptions = self._subscriptions
        if request.method is Method.UNSUBSCRIBE and request.throttled:
            subscriptions.still_there(sub)
        elif request.method is Method.UNSUBSCRIBE and not sub.wanted_by:
            subscriptions.leave_again(sub)  # otherwise the exchange might keep it for the rest of the connection
        elif request.method is Method.UNSUBSCRIBE:
            subscriptions.left(sub)  # the exchange answers in order: the next request is processed after this one
        elif request.throttled:
            self._recovery.throttle(sub)
        else:
            said = f"; it said: {self._unmatched}" if self._unmatched else ""
            text = f"the exchange did not answer within {self._settings.answer_timeout:g} s{said}"
            self._recovery.retry(sub, text)


def _kind(sub: Subscription) -> tuple[object, ...]:
    """What two subscriptions must have in common to share a request."""
    method = METHODS[sub.step]
    request = sub.request if method is Method.SUBSCRIBE else sub.on_wire
    assert request is not None  # only what was requested is unsubscribed
    return (method, sub.key[0], request.variant, sub.apart)
