"""Consumers that are too slow: what each policy promises, on virtual time, and once over a real socket."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trio
import trio.testing

import kraken_trio as kt
from kraken_trio.testing import open_exchange
from kraken_trio.testing.faults import CorruptChecksum, DelaySnapshots, Drop, SkipUpdate
from kraken_trio.wire import codec_for
from kraken_trio.wire.messages import Data

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from trio.testing import MockClock

    from kraken_trio.testing.faults import Fault

    from .conftest import InMemoryExchange

BACKPRESSURE, FAIL, CONFLATE, DROP = (
    kt.Overflow.BACKPRESSURE,
    kt.Overflow.FAIL,
    kt.Overflow.CONFLATE,
    kt.Overflow.DROP_OLDEST,
)
LOSSY = (CONFLATE, DROP)
STATES = (kt.Book("BTC/USD"), kt.Book("ETH/USD", depth=25), kt.Ticker("BTC/USD", trigger="bbo"), kt.Candles("ETH/USD"))
PATIENCE = 30  # seconds of a real clock in which anything here is done


Sides = tuple[tuple[kt.Level, ...], tuple[kt.Level, ...]]
At = tuple[str, int, object, int | None]
"""A moment of a book: symbol, epoch, timestamp, checksum."""


def requests_for(overflow: kt.Overflow) -> tuple[kt.Request, ...]:
    return STATES if overflow is CONFLATE else (*STATES, kt.Trades("BTC/USD"))


async def take_all(feed: kt.Feed) -> list[kt.Event]:
    """What waits now."""
    events: list[kt.Event] = []
    while feed.statistics().buffered:
        events += await feed.receive_many()
    return events


def assert_equal_books(feed: kt.Feed, other: kt.Feed) -> None:
    assert list(feed.books) == list(other.books)
    for symbol in feed.books:
        ours, theirs = feed.book(symbol), other.book(symbol)
        assert (ours.bids, ours.asks, ours.checksum()) == (theirs.bids, theirs.asks, theirs.checksum())


# One that never reads


class Readers:
    """Fifteen feeds that are read, and one that is not, of an exchange where nothing happens by itself."""

    def __init__(self, client: kt.Client, overflow: kt.Overflow) -> None:
        self.client = client
        self.overflow = overflow
        self.requests = STATES[:3] if overflow is CONFLATE else (*STATES[:3], kt.Trades("BTC/USD"))
        self.feeds: list[kt.Feed] = []
        self.got: list[list[kt.Event]] = [[] for _ in range(15)]

    async def read(self, mine: list[kt.Event], *, task_status: trio.TaskStatus[None]) -> None:
        async with self.client.subscribe(*self.requests, capacity=50_000, overflow=self.overflow) as feed:
            self.feeds.append(feed)
            await self.begin(feed)
            task_status.started()
            while True:
                mine.append(await feed.receive())

    @staticmethod
    async def begin(feed: kt.Feed) -> None:
        first = {type(event) for event in [await feed.receive() for _ in range(3)]}
        assert first == {kt.BookSnapshot, kt.TickerUpdate}
        assert feed.statistics().buffered == 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[kt.Feed]:
        """The one that is not read any more."""
        async with (
            self.client.subscribe(*self.requests, capacity=8, overflow=self.overflow) as stuck,
            trio.open_nursery() as nursery,
        ):
            await self.begin(stuck)
            for mine in self.got:
                await nursery.start(self.read, mine)
            yield stuck
            nursery.cancel_scope.cancel()

    async def got_all(self, frames: Sequence[str]) -> None:
        """They get everything, in the exchange's order; nobody else notices anything."""
        decoder = codec_for("v2")
        sent: list[Any] = []
        for frame in frames:
            message = decoder.decode(frame, epoch=1, received_ns=0)
            assert isinstance(message, Data)
            sent += message.events
        assert len(sent) > 200
        for mine, feed in zip(self.got, self.feeds, strict=True):
            while len(mine) < len(sent):  # noqa: ASYNC110 (virtual time, or a socket)
                await trio.sleep(0.01)
            assert [msgspec.structs.replace(event, received_ns=0) for event in mine] == sent
            assert feed.statistics() == kt.FeedStatistics(
                buffered=0,
                capacity=50_000,
                high_water=feed.statistics().high_water,
                delivered=len(sent) + 3,
                dropped=0,
                conflated=0,
                held_seconds=0,
            )
        now = self.client.statistics()
        assert (now.gaps, now.losses, now.checksum_failures, now.connects) == (0, 0, 0, 1)
        assert now.feeds == (16 if self.overflow in LOSSY else 15)

    async def check_stuck(self, stuck: kt.Feed) -> None:
        """The one that was not read is as its policy says, and small."""
        now = stuck.statistics()
        assert now.delivered == 3
        if self.overflow in LOSSY:
            assert now.high_water <= 8 + len(self.requests)
            assert now.dropped + now.conflated > 150
            await take_all(stuck)
            assert_equal_books(stuck, self.feeds[0])
        else:
            with pytest.raises(kt.ConsumerTooSlow):
                while True:
                    await stuck.receive_many()
            assert stuck.statistics().delivered == 3 + 8
            assert stuck.statistics().dropped > 0


