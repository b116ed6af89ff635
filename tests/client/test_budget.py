"""The connect budget as clients meet it: together, in virtual time, in threads, and through a file."""

from __future__ import annotations

import importlib.util
import itertools
import logging
import threading
from contextlib import asynccontextmanager
from math import inf
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import kraken_trio as kt
from kraken_trio import budget
from kraken_trio.budget import MAX_LOOPBACK, Budgets, loopback_address
from kraken_trio.budget_file import BudgetFile
from kraken_trio.client import open_with
from kraken_trio.testing import open_exchange
from kraken_trio.testing.faults import Drop

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from trio.testing import MockClock

    from kraken_trio.transport import Connect, Limits, Transport

    from .conftest import InMemoryExchange

KRAKEN = "wss://ws.kraken.com/v2"
OTHER_KRAKEN = "wss://ws-auth.kraken.com/v2"
HERE = "ws://127.0.0.1:8080/v2"
HOUR = 3600.0
D, C, S = kt.ConnectionState.DISCONNECTED, kt.ConnectionState.CONNECTING, kt.ConnectionState.SUBSCRIBED


class Clock:
    """Seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


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
    budgets: Budgets,
    connect: Connect,
    *,
    url: str = KRAKEN,
    jitter: float = 0.5,
    budget_file: BudgetFile | None = None,
    **settings: float | bool,
) -> AbstractAsyncContextManager[kt.Client]:
    return open_with(
        url,
        settings=kt.Settings.from_mapping(settings),
        ssl_context=None,
        connect=connect,
        wall_ns=lambda: 0,
        jitter=lambda: jitter,
        budgets=budgets,
        budget_file=budget_file,
    )


def exhausted(clock: Clock | None = None) -> Budgets:
    """A budget of which nothing is left."""
    budgets = Budgets(clock or trio.current_time)
    assert all(budgets.take(KRAKEN, 120) == 0 for _ in range(120))
    return budgets


# Together


async def test_40_clients_that_cannot_connect_stay_within_one_budget_for_an_hour(autojump_clock: MockClock) -> None:
    budgets, nobody = Budgets(trio.current_time), Refusing()
    waits = []

    async def one(jitter: float) -> None:
        opened = client_with(budgets, nobody.connect, jitter=jitter, require_first_connection=False)
        async with opened as client:
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
    budgets, modest, other = Budgets(trio.current_time), Refusing(), Refusing()
    async with (
        client_with(budgets, modest.connect, require_first_connection=False, connect_budget=3),
        client_with(budgets, other.connect, require_first_connection=False),
    ):
        await trio.sleep(599)
        assert len(modest.attempts) <= 3
        assert len(other.attempts) > 8


def test_all_of_the_exchange_is_one_door_and_each_loopback_address_another() -> None:
    budgets = exhausted(Clock())
    assert budgets.take(OTHER_KRAKEN, 120) == pytest.approx(600)
    assert budgets.take("memory://of a program's own", 120) == pytest.approx(600)
    assert [budgets.take(HERE, 120) for _ in range(120)] == [0.0] * 120
    assert budgets.take(HERE, 120) == budgets.wait(HERE, 120) == pytest.approx(600)
    assert budgets.wait("ws://127.0.0.1:8081", 120) == 0


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("ws://localhost/v2", "localhost:80"),
        ("wss://LOCALHOST./v2", "localhost.:443"),
        ("ws://exchange.localhost:81", "exchange.localhost:81"),
        ("ws://127.0.0.1:5", "127.0.0.1:5"),
        ("ws://127.255.0.9:5", "127.255.0.9:5"),
        ("ws://[::1]:5", "[::1]:5"),
        (KRAKEN, None),
        ("ws://128.0.0.1:5", None),
        ("ws://localhost.example", None),
        ("ws://notlocalhost", None),
        ("http://localhost", None),
    ],
)
def test_what_is_a_loopback_address(url: str, address: str | None) -> None:
    assert loopback_address(url) == address


def test_loopback_addresses_are_forgotten_when_their_attempts_are_over() -> None:
    clock = Clock()
    budgets = Budgets(clock)
    for port in range(1, 11):
        budgets.take(f"ws://127.0.0.1:{port}", 120)
        clock.now += 60
    assert len(budgets._loopback) == 10
    clock.now += 1
    budgets.take("ws://127.0.0.1:3", 120)
    assert list(budgets._loopback) == [f"127.0.0.1:{port}" for port in (2, 4, 5, 6, 7, 8, 9, 10, 3)]
    clock.now += 1000
    budgets.take("ws://127.0.0.1:3", 120)
    assert list(budgets._loopback) == ["127.0.0.1:3"]


def test_the_number_of_loopback_addresses_is_bounded() -> None:
    budgets = Budgets(Clock())
    for port in range(1, 1000):
        budgets.take(f"ws://127.0.0.1:{port}", 120)
    assert len(budgets._loopback) == MAX_LOOPBACK
    assert "127.0.0.1:999" in budgets._loopback


def test_threads_share_the_budget() -> None:
    budgets, start = Budgets(Clock()), threading.Barrier(4)
    taken = [0] * 4

    def run(number: int) -> None:
        start.wait()
        taken[number] = sum(budgets.take(KRAKEN, 120) == 0 for _ in range(100))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 120


def test_two_threads_that_run_trio_share_the_process_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the public function, against the process's own clock; nothing is waited for."""
    monkeypatch.setattr(budget, "PROCESS", exhausted(Clock()))
    errors: list[kt.ConnectError] = []
    nobody = Refusing()

    async def main() -> None:
        try:
            async with kt.open_client(transport=nobody.connect):
                pytest.fail("there is no slot")  # pragma: no cover
        except kt.ConnectError as error:
            errors.append(error)

    threads = [threading.Thread(target=trio.run, args=(main,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [error.retry_after for error in errors] == [pytest.approx(600)] * 2
    assert nobody.attempts == []


def test_a_process_has_a_budget_from_the_start() -> None:
    """(The tests' own has been taken away: see conftest.)"""
    spec = importlib.util.find_spec("kraken_trio.budget")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PROCESS.wait(KRAKEN, 120) == 0
    assert module.PROCESS.take(KRAKEN, 120) == 0
    assert 599 < module.PROCESS.wait(KRAKEN, 1) <= 601


# Waiting


async def test_a_client_whose_budget_is_spent_waits_visibly_and_goes_on(
    autojump_clock: MockClock, exchange: InMemoryExchange, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    exchange.core.pause()
    budgets = Budgets(trio.current_time)
    async with client_with(budgets, exchange.connect, url=exchange.url) as client:
        async with client.subscribe(kt.Book("BTC/USD"), capacity=100_000):
            assert all(budgets.take(KRAKEN, 120) == 0 for _ in range(119))
            spent = trio.current_time()
            caplog.clear()
            exchange.inject(Drop())
            await trio.sleep(300)
            assert client.state is D
            statistics = client.statistics()
            assert (statistics.attempts, statistics.budget_waits) == (1, 1)
            (line,) = caplog.messages
            assert "the next attempt to connect has to wait for 600 s or longer: the clients of this process" in line
            assert "120 connection attempts or more within 600 s (Settings.connect_budget)" in line
            await client.wait_for(S)
            assert 599 < trio.current_time() - spent < 602
            assert client.statistics().budget_waits == 1


async def test_the_first_connection_waits_for_its_turn_if_that_comes_soon(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    exchange.core.pause()
    budgets = exhausted()
    await trio.sleep(592)
    began = trio.current_time()
    async with client_with(budgets, exchange.connect, url=exchange.url, connect_timeout=10) as client:
        assert trio.current_time() - began == pytest.approx(8)
        assert client.statistics().budget_waits == 1


async def test_the_first_connection_raises_if_its_turn_comes_late(autojump_clock: MockClock) -> None:
    budgets, nobody = exhausted(), Refusing()
    await trio.sleep(300)
    with pytest.raises(kt.ConnectError, match=r"was made to connect to wss://ws\.kraken\.com/v2: ") as caught:
        async with client_with(budgets, nobody.connect, connect_timeout=10):
            pytest.fail("there is no slot")  # pragma: no cover
    assert caught.value.retryable
    assert caught.value.status is None
    assert caught.value.retry_after == pytest.approx(300)
    assert "try again in 300 s" in str(caught.value)
    assert "keep a client open" in str(caught.value)
    assert nobody.attempts == []


async def test_without_need_of_a_first_connection_the_client_waits(
    autojump_clock: MockClock, exchange: InMemoryExchange
) -> None:
    exchange.core.pause()
    budgets = exhausted()
    async with client_with(budgets, exchange.connect, url=exchange.url, require_first_connection=False) as client:
        await trio.testing.wait_all_tasks_blocked()
        assert client.state is D
        assert client.statistics().attempts == 0
        async with client.subscribe(kt.Book("BTC/USD")) as feed:
            assert isinstance(await feed.receive(), kt.BookSnapshot)
        assert 600 < trio.current_time() < 602
        assert client.statistics().budget_waits == 1


async def test_waiting_can_be_cancelled_and_takes_nothing(autojump_clock: MockClock) -> None:
    budgets, nobody = exhausted(), Refusing()
    with trio.move_on_after(1):
        async with client_with(budgets, nobody.connect, require_first_connection=False) as client:
            await client.wait_for(C)
    assert trio.current_time() == pytest.approx(1)
    await trio.sleep(600)
    assert [budgets.take(KRAKEN, 120) for _ in range(120)] == [0.0] * 120


async def test_leaving_ends_the_wait(autojump_clock: MockClock) -> None:
    async with client_with(exhausted(), Refusing().connect, require_first_connection=False) as client:
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await client.wait_for(S)

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            client._actor.close()
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
    assert [BudgetFile(path).take_now(120) for _ in range(120)] == [None] * 120
    async with open_exchange() as exchange:
        with pytest.raises(kt.ConnectError, match=r"the processes that count in .*attempts have made 120") as caught:
            async with kt.open_client(exchange.url, budget_file=str(path)):
                pytest.fail("there is no slot")  # pragma: no cover
        assert exchange.connections == 0
    assert caught.value.retryable
    assert caught.value.retry_after is not None
    assert 500 < caught.value.retry_after <= 600


async def test_a_file_that_cannot_be_used_keeps_the_client_away_and_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "precious.txt"
    path.write_text("something of worth")
    settings = kt.Settings(connect_timeout=2)
    with pytest.raises(kt.ConnectError, match=r"precious\.txt cannot be used: it holds something else .*; name anot"):
        async with kt.open_client(HERE, settings=settings, budget_file=path):
            pytest.fail("there is no slot")  # pragma: no cover
    assert path.read_text() == "something of worth"
    with pytest.raises(kt.ConnectError, match="cannot be used: No such file or directory"):
        async with kt.open_client(HERE, settings=settings, budget_file=tmp_path / "no such folder" / "file"):
            pytest.fail("there is no slot")  # pragma: no cover


async def test_a_file_costs_no_attempt_of_the_process_while_it_says_no(tmp_path: Path) -> None:
    budgets, nobody = Budgets(Clock()), Refusing()
    for _ in range(3):
        with pytest.raises(kt.ConnectError, match="no attempt was made"):
            async with client_with(budgets, nobody.connect, connect_timeout=1, budget_file=BudgetFile(tmp_path)):
                pytest.fail("a folder is no file")  # pragma: no cover
    assert budgets.wait(KRAKEN, 1) == 0


async def test_a_process_without_a_slot_costs_none_of_the_host(tmp_path: Path) -> None:
    file = BudgetFile(tmp_path / "attempts")
    with pytest.raises(kt.ConnectError, match="the clients of this process"):
        async with client_with(exhausted(Clock()), Refusing().connect, budget_file=file):
            pytest.fail("there is no slot")  # pragma: no cover
    assert not (tmp_path / "attempts").exists()


async def test_a_file_system_that_does_not_answer_holds_up_nothing(tmp_path: Path) -> None:
    answers = threading.Event()
    running = threading.Event()

    class Stuck(BudgetFile):
        def take_now(self, limit: int) -> None:
            running.set()
            answers.wait()

    try:
        nobody = Refusing()
        with pytest.raises(kt.ConnectError, match="the budget file does not answer"):
            async with client_with(
                Budgets(Clock()), nobody.connect, connect_timeout=0.05, budget_file=Stuck(tmp_path / "attempts")
            ):
                pytest.fail("there is no slot")  # pragma: no cover
        async with client_with(
            Budgets(Clock()), nobody.connect, require_first_connection=False, budget_file=Stuck(tmp_path / "attempts")
        ):
            await trio.to_thread.run_sync(running.wait)
        assert nobody.attempts == []
    finally:
        answers.set()


def test_the_counts_of_the_process_and_of_the_host_agree(tmp_path: Path) -> None:
    clock = Clock()
    path = tmp_path / "attempts"
    file = BudgetFile(path, wall_ns=lambda: round(clock.now * 1e9), monotonic_ns=lambda: round(clock.now * 1e9))
    budgets = Budgets(clock)
    admission = budget.Admission(KRAKEN, 120, budgets, file)
    made = []

    async def main() -> None:
        for step in itertools.count():
            clock.now = 1000.0 + 2.5 * step
            if step == 1440:
                break
            if await admission.take() is None:
                made.append(clock.now)

    trio.run(main)
    assert len(made) == 6 * 120
    assert all(later - earlier > 600 for earlier, later in zip(made, made[120:], strict=False))
    assert budgets.wait(KRAKEN, 1) < inf
