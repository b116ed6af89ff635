"""Faults over real sockets, one after the other, and a judgement: the client recovers, and loses nothing silently.

A *set* is a fake exchange, a proxy before it and a client, with a feed of books and trades. Each *round* of it lets
something go wrong, waits until it has (never for so many seconds), makes it good again, lets the market stand still,
and waits until every book of the feed is the exchange's. In the end all that the exchange sent is compared with all
that the feed yielded, by the oracle that judges ``kraken-trio demo`` as well.

In a *killed* set the exchange is a process, which is killed and comes back on the same port. Nobody knows then what it
has sent; so its events are held against a model of the book, and its books against its own.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Self

import attrs
import trio

import kraken_trio as kt
from kraken_trio.testing import (
    DEFAULT_MARKETS,
    CorruptChecksum,
    CorruptLevel,
    Cut,
    Delay,
    Drop,
    DropHow,
    Exchange,
    Proxy,
    ReferenceBook,
    Reset,
    SkipUpdate,
    Split,
    Stall,
    Tear,
    Throttle,
    Unreachable,
    open_exchange,
    open_proxy,
)
from kraken_trio.testing.oracle.broken import BrokenPromise
from kraken_trio.testing.oracle.feed import FeedOracle
from kraken_trio.testing.oracle.sent import Sent
from kraken_trio.transport.choice import choose
from tests.chaos.summary import Summary

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from kraken_trio.testing import NetworkFault
    from kraken_trio.transport import Limits, Transport
    from kraken_trio.transport.choice import TransportName

__all__ = ["KINDS", "Report", "Story", "killed_set", "proxied_set"]

BOOKS: Final = (kt.Book("BTC/USD", 10), kt.Book("ETH/USD", 25), kt.Book("XRP/USD", 100))
REQUESTS: Final[tuple[kt.Request, ...]] = (*BOOKS, *(kt.Trades(book.symbol) for book in BOOKS))
MARKETS: Final = tuple(spec for spec in DEFAULT_MARKETS if spec.symbol in {book.symbol for book in BOOKS})
SETTINGS: Final = kt.Settings(
    connect_timeout=3.0,
    close_timeout=0.3,
    ping_after=0.8,
    silence_limit=1.8,
    send_timeout=3.0,
    quick_retries=1_000_000,
    quick_delay=0.05,
    retry_delay=0.2,
    retry_delay_max=1.0,
    answer_timeout=2.0,
    snapshot_timeout=2.0,
    attempt_delay=0.05,
    attempt_delay_max=0.5,
    attempts=30,
)
"""Quick, because faults come quickly; and patient with a machine that is busy."""

RATE: Final = 150.0
"""Market events per second."""
RECOVERY_LIMIT: Final = 60.0
"""Seconds from the end of a fault until all is well. It mostly takes milliseconds; a busy machine needs more."""
CONNECTS_PER_SET: Final = 90
"""Then a new set begins, on new ports: more connects to one in ten minutes are refused by the client itself."""


@attrs.define
class Report(Summary):
    """What has happened, all in all."""

    reconnects: int = 0
    resyncs: int = 0
    gaps: int = 0

    def add(self, numbers: kt.ClientStatistics) -> None:
        self.sets += 1
        self.reconnects += max(0, numbers.connects - 1)
        self.resyncs += numbers.resyncs
        self.events += numbers.events
        self.gaps += numbers.gaps
        self.checksums += numbers.checksums_verified

    def details(self) -> list[str]:
        return [f"{self.reconnects} reconnects, {self.resyncs} resyncs, {self.events:,} events, {self.gaps} gaps"]


@attrs.define(eq=False)
class Story:
    """One set."""

    client: kt.Client
    feed: kt.Feed
    choice: random.Random
    report: Report
    history: list[kt.Event] = attrs.Factory(list)
    news: trio.Event = attrs.Factory(trio.Event)

    async def consume(self) -> None:
        """The program of a user."""
        while True:
            self.history += await self.feed.receive_many(1024)
            self.news.set()
            self.news = trio.Event()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until it is true; it is asked again after each batch of events, and every now and then."""
        while not condition():
            with trio.move_on_after(0.02):
                await self.news.wait()

    async def events(self, count: int) -> None:
        """Wait for so many more."""
        end = len(self.history) + count
        await self.until(lambda: len(self.history) >= end)

    async def loss(self) -> None:
        """Wait until the connection that there is now is known to be lost."""
        epoch = self.client.statistics().epoch
        await self.until(lambda: self.client.statistics().losses >= epoch)

    async def barrier(self) -> None:
        """Wait until all that the exchange has sent is in the history: what is answered last was sent last."""
        async with self.client.subscribe(kt.Instruments()):
            pass
        await self.client.wait_for(kt.ConnectionState.SUBSCRIBED)
        await self.until(lambda: not self.feed.statistics().buffered)
        for _ in range(3):  # what was handed over is looked at in the consumer's next turn
            await trio.lowlevel.checkpoint()

    async def recover(self, kind: str, ask: Callable[[kt.Book], Awaitable[ReferenceBook]]) -> None:
        """The fault is over, and the market stands still: wait until all books are the exchange's."""
        self.report.faults[kind] += 1
        began = trio.current_time()
        with trio.move_on_after(RECOVERY_LIMIT) as scope:
            await self.barrier()
            while not all([await self._is_same(wanted, ask) for wanted in BOOKS]):
                await trio.sleep(0.02)
                await self.barrier()
        if scope.cancelled_caught:
            self.report.broken.append(
                f"{kind}: no recovery within {RECOVERY_LIMIT:g} s: {self.client}, {self.feed.books}"
            )
        self.report.recovered(kind, trio.current_time() - began)
        self.report.compared += len(BOOKS)

    async def _is_same(self, wanted: kt.Book, ask: Callable[[kt.Book], Awaitable[ReferenceBook]]) -> bool:
        theirs = await ask(wanted)
        book = self.feed.books[wanted.symbol]
        return book.available and theirs.same_levels(_texts(book.bids), _texts(book.asks))


