"""How long events wait in a feed, and the sums over all feeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

import kraken_trio as kt
from kraken_trio.runtime.feed import open_feed
from kraken_trio.statistics import Histogram
from kraken_trio.testing import open_exchange

if TYPE_CHECKING:
    from trio.testing import MockClock

REQUEST = kt.Ticker("BTC/USD")


def gap(number: int) -> kt.Gap:
    return kt.Gap(symbol="BTC/USD", cause=kt.Cause.MISSED, channel="ticker", epoch=number, received_ns=number)


async def test_the_wait_is_that_of_the_last_event_that_was_there(autojump_clock: MockClock) -> None:
    sender, feed = open_feed([REQUEST], 10, kt.Overflow.BACKPRESSURE)
    waits = Histogram()
    sender.mark(trio.current_time(), waits)  # nothing waits
    sender.offer([gap(1), gap(2), gap(3)])
    sender.mark(trio.current_time(), waits)
    await trio.sleep(1)
    sender.offer([gap(4)])
    sender.mark(trio.current_time(), waits)  # the first one is still measured
    await feed.receive_many(2)
    await trio.sleep(2)
    assert waits.distribution().count == 0
    assert await feed.receive() == gap(3)
    assert waits.distribution().sum == pytest.approx(3)
    await feed.receive_many()
    assert waits.distribution().count == 1


@pytest.mark.parametrize("overflow", [kt.Overflow.DROP_OLDEST, kt.Overflow.CONFLATE])
async def test_what_is_dropped_does_not_wait_any_more(overflow: kt.Overflow, autojump_clock: MockClock) -> None:
    sender, feed = open_feed([REQUEST], 2, overflow)
    waits = Histogram()
    sender.offer([gap(1), gap(2)])
    sender.mark(trio.current_time(), waits)
    for number in range(3, 30):
        sender.offer([gap(number)])
    await trio.sleep(1)
    while feed.statistics().buffered:
        await feed.receive_many(1)
    assert waits.distribution().sum == pytest.approx(1)


async def test_a_feed_that_is_closed_is_measured_no_more() -> None:
    sender, feed = open_feed([REQUEST], 2, kt.Overflow.BACKPRESSURE)
    waits = Histogram()
    sender.offer([gap(1)])
    sender.mark(trio.current_time(), waits)
    await feed.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await feed.receive()
    assert waits.distribution().count == 0


async def test_sums_keep_what_closed_feeds_had() -> None:
    async with open_exchange() as exchange, kt.open_client(exchange.url) as client:
        total = 0
        for count in (5, 7):
            async with client.subscribe(kt.Book("BTC/USD"), capacity=4) as feed:
                for _ in range(count):
                    await feed.receive()
                total += count
                now = client.statistics()
                assert now.delivered == total
                assert now.queue_ratio == feed.statistics().buffered / 4
        with pytest.raises(kt.ConsumerTooSlow):
            async with client.subscribe(kt.Book("BTC/USD"), capacity=1, overflow=kt.Overflow.FAIL) as feed:
                with trio.fail_after(10):
                    while not client.statistics().slow_consumers:  # noqa: ASYNC110 (nobody waits for the feed)
                        await trio.sleep(0.01)
                while True:
                    await feed.receive()
        now = client.statistics()
        assert now.slow_consumers == 1
        assert now.dropped >= 1
        assert now.delivered == total + 1
        assert now.queue_ratio == 0
