"""A client behind a broker: what relays publish comes out as it went in, or a gap says where it does not."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import trio

import kraken_trio as kt
from kraken_trio.testing import MemoryBroker
from tests.broker.pure.relayed import BOOK, BTC, KEYS, REQUESTS, TRADE, Exchange, judge
from tests.client.relaying import SlowToFail, open_relay, open_stream
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

    from kraken_trio.broker.position import Position

ALL = tuple(REQUESTS.values())


async def received(feed: kt.Feed[Any], seconds: float = 1.0) -> list[kt.Event]:
    """What comes until nothing has come for so long."""
    found: list[kt.Event] = []
    while True:
        with trio.move_on_after(seconds):
            found += await feed.receive_many()
            continue
        return found


async def test_a_late_joiner_begins_with_the_present_state_and_gets_what_follows(autojump_clock: MockClock) -> None:
    broker, exchange = MemoryBroker(), Exchange()
    async with open_relay(broker, exchange) as relay:
        await relay.begin()
        await relay.happen(*KEYS, count=3)
        async with open_stream(broker) as client, client.subscribe(*ALL) as feed:
            start = await received(feed)
            assert client.state is kt.ConnectionState.SUBSCRIBED
            assert [type(event) for event in start] == [kt.BookSnapshot, *[kt.Trade] * 4, kt.TickerUpdate]
            assert feed.book(BTC).verified
            await relay.happen(*KEYS, count=2)
            rest = await received(feed)
            assert rest == [event for key in KEYS for event in exchange.history[key][-2:]]
            assert exchange.books[-1].same_levels(
                [(level.price_text, level.qty_text) for level in feed.book(BTC).bids],
                [(level.price_text, level.qty_text) for level in feed.book(BTC).asks],
            )
            now = client.statistics()
            assert now.subscriptions[kt.Book(BTC)].state is kt.SubscriptionState.LIVE
            assert (now.connects, now.attempts, now.feeds, now.events) == (1, 1, 1, len(start) + len(rest))
            assert now.messages["book"] > 0
            judge(exchange, [*start, *rest])
    assert not broker.links


async def test_on_an_idle_stream_a_feed_begins_at_once(autojump_clock: MockClock) -> None:
    broker, exchange = MemoryBroker(), Exchange()
    async with open_relay(broker, exchange) as relay:
        await relay.begin()
        async with open_stream(broker) as client, client.subscribe(kt.Book(BTC)) as feed:
            began = trio.current_time()
            assert isinstance(await feed.receive(), kt.BookSnapshot)
            assert trio.current_time() == began


async def test_a_lost_connection_costs_nothing(autojump_clock: MockClock) -> None:
    broker, exchange = MemoryBroker(), Exchange()
    reader = broker.seen_by("reader")
    async with open_relay(broker.seen_by("relay"), exchange) as relay:
        await relay.begin()
        async with (
            open_stream(reader) as client,
            client.subscribe(*ALL) as feed,
            client.subscribe(kt.Lifecycle()) as states,
        ):
            found = await received(feed)
            reader.refuse(30)
            await relay.happen(*KEYS, count=5)
            assert await received(feed, 20) == []
            assert client.statistics().state in {kt.ConnectionState.DISCONNECTED, kt.ConnectionState.CONNECTING}
            found += await received(feed, 15)
            judge(exchange, found)
            assert not [event for event in found if isinstance(event, kt.Gap)]
            assert [event.received_ns for event in found if isinstance(event, kt.Trade)] == list(range(6))
            assert client.state is kt.ConnectionState.SUBSCRIBED
            changes = [event for event in await received(states) if isinstance(event, kt.StateChange)]
            assert [change.current.value for change in changes][:2] == ["disconnected", "connecting"]
            assert [change.current.value for change in changes][-2:] == ["resyncing", "subscribed"]
            assert client.statistics().losses == 1


async def test_in_a_stream_that_was_made_anew_a_gap_says_so_and_all_of_it_is_read(autojump_clock: MockClock) -> None:
    """Its first messages have the places of others, which were received: once they were left out without a word."""
    broker = MemoryBroker(partitions=2)
    exchange = Exchange()
    async with AsyncExitStack() as stack:
        async with open_relay(broker, exchange) as relay:
            await relay.begin()
            client = await stack.enter_async_context(open_stream(broker))
            feed = await stack.enter_async_context(client.subscribe(kt.Trades(BTC)))
            await relay.happen(*KEYS, count=20)
            await received(feed)
        before = feed.position
        assert before is not None
        broker.remake()
        async with open_relay(broker, exchange) as relay:
            await relay.begin()
            await relay.happen(*KEYS, count=30)
            while_it_ran = await received(feed)
            after = feed.position
            async with open_stream(broker, start=before) as client, client.subscribe(kt.Trades(BTC)) as feed:
                later = await received(feed)
                assert feed.position == after
    for found in (while_it_ran, later):
        assert isinstance(found[0], kt.Gap)
        assert found[0].cause is kt.Cause.EXPIRED
        trades = [event for event in found if not isinstance(event, kt.Gap)]
        assert [trade.received_ns for trade in trades] == list(range(21, 51))
    assert after is not None
    assert {place.log for place in after.places.values()}.isdisjoint(place.log for place in before.places.values())


@pytest.mark.parametrize("overflow", [kt.Overflow.BACKPRESSURE, kt.Overflow.FAIL, kt.Overflow.DROP_OLDEST])
@pytest.mark.parametrize("received_first", [0, 3])
async def test_what_is_dropped_at_the_end_of_a_feed_was_not_received(
    overflow: kt.Overflow, received_first: int, autojump_clock: MockClock
) -> None:
    """Once its position was behind it: who stored that had a hole, and no gap."""
    broker, exchange = MemoryBroker(), Exchange()
    numbers = []
    async with open_relay(broker, exchange) as relay:
        await relay.begin()
        async with open_stream(broker) as client:
            async with client.subscribe(kt.Trades(BTC), capacity=8, overflow=overflow) as feed:
                await received(feed)
                for _ in range(4):
                    await relay.happen(TRADE, count=5)
                await trio.sleep(1)
                if received_first:
                    numbers = [event.received_ns for event in await feed.receive_many(received_first)]
                stored = feed.position
            assert feed.position == stored
        if overflow is kt.Overflow.DROP_OLDEST:
            assert stored is None  # some of what it began with was left out
            return
        async with open_stream(broker, start=stored) as client, client.subscribe(kt.Trades(BTC)) as feed:
            numbers += [event.received_ns for event in await received(feed)]
    assert numbers == list(range(1, 21))


async def test_what_the_broker_has_dropped_meanwhile_is_a_gap_then_a_snapshot(autojump_clock: MockClock) -> None:
    broker, exchange = MemoryBroker(), Exchange()
    reader = broker.seen_by("reader")
    async with open_relay(broker.seen_by("relay"), exchange) as relay:
        await relay.begin()
        async with open_stream(reader) as client, client.subscribe(*ALL) as feed:
            found = await received(feed)
            reader.refuse(3)
            await relay.happen(*KEYS, count=70)
            broker.expire()
            await relay.happen(*KEYS, count=1)
            await relay.frames()
            rest = await received(feed, 8)
            judge(exchange, [*found, *rest])
            gaps = [event for event in rest if isinstance(event, kt.Gap)]
            assert [(gap.cause, gap.channel) for gap in gaps[:3]] == [
                (kt.Cause.EXPIRED, "book"),
                (kt.Cause.EXPIRED, "trade"),
                (kt.Cause.EXPIRED, "ticker"),
            ]
            assert feed.book(BTC).verified
            assert gaps[3:] == [
                kt.Gap(
                    symbol=BTC,
                    channel="trade",
                    cause=kt.Cause.MISSED,
                    detail="trades 501 to 570 are missing",
                    missed=70,
                    after_id=500,
                    before_id=571,
                    epoch=1,
                    received_ns=71,
                )
            ]


async def test_another_producer_is_a_gap_and_a_snapshot(autojump_clock: MockClock) -> None:
    broker, exchange = MemoryBroker(lease_ttl=3), Exchange()
    async with open_relay(broker, exchange) as relay:
        await relay.begin()
        async with open_stream(broker) as client, client.subscribe(*ALL) as feed:
            found = await received(feed)
            await relay.happen(*KEYS, count=3)
            for key in KEYS:
                exchange.happen(key)
            await trio.sleep(4)
            async with open_relay(broker, exchange) as standby:
                await standby.begin()
                await standby.happen(*KEYS)
                found += await received(feed)
            judge(exchange, found)
            gaps = [event for event in found if isinstance(event, kt.Gap)]
            assert [(gap.cause, gap.channel) for gap in gaps] == [
                (kt.Cause.FAILOVER, "book"),
                (kt.Cause.FAILOVER, "trade"),
                (kt.Cause.FAILOVER, "ticker"),
            ]
            assert [event.received_ns for event in found if isinstance(event, kt.Trade)] == list(range(6))
            assert feed.book(BTC).verified
    # What the first one publishes now is refused by the broker: nobody sees it.


async def test_who_is_refused_is_told_what_there_is(autojump_clock: MockClock) -> None:
    broker, exchange = MemoryBroker(), Exchange()
    async with open_stream(broker) as client:
        with pytest.raises(kt.SubscriptionRejected, match="nothing is published here"):
            async with client.subscribe(kt.Book(BTC)):
                pass
        async with open_relay(broker, exchange) as relay:
            await relay.begin()
            with pytest.raises(kt.SubscriptionRejected) as caught:
                async with client.subscribe(kt.Book(BTC, depth=25), kt.Book("ETH/USD"), kt.Trades(BTC)):
                    pass
    assert caught.value.reasons == {
        kt.Book(BTC, depth=25): "it is published as Book(symbol='BTC/USD', depth=10)",
        kt.Book("ETH/USD"): "it is not published; there is Book(symbol='BTC/USD', depth=10) and 2 more",
    }


async def test_a_program_goes_on_where_it_stopped_and_has_everything_once(autojump_clock: MockClock) -> None:
    broker, exchange = MemoryBroker(), Exchange()
    numbers: list[int] = []
    position: Position | None = None
    async with open_relay(broker, exchange) as relay:
        await relay.begin()
        async with open_stream(broker) as client, client.subscribe(kt.Trades(BTC), kt.Book(BTC)) as feed:
            assert feed.position is None
            await received(feed)
            assert feed.position is not None
            await relay.happen(*KEYS, count=10)
            for _ in range(13):  # ten of the book, three trades
                event = await feed.receive()
                numbers += [event.received_ns] if isinstance(event, kt.Trade) else []
            position = feed.position
        assert numbers == [1, 2, 3]
        await relay.happen(*KEYS, count=2)
        for start in (position, str(position)):
            rest = list(numbers)
            async with open_stream(broker, start=start) as client:
                async with client.subscribe(kt.Trades(BTC), kt.Book(BTC)) as feed:
                    assert feed.position == position
                    first = await feed.receive()
                    assert isinstance(first, kt.BookSnapshot)
                    assert first.received_ns == 10
                    rest += [event.received_ns for event in await received(feed) if isinstance(event, kt.Trade)]
            assert rest == list(range(1, 13))
    with pytest.raises(ValueError, match="no position of a feed"):
        async with open_stream(broker, start='{"v":9}'):
            pass
    with pytest.raises(ValueError, match="a position in the stream 'kraken', and this is 'other'"):
        async with open_stream(MemoryBroker("other"), start=position):
            pass


@pytest.mark.parametrize("group", ["", 5])
async def test_a_group_has_a_name(group: Any) -> None:
    with pytest.raises(ValueError, match=f"group={group!r}: the name of a group"):
        async with open_stream(MemoryBroker(), group=group):
            pass


async def test_from_a_time_on(autojump_clock: MockClock) -> None:
    broker, exchange = MemoryBroker(), Exchange()
    async with open_relay(broker, exchange) as relay:
        await relay.begin()
        await relay.happen(*KEYS, count=2)
        await trio.sleep(1)
        await relay.happen(*KEYS, count=2)
        await trio.sleep(1)
        moment = broker.messages()[-1].time_ns + 1
        await relay.happen(*KEYS, count=2)
        async with open_stream(broker, start=moment) as client, client.subscribe(*ALL) as feed:
            found = await received(feed)
    judge(exchange, found)
    trades = [event for event in found if isinstance(event, kt.Trade)]
    assert [(trade.received_ns, trade.snapshot) for trade in trades[-3:]] == [(4, True), (5, False), (6, False)]


async def test_the_exchanges_status_comes_through(autojump_clock: MockClock) -> None:
    broker, exchange = MemoryBroker(), Exchange()
    async with open_relay(broker, exchange) as relay:
        await relay.begin()
        await relay.status("online", 5, is_frame=True)
        async with open_stream(broker) as client, client.subscribe(kt.Lifecycle()) as feed:
            await received(feed)
            assert client.system_status == "online"
            await relay.status("maintenance", 6)
            await relay.status("online", 4, is_frame=True)  # an old one
            await relay.status("maintenance", 7, is_frame=True)
            (event,) = await received(feed)
            assert isinstance(event, kt.StatusUpdate)
            assert (event.system, client.system_status) == ("maintenance", "maintenance")
            async with client.subscribe(kt.Lifecycle()) as late:
                assert await received(late) == [kt.StatusUpdate(system="maintenance", epoch=1, received_ns=7)]
            assert client.state is kt.ConnectionState.SUBSCRIBED


@pytest.mark.parametrize("overflow", [kt.Overflow.DROP_OLDEST, kt.Overflow.CONFLATE])
async def test_a_slow_program_gets_its_own_state(autojump_clock: MockClock, overflow: kt.Overflow) -> None:
    """Rebuilt by the feed's own reader: others may be elsewhere."""
    broker, exchange = MemoryBroker(), Exchange()
    async with open_relay(broker, exchange) as relay:
        await relay.begin()
        async with open_stream(broker) as client, client.subscribe(kt.Book(BTC), capacity=2, overflow=overflow) as feed:
            await trio.lowlevel.checkpoint()
            before = feed.position
            await relay.happen(BOOK, count=50)
            await trio.sleep(1)
            assert feed.position == before
            found = await received(feed)
            assert found[-1].received_ns == 50
            assert feed.book(BTC).verified
            assert feed.position is not None
            await relay.happen(BOOK, count=1)
            assert [event.received_ns for event in await received(feed)] == [51]