@pytest.mark.parametrize("overflow", list(kt.Overflow))
async def test_fifteen_feeds_get_everything_though_the_sixteenth_never_reads(
    autojump_clock: MockClock, exchange: InMemoryExchange, overflow: kt.Overflow
) -> None:
    settings = kt.Settings(stall_limit=7)
    exchange.core.pause()
    async with kt.open_client(exchange.url, settings=settings, transport=exchange.connect) as client:
        readers = Readers(client, overflow)
        async with readers.open() as stuck:
            journal = exchange.core.journals[0]
            before = journal.sent_count
            exchange.core.resume(trio.current_time())
            exchange.do([])
            for _ in range(20):
                await trio.sleep(1)
                # What a full feed has beside is at most one batch of frames, or one for each of what it wants.
                assert stuck.statistics().buffered <= 8 + len(readers.requests)
            exchange.core.pause()
            await readers.got_all(list(journal.sent)[before:])
            assert stuck.statistics().held_seconds == pytest.approx(7 if overflow is BACKPRESSURE else 0)
            await readers.check_stuck(stuck)


@pytest.mark.parametrize("overflow", list(kt.Overflow))
async def test_the_same_over_a_socket(overflow: kt.Overflow) -> None:
    settings = kt.Settings(stall_limit=0.1)
    with trio.fail_after(PATIENCE):
        async with open_exchange(rate=0) as exchange, kt.open_client(exchange.url, settings=settings) as client:
            readers = Readers(client, overflow)
            async with readers.open() as stuck:
                before = exchange.journal[0].sent_count
                for _ in range(4):
                    await exchange.publish(50, "BTC/USD")
                    await exchange.publish(50, "ETH/USD")
                await readers.got_all(list(exchange.journal[0].sent)[before:])
                await readers.check_stuck(stuck)


# One that reads slowly


@pytest.mark.parametrize("overflow", LOSSY)
async def test_a_slow_consumer_is_not_taken_for_a_dead_peer(
    autojump_clock: MockClock, exchange: InMemoryExchange, overflow: kt.Overflow
) -> None:
    settings = kt.Settings()
    async with (
        kt.open_client(exchange.url, settings=settings, transport=exchange.connect) as client,
        client.subscribe(*requests_for(overflow), capacity=1, overflow=overflow) as feed,
    ):
        for _ in range(5):
            await trio.sleep(2 * max(settings.stall_limit, settings.silence_limit))
            await feed.receive()
        statistics = client.statistics()
        assert statistics.connects == 1
        assert (statistics.losses, statistics.resyncs, statistics.gaps) == (0, 0, 0)
        assert feed.statistics().held_seconds == 0


