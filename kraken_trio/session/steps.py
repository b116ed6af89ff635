"""The steps of a subscription, and what triggers which move: one table.

Rules:

1. The table decides every pair of step and happening: a next step and an action, ``STAYS``, or ``NEVER`` for what
   cannot happen (asking for it is a bug, and raises).
2. Decisions that depend on numbers (failed too often, pause over) are made before: they are separate happenings, so
   that each leads to one step.
3. A subscription is unsubscribed, and the answer awaited, before it is requested again.

Data is taken only while a subscription is ``CONFIRMED`` or ``LIVE``. Data that arrives before the answer counts as
acceptance. If a refusal follows, the data was from before, and the subscription is ``SUBSCRIBING`` again.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["MOVES", "Action", "Cell", "Happening", "Move", "Outcome", "Step", "moves"]


class Step(enum.Enum):
    """How far a subscription has come."""

    TO_SUBSCRIBE = "to subscribe"
    """To be requested as soon as there is a connection and the pacing allows it."""
    SUBSCRIBING = "subscribing"
    """Requested; the answer is awaited."""
    CONFIRMED = "confirmed"
    """The exchange confirmed it; the first data is awaited."""
    LIVE = "live"
    """It receives data."""
    TO_UNSUBSCRIBE = "to unsubscribe"
    """The exchange has it, or may have it, and it is to be unsubscribed."""
    UNSUBSCRIBING = "unsubscribing"
    """The answer to the unsubscribe is awaited."""
    PAUSED = "paused"
    """It failed, and waits before the next request."""
    PARKED = "parked"
    """It failed too often, and waits for ``Settings.park_time``."""
    HELD = "held"
    """Refused together with others, without saying which of them is meant: it waits until that is known."""
    REFUSED = "refused"
    """The exchange refused it; it is requested again on the next connection."""
    GONE = "gone"
    """Nobody wants it, and the exchange does not have it."""


class Happening(enum.Enum):
    """What may happen to a subscription."""

    SENT = "sent"
    """The request that was due has been sent."""
    ACCEPTED = "accepted"
    """The exchange confirmed it, by its answer or by data that came before the answer."""
    DATA = "data"
    """Its first data came, and passed every check."""
    NO_DATA = "no data"
    """The first data did not come, even after it was resubscribed; resubscribing again would not help."""
    CONTRADICTED = "contradicted"
    """After data that had counted as acceptance, the answer is a refusal."""
    REFUSED = "refused"
    """The exchange refused it."""
    DOUBTED = "doubted"
    """It was refused with others, and the answer does not say which of them is meant."""
    CLEARED = "cleared"
    """It is requested again, separately from those with which it was refused."""
    NOT_NOW = "not now"
    """It was not accepted this time: too many requests, a busy exchange, no answer."""
    FAILED = "failed"
    """It has to be resubscribed or given up: a failed check, no first data, stale, too many attempts."""
    LEFT = "left"
    """The exchange no longer has it; it may be requested at once."""
    LEFT_FOR_NOW = "left for now"
    """The exchange no longer has it; it is requested again after a pause."""
    LEFT_FOR_LONG = "left for long"
    """The exchange no longer has it; it is parked."""
    LEFT_FOR_GOOD = "left for good"
    """The exchange no longer has it, and nobody wants it."""
    STILL_THERE = "still there"
    """The unsubscribe had no effect; it is repeated."""
    WANTED = "wanted"
    """One more feed wants it."""
    UNWANTED = "unwanted"
    """Nobody wants it any more, and the exchange may have it."""
    DROPPED = "dropped"
    """Nobody wants it any more, and the exchange does not have it."""
    DUE = "due"
    """Its pause is over."""
    LOST = "lost"
    """The connection is lost."""
    LOST_FOR_GOOD = "lost for good"
    """The connection is lost, and nobody wants it."""


class Action(enum.Enum):
    """What is done after a move."""

    NOTHING = "nothing"
    CONFIRM = "confirm"
    """Waiting feeds get their answer; the first data is awaited."""
    GO_LIVE = "go live"
    """It is as wanted."""
    STAY = "stay"
    """Its feeds get a gap; no first data is awaited any more."""
    DOUBT = "doubt"
    """Its feeds get a gap: what they received was from before, and the subscription is not in force."""
    REFUSE = "refuse"
    """Waiting feeds are refused; feeds that had it get a gap."""
    PAUSE = "pause"
    """The next attempt is scheduled."""
    PARK = "park"
    """The next attempt is scheduled after ``Settings.park_time``."""
    LEAVE = "leave"
    """Attempts to unsubscribe are counted from here."""
    RENEW = "renew"
    """The count of attempts starts again."""
    RESTART = "restart"
    """Everything that was requested on the lost connection is reset."""
    FORGET = "forget"
    """Its entry is removed."""


class Move(NamedTuple):
    """A next step, and the action that goes with it."""

    step: Step
    action: Action


class Outcome(enum.Enum):
    """What the table may hold instead of a move."""

    STAYS = "stays"
    NEVER = "never"


Cell: TypeAlias = Move | Outcome

_o, _x = Outcome.STAYS, Outcome.NEVER
_SUBSCRIBE = Move(Step.TO_SUBSCRIBE, Action.NOTHING)
_CONFIRM = Move(Step.CONFIRMED, Action.CONFIRM)
_LEAVE = Move(Step.TO_UNSUBSCRIBE, Action.LEAVE)
_PAUSE = Move(Step.PAUSED, Action.PAUSE)
_PARK = Move(Step.PARKED, Action.PARK)
_RENEW = Move(Step.TO_SUBSCRIBE, Action.RENEW)
_RESTART = Move(Step.TO_SUBSCRIBE, Action.RESTART)
_FORGET = Move(Step.GONE, Action.FORGET)

_COLUMNS: Final = (
    Step.TO_SUBSCRIBE,
    Step.SUBSCRIBING,
    Step.CONFIRMED,
    Step.LIVE,
    Step.TO_UNSUBSCRIBE,
    Step.UNSUBSCRIBING,
    Step.PAUSED,
    Step.PARKED,
    Step.HELD,
    Step.REFUSED,
)
_SUBSCRIBING = Move(Step.SUBSCRIBING, Action.NOTHING)
_UNSUBSCRIBING = Move(Step.UNSUBSCRIBING, Action.NOTHING)
_LIVE = Move(Step.LIVE, Action.GO_LIVE)
_STAY = Move(Step.CONFIRMED, Action.STAY)
_DOUBT = Move(Step.SUBSCRIBING, Action.DOUBT)
_REFUSE = Move(Step.REFUSED, Action.REFUSE)
_HOLD = Move(Step.HELD, Action.NOTHING)
_LEAVE_AGAIN = Move(Step.TO_UNSUBSCRIBE, Action.NOTHING)

_ROWS: Final[Mapping[Happening, tuple[Cell, ...]]] = {
    # TO_SUBSCRIBE, SUBSCRIBING, CONFIRMED, LIVE, TO_UNSUBSCRIBE, UNSUBSCRIBING, PAUSED, PARKED, HELD, REFUSED
    #
    # Requests and answers. A confirmation counts even after a refusal, if it answers the latest request.
    Happening.SENT: (_SUBSCRIBING, _x, _x, _x, _UNSUBSCRIBING, _x, _x, _x, _x, _x),
    Happening.ACCEPTED: (_CONFIRM, _CONFIRM, _x, _x, _x, _x, _CONFIRM, _x, _CONFIRM, _CONFIRM),
    Happening.CONTRADICTED: (_x, _x, _x, _DOUBT, _x, _x, _x, _x, _x, _x),
    Happening.REFUSED: (_x, _REFUSE, _x, _x, _x, _x, _x, _x, _REFUSE, _x),
    Happening.DOUBTED: (_x, _HOLD, _x, _x, _x, _x, _x, _x, _x, _x),
    Happening.CLEARED: (_x, _x, _x, _x, _x, _x, _x, _x, _SUBSCRIBE, _x),
    Happening.NOT_NOW: (_x, _PAUSE, _x, _x, _x, _x, _x, _x, _x, _x),
    # Data, or none.
    Happening.DATA: (_x, _x, _LIVE, _x, _x, _x, _x, _x, _x, _x),
    Happening.NO_DATA: (_x, _x, _STAY, _x, _x, _x, _x, _x, _x, _x),
    Happening.FAILED: (_x, _LEAVE, _LEAVE, _LEAVE, _x, _x, _x, _x, _x, _x),  # mutant: left first
    # The exchange no longer has it: we unsubscribed, or, from a confirmed step, it ended it by itself.
    Happening.LEFT: (_x, _x, _SUBSCRIBE, _SUBSCRIBE, _x, _SUBSCRIBE, _x, _x, _x, _x),
    Happening.LEFT_FOR_NOW: (_x, _x, _PAUSE, _PAUSE, _x, _PAUSE, _x, _x, _x, _x),
    Happening.LEFT_FOR_LONG: (_x, _x, _PARK, _PARK, _x, _PARK, _x, _x, _x, _x),
    Happening.LEFT_FOR_GOOD: (_x, _x, _x, _x, _x, _FORGET, _x, _x, _x, _x),
    Happening.STILL_THERE: (_x, _x, _x, _x, _x, _LEAVE_AGAIN, _x, _x, _x, _x),
    # Changes of what is wanted.
    Happening.WANTED: (_o, _o, _o, _o, _o, _o, _o, _RENEW, _o, _RENEW),  # mutant: wanted again
    Happening.UNWANTED: (_LEAVE, _LEAVE, _LEAVE, _LEAVE, _o, _o, _LEAVE, _x, _LEAVE, _x),  # mutant: nobody wants it
    Happening.DROPPED: (_FORGET, _x, _x, _x, _x, _x, _FORGET, _FORGET, _x, _FORGET),
    # Time, and lost connections.
    Happening.DUE: (_x, _x, _x, _x, _x, _x, _SUBSCRIBE, _SUBSCRIBE, _x, _x),  # mutant: rest is over
    Happening.LOST: (_RESTART,) * 10,
    Happening.LOST_FOR_GOOD: (_x, _x, _x, _x, _FORGET, _FORGET, _x, _x, _x, _x),
}

MOVES: Final[Mapping[tuple[Step, Happening], Cell]] = {
    (step, happening): cell for happening, row in _ROWS.items() for step, cell in zip(_COLUMNS, row, strict=True)
} | {(Step.GONE, happening): _x for happening in Happening}
"""The table."""


def moves() -> Iterator[tuple[Step, Happening, Move]]:
    """All moves, for a diagram and for tests."""
    for (step, happening), cell in MOVES.items():
        if isinstance(cell, Move):
            yield step, happening, cell
