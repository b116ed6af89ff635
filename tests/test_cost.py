"""What a book update costs, counted and not timed: a slow-down is caught on any machine, however busy.

Where there is a compiled core, its bounds apply; ``KRAKEN_TRIO_PURE=1`` counts the pure one.

Each bound is what was counted when it was set, and a little more for other Pythons. A count that has become smaller is
good news: lower the bound (``pytest tests/test_cost.py -rP`` prints what is counted). One that must become larger wants
a reason in the commit that raises it, and a look at ``nox -s benchmarks``.
"""

from __future__ import annotations

import gc
import json
import sys
from collections import Counter
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs
import pytest
import trio
import trio.testing

import kraken_trio as kt
from kraken_trio.book.core import NAME as CORE
from kraken_trio.session import Session
from kraken_trio.testing import DEFAULT_MARKETS, ExchangeCore, Market, Network, open_exchange, run_virtual
from kraken_trio.testing.exchange.actions import Send
from kraken_trio.wire.codec import codec_for

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterator

    from trio.testing import MockClock

    from kraken_trio.transport import Limits
    from kraken_trio.transport.choice import TransportName

# The bounds

IS_COMPILED = CORE == "compiled"
"""Has this run the compiled core? What it calls inside itself is not counted."""
CALLS_PER_UPDATE = 0.8 if IS_COMPILED else 48
"""Function calls, Python's and C's together, from a frame's text to its delivery, depth 10, 16 frames a batch."""
CALLS_PER_LONE_UPDATE = 12 if IS_COMPILED else 58
"""The same with one frame a batch."""
DEPTH_FACTOR = 1.25
"""So many times the calls, at most, at depth 1000."""
SYMBOLS_FACTOR = 1.05
"""So many times the calls, at most, with 300 symbols on the connection, one frame a batch."""
BLOCKS_HANDED = 11 if IS_COMPILED else 14
"""Memory blocks that an update consists of when the user has it: the event, its levels, their numbers, its time."""
BLOCKS_KEPT = 0.02 if IS_COMPILED else 0.1
"""Memory blocks that stay after it is dropped: a few levels that were cut off a book wait to be taken out together."""
STEPS_PER_BATCH = 3
"""Task steps from a socket read to the consumer's having all of it by ``receive_many``, however many frames it has."""
STEPS_PER_EVENT = 1.1
"""Task steps per event with ``receive``: its checkpoint, and nothing more."""
STEPS_PER_ITERATED_EVENT = 1 / 64
"""Task steps per event with ``async for``, of events that are there."""
STEPS_PER_QUIET_SECOND = 6
"""Task steps of the client per second of a connection over which nothing comes but its heartbeat, each second."""

UPDATES = 2000
BATCH = 16

SETTINGS = kt.Settings(request_rate=1e6, request_burst=1000)


@cache
def frames(depth: int, updates: int, symbols: int) -> tuple[list[str], list[str], list[str]]:
    """Symbols, their snapshots, and updates: the same ones every time."""
    names = ["BTC/USD"] if symbols == 1 else [f"A{number:03}/USD" for number in range(symbols)]
    levels = 1500 if symbols == 1 else 30
    specs = [attrs.evolve(DEFAULT_MARKETS[0], symbol=name, levels=levels) for name in names]
    core = ExchangeCore(Market(specs, seed=3, rate=0), now=0.0, epoch_ns=0, journal_limit=1)
    number, _ = core.connect(0.0)
    found: list[str] = []
    for name in names:
        params = {"channel": "book", "symbol": [name], "depth": depth, "snapshot": True}
        found += books(core.receive(number, json.dumps({"method": "subscribe", "params": params}), 0.0))
    snapshots = list(found)
    now = 0.0
    while len(found) < updates + len(snapshots):
        now += 0.001
        found += books(core.publish(1, now, names[int(now * 1000) % symbols]))
    return names, snapshots, found[len(snapshots) :][:updates]


