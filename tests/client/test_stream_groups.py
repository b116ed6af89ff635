"""Consumer groups: members share the symbols, and nothing is lost or doubled when they come and go."""

from __future__ import annotations

import gc
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import pytest
import trio

import kraken_trio as kt
from kraken_trio.broker.messages import Batch, Catalog, KeyFrame, encode
from kraken_trio.broker.subjects import Kind, Subject
from kraken_trio.runtime.parts import Stream
from kraken_trio.testing import MemoryBroker
from tests.broker.pure.relayed import TRADE, Exchange
from tests.client.relaying import Outgoing, SlowToFail, open_stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from trio.testing import MockClock

    from kraken_trio.broker.seam import Fence, Link

SYMBOLS = [f"S{number}/USD" for number in range(20)]
REQUESTS = [kt.Trades(symbol) for symbol in SYMBOLS]


class Relay:
    """Publishes trades of many symbols: number n of each is its n-th."""

    def __init__(self, link: Link, fence: Fence, symbols: Sequence[str] = SYMBOLS) -> None:
        self.link, self.fence = link, fence
        self.counts = dict.fromkeys(symbols, 0)
        self.trades: dict[str, list[kt.Trade]] = {symbol: [] for symbol in symbols}
        self._exchange = Exchange()
        self._sent = 0

    async def send(self, subject: Subject, message: Any) -> None:
        self._sent += 1
        await self.link.publish(self.fence, [Outgoing(subject, encode(message), str(self._sent))])

    async def begin(self) -> None:
        catalog = Catalog(
            producer=self.fence.producer,
            shard=0,
            shards=1,
            keyframe_every=5.0,
            requests=tuple([kt.Trades(symbol) for symbol in self.counts]),
        )
        await self.send(Subject(0, Kind.CATALOG), catalog)

    async def keep_up(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        while True:
            await self.frames()
            task_status.started()
            task_status = trio.TASK_STATUS_IGNORED
            await trio.sleep(5)

    async def trade(self, symbol: str, count: int) -> None:
        number = self.counts[symbol]
        while len(self._exchange.history[TRADE]) <= number + count:
            self._exchange.happen(TRADE)
        events = [
            msgspec.structs.replace(self._exchange.history[TRADE][number + index], symbol=symbol)
            for index in range(count)
        ]
        common: Any = {"producer": self.fence.producer, "channel": "trade", "symbol": symbol}
        await self.send(Subject(0, Kind.DATA, "trade", symbol), Batch(**common, seq=number, events=events))
        self.trades[symbol] += events
        self.counts[symbol] += count

    async def frames(self) -> None:
        for symbol, trades in self.trades.items():
            frame = KeyFrame(
                producer=self.fence.producer,
                seq=self.counts[symbol] - 1,
                channel="trade",
                symbol=symbol,
                request=kt.Trades(symbol),
                events=trades[-50:],
                marks={},
            )
            await self.send(Subject(0, Kind.KEY, "trade", symbol), frame)


@asynccontextmanager
async def open_relay(broker: MemoryBroker, symbols: Sequence[str] = SYMBOLS) -> AsyncIterator[Relay]:
    async with broker.connect() as link:
        fence = await link.acquire(0, "test")
        assert fence is not None
        relay = Relay(link, fence, symbols)
        await relay.begin()
        async with trio.open_nursery() as nursery:
            await nursery.start(relay.keep_up)
            yield relay
            nursery.cancel_scope.cancel()


@attrs.define
class Member:
    """A program of the group. What it has done is kept apart from what it has received."""

    broker: MemoryBroker
    number: int
    random: Random
    done: list[tuple[str, int]]
    """Of all members."""
    requests: Sequence[kt.Trades] = REQUESTS
    symbols: set[str] = attrs.Factory(set)
    gaps: list[kt.Gap] = attrs.Factory(list)
    scope: trio.CancelScope = attrs.Factory(trio.CancelScope)
    leaving: bool = False

    async def run(self) -> None:
        jitter = (self.number + 1) / 1000
        with self.scope:
            async with (
                open_stream(self.broker.seen_by(str(self.number)), group="g", jitter=lambda: jitter) as client,
                client.subscribe(*self.requests) as feed,
            ):
                while not self.leaving:
                    events: list[Any] = []
                    with trio.move_on_after(0.5):
                        events = await feed.receive_many(self.random.randint(1, 20))
                    if self.random.random() < 0.1:
                        await trio.sleep(0.3)
                    # Both at once, as with a transaction: what is received is done, and committed.
                    for event in events:
                        if isinstance(event, kt.Trade):
                            self.done.append((event.symbol, event.received_ns))
                            self.symbols.add(event.symbol)
                        elif isinstance(event, kt.Gap):
                            self.gaps.append(event)
                    await feed.commit()
                assert feed.position is None


@asynccontextmanager
async def running(
    broker: MemoryBroker, count: int, done: list[tuple[str, int]], symbols: Sequence[str] = SYMBOLS
) -> AsyncIterator[list[Member]]:
    """So many members, until the block is left; then they leave the group."""
    requests = [kt.Trades(symbol) for symbol in symbols]
    members = [Member(broker, number, Random(number), done, requests) for number in range(count)]
    async with trio.open_nursery() as nursery:
        for member in members:
            nursery.start_soon(member.run)
        yield members
        for member in members:
            member.leaving = True


@pytest.mark.parametrize("seed", range(2))
async def test_members_come_and_go_and_every_trade_is_done_once(autojump_clock: MockClock, seed: int) -> None:
    random, broker = Random(seed), MemoryBroker(lease_ttl=1e9)
    done: list[tuple[str, int]] = []
    members = [Member(broker, number, random, done) for number in range(4)]
    async with open_relay(broker) as relay, trio.open_nursery() as nursery:

        async def trade(seconds: float) -> None:
            until = trio.current_time() + seconds
            while trio.current_time() < until:
                await relay.trade(random.choice(SYMBOLS), random.randint(1, 3))
                await trio.sleep(0.1)
            await relay.frames()

        nursery.start_soon(members[0].run)
        await trio.sleep(3)
        await trade(10)
        nursery.start_soon(members[1].run)
        nursery.start_soon(members[2].run)
        await trade(8)
        members[0].leaving = True
        await trade(10)
        nursery.start_soon(members[3].run)
        broker.seen_by("1").drop_links()
        await trade(10)
        await trio.sleep(20)
        for member in members:
            member.leaving = True
    assert sorted(done) == sorted((symbol, number) for symbol, count in relay.counts.items() for number in range(count))
    for symbol in SYMBOLS:  # in order, whoever has done it
        numbers = [number for name, number in done if name == symbol]
        assert numbers == sorted(numbers)
    assert all(member.symbols for member in members)
    # Who had a symbol before is told where the rest goes.
    gaps = [gap for member in members for gap in member.gaps]
    assert {(gap.cause, gap.detail) for gap in gaps} == {
        (kt.Cause.FAILOVER, "another member of the group reads this from here on")
    }


async def test_after_a_crash_others_go_on_at_the_last_commit(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(lease_ttl=1e9)
    done: list[tuple[str, int]] = []
    async with open_relay(broker) as relay, running(broker, 2, done) as members:
        await trio.sleep(10)
        for symbol in SYMBOLS:
            await relay.trade(symbol, 2)
        await trio.sleep(5)
        assert all(member.symbols for member in members)
        # Gone without a word: its link takes nothing with it.
        broker.seen_by("0").refuse(1000)
        members[0].scope.cancel()
        for symbol in SYMBOLS:
            await relay.trade(symbol, 2)
        await relay.frames()
        await trio.sleep(15)
    assert sorted(done) == sorted((symbol, number) for symbol in SYMBOLS for number in range(4))


async def test_who_leaves_in_order_is_followed_at_once(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(lease_ttl=1e9)
    async with open_relay(broker) as relay:
        for number in range(4):
            began = trio.current_time()
            async with open_stream(broker, group="g", jitter=lambda number=number: number / 7) as client:
                async with client.subscribe(*REQUESTS) as feed:
                    await trio.sleep(0.1 if number else 3)  # the first one begins with what is published then
                    for symbol in SYMBOLS:
                        await relay.trade(symbol, 1)
                    events: list[Any] = []
                    while len(events) < len(SYMBOLS):
                        events += await feed.receive_many()
                    await feed.commit()
                    assert [event.received_ns for event in events] == [number] * len(SYMBOLS)
            assert trio.current_time() - began < (1.5 if number else 5.0)


async def test_a_member_that_was_stopped_for_a_while_goes_on(autojump_clock: MockClock) -> None:
    """As with SIGSTOP: others have taken its symbols when it wakes, and it takes part again."""
    broker = MemoryBroker(lease_ttl=1e9, timeout=1e9)
    done: list[tuple[str, int]] = []
    async with open_relay(broker) as relay, running(broker, 3, done):
        await trio.sleep(10)
        for _ in range(4):
            for symbol in SYMBOLS:
                await relay.trade(symbol, 1)
            broker.seen_by("0").freeze(9)
            for _ in range(9):
                await trio.sleep(1)
                for symbol in SYMBOLS:
                    await relay.trade(symbol, 1)
            await relay.frames()
            await trio.sleep(10)
    # What it had received and not committed may come twice; nothing is missing.
    assert set(done) == {(symbol, number) for symbol, count in relay.counts.items() for number in range(count)}
    assert len(done) - len(set(done)) < 4 * len(SYMBOLS)


async def test_who_is_gone_before_its_first_commit_is_followed_from_where_it_began(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(lease_ttl=1e9, timeout=1e9, latency=(0.02, 0.02))
    received: list[Any] = []

    async def first(*, task_status: trio.TaskStatus[None]) -> None:
        async with open_stream(broker.seen_by("first"), group="g") as client, client.subscribe(*REQUESTS) as feed:
            task_status.started()
            while len(received) < len(SYMBOLS):
                received.extend(await feed.receive_many())
            broker.seen_by("first").freeze(1e6)

    async with open_relay(broker) as relay, trio.open_nursery() as nursery:
        await nursery.start(first)
        await trio.sleep(0.1)
        for symbol in SYMBOLS:
            await relay.trade(symbol, 1)
        await trio.sleep(1)
        assert len(received) == len(SYMBOLS)
        async with (
            open_stream(broker.seen_by("second"), group="g", jitter=lambda: 0.5) as client,
            client.subscribe(*REQUESTS) as feed,
        ):
            await trio.sleep(10)
            await relay.trade(SYMBOLS[0], 1)
            again: list[Any] = []
            while not again or again[-1].received_ns != 1:
                again += await feed.receive_many(1)
        assert sorted((trade.symbol, trade.received_ns) for trade in again[:-1]) == sorted(
            dict.fromkeys(SYMBOLS, 0).items()
        )
        nursery.cancel_scope.cancel()


async def test_members_that_are_far_from_the_broker_are_not_taken_for_gone(autojump_clock: MockClock) -> None:
    """They have much to do between two beats."""
    symbols = [f"S{number}/USD" for number in range(60)]
    broker = MemoryBroker(lease_ttl=1e9, latency=(0.15, 0.15))
    done: list[tuple[str, int]] = []
    async with open_relay(broker, symbols) as relay, running(broker, 2, done, symbols) as members:
        await trio.sleep(100)
        for _ in range(3):
            for symbol in symbols:
                await relay.trade(symbol, 1)
            await trio.sleep(5)
        await trio.sleep(50)
        assert not [gap for member in members for gap in member.gaps if gap.cause is kt.Cause.FAILOVER]
    assert sorted(done) == sorted((symbol, number) for symbol in symbols for number in range(3))


async def test_commits_that_wait_for_the_broker_bring_back_no_earlier_place(autojump_clock: MockClock) -> None:
    """All of them go on when it is there again, in no order."""
    broker = MemoryBroker(lease_ttl=1e9)
    reader = broker.seen_by("reader")
    count = 8
    async with open_relay(broker) as relay:
        async with open_stream(reader, group="g") as client, client.subscribe(*REQUESTS) as feed:
            await trio.sleep(3)
            for _ in range(count):
                await relay.trade(SYMBOLS[0], 1)
            await trio.sleep(1)
            reader.refuse(2)
            await client.wait_for(kt.ConnectionState.DISCONNECTED)
            async with trio.open_nursery() as nursery:
                for number in range(count):
                    assert [event.received_ns for event in await feed.receive_many(1)] == [number]
                    nursery.start_soon(feed.commit)
                    await trio.sleep(0.01)
        await relay.trade(SYMBOLS[0], 1)
        async with open_stream(reader, group="g") as client, client.subscribe(*REQUESTS) as feed:
            assert [event.received_ns for event in await feed.receive_many()] == [count]


async def test_a_commit_goes_on_with_a_connection_that_was_made_before_it_failed(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(lease_ttl=1e9, latency=(0.01, 0.01))
    reader = broker.seen_by("reader")
    async with (
        open_relay(broker) as relay,
        open_stream(SlowToFail(reader), group="g") as client,
        client.subscribe(*REQUESTS) as feed,
    ):
        await trio.sleep(3)
        await relay.trade(SYMBOLS[0], 1)
        await feed.receive()
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(feed.commit)
                await trio.sleep(0.005)
                reader.drop_links()


@pytest.mark.parametrize(("milliseconds", "is_kept"), [(5, False), (25, True)])
async def test_a_commit_that_is_overtaken_by_the_end_of_the_client_says_so(
    autojump_clock: MockClock, milliseconds: int, is_kept: bool
) -> None:
    """It keeps one bucket after the other, and the client is left between two of them."""
    broker = MemoryBroker(lease_ttl=1e9, latency=(0.01, 0.01))
    two = SYMBOLS[:2]
    committing, ended = trio.Event(), trio.Event()
    has_returned = False

    async def read(client: kt.Client) -> None:
        nonlocal has_returned
        async with client.subscribe(*REQUESTS) as feed:
            assert {(await feed.receive()).symbol for _ in two} == set(two)
            committing.set()
            try:
                await feed.commit()
                has_returned = True
            except trio.ClosedResourceError:
                with pytest.raises(trio.ClosedResourceError):
                    await feed.commit()
        ended.set()

    async with open_relay(broker) as relay, trio.open_nursery() as nursery:
        async with open_stream(broker, group="g") as client:
            nursery.start_soon(read, client)  # noqa: ASYNC111 (that it ends with the client, and not before, is tested)
            await trio.sleep(3.5)
            for symbol in two:
                await relay.trade(symbol, 1)
            await committing.wait()
            await trio.sleep(milliseconds / 1000)
        with trio.fail_after(10):
            await ended.wait()
        assert has_returned == is_kept
        async with (
            open_stream(broker, group="g", jitter=lambda: 0.5) as client,
            client.subscribe(*REQUESTS) as feed,
        ):
            await trio.sleep(1)
            await relay.trade(SYMBOLS[2], 1)
            again = [event.symbol for event in await feed.receive_many()]
            assert (again == [SYMBOLS[2]]) == is_kept


async def test_a_commit_while_the_client_is_left_says_so(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(lease_ttl=1e9)
    received, ended = trio.Event(), trio.Event()

    async def read(client: kt.Client) -> None:
        async with client.subscribe(*REQUESTS) as feed:
            await feed.receive()
            received.set()
            await trio.sleep(0.5)
            with pytest.raises(trio.ClosedResourceError):
                await feed.commit()
        ended.set()

    async with open_relay(broker) as relay, trio.open_nursery() as nursery:
        async with open_stream(broker.seen_by("reader"), group="g") as client:
            nursery.start_soon(read, client)  # noqa: ASYNC111 (that it ends with the client, and not before, is tested)
            await trio.sleep(3.5)
            await relay.trade(SYMBOLS[0], 1)
            await received.wait()
            broker.seen_by("reader").cut(30)  # so that leaving takes a while
        await ended.wait()


async def test_what_was_dropped_when_a_feed_ended_is_not_committed(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(lease_ttl=1e9)
    async with open_relay(broker) as relay, open_stream(broker, group="g") as client:
        async with client.subscribe(*REQUESTS) as closed:
            await trio.sleep(3)
            await relay.trade(SYMBOLS[0], 2)
            await closed.receive()
            await closed.commit()
        with pytest.raises(trio.ClosedResourceError, match="no part in the group any more"):
            await closed.commit()
        await trio.sleep(1)
        async with client.subscribe(*REQUESTS, capacity=2, overflow=kt.Overflow.FAIL) as slow:
            assert [event.received_ns for event in await slow.receive_many()] == [1]
            await slow.commit()
            await relay.trade(SYMBOLS[0], 5)
            await trio.sleep(0.1)
            assert [event.received_ns for event in await slow.receive_many(1)] == [2]
            with pytest.raises(kt.ConsumerTooSlow):
                await slow.commit()
        await trio.sleep(1)
        async with client.subscribe(*REQUESTS) as feed:
            assert [event.received_ns for event in await feed.receive_many()] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("trouble", ["refuse", "cut"])
async def test_nothing_is_kept_of_a_feed_that_was_closed_while_the_broker_was_away(
    autojump_clock: MockClock, trouble: str
) -> None:
    def streams() -> int:
        gc.collect()
        return sum(type(one) is Stream for one in gc.get_objects())

    broker = MemoryBroker(lease_ttl=1e9)
    reader = broker.seen_by("reader")
    before = streams()
    async with open_relay(broker), open_stream(reader, group="g") as client:
        for _ in range(3):
            async with client.subscribe(*REQUESTS):
                await trio.sleep(3)
                getattr(reader, trouble)(5)
                await trio.sleep(0.1)
            await trio.sleep(10)
        assert streams() <= before


async def test_what_a_group_is_not(autojump_clock: MockClock) -> None:
    broker = MemoryBroker()
    async with open_relay(broker):
        async with open_stream(broker, group="g") as client, client.subscribe(*REQUESTS):
            with pytest.raises(kt.SubscriptionRejected, match="one feed"):
                async with client.subscribe(REQUESTS[0]):
                    pass
            async with client.subscribe(kt.Lifecycle()):
                pass
        async with open_stream(broker) as client, client.subscribe(REQUESTS[0]) as feed:
            with pytest.raises(RuntimeError, match="only feeds of a group"):
                await feed.commit()
