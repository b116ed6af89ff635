"""What a client counts. Plain slots on the hot path; a frozen copy for users."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kraken_trio.errors import ChecksumMismatch
    from kraken_trio.events import ConnectionState
    from kraken_trio.requests import Request
    from kraken_trio.session.subscription import SubscriptionState

__all__ = ["ClientStatistics", "Counters"]


@attrs.define
class Counters:
    """The running numbers."""

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
    standstills: int = 0
    parked: int = 0
    gaps: int = 0
    trades_missed: int = 0
    pings_sent: int = 0
    keepalives_sent: int = 0
    log_lines_left_out: int = 0


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
    last_mismatch: ChecksumMismatch | None = attrs.field(eq=False)
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
    """Books found crossed, and therefore resynced."""
    malformed: int
    """Frames that made no sense."""
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
    """Subscriptions that were made anew after a failure, without a lost connection."""
    standstills: int
    """Subscriptions that stood still while their symbol traded, and therefore were made anew."""
    parked: int
    """Subscriptions put aside after too many failures."""
    gaps: int
    """Gaps announced; one that goes to three feeds counts three times."""
    trades_missed: int
    """Trades that the exchange numbered and we never got."""
    pings_sent: int
    """Application pings."""
    keepalives_sent: int
    """WebSocket PINGs."""
    log_lines_left_out: int
    """Log lines beyond ``Settings.log_rate``."""
