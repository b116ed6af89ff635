"""A consumer behind a broker: it subscribes to books, and reads so many events.

``from`` is ``beginning`` or ``now``. ``latencies`` is a file for the nanoseconds between the shard's time of receipt
and the moment at which the program has an event. ``until`` is how many events it waits for.
"""

from __future__ import annotations

import time
from array import array
from datetime import UTC, datetime
from pathlib import Path

import trio
from kraken_trio import Book, BookSnapshot, BookUpdate, Gap, open_stream
from kraken_trio.broker.choice import engine_for

from benchmarks.sides import common

_BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)


async def main() -> None:
    task = common.job()
    books = [Book(symbol, task["depth"]) for symbol in task["symbols"]]
    start_at = _BEGINNING if task["from"] == "beginning" else None
    engine = engine_for(task["url"])  # it imports the client of the broker
    if start_at is not None:
        await trio.to_thread.run_sync(common.ready)
    began, cpu = time.monotonic(), time.process_time()
    latencies = array("q")
    gaps = count = 0
    first = 0.0
    async with (
        open_stream(engine, start=start_at) as client,
        client.subscribe(*books, capacity=4096) as feed,
    ):
        if start_at is None:
            await trio.to_thread.run_sync(common.ready)
            began, cpu = time.monotonic(), time.process_time()
        async for batch in feed.batches():
            now = time.time_ns()
            if not count:
                first = time.monotonic()
            for event in batch:
                if isinstance(event, BookSnapshot | BookUpdate):
                    count += 1
                    latencies.append(now - event.received_ns)
                elif isinstance(event, Gap):
                    gaps += 1
            if count >= task["until"]:
                break
        end = time.monotonic()
        if "latencies" in task:
            Path(task["latencies"]).write_bytes(latencies.tobytes())
        common.done(
            start=began, first=first, end=end, cpu=time.process_time() - cpu, messages=count, gaps=gaps,
            verified=sum(feed.book(symbol).verified for symbol in task["symbols"]),
        )  # fmt: skip


trio.run(main)