def _texts(levels: Sequence[kt.Level]) -> list[tuple[str, str]]:
    return [(f"{level.price:f}", f"{level.qty:f}") for level in levels]


# -- a proxy between ------------------------------------------------------------------------------------------------


@attrs.define
class Tap:
    """A client's transport, which remembers what was said on which connection: by this epochs are known."""

    transport: TransportName
    said: dict[str, int] = attrs.Factory(dict)
    """Each request is unique, by its number."""
    epoch: int = 0

    @asynccontextmanager
    async def connect(
        self, url: str, *, ssl_context: ssl.SSLContext | None, limits: Limits
    ) -> AsyncIterator[Transport]:
        async with choose(self.transport)(url, ssl_context=ssl_context, limits=limits) as inner:
            self.epoch += 1
            yield _Tapped(inner, self)


@attrs.define
class _Tapped:
    inner: Transport
    tap: Tap
    epoch: int = 0

    def __attrs_post_init__(self) -> None:
        self.epoch = self.tap.epoch

    async def receive(self) -> list[str | bytes]:
        return await self.inner.receive()

    async def send(self, text: str) -> None:
        self.tap.said[text] = self.epoch
        await self.inner.send(text)


@attrs.define(eq=False)
class Proxied(Story):
    """With the exchange in this process: everything that it sent is known."""

    exchange: Exchange = attrs.field(kw_only=True)
    proxy: Proxy = attrs.field(kw_only=True)
    tap: Tap = attrs.field(kw_only=True)
    opened_ns: int = attrs.field(kw_only=True)
    """When the feed was opened, by the exchange's clock."""

    async def play(self, kind: str) -> None:
        """One round."""
        self.exchange.resume()
        await self.events(self.choice.randint(5, 20))
        await KINDS[kind](self)
        self.proxy.clear_faults()
        self.exchange.clear_faults()
        self.exchange.pause()
        for book in BOOKS:  # so that a book which is wrong is found out
            await self.exchange.publish(10, book.symbol)
        await self.recover(kind, self._ask)

    async def _ask(self, wanted: kt.Book) -> ReferenceBook:
        await trio.lowlevel.checkpoint()
        return self.exchange.book(wanted.symbol, wanted.depth)

    async def lasting(self, fault: NetworkFault) -> None:
        """Let the network be so while events come; it may be too bad for that, and the connection be given up."""
        self.proxy.inject(fault)
        end, losses = len(self.history) + self.choice.randint(10, 40), self.client.statistics().losses
        await self.until(lambda: len(self.history) >= end or self.client.statistics().losses > losses)

    async def ending(self, fault: NetworkFault | Drop) -> None:
        """Let the connection end, and be made again; now and then only after some attempts in vain."""
        unreachable = self.choice.random() < 0.3
        if unreachable:
            self.proxy.inject(Unreachable())
        if isinstance(fault, Drop):
            self.exchange.inject(fault)
        else:
            self.proxy.inject(fault)
        await self.loss()
        if unreachable:
            attempts = self.client.statistics().attempts
            await self.until(lambda: self.client.statistics().attempts >= attempts + 2)
        self.proxy.clear_faults()

    async def damaged(self, fault: SkipUpdate | CorruptLevel | CorruptChecksum) -> None:
        """Let the exchange be wrong until it is noticed: what the next message undoes is not, and comes again."""
        before = self.client.statistics().resyncs
        while self.client.statistics().resyncs == before:
            if not self.exchange.faults:
                self.exchange.inject(fault)
            await self.exchange.publish(5, fault.symbol)
            await self.events(1)

    def judge(self) -> None:
        """Compare all that was sent with all that came."""
        numbers = {self.tap.said[str(request.data)]: request.connection for request in self.exchange.requests}
        sent = Sent(self.exchange.journal, {book.symbol: book.depth for book in BOOKS})
        for number in numbers.values():
            sent.connected(number).read()
        feed = FeedOracle("the feed", REQUESTS, sent, numbers, opened_ns=self.opened_ns)
        try:
            for event in self.history:
                feed.saw(event)
            missing = feed.behind(sent.latest)
            if missing is not None:
                self.report.broken.append(missing)
        except BrokenPromise as error:
            self.report.broken.append(f"{error} (event {feed.events})")


