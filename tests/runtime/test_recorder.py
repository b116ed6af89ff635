"""Recording a client: everything gets into the log, and whatever the disk does, the feeds never notice."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from unittest.mock import MagicMock

import attrs
import pytest
import trio

import kraken_trio as kt
from kraken_trio.errors import RecordingError
from kraken_trio.recording import format as fmt
from kraken_trio.recording.format import KEYFRAMES, NOTES
from kraken_trio.recordings import record
from kraken_trio.runtime import recorder
from kraken_trio.runtime.recorder import Recorder, in_line
from kraken_trio.storage.reading import open_folder
from kraken_trio.storage.segments import Folder
from kraken_trio.testing import open_exchange
from kraken_trio.testing.faults import Drop
from tests.opening import open_at
from tests.recorded import FIRST, FRAMES, Log, cycles, read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from trio.testing import MockClock

    from kraken_trio.runtime.actor import Actor
    from kraken_trio.session import Effects
    from tests.client.conftest import InMemoryExchange

T = TypeVar("T")

START_NS = int(datetime(2027, 3, 1, 12, tzinfo=UTC).timestamp()) * 10**9
BTC, ETH = kt.Book("BTC/USD"), kt.Book("ETH/USD")


@asynccontextmanager
async def open_client(exchange: InMemoryExchange, start_ns: int = START_NS) -> AsyncIterator[kt.Client]:
    """A client whose wall clock is virtual, too."""
    async with open_at(exchange, lambda: start_ns + round(trio.current_time() * 1e9)) as client:
        yield client


def actor_of(client: kt.Client) -> Actor:
    return client._shell  # type: ignore[return-value]  # that of open_client is an actor


@attrs.define
class Spy:
    """Sees what the recorder sees."""

    batches: list[list[bytes]] = attrs.Factory(list)
    times: list[tuple[int, float]] = attrs.Factory(list)
    told_of: list[str] = attrs.Factory(list)

    def received(self, frames: Sequence[str | bytes], received_ns: int, now: float, effects: Effects) -> None:
        del effects
        self.batches.append([frame.encode() if isinstance(frame, str) else frame for frame in frames])
        self.times.append((received_ns, now))

    def told(self, happening: object, *_: object) -> None:
        self.told_of.append(type(happening).__name__)


@attrs.define
class Disk:
    """Work in line, on a disk that may fail, or not answer."""

    error: Exception | None = None
    answers: trio.Event = attrs.Factory(trio.Event)
    calls: list[str] = attrs.Factory(list)

    def __attrs_post_init__(self) -> None:
        self.answers.set()

    def hang(self) -> None:
        self.answers = trio.Event()

    async def __call__(self, do: Callable[..., T], /, *args: Any) -> T:
        name = do.__name__
        self.calls.append(name)
        await trio.lowlevel.checkpoint()
        await self.answers.wait()
        if self.error is not None and name in ("write", "finish"):
            raise self.error
        return do(*args)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


in_memory = partial(record, work=in_line)


async def read_on(feed: kt.Feed, seconds: float) -> list[kt.Event]:
    """What a program gets meanwhile."""
    events: list[kt.Event] = []
    with trio.move_on_after(seconds):
        while True:
            events += await feed.receive_many()
    return events


# ------------------------------------------------------------------ what is there


async def test_everything_that_came_is_there(exchange: InMemoryExchange, data: Path, autojump_clock: MockClock) -> None:
    spy = Spy()
    async with open_client(exchange) as client, in_memory(client, data) as recording:
        actor_of(client).tap(spy)
        skipped = recording.statistics().batches
        async with client.subscribe(BTC, kt.Trades("BTC/USD")) as feed:
            assert len(await read_on(feed, 5)) > 20
            exchange.inject(Drop())
            assert len(await read_on(feed, 30)) > 20
        actor_of(client).untap(spy)
        statistics = recording.statistics()
        assert repr(recording) == f"<Recording in {data}: {statistics.frames} frames>"
    log = read(data)
    (file,) = log.files
    assert file.finished
    recorded = log.batches()[skipped : skipped + len(spy.batches)]
    assert recorded == spy.batches
    assert statistics.batches == skipped + len(spy.batches)
    assert (statistics.dropped_batches, statistics.failure, statistics.segments) == (0, None, 1)
    firsts = [message for message in log.messages if message.channel in FIRST][skipped:]
    for message, (received_ns, now) in zip(firsts, spy.times, strict=False):
        assert message.wall_ns == received_ns
        assert 0 <= message.monotonic_ns - int(now * 1e9) < 1000
    told = [name for name in log.told() if name != "Sent"]
    assert told[-len(spy.told_of) :] == spy.told_of
    assert {"Added", "Lost", "Retried", "Connected", "Ticked", "Removed", "Sent"} <= set(log.told())
    decisions = ("Begun", "Stepped", "Changed", "Missed")
    assert {entry["kind"] for entry in log.entries(*decisions)} == set(decisions)
    notes = [message.entry["kind"] for message in log.messages if message.channel == NOTES]
    assert notes == ["Started", "Stopped"]
    assert (log.messages[0].entry["kind"], log.messages[-1].entry["kind"]) == ("Started", "Stopped")
    assert file.values["endpoint"] == "ws://localhost/v2"
    assert file.values["epoch_base"] == "0"
    requests = file.said("requests")
    assert requests[-1]["epoch"] == "2"
    assert '"BTC/USD"' in requests[-1]["confirmed"]
    assert requests[-1]["wanted"] == "[]"  # the feed was closed


async def test_requests_are_wanted_without_a_feed(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock
) -> None:
    async with open_client(exchange) as client:
        async with in_memory(client, data, BTC, kt.Trades("BTC/USD")):
            await trio.sleep(5)
            assert list(client.statistics().subscriptions) == [BTC, kt.Trades("BTC/USD")]
        await trio.sleep(1)
        assert list(client.statistics().subscriptions) == []  # nobody wants them any more
    log = read(data)
    assert sum(b'"channel":"book"' in frame for batch in log.batches() for frame in batch) > 5
    assert [name for name in log.told() if name != "Sent"][-1] == "Removed"


async def test_a_refused_request_is_refused_at_the_beginning(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock
) -> None:
    async with open_client(exchange) as client:
        with pytest.raises(kt.SubscriptionRejected) as caught:
            async with in_memory(client, data, kt.Book("NOPE/USD")):
                pytest.fail("it was entered")
        assert list(caught.value.reasons) == [kt.Book("NOPE/USD")]
        async with in_memory(client, data, BTC):  # the folder is free
            await trio.sleep(1)
    first, second = read(data).files
    assert first.finished
    assert second.values["previous_recording"] == first.values["recording"]


async def test_bad_arguments_are_refused_before_anything_is_done(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock
) -> None:
    async with open_client(exchange) as client:
        for bad in (
            {"flush_every": 0},
            {"keyframe_every": float("inf")},
            {"keep_days": -1},
            {"keep_bytes": 0},
            {"max_segment_bytes": 0},
        ):
            with pytest.raises(ValueError, match=next(iter(bad))):
                async with in_memory(client, data, **bad):
                    pytest.fail("it was entered")
        with pytest.raises(ValueError, match=r"choose Overflow\.DROP_OLDEST or Overflow\.BACKPRESSURE"):
            async with in_memory(client, data, overflow=kt.Overflow.CONFLATE):
                pytest.fail("it was entered")
    assert not data.exists()


# -------------------------------------------------------------------- key frames


async def test_key_frames_tell_what_a_late_feed_would_begin_with(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock
) -> None:
    async with open_client(exchange) as client, client.subscribe(BTC, capacity=10_000):
        await trio.sleep(1)
        async with in_memory(client, data, ETH, keyframe_every=10):
            await trio.sleep(35)
    log = read(data)
    (file,) = log.files
    found = list(cycles(file))
    assert found[0] == ("subscribed", ["Book BTC/USD"])
    assert found[1:] == [("subscribed", ["Book BTC/USD", "Book ETH/USD"])] * 3
    named = file.said("keyframes")
    assert len(named) == len(found)
    begun = [m.sequence for m in file.messages if m.channel == KEYFRAMES and m.entry["kind"] == "CycleBegun"]
    assert [int(values["sequence"]) for values in named] == begun


async def test_key_frames_come_after_many_messages_too(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "CYCLE_MESSAGES", 100)
    async with open_client(exchange) as client, in_memory(client, data, BTC, keyframe_every=1e6):
        for _ in range(5):
            exchange.publish(100, "BTC/USD")
            await trio.sleep(2)
    assert len(list(cycles(read(data).files[0]))) >= 4


async def test_key_frames_are_written_in_slices(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "SLICE_SECONDS", 0)
    requests = [kind(symbol) for kind in (kt.Book, kt.Trades, kt.Ticker) for symbol in ("BTC/USD", "ETH/USD")]
    async with open_client(exchange) as client, client.subscribe(*requests, capacity=10_000) as feed:
        await trio.sleep(1)
        async with in_memory(client, data, keyframe_every=5):
            await read_on(feed, 20)
    log = read(data)
    found = list(cycles(log.files[0]))
    assert len(found) == 4
    assert {len(keys) for _, keys in found} == {6}
    kinds = [message.channel for message in log.messages]
    first = [index for index, kind in enumerate(kinds) if kind == KEYFRAMES]
    assert set(kinds[first[0] : first[30]]) > {KEYFRAMES}  # frames came in between


async def test_key_frames_skip_what_has_gone_meanwhile(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "SLICE_SECONDS", 0)
    monkeypatch.setattr(recorder, "SLICE_PAUSE", 1)
    async with open_client(exchange) as client, client.subscribe(BTC, capacity=10_000):
        async with client.subscribe(ETH):
            await trio.sleep(1)
            entering = in_memory(client, data)
            await entering.__aenter__()  # the first slice has been written
        await trio.sleep(5)
        await entering.__aexit__(None, None, None)
    assert list(cycles(read(data).files[0])) == [("subscribed", ["Book BTC/USD"])]


async def test_key_frames_that_a_hole_interrupts_are_begun_anew(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "SLICE_SECONDS", 0)
    monkeypatch.setattr(recorder, "SLICE_PAUSE", 30)
    disk = Disk()
    async with open_client(exchange) as client, client.subscribe(BTC, ETH, capacity=10_000) as feed:
        await read_on(feed, 1)
        async with record(client, data, work=disk, max_pending_bytes=10_000) as recording:
            disk.hang()
            await read_on(feed, 29)
            assert recording.statistics().dropped_batches
            await read_on(feed, 2)
            disk.answers.set()
            await read_on(feed, 100)
    kinds = [message.entry["kind"] for message in read(data).messages if message.channel in (KEYFRAMES, NOTES)]
    hole = kinds.index("Hole")
    assert kinds[:hole].count("CycleBegun") == 1
    assert "CycleEnded" not in kinds[:hole]
    assert "CycleEnded" in kinds[hole:]


async def test_key_frames_that_have_no_room_are_begun_anew(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "BLOCK_BYTES", 1)
    disk = Disk()
    async with open_client(exchange) as client, client.subscribe(BTC, ETH, capacity=10_000) as feed:
        await read_on(feed, 1)
        async with record(client, data, work=disk, max_pending_bytes=20_000, keyframe_every=2) as recording:
            await read_on(feed, 1.5)
            disk.hang()
            await read_on(feed, 60)
            assert recording.statistics().dropped_batches
            disk.answers.set()
            await read_on(feed, 10)
    assert list(cycles(read(data).files[0]))


async def test_only_a_client_of_open_client_can_be_recorded(data: Path) -> None:
    other = kt.Client(MagicMock())
    with pytest.raises(TypeError, match="cannot be recorded: only a client of open_client can"):
        async with record(other, data):
            pytest.fail("it was entered")


# ------------------------------------------------------- rotation and retention


async def test_a_new_segment_begins_when_one_is_large(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock
) -> None:
    async with open_client(exchange) as client:
        async with in_memory(client, data, BTC, max_segment_bytes=8_000) as recording:
            await trio.sleep(120)
            statistics = recording.statistics()
    log = read(data)
    assert len(log.files) == statistics.segments > 3
    assert [int(file.values["number"]) for file in log.files] == list(range(1, len(log.files) + 1))
    for file in log.files[:-1]:
        assert file.finished
        assert list(cycles(file))  # each can be read for itself
        assert '"BTC/USD"' in file.said("requests")[0]["wanted"]
        assert 8_000 <= (data / file.name).stat().st_size < 12_000
    sums = [sum(message.channel in FRAMES for message in file.messages) for file in log.files]
    assert sum(sums) >= statistics.frames


async def test_a_tiny_segment_has_its_key_frames(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "SLICE_SECONDS", 0)
    monkeypatch.setattr(recorder, "BLOCK_BYTES", 100)
    async with open_client(exchange) as client, in_memory(client, data, BTC, ETH, max_segment_bytes=1):
        await trio.sleep(10)
    files = read(data).files
    assert 5 < len(files) < 1000
    assert all(list(cycles(file)) for file in files[:-1])


async def test_a_new_segment_begins_each_day(exchange: InMemoryExchange, data: Path, autojump_clock: MockClock) -> None:
    evening = int(datetime(2027, 3, 1, 23, 59, 40, tzinfo=UTC).timestamp()) * 10**9
    async with open_client(exchange, evening) as client, in_memory(client, data, BTC):
        await trio.sleep(60)
    assert [file.name for file in read(data).files] == [
        "00000001-20270301T235940Z.mcap",
        "00000002-20270302T000000Z.mcap",
    ]


async def test_a_new_segment_begins_when_readers_would_accept_no_more(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fmt, "MAX_RECORDS", 20)
    async with open_client(exchange) as client, in_memory(client, data, BTC):
        await trio.sleep(30)
    monkeypatch.undo()
    assert [len(file.blocks) + len(file.metadata) for file in read(data).files[:-1]] == [11, 11, 11]


async def test_the_oldest_segments_are_deleted(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock
) -> None:
    async with open_client(exchange) as client:
        async with in_memory(client, data, BTC, max_segment_bytes=8_000, keep_bytes=30_000):
            await trio.sleep(120)
        files = read(data).files
        assert int(files[0].values["number"]) > 1
        assert sum((data / file.name).stat().st_size for file in files) < 45_000
    async with (
        open_client(exchange, START_NS + 2 * 86_400 * 10**9) as client,
        in_memory(client, data, BTC, keep_days=1),
    ):
        await trio.sleep(1)
    (file,) = read(data).files
    assert file.values["previous"] == files[-1].name


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What the recorder had logged."""
    return lambda: [
        record.getMessage().partition(": recording: ")[2]
        for record in caplog.records
        if ": recording: " in record.getMessage()
    ]


