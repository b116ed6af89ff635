"""A recording as a client: what its feeds get, and its clock."""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING

import pytest
import trio

import kraken_trio as kt
from kraken_trio.runtime.replayer import Replayer
from kraken_trio.storage.playback import Playback
from kraken_trio.storage.reading import open_folder
from kraken_trio.telemetry.fan_out import FanOut
from tests.day import BOOK, ETH, SECOND, START_NS, STATE, TRADES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trio.testing import MockClock

ALL = (BOOK, TRADES, STATE, ETH)
PACED = 1.0


async def all_of(feed: kt.Feed) -> list[kt.Event]:
    return [event async for event in feed]


def read(folder: Path, *requests: kt.Request, start: int | None = None) -> list[kt.Event]:
    with kt.read_events(folder, *requests, start=start) as reader:
        return list(reader)


def after(events: Sequence[kt.Event], at_ns: int) -> list[kt.Event]:
    return [event for event in events if event.received_ns >= at_ns]


# ------------------------------------------------------------------ what feeds get


@pytest.mark.parametrize("speed", [None, PACED, 1000.0])
@pytest.mark.parametrize("capacity", [1, 1024])
async def test_a_feed_gets_what_the_reader_reads(
    recorded_day: Path, speed: float | None, capacity: int, autojump_clock: MockClock
) -> None:
    async with kt.open_replay(recorded_day, speed=speed) as client:
        async with client.subscribe(*ALL, capacity=capacity) as feed:
            assert await all_of(feed) == read(recorded_day, *ALL)
        assert client.state is kt.ConnectionState.DISCONNECTED
        assert client.replay.has_ended
        assert client.replay.damage == ()


@pytest.mark.parametrize("overflow", list(kt.Overflow))
async def test_as_fast_as_possible_waits_for_every_feed_and_none_overflows(
    recorded_day: Path, overflow: kt.Overflow, autojump_clock: MockClock
) -> None:
    requests = (BOOK, ETH)  # trades cannot be conflated
    opening = kt.open_replay(recorded_day)
    async with opening as client, client.subscribe(*requests, capacity=2, overflow=overflow) as feed:
        events = []
        async for event in feed:
            await trio.sleep(60)  # longer than any stall limit
            events.append(event)
        assert events == read(recorded_day, *requests)
        statistics = feed.statistics()
        assert (statistics.dropped, statistics.conflated) == (0, 0)


async def test_at_a_pace_a_feed_overflows_as_in_a_client(recorded_day: Path, autojump_clock: MockClock) -> None:
    async with kt.open_replay(recorded_day, speed=PACED) as client:
        async with (
            client.subscribe(BOOK, capacity=1, overflow=kt.Overflow.FAIL) as failing,
            client.subscribe(BOOK, capacity=1, overflow=kt.Overflow.DROP_OLDEST) as dropping,
            client.subscribe(BOOK) as stalling,
        ):
            await failing.receive()
            await stalling.receive()
            await trio.sleep(60)
            with pytest.raises(kt.ConsumerTooSlow):
                await all_of(failing)
            assert dropping.statistics().dropped > 50
            assert len(await all_of(stalling)) > 100


async def test_a_feed_with_backpressure_that_is_never_read_fails_at_a_pace(
    recorded_day: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "kraken_trio")
    async with kt.open_replay(recorded_day, speed=PACED) as client:
        async with client.subscribe(BOOK, capacity=1) as stalling, client.subscribe(ETH) as reading:
            assert await all_of(reading) == read(recorded_day, ETH)
            with pytest.raises(kt.ConsumerTooSlow):
                await all_of(stalling)
    assert any("full" in record.message for record in caplog.records)


async def test_a_second_feed_begins_with_the_present_state(recorded_day: Path, autojump_clock: MockClock) -> None:
    async with kt.open_replay(recorded_day, speed=PACED) as client, client.subscribe(ETH):
        client.replay.resume()
        await trio.sleep(2.5)
        async with client.subscribe(BOOK) as feed:
            start, *rest = await all_of(feed)
    assert isinstance(start, kt.BookSnapshot)
    assert START_NS + 2 * SECOND < start.received_ns < START_NS + 2.5 * SECOND
    assert rest == after(read(recorded_day, BOOK), START_NS + int(2.5 * SECOND))


async def test_subscribe_refuses_what_was_not_recorded(recorded_day: Path) -> None:
    async with kt.open_replay(recorded_day) as client:
        with pytest.raises(kt.SubscriptionRejected, match="it was not recorded; there is: Book"):
            async with client.subscribe(BOOK, kt.Book("BTC/USD", depth=100)):
                pass
        assert set(client.replay.requests) == {BOOK, TRADES, ETH}
        assert client.statistics().feeds == 0


