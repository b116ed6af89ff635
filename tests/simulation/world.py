"""One run: the exchange, the network, and a program with its clients and consumers, on virtual time."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, Final

import attrs
import trio

import kraken_trio as kt
from kraken_trio.admission import ConnectBudget
from kraken_trio.auth.account import RestAccount
from kraken_trio.auth.credentials import Credentials
from kraken_trio.auth.nonce import KeyRing
from kraken_trio.auth.rest import Rest
from kraken_trio.client import open_with
from kraken_trio.testing import open_exchange
from kraken_trio.testing.exchange.rest import ApiKey
from kraken_trio.testing.faults import Drop, DropHow, FillBurst, RefuseConnect, SetStatus, SpeakV1
from kraken_trio.testing.faults.network import LinkFault
from kraken_trio.testing.network.network import Network
from kraken_trio.testing.network.virtual_time import run_virtual
from kraken_trio.testing.oracle.broken import BrokenPromise
from kraken_trio.testing.oracle.oracle import Oracle
from kraken_trio.transport.choice import choose
from tests.simulation.plan import BTC, DEPTHS, EPOCH_NS, LEVEL3_DEPTHS, MARKETS, Clear
from tests.simulation.trace import Trace

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterator, Mapping

    from kraken_trio.book import Level3Book, OrderBook
    from kraken_trio.testing import Exchange
    from kraken_trio.testing.exchange.subscriptions import Subscription
    from kraken_trio.testing.network.link import Link
    from kraken_trio.testing.oracle.feed import FeedOracle
    from kraken_trio.transport import Connect, Limits, Transport
    from tests.simulation.plan import Consumer, Kind, Plan

__all__ = ["Outcome", "run"]

GO_ON_SECONDS: Final = 5.0
"""The market goes on for so long after all is well."""
SETTLE_SECONDS: Final = 10.0
"""After the market has stopped: everything that was sent has arrived by then."""
LEAVE_SLACK: Final = 0.001
KEY: Final = "KeyOfTheSimulation"
SECRET: Final = "c2VjcmV0IG9mIHRoZSBzaW11bGF0aW9u"
REST_PATIENCE: Final = 200.0
"""Seconds in which REST's answers complete what a client of an account knows."""
LATE_NS: Final = 5 * 10**9
"""What is younger may be on its way."""


@attrs.frozen(kw_only=True)
class Outcome:
    """What a run came to."""

    seed: int
    kind: Kind
    theme: str
    digest: str
    virtual_seconds: float
    real_seconds: float
    events: int
    frames: int
    connects: int
    losses: int
    recoveries: int
    gaps: int
    fills_recovered: int
    """That feeds got after an outage."""
    fills_lost: int
    """Of which they got only a gap."""
    too_slow: int
    clients: int
    recovered_within: float
    """Virtual seconds from the end of all faults until all was well again."""
    faults: Counter[str]
    broken: str | None
    """The promise that was broken, and how."""


def run(plan: Plan, *, show: bool = False) -> Outcome:
    """Run it. A broken promise, or an exception that should not be, is part of the outcome."""
    trace = Trace(show=show)
    world = World(plan, trace)
    began = perf_counter()
    broken = None
    try:
        with silence():
            run_virtual(world.run, seed=plan.seed)
    except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 (it is reported, with the seed)
        broken = _words(error)
    return world.outcome(broken, perf_counter() - began)


