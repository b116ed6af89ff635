"""Records become log lines: one line each, printable, not more than the settings allow, with the promised fields."""

from __future__ import annotations

import itertools
import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

import pytest
import structlog
from hypothesis import given, strategies as st
from pythonjsonlogger.json import JsonFormatter

import kraken_trio as kt
from kraken_trio import Cause, ConnectionState
from kraken_trio.session import records as rec
from kraken_trio.session.timing import TokenBucket
from kraken_trio.telemetry.lines import COMMON, EVENTS, Line, line_of
from kraken_trio.telemetry.log import LogLines, LogThrottle
from kraken_trio.telemetry.trouble import Toll
from kraken_trio.wire.messages import RefusalKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NASTY = "\x1b[2J evil\r\nERROR forged " + "x" * 2000
SHOWN = "\\x1b[2J evil\\r\\nERROR forged xxxxxxxxxx…"
SHORT = [f"S{number}/USD" for number in range(4)]
BOOK = kt.Book("BTC/USD")
OFF, CONNECTING, ON, RESYNCING = (
    ConnectionState.DISCONNECTED,
    ConnectionState.CONNECTING,
    ConnectionState.SUBSCRIBED,
    ConnectionState.RESYNCING,
)
TOLL = Toll(cause=Cause.SILENCE, seconds=12.3456, attempts=3, gaps=4, symbols=("BTC/USD", "ETH/USD"), resyncs=1)
RETRY_AT = datetime(2026, 11, 29, 12, 0, 1, tzinfo=UTC)


def changed(
    previous: ConnectionState,
    current: ConnectionState,
    cause: Cause,
    detail: str = "",
    retry_at: datetime | None = None,
) -> rec.StateChanged:
    change = kt.StateChange(previous=previous, current=current, cause=cause, detail=detail, epoch=3, retry_at=retry_at)
    return rec.StateChanged(change=change)


EVIDENCE = kt.ChecksumEvidence(symbol="BTC/USD", expected=1, computed=2, hashed="123", message="{}")

