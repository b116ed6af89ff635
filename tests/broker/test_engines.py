"""The contract of engines: every promise of the seam, for each kind of broker, by one suite."""

from __future__ import annotations

from collections import defaultdict
from contextlib import asynccontextmanager, suppress
from itertools import count, pairwise
from typing import TYPE_CHECKING, Final

import attrs
import pytest
import trio
import trio.testing

import kraken_trio as kt
from kraken_trio.broker.position import Place, Start
from kraken_trio.broker.seam import (
    BrokerLost,
    Fence,
    Fenced,
    Incoming,
    KeepsRecords,
    Link,
    Record,
    Source,
    TooLarge,
)
from kraken_trio.broker.subjects import Key, Kind, Subject
from kraken_trio.testing import MemoryBroker
from tests.broker.sites import PATIENCE, KafkaSite, MemorySite, NatsClusterSite, NatsSite, Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from kraken_trio.broker.seam import Engine
    from tests.broker.nats_server import NatsServer

BTC: Final = ("book", "BTC/USD")
ETH: Final = ("book", "ETH/USD")
TRADES: Final = ("trades", "BTC/USD")
STATUS: Final = ("lifecycle", None)
KEYS: Final = (BTC, ETH, TRADES, STATUS)
BACK: Final = 60.0
"""Seconds: no test takes longer."""
_streams: Final = count()


@attrs.frozen
class Message:
    subject: Subject
    data: bytes
    message_id: str


def message(key: Key, number: int, *, kind: Kind = Kind.DATA, shard: int = 0, size: int = 0, by: str = "") -> Message:
    data = f"{by}{key[0]} {key[1]} {kind.value} {number}".encode().ljust(size, b".")
    return Message(Subject(shard, kind, *key), data, f"{by}{shard}.{kind.value}.{key[0]}.{key[1]}.{number}")


def messages(numbers: Iterable[int], *, by: str = "") -> list[Message]:
    """Of several keys, in turn."""
    return [message(KEYS[number % len(KEYS)], number, by=by) for number in numbers]


@pytest.fixture(
    params=[
        "memory",
        "memory-partitions",
        "nats",
        pytest.param("kafka", marks=pytest.mark.brokers),
        pytest.param("nats-batches", marks=pytest.mark.brokers),
        pytest.param("nats-cluster", marks=pytest.mark.brokers),
        pytest.param("nats-cluster-one-by-one", marks=pytest.mark.brokers),
    ],
)
def site(request: pytest.FixtureRequest) -> Site:
    if request.param.startswith("nats-cluster"):
        servers: Sequence[NatsServer] = request.getfixturevalue("nats_cluster")
        return NatsClusterSite(servers, f"t{next(_streams)}", is_atomic=request.param == "nats-cluster")
    if request.param in {"nats", "nats-batches"}:
        server: NatsServer = request.getfixturevalue("nats")
        query = "&batches=atomic" if request.param == "nats-batches" else ""
        return NatsSite(server, f"t{next(_streams)}", f"?max_bytes=64MiB{query}")
    if request.param == "kafka":
        return KafkaSite(request.getfixturevalue("kafka"), f"t{next(_streams)}")
    # Leases in real time, as the others' are: shorter ones.
    return MemorySite(MemoryBroker(lease_ttl=0.5, partitions=3 if request.param == "memory-partitions" else 1))


async def own(link: Link, shard: int = 0, holder: str = "A") -> Fence:
    """Become the owner, as soon as that is possible."""
    while True:
        fence = await link.acquire(shard, holder)
        if fence is not None:
            return fence
        await trio.sleep(0.05)


@asynccontextmanager
async def reading(link: Link, start: Start | None = None, keys: Sequence[Key] = KEYS) -> AsyncIterator[Source]:
    async with link.read(keys, start or Start(time_ns=0), back=BACK) as source:
        yield source


async def take(source: Source, size: int) -> list[Incoming]:
    """At least so many."""
    found: list[Incoming] = []
    while len(found) < size:
        found += await source.receive()
    return found


async def take_until(source: Source, ends: Callable[[Incoming], bool]) -> list[Incoming]:
    found: list[Incoming] = []
    while not any(map(ends, found)):
        found += await source.receive()
    return found


async def take_to(source: Source, *last: Message) -> list[Incoming]:
    """Until all of these have come: they may be in several partitions."""
    found: list[Incoming] = []
    missing = {one.data for one in last}
    while missing:
        new = await source.receive()
        missing -= {one.data for one in new}
        found += new
    return found