async def test_a_program_that_does_not_read_holds_up_nobody_and_is_given_up(autojump_clock: MockClock) -> None:
    broker, exchange = MemoryBroker(), Exchange()
    async with open_relay(broker, exchange) as relay:
        await relay.begin()
        async with open_stream(broker) as client, client.subscribe(kt.Trades(BTC), capacity=3) as slow:
            async with client.subscribe(kt.Trades(BTC)) as quick:
                for _ in range(20):
                    await relay.happen(TRADE, count=5)
                    await trio.sleep(1)
                assert len(await received(quick)) == 100
                assert client.statistics().feeds == 1
            with pytest.raises(kt.ConsumerTooSlow):
                await received(slow)


async def test_a_broker_that_is_not_there(autojump_clock: MockClock) -> None:
    broker = MemoryBroker()
    view = broker.seen_by("reader")
    view.refuse(60)
    with pytest.raises(kt.ConnectError, match="cannot be reached"):
        async with open_stream(view):
            pass
    async with open_stream(view, settings=kt.Settings(require_first_connection=False)) as client:
        assert client.state is not kt.ConnectionState.SUBSCRIBED
        await trio.sleep(1)
        assert client.statistics().next_attempt is not None
        assert await client.wait_for(kt.ConnectionState.SUBSCRIBED) is kt.ConnectionState.SUBSCRIBED
        assert trio.current_time() >= 60


