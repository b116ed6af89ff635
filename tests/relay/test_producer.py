"""One shard's producer, between an exchange and a broker in memory, on virtual time."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
import trio

import kraken_trio as kt
from kraken_trio.broker.messages import decode_catalog
from kraken_trio.broker.seam import Incoming
from kraken_trio.broker.subjects import Kind, Subject
from kraken_trio.relay import Backpressure, Relay, open_relay, publish
from kraken_trio.relay.comparison import catalog_of
from kraken_trio.testing import Drop, DropHow, MemoryBroker
from kraken_trio.testing.faults import RefuseConnect
from tests.relay.world import BTC, ETH, REQUESTS, Streams, World, open_world, stored

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from trio.testing import MockClock

    from kraken_trio.broker.seam import Engine


async def collect(client: kt.Client, events: list[Any], *requests: kt.Request[Any]) -> None:
    async with client.subscribe(*requests) as feed:
        async for event in feed:
            events.append(event)  # noqa: PERF401 (others look at it while it runs)


def is_start(event: Any) -> bool:
    return type(event) is kt.BookSnapshot or getattr(event, "snapshot", False)


async def until_quiet(feed: kt.Feed[Any]) -> list[Any]:
    """What comes until nothing has come for a second."""
    found: list[Any] = []
    while True:
        with trio.move_on_after(1):
            found += await feed.receive_many()
            continue
        return found


async def standby(client: kt.Client, broker: MemoryBroker, name: str, nursery: trio.Nursery) -> Relay:
    """A producer for as long as the nursery is open."""

    async def run(*, task_status: trio.TaskStatus[Relay]) -> None:
        async with publish(client, broker.seen_by(name), *REQUESTS, holder=name) as relay:
            task_status.started(relay)
            await trio.sleep_forever()

    relay: Relay = await nursery.start(run)
    return relay


async def test_what_a_feed_gets_is_published_unchanged(autojump_clock: MockClock) -> None:
    """Promise 7, on the producing side: the same events, in the same order, for each channel and symbol."""
    broker = MemoryBroker(latency=(0.001, 0.02))
    events: list[Any] = []
    async with open_world() as world, world.client() as client, trio.open_nursery() as nursery:
        nursery.start_soon(collect, client, events, *REQUESTS)
        async with publish(client, broker, *REQUESTS) as relay:
            await trio.sleep(20)
            assert relay.is_owner
            world.exchange.pause()
            await trio.sleep(1)
        statistics = relay.statistics()
        streams = stored(broker)
        for request in REQUESTS:
            assert request.channel is not None
            key = (request.channel, request.symbol)
            found = streams.of(*key)
            assert found
            # It began a moment later than that feed, with the state as of then.
            told = [repr(event) for event in found if not is_start(event)]
            wanted = [repr(event) for event in events if (event.channel, event.symbol) == key and not is_start(event)]
            assert told == wanted[len(wanted) - len(told) :]
            assert len(told) >= 0.9 * len(wanted)
        for symbol in (BTC, ETH):
            world.check_book(streams, symbol)
        nursery.cancel_scope.cancel()
    assert statistics.events == sum(len(one) for of_key in streams.events.values() for one in of_key.values())
    assert statistics.messages == len(broker.message_ids())
    assert not statistics.waiting_events
    assert broker.owner(0) is None  # it was given back
    assert not broker.links


class Steps(trio.abc.Instrument):
    """Counts the steps of the tasks of a name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task.name.endswith(self.name)


