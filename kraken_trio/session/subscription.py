"""One subscription: a channel of one symbol. Its steps, and what moves it: :mod:`kraken_trio.session.steps`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from kraken_trio.session.steps import MOVES, Move, Outcome, Step
from kraken_trio.statistics import SubscriptionState, SubscriptionStatistics

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from kraken_trio.channels import ChannelState
    from kraken_trio.requests import Request
    from kraken_trio.session.steps import Happening

__all__ = ["Doubt", "Key", "Subscription", "key_of"]

Key: TypeAlias = tuple[str, str | None]
"""A channel and a symbol: what Kraken allows once per connection."""

_LIVE: Final = Step.LIVE
_IS_LIVE: Final = SubscriptionState.LIVE
_STATES: Final[Mapping[Step, SubscriptionState]] = {
    Step.TO_SUBSCRIBE: SubscriptionState.REQUESTED,
    Step.SUBSCRIBING: SubscriptionState.REQUESTED,
    Step.CONFIRMED: SubscriptionState.CONFIRMED,
    Step.LIVE: SubscriptionState.LIVE,
    Step.TO_UNSUBSCRIBE: SubscriptionState.RESYNCING,
    Step.UNSUBSCRIBING: SubscriptionState.RESYNCING,
    Step.PAUSED: SubscriptionState.RESYNCING,
    Step.PARKED: SubscriptionState.PARKED,
    Step.HELD: SubscriptionState.REQUESTED,
    Step.REFUSED: SubscriptionState.REFUSED,
}


@attrs.define(eq=False)
class Doubt:
    """A refusal of several subscriptions that may mean only one of them: one is requested alone, the others wait."""

    text: str
    is_of_some: bool
    """Whether a subscription that was refused with them has been accepted since, so the refusal does not mean all."""
    others: list[Subscription]

    @property
    def waiting(self) -> list[Subscription]:
        """Those that still wait for the answer about the one."""
        return [sub for sub in self.others if sub.step is Step.HELD]


class Subscription:
    """One channel and symbol: the wanted request, the feeds that want it, and how far it has come."""

    __slots__ = (
        "apart",
        "asked",
        "attempts",
        "audience",
        "confirmed_once",
        "data_due",
        "departures",
        "doubt",
        "gapped",
        "has_good_company",
        "is_parked",
        "is_token_renewed",
        "kept",
        "key",
        "live_since",
        "newcomers",
        "on_wire",
        "renewed",
        "req_id",
        "request",
        "resume_at",
        "revocable",
        "since",
        "state",
        "step",
        "throttled",
        "wanted_by",
        "was_received_ns",
    )

    def __init__(self, request: Request[Any], state: ChannelState, now: float = 0.0) -> None:
        self.key: Key = key_of(request)
        self.request: Request[Any] = request
        """The wanted request."""
        self.state: ChannelState = state
        """The state of its data."""
        self.kept: object = None
        """What the channel's frame path keeps of it."""
        self.step: Step = Step.TO_SUBSCRIBE
        """How far it has come; changed by :meth:`move` only."""
        self.wanted_by: dict[Hashable, Request[Any]] = {}
        """The feeds that want it, in the order in which they came, each with its own request."""
        self.audience: tuple[Hashable, ...] = ()
        """Those of them whose ``subscribe`` has been answered: they get the events."""
        self.newcomers: tuple[Hashable, ...] = ()
        """(history) Feeds of the audience that have not started: the first data may be history."""

        # For statistics
        self.since: float = now
        """Since when it is wanted."""
        self.asked: int = 0
        """How often it was requested since then."""
        self.was_received_ns: int = 0
        """When the last data before the last :meth:`reset` was received; 0 if there was none."""

        # Requests
        self.req_id: int = 0
        """The ``req_id`` of the latest request about it: answers to other requests are out of date."""
        self.revocable: int | None = None
        """The ``req_id`` of the last subscribe, while a confirmation of it would count even after a refusal."""
        self.on_wire: Request[Any] | None = None
        """The request as the exchange may have it; None when the exchange certainly has nothing.

        It may have accepted a request that it did not answer; and a temporary refusal says nothing about earlier ones.
        """
        self.apart: int = 0
        """Only subscriptions with the same number share a request. Not 0 while a refusal is being narrowed down."""
        self.has_good_company: bool = False
        """Whether, while it is requested separately, another one with which it was refused has been accepted."""
        self.doubt: Doubt | None = None
        """What depends on the exchange's answer to this one."""

        # Failures
        self.attempts: int = 0
        """Failures in a row."""
        self.departures: int = 0
        """Unsubscribes in a row that had no effect."""
        self.throttled: int = 0
        """Rate-limit refusals in a row."""
        self.is_token_renewed: bool = False
        """Whether it is requested with another token, because the last one was not accepted."""
        self.renewed: bool = False
        """Whether it was resubscribed on this connection because its first data did not come."""
        self.resume_at: float | None = None
        """When it may be requested again; None: at once."""
        self.is_parked: bool = False
        """Whether it failed too often: it is parked as soon as it is unsubscribed."""
        self.gapped: bool = False
        """Whether its feeds have been told by a gap that events are missing."""

        # Successes
        self.confirmed_once: bool = False
        self.data_due: float | None = None
        """When its first data is overdue, on the listening clock; None if none is awaited."""
        self.live_since: float = 0.0

    def move(self, happening: Happening) -> Move | None:
        """Make the move given by the table. Returns None if the step does not change."""
        cell = MOVES[self.step, happening]
        if cell is Outcome.NEVER:
            msg = f"{self.key}: {happening} cannot happen while it is {self.step}"
            raise AssertionError(msg)
        if not isinstance(cell, Move):
            return None
        self.step = cell.step
        return cell

    @property
    def settled(self) -> bool:
        """Whether it is as wanted: a book must be verified; any other channel needs only the confirmation."""
        return self.step is Step.LIVE or (self.step is Step.CONFIRMED and not self.state.must_verify)

    @property
    def is_confirmed(self) -> bool:
        """Whether the exchange has confirmed it on this connection."""
        return self.step is Step.LIVE or self.step is Step.CONFIRMED

    @property
    def takes_data(self) -> bool:
        """Whether data that arrives now belongs to it."""
        return self.is_confirmed or self.step is Step.SUBSCRIBING  # mutant: takes data

    @property
    def status(self) -> SubscriptionState:
        """The public state."""
        state = _STATES[self.step]
        if self.gapped and state in (SubscriptionState.REQUESTED, SubscriptionState.CONFIRMED):
            return SubscriptionState.RESYNCING
        return state

    def statistics(self, wall_ns: int, now: float) -> SubscriptionStatistics:
        """All numbers, as of now: ``wall_ns`` by the wall clock."""
        received_ns = self.state.last_received_ns or self.was_received_ns
        past_ns = wall_ns - received_ns
        return SubscriptionStatistics(
            state=_IS_LIVE if self.step is _LIVE else self.status,  # for most, without a look into the table
            age=now - self.since,
            attempts=self.asked,
            last_received_ns=received_ns or None,
            data_age=None if not received_ns else past_ns / 1e9 if past_ns > 0 else 0.0,
        )

    def reset(self) -> None:
        """Events are missing: what is known of its data is out of date."""
        self.was_received_ns = self.state.last_received_ns or self.was_received_ns
        self.state.reset()

    def renew(self, request: Request[Any], state: ChannelState, now: float) -> None:
        """Replace the request under the same key; everything starts again."""
        self.request = request
        self.state = state
        self.since = now
        self.asked = self.was_received_ns = 0
        self.kept = None
        self.confirmed_once = self.gapped = False

    def reset_attempts(self) -> None:
        """Start the count of failures again, and cancel any pause."""
        self.attempts = self.throttled = 0
        self.resume_at = None
        self.is_parked = False

    def __repr__(self) -> str:
        return f"<Subscription {self.request} {self.step.value}, wanted by {len(self.wanted_by)}>"


def key_of(request: Request[Any]) -> Key:
    """The key of a request to the exchange."""
    assert request.channel is not None  # Lifecycle is answered by the client itself
    return (request.channel, request.symbol)
