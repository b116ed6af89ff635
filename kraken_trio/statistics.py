"""Counters: plain slots on the hot path, and frozen copies for users."""

from __future__ import annotations

import enum
from itertools import accumulate
from typing import TYPE_CHECKING, Final, Literal

import attrs
import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from kraken_trio.events import Cause, ConnectionState
    from kraken_trio.evidence import ChecksumEvidence
    from kraken_trio.requests import Request

__all__ = [
    "ClientStatistics",
    "Counted",
    "Counters",
    "Distribution",
    "FeedStatistics",
    "Histogram",
    "RecordingStatistics",
    "SubscriptionState",
    "SubscriptionStatistics",
]

_STEP_NS: Final = 10_000
"""The first bound. Each of the others is twice the one before."""
_BOUNDED: Final = 21
"""How many bounds there are: up to 10 s."""
_SLOTS: Final = 80
"""More than any observation needs: one of 2**63 ns needs 50."""


@attrs.frozen
class Distribution:
    """How often something took how long. Without arguments: it never happened."""

    counts: tuple[int, ...] = (0,) * (_BOUNDED + 1)
    """How many observations took no longer than each of :meth:`bounds`, and longer than the one before; the last number
    is of those beyond all bounds."""
    sum: float = 0.0
    """The sum of all observations, in seconds."""

    @staticmethod
    def bounds() -> tuple[float, ...]:
        """10 µs, 20 µs, 40 µs, and so on, each twice the one before, up to 10.5 s."""
        return _BOUNDS

    @property
    def count(self) -> int:
        """How many observations there are."""
        return sum(self.counts)

    def cumulative(self) -> tuple[int, ...]:
        """For each of :meth:`bounds`, how many observations took no longer; last, how many there are."""
        return tuple(accumulate(self.counts))

    def quantile(self, share: float) -> float | None:
        """A bound that so large a share of the observations, from 0 to 1, did not exceed. None if there is none."""
        if not self.count:
            return None
        wanted = share * self.count
        reached = zip(_BOUNDS, self.cumulative(), strict=False)  # without the last, which has no bound
        return next((bound for bound, count in reached if count >= wanted), float("inf"))


_BOUNDS: Final[tuple[float, ...]] = tuple(_STEP_NS * 2**power / 1e9 for power in range(_BOUNDED))


