"""The program's end of a feed: what it waits for, what it yields, and how it ends."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec
import pytest
import trio
import trio.testing

import kraken_trio as kt
from kraken_trio.book import core
from kraken_trio.runtime.feed import FeedSender, open_feed
from tests.runtime.ends import CAPACITY, SYMBOL, open_ends

Receive: TypeAlias = Callable[[kt.Feed], Awaitable[list[kt.Event]]]

BACKPRESSURE, FAIL, CONFLATE, DROP = (
    kt.Overflow.BACKPRESSURE,
    kt.Overflow.FAIL,
    kt.Overflow.CONFLATE,
    kt.Overflow.DROP_OLDEST,
)
ROOM = [1, CAPACITY]
"""So many events go into the channel."""
MORE = CAPACITY + 2
"""So many do not: then they wait in a backlog or a buffer, or the feed fails."""


async def receive_one(feed: kt.Feed) -> list[kt.Event]:
    return [await feed.receive()]


async def receive_some(feed: kt.Feed) -> list[kt.Event]:
    return await feed.receive_many(CAPACITY)


async def step(feed: kt.Feed) -> list[kt.Event]:
    """One of ``async for``. The first of a feed is a full checkpoint: for the others see ``test_iterating.py``."""
    try:
        return [await anext(feed)]
    except StopAsyncIteration:
        raise trio.EndOfChannel from None


async def batch(feed: kt.Feed) -> list[kt.Event]:
    try:
        return await anext(feed.batches(CAPACITY))
    except StopAsyncIteration:
        raise trio.EndOfChannel from None


@pytest.fixture(params=[receive_one, receive_some, step, batch])
def receive(request: pytest.FixtureRequest) -> Receive:
    return request.param  # type: ignore[no-any-return]  # pytest does not know it


@pytest.fixture(params=kt.Overflow)
def overflow(request: pytest.FixtureRequest) -> kt.Overflow:
    return request.param  # type: ignore[no-any-return]  # pytest does not know it


async def receive_all(feed: kt.Feed, receive: Receive = receive_one) -> list[kt.Event]:
    events: list[kt.Event] = []
    while feed.statistics().buffered:
        events += await receive(feed)
    return events


# Waiting


@pytest.mark.parametrize("offered", [*ROOM, MORE])
async def test_receiving_what_is_there_is_a_full_checkpoint(
    overflow: kt.Overflow, receive: Receive, offered: int
) -> None:
    ends = open_ends(overflow)
    ends.offer(offered)
    with trio.testing.assert_checkpoints():
        await receive(ends.feed)


@pytest.mark.parametrize("error", [None, kt.ConnectError("for good")])
async def test_hearing_of_the_end_is_a_full_checkpoint(
    overflow: kt.Overflow, receive: Receive, error: Exception | None
) -> None:
    ends = open_ends(overflow)
    ends.sender.end(error)
    with trio.testing.assert_checkpoints(), pytest.raises(trio.EndOfChannel if error is None else kt.ConnectError):
        await receive(ends.feed)


@pytest.mark.parametrize("offered", [0, *ROOM, MORE])
async def test_cancelling_loses_nothing(overflow: kt.Overflow, receive: Receive, offered: int) -> None:
    ends = open_ends(overflow)
    ends.offer(offered)
    before = ends.feed.statistics()
    with trio.move_on_after(0) as scope:
        await receive(ends.feed)
    assert scope.cancelled_caught
    assert ends.feed.statistics() == before


async def test_a_task_that_waits_gets_what_comes(
    overflow: kt.Overflow, receive: Receive, nursery: trio.Nursery
) -> None:
    ends = open_ends(overflow)
    got: list[kt.Event] = []

    async def wait() -> None:
        got.extend(await receive(ends.feed))

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    offered = ends.offer(CAPACITY)
    await trio.testing.wait_all_tasks_blocked()
    got += await receive_all(ends.feed)
    assert got == offered


@pytest.mark.parametrize("offered", [0, *ROOM, MORE])
async def test_one_task_receives_at_a_time(
    overflow: kt.Overflow, receive: Receive, offered: int, nursery: trio.Nursery
) -> None:
    ends = open_ends(overflow)
    ends.offer(offered)
    refused: list[str] = []

    async def wait() -> None:
        try:
            await receive(ends.feed)
        except trio.BusyResourceError as error:
            refused.append(str(error))

    nursery.start_soon(wait)
    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    assert refused == ["another task is receiving from this feed"]
    ends.offer(1)


async def test_at_least_one_event_is_wanted(overflow: kt.Overflow) -> None:
    feed = open_ends(overflow).feed
    with pytest.raises(ValueError, match="max_events=0: at least 1"):
        await feed.receive_many(0)
    with pytest.raises(ValueError, match="max_events=0: at least 1"):
        feed.batches(0)


@pytest.mark.parametrize("max_events", [1, 2, CAPACITY, 100])
async def test_so_many_events_are_taken_at_most(overflow: kt.Overflow, max_events: int) -> None:
    ends = open_ends(overflow)
    offered = ends.offer(CAPACITY)
    got = await ends.feed.receive_many(max_events)
    assert got == offered[:max_events]
    ends.sender.end(None)
    rest = offered[max_events:]
    expected = [rest[at : at + max_events] for at in range(0, len(rest), max_events)]
    assert [batch async for batch in ends.feed.batches(max_events)] == expected


# The end


async def test_what_waits_comes_before_the_end(overflow: kt.Overflow, receive: Receive) -> None:
    ends = open_ends(overflow)
    offered = ends.offer(CAPACITY)
    ends.sender.end(None)
    ends.offer(1)  # nobody wants it any more
    got: list[kt.Event] = []
    with pytest.raises(trio.EndOfChannel):
        while True:
            got += await receive(ends.feed)
    assert got == offered
    with pytest.raises(trio.EndOfChannel):
        await receive(ends.feed)


async def test_a_backlog_comes_before_the_end(receive: Receive) -> None:
    ends = open_ends(BACKPRESSURE)
    offered = ends.offer(MORE)
    ends.sender.end(kt.ConnectError("for good"))
    got: list[kt.Event] = []
    with pytest.raises(kt.ConnectError):
        while True:
            got += await receive(ends.feed)
    assert got == offered
    assert ends.feed.statistics().buffered == 0


@pytest.mark.parametrize("overflow", [CONFLATE, DROP], ids=str)
async def test_a_buffer_comes_before_the_end(overflow: kt.Overflow, receive: Receive) -> None:
    ends = open_ends(overflow)
    ends.offer(MORE)
    ends.sender.end(None)
    got: list[kt.Event] = []
    with pytest.raises(trio.EndOfChannel):
        while True:
            got += await receive(ends.feed)
    assert isinstance(got[-1], kt.BookSnapshot)
    assert ends.feed.book(SYMBOL).bids == ends.world.books[SYMBOL].bids


async def test_iterating_ends_with_the_feed(overflow: kt.Overflow) -> None:
    ends = open_ends(overflow)
    offered = ends.offer(CAPACITY)
    ends.sender.end(None)
    assert [event async for event in ends.feed] == offered
    assert [event async for event in ends.feed] == []


async def test_iterating_over_batches_ends_with_the_feed(overflow: kt.Overflow) -> None:
    ends = open_ends(overflow)
    offered = ends.offer(CAPACITY)
    ends.sender.end(None)
    batches = ends.feed.batches()
    assert [batch async for batch in batches] == [offered]
    assert [batch async for batch in batches] == []


async def test_batches_may_be_left_at_any_point(overflow: kt.Overflow) -> None:
    ends = open_ends(overflow)
    offered = ends.offer(CAPACITY)
    async for batch in ends.feed.batches(2):
        assert batch == offered[:2]
        break
    assert await receive_all(ends.feed) == offered[2:]


async def test_a_task_that_waits_hears_of_the_end(receive: Receive, nursery: trio.Nursery) -> None:
    ends = open_ends(BACKPRESSURE)
    nursery.start_soon(trio.sleep, 0)
    heard = trio.Event()

    async def wait() -> None:
        with pytest.raises(trio.EndOfChannel):
            await receive(ends.feed)
        heard.set()

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    ends.sender.end(None)
    await heard.wait()


async def test_each_raise_of_a_failure_is_an_object_of_its_own(receive: Receive) -> None:
    ends = open_ends(BACKPRESSURE)
    ends.sender.end(kt.ConnectError("for good", status=403))
    with pytest.raises(kt.ConnectError, match="for good") as first:
        await receive(ends.feed)
    with pytest.raises(kt.ConnectError, match="for good") as second:
        await receive(ends.feed)
    assert first.value is not second.value
    assert second.value.status == 403
    assert "failed: for good" in repr(ends.feed)


# Closing


@pytest.mark.parametrize("offered", [0, *ROOM, MORE])
async def test_a_closed_feed_yields_nothing_and_says_so(overflow: kt.Overflow, receive: Receive, offered: int) -> None:
    ends = open_ends(overflow)
    ends.offer(offered)
    await ends.feed.aclose()
    with pytest.raises(trio.ClosedResourceError, match=r"this feed was closed: .*block"):
        await receive(ends.feed)
    assert ends.feed.statistics().buffered == 0
    assert ends.sender.is_ended
    assert "closed" in repr(ends.feed)
    await ends.feed.aclose()  # twice does no harm


async def test_closing_is_a_checkpoint_and_close_is_none(overflow: kt.Overflow) -> None:
    with trio.testing.assert_checkpoints():
        await open_ends(overflow).feed.aclose()
    with trio.testing.assert_no_checkpoints():
        open_ends(overflow).feed.close()


async def test_who_has_the_events_hears_once_that_the_feed_is_closed(overflow: kt.Overflow) -> None:
    ends = open_ends(overflow)
    heard: list[None] = []
    ends.sender.call_when_closed(lambda: heard.append(None))
    ends.feed.close()
    ends.feed.close()
    assert len(heard) == 1


@pytest.mark.parametrize("offered", [0, *ROOM, MORE])
async def test_a_feed_that_is_closed_while_a_task_receives_yields_nothing(
    overflow: kt.Overflow, receive: Receive, offered: int, nursery: trio.Nursery
) -> None:
    """The event was taken, and another task closed the feed: its book came to life again."""
    ends = open_ends(overflow)
    ends.offer(1)
    await ends.feed.receive()
    got: list[kt.Event | str] = []

    async def wait() -> None:
        try:
            got.extend(await receive(ends.feed))
        except trio.ClosedResourceError as error:
            got.append(str(error))

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    ends.offer(offered)
    ends.feed.close()
    await trio.testing.wait_all_tasks_blocked()
    [closed] = got
    assert isinstance(closed, str)
    assert closed.startswith("this feed was closed")
    assert not ends.feed.books[SYMBOL].available


# Books


async def test_a_book_is_as_of_the_last_received_event(overflow: kt.Overflow, receive: Receive) -> None:
    ends = open_ends(overflow)
    with pytest.raises(kt.BookUnavailable):
        ends.feed.book(SYMBOL)
    ends.offer(CAPACITY)
    while ends.feed.statistics().buffered:
        events = await receive(ends.feed)
        assert ends.feed.book(SYMBOL).bids == ends.world.book_at[events[-1].received_ns]
    kept = ends.feed.book(SYMBOL)
    ends.sender.offer([ends.world.happen("book", SYMBOL, 1, lost=True)])
    assert kept.available
    await receive(ends.feed)
    for book in (lambda: ends.feed.book(SYMBOL), lambda: kept.bids):
        with pytest.raises(kt.BookUnavailable):
            book()
    ends.offer(1)
    await receive(ends.feed)
    assert ends.feed.book(SYMBOL) is kept
    ends.feed.close()
    with pytest.raises(kt.BookUnavailable, match="its feed is closed"):
        ends.feed.book(SYMBOL)


async def test_books_are_found_by_any_spelling_of_their_symbol() -> None:
    sender, feed = open_feed([kt.Book("XBT/USD", depth=25), kt.Trades("ETH/USD")], 10, BACKPRESSURE)
    assert list(feed.books) == ["BTC/USD"]
    assert feed.books["BTC/USD"].depth == 25
    sender.offer([kt.BookSnapshot(symbol="BTC/USD", bids=(), asks=())])
    await feed.receive()
    assert feed.book("xbt/usd") is feed.book("BTC/USD") is feed.books["BTC/USD"]
    with pytest.raises(ValueError, match=r"not opened with a Book\('ETH/USD'\); its books: BTC/USD"):
        feed.book("ETH/USD")
    with pytest.raises(ValueError, match="its books: none"):
        open_feed([kt.Trades("ETH/USD")], 10, BACKPRESSURE)[1].book("ETH/USD")


async def test_a_feed_need_not_have_books() -> None:
    sender, feed = open_feed([kt.Trades("ETH/USD"), kt.Lifecycle()], 10, BACKPRESSURE)
    gap = kt.Gap(symbol="ETH/USD", channel="trade", cause=kt.Cause.MISSED)
    sender.offer([gap])
    assert await feed.receive_many() == [gap]
    assert not feed.books


async def test_gaps_of_something_else_leave_a_book_as_it_is() -> None:
    ends = open_ends(BACKPRESSURE, 10)
    ends.offer(1)
    ends.sender.offer(
        [
            kt.Gap(symbol=SYMBOL, channel="trade", cause=kt.Cause.MISSED),
            kt.Gap(symbol=None, channel="book", cause=kt.Cause.MALFORMED),
            kt.Gap(symbol=None, cause=kt.Cause.MALFORMED),
            kt.Gap(symbol="B/USD", channel="book", cause=kt.Cause.CHECKSUM),
        ]
    )
    assert len(await ends.feed.receive_many()) == 5
    assert ends.feed.book(SYMBOL).available


# Numbers


async def test_statistics_and_repr(overflow: kt.Overflow) -> None:
    ends = open_ends(overflow)
    ends.offer(2)
    await ends.feed.receive()
    ends.offer(1)
    assert ends.feed.statistics() == kt.FeedStatistics(
        buffered=2, capacity=CAPACITY, high_water=2, delivered=1, dropped=0, conflated=0, held_seconds=0.0
    )
    assert repr(ends.feed) == f"<Feed of {kt.Book(SYMBOL)}: 2/3 buffered>"
    assert repr(ends.sender) == f"<FeedSender of {kt.Book(SYMBOL)}: 2/3 buffered>"
    assert ends.feed.requests == ends.sender.requests == (kt.Book(SYMBOL),)
    assert ends.feed.overflow is overflow


# Its books, by way of the client's


class Market:
    """A client's book, whose events have checksums."""

    def __init__(self) -> None:
        self.book = kt.OrderBook(10)
        self.asked = 0
        self.number = 0

    def events(self, count: int) -> list[kt.Event]:
        return [self._event() for _ in range(count)]

    def _event(self) -> kt.BookSnapshot | kt.BookUpdate:
        self.number += 1
        level = kt.Level(str(1 + self.number % 7), str(1 + self.number))
        kind = kt.BookUpdate if self.book.available else kt.BookSnapshot
        event = kind(symbol=SYMBOL, bids=(level,), asks=(), received_ns=self.number)
        follower = copy.copy(self.book)
        follower.follow(event)
        event = msgspec.structs.replace(event, checksum=follower._crc())
        self.book.apply(event)
        return event

    def rebuild(self, _key: object) -> kt.Event:
        self.asked += 1
        return self.book.snapshot()