async def read_to_the_end(engine: Engine, *last: Message) -> tuple[list[Incoming], Source]:
    """The same of all that is stored, as soon as the broker answers: after a crash others may have to lead first."""
    with trio.fail_after(5 * PATIENCE):
        while True:
            with suppress(BrokerLost, kt.ConnectError):
                async with engine.connect() as link, reading(link) as source:
                    return await take_to(source, *last), source
            await trio.sleep(0.1)


def by_key(found: Iterable[Incoming | Message]) -> dict[Key, list[bytes]]:
    sorted_out: dict[Key, list[bytes]] = defaultdict(list)
    for one in found:
        sorted_out[one.subject.key].append(one.data)
    return dict(sorted_out)


def once(found: Iterable[Incoming]) -> list[Incoming]:
    """Without repeats, as a reader takes them: whatever comes again is dropped."""
    first: dict[tuple[Subject, bytes], Incoming] = {}
    for one in found:
        first.setdefault((one.subject, one.data), one)
    return list(first.values())


def check_offsets(found: Sequence[Incoming]) -> None:
    """They grow, within each partition, and times do not go back."""
    for partition in {one.partition for one in found}:
        mine = [one for one in found if one.partition == partition]
        assert all(a.offset < b.offset and a.time_ns <= b.time_ns for a, b in pairwise(mine))


# Publishing, and reading it


async def test_what_is_published_is_read_in_its_order(site: Site) -> None:
    sent = messages(range(200))
    async with site.engine().connect() as link:
        fence = await own(link)
        for first in range(0, 200, 40):
            await link.publish(fence, sent[first : first + 40])
        async with reading(link) as source:
            found = await take(source, len(sent))
    assert by_key(found) == by_key(sent)
    assert {one.subject for one in found} == {one.subject for one in sent}
    check_offsets(found)


async def test_an_empty_window_is_published(site: Site) -> None:
    async with site.engine().connect() as link:
        await link.publish(await own(link), [])


async def test_only_what_was_asked_for_is_read(site: Site) -> None:
    async with site.engine().connect() as link:
        fence = await own(link)
        await link.publish(fence, messages(range(20)))
        await link.publish(fence, [message(BTC, 0, kind=Kind.KEY)])
        async with reading(link, keys=[BTC, TRADES]) as source:
            found = await take(source, 11)
    assert {one.subject.key for one in found} == {BTC, TRADES}
    assert len(found) == 11
    assert [one.subject.kind for one in found if one.subject.kind is not Kind.DATA] == [Kind.KEY]


async def test_all_shards_are_read(site: Site) -> None:
    async with site.engine().connect() as link:
        for shard in range(3):
            await link.publish(await own(link, shard), [message(BTC, shard, shard=shard)])
        async with reading(link) as source:
            found = await take(source, 3)
    assert [one.subject.shard for one in found] == [0, 1, 2]


async def test_any_symbol_and_any_bytes(site: Site) -> None:
    keys = [("book", "A B.C*D>E/é%☃"), ("book", "_"), ("a.b", "x"), ("key", "book")]
    async with site.engine().connect() as link:
        fence = await own(link)
        sent = [message(key, number) for number, key in enumerate(keys)]
        sent += [Message(Subject(0, Kind.DATA, *keys[0]), bytes(range(256)), "bytes")]
        await link.publish(fence, sent)
        async with reading(link, keys=keys) as source:
            assert by_key(await take(source, 5)) == by_key(sent)


async def test_a_message_that_is_too_large_is_told_from_the_others(site: Site) -> None:
    async with site.engine().connect() as link:
        fence = await own(link)
        window = [message(BTC, 0), message(BTC, 1), message(BTC, 2, size=9 << 20), message(BTC, 3)]
        with pytest.raises(TooLarge) as caught:
            await link.publish(fence, window)
        assert caught.value.acked == 2
        await link.publish(fence, [window[3]])
        async with reading(link) as source:
            found = await take(source, 3)
    assert by_key(found) == by_key([window[0], window[1], window[3]])


async def test_repeats_are_dropped_or_stored_again_whole(site: Site) -> None:
    sent = messages(range(8))
    async with site.engine().connect() as link:
        fence = await own(link)
        await link.publish(fence, sent)
        await link.publish(fence, [*sent, *messages(range(8, 12))])
        async with reading(link) as source:
            found = await take_to(source, *messages(range(8, 12)))
    assert by_key(once(found)) == by_key(messages(range(12)))