CASES: list[tuple[rec.Record, Toll | None, int, str, str]] = [
    (changed(CONNECTING, RESYNCING, Cause.CONNECTED), None, 0, "connected", "connected"),
    (
        changed(CONNECTING, OFF, Cause.CONNECT_FAILED, "refused", RETRY_AT),
        None,
        1,
        "connect_failed",
        "cannot connect: refused",
    ),
    (
        changed(CONNECTING, OFF, Cause.CONNECT_FAILED, "refused"),
        None,
        7,
        "connect_failed",
        "cannot connect, attempt 7: refused",
    ),
    (
        changed(ON, OFF, Cause.SILENCE, "no frame for 10 s", RETRY_AT),
        None,
        0,
        "connection_lost",
        "the connection is lost (silence: no frame for 10 s)",
    ),
    (
        changed(CONNECTING, OFF, Cause.REFUSED, "HTTP 403"),
        None,
        0,
        "connection_refused",
        "the exchange refuses the connection for good: HTTP 403",
    ),
    (
        changed(CONNECTING, RESYNCING, Cause.CONNECTED),
        TOLL,
        3,
        "reconnected",
        "connected again after 12.3 s, 3 attempts; 4 gaps (BTC/USD, ETH/USD), 1 resync",
    ),
    (
        changed(RESYNCING, ON, Cause.SETTLED),
        TOLL,
        0,
        "recovered",
        "everything is verified again after 12.3 s; 4 gaps (BTC/USD, ETH/USD), 1 resync",
    ),
    (
        changed(CONNECTING, ON, Cause.CONNECTED),
        Toll(cause=Cause.DISCONNECTED, seconds=0.04, attempts=1, gaps=0, symbols=(), resyncs=0),
        1,
        "reconnected",
        "connected again after 40 ms, 1 attempt; no gaps",
    ),
    (
        changed(RESYNCING, ON, Cause.SETTLED),
        Toll(
            cause=Cause.DISCONNECTED,
            seconds=1.0,
            attempts=1,
            gaps=31,
            symbols=(NASTY, *(f"S{number}/USD" for number in range(29))),
            resyncs=2,
        ),
        0,
        "recovered",
        f"everything is verified again after 1.0 s; 31 gaps ({SHOWN}, {', '.join(SHORT)} and 25 more), 2 resyncs",
    ),
    (
        changed(RESYNCING, ON, Cause.SETTLED),
        Toll(cause=Cause.DISCONNECTED, seconds=1.0, attempts=1, gaps=1, symbols=(), resyncs=0),
        0,
        "recovered",
        "everything is verified again after 1.0 s; 1 gap",
    ),
    (changed(OFF, CONNECTING, Cause.RETRY), None, 2, "state_changed", "disconnected → connecting (retry)"),
    (changed(ON, OFF, Cause.CLOSED, "bye"), None, 0, "state_changed", "subscribed → disconnected (closed: bye)"),
    (
        rec.ExchangeStatus(status=kt.StatusUpdate(system="maintenance"), is_new_system=True),
        None,
        0,
        "exchange_status",
        "the exchange's status is maintenance",
    ),
    (rec.AttemptDelayed(why="it waits"), None, 0, "attempt_delayed", "it waits"),
    (rec.FrameMalformed(detail="no JSON"), None, 0, "frame_malformed", "a frame could not be decoded: no JSON"),
    (rec.NoticeReceived(text="soon"), None, 0, "notice_received", "notice from the exchange or a proxy: soon"),
    (rec.ExchangeWarned(text="old"), None, 0, "exchange_warned", "the exchange warns: old"),
    (rec.KeyWarned(text="it may trade"), None, 0, "key_warned", "it may trade"),
    (
        rec.RequestRefused(symbol="NO/USD", text="no", kind=RefusalKind.FINAL),
        None,
        0,
        "request_refused",
        "the exchange refused NO/USD: no",
    ),
    (
        rec.RequestRefused(symbol=None, text="no", kind=RefusalKind.FINAL),
        None,
        0,
        "request_refused",
        "the exchange refused a request: no",
    ),
    (rec.UnmatchedRefusal(text="no"), None, 0, "refusal_unmatched", "a refusal that matches no request: no"),
    (
        rec.Resynced(request=BOOK, cause=Cause.CHECKSUM, detail="1 is not 2", attempt=1, evidence=EVIDENCE),
        None,
        0,
        "resync",
        f"{BOOK}: resync, checksum: 1 is not 2",
    ),
    (
        rec.Resynced(request=BOOK, cause=Cause.MALFORMED, detail="what", attempt=2),
        None,
        0,
        "resync",
        f"{BOOK}: resync, malformed: what",
    ),
    (
        rec.StayedWithoutData(request=BOOK),
        None,
        0,
        "no_data",
        f"{BOOK}: no data, even after it was resubscribed; it stays subscribed",
    ),
    (
        rec.Parked(request=BOOK, detail="why", attempts=5, seconds=900.0),
        None,
        0,
        "parked",
        f"{BOOK}: parked: why (after 5 attempts; next attempt in 900 s)",
    ),
    (
        rec.ConsumerFailed(requests=(BOOK, kt.Balances()), detail="too slow"),
        None,
        0,
        "consumer_too_slow",
        f"the feed of {BOOK}, {kt.Balances()}: too slow",
    ),
    (rec.RecordingFailed(detail="full"), None, 0, "recording_failed", "recording: full"),
    (rec.RecordingDamaged(detail="torn"), None, 0, "recording_damaged", "the recording is damaged: torn"),
    (rec.RecordingResumed(batches=0), None, 0, "recording_resumed", "recording: it goes on"),
    (
        rec.RecordingResumed(batches=2),
        None,
        0,
        "recording_resumed",
        "recording: it goes on; 2 batches of frames are missing",
    ),
    (rec.SegmentHealed(name="1.mcap", detail="done"), None, 0, "segment_healed", "recording: 1.mcap: done"),
    (rec.UploadFailed(path="1.mcap", detail="403"), None, 0, "upload_failed", "recording: on_segment(1.mcap): 403"),
]
SILENT = (
    rec.StepTaken,
    rec.SubscriptionBegun,
    rec.StateReset,
    rec.GapAnnounced,
    rec.PhaseBegun,
    rec.AttemptFailed,
    rec.ClientLeft,
)