@pytest.fixture
def _without_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """A core follows one by one: it is faster so."""
    monkeypatch.setattr(core, "load", None)


MANY = 40
"""A run of so many updates is followed by way of the client's book, where that is possible."""


@pytest.mark.usefixtures("_without_core")
async def test_the_book_of_a_feed_that_is_up_to_date_is_the_client_s(overflow: kt.Overflow) -> None:
    market = Market()
    sender, feed = open_feed([kt.Book(SYMBOL)], MANY, overflow, market.rebuild)
    for asked in (1, 2):
        sender.offer(market.events(MANY))
        await feed.receive_many()
        assert feed.book(SYMBOL).snapshot() == market.book.snapshot()
        assert market.asked == asked


@pytest.mark.usefixtures("_without_core")
async def test_the_book_of_a_feed_that_is_behind_is_its_own(overflow: kt.Overflow) -> None:
    """Whether events wait in it, or its sender holds some, or it is over."""
    market, own = Market(), kt.OrderBook(10)
    sender, feed = open_feed([kt.Book(SYMBOL)], 2 * MANY, overflow, market.rebuild)

    async def receive() -> None:
        events = await feed.receive_many(MANY)
        assert len(events) == MANY
        for event in events:
            assert isinstance(event, kt.BookSnapshot | kt.BookUpdate)
            own.follow(event)
        assert feed.book(SYMBOL).snapshot() == own.snapshot()

    sender.offer(market.events(MANY + 1))
    await receive()
    rest = sender.fill(market.events(2 * MANY))
    assert len(rest) == 1
    await receive()
    await receive()  # nothing waits, but the sender has the rest
    await sender.feed(deque(rest))
    sender.offer(market.events(MANY - 1))
    assert market.asked == 0
    await receive()
    assert market.asked == 1
    sender.offer(market.events(MANY))
    sender.end(None)
    market.events(1)  # which it does not get any more
    await receive()
    assert market.asked == 1


