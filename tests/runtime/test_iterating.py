"""``async for`` over a feed: steps that need not wait are cheap, and what is promised of them nevertheless.

Time passes only where a test says so (``mock_clock``): otherwise a busy machine would make some of the steps dear.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

import kraken_trio as kt
from kraken_trio.runtime.feed import open_feed
from tests.runtime.ends import CAPACITY, SYMBOL, Ends, open_ends

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from trio.testing import MockClock

BACKPRESSURE, FAIL, CONFLATE, DROP = (
    kt.Overflow.BACKPRESSURE,
    kt.Overflow.FAIL,
    kt.Overflow.CONFLATE,
    kt.Overflow.DROP_OLDEST,
)
LONG = 64
"""So many events are between two full checkpoints, at most."""
SHORT = 0.0005
"""So many seconds are, at most, but for what the body of the loop takes for one event."""
MANY = 10 * LONG


async def begin(overflow: kt.Overflow = BACKPRESSURE, capacity: int = MANY) -> Ends:
    """A feed whose next steps are cheap, if an event is there."""
    ends = open_ends(overflow, capacity)
    ends.offer(1)
    await anext(ends.feed)
    return ends


class Turns(trio.abc.Instrument):
    """How many events the program had whenever it was its turn: other tasks may run between two turns only."""

    def __init__(self) -> None:
        self.count = 0
        self.seen: list[int] = []
        self._task = trio.lowlevel.current_task()
        trio.lowlevel.add_instrument(self)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task:
            self.seen.append(self.count)

    @property
    def runs(self) -> list[int]:
        """How many it got within each turn in which it got any."""
        pairs = zip(self.seen, [*self.seen[1:], self.count], strict=True)
        return [later - before for before, later in pairs if later != before]


# Checkpoints


async def test_a_step_that_need_not_wait_lets_no_other_task_run(mock_clock: MockClock) -> None:
    ends, turns = await begin(), Turns()
    ends.offer(1)
    before = len(turns.seen)
    await anext(ends.feed)
    assert len(turns.seen) == before


@pytest.mark.parametrize(("overflow", "capacity"), [(BACKPRESSURE, MANY), (FAIL, MANY), (DROP, MANY), (DROP, MANY - 2)])
async def test_other_tasks_wait_for_64_events_at_most(
    mock_clock: MockClock, overflow: kt.Overflow, capacity: int
) -> None:
    ends, turns = open_ends(overflow, capacity), Turns()
    ends.offer_states(MANY)  # if that is more than the capacity, all of them are buffered
    ends.sender.end(None)
    async for _ in ends.feed:
        turns.count += 1
    assert capacity <= turns.count <= MANY
    assert turns.runs[:-1] == [LONG] * (MANY // LONG - 1)
    assert turns.runs[-1] <= LONG


async def test_the_first_step_after_half_a_millisecond_is_a_checkpoint(mock_clock: MockClock) -> None:
    ends, turns = open_ends(BACKPRESSURE, MANY), Turns()
    ends.offer(20)
    ends.sender.end(None)
    async for _ in ends.feed:
        turns.count += 1
        mock_clock.jump(SHORT * 0.6)
    assert turns.runs == [2] * 10


async def test_a_step_that_has_waited_was_a_checkpoint(mock_clock: MockClock, nursery: trio.Nursery) -> None:
    ends, turns = await begin(), Turns()

    async def offer() -> None:
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(2 * SHORT)
        ends.offer(LONG + 1)
        ends.sender.end(None)

    nursery.start_soon(offer)
    async for _ in ends.feed:
        turns.count += 1
    assert turns.runs == [LONG, 1]


async def test_each_batch_is_a_checkpoint(mock_clock: MockClock) -> None:
    ends = await begin()
    ends.offer(2)
    batches = ends.feed.batches(1)
    for _ in range(2):
        with trio.testing.assert_checkpoints():
            await anext(batches)


# Being cancelled: nothing is lost, and nothing comes twice


async def rest_of(ends: Ends) -> list[kt.Event]:
    return await ends.feed.receive_many(MANY) if ends.feed.statistics().buffered else []


@pytest.mark.parametrize("after", [1, 2, 10, LONG - 1, LONG, LONG + 1])
@pytest.mark.parametrize(("overflow", "capacity"), [(BACKPRESSURE, MANY), (DROP, MANY)])
async def test_the_step_after_cancelling_oneself_raises(
    mock_clock: MockClock, overflow: kt.Overflow, capacity: int, after: int
) -> None:
    ends = await begin(overflow, capacity)
    offered = ends.offer_states(MANY)
    got: list[kt.Event] = []
    with trio.CancelScope() as scope:
        async for event in ends.feed:
            got.append(event)
            if len(got) == after:
                scope.cancel()
    assert scope.cancelled_caught
    assert got == offered[:after]
    assert got + await rest_of(ends) == offered
    assert ends.feed.statistics().delivered == 1 + MANY


async def test_a_scope_that_is_cancelled_before_yields_nothing(mock_clock: MockClock) -> None:
    ends = await begin()
    offered = ends.offer(MANY)
    got: list[kt.Event] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        got.extend([event async for event in ends.feed])
    assert scope.cancelled_caught
    assert got == []
    assert await rest_of(ends) == offered


async def test_under_a_shield_all_come(mock_clock: MockClock) -> None:
    ends = await begin()
    offered = ends.offer(MANY)
    ends.sender.end(None)
    got: list[kt.Event] = []
    with trio.CancelScope() as outer:
        outer.cancel()
        with trio.CancelScope(shield=True):
            got.extend([event async for event in ends.feed])
        assert got == offered
        await trio.lowlevel.checkpoint()
    assert outer.cancelled_caught


async def test_what_another_task_cancels_ends_with_the_step_that_let_it_run(mock_clock: MockClock) -> None:
    ends = await begin()
    offered = ends.offer(MANY)
    got: list[kt.Event] = []
    cancelled_at: list[int] = []

    async def cancel() -> None:
        await trio.lowlevel.checkpoint()
        cancelled_at.append(len(got))
        scope.cancel()

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(cancel)
            async for event in ends.feed:
                got.append(event)  # noqa: PERF401 (they count though it is cancelled)
    assert scope.cancelled_caught
    # The step at whose checkpoint it was cancelled had taken an event, which is not lost: it is the last.
    assert len(got) == cancelled_at[0] + 1 < MANY
    assert got + await rest_of(ends) == offered


@pytest.mark.parametrize(("seconds", "more"), [(SHORT / 2, LONG), (SHORT * 2, 1)])
async def test_a_deadline_in_the_middle_of_a_burst(mock_clock: MockClock, seconds: float, more: int) -> None:
    """It is noticed at the next checkpoint: after 64 events, or after half a millisecond."""
    ends = await begin()
    offered = ends.offer(MANY)
    got: list[kt.Event] = []
    with trio.move_on_after(seconds) as scope:
        async for event in ends.feed:
            got.append(event)
            if len(got) == 10:
                mock_clock.jump(seconds)
    assert scope.cancelled_caught
    assert 10 <= len(got) <= 10 + more
    assert got + await rest_of(ends) == offered


# Ctrl-C


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as in a program of its own."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Pressing:
    """An event during whose delivery somebody presses Ctrl-C."""

    symbol = SYMBOL

    def __init__(self) -> None:
        self.is_pressed = False

    @property
    def channel(self) -> str:
        if not self.is_pressed:
            self.is_pressed = True
            signal.raise_signal(signal.SIGINT)
        return "book"


async def one(feed: kt.Feed) -> list[kt.Event]:
    return [await feed.receive()]


async def some(feed: kt.Feed) -> list[kt.Event]:
    return await feed.receive_many(3)


async def step(feed: kt.Feed) -> list[kt.Event]:
    return [await anext(feed)]


async def batch(feed: kt.Feed) -> list[kt.Event]:
    return await anext(feed.batches(3))


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("receive", [one, some, step, batch])
def test_ctrl_c_while_an_event_is_delivered_comes_after_it(
    receive: Callable[[kt.Feed], Awaitable[list[kt.Event]]],
) -> None:
    got: list[Any] = []
    pressing = Pressing()

    async def consume() -> None:
        sender, feed = open_feed([kt.Trades(SYMBOL), kt.Book("B/USD")], 10, BACKPRESSURE)
        gap = kt.Gap(symbol=None, cause=kt.Cause.MALFORMED)
        sender.offer([gap] * 2)
        await anext(feed)
        got.extend(await anext(feed.batches(1)) if receive is not step else [await anext(feed)])
        sender.offer([pressing])  # type: ignore[list-item]  # any object will do
        got.extend(await receive(feed))
        got.append("delivered")
        with pytest.raises(KeyboardInterrupt):
            await receive(feed)
        sender.offer([gap])
        got.extend(await receive(feed))

    try:
        trio.run(consume, clock=trio.testing.MockClock())
    except KeyboardInterrupt:  # it would end pytest
        pytest.fail("it came before the event")
    assert got[1:3] == [pressing, "delivered"]
    assert len(got) == 4


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("at_checkpoints", [False, True])
def test_ctrl_c_in_the_body_of_the_loop(*, at_checkpoints: bool) -> None:
    """It is raised there; or else, if the program wants it so, at the next step."""
    got: list[kt.Event] = []
    ends = open_ends(BACKPRESSURE, MANY)
    offered = ends.offer(20)

    async def consume() -> None:
        with pytest.raises(KeyboardInterrupt):
            async for event in ends.feed:
                got.append(event)
                if len(got) == 10:
                    signal.raise_signal(signal.SIGINT)
        assert len(got) == 10
        got.extend(await ends.feed.receive_many())

    trio.run(consume, clock=trio.testing.MockClock(), restrict_keyboard_interrupt_to_checkpoints=at_checkpoints)
    assert got == offered


# Everything else is as with receive()


@pytest.mark.parametrize("receive", [one, some, step, batch])
async def test_a_step_while_another_task_receives(
    mock_clock: MockClock, receive: Callable[[kt.Feed], Awaitable[list[kt.Event]]], nursery: trio.Nursery
) -> None:
    """Its event has been handed over, but it has not resumed; more events are there."""
    ends = await begin()
    got: list[kt.Event] = []

    async def wait() -> None:
        got.extend(await receive(ends.feed))

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    offered = ends.offer(4)
    for _ in range(2):
        with pytest.raises(trio.BusyResourceError):
            await anext(ends.feed)
    await trio.testing.wait_all_tasks_blocked()
    assert got == offered[: len(got)]
    assert got + await rest_of(ends) == offered


@pytest.mark.parametrize("overflow", kt.Overflow)
@pytest.mark.parametrize("offered", [0, 1, CAPACITY])
async def test_a_step_after_the_end(mock_clock: MockClock, overflow: kt.Overflow, offered: int) -> None:
    ends = await begin(overflow, CAPACITY)
    events = ends.offer(offered)
    ends.sender.end(None)
    for event in events:
        assert await anext(ends.feed) == event
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await anext(ends.feed)


@pytest.mark.parametrize("overflow", [BACKPRESSURE, FAIL])
@pytest.mark.parametrize("offered", [CAPACITY, CAPACITY + 2])
async def test_a_step_after_a_failure(mock_clock: MockClock, overflow: kt.Overflow, offered: int) -> None:
    ends = await begin(overflow, CAPACITY)
    events = ends.offer(offered)
    ends.sender.end(kt.ConsumerTooSlow("at last"))
    got: list[kt.Event] = []
    for _ in range(2):
        with pytest.raises(kt.ConsumerTooSlow):
            async for event in ends.feed:
                got.append(event)  # noqa: PERF401 (they count though it fails)
    assert got == events[: offered if overflow is BACKPRESSURE else CAPACITY]
    assert ends.feed.statistics().buffered == 0


@pytest.mark.parametrize("overflow", kt.Overflow)
@pytest.mark.parametrize("offered", [0, 1, CAPACITY, CAPACITY + 2])
async def test_a_step_after_closing(mock_clock: MockClock, overflow: kt.Overflow, offered: int) -> None:
    ends = await begin(overflow, CAPACITY)
    ends.offer(offered)
    ends.feed.close()
    with pytest.raises(trio.ClosedResourceError, match="this feed was closed"):
        await anext(ends.feed)


@pytest.mark.parametrize("overflow", [BACKPRESSURE, CONFLATE, DROP])
@pytest.mark.parametrize("offered", [CAPACITY, CAPACITY + 2])
async def test_after_each_step_numbers_and_books_are_as_of_its_event(
    mock_clock: MockClock, overflow: kt.Overflow, offered: int
) -> None:
    ends = await begin(overflow, CAPACITY)
    ends.offer(offered)
    ends.sender.end(None)
    waiting = ends.feed.statistics().buffered
    delivered = 1
    async for event in ends.feed:
        delivered += 1
        waiting -= not isinstance(event, kt.Gap)  # that of a dropped book is followed by a snapshot
        now = ends.feed.statistics()
        assert (now.delivered, now.buffered) == (delivered, waiting)
        book = ends.feed.books[SYMBOL]
        assert book.available == (not isinstance(event, kt.Gap))
        assert not book.available or book.bids == ends.world.book_at[event.received_ns]
    assert waiting == 0
    assert ends.feed.book(SYMBOL).bids == ends.world.books[SYMBOL].bids


async def test_a_feed_may_be_iterated_over_in_pieces(mock_clock: MockClock) -> None:
    ends = await begin()
    offered = ends.offer(MANY)
    ends.sender.end(None)
    got: list[kt.Event] = []
    while len(got) < MANY:
        async for event in ends.feed:
            got.append(event)
            if len(got) % 7 == 0:
                break
        got += await ends.feed.receive_many(5) if len(got) < MANY else []
    assert got == offered