def test_every_event_and_every_record_has_a_case() -> None:
    assert {name for *_, name, _ in CASES} == EVENTS.keys()
    assert {type(record) for record, *_ in CASES} | {*SILENT} == set(get_args(rec.Record))


@pytest.mark.parametrize(("record", "toll", "attempts", "name", "text"), CASES)
def test_a_line_has_the_name_the_level_and_the_fields_that_are_promised(
    record: rec.Record, toll: Toll | None, attempts: int, name: str, text: str
) -> None:
    line = line_of(record, toll, attempts)
    assert line is not None
    assert (line.event, line.text, line.level) == (name, text, EVENTS[name].level)
    assert tuple(sorted(line.fields)) == tuple(sorted(EVENTS[name].fields))
    for value in line.fields.values():
        values = value if isinstance(value, list) else [value]
        assert all(one is None or type(one) in (str, int, float) for one in values)
        assert all(one.isprintable() for one in values if isinstance(one, str))


def test_what_the_fields_say() -> None:
    def fields(record: rec.Record, toll: Toll | None = None, attempts: int = 0) -> dict[str, Any]:
        line = line_of(record, toll, attempts)
        assert line is not None
        return dict(line.fields)

    assert fields(changed(CONNECTING, RESYNCING, Cause.CONNECTED), TOLL) == {
        "epoch": 3,
        "cause": "silence",
        "outage_seconds": 12.346,
        "attempts": 3,
        "gaps": 4,
        "symbols": ["BTC/USD", "ETH/USD"],
        "symbol_count": 2,
        "resyncs": 1,
    }
    assert fields(changed(CONNECTING, OFF, Cause.CONNECT_FAILED, "no", RETRY_AT), attempts=2) == {
        "detail": "no",
        "attempts": 2,
        "retry_at": "2026-11-29T12:00:01.000Z",
    }
    resync = rec.Resynced(request=BOOK, cause=Cause.CHECKSUM, detail="d", attempt=1, evidence=EVIDENCE)
    assert fields(resync) == {
        "request": str(BOOK),
        "channel": "book",
        "symbol": "BTC/USD",
        "cause": "checksum",
        "detail": "d",
        "attempts": 1,
        "expected": 1,
        "computed": 2,
    }
    refused = rec.RequestRefused(symbol="NO/USD", text="no", kind=RefusalKind.FINAL)
    assert fields(refused) == {"symbol": "NO/USD", "detail": "no", "kind": "final"}


def test_lost_and_reconnected_are_equally_loud() -> None:
    levels = {
        EVENTS[name].level for name in ("connection_lost", "connect_failed", "reconnected", "recovered", "resync")
    }
    assert levels == {logging.WARNING}


@pytest.mark.parametrize(
    "record",
    [
        rec.ExchangeStatus(status=kt.StatusUpdate(system=NASTY), is_new_system=True),
        rec.FrameMalformed(detail=NASTY),
        rec.NoticeReceived(text=NASTY),
        rec.ExchangeWarned(text=NASTY),
        rec.RequestRefused(symbol=NASTY, text=NASTY, kind=RefusalKind.FINAL),
        rec.UnmatchedRefusal(text=NASTY),
        rec.Resynced(request=BOOK, cause=Cause.CHECKSUM, detail=NASTY, attempt=1),
        rec.Parked(request=BOOK, detail=NASTY, attempts=1, seconds=1.0),
        rec.RecordingFailed(detail=NASTY),
        rec.SegmentHealed(name=NASTY, detail=NASTY),
        rec.UploadFailed(path=NASTY, detail=NASTY),
        rec.ConsumerFailed(requests=(BOOK,) * 100, detail=NASTY),
    ],
)
def test_what_a_peer_says_is_one_line_of_bounded_length(record: rec.Record) -> None:
    line = line_of(record)
    assert line is not None
    for text in (line.text, *line.fields.values()):
        for one in text if isinstance(text, list) else [text]:
            assert not isinstance(one, str) or (one.isprintable() and len(one) <= 1100)
    assert len(line.fields.get("requests", ())) <= 20


