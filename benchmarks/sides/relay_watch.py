"""A consumer that tells each failover: when it has the first event of the next owner."""

from __future__ import annotations

import json
import sys
import time

import trio
from kraken_trio import Book, Cause, Gap, open_stream

from benchmarks.sides import common


async def main() -> None:
    task = common.job()
    async with (
        open_stream(task["url"]) as client,
        client.subscribe(Book(task["symbol"], task["depth"])) as feed,
    ):
        await trio.to_thread.run_sync(common.ready)
        is_new = False
        async for event in feed:
            if isinstance(event, Gap):
                is_new = event.cause is Cause.FAILOVER
            elif is_new:
                is_new = False
                sys.stdout.write(json.dumps({"at": time.monotonic()}) + "\n")
                sys.stdout.flush()


trio.run(main)
