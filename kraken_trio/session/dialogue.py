"""Asking the exchange, and understanding its answers.

Rules:

1. An answer is matched by the request's number and the symbol; the ``method`` that a refusal names is not trusted. Only
   the answer to the latest request about a subscription counts.
2. A refusal of many symbols that does not say which one it means may be of one of them, or of all. It is taken for one
   of all if a symbol that is asked for alone is refused in the same words, and none of the others has been accepted.
3. Every request has a deadline. Requests of one kind share a frame; frames are paced, and a rate-limit refusal pauses
   all of them.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from kraken_trio.session.derived import METHODS
from kraken_trio.session.pending import PendingRequest, PendingRequests
from kraken_trio.session.records import UnmatchedRefusal
from kraken_trio.session.steps import Step
from kraken_trio.session.timing import TokenBucket
from kraken_trio.wire.messages import Ack, Method, Refusal, RefusalKind

if TYPE_CHECKING:
    from kraken_trio.session.deliveries import Deliveries
    from kraken_trio.session.recovery import Recovery
    from kraken_trio.session.subscription import Key, Subscription
    from kraken_trio.session.subscriptions import Subscriptions
    from kraken_trio.session.timing import PausableClock
    from kraken_trio.settings import Settings
    from kraken_trio.statistics import Counters
    from kraken_trio.wire.codec import Codec

__all__ = ["Dialogue"]

_RATE_LIMIT_PAUSE: Final = 1.0
"""Seconds without any request after "Exceeded msg rate"."""


class Dialogue:
    """The requests about subscriptions, and their answers."""

    def __init__(
        self,
        settings: Settings,
        counters: Counters,
        codec: Codec,
        listening: PausableClock,
        deliveries: Deliveries,
        subscriptions: Subscriptions,
        recovery: Recovery,
    ) -> None:
        self._settings = settings
        self._counters = counters
        self._codec = codec
        self._deliveries = deliveries
        self._subscriptions = subscriptions
        self._recovery = recovery
        self._pending = PendingRequests(listening)
        self._bucket = TokenBucket(settings.request_rate, settings.request_burst)
        self._last_req_id: int = 0
        self._unmatched: str = ""
        """The last refusal on this connection of something that was not asked."""

    def offline(self) -> None:
        """The connection is lost, and with it all answers."""
        self._unmatched = ""
        self._pending.clear()

    # Asking

    def flush(self, now: float) -> list[str]:
        """The frames that may be sent now."""
        frames: list[str] = []
        while self._may_ask and self._bucket.take(now):
            frames.append(self._next_request(now))
        return frames

    @property
    def _may_ask(self) -> bool:
        return bool(self._subscriptions.derived.to_send) and len(self._pending) < self._settings.requests_in_flight

    @property
    def idle(self) -> bool:
        """Nothing is left to send, and no answer is awaited."""
        return not self._subscriptions.derived.to_send and not self._pending

    def _next_request(self, now: float) -> str:
        by_key, to_send = self._subscriptions.by_key, self._subscriptions.derived.to_send
        first = by_key[next(iter(to_send))]
        method, kind = METHODS[first.step], _kind(first)
        subs = [sub for key in to_send if _kind(sub := by_key[key]) == kind]
        del subs[self._settings.symbols_per_request :]
        number = self.next_req_id()
        requests = [self._subscriptions.sent(sub, method, number) for sub in subs]
        keys = dict.fromkeys(sub.key for sub in subs)
        self._pending.add(number, PendingRequest(method, keys), now, self._settings.answer_timeout)
        self._counters.requests_sent += 1
        return self._codec.request(method, requests, number)

    def next_req_id(self) -> int:
        """A number that no request of this client had before."""
        self._last_req_id += 1
        return self._last_req_id

    # A yes

    def ack(self, message: Ack) -> None:
        """A request was accepted, for one symbol."""
        number = self._pending.find(message.req_id, message.symbol, message.channel, message.method)
        request = None if number is None else self._pending[number]
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

    def _ack_unmatched(self, message: Ack) -> None:
        """A yes after a no counts; and so does that the exchange has ended what nobody wanted to be ended."""
        sub = self._subscriptions.by_channel.get(message.channel, {}).get(message.symbol)
        if message.method is Method.SUBSCRIBE:
            is_latest = sub is not None and message.req_id is not None and sub.revocable == message.req_id
            if sub is not None and is_latest and not sub.takes_data:
                self._subscriptions.accepted(sub)
                return
        elif sub is not None and sub.is_confirmed and self._is_unasked(message, sub):
            self._recovery.expelled(sub)
            return
        self._counters.unmatched_answers += 1

    def _is_unasked(self, message: Ack, sub: Subscription) -> bool:
        """Whether this unsubscribe is the exchange's own. One with a number of ours is a late answer."""
        is_ours = message.req_id is not None and 0 < message.req_id <= self._last_req_id
        said = {"depth": message.depth, "interval": message.interval}
        name, value = sub.request.variant or ("", None)
        return not is_ours and said.get(name) in (None, value)

    # A no

    def refusal(self, message: Refusal, now: float) -> None:
        """A request was refused, for one symbol or whole."""
        if message.kind is RefusalKind.RATE_LIMITED:
            self._counters.rate_limited += 1
            self._bucket.pause(now + _RATE_LIMIT_PAUSE)
        number, symbol = self._meant(message)
        if number is None:
            if message.kind is RefusalKind.RATE_LIMITED and message.req_id is None:
                self._pending.doubt_all(now, _RATE_LIMIT_PAUSE)
            else:
                self._unmatched = message.error
                self._deliveries.record(UnmatchedRefusal(text=message.error, frame=self._deliveries.frame))
                self._counters.unmatched_answers += 1
            return
        request = self._pending[number]
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
        """The request and the symbol that are refused; no symbol if that is not said."""
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
            elif kind is RefusalKind.LATER:
                self._bucket.pause(now + _RATE_LIMIT_PAUSE)
                subscriptions.leave_again(sub)
            else:
                subscriptions.left(sub)
        elif kind is RefusalKind.RATE_LIMITED:
            self._recovery.throttle(sub)
        elif kind is RefusalKind.LATER:
            self._recovery.retry(sub, text)
        elif kind is RefusalKind.ALREADY:
            self._recovery.again(sub, text)  # no snapshot follows, so it is of no use: it has to be left first
        else:
            subscriptions.refused(sub, text)

    def _awaiting(self, number: int, request: PendingRequest, key: Key) -> Subscription | None:
        """The subscription, if it still awaits this answer: nothing else has been asked since, or is to be asked."""
        sub = self._subscriptions.by_key.get(key)
        step = Step.SUBSCRIBING if request.method is Method.SUBSCRIBE else Step.UNSUBSCRIBING
        return sub if sub is not None and sub.step is step and sub.req_id == number else None

    def _contradicted(self, number: int, request: PendingRequest, key: Key, message: Refusal) -> Subscription | None:
        """The subscription, if this refusal is the answer that data seemed to have overtaken: it was older data."""
        sub = self._subscriptions.by_key.get(key)
        if (
            sub is None
            or sub.step is not Step.LIVE
            or sub.req_id != number
            or request.method is not Method.SUBSCRIBE
            or message.kind is RefusalKind.ALREADY
        ):
            return None
        # If it is final, its feeds are told so in a moment.
        self._subscriptions.contradicted(sub, "" if message.kind is RefusalKind.FINAL else message.error)
        return sub

    # No answer

    def due(self, now: float) -> float:
        """When :meth:`tick` or :meth:`flush` is wanted next."""
        return min(self._pending.due, self._bucket.ready_at(now) if self._may_ask else inf)

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
            subscriptions.leave_again(sub)  # else nobody would ever take it off the exchange's hands
        elif request.method is Method.UNSUBSCRIBE:
            subscriptions.left(sub)  # answers come in order: whatever is asked next is asked after it
        elif request.throttled:
            self._recovery.throttle(sub)
        else:
            said = f"; it said: {self._unmatched}" if self._unmatched else ""
            text = f"the exchange did not answer within {self._settings.answer_timeout:g} s{said}"
            self._recovery.retry(sub, text)


def _kind(sub: Subscription) -> tuple[object, ...]:
    """What two subscriptions must agree in to share a request."""
    method = METHODS[sub.step]
    request = sub.request if method is Method.SUBSCRIBE else sub.on_wire
    assert request is not None  # only what was asked for is left
    return (method, sub.key[0], request.variant, sub.apart)