async def _cut_twice(story: Proxied) -> None:
    """The second one amid the recovery from the first."""
    await story.ending(Cut())
    story.proxy.inject(Delay(seconds=0.2))
    await story.until(lambda: story.client.state is not kt.ConnectionState.DISCONNECTED)
    story.proxy.inject(Reset())
    await story.loss()


async def _all_at_once(story: Proxied) -> None:
    """A network that is bad in every way, and then ends."""
    story.proxy.inject(Split(max_bytes=50))
    story.proxy.inject(Delay(seconds=0.05))
    await story.lasting(Throttle(bytes_per_second=40_000))
    await story.ending(Tear())


ENDINGS: Final = tuple(how for how in DropHow if how is not DropHow.CLOSE_1008)

KINDS: Final[dict[str, Callable[[Proxied], Awaitable[None]]]] = {
    "cut": lambda story: story.ending(Cut()),
    "reset": lambda story: story.ending(Reset()),
    "tear": lambda story: story.ending(Tear()),
    "stall": lambda story: story.ending(Stall()),
    "throttle": lambda story: story.lasting(Throttle(bytes_per_second=story.choice.choice([5_000, 20_000, 60_000]))),
    "split": lambda story: story.lasting(Split(max_bytes=story.choice.choice([1, 7, 100]))),
    "delay": lambda story: story.lasting(Delay(seconds=story.choice.uniform(0.01, 0.3))),
    "cut twice": _cut_twice,
    "all at once": _all_at_once,
    "drop": lambda story: story.ending(Drop(how=story.choice.choice(ENDINGS))),
    "skip": lambda story: story.damaged(SkipUpdate(symbol=story.choice.choice(BOOKS).symbol)),
    "corrupt level": lambda story: story.damaged(CorruptLevel(symbol=story.choice.choice(BOOKS).symbol)),
    "corrupt checksum": lambda story: story.damaged(CorruptChecksum(symbol=story.choice.choice(BOOKS).symbol)),
}
"""What can go wrong between a client and an exchange."""


async def proxied_set(
    report: Report, transport: TransportName, seed: int, kinds: Callable[[Story], str | None]
) -> Proxied:
    """Play rounds of the kinds that ``kinds`` says, until it says None or the set is full. Then judge."""
    tap = Tap(transport)
    async with (
        open_exchange(markets=MARKETS, seed=seed, rate=RATE, snapshot_delay=0.02) as exchange,
        open_proxy(exchange.url, seed=seed) as proxy,
        kt.open_client(proxy.url, settings=SETTINGS, transport=tap.connect) as client,
        client.subscribe(*REQUESTS, capacity=16_384) as feed,
        trio.open_nursery() as nursery,
    ):
        choice = random.Random(seed)
        story = Proxied(
            client, feed, choice, report, exchange=exchange, proxy=proxy, tap=tap, opened_ns=exchange.time_ns
        )
        nursery.start_soon(story.consume)
        while client.statistics().attempts < CONNECTS_PER_SET and (kind := kinds(story)) is not None:
            await story.play(kind)
        nursery.cancel_scope.cancel()
    story.judge()
    report.add(client.statistics())
    return story


# -- a process that is killed -----------------------------------------------------------------------------------------


