"""A late joiner: from connecting to the broker to the first verified book."""

from __future__ import annotations

import time

import trio
from kraken_trio import Book, open_stream

from benchmarks.sides import common


async def main() -> None:
    task = common.job()
    await trio.to_thread.run_sync(common.ready)
    begun = time.monotonic()
    async with (
        open_stream(task["url"]) as client,
        client.subscribe(Book(task["symbol"], task["depth"])) as feed,
    ):
        await feed.receive()
        assert feed.book(task["symbol"]).verified
        common.done(seconds=time.monotonic() - begun, end=0)


trio.run(main)
