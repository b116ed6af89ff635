"""The whole chain on virtual time: exchange → producers with standbys → broker → readers, and what can happen to it.

``python -m tests.simulation.relay --seeds 200``; ``--seed 7`` shows one run. Everything follows from the seed: what the
broker is like (partitions, delays, a clock that goes faster or slower, whether it drops repeats), and when links break,
acks are lost, programs are cut off or stopped, the broker stands still, forgets or is slow, and the exchange drops its
connections. Then all of it ends, and it is judged:

1. What is stored: of each owner, without holes, in order; and nothing of an owner after a later one's.
2. What each reader got: each stored event once, in order, or a gap in its place. It never goes back.
3. At the end, the readers' books are the exchange's, and nothing is missing.
4. A reader that leaves, and comes again with its stored position, is one reader: nothing is lost or doubled.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from functools import partial
from math import inf
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs
import msgspec
import trio

import kraken_trio as kt
from kraken_trio.broker.messages import Batch, decode_batch
from kraken_trio.broker.subjects import LIFECYCLE, Kind
from kraken_trio.relay import Backpressure, Form, Relay, open_relay
from kraken_trio.stream import open_stream_with
from kraken_trio.testing import CorruptChecksum, Drop, MemoryBroker, run_virtual
from tests.relay.world import BTC, ETH, World, open_world, wall_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kraken_trio.broker.subjects import Key

__all__ = ["Outcome", "run"]

SECONDS: Final = 90.0
"""For so long things happen."""
RECOVERY: Final = 40.0
"""After that, all is well within this time: the longest backoffs, lease, key frame and silence, one after another."""
SHARDS: Final[tuple[tuple[kt.Request[Any], ...], ...]] = (
    (kt.Book(BTC), kt.Trades(BTC), kt.Ticker(BTC)),
    (kt.Book(ETH), kt.Trades(ETH)),
)
WANTED: Final = tuple(request for requests in SHARDS for request in requests)
RATE: Final = 12.0
Happening: TypeAlias = "tuple[float, str, Callable[[Simulation], object]]"


class Broken(Exception):  # noqa: N818 (as BrokenPromise)
    """A promise was not kept."""


@attrs.frozen(kw_only=True)
class Plan:
    """All that follows from a seed."""

    seed: int
    partitions: int
    latency: tuple[float, float]
    clock_rate: float
    drops_repeats: bool
    form: Form
    policy: Backpressure
    capacity: int
    script: tuple[Happening, ...]
    returns: tuple[float, ...]
    """When the reader that comes again does so."""


@attrs.frozen
class Outcome:
    """What became of a run."""

    seed: int
    broken: str | None
    events: int
    gaps: Counter[str]
    takeovers: int
    fenced: int
    repeats: int
    messages: int
    seconds: float

    def __str__(self) -> str:
        gaps = ", ".join(f"{count} {cause}" for cause, count in sorted(self.gaps.items()))
        end = f"BROKEN: {self.broken}" if self.broken else "all promises kept"
        return (
            f"seed {self.seed}: {self.events} events in {self.messages} messages, gaps: {gaps or 'none'}; "
            f"{self.takeovers} owners, {self.fenced} messages of earlier ones refused, {self.repeats} repeats; {end}"
        )


def plan_of(seed: int) -> Plan:
    """The plan of a seed."""
    random = Random(f"{seed}/relay")
    script: list[Happening] = []
    for _ in range(random.randint(3, 14)):
        at = random.uniform(3, SECONDS)
        what, do = random.choice(HAPPENINGS)(random)
        script.append((at, what, do))
    script.sort(key=lambda one: one[0])
    return Plan(
        seed=seed,
        partitions=random.choice((1, 3)),
        latency=random.choice(((0.0, 0.0), (0.001, 0.02), (0.01, 0.3))),
        clock_rate=random.choice((0.7, 1.0, 1.0, 1.4)),
        drops_repeats=random.random() < 0.5,
        form=random.choice(tuple(Form)),
        policy=random.choice(tuple(Backpressure)),
        capacity=random.choice((50, 2000)),
        script=tuple(script),
        returns=tuple(sorted(random.uniform(5, SECONDS) for _ in range(random.randint(1, 5)))),
    )


# What happens

_Happens: TypeAlias = "Callable[[Random], tuple[str, Callable[[Simulation], object]]]"


def _program(random: Random) -> str:
    return random.choice(("0 A", "0 B", "1 A", "1 B", "steady", "returning"))


def _cut(random: Random) -> tuple[str, Callable[[Simulation], object]]:
    name, seconds = _program(random), random.choice((0.5, 3.0, 12.0))
    return f"{name} is cut off for {seconds:g} s", lambda world: world.broker.seen_by(name).cut(seconds)


def _freeze(random: Random) -> tuple[str, Callable[[Simulation], object]]:
    name, seconds = _program(random), random.choice((1.0, 5.0, 30.0))
    return f"{name} is stopped for {seconds:g} s", lambda world: world.broker.seen_by(name).freeze(seconds)


def _refuse(random: Random) -> tuple[str, Callable[[Simulation], object]]:
    name, seconds = _program(random), random.choice((0.5, 6.0))
    return f"{name} is refused for {seconds:g} s", lambda world: world.broker.seen_by(name).refuse(seconds)


def _links(random: Random) -> tuple[str, Callable[[Simulation], object]]:
    in_flight = random.random() < 0.5
    return f"all links break (in_flight={in_flight})", lambda world: world.broker.drop_links(in_flight=in_flight)


def _acks(random: Random) -> tuple[str, Callable[[Simulation], object]]:
    count = random.randint(1, 4)
    return f"{count} acks are lost", lambda world: world.broker.lose_acks(count)


def _pause(random: Random) -> tuple[str, Callable[[Simulation], object]]:
    seconds = random.choice((1.0, 4.0, 10.0))
    return f"the broker stands still for {seconds:g} s", lambda world: world.broker.pause(seconds)


def _slow(random: Random) -> tuple[str, Callable[[Simulation], object]]:
    store_seconds = random.choice((0.0, 0.02, 0.2))
    return f"the broker takes {store_seconds:g} s a message", lambda world: world.slow(store_seconds)


def _expire(random: Random) -> tuple[str, Callable[[Simulation], object]]:
    keep = random.choice((0, 5, 100))
    return f"all but {keep} messages expire", lambda world: world.expire(keep)


def _lease(random: Random) -> tuple[str, Callable[[Simulation], object]]:
    shard = random.randrange(2)
    return f"the lease of shard {shard} ends", lambda world: world.broker.expire_lease(shard)


def _leave(random: Random) -> tuple[str, Callable[[Simulation], object]]:
    name = random.choice(("0 A", "0 B", "1 A", "1 B"))
    return f"{name} is left, and opened again", lambda world: world.leave(name)


def _drop(random: Random) -> tuple[str, Callable[[Simulation], object]]:
    del random
    return "the exchange drops its connections", lambda world: world.exchange.inject(Drop())


def _corrupt(random: Random) -> tuple[str, Callable[[Simulation], object]]:
    symbol = random.choice((BTC, ETH))
    fault = CorruptChecksum(symbol=symbol)
    return f"a checksum of {symbol} is wrong", lambda world: world.exchange.inject(fault)


HAPPENINGS: Final[Sequence[_Happens]] = (
    _cut, _cut, _freeze, _freeze, _refuse, _links, _links, _acks, _acks, _pause, _slow, _expire, _lease, _leave, _drop,
    _corrupt,
)  # fmt: skip


# The run


class Simulation:
    """One run."""

    def __init__(self, plan: Plan, *, show: bool) -> None:
        self.plan = plan
        self.show = show
        self.broker = MemoryBroker(
            partitions=plan.partitions,
            latency=plan.latency,
            clock_rate=plan.clock_rate,
            drops_repeats=plan.drops_repeats,
            seed=plan.seed,
        )
        self.world: World
        self.archive: dict[tuple[int, int], Any] = {}
        """Whatever was stored at any time: retention forgets."""
        self.relays: dict[str, Relay] = {}
        self.leaves: dict[str, trio.CancelScope] = {}
        self.readers: dict[str, Record] = {}
        self.is_over = False
        self.takeovers = 0

    @property
    def exchange(self) -> Any:
        return self.world.exchange

    def note(self, text: str) -> None:
        if self.show:
            print(f"{trio.current_time():7.2f}  {text}")

    async def run(self) -> None:
        """From the opening of the exchange to the judgement."""
        plan = self.plan
        async with open_world(rate=RATE, seed=plan.seed) as self.world, trio.open_nursery() as nursery:
            for shard in range(len(SHARDS)):
                for letter in "AB":
                    nursery.start_soon(self.produce, shard, f"{shard} {letter}")
            nursery.start_soon(self.read, "steady", ())
            nursery.start_soon(self.read, "returning", plan.returns)
            for at, what, do in plan.script:
                await trio.sleep_until(at)
                self.note(what)
                do(self)
            await trio.sleep_until(SECONDS)
            self.heal()
            await trio.sleep(RECOVERY / 2)
            nursery.start_soon(self.read, "late", ())
            await trio.sleep(RECOVERY / 2)
            self.exchange.pause()
            await trio.sleep(15)
            self.judge()
            nursery.cancel_scope.cancel()
        if self.broker.links:
            msg = f"{self.broker.links} links are open when all is left"
            raise Broken(msg)

    def heal(self) -> None:
        self.note("all is well")
        self.broker.resume()
        self.broker.slow(latency=self.plan.latency)
        for name in ("0 A", "0 B", "1 A", "1 B", "steady", "returning", "late"):
            self.broker.seen_by(name).heal()

    def slow(self, store_seconds: float) -> None:
        self.broker.slow(latency=self.plan.latency, store_seconds=store_seconds)

    def keep(self) -> None:
        for message in self.broker.messages():
            self.archive[message.partition, message.offset] = message

    def expire(self, keep: int) -> None:
        self.keep()
        self.broker.expire(keep=keep)

    def leave(self, name: str) -> None:
        if name in self.leaves:
            self.leaves[name].cancel()

    async def produce(self, shard: int, name: str) -> None:
        """A producer of a shard; when it is left, another one comes."""
        plan = self.plan
        while True:
            with trio.CancelScope() as self.leaves[name]:
                async with (
                    self.world.client() as client,
                    open_relay(
                        self.broker.seen_by(name),
                        shard=shard,
                        shards=len(SHARDS),
                        policy=plan.policy,
                        form=plan.form,
                        capacity=plan.capacity,
                        keyframe_every=3.0,
                        drain_timeout=2.0,
                        holder=name,
                        require_broker=False,
                    ) as relay,
                ):
                    self.relays[name] = relay
                    try:
                        await relay.add(client, *SHARDS[shard])
                        await trio.sleep_forever()
                    finally:
                        self.takeovers += relay.statistics().takeovers
            await trio.sleep(1)

    async def read(self, name: str, returns: Sequence[float]) -> None:
        """A reader that stays; or one that leaves at these times, and goes on from its position."""
        record = self.readers[name] = Record()
        position: Any = None
        random = Random(f"{self.plan.seed}/{name}")
        for until in (*returns, inf):
            with trio.CancelScope(deadline=until):
                while True:
                    try:
                        async with (
                            open_stream_with(
                                self.broker.seen_by(name), start=position, wall_ns=wall_ns, jitter=random.random
                            ) as client,
                            client.subscribe(*WANTED) as feed,
                        ):
                            record.feed = feed
                            if record.events:
                                record.again()
                            async for events in feed.batches():
                                record.take(events)
                                if feed.position is not None:
                                    position = feed.position
                    except (kt.ConnectError, kt.SubscriptionRejected) as error:
                        self.note(f"{name}: {error}")
                        await trio.sleep(1)
            self.note(f"{name} leaves")
            await trio.sleep(random.uniform(0, 4))
            if position is None:
                self.readers[name] = record = Record()

    # The judgement

    def judge(self) -> None:
        self.keep()
        streams = self.stored()
        for name, record in self.readers.items():
            for request in WANTED:
                key = (str(request.channel), request.symbol)
                got = record.events.get(key, [])
                try:
                    if key[0] == "trade":
                        judge_trades(got, self.last_trade(key))
                    else:
                        judge_stream(got, streams.get(key, []), is_book=key[0] == "book")
                except Broken as error:
                    msg = f"{name}, {key[0]} {key[1]}: {error}"
                    raise Broken(msg) from None
            self.judge_books(name, record)
        for shard in range(len(SHARDS)):
            owners = [name for name, relay in self.relays.items() if name[0] == str(shard) and relay.is_owner]
            if len(owners) != 1:
                msg = f"shard {shard} has the owners {owners}"
                raise Broken(msg)

    def last_trade(self, key: Key) -> int:
        return int(self.exchange._core.market.symbols[key[1]].tape.next_id) - 1

    def judge_books(self, name: str, record: Record) -> None:
        feed = record.feed
        if feed is None:
            msg = f"{name} has no feed"
            raise Broken(msg)
        for symbol in (BTC, ETH):
            book, own = feed.books[symbol], self.exchange.book(symbol, 10)
            if not book.available:
                msg = f"the book {symbol} of {name} cannot be read"
                raise Broken(msg)
            for side, wanted in ((book.bids, own.bids), (book.asks, own.asks)):
                if [(level.price_text, level.qty_text) for level in side] != list(wanted):
                    msg = f"the book {symbol} of {name} is not the exchange's"
                    raise Broken(msg)

    def stored(self) -> dict[Key, list[Any]]:
        """All events of each key, of all owners. Fails if the broker's log is not as it must be."""
        by_producer: dict[Key, dict[int, list[Any]]] = defaultdict(dict)
        for _, message in sorted(self.archive.items()):
            if message.subject.kind is not Kind.DATA:
                continue
            batch: Batch = decode_batch(message.data)
            if message.subject.key == LIFECYCLE:
                continue  # of all shards
            of_key = by_producer[message.subject.key]
            if batch.producer < max(of_key, default=0):
                msg = f"{message.subject}: producer {batch.producer} after {max(of_key)}"
                raise Broken(msg)
            events = of_key.setdefault(batch.producer, [])
            if batch.seq > len(events):
                msg = f"{message.subject}: after {len(events) - 1} of producer {batch.producer} comes {batch.seq}"
                raise Broken(msg)
            if list(batch.events[: len(events) - batch.seq]) != events[batch.seq : batch.seq + len(batch.events)]:
                msg = f"{message.subject}: a repeat that is another"
                raise Broken(msg)
            events += batch.events[len(events) - batch.seq :]
        return {key: [event for events in of_key.values() for event in events] for key, of_key in by_producer.items()}


