"""Faults of a relay, one after the other, over real processes and sockets; and a judgement after each.

A *set* is a fake exchange in this process, ``kraken-trio relay`` with two shards and a standby for each, a broker, and
two programs that read (:mod:`tests.chaos.reading`), with a proxy in each link. Each *round* breaks something, waits
until it has had its effect (never for so many seconds), mends it, lets the market stand still, and waits until the
books of all readers are the exchange's. In the end all that each reader was given, over all its lives, is held against
all that the exchange has sent (:mod:`tests.chaos.accounts`).
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter, deque
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

import attrs
import msgspec
import trio

from kraken_trio.testing import (
    DEFAULT_MARKETS,
    Cut,
    Delay,
    Exchange,
    Proxy,
    Reset,
    Stall,
    Tear,
    open_exchange,
    open_proxy,
)
from tests.chaos.accounts import Account, Market, Restart, Told
from tests.chaos.reading import SYMBOLS, batches
from tests.chaos.summary import Summary
from tests.waiting import until as until_within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from kraken_trio.testing import NetworkFault

__all__ = ["BROKERS", "RelayReport", "RelayStory", "kinds_of", "relayed_set"]

MARKETS: Final = tuple(spec for spec in DEFAULT_MARKETS if spec.symbol in SYMBOLS)
RATE: Final = 60.0
"""Market events per second: ten processes share a machine that may be small."""
SHARDS: Final = 2
KEYFRAME_EVERY: Final = 2.0
RECOVERY_LIMIT: Final = 240.0
"""Seconds from the end of a fault until all is well, and for a fault to have its effect. Mostly it takes a few."""
KILLS_IN_A_ROW: Final = 5
"""Of one shard's process; then the supervisor is begun anew: its delays grow with each, and one day it gives up."""
LOOK_AGAIN: Final = 0.1
"""Seconds."""
LAST_LINES: Final = 30
LAST_WORDS: Final = 3000
"""Characters."""


@attrs.define
class RelayReport(Summary):
    """What has happened, all in all."""

    takeovers: int = 0
    restarts: int = 0
    """Of readers."""
    updates: int = 0
    sent_updates: int = 0
    trades: int = 0
    again: int = 0
    gaps: Counter[str] = attrs.Factory(Counter)

    def add(self, account: Account) -> None:
        self.restarts += account.restarts
        self.events += account.events
        self.updates += account.updates
        self.sent_updates += account.market.updates.total()
        self.trades += account.trades
        self.checksums += account.checksums
        self.again += account.again
        self.gaps += account.gaps
        self.broken += account.problems

    def details(self) -> list[str]:
        gaps = ", ".join(f"{cause} {count}" for cause, count in sorted(self.gaps.items())) or "none"
        return [
            f"{self.takeovers} times a shard got another owner; {self.restarts} readers went on from a stored place",
            f"{self.events:,} events: {self.trades:,} trades, {self.updates:,} updates of {self.sent_updates:,}",
            f"gaps: {gaps}; {self.again:,} updates came again after one",
        ]


# -- brokers ----------------------------------------------------------------------------------------------------------


class Server(Protocol):
    """A broker's process, which may be killed and comes back with what it has stored."""

    def start(self) -> None: ...
    def kill(self) -> None: ...


@attrs.frozen
class Brokers:
    """The servers of a broker; where each is; and the rest of the URL."""

    servers: Sequence[Server]
    addresses: Sequence[str]
    scheme: str
    query: str = ""
    has_proxies: bool = True
    """Kafka's clients ask where the broker is, and go there."""

    def url(self, addresses: Sequence[str]) -> str:
        return f"{self.scheme}://{','.join(addresses)}/chaos{self.query}"


@contextmanager
def one_nats() -> Iterator[Brokers]:
    from tests.broker.nats_server import run_server

    with run_server() as server:
        yield Brokers([server], [f"127.0.0.1:{server.port}"], "nats")


@contextmanager
def three_nats() -> Iterator[Brokers]:
    from tests.broker.nats_server import run_cluster

    with run_cluster(3) as servers:
        yield Brokers(servers, [f"127.0.0.1:{server.port}" for server in servers], "nats", "?replicas=3")


