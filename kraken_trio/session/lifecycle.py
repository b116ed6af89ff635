"""The client's states, and every way from one to another.

Two rules:

1. The table decides every pair of state and cause: a next state, ``STAYS``, or ``NEVER`` for what cannot happen
   (asking for it is a bug, and raises).
2. A state changes through the table or not at all. Who wants to know subscribes to
   :class:`~kraken_trio.Lifecycle`.

A connection begins in ``RESYNCING``, with nothing confirmed; ``SETTLED`` says that nothing is left to do.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from kraken_trio.events import Cause, ConnectionState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["TRANSITIONS", "StateMachine", "Verdict", "edges"]


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

_ROWS: Final[Mapping[Cause, tuple[ConnectionState | Verdict, ...]]] = {
    # cause                from: DISCONNECTED CONNECTING SUBSCRIBED RESYNCING
    Cause.OPENED: (_C, _x, _x, _x),
    Cause.RETRY: (_C, _x, _x, _x),
    Cause.CONNECTED: (_x, _R, _x, _x),
    Cause.CONNECT_FAILED: (_x, _D, _x, _x),
    # the connection is lost
    Cause.DISCONNECTED: (_x, _x, _D, _D),
    Cause.SILENCE: (_x, _x, _D, _D),
    Cause.PROTOCOL: (_x, _x, _D, _D),
    # the end: nothing follows
    Cause.REFUSED: (_x, _D, _D, _D),
    Cause.CLOSED: (_o, _D, _D, _D),
    # something wanted is not there (any more), and is asked for
    Cause.SUBSCRIBING: (_o, _o, _R, _o),
    Cause.CHECKSUM: (_x, _x, _R, _o),
    Cause.CROSSED: (_x, _x, _R, _o),
    Cause.MALFORMED: (_x, _x, _R, _o),
    Cause.RESUBSCRIBED: (_x, _x, _R, _o),
    # everything wanted is there
    Cause.SETTLED: (_x, _x, _o, _S),
    # a matter of one feed or symbol: for the client nothing changes (what is parked has failed before)
    Cause.OVERFLOW: (_o, _o, _o, _o),
    Cause.MISSED: (_x, _x, _o, _o),
    Cause.PARKED: (_x, _x, _o, _o),
}

TRANSITIONS: Final[Mapping[tuple[ConnectionState, Cause], ConnectionState | Verdict]] = {
    (state, cause): verdict
    for cause, row in _ROWS.items()
    for state, verdict in zip((_D, _C, _S, _R), row, strict=True)
}
"""The table."""


def edges() -> Iterator[tuple[ConnectionState, Cause, ConnectionState]]:
    """All transitions that change the state, for a diagram."""
    for (state, cause), verdict in TRANSITIONS.items():
        if isinstance(verdict, ConnectionState):
            yield state, cause, verdict


class StateMachine:
    """A state, and the table."""

    def __init__(self) -> None:
        self.state: ConnectionState = ConnectionState.DISCONNECTED

    def advance(self, cause: Cause) -> ConnectionState | None:
        """Follow ``cause``. Returns the state that was left, or None if the state stays."""
        verdict = TRANSITIONS[self.state, cause]
        if verdict is Verdict.NEVER:
            msg = f"{cause} cannot happen to a client that is {self.state}"
            raise AssertionError(msg)
        if not isinstance(verdict, ConnectionState):
            return None
        previous, self.state = self.state, verdict
        return previous