class ExchangeProcess:
    """The exchange as a process: what it is asked on its standard input it answers on its standard output."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self._answers = b""
        self.url: str = ""

    @classmethod
    async def start(cls, *, port: int, seed: int) -> Self:
        command = [sys.executable, "-m", "kraken_trio.testing", f"--port={port}", f"--seed={seed}", f"--rate={RATE}"]
        process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started = cls(process)
        started.url = (await started._answer())["url"]
        return started

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2].partition("/")[0])

    async def ask(self, line: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        await self.process.stdin.send_all(f"{line}\n".encode())
        return await self._answer()

    async def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        while b"\n" not in self._answers:
            data = await self.process.stdout.receive_some()
            assert data, "the exchange has ended"
            self._answers += data
        line, _, self._answers = self._answers.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        assert "error" not in answer, answer
        return answer

    async def kill(self) -> None:
        """As the kernel does when memory runs out: nothing is said, nothing is flushed."""
        self.process.kill()
        with trio.CancelScope(shield=True):
            await self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                assert pipe is not None
                await trio.aclose_forcefully(pipe)


@attrs.define(eq=False)
class Killed(Story):
    """With an exchange that is killed."""

    async def play(self, seed: int, exchange: ExchangeProcess) -> ExchangeProcess:
        """Kill it, and let it come back on the same port, with another market."""
        await exchange.ask("resume")
        await self.events(self.choice.randint(20, 100))
        await exchange.kill()
        await self.loss()
        attempts = self.client.statistics().attempts
        in_vain = self.choice.randint(0, 2)
        await self.until(lambda: self.client.statistics().attempts >= attempts + in_vain)
        again = await ExchangeProcess.start(port=exchange.port, seed=seed)
        await self.events(5)
        await again.ask("pause")

        async def ask(wanted: kt.Book) -> ReferenceBook:
            told = await again.ask(f"book {wanted.symbol} {wanted.depth}")
            return ReferenceBook(wanted.depth, bids=map(tuple, told["bids"]), asks=map(tuple, told["asks"]))

        await self.recover("kill", ask)
        return again

    def judge(self) -> None:
        """Hold every event against a model, and against the one before it."""
        models = {book.symbol: ReferenceBook(book.depth) for book in BOOKS}
        gapped: set[tuple[str | None, str | None]] = set()
        epochs = {(request.channel, request.symbol): 0 for request in REQUESTS}
        last_trade: dict[str, int] = {}
        for number, event in enumerate(self.history):
            if isinstance(event, kt.Gap):
                gapped.add((event.channel, event.symbol))
                last_trade.pop(event.symbol or "", None)
                continue
            if not isinstance(event, kt.BookSnapshot | kt.BookUpdate | kt.Trade):
                continue
            key = ("trade" if isinstance(event, kt.Trade) else "book", event.symbol)
            if event.epoch != epochs[key]:
                if epochs[key] and key not in gapped:
                    self.report.broken.append(f"event {number}, {key}: epoch {event.epoch} without a gap before it")
                epochs[key] = event.epoch
            gapped.discard(key)
            if isinstance(event, kt.Trade):
                assert event.trade_id is not None  # v2 numbers them
                if event.trade_id != last_trade.get(event.symbol, event.trade_id - 1) + 1:
                    self.report.broken.append(
                        f"event {number}: trade {event.trade_id} of {event.symbol} is out of order"
                    )
                last_trade[event.symbol] = event.trade_id
            else:
                model = models[event.symbol]
                change = model.load if isinstance(event, kt.BookSnapshot) else model.apply
                change(bids=_texts(event.bids), asks=_texts(event.asks))
                if model.checksum() != event.checksum:
                    self.report.broken.append(f"event {number}: the book of {event.symbol} is wrong")


async def killed_set(report: Report, transport: TransportName, seed: int, more: Callable[[Story], bool]) -> Killed:
    """Kill the exchange again and again, as long as ``more`` says so or the set is full. Then judge."""
    exchange = await ExchangeProcess.start(port=0, seed=seed)
    try:
        async with (
            kt.open_client(exchange.url, settings=SETTINGS, transport=transport) as client,
            client.subscribe(*REQUESTS, capacity=16_384) as feed,
            trio.open_nursery() as nursery,
        ):
            story = Killed(client, feed, random.Random(seed), report)
            nursery.start_soon(story.consume)
            while client.statistics().attempts < CONNECTS_PER_SET and more(story):
                seed += 1
                exchange = await story.play(seed, exchange)
            nursery.cancel_scope.cancel()
    finally:
        await exchange.kill()  # noqa: ASYNC102 (it shields itself, and what is killed ends)
    story.judge()
    report.add(client.statistics())
    return story