class Record:
    """What a reader got, by key. ``None`` stands where it has come again."""

    def __init__(self) -> None:
        self.events: dict[Key, list[Any]] = defaultdict(list)
        self.feed: kt.Feed[Any] | None = None

    def again(self) -> None:
        for events in self.events.values():
            events.append(None)

    def take(self, events: Iterable[Any]) -> None:
        for event in events:
            self.events[event.channel, event.symbol].append(event)


def _plain(event: Any) -> Any:
    """An event, however it came."""
    return msgspec.structs.replace(event, snapshot=False) if hasattr(event, "snapshot") else event


def judge_stream(got: Sequence[Any], stored: Sequence[Any], *, is_book: bool) -> None:
    """``got`` are the stored events from some place on, each once, in order, or a gap in the place of some."""
    plain = [_plain(event) for event in stored]
    at = -1  # the last one that was received
    may_skip = True  # it begins where it likes
    is_back = False
    for event in got:
        if event is None:
            is_back = True
            continue
        if type(event) is kt.Gap:
            may_skip = True
            if at + 1 < len(plain) and plain[at + 1] == event:
                at += 1
            continue
        found = next((number for number in range(at + 1, len(plain)) if plain[number] == _plain(event)), None)
        if found is None and (is_back or may_skip):
            # A state, which may be the one that it was: of a book after any event.
            if is_book and type(event) is kt.BookSnapshot:
                numbers = range(max(0, at), len(plain))
                found = next((number for number in numbers if _is_after(event, plain[number])), None)
            elif not is_book and at >= 0 and plain[at] == _plain(event):
                found = at
        if found is None:
            msg = f"{event!r:.300} was never sent, or comes again, after {plain[at]!r:.300}"
            raise Broken(msg)
        if found > at + 1 and not may_skip:
            msg = f"{found - at - 1} events before {event!r:.200} are missing, and no gap says so"
            raise Broken(msg)
        at, may_skip, is_back = found, False, False
    if may_skip or at < len(plain) - 1:
        msg = f"at the end {len(plain) - 1 - at} are missing"
        raise Broken(msg)


