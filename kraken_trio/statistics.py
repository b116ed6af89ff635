"""Counters: plain slots on the hot path, and frozen copies for users."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Literal

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from kraken_trio.events import ConnectionState
    from kraken_trio.evidence import ChecksumEvidence
    from kraken_trio.requests import Request

__all__ = ["ClientStatistics", "Counters", "FeedStatistics", "SubscriptionState"]


class SubscriptionState(enum.Enum):
    """How far a subscription has come."""

    REQUESTED = "requested"
    """Requested, or about to be; the exchange has not answered."""
    CONFIRMED = "confirmed"
    """The exchange confirmed it; the first data has not come."""
    LIVE = "live"
    """It receives data, which has passed every check."""
    RESYNCING = "resyncing"
    """It failed, or was lost with its connection, and is being resubscribed."""
    REFUSED = "refused"
    """The exchange refused it on a reconnect; it is requested again on the next connection."""
    PARKED = "parked"
    """It failed too often in a row; it is requested again after ``Settings.park_time``."""


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
    compiled_updates: int = 0
    pure_updates: int = 0
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
    fills_recovered: int = 0
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
    """The wanted subscriptions, and how far each has come."""
    feeds: int
    """Open feeds."""
    ping_seconds: float | None
    """How long the last application ping took."""
    last_mismatch: ChecksumEvidence | None = attrs.field(eq=False)
    """The evidence of the last failed checksum."""
    core: Literal["compiled", "pure"]
    """Which code keeps the books: the compiled core, or the pure one. Both give the same events."""
    warnings: tuple[str, ...]
    """Warnings from the exchange's confirmations; each once, at most 64."""
    unknown: Mapping[str, int]
    """Channels, fields and values that this version does not know, and how often they came."""

    attempts: int
    """Connection attempts."""
    budget_waits: int
    """Those that had to wait for the connect budget (``Settings.connect_budget``)."""
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
    compiled_updates: int
    """Updates of books that the compiled core took from the frame to the feeds."""
    pure_updates: int
    """Those that took the general path: all of them if ``core`` is ``"pure"``, otherwise the unusual ones."""
    crossed: int
    """Books that were crossed without a checksum, and therefore resynced."""
    malformed: int
    """Malformed frames and book messages."""
    late: int
    """Events for subscriptions that had ended, or not begun; dropped."""
    unmatched_answers: int
    """Answers that match no request; ignored."""
    requests_sent: int
    """Subscribe and unsubscribe requests."""
    refusals: int
    """Refused symbols, for any reason."""
    rate_limited: int
    """Refusals with "Exceeded msg rate"."""
    resyncs: int
    """Resubscribes on a connection that was not lost: after failures, and of stale subscriptions."""
    stale: int
    """Subscriptions found stale: without data while their symbol traded, and therefore resubscribed."""
    parked: int
    """Subscriptions parked after too many failures."""
    gaps: int
    """Gaps delivered; one that goes to three feeds counts three times."""
    trades_missed: int
    """Missing trades, by the exchange's numbers."""
    fills_recovered: int
    """Fills of the account that happened while there was no connection, and were delivered afterwards."""
    pings_sent: int
    """Application pings."""
    keepalives_sent: int
    """WebSocket PINGs."""
    log_lines_left_out: int
    """Log lines beyond ``Settings.log_rate``."""
    next_attempt: datetime | None = None
    """When the next attempt to connect is due (UTC, by this machine's clock), or later if the connect budget is spent;
    None while there is a connection or an attempt, and after the end."""


@attrs.frozen(kw_only=True)
class FeedStatistics:
    """A feed's numbers, at one moment."""

    buffered: int
    """Events that wait to be received. They may exceed ``capacity``: by one batch of frames with ``BACKPRESSURE``, by
    one per channel and symbol with ``CONFLATE``, by two (a gap, and a book's snapshot) with ``DROP_OLDEST``."""
    capacity: int
    """The capacity with which it was opened."""
    high_water: int
    """The largest number of events that have waited."""
    delivered: int
    """Events received by the program."""
    dropped: int
    """Events that the program never gets: dropped by ``DROP_OLDEST`` (and counted in its gaps), or discarded with
    :class:`~kraken_trio.ConsumerTooSlow`."""
    conflated: int
    """Events that were replaced by a later or merged one: any with ``CONFLATE``; gaps and state changes with
    ``DROP_OLDEST``."""
    held_seconds: float
    """Total time for which this feed has held up reading; only with ``BACKPRESSURE``."""
