"""The doctor and a relay in trouble: for each check, a broker or relay with that fault. In memory, on virtual time."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import trio
from hypothesis import given, strategies as st

from kraken_trio import Book, ConnectError, KrakenTrioError, SubscriptionRejected, Trades
from kraken_trio.cli.doctor import relay_checks as checks
from kraken_trio.cli.doctor.findings import Finding, Level
from kraken_trio.cli.doctor.relay_checks import ShardSeen
from kraken_trio.cli.doctor.relay_probe import TIME_LIMIT, RelayPlan, examine_relay
from kraken_trio.relay.producer import open_relay
from kraken_trio.testing import MemoryBroker, open_exchange
from tests.opening import open_at
from tests.transport.conftest import in_virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kraken_trio.broker.seam import Engine
    from kraken_trio.testing import Exchange

OK, WARNING, FAILED, SKIPPED = Level.OK, Level.WARNING, Level.FAILED, Level.SKIPPED
Found: TypeAlias = "dict[str, Finding]"
EPOCH_NS = 1_790_000_000 * 10**9
SYMBOLS = ("BTC/USD", "ETH/USD")


# What the checks say of any values

texts = st.text(min_size=1, max_size=30) | st.sampled_from(["a; b", "\x1b[2J"])
ages = st.floats(0, 1e6)
seen = st.builds(
    ShardSeen,
    shard=st.integers(0, 3),
    shards=st.sampled_from([2, 4]),
    producer=st.integers(1, 4),
    age=ages,
    every=st.floats(0.1, 600),
    requests=st.integers(0, 1000),
    silent=st.none() | st.floats(0, 100),
)
several = st.lists(seen, min_size=1, max_size=4)
CHECKS: dict[str, st.SearchStrategy[Finding]] = {
    "relay-broker": st.builds(checks.broker, texts.map(repr), st.none() | ages, texts.map(repr)),
    "relay-stream": st.builds(checks.stream, texts, st.integers(0, 9)),
    "relay-shards": st.builds(checks.shards, several),
    "relay-catalog": st.builds(checks.catalog, seen),
    "relay-owner": st.builds(checks.owners, several, st.floats(1, 10)).flatmap(st.sampled_from),
    "relay-keyframes": st.builds(checks.keyframes, seen, st.dictionaries(texts, st.none() | ages, max_size=3)),
    "relay-clock": st.builds(checks.clock, st.none() | st.floats(-1e6, 1e6)),
    "relay-lag": st.builds(checks.lag, st.none() | st.floats(-1e6, 1e6)),
    "relay-book": st.builds(
        checks.reader, texts, st.floats(0.1, 600), st.none() | ages, st.integers(0, 9), st.none() | texts
    ),
}


def test_every_check_is_tried() -> None:
    assert tuple(CHECKS) == checks.RELAY_CHECKS


@pytest.mark.parametrize("name", CHECKS)
@given(data=st.data())
def test_a_check_says_one_printable_line_and_a_cure_if_it_is_bad(name: str, data: st.DataObject) -> None:
    finding = data.draw(CHECKS[name])
    assert finding.check == name
    assert f"{finding.name}{finding.says}{finding.cure}".isprintable()
    assert bool(finding.cure) == (finding.level in {WARNING, FAILED})


@given(seen, st.floats(1, 10))
def test_a_shard_that_publishes_has_an_owner(one: ShardSeen, ttl: float) -> None:
    (finding,) = checks.owners([one], ttl)
    is_heard = one.silent is None or one.silent < checks.SILENCE * one.every
    assert (finding.level is OK) == (is_heard and one.age <= max(ttl, 3 * one.every))


# Relays in trouble


class World:
    """Shards that publish into a broker in memory, and a doctor who looks at it."""

    def __init__(self) -> None:
        self.broker = MemoryBroker(epoch_ns=EPOCH_NS)
        self.began = 0.0
        self.exchange: Exchange | None = None

    @asynccontextmanager
    async def publishing(
        self, *shards: tuple[int, int], every: float = 2.0, rate: float = 50.0, received: float = 0.0
    ) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            exchange = self.exchange = await stack.enter_async_context(open_exchange(rate=rate, epoch_ns=EPOCH_NS))
            for shard, count in shards:
                relay = await stack.enter_async_context(
                    open_relay(self.broker.seen_by(f"{shard}/{count}"), shard=shard, shards=count, keyframe_every=every)
                )
                client = await stack.enter_async_context(
                    open_at(exchange, lambda: EPOCH_NS + round((trio.current_time() - self.began + received) * 1e9))
                )
                await relay.add(client, Book(SYMBOLS[shard]), Trades(SYMBOLS[shard], snapshot=True))
            await trio.sleep(3 * every)
            yield

    async def examine(self, *symbols: str, engine: Engine | None = None, wrong_by: float = 0.0, **more: Any) -> Found:
        found: Found = {}

        def tell(finding: Finding) -> None:
            assert finding.name not in found, "each is told once"
            assert f"{finding.name}{finding.says}{finding.cure}".isprintable()
            assert bool(finding.cure) == (finding.level in {WARNING, FAILED})
            found[finding.name] = finding

        view = self.broker.seen_by("doctor") if engine is None else engine
        options: dict[str, Any] = {
            "engine": view,
            "open_reader": reader,
            "wall_ns": lambda: EPOCH_NS + round((trio.current_time() - self.began + wrong_by) * 1e9),
            "symbols": symbols,
            **more,
        }
        began = trio.current_time()
        await examine_relay(RelayPlan(**options), tell)
        assert trio.current_time() - began <= TIME_LIMIT + 1
        assert {finding.check for finding in found.values()} == set(checks.RELAY_CHECKS), "none is forgotten"
        return found


class Verified:
    """A client of the stream that sees a verified book."""

    def __init__(self, *, error: Exception | None = None, silent: bool = False) -> None:
        self.error = error
        self.silent = silent
        self.checksums_verified = 7

    def statistics(self) -> Verified:
        return self

    @asynccontextmanager
    async def subscribe(self, request: Book) -> AsyncIterator[Any]:
        if self.error is not None:
            raise self.error
        yield self.events()

    async def events(self) -> AsyncIterator[Any]:
        from kraken_trio import BookSnapshot

        if not self.silent:
            yield BookSnapshot(symbol="BTC/USD", bids=(), asks=())
        await trio.sleep_forever()


@asynccontextmanager
async def reader(**options: Any) -> AsyncIterator[Any]:
    yield Verified(**options)


def bad(found: Found) -> dict[str, Level]:
    return {name: finding.level for name, finding in found.items() if finding.level in {WARNING, FAILED}}


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    request.node.add_marker(pytest.mark.trio(run=in_virtual_time), append=False)
    return World()


async def test_a_healthy_relay(world: World) -> None:
    async with world.publishing((0, 2), (1, 2)):
        found = await world.examine("BTC/USD")
    assert not bad(found), bad(found)
    assert found["relay-shards"].value == 2
    assert found["relay-book BTC/USD"].says.endswith("7 checksums")
    assert {"relay-catalog 0/2", "relay-owner 1/2", "relay-keyframes 1/2"} <= found.keys()
    assert all(finding.level is OK for finding in found.values())


async def test_a_broker_that_refuses(world: World) -> None:
    world.broker.seen_by("doctor").refuse(1000)
    assert bad(await world.examine()) == {"relay-broker": FAILED}


async def test_a_broker_that_does_not_answer(world: World) -> None:
    @asynccontextmanager
    async def connect() -> AsyncIterator[Any]:
        await trio.sleep_forever()
        yield

    engine: Any = world.broker.seen_by("doctor")
    silent: Any = Altered(engine, connect=connect)
    found = await world.examine(engine=silent)
    assert bad(found) == {"relay-broker": FAILED}
    assert "no answer within 6 s" in found["relay-broker"].says


async def test_a_login_is_told_of_as_on_a_command_line(world: World) -> None:
    @asynccontextmanager
    async def connect() -> AsyncIterator[Any]:
        await trio.lowlevel.checkpoint()
        msg = "no login was given: login=BrokerLogin(…)"
        raise ConnectError(msg)
        yield

    engine: Any = world.broker.seen_by("doctor")
    altered: Any = Altered(engine, connect=connect)
    found = await world.examine(engine=altered)
    assert "no login was given: set KRAKEN_BROKER_USER" in found["relay-broker"].says


async def test_a_stream_into_which_nobody_publishes(world: World) -> None:
    assert bad(await world.examine()) == {"relay-stream": FAILED}


async def test_a_shard_that_is_missing(world: World) -> None:
    async with world.publishing((0, 2)):
        found = await world.examine()
    assert bad(found) == {"relay-shards": FAILED}
    assert found["relay-shards"].says == "1 of 2 are missing: 1/2"


async def test_a_relay_that_publishes_nothing_is_not_well(world: World) -> None:
    """As one that was started while the exchange could not be reached."""
    async with open_relay(world.broker.seen_by("0/1"), keyframe_every=2):
        await trio.sleep(6)
        found = await world.examine("BTC/USD")
    assert bad(found) == {"relay-shards": FAILED}
    assert found["relay-shards"].says == "1 shard, 0 requests: nothing is published"
    assert found["relay-book"].level is SKIPPED


async def test_shards_that_do_not_agree_how_many_they_are(world: World) -> None:
    async with world.publishing((0, 1), (1, 2)):
        found = await world.examine()
    assert bad(found) == {"relay-shards": FAILED}
    assert found["relay-shards"].says == "shards of 1 and of 2 publish at a time"


async def test_old_catalogs_after_resharding_are_no_fault(world: World) -> None:
    async with world.publishing((1, 2)):
        pass
    await trio.sleep(100)
    async with world.publishing((0, 1)):
        found = await world.examine()
    assert found["relay-shards"].level is OK


async def test_relays_of_long_ago_do_not_publish(world: World) -> None:
    for shard in ((1, 2), (0, 1)):
        async with world.publishing(shard):
            pass
        await trio.sleep(100)
    found = await world.examine()
    assert found["relay-shards"].level is FAILED
    assert found["relay-shards"].says.startswith("nobody publishes: the newest catalog is 1")
    assert {name for name in found if name.startswith("relay-catalog")} == {"relay-catalog 0/1"}


async def test_shards_that_have_just_ended_do_not_publish(world: World) -> None:
    """After a change of their number: that is known before their catalogs are old."""
    async with world.publishing((1, 2)):
        pass
    async with world.publishing((0, 1)):
        found = await world.examine()
    assert not bad(found), bad(found)
    assert found["relay-shards"].says.startswith("1 shard, ")
    assert {name for name in found if name.startswith("relay-owner")} == {"relay-owner 0/1"}


async def test_an_owner_that_is_gone(world: World) -> None:
    async with world.publishing((0, 2), (1, 2)):
        world.broker.seen_by("0/2").cut(1000)
        await trio.sleep(40)
        found = await world.examine()
    names = ("relay-catalog 0/2", "relay-owner 0/2", "relay-keyframes 0/2")
    assert bad(found) == {"relay-shards": FAILED, **dict.fromkeys(names, FAILED)}
    assert "see relay-owner" in found["relay-keyframes 0/2"].cure


@pytest.mark.parametrize("ago", [0.0, 300.0])
async def test_the_last_book_of_a_relay_that_is_gone_is_no_good_book(world: World, ago: float) -> None:
    """A reader that begins then gets it, however old."""
    async with world.publishing((0, 1)):
        pass
    await trio.sleep(ago)
    found = await world.examine("BTC/USD")
    assert found["relay-book BTC/USD"].level is SKIPPED
    assert found["relay-book BTC/USD"].says == "nobody publishes its shard, 0/1: see relay-owner above"


async def test_a_book_of_another_number_of_shards_is_not_published(world: World) -> None:
    async with world.publishing((1, 2)):
        pass
    async with world.publishing((0, 1)):
        found = await world.examine("BTC/USD", "ETH/USD")
    assert bad(found) == {"relay-book ETH/USD": FAILED}
    assert found["relay-book ETH/USD"].says == "its book is not published"
    await trio.sleep(100)
    found = await world.examine()
    assert found["relay-book BTC/USD"].says == "nobody publishes its shard, 0/1: see relay-owner above"


async def test_a_book_of_a_shard_that_is_there_is_looked_at(world: World) -> None:
    async with world.publishing((0, 2), (1, 2)):
        world.broker.seen_by("0/2").cut(1000)
        found = await world.examine()
        named = await world.examine("BTC/USD", "ETH/USD")
    assert found["relay-book ETH/USD"].level is OK
    assert {name: one.level for name, one in named.items() if name.startswith("relay-book")} == {
        "relay-book BTC/USD": SKIPPED,
        "relay-book ETH/USD": OK,
    }


@pytest.mark.parametrize("ago", [0.0, 5.0, 25.0, 300.0])
async def test_a_relay_that_is_gone(world: World, ago: float) -> None:
    """Though it has ended in order, and all that it published is there."""
    async with world.publishing((0, 1)):
        pass
    await trio.sleep(ago)
    found = await world.examine()
    assert found["relay-owner 0/1"].level is FAILED
    assert ago or "nothing has come from it for" in found["relay-owner 0/1"].says
    age = found["relay-catalog 0/1"].value
    assert age is not None
    assert age >= ago, "it is counted until now"


async def test_one_of_two_shards_is_silent(world: World) -> None:
    async with world.publishing((0, 2), (1, 2)):
        world.broker.seen_by("1/2").cut(1000)
        found = await world.examine()
    assert "relay-owner 0/2" not in bad(found)
    assert bad(found)["relay-owner 1/2"] is FAILED


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        ("the login (user relay) is wrong", "KRAKEN_BROKER_USER"),
        ("JetStream may not be used: the server does not allow it", "KRAKEN_BROKER_USER"),
        ("certificate verify failed", "--broker-ca"),
        ("what answers there does not speak Kafka (is it the port of a listener without TLS?)", "the port in the URL"),
        ("TLS is wanted, but the server does not encrypt: nothing was sent", "nats:// instead of tls://"),
        ("Connection refused (is a broker there, with a listener of this kind, TLS or not?)", "the network"),
        ("connection refused", "the network"),
        ("the disk is full; make room", "make room"),
        ("NATS at x: JetStream is not enabled: start the server with -js", "start the server with -js"),
    ],
)
def test_a_cure_is_for_its_illness(error: str, cure: str) -> None:
    assert cure in checks.broker("nats://x", None, error).cure


async def test_key_frames_that_do_not_come(world: World) -> None:
    async with world.publishing((0, 1)):
        found = await world.examine(engine=without_key_frames(world.broker.seen_by("doctor")))
    assert bad(found) == {"relay-keyframes 0/1": FAILED}


async def test_clocks_that_are_apart(world: World) -> None:
    async with world.publishing((0, 1)):
        assert bad(await world.examine(wrong_by=5.0)) == {"relay-clock": WARNING}
        assert bad(await world.examine(wrong_by=-50.0)) == {"relay-clock": FAILED}


async def test_a_relay_that_is_late(world: World) -> None:
    async with world.publishing((0, 1), received=-3.0):
        assert bad(await world.examine()) == {"relay-lag": WARNING}


async def test_a_quiet_market(world: World) -> None:
    async with world.publishing((0, 1), rate=0.0):
        found = await world.examine()
    assert not bad(found)
    assert found["relay-lag"].level is SKIPPED


async def test_a_connection_that_is_lost_on_the_way(world: World) -> None:
    async with world.publishing((0, 1)), trio.open_nursery() as nursery:

        async def lose() -> None:
            await trio.sleep(1)
            world.broker.seen_by("doctor").drop_links()

        nursery.start_soon(lose)
        assert bad(await world.examine()) == {"relay-shards": FAILED}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"error": SubscriptionRejected({Book("BTC/USD"): "there is book:25"})}, "there is book:25"),
        ({"error": KrakenTrioError("the stream is gone; make it")}, "the stream is gone"),
        ({"silent": True}, "no verified book came"),
    ],
)
async def test_a_book_that_does_not_come(world: World, options: dict[str, Any], words: str) -> None:
    async with world.publishing((0, 1)):
        found = await world.examine(open_reader=lambda: reader(**options))
    assert bad(found) == {"relay-book BTC/USD": FAILED}
    assert words in found["relay-book BTC/USD"].says


async def test_a_symbol_that_is_not_published(world: World) -> None:
    async with world.publishing((0, 1)):
        assert bad(await world.examine("DOGE/USD")) == {"relay-book DOGE/USD": FAILED}


class Altered:
    """An object with some attributes replaced."""

    def __init__(self, base: Any, **replaced: Any) -> None:
        self._base = base
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._base, name)


def without_key_frames(engine: Any) -> Any:
    @asynccontextmanager
    async def connect() -> AsyncIterator[Any]:
        async with engine.connect() as link:

            @asynccontextmanager
            async def read(*wanted: Any, **options: Any) -> AsyncIterator[Any]:
                async with link.read(*wanted, **options) as source:

                    async def receive() -> list[Any]:
                        return [one for one in await source.receive() if one.subject.kind.value != "key"]

                    yield Altered(source, receive=receive)

            yield Altered(link, read=read)

    return Altered(engine, connect=connect)
