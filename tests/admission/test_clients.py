"""The connect budget as clients meet it: together, in virtual time, in threads, and through a file."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import kraken_trio as kt
from kraken_trio.admission import Admission, ConnectBudget, Wait
from kraken_trio.admission.default import HostAndProcess
from kraken_trio.admission.host import HostBudget
from kraken_trio.admission.ledger import HostLedger
from kraken_trio.admission.process import PROCESS
from kraken_trio.client import open_with
from kraken_trio.runtime.actor import Actor
from kraken_trio.testing import Drop, Exchange, Network, open_exchange

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from trio.testing import MockClock

    from kraken_trio.transport import Connect, Limits, Transport

KRAKEN = "wss://ws.kraken.com/v2"
HERE = "ws://127.0.0.1:8080/v2"
HOUR = 3600.0
D, C, S = kt.ConnectionState.DISCONNECTED, kt.ConnectionState.CONNECTING, kt.ConnectionState.SUBSCRIBED


class Refusing:
    """Nobody is there; the attempts are noted."""

    def __init__(self) -> None:
        self.attempts: list[float] = []

    @asynccontextmanager
    async def connect(
        self, url: str, *, ssl_context: ssl.SSLContext | None, limits: Limits
    ) -> AsyncIterator[Transport]:
        self.attempts.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        raise kt.ConnectError("connection refused")
        yield


def client_with(
    admission: Admission, connect: Connect, *, url: str = KRAKEN, jitter: float = 0.5, **settings: float | bool
) -> AbstractAsyncContextManager[kt.Client]:
    return open_with(
        url,
        settings=kt.Settings.from_mapping(settings),
        ssl_context=None,
        connect=connect,
        wall_ns=lambda: 0,
        jitter=lambda: jitter,
        admission=admission,
    )


def exhausted() -> ConnectBudget:
    """A budget of which nothing is left, on this run's clock."""
    budget = ConnectBudget(trio.current_time)
    assert all(budget.take_nowait() is None for _ in range(120))
    return budget


@asynccontextmanager
async def exchange_in_memory() -> AsyncIterator[tuple[Exchange, Connect]]:
    network = Network()
    async with open_exchange(network=network, rate=0) as exchange:
        yield exchange, network.transport()


# Together


async def test_40_clients_that_cannot_connect_stay_within_one_budget_for_an_hour(autojump_clock: MockClock) -> None:
    budget, nobody = ConnectBudget(trio.current_time), Refusing()
    waits = []

    async def one(jitter: float) -> None:
        async with client_with(budget, nobody.connect, jitter=jitter, require_first_connection=False) as client:
            with trio.move_on_after(HOUR):
                await client.wait_for(S)
            waits.append(client.statistics().budget_waits)

    async with trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(one, number / 40)
    attempts = nobody.attempts
    assert all(later - earlier > 600 for earlier, later in zip(attempts, attempts[120:], strict=False))
    assert len(attempts) > 600  # what is allowed is made use of
    assert sum(waits) > 40


async def test_a_client_with_a_lower_limit_leaves_the_rest_to_the_others(autojump_clock: MockClock) -> None:
    budget, modest, other = ConnectBudget(trio.current_time), Refusing(), Refusing()
    async with (
        client_with(budget, modest.connect, require_first_connection=False, connect_budget=3),
        client_with(budget, other.connect, require_first_connection=False),
    ):
        await trio.sleep(599)
        assert len(modest.attempts) <= 3
        assert len(other.attempts) > 8


async def connects(url: str, nobody: Refusing, **options: object) -> str:
    """What entering a client with a ``connect_budget`` of 1 says."""
    with pytest.raises(kt.ConnectError) as caught:
        async with kt.open_client(
            url,
            settings=kt.Settings(connect_budget=1),
            transport=nobody.connect,
            **options,  # type: ignore[arg-type]  # any of its options
        ):
            pytest.fail("nobody is there")
    return str(caught.value)