async def test_finished_segments_are_given_to_the_program(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock, lines: Callable[[], list[str]]
) -> None:
    uploaded: list[str] = []
    running = 0

    async def upload(path: Path) -> None:
        nonlocal running
        running += 1
        assert running == 1  # one at a time
        await trio.sleep(3)
        running -= 1
        assert read(path).files[0].finished
        uploaded.append(path.name)
        if len(uploaded) == 2:
            msg = "no route to the bucket"
            raise OSError(msg)

    async with (
        open_client(exchange) as client,
        in_memory(client, data, BTC, max_segment_bytes=8_000, on_segment=upload, close_timeout=60),
    ):
        await trio.sleep(100)
    names = [file.name for file in read(data).files]
    assert len(names) > 3
    assert uploaded == names
    assert lines() == [f"on_segment({data / names[1]}): OSError: no route to the bucket"]


async def test_an_upload_that_takes_too_long_is_logged(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock, lines: Callable[[], list[str]]
) -> None:
    async def upload(_path: Path) -> None:
        await trio.sleep_forever()

    async with open_client(exchange) as client:
        async with in_memory(client, data, BTC, on_segment=upload, close_timeout=5):
            await trio.sleep(3)
            began = trio.current_time()
        assert trio.current_time() - began == pytest.approx(5)
    assert read(data).files[0].finished
    assert lines() == [f"on_segment({data / '00000001-20270301T120000Z.mcap'}): there was no time for it"]