@pytest.mark.parametrize(
    "record",
    [
        rec.ExchangeStatus(status=kt.StatusUpdate(system="online"), is_new_system=False),
        rec.GapAnnounced(gap=kt.Gap(symbol=None, cause=Cause.SILENCE), keys=()),
        rec.SubscriptionBegun(request=BOOK),
    ],
)
def test_what_is_not_logged(record: rec.Record) -> None:
    assert line_of(record) is None


# The rate


@given(st.floats(0.1, 100), st.integers(1, 20), st.lists(st.floats(0, 2), max_size=100))
def test_lines_are_admitted_at_a_rate_and_none_is_left_out_uncounted(
    rate: float, burst: int, waits: list[float]
) -> None:
    throttle, bucket = LogThrottle(rate, burst), TokenBucket(rate, burst)
    line = Line("connected", "a line", {"epoch": 1})
    left_out = in_all = 0
    for now in itertools.accumulate(waits):
        admitted = throttle.admit(line, now)
        if not bucket.take(now):
            assert admitted is None
            left_out += 1
            in_all += 1
        else:
            text = f"a line (before this, {left_out} lines were left out)" if left_out else "a line"
            assert admitted == Line("connected", text, {"epoch": 1, "left_out": left_out})
            left_out = 0
    assert throttle.left_out == in_all


def test_no_flood_hides_that_the_connection_was_lost_and_is_back() -> None:
    log = LogLines("x", kt.Settings(log_rate=1.0, log_burst=2))
    flood: list[rec.Record] = [rec.FrameMalformed(detail="what"), changed(ON, RESYNCING, Cause.SUBSCRIBING)] * 1000
    assert len(list(log.lines(flood, 0.0))) == 4
    story: list[rec.Record] = [
        changed(ON, OFF, Cause.DISCONNECTED),
        changed(OFF, CONNECTING, Cause.RETRY),
        changed(CONNECTING, ON, Cause.CONNECTED),
    ]
    assert [line.event for line in log.lines(story, 0.0)] == ["connection_lost", "reconnected"]
    assert log.left_out == 2000 - 4 + 1


# What others' formatters get


@pytest.fixture
def logged() -> Iterator[Callable[[logging.Formatter], list[dict[str, Any]]]]:
    """What a formatter for JSON makes of all cases."""
    logger = logging.getLogger("kraken_trio")
    told: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(handler.format(record))  # type: ignore[method-assign]
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)

    def log(formatter: logging.Formatter) -> list[dict[str, Any]]:
        handler.setFormatter(formatter)
        for record, *_ in CASES:
            LogLines("wss://x", kt.Settings()).consume([record], 0.0)
        return [json.loads(line) for line in told]

    yield log
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_no_field_takes_the_place_of_another() -> None:
    """Of an attribute of all log records, of a key of structlog, or of a key of the commands' JSON."""
    of_records = logging.makeLogRecord({}).__dict__.keys() | {"message", "asctime"}
    others = {"event", "level", "logger", "timestamp", "time"}
    for kind in EVENTS.values():
        assert not {*kind.fields} & (of_records | others | COMMON.keys())
        assert len({*kind.fields}) == len(kind.fields)
    assert not COMMON.keys() & (of_records | others)


def test_structlog_gets_them_whole(logged: Callable[[logging.Formatter], list[dict[str, Any]]]) -> None:
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
        foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder()],
    )
    lines = logged(formatter)
    assert len(lines) == len(CASES)
    for line in lines:
        kind = EVENTS[line["event_name"]]
        assert line["level"] == logging.getLevelName(kind.level).lower()
        assert line["event"].startswith("wss://x: ")
        assert line.keys() == {"event", "level", *COMMON, *kind.fields}


def test_a_formatter_for_json_gets_them_whole(logged: Callable[[logging.Formatter], list[dict[str, Any]]]) -> None:
    lines = logged(JsonFormatter())
    assert len(lines) == len(CASES)
    for line in lines:
        assert line.keys() == {"message", *COMMON, *EVENTS[line["event_name"]].fields}