# Owners


async def test_a_shard_has_one_owner(site: Site) -> None:
    async with site.engine("A").connect() as a, site.engine("B").connect() as b:
        fence = await a.acquire(0, "A")
        assert fence is not None
        assert await b.acquire(0, "B") is None
        other = await b.acquire(1, "B")
        assert other is not None
        assert (fence.shard, other.shard) == (0, 1)
        assert other.producer > fence.producer


async def test_who_renews_stays_the_owner(site: Site) -> None:
    async with site.engine("A").connect() as a, site.engine("B").connect() as b:
        fence = await own(a)
        end = trio.current_time() + 1.5 * site.lease_ttl
        while trio.current_time() < end:
            await a.renew(fence)
            assert await b.acquire(0, "B") is None
            await trio.sleep(site.lease_ttl / 6)
        await a.publish(fence, messages(range(4)))


async def test_who_does_not_renew_is_followed(site: Site) -> None:
    async with site.engine("A").connect() as a, site.engine("B").connect() as b:
        began = trio.current_time()
        old = await own(a)
        await a.publish(old, messages(range(4), by="A"))
        new = await own(b, holder="B")
        # A broker may look at leases now and then only; but nobody is followed too early.
        assert trio.current_time() - began > 0.5 * site.lease_ttl
        assert new.producer > old.producer
        with pytest.raises(Fenced):
            await a.renew(old)
        with pytest.raises(Fenced) as caught:
            await a.publish(old, messages(range(4, 8), by="A"))
        assert caught.value.acked == 0
        await b.renew(new)
        await b.publish(new, messages(range(4), by="B"))
        async with reading(b) as source:
            found = await take(source, 8)
            assert by_key(found) == by_key([*messages(range(4), by="A"), *messages(range(4), by="B")])


async def test_who_releases_is_followed_at_once(site: Site) -> None:
    async with site.engine("A").connect() as a, site.engine("B").connect() as b:
        old = await own(a)
        assert await b.acquire(0, "B") is None  # what a link does once is done
        await a.release(old)
        began = trio.current_time()
        new = await own(b, holder="B")
        assert trio.current_time() - began < site.lease_ttl
        assert new.producer > old.producer
        await a.release(old)  # it is no more ours: nothing happens
        await b.renew(new)
        with pytest.raises(Fenced):
            await a.publish(old, messages(range(4)))


async def test_an_owner_goes_on_over_a_new_connection(site: Site) -> None:
    engine = site.engine("A")
    async with engine.connect() as link:
        fence = await own(link)
        await link.publish(fence, messages(range(4)))
    async with engine.connect() as link:
        await link.renew(fence)
        await link.publish(fence, messages(range(4, 8)))
        async with reading(link) as source:
            assert by_key(await take(source, 8)) == by_key(messages(range(8)))


async def test_a_zombie_with_messages_in_flight(site: Site) -> None:
    """It is paused, followed, and goes on: from its follower's beginning on, nothing of it is stored."""
    async with site.engine("A").connect() as a, site.engine("B").connect() as b:
        old = await own(a)
        acked = 0
        fenced = trio.Event()

        async def publish() -> None:
            nonlocal acked
            for first in count(0, 50):
                try:
                    await a.publish(old, messages(range(first, first + 50), by="A"))
                except Fenced as error:
                    acked += error.acked
                    fenced.set()
                    return
                acked += 50
                await trio.sleep(0.005)  # thousands in all prove no more

        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish)
            # It does not renew: the other one takes over while it publishes.
            new = await own(b, holder="B")
            await b.publish(new, messages(range(40), by="B"))
            with trio.fail_after(30):
                await fenced.wait()
        await b.publish(new, messages(range(40, 44), by="B"))
        async with reading(b) as source:
            found = await take_to(source, *messages(range(40, 44), by="B"))
    for partition in {one.partition for one in found}:
        owners = "".join(one.data[:1].decode() for one in found if one.partition == partition)
        assert owners == "".join(sorted(owners)), "all of A's are before all of B's"
    stored = [one for one in found if one.data.startswith(b"A")]
    # All that was acknowledged; in another partition perhaps a little more, without holes.
    assert {one.data for one in messages(range(acked), by="A")} <= {one.data for one in stored}
    sent = by_key(messages(range(acked + 50), by="A"))
    for key, found_of_key in by_key(once(stored)).items():
        assert found_of_key == sent[key][: len(found_of_key)]