async def test_what_a_killed_recorder_has_left_is_finished_and_given_to_the_program(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock, lines: Callable[[], list[str]]
) -> None:
    uploaded: list[str] = []

    async def upload(path: Path) -> None:
        await trio.lowlevel.checkpoint()
        uploaded.append(path.name)

    async with open_client(exchange) as client:
        async with in_memory(client, data, BTC):
            await trio.sleep(10)
        (file,) = read(data).files
        whole = (data / file.name).read_bytes()
        torn = whole[: len(whole) // 2]
        (data / file.name).write_bytes(torn)
        (data / "00000002-20270301T130000Z.mcap").write_bytes(b"no more than this")
        (data / "00000003-20270301T130000Z.mcap").write_bytes(whole.replace(b"kraken_trio", b"another_one", 1))
        async with in_memory(client, data, on_segment=upload):
            await trio.sleep(1)
    assert uploaded == [file.name, "00000004-20270301T120010Z.mcap"]
    healed, aside, foreign = lines()
    assert "it was given its end; " in healed
    assert aside.endswith("its beginning is torn; it is 00000002-20270301T130000Z.mcap.damaged now")
    assert foreign.startswith("00000003-20270301T130000Z.mcap: ")
    (data / "00000003-20270301T130000Z.mcap").unlink()
    with open_folder(data) as recorded:
        kept = [message for chunk in recorded.segments[0].index.chunks for message in recorded.segments[0].read(chunk)]
    assert [message[4] for message in kept] == [message.data for message in file.messages][: len(kept)]
    assert 10 < len(kept) < len(file.messages)


# -------------------------------------------------------------- when there is no room


def holes(log: Log) -> list[tuple[int, int]]:
    return [(entry.get("batches", 0), entry.get("frames", 0)) for entry in log.entries("Hole")]


async def test_a_slow_disk_is_not_noticed_by_feeds(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock, lines: Callable[[], list[str]]
) -> None:
    disk, spy = Disk(), Spy()
    async with open_client(exchange) as client:
        async with record(client, data, work=disk, max_pending_bytes=10_000) as recording:
            actor_of(client).tap(spy)
            skipped = recording.statistics().batches
            async with client.subscribe(BTC) as feed:
                await read_on(feed, 3)
                disk.hang()
                got = await read_on(feed, 60)
                assert sum(isinstance(event, kt.BookUpdate) for event in got) > 100
                assert not any(isinstance(event, kt.Gap) for event in got)
                statistics = recording.statistics()
                assert statistics.dropped_batches > 50
                assert 10_000 < statistics.pending_bytes < 20_000
                disk.answers.set()
                await read_on(feed, 10)
                statistics = recording.statistics()
                assert statistics.pending_bytes < 10_000
            actor_of(client).untap(spy)
    log = read(data)
    assert holes(log) == [(statistics.dropped_batches, statistics.dropped_frames)]
    recorded = log.batches()[skipped:]
    assert len(recorded) + statistics.dropped_batches == len(spy.batches)
    before = next(n for n, (ours, theirs) in enumerate(zip(recorded, spy.batches, strict=False)) if ours != theirs)
    assert recorded[before:] == spy.batches[before + statistics.dropped_batches :]  # whole batches, in one piece
    (hole,) = log.entries("Hole")
    assert spy.times[before - 1][0] <= hole["from_ns"] < hole["until_ns"]
    assert log.files[0].said("requests")[-1]["wanted"] == "[]"
    after = [m.entry["kind"] for m in log.messages if m.channel in (NOTES, KEYFRAMES)]
    assert "KeyFrame" in after[after.index("Hole") :]
    failed, resumed = lines()
    assert failed.startswith("batches are left out: the disk did not keep up: ")
    assert resumed == f"it goes on; {statistics.dropped_batches} batches of frames are missing"


async def test_what_was_wanted_during_a_hole_is_known_after_it(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock
) -> None:
    disk = Disk()
    async with (
        open_client(exchange) as client,
        record(client, data, BTC, work=disk, max_pending_bytes=10_000) as recording,
    ):
        disk.hang()
        await trio.sleep(60)
        assert recording.statistics().dropped_batches
        async with client.subscribe(ETH, capacity=10_000):
            await trio.sleep(1)
            disk.answers.set()
            await trio.sleep(5)
            cycle = list(cycles(read(data).files[0]))[-1]
            said = read(data).files[0].said("requests")[-1]
    assert cycle == ("subscribed", ["Book BTC/USD", "Book ETH/USD"])
    assert '"ETH/USD"' in said["wanted"]
    assert '"ETH/USD"' in said["confirmed"]


async def test_with_backpressure_the_client_waits_for_the_disk(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock, lines: Callable[[], list[str]]
) -> None:
    disk, spy = Disk(), Spy()
    async with open_client(exchange) as client:
        async with record(
            client, data, BTC, work=disk, max_pending_bytes=10_000, overflow=kt.Overflow.BACKPRESSURE, keyframe_every=5
        ) as recording:
            actor_of(client).tap(spy)
            skipped = recording.statistics().batches
            await trio.sleep(3)
            disk.hang()
            await trio.sleep(60)
            held = len(spy.batches)
            pending = recording.statistics().pending_bytes
            await trio.sleep(60)
            assert len(spy.batches) == held  # nothing is read
            assert recording.statistics().pending_bytes < pending + 5_000  # nor do key frames pile up
            disk.answers.set()
            await trio.sleep(10)
            assert len(spy.batches) > held + 50
            actor_of(client).untap(spy)
            statistics = recording.statistics()
    log = read(data)
    assert statistics.dropped_batches == 0
    assert holes(log) == []
    recorded = log.batches()[skipped : skipped + len(spy.batches)]
    assert recorded == spy.batches
    told = log.told()
    assert told.index("Held") < told.index("Resumed")
    assert lines() == []


async def test_backpressure_ends_with_the_recording(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock
) -> None:
    disk = Disk()
    async with open_client(exchange) as client, client.subscribe(BTC) as feed:
        async with record(client, data, work=disk, max_pending_bytes=5_000, overflow=kt.Overflow.BACKPRESSURE):
            disk.hang()
            await read_on(feed, 30)
            assert await read_on(feed, 5) == []
        assert len(await read_on(feed, 5)) > 10


async def test_the_client_tells_of_its_recordings(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock
) -> None:
    disk = Disk()
    async with open_client(exchange) as client:
        assert client.statistics().recordings == {}
        async with (
            in_memory(client, data, BTC) as first,
            record(client, str(data.with_name("b")), work=disk, max_pending_bytes=10_000) as second,
        ):
            disk.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            await trio.sleep(30)
            now = client.statistics()
            assert list(now.recordings.values()) == [first.statistics(), second.statistics()]
            assert [one.failure for one in now.recordings.values()] == [None, "No space left on device"]
            assert list(now.recordings) == [str(data), str(data.with_name("b"))]
            frames = [one.frames for one in now.recordings.values()]
            assert now.recorded_frames == sum(frames) > frames[0] > frames[1] > 0
            assert now.recorded_bytes == sum(one.disk_bytes for one in now.recordings.values()) > 0
            assert now.unrecorded_frames == now.recordings[str(data.with_name("b"))].dropped_frames > 0
        over = client.statistics()
        assert over.recordings == {}
        assert over.recorded_frames >= now.recorded_frames
        assert over.recorded_bytes >= now.recorded_bytes
        assert over.unrecorded_frames >= now.unrecorded_frames
        with pytest.raises(kt.RecordingError):
            async with in_memory(client, "/dev/null/x"):
                pass
        assert client.statistics().recordings == {}


async def test_a_recording_that_never_began_counts_nothing(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        await trio.lowlevel.checkpoint()
        raise MemoryError

    async with open_client(exchange) as client:
        async with in_memory(client, data, BTC):
            await trio.sleep(1)
        before = client.statistics().recorded_frames
        monkeypatch.setattr(Recorder, "run", fail)
        with pytest.raises(MemoryError):
            async with in_memory(client, data, BTC):
                pass
        now = client.statistics()
        assert now.recordings == {}
        assert now.recorded_frames == before > 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO], ids=errno.errorcode.get)