# Clearing it


async def test_what_was_handed_over_counts_though_the_rest_is_dropped(
    overflow: kt.Overflow, nursery: trio.Nursery
) -> None:
    ends = open_ends(overflow)
    got: list[kt.Event] = []

    async def wait() -> None:
        got.append(await ends.feed.receive())

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    offered = ends.offer(CAPACITY)
    ends.sender.clear()
    assert ends.feed.statistics().buffered == 1
    await trio.testing.wait_all_tasks_blocked()
    assert got == offered[:1]
    assert ends.feed.statistics().buffered == 0


@pytest.mark.parametrize("overflow", [CONFLATE, DROP], ids=str)
async def test_clearing_a_buffer_does_not_end_the_feed(
    overflow: kt.Overflow, receive: Receive, nursery: trio.Nursery
) -> None:
    """Regression: a program that was about to take from the buffer was told that the feed had ended."""
    ends = open_ends(overflow)
    ends.offer_states(MORE)
    got: list[kt.Event] = []

    async def take() -> None:
        got.extend(await receive(ends.feed))

    nursery.start_soon(take)
    nursery.start_soon(_clear_soon, ends.sender)
    await trio.testing.wait_all_tasks_blocked()
    if not got:  # it was cleared before
        offered = ends.offer_states(1)
        await trio.testing.wait_all_tasks_blocked()
        assert got == offered


async def _clear_soon(sender: FeedSender) -> None:
    sender.clear()