async def test_a_stall_that_goes_on_is_counted_as_well(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    settings = kt.Settings(stall_limit=100)
    exchange.core.pause()
    async with (
        kt.open_client(exchange.url, settings=settings, transport=exchange.connect) as client,
        client.subscribe(*STATES[:2], capacity=1) as feed,
    ):
        await trio.sleep(30)
        assert feed.statistics().held_seconds == pytest.approx(30)
        await feed.receive()
        await feed.receive()
        await trio.sleep(30)
        assert feed.statistics().held_seconds == pytest.approx(30)


@pytest.mark.parametrize("overflow", LOSSY)
async def test_after_an_overflow_a_book_goes_on_without_a_request(
    autojump_clock: MockClock, exchange: InMemoryExchange, overflow: kt.Overflow
) -> None:
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(*STATES) as other,
        client.subscribe(*STATES, capacity=5, overflow=overflow) as feed,
    ):
        for _ in range(8):
            await trio.sleep(10)
            await take_all(other)
            events = await take_all(feed)
            kinds = {type(event) for event in events}
            assert kt.BookSnapshot in kinds
            assert (kt.Gap in kinds) == (overflow is DROP)
            assert all(event.cause is kt.Cause.OVERFLOW for event in events if isinstance(event, kt.Gap))
            assert_equal_books(feed, other)
        assert len(exchange.core.requests) == client.statistics().requests_sent == 4  # one for each depth and channel
        now = feed.statistics()
        assert now.buffered == 0
        assert now.dropped > 100 if overflow is DROP else now.conflated > 100
        assert client.statistics().gaps == 0


@pytest.mark.parametrize("overflow", LOSSY)
@pytest.mark.parametrize("seed", range(2))
async def test_whatever_happens_a_book_is_as_of_the_last_event_or_cannot_be_read(
    autojump_clock: MockClock, exchange: InMemoryExchange, overflow: kt.Overflow, seed: int
) -> None:
    """Beside a consumer that goes on by fits and starts is one that gets everything, and keeps it."""
    dice = random.Random(f"{overflow}/{seed}")
    settings = kt.Settings(quick_delay=0.01, attempt_delay=0.01)
    requests = requests_for(overflow)
    known: dict[At, set[Sides]] = {}
    seen: list[tuple[At, Sides]] = []
    overflows = 0
    trade_id: int | None = None

    async def keep(feed: kt.Feed) -> None:
        async for event in feed:
            if isinstance(event, kt.BookSnapshot | kt.BookUpdate):
                book = feed.book(event.symbol)
                at = (event.symbol, event.epoch, event.timestamp, event.checksum)
                known.setdefault(at, set()).add((book.bids, book.asks))

    async with (
        kt.open_client(exchange.url, settings=settings, transport=exchange.connect) as client,
        client.subscribe(*requests, capacity=100_000) as whole,
        client.subscribe(*requests, capacity=dice.choice([1, 3, 10, 40]), overflow=overflow) as feed,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(keep, whole)
        while trio.current_time() < 75:
            if dice.random() < 0.05:
                symbol = dice.choice(["BTC/USD", "ETH/USD"])
                faults: list[Fault] = [SkipUpdate(symbol=symbol), CorruptChecksum(symbol=symbol), Drop()]
                exchange.inject(DelaySnapshots(seconds=dice.random(), times=1))
                exchange.inject(dice.choice(faults))
            await trio.sleep(dice.choice([0, 0.01, 0.1, 3]) * dice.random())
            events = await feed.receive_many(dice.choice([1, 1, 5, 100]))
            last: dict[str, kt.Event] = {}
            for event in events:
                match event:
                    case kt.Gap(channel="trade", missed=missed, cause=cause):
                        overflows += cause is kt.Cause.OVERFLOW
                        trade_id = None if trade_id is None or missed is None else trade_id + missed
                    case kt.Trade():
                        assert trade_id is None or event.trade_id == trade_id + 1
                        trade_id = event.trade_id
                    case kt.Gap(channel="book", symbol=str() as symbol, cause=cause):
                        overflows += cause is kt.Cause.OVERFLOW
                        last[symbol] = event
                    case kt.BookSnapshot() | kt.BookUpdate():
                        last[event.symbol] = event
                    case _:
                        pass
            for symbol, event in last.items():
                if isinstance(event, kt.Gap):
                    with pytest.raises(kt.BookUnavailable):
                        feed.book(symbol)
                else:
                    assert isinstance(event, kt.BookSnapshot | kt.BookUpdate)
                    book = feed.book(symbol)
                    assert book.checksum() == event.checksum
                    at = (symbol, event.epoch, event.timestamp, event.checksum)
                    seen.append((at, (book.bids, book.asks)))
        exchange.do(exchange.core.clear_faults(trio.current_time()))
        await client.wait_for(kt.ConnectionState.SUBSCRIBED)
        exchange.core.pause()
        await trio.sleep(1)
        assert client.state is kt.ConnectionState.SUBSCRIBED
        await take_all(feed)
        assert_equal_books(feed, whole)
        nursery.cancel_scope.cancel()
    assert len(seen) > 50
    assert all(sides in known[at] for at, sides in seen)
    statistics = feed.statistics()
    assert statistics.dropped if overflow is DROP else statistics.conflated
    assert (overflows > 0) == (overflow is DROP)


@pytest.mark.parametrize("overflow", LOSSY)
async def test_a_gap_that_waits_with_the_rest_is_not_lost(
    autojump_clock: MockClock, exchange: InMemoryExchange, overflow: kt.Overflow
) -> None:
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD"), capacity=2, overflow=overflow) as feed,
    ):
        await trio.sleep(10)
        exchange.inject(DelaySnapshots(seconds=5))
        exchange.inject(Drop())
        await trio.sleep(3)
        events = await take_all(feed)
        gap = events[-1]
        assert isinstance(gap, kt.Gap)
        assert gap.cause is kt.Cause.DISCONNECTED
        with pytest.raises(kt.BookUnavailable):
            feed.book("BTC/USD")
        snapshot = await feed.receive()
        assert isinstance(snapshot, kt.BookSnapshot)
        assert snapshot.epoch == 2
        assert feed.book("BTC/USD").bids == snapshot.bids