async def test_who_keeps_the_lease_is_not_woken_by_events(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(lease_ttl=3)
    async with open_world() as world, world.client() as client, publish(client, broker, *REQUESTS) as relay:
        await relay.wait_owner()
        before = relay.statistics().events
        keeping, sending = Steps("Sender._keep"), Steps("Sender._send")
        with instruments(keeping, sending):
            await trio.sleep(30)
        assert relay.is_owner
        assert relay.statistics().events - before > 300
        assert sending.count > 100
        assert 30 <= keeping.count <= 100  # 30 renewals, each of a few steps


@contextmanager
def instruments(*new: trio.abc.Instrument) -> Iterator[None]:
    for one in new:
        trio.lowlevel.add_instrument(one)
    yield
    for one in new:
        trio.lowlevel.remove_instrument(one)


def check_streams(world: World, broker: MemoryBroker) -> Streams:
    """Nothing is missing, and the books are the exchange's, which must stand still."""
    streams = stored(broker)
    for symbol in (BTC, ETH):
        world.check_book(streams, symbol)
    return streams


def gaps(streams: Streams) -> list[kt.Gap]:
    return [event for key in streams.events for event in streams.of(*key) if type(event) is kt.Gap]


@pytest.mark.parametrize("drops_repeats", [True, False])
async def test_lost_acks_and_lost_links_lose_and_double_nothing(autojump_clock: MockClock, drops_repeats: bool) -> None:
    broker = MemoryBroker(latency=(0.001, 0.05), drops_repeats=drops_repeats, seed=5)
    async with open_world() as world, world.client() as client:
        async with publish(client, broker, *REQUESTS) as relay:
            for in_flight in (True, False) * 5:
                await trio.sleep(1)
                broker.lose_acks()
                await trio.sleep(1)
                broker.drop_links(in_flight=in_flight)
            world.exchange.pause()
            await trio.sleep(10)
            assert relay.statistics().takeovers == 1
            assert relay.statistics().connects > 15
        streams = check_streams(world, broker)
        assert not gaps(streams)
        assert all(len(of_key) == 1 for of_key in streams.events.values())
        assert bool(streams.repeats) is not drops_repeats
        assert bool(broker.repeats_dropped) is drops_repeats


async def test_a_broker_that_was_away_gets_all_of_it(autojump_clock: MockClock) -> None:
    """In order, from where it stopped, also if the lease ended meanwhile and nobody else had it."""
    broker = MemoryBroker(lease_ttl=3, latency=(0.001, 0.01))
    async with open_world() as world, world.client() as client:
        async with publish(client, broker, *REQUESTS) as relay:
            await trio.sleep(5)
            broker.seen_by("").refuse(60)
            await trio.sleep(30)
            statistics = relay.statistics()
            assert not statistics.is_owner
            assert not statistics.is_connected
            assert statistics.waiting_events + statistics.unacked_messages > 100
            await trio.sleep(40)
            world.exchange.pause()
            await trio.sleep(1)
            statistics = relay.statistics()
            assert statistics.is_owner
            assert statistics.takeovers == 1
            assert not statistics.waiting_events
        streams = check_streams(world, broker)
        assert not gaps(streams)
        assert all(len(of_key) == 1 for of_key in streams.events.values())
        assert streams.largest > 10  # what had waited was sent in large messages


async def test_what_a_process_is_to_a_shard_is_known_as_soon_as_the_broker_has_said_it(
    autojump_clock: MockClock,
) -> None:
    """Also if that takes long: until then it is no standby, though it is not the owner."""
    broker = MemoryBroker(lease_ttl=60, latency=(1, 1))
    async with open_world() as world, world.client() as one, world.client() as two, trio.open_nursery() as nursery:
        first = await standby(one, broker, "A", nursery)
        await first.wait_placed()
        assert first.is_owner
        second = await standby(two, broker, "B", nursery)
        await second.wait_placed()
        assert not second.is_owner
        for seen_as, relay in {"A": first, "B": second}.items():
            broker.seen_by(seen_as).refuse(100)
            await trio.sleep(5)
            began = trio.current_time()
            await relay.wait_placed()
            assert trio.current_time() - began > 95 + 1
        assert first.is_owner
        assert not second.is_owner
        nursery.cancel_scope.cancel()


async def test_a_standby_takes_over_and_begins_with_the_state(autojump_clock: MockClock) -> None:
    """A killed owner: its lease ends, and within 5 s somebody else publishes."""
    broker = MemoryBroker(lease_ttl=3, latency=(0.001, 0.01))
    async with open_world() as world, world.client() as one, world.client() as two, trio.open_nursery() as nursery:
        first = await standby(one, broker, "A", nursery)
        await first.wait_owner()
        second = await standby(two, broker, "B", nursery)
        await trio.sleep(10)
        assert not second.is_owner
        assert not second.statistics().messages
        broker.seen_by("A").cut(1000)  # as good as killed
        began = trio.current_time()
        await second.wait_owner()
        assert trio.current_time() - began < 5
        await trio.sleep(5)
        assert not first.is_owner
        world.exchange.pause()
        await trio.sleep(1)
        streams = check_streams(world, broker)
        assert not gaps(streams)
        for key, of_key in streams.events.items():
            assert len(of_key) == 2, key
            _, events = of_key.values()
            assert key[0] != "book" or type(events[0]) is kt.BookSnapshot
        nursery.cancel_scope.cancel()


async def test_after_a_brokers_outage_the_owner_goes_on(autojump_clock: MockClock) -> None:
    """Whoever is connected again first: what waits with the owner is worth more than what a standby has."""
    broker = MemoryBroker(lease_ttl=3, latency=(0.001, 0.01))
    async with open_world() as world, world.client() as one, world.client() as two, trio.open_nursery() as nursery:
        first = await standby(one, broker, "A", nursery)
        await first.wait_owner()
        second = await standby(two, broker, "B", nursery)
        for seconds in (0.5, 3.1, 14, 60):
            await trio.sleep(5)
            broker.seen_by("A").refuse(seconds + 0.4)
            broker.seen_by("B").refuse(seconds)
            await trio.sleep(seconds + 10)
            assert first.is_owner
        assert second.statistics().takeovers == 0
        world.exchange.pause()
        await trio.sleep(1)
        streams = check_streams(world, broker)
        assert not gaps(streams)
        assert all(len(of_key) == 1 for of_key in streams.events.values())
        nursery.cancel_scope.cancel()


async def test_an_owner_that_ends_in_a_brokers_outage_leaves_no_hole_in_the_trades(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(lease_ttl=3, latency=(0.001, 0.01))
    async with open_world(rate=100) as world, world.client() as one, world.client() as two:
        async with trio.open_nursery() as nursery:
            first = await standby(one, broker, "A", nursery)
            await first.wait_owner()
            second = await standby(two, broker, "B", nursery)
            await trio.sleep(5)
            broker.seen_by("A").cut(1000)
            broker.seen_by("B").refuse(20)
            await second.wait_owner()
            world.exchange.pause()
            await trio.sleep(5)
            trades = stored(broker).events["trade", BTC]
            assert len(trades) == 2
            first_ids, later_ids = ([trade.trade_id for trade in events] for events in trades.values())
            assert later_ids == list(range(later_ids[0], later_ids[-1] + 1))
            assert later_ids[0] <= first_ids[-1] + 1
            assert len(later_ids) > 100
            nursery.cancel_scope.cancel()


async def test_an_owner_that_leaves_hands_over_at_once(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(lease_ttl=30)
    async with open_world() as world, world.client() as one, world.client() as two, trio.open_nursery() as nursery:
        async with publish(one, broker, *REQUESTS, holder="A") as first:
            await first.wait_owner()
            second = await standby(two, broker, "B", nursery)
            await trio.sleep(5)
        began = trio.current_time()
        await second.wait_owner()
        assert trio.current_time() - began < 0.5
        nursery.cancel_scope.cancel()


async def test_readers_are_told_that_nothing_follows_of_what_a_closed_client_received(
    autojump_clock: MockClock,
) -> None:
    """Once such keys had key frames for ever, as if nothing were missing."""
    broker = MemoryBroker(latency=(0.001, 0.01))
    async with open_world() as world, open_relay(broker, keyframe_every=1) as relay:
        await relay.wait_owner()
        async with world.client() as client:
            await relay.add(client, *REQUESTS)
            await trio.sleep(10)
        await trio.sleep(5)
        closed = gaps(stored(broker))
        assert {(gap.channel, gap.symbol) for gap in closed} == {(one.channel, one.symbol) for one in REQUESTS}
        assert [gap.cause for gap in closed] == [kt.Cause.CLOSED] * len(REQUESTS)
        frames = relay.statistics().key_frames
        await trio.sleep(60)
        assert relay.statistics().key_frames - frames <= 61, "only of what clients tell of themselves"
        async with world.client() as client:
            await relay.add(client, *REQUESTS)
            await trio.sleep(10)
            world.exchange.pause()
            await trio.sleep(1)
            streams = check_streams(world, broker)
        assert len(gaps(streams)) == len(REQUESTS)
        for channel, symbol in {(one.channel, one.symbol) for one in REQUESTS}:
            events = streams.of(str(channel), symbol)
            assert events.index(next(event for event in events if type(event) is kt.Gap)) < len(events) - 1


async def test_readers_are_told_at_once_what_is_published_no_more(autojump_clock: MockClock) -> None:
    """Once they learned of it only from the silence, and had a book that could be read meanwhile."""
    broker = MemoryBroker(latency=(0.001, 0.01))
    book = kt.Book(BTC)
    async with open_world() as world, world.client() as client, publish(client, broker, *REQUESTS) as relay:
        await relay.wait_owner()
        await trio.sleep(5)
        async with kt.open_stream(broker) as reader, reader.subscribe(book) as feed:
            await trio.sleep(5)
            relay.drop(book)
            *events, last = await until_quiet(feed)
            assert type(last) is kt.Gap
            assert (last.cause, last.channel, last.symbol) == (kt.Cause.CLOSED, "book", BTC)
            assert not any(type(event) is kt.Gap for event in events)
            with pytest.raises(kt.BookUnavailable):
                feed.book(BTC)
            await trio.sleep(60)
            assert feed.statistics().buffered == 0  # it is told once
            await relay.add(client, book)
            assert is_start(await feed.receive())
            assert feed.book(BTC).verified


async def test_what_another_client_receives_at_once_goes_on_after_a_gap(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(latency=(0.001, 0.01))
    trades = kt.Trades(BTC)
    async with open_world() as world, open_relay(broker) as relay, world.client() as second:
        await relay.wait_owner()
        async with world.client() as first:
            await relay.add(first, trades, kt.Book(BTC))
            await trio.sleep(10)
            relay.drop(kt.Book(BTC))
            await relay.add(second, kt.Book(BTC))
            await trio.sleep(10)
        await trio.sleep(0.5)
        await relay.add(second, trades)
        await trio.sleep(10)
        told = stored(broker)
    assert {(gap.channel, gap.cause) for gap in gaps(told)} == {("book", kt.Cause.CLOSED), ("trade", kt.Cause.CLOSED)}
    assert len(gaps(told)) == 2
    assert type(told.of("trade", BTC)[-1]) is kt.Trade


async def test_what_two_clients_receive_is_published_once(autojump_clock: MockClock) -> None:
    """Also of the one that had it first, and whose feed goes on."""
    broker = MemoryBroker(latency=(0.001, 0.01))
    both = (kt.Book(BTC), kt.Ticker(BTC))
    async with open_world() as world, open_relay(broker) as relay, world.client() as first, world.client() as second:
        await relay.wait_owner()
        await relay.add(first, *both)
        await trio.sleep(5)
        relay.drop(*both)
        await trio.sleep(1)
        for client in (second, first, second):
            await relay.add(client, *both)
            await trio.sleep(5)
        world.exchange.pause()
        await trio.sleep(1)
        streams = check_book(world, broker)
    for channel in ("book", "ticker"):
        events = [one for one in streams.of(channel, BTC) if type(one) is not kt.Gap and not is_start(one)]
        assert len(events) > 20
        assert len({(one.timestamp, repr(one)) for one in events}) == len(events)
    assert {gap.cause for gap in gaps(streams)} == {kt.Cause.CLOSED}
    assert len(gaps(streams)) == 6


def check_goes_on(streams: Streams, request: kt.Request[Any], since: Streams) -> None:
    """There was one gap more, then the state (where there is one), and more events."""
    key = str(request.channel), request.symbol
    new = streams.of(*key)[len(since.of(*key)) :]
    (index,) = (index for index, event in enumerate(new) if type(event) is kt.Gap)
    assert new[index].cause is kt.Cause.CLOSED
    after = new[index + 1 :]
    assert is_start(after[0]) or request.channel in {"ticker", "trade"}
    assert len(after) > 10 or request == kt.Instruments()
    assert len(streams.frames[key]) - len(since.frames[key]) >= 20


@pytest.mark.parametrize("is_connected", [True, False])
async def test_what_another_client_receives_as_well_goes_on_when_one_is_left(
    autojump_clock: MockClock, is_connected: bool
) -> None:
    """Once it was silent, with the same key frame again and again; also if the one that is left has lost its state."""
    broker = MemoryBroker(latency=(0.001, 0.01))
    found: list[Any] = []
    async with (
        open_world() as world,
        open_relay(broker, keyframe_every=1) as relay,
        world.client() as first,
        trio.open_nursery() as nursery,
    ):
        await relay.wait_owner()
        await relay.add(first, *REQUESTS)
        reader = await nursery.start(reading, broker, found, REQUESTS)
        await trio.sleep(5)
        async with world.client() as second:
            await relay.add(second, *REQUESTS)
            await trio.sleep(5)
            if not is_connected:
                world.exchange.inject(RefuseConnect(times=None))
                world.exchange.inject(Drop(connection=2))
                await trio.sleep(0.5)
            before = stored(broker)
            told = len(found)
        await trio.sleep(30)
        world.exchange.pause()
        await trio.sleep(1)
        streams = check_streams(world, broker)
        for request in REQUESTS:
            check_goes_on(streams, request, before)
        assert not reader.statistics().checksum_failures
        new = [event for event in found[told:] if type(event) is kt.Gap]
        assert sorted((gap.channel, gap.symbol) for gap in new) == sorted((one.channel, one.symbol) for one in REQUESTS)
        assert {gap.cause for gap in new} == {kt.Cause.CLOSED}
        nursery.cancel_scope.cancel()


async def test_what_was_dropped_stays_dropped_when_a_client_is_left(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(latency=(0.001, 0.01))
    async with open_world() as world, open_relay(broker, keyframe_every=1) as relay, world.client() as first:
        await relay.wait_owner()
        await relay.add(first, *REQUESTS)
        async with world.client() as second:
            await relay.add(second, *REQUESTS)
            await trio.sleep(5)
            relay.drop(*REQUESTS)
            await trio.sleep(1)
            before = stored(broker)
        await trio.sleep(10)
        after = stored(broker)
        assert not relay.requests
        for request in REQUESTS:
            key = str(request.channel), request.symbol
            assert after.of(*key) == before.of(*key)
            assert len(after.frames[key]) == len(before.frames[key])
        await relay.add(first, *REQUESTS)
        await trio.sleep(10)
        world.exchange.pause()
        await trio.sleep(1)
        check_streams(world, broker)


async def test_an_owner_with_another_depth_or_interval_is_refused_by_readers(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(latency=(0.001, 0.01))
    wanted = (kt.Book(BTC), kt.Candles(BTC, interval=1), kt.Trades(BTC))
    other = (kt.Book(BTC, depth=25), kt.Candles(BTC, interval=5), kt.Trades(BTC))
    found: list[Any] = []
    async with open_world() as world, world.client() as client, trio.open_nursery() as nursery:
        async with publish(client, broker, *wanted) as relay:
            await relay.wait_owner()
            reader = await nursery.start(reading, broker, found, wanted)
            await trio.sleep(10)
        assert {event.channel for event in found} == {"book", "ohlc", "trade"}
        found.clear()
        async with publish(client, broker, *other):
            await trio.sleep(30)
            assert {(gap.channel, gap.cause) for gap in found if type(gap) is kt.Gap} == {
                ("book", kt.Cause.REFUSED),
                ("ohlc", kt.Cause.REFUSED),
                ("trade", kt.Cause.FAILOVER),
            }
            assert {event.channel for event in found if type(event) is not kt.Gap} == {"trade"}
        found.clear()
        async with publish(client, broker, *wanted):
            await trio.sleep(10)
            assert {(gap.channel, gap.cause) for gap in found if type(gap) is kt.Gap} == {
                (channel, kt.Cause.FAILOVER) for channel in ("book", "ohlc", "trade")
            }
            assert {event.channel for event in found if type(event) is not kt.Gap} == {"book", "ohlc", "trade"}
            assert not reader.statistics().checksum_failures
        nursery.cancel_scope.cancel()


async def reading(
    broker: MemoryBroker,
    found: list[Any],
    requests: Sequence[kt.Request[Any]],
    *,
    task_status: trio.TaskStatus[kt.Client],
) -> None:
    async with kt.open_stream(broker) as client, client.subscribe(*requests) as feed:
        task_status.started(client)
        async for event in feed:
            found.append(event)  # noqa: PERF401 (others look at it while it runs)


def check_book(world: World, broker: MemoryBroker) -> Streams:
    streams = stored(broker)
    world.check_book(streams, BTC)
    return streams


async def test_what_is_dropped_and_added_again_has_its_state(autojump_clock: MockClock) -> None:
    """Once reference data had none after that, and no key frame, for ever: they come whole only once."""
    broker = MemoryBroker(latency=(0.001, 0.01))
    async with open_world() as world, open_relay(broker, keyframe_every=1) as relay, world.client() as client:
        await relay.wait_owner()
        await relay.add(client, *REQUESTS)
        await trio.sleep(5)
        relay.drop(*REQUESTS)
        await trio.sleep(2)
        before = len(stored(broker).frames["instrument", None])
        await relay.add(client, *REQUESTS)
        await relay.add(client, *REQUESTS)
        await trio.sleep(10)
        streams = stored(broker)
    assert len(streams.frames["instrument", None]) >= before + 9
    *_, gap, whole = streams.of("instrument")  # the gap was told at once
    assert type(gap) is kt.Gap
    assert is_start(whole)
    assert whole == msgspec.structs.replace(streams.of("instrument")[0], received_ns=whole.received_ns)


async def test_of_what_a_closed_client_received_a_later_owner_has_no_key_frames(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(latency=(0.001, 0.01))
    async with open_world() as world, open_relay(broker, keyframe_every=1) as relay:
        async with world.client() as client:
            await relay.add(client, *REQUESTS)
            await relay.wait_owner()
            await trio.sleep(10)
        await trio.sleep(5)
        broker.expire_lease(0)
        await trio.sleep(5)
        assert relay.is_owner
        assert relay.statistics().takeovers == 2
        frames = {key: len(found) for key, found in stored(broker).frames.items() if key[0] != "lifecycle"}
        await trio.sleep(20)
        streams = stored(broker)
        assert {key: len(found) for key, found in streams.frames.items() if key[0] != "lifecycle"} == frames
        assert len(streams.producers("trade", BTC)) == 2
        async with world.client() as client:
            await relay.add(client, *REQUESTS)
            await trio.sleep(10)
        streams = stored(broker)
        assert all(len(streams.frames[key]) > count for key, count in frames.items())


async def test_a_client_that_is_left_together_with_its_relay_is_no_gap(autojump_clock: MockClock) -> None:
    """Whoever follows tells one: a graceful end is not two."""
    broker = MemoryBroker(latency=(0.001, 0.01))
    async with open_world() as world, open_relay(broker) as relay, world.client() as client:
        await relay.add(client, *REQUESTS)
        await relay.wait_owner()
        await trio.sleep(10)
    assert len(stored(broker).of("trade", BTC)) > 10
    assert not gaps(stored(broker))


@pytest.mark.parametrize("seconds", [1, 60])
async def test_a_stopped_owner_cannot_publish_another_event(autojump_clock: MockClock, seconds: float) -> None:
    """As by SIGSTOP, for a minute: whatever it was about to send is refused, and it becomes a standby."""
    broker = MemoryBroker(lease_ttl=3, latency=(0.001, 0.01), timeout=100)
    async with open_world(rate=60) as world, world.client() as one, world.client() as two:
        async with trio.open_nursery() as nursery:
            first = await standby(one, broker, "A", nursery)
            await first.wait_owner()
            second = await standby(two, broker, "B", nursery)
            await trio.sleep(5)
            broker.seen_by("A").freeze(seconds)
            await trio.sleep(seconds + 5)
            assert broker.owner(0) == ("A" if seconds == 1 else "B")
            assert first.is_owner is (seconds == 1)
            assert second.is_owner is (seconds == 60)
            if seconds == 60:
                assert first.statistics().fenced == 1
            world.exchange.pause()
            await trio.sleep(1)
            check_streams(world, broker)  # among others: nothing of the earlier producer after the later one's
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("policy", Backpressure)
async def test_a_broker_that_is_too_slow(autojump_clock: MockClock, policy: Backpressure) -> None:
    broker = MemoryBroker(store_seconds=0.5, timeout=100, lease_ttl=60)
    async with open_world(rate=300) as world, world.client() as client:
        async with publish(client, broker, *REQUESTS, policy=policy, capacity=200, drain_timeout=1000) as relay:
            most = 0
            for _ in range(20):
                await trio.sleep(1)
                most = max(most, relay.statistics().waiting_events)
            statistics = relay.statistics()
            assert most < 200 + 1024  # what one call takes from a feed
            assert statistics.unacked_messages <= 256
            assert bool(statistics.conflated) is (policy is Backpressure.CONFLATE)
            assert bool(statistics.held_seconds) is (policy is Backpressure.HOLD)
            broker.slow()
            await trio.sleep(10)
            world.exchange.pause()
            await trio.sleep(30)
        streams = check_streams(world, broker)
        told = gaps(streams)
        assert {gap.cause for gap in told} == ({kt.Cause.OVERFLOW} if policy is Backpressure.CONFLATE else set())
        lost = sum(gap.missed or 0 for gap in told)
        assert lost == relay.statistics().conflated
        check_trades(streams.of("trade", BTC))


def check_trades(events: list[Any]) -> None:
    """Each trade is there, or in a gap."""
    after: int | None = None
    for event in events:
        if type(event) is kt.Gap:
            assert event.after_id == after
            assert event.before_id is not None
            assert after is not None
            assert event.missed == event.before_id - after - 1
            after = event.before_id - 1
        else:
            assert after is None or event.trade_id == after + 1
            after = event.trade_id


async def test_a_resync_is_published_with_a_key_frame_right_after(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(latency=(0.001, 0.01))
    async with open_world() as world, world.client() as client:
        async with publish(client, broker, *REQUESTS, keyframe_every=1000):
            await trio.sleep(5)
            before = {key: len(frames) for key, frames in stored(broker).frames.items()}
            world.exchange.inject(Drop())
            await trio.sleep(5)
            world.exchange.pause()
            await trio.sleep(1)
        streams = check_streams(world, broker)
        lost = {(gap.channel, gap.symbol) for gap in gaps(streams)}
        assert lost == {(request.channel, request.symbol) for request in REQUESTS}
        assert {key for key, frames in streams.frames.items() if len(frames) > before.get(key, 0)} == lost
        changes = [event for event in streams.of("lifecycle") if type(event) is kt.StateChange]
        assert kt.ConnectionState.DISCONNECTED in {change.current for change in changes}


async def test_key_frames_are_the_state_after_the_event_that_they_name(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(latency=(0.001, 0.01))
    async with open_world() as world, world.client() as client:
        async with publish(client, broker, *REQUESTS, keyframe_every=2):
            await trio.sleep(20)
            world.exchange.pause()
            await trio.sleep(20)  # also of idle ones
        streams = stored(broker)
        for key in [("book", BTC), ("book", ETH), ("ticker", BTC), ("trade", BTC), ("instrument", None)]:
            frames = streams.frames[key]
            assert len(frames) > 15
            for frame in frames:
                events = streams.of(*key)[: frame.seq + 1]
                if key[0] == "book":
                    book = kt.OrderBook(10)
                    for event in events:
                        book.apply(event)
                    assert frame.events == [book.snapshot()]
                elif key[0] == "ticker":
                    assert frame.events == events[-1:]
                elif key[0] == "trade":
                    assert frame.events == events[-50:]
        assert (
            streams.frames["lifecycle", None][-1].events
            == [event for event in streams.of("lifecycle") if type(event) is kt.StatusUpdate][-1:]
        )
        assert streams.catalogs > 15


async def test_requests_join_and_leave_while_it_runs(autojump_clock: MockClock) -> None:
    broker = MemoryBroker()
    async with open_relay(broker) as relay, open_world() as world:
        async with world.client() as client:
            await relay.add(client, kt.Book(BTC))
            await relay.wait_owner()
            await trio.sleep(2)
            await relay.add(client, kt.Trades(BTC), kt.Book(ETH))
            with pytest.raises(ValueError, match="cannot be published beside"):
                await relay.add(client, kt.Book(BTC, depth=100))
            with pytest.raises(kt.SubscriptionRejected):
                await relay.add(client, kt.Book("NOT/THERE"))
            for request in (kt.Lifecycle(), kt.Executions(), kt.Balances()):
                with pytest.raises(ValueError, match="cannot be asked for"):
                    await relay.add(client, request)
            await trio.sleep(2)
            assert set(relay.requests) == {kt.Book(BTC), kt.Trades(BTC), kt.Book(ETH)}
            relay.drop(kt.Book(BTC), kt.Ticker(BTC))
            await trio.sleep(1)
            published = stored(broker).of("book", BTC)
            assert published[-1].cause is kt.Cause.CLOSED
            await trio.sleep(2)
            assert stored(broker).of("book", BTC) == published
            assert set(relay.requests) == {kt.Trades(BTC), kt.Book(ETH)}
            subscriptions = client.statistics().subscriptions
            await relay.add(client, kt.Book(BTC))
            assert client.statistics().subscriptions == subscriptions
            await trio.sleep(2)
            async with broker.connect() as link:
                (catalog,) = await link.catalogs()
            assert set(decode_catalog(catalog.data).requests) == {kt.Book(BTC), kt.Trades(BTC), kt.Book(ETH)}
            world.exchange.pause()
            await trio.sleep(2)
            # What came again goes on in its numbers: once it began anew, and readers took it for repeats.
            world.check_book(stored(broker), BTC)
            assert [gap.cause for gap in gaps(stored(broker))] == [kt.Cause.CLOSED]
        assert not relay.statistics().waiting_events


async def test_a_broker_that_is_away_for_long_is_told_of_from_time_to_time(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """An owner tries each second; once each of its attempts was logged."""
    broker = MemoryBroker()
    async with open_relay(broker.seen_by("A")) as relay:
        await relay.wait_owner()
        for _ in range(2):
            broker.seen_by("A").refuse(600)
            await trio.sleep(610)
            assert relay.is_owner
    told = [record for record in caplog.records if getattr(record, "event_name", "") == "broker_lost"]
    assert 2 * (2 + 600 / 40) <= len(told) <= 2 * (2 + 600 / 30)


async def test_a_feed_that_fails_ends_the_block(autojump_clock: MockClock) -> None:
    broker = MemoryBroker()
    async with open_world() as world:
        with pytest.raises(kt.ConnectError, match="1008"):
            async with world.client() as client, publish(client, broker, *REQUESTS):
                await trio.sleep(1)
                world.exchange.inject(Drop(how=DropHow.CLOSE_1008))
                await trio.sleep_forever()
    assert broker.owner(0) is None


async def test_entering_needs_a_broker_unless_told_otherwise(autojump_clock: MockClock) -> None:
    broker = MemoryBroker()
    broker.seen_by("").refuse(60)
    with pytest.raises(kt.ConnectError, match="cannot be reached"):
        async with open_relay(broker):
            pass
    async with open_relay(broker, require_broker=False) as relay:
        assert not relay.is_owner
        await relay.wait_owner()
        assert trio.current_time() < 70
    broker.pause()
    with trio.move_on_after(1) as scope:
        async with open_relay(broker):
            pass
    assert scope.cancelled_caught


async def test_a_broker_that_lets_nobody_publish_ends_the_block(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A right is missing, say: trying again for ever would hide it."""

    async def refuse(*_: object) -> None:
        await trio.sleep(0.1)
        msg = "this user may not write"
        raise kt.ConnectError(msg, retryable=False)

    monkeypatch.setattr("kraken_trio.testing.memory_broker._Link.acquire", refuse)
    async with open_world() as world, world.client() as client:
        with pytest.raises(kt.ConnectError, match="may not write"):
            async with publish(client, MemoryBroker(), *REQUESTS):
                await trio.sleep_forever()


class Unusable:
    """A broker that can be reached, and has no stream, and may not make one."""

    name, stream, lease_ttl = "memory://unusable", "kraken", 3.0

    def __init__(self, *, retryable: bool) -> None:
        self.retryable = retryable
        self.asked = 0

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Any]:
        yield self

    async def acquire(self, shard: int, holder: str) -> None:
        self.asked += 1
        await trio.lowlevel.checkpoint()
        msg = "there is no stream"
        raise kt.ConnectError(msg, retryable=self.retryable)


async def test_a_broker_that_is_of_no_use_ends_the_block(autojump_clock: MockClock) -> None:
    with pytest.raises(kt.ConnectError, match="there is no stream"):
        async with open_relay(cast("Engine", Unusable(retryable=False))):
            await trio.sleep_forever()
    engine = Unusable(retryable=True)
    with trio.move_on_after(60):
        async with open_relay(cast("Engine", engine)):
            await trio.sleep_forever()
    assert 5 < engine.asked < 25  # with a backoff


async def test_leaving_ends_in_time_without_a_broker(autojump_clock: MockClock) -> None:
    broker = MemoryBroker()
    async with open_world() as world, world.client() as client:
        async with publish(client, broker, *REQUESTS, drain_timeout=3) as relay:
            await relay.wait_owner()
            await trio.sleep(5)
            broker.pause()
            await trio.sleep(1)
            began = trio.current_time()
        assert 3 <= trio.current_time() - began <= 4
        with trio.move_on_after(0) as scope:  # likewise if it is cancelled
            async with publish(client, broker.seen_by("B"), *REQUESTS, drain_timeout=3, require_broker=False):
                await trio.sleep_forever()
        assert scope.cancelled_caught


async def test_what_is_too_large_is_left_out(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    broker = MemoryBroker(max_message_bytes=1200)
    async with open_world() as world, world.client() as client:
        async with publish(client, broker, kt.Ticker(BTC), kt.Instruments()) as relay:
            await trio.sleep(10)
            assert relay.statistics().too_large
            assert len(stored(broker).of("ticker", BTC)) > 10
    assert "message_too_large" in {record.event_name for record in caplog.records if hasattr(record, "event_name")}


@pytest.mark.parametrize(
    ("requests", "shards", "words"),
    [
        ((kt.Book(BTC, depth=25), kt.Trades(BTC)), 1, "its owner publishes Book(symbol='BTC/USD', depth=10)"),
        ((kt.Book(BTC), kt.Trades(BTC)), 2, "its owner publishes shard 0 of 1"),
        ((kt.Book(BTC), kt.Trades(ETH)), 1, None),  # symbols come and go
    ],
)
async def test_a_standby_that_would_publish_something_else_says_so(
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
    requests: tuple[kt.Request[Any], ...],
    shards: int,
    words: str | None,
) -> None:
    broker = MemoryBroker()
    async with open_world() as world, world.client() as one, world.client() as two:
        async with publish(one, broker, kt.Book(BTC), kt.Trades(BTC)) as owner:
            await owner.wait_owner()
            await trio.sleep(10)
            async with publish(two, broker, *requests, shards=shards):
                await trio.sleep(10)
    told = [record.getMessage() for record in caplog.records if getattr(record, "event_name", "") == "standby_differs"]
    assert len(told) == (words is not None)
    assert all(str(words) in text for text in told)


async def test_a_catalog_that_cannot_be_read_says_nothing_of_an_owner() -> None:
    broken = Incoming(Subject(0, Kind.CATALOG), b"{}", 0, 1, 0)
    assert catalog_of([broken], 0) is None
    assert catalog_of([broken], 1) is None


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"shard": 1}, ValueError),
        ({"shards": 0}, ValueError),
        ({"policy": "hold"}, TypeError),
        ({"form": "msgpack"}, TypeError),
        ({"keyframe_every": 0}, ValueError),
        ({"capacity": 0}, ValueError),
        ({"drain_timeout": -1}, ValueError),  # once, leaving the block never ended
    ],
)
async def test_wrong_arguments_are_refused(
    autojump_clock: MockClock, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        async with open_relay(MemoryBroker(), **options):
            pass