# A broker that is killed


async def test_nothing_is_lost_when_the_broker_is_killed(site: Site) -> None:
    """What is not acknowledged is sent again: nothing lost, and nothing in the wrong order."""
    engine = site.engine()
    sent = messages(range(1200))
    crashes = 0
    crashed = trio.Event()
    crashed.set()
    done = 0

    async def crash() -> None:
        await site.crash()
        crashed.set()

    fence: Fence | None = None
    async with trio.open_nursery() as nursery:
        while done < len(sent):
            try:
                async with engine.connect() as link:
                    if fence is None:
                        fence = await own(link)
                        async with reading(link) as source:
                            logs = {partition: place.log for partition, place in source.taken.starts.items()}
                    while done < len(sent):
                        if crashes < 3 and done >= 300 * (crashes + 1):
                            await crashed.wait()
                            crashes += 1
                            crashed = trio.Event()
                            nursery.start_soon(crash)
                        window = sent[done : done + 60]
                        try:
                            await link.renew(fence)
                            await link.publish(fence, window)
                        except Fenced:
                            # The broker was away for longer than the lease held.
                            fence = await own(link)
                        else:
                            done += len(window)
            except BrokerLost as error:
                done += error.acked
                await trio.sleep(0.05)
            except kt.ConnectError:
                await trio.sleep(0.05)
    found, source = await read_to_the_end(engine, *sent[-len(KEYS) :])
    assert {partition: place.log for partition, place in source.taken.starts.items()} == logs
    received, wanted = by_key(once(found)), by_key(sent)
    for key in KEYS:
        assert sorted(set(wanted[key]) - set(received[key])) == [], "these are missing"
        assert received[key] == wanted[key], "in this order"


async def test_a_lost_link_is_of_no_more_use(site: Site) -> None:
    if isinstance(site, NatsClusterSite):
        pytest.skip("a cluster that loses a server need not lose a link")
    async with site.engine().connect() as link:
        fence = await own(link)
        async with reading(link, Start()) as source:
            while not source.reached:
                await source.receive()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(site.crash)
                with pytest.raises(BrokerLost):
                    while True:
                        await source.receive()
            with pytest.raises(BrokerLost) as caught:
                await link.publish(fence, messages(range(4)))
            assert caught.value.acked == 0
            with pytest.raises(BrokerLost):
                await link.renew(fence)
            with pytest.raises(BrokerLost):
                await link.acquire(1, "A")
            with pytest.raises(BrokerLost):
                await link.catalogs()
            with pytest.raises(BrokerLost):
                async with reading(link):
                    pass
    async with site.engine().connect() as link:
        await link.catalogs()


# Catalogs


async def test_the_newest_catalog_of_each_shard(site: Site) -> None:
    async with site.engine().connect() as link:
        assert list(await link.catalogs()) == []
        for shard in range(3):
            fence = await own(link, shard)
            for number in range(3):
                subject = Subject(shard, Kind.CATALOG)
                await link.publish(fence, [Message(subject, f"{shard} {number}".encode(), f"{shard}.c.{number}")])
        found = await link.catalogs()
        assert sorted(one.data for one in found) == [b"0 2", b"1 2", b"2 2"]
        assert {one.subject.kind for one in found} == {Kind.CATALOG}
        assert all(one.time_ns > 0 for one in found)


# Records


def keeping(link: Link) -> KeepsRecords:
    assert isinstance(link, KeepsRecords)
    return link


async def test_records_are_compared_and_set(site: Site) -> None:
    async with site.engine("A").connect() as one, site.engine("B").connect() as another:
        a, b = keeping(one), keeping(another)
        assert await a.records("g.") == {}
        assert await a.write("g.x", b"?", 7) is None
        first = await a.write("g.x", b"1", 0)
        assert first
        assert await b.write("g.x", b"2", 0) is None
        assert dict(await b.records("g.")) == {"g.x": Record(b"1", first)}
        second = await b.write("g.x", b"3", first)
        assert second is not None
        assert second > first
        assert await a.write("g.x", b"4", first) is None
        other = await a.write("h.%2F_-.1", bytes(range(256)), 0)
        assert other
        assert dict(await a.records("g.")) == {"g.x": Record(b"3", second)}
    async with site.engine("A").connect() as link:
        assert dict(await keeping(link).records("")) == {
            "g.x": Record(b"3", second),
            "h.%2F_-.1": Record(bytes(range(256)), other),
        }


