"""One wanted channel of one symbol: what is known of it. What moves it: :mod:`kraken_trio.session.steps`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from kraken_trio.session.steps import MOVES, Move, Outcome, Step
from kraken_trio.statistics import SubscriptionState

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from kraken_trio.channels import ChannelState
    from kraken_trio.requests import Request
    from kraken_trio.session.steps import Happening

__all__ = ["Doubt", "Key", "Subscription", "key_of"]

Key: TypeAlias = tuple[str, str | None]
"""A channel and a symbol: what Kraken allows once per connection."""

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
    """A refusal of several subscriptions that may be meant for one of them: one is asked for alone, the others wait."""

    text: str
    is_of_some: bool
    """Another one with which they had been refused was accepted then, so it is not meant for all."""
    others: list[Subscription]

    @property
    def waiting(self) -> list[Subscription]:
        """Those that still wait for what becomes of the one."""
        return [sub for sub in self.others if sub.step is Step.HELD]


class Subscription:
    """What is wanted of one channel and symbol, by whom, and how far it has come."""

    __slots__ = (
        "apart",
        "attempts",
        "audience",
        "confirmed_once",
        "data_due",
        "departures",
        "doubt",
        "gapped",
        "has_good_company",
        "is_parked",
        "key",
        "live_since",
        "newcomers",
        "on_wire",
        "renewed",
        "req_id",
        "request",
        "resume_at",
        "revocable",
        "state",
        "step",
        "throttled",
        "wanted_by",
    )

    def __init__(self, request: Request[Any], state: ChannelState) -> None:
        self.key: Key = key_of(request)
        self.request: Request[Any] = request
        """What is wanted now."""
        self.state: ChannelState = state
        """What is remembered of its data."""
        self.step: Step = Step.TO_SUBSCRIBE
        """How far it has come; changed by :meth:`move` only."""
        self.wanted_by: dict[Hashable, Request[Any]] = {}
        """The feeds that want it, in the order in which they came, and their own words."""
        self.audience: tuple[Hashable, ...] = ()
        """Those of them whose ``subscribe`` has been answered: they get the events."""
        self.newcomers: tuple[Hashable, ...] = ()
        """(history) Those of the audience for whom nothing was there to start with: what comes first may be old."""

        # What was asked
        self.req_id: int = 0
        """The number of what the exchange was last asked about it: other answers are of the past."""
        self.revocable: int = 0
        """The number of the last request to subscribe it, as long as a yes to that would count even after a no."""
        self.on_wire: Request[Any] | None = None
        """What the exchange may have, in the words it was asked with; None when it surely has nothing.

        It may have what it did not answer, and what it would not do just now: it may have done it the time before.
        """
        self.apart: int = 0
        """Only subscriptions with the same number share a request: not 0 while it is found out which one is refused."""
        self.has_good_company: bool = False
        """While it is asked apart: another one with which it was refused has been accepted."""
        self.doubt: Doubt | None = None
        """What hangs on the exchange's answer to this one."""

        # What went wrong
        self.attempts: int = 0
        """Failures in a row."""
        self.departures: int = 0
        """Unsubscribes in a row that had no effect."""
        self.throttled: int = 0
        """Rate-limit refusals in a row."""
        self.renewed: bool = False
        """On this connection it was renewed because its first data did not come."""
        self.resume_at: float | None = None
        """Not to be asked for again before; None: at once."""
        self.is_parked: bool = False
        """It failed too often: it is put aside as soon as it is left."""
        self.gapped: bool = False
        """The feeds have been told that events are missing."""

        # What went well
        self.confirmed_once: bool = False
        self.data_due: float | None = None
        """Until when its first data is waited for, on the listening clock; None if it is not."""
        self.live_since: float = 0.0

    def move(self, happening: Happening) -> Move | None:
        """Make the move of the table; None if the step stays."""
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
        """Whether it is as wanted. A book must be verified; for anything else the exchange's yes is enough."""
        return self.step is Step.LIVE or (self.step is Step.CONFIRMED and not self.state.must_verify)

    @property
    def is_confirmed(self) -> bool:
        """Whether the exchange has said yes, on this connection."""
        return self.step is Step.LIVE or self.step is Step.CONFIRMED

    @property
    def takes_data(self) -> bool:
        """Whether data that arrives now is its data."""
        return self.is_confirmed or self.step is Step.SUBSCRIBING

    @property
    def status(self) -> SubscriptionState:
        """For users."""
        state = _STATES[self.step]
        if self.gapped and state in (SubscriptionState.REQUESTED, SubscriptionState.CONFIRMED):
            return SubscriptionState.RESYNCING
        return state

    def renew(self, request: Request[Any], state: ChannelState) -> None:
        """Something else is wanted under the same key: what was remembered is of no use."""
        self.request = request
        self.state = state
        self.confirmed_once = self.gapped = False

    def reset_attempts(self) -> None:
        """Failures are counted anew, and nothing is waited for."""
        self.attempts = self.throttled = 0
        self.resume_at = None
        self.is_parked = False

    def __repr__(self) -> str:
        return f"<Subscription {self.request} {self.step.value}, wanted by {len(self.wanted_by)}>"


def key_of(request: Request[Any]) -> Key:
    """The key of a request to the exchange."""
    assert request.channel is not None  # Lifecycle is answered by the client itself
    return (request.channel, request.symbol)
