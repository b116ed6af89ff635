"""``kraken-trio relay`` as it runs: real processes, a real nats-server, and a reader."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

from kraken_trio import Book, BookSnapshot, Cause, Gap
from kraken_trio.relay.lines import Lines
from kraken_trio.relay.supervisor import STOP_TIMEOUT
from kraken_trio.stream import open_stream
from kraken_trio.testing import open_exchange
from tests.broker.kafka_server import KafkaMissing, kafka_server
from tests.broker.nats_server import run_server
from tests.metrics.scraping import fetch, samples, value
from tests.relay.test_supervisor import until_gone
from tests.waiting import until as until_within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it has no signals")

IN_TIME = 120.0
until = partial(until_within, within=IN_TIME)
"""Seconds that nothing here takes, on any machine."""


class Running:
    """A supervisor, and what it has logged."""

    def __init__(self, process: trio.Process, to: str) -> None:
        self.process = process
        self.to = to
        self.log: list[dict[str, Any]] = []
        self._more = trio.Event()

    async def read(self) -> None:
        lines = Lines()
        assert self.process.stderr is not None
        async with self.process.stderr as stderr:  # here, so that nobody closes it under who reads
            async for data in stderr:
                self.log += map(json.loads, lines.take(bytes(data)))
                self._more.set()
                self._more = trio.Event()

    async def logged(self, event: str, **fields: object) -> dict[str, Any]:
        """Wait for such a line."""
        with trio.fail_after(IN_TIME):
            while True:
                for line in self.log:
                    if line["event"] == event and fields.items() <= line.items():
                        return line
                await self._more.wait()


@contextmanager
def nats_broker() -> Iterator[str]:
    with run_server() as server:
        yield f"{server.url}/kraken?max_bytes=64MiB"


@contextmanager
def kafka_broker() -> Iterator[str]:
    try:
        running = kafka_server()
        server = running.__enter__()
    except KafkaMissing as error:
        pytest.skip(str(error))
    with ExitStack() as stack:
        stack.push(running.__exit__)
        yield f"kafka://{server.address}/kraken?partitions=2"


@asynccontextmanager
async def relaying(
    *options: str, broker: Callable[[], AbstractContextManager[str]] = nats_broker, v1: bool = False
) -> AsyncIterator[Running]:
    with broker() as to:
        async with open_exchange(rate=50) as exchange, trio.open_nursery() as nursery:
            command = [
                *(sys.executable, "-m", "kraken_trio", "relay", "--symbols", "BTC/USD,ETH/USD", "--channel", "book"),
                *("--to", to, "--url", exchange.v1_url if v1 else exchange.url, "--keyframe-every", "1"),
                *("--log-format", "json", *options),
            ]
            process = await nursery.start(partial(trio.run_process, command, stderr=subprocess.PIPE, check=False))
            running = Running(process, to)
            nursery.start_soon(running.read)
            yield running
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("broker", [nats_broker, pytest.param(kafka_broker, marks=pytest.mark.brokers)])
async def test_an_owner_that_is_killed_is_followed_by_its_standby_and_started_again(
    broker: Callable[[], AbstractContextManager[str]],
) -> None:
    async with relaying("--standby", "--metrics-port", "0", broker=broker) as running:
        began = await running.logged("owner_begun")
        await running.logged("shard_ready", shard="0/1")
        await running.logged("shard_ready", shard="0/1 standby")
        for is_owner in (True, False):
            begun = await running.logged("shard_begun", is_owner=is_owner)
            assert (begun["requests"], begun["symbols"], begun["shard"] == began["shard"]) == (2, 2, is_owner)
        events: list[Any] = []
        async with open_stream(running.to) as client, client.subscribe(Book("BTC/USD")) as feed:

            async def read() -> None:
                async for event in feed:
                    events.append(event)  # noqa: PERF401 (others look at it meanwhile)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                await until(lambda: len(events) > 5)
                assert isinstance(events[0], BookSnapshot)
                owner = began["shard"]
                ready = await running.logged("shard_ready", shard=owner)
                os.kill(ready["pid"], signal.SIGKILL)
                await running.logged("shard_ended", shard=owner, exit_status=-9)
                # Its standby; or, where that takes longer than the time of a lease, who was started again.
                await until(lambda: [line["event"] for line in running.log].count("owner_begun") >= 2)
                await until(lambda: any(isinstance(event, Gap) for event in events))
                place = next(place for place, event in enumerate(events) if isinstance(event, Gap))
                assert events[place].cause is Cause.FAILOVER
                await until(lambda: len(events) > place + 5)
                assert isinstance(events[place + 1], BookSnapshot), "and nothing of before"
                assert feed.book("BTC/USD").verified
                nursery.cancel_scope.cancel()
        await until(
            lambda: [line["event"] for line in running.log if line.get("shard") == owner].count("shard_ready") >= 2
        )
        (url,) = [line["message"] for line in running.log if line["message"].startswith("metrics at ")]
        port = int(url.rpartition(":")[2].partition("/")[0])
        names = ("0/1", "0/1 standby")
        with trio.fail_after(IN_TIME):
            while True:
                _, page = await fetch(port)
                if is_settled(page, names):
                    break
                await trio.sleep(0.1)
        assert value(page, "kraken_trio_shard_restarts_total", shard=owner) == 1
        running.process.terminate()
        with trio.fail_after(IN_TIME):
            assert await running.process.wait() == 128 + signal.SIGTERM
        stopped = [line for line in running.log if line["event"] == "shard_stopped"]
        assert {line["shard"] for line in stopped} == set(names)
        drained = [line["shard"] for line in running.log if line["event"] == "relay_drained"]
        assert set(names) <= set(drained)
        assert not [line for line in running.log if line["event"] == "shard_says"]


def is_settled(page: str, names: Iterable[str]) -> bool:
    """Whether all of these processes have answered, and are connected to the broker, and one of them is the owner."""
    found = samples(page)
    numbers = {
        what: [found.get((f"kraken_trio_relay_{what}", frozenset({("shard", name)}))) for name in names]
        for what in ("broker_connected", "owner")
    }
    return set(numbers["broker_connected"]) == {1} and sorted(map(str, numbers["owner"])) == ["0.0", "1.0"]


async def test_no_shard_outlives_its_supervisor() -> None:
    async with relaying("--shards", "2") as running:
        pids = [(await running.logged("shard_ready", shard=name))["pid"] for name in ("0/2", "1/2")]
        running.process.kill()
        for pid in pids:
            await until_gone(pid)


async def test_an_exchange_that_is_none_is_asked_once() -> None:
    async with relaying(v1=True) as running:
        with trio.fail_after(IN_TIME):
            assert await running.process.wait() == 1
        told = [line["event"] for line in running.log]
        assert (told.count("shard_started"), told.count("shard_given_up")) == (1, 1)
        assert "shard_ended" not in told, "and not started again"
        failed = await running.logged("command_failed", exit_status=78)
        assert "v2" in failed["message"]
        assert "every shard was given up" in running.log[-1]["message"]


async def test_one_shard_alone_as_orchestrators_run_it() -> None:
    async with relaying("--shard", "1/2") as running:
        await running.logged("owner_begun", shard="1/2")
        running.process.send_signal(signal.SIGINT)
        with trio.fail_after(IN_TIME):
            assert await running.process.wait() == 128 + signal.SIGINT
        assert "relay_drained" in [line["event"] for line in running.log]


@pytest.mark.brokers  # it waits for ten seconds
async def test_a_broker_that_hangs_does_not_keep_a_shard_from_ending() -> None:
    with run_server() as server:

        @contextmanager
        def broker() -> Iterator[str]:
            yield f"{server.url}/kraken?max_bytes=64MiB"

        async with relaying(broker=broker) as running:
            await running.logged("owner_begun")
            server.pause()
            await trio.sleep(3)  # fifty events a second, none of which can be stored
            running.process.terminate()
            try:
                with trio.fail_after(IN_TIME):
                    assert await running.process.wait() == 128 + signal.SIGTERM
            finally:
                server.go_on()
            told = await running.logged("shard_stopped")
            assert told["exit_status"] == 128 + signal.SIGTERM, "it was not killed"
            assert told["seconds"] < STOP_TIMEOUT
            (lost,) = [line for line in running.log if line["event"] == "relay_not_drained"]
            count, messages = lost["events"], lost["messages"]
            assert f"{count} event{' was' if count == 1 else 's were'} not stored in time; " in lost["message"]
            assert f" {messages} message{'' if messages == 1 else 's'} waited" in lost["message"]
