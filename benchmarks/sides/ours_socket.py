"""Our client, from the socket to the user's code: each event is received, and its verified book is read."""

from __future__ import annotations

import gc
import os
import ssl
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kraken_trio as kt
import trio

from benchmarks.sides import common

if TYPE_CHECKING:
    from collections.abc import Sequence

SETTINGS = kt.Settings(request_rate=10_000.0, request_burst=5000, attempts=1_000_000, attempt_delay=1e-6)
"""As by default, but for the pace of requests: Kraken's limits are not what is measured."""


def open_client(task: dict[str, Any]) -> Any:
    context = ssl.create_default_context(cafile=task["authority"]) if task.get("authority") else None
    return kt.open_client(task["url"], settings=SETTINGS, ssl_context=context, transport=task["transport"])


def check_core(seen: kt.ClientStatistics, task: dict[str, Any]) -> None:
    """See that the core is the one that is meant; a predecessor does not tell."""
    if task.get("core"):
        assert seen.core == task["core"]
        if seen.core == "compiled":
            assert seen.pure_updates <= 0.01 * seen.checksums_verified


def look_at(book: kt.OrderBook) -> None:
    """Read the best price: its number is made now."""
    best = book.best_bid
    assert best is not None
    best.price  # noqa: B018 (reading it is the work)


async def consume(feed: kt.Feed, task: dict[str, Any], arrivals: common.Arrivals) -> None:
    """A consumer that looks at the best price after every event, or every batch."""
    symbol = task["symbols"][0]
    is_timed = arrivals.times is not None
    if task["call"] == "iterate":
        async for event in feed:
            if type(event) is kt.BookUpdate:
                look_at(feed.book(event.symbol))
                if arrivals.one(event.received_ns) if is_timed else arrivals.one():
                    return
    elif task["call"] == "receive":
        while True:
            event = await feed.receive()
            if type(event) is kt.BookUpdate:
                look_at(feed.book(event.symbol))
                if arrivals.one(event.received_ns) if is_timed else arrivals.one():
                    return
    elif task["call"] == "batches":
        async for events in feed.batches():
            if take(events, feed, symbol, arrivals):
                return
    else:
        while True:
            if take(await feed.receive_many(), feed, symbol, arrivals):
                return


def take(events: Sequence[kt.Event], feed: kt.Feed, symbol: str, arrivals: common.Arrivals) -> bool:
    number = 0
    for event in events:
        if type(event) is kt.BookUpdate:
            number += 1
    if not number:
        return False
    look_at(feed.book(symbol))
    read = [] if arrivals.times is None else [event.received_ns for event in events if type(event) is kt.BookUpdate]
    return arrivals.many(number, read)


async def stream(task: dict[str, Any]) -> None:
    arrivals = [common.Arrivals(task) for _ in range(task["feeds"])]
    requests = [kt.Book(symbol, task["depth"]) for symbol in task["symbols"]]

    async def one(client: kt.Client, number: int) -> None:
        async with client.subscribe(*requests, capacity=task["capacity"]) as feed:
            await consume(feed, task, arrivals[number])

    async with open_client(task) as client:
        async with trio.open_nursery() as nursery:
            for number in range(task["feeds"]):
                nursery.start_soon(one, client, number)
        seen = client.statistics()
        assert seen.checksum_failures == 0
        assert seen.checksums_verified >= task["total"]
        check_core(seen, task)
        arrivals[0].finish()


def rss_kib() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


async def memory(task: dict[str, Any]) -> None:
    """Stream for long, and look at the memory at certain counts."""
    if task["traced"]:
        tracemalloc.start()
    points: list[dict[str, int]] = []
    wanted = list(task["at"])
    count = 0
    async with (
        open_client(task) as client,
        client.subscribe(kt.Book(task["symbols"][0], task["depth"]), capacity=task["capacity"]) as feed,
    ):
        while wanted:
            events = await feed.receive_many()
            count += len(events)
            if count >= wanted[0]:
                del events
                gc.collect()
                point = {"messages": wanted.pop(0), "rss_kib": rss_kib(), "blocks": _blocks()}
                if task["traced"]:
                    point["traced_bytes"] = tracemalloc.get_traced_memory()[0]
                points.append(point)
        assert client.statistics().checksum_failures == 0
        common.done(points=points)


def _blocks() -> int:
    import sys  # noqa: PLC0415 (CPython's own count)

    return sys.getallocatedblocks()


async def resync(task: dict[str, Any]) -> None:
    """From the gap to the verified book, over and over."""
    samples: list[int] = []
    work: list[int] = []
    async with (
        open_client(task) as client,
        client.subscribe(kt.Book(task["symbols"][0], task["depth"]), capacity=task["capacity"]) as feed,
    ):
        since = cpu = 0
        async for event in feed:
            if isinstance(event, kt.Gap):
                since, cpu = time.monotonic_ns(), time.process_time_ns()
            elif since and isinstance(event, kt.BookSnapshot):
                samples.append(time.monotonic_ns() - since)
                work.append(time.process_time_ns() - cpu)
                since = 0
                if len(samples) >= task["total"]:
                    common.done(samples_ns=samples, cpu_ns=work, resyncs=client.statistics().checksum_failures)


def main() -> None:
    task = common.job()
    trio.run({"stream": stream, "memory": memory, "resync": resync}[task["work"]], task)


main()