async def test_a_feed_of_a_replay_that_has_ended_is_empty(recorded_day: Path) -> None:
    async with kt.open_replay(recorded_day) as client:
        async with client.subscribe(BOOK) as feed:
            await all_of(feed)
        async with client.subscribe(BOOK) as feed:
            assert await all_of(feed) == []
        with pytest.raises(trio.ClosedResourceError, match="the recording ended before"):
            await client.wait_for(kt.ConnectionState.RESYNCING)


async def test_statistics_are_those_of_the_log(recorded_day: Path) -> None:
    async with kt.open_replay(recorded_day) as client:
        async with client.subscribe(*ALL) as feed:
            subscriptions: set[kt.Request] = set()
            async for _ in feed:
                last = client.statistics()
                subscriptions |= last.subscriptions.keys()
        assert client.system_status == "online"
    assert last.epoch == 3
    assert last.checksums_verified > 100
    assert last.resyncs == 2
    assert subscriptions == {BOOK, TRADES, ETH}
    assert BOOK in last.subscriptions
    for now in last.subscriptions.values():
        assert now.last_received_ns is not None
        assert START_NS < now.last_received_ns <= last.taken_ns
        assert now.data_age == (last.taken_ns - now.last_received_ns) / 1e9
        assert 0 < now.age < 24 * 3600
        assert now.attempts >= 1


# ------------------------------------------------------------------ its clock


async def test_it_takes_as_long_as_it_took(recorded_day: Path, autojump_clock: MockClock) -> None:
    for speed in (0.5, 1.0, 10.0):
        began = trio.current_time()
        async with kt.open_replay(recorded_day, speed=speed) as client, client.subscribe(TRADES) as feed:
            async for event in feed:
                passed = (trio.current_time() - began) * speed
                if isinstance(event, kt.Trade):
                    assert passed == pytest.approx((event.received_ns - START_NS) / SECOND, abs=1e-3)
        assert 49 < (trio.current_time() - began) * speed < 51


async def test_the_clock_starts_at_the_first_wait_and_stands_without_a_feed(
    recorded_day: Path, autojump_clock: MockClock
) -> None:
    async with kt.open_replay(recorded_day, speed=PACED) as client:
        await trio.sleep(100)
        assert client.replay.now_ns == 0
        async with client.subscribe(TRADES) as feed:
            await trio.sleep(100)
            assert client.replay.now is None
            while client.replay.now_ns < START_NS + 2 * SECOND:
                await feed.receive()
        now_ns, began = client.replay.now_ns, trio.current_time()
        await trio.sleep(1000)
        assert client.replay.now_ns == now_ns
        async with client.subscribe(TRADES) as feed:
            event = await feed.receive()
            assert trio.current_time() - began - 1000 == pytest.approx((event.received_ns - now_ns) / SECOND, abs=1e-3)


async def test_waiting_for_a_state_starts_the_clock(recorded_day: Path, autojump_clock: MockClock) -> None:
    async with kt.open_replay(recorded_day, speed=PACED) as client:
        assert client.state is kt.ConnectionState.DISCONNECTED
        assert await client.wait_for(kt.ConnectionState.DISCONNECTED) is kt.ConnectionState.DISCONNECTED
        assert await client.wait_for(kt.ConnectionState.CONNECTING) is kt.ConnectionState.CONNECTING
        assert START_NS + 6 * SECOND <= client.replay.now_ns < START_NS + 7 * SECOND
        assert await client.wait_for(kt.ConnectionState.SUBSCRIBED) is kt.ConnectionState.SUBSCRIBED


async def test_pause_resume_and_step(recorded_day: Path, autojump_clock: MockClock) -> None:
    events = read(recorded_day, TRADES)
    async with kt.open_replay(recorded_day, paused=True) as client, client.subscribe(TRADES) as feed:
        with trio.move_on_after(100):
            await feed.receive()
        assert client.replay.now_ns == 0
        assert client.replay.is_paused
        assert repr(client.replay) == f"<Replay of {recorded_day}: paused, at the beginning>"
        got: list[kt.Event] = []
        while not got:
            assert await client.replay.step()
            assert client.replay.now_ns >= START_NS
            while feed.statistics().buffered:
                got.append(await feed.receive())
        at_ns = client.replay.now_ns
        await trio.sleep(100)
        assert client.replay.now_ns == at_ns
        client.replay.resume()
        got.append(await feed.receive())
        client.replay.pause()
        while feed.statistics().buffered:
            got.append(await feed.receive())
        while await client.replay.step():
            while feed.statistics().buffered:
                got.append(await feed.receive())
        assert not await client.replay.step()
        got += await all_of(feed)
        assert got == events
        assert repr(client.replay).startswith(f"<Replay of {recorded_day}: ended, at 2027-03-01 12:00:")


