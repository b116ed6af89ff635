"""The client's states, and every transition between them.

Two rules:

1. The table decides every pair of state and trigger: a next state, ``STAYS``, or ``NEVER`` for what cannot happen
   (asking for it is a bug, and raises).
2. A state changes through the table only. Changes are published to :class:`~kraken_trio.Lifecycle` subscriptions.

A new connection starts in ``RESYNCING``, with nothing confirmed, or in ``SUBSCRIBED`` if nothing is wanted.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from kraken_trio.events import Cause, ConnectionState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["TRANSITIONS", "StateMachine", "Trigger", "Verdict", "edges"]


class Trigger(enum.Enum):
    """What may change the client's state; :attr:`cause` is what a :class:`~kraken_trio.StateChange` shows."""

    OPENED = enum.auto()
    RETRY = enum.auto()
    CONNECTED = enum.auto()
    CONNECTED_IDLE = enum.auto()
    """The connection is up, and nothing is wanted."""
    CONNECT_FAILED = enum.auto()
    DISCONNECTED = enum.auto()
    SILENCE = enum.auto()
    PROTOCOL = enum.auto()
    REFUSED = enum.auto()
    CLOSED = enum.auto()
    SUBSCRIBING = enum.auto()
    CHECKSUM = enum.auto()
    CROSSED = enum.auto()
    MALFORMED = enum.auto()
    RESUBSCRIBED = enum.auto()
    MISSED = enum.auto()
    SETTLED = enum.auto()

    @property
    def cause(self) -> Cause:
        """The cause in the public event."""
        return Cause.CONNECTED if self is Trigger.CONNECTED_IDLE else Cause[self.name]


class Verdict(enum.Enum):
    """What the table may say instead of a next state."""

    STAYS = "stays"
    NEVER = "never"


_D, _C, _S, _R = (
    ConnectionState.DISCONNECTED,
    ConnectionState.CONNECTING,
    ConnectionState.SUBSCRIBED,
    ConnectionState.RESYNCING,
)
_o, _x = Verdict.STAYS, Verdict.NEVER

_ROWS: Final[Mapping[Trigger, tuple[ConnectionState | Verdict, ...]]] = {
    # trigger                from: DISCONNECTED CONNECTING SUBSCRIBED RESYNCING
    Trigger.OPENED: (_C, _x, _x, _x),
    Trigger.RETRY: (_C, _x, _x, _x),
    Trigger.CONNECTED: (_x, _R, _x, _x),
    Trigger.CONNECTED_IDLE: (_x, _S, _x, _x),
    Trigger.CONNECT_FAILED: (_x, _D, _x, _x),
    # the connection is lost
    Trigger.DISCONNECTED: (_x, _x, _D, _D),
    Trigger.SILENCE: (_x, _x, _D, _D),
    Trigger.PROTOCOL: (_x, _x, _D, _D),
    # the end: nothing follows
    Trigger.REFUSED: (_x, _D, _D, _D),
    Trigger.CLOSED: (_o, _D, _D, _D),
    # something wanted is not (or no longer) in force
    Trigger.SUBSCRIBING: (_x, _x, _R, _o),
    Trigger.CHECKSUM: (_x, _x, _R, _o),
    Trigger.CROSSED: (_x, _x, _R, _o),
    Trigger.MALFORMED: (_x, _x, _R, _o),
    Trigger.RESUBSCRIBED: (_x, _x, _R, _o),
    Trigger.MISSED: (_x, _x, _R, _o),
    # everything wanted is in force
    Trigger.SETTLED: (_x, _x, _o, _S),
}

TRANSITIONS: Final[Mapping[tuple[ConnectionState, Trigger], ConnectionState | Verdict]] = {
    (state, trigger): verdict
    for trigger, row in _ROWS.items()
    for state, verdict in zip((_D, _C, _S, _R), row, strict=True)
}
"""The table."""


def edges() -> Iterator[tuple[ConnectionState, Cause, ConnectionState]]:
    """All transitions that change the state, for a diagram."""
    for (state, trigger), verdict in TRANSITIONS.items():
        if isinstance(verdict, ConnectionState):
            yield state, trigger.cause, verdict


class StateMachine:
    """The current state; it changes by the table."""

    def __init__(self) -> None:
        self.state: ConnectionState = ConnectionState.DISCONNECTED

    def advance(self, trigger: Trigger) -> ConnectionState | None:
        """Apply ``trigger``. Returns the previous state, or None if the state did not change."""
        verdict = TRANSITIONS[self.state, trigger]
        if verdict is Verdict.NEVER:
            msg = f"{trigger} cannot happen to a client that is {self.state}"
            raise AssertionError(msg)
        if not isinstance(verdict, ConnectionState):
            return None
        previous, self.state = self.state, verdict
        return previous
