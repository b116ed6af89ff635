"""The steps of a subscription, and what triggers which move: one table.

Rules:

1. The table decides every pair of step and happening: a next step and what is to be done then, ``STAYS``, or ``NEVER``
   for what cannot happen (asking for it is a bug, and raises).
2. Whatever hangs on numbers (has it failed too often? is its pause over?) is decided before: those are happenings of
   their own, so that each leads to one step.
3. A subscription is left, and the answer to that awaited, before it is asked for again.

Only data that arrives while a subscription is ``CONFIRMED`` or ``LIVE`` is its data; data that overtakes the answer is
the answer, until that comes and says no: then the data was older, and the subscription is ``SUBSCRIBING`` once more.
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
    """To be asked for, as soon as there is a connection and the pacing allows it."""
    SUBSCRIBING = "subscribing"
    """The answer is awaited."""
    CONFIRMED = "confirmed"
    """The exchange said yes; the first data is awaited."""
    LIVE = "live"
    """Its data comes."""
    TO_UNSUBSCRIBE = "to unsubscribe"
    """The exchange has it, or may have it, and it is to be left."""
    UNSUBSCRIBING = "unsubscribing"
    """The answer to that is awaited."""
    PAUSED = "paused"
    """It failed, and waits before it is asked for again."""
    PARKED = "parked"
    """It failed too often, and waits for long."""
    HELD = "held"
    """Refused together with others, though perhaps only one of them is meant: waits until that is found out."""
    REFUSED = "refused"
    """The exchange will not have it; it is asked for again on the next connection."""
    GONE = "gone"
    """Nobody wants it, and the exchange does not have it."""


class Happening(enum.Enum):
    """What may happen to a subscription."""

    SENT = "sent"
    """The request that was due has been sent."""
    ACCEPTED = "accepted"
    """The exchange said yes, by its answer or by data that overtook it."""
    DATA = "data"
    """Its first data came, and is good."""
    NO_DATA = "no data"
    """The first data did not come, though it was renewed before; nothing would be gained by leaving it."""
    CONTRADICTED = "contradicted"
    """The answer that data seemed to have overtaken comes, and is no."""
    REFUSED = "refused"
    """The exchange will not have it."""
    DOUBTED = "doubted"
    """It was refused with others, and the answer does not say which of them is meant."""
    CLEARED = "cleared"
    """It is asked for again, apart from those with which it was refused."""
    NOT_NOW = "not now"
    """It was not accepted this time: too many requests, a busy exchange, no answer."""
    FAILED = "failed"
    """It is of no use as it is: a failed check, no first data, stale, given up."""
    LEFT = "left"
    """The exchange does not have it any more, and it may be asked for at once."""
    LEFT_FOR_NOW = "left for now"
    """The exchange does not have it any more; it is asked for again after a pause."""
    LEFT_FOR_LONG = "left for long"
    """The exchange does not have it any more; it is put aside."""
    LEFT_FOR_GOOD = "left for good"
    """The exchange does not have it any more, and nobody wants it."""
    STILL_THERE = "still there"
    """The request to leave it had no effect: once more."""
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
    """What is to be done when a move has been made."""

    NOTHING = "nothing"
    CONFIRM = "confirm"
    """Whoever waits for the answer gets it; the first data is waited for."""
    GO_LIVE = "go live"
    """It is as wanted."""
    STAY = "stay"
    """Its feeds are told that nothing is known; nothing more is waited for."""
    DOUBT = "doubt"
    """Its feeds are told that what they got may have been older: it is not in force."""
    REFUSE = "refuse"
    """Whoever waits for the answer is refused; whoever had it is told."""
    PAUSE = "pause"
    """The next attempt is set for later."""
    PARK = "park"
    """The next attempt is set for much later."""
    LEAVE = "leave"
    """Attempts to leave it are counted from now."""
    RENEW = "renew"
    """Attempts are counted anew."""
    RESTART = "restart"
    """With the connection all that was asked is gone."""
    FORGET = "forget"
    """Nothing of it is remembered."""


class Move(NamedTuple):
    """A next step, and what is to be done then."""

    step: Step
    action: Action


class Outcome(enum.Enum):
    """What the table may say instead of a move."""

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
    # We ask, and the exchange answers. A yes counts even after a no, as long as it is to the latest request.
    Happening.SENT: (_SUBSCRIBING, _x, _x, _x, _UNSUBSCRIBING, _x, _x, _x, _x, _x),
    Happening.ACCEPTED: (_CONFIRM, _CONFIRM, _x, _x, _x, _x, _CONFIRM, _x, _CONFIRM, _CONFIRM),
    Happening.CONTRADICTED: (_x, _x, _x, _DOUBT, _x, _x, _x, _x, _x, _x),
    Happening.REFUSED: (_x, _REFUSE, _x, _x, _x, _x, _x, _x, _REFUSE, _x),
    Happening.DOUBTED: (_x, _HOLD, _x, _x, _x, _x, _x, _x, _x, _x),
    Happening.CLEARED: (_x, _x, _x, _x, _x, _x, _x, _x, _SUBSCRIBE, _x),
    Happening.NOT_NOW: (_x, _PAUSE, _x, _x, _x, _x, _x, _x, _x, _x),
    # Data comes, or does not.
    Happening.DATA: (_x, _x, _LIVE, _x, _x, _x, _x, _x, _x, _x),
    Happening.NO_DATA: (_x, _x, _STAY, _x, _x, _x, _x, _x, _x, _x),
    Happening.FAILED: (_x, _LEAVE, _LEAVE, _LEAVE, _x, _x, _x, _x, _x, _x),
    # The exchange does not have it any more: because we left it, or, if it is in force, by itself.
    Happening.LEFT: (_x, _x, _SUBSCRIBE, _SUBSCRIBE, _x, _SUBSCRIBE, _x, _x, _x, _x),
    Happening.LEFT_FOR_NOW: (_x, _x, _PAUSE, _PAUSE, _x, _PAUSE, _x, _x, _x, _x),
    Happening.LEFT_FOR_LONG: (_x, _x, _PARK, _PARK, _x, _PARK, _x, _x, _x, _x),
    Happening.LEFT_FOR_GOOD: (_x, _x, _x, _x, _x, _FORGET, _x, _x, _x, _x),
    Happening.STILL_THERE: (_x, _x, _x, _x, _x, _LEAVE_AGAIN, _x, _x, _x, _x),
    # What is wanted changes.
    Happening.WANTED: (_o, _o, _o, _o, _o, _o, _o, _RENEW, _o, _RENEW),
    Happening.UNWANTED: (_LEAVE, _LEAVE, _LEAVE, _LEAVE, _o, _o, _LEAVE, _x, _LEAVE, _x),
    Happening.DROPPED: (_FORGET, _x, _x, _x, _x, _x, _FORGET, _FORGET, _x, _FORGET),
    # Time goes by, and connections go.
    Happening.DUE: (_x, _x, _x, _x, _x, _x, _SUBSCRIBE, _SUBSCRIBE, _x, _x),
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
