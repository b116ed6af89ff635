"""Both ends of a feed at once, with every policy: whatever happens when, the program is told the truth."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, assert_never

import attrs
import pytest
import trio
from hypothesis import example, given, strategies as st

import kraken_trio as kt
from kraken_trio.runtime.feed import Feed, FeedSender, open_feed
from kraken_trio.testing import run_virtual
from tests.runtime.world import CUMULATIVE, KEYS, STATES, SYMBOLS, Channel, Program, World

REQUESTS: tuple[kt.Request, ...] = (*(kt.Book(symbol) for symbol in SYMBOLS), kt.Instruments(), kt.Lifecycle())
Way: TypeAlias = Literal["receive", "receive_many", "async for", "batches"]
WAYS: tuple[Way, ...] = ("receive", "receive_many", "async for", "async for", "batches")
LIMIT = 5.0
"""So many seconds a full feed may hold up reading."""


@attrs.frozen
class Batch:
    """What one read of a socket brings."""

    events: list[tuple[Channel, int, int, bool]]
    seconds: float
    """Until the next one comes."""
    is_urgent: bool
    """The next one comes though this feed holds up reading: a loss, a start, a state."""


@attrs.frozen
class Take:
    """What the program does next."""

    way: Way
    max_events: int
    is_cancelled: bool
    seconds: float | None
    """What it does then takes so long; None: not even a checkpoint."""


PAUSE = st.sampled_from([0.0, 0.0, 0.0, 1.0, 3.0])


def batches(*channels: Channel) -> st.SearchStrategy[list[Batch]]:
    lost = st.sampled_from([False] * 7 + [True])
    event = st.tuples(st.sampled_from(channels), st.integers(0, len(SYMBOLS) - 1), st.integers(1, 4), lost)
    return st.lists(st.builds(Batch, st.lists(event, max_size=8), PAUSE, st.booleans()), max_size=10)


TAKE = st.builds(
    Take,
    st.sampled_from(WAYS),
    st.integers(1, 6),
    st.sampled_from([False] * 4 + [True]),
    st.sampled_from([None] * 5) | PAUSE,
)
TAKES = st.lists(TAKE)
LAST = Take("receive", 1, is_cancelled=False, seconds=0.0)


class Run:
    """One played."""

    def __init__(self, overflow: kt.Overflow, capacity: int, coming: list[Batch], takes: list[Take]) -> None:
        self.coming = coming
        self.takes = takes
        self.world = World()
        self.program = Program(self.world)
        self.sender: FeedSender
        self.feed: Feed[Any]
        self.sender, self.feed = open_feed(REQUESTS, capacity, overflow, self.world.rebuild)
        self.offered: list[kt.Event] = []
        self.error: kt.ConsumerTooSlow | None = None
        self.most_buffered = 0
        self._drained = trio.Event()
        self._drained.set()

    async def __call__(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._offer_all, nursery)
            await self._take_all()

    async def _offer_all(self, nursery: trio.Nursery) -> None:
        for batch in self.coming:
            events = [
                self.world.happen(what, SYMBOLS[at], number, lost=lost) for what, at, number, lost in batch.events
            ]
            if not self.sender.is_ended:
                self.offered += events
            if not self.sender.offer(events) and not self.sender.is_ended and self._drained.is_set():
                self._drained = trio.Event()
                nursery.start_soon(self._drain)
            await trio.sleep(batch.seconds)
            if not batch.is_urgent:
                await self._drained.wait()
        self.sender.end(None)

    async def _drain(self) -> None:
        await self.sender.drain(LIMIT)
        self._drained.set()

    async def _take_all(self) -> None:
        try:
            for take in self.takes:
                await self._take(take)
            last = attrs.evolve(self.takes[-1], is_cancelled=False) if self.takes else LAST
            while True:
                await self._take(last)
        except (trio.EndOfChannel, StopAsyncIteration):
            pass
        except kt.ConsumerTooSlow as error:
            self.error = error
        assert self.feed.statistics().buffered == 0

    async def _take(self, take: Take) -> None:
        before = self.feed.statistics()
        self.most_buffered = max(self.most_buffered, before.buffered)
        assert before.buffered <= before.high_water
        events: list[kt.Event] = []
        with trio.CancelScope() as scope:
            if take.is_cancelled:
                scope.cancel()
            events = await self._receive(take.way, take.max_events)
        assert scope.cancelled_caught == (not events)
        assert len(events) <= take.max_events
        for event in events:
            self.program.take(event)
        assert self.feed.statistics().delivered == len(self.program.taken)
        for symbol, book in self.program.books.items():
            mine = self.feed.books[symbol]
            assert mine.available == book.available
            assert not book.available or mine.bids == book.bids
        if take.seconds is not None:
            await trio.sleep(take.seconds)

    async def _receive(self, way: Way, max_events: int) -> list[kt.Event]:
        match way:
            case "receive":
                return [await self.feed.receive()]
            case "receive_many":
                return await self.feed.receive_many(max_events)
            case "async for":
                return [await anext(self.feed)]
            case "batches":
                return await anext(self.feed.batches(max_events))
            case _:
                assert_never(way)


def run(overflow: kt.Overflow, capacity: int, coming: list[Batch], takes: list[Take], seed: int) -> Run:
    played = Run(overflow, capacity, coming, takes)
    run_virtual(played, seed=seed)
    return played


CAPACITIES = st.integers(1, 8)
SEEDS = st.integers(0, 3)


@pytest.mark.parametrize("overflow", [kt.Overflow.BACKPRESSURE, kt.Overflow.FAIL])
@given(capacity=CAPACITIES, coming=batches(*STATES, "trade"), takes=TAKES, seed=SEEDS)
@example(1, [Batch([("book", 0, 1, False)] * 2, 0.0, is_urgent=True)], [], 0)  # it ends before it is waited for
def test_all_that_was_offered_comes_in_order_up_to_a_failure(
    overflow: kt.Overflow, capacity: int, coming: list[Batch], takes: list[Take], seed: int
) -> None:
    played = run(overflow, capacity, coming, takes, seed)
    taken = played.program.taken
    assert list(map(id, taken)) == list(map(id, played.offered[: len(taken)]))
    statistics = played.feed.statistics()
    assert statistics.conflated == 0
    assert statistics.dropped == len(played.offered) - len(taken)
    if played.error is None:
        assert statistics.dropped == 0
        played.program.assert_up_to_date()
    else:
        assert statistics.dropped > 0
        assert len(taken) >= capacity
    assert (statistics.held_seconds > 0) <= (overflow is kt.Overflow.BACKPRESSURE)


@given(capacity=CAPACITIES, coming=batches(*STATES), takes=TAKES, seed=SEEDS)
def test_conflating_ends_with_the_latest_state(
    capacity: int, coming: list[Batch], takes: list[Take], seed: int
) -> None:
    played = run(kt.Overflow.CONFLATE, capacity, coming, takes, seed)
    played.program.assert_up_to_date()
    statistics = played.feed.statistics()
    assert statistics.delivered + statistics.conflated == len(played.offered)
    assert (statistics.dropped, statistics.held_seconds, played.error) == (0, 0.0, None)
    assert statistics.high_water <= capacity + KEYS


@given(capacity=CAPACITIES, coming=batches(*STATES, "trade"), takes=TAKES, seed=SEEDS)
def test_dropping_tells_of_everything_that_is_missing(
    capacity: int, coming: list[Batch], takes: list[Take], seed: int
) -> None:
    played = run(kt.Overflow.DROP_OLDEST, capacity, coming, takes, seed)
    played.program.assert_up_to_date()  # and what is missing it has been told of, or its Program would have noticed
    statistics = played.feed.statistics()
    theirs = {id(event) for event in played.offered if not isinstance(event, kt.Gap | kt.StateChange)}
    assert statistics.dropped == len(theirs - set(map(id, played.program.taken)))
    assert (statistics.held_seconds, played.error) == (0.0, None)
    assert statistics.high_water <= max(capacity, len(CUMULATIVE) + 1) + KEYS