@contextmanager
def kafka() -> Iterator[Brokers]:
    from tests.broker.kafka_server import kafka_server

    with kafka_server() as server:
        yield Brokers([server], [server.address], "kafka", has_proxies=False)


@contextmanager
def three_kafkas() -> Iterator[Brokers]:
    from tests.broker.kafka_server import kafka_cluster

    with kafka_cluster(3) as servers:
        yield Brokers(servers, [server.address for server in servers], "kafka", has_proxies=False)


BROKERS: Final = {"nats": one_nats, "cluster": three_nats, "kafka": kafka, "kafka-cluster": three_kafkas}


until: Final = partial(until_within, within=inf, every=LOOK_AGAIN)
"""The limits are those of a round."""


# -- processes --------------------------------------------------------------------------------------------------------


def is_there(pid: int) -> bool:
    """Whether the process runs, or is stopped: not if it waits for its parent to notice its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


class Relay:
    """``kraken-trio relay``, and what its log says of its shards."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.pids: dict[str, int] = {}
        """By the names of programs: ``0/2``, ``0/2 standby``."""
        self.ready: set[str] = set()
        self.owners: dict[int, str] = {}
        """The program that was the last to become the owner, by shard."""
        self.begun: Counter[int] = Counter()
        """How often a shard got an owner."""
        self.kills: Counter[str] = Counter()
        self.lines: deque[str] = deque(maxlen=LAST_LINES)
        self.trouble: list[str] = []
        """What may never be said."""

    @classmethod
    async def start(cls, exchange: str, broker: str) -> Relay:
        command = [
            *(sys.executable, "-m", "kraken_trio", "relay", "--symbols", ",".join(SYMBOLS)),
            *("--channel", "book:10,trades", "--to", broker, "--shards", str(SHARDS), "--standby"),
            *("--keyframe-every", str(KEYFRAME_EVERY), "--url", exchange, "--log-format", "json"),
        ]
        process = await trio.lowlevel.open_process(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        return cls(process)

    async def follow(self) -> None:
        """Read its log to its end."""
        rest = b""
        assert self.process.stderr is not None
        async for data in self.process.stderr:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._take(line)

    def _take(self, line: bytes) -> None:
        self.lines.append(line.decode("utf-8", "replace"))
        try:
            told: dict[str, Any] = json.loads(line)
        except ValueError:
            self.trouble.append(self.lines[-1])
            return
        event, name = told.get("event"), told.get("shard", "")
        if event == "shard_started":
            self.pids[name] = told["pid"]
            self.ready.discard(name)
        elif event == "shard_ready":
            self.ready.add(name)
        elif event in {"owner_begun", "owner_resumed"}:
            shard = int(name.partition("/")[0])
            self.owners[shard] = name
            self.begun[shard] += event == "owner_begun"
        elif event in {"shard_given_up", "shard_says", "message_too_large"}:
            self.trouble.append(self.lines[-1])

    def standby_of(self, shard: int) -> str:
        """The program that is not the owner."""
        name = f"{shard}/{SHARDS}"
        return f"{name} standby" if self.owners.get(shard) == name else name

    def signal(self, name: str, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pids[name], number)

    def kill(self, name: str) -> None:
        self.kills[name] += 1
        self.ready.discard(name)
        self.signal(name, signal.SIGKILL)

    async def end(self) -> None:
        """Kill the supervisor, and wait until its shards have noticed."""
        self.process.kill()
        with trio.CancelScope(shield=True):
            await self.process.wait()
            await until(lambda: not any(map(is_there, self.pids.values())))


class ReaderEnded(Exception):  # noqa: N818 (it says what happened)
    """A reader has ended by itself."""


class Reader:
    """A program that reads, over all its lives."""

    def __init__(self, name: str, url: str, file: Path) -> None:
        self.name = name
        self.history: list[Told] = []
        self._url = url
        self._file = file
        self._said = file.with_suffix(".stderr")
        self._read = 0
        self._process: trio.Process | None = None
        self._answers = b""

    async def start(self) -> None:
        """Start it, and wait until it has subscribed."""
        command = [sys.executable, "-m", "tests.chaos.reading", self._url, str(self._file)]
        with self._said.open("ab") as said:
            self._process = await trio.lowlevel.open_process(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said
            )
        self._answers = b""
        await self._answer()

    async def kill(self, *, goes_on: bool = True) -> None:
        """As ``kill -9``: what it has written is what it has received."""
        process = self._process
        if process is None:
            return
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                await trio.aclose_forcefully(pipe)
        self._process = None
        self.look()
        if goes_on:
            self.history.append(Restart())

    def look(self) -> None:
        """Read what is new in its file."""
        if not self._file.exists():
            return
        with self._file.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        self._read += whole
        for batch in batches(data[:whole]):
            self.history += batch.decoded()

    async def books(self) -> dict[str, Any]:
        """What it sees now."""
        assert self._process is not None
        assert self._process.stdin is not None
        await self._process.stdin.send_all(b"books\n")
        return await self._answer()

    async def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        while b"\n" not in self._answers:
            data = await self._process.stdout.receive_some()
            if not data:
                await self._process.wait()
                said = self._said.read_text("utf-8", "replace")
                msg = f"{self.name} has ended with {self._process.returncode}: {said[-LAST_WORDS:]}"
                raise ReaderEnded(msg)
            self._answers += data
        line, _, self._answers = self._answers.partition(b"\n")
        answer: dict[str, Any] = msgspec.json.decode(line)
        return answer


# -- a set ------------------------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class RelayStory:
    """One set."""

    exchange: Exchange
    brokers: Brokers
    at_exchange: Proxy
    at_relay: Sequence[Proxy]
    """Before the broker, as the relay sees it; none if it cannot be had."""
    at_readers: Sequence[Proxy]
    to: str
    """The broker's URL for the relay."""
    nursery: trio.Nursery
    choice: random.Random
    report: RelayReport
    readers: list[Reader] = attrs.Factory(list)
    relay: Relay = attrs.field(init=False)

    async def begin_relay(self) -> None:
        self.relay = await Relay.start(self.at_exchange.url, self.to)
        self.nursery.start_soon(self.relay.follow)

    async def end_relay(self) -> None:
        self.report.takeovers += max(0, self.relay.begun.total() - SHARDS)
        self.report.broken += [f"the relay said: {line}" for line in self.relay.trouble]
        await self.relay.end()

    async def last(self, least: float, most: float) -> None:
        """How long a fault lasts. Nothing depends on it."""
        await trio.sleep(self.choice.uniform(least, most))

    async def all_ready(self) -> None:
        """Each shard has an owner, and a standby."""
        await until(lambda: len(self.relay.ready) == 2 * SHARDS and len(self.relay.owners) == SHARDS)

    async def play(self, kind: str) -> None:
        """One round."""
        self.exchange.resume()
        began = trio.current_time()
        stage = "before it"
        try:
            with trio.move_on_after(2 * RECOVERY_LIMIT) as scope:
                await self.all_ready()
                await self.last(0, 1)
                stage = "its effect"
                await kinds_of(self.brokers)[kind](self)
                self.report.faults[kind] += 1
                for proxy in (self.at_exchange, *self.at_relay, *self.at_readers):
                    proxy.clear_faults()
                began = trio.current_time()
                stage = "recovery"
                self.exchange.pause()
                for symbol in SYMBOLS:  # so that there is something to be received, and a wrong book is found out
                    await self.exchange.publish(10, symbol)
                await self.until_same()
        except ReaderEnded as error:
            self.report.broken.append(f"{kind}: {stage}: {error}")
            return
        if scope.cancelled_caught:
            log = "\n    ".join(self.relay.lines)
            self.report.broken.append(f"{kind}: {stage} took too long; {await self.state()}\n    {log}")
        self.report.recovered(kind, trio.current_time() - began)

    async def until_same(self) -> None:
        """Until each reader has all books of the exchange, and its last trades."""
        while True:
            if not await self.differences():
                break
            await trio.sleep(LOOK_AGAIN)
        self.report.compared += len(SYMBOLS) * len(self.readers)

    async def differences(self) -> list[str]:
        found = []
        for reader in self.readers:
            books = await reader.books()
            for symbol, depth in SYMBOLS.items():
                mine, theirs = books[symbol], self.exchange.book(symbol, depth)
                if mine is None:
                    found.append(f"{reader.name} has no book of {symbol}")
                elif not theirs.same_levels(*([tuple(level) for level in side] for side in mine)):
                    found.append(f"{reader.name} has another book of {symbol}")
        return found

    async def state(self) -> str:
        with trio.move_on_after(RECOVERY_LIMIT, shield=True):
            return f"owners {self.relay.owners}, ready {sorted(self.relay.ready)}, {await self.differences()}"
        return "nobody answers"

    def judge(self) -> None:
        """Hold all that came against all that was sent."""
        market = Market(self.exchange, SYMBOLS)
        for reader in self.readers:
            reader.look()
            account = Account(reader.name, market)
            account.take(reader.history)
            account.end()
            self.report.add(account)

    # Faults

    async def ownership(self, shard: int, act: Callable[[str], None]) -> None:
        """Do something to a shard's owner, and wait until there is another."""
        begun = self.relay.begun[shard]
        act(self.relay.owners[shard])
        await until(lambda: self.relay.begun[shard] > begun)

    def any_shard(self) -> int:
        return self.choice.randrange(SHARDS)


async def kill_shard(story: RelayStory) -> None:
    """Its standby takes over."""
    await story.ownership(story.any_shard(), story.relay.kill)


async def kill_standby(story: RelayStory) -> None:
    """Nobody notices."""
    name = story.relay.standby_of(story.any_shard())
    story.relay.kill(name)
    await until(lambda: name in story.relay.ready)


async def kill_both(story: RelayStory) -> None:
    """The owner, and who would take over."""
    shard = story.any_shard()
    owner, standby = story.relay.owners[shard], story.relay.standby_of(shard)

    def kill(name: str) -> None:
        story.relay.kill(standby)
        story.relay.kill(name)

    await story.ownership(shard, kill)
    await until(lambda: {owner, standby} <= story.relay.ready)


async def kill_supervisor(story: RelayStory) -> None:
    """All shards end by themselves; another one is started."""
    await story.end_relay()
    await story.last(0, 2)
    await story.begin_relay()
    await story.all_ready()


async def stop_shard(story: RelayStory) -> None:
    """It is stopped for so long that another one owns the shard; then it goes on."""
    shard, relay = story.any_shard(), story.relay
    owner = relay.owners[shard]
    await story.ownership(shard, lambda name: relay.signal(name, signal.SIGSTOP))
    await story.last(0, 3)
    relay.signal(owner, signal.SIGCONT)
    await story.last(0, 1)


async def stop_shard_briefly(story: RelayStory) -> None:
    """For less than its lease's time, or for about as long."""
    relay = story.relay
    owner = relay.owners[story.any_shard()]
    relay.signal(owner, signal.SIGSTOP)
    await story.last(0.2, 4)
    relay.signal(owner, signal.SIGCONT)


async def kill_broker(story: RelayStory) -> None:
    """All of it, if it is one server; otherwise one of its nodes."""
    server = story.choice.choice(story.brokers.servers)
    await trio.to_thread.run_sync(server.kill)
    await story.last(0, 5)
    await trio.to_thread.run_sync(server.start)


async def kill_reader(story: RelayStory) -> None:
    """It goes on from where it was."""
    reader = story.choice.choice(story.readers)
    await reader.kill()
    await story.last(0, 3)
    await reader.start()


async def cut(story: RelayStory, proxies: Sequence[Proxy]) -> None:
    """The connections there are, or some of them, end in some way; now and then twice."""
    faults: list[NetworkFault] = [Cut(), Reset(), Tear()]
    for _ in range(story.choice.choice([1, 1, 2])):
        for proxy in proxies:
            proxy.inject(story.choice.choice(faults))
        await story.last(0, 1)


async def stall(story: RelayStory, proxies: Sequence[Proxy]) -> None:
    """Nothing passes, and nobody is told."""
    for proxy in proxies:
        proxy.inject(Stall())
    await story.last(1, 12)


async def delay(story: RelayStory, proxies: Sequence[Proxy]) -> None:
    """It takes longer, and the connection ends in the middle."""
    for proxy in proxies:
        proxy.inject(Delay(seconds=story.choice.uniform(0.01, 0.3)))
    await story.last(0.5, 3)
    for proxy in proxies:
        proxy.inject(Reset())


KINDS: Final[dict[str, Callable[[RelayStory], Awaitable[None]]]] = {
    "kill a shard": kill_shard,
    "kill a standby": kill_standby,
    "kill a shard and its standby": kill_both,
    "kill the supervisor": kill_supervisor,
    "stop a shard": stop_shard,
    "stop a shard briefly": stop_shard_briefly,
    "kill a broker": kill_broker,
    "kill a reader": kill_reader,
    "cut the exchange off": lambda story: cut(story, [story.at_exchange]),
    "stall the exchange": lambda story: stall(story, [story.at_exchange]),
}
PROXIED: Final[dict[str, Callable[[RelayStory], Awaitable[None]]]] = {
    "cut the relay off": lambda story: cut(story, story.at_relay),
    "stall the relay": lambda story: stall(story, story.at_relay),
    "delay the relay": lambda story: delay(story, story.at_relay),
    "cut the readers off": lambda story: cut(story, story.at_readers),
    "stall the readers": lambda story: stall(story, story.at_readers),
}


def kinds_of(brokers: Brokers) -> dict[str, Callable[[RelayStory], Awaitable[None]]]:
    """What can go wrong with these."""
    return {**KINDS, **(PROXIED if brokers.has_proxies else {})}


@asynccontextmanager
async def links(brokers: Brokers, seed: int) -> AsyncIterator[Sequence[Proxy]]:
    """A proxy before each server, if there can be one."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(open_proxy(f"{brokers.scheme}://{address}", seed=seed))
            for address in (brokers.addresses if brokers.has_proxies else ())
        ]


def through(brokers: Brokers, proxies: Sequence[Proxy]) -> str:
    return brokers.url([urlsplit(proxy.url).netloc for proxy in proxies] or brokers.addresses)


async def relayed_set(
    report: RelayReport, brokers: Brokers, seed: int, kinds: Callable[[RelayStory], str | None]
) -> RelayStory:
    """Play rounds of the kinds that ``kinds`` says, until it says None. Then judge."""
    with tempfile.TemporaryDirectory(prefix="kraken-trio-") as folder:
        async with (
            open_exchange(markets=MARKETS, seed=seed, rate=RATE, snapshot_delay=0.02) as exchange,
            open_proxy(exchange.url, seed=seed) as at_exchange,
            links(brokers, seed) as at_relay,
            links(brokers, seed + 1) as at_readers,
            trio.open_nursery() as nursery,
        ):
            story = RelayStory(
                exchange,
                brokers,
                at_exchange,
                at_relay,
                at_readers,
                through(brokers, at_relay),
                nursery,
                random.Random(seed),
                report,
            )
            await story.begin_relay()
            try:
                await story.all_ready()
                for name in ("one", "two"):
                    reader = Reader(f"reader {name}", through(brokers, at_readers), Path(folder, name))
                    story.readers.append(reader)
                    await reader.start()
                while not report.broken and (kind := kinds(story)) is not None:
                    if max(story.relay.kills.values(), default=0) >= KILLS_IN_A_ROW:
                        kind = "kill the supervisor"
                    await story.play(kind)
            finally:
                await story.end_relay()  # noqa: ASYNC102 (it shields itself, and what is killed ends)
                for reader in story.readers:
                    await reader.kill(goes_on=False)  # noqa: ASYNC102 (likewise)
            nursery.cancel_scope.cancel()
        report.sets += 1
        story.judge()
    return story
