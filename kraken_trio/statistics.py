"""What is counted, and what a user may know of it. Plain slots on the hot path; frozen copies for users."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kraken_trio.events import ConnectionState
    from kraken_trio.evidence import ChecksumEvidence
    from kraken_trio.requests import Request

__all__ = ["ClientStatistics", "Counters", "FeedStatistics", "SubscriptionState"]


class SubscriptionState(enum.Enum):
    """How far a subscription has come."""

    REQUESTED = "requested"
    """It has been asked for, or will be; the exchange has not answered."""
    CONFIRMED = "confirmed"
    """The exchange said yes; the first data has not come."""
    LIVE = "live"
    """Its data comes, and has passed every check."""
    RESYNCING = "resyncing"
    """It failed, or was lost with its connection, and is being subscribed again."""
    REFUSED = "refused"
    """The exchange refused it on a reconnect; it is asked for again on the next connection."""
    PARKED = "parked"
    """It failed too often in a row; it is tried again after ``Settings.park_time``."""


@attrs.define
class Counters:
    """The running numbers of a client."""

    attempts: int = 0
    budget_waits: int = 0
    connects: int = 0
    losses: int = 0
    frames: int = 0
    heartbeats: int = 0
    events: int = 0
    checksums_verified: int = 0
    checksum_failures: int = 0
    crossed: int = 0
    malformed: int = 0
    late: int = 0
    unmatched_answers: int = 0
    requests_sent: int = 0
    refusals: int = 0
    rate_limited: int = 0
    resyncs: int = 0
    stale: int = 0
    parked: int = 0
    gaps: int = 0
    trades_missed: int = 0
    pings_sent: int = 0
    keepalives_sent: int = 0


@attrs.frozen(kw_only=True)
class ClientStatistics:
    """A client's numbers, at one moment. Counts are since the client was opened."""

    state: ConnectionState
    epoch: int
    """The current or last connection's number; 0 before the first."""
    system_status: str | None
    """:attr:`Client.system_status <kraken_trio.Client.system_status>`."""
    subscriptions: Mapping[Request, SubscriptionState]
    """What is wanted from the exchange, and how far each has come."""
    feeds: int
    """Open feeds."""
    ping_seconds: float | None
    """How long the last application ping took."""
    last_mismatch: ChecksumEvidence | None = attrs.field(eq=False)
    """The evidence of the last failed checksum."""
    warnings: tuple[str, ...]
    """What the exchange warned of when it accepted requests; each once, at most 64."""
    unknown: Mapping[str, int]
    """What came that this version does not know (channels, fields, values), and how often."""

    attempts: int
    """Connection attempts."""
    budget_waits: int
    """Those that had to wait, because too many had been made (:attr:`Settings.connect_budget`)."""
    connects: int
    """Connections made."""
    losses: int
    """Connections lost."""
    frames: int
    """Frames received."""
    heartbeats: int
    events: int
    """Events made for feeds; one that goes to three feeds counts three times."""
    checksums_verified: int
    checksum_failures: int
    crossed: int
    """Books found crossed without a checksum that says so, and therefore resynced."""
    malformed: int
    """Frames, or levels of a book, that made no sense."""
    late: int
    """Data that came for a subscription which had ended, or not begun; dropped."""
    unmatched_answers: int
    """Answers to nothing that was asked; ignored."""
    requests_sent: int
    """Subscribe and unsubscribe requests."""
    refusals: int
    """Symbols that were refused, for whatever reason."""
    rate_limited: int
    """Refusals with "Exceeded msg rate"."""
    resyncs: int
    """Subscriptions that were subscribed again after a failure, without a lost connection."""
    stale: int
    """Subscriptions that did not move while their symbol traded, and therefore were subscribed again."""
    parked: int
    """Subscriptions put aside after too many failures."""
    gaps: int
    """Gaps announced; one that goes to three feeds counts three times."""
    trades_missed: int
    """Trades that the exchange numbered and that never came."""
    pings_sent: int
    """Application pings."""
    keepalives_sent: int
    """WebSocket PINGs."""
    log_lines_left_out: int
    """Log lines beyond ``Settings.log_rate``."""


@attrs.frozen(kw_only=True)
class FeedStatistics:
    """A feed's numbers, at one moment."""

    buffered: int
    """Events that wait to be received. They may be more than ``capacity``: by one batch of frames with
    ``BACKPRESSURE``, by one for each channel and symbol with ``CONFLATE``, by two (a gap, and a book's snapshot) with
    ``DROP_OLDEST``."""
    capacity: int
    """What it was opened with."""
    high_water: int
    """The most events that have ever waited."""
    delivered: int
    """Events received by the program."""
    dropped: int
    """Events that the program never gets: dropped by ``DROP_OLDEST`` (its gaps tell of them), or left out at the end by
    :class:`~kraken_trio.ConsumerTooSlow`."""
    conflated: int
    """Events in whose place the program gets a later one, or one made of several: with ``CONFLATE`` any; with
    ``DROP_OLDEST`` gaps and changes of state."""
    held_seconds: float
    """How long this feed has held up reading, all in all, up to now. Only ``BACKPRESSURE`` does."""
