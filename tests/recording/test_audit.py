"""An audit, record by record: what no recording of the fake exchange shows. See also tests/storage/test_auditing.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from kraken_trio import Book, Cause, ConnectionState, Gap, Lifecycle, StateChange, StatusUpdate, Trades
from kraken_trio.encoding import encode_event, encode_request
from kraken_trio.recording import findings, format as fmt, records
from kraken_trio.recording.audit import Auditor, Source
from kraken_trio.recording.findings import Kind, Verdict, iso
from kraken_trio.recording.index import ChunkEntry, MetadataEntry

if TYPE_CHECKING:
    from kraken_trio import Event, Request
    from kraken_trio.recording.findings import Report

START_NS = 1_700_000_000_000_000_000
VERSION = "1"
BOOK, TRADES = Book("BTC/USD", 10), Trades("BTC/USD")
PROXY = b"CloudFlare WebSocket proxy restarting"
HEARTBEAT = b'{"channel":"heartbeat"}'
TRADE = (
    b'{"channel":"trade","type":"%s","data":[{"symbol":"BTC/USD","side":"buy","price":1.0,"qty":1.0,"ord_type":"limit",'
    b'"trade_id":%d,"timestamp":"2023-11-14T22:13:20.000000Z"}]}'
)
SNAPSHOT = (
    b'{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[{"price":1.0,"qty":1.0}],"asks":'
    b'[{"price":2.0,"qty":1.0}]}]}'
)
CHANNELS = {
    records.Told: fmt.INPUTS,
    records.CycleBegun: fmt.KEYFRAMES,
    records.CycleEnded: fmt.KEYFRAMES,
    records.ClientFrame: fmt.KEYFRAMES,
    records.KeyFrame: fmt.KEYFRAMES,
    records.Started: fmt.NOTES,
    records.Hole: fmt.NOTES,
    records.Stopped: fmt.NOTES,
}


def request(value: Request[Any]) -> msgspec.Raw:
    return msgspec.Raw(encode_request(value))


def event(value: Event) -> msgspec.Raw:
    return msgspec.Raw(encode_event(value))


class Log:
    """A recording that is made up message by message, a millisecond apart, and audited."""

    def __init__(self, version: str = VERSION, **values: str) -> None:
        self.auditor = Auditor(VERSION)
        self.values = {"recording": "r", "version": version, "protocol": "v2", "epoch_base": "0", **values}
        self.messages: list[tuple[int, int, int, int, bytes]] = []
        self.now_ns = START_NS
        self.clock = 5 * 10**9
        self.metadata: list[tuple[str, dict[str, str]]] = []
        self.number = 1
        self.counts: dict[int, int] | None = None

    def add(self, *entries: records.Entry | bytes, channel: int | None = None, later: bool = True) -> Log:
        """Records, or frames; ``later``: a moment after the last one."""
        for entry in entries:
            self.now_ns += 1_000_000 if later else 0
            kind = channel or (
                fmt.FRAME_FIRST if isinstance(entry, bytes) else CHANNELS.get(type(entry), fmt.DECISIONS)
            )
            data = entry if isinstance(entry, bytes) else records.encode(entry)
            self.messages.append((kind, len(self.messages) + 1, self.now_ns, self.clock, data))
        return self

    def synced(self, *frames: records.KeyFrame, state: ConnectionState = ConnectionState.SUBSCRIBED) -> Log:
        """All is known: the beginning of a recorder, and a cycle of key frames."""
        self.add(records.Started(), records.CycleBegun(number=1), records.ClientFrame(state=state.value, epoch=1))
        return self.add(*frames, records.CycleEnded(number=1))

    def segment(self) -> Log:
        """End the segment, and begin another."""
        self._feed()
        self.values["previous"] = self.name
        self.values["previous_recording"] = self.values["recording"]
        self.values["previous_sequence"] = str(len(self.messages))
        self.number += 1
        self.messages = []
        return self

    @property
    def name(self) -> str:
        return f"{self.number}.mcap"

    def _feed(self) -> None:
        auditor = self.auditor
        auditor.begin(
            Source(
                name=self.name,
                number=self.number,
                values=dict(self.values),
                size=100,
                is_finished=True,
                counts=self.counts,
                crc="",
            )
        )
        for name, values in self.metadata:
            auditor.metadata(MetadataEntry(10, 10, name, values))
        times = [message[2] for message in self.messages]
        auditor.chunk(ChunkEntry(20, 10, min(times), max(times), 0, 0), self.messages)
        auditor.leave()

    def report(self) -> Report:
        self._feed()
        return self.auditor.end()

    def found(self) -> list[str]:
        """Kinds and texts of all defects, but that these logs have no metadata."""
        defects = self.report().defects
        return [f"{one.kind.value}: {one.text}" for one in defects if "subscribed to in this block" not in one.text
                and "began at another time" not in one.text]  # fmt: skip


def key_frame(value: Request[Any], step: str = "live", *events: Event) -> records.KeyFrame:
    return records.KeyFrame(request=request(value), step=step, events=tuple(map(event, events)))


def live_trades() -> Log:
    return Log().synced(key_frame(TRADES))


def stepped(step: str, because: str, channel: str = "trade", frame: int | None = None) -> records.Stepped:
    return records.Stepped(key=(channel, "BTC/USD"), step=step, because=because, frame=frame)


def gap(**values: Any) -> Gap:
    return Gap(**{"symbol": "BTC/USD", "channel": "trade", "cause": Cause.RESUBSCRIBED, "epoch": 1, **values})


def missed(value: Gap, *keys: tuple[str, str | None]) -> records.Missed:
    return records.Missed(gap=event(value), keys=keys or (("trade", "BTC/USD"),))


def test_a_log_that_is_made_up_has_no_defect() -> None:
    assert live_trades().add(HEARTBEAT, TRADE % (b"update", 7), TRADE % (b"update", 8)).found() == []


# Trades and books


def test_trades_that_the_exchange_left_out_are_a_hole() -> None:
    log = live_trades().add(TRADE % (b"snapshot", 4), TRADE % (b"update", 5), TRADE % (b"update", 9))
    report = log.report()
    (row,) = report.rows.values()
    assert (row.events, row.missing_trades, row.holes) == (3, 3, {"missed": 1})
    assert report.verdict is not Verdict.COMPLETE


def test_trade_numbers_do_not_go_back_on_one_connection() -> None:
    text = (
        "trade BTC/USD: trade numbers go back on one connection: after trade 5 the exchange restarted its numbering "
        "with 3"
    )
    assert live_trades().add(TRADE % (b"update", 5), TRADE % (b"update", 3)).found() == [f"data: {text}"]


def test_trade_numbers_may_begin_anew_after_a_hole() -> None:
    log = live_trades().add(TRADE % (b"update", 5))
    received = log.now_ns
    log.add(records.Told(what="Ticked"))
    log.add(
        missed(gap(received_ns=received)),
        stepped("to unsubscribe", "failed"),
        stepped("unsubscribing", "sent"),
        later=False,
    )
    log.add(records.Told(what="Sent", text='{"trade""BTC/USD"}'), later=False)
    log.add(records.Told(what="Ticked"))
    log.add(stepped("to subscribe", "left"), stepped("subscribing", "sent"), later=False)
    log.add(records.Told(what="Sent", text='{"trade""BTC/USD"}'), later=False)
    moment = log.now_ns + 1_000_000
    log.add(stepped("confirmed", "accepted", frame=0), stepped("live", "data", frame=0), channel=fmt.DECISIONS)
    log.messages[-2:] = [(*message[:2], moment, *message[3:]) for message in log.messages[-2:]]
    log.now_ns = moment
    log.add(TRADE % (b"update", 3), later=False)
    report = log.report()
    assert [one.text for one in report.defects if one.kind is not Kind.METADATA and one.kind is not Kind.TIME] == []
    assert [hole.cause for hole in report.holes][:2] == ["resubscribed", "missed"]


def test_books_without_checksums_are_counted() -> None:
    log = Log().synced(key_frame(BOOK, "confirmed"))
    log.add(stepped("live", "data", "book", frame=0))
    log.add(SNAPSHOT, later=False)
    (row,) = log.report().rows.values()
    assert (row.absent, row.verified, row.events) == (1, 0, 1)


# Order and kinds of records


@pytest.mark.parametrize(
    ("order", "text"),
    [
        pytest.param([0, 2, 3], "message 7 is missing before it", id="one missing"),
        pytest.param([0, 3], "message 7 to 8 is missing before it", id="two missing"),
        pytest.param([0, 1, 1, 2], "it is out of order, or doubled: 8 should be here", id="doubled"),
    ],
)
def test_messages_are_numbered(order: list[int], text: str) -> None:
    log = live_trades().add(*[HEARTBEAT] * 4)
    log.messages[5:] = [log.messages[5 + number] for number in order]
    report = log.report()
    assert next(one.text for one in report.defects if one.kind is Kind.SEQUENCE) == text
    hole = report.holes[-1]
    last = START_NS + (7 if 1 in order else 6) * 1_000_000  # the last message before it
    assert (hole.channel, hole.begin_ns, hole.end_ns) == ("trade", last, None)


def test_frames_of_one_read_have_one_time() -> None:
    log = live_trades().add(HEARTBEAT)
    log.add(HEARTBEAT, HEARTBEAT, channel=fmt.FRAME_MORE, later=False)
    assert log.found() == []
    log.add(HEARTBEAT, channel=fmt.FRAME_MORE)
    log = live_trades().add(HEARTBEAT)
    log.add(HEARTBEAT, channel=fmt.FRAME_MORE)
    assert log.found() == ["time: it says that it came in one read with the frame before it, but at another time"]


def test_a_record_belongs_into_its_channel() -> None:
    assert live_trades().add(stepped("live", "data"), channel=fmt.NOTES).found() == [
        "record: a record cannot be understood: a Stepped does not belong into this channel"
    ]
    assert live_trades().add(records.Stopped(), channel=99).found() == [
        "record: a record cannot be understood: a Stopped does not belong into this channel"
    ]


@pytest.mark.parametrize(
    "then",
    [records.Told(what="Ticked"), records.Resynced(key=("trade", "BTC/USD"), cause="checksum")],
    ids=["input", "decision"],
)
def test_a_frame_follows_its_decision(then: records.Entry) -> None:
    log = live_trades().add(records.Resynced(key=("trade", "BTC/USD"), cause="checksum", frame=0), then)
    assert "decision: a frame should follow the decision before it" in log.found()


def test_a_frame_follows_its_decision_in_the_same_block() -> None:
    log = live_trades().add(records.Resynced(key=("trade", "BTC/USD"), cause="checksum", frame=0))
    assert log.found() == ["decision: a frame should follow this decision"]


def test_what_follows_has_the_time_of_what_it_follows_from() -> None:
    log = live_trades().add(records.Told(what="Ticked"), missed(gap()))
    assert "time: it is of another time than what it follows from" in log.found()
    log = live_trades().add(missed(gap(received_ns=START_NS)), channel=fmt.DECISIONS)
    assert "time: it is of another time than what it follows from" not in log.found()


def test_what_a_frame_led_to_has_its_time() -> None:
    log = live_trades().add(records.Other(what="FrameMalformed", frame=0), b"{nonsense")
    assert log.found() == ["time: what it led to is of another time"]


def test_the_clocks_of_messages() -> None:
    log = live_trades()
    log.clock += 2 * 10**9
    log.now_ns += 2 * 10**9
    report = log.add(HEARTBEAT).report()
    assert report.notes == ["at 2023-11-14T22:13:22.006000Z the clock was set by +2.000 s"]
    log = live_trades()
    log.clock += 10**9
    assert "time: it is earlier than the one before it, by the clock that never goes back" in log.add(HEARTBEAT).found()


def test_a_clock_that_is_slewed_is_nothing() -> None:
    log = live_trades()
    log.clock += 1000
    assert log.add(HEARTBEAT).report().notes == []


# Decisions


def test_decisions_that_were_not_made() -> None:
    notice = live_trades().add(records.Other(what="AttemptDelayed", frame=0))
    assert "decision: the client did not notice what a proxy said" in notice.add(PROXY, later=False).found()
    refusal = live_trades().add(records.Other(what="AttemptDelayed", frame=0))
    frame = b'{"error":"Currency pair not supported","method":"subscribe","success":false,"req_id":7}'
    assert "decision: the client did not notice a refusal" in refusal.add(frame, later=False).found()
    refusal = live_trades().add(records.Other(what="RequestRefused", fields={"symbol": None, "text": "No"}, frame=0))
    assert "decision: RequestRefused does not follow from this frame" in refusal.add(frame, later=False).found()


def test_answers_of_which_nothing_follows_are_nothing() -> None:
    ack = (
        b'{"method":"subscribe","result":{"channel":"trade","symbol":"BTC/USD","snapshot":true},"success":true,'
        b'"req_id":9,"time_in":"2023-11-14T22:13:20.000000Z","time_out":"2023-11-14T22:13:20.000000Z"}'
    )
    assert live_trades().add(ack).found() == []


def test_a_subscription_begins_once() -> None:
    log = live_trades().add(records.Told(what="Added", feed=1, requests=(request(TRADES),)))
    log.add(records.Begun(request=request(TRADES)), later=False)
    assert log.found() == ["decision: trade BTC/USD begins, but is subscribed to already"]


def test_a_subscription_begins_again_with_a_frame() -> None:
    """Of an answer, which ends the one before."""
    log = Log().synced(key_frame(TRADES, "unsubscribing"))
    log.add(records.Begun(request=request(TRADES), frame=0)).add(PROXY, later=False)
    assert [one for one in log.found() if "begins" in one] == []


def test_lifecycle_is_no_subscription() -> None:
    log = live_trades().add(records.Begun(request=request(Lifecycle())))
    assert log.found() == ["record: a record cannot be understood: Lifecycle() is no subscription"]


@pytest.mark.parametrize(
    "entry",
    [
        missed(gap(), ("trade", "ETH/USD")),
        records.Reset(key=("trade", "ETH/USD")),
        records.Resynced(key=("trade", "ETH/USD"), cause="checksum"),
        records.Stepped(key=("trade", "ETH/USD"), step="live", because="data"),
    ],
    ids=["Missed", "Reset", "Resynced", "Stepped"],
)
def test_decisions_about_nobody(entry: records.Entry) -> None:
    assert "decision: trade ETH/USD is not subscribed to" in live_trades().add(entry).found()


def test_an_event_of_another_kind() -> None:
    wrong = event(gap())
    log = live_trades().add(records.Reported(status=wrong))
    assert log.found() == ["record: a record cannot be understood: a Gap is in the place of a StatusUpdate"]
    log = Log().add(records.Started(), records.ClientFrame(state="subscribed", epoch=1, status=(wrong,)))
    assert "the client's state has another event than a status" in log.found()[0]


def test_what_is_no_event_or_request() -> None:
    nothing = msgspec.Raw(b'["Nothing",{}]')
    for entry in (
        records.Changed(change=nothing),
        records.Begun(request=nothing),
        records.Told(what="Added", requests=(nothing,)),
        records.KeyFrame(request=nothing, step="live"),
    ):
        assert "Nothing is unknown to this version" in live_trades().add(entry).found()[0]


def test_leaving_the_client_is_an_input() -> None:
    def closing(*before: records.Entry) -> list[str]:
        log = live_trades().add(*before)
        change = StateChange(
            previous=ConnectionState.SUBSCRIBED, current=ConnectionState.DISCONNECTED, cause=Cause.CLOSED, epoch=1
        )
        return log.add(records.Changed(change=event(change)), later=False).found()

    assert closing(records.Told(what="Closed")) == []
    assert closing(records.Told(what="Ticked")) == ["decision: no input has led to 'closed'"]


def test_a_request_is_sent_where_a_step_says_so() -> None:
    log = Log().synced(key_frame(TRADES, "to subscribe")).add(records.Told(what="Ticked"))
    log.add(records.Told(what="Sent", text='{"method":"ping"}'), later=False)
    log.add(stepped("subscribing", "sent"), later=False).add(HEARTBEAT)
    assert log.found() == ["decision: no request for trade BTC/USD was sent, as it should have been"]


def test_an_import_has_sent_nothing() -> None:
    log = Log().synced(key_frame(TRADES, "to subscribe")).add(records.Told(what="Ticked"))
    assert log.add(stepped("subscribing", "sent"), later=False).add(HEARTBEAT).found() == []


def test_before_all_is_known_nothing_is_missed() -> None:
    log = Log().add(records.Started(), records.Told(what="Lost", cause="disconnected"))
    log.add(stepped("subscribing", "sent"), records.Reset(key=("trade", "BTC/USD")), missed(gap()), later=False)
    assert log.add(HEARTBEAT).found() == []
    log = Log().add(records.Started(), records.Told(what="Added", feed=1, requests=(request(TRADES),)))
    log.add(records.Begun(request=request(TRADES)), stepped("subscribing", "sent"), later=False)
    assert log.add(HEARTBEAT).found() == []


def test_what_another_version_told_is_not_judged() -> None:
    log = Log(version="2").synced(key_frame(TRADES, "resting")).add(PROXY)
    log.metadata.append(("weather", {}))
    log.add(records.Told(what="Rained"), stepped("live", "woken"), missed(gap(epoch=7)))
    log.add(records.Hole(from_ns=9, until_ns=8, batches=1, frames=1, why="it rained"))
    assert log.found() == []


# Key frames


def test_a_subscription_that_ends_within_a_cycle_needs_no_key_frame() -> None:
    log = Log().synced(key_frame(TRADES, "parked"))
    log.add(records.CycleBegun(number=2), records.Told(what="Removed", feed=1))
    log.add(stepped("gone", "dropped"), later=False).add(records.CycleEnded(number=2))
    assert log.found() == []
    log = Log().synced(key_frame(TRADES)).add(records.CycleBegun(number=2), records.CycleEnded(number=2))
    assert log.found() == ["key frame: the one of trade BTC/USD is missing"]


def test_a_key_frame_stands_in_a_cycle() -> None:
    assert live_trades().add(key_frame(TRADES)).found() == ["key frame: the one of trade BTC/USD stands alone"]


def test_a_key_frame_of_no_step() -> None:
    log = Log().synced(key_frame(TRADES, "gone"))
    assert log.found() == ["record: it is a step that this version does not know"]


def test_a_live_book_has_levels_in_its_key_frame() -> None:
    assert Log().synced(key_frame(BOOK)).found() == [
        f"record: a record cannot be understood: a key frame of {BOOK} lacks its data"
    ]


def test_an_unknown_channel_is_survived() -> None:
    weather = msgspec.Raw(b'["Weather",{}]')
    log = Log().synced(records.KeyFrame(request=weather, step="live"))
    assert "Weather is unknown to this version" in log.found()[0]


# Holes


def test_batches_that_could_not_be_written_are_a_hole() -> None:
    log = live_trades().add(HEARTBEAT)
    since = log.now_ns
    log.now_ns += 10**9
    log.add(records.Hole(from_ns=since, until_ns=log.now_ns + 1_000_000, batches=3, frames=5, why="the disk is full"))
    log.add(TRADE % (b"update", 9), records.CycleBegun(number=2))
    client = records.ClientFrame(state="subscribed", epoch=1, received_ns=log.now_ns - 1_000_000)
    log.add(client, key_frame(TRADES), records.CycleEnded(number=2))
    report = log.report()
    assert [one.text for one in report.defects if one.kind not in (Kind.METADATA, Kind.TIME)] == []
    assert [(hole.channel, hole.cause) for hole in report.holes] == [
        (None, "not recorded"),
        ("trade", "not recorded"),
        (None, "not recorded"),  # there is no end
    ]
    assert report.holes[0].detail == "3 batches (5 frames) were not recorded: the disk is full"
    (row,) = report.rows.values()
    assert row.hole_ns > 10**9


def test_a_hole_ends_where_it_is_told() -> None:
    log = live_trades().add(records.Hole(from_ns=1, until_ns=2, batches=1, frames=1, why="x"))
    assert log.found() == ["time: the hole that it tells of does not end here"]


def test_what_is_not_wanted_any_more_has_no_hole() -> None:
    """Its data were recorded by another run of the recorder."""
    log = live_trades().segment()
    log.values["recording"] = "s"
    report = log.synced().report()
    assert [hole.channel for hole in report.holes] == [None, None]


@pytest.mark.parametrize("at_ns", [-(10**30), 0, 10**30])
def test_times_that_are_none(at_ns: int) -> None:
    """They come from damaged records: a report of them takes no longer, and has no more rows."""
    entry = records.Hole(from_ns=at_ns, until_ns=at_ns, batches=1, frames=1, why="x")
    change = StateChange(
        previous=ConnectionState.SUBSCRIBED, current=ConnectionState.RESYNCING, cause=Cause.CHECKSUM, received_ns=at_ns
    )
    log = live_trades().add(HEARTBEAT, records.Changed(change=event(change)), entry)
    log.add(records.CycleBegun(number=2), records.ClientFrame(state="subscribed", epoch=1), key_frame(TRADES))
    report = log.add(records.CycleEnded(number=2)).report()
    assert {Kind.TIME} <= {one.kind for one in report.defects}
    assert len(report.plain("x")["days"]) <= 2


# Segments


def test_a_recorder_that_stopped_does_not_go_on() -> None:
    log = live_trades().add(records.Stopped()).segment()
    found = log.add(records.CycleBegun(number=2)).found()
    assert "sequence: its recorder had said that it stopped" in found
    assert "sequence: it follows the recorder's end" in found


def test_a_segment_says_which_it_follows() -> None:
    log = live_trades()
    log.number = 3
    assert log.found() == ["metadata: it is not the first segment, and does not say which it follows"]
    log = live_trades()
    log.number = 3
    log.auditor.aside(["2.mcap.damaged"], [2])
    assert log.found() == ["file: a recorder has put it aside, because it could not be read: what is in it is missing"]


def test_metadata_of_an_unknown_kind() -> None:
    log = live_trades()
    log.metadata.append(("weather", {}))
    assert log.found() == ["metadata: metadata of a kind that this version does not write: weather"]


def test_metadata_of_no_connection() -> None:
    log = live_trades()
    log.metadata.append(("requests", {"wanted": "[]", "confirmed": "[]"}))
    assert "metadata: it is of connection 1, but says another number" in log.found()


def test_the_end_of_a_segment_counts_its_messages() -> None:
    log = live_trades()
    log.counts = {fmt.NOTES: 1, fmt.KEYFRAMES: 4, fmt.FRAME_FIRST: 0}
    assert log.found() == []
    log = live_trades()
    log.counts = {fmt.NOTES: 7}
    assert log.found() == ["metadata: its end counts other messages than there are"]


def test_after_a_lost_block_nothing_is_known() -> None:
    log = live_trades()
    log.report()
    auditor = log.auditor
    auditor.lost(ChunkEntry(30, 10, START_NS, START_NS, 0, 0), "it is damaged")
    auditor.metadata(MetadataEntry(40, 10, "keyframes", {"sequence": "99"}))
    auditor.chunk(
        ChunkEntry(50, 10, log.now_ns, log.now_ns, 0, 0),
        [(fmt.DECISIONS, 77, log.now_ns, log.clock, records.encode(stepped("live", "data")))],
    )
    auditor.leave()
    report = auditor.end(is_running=True)
    assert [one.text for one in report.defects if one.kind is Kind.CHUNK] == ["it is damaged"]
    assert report.defect_count == len([one for one in report.defects if one.kind is not Kind.SEQUENCE])


# Reports


def test_an_audit_of_nothing_is_complete() -> None:
    report = Auditor(VERSION).end()
    assert [verdict.status for verdict in Verdict] == [0, 1, 2]
    assert report.verdict is Verdict.COMPLETE
    assert report.plain("x")["begin"] is iso(None) is None


def test_a_report_as_plain_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "MAX_LINES", 1)
    log = live_trades().add(TRADE % (b"update", 5), TRADE % (b"update", 3))
    for _ in range(2):
        log.clock += 2 * 10**9
        log.now_ns += 2 * 10**9
        log.add(HEARTBEAT)
    plain = log.report().plain("data")
    assert plain["defects"][0]["file"] == "1.mcap"
    assert (plain["note_count"], len(plain["notes"])) == (2, 1)
    assert plain["days"][0]["day"] == "2023-11-14"
    assert plain["recorders"][0]["ended"] == "killed"


def test_a_status_is_known_from_a_key_frame() -> None:
    status = StatusUpdate(system="online", version="1", api_version="v2", epoch=1)
    frame = (
        b'{"channel":"status","type":"update","data":[{"system":"%s","version":"1","api_version":"v2",'
        b'"connection_id":1}]}'
    )

    def log() -> Log:
        log = Log().add(records.Started(), records.CycleBegun(number=1))
        log.add(records.ClientFrame(state="subscribed", epoch=1, status=(event(status),)))
        return log.add(records.CycleEnded(number=1))

    assert log().add(frame % b"online").found() == []
    assert log().add(frame % b"post_only").found() == [
        "decision: the exchange's status is a new one, and nothing followed from it"
    ]
