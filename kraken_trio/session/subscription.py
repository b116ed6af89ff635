"""One wanted channel of one symbol, and the steps it goes through.

::

    WAITING ──asked──▸ ASKED ──yes──▸ CONFIRMED ──data──▸ LIVE
       ▴                 │no             │                 │
       │                 ▾               ▾ (a failure, or nobody wants it any more)
    PAUSED ◂──────── LEAVING ◂────────────────────────────-┘
       PARKED ◂──────────┤
       REFUSED, GONE ◂───┘

Only data that arrives while a subscription is ``CONFIRMED`` or ``LIVE`` is its data, and data that overtakes the answer
is the answer, until that comes and says no: then it was older, and the subscription is ``ASKED`` once more. In
``LEAVING`` it belongs to a past that is over.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, TypeAlias

from kraken_trio.session.followers import AnyFollower, TradeFollower, follower_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from kraken_trio.events import Cause
    from kraken_trio.requests import Request

__all__ = ["MOVES", "Key", "Step", "Subscription", "SubscriptionState", "key_of"]

Key: TypeAlias = tuple[str, str | None]
"""A channel and a symbol: what Kraken allows once per connection."""


class SubscriptionState(enum.Enum):
    """What a user may know of a subscription."""

    REQUESTED = "requested"
    CONFIRMED = "confirmed"
    LIVE = "live"
    RESYNCING = "resyncing"
    REFUSED = "refused"
    PARKED = "parked"


class Step(enum.Enum):
    """What a subscription is doing."""

    WAITING = "waiting"
    """To be asked for, as soon as there is a connection and the pacing allows it."""
    ASKED = "asked"
    """The answer is awaited."""
    CONFIRMED = "confirmed"
    """The first data is awaited."""
    LIVE = "live"
    LEAVING = "leaving"
    """Unsubscribing: to be sent, or sent and its answer awaited. What follows is in ``Subscription.then``."""
    PAUSED = "paused"
    """It failed, and waits before it is asked for again."""
    PARKED = "parked"
    """It failed too often, and rests for long."""
    REFUSED = "refused"
    """The exchange will not have it; asked for again on the next connection."""
    GONE = "gone"
    """Nobody wants it, and the exchange has forgotten it."""


MOVES: Final[Mapping[Step, frozenset[Step]]] = {
    Step.WAITING: frozenset({Step.ASKED, Step.LEAVING, Step.WAITING, Step.GONE}),
    Step.ASKED: frozenset({Step.CONFIRMED, Step.LEAVING, Step.PAUSED, Step.REFUSED, Step.WAITING}),
    Step.CONFIRMED: frozenset({Step.LIVE, Step.LEAVING, Step.WAITING}),
    Step.LIVE: frozenset({Step.LEAVING, Step.WAITING, Step.ASKED}),
    Step.LEAVING: frozenset({Step.WAITING, Step.PAUSED, Step.PARKED, Step.GONE}),
    Step.PAUSED: frozenset({Step.LEAVING, Step.WAITING, Step.GONE}),
    Step.PARKED: frozenset({Step.WAITING, Step.GONE}),
    Step.REFUSED: frozenset({Step.WAITING, Step.GONE}),
    Step.GONE: frozenset(),
}
"""Every move that there is. ``WAITING`` is reached from everywhere: a lost connection puts all back to it."""

_STATES: Final = {
    Step.WAITING: SubscriptionState.REQUESTED,
    Step.ASKED: SubscriptionState.REQUESTED,
    Step.CONFIRMED: SubscriptionState.CONFIRMED,
    Step.LIVE: SubscriptionState.LIVE,
    Step.LEAVING: SubscriptionState.RESYNCING,
    Step.PAUSED: SubscriptionState.RESYNCING,
    Step.PARKED: SubscriptionState.PARKED,
    Step.REFUSED: SubscriptionState.REFUSED,
}


class Subscription:
    """What is wanted of one channel and symbol, by whom, and how far it has come."""

    __slots__ = (
        "attempts",
        "audience",
        "cause",
        "confirmed_once",
        "departures",
        "follower",
        "gapped",
        "is_book",
        "key",
        "live_since",
        "newcomers",
        "on_wire",
        "req_id",
        "request",
        "step",
        "then",
        "throttled",
        "wanted_by",
    )

    def __init__(self, request: Request) -> None:
        self.key: Key = key_of(request)
        self.request: Request = request
        """What is wanted now."""
        self.req_id: int = 0
        """The number of what the exchange was last asked about it: other answers are of the past."""
        self.on_wire: Request | None = None
        """What the exchange may have, in the words it was asked with; None when it surely has nothing.

        It may have what it did not answer, and what it would not do just now: it may have done it the time before.
        """
        self.step: Step = Step.WAITING
        self.then: Step = Step.GONE
        """Where ``LEAVING`` leads."""
        self.wanted_by: dict[Hashable, Request] = {}
        """The feeds that want it, in the order in which they came, and their own words."""
        self.audience: tuple[Hashable, ...] = ()
        """Those of them whose ``subscribe`` has been answered: they get the events."""
        self.newcomers: tuple[Hashable, ...] = ()
        """(trades) Those of the audience for whom nothing was there to start with: what comes first may be old."""
        self.is_book: bool = request.channel == "book"
        self.follower: AnyFollower = follower_of(request)
        self.attempts: int = 0
        """Failures in a row."""
        self.departures: int = 0
        """Unsubscribes in a row that had no effect."""
        self.throttled: int = 0
        """Rate-limit refusals in a row."""
        self.live_since: float = 0.0
        self.gapped: bool = False
        """The feeds have been told that events are missing."""
        self.cause: Cause | None = None
        """Why it is not live, after it failed."""
        self.confirmed_once: bool = False

    def go(self, step: Step) -> None:
        """Make a move of the table."""
        if step not in MOVES[self.step]:
            msg = f"{self.key}: there is no way from {self.step} to {step}"
            raise AssertionError(msg)
        self.step = step

    @property
    def settled(self) -> bool:
        """Is it as wanted? A book must be verified; for anything else the exchange's yes is enough."""
        return self.step is Step.LIVE or (self.step is Step.CONFIRMED and not self.is_book)

    @property
    def owes_data(self) -> bool:
        """Must data follow the exchange's yes? Of trades only if there has been any: a new symbol has none."""
        return not isinstance(self.follower, TradeFollower) or self.follower.last is not None

    @property
    def takes_data(self) -> bool:
        """Is data that arrives now its data?"""
        return self.step in (Step.LIVE, Step.CONFIRMED, Step.ASKED)

    @property
    def state(self) -> SubscriptionState:
        """For users."""
        state = _STATES[self.step]
        if self.gapped and state in (SubscriptionState.REQUESTED, SubscriptionState.CONFIRMED):
            return SubscriptionState.RESYNCING
        return state

    def renew(self, request: Request) -> None:
        """Something else is wanted under the same key: what was remembered is of no use."""
        self.request = request
        self.follower = follower_of(request)

    def __repr__(self) -> str:
        return f"<Subscription {self.request} {self.step.value}, wanted by {len(self.wanted_by)}>"


def key_of(request: Request) -> Key:
    """The key of a request to the exchange."""
    assert request.channel is not None  # Lifecycle is answered by the client itself
    return (request.channel, request.symbol)
