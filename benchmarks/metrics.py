"""``python -m benchmarks.metrics``: what the metrics cost: nanoseconds a message, and milliseconds a scrape.

A client whose WebSocket is made up reads the same updates of a book again and again; its program takes them with
``receive_many``. With ``--against``, what that costs is measured of this checkout and of an older one without metrics:
both in this process, in turns, their tasks scheduled alike. The difference is what all metrics cost. It is smaller than
the noise of most machines; so the steps of the interpreter are counted as well, which are the same each time.

Then the parts are measured, each for itself, and a scrape. Seconds are the CPU's, and the best of many rounds counts.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import random
import sys
import time
import timeit
from collections import defaultdict
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import attrs
import kraken_trio as kt
import trio
from kraken_trio.admission.default import EXEMPT
from kraken_trio.client import open_with
from kraken_trio.testing import DEFAULT_MARKETS, ExchangeCore, Market
from kraken_trio.testing.exchange.actions import Send
from trio.testing import MockClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from types import FrameType, ModuleType

BATCHES: Final = (1, 4, 16, 64)
UPDATES: Final = 6400
SYMBOLS: Final = (10, 100, 1500)
STEPS: Final = (128, 1152)
"""Between so many messages and so many, steps are counted: four measurements' worth."""
SCHEDULER: Final[random.Random] = importlib.import_module("trio._core._run")._r
"""By which Trio decides which task runs first."""
SETTINGS: Final = kt.Settings(request_rate=1e6, request_burst=5000)


def updates() -> tuple[list[str], list[str]]:
    """What the exchange answers to the subscribe, and updates of the book."""
    core = ExchangeCore(Market(DEFAULT_MARKETS[:1], seed=3, rate=0), now=0.0, epoch_ns=0, journal_limit=1)
    number, _ = core.connect(0.0)
    params = {"channel": "book", "symbol": ["BTC/USD"], "depth": 10, "snapshot": True}
    answers = texts(core.receive(number, json.dumps({"method": "subscribe", "params": params, "req_id": 1}), 0.0))
    found: list[str] = []
    now = 0.0
    while len(found) < UPDATES:
        now += 0.001
        found += [text for text in texts(core.publish(1, now, "BTC/USD")) if '"channel":"book"' in text[:20]]
    return answers, found[:UPDATES]


def texts(actions: Sequence[Any]) -> list[str]:
    return [action.text for action in actions if isinstance(action, Send)]


class Fed:
    """A WebSocket over which these batches come, when the program has asked for the book."""

    def __init__(self, answers: list[str], batches: list[list[str]]) -> None:
        self._answers, self._batches = answers, iter(batches)
        self._asked = trio.Event()
        self._is_answered = False

    async def send(self, _frame: str) -> None:
        await trio.lowlevel.checkpoint()
        self._asked.set()

    async def receive(self) -> Sequence[str | bytes]:
        await trio.lowlevel.checkpoint()
        await self._asked.wait()
        if not self._is_answered:
            self._is_answered = True
            return self._answers
        batch = next(self._batches, None)
        if batch is None:
            await trio.sleep_forever()
        assert batch is not None
        return batch


async def one_round(answers: list[str], found: list[str], size: int) -> float:
    """Seconds for all updates."""
    batches = [found[start : start + size] for start in range(0, len(found), size)]

    @asynccontextmanager
    async def connect(_url: str, **_options: object) -> AsyncIterator[Fed]:
        yield Fed(answers, batches)

    async with (
        open_with(
            "ws://localhost/v2",
            settings=SETTINGS,
            ssl_context=None,
            connect=connect,  # type: ignore[arg-type]
            wall_ns=time.time_ns,
            jitter=lambda: 0.0,
            admission=EXEMPT,
        ) as client,
        client.subscribe(kt.Book("BTC/USD"), capacity=10_000) as feed,
    ):
        await feed.receive()  # the snapshot
        begin, count = time.process_time(), 0
        while count < len(found):
            count += len(await feed.receive_many())
        return time.process_time() - begin


class Side:
    """A checkout, and this file as a user of it."""

    def __init__(self, modules: dict[str, ModuleType], names: dict[str, Any]) -> None:
        self._modules = modules
        self._round = names["one_round"]
        self.core: str = modules["kraken_trio.book.core"].NAME
        self.updates: tuple[list[str], list[str]] = names["updates"]()

    def run(self, size: int, count: int, clock: trio.abc.Clock | None = None) -> float:
        """Seconds for so many updates, in batches of this size."""
        answers, found = self.updates
        before = exchange(self._modules)
        SCHEDULER.seed(0)  # both sides' tasks run in the same order
        gc.collect()
        gc.disable()
        try:
            return float(trio.run(self._round, answers, found[:count], size, clock=clock))
        finally:
            gc.enable()
            self._modules = exchange(before)


def exchange(modules: dict[str, ModuleType]) -> dict[str, ModuleType]:
    """Have ``import`` find these modules of the package. Returns those that it found until now."""
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "kraken_trio"}
    sys.modules.update(modules)
    return before


def other(folder: Path) -> Side:
    """Another checkout, in this process."""
    before = exchange({})
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        names: dict[str, Any] = {"__name__": "other", "__file__": __file__}
        exec(compile(Path(__file__).read_text("utf-8"), __file__, "exec"), names)
    finally:
        sys.path.remove(str(folder))
        modules = exchange(before)
    return Side(modules, names)


