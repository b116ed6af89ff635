"""Both ends of a feed for one book, and the exchange before them."""

from __future__ import annotations

from typing import Any

import attrs

import kraken_trio as kt
from kraken_trio.runtime.feed import Feed, FeedSender, open_feed
from tests.runtime.world import World

SYMBOL = "A/USD"
CAPACITY = 3


@attrs.frozen
class Ends:
    sender: FeedSender
    feed: Feed[Any]
    world: World

    def make(self, count: int) -> list[kt.Event]:
        """The next events of the book."""
        return [self.world.happen("book", SYMBOL, 1 + number % 3, lost=False) for number in range(count)]

    def offer(self, count: int) -> list[kt.Event]:
        """The next events of the book, offered at once."""
        events = self.make(count)
        self.sender.offer(events)
        return events

    def offer_states(self, count: int) -> list[kt.Event]:
        """So many events that a buffer drops one by one, offered at once."""
        events = [self.world.happen("ticker", SYMBOL, 1, lost=False) for _ in range(count)]
        self.sender.offer(events)
        return events


def open_ends(overflow: kt.Overflow, capacity: int = CAPACITY) -> Ends:
    world = World()
    return Ends(*open_feed([kt.Book(SYMBOL)], capacity, overflow, world.rebuild), world)