async def test_a_consumer_may_step_and_seek_with_a_full_feed(recorded_day: Path, autojump_clock: MockClock) -> None:
    """Both are done at once: what there is no room for waits."""
    async with kt.open_replay(recorded_day, paused=True) as client, client.subscribe(*ALL, capacity=1) as feed:
        while await client.replay.step():
            pass
        assert await all_of(feed) == read(recorded_day, *ALL)
    async with kt.open_replay(recorded_day) as client, client.subscribe(BOOK, TRADES, capacity=1) as feed:
        await feed.receive()
        await client.replay.seek(START_NS + 3 * SECOND)
        gaps = [await feed.receive(), await feed.receive()]
        assert {event.channel for event in gaps} == {"book", "trade"}
        assert await all_of(feed) == read(recorded_day, BOOK, TRADES, start=START_NS + 3 * SECOND)


@pytest.mark.parametrize("speed", [None, 100.0])
async def test_seek(recorded_day: Path, speed: float | None, autojump_clock: MockClock) -> None:
    """To and fro: gaps, then what one gets who begins there."""
    async with kt.open_replay(recorded_day, speed=speed) as client, client.subscribe(BOOK, TRADES, ETH) as feed:
        for _ in range(20):
            await feed.receive()
        for seconds in (8.0, 2.0, 45.0, 0.7):
            at_ns = START_NS + int(seconds * SECOND)
            await client.replay.seek(at_ns)
            gaps = [event async for event, _ in zip_async(feed, 3)]
            assert all(isinstance(gap, kt.Gap) and gap.cause is kt.Cause.SOUGHT for gap in gaps)
            assert {(gap.channel, gap.symbol) for gap in gaps} == {
                ("book", "BTC/USD"),
                ("trade", "BTC/USD"),
                ("book", "ETH/USD"),
            }
            with pytest.raises(kt.BookUnavailable):
                feed.book("BTC/USD")
            expected = read(recorded_day, BOOK, TRADES, ETH, start=at_ns)
            assert [event async for event, _ in zip_async(feed, 10)] == expected[:10]
            assert feed.book("BTC/USD").available
        assert await all_of(feed) == expected[10:]


async def zip_async(feed: kt.Feed, count: int):  # type: ignore[no-untyped-def]  # what zip would give
    for number in range(count):
        yield await feed.receive(), number


async def test_seek_tells_the_state(recorded_day: Path, autojump_clock: MockClock) -> None:
    async with kt.open_replay(recorded_day, paused=True) as client, client.subscribe(STATE) as feed:
        await client.replay.seek("2027-03-01T12:00:03Z")
        assert isinstance(await feed.receive(), kt.StatusUpdate)
        change = await feed.receive()
        assert isinstance(change, kt.StateChange)
        assert (change.current, change.cause) == (kt.ConnectionState.SUBSCRIBED, kt.Cause.SOUGHT)
        assert client.state is kt.ConnectionState.SUBSCRIBED
        await client.replay.seek("2027-03-01T12:00:04Z")
        first, _, second = await feed.receive(), await feed.receive(), await feed.receive()
        assert isinstance(first, kt.StateChange)
        assert isinstance(second, kt.StateChange)
        assert (first.current, second.current) == (kt.ConnectionState.DISCONNECTED, kt.ConnectionState.SUBSCRIBED)


async def test_after_the_end_one_can_go_back(recorded_day: Path) -> None:
    async with kt.open_replay(recorded_day) as client:
        async with client.subscribe(BOOK) as feed:
            await all_of(feed)
        await client.replay.seek(START_NS + 41 * SECOND)
        assert not client.replay.has_ended
        async with client.subscribe(BOOK) as feed:
            assert await all_of(feed) == read(recorded_day, BOOK, start=START_NS + 41 * SECOND)


async def test_from_a_start_to_an_end(recorded_day: Path) -> None:
    start, end = START_NS + 5 * SECOND, START_NS + 8 * SECOND
    async with kt.open_replay(recorded_day, start, end) as client:
        assert client.state is kt.ConnectionState.SUBSCRIBED
        async with client.subscribe(*ALL) as feed:
            events = await all_of(feed)
    with kt.read_events(recorded_day, *ALL, start=start, end=end) as reader:
        assert events == list(reader)
    assert isinstance(events[0], kt.StatusUpdate)
    assert all(event.received_ns < end for event in events)