async def test_clients_share_the_budget_of_the_process_except_for_loopback_addresses(tmp_path: Path) -> None:
    """With no admission given, against the process's own; nothing is waited for."""
    assert PROCESS.take_nowait() is None  # a client somewhere
    nobody = Refusing()
    assert "the clients of this process have made 1 connection attempts" in await connects(KRAKEN, nobody)
    file = tmp_path / "attempts"
    assert "the clients of this process have made 1" in await connects(HERE, nobody, budget_file=file)
    budget = ConnectBudget(trio.current_time)
    assert nobody.attempts == []
    for _ in range(2):
        assert await connects(HERE, nobody) == "connection refused"
    assert await connects(HERE, nobody, admission=budget) == "connection refused"
    assert "no attempt was made" in await connects(HERE, nobody, admission=budget)
    assert len(nobody.attempts) == 3


def test_two_threads_that_run_trio_share_a_budget() -> None:
    budget = ConnectBudget(lambda: 0.0)
    said: list[str] = []

    async def main() -> None:
        said.append(await connects(KRAKEN, Refusing(), admission=budget))

    threads = [threading.Thread(target=trio.run, args=(main,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused, waited = sorted(said)
    assert refused == "connection refused"
    assert "no attempt was made to connect" in waited


async def test_an_admission_of_a_programs_own_is_asked_before_each_attempt_with_the_clients_limit(
    autojump_clock: MockClock,
) -> None:
    class Own:
        asked: list[int] = []  # noqa: RUF012 (one test, one object)
        waits = [Wait(3.0, "the moon is full"), None, None]  # noqa: RUF012 (one test, one object)

        async def take(self, limit: int, /) -> Wait | None:
            self.asked.append(limit)
            return self.waits.pop(0) if self.waits else Wait(HOUR, "enough")

    nobody = Refusing()
    settings = kt.Settings(require_first_connection=False, connect_budget=7)
    async with kt.open_client(HERE, settings=settings, transport=nobody.connect, admission=Own()):
        await trio.sleep(600)
    assert len(nobody.attempts) == 2
    assert nobody.attempts[0] == 3.0
    assert Own.asked == [7] * 4


async def test_an_admission_and_a_file_are_not_for_one_client(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="an admission or a budget_file, not both"):
        async with kt.open_client(HERE, admission=ConnectBudget(lambda: 0.0), budget_file=tmp_path / "attempts"):
            pytest.fail("which is meant?")


# Waiting


async def test_a_client_whose_budget_is_spent_waits_visibly_and_goes_on(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    budget = ConnectBudget(trio.current_time)
    async with (
        exchange_in_memory() as (exchange, connect),
        client_with(budget, connect, url=exchange.url) as client,
        client.subscribe(kt.Book("BTC/USD"), capacity=100_000),
    ):
        assert all(budget.take_nowait() is None for _ in range(119))
        spent = trio.current_time()
        caplog.clear()
        exchange.inject(Drop())
        await trio.sleep(300)
        assert client.state is D
        statistics = client.statistics()
        assert (statistics.attempts, statistics.budget_waits) == (1, 1)
        (_lost, line) = caplog.messages
        assert "the next attempt to connect has to wait for 600 s or longer: the clients of this process" in line
        assert "120 connection attempts or more within 600 s (Settings.connect_budget)" in line
        await client.wait_for(S)
        assert 599 < trio.current_time() - spent < 602
        assert client.statistics().budget_waits == 1


async def test_the_first_connection_waits_for_its_turn_if_that_comes_soon(autojump_clock: MockClock) -> None:
    budget = exhausted()
    await trio.sleep(592)
    began = trio.current_time()
    async with (
        exchange_in_memory() as (exchange, connect),
        client_with(budget, connect, url=exchange.url, connect_timeout=10) as client,
    ):
        assert trio.current_time() - began == pytest.approx(8, abs=0.1)
        assert client.statistics().budget_waits == 1


async def test_the_first_connection_raises_if_its_turn_comes_late(autojump_clock: MockClock) -> None:
    budget, nobody = exhausted(), Refusing()
    await trio.sleep(300)
    with pytest.raises(kt.ConnectError, match=r"was made to connect to wss://ws\.kraken\.com/v2: ") as caught:
        async with client_with(budget, nobody.connect, connect_timeout=10):
            pytest.fail("there is no slot")
    assert caught.value.retryable
    assert caught.value.status is None
    assert caught.value.retry_after == pytest.approx(300)
    assert "try again in 300 s" in str(caught.value)
    assert "keep a client open" in str(caught.value)
    assert nobody.attempts == []


async def test_without_need_of_a_first_connection_the_client_waits(autojump_clock: MockClock) -> None:
    budget = exhausted()
    async with (
        exchange_in_memory() as (exchange, connect),
        client_with(budget, connect, url=exchange.url, require_first_connection=False) as client,
    ):
        await trio.testing.wait_all_tasks_blocked()
        assert client.state is D
        assert client.statistics().attempts == 0
        async with client.subscribe(kt.Book("BTC/USD")) as feed:
            assert isinstance(await feed.receive(), kt.BookSnapshot)
        assert 600 < trio.current_time() < 602
        assert client.statistics().budget_waits == 1


async def test_waiting_can_be_cancelled_and_takes_nothing(autojump_clock: MockClock) -> None:
    budget, nobody = exhausted(), Refusing()
    with trio.move_on_after(1):
        async with client_with(budget, nobody.connect, require_first_connection=False) as client:
            await client.wait_for(C)
    assert trio.current_time() == pytest.approx(1)
    await trio.sleep(600)
    assert [budget.take_nowait() for _ in range(120)] == [None] * 120


async def test_leaving_ends_the_wait(autojump_clock: MockClock) -> None:
    async with client_with(exhausted(), Refusing().connect, require_first_connection=False) as client:
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await client.wait_for(S)

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            assert isinstance(client._shell, Actor)
            client._shell.close()
    assert trio.current_time() == 0


# A file


async def test_clients_count_in_the_file_that_they_name(tmp_path: Path) -> None:
    path = tmp_path / "attempts"
    for times in range(1, 4):
        async with open_exchange() as exchange:  # another address each time
            async with kt.open_client(exchange.url, budget_file=path):
                _header, *lines = path.read_text(encoding="ascii").splitlines()
                assert sum(bool(line.strip()) for line in lines) == times


async def test_a_file_that_is_full_keeps_the_client_away(tmp_path: Path) -> None:
    path = tmp_path / "attempts"
    ledger = HostLedger(b"", wall=time.time_ns(), monotonic=time.monotonic_ns())
    assert all(ledger.take() for _ in range(120))
    path.write_bytes(ledger.to_bytes())
    nobody = Refusing()
    with pytest.raises(kt.ConnectError, match=r"the processes that share .*attempts have made 120 conn") as caught:
        async with kt.open_client(HERE, transport=nobody.connect, budget_file=str(path)):
            pytest.fail("there is no slot")
    assert nobody.attempts == []
    assert caught.value.retryable
    assert caught.value.retry_after is not None
    assert 500 < caught.value.retry_after <= 600


async def test_a_file_that_cannot_be_used_keeps_the_client_away_and_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "precious.txt"
    path.write_text("something of worth")
    settings = kt.Settings(connect_timeout=2)
    with pytest.raises(kt.ConnectError, match=r"precious\.txt cannot be used: it holds something else .*; name anot"):
        async with kt.open_client(HERE, settings=settings, budget_file=path):
            pytest.fail("there is no slot")
    assert path.read_text() == "something of worth"
    with pytest.raises(kt.ConnectError, match="cannot be used: No such file or directory"):
        async with kt.open_client(HERE, settings=settings, budget_file=tmp_path / "no such folder" / "file"):
            pytest.fail("there is no slot")


async def test_a_file_system_that_does_not_answer_holds_up_nothing(tmp_path: Path) -> None:
    answers = threading.Event()
    running = threading.Event()

    class Stuck(HostBudget):
        def take_now(self, limit: int = 120) -> None:
            running.set()
            answers.wait()

    def admission() -> Admission:
        return HostAndProcess(Stuck(tmp_path / "attempts"), ConnectBudget(trio.current_time))

    try:
        nobody = Refusing()
        with pytest.raises(kt.ConnectError, match="the connect budget has not answered yet"):
            async with client_with(admission(), nobody.connect, connect_timeout=0.05):
                pytest.fail("there is no slot")
        async with client_with(admission(), nobody.connect, require_first_connection=False):
            await trio.to_thread.run_sync(running.wait)
        assert nobody.attempts == []
    finally:
        answers.set()
