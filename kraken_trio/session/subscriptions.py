"""All subscriptions: what is wanted, what has been requested, and what the exchange answered.

What is wanted is independent of any connection: :meth:`Subscriptions.add` and :meth:`Subscriptions.remove` change it,
:meth:`Subscriptions.online` and :meth:`Subscriptions.offline` set whether there is a connection. The moves of each
subscription are the table in :mod:`kraken_trio.session.steps`; what follows from its step, and from whether it is
wanted, is computed in :mod:`kraken_trio.session.derived`. Requests and answers are handled in
:mod:`kraken_trio.session.dialogue`, failures in :mod:`kraken_trio.session.recovery`; both call this module.

Rules:

1. Whatever the exchange may have is unsubscribed when nobody wants it any more, whether it was answered or not.
2. A refusal of many that may mean only one of them is narrowed down: one is requested alone, then halves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kraken_trio.channels import CHANNELS
from kraken_trio.events import Cause
from kraken_trio.session.derived import Derived
from kraken_trio.session.records import StateReset, StayedWithoutData, StepTaken, SubscriptionBegun
from kraken_trio.session.steps import Action, Happening, Step
from kraken_trio.session.subscription import Doubt, Subscription
from kraken_trio.session.wishes import Wishes, objections
from kraken_trio.wire.messages import Method

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Mapping, Sequence

    from kraken_trio.channels import ChannelState
    from kraken_trio.evidence import ChecksumEvidence
    from kraken_trio.requests import Request
    from kraken_trio.session.deliveries import Deliveries
    from kraken_trio.session.subscription import Key
    from kraken_trio.session.timing import PausableClock
    from kraken_trio.settings import Settings
    from kraken_trio.statistics import Counters
    from kraken_trio.wire.codec import Codec

__all__ = ["Subscriptions"]

_UNDECIDED: Final = frozenset({Step.TO_SUBSCRIBE, Step.SUBSCRIBING, Step.PAUSED, Step.HELD})
"""Steps at which a subscription that is requested alone has no answer yet."""


class Subscriptions:
    """The subscriptions of all feeds."""

    def __init__(
        self,
        settings: Settings,
        counters: Counters,
        codec: Codec,
        served: Collection[str],
        listening: PausableClock,
        deliveries: Deliveries,
    ) -> None:
        self._settings = settings
        self._counters = counters
        self._codec = codec
        self._served = served
        self._listening = listening
        self._deliveries = deliveries
        self.now: float = 0.0
        """The time of the current call; set before each."""
        self.by_key: dict[Key, Subscription] = {}
        self.by_channel: dict[str, dict[str | None, Subscription]] = {name: {} for name in CHANNELS}
        self.feeds: dict[Hashable, Wishes] = {}
        self.live_since: float | None = None
        """When the first subscription of the current or last connection got verified data."""
        self.derived: Derived = Derived(listening)
        """What follows from the steps, and from what is wanted."""
        self._last_apart: int = 0
        self._actions: Mapping[Action, Callable[[Subscription, str], None]] = {
            Action.NOTHING: lambda _sub, _text: None,
            Action.CONFIRM: self._confirm,
            Action.GO_LIVE: self._go_live,
            Action.STAY: self._stay,
            Action.DOUBT: self._doubt_data,
            Action.REFUSE: self._refuse,
            Action.PAUSE: self._pause,
            Action.PARK: self._pause,
            Action.LEAVE: self._begin_to_leave,
            Action.RENEW: self._renew,
            Action.RESTART: self._restart,
            Action.FORGET: self._forget,
        }

    # Steps

    def happen(self, sub: Subscription, happening: Happening, text: str = "") -> None:
        """Make the move given by the table, do its action, and recompute what follows."""
        previous = sub.step
        move = sub.move(happening)
        if move is not None:
            self._deliveries.record(
                StepTaken(
                    request=sub.request,
                    previous=previous,
                    happening=happening,
                    current=sub.step,
                    frame=self._deliveries.frame,
                )
            )
            self._actions[move.action](sub, text)
        self.derived.reconcile(sub)
        if sub.doubt is not None and sub.step not in _UNDECIDED:
            self._split(sub, sub.doubt)

    # What is wanted

    def add(self, feed: Hashable, requests: Sequence[Request[Any]]) -> None:
        """Add ``requests`` for ``feed``: all of them, or none."""
        wishes = Wishes(tuple(dict.fromkeys(requests)))
        wishes.reasons = objections(wishes, self.by_key, len(self.feeds), self._served, self._codec, self._settings)
        if wishes.reasons:
            self._deliveries.answer(feed, wishes.reasons)
            return
        self.feeds[feed] = wishes
        for key, request in wishes.keyed:
            sub = self.by_key.get(key)
            if sub is None:
                sub = self.by_key[key] = self.by_channel[key[0]][key[1]] = Subscription(
                    request, self._begun(request), self.now
                )
            elif sub.step in (Step.TO_UNSUBSCRIBE, Step.UNSUBSCRIBING) and (sub.is_parked or not sub.wanted_by):
                if not sub.wanted_by:
                    sub.renew(request, self._begun(request), self.now)
                sub.reset_attempts()
            known = sub.wanted_by.get(feed)
            sub.wanted_by[feed] = request if known is None else known.joined(request)
            self.happen(sub, Happening.WANTED)
            if not sub.is_confirmed:
                wishes.waiting.add(key)
        self._check_answered(feed)

    def _begun(self, request: Request[Any]) -> ChannelState:
        self._deliveries.record(SubscriptionBegun(request=request, frame=self._deliveries.frame))
        return CHANNELS[request.channel or ""](request, self._counters, self._codec)

    def reset(self, sub: Subscription) -> None:
        """Events of it are missing: what is known of its data is out of date."""
        self._deliveries.record(StateReset(request=sub.request, frame=self._deliveries.frame))
        sub.reset()

    def remove(self, feed: Hashable) -> None:
        """Remove ``feed`` and its requests."""
        wishes = self.feeds.pop(feed, None)
        self._deliveries.lifecycle_feeds.pop(feed, None)
        for key, _ in wishes.keyed if wishes else ():
            sub = self.by_key.get(key)
            if sub is None or sub.wanted_by.pop(feed, None) is None:
                continue
            sub.audience = tuple(other for other in sub.audience if other != feed)
            sub.newcomers = tuple(other for other in sub.newcomers if other != feed)
            if not sub.wanted_by:  # mutant: last one leaves
                self.happen(sub, Happening.DROPPED if sub.on_wire is None else Happening.UNWANTED)

    def _check_answered(self, feed: Hashable) -> None:
        """Answer the feed if nothing is outstanding."""
        wishes = self.feeds[feed]
        if wishes.answered:
            return
        if wishes.reasons:
            # One refusal is enough, but pending answers are awaited, so that the error names all refused requests.
            coming = (Step.TO_SUBSCRIBE, Step.SUBSCRIBING, Step.HELD) if self.derived.is_online else ()
            if any(self.by_key[key].step in coming for key in wishes.waiting):
                return
            self.remove(feed)
            self._deliveries.answer(feed, wishes.reasons)
        elif not wishes.waiting:
            self._begin(feed, wishes)

    def _begin(self, feed: Hashable, wishes: Wishes) -> None:
        """All requests are in force: the feed starts with the present state."""
        wishes.answered = True
        deliveries = self._deliveries
        deliveries.answer(feed, {})
        if wishes.wants_lifecycle:
            deliveries.lifecycle_feeds[feed] = None
            if deliveries.status is not None:
                deliveries.deliver((feed,), deliveries.status)
        for key in dict(wishes.keyed):
            sub = self.by_key[key]
            sub.audience += (feed,)
            if sub.step is Step.LIVE:
                self.start((feed,), sub)  # mutant: late feed
            elif sub.state.has_history:
                sub.newcomers += (feed,)

    def start(self, feeds: Sequence[Hashable], sub: Subscription) -> None:
        """Deliver to these feeds what they start with."""
        for feed in feeds:
            self._deliveries.deliver_all((feed,), sub.state.start(sub.wanted_by[feed]))

    # The connection

    def online(self) -> None:
        """There is a new connection: everything wanted is to be requested."""
        self.derived.is_online = True
        self.live_since = None
        for sub in self.by_key.values():  # mutant: asked again
            self.derived.reconcile(sub)

    def offline(self, cause: Cause, detail: str) -> None:
        """The connection is lost, and with it everything that was requested."""
        self.derived.is_online = False
        for sub in list(self.by_key.values()):
            if sub.wanted_by:
                self.happen(sub, Happening.LOST)
                self.gap(sub, cause, detail)
            else:
                self.happen(sub, Happening.LOST_FOR_GOOD)
        for feed in list(self.feeds):
            self._check_answered(feed)

    def _restart(self, sub: Subscription, _text: str) -> None:
        sub.reset_attempts()
        sub.on_wire = None
        sub.req_id = sub.apart = 0
        sub.revocable = None
        sub.doubt = None
        sub.has_good_company = sub.renewed = sub.is_token_renewed = False
        sub.data_due = None
        self.reset(sub)

    # Requests and answers

    def sent(self, sub: Subscription, method: Method, number: int) -> Request[Any]:
        """It is subscribed or unsubscribed by the request with this ``req_id``. Returns the request to be encoded."""
        sub.req_id = number
        if method is Method.SUBSCRIBE:
            sub.on_wire = sub.request
            sub.revocable = number
            sub.asked += 1
        else:
            sub.revocable = None
        assert sub.on_wire is not None  # only what was requested is unsubscribed
        self.happen(sub, Happening.SENT)
        return sub.on_wire

    def accepted(self, sub: Subscription) -> None:
        """The exchange confirmed it, by its answer or by data that came before the answer."""
        self.happen(sub, Happening.ACCEPTED)

    def _confirm(self, sub: Subscription, _text: str) -> None:
        sub.confirmed_once = True
        sub.throttled = sub.apart = 0
        sub.has_good_company = sub.is_token_renewed = False
        sub.on_wire = sub.on_wire or sub.request  # a confirmation after a refusal
        if sub.state.owes_data:
            sub.data_due = self._listening.at(self.now) + self._settings.snapshot_timeout  # mutant: first data
        else:
            sub.gapped = False  # from here on its data is complete
        for feed in list(sub.wanted_by):
            self.feeds[feed].waiting.discard(sub.key)
            self._check_answered(feed)

    def contradicted(self, sub: Subscription, text: str) -> None:
        """The exchange refused it after data that had counted as acceptance. Without a text no gap is delivered yet."""
        self.happen(sub, Happening.CONTRADICTED, text)

    def _doubt_data(self, sub: Subscription, text: str) -> None:
        self.reset(sub)
        if text:
            self.gap(sub, Cause.RESUBSCRIBED, text)

    def refused(self, sub: Subscription, text: str) -> None:
        """The exchange refused it."""
        self.happen(sub, Happening.REFUSED, text)

    def _refuse(self, sub: Subscription, text: str) -> None:
        doubt, sub.doubt = sub.doubt, None
        sub.on_wire = None
        sub.apart = 0
        self.deny(sub, Cause.REFUSED, text)  # mutant: refused
        if doubt is not None and doubt.text.lower() == text.lower() and not doubt.is_of_some:  # mutant: probe
            for other in doubt.waiting:
                self._counters.refusals += 1
                self.refused(other, text)
        elif doubt is not None:
            self._ask_halves(doubt, is_accepted=doubt.is_of_some)

    def deny(self, sub: Subscription, cause: Cause, text: str) -> None:
        """Refuse the feeds that wait for it; deliver a gap to those that had it."""
        sub.gapped = True
        if sub.audience:
            self.announce(sub, cause, text)
        for feed, request in list(sub.wanted_by.items()):
            wishes = self.feeds[feed]
            if sub.key in wishes.waiting:
                wishes.waiting.discard(sub.key)
                wishes.reasons[request] = text
            self._check_answered(feed)

    # Narrowing down a refusal of many

    def doubted(self, subs: Sequence[Subscription], text: str) -> None:
        """Request one of them alone; the others wait for its answer."""
        is_of_some = any(sub.has_good_company for sub in subs)
        for sub in subs:
            self.happen(sub, Happening.DOUBTED)
        first, *others = subs
        first.doubt = Doubt(text, is_of_some, others)
        self._ask_apart([first])

    def _split(self, sub: Subscription, doubt: Doubt) -> None:
        """It was not refused, so another one is meant."""
        sub.doubt = None
        self._ask_halves(doubt, is_accepted=doubt.is_of_some or sub.is_confirmed)

    def _ask_halves(self, doubt: Doubt, *, is_accepted: bool) -> None:
        subs = doubt.waiting
        for other in subs:
            other.has_good_company = is_accepted
        half = (len(subs) + 1) // 2
        self._ask_apart(subs[:half])
        self._ask_apart(subs[half:])  # mutant: halves

    def _ask_apart(self, subs: Sequence[Subscription]) -> None:
        """Request them in a frame of their own."""
        self._last_apart += 1
        for sub in subs:
            sub.apart = self._last_apart
            self.happen(sub, Happening.CLEARED)

    # Data

    def live(self, sub: Subscription) -> None:
        """Its first data has come, and passed every check."""
        self.happen(sub, Happening.DATA)

    def _go_live(self, sub: Subscription, _text: str) -> None:
        sub.live_since = self.now
        if self.live_since is None:
            self.live_since = self.now
        sub.renewed = sub.gapped = False
        sub.data_due = None

    def empty(self, channel: str) -> None:
        """An empty snapshot has come: it is taken for the first subscription that it may belong to.

        If it belongs to another one, that one times out and is resubscribed, and then gets its own.
        """
        for sub in self.by_channel[channel].values():
            if sub.step is Step.CONFIRMED and sub.data_due is not None and not sub.state.must_verify:
                newcomers, sub.newcomers = sub.newcomers, ()
                self.start(newcomers, sub)
                self.live(sub)
                return

    def _stay(self, sub: Subscription, _text: str) -> None:
        sub.data_due = None
        sub.attempts = 0
        # mutant: gap without data
        self.announce(sub, Cause.RESUBSCRIBED, "still no data after it was resubscribed; it stays subscribed")
        sub.gapped = False  # from here on its data is complete
        self._deliveries.record(StayedWithoutData(request=sub.request))

    # Telling its feeds

    def gap(self, sub: Subscription, cause: Cause, detail: str, evidence: ChecksumEvidence | None = None) -> None:
        """Deliver a gap to its feeds, unless they have had one since its last data."""
        if sub.confirmed_once and not sub.gapped:  # mutant: gap of an outage
            sub.gapped = True
            self.announce(sub, cause, detail, evidence)

    def announce(self, sub: Subscription, cause: Cause, detail: str, evidence: ChecksumEvidence | None = None) -> None:
        channel, symbol = sub.key
        self._deliveries.announce(sub.audience, (sub.key,), symbol, channel, cause, detail, evidence)

    # Waiting, and leaving

    def _pause(self, sub: Subscription, _text: str) -> None:
        for feed in list(sub.wanted_by):
            self._check_answered(feed)

    def _renew(self, sub: Subscription, _text: str) -> None:
        sub.reset_attempts()

    def _begin_to_leave(self, sub: Subscription, _text: str) -> None:
        sub.departures = sub.apart = 0
        sub.revocable = None
        sub.data_due = None

    def still_there(self, sub: Subscription) -> None:
        """The unsubscribe had no effect: repeat it."""
        self.happen(sub, Happening.STILL_THERE)

    def leave_again(self, sub: Subscription) -> None:
        """The exchange did not unsubscribe it: repeat that. After the last attempt its data counts as late."""
        sub.departures += 1
        if sub.departures < self._settings.attempts:
            self.still_there(sub)
        else:
            self.left(sub)

    def left(self, sub: Subscription) -> None:
        """The exchange no longer has it."""
        sub.on_wire = sub.revocable = None
        if not sub.wanted_by:
            self.happen(sub, Happening.LEFT_FOR_GOOD)
            return
        is_parked, sub.is_parked = sub.is_parked, False
        if sub.resume_at is None or sub.resume_at <= self.now:
            self.happen(sub, Happening.LEFT)
        else:
            self.happen(sub, Happening.LEFT_FOR_LONG if is_parked else Happening.LEFT_FOR_NOW)

    def _forget(self, sub: Subscription, _text: str) -> None:
        del self.by_key[sub.key]
        del self.by_channel[sub.key[0]][sub.key[1]]