def steps(side: Side, size: int) -> float:
    """How many steps of the interpreter a message takes: the same each time. What C code does is not among them."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    def counted(batches: int) -> int:
        nonlocal count
        count = 0
        sys.settrace(trace)
        try:
            side.run(size, batches * size, MockClock())
        finally:
            sys.settrace(None)
        return count

    few, many = STEPS
    few, many = max(1, few // size), many // size
    return (counted(many) - counted(few)) / (many - few) / size


def compare(against: Path, rounds: int) -> None:
    """Both checkouts in this process, in turns, round by round: what else slows one down slows down the other."""
    mine = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "kraken_trio"}
    without, with_ = other(against), Side(mine, globals())
    sides = {"without": without, "with": with_}
    if without.core != with_.core or without.updates != with_.updates:
        sys.exit(f"{against} has another core, or another market: {without.core}, {with_.core}")
    taken: dict[tuple[str, int], list[float]] = defaultdict(list)
    for _ in range(rounds):
        for size in BATCHES:
            for name in random.sample(list(sides), 2):
                taken[name, size].append(sides[name].run(size, UPDATES) / UPDATES * 1e9)
    say(f"the {with_.core} core; steps are those of the interpreter")
    say(
        "frames a batch   ns a message without / with metrics, difference (best)   median   steps a message, difference"
    )
    for size in BATCHES:
        before, after = (taken[name, size] for name in sides)
        best = min(after) - min(before)
        middle = median(late - early for early, late in zip(before, after, strict=True))
        few, many = steps(without, size), steps(with_, size)
        say(
            f"{size:>14}   {min(before):19.0f} {min(after):8.0f} {best:+8.0f} {best / min(before):+15.1%}"
            f" {middle:+8.0f} {many:17.1f} {many - few:+8.1f} ({(many - few) / few:+.1%})"
        )


def parts() -> None:
    """Each for itself."""
    from kraken_trio.runtime.timings import FRAMES_PER_MEASUREMENT, Timings  # noqa: PLC0415 (an older checkout has none)
    from kraken_trio.statistics import Counters, Histogram  # noqa: PLC0415 (an older checkout has none)

    histogram, timings = Histogram(), Timings()
    say(f"{best_of('observe(123_456_789)', observe=histogram.observe):8.0f} ns an observation of a histogram")
    event = kt.BookUpdate(symbol="BTC/USD", bids=(), asks=(), timestamp=datetime.now(UTC), received_ns=5)
    take = best_of("take(((event,),), 5, 1.0, 1.1, 1.2)", take=timings.take, event=event)
    clock = best_of("now()", now=time.perf_counter)
    say(f"{take:8.0f} ns to measure a batch, and {clock:.0f} for each of two clocks: once in {FRAMES_PER_MEASUREMENT}")
    tally = best_of("tally[0] += 1; tally[1] += len(frame)", tally=[0, 0], frame="x" * 220)
    say(f"{tally:8.0f} ns a message that the compiled core does not take, for its channel")
    counters, waiting = Counters(), {"frame": 1, "at": 2.0, "state": SimpleNamespace(mark=None)}
    for size in BATCHES:
        check = best_of("counters.frames >= frame or 1.0 >= at; state.mark is not None", counters=counters, **waiting)
        shared = (take + 2 * clock) / max(size, FRAMES_PER_MEASUREMENT)
        say(f"{check / size + shared:8.0f} ns a message for everything else, {size} frames a batch")


def best_of(statement: str, **names: Any) -> float:
    """Nanoseconds. The names are local ones, as where this is done."""
    setup = "; ".join(f"{name} = given[{name!r}]" for name in names)
    timer = timeit.Timer(statement, setup, globals={"given": names})
    return min(timer.repeat(20, 20_000)) / 20_000 * 1e9


async def scrape() -> None:
    """Milliseconds a scrape, by number of symbols."""
    from kraken_trio.metrics import register  # noqa: PLC0415 (an older checkout has none)
    from kraken_trio.testing import open_exchange  # noqa: PLC0415 (an older checkout has none)
    from prometheus_client import CollectorRegistry  # noqa: PLC0415 (an older checkout has none)
    from prometheus_client.exposition import generate_latest  # noqa: PLC0415 (an older checkout has none)

    for count in SYMBOLS:
        names = [f"A{number:04}/USD" for number in range(count)]
        markets = [attrs.evolve(DEFAULT_MARKETS[0], symbol=name, levels=12, history=1) for name in names]
        async with (
            open_exchange(markets=markets, rate=0.0) as exchange,
            kt.open_client(exchange.url, settings=SETTINGS) as client,
            client.subscribe(*map(kt.Book, names), capacity=10_000),
        ):
            await client.wait_for(kt.ConnectionState.SUBSCRIBED)
            registry = CollectorRegistry()
            with register(client, registry=registry):
                best = min(
                    timeit.repeat(partial(generate_latest, registry), number=1, repeat=60, timer=time.process_time)
                )
                size = len(generate_latest(registry))
        say(f"{best * 1000:8.1f} ms a scrape of {count} symbols, {size / 1000:.0f} kB")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metrics", description=__doc__)
    parser.add_argument("--against", type=Path, metavar="PATH", help="a checkout without metrics, with the same core")
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    if options.against is not None:
        compare(options.against.resolve(), options.rounds)
    parts()
    trio.run(scrape)


if __name__ == "__main__":
    main()
