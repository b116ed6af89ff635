"""The budget in memory, and who is given which."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from kraken_trio.admission import Admission, Budget, ConnectBudget
from kraken_trio.admission.default import EXEMPT, HostAndProcess, default_admission, is_loopback
from kraken_trio.admission.host import HostBudget
from kraken_trio.admission.process import PROCESS, SnapshotBudgets

if TYPE_CHECKING:
    from pathlib import Path

KRAKEN = "wss://ws.kraken.com/v2"


class Clock:
    """Seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_120_attempts_and_then_a_wait_that_says_why() -> None:
    clock = Clock()
    budget = ConnectBudget(clock)
    assert [await budget.take(120) for _ in range(120)] == [None] * 120
    wait = await budget.take(120)
    assert wait == budget.peek(120) == budget.take_nowait() == budget.peek()
    assert wait is not None
    assert wait.seconds == pytest.approx(600)
    assert wait.why.startswith("the clients of this process have made 120 connection attempts or more within 600 s")
    clock.now += wait.seconds
    assert budget.peek() is None
    assert budget.peek() is None  # nothing was counted
    assert [budget.take_nowait() for _ in range(120)] == [None] * 120
    assert budget.take_nowait() is not None


def test_a_lower_limit_leaves_the_rest_to_others() -> None:
    budget = ConnectBudget(Clock())
    assert [budget.take_nowait(3) for _ in range(3)] == [None] * 3
    wait = budget.take_nowait(3)
    assert wait is not None
    assert "have made 3 connection attempts or more" in wait.why
    assert [budget.take_nowait() for _ in range(117)] == [None] * 117
    assert budget.take_nowait() is not None


def test_threads_share_the_budget() -> None:
    budget, start = ConnectBudget(Clock()), threading.Barrier(4)
    taken = [0] * 4

    def run(number: int) -> None:
        start.wait()
        taken[number] = sum(budget.take_nowait() is None for _ in range(100))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 120


# Who is given which


@pytest.mark.parametrize(
    "url",
    [
        "ws://localhost/v2",
        "wss://LOCALHOST./v2",
        "ws://exchange.localhost:81",
        "ws://127.0.0.1:5",
        "ws://127.255.0.9:5",
        "ws://[::1]:5",
    ],
)
def test_loopback_addresses_are_exempt(url: str) -> None:
    assert is_loopback(url)
    assert default_admission(url, None) is EXEMPT


async def test_who_is_exempt_never_waits() -> None:
    admission: Admission = EXEMPT
    assert [await admission.take(1) for _ in range(1000)] == [None] * 1000


@pytest.mark.parametrize(
    "url",
    [
        KRAKEN,
        "wss://ws-auth.kraken.com/v2",
        "ws://128.0.0.1:5",
        "ws://[::2]:5",
        "ws://[::ffff:127.0.0.1]:5",
        "ws://localhost.example",
        "ws://notlocalhost",
        "http://localhost",
        "memory://of a program's own",
    ],
)
def test_all_others_share_the_budget_of_the_process(url: str) -> None:
    assert not is_loopback(url)
    assert default_admission(url, None) is PROCESS


def test_the_budget_of_the_process_runs_on_real_time() -> None:
    assert PROCESS._clock is time.monotonic


@pytest.mark.parametrize("url", ["ws://127.0.0.1:8080/v2", KRAKEN])
def test_a_budget_file_holds_for_every_address_beside_the_budget_of_the_process(url: str, tmp_path: Path) -> None:
    admission = default_admission(url, tmp_path / "attempts")
    assert isinstance(admission, HostAndProcess)
    assert admission._process is PROCESS


async def test_the_host_is_not_asked_while_the_process_has_nothing_left(tmp_path: Path) -> None:
    budget = ConnectBudget(Clock())
    assert [budget.take_nowait() for _ in range(120)] == [None] * 120
    wait = await HostAndProcess(HostBudget(tmp_path / "attempts"), budget).take(120)
    assert wait is not None
    assert "the clients of this process" in wait.why
    assert list(tmp_path.iterdir()) == []


async def test_a_file_that_says_no_costs_no_attempt_of_the_process(tmp_path: Path) -> None:
    budget = ConnectBudget(Clock())
    wait = await HostAndProcess(HostBudget(tmp_path), budget).take(120)
    assert wait is not None
    assert "cannot be used" in wait.why
    assert budget.peek(1) is None


