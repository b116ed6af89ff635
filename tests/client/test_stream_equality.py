"""Promise 7, behind a broker: per channel and symbol, a feed gets what a feed of the producer's client gets."""

from __future__ import annotations

from contextlib import suppress
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import pytest
import trio

import kraken_trio as kt
from kraken_trio import relay
from kraken_trio.testing import Drop, MemoryBroker
from tests.client import private
from tests.client.relaying import open_stream
from tests.relay.world import BTC, ETH, open_world

if TYPE_CHECKING:
    from trio.testing import MockClock

REQUESTS: tuple[kt.Request[Any], ...] = (
    kt.Book(BTC),
    kt.Book(ETH, depth=100),
    kt.Trades(BTC),
    kt.Trades(ETH, snapshot=True),
    kt.Ticker(BTC, trigger="bbo"),
    kt.Candles(ETH),
    kt.Instruments(),
)


async def collect(feed: kt.Feed[Any], into: list[Any]) -> None:
    with suppress(trio.ClosedResourceError):
        async for event in feed:
            into.append(event)  # noqa: PERF401 (one by one, as they come)


def by_key(events: list[Any]) -> dict[tuple[str | None, str | None], list[Any]]:
    found: dict[tuple[str | None, str | None], list[Any]] = {}
    for event in events:
        found.setdefault((event.channel, event.symbol), []).append(event)
    return found


@pytest.mark.parametrize(("form", "partitions"), [(relay.Form.JSON, 1), (relay.Form.MSGPACK, 3)])
async def test_events_are_equal_by_key(autojump_clock: MockClock, form: relay.Form, partitions: int) -> None:
    broker = MemoryBroker(partitions=partitions, latency=(0.001, 0.01))
    here: list[Any] = []
    there: list[Any] = []
    late: list[Any] = []
    async with open_world(rate=30) as world, trio.open_nursery() as nursery:
        async with world.client() as producer, producer.subscribe(*REQUESTS) as own:
            nursery.start_soon(collect, own, here)  # noqa: ASYNC111 (it ends with the feed)
            await trio.sleep(1)
            async with (
                relay.publish(producer, broker.seen_by("relay"), *REQUESTS, form=form) as published,
                open_stream(broker.seen_by("reader")) as client,
            ):
                await published.wait_owner()
                await trio.sleep(1)  # until its catalog is there
                async with client.subscribe(*REQUESTS) as feed:
                    nursery.start_soon(collect, feed, there)  # noqa: ASYNC111 (likewise)
                    await trio.sleep(10)
                    world.exchange.inject(Drop())
                    await trio.sleep(12)
                    broker.seen_by("reader").drop_links()
                    await trio.sleep(5)
                    async with client.subscribe(*REQUESTS) as feed_of_late_joiner:
                        nursery.start_soon(collect, feed_of_late_joiner, late)  # noqa: ASYNC111 (likewise)
                        await trio.sleep(8)
                        assert feed.book(BTC).verified
                        assert feed.book(ETH).depth == 100
    assert any(isinstance(event, kt.Gap) and event.cause is kt.Cause.DISCONNECTED for event in there)
    for read in (there, late):
        for key, events in by_key(read).items():
            original = by_key(here)[key]
            # It begins with the state as of its start, and then has everything.
            first = (
                1
                if key[0] == "book"
                else sum(1 for _ in takewhile(lambda event: getattr(event, "snapshot", False), events))
            )
            if first == len(events):
                continue  # nothing has happened since
            begin = original.index(events[first])
            assert repr(events[first:]) == repr(original[begin : begin + len(events) - first])
            assert len(original) - begin - len(events) + first < 100  # up to the end, but for what was on its way
    assert set(by_key(there)) == set(by_key(here))


async def test_single_orders_are_equal_too(autojump_clock: MockClock) -> None:
    """With the kinds of all events, which are found out from the book; also for one that joins late."""
    broker = MemoryBroker()
    request = kt.Level3(private.BTC, depth=100)
    here: list[Any] = []
    there: list[Any] = []
    late: list[Any] = []
    async with (
        private.exchange_of(rate=0.0, account_rate=0.0) as exchange,
        private.client_of(exchange, host="l3") as producer,
        relay.publish(producer, broker, request) as published,
        open_stream(broker) as client,
        producer.subscribe(request, capacity=10_000) as own,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(collect, own, here)
        await published.wait_owner()
        await trio.sleep(1)
        async with client.subscribe(request) as feed:
            nursery.start_soon(collect, feed, there)  # noqa: ASYNC111 (it ends with the feed)
            for number in range(120):
                await exchange.publish(1, private.BTC)
                await trio.sleep(0.1)
                if number == 60:
                    exchange.inject(Drop())
                    await trio.sleep(30)
            async with client.subscribe(request) as feed_of_late_joiner:
                nursery.start_soon(collect, feed_of_late_joiner, late)  # noqa: ASYNC111 (likewise)
                await exchange.publish(20, private.BTC)
                await trio.sleep(1)
                assert feed.level3(private.BTC).bids == own.level3(private.BTC).bids
                assert feed_of_late_joiner.level3(private.BTC).asks == own.level3(private.BTC).asks
        nursery.cancel_scope.cancel()
    assert len(there) > 120
    for read in (there, late):
        rest = read[1:]
        assert repr(rest) == repr(here[len(here) - len(rest) :])
        assert rest == here[len(here) - len(rest) :]
    assert [event.cause for event in there if isinstance(event, kt.Gap)] == [kt.Cause.DISCONNECTED]
