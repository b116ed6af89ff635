"""``python -m benchmarks.metrics``: what the metrics cost: nanoseconds a message, and milliseconds a scrape.

A client whose WebSocket is made up reads the same updates of a book again and again; its program takes them with
``receive_many``. What that costs is measured of this checkout and, with ``--against``, of an older one without metrics,
in turns; the difference is what all metrics cost. Without it, the parts are measured, each for itself.

Seconds are the CPU's, and the best of many rounds counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import timeit
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import kraken_trio as kt
import trio
from kraken_trio.admission.default import EXEMPT
from kraken_trio.client import open_with
from kraken_trio.testing import DEFAULT_MARKETS, ExchangeCore, Market
from kraken_trio.testing.exchange.actions import Send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

BATCHES: Final = (1, 4, 16, 64)
UPDATES: Final = 6400
ROOT: Final = Path(__file__).parents[1]
SYMBOLS: Final = (10, 100, 1500)
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


def child() -> None:
    """For each line that comes, a round: prints nanoseconds a message, by size of a batch."""
    answers, found = updates()
    for _ in sys.stdin:
        seconds = {size: trio.run(one_round, answers, found, size) for size in BATCHES}
        say(json.dumps({size: taken / len(found) * 1e9 for size, taken in seconds.items()}))
        sys.stdout.flush()


def compare(against: Path, rounds: int) -> None:
    """Both checkouts in turns, round by round."""
    best: dict[str, dict[str, float]] = {"without": {}, "with": {}}
    sides = {
        name: subprocess.Popen(
            [sys.executable, __file__, "--child"],
            env=os.environ | {"PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, folder in (("without", against), ("with", ROOT))
    }
    for _ in range(rounds):
        for name, side in sides.items():
            assert side.stdin is not None
            assert side.stdout is not None
            side.stdin.write("go\n")
            side.stdin.flush()
            for size, ns in json.loads(side.stdout.readline()).items():
                best[name][size] = min(best[name].get(size, float("inf")), ns)
    for side in sides.values():
        side.communicate()
    say("frames a batch   ns a message without / with metrics, difference")
    for size in map(str, BATCHES):
        without, with_ = best["without"][size], best["with"][size]
        say(f"{size:>14}   {without:8.0f} {with_:8.0f} {with_ - without:+8.0f}")


def parts() -> None:
    """Each for itself."""
    from kraken_trio.runtime.timings import FRAMES_PER_MEASUREMENT, Timings  # noqa: PLC0415 (an older checkout has none)
    from kraken_trio.statistics import Histogram  # noqa: PLC0415 (an older checkout has none)

    histogram, timings = Histogram(), Timings()
    say(f"{best_of('observe(123_456_789)', observe=histogram.observe):8.0f} ns an observation of a histogram")
    event = kt.BookUpdate(symbol="BTC/USD", bids=(), asks=(), timestamp=datetime.now(UTC), received_ns=5)
    take = best_of("take(((event,),), 5, 1.0, 1.1, 1.2)", take=timings.take, event=event)
    clock = best_of("now()", now=time.perf_counter)
    say(f"{take:8.0f} ns to measure a batch, and {clock:.0f} for each of two clocks: once in {FRAMES_PER_MEASUREMENT}")
    tally = best_of("tally[0] += 1; tally[1] += len(frame)", tally=[0, 0], frame="x" * 220)
    say(f"{tally:8.0f} ns a message that the compiled core does not take, for its channel")
    for size in BATCHES:
        check = best_of("n = 0; n += len(frames); n >= 256 or 1.0 >= at", frames=["x"] * size, at=2.0)
        shared = (take + 2 * clock) / max(size, FRAMES_PER_MEASUREMENT)
        say(f"{check / size + shared:8.0f} ns a message for everything else, {size} frames a batch")


def best_of(statement: str, **names: Any) -> float:
    """Nanoseconds."""
    timer = timeit.Timer(statement, globals=names)
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
                best = min(timeit.repeat(partial(generate_latest, registry), number=1, repeat=30))
                size = len(generate_latest(registry))
        say(f"{best * 1000:8.1f} ms a scrape of {count} symbols, {size / 1000:.0f} kB")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metrics", description=__doc__)
    parser.add_argument("--against", type=Path, metavar="PATH", help="a checkout without metrics, with the same core")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child()
        return
    if options.against is not None:
        compare(options.against.resolve(), options.rounds)
    parts()
    trio.run(scrape)


if __name__ == "__main__":
    main()