async def test_a_feed_that_begins_when_the_relay_is_gone_learns_of_it(autojump_clock: MockClock) -> None:
    broker, exchange = MemoryBroker(), Exchange()
    async with open_relay(broker, exchange) as relay:
        await relay.begin()
        await relay.frames()
    await trio.sleep(1000)
    async with open_stream(broker) as client, client.subscribe(kt.Book(BTC)) as feed:
        (last,) = await received(feed, 14)
        assert isinstance(last, kt.BookSnapshot)
        assert last.received_ns <= 10, "it tells when that was"
        assert feed.books[BTC].available
        (gap,) = await received(feed, 3)
        assert isinstance(gap, kt.Gap)
        assert gap.cause is kt.Cause.SILENCE
        assert not feed.books[BTC].available
        assert client.state is kt.ConnectionState.RESYNCING


async def test_a_relay_that_is_silent_is_told(autojump_clock: MockClock) -> None:
    """Of a relay that lives there are key frames, even if nothing happens."""
    broker, exchange = MemoryBroker(), Exchange()
    async with open_relay(broker, exchange) as relay:
        await relay.begin()
        async with open_stream(broker) as client, client.subscribe(*ALL) as feed:
            for _ in range(10):
                await trio.sleep(5)
                await relay.frames()
            assert not [event for event in await received(feed) if isinstance(event, kt.Gap)]
            assert client.state is kt.ConnectionState.SUBSCRIBED
            silent = await received(feed, 20)
            assert [(event.cause, event.channel) for event in silent if isinstance(event, kt.Gap)] == [
                (kt.Cause.SILENCE, "book"),
                (kt.Cause.SILENCE, "trade"),
                (kt.Cause.SILENCE, "ticker"),
            ]
            assert len(silent) == 3
            assert not feed.books[BTC].available
            assert client.statistics().state is kt.ConnectionState.RESYNCING
            assert await received(feed, 100) == []
            await relay.happen(TRADE)
            await relay.frames()
            assert [type(event) for event in await received(feed, 5)] == [kt.Trade, kt.BookSnapshot]
            assert client.state is kt.ConnectionState.SUBSCRIBED