class Histogram:
    """Counts how long something takes, in plain slots."""

    __slots__ = ("_slots", "_sum_ns")

    def __init__(self) -> None:
        self._slots = [0] * _SLOTS
        self._sum_ns = 0

    def observe(self, ns: int) -> None:
        """Count one that took so many nanoseconds, fewer than 2**63; a negative number counts as 0."""
        if ns > 0:
            self._slots[((ns - 1) // _STEP_NS).bit_length()] += 1
            self._sum_ns += ns
        else:
            self._slots[0] += 1

    def distribution(self) -> Distribution:
        """All that was counted so far."""
        slots = self._slots
        return Distribution((*slots[:_BOUNDED], sum(slots[_BOUNDED:])), self._sum_ns / 1e9)


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


class SubscriptionStatistics(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A wanted subscription's numbers, at one moment: since it is wanted without a break, by one feed or another."""

    # A struct, as events are: a scrape makes one for each of thousands, in a seventh of an attrs class's time.

    state: SubscriptionState
    """How far it has come."""
    age: float
    """How many seconds it has been wanted; in a replay, in the log."""
    attempts: int = 0
    """How often the exchange was asked for it: once per connection, and again after a refusal, failure or silence."""
    last_received_ns: int | None = None
    """When its last data was received, as ``received_ns`` of its events; None before the first. It outlives a gap."""
    data_age: float | None = None
    """How many seconds ago that was; None before the first."""


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
    gaps_by_cause: dict[Cause, int] = attrs.Factory(dict)


@attrs.frozen(kw_only=True)
class Counted:
    """What was counted of a client's records, at one moment: see :class:`ClientStatistics`."""

    state_seconds: Mapping[ConnectionState, float] = attrs.Factory(dict)
    connect_failures: int = 0
    losses_by_cause: Mapping[Cause, int] = attrs.Factory(dict)
    reconnects_by_cause: Mapping[Cause, int] = attrs.Factory(dict)
    resyncs_by_cause: Mapping[Cause, int] = attrs.Factory(dict)
    slow_consumers: int = 0


@attrs.frozen(kw_only=True)
class RecordingStatistics:
    """A recording's numbers, at one moment."""

    batches: int
    """Batches of frames that were recorded."""
    frames: int
    written_bytes: int
    """Of finished blocks, before they were compressed."""
    disk_bytes: int
    """The same, as they are in the files."""
    pending_bytes: int
    """Packed, and not yet written."""
    lag: float
    """How old the oldest of them is, in seconds."""
    dropped_batches: int
    """Left out, because the disk did not keep up; the log says where."""
    dropped_frames: int
    segments: int
    """That were begun."""
    failure: str | None
    """Why nothing can be written now; None if all is well."""


@attrs.frozen(kw_only=True)
class ClientStatistics:
    """A client's numbers, at one moment. Counts are since the client was opened."""

    state: ConnectionState
    epoch: int
    """The current or last connection's number; 0 before the first."""
    system_status: str | None
    """:attr:`Client.system_status <kraken_trio.Client.system_status>`."""
    subscriptions: Mapping[Request, SubscriptionStatistics]
    """The wanted subscriptions, in the order in which they came: how far each has come, and its numbers."""
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
    """Those that took the general path: all of them if ``core`` is ``"pure"``, otherwise the unusual ones. Behind a
    broker all, too, since there are no frames; the compiled core verifies those events all the same."""
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

    taken_ns: int = 0
    """When these numbers were taken, by the client's wall clock, as ``received_ns`` is; in a replay, by the log's."""
    messages: Mapping[str, int] = attrs.Factory(dict)
    """Frames received, by channel. Those that belong to none are ``control`` (answers, heartbeats, statuses) and
    ``malformed``."""
    message_bytes: Mapping[str, int] = attrs.Factory(dict)
    """Their sizes: bytes, or characters of text."""
    gaps_by_cause: Mapping[Cause, int] = attrs.Factory(dict)
    """``gaps``, by cause."""
    state_seconds: Mapping[ConnectionState, float] = attrs.Factory(dict)
    """How long the client has been in each state."""
    connect_failures: int = 0
    """Connection attempts that failed."""
    losses_by_cause: Mapping[Cause, int] = attrs.Factory(dict)
    """``losses``, by cause."""
    reconnects_by_cause: Mapping[Cause, int] = attrs.Factory(dict)
    """Connections made after one was lost, by the cause of that loss."""
    resyncs_by_cause: Mapping[Cause, int] = attrs.Factory(dict)
    """``resyncs``, by cause."""
    slow_consumers: int = 0
    """Feeds that were ended with :class:`~kraken_trio.ConsumerTooSlow`."""
    connect_budget_left: int | None = None
    """How many connection attempts may be made now; None if they are not counted, as on this machine."""
    delivered: int = 0
    """Events received by the program, from all feeds, those that were closed included."""
    dropped: int = 0
    """:attr:`FeedStatistics.dropped` of all feeds."""
    conflated: int = 0
    """:attr:`FeedStatistics.conflated` of all feeds."""
    held_seconds: float = 0.0
    """:attr:`FeedStatistics.held_seconds` of all feeds."""
    queue_ratio: float = 0.0
    """How full the fullest feed is: its waiting events by its capacity."""
    lag: Distribution = Distribution()
    """From the exchange's timestamp of a trade or an update of a book to its receipt. It needs synchronised clocks: see
    ``clock_offset``. Less than 0 counts as 0.

    This and the following times are measured of one batch of frames in each 256 frames, and at least in each second."""
    clock_offset: float | None = None
    """An estimate of how many seconds this machine's clock is ahead of the exchange's: the smallest lag of the last one
    or two minutes with data, less half of ``ping_seconds``. The time that messages need to get here cannot be told
    from it while no ping was answered, as on a busy connection."""
    processing_time: Distribution = Distribution()
    """What a batch of frames needs to be decoded and verified."""
    delivery_time: Distribution = Distribution()
    """From the receipt of a batch of frames until its events are in the feeds."""
    waiting_time: Distribution = Distribution()
    """From then until the program has received the last of them."""
    recordings: Mapping[str, RecordingStatistics] = attrs.Factory(dict)
    """The recordings that are being made of this client, by their folders as they were given."""
    recorded_frames: int = 0
    """Frames taken into recordings, those that are over included; a frame that goes into two counts twice."""
    recorded_bytes: int = 0
    """What they have in files."""
    unrecorded_frames: int = 0
    """Frames that recordings had to leave out, because the disk did not keep up, or was full."""


@attrs.frozen(kw_only=True)
class FeedStatistics:
    """A feed's numbers, at one moment."""

    buffered: int
    """Events that wait to be received. They may exceed ``capacity``: by one batch of frames (behind a broker, by those
    of one message) with ``BACKPRESSURE``, by one per channel and symbol with ``CONFLATE``, by two (a gap, and a book's
    snapshot) with ``DROP_OLDEST``."""
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