async def test_what_is_left_is_the_less_of_both(tmp_path: Path) -> None:
    """Of the file: as it was when this process has looked at it, and as time goes on."""
    clock = Clock()

    def now_ns() -> int:
        return round(clock.now * 1e9)

    host = HostBudget(tmp_path / "attempts", wall_ns=now_ns, monotonic_ns=now_ns)
    budget = ConnectBudget(clock)
    both = HostAndProcess(host, budget)
    assert isinstance(both, Budget)
    assert isinstance(budget, Budget)
    assert not isinstance(EXEMPT, Budget)
    assert budget.take_nowait() is None
    assert host.left() is None
    assert both.left(10) == 9  # the file has not been looked at
    assert [host.take_now() for _ in range(3)] == [None] * 3
    assert both.left(10) == 7
    assert [budget.take_nowait() for _ in range(4)] == [None] * 4
    assert both.left(10) == 5
    clock.now += 601
    assert both.left(10) == 10


async def test_the_counts_of_the_process_and_of_the_host_agree(tmp_path: Path) -> None:
    """For ten attempts at a time, which is what a minute has left on average."""
    clock = Clock()

    def now_ns() -> int:
        return round(clock.now * 1e9)

    host = HostBudget(tmp_path / "attempts", wall_ns=now_ns, monotonic_ns=now_ns)
    budget = ConnectBudget(clock)
    made = []
    for step in range(200):
        clock.now = 1000.0 + 10.0 * step
        if host.take_now(12) is None:
            assert budget.take_nowait(12) is None
            made.append(clock.now)
        else:
            assert budget.take_nowait(12) is not None
    assert len(made) == 3 * 12 + 12
    assert all(later - earlier > 600 for earlier, later in zip(made, made[12:], strict=False))


def test_only_who_names_a_file_imports_filelock() -> None:
    """Its import takes a tenth of the package's time."""
    program = "import sys, kraken_trio; sys.exit('filelock' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


# Snapshots


def test_clients_with_one_key_share_a_budget_of_snapshots_whatever_their_clocks_say() -> None:
    clock = Clock()
    budgets = SnapshotBudgets(clock)
    first, second = budgets.budget_of("key", 7.1), budgets.budget_of("key", 33.3)
    other = budgets.budget_of("another key", 7.1)
    assert first.take(7.1, 100)
    assert not second.take(33.3, 5)
    assert other.take(7.1, 100)
    assert first.ready_at(7.1, 5) == pytest.approx(7.15)
    assert second.ready_at(33.3, 5) == pytest.approx(33.35)
    second.pause(34.3)
    assert first.ready_at(7.1, 5) == pytest.approx(8.1)


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.lists(st.sampled_from([5, 25, 100]), min_size=1, max_size=20))
def test_what_is_ready_can_be_taken(theirs: float, ours: float, costs: list[int]) -> None:
    """A session asks at its deadline, and only then: rounding must not make it ask in vain for ever."""
    clock = Clock()
    clock.now = theirs
    budget = SnapshotBudgets(clock).budget_of("key", ours)
    now = ours
    assert budget.ready_at(now, 100) == now
    for cost in costs:
        now = budget.ready_at(now, cost)
        assert budget.ready_at(now, cost) == now
        assert budget.take(now, cost)
    assert now - ours >= sum(costs) / 100 - 1 - 1e-5


def test_a_budget_is_forgotten_with_its_last_client() -> None:
    budgets = SnapshotBudgets(Clock())
    assert budgets.budget_of("key", 0.0).take(0.0, 100)
    gc.collect()
    assert budgets.budget_of("key", 0.0).take(0.0, 100)


@pytest.mark.parametrize("processes", [1, 4])
def test_processes_that_use_one_key_take_their_parts_of_its_snapshots(processes: int) -> None:
    clock = Clock()
    budgets = SnapshotBudgets(clock)
    budgets.share(processes)
    budget = budgets.budget_of("key", clock.now)
    assert budget.take(clock.now, 100), "the largest may be taken by any of them"
    assert budget.ready_at(clock.now, 100) == pytest.approx(clock.now + processes)
    clock.now += processes / 2
    assert not budget.take(clock.now, 51)
    assert budget.take(clock.now, 49)
