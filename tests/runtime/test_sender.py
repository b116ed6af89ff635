"""The end of a feed that events are put into: what it takes, when it makes its owner wait, and how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import kraken_trio as kt
from kraken_trio.testing import run_virtual
from tests.runtime.ends import CAPACITY, SYMBOL, Ends, open_ends

if TYPE_CHECKING:
    from trio.testing import MockClock

BACKPRESSURE, FAIL, CONFLATE, DROP = (
    kt.Overflow.BACKPRESSURE,
    kt.Overflow.FAIL,
    kt.Overflow.CONFLATE,
    kt.Overflow.DROP_OLDEST,
)
MORE = CAPACITY + 2
LIMIT = 10.0


async def receive_rest(feed: kt.Feed) -> list[kt.Event]:
    """All up to the end, of whatever kind that is."""
    events: list[kt.Event] = []
    try:
        async for event in feed:
            events.append(event)  # noqa: PERF401 (what came before a failure counts)
    except kt.KrakenTrioError:
        pass
    return events


# Room


@pytest.mark.parametrize("overflow", kt.Overflow)
async def test_what_there_is_room_for_is_taken(overflow: kt.Overflow) -> None:
    ends = open_ends(overflow)
    assert ends.sender.offer([])
    assert ends.sender.offer(ends.make(CAPACITY))
    assert not ends.sender.is_ended
    assert ends.feed.statistics().buffered == CAPACITY


@pytest.mark.parametrize("overflow", [CONFLATE, DROP])
async def test_who_conflates_or_drops_always_has_room(overflow: kt.Overflow) -> None:
    ends = open_ends(overflow)
    for _ in range(3):
        assert ends.sender.offer(ends.make(MORE))
    now = ends.feed.statistics()
    assert not ends.sender.is_ended
    assert now.high_water == now.buffered <= CAPACITY + 1
    assert now.held_seconds == 0.0
    while ends.feed.statistics().buffered:
        await ends.feed.receive()
    assert ends.feed.book(SYMBOL).bids == ends.world.books[SYMBOL].bids
    assert ends.feed.statistics().buffered == 0
    assert ends.sender.offer(ends.make(CAPACITY))  # through the channel again


async def test_a_full_feed_that_is_to_fail_has_failed_and_nobody_waits(autojump_clock: MockClock) -> None:
    ends = open_ends(FAIL)
    offered = ends.make(MORE)
    assert not ends.sender.offer(offered)
    assert ends.sender.is_ended
    assert ends.sender.offer(ends.make(1))  # nobody wants it any more
    assert await receive_rest(ends.feed) == offered[:CAPACITY]
    with pytest.raises(kt.ConsumerTooSlow, match=r"\(3 events\) was full, and its policy is to fail: read faster"):
        await ends.feed.receive()
    now = ends.feed.statistics()
    assert (now.delivered, now.dropped, now.high_water, now.held_seconds) == (CAPACITY, 2, MORE, 0.0)
    assert trio.current_time() == 0


# A backlog


async def test_a_backlog_goes_into_the_channel_as_the_program_reads(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    ends = open_ends(BACKPRESSURE)
    offered = ends.make(MORE)
    assert not ends.sender.offer(offered[:4])
    drained: list[bool] = []

    async def drain() -> None:
        drained.append(await ends.sender.drain(LIMIT))

    nursery.start_soon(drain)
    await trio.sleep(2)
    assert not ends.sender.offer(offered[4:])  # what comes meanwhile is taken, too
    assert ends.feed.statistics().held_seconds == 2.0
    got = [await ends.feed.receive()]
    await trio.sleep(3)
    assert not drained
    got += await ends.feed.receive_many()
    await trio.sleep(5)
    assert drained == [True]
    assert got == offered
    now = ends.feed.statistics()
    assert (now.held_seconds, now.high_water, now.buffered, now.dropped) == (5.0, MORE, 0, 0)
    assert ends.sender.offer(ends.make(1))


async def test_a_consumer_that_is_waited_for_too_long_has_failed(autojump_clock: MockClock) -> None:
    ends = open_ends(BACKPRESSURE)
    offered = ends.offer(MORE)
    assert not await ends.sender.drain(LIMIT)
    assert ends.sender.is_ended
    assert trio.current_time() == LIMIT
    assert isinstance(ends.sender.error, kt.ConsumerTooSlow)
    assert await receive_rest(ends.feed) == offered[:CAPACITY]
    with pytest.raises(kt.ConsumerTooSlow, match="held up reading for more than 10 s: read faster"):
        await ends.feed.receive()
    now = ends.feed.statistics()
    assert (now.delivered, now.dropped, now.held_seconds) == (CAPACITY, MORE - CAPACITY, LIMIT)


async def test_a_program_that_closes_its_end_ends_the_wait(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    ends = open_ends(BACKPRESSURE)
    ends.offer(MORE)
    nursery.start_soon(trio.sleep, LIMIT)  # so that the clock does not stand still

    async def close() -> None:
        await trio.sleep(1)
        ends.feed.close()

    nursery.start_soon(close)
    assert await ends.sender.drain(LIMIT)
    assert trio.current_time() == 1
    assert ends.sender.offer(ends.make(1))


async def test_a_program_that_takes_an_event_and_closes_its_end_ends_the_wait(nursery: trio.Nursery) -> None:
    """The wait has put an event into the channel, and what comes next is not there any more."""
    ends = open_ends(BACKPRESSURE)
    ends.offer(MORE)
    nursery.start_soon(ends.sender.drain, LIMIT)
    await trio.testing.wait_all_tasks_blocked()
    await ends.feed.receive_many(2)  # the second without a checkpoint after it
    ends.feed.close()
    await trio.testing.wait_all_tasks_blocked()
    assert ends.feed.statistics().buffered == 0


async def test_an_end_before_the_wait_leaves_the_backlog_to_the_program() -> None:
    ends = open_ends(BACKPRESSURE)
    offered = ends.offer(MORE)
    ends.sender.end(None)
    with trio.testing.assert_no_checkpoints():
        assert await ends.sender.drain(LIMIT)
    assert await receive_rest(ends.feed) == offered


async def test_a_wait_that_is_cancelled_drops_nothing(autojump_clock: MockClock) -> None:
    ends = open_ends(BACKPRESSURE)
    offered = ends.offer(MORE)
    with trio.move_on_after(1) as scope:
        await ends.sender.drain(LIMIT)
    assert scope.cancelled_caught
    ends.sender.end(None)
    assert await receive_rest(ends.feed) == offered


async def test_an_end_ends_the_wait(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    ends = open_ends(BACKPRESSURE)
    offered = ends.offer(MORE)

    async def end() -> None:
        await trio.sleep(1)
        ends.sender.end(None)
        ends.sender.end(kt.ConnectError("too late to matter"))

    nursery.start_soon(end)
    assert await ends.sender.drain(LIMIT)
    assert trio.current_time() == 1
    assert await receive_rest(ends.feed) == offered
    with pytest.raises(trio.EndOfChannel):
        await ends.feed.receive()


async def _end_while_an_event_changes_hands(ends: Ends) -> list[kt.Event]:
    got: list[kt.Event] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends.sender.drain, LIMIT)
        await trio.testing.wait_all_tasks_blocked()
        got += await ends.feed.receive_many(2)
        got += await ends.feed.receive_many(1)
        ends.sender.end(None)
        got += await receive_rest(ends.feed)
    return got


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("capacity", [1, 2])
def test_an_event_that_changes_hands_at_the_end_comes_once(seed: int, capacity: int) -> None:
    """It was in the channel, and still in the backlog: the program got it from both."""

    async def main() -> None:
        ends = open_ends(BACKPRESSURE, capacity)
        offered = ends.offer(6)
        assert await _end_while_an_event_changes_hands(ends) == offered

    run_virtual(main, seed=seed)
