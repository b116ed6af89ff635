"""The broker in memory does what the seam promises, and its faults do what they say. All on virtual time."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

import kraken_trio as kt
from kraken_trio.broker.messages import decode_lease
from kraken_trio.broker.position import Place
from kraken_trio.broker.seam import BrokerLost, Engine, Fence, Fenced, Link, Start, TooLarge
from kraken_trio.broker.subjects import Kind, Subject
from kraken_trio.testing import MemoryBroker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio.testing import MockClock

    from kraken_trio.broker.seam import Source

BTC, ETH = ("book", "BTC/USD"), ("trade", "ETH/USD")
TTL = 3.0


@attrs.frozen
class Message:
    subject: Subject
    data: bytes
    message_id: str


def message(number: int, key: tuple[str, str] = BTC, kind: Kind = Kind.DATA) -> Message:
    return Message(Subject(0, kind, *key), str(number).encode(), f"{key}.{number}")


def data(*numbers: int) -> list[Message]:
    return [message(number) for number in numbers]


async def connected(stack: AsyncExitStack, engine: Engine) -> Link:
    return await stack.enter_async_context(engine.connect())


async def owner(link: Link, holder: str = "A") -> Fence:
    while True:
        fence = await link.acquire(0, holder)
        if fence is not None:
            return fence
        await trio.sleep(0.1)


async def numbers(source: Source, count: int) -> list[int]:
    """The next messages."""
    found: list[int] = []
    while len(found) < count:
        found += [int(one.data) for one in await source.receive()]
    return found


async def rest(source: Source) -> list[int]:
    found: list[int] = []
    with trio.move_on_after(30):
        while True:
            found += [int(one.data) for one in await source.receive()]
    return found


async def fails(link: Link, fence: Fence, messages: Sequence[Message]) -> None:
    with pytest.raises(BrokerLost):
        await link.publish(fence, messages)


async def everything(engine: Engine, keys: Sequence[tuple[str, str]] = (BTC,)) -> list[int]:
    async with engine.connect() as link, link.read(keys, Start(time_ns=0), back=0) as source:
        return await rest(source)


@pytest.mark.parametrize("partitions", [1, 3])
async def test_what_is_published_is_read_in_order(autojump_clock: MockClock, partitions: int) -> None:
    broker = MemoryBroker(partitions=partitions, latency=(0.01, 0.5), seed=3)
    async with AsyncExitStack() as stack:
        link = await connected(stack, broker)
        fence = await owner(link)
        async with link.read([BTC, ETH], Start(), back=0) as source:
            assert set(source.taken.partition_of) == ({BTC, ETH} if partitions > 1 else set())
            await link.publish(fence, data(*range(300)))
            await link.publish(fence, [message(7, ETH), message(8, ETH, Kind.KEY), message(9, ("book", "X/Y"))])
            found = await rest(source)
        incoming = broker.messages(Kind.DATA, Kind.KEY)
        assert [int(one.data) for one in incoming if one.subject.key == BTC] == list(range(300))
        assert sorted(found) == sorted([*range(300), 7, 8])
        if partitions == 1:
            assert found == [*range(300), 7, 8]
        # As NATS and Kafka count.
        lowest = 1 if partitions == 1 else 0
        for partition in {one.partition for one in broker.messages()}:
            offsets = [one.offset for one in broker.messages() if one.partition == partition]
            assert offsets == list(range(lowest, lowest + len(offsets)))


async def test_a_reader_begins_where_it_wants_and_reads_back_for_the_state(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(epoch_ns=0)
    async with AsyncExitStack() as stack:
        link = await connected(stack, broker)
        fence = await owner(link)
        for number in range(10):  # stored at the seconds 0 to 9, with the offsets 2 to 11
            await link.publish(fence, data(number))
            await trio.sleep(1)
        for start, first, starts in [
            (Start(), 7, 12),
            (Start(time_ns=int(4.5e9)), 2, 7),
            (Start(places={0: Place(6, 3)}), 1, 6),
            (Start(places={}), 7, 12),
        ]:
            async with link.read([BTC], start, back=2) as source:
                assert source.taken.starts[0].offset == starts
                assert not source.taken.expired
                assert not source.reached
                assert await numbers(source, 10 - first) == list(range(first, 10))
                assert source.reached == {0}


async def test_a_reader_is_told_that_it_has_reached_its_start(autojump_clock: MockClock) -> None:
    """Also where nothing is stored before it, or nothing of what it wants."""
    broker = MemoryBroker(partitions=4, latency=(0.1, 2))
    async with AsyncExitStack() as stack:
        link = await connected(stack, broker)
        fence = await owner(link)
        await link.publish(fence, [message(1), message(2), message(3, ETH)])
        async with link.read([BTC], Start(), back=60) as source:
            found: list[int] = []
            while 1:
                received = await source.receive()
                found += [int(one.data) for one in received]
                if source.taken.partition_of[BTC] in source.reached:
                    break
                assert found != [1, 2]
            assert found == [1, 2]
            while len(source.reached) < 4:
                assert not await source.receive()


async def test_what_has_expired_is_told(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(max_messages=64)
    async with AsyncExitStack() as stack:
        link = await connected(stack, broker)
        fence = await owner(link)
        await link.publish(fence, data(*range(100)))
        kept = await everything(broker)
        assert 60 <= len(kept) <= 64
        assert kept == list(range(100 - len(kept), 100))
        broker.expire(keep=5)
        for start in (Start(places={0: Place(50)}), Start(time_ns=0)):
            async with link.read([BTC], start, back=60) as source:
                assert source.taken.expired == {0}
                assert await rest(source) == [95, 96, 97, 98, 99]
        async with link.read([BTC], Start(places={0: Place(99)}), back=60) as source:
            assert not source.taken.expired


async def test_a_shard_has_one_owner_and_an_earlier_one_publishes_nothing(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(lease_ttl=TTL)
    async with AsyncExitStack() as stack:
        first, second = await connected(stack, broker.seen_by("A")), await connected(stack, broker.seen_by("B"))
        fence = await owner(first)
        assert await second.acquire(0, "B") is None
        assert await second.acquire(1, "B") is not None  # another shard
        await trio.sleep(2 * TTL / 3)
        await first.renew(fence)
        await trio.sleep(2 * TTL / 3)
        assert broker.owner(0) == "A"
        assert await second.acquire(0, "B") is None
        await trio.sleep(TTL)
        assert broker.owner(0) is None
        later = await owner(second, "B")
        assert later.producer > fence.producer
        assert broker.owner(0) == "B"
        with pytest.raises(Fenced):
            await first.publish(fence, data(1))
        with pytest.raises(Fenced):
            await first.renew(fence)
        await first.release(fence)  # says nothing
        assert broker.owner(0) == "B"
        await second.publish(later, data(2))
        await second.release(later)
        assert (await owner(first)).producer > later.producer
        assert await everything(broker) == [2]
        assert broker.fenced == 1
        holders = [decode_lease(one.data).holder for one in broker.messages(Kind.LEASE) if one.subject.shard == 0]
        assert holders == ["A", "B", "A"]


async def test_what_arrives_after_a_takeover_is_refused(autojump_clock: MockClock) -> None:
    """However long it was on its way, and if its sender has given up."""
    broker = MemoryBroker(lease_ttl=TTL, timeout=1)
    async with AsyncExitStack() as stack:
        slow, second = broker.seen_by("A"), await connected(stack, broker.seen_by("B"))
        first = await connected(stack, slow)
        fence = await owner(first)
        slow.cut(60)
        with pytest.raises(BrokerLost):
            await first.publish(fence, data(1, 2))
        later = await owner(second, "B")
        await second.publish(later, data(3))
        await trio.sleep(60)
        assert await everything(broker) == [3]
        assert broker.fenced == 2


async def test_a_stopped_program_sends_when_it_goes_on(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(lease_ttl=TTL, timeout=1)
    async with AsyncExitStack() as stack:
        stopped = broker.seen_by("A")
        first, second = await connected(stack, stopped), await connected(stack, broker.seen_by("B"))
        fence = await owner(first)
        stopped.freeze(60)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(owner, second, "B")
            with pytest.raises(Fenced):
                await first.publish(fence, data(1))
        assert trio.current_time() == began + 60
        assert await everything(broker) == []


@pytest.mark.parametrize("drops_repeats", [True, False])
async def test_a_lost_ack_is_a_stored_message(autojump_clock: MockClock, drops_repeats: bool) -> None:
    broker = MemoryBroker(drops_repeats=drops_repeats)
    async with AsyncExitStack() as stack:
        link = await connected(stack, broker)
        fence = await owner(link)
        await link.publish(fence, data(1))
        broker.lose_acks()
        with pytest.raises(BrokerLost) as error:
            await link.publish(fence, data(2, 3))
        assert error.value.acked == 0
        with pytest.raises(BrokerLost):  # of no more use
            await link.renew(fence)
        assert broker.links == 1
        again = await connected(stack, broker)
        await again.publish(fence, data(2, 3))
        assert await everything(broker) == ([1, 2, 3] if drops_repeats else [1, 2, 2, 3])
        assert broker.repeats_dropped == drops_repeats
        assert max(broker.message_ids().values()) == 2 - drops_repeats
        await trio.sleep(121)  # an id is not remembered for ever
        await again.publish(fence, data(1))
        assert broker.message_ids()[data(1)[0].message_id] == 2


async def test_held_acks_come_when_they_are_released(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(timeout=100)
    async with AsyncExitStack() as stack:
        link = await connected(stack, broker)
        fence = await owner(link)
        broker.hold_acks()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.publish, fence, data(1, 2))
            await trio.sleep(50)
            assert await everything(broker) == [1, 2]
            broker.release_acks()
        broker.hold_acks()
        with pytest.raises(BrokerLost, match="no answer for 100 s"):
            await link.publish(fence, data(3))


async def test_a_paused_broker_does_nothing_and_its_leases_age(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(lease_ttl=TTL, timeout=10)
    async with AsyncExitStack() as stack:
        link = await connected(stack, broker)
        fence = await owner(link)
        broker.pause()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.publish, fence, data(1))
            await trio.sleep(5)
            assert not broker.messages(Kind.DATA)
            broker.resume()
        assert [int(one.data) for one in broker.messages(Kind.DATA)] == [1]
        assert broker.owner(0) is None
        broker.pause(60)
        with pytest.raises(BrokerLost, match="no answer for 10 s"):
            await link.renew(fence)
        with pytest.raises(kt.ConnectError, match="cannot be reached"):
            await connected(stack, broker)
        await trio.sleep(60)
        await connected(stack, broker)


async def test_a_slow_broker_stores_one_after_the_other(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(store_seconds=0.5, lease_ttl=100, timeout=2)
    async with AsyncExitStack() as stack:
        link, other = await connected(stack, broker), await connected(stack, broker)
        fence = await owner(link)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.publish, fence, data(*range(20)))
            await trio.sleep(1)
            await other.renew(fence)
            assert trio.current_time() == began + 1
        assert trio.current_time() == began + 10
        assert await everything(broker) == list(range(20))


async def test_links_break_and_are_refused(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(latency=(1, 1))
    engine = broker.seen_by("A")
    async with AsyncExitStack() as stack:
        link = await connected(stack, engine)
        fence = await owner(link)
        for in_flight in (False, True):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fails, link, fence, data(int(in_flight)))
                await trio.sleep(0.5)
                broker.drop_links(in_flight=in_flight)
            link = await connected(stack, engine)
        assert await everything(broker) == [1]
        engine.refuse(10)
        with pytest.raises(kt.ConnectError, match="refused"):
            await connected(stack, engine)
        await connected(stack, broker.seen_by("B"))
        engine.heal()
        await connected(stack, engine)


async def test_a_source_is_lost_with_its_link_and_cancelling_loses_nothing(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(latency=(0.1, 0.3))
    engine = broker.seen_by("reader")
    async with AsyncExitStack() as stack:
        link, reader = await connected(stack, broker), await connected(stack, engine)
        fence = await owner(link)
        async with reader.read([BTC], Start(), back=0) as source:
            found: list[int] = []
            async with trio.open_nursery() as nursery:
                nursery.start_soon(link.publish, fence, data(*range(50)))
                while len(found) < 50:
                    with trio.move_on_after(0.05):
                        found += await numbers(source, 1)
            assert found == list(range(50))
            engine.cut(100)
            began = trio.current_time()
            with pytest.raises(BrokerLost):
                await source.receive()
            assert trio.current_time() == began + 5
    assert not broker.links
    with pytest.raises(BrokerLost, match="closed"):
        await link.catalogs()


async def test_a_message_that_is_too_large_is_refused_and_those_before_it_are_stored(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(max_message_bytes=3)
    async with AsyncExitStack() as stack:
        link = await connected(stack, broker)
        fence = await owner(link)
        with pytest.raises(TooLarge, match="a message of 4 bytes, and the broker takes 3") as error:
            await link.publish(fence, data(1, 2, 1000, 3))
        assert error.value.acked == 2
        assert await everything(broker) == [1, 2]


async def test_the_newest_catalog_of_each_shard_is_kept(autojump_clock: MockClock) -> None:
    broker = MemoryBroker(partitions=2)
    async with AsyncExitStack() as stack:
        link = await connected(stack, broker)
        for shard in (0, 1):
            fence = await link.acquire(shard, "A")
            assert fence is not None
            for number in (1, 2):
                one = Message(Subject(shard, Kind.CATALOG), str(number).encode(), f"{shard}.{number}")
                await link.publish(fence, [one])
        broker.expire()
        assert [(one.subject.shard, one.data) for one in await link.catalogs()] == [(0, b"2"), (1, b"2")]
        assert "0 messages, 1 links, leases of shards [0, 1]" in repr(broker)
        assert "1 links" in repr(broker.seen_by(""))


async def test_its_clock_may_be_another(autojump_clock: MockClock) -> None:
    """A lease ends when the broker thinks so."""
    broker = MemoryBroker(lease_ttl=TTL, clock_rate=2, epoch_ns=0)
    async with AsyncExitStack() as stack:
        link = await connected(stack, broker)
        fence = await owner(link)
        await trio.sleep(TTL / 2)
        assert broker.owner(0) is None
        await link.publish(fence, data(1))
        assert broker.messages(Kind.DATA)[0].time_ns == int(TTL * 1e9)
        await link.renew(fence)  # nobody else has had it
        assert broker.owner(0) == "A"
        broker.expire_lease(0)
        with pytest.raises(Fenced):
            await link.renew(fence)


@pytest.mark.parametrize("wrong", [{"partitions": 0}, {"latency": (-1, 0)}, {"lease_ttl": 0}, {"max_messages": 0}])
def test_wrong_arguments_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MemoryBroker(**wrong)  # type: ignore[arg-type]
