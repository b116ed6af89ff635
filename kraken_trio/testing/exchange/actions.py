"""What the exchange's core tells its shell to do, and the records that it keeps."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import attrs

if TYPE_CHECKING:
    from kraken_trio.testing.faults import DropHow, Fault, Raw

__all__ = [
    "Action",
    "ConnectionJournal",
    "End",
    "ReceivedRequest",
    "Send",
    "SendRaw",
    "Stall",
    "Subscribed",
    "Withheld",
]


@attrs.frozen
class Send:
    """Send one text frame."""

    connection: int
    text: str


@attrs.frozen
class SendRaw:
    """Send bytes that are no proper frame of the protocol."""

    connection: int
    raw: Raw


@attrs.frozen
class End:
    """End the connection in this way, after everything that was to be sent before (a reset does not wait)."""

    connection: int
    how: DropHow


@attrs.frozen
class Stall:
    """Keep the TCP connection open, and never read from it or write to it again."""

    connection: int


Action: TypeAlias = Send | SendRaw | End | Stall


class Subscribed(NamedTuple):
    """One subscription in force."""

    channel: str
    symbol: str | None
    variant: object
    """The depth, interval or trigger; None for channels that have none."""


@attrs.frozen(kw_only=True)
class ReceivedRequest:
    """One message that a client sent."""

    connection: int
    time: float
    """By the exchange's clock, in seconds."""
    data: str | bytes
    method: str | None
    """None if it could not be understood."""


@attrs.frozen
class Withheld:
    """A data frame that a client should have got, and did not get in this form."""

    position: int
    """How many data frames the connection had been sent before."""
    text: str
    fault: Fault
    """Why."""


class ConnectionJournal:
    """The data frames of one connection, in order: no acknowledgements, status, heartbeats or raw bytes.

    They were handed to the connection; of a connection that ended early the client has got the first so many.
    """

    def __init__(self, connection: int, limit: int | None) -> None:
        self.connection: int = connection
        """Its number: 1 for the exchange's first."""
        self.sent: deque[str] = deque(maxlen=limit)
        """The latest frames; all of them unless the exchange was given a ``journal_limit``."""
        self.sent_count: int = 0
        """How many there were."""
        self.withheld: deque[Withheld] = deque(maxlen=limit)
        self.link: int | None = None
        """The number of the link that it came over, in a :class:`~kraken_trio.testing.Network`."""

    def __repr__(self) -> str:
        return f"<ConnectionJournal {self.connection}: {self.sent_count} sent, {len(self.withheld)} withheld>"