@contextmanager
def silence() -> Iterator[None]:
    """What the libraries have to say about all these failures is of no use here, and formatting it takes time."""
    loggers = [logging.getLogger(name) for name in ("kraken_trio", "trio-websocket")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _words(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        broken = [exc for exc in error.exceptions if isinstance(exc, BrokenPromise)]
        error = broken[0] if broken else error.exceptions[0]
    if error.__cause__ is not None and not isinstance(error, BrokenPromise):
        return f"{type(error).__name__}: {error}; from {_words(error.__cause__)}"
    return f"{type(error).__name__}: {error}"


class World:
    """The pieces of a run."""

    def __init__(self, plan: Plan, trace: Trace) -> None:
        self.plan = plan
        self.trace = trace
        self.network = Network(seed=plan.seed, conditions=plan.conditions)
        self.exchange: Exchange
        self.oracle: Oracle
        self.client: kt.Client | None = None
        self.epochs: dict[int, int] = {}
        """Of the present client: which connection of the exchange each epoch is."""
        self.watches: dict[int, tuple[FeedOracle, kt.Feed]] = {}
        """Of the consumers that have a feed now."""
        self.is_healed = False
        self.is_over = False
        self.has_dropped = False
        """Whether a connection was dropped at the end of all faults."""
        self.may_end = False
        """Has the exchange refused us for good?"""
        self.leave = trio.Event()
        self.jitter = Random(f"{plan.seed}/jitter")
        self.keys = KeyRing()
        self.events = self.recoveries = self.gaps = self.too_slow = self.clients = 0
        self.frames = self.connects = self.losses = 0
        self.fills_recovered = self.fills_lost = 0
        self.recovered_within = 0.0
        self.ended_at = 0.0

    # The run

    async def run(self) -> None:
        """From the opening of the exchange to the leaving of the last client."""
        plan = self.plan
        try:
            async with open_exchange(
                markets=MARKETS,
                seed=plan.seed,
                rate=plan.rate,
                snapshot_delay=0.05,
                network=self.network,
                epoch_ns=EPOCH_NS,
                account_rate=plan.account_rate,
                keys=(ApiKey(key=KEY, secret=SECRET),),
            ) as self.exchange:
                self.oracle = Oracle(self.exchange, plan.settings, depths_of(plan), trio.current_time)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.break_things)
                    nursery.start_soon(self.leave_sometimes)
                    nursery.start_soon(self.program)
                    await trio.sleep_until(plan.seconds)
                    self.heal()
                    await self.recover()
                    await self.settle()
                    self.is_over = True
                    self.leave.set()
                self.oracle.check_dials(self.network.dials)
        finally:
            self.ended_at = trio.current_time()

    async def break_things(self) -> None:
        for happening in self.plan.script:
            await trio.sleep_until(happening.at)
            fault = happening.fault
            self.trace.note("fault", str(fault))
            self.oracle.happened(fault)
            if isinstance(fault, Drop) and fault.how is DropHow.CLOSE_1008:
                self.may_end = True
            if isinstance(fault, SpeakV1):
                self.may_end = True
            if isinstance(fault, RefuseConnect) and fault.status in (400, 401, 404):
                self.may_end = True
            if isinstance(fault, Clear):
                self.exchange.clear_faults()
            elif isinstance(fault, LinkFault):
                self.network.inject(fault)
            else:
                self.exchange.inject(fault)

    async def leave_sometimes(self) -> None:
        for at in self.plan.leaves:
            await trio.sleep_until(at)
            self.leave.set()

    def heal(self) -> None:
        """All faults end."""
        self.trace.note("fault", "all end")
        self.is_healed = True
        self.exchange.clear_faults()
        self.exchange.inject(SetStatus(system="online"))
        self.network.heal()
        if self.oracle.explanations.injected["SkipSequence"]:
            # A lost message of an account shows only in the number of the next.
            self.exchange.inject(FillBurst(fills=1, symbol=BTC))
        if any(not self.is_noticed(sub) for sub in self.silent()):
            drop = Drop()  # nobody can know that anything is missing
            self.oracle.happened(drop)
            self.exchange.inject(drop)
            self.has_dropped = True

    async def recover(self) -> None:
        """3: within a stated time all that is wanted is there again."""
        began = trio.current_time()
        limit = patience(self.plan)
        # A connection may be dead, and the client does not know it yet.
        await trio.sleep(self.plan.settings.silence_limit + 1)
        while self.missing() is not None:
            if trio.current_time() - began > limit:
                raise BrokenPromise(3, f"{limit:g} s after all faults ended, {self.missing()}")
            if self.silent():
                for symbol in DEPTHS:  # only trades tell
                    await self.exchange.publish(5, symbol)
                await trio.sleep(2.5)
            await trio.sleep(0.5)
        self.recovered_within = trio.current_time() - began
        self.trace.note("world", "recovered")

    def silent(self) -> list[Subscription]:
        """What the exchange has accepted, over the client's connection, and does not serve."""
        present = max(self.oracle.sent.connections, default=0)
        core = self.exchange._core
        return [sub for sub in core.subscriptions if sub.muted and sub.connection.number == present]

    def is_noticed(self, silent: Subscription) -> bool:
        """Does anything else tell of the trades of its symbol?"""
        return any(
            not other.muted and other.channel in ("trade", "ticker", "ohlc") and other.symbol == silent.symbol
            for other in silent.connection.subscriptions.values()
        )

    def missing(self) -> str | None:
        """What is not there yet."""
        if self.client is None:
            return "there is no client"
        if self.client.state is not kt.ConnectionState.SUBSCRIBED:
            return f"the client is {self.client!r}: {dict(self.client.statistics().subscriptions)}"
        if self.silent():
            return f"{self.silent()} are silent"
        for number, consumer in enumerate(self.plan.consumers):
            if not any(come <= trio.current_time() < go for come, go in consumer.visits):
                continue
            watch = self.watches.get(number)
            if watch is None:
                return f"consumer {number} has no feed"
            feed = watch[1]
            books: list[tuple[str, OrderBook | Level3Book]] = [*feed.books.items(), *feed.level3_books.items()]
            for symbol, book in books:
                if not book.available:
                    return f"the book {symbol} of consumer {number} cannot be read"
            account = watch[0].account
            if account is not None and (late := account.behind(self.exchange.time_ns - LATE_NS)) is not None:
                return late
        return None

    async def settle(self) -> None:
        """1, 2, 3: when nothing moves any more, nothing is missing."""
        await trio.sleep(GO_ON_SECONDS)
        self.exchange.pause()
        await trio.sleep(SETTLE_SECONDS)
        if self.missing() is not None:
            raise BrokenPromise(3, f"without any fault, {self.missing()}")
        self.oracle.finish(self.watches.values())

    # The program

    async def program(self) -> None:
        """Open a client; when it is left, or has ended, open another."""
        plan = self.plan
        while not self.is_over:
            self.leave = trio.Event()
            epochs: dict[int, int] = {}
            self.epochs = epochs
            self.clients += 1
            self.oracle.new_client()
            left_at = trio.current_time()
            may_end = self.may_end
            try:
                async with open_with(
                    self.endpoint,
                    settings=plan.settings,
                    ssl_context=None,
                    connect=self.connecting(epochs),
                    wall_ns=wall_ns,
                    jitter=self.jitter.random,
                    admission=ConnectBudget(trio.current_time),
                    account=self.account(),
                ) as client:
                    self.client = client
                    try:
                        await self.use(client)
                    finally:
                        self.count(client)
                        self.client = None
                        left_at = trio.current_time()
                        self.trace.note("program", "leaves its client")
            except kt.ConnectError as error:
                self.trace.note("program", f"{error}")
                if not (error.retryable or self.may_end or may_end):
                    raise BrokenPromise(6, f"the client has ended without a reason: {error}") from error
            took = trio.current_time() - left_at
            if self.client is None and took > plan.settings.close_timeout + LEAVE_SLACK and epochs:
                raise BrokenPromise(5, f"leaving took {took} s")
            still_open = [link for link in self.network.links if not link.client.closed]
            if still_open:
                raise BrokenPromise(5, f"{still_open} are open after the client's block")
            if not self.is_over:
                await trio.sleep(1)

    @property
    def endpoint(self) -> kt.Endpoint | str:
        """To which the clients of this kind connect."""
        exchange = self.exchange
        match self.plan.kind:
            case "private":
                return attrs.evolve(kt.PRIVATE_V2, url=exchange.url_of("auth"))
            case "level3":
                return attrs.evolve(kt.LEVEL3_V2, url=exchange.url_of("l3"))
            case "v1":
                return attrs.evolve(kt.PUBLIC_V1, url=exchange.v1_url)
            case _:
                return exchange.url

    def account(self) -> RestAccount | None:
        """What a client has of the exchange's account, over a REST interface in memory."""
        if self.plan.kind not in ("private", "level3"):
            return None
        rest = Rest(
            credentials=Credentials(KEY, SECRET),
            wall_ns=wall_ns,
            transport=self.exchange.rest_transport(latency=self.plan.conditions.latency[1]),
            keys=self.keys,
        )
        return RestAccount(rest)

    async def use(self, client: kt.Client) -> None:
        """Everything that the program does with a client."""
        async with trio.open_nursery() as nursery:
            for number, consumer in enumerate(self.plan.consumers):
                nursery.start_soon(self.consume, client, number, consumer)
            nursery.start_soon(self.end, client)
            await self.leave.wait()
            nursery.cancel_scope.cancel()

    async def end(self, client: kt.Client) -> None:
        """Leave when the client has come to its end."""
        try:
            while True:
                await client.wait_for(kt.ConnectionState.CONNECTING)
                await trio.sleep(1)
        except kt.ConnectError as error:
            self.trace.note("program", f"the client has ended: {error}")
            if not self.may_end:
                raise BrokenPromise(6, f"the client has ended without a reason: {error}") from error
            await trio.sleep(5)  # its feeds are told as well
            self.leave.set()

    async def consume(self, client: kt.Client, number: int, consumer: Consumer) -> None:
        """One part of the program: comes, reads, rests, goes, and comes again."""
        name = f"consumer {number}"
        for come, go in consumer.visits:
            if go <= trio.current_time():
                continue
            await trio.sleep_until(come)
            with trio.CancelScope(deadline=go):
                while True:
                    try:
                        await self.visit(client, number, consumer)
                    except kt.ConsumerTooSlow as error:
                        self.trace.note(name, f"{error}")
                        self.too_slow += 1
                        if not consumer.rests:
                            raise BrokenPromise(6, f"{name} reads at once, and is told: {error}") from error
                    except kt.SubscriptionRejected as error:
                        self.trace.note(name, f"{error}")
                        self.rejected(name, error)
                    except kt.ConnectError as error:
                        self.trace.note(name, f"{error}")
                        await trio.sleep_forever()  # `end` sees to it
                    await trio.sleep(3)

    def rejected(self, name: str, error: kt.SubscriptionRejected) -> None:
        for request in error.reasons:
            if not self.oracle.may_reject(request):
                raise BrokenPromise(6, f"{name}: {error} without a reason")

    async def visit(self, client: kt.Client, number: int, consumer: Consumer) -> None:
        """One subscription, from its first event to its last."""
        name = f"consumer {number}"
        async with client.subscribe(*consumer.requests, capacity=consumer.capacity, overflow=consumer.overflow) as feed:
            self.trace.note(name, "has a feed")
            watch = self.oracle.watch(name, feed, self.epochs)
            self.watches[number] = watch, feed
            rests = [rest for rest in consumer.rests if rest[0] + rest[1] > trio.current_time()]
            try:
                while True:
                    while rests and rests[0][0] <= trio.current_time():
                        at, length = rests.pop(0)
                        await trio.sleep_until(at + length)
                    events = await receive(feed, consumer)
                    for event in events:
                        self.trace.event(name, event)
                        watch.saw(event)
                    watch.check_books(feed.books)
                    watch.check_level3(feed.level3_books)
                    last = events[-1]
                    if isinstance(last, kt.Gap) and last.cause is kt.Cause.REFUSED:
                        return  # asked for again, and answered, by the next visit
            finally:
                self.oracle.check_buffered(name, feed)
                self.events += watch.events
                self.recoveries += watch.recoveries
                if watch.account is not None:
                    self.fills_recovered += watch.account.recovered
                    self.fills_lost += watch.account.lost
                del self.watches[number]

    def count(self, client: kt.Client) -> None:
        numbers = client.statistics()
        self.frames += numbers.frames
        self.connects += numbers.connects
        self.losses += numbers.losses
        self.gaps += numbers.gaps
        is_public = self.plan.kind == "public"
        if is_public and numbers.losses > self.has_dropped and self.plan.theme in ("symbol", "consumers", "calm"):
            raise BrokenPromise(6, f"{numbers.losses} connections were lost, and nothing was wrong with them")

    # The seams of the client

    def connecting(self, epochs: dict[int, int]) -> Connect:
        """The client's real transport, over this network; what it sends is looked at."""
        world = self
        links: list[Link] = []

        async def open_stream(host: str, port: int) -> trio.abc.Stream:
            world.trace.note("client", "dials")
            stream = await world.network.open_stream(host, port)
            links.append(stream.link)
            return stream

        real = choose(self.plan.transport, open_stream)

        @asynccontextmanager
        async def connect(url: str, *, ssl_context: ssl.SSLContext | None, limits: Limits) -> AsyncIterator[Transport]:
            async with real(url, ssl_context=ssl_context, limits=limits) as transport:
                link = links[-1].number
                number = next(j.connection for j in reversed(world.exchange.journal) if j.link == link)
                world.oracle.connected(number)
                epochs[len(epochs) + 1] = number
                world.trace.note("client", f"has connection {number}")
                yield Observed(transport, world)

        return connect

    def outcome(self, broken: str | None, real_seconds: float) -> Outcome:
        """What it came to."""
        return Outcome(
            seed=self.plan.seed,
            kind=self.plan.kind,
            theme=self.plan.theme,
            digest=self.trace.digest,
            virtual_seconds=self.ended_at,
            real_seconds=real_seconds,
            events=self.events,
            frames=self.frames,
            connects=self.connects,
            losses=self.losses,
            recoveries=self.recoveries,
            gaps=self.gaps,
            fills_recovered=self.fills_recovered,
            fills_lost=self.fills_lost,
            too_slow=self.too_slow,
            clients=self.clients,
            recovered_within=self.recovered_within,
            faults=self.oracle.explanations.injected if hasattr(self, "oracle") else Counter(),
            broken=broken,
        )


async def receive(feed: kt.Feed, consumer: Consumer) -> list[kt.Event]:
    """The next events, in the way in which the consumer takes them."""
    if consumer.iterates:
        return [await anext(feed)] if consumer.batch == 1 else await anext(feed.batches(consumer.batch))
    return [await feed.receive()] if consumer.batch == 1 else await feed.receive_many(consumer.batch)


class Observed:
    """A transport whose sends are seen."""

    def __init__(self, transport: Transport, world: World) -> None:
        self._transport = transport
        self._world = world
        self.receive = transport.receive

    async def send(self, text: str) -> None:
        self._world.oracle.asked(text)
        await self._transport.send(text)


def depths_of(plan: Plan) -> Mapping[str, int]:
    """The depth of each symbol's book, of which a client may want only one."""
    return LEVEL3_DEPTHS if plan.kind == "level3" else DEPTHS


def wall_ns() -> int:
    """A wall clock that follows Trio's."""
    return EPOCH_NS + round(trio.current_time() * 1e9)


def patience(plan: Plan) -> float:
    """Seconds within which all must be well again: the longest waits of the client, one after another."""
    settings = plan.settings
    reconnect = max(settings.retry_delay_max, settings.refused_delay_max) * 1.25 + settings.connect_timeout
    asking = (settings.answer_timeout + settings.snapshot_timeout + settings.attempt_delay_max) * 2
    silence = max(settings.stale_after, settings.park_time) * 1.5
    account = REST_PATIENCE if plan.kind == "private" else 0.0
    return (
        silence + settings.silence_limit + reconnect + asking + settings.park_time + settings.stall_limit + account + 30
    )