async def test_a_disk_that_fails_is_tried_again(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock, lines: Callable[[], list[str]], number: int
) -> None:
    disk = Disk()
    async with open_client(exchange) as client:
        async with record(client, data, BTC, work=disk) as recording:
            await trio.sleep(3)
            disk.error = OSError(number, os.strerror(number), "/the/file")
            await trio.sleep(30)
            assert recording.statistics().failure == os.strerror(number)
            assert repr(recording) == f"<Recording in {data}: failing: {os.strerror(number)}>"
            assert 25 < disk.calls.count("write") < 40  # each second
            disk.error = None
            await trio.sleep(3)
            assert recording.statistics().failure is None
            statistics = recording.statistics()
    log = read(data)
    assert statistics.dropped_batches == 0
    assert holes(log) == []  # all of it had room in memory
    assert sum(map(len, log.batches())) >= statistics.frames
    assert lines() == [f"it cannot be written: {os.strerror(number)}; it is tried again", "it goes on"]


async def test_a_full_disk_leaves_a_hole_that_the_log_admits(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock, lines: Callable[[], list[str]]
) -> None:
    disk = Disk()
    async with open_client(exchange) as client:
        async with record(client, data, BTC, work=disk, max_pending_bytes=10_000) as recording:
            disk.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            await trio.sleep(60)
            disk.error = None
            await trio.sleep(5)
            statistics = recording.statistics()
    log = read(data)
    assert holes(log) == [(statistics.dropped_batches, statistics.dropped_frames)]
    assert statistics.dropped_batches
    (hole,) = log.entries("Hole")
    assert hole["why"] == os.strerror(errno.ENOSPC)
    assert [line.partition(":")[0].partition(";")[0] for line in lines()] == [
        "it cannot be written",
        "batches are left out",
        "it goes on",
    ]


