"""The general path of data from a message to its subscriptions and feeds.

The hot path, one event of a live subscription, is in :meth:`Session.receive
<kraken_trio.session.session.Session.receive>`; here are all other cases: several events in a frame, first data, data
that comes before the answer, history, failures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from kraken_trio.channels import CHANNELS
from kraken_trio.session.steps import Step

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from kraken_trio.channels import Failure
    from kraken_trio.events import Cause, Event
    from kraken_trio.evidence import ChecksumEvidence
    from kraken_trio.session.deliveries import Deliveries
    from kraken_trio.session.subscription import Subscription
    from kraken_trio.statistics import Counters
    from kraken_trio.wire.messages import Data

__all__ = ["Failures", "Registry", "Routing"]


class Registry(Protocol):
    """What the routing needs of the subscriptions: those of a session, or of a replay."""

    @property
    def by_channel(self) -> Mapping[str, Mapping[str | None, Subscription]]: ...

    def accepted(self, sub: Subscription, /) -> None:
        """Data came that may be the first of this subscription, before the exchange's answer."""
        ...

    def start(self, feeds: Sequence[Hashable], sub: Subscription, /) -> None:
        """Deliver to these feeds what they start with."""
        ...

    def live(self, sub: Subscription, /) -> None:
        """Its first data passed every check."""
        ...


class Failures(Protocol):
    """What is done about data that failed."""

    def fail(
        self, sub: Subscription, cause: Cause, detail: str, evidence: ChecksumEvidence | None = None, /
    ) -> None: ...


class Routing:
    """Passes data to its subscription, and what the subscription returns to the feeds."""

    def __init__(self, counters: Counters, deliveries: Deliveries, subscriptions: Registry, recovery: Failures) -> None:
        self._counters = counters
        self._deliveries = deliveries
        self._subscriptions = subscriptions
        self._recovery = recovery
        self.is_stirred: bool = False
        """Whether anything but live data has been passed on since this was last set to False."""
        self.last_mismatch: ChecksumEvidence | None = None
        """The evidence of the last failed checksum."""

    def data(self, message: Data) -> None:
        """Pass on several events, or data of a subscription that is not live."""
        subs, events = self._subscriptions.by_channel[message.channel], message.events
        if CHANNELS[message.channel].has_history and len({event.symbol for event in events}) > 1:
            self._interleaved(subs, events)
            return
        for run in _runs(events):
            sub = self._taker(subs.get(run[0].symbol), run)
            if sub is not None:
                self.pass_on(sub, *self._take(sub, run))

    def _interleaved(self, subs: Mapping[str | None, Subscription], events: Sequence[Any]) -> None:
        """A frame with trades of several symbols: taken per symbol, delivered in the order of the frame."""
        position = {id(event): index for index, event in enumerate(events)}
        by_symbol: dict[str | None, list[Any]] = {}
        for event in events:
            by_symbol.setdefault(event.symbol, []).append(event)
        taken: list[tuple[int, Sequence[Hashable], Event]] = []
        for symbol, part in by_symbol.items():
            sub = self._taker(subs.get(symbol), part)
            if sub is None:
                continue
            audience, passed, failure = self._take(sub, part)
            at = len(events)
            for event in reversed(passed):  # a gap gets the position of the event after it
                at = position.get(id(event), at)
                taken.append((at, audience, event))
            self.pass_on(sub, (), (), failure)
        taken.reverse()
        for _, audience, event in sorted(taken, key=lambda entry: entry[0]):
            self._deliveries.deliver_all(audience, (event,))

    def _taker(self, sub: Subscription | None, events: Sequence[Any]) -> Subscription | None:
        """``sub``, if ``events`` are for it. Data that comes before the exchange's answer counts as the answer."""
        if sub is not None and sub.step is Step.LIVE:
            return sub
        self.is_stirred = True
        if sub is not None and sub.takes_data and sub.state.begins(events[0]):  # mutant: begins
            if sub.step is Step.SUBSCRIBING:
                self._subscriptions.accepted(sub)
            if sub.takes_data:
                return sub
        self._counters.late += len(events)
        return None

    def _take(
        self, sub: Subscription, events: Sequence[Any]
    ) -> tuple[Sequence[Hashable], Sequence[Event], Failure | None]:
        """Have ``sub`` take ``events``. Returns the audience, what passed, and the failure if the rest did not."""
        newcomers, sub.newcomers = sub.newcomers, ()
        if newcomers and events[0].snapshot:
            # History from before the newcomers: they start with as much of it as they asked for. It is new to others.
            audience = tuple(feed for feed in sub.audience if feed not in newcomers)
            self._deliveries.taken += 1
            passed, failure = sub.state.take(events)
            self._subscriptions.start(newcomers, sub)
            return audience, passed, failure
        self._subscriptions.start(newcomers, sub)
        self._deliveries.taken += 1
        return sub.audience, *sub.state.take(events)

    def pass_on(
        self,
        sub: Subscription,
        audience: Sequence[Hashable],
        passed: Sequence[Event],
        failure: Failure | None,
        *,
        is_answer: bool = False,
    ) -> None:
        """Deliver the data that passed; a failure makes the subscription resubscribe.

        REST's answers (``is_answer``) come at any time, and are no first data.
        """
        self._deliveries.deliver_all(audience, passed)
        if sub.state.asks:
            self.is_stirred = True  # there may be something to ask
        if failure is not None:
            self.is_stirred = True
            self.last_mismatch = failure.evidence or self.last_mismatch
            self._recovery.fail(sub, failure.cause, failure.detail, failure.evidence)
        elif sub.step is not Step.LIVE and not is_answer:
            self._subscriptions.live(sub)


def _runs(events: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """``events`` split into runs of one symbol each."""
    begin = 0
    for index in range(1, len(events) + 1):
        if index == len(events) or events[index].symbol != events[begin].symbol:
            yield events[begin:index]
            begin = index