def _is_after(snapshot: Any, event: Any) -> bool:
    """Whether it is the state of a book after this event."""
    return type(event) is not kt.Gap and (snapshot.checksum, snapshot.timestamp, snapshot.received_ns) == (
        event.checksum,
        event.timestamp,
        event.received_ns,
    )


def judge_trades(got: Sequence[Any], last: int) -> None:
    """Each trade once, in order; what is missing stands in a gap."""
    after: int | None = None
    has_gap = True
    for event in got:
        if event is None:
            continue
        if type(event) is kt.Gap:
            has_gap = True
            continue
        if after is not None and event.trade_id <= after:
            msg = f"trade {event.trade_id} after {after}"
            raise Broken(msg)
        if not has_gap and after is not None and event.trade_id != after + 1:
            msg = f"after trade {after} comes {event.trade_id}, and no gap says so"
            raise Broken(msg)
        after, has_gap = event.trade_id, False
    if after != last:
        msg = f"the last trade is {after}, and the exchange's is {last}"
        raise Broken(msg)


def run(seed: int, *, show: bool = False) -> Outcome:
    """Run a seed."""
    began = perf_counter()
    plan = plan_of(seed)
    if show:
        print(attrs.evolve(plan, script=()))
    simulations: list[Simulation] = []

    async def main() -> None:
        simulations.append(Simulation(plan, show=show))
        await simulations[0].run()

    broken: str | None = None
    try:
        run_virtual(main, seed=seed)
    except BaseExceptionGroup as group:
        errors, rest = group.split(Broken)
        if rest is not None or errors is None:
            raise
        broken = str(_leaf(errors))
    except Broken as error:
        broken = str(error)
    (simulation,) = simulations
    gaps: Counter[str] = Counter()
    count = 0
    for record in simulation.readers.values():
        for events in record.events.values():
            count += len(events)
            gaps.update(event.cause.value for event in events if type(event) is kt.Gap)
    return Outcome(
        seed,
        broken,
        count,
        gaps,
        simulation.takeovers,
        simulation.broker.fenced,
        simulation.broker.repeats_dropped,
        len(simulation.archive),
        perf_counter() - began,
    )


def _leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.relay", description=__doc__)
    parser.add_argument("--seeds", type=int, default=50, help="how many runs (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (%(default)s)")
    parser.add_argument("--seed", type=int, help="one run, with everything that happens in it")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        outcome = run(options.seed, show=True)
        print(outcome)
        return 1 if outcome.broken else 0
    outcomes = []
    for outcome in map(partial(run), range(options.first, options.first + options.seeds)):
        outcomes.append(outcome)
        if outcome.broken:
            print(f"{outcome}\n  again: python -m tests.simulation.relay --seed {outcome.seed}", flush=True)
    gaps = sum((outcome.gaps for outcome in outcomes), Counter[str]())
    print(
        f"{len(outcomes)} runs in {sum(outcome.seconds for outcome in outcomes):.0f} s: "
        f"{sum(outcome.events for outcome in outcomes)} events received, gaps {dict(gaps)}, "
        f"{sum(outcome.takeovers for outcome in outcomes)} owners, "
        f"{sum(outcome.fenced for outcome in outcomes)} messages of earlier owners refused, "
        f"{sum(bool(outcome.broken) for outcome in outcomes)} broken"
    )
    return 1 if any(outcome.broken for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
