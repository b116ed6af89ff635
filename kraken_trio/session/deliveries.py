"""The outbox of a session: events for feeds, answers, state changes and records, in the order in which they arise.

The other parts of the session put here what they have decided; nothing is called from here. It holds the current
position (connection, batch and frame), with which everything that leaves is marked.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from kraken_trio._text import printable
from kraken_trio.events import Cause, Event, Gap, StateChange
from kraken_trio.session.lifecycle import StateMachine, Trigger
from kraken_trio.session.records import GapAnnounced, Record, StateChanged

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable
    from datetime import datetime
    from typing import Any

    from kraken_trio.errors import ConnectError
    from kraken_trio.events import ConnectionState, StatusUpdate
    from kraken_trio.evidence import ChecksumEvidence
    from kraken_trio.requests import Request
    from kraken_trio.statistics import Counters
    from kraken_trio.wire.rest import Query

__all__ = ["Deliveries", "Effects"]


def _no_events() -> dict[Hashable, list[Event]]:
    return defaultdict(list)


class Effects(msgspec.Struct):
    """What a runtime has to do."""

    deliver: dict[Hashable, list[Event]] = msgspec.field(default_factory=_no_events)
    """Events per feed, in order."""
    answers: list[tuple[Hashable, dict[Request[Any], str]]] = []  # a new one each time: msgspec
    """Feeds whose ``subscribe`` is answered: in force if there are no reasons, otherwise refused and removed."""
    send: list[str] = []
    """Frames, in order."""
    drop: Cause | None = None
    """Close the connection, and report :meth:`Session.disconnected` with this cause and ``drop_detail``."""
    drop_detail: str = ""
    """Human-readable detail."""
    queries: list[Query] = []
    """Ask the exchange's REST interface, and tell :meth:`Session.answered`."""
    renew_token: bool = False
    """Get another token for this connection, and tell :meth:`Session.authorised`."""
    ping: bool = False
    """Send a WebSocket PING; call :meth:`Session.ponged` when its PONG comes (at once if PINGs are not supported)."""
    end: ConnectError | None = None
    """The exchange refuses this client permanently: the client ends."""
    changes: list[StateChange] = []
    """All state changes, in order, for tasks that wait for a state."""
    records: list[Record] = []
    """What happened, in order, for logs, metrics and traces."""
    places: list[int] = []
    """For each of the records, how much data of its frame had been taken before: see :attr:`Deliveries.taken`."""
    rearm: bool = True
    """Whether :attr:`Session.deadline` may be earlier than before. It never is after a batch of only live data."""


class Deliveries:
    """The outbox of a session."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._machine = StateMachine()
        self.effects: Effects = Effects()
        """What has been collected since :meth:`take`."""
        self.epoch: int = 0
        """The current or last connection's number."""
        self.received_ns: int = 0
        """When the bytes of the last batch were read."""
        self.frame: int | None = None
        """The index of the current frame in its batch."""
        self.taken: int = 0
        """How many runs of events of one symbol have been taken from the current frame."""
        self.status: StatusUpdate | None = None
        """The exchange's latest status; None before the first."""
        self.lifecycle_feeds: dict[Hashable, None] = {}
        """Feeds of :class:`~kraken_trio.Lifecycle`."""

    @property
    def state(self) -> ConnectionState:
        """The client's state."""
        return self._machine.state

    def at(self, frame: int) -> None:
        """From here on everything is about this frame of the batch."""
        self.frame = frame
        self.taken = 0

    def take(self) -> Effects:
        """Everything collected since the last call."""
        effects, self.effects = self.effects, Effects()
        return effects

    def take_events(self) -> Effects:
        """The same, for calls in which only events can have been collected."""
        effects = Effects(self.effects.deliver, rearm=False)
        self.effects.deliver = _no_events()
        return effects

    def deliver(self, audience: Iterable[Hashable], event: Event) -> None:
        """Deliver ``event`` to these feeds."""
        deliver = self.effects.deliver
        for feed in audience:
            deliver[feed].append(event)
            self._counters.events += 1

    def deliver_all(self, audience: Iterable[Hashable], events: Iterable[Event]) -> None:
        """Deliver ``events``, which may include gaps, to these feeds."""
        deliver, counters = self.effects.deliver, self._counters
        for feed in audience:
            outbox = deliver[feed]
            for event in events:
                outbox.append(event)  # mutant: place of a gap
                counters.events += 1
                if type(event) is Gap:
                    counters.gaps += 1
                    counters.gaps_by_cause[event.cause] = counters.gaps_by_cause.get(event.cause, 0) + 1

    def announce(
        self,
        audience: Iterable[Hashable],
        keys: Iterable[tuple[str, str | None]],
        symbol: str | None,
        channel: str | None,
        cause: Cause,
        detail: str,
        evidence: ChecksumEvidence | None = None,
    ) -> None:
        """Deliver a gap to these feeds, which are those of these subscriptions: events are missing from here on."""
        gap = Gap(
            symbol=symbol,
            cause=cause,
            channel=channel,
            detail=printable(detail),
            evidence=evidence,
            epoch=self.epoch,
            received_ns=self.received_ns,
        )
        self.record(GapAnnounced(gap=gap, keys=tuple(keys), frame=self.frame))
        self.deliver_all(audience, (gap,))

    def answer(self, feed: Hashable, reasons: dict[Request[Any], str]) -> None:
        """Answer the ``subscribe`` of this feed."""
        self.effects.answers.append((feed, reasons))

    def record(self, record: Record) -> None:
        """Add a record of what has just happened."""
        self.effects.records.append(record)
        self.effects.places.append(self.taken)

    def advance(self, trigger: Trigger, detail: str = "", retry_at: datetime | None = None) -> None:
        """Advance the client's state, and publish a change."""
        previous = self._machine.advance(trigger)
        if previous is None:
            return
        change = StateChange(
            previous=previous,
            current=self._machine.state,
            cause=trigger.cause,
            detail=printable(detail),
            epoch=self.epoch,
            received_ns=self.received_ns,
            retry_at=retry_at,
        )
        self.effects.changes.append(change)
        self.record(StateChanged(change=change, frame=self.frame))
        self.deliver(self.lifecycle_feeds, change)