async def test_a_relay_that_sends_key_frames_less_often_from_now_on_is_not_silent(autojump_clock: MockClock) -> None:
    broker, exchange = MemoryBroker(), Exchange()
    async with open_relay(broker, exchange) as relay:
        await relay.begin()
        async with open_stream(broker) as client, client.subscribe(*ALL) as feed:
            assert await received(feed)
            for _ in range(4):
                await relay.catalog(ALL, every=30.0)
                await trio.sleep(30)
                await relay.frames()
            assert await received(feed) == []
            assert client.state is kt.ConnectionState.SUBSCRIBED
            silent = await received(feed, 100)
            told = [event for event in silent if isinstance(event, kt.Gap)]
            assert [(gap.cause, "for 90 s" in gap.detail) for gap in told] == [(kt.Cause.SILENCE, True)] * len(ALL)


async def test_only_so_many_feeds(autojump_clock: MockClock) -> None:
    async with open_stream(MemoryBroker(), settings=kt.Settings(max_feeds=1)) as client:
        async with client.subscribe(kt.Lifecycle()):
            with pytest.raises(kt.SubscriptionRejected, match="max_feeds"):
                async with client.subscribe(kt.Lifecycle()):
                    pass


async def test_states_wait_for_a_program_that_is_slow(autojump_clock: MockClock) -> None:
    """Also while there is no connection: what waits beyond the feed's room comes when there is some."""
    broker = MemoryBroker()
    async with open_stream(broker, settings=kt.Settings(stall_limit=1000)) as client:
        async with client.subscribe(kt.Lifecycle(), capacity=1) as feed:
            for _ in range(3):
                broker.drop_links()
                await trio.sleep(20)
            changes = [event for event in await received(feed) if isinstance(event, kt.StateChange)]
            assert [change.current.value for change in changes] == ["disconnected", "connecting", "subscribed"] * 3
            assert all(one.current is two.previous for one, two in pairwise(changes))
        async with client.subscribe(kt.Lifecycle(), capacity=1, overflow=kt.Overflow.FAIL) as feed:
            broker.drop_links()
            await trio.sleep(20)
            with pytest.raises(kt.ConsumerTooSlow):
                await received(feed)
            assert client.statistics().feeds == 0