async def test_reference_data_and_states_go_on_as_well(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    exchange.core.pause()
    for overflow in LOSSY:
        async with (
            kt.open_client(exchange.url, transport=exchange.connect) as client,
            client.subscribe(kt.Instruments()) as whole,
            client.subscribe(kt.Instruments(), kt.Lifecycle(), capacity=1, overflow=overflow) as feed,
        ):
            for _ in range(3):
                exchange.inject(Drop())
                await trio.sleep(30)
            *_, everything = await take_all(whole)
            events = await take_all(feed)
            assert everything in events
            changes = [event for event in events if isinstance(event, kt.StateChange)]
            assert len(changes) in (1, 2)
            assert changes[-1].current is kt.ConnectionState.SUBSCRIBED
            assert client.state is kt.ConnectionState.SUBSCRIBED


@pytest.mark.parametrize("overflow", [BACKPRESSURE, FAIL])
async def test_that_a_consumer_was_too_slow_is_logged_once(
    autojump_clock: MockClock, exchange: InMemoryExchange, overflow: kt.Overflow, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        kt.open_client(exchange.url, transport=exchange.connect) as client,
        client.subscribe(kt.Book("BTC/USD"), capacity=1, overflow=overflow) as feed,
    ):
        await trio.sleep(60)
        await feed.receive()
        with pytest.raises(kt.ConsumerTooSlow) as failure:
            await feed.receive()
    [line] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert line.endswith(f"the feed of {kt.Book('BTC/USD')}: {failure.value}")


async def test_trades_cannot_be_conflated(autojump_clock: MockClock, exchange: InMemoryExchange) -> None:
    async with kt.open_client(exchange.url, transport=exchange.connect) as client:
        with pytest.raises(ValueError, match=r"Trades.*cannot be conflated: .*DROP_OLDEST"):
            async with client.subscribe(kt.Book("BTC/USD"), kt.Trades("BTC/USD"), overflow=CONFLATE):
                pytest.fail("it is refused")
        assert not exchange.core.requests
