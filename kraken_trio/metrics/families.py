"""Statistics as what Prometheus calls metric families: their names, types, labels and help texts. Pure code.

Counters end in ``_total``, times are in seconds, sizes in bytes. Every sample has the label ``client``; all other
labels come from closed sets, but for ``symbol``, which is bounded by ``max_series``.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

from kraken_trio import Cause, ConnectionState, Distribution, SubscriptionState, __version__
from kraken_trio.metrics.health import BOOKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.core import Metric

    from kraken_trio import ClientStatistics

__all__ = ["OTHER", "families"]

OTHER: Final = "other"
"""The label ``symbol`` of all those that are not shown each for itself."""

# Those that exist from the start, at 0: else Prometheus would not see the first one happen.
_OF_LOSSES: Final = (Cause.DISCONNECTED, Cause.SILENCE, Cause.PROTOCOL, Cause.REFUSED)
_OF_RESYNCS: Final = (Cause.CHECKSUM, Cause.CROSSED, Cause.MALFORMED, Cause.RESUBSCRIBED, Cause.MISSED)
_OF_GAPS: Final = (*_OF_LOSSES, *_OF_RESYNCS, Cause.PARKED)

_COUNTERS: Final = (
    ("connect_attempts", "attempts", "Connection attempts."),
    ("connects", "connects", "Connections made."),
    ("connect_failures", "connect_failures", "Connection attempts that failed."),
    ("connect_budget_waits", "budget_waits", "Connection attempts that had to wait for the connect budget."),
    ("checksums_verified", "checksums_verified", "Checksums of books that matched."),
    ("checksum_failures", "checksum_failures", "Checksums of books that did not match."),
    ("malformed_messages", "malformed", "Malformed frames and book messages."),
    ("requests_sent", "requests_sent", "Subscribe and unsubscribe requests."),
    ("refusals", "refusals", "Symbols that the exchange refused."),
    ("stale_subscriptions", "stale", "Subscriptions found stale, and therefore resubscribed."),
    ("parked_subscriptions", "parked", "Subscriptions parked after too many failures."),
    ("events", "events", "Events made for feeds."),
    ("events_delivered", "delivered", "Events received by the program."),
    ("events_dropped", "dropped", "Events dropped because a feed was full."),
    ("events_conflated", "conflated", "Events replaced by a later or merged one because a feed was full."),
    ("feed_held_seconds", "held_seconds", "Time for which full feeds have held up reading."),
    ("slow_consumers", "slow_consumers", "Feeds that were ended because their consumer was too slow."),
    ("log_lines_left_out", "log_lines_left_out", "Log lines beyond Settings.log_rate."),
    ("recorded_frames", "recorded_frames", "Frames taken into recordings."),
    ("recorded_bytes", "recorded_bytes", "What recordings have written into their files."),
    ("unrecorded_frames", "unrecorded_frames", "Frames missing in recordings, because the disk was slow or full."),
)
"""Names, fields of ClientStatistics, and help texts; all of them without further labels."""
_GAUGES: Final = (
    ("connect_budget_left", "connect_budget_left", "Connection attempts that may be made now."),
    ("feeds", "feeds", "Open feeds."),
    ("feed_queue_ratio", "queue_ratio", "Waiting events of the fullest feed by its capacity."),
    ("ping_round_trip_seconds", "ping_seconds", "Round trip of the last application ping."),
    ("clock_offset_seconds", "clock_offset", "How far this clock seems to be ahead of the exchange's: an estimate."),
)
_BY_CAUSE: Final = (
    ("connection_losses", "losses_by_cause", _OF_LOSSES, "Connections lost."),
    ("reconnects", "reconnects_by_cause", _OF_LOSSES, "Connections made after one was lost, by the loss."),
    ("resyncs", "resyncs_by_cause", _OF_RESYNCS, "Resubscribes on a connection that was not lost."),
    ("gaps", "gaps_by_cause", _OF_GAPS, "Gaps delivered; one that goes to three feeds counts three times."),
)
_VERIFIED: Final = SubscriptionState.LIVE
_HISTOGRAMS: Final = (
    ("exchange_to_receive_seconds", "lag", "From the exchange's timestamp to the receipt; needs synchronised clocks."),
    ("processing_seconds", "processing_time", "What a batch of frames needs to be decoded and verified."),
    ("receive_to_deliver_seconds", "delivery_time", "From the receipt of a batch until its events are in the feeds."),
    ("deliver_to_consumed_seconds", "waiting_time", "From then until the program has received them."),
)


def families(clients: Mapping[str, ClientStatistics], max_series: int) -> Iterator[Metric]:
    """The numbers of these clients, by their names."""
    build = _gauge("build_info", "Always 1: the version, and the core that keeps the books.", "version", "core")
    for name, now in clients.items():
        build.add_metric([name, __version__, now.core], 1)
    yield build
    for metric, field, text in _COUNTERS:
        counter = _counter(metric, text)
        for name, now in clients.items():
            counter.add_metric([name], getattr(now, field))
        yield counter
    for metric, field, text in _GAUGES:
        gauge = _gauge(metric, text)
        for name, now in clients.items():
            value = getattr(now, field)
            if value is not None:
                gauge.add_metric([name], value)
        yield gauge
    for metric, field, causes, text in _BY_CAUSE:
        counter = _counter(metric, text, "cause")
        for name, now in clients.items():
            counts = dict.fromkeys(causes, 0) | getattr(now, field)
            for cause, count in counts.items():
                counter.add_metric([name, cause.name.lower()], count)
        yield counter
    for metric, field, text in _HISTOGRAMS:
        histogram = HistogramMetricFamily(f"kraken_trio_{metric}", text, labels=("client",))
        for name, now in clients.items():
            distribution: Distribution = getattr(now, field)
            buckets = list(zip(_LE, distribution.cumulative(), strict=True))
            histogram.add_metric([name], buckets=buckets, sum_value=distribution.sum)
        yield histogram
    yield from _states(clients)
    yield from _channels(clients)
    yield from _subscriptions(clients)
    yield from _books(clients, max_series)
    yield from _recordings(clients)
    due = _gauge("next_attempt_timestamp_seconds", "When the next connection attempt is due, in Unix time.")
    for name, now in clients.items():
        if now.next_attempt is not None:
            due.add_metric([name], now.next_attempt.timestamp())
    yield due


_LE: Final = tuple(map(floatToGoString, (*Distribution.bounds(), float("inf"))))


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"kraken_trio_{name}", text, labels=("client", *labels))


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"kraken_trio_{name}", text, labels=("client", *labels))


def _states(clients: Mapping[str, ClientStatistics]) -> Iterator[Metric]:
    state = _gauge("connection_state", "1 for the present state, 0 for the others.", "state")
    seconds = _counter("connection_state_seconds", "Time spent in each state.", "state")
    for name, now in clients.items():
        for one in ConnectionState:
            state.add_metric([name, one.value], int(one is now.state))
            seconds.add_metric([name, one.value], now.state_seconds.get(one, 0.0))
    yield state
    yield seconds


def _channels(clients: Mapping[str, ClientStatistics]) -> Iterator[Metric]:
    messages = _counter("messages", "Frames received.", "channel")
    sizes = _counter("message_bytes", "Bytes of the frames received.", "channel")
    lost = _counter("events_lost", "Events that are missing, where their number is known.", "cause")
    for name, now in clients.items():
        for channel, count in now.messages.items():
            messages.add_metric([name, channel], count)
            sizes.add_metric([name, channel], now.message_bytes[channel])
        lost.add_metric([name, "missed"], now.trades_missed)
        lost.add_metric([name, "overflow"], now.dropped)
    yield messages
    yield sizes
    yield lost


def _subscriptions(clients: Mapping[str, ClientStatistics]) -> Iterator[Metric]:
    gauge = _gauge("subscriptions", "Wanted subscriptions, by how far each has come.", "state")
    for name, now in clients.items():
        counts = Counter(one.state._value_ for one in now.subscriptions.values())  # members are slow keys
        for state in SubscriptionState:
            gauge.add_metric([name, state.value], counts[state.value])
    yield gauge


def _books(clients: Mapping[str, ClientStatistics], max_series: int) -> Iterator[Metric]:
    total = _gauge("books", "Wanted books, by whether they are verified.", "verified")
    verified = _gauge(
        "book_verified", "1 if the book is verified, else 0; of 'other', how many are.", "channel", "symbol"
    )
    age = _gauge(
        "book_age_seconds", "Time since the book's last message; of 'other', the longest.", "channel", "symbol"
    )
    for name, now in clients.items():
        books = [
            (request, one.state is _VERIFIED, one.data_age)
            for request, one in now.subscriptions.items()
            if isinstance(request, BOOKS)
        ]
        count = sum(good for _, good, _ in books)
        total.add_metric([name, "true"], count)
        total.add_metric([name, "false"], len(books) - count)
        # Those that came first are shown each; the rest needs one series, too.
        split = len(books) if len(books) <= max_series else max_series - 1
        for request, good, seconds in books[:split]:
            labels = [name, str(request.channel), str(request.symbol)]
            verified.add_metric(labels, int(good))
            if seconds is not None:
                age.add_metric(labels, seconds)
        rest = books[split:]
        if rest:
            verified.add_metric([name, OTHER, OTHER], sum(good for _, good, _ in rest))
            longest = max((seconds for _, _, seconds in rest if seconds is not None), default=None)
            if longest is not None:
                age.add_metric([name, OTHER, OTHER], longest)
    yield total
    yield verified
    yield age


def _recordings(clients: Mapping[str, ClientStatistics]) -> Iterator[Metric]:
    count = _gauge("recordings", "Recordings that are being made; failing: they cannot be written now.", "state")
    lag = _gauge("recording_lag_seconds", "How old the oldest data are that are not in a file yet.")
    for name, now in clients.items():
        failing = sum(one.failure is not None for one in now.recordings.values())
        count.add_metric([name, "writing"], len(now.recordings) - failing)
        count.add_metric([name, "failing"], failing)
        lag.add_metric([name], max((one.lag for one in now.recordings.values()), default=0.0))
    yield count
    yield lag
