"""Recordings by other programs: every frame arrives, and is played as a session delivered it when it was imported."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import example, given, strategies as st

import kraken_trio as kt
from kraken_trio import importing
from kraken_trio.cli.verification import Verification
from kraken_trio.recording import importer as pure
from kraken_trio.recording.findings import Verdict
from kraken_trio.recording.foreign import RecordedFrame, read_frames
from kraken_trio.recording.packer import Packer
from kraken_trio.storage.auditing import audit_folder
from kraken_trio.storage.reading import open_folder
from tests.cli.recorder import ASKS, BIDS, HEARTBEAT, Recorder, ack
from tests.wire.frames_v1 import (
    CANDLE,
    CHANGES,
    HEARTBEAT as HEARTBEAT_V1,
    ORDERS,
    OWN_TRADES,
    PENDING,
    SNAPSHOT,
    SPREAD,
    STATUS as STATUS_V1,
    TICKER,
    TRADES,
    UPDATE,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


START_NS = 1_785_644_622_000_000_000
SECOND = 10**9
BOOK = kt.Book("BTC/USD")


def answer(method: str, symbol: str, *, success: bool = True, **result: object) -> str:
    told = {"method": method, "success": success, "req_id": 1}
    return json.dumps(told | ({"result": {"symbol": symbol, **result}} if success else {"error": "no", **result}))


def status(connection_id: int | None) -> str:
    entry: dict[str, object] = {"version": "2.0.10", "system": "online", "api_version": "v2"}
    if connection_id is not None:
        entry["connection_id"] = connection_id
    return json.dumps({"channel": "status", "type": "update", "data": [entry]})


def trade(number: int, symbol: str = "BTC/USD", kind: str = "update") -> str:
    entry = (
        f'{{"symbol":"{symbol}","side":"buy","price":1.0,"qty":2.0,"ord_type":"market","trade_id":{number},'
        '"timestamp":"2026-08-02T04:23:42.000000Z"}'
    )
    return f'{{"channel":"trade","type":"{kind}","data":[{entry}]}}'


def timed(frames: Iterable[str], begin_ns: int = START_NS, step_ns: int = 10**8) -> bytes:
    header = f"CBCAP1 kraken BTC/USD {begin_ns}\n"
    parts = [f"{begin_ns + n * step_ns} {len(f.encode())}\n{f}\n" for n, f in enumerate(frames)]
    return (header + "".join(parts)).encode()


def written(path: Path, frames: Iterable[str], begin_ns: int = START_NS, step_ns: int = 10**8) -> Path:
    path.write_bytes(timed(frames, begin_ns, step_ns))
    return path


def recorded_frames(folder: Path) -> list[bytes]:
    with open_folder(folder) as recorded:
        return [
            message[4]
            for segment in recorded.segments
            for chunk in segment.index.chunks
            for message in segment.read(chunk)
            if message[0] <= 4
        ]


def events_of(folder: Path, *requests: kt.Request[Any], **times: Any) -> list[Any]:
    with kt.read_events(folder, *requests, **times) as reader:
        events = list(reader)
        assert reader.damage == ()
    return events


class Delivered(Packer):
    """Remembers what the session has delivered to whom."""

    to: ClassVar[defaultdict[Any, list[Any]]] = defaultdict(list)

    def received(self, frames: Any, wall_ns: int, now: float, effects: Any) -> None:
        self._remember(effects)
        super().received(frames, wall_ns, now, effects)

    def told(self, happening: Any, epoch: int, wall_ns: int, now: float, effects: Any) -> None:
        self._remember(effects)
        super().told(happening, epoch, wall_ns, now, effects)

    def _remember(self, effects: Any) -> None:
        for feed, events in effects.deliver.items():
            self.to[feed].extend(events)


# What may stand in a file, as steps by which it is made

SYMBOLS = ("BTC/USD", "ETH/USD")
steps = st.lists(
    st.tuples(
        st.sampled_from(
            (
                "ack", "snapshot", "update", "update", "update", "wrong", "garbled", "heartbeat", "leave", "refuse",
                "trade", "history", "other trade", "reconnect", "text",
            )
        ),
        st.sampled_from(SYMBOLS),
    ),
    max_size=40,
)  # fmt: skip


def made(chosen: Sequence[tuple[str, str]]) -> list[str]:
    """A file of these steps. A wrong checksum is one; what else is missing, is missing by the order of the steps."""
    frames = [status(1)]
    books: dict[str, Recorder] = {}
    number, connection = 0, 1
    for step, symbol in chosen:
        book = books.setdefault(symbol, Recorder(symbol))
        price = f"{100 + len(frames) % 7 / 10:.1f}"
        match step:
            case "ack":
                frames.append(ack(symbol))
            case "snapshot":
                frames.append(book.snapshot())
            case "update" if book.book.bids:
                frames.append(book.update(bids=[(price, f"{len(frames)}.00")]))
            case "wrong" if book.book.bids:
                frames.append(book.update(bids=[(price, f"{len(frames)}.00")], wrong=1))
            case "garbled":
                frames.append(f'{{"channel":"book","type":"update","data":[{{"symbol":"{symbol}","bids":[')
            case "heartbeat":
                frames.append(HEARTBEAT)
            case "leave":
                frames.append(answer("unsubscribe", symbol, channel="book", depth=10))
            case "refuse":
                frames.append(answer("subscribe", symbol, success=False))
            case "trade" | "history":
                number += 1
                frames.append(trade(number, symbol, "update" if step == "trade" else "snapshot"))
            case "other trade":
                number += 3
                frames.append(trade(number, symbol))
            case "reconnect":
                connection += 1
                frames.append(status(connection))
            case "text":
                frames.append("CloudFlare WebSocket proxy restarting")
            case _:
                pass
    return frames


@given(steps, st.booleans())
@example([("ack", "BTC/USD")] * 9, False)  # answers that the session does not see, then key frames
def test_every_frame_arrives_and_what_was_delivered_is_played(chosen: list[tuple[str, str]], two: bool) -> None:
    frames = made(chosen)
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder, path = Path(name) / "log", Path(name) / "file"
        patch.setattr(importing, "Packer", Delivered)
        patch.setattr(Delivered, "to", defaultdict(list))
        files = [written(path, frames, step_ns=7 * SECOND)]  # some are more than a minute apart
        other = [status(9), trade(5, "A/B"), status(10)] if two else []
        if two:
            files.append(written(Path(name) / "other", other))
        report = kt.import_recording(files, folder)
        out = recorded_frames(folder)
        assert sorted(out) == sorted(map(str.encode, frames + other))
        assert report.frames == len(out)
        assert report.runs == 1
        audit = audit_folder(folder)
        assert audit.defects == []
        assert audit.frames == len(out)
        if not two:
            assert out == list(map(str.encode, frames))
        for request in report.requests:
            delivered = Delivered.to[request.channel, request.symbol]
            # The program that recorded left it, and came again: feeds of the replay are told, and stay.
            played = [e for e in events_of(folder, request) if getattr(e, "cause", None) is not kt.Cause.NOT_RECORDED]
            assert played == delivered


@given(steps)
def test_as_many_checksums_are_verified_as_by_verify(chosen: list[tuple[str, str]]) -> None:
    # What the recording program did is no affair of verify, and a frame that cannot be read distrusts a book here only.
    kept = [step for step in chosen if step[0] in {"ack", "snapshot", "update", "wrong", "heartbeat", "trade", "text"}]
    frames = made(kept)
    verification = Verification()
    for number, frame in enumerate(frames):
        verification.take(RecordedFrame(frame.encode(), number, 0))
    with tempfile.TemporaryDirectory() as name:
        report = kt.import_recording(written(Path(name) / "file", frames), Path(name) / "log")
    assert report.checksums_verified == verification.verified
    assert report.checksum_failures == sum(one.mismatches for one in verification.symbols.values())


def test_the_real_recordings(captures: Path, tmp_path: Path) -> None:
    files = sorted(captures.glob("v2_book25_*.cbcap"))
    report = kt.import_recording(files, tmp_path / "log")
    frames = [list(read_frames([file.read_bytes()])) for file in files]
    assert report.frames == sum(map(len, frames)) == len(recorded_frames(tmp_path / "log"))
    assert (report.checksums_verified, report.checksum_failures, report.gaps) == (1129 + 1147, 0, 0)
    assert report.requests == (kt.Book("ETH/USD", 25), kt.Book("XRP/USD", 25))
    assert audit_folder(tmp_path / "log").verdict is Verdict.COMPLETE
    for request, of_file in zip(report.requests, frames, strict=True):
        ours = {frame.data for frame in of_file}
        assert [f for f in recorded_frames(tmp_path / "log") if f in ours and request.symbol.encode() in f] == [
            frame.data for frame in of_file if request.symbol.encode() in frame.data
        ]
        events = events_of(tmp_path / "log", request)
        verification = Verification()
        for frame in of_file:
            verification.take(frame)
        assert len(events) == verification.verified
        books = [frame.received_ns for frame in of_file if b'"channel":"book","type"' in frame.data]
        assert [event.received_ns for event in events] == books


# Times


def test_a_file_without_times_needs_one(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_text(f"{ack()}\n{Recorder().snapshot()}\n")
    with pytest.raises(kt.RecordingError, match=r"frame 1 \(line 1, byte 0\) has no time of receipt: say .*--start"):
        kt.import_recording(path, tmp_path / "log")
    assert not (tmp_path / "log").exists()
    report = kt.import_recording(path, tmp_path / "log", start="2026-08-02T04:00:00Z")
    assert (report.frames, report.checksums_verified) == (2, 1)
    (event,) = events_of(tmp_path / "log", BOOK)
    assert event.received_ns == 1_785_643_200 * SECOND


def test_a_frame_without_a_time_has_that_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_text(f"1785644622.5: {trade(1)}\n{trade(2)}\n")
    kt.import_recording(path, tmp_path / "log")
    assert [event.received_ns for event in events_of(tmp_path / "log", kt.Trades("BTC/USD"))] == [
        START_NS + 5 * 10**8
    ] * 2


def test_a_clock_that_is_set_back_changes_no_order(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    path.write_text(f"1785644622.5: {trade(1)}\n1785644600: {trade(2)}\n1785644700: {trade(3)}\n")
    kt.import_recording(path, tmp_path / "log")
    assert [event.trade_id for event in events_of(tmp_path / "log", kt.Trades("BTC/USD"))] == [1, 2, 3]


def test_a_reader_can_begin_in_the_middle(tmp_path: Path) -> None:
    book = Recorder()
    updates = [book.snapshot(), *(book.update(bids=[("100.5", f"{n}.00")]) for n in range(1, 400))]
    kt.import_recording(written(tmp_path / "f", updates, step_ns=SECOND), tmp_path / "log")
    with open_folder(tmp_path / "log") as recorded:
        cycles = [entry.values for entry in recorded.segments[0].index.metadata if entry.name == "keyframes"]
    assert [(int(cycle["begin_ns"]) - START_NS) // SECOND for cycle in cycles] == list(range(0, 400, 60))
    events = events_of(tmp_path / "log", BOOK, start=START_NS + 300 * SECOND)
    assert isinstance(events[0], kt.BookSnapshot)
    assert len(events) == 1 + 100


def test_days_are_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_BLOCK_BYTES", 1000)
    book = Recorder()
    frames = [ack(), book.snapshot(), *(book.update(bids=[("100.5", f"{n}.00")]) for n in range(1, 60))]
    kt.import_recording(written(tmp_path / "f", frames, step_ns=3600 * SECOND), tmp_path / "log")
    with open_folder(tmp_path / "log") as recorded:
        assert len(recorded.segments) == 3
        assert all(kt.recorded_requests(segment.path) == (BOOK,) for segment in recorded.segments)
    assert len(events_of(tmp_path / "log", BOOK)) == 60
    assert len(recorded_frames(tmp_path / "log")) == len(frames)


def test_key_frames_also_come_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_CYCLE_MESSAGES", 10)
    kt.import_recording(written(tmp_path / "f", [trade(n) for n in range(1, 30)], step_ns=1), tmp_path / "log")
    with open_folder(tmp_path / "log") as recorded:
        assert sum(entry.name == "keyframes" for entry in recorded.segments[0].index.metadata) >= 3


# What is wanted


def test_the_depth_may_be_said_after_the_snapshot(tmp_path: Path) -> None:
    book = Recorder(depth=25)
    frames = [book.snapshot(BIDS, ASKS), ack(depth=25), book.update(bids=[("90.5", "1.00")])]
    report = kt.import_recording(written(tmp_path / "f", frames), tmp_path / "log")
    assert report.requests == (kt.Book("BTC/USD", 25),)
    assert report.checksums_verified == 2


def test_a_change_of_depth_is_another_subscription(tmp_path: Path) -> None:
    small, large = Recorder(), Recorder(depth=25)
    frames = [ack(), small.snapshot(), ack(depth=25), large.snapshot(), large.update(bids=[("90.5", "1.00")])]
    report = kt.import_recording(written(tmp_path / "f", frames), tmp_path / "log")
    assert report.requests == (BOOK, kt.Book("BTC/USD", 25))
    assert report.checksums_verified == 3
    first, gap = events_of(tmp_path / "log", BOOK)
    assert isinstance(first, kt.BookSnapshot)
    assert gap.cause is kt.Cause.NOT_RECORDED


def test_what_is_confirmed_counts_without_data(tmp_path: Path) -> None:
    frames = [
        answer("subscribe", "BTC/USD", channel="trade", snapshot=True),
        answer("subscribe", "BTC/USD", channel="ticker"),
        answer("subscribe", "BTC/USD", channel="ohlc", interval=5),
        answer("subscribe", "BTC/USD", channel="ohlc", interval=5),
        json.dumps({"method": "subscribe", "result": {"channel": "instrument"}, "success": True}),
        answer("subscribe", "BTC/USD", channel="level4"),  # nobody can want these
        answer("subscribe", "BTC/USD", channel="book", depth=11),
        answer("subscribe", "XBT/USD", channel="ticker"),
        answer("subscribe", "a b", channel="ticker"),
        answer("unsubscribe", "ETH/USD", channel="ticker"),
    ]
    report = kt.import_recording(written(tmp_path / "f", frames), tmp_path / "log")
    assert set(report.requests) == {
        kt.Trades("BTC/USD", snapshot=True), kt.Ticker("BTC/USD"), kt.Candles("BTC/USD", 5), kt.Instruments(),
    }  # fmt: skip
    assert events_of(tmp_path / "log", kt.Ticker("BTC/USD")) == []


def test_candles_tell_their_interval(tmp_path: Path) -> None:
    candle = (
        '{"channel":"ohlc","type":"update","timestamp":"2026-08-02T04:23:42.0Z","data":[{"symbol":"BTC/USD",'
        '"open":1.0,"high":1.0,"low":1.0,"close":1.0,"trades":1,"volume":1.0,"vwap":1.0,'
        '"interval_begin":"2026-08-02T04:20:00.0Z","interval":15,"timestamp":"2026-08-02T04:35:00.0Z"}]}'
    )
    report = kt.import_recording(written(tmp_path / "f", [candle]), tmp_path / "log")
    assert report.requests == (kt.Candles("BTC/USD", 15),)
    assert len(events_of(tmp_path / "log", kt.Candles("BTC/USD", 15))) == 1


def test_an_update_without_a_snapshot_is_recorded_only(tmp_path: Path) -> None:
    book = Recorder()
    book.snapshot()
    frames = [book.update(bids=[("100.5", "1.00")]), HEARTBEAT]
    report = kt.import_recording(written(tmp_path / "f", frames), tmp_path / "log")
    assert (report.requests, report.ignored, report.checksums_verified) == ((), 1, 0)
    with pytest.raises(kt.RecordingError, match="it was not recorded; there is: nothing"):
        kt.read_events(tmp_path / "log", BOOK)


def test_a_wrong_checksum_is_a_gap_until_the_next_snapshot(tmp_path: Path) -> None:
    book = Recorder()
    frames = [
        ack(),
        book.snapshot(),
        book.update(bids=[("100.5", "1.00")], wrong=1),
        book.update(bids=[("100.5", "2.00")]),
        book.snapshot(),
        book.update(bids=[("100.5", "3.00")], wrong=1),  # again, without much in between
        book.snapshot(),
        book.update(bids=[("100.5", "4.00")]),
    ]
    report = kt.import_recording(written(tmp_path / "f", frames, step_ns=1000), tmp_path / "log")
    assert (report.checksums_verified, report.checksum_failures, report.gaps) == (4, 2, 2)
    kinds = [type(event).__name__ for event in events_of(tmp_path / "log", BOOK)]
    assert kinds == ["BookSnapshot", "Gap", "BookSnapshot", "Gap", "BookSnapshot", "BookUpdate"]


# Several files


def test_files_are_runs_in_the_order_of_time(tmp_path: Path) -> None:
    later = written(tmp_path / "a", [trade(5), trade(6)], START_NS + 100 * SECOND)
    earlier = written(tmp_path / "b", [trade(1), trade(2)])
    report = kt.import_recording([later, earlier], tmp_path / "log")
    assert report.runs == 2
    events = events_of(tmp_path / "log", kt.Trades("BTC/USD"))
    assert [getattr(event, "trade_id", event) for event in events if not isinstance(event, kt.Gap)] == [1, 2, 5, 6]
    assert [event.cause for event in events if isinstance(event, kt.Gap)] == [kt.Cause.NOT_RECORDED]
    assert audit_folder(tmp_path / "log").verdict is Verdict.HOLES
    assert [event.epoch for event in events if not isinstance(event, kt.Gap)] == [1, 1, 2, 2]


def test_another_connection_of_one_file_is_one_of_the_client(tmp_path: Path) -> None:
    frames = [status(1), trade(1), status(1), status(None), trade(2), status(2), trade(3)]
    kt.import_recording(written(tmp_path / "f", frames), tmp_path / "log")
    events = events_of(tmp_path / "log", kt.Trades("BTC/USD"), kt.Lifecycle())
    assert [event.epoch for event in events if isinstance(event, kt.Trade)] == [1, 1, 2]
    assert [event.cause for event in events if isinstance(event, kt.Gap)] == [kt.Cause.DISCONNECTED]
    states = [event.current.value for event in events if isinstance(event, kt.StateChange)]
    assert states[-4:] == ["connecting", "resyncing", "subscribed", "disconnected"]


def test_another_connection_of_one_of_two_files_leaves_the_other_alone(tmp_path: Path) -> None:
    one = written(tmp_path / "a", [status(1), trade(1), trade(2), trade(3)])
    two = written(tmp_path / "b", [status(8), trade(1, "A/B"), status(9), trade(2, "A/B")])
    assert kt.import_recording([one, two], tmp_path / "log").runs == 1
    events = events_of(tmp_path / "log", kt.Trades("BTC/USD"))
    assert [(event.trade_id, event.epoch) for event in events] == [(1, 1), (2, 1), (3, 1)]
    first, gap, last = events_of(tmp_path / "log", kt.Trades("A/B"))
    assert (first.trade_id, gap.cause, last.trade_id) == (1, kt.Cause.NOT_RECORDED, 2)


def test_the_same_at_the_same_time_is_refused(tmp_path: Path) -> None:
    one, two = written(tmp_path / "a", [trade(1), trade(2)]), written(tmp_path / "b", [trade(1)])
    with pytest.raises(kt.RecordingError, match=r"a and .*b both have Trades.* at the same time: import them into"):
        kt.import_recording([one, two], tmp_path / "log")


def test_a_folder_is_in_the_order_of_time(tmp_path: Path) -> None:
    kt.import_recording(written(tmp_path / "a", [trade(1), trade(2)]), tmp_path / "log")
    with pytest.raises(kt.RecordingError, match=r"a begins before the end of what is recorded in"):
        kt.import_recording(tmp_path / "a", tmp_path / "log")
    kt.import_recording(written(tmp_path / "b", [trade(3)], START_NS + SECOND), tmp_path / "log")
    trades = [event for event in events_of(tmp_path / "log", kt.Trades("BTC/USD")) if isinstance(event, kt.Trade)]
    assert [(event.trade_id, event.epoch) for event in trades] == [(1, 1), (2, 1), (3, 2)]


# v1


def v1_answer(name: str, status: str = "subscribed", **more: object) -> str:
    told = {"event": "subscriptionStatus", "status": status, "reqid": 7, "channelName": name}
    return json.dumps(told | {"subscription": {"name": name.partition("-")[0], **more}})


def test_a_recording_of_v1(tmp_path: Path) -> None:
    book = v1_answer("book-10", depth=10).replace('"reqid"', '"pair":"XBT/USD","reqid"')
    frames = [STATUS_V1, book, SNAPSHOT, UPDATE, HEARTBEAT_V1, TRADES, TICKER, CANDLE, SPREAD]
    report = kt.import_recording(written(tmp_path / "f", frames), tmp_path / "log")
    # The snapshot is an excerpt: it has no checksum, and that of the update is of the whole.
    assert (report.frames, report.malformed, report.checksum_failures) == (len(frames), 0, 1)
    assert report.requests == (
        kt.Book("BTC/USD"), kt.Trades("DOGE/BTC", snapshot=True), kt.Ticker("BTC/USD"), kt.Candles("BTC/USD", 5),
        kt.Spread("BTC/USD"),
    )  # fmt: skip
    kinds = {type(event).__name__ for event in events_of(tmp_path / "log", *report.requests)}
    assert {"BookSnapshot", "Gap", "Trade", "TickerUpdate", "Candle", "SpreadUpdate"} <= kinds
    assert recorded_frames(tmp_path / "log") == [frame.encode() for frame in frames]
    assert audit_folder(tmp_path / "log").verdict is Verdict.HOLES


@pytest.mark.parametrize("has_answers", [False, True])
def test_own_orders_of_v1(tmp_path: Path, *, has_answers: bool) -> None:
    past = OWN_TRADES.replace('"sequence":2', '"sequence":1').replace("T1", "T0")
    both = [v1_answer("openOrders"), ORDERS, v1_answer("ownTrades"), past]
    frames = [*(both if has_answers else [ORDERS, past]), PENDING, OWN_TRADES, CHANGES]
    if has_answers:
        frames += [v1_answer(name, "unsubscribed") for name in ("openOrders", "ownTrades")]
    report = kt.import_recording(written(tmp_path / "f", frames), tmp_path / "log")
    assert (report.requests, report.malformed) == ((kt.Executions(),), 0)
    told = [getattr(event, "exec_type", "snapshot") for event in events_of(tmp_path / "log", kt.Executions())]
    assert told[:5] == ["snapshot", "pending_new", "trade", "status", "canceled"]
    assert audit_folder(tmp_path / "log").verdict is Verdict.COMPLETE


def test_the_real_recordings_of_v1(captures: Path, tmp_path: Path) -> None:
    for file in sorted(captures.glob("v1_*.txt")):
        report = kt.import_recording(file, tmp_path / file.stem, start=None)
        with file.open("rb") as opened:
            frames = list(read_frames([opened.read()]))
        assert report.frames == len(frames) == len(recorded_frames(tmp_path / file.stem))
        assert (report.malformed, report.checksum_failures, len(report.requests)) == (0, 0, 10)
        verification = Verification()
        for frame in frames:
            verification.take(frame)
        assert report.checksums_verified == verification.verified
        assert audit_folder(tmp_path / file.stem).verdict is Verdict.COMPLETE


def test_a_folder_is_of_one_protocol(tmp_path: Path) -> None:
    one, two = written(tmp_path / "a", [trade(1)]), written(tmp_path / "b", [TRADES], START_NS + SECOND)
    with pytest.raises(kt.RecordingError, match=r"a is of Kraken's protocol v2, and .*b of v1: import them into"):
        kt.import_recording([one, two], tmp_path / "log")
    kt.import_recording(one, tmp_path / "log")
    with pytest.raises(kt.RecordingError, match=r"b is of Kraken's protocol v1, and what is .* of v2: import it into"):
        kt.import_recording(two, tmp_path / "log")


def test_answers_that_no_request_leads_to_change_nothing(tmp_path: Path) -> None:
    frames = [answer("subscribe", "A/B", channel="spread"), v1_answer("instrument"), trade(1)]
    assert kt.import_recording(written(tmp_path / "f", frames), tmp_path / "log").requests == (
        kt.Trades("BTC/USD", snapshot=True),
    )
    frames = [HEARTBEAT_V1, v1_answer("instrument"), v1_answer("balances"), TICKER]
    report = kt.import_recording(written(tmp_path / "g", frames), tmp_path / "log of v1")
    assert report.requests == (kt.Ticker("BTC/USD"),)


# What is no recording


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b"1785644622: hello\n", "no frame in its first 1 lines", id="text"),
        pytest.param(b"1785644622: {\n" * 2000, "no frame in its first 1000 lines", id="much else"),
        pytest.param(b"configuration: x\n", "there is no frame in it", id="no frame"),
        pytest.param(b'1785644622: {"event":"challenge","message":"x"}\n', "Kraken Futures", id="futures"),
        pytest.param(b"CBCAP2 \n", "its first line is not", id="another version"),
    ],
)
def test_no_recording(tmp_path: Path, data: bytes, problem: str) -> None:
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(kt.RecordingError, match=problem):
        kt.import_recording(tmp_path / "f", tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(kt.RecordingError, match="f cannot be read: No such file"):
        kt.import_recording(tmp_path / "f", tmp_path / "log")
    with pytest.raises(ValueError, match="there is no file"):
        kt.import_recording([], tmp_path / "log")


def test_a_file_that_is_cut_off_is_imported_up_to_there(tmp_path: Path) -> None:
    path = written(tmp_path / "f", [trade(1), trade(2)])
    path.write_bytes(gzip.compress(path.read_bytes()[:-10]))
    report = kt.import_recording(path, tmp_path / "log")
    assert report.frames == 1
    (problem,) = report.problems
    assert "it is cut off in frame 2" in problem


def test_a_frame_of_another_protocol_in_between_is_only_malformed(tmp_path: Path) -> None:
    report = kt.import_recording(
        written(tmp_path / "f", [HEARTBEAT, '{"event":"heartbeat"}', trade(1)]), tmp_path / "log"
    )
    assert report.malformed == 1


def test_too_many_subscriptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pure, "MAX_KEYS", 2)
    path = written(tmp_path / "f", [trade(1, symbol) for symbol in ("A/B", "C/D", "E/F")])
    with pytest.raises(kt.RecordingError, match="more than 2 subscriptions"):
        kt.import_recording(path, tmp_path / "log")


def test_frames_that_do_not_arrive_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Packer, "received", lambda *_args: None)
    with pytest.raises(kt.RecordingError, match="2 frames were to be imported, but 0 are in"):
        kt.import_recording(written(tmp_path / "f", [trade(1), trade(2)]), tmp_path / "log")
