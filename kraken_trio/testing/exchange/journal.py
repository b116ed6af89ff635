"""An exchange's records: what clients requested, what they were sent, and what faults withheld."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import attrs

from kraken_trio.testing import checks

if TYPE_CHECKING:
    from kraken_trio.testing.faults import Fault

__all__ = ["ConnectionJournal", "ReceivedRequest", "Subscribed", "Withheld"]


class Subscribed(NamedTuple):
    """One subscription in force."""

    channel: str
    symbol: str | None
    variant: object
    """The depth, interval or trigger; None for channels without one."""


@attrs.frozen(kw_only=True)
class ReceivedRequest:
    """One message that a client sent."""

    connection: int
    time: float
    """By the exchange's clock, in seconds."""
    data: str | bytes
    method: str | None
    """None if it could not be parsed."""


@attrs.frozen
class Withheld:
    """A data frame that a client did not get in this form because of a fault."""

    position: int
    """The number of data frames sent to the connection before."""
    text: str
    fault: Fault
    """The fault."""


class ConnectionJournal:
    """The data frames of one connection, in order, without confirmations, status, heartbeats and raw bytes.

    They were queued for the connection; if it ended early, the client has received only the first of them.
    """

    def __init__(self, connection: int, limit: int | None) -> None:
        checks.integer(least=1)("connection", connection)
        checks.optional(checks.count)("limit", limit)
        self.connection: int = connection
        """Its number: 1 for the exchange's first."""
        self.protocol: str = "v2"
        """The protocol that it speaks, and its frames are in: ``v2`` or ``v1``."""
        self.sent: deque[str] = deque(maxlen=limit)
        """The latest frames; all of them unless the exchange was given a ``journal_limit``."""
        self.sent_count: int = 0
        """Their total number."""
        self.withheld: deque[Withheld] = deque(maxlen=limit)
        """What faults kept back or altered."""
        self.withheld_count: int = 0
        """Their total number."""
        self.link: int | None = None
        """The number of the link that it came over, in a :class:`~kraken_trio.testing.Network`."""

    def add(self, text: str) -> None:
        """Record a data frame that was sent."""
        self.sent.append(text)
        self.sent_count += 1

    def add_withheld(self, text: str, fault: Fault) -> None:
        """Record a data frame that was not sent in this form."""
        self.withheld.append(Withheld(self.sent_count, text, fault))
        self.withheld_count += 1

    def __repr__(self) -> str:
        return f"<ConnectionJournal {self.connection}: {self.sent_count} sent, {self.withheld_count} withheld>"