async def test_leaving_while_the_disk_is_full_says_what_is_lost(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock, lines: Callable[[], list[str]]
) -> None:
    disk = Disk()
    async with open_client(exchange) as client:
        async with record(client, data, BTC, work=disk, max_pending_bytes=10_000):
            await trio.sleep(3)
            disk.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            await trio.sleep(60)
            began = trio.current_time()
        assert trio.current_time() == began  # nothing is waited for
        assert lines()[-1].startswith("its end is missing, with ")
        assert lines()[-1].endswith("batches of frames: No space left on device")
        disk.error = None
        async with record(client, data, BTC, work=disk):
            await trio.sleep(1)
    first, second = read(data).files
    assert first.finished  # by the second
    assert [message.entry["kind"] for message in first.messages if message.channel == NOTES] == ["Started"]
    assert second.values["previous_sequence"] == str(len(first.messages))


async def test_leaving_when_there_is_room_again_says_all(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock
) -> None:
    disk = Disk()
    async with open_client(exchange) as client:
        async with record(client, data, BTC, work=disk, max_pending_bytes=10_000) as recording:
            disk.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            await trio.sleep(60)
            disk.error = None
            statistics = recording.statistics()
            assert statistics.failure
    log = read(data)
    assert holes(log) == [(statistics.dropped_batches, statistics.dropped_frames)]
    assert log.messages[-1].entry["kind"] == "Stopped"
    assert log.files[0].finished