async def test_of_several_that_write_a_record_at_the_same_time_one_has_written_it(site: Site) -> None:
    wins: list[tuple[int, int]] = []

    async def count_up(name: str) -> None:
        async with site.engine(name).connect() as link:
            records = keeping(link)
            won = 0
            while won < 5:
                known = (await records.records("count")).get("count")
                number, revision = (0, 0) if known is None else (int(known.value), known.revision)
                if await records.write("count", b"%d" % (number + 1), revision) is not None:
                    won += 1
                    wins.append((number + 1, revision))
                await trio.lowlevel.checkpoint()

    async with site.engine().connect() as link:
        keeping(link)
    async with trio.open_nursery() as nursery:
        for name in "ABC":
            nursery.start_soon(count_up, name)
    assert sorted(number for number, _ in wins) == list(range(1, 16))


# Where reading begins


async def test_now_on_an_empty_stream(site: Site) -> None:
    async with site.engine().connect() as link:
        fence = await own(link)
        async with reading(link, Start()) as source:
            partitions = set(source.taken.starts)
            while not set(source.reached) >= partitions:
                assert list(await source.receive()) == []
            await link.publish(fence, messages(range(4)))
            assert by_key(await take(source, 4)) == by_key(messages(range(4)))
        assert not source.taken.expired


async def test_now_begins_with_the_last_key_frames(site: Site) -> None:
    """All before the start comes first, at least from the last key frame of each key on; then what is new."""
    async with site.engine().connect() as link:
        fence = await own(link)
        await link.publish(fence, [message(BTC, 0), message(BTC, 0, kind=Kind.KEY), message(ETH, 0)])
        await link.publish(fence, [message(ETH, 0, kind=Kind.KEY), message(BTC, 1), message(ETH, 1)])
        async with reading(link, Start(), keys=[BTC, ETH]) as source:
            taken = source.taken
            before: list[Incoming] = []
            while not set(source.reached) >= set(taken.starts):
                before += await source.receive()
            assert all(one.offset < taken.starts[one.partition].offset for one in before)
            await link.publish(fence, [message(BTC, 2)])
            after = await take(source, 1)
            assert all(one.offset >= taken.starts[one.partition].offset for one in after)
    found = by_key([*before, *after])
    for key, last in ((BTC, 3), (ETH, 2)):
        wanted = [message(key, 0, kind=Kind.KEY).data, *(message(key, number).data for number in range(1, last))]
        assert found[key][-last:] == wanted
    assert not taken.expired


async def test_now_begins_with_the_first_message_of_a_key_that_has_no_key_frame(site: Site) -> None:
    """It has just begun: its reader need not wait for a key frame."""
    async with site.engine().connect() as link:
        fence = await own(link)
        first = [message(BTC, 1), message(BTC, 2), message(ETH, 3)]
        await link.publish(fence, first)
        await link.publish(fence, [message(ETH, 3, kind=Kind.KEY), message(ETH, 4), message(BTC, 5)])
        async with reading(link, Start(), keys=(BTC, ETH)) as source:
            found = once(await take_to(source, message(ETH, 4), message(BTC, 5)))
        assert by_key(found)[BTC] == [message(BTC, number).data for number in (1, 2, 5)]


async def test_from_a_time_on(site: Site) -> None:
    async with site.engine().connect() as link:
        fence = await own(link)
        for number in range(10):
            await link.publish(fence, [message(BTC, number)])
            await trio.sleep(0.003)
        async with reading(link) as source:
            stored = await take(source, 10)
        middle = stored[5]
        async with reading(link, Start(time_ns=middle.time_ns)) as source:
            assert not source.taken.expired
            start = source.taken.starts[middle.partition]
            assert (start.offset, start.index) == (middle.offset, 0)
            found = await take_until(source, lambda one: one.data.endswith(b" 9"))
            assert middle.partition in source.reached
        assert [one.data for one in found if one.offset >= start.offset] == [one.data for one in stored[5:]]
        # A time that is still to come is now.
        async with reading(link, Start(time_ns=stored[9].time_ns + 3_600_000_000_000)) as source:
            await link.publish(fence, [message(BTC, 10)])
            found = await take_until(source, lambda one: one.data.endswith(b" 10"))
            place = source.taken.starts[middle.partition]
            assert [one.data for one in found if one.offset >= place.offset] == [message(BTC, 10).data]


