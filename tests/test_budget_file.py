"""The file in which a host's processes count: with real processes, real locks, and every way to spoil it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kraken_trio.budget_file import BudgetFile
from kraken_trio.session.budget import HostLedger

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = """
import sys
from kraken_trio.budget_file import BudgetFile

file = BudgetFile(sys.argv[1], lock_patience=60)
sys.stdin.readline()
while file.take_now(120) is None:
    print("taken", flush=True)
"""
"""Makes attempts until there are none left, and says so for each."""

HOLD = """
import sys, time
from kraken_trio import budget_file

with open(sys.argv[1], "r+b") as file:
    assert budget_file._try_lock(file.fileno())
    print("held", flush=True)
    time.sleep(3600)
"""
"""Locks the file, and keeps it."""

Process = subprocess.Popen[str]


class Processes:
    def __init__(self) -> None:
        self.running: list[Process] = []

    def start(self, program: str, path: Path) -> Process:
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.running.append(process)
        return process


@pytest.fixture
def processes() -> Iterator[Processes]:
    started = Processes()
    yield started
    for process in started.running:
        process.kill()
        process.communicate()


def go(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def attempts(path: Path) -> int:
    _header, *lines = path.read_text(encoding="ascii").splitlines()
    return sum(bool(line.strip()) for line in lines)


def test_processes_make_120_attempts_together(tmp_path: Path, processes: Processes) -> None:
    path = tmp_path / "attempts"
    counting = [processes.start(COUNT, path) for _ in range(3)]
    for process in counting:
        go(process)
    outputs = [process.communicate()[0] for process in counting]
    assert [process.returncode for process in counting] == [0] * 3
    assert sum(output.count("taken") for output in outputs) == attempts(path) == 120


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_a_process_that_is_killed_while_it_counts_spoils_nothing(tmp_path: Path, processes: Processes) -> None:
    path = tmp_path / "attempts"
    killed, other = processes.start(COUNT, path), processes.start(COUNT, path)
    go(killed)
    assert killed.stdout is not None
    for _ in range(10):
        assert killed.stdout.readline() == "taken\n"
    killed.send_signal(signal.SIGKILL)
    said = 10 + killed.stdout.read().count("taken")
    assert killed.wait() == -signal.SIGKILL
    go(other)
    taken = other.communicate()[0].count("taken")
    assert attempts(path) == 120
    assert 119 <= said + taken <= 120  # it may have counted one that it did not come to say


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_a_process_that_is_killed_while_it_holds_the_lock_lets_it_go(tmp_path: Path, processes: Processes) -> None:
    path = tmp_path / "attempts"
    file = BudgetFile(path, lock_patience=0.0)
    assert file.take_now(120) is None
    holder = processes.start(HOLD, path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    wait = file.take_now(120)
    assert wait is not None
    assert "another process holds the budget file" in wait.why
    assert attempts(path) == 1
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert file.take_now(120) is None
    assert attempts(path) == 2


def test_the_lock_is_waited_for(tmp_path: Path, processes: Processes) -> None:
    path = tmp_path / "attempts"
    path.touch()
    holder = processes.start(HOLD, path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    release = threading.Timer(0.05, holder.kill)
    release.start()
    assert BudgetFile(path, lock_patience=60.0).take_now(120) is None
    release.join()


def test_nothing_of_a_lock_stays_behind(tmp_path: Path) -> None:
    """Not even where a process that was forked meanwhile has the file open."""
    path = tmp_path / "attempts"
    assert BudgetFile(path).take_now(120) is None
    kept: list[int] = []

    class Forked(BudgetFile):
        def _count(self, file, limit):  # type: ignore[no-untyped-def]
            kept.append(os.dup(file.fileno()))
            return super()._count(file, limit)

    assert Forked(path).take_now(120) is None
    try:
        assert BudgetFile(path, lock_patience=0.0).take_now(120) is None
    finally:
        os.close(*kept)


class Clocks:
    """Nanoseconds."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000_000_000_000
        self.monotonic = 1_000_000_000_000

    def file(self, path: Path) -> BudgetFile:
        return BudgetFile(path, wall_ns=lambda: self.wall, monotonic_ns=lambda: self.monotonic)

    def advance(self, seconds: int) -> None:
        self.wall += seconds * 10**9
        self.monotonic += seconds * 10**9


@pytest.mark.parametrize("hours", [-24, -1, 1, 24])
def test_a_clock_that_is_set_allows_nothing_more_and_blocks_nobody_for_long(tmp_path: Path, hours: int) -> None:
    clocks = Clocks()
    file = clocks.file(tmp_path / "attempts")
    assert [file.take_now(120) for _ in range(120)] == [None] * 120
    clocks.advance(300)
    clocks.wall += hours * 3600 * 10**9
    wait = file.take_now(120)
    assert wait is not None
    assert wait.seconds == pytest.approx(300 if hours > 0 else 600)
    clocks.advance(601)
    assert [file.take_now(120) for _ in range(121)][:120] == [None] * 120


def test_a_file_of_zeros_is_full_once(tmp_path: Path) -> None:
    path = tmp_path / "attempts"
    path.write_bytes(b"\0" * 100)
    clocks = Clocks()
    wait = clocks.file(path).take_now(120)
    assert wait is not None
    assert wait.seconds == pytest.approx(600)
    clocks.advance(601)
    assert clocks.file(path).take_now(120) is None
    assert attempts(path) == 1
    assert path.stat().st_size == HostLedger.SIZE


def test_a_file_is_made_and_one_that_was_deleted_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "attempts"
    file = BudgetFile(path)
    for _ in range(2):
        assert file.take_now(120) is None
        assert attempts(path) == 1
        path.unlink()


def test_the_file_is_the_one_that_was_meant_when_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    file = BudgetFile("attempts")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert file.take_now(120) is None
    assert attempts(tmp_path / "attempts") == 1


def test_what_cannot_be_used_is_said_in_one_printable_line(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no\x1b[2J folder" / "file", tmp_path / "zero\0byte"):
        wait = BudgetFile(path).take_now(120)
        assert wait is not None
        assert wait.seconds < 10  # somebody may repair it
        assert wait.why.isprintable()
        assert "cannot be used: " in wait.why


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_is_no_attempt() -> None:
    wait = BudgetFile("/dev/full").take_now(120)
    assert wait is not None
    assert "cannot be used: No space left on device" in wait.why


def test_a_write_that_is_cut_short_is_no_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fdopen

    class Cut:
        def __init__(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            self.file = real(*args, **kwargs)

        def __enter__(self):  # type: ignore[no-untyped-def]
            return self

        def __exit__(self, *exc):  # type: ignore[no-untyped-def]
            self.file.close()

        def __getattr__(self, name):  # type: ignore[no-untyped-def]
            return getattr(self.file, name)

        def write(self, data: bytes) -> int:
            return int(self.file.write(data[:4096]))

    monkeypatch.setattr(os, "fdopen", Cut)
    file = BudgetFile(tmp_path / "attempts")
    wait = file.take_now(120)
    assert wait is not None
    assert "No space left" in wait.why
    monkeypatch.undo()
    assert file.take_now(59) is None  # 57 lines are missing, and count, and so does the one that was written
    assert file.take_now(59) is not None