async def test_the_speed_may_change(recorded_day: Path, autojump_clock: MockClock) -> None:
    began = trio.current_time()
    async with kt.open_replay(recorded_day, speed=0.001) as client, client.subscribe(BOOK) as feed:
        await feed.receive()
        client.replay.speed = 10.0
        assert client.replay.speed == 10.0
        for _ in range(10):
            await feed.receive()
        assert trio.current_time() - began < 2
        client.replay.speed = None
        assert repr(client.replay).startswith(f"<Replay of {recorded_day}: as fast as possible, at 2027")
        await all_of(feed)
        assert trio.current_time() - began < 2


# ------------------------------------------------------------------ leaving, and what is wrong


async def test_leaving_ends_what_waits(recorded_day: Path, autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        async with kt.open_replay(recorded_day, speed=0.001, paused=True) as client:

            async def wait_for_a_state() -> None:
                with pytest.raises(trio.ClosedResourceError, match="the client's block has been left"):
                    await client.wait_for(kt.ConnectionState.RESYNCING)

            nursery.start_soon(wait_for_a_state)
            await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.ClosedResourceError):
            await client.replay.step()
        with pytest.raises(trio.ClosedResourceError):
            await client.replay.seek(START_NS)
        with pytest.raises(trio.ClosedResourceError):
            async with client.subscribe(BOOK):
                pass
        with pytest.raises(trio.ClosedResourceError):
            await client.wait_for(kt.ConnectionState.RESYNCING)


async def test_an_order_that_waits_is_released(recorded_day: Path, nursery: trio.Nursery) -> None:
    """When the block is left before the replay's task has seen it."""
    settings = kt.Settings()
    with Playback(recorded_day) as playback:
        replayer = Replayer(playback, settings=settings, telemetry=FanOut("replay", settings), speed=None, paused=False)

        async def step() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await replayer.step()

        nursery.start_soon(step)
        await trio.testing.wait_all_tasks_blocked()
        replayer.close()


async def test_exceptions_of_the_body_are_raised_unchanged(recorded_day: Path) -> None:
    error = ValueError("of the body")
    with pytest.raises(ValueError, match="of the body") as caught:
        async with kt.open_replay(recorded_day):
            raise error
    assert caught.value is error


async def test_wrong_arguments(recorded_day: Path, tmp_path: Path) -> None:
    for speed in (0, -1.0, float("inf"), float("nan"), True, "fast"):
        with pytest.raises(ValueError, match=r"speed=.*: a positive factor"):
            async with kt.open_replay(recorded_day, speed=speed):  # type: ignore[arg-type]  # "fast" is no speed
                pass
    async with kt.open_replay(recorded_day) as client:
        with pytest.raises(ValueError, match="speed=0: a positive factor"):
            client.replay.speed = 0
        with pytest.raises(ValueError, match="time='never'"):
            await client.replay.seek("never")
    with pytest.raises(kt.RecordingError, match="holds no recording"):
        async with kt.open_replay(tmp_path):
            pass


async def test_what_is_damaged_is_a_gap_and_a_line_in_the_log(
    recorded_day: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(recorded_day, folder)
    with open_folder(folder) as recorded:
        segment = recorded.segments[1]
        entry = segment.index.chunks[len(segment.index.chunks) // 2]
    data = bytearray(segment.path.read_bytes())
    data[entry.offset + entry.length - 1] ^= 0xFF
    segment.path.write_bytes(data)
    caplog.set_level(logging.WARNING, "kraken_trio")
    async with kt.open_replay(folder) as client:
        async with client.subscribe(BOOK) as feed:
            events = await all_of(feed)
        (damage,) = client.replay.damage
    assert damage.startswith(f"{segment.name}, byte {entry.offset}: ") or str(entry.offset) in damage
    assert any("the recording is damaged" in record.message for record in caplog.records)
    gaps = [event for event in events if isinstance(event, kt.Gap) and "damaged" in event.detail]
    assert [(gap.cause, gap.channel) for gap in gaps] == [(kt.Cause.NOT_RECORDED, "book")]
    whole = read(recorded_day, BOOK)
    rest = [event for event in events if event not in whole]
    assert all(isinstance(event, kt.Gap | kt.BookSnapshot) for event in rest)
    assert len(events) > len(whole) // 2