async def test_from_a_place_on(site: Site) -> None:
    """Reading in two parts is reading: nothing is lost between them, and nothing comes twice."""
    sent = messages(range(40))
    async with site.engine().connect() as link:
        fence = await own(link)
        await link.publish(fence, sent[:30])
        async with reading(link) as source:
            first = await take(source, 30)
            logs = {partition: place.log for partition, place in source.taken.starts.items()}
        places = {one.partition: Place(one.offset + 1, 0, logs[one.partition]) for one in first[:17]}
        one = first[17]
        places[one.partition] = Place(one.offset, 3, logs[one.partition])  # in the middle of it
        async with reading(link, Start(places=places)) as source:
            assert not source.taken.expired
            for partition, place in places.items():
                assert source.taken.starts[partition] == place
            await link.publish(fence, sent[30:])
            second = [
                one
                for one in await take_until(source, lambda one: one.data == sent[39].data)
                if one.offset >= source.taken.starts[one.partition].offset
            ]
    known = {partition: place.offset for partition, place in places.items()}
    begun = [one for one in first if one.partition not in known or one.offset < known[one.partition]]
    missing = [one for one in first if one.partition not in known]
    assert not missing or len(known) < 3
    if not missing:
        last = {one.subject.key for one in second}
        assert by_key([*begun, *second])[sent[39].subject.key] == by_key(sent)[sent[39].subject.key]
        assert last <= set(KEYS)


async def test_a_start_in_the_middle_of_a_message_is_reached_with_that_message(site: Site) -> None:
    """Once its partition counted as reached before: what had been received of the message came again."""
    sent = [message(BTC, number) for number in range(70)]
    async with site.engine().connect() as link:
        fence = await own(link)
        await link.publish(fence, sent)
        async with reading(link) as source:
            stored = await take(source, 70)
        for first in (stored[index] for index in (0, 1, 30, 31, 32, 33, 63, 64, 69)):
            async with reading(link, Start(places={first.partition: Place(first.offset, 1)})) as source:
                found: list[Incoming] = []
                while first.partition not in source.reached:
                    found += await source.receive()
                assert first in found


async def test_reading_back_begins_with_the_message_before_the_start(site: Site) -> None:
    """However long nothing was stored before it."""
    async with site.engine().connect() as link:
        fence = await own(link)
        await link.publish(fence, [message(BTC, 0), message(BTC, 0, kind=Kind.KEY)])
        await trio.sleep(0.5)
        await link.publish(fence, [message(BTC, 1)])
        async with reading(link) as source:
            stored = await take(source, 3)
        last = stored[-1]
        places = {last.partition: Place(last.offset, 0, source.taken.starts[last.partition].log)}
        for start in (Start(places=places), Start(time_ns=last.time_ns)):
            async with link.read([BTC], start, back=0.2) as source:
                found = await take_until(source, lambda one: one.data == last.data)
                assert source.taken.starts[last.partition] == places[last.partition]
            assert [one.data for one in found][-2:] == [message(BTC, 0, kind=Kind.KEY).data, last.data]


async def test_what_is_no_longer_stored_is_told(site: Site) -> None:
    async with site.engine().connect() as link:
        fence = await own(link)
        for number in range(10):
            await link.publish(fence, [message(BTC, number)])
        async with reading(link) as source:
            stored = await take(source, 10)
        partition = stored[0].partition
        await site.expire(keep=4)
        for start in (
            Start(places={partition: Place(stored[2].offset, 5)}),
            Start(time_ns=stored[0].time_ns),
        ):
            async with reading(link, start) as source:
                assert partition in source.taken.expired
                assert source.taken.starts[partition].index == 0
                found = await take_until(source, lambda one: one.data.endswith(b" 9"))
                place = source.taken.starts[partition]
                assert [one.data for one in found if one.offset >= place.offset][-4:] == [
                    one.data for one in stored[6:]
                ]
        async with reading(link, Start(places={partition: Place(stored[7].offset)})) as source:
            assert not source.taken.expired


