"""Names, labels and bounds of the metrics."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

import kraken_trio as kt
from kraken_trio.metrics.families import families
from kraken_trio.metrics.health import problems
from kraken_trio.statistics import Histogram
from tests.metrics.scraping import samples, statistics, value

LIVE, RESYNCING, CONFIRMED = kt.SubscriptionState.LIVE, kt.SubscriptionState.RESYNCING, kt.SubscriptionState.CONFIRMED
CLOSED_LABELS = {"client", "state", "cause", "channel", "symbol", "verified", "le", "version", "core"}


class Fixed:
    """A collector of these statistics."""

    def __init__(self, max_series: int, **clients: kt.ClientStatistics) -> None:
        self._clients, self._max_series = clients, max_series

    def collect(self):  # type: ignore[no-untyped-def]  # as prometheus_client's are
        return families(self._clients, self._max_series)


def text_of(max_series: int = 100, **clients: kt.ClientStatistics) -> str:
    registry = CollectorRegistry()
    registry.register(Fixed(max_series, **clients))
    return generate_latest(registry).decode()


def books(count: int, *bad: int) -> dict[kt.Request, kt.SubscriptionState]:
    return {kt.Book(f"S{number}/USD"): RESYNCING if number in bad else LIVE for number in range(count)}


def test_names_follow_the_conventions() -> None:
    registry = CollectorRegistry()
    registry.register(Fixed(9, a=statistics(books(3))))
    for family in registry.collect():
        assert re.fullmatch(r"kraken_trio_[a-z_]+", family.name), family.name
        assert family.documentation
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
        assert not re.search(r"_(ms|us|ns|milliseconds|kb|percent)\b", family.name)
        for sample in family.samples:
            assert set(sample.labels) <= CLOSED_LABELS
            assert sample.labels["client"] == "a"


def test_causes_are_there_before_anything_happens() -> None:
    text = text_of(a=statistics())
    for cause in ("disconnected", "silence"):
        assert value(text, "kraken_trio_connection_losses_total", cause=cause) == 0
    for cause in ("checksum", "resubscribed"):
        assert value(text, "kraken_trio_resyncs_total", cause=cause) == 0
    now = statistics(gaps_by_cause={kt.Cause.FAILOVER: 2}, resyncs_by_cause={kt.Cause.CHECKSUM: 3})
    text = text_of(a=now)
    assert value(text, "kraken_trio_gaps_total", cause="failover") == 2
    assert value(text, "kraken_trio_resyncs_total", cause="checksum") == 3


def test_what_is_unknown_is_missing() -> None:
    names = {name for name, _ in samples(text_of(a=statistics()))}
    assert not names & {
        "kraken_trio_connect_budget_left",
        "kraken_trio_ping_round_trip_seconds",
        "kraken_trio_clock_offset_seconds",
        "kraken_trio_next_attempt_timestamp_seconds",
    }
    text = text_of(a=statistics(connect_budget_left=0, ping_seconds=0.02, clock_offset=-0.5))
    assert value(text, "kraken_trio_connect_budget_left") == 0
    assert value(text, "kraken_trio_ping_round_trip_seconds") == 0.02
    assert value(text, "kraken_trio_clock_offset_seconds") == -0.5


def test_a_histogram_is_one_of_prometheus() -> None:
    histogram = Histogram()
    for ns in (5_000, 15_000, 15_000, 10**12):
        histogram.observe(ns)
    text = text_of(a=statistics(processing_time=histogram.distribution()))
    name = "kraken_trio_processing_seconds"
    assert value(text, f"{name}_bucket", le="1e-05") == 1
    assert value(text, f"{name}_bucket", le="2e-05") == 3
    assert value(text, f"{name}_bucket", le="10.48576") == 3
    assert value(text, f"{name}_bucket", le="+Inf") == value(text, f"{name}_count") == 4
    assert value(text, f"{name}_sum") == pytest.approx(1000.000035)


@given(st.integers(0, 12), st.integers(1, 8), st.sets(st.integers(0, 11)))
def test_symbols_are_bounded_and_the_rest_is_summed(count: int, max_series: int, bad: set[int]) -> None:
    wanted = books(count, *bad)
    now = statistics(wanted, {book: 10.0 + n for n, book in enumerate(wanted)})
    found = samples(text_of(max_series, a=now))
    verified = {dict(labels)["symbol"]: v for (name, labels), v in found.items() if name == "kraken_trio_book_verified"}
    ages = {dict(labels)["symbol"]: v for (name, labels), v in found.items() if name == "kraken_trio_book_age_seconds"}
    assert len(verified) == len(ages) == min(count, max_series)
    good = count - len(bad & set(range(count)))
    assert sum(verified.values()) == good
    assert found["kraken_trio_books", frozenset({("verified", "true")})] == good
    assert found["kraken_trio_books", frozenset({("verified", "false")})] == count - good
    assert ("other" in verified) is (count > max_series)
    if count:
        assert max(ages.values()) == 10 + count - 1
    assert list(verified)[: max_series - 1] == [str(book.symbol) for book in wanted][: max_series - 1]


def test_a_book_without_data_has_no_age() -> None:
    found = samples(text_of(a=statistics(books(2, 1), {kt.Book("S0/USD"): 0.5})))
    (age,) = (v for (name, _), v in found.items() if name == "kraken_trio_book_age_seconds")
    assert age == 0.5
    now = statistics(books(2, 0, 1))
    assert not [name for name, _ in samples(text_of(1, a=now)) if name == "kraken_trio_book_age_seconds"]


@pytest.mark.parametrize(
    ("state", "subscriptions", "found"),
    [
        pytest.param("SUBSCRIBED", {kt.Book("A/B"): LIVE, kt.Trades("A/B"): CONFIRMED}, [], id="all-well"),
        pytest.param("RESYNCING", {kt.Book("A/B"): CONFIRMED}, ["x: Book('A/B'): confirmed"], id="unverified"),
        pytest.param("RESYNCING", {kt.Level3("A/B"): RESYNCING}, ["x: Level3('A/B'): resyncing"], id="resync"),
        pytest.param("CONNECTING", {kt.Book("A/B"): RESYNCING}, ["x: not connected (connecting)"], id="connecting"),
        pytest.param("DISCONNECTED", {}, ["x: not connected (disconnected)"], id="disconnected"),
    ],
)
def test_health_is_that_of_everything_that_is_wanted(
    state: str, subscriptions: dict[kt.Request, kt.SubscriptionState], found: list[str]
) -> None:
    now = statistics(subscriptions, state=kt.ConnectionState[state])
    lines = list(problems("x", now))
    assert len(lines) == len(found)
    for line, expected in zip(lines, found, strict=True):
        assert line.split(": ")[-1] == expected.split(": ")[-1]


def test_the_next_attempt_is_told() -> None:
    due = datetime(2026, 11, 29, 17, 26, 49, 847000, UTC)
    now = statistics(state=kt.ConnectionState.DISCONNECTED, next_attempt=due)
    assert list(problems("x", now)) == [
        "x: not connected (disconnected); the next attempt is due at 2026-11-29T17:26:49Z"
    ]
    assert value(text_of(a=now), "kraken_trio_next_attempt_timestamp_seconds") == due.timestamp()


def recording(failure: str | None = None, lag: float = 0.1) -> kt.RecordingStatistics:
    zeros: dict[str, Any] = dict.fromkeys((field.name for field in attrs.fields(kt.RecordingStatistics)), 0)
    return kt.RecordingStatistics(**zeros | {"failure": failure, "lag": lag})


def test_a_recording_that_cannot_be_written_is_not_healthy() -> None:
    good, bad = recording(), recording("No space left on device", 7.5)
    now = statistics(recordings={"data": good, "b\n": bad}, recorded_frames=5, unrecorded_frames=2)
    assert list(problems("x", now)) == [r"x: the recording into 'b\n' cannot be written: No space left on device"]
    assert list(problems("x", statistics(recordings={"data": good}))) == []
    text = text_of(a=now)
    assert value(text, "kraken_trio_recordings", state="writing") == 1
    assert value(text, "kraken_trio_recordings", state="failing") == 1
    assert value(text, "kraken_trio_recording_lag_seconds") == 7.5
    assert value(text, "kraken_trio_recorded_frames_total") == 5
    assert value(text, "kraken_trio_unrecorded_frames_total") == 2
    text = text_of(a=statistics())
    assert value(text, "kraken_trio_recordings", state="failing") == 0
    assert value(text, "kraken_trio_recording_lag_seconds") == 0