def show(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def books(actions: list[Any]) -> Iterator[str]:
    return (action.text for action in actions if isinstance(action, Send) and '"channel":"book"' in action.text[:20])


def ready(depth: Literal[10, 1000], names: list[str], snapshots: list[str]) -> Session:
    session = Session(SETTINGS, lambda: 0.0, codec_for("v2"), kt.PUBLIC_V2)
    session.open(0.0)
    session.connected(0.0)
    session.add("feed", [kt.Book(name, depth) for name in names], 0.0)
    session.receive(snapshots, 1, 0.0)
    assert session.state is kt.ConnectionState.SUBSCRIBED
    return session


def run(session: Session, updates: list[str], batch: int = BATCH) -> None:
    for start in range(0, len(updates), batch):
        session.receive(updates[start : start + batch], 1, 0.0)


def calls(depth: Literal[10, 1000], updates: int = UPDATES, *, symbols: int = 1, batch: int = BATCH) -> float:
    names, snapshots, texts = frames(depth, updates, symbols)
    session = ready(depth, names, snapshots)
    counted: Counter[str] = Counter()

    def count(_frame: object, event: str, _argument: object) -> None:
        counted[event] += 1

    sys.setprofile(count)
    try:
        run(session, texts, batch)
    finally:
        sys.setprofile(None)
    seen = session.statistics()
    assert seen.checksums_verified == len(texts) + len(names)
    assert seen.events == seen.checksums_verified
    per_update = (counted["call"] + counted["c_call"]) / len(texts)
    show(f"depth {depth}, {symbols} symbols, {batch} a batch: {per_update:.2f} calls per update")
    return per_update


# Another tool that profiles or traces (a debugger, coverage on some Pythons) would be counted.
pytestmark = pytest.mark.skipif(sys.getprofile() is not None, reason="something else profiles this run")


def test_calls_per_update_and_not_more_in_a_deep_book() -> None:
    shallow = calls(10)
    assert shallow <= CALLS_PER_UPDATE
    assert calls(1000) <= shallow * DEPTH_FACTOR


def test_the_number_of_symbols_costs_nothing() -> None:
    lone = calls(10, 600, batch=1)
    assert lone <= CALLS_PER_LONE_UPDATE
    assert calls(10, 600, symbols=300, batch=1) <= lone * SYMBOLS_FACTOR


def test_memory_is_what_the_user_is_given_and_nothing_else() -> None:
    names, snapshots, updates = frames(10, UPDATES, 1)
    session = ready(10, names, snapshots)
    run(session, updates)  # caches are filled
    session.receive(snapshots, 1, 0.0)  # the same way once more
    held: list[Any] = [None] * len(updates)
    gc.collect()
    gc.disable()
    try:
        before = sys.getallocatedblocks()
        at = 0
        for start in range(0, len(updates), BATCH):
            events = session.receive(updates[start : start + BATCH], 1, 0.0).deliver["feed"]
            held[at : at + len(events)] = events
            at += len(events)
            del events
        handed = (sys.getallocatedblocks() - before) / len(updates)
        assert at == len(updates)
        held.clear()
        cyclic = gc.collect()
        kept = (sys.getallocatedblocks() - before) / len(updates)
    finally:
        gc.enable()
    show(f"{handed:.2f} blocks handed to the user per update, {kept:.4f} kept, {cyclic} objects in cycles")
    assert handed <= BLOCKS_HANDED
    assert kept <= BLOCKS_KEPT
    assert cyclic == 0


class Steps(trio.abc.Instrument):
    """Counts what the scheduler runs."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1


class Scripted:
    """A transport whose socket reads are what the test says."""

    def __init__(self, answer: list[str | bytes]) -> None:
        self._answer = answer
        self.to_client, self._reads = trio.open_memory_channel[list[str | bytes]](10)

    @asynccontextmanager
    async def connect(self, url: str, *, ssl_context: ssl.SSLContext | None, limits: Limits) -> AsyncIterator[Scripted]:
        yield self

    async def receive(self) -> list[str | bytes]:
        return await self._reads.receive()

    async def send(self, _text: str) -> None:
        await self.to_client.send(self._answer)  # data is an answer as well


Way: TypeAlias = Literal["receive", "receive_many", "async for"]


async def steps(updates: int, way: Way) -> int:
    """Task steps from a socket read with so many updates until its consumer has them all."""
    names, snapshots, texts = frames(10, updates, 1)
    scripted = Scripted([*snapshots])
    instrument = Steps()
    done = trio.Event()

    async def consume(feed: kt.Feed) -> None:
        received = 0
        while received < updates:
            match way:
                case "receive":
                    received += bool(await feed.receive())
                case "receive_many":
                    received += len(await feed.receive_many(updates))
                case "async for":
                    received += bool(await anext(feed))
        trio.lowlevel.remove_instrument(instrument)
        done.set()

    with trio.fail_after(60):
        async with (
            kt.open_client("ws://localhost/", settings=SETTINGS, transport=scripted.connect) as client,
            client.subscribe(kt.Book(names[0]), capacity=updates) as feed,
            trio.open_nursery() as nursery,
        ):
            assert isinstance(await feed.receive(), kt.BookSnapshot)
            nursery.start_soon(consume, feed)
            await trio.testing.wait_all_tasks_blocked()
            trio.lowlevel.add_instrument(instrument)
            scripted.to_client.send_nowait([*texts])
            await done.wait()
    show(f"{updates} updates in one read, {way}: {instrument.count} task steps")
    return instrument.count


async def test_a_batch_costs_as_many_task_steps_as_one_frame() -> None:
    few, lots = await steps(1, "receive_many"), await steps(500, "receive_many")
    assert few == lots
    assert lots <= STEPS_PER_BATCH


async def test_receive_costs_one_task_step_per_event() -> None:
    assert await steps(500, "receive") <= 500 * STEPS_PER_EVENT + STEPS_PER_BATCH


async def test_iterating_costs_one_task_step_for_many_events(autojump_clock: MockClock) -> None:
    # The clock stands still: on a slow machine half a millisecond may be over before so many events.
    assert await steps(500, "async for") <= 500 * STEPS_PER_ITERATED_EVENT + STEPS_PER_BATCH


class ClientSteps(Steps):
    """Counts those of the client's own tasks."""

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task.name.startswith(("kraken_trio.runtime.", "kraken_trio.transport."))


@pytest.mark.parametrize("transport", ["trio-websocket", "websockets"])
def test_a_quiet_connection_costs_next_to_nothing(transport: TransportName) -> None:
    async def story() -> int:
        network, instrument = Network(), ClientSteps()
        async with (
            open_exchange(network=network, rate=0) as exchange,
            kt.open_client(exchange.url, transport=network.transport(transport)) as client,
            client.subscribe(kt.Book("BTC/USD")),
        ):
            trio.lowlevel.add_instrument(instrument)
            await trio.sleep(60)
            trio.lowlevel.remove_instrument(instrument)
        return instrument.count

    count = run_virtual(story)
    show(f"{transport}: {count / 60:.2f} task steps of the client per quiet second")
    assert count <= 60 * STEPS_PER_QUIET_SECOND