async def test_a_place_that_is_not_there_yet(site: Site) -> None:
    """It is one of another stream, of the same name: what came between is unknown."""
    async with site.engine().connect() as link:
        fence = await own(link)
        await link.publish(fence, [message(BTC, 0)])
        async with reading(link) as source:
            (one,) = await take(source, 1)
        async with reading(link, Start(places={one.partition: Place(one.offset + 1000)})) as source:
            assert one.partition in source.taken.expired
            await link.publish(fence, [message(BTC, 1)])
            await take_until(source, lambda one: one.data.endswith(b" 1"))


async def test_a_place_of_a_stream_that_was_made_anew(site: Site) -> None:
    """It may have messages of these offsets, too: what came between is unknown, and all that is stored now is read."""
    async with site.engine().connect() as link:
        fence = await own(link)
        await link.publish(fence, [message(BTC, number) for number in range(10)])
        async with reading(link) as source:
            middle = (await take(source, 10))[4]
            places = {middle.partition: Place(middle.offset, 2, source.taken.starts[middle.partition].log)}
    await site.remake()
    sent = [message(BTC, number, by="anew ") for number in range(20)]
    with trio.fail_after(PATIENCE):
        while True:
            with suppress(BrokerLost, kt.ConnectError):
                async with site.engine().connect() as link:
                    fence = await own(link)
                    await link.publish(fence, sent)
                    async with reading(link, Start(places=places)) as source:
                        assert source.taken.expired == places.keys()
                        found = await take_to(source, sent[-1])
                    assert [one.data for one in once(found)] == [one.data for one in sent]
                    place = source.taken.starts[middle.partition]
                    assert place.offset <= found[0].offset
                    assert place.log != places[middle.partition].log
                    break
            await trio.sleep(0.1)


# Several at a time, and cancelling


async def test_a_source_that_nobody_reads_holds_up_no_other(site: Site) -> None:
    async with site.engine().connect() as link:
        fence = await own(link)
        async with reading(link, Start()) as idle, reading(link, Start()) as source:
            sent = messages(range(2000))
            for first in range(0, 2000, 200):
                await link.publish(fence, sent[first : first + 200])
            assert by_key(await take(source, 2000)) == by_key(sent)
            assert by_key(await take(idle, 2000)) == by_key(sent)


async def test_cancelling_receive_loses_nothing(site: Site) -> None:
    sent = messages(range(300))
    async with site.engine().connect() as link:
        fence = await own(link)
        async with reading(link, Start()) as source:

            async def publish() -> None:
                for first in range(0, 300, 3):
                    await link.publish(fence, sent[first : first + 3])

            found: list[Incoming] = []
            async with trio.open_nursery() as nursery:
                nursery.start_soon(publish)
                turn = 0
                while len(found) < len(sent):
                    turn += 1
                    with trio.move_on_after(0.0004 * (turn % 5)):
                        found += await source.receive()
    assert by_key(found) == by_key(sent)


async def test_cancelling_anything_leaves_a_link_that_works_or_is_lost(site: Site) -> None:
    """Each call is cancelled at once, and a little later; it may have been done."""
    for patience in (0.0, 0.0005, 0.002):
        async with site.engine().connect() as link:
            fence = await own(link)
            with trio.move_on_after(patience):
                await link.renew(fence)
            with trio.move_on_after(patience):
                await link.publish(fence, messages(range(100)))
            with trio.move_on_after(patience):
                await link.catalogs()
            with trio.move_on_after(patience):
                async with reading(link) as source:
                    await source.receive()
            with trio.move_on_after(patience):
                await link.acquire(1, "A")
            try:
                await link.renew(fence)
                await link.publish(fence, messages(range(100)))
            except BrokerLost:
                continue
            async with reading(link) as source:
                found = await take_to(source, *messages(range(96, 100)))
            assert by_key(once(found)) == by_key(messages(range(100)))
            await link.release(fence)


async def test_cancelling_the_connecting_leaves_nothing_behind(site: Site) -> None:
    for patience in (0.0, 0.0005, 0.001, 0.002, 0.005):
        with trio.move_on_after(patience):
            async with site.engine().connect() as link:
                await link.catalogs()
                await trio.sleep_forever()
    async with site.engine().connect() as link:
        await link.catalogs()


# An engine


async def test_an_engine_says_what_it_is(site: Site) -> None:
    engine = site.engine()
    assert engine.name.endswith(f"/{engine.stream}")
    assert engine.lease_ttl > 0