async def test_a_full_feed_while_the_connection_is_lost(autojump_clock: MockClock) -> None:
    broker, exchange = MemoryBroker(), Exchange()
    reader = broker.seen_by("reader")
    async with open_relay(broker.seen_by("relay"), exchange) as relay:
        await relay.begin()
        settings = kt.Settings(stall_limit=1000)
        async with (
            open_stream(reader, settings=settings) as client,
            client.subscribe(kt.Trades(BTC), kt.Lifecycle(), capacity=2) as feed,
        ):
            await relay.happen(TRADE, count=10)
            await trio.sleep(1)
            reader.refuse(5)
            await trio.sleep(1)
            found = await received(feed, 10)
            await relay.happen(TRADE, count=10)
            found += await received(feed)
            assert [event.received_ns for event in found if isinstance(event, kt.Trade)] == list(range(1, 21))


class Refusing:
    """An engine whose broker lets us in once."""

    name = "refusing://broker/kraken"
    stream = "kraken"
    lease_ttl = 3.0

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self.attempts = 0

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Any]:
        self.attempts += 1
        if self.attempts > 1:
            msg = "the login is wrong"
            raise kt.ConnectError(msg, retryable=False)
        async with self.broker.connect() as link:
            yield link


async def test_a_broker_that_refuses_us_for_good_ends_the_client(autojump_clock: MockClock) -> None:
    broker = MemoryBroker()
    engine = Refusing(broker)
    async with open_stream(engine) as client, client.subscribe(kt.Lifecycle()) as feed:
        broker.drop_links()
        with pytest.raises(kt.ConnectError, match="the login is wrong"):
            await received(feed, 5)
        with pytest.raises(kt.ConnectError, match="the login is wrong"):
            async with client.subscribe(kt.Book(BTC)):
                pass
        assert client.state is kt.ConnectionState.DISCONNECTED
    assert engine.attempts == 2


