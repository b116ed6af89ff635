"""A shard whose exchange lies in memory: frames → verified events → batches → the broker.

Frames come 64 at a time, as fast as they are taken; ``rate`` is a number a second instead, of which the shard's receive
times tell when each one came. ``cycles``: all frames so many times, snapshots included. At a rate it goes on until it
is killed.
"""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio
from kraken_trio import Book, ConnectionState, Settings, open_client, relay
from kraken_trio.relay import Backpressure

from benchmarks.sides import common
from benchmarks.sides.relay_answers import confirmed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LOOK_AGAIN = 0.001
"""Seconds. Nothing tells when a relay has become the owner, or has stored something; this is how exact an end is."""
_AT_ONCE = 64
"""Frames that a busy read brings."""
_STATUS = json.dumps(
    {
        "channel": "status",
        "type": "update",
        "data": [{"version": "2.0.10", "system": "online", "api_version": "v2", "connection_id": 1}],
    }
)


class Memory:
    """A connection to an exchange that lies in memory."""

    def __init__(self, task: dict[str, Any]) -> None:
        # Each shard has symbols of its own.
        old, new = b'/USD"', f'/U{task["shard"]}"'.encode()
        self.snapshots, self.updates = (
            [line.replace(old, new) for line in part] for part in common.load(task["frames"])
        )
        self.symbols = [line.split(b'"symbol":"', 1)[1].split(b'"', 1)[0].decode() for line in self.snapshots]
        self._rate = task.get("rate")
        self._seconds = task.get("seconds", 0)
        self._answers: list[str] = [_STATUS]
        self._asked = trio.Event()
        self._confirmed = 0
        self.go = trio.Event()
        self.start = 0.0
        self.cpu = 0.0
        lines = [*self.snapshots, *self.updates] * task.get("cycles", 1)
        if self._rate:
            lines = lines[: len(self.snapshots) + int(self._rate * self._seconds)]
        self.total = len(lines)
        self._lines = lines
        self._sent = 0

    async def receive(self) -> list[str | bytes]:
        while not self._answers and self._confirmed < len(self.symbols):
            await self._asked.wait()
        if self._answers:
            await trio.lowlevel.checkpoint()
            answers: list[str | bytes] = [*self._answers]
            self._answers.clear()
            return answers
        if self._rate and not self._sent:
            await trio.lowlevel.checkpoint()
            return self._next(len(self.snapshots))
        await self.go.wait()
        if not self.start:
            self.start, self.cpu = time.monotonic(), time.process_time()
        if self._sent == self.total:
            await trio.sleep_forever()
        if not self._rate:
            await trio.lowlevel.checkpoint()
            return self._next(_AT_ONCE)
        paced = self._sent - len(self.snapshots)
        await trio.sleep(max(0.0, self.start + paced / self._rate - time.monotonic()))
        return self._next(max(1, int((time.monotonic() - self.start) * self._rate) - paced))

    def _next(self, count: int) -> list[str | bytes]:
        lines: list[str | bytes] = [*self._lines[self._sent : self._sent + count]]
        self._sent += len(lines)
        return lines

    async def send(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        asked = json.loads(text)
        if asked["method"] == "subscribe":
            self._answers += confirmed(text)
            self._confirmed += len(asked["params"]["symbol"])
        elif asked["method"] == "ping":
            self._answers.append(json.dumps({"method": "pong", "req_id": asked.get("req_id")}))
        self._asked.set()
        self._asked = trio.Event()

    @asynccontextmanager
    async def connect(self, *_: Any, **__: Any) -> AsyncIterator[Memory]:
        await trio.lowlevel.checkpoint()
        yield self


async def main() -> None:
    task = common.job()
    exchange = Memory(task)
    settings = Settings(request_rate=1e6, request_burst=5000, silence_limit=600, ping_after=500, stall_limit=1e6)
    books = [Book(symbol, task["depth"]) for symbol in exchange.symbols]
    async with (
        open_client("ws://127.0.0.1:1/v2", transport=exchange.connect, settings=settings) as client,
        relay.publish(
            client,
            task["url"],
            *books,
            shard=task["shard"],
            shards=task["shards"],
            policy=Backpressure.HOLD,
            keyframe_every=task.get("keyframe_every", 5.0),
        ) as publishing,
    ):
        if task.get("standby"):  # it has what an owner has: verified books, and the broker
            await client.wait_for(ConnectionState.SUBSCRIBED)
        while not (publishing.statistics().is_connected if task.get("standby") else publishing.statistics().is_owner):
            await trio.sleep(LOOK_AGAIN)
        await trio.to_thread.run_sync(common.ready)
        before = publishing.statistics().events
        exchange.go.set()
        while task.get("rate") or publishing.statistics().events - before < exchange.total:
            await trio.sleep(LOOK_AGAIN)
        end = time.monotonic()
        common.done(start=exchange.start, end=end, cpu=time.process_time() - exchange.cpu, messages=exchange.total)


trio.run(main)