async def test_a_slow_disk_has_time_to_finish(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock
) -> None:
    disk = Disk()
    async with open_client(exchange) as client, trio.open_nursery() as nursery:
        async with record(client, data, BTC, work=disk, max_pending_bytes=10_000) as recording:
            disk.hang()
            await trio.sleep(60)

            async def answer() -> None:
                await trio.sleep(3)
                disk.answers.set()

            nursery.start_soon(answer)
            dropped = recording.statistics().dropped_batches
    log = read(data)
    assert [batches for batches, _ in holes(log)] == [dropped]
    assert log.messages[-1].entry["kind"] == "Stopped"


async def test_a_disk_that_never_answers_is_left_alone(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock, lines: Callable[[], list[str]]
) -> None:
    disk = Disk()
    async with open_client(exchange) as client:
        async with record(client, data, BTC, work=disk, close_timeout=7):
            await trio.sleep(3)
            disk.hang()
            await trio.sleep(3)
            began = trio.current_time()
        assert trio.current_time() - began == pytest.approx(7)
        assert lines()[-1].endswith("batches of frames: the disk did not answer in time")
        Folder(data).close()  # it is free
    assert read(data).messages


async def test_a_deleted_folder_is_made_again(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock, lines: Callable[[], list[str]]
) -> None:
    async with open_client(exchange) as client:
        async with in_memory(client, data, BTC) as recording:
            await trio.sleep(10)
            shutil.rmtree(data)
            await trio.sleep(30)
            with pytest.raises(RecordingError, match="is being recorded by"):
                Folder(data)
            statistics = recording.statistics()
    log = read(data)
    (file,) = log.files
    assert file.values["number"] == "1"  # nothing is known of the others
    assert holes(log) == [(statistics.dropped_batches, statistics.dropped_frames)]
    assert list(cycles(file))
    assert len(log.batches()) > 50
    failed, resumed = lines()
    assert failed == f"it cannot be written: {os.strerror(errno.ENOENT)}; it is tried again"
    assert resumed == f"it goes on; {statistics.dropped_batches} batches of frames are missing"


