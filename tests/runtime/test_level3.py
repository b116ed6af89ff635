"""Level 3 in a feed: the consumer's own book, and consumers that are too slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import kraken_trio as kt
from kraken_trio.runtime.feed import open_feed
from tests.session.driver import BTC, Client
from tests.session.orders import Orders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kraken_trio.events import Event

WANTED = kt.Level3(BTC)
KEY = ("level3", BTC)


class Live:
    """A session with a market, and a feed of it."""

    def __init__(self, overflow: kt.Overflow, capacity: int) -> None:
        self.market = Orders()
        self.client = Client()
        self.client.follow("feed", WANTED)
        self.sender, self.feed = open_feed([WANTED], capacity, overflow, self.client.session.rebuild)
        self.happen(self.market.snapshot())

    def happen(self, *frames: str) -> Sequence[Event]:
        self.client.receive(*frames)
        events = self.client.events("feed")
        self.sender.offer(events)
        return events

    def updates(self, count: int) -> Sequence[Event]:
        return self.happen(*(self.market.update() for _ in range(count)))

    @property
    def now(self) -> Event | None:
        return self.client.session.rebuild(KEY)


async def test_the_book_of_a_feed_is_as_of_the_last_received_event() -> None:
    live = Live(kt.Overflow.BACKPRESSURE, 100)
    async with live.feed as feed:
        with pytest.raises(kt.BookUnavailable, match="it has had no snapshot yet"):
            feed.level3(BTC)
        live.updates(20)
        snapshot = await feed.receive()
        book = feed.level3("xbt/usd")
        assert book.snapshot() == snapshot
        while feed.statistics().buffered:
            await feed.receive()
        assert feed.level3(BTC) is book
        assert book.verified
        assert book.snapshot() == live.now
        (gap,) = live.happen(live.market.update(spoil=1))
        assert await feed.receive() == gap
        with pytest.raises(kt.BookUnavailable, match="events are missing"):
            book.bids  # noqa: B018 (reading it is what raises)
    with pytest.raises(kt.BookUnavailable, match="its feed is closed"):
        book.bids  # noqa: B018 (reading it is what raises)


async def test_a_feed_knows_which_books_it_has() -> None:
    _, feed = open_feed([WANTED, kt.Book("ETH/USD")], 10, kt.Overflow.BACKPRESSURE)
    with pytest.raises(ValueError, match=r"this feed was not opened with a Level3\('ETH/USD'\); its books: BTC/USD"):
        feed.level3("ETH/USD")
    with pytest.raises(ValueError, match=r"this feed was not opened with a Book\('BTC/USD'\); its books: ETH/USD"):
        feed.book(BTC)
    assert list(feed.books) == ["ETH/USD"]
    assert list(feed.level3_books) == [BTC]
    assert not feed.level3_books[BTC].available
    feed.close()


@pytest.mark.parametrize("overflow", [kt.Overflow.CONFLATE, kt.Overflow.DROP_OLDEST])
async def test_a_slow_consumer_goes_on_from_a_snapshot(overflow: kt.Overflow) -> None:
    live = Live(overflow, 4)
    async with live.feed as feed:
        live.updates(100)
        kinds = []
        while feed.statistics().buffered:
            kinds.append(type(await feed.receive()))
        assert kt.Level3Snapshot in kinds[1:]
        assert (kt.Gap in kinds) is (overflow is kt.Overflow.DROP_OLDEST)
        assert feed.level3(BTC).snapshot() == live.now
        live.updates(3)
        while feed.statistics().buffered:
            await feed.receive()
        assert feed.level3(BTC).snapshot() == live.now