async def test_leaving_ends_feeds_and_waiters(autojump_clock: MockClock) -> None:
    broker, exchange = MemoryBroker(), Exchange()

    async def wait(client: kt.Client) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await client.wait_for(kt.ConnectionState.CONNECTING)

    async def read(client: kt.Client) -> None:
        async with client.subscribe(kt.Book(BTC), kt.Lifecycle()) as feed:
            assert [type(event) async for event in feed] == [kt.StateChange, kt.BookSnapshot, *[kt.StateChange] * 2]

    async with open_relay(broker, exchange) as relay, trio.open_nursery() as nursery:
        await relay.begin()
        async with open_stream(broker) as client:
            nursery.start_soon(read, client)  # noqa: ASYNC111 (that it ends with the client, and not before, is tested)
            nursery.start_soon(wait, client)  # noqa: ASYNC111 (likewise)
            await trio.sleep(1)
            assert repr(client) == "<Client of memory://broker/kraken: subscribed, epoch 1, 1 wanted>"
        with pytest.raises(trio.ClosedResourceError):
            async with client.subscribe(kt.Book(BTC)):
                pass
        with pytest.raises(trio.ClosedResourceError):
            await client.wait_for(kt.ConnectionState.SUBSCRIBED)


async def test_subscribing_waits_for_the_broker(autojump_clock: MockClock) -> None:
    broker, exchange = MemoryBroker(), Exchange()
    reader = broker.seen_by("reader")
    async with open_relay(broker.seen_by("relay"), exchange) as relay:
        await relay.begin()
        async with open_stream(reader) as client:
            reader.refuse(20)
            await trio.sleep(1)
            async with client.subscribe(kt.Book(BTC)) as feed:
                assert trio.current_time() >= 20
                await relay.frames()  # the last ones are too old
                assert isinstance(await feed.receive(), kt.BookSnapshot)


@pytest.mark.parametrize("milliseconds", range(0, 45, 5))
async def test_subscribing_ends_when_the_client_is_left_meanwhile(autojump_clock: MockClock, milliseconds: int) -> None:
    broker, exchange = MemoryBroker(latency=(0.01, 0.01)), Exchange()
    ended: list[str] = []

    async def subscribe(client: kt.Client) -> None:
        try:
            async with client.subscribe(kt.Book(BTC)) as feed:
                async for _ in feed:
                    pass
            ended.append("feed")
        except trio.ClosedResourceError:
            ended.append("subscribe")

    async with open_relay(broker.seen_by("relay"), exchange) as relay:
        await relay.begin()
        async with trio.open_nursery() as nursery:
            async with open_stream(broker.seen_by("reader")) as client:
                nursery.start_soon(subscribe, client)  # noqa: ASYNC111 (that it ends with the client, and not before, is tested)
                await trio.sleep(milliseconds / 1000)
            await until(lambda: ended, within=10, every=0.001)


async def test_subscribing_goes_on_with_a_connection_that_was_made_before_the_question_failed(
    autojump_clock: MockClock,
) -> None:
    broker, exchange = MemoryBroker(latency=(0.01, 0.01)), Exchange()
    reader = broker.seen_by("reader")

    async def subscribe(client: kt.Client) -> None:
        async with client.subscribe(kt.Book(BTC)):
            pass

    async with open_relay(broker.seen_by("relay"), exchange) as relay:
        await relay.begin()
        async with open_stream(SlowToFail(reader)) as client, client.subscribe(kt.Book(BTC)):
            with trio.fail_after(10):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(subscribe, client)
                    await trio.sleep(0.005)
                    reader.drop_links()