async def test_a_deleted_segment_is_followed_by_another(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock
) -> None:
    async with open_client(exchange) as client:
        async with in_memory(client, data, BTC):
            await trio.sleep(10)
            next(data.glob("*.mcap")).unlink()
            await trio.sleep(10)
        (file,) = read(data).files
        assert list(cycles(file))
        assert file.finished


async def test_a_fault_of_the_writer_is_no_fault_of_the_client(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock, lines: Callable[[], list[str]]
) -> None:
    disk = Disk()
    async with open_client(exchange) as client, client.subscribe(BTC) as feed:
        async with record(client, data, work=disk) as recording:
            await read_on(feed, 3)
            disk.error = MemoryError()
            assert len(await read_on(feed, 10)) > 20
            disk.error = None
            await read_on(feed, 10)
            statistics = recording.statistics()
    log = read(data)
    assert len(log.files) == 2
    assert sum(batches for batches, _ in holes(log)) <= statistics.dropped_batches
    assert statistics.failure is None
    assert lines()[0] == "it cannot be written: MemoryError; it is tried again"


# ---------------------------------------------------------- beginning and leaving


async def test_a_second_recorder_is_refused(
    exchange: InMemoryExchange, data: Path, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_client(exchange) as client, in_memory(client, data, BTC):
        with pytest.raises(RecordingError, match=f"is being recorded by process {os.getpid()}"):
            async with in_memory(client, data):
                pytest.fail("it was entered")
        async with in_memory(client, tmp_path / "other"):  # but a client may be recorded twice
            await trio.sleep(5)
    other = read(tmp_path / "other").batches()
    assert other
    assert b"".join(map(b"".join, other)) in b"".join(map(b"".join, read(data).batches()))


async def test_epochs_go_on_counting(exchange: InMemoryExchange, data: Path, autojump_clock: MockClock) -> None:
    for _ in range(2):
        async with open_client(exchange) as client, in_memory(client, data, BTC):
            await trio.sleep(5)
            exchange.inject(Drop())
            await trio.sleep(30)
    async with open_client(exchange) as client, in_memory(client, data):
        await trio.sleep(1)
    files = read(data).files
    assert [file.values["epoch_base"] for file in files] == ["0", "2", "4"]
    assert [file.said("requests")[-1]["epoch"] for file in files] == ["2", "2", "1"]
    assert len({file.values["recording"] for file in files}) == 3


async def test_a_cancelled_block_leaves_a_whole_recording(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock
) -> None:
    async with open_client(exchange) as client:
        with trio.move_on_after(10) as scope:
            async with in_memory(client, data, BTC):
                await trio.sleep_forever()
        assert scope.cancelled_caught
    log = read(data)
    assert log.messages[-1].entry["kind"] == "Stopped"
    assert log.files[0].finished


async def test_entering_can_be_cancelled(exchange: InMemoryExchange, data: Path, autojump_clock: MockClock) -> None:
    disk = Disk()
    disk.hang()
    async with open_client(exchange) as client:
        with trio.move_on_after(10) as scope:
            async with record(client, data, work=disk):
                pytest.fail("it was entered")
        assert scope.cancelled_caught
        disk.answers.set()
        async with record(client, data, BTC, work=disk):
            await trio.sleep(1)
    assert read(data).files[0].finished


class Boom(Exception):  # noqa: N818 (a short name will do)
    pass


async def test_exceptions_of_the_block_are_its_own(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock
) -> None:
    async with open_client(exchange) as client:
        with pytest.raises(Boom):  # no group
            async with in_memory(client, data, BTC):
                await trio.sleep(3)
                raise Boom
    assert read(data).files[0].finished


async def test_a_client_that_is_left_inside_of_the_recording_is_recorded_until_then(
    exchange: InMemoryExchange, data: Path, autojump_clock: MockClock
) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(open_client(exchange))
        inner = await stack.enter_async_context(AsyncExitStack())
        await inner.enter_async_context(in_memory(client, data, BTC))
        await trio.sleep(3)
        actor_of(client).close()
        await trio.sleep(3)
    log = read(data)
    assert "Closed" in log.told()
    assert log.messages[-1].entry["kind"] == "Stopped"


# ------------------------------------------------------------------ for real


async def test_over_a_real_socket_with_a_real_thread(data: Path) -> None:
    async with (
        open_exchange(rate=200) as exchange,
        kt.open_client(exchange.url) as client,
        client.subscribe(BTC, kt.Trades("BTC/USD")) as feed,
        record(client, data, ETH, flush_every=0.05, max_segment_bytes=20_000) as recording,
    ):
        got = 0
        with trio.fail_after(30):
            while got < 200 or recording.statistics().segments < 3:
                got += len(await feed.receive_many())
    log = read(data)
    assert len(log.files) >= 3
    assert all(file.finished for file in log.files)
    assert len(log.batches()) > 100
