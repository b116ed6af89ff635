"""cryptofeed: frames through its message handler, with checksum validation, into its backend for Kafka."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import uvloop
from cryptofeed.backends.kafka import BookKafka

from benchmarks.sides import common
from benchmarks.sides.cryptofeed_handler import make_feed


async def main() -> None:
    task = common.job()
    snapshots, updates = common.load(task["frames"])
    frames = [line.decode() for line in (snapshots + updates) * task["cycles"]]
    backend: Any = BookKafka(bootstrap_servers=task["server"], overflow="block", batch_interval=0.01)
    feed = make_feed(task["depth"], backend)
    feed._ensure_symbol_mapping()
    async with asyncio.TaskGroup() as group:
        backend.start_writer(group, "writer")
        await asyncio.to_thread(common.ready)
        start, cpu = time.monotonic(), time.process_time()
        for frame in frames:
            await feed.message_handler(frame, None, time.time())
        while backend.stats.qsize or backend.stats.delivered < len(frames):
            await asyncio.sleep(0.001)
        found = backend.stats
        common.done(
            start=start, end=time.monotonic(), cpu=time.process_time() - cpu, messages=len(frames),
            lost=found.dropped_overflow + found.dropped_failed,
        )  # fmt: skip


uvloop.run(main())
