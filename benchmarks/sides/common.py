"""What every side does the same way. Python's standard library only: this runs inside the peers' environments, too."""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

CHUNK = 500
"""Frames that are timed in one go."""
SYMBOL = "BTC/USD"
PRICE_DECIMALS = 1
QTY_DECIMALS = 8
"""Of the one symbol, where a peer must be told: the market's, unless the job says otherwise."""


def job() -> dict[str, Any]:
    """What this process is to do."""
    global SYMBOL, PRICE_DECIMALS  # noqa: PLW0603 (one process has one job)
    task: dict[str, Any] = json.loads(sys.argv[1])
    SYMBOL = task.get("symbol", SYMBOL)
    PRICE_DECIMALS = task.get("price_decimals", PRICE_DECIMALS)
    return task


def tick() -> str:
    """The symbol's smallest step of price."""
    return f"{10.0**-PRICE_DECIMALS:.{PRICE_DECIMALS}f}"


def ready(**found: Any) -> None:
    """Tell that the work can begin, and wait until it is to."""
    sys.stdout.write(json.dumps({"ready": True, **found}) + "\n")
    sys.stdout.flush()
    sys.stdin.readline()


def done(**found: Any) -> None:
    """Tell it, and end at once: how a library shuts down is not measured."""
    found["max_rss_kib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write("\n" + json.dumps(found) + "\n")
    sys.stdout.flush()
    os._exit(0)


def load(path: str) -> tuple[list[bytes], list[bytes]]:
    """The snapshots and the updates."""
    lines = Path(path).read_bytes().splitlines()
    count = sum(line.startswith(b'{"channel":"book","type":"snapshot"') for line in lines)
    return lines[:count], lines[count:]


def chunks(frames: list[Any]) -> list[list[Any]]:
    return [frames[start : start + CHUNK] for start in range(0, len(frames), CHUNK)]


class Passes:
    """Times passes over the same frames, in CPU time: nothing waits here, and what else the machine does is left out.

    The first pass is a warm-up. A slow side stops early, and says how far it came.
    """

    def __init__(self, task: dict[str, Any]) -> None:
        self._passes: int = task["passes"]
        self._limit_ns = round(task["pass_seconds"] * 1e9)
        self.samples: list[float] = []
        """Nanoseconds per message."""
        self.messages = 0

    def run(
        self,
        begin: Callable[[], Callable[[list[Any]], object]],
        work: list[list[Any]],
        prepare: Callable[[list[Any]], list[Any]] | None = None,
    ) -> None:
        """``begin`` makes a side ready, untimed, and gives what handles a chunk of frames; ``prepare`` is not timed."""
        for number in range(self._passes + 1):
            handle = begin()
            self._collect()
            spent = count = 0
            for frames in work:
                chunk = prepare(frames) if prepare else frames
                started = time.process_time_ns()
                handle(chunk)
                spent += time.process_time_ns() - started
                count += len(chunk)
                if spent > self._limit_ns:
                    break
            self._note(number, spent, count)

    async def run_async(
        self, begin: Callable[[], Awaitable[Callable[[list[Any]], Awaitable[object]]]], work: list[list[Any]]
    ) -> None:
        """The same, for a library whose handler is a coroutine."""
        for number in range(self._passes + 1):
            handle = await begin()
            self._collect()
            spent = count = 0
            for chunk in work:
                started = time.process_time_ns()
                await handle(chunk)
                spent += time.process_time_ns() - started
                count += len(chunk)
                if spent > self._limit_ns:
                    break
            self._note(number, spent, count)

    @staticmethod
    def _collect() -> None:
        gc.collect()

    def _note(self, number: int, spent: int, count: int) -> None:
        self.messages = count
        if number:
            self.samples.append(spent / count)


class Arrivals:
    """Counts messages in the user's code, and remembers when the last one, or each of them, came.

    For each of them it is also told when its bytes were read (``time.time_ns``), where the side knows that.
    """

    def __init__(self, task: dict[str, Any]) -> None:
        self.count = 0
        self.total: int = task["total"]
        self.times: array[int] | None = array("q") if task.get("each") else None
        self.since_read = array("q")
        self._path: str | None = task.get("each")
        self.cpu_ns = 0
        self._cpu_from: int = task["warmup"]
        self._cpu_start = 0

    def one(self, read_ns: int = 0) -> bool:
        """A message is there. True when it was the last one."""
        self.count += 1
        if self.times is not None:
            self.times.append(time.monotonic_ns())
            if read_ns:
                self.since_read.append(time.time_ns() - read_ns)
        elif self.count == self._cpu_from:
            self._cpu_start = time.process_time_ns()
        return self.count >= self.total

    def many(self, number: int, read_ns: Sequence[int] = ()) -> bool:
        """Several are there, at once."""
        before = self.count
        self.count += number
        if self.times is not None:
            self.times.extend([time.monotonic_ns()] * number)
            now = time.time_ns()
            self.since_read.extend([now - read for read in read_ns])
        elif before < self._cpu_from <= self.count:
            self._cpu_start = time.process_time_ns()
        return self.count >= self.total

    def finish(self, **more: Any) -> None:
        """Tell when the last one came."""
        end = time.monotonic_ns()
        cpu = time.process_time_ns() - self._cpu_start if self._cpu_start else 0
        if self.times is not None and self._path:
            Path(self._path).write_bytes(self.times.tobytes())
            Path(f"{self._path}.read").write_bytes(self.since_read.tobytes())
        done(end_ns=end, cpu_ns=cpu, messages=self.count, **more)
