"""The file in which a host's processes count: with real processes, real locks, and every way to spoil it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from filelock import FileLock

from kraken_trio.admission.host import HostBudget
from kraken_trio.admission.ledger import HostLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from kraken_trio.admission import Wait

TAKEN, HELD = b"t", b"h"


def count(path: str, pipe: Connection) -> None:
    """Makes attempts until there are none left, and says so for each."""
    budget = HostBudget(path, lock_patience=60)
    pipe.send_bytes(b"ready")
    pipe.recv_bytes()
    while budget.take_now() is None:
        pipe.send_bytes(TAKEN)


def hold(path: str, pipe: Connection) -> None:
    """Locks the file until it is told to go on."""
    with FileLock(f"{path}.lock"):
        pipe.send_bytes(HELD)
        pipe.recv_bytes()


def take_without_privileges(folder: str, pipe: Connection) -> None:
    """Make an attempt in each of three files, as a user to whom permissions mean something."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    waits = [HostBudget(Path(folder, name, "attempts")).take_now() for name in ("both", "neither", "no lock")]
    pipe.send_bytes("\n".join("taken" if wait is None else wait.why for wait in waits).encode())


class Processes:
    """Real processes. They start as copies of one that has imported everything: imports take most of the time."""

    def __init__(self) -> None:
        if sys.platform == "win32":
            self._context = multiprocessing.get_context("spawn")
        else:
            self._context = multiprocessing.get_context("forkserver")
            self._context.set_forkserver_preload([__name__])
        self._running: list[tuple[BaseProcess, Connection]] = []

    def start(self, program: Callable[[str, Connection], None], path: Path) -> tuple[BaseProcess, Connection]:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=program, args=(str(path), theirs), daemon=True)
        process.start()
        theirs.close()
        self._running.append((process, ours))
        return process, ours

    def kill(self) -> None:
        for process, pipe in self._running:
            process.kill()
            process.join()
            process.close()
            pipe.close()


@pytest.fixture
def processes() -> Iterator[Processes]:
    started = Processes()
    yield started
    started.kill()


def rest(pipe: Connection) -> int:
    """How many messages come until the process ends."""
    received = 0
    try:
        while pipe.recv_bytes():
            received += 1
    except (EOFError, ConnectionResetError):
        return received
    raise AssertionError


def attempts(path: Path) -> int:
    _header, *lines = path.read_text(encoding="ascii").splitlines()
    return sum(bool(line.strip()) for line in lines)


def refusal(wait: Wait | None) -> str:
    assert wait is not None
    assert wait.seconds < 10  # it may be repaired
    assert wait.why.isprintable()
    return wait.why


def test_processes_make_120_attempts_together(tmp_path: Path, processes: Processes) -> None:
    path = tmp_path / "attempts"
    counting = [processes.start(count, path) for _ in range(3)]
    for _, pipe in counting:
        assert pipe.recv_bytes() == b"ready"
    for _, pipe in counting:
        pipe.send_bytes(b"go")
    assert sum(rest(pipe) for _, pipe in counting) == attempts(path) == 120
    for process, _ in counting:
        process.join()
        assert process.exitcode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_a_process_that_is_killed_while_it_counts_spoils_nothing(tmp_path: Path, processes: Processes) -> None:
    path = tmp_path / "attempts"
    killed, pipe = processes.start(count, path)
    pipe.recv_bytes()
    pipe.send_bytes(b"go")
    for _ in range(10):
        assert pipe.recv_bytes() == TAKEN
    killed.kill()
    said = 10 + rest(pipe)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    budget = HostBudget(path)
    taken = sum(budget.take_now() is None for _ in range(121 - said))
    assert attempts(path) == 120
    assert 119 <= said + taken <= 120  # it may have counted one that it did not come to say


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_a_process_that_is_killed_while_it_holds_the_lock_lets_it_go(tmp_path: Path, processes: Processes) -> None:
    path = tmp_path / "attempts"
    budget = HostBudget(path, lock_patience=0.0)
    assert budget.take_now() is None
    holder, pipe = processes.start(hold, path)
    assert pipe.recv_bytes() == HELD
    assert "another process holds the lock of the budget file" in refusal(budget.take_now())
    assert attempts(path) == 1
    holder.kill()
    holder.join()
    assert budget.take_now() is None
    assert attempts(path) == 2


def test_the_lock_is_waited_for(tmp_path: Path, processes: Processes) -> None:
    path = tmp_path / "attempts"
    _, pipe = processes.start(hold, path)
    assert pipe.recv_bytes() == HELD
    release = threading.Timer(0.02, pipe.send_bytes, [b"go"])
    release.start()
    assert HostBudget(path, lock_patience=60.0).take_now() is None
    release.join()


@contextmanager
def held(path: Path) -> Iterator[None]:
    """(A lock is between the descriptors of one process, too.)"""
    with FileLock(f"{path}.lock"):
        yield


def test_a_lock_that_is_held_for_ever_is_waited_for_only_so_long(tmp_path: Path) -> None:
    path = tmp_path / "attempts"
    with held(path):
        began = time.monotonic()
        why = refusal(HostBudget(path, lock_patience=0.02).take_now())
        assert 0.02 <= time.monotonic() - began < 5
    assert "another process holds the lock" in why
    assert path.read_bytes() == b""


async def test_cancelling_does_not_wait_for_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "attempts"
    budget = HostBudget(path, lock_patience=60.0)
    with held(path):
        with trio.move_on_after(0.02) as scope:
            await budget.take()
        assert scope.cancelled_caught
    with trio.fail_after(60):
        assert await budget.take() is None  # the thread that was left behind has ended, and so a next one may begin
    assert 1 <= attempts(path) <= 2  # at worst, one counts that is not made


def test_the_data_is_never_locked_and_the_lock_holds_no_data(tmp_path: Path) -> None:
    path = tmp_path / "attempts"
    assert HostBudget(path).take_now() is None
    assert {file.name for file in tmp_path.iterdir()} == {"attempts", "attempts.lock"}
    assert (tmp_path / "attempts.lock").read_bytes() == b""
    if sys.platform != "win32":
        import fcntl

        with path.open("rb") as file:  # who looks at the data, and locks it, holds up nobody
            fcntl.flock(file, fcntl.LOCK_EX)
            assert HostBudget(path, lock_patience=0.0).take_now() is None
        assert attempts(path) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="links and permissions of Unix")
@pytest.mark.parametrize("mode", [0o600, 0o660, 0o644])
def test_who_may_write_the_file_may_lock_it(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "attempts"
    path.touch()
    path.chmod(mode)
    assert HostBudget(path).take_now() is None
    assert stat.S_IMODE((tmp_path / "attempts.lock").stat().st_mode) == mode
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.skipif(sys.platform == "win32", reason="links and permissions of Unix")
def test_a_file_with_two_names_has_one_lock(tmp_path: Path) -> None:
    path, link = tmp_path / "attempts", tmp_path / "link"
    link.symlink_to(path)
    with held(path):
        assert "another process holds the lock" in refusal(HostBudget(link, lock_patience=0.0).take_now())
    assert HostBudget(link).take_now() is None
    assert link.is_symlink()
    assert attempts(path) == 1


class Clocks:
    """Nanoseconds."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000_000_000_000
        self.monotonic = 1_000_000_000_000

    def budget(self, path: Path) -> HostBudget:
        return HostBudget(path, wall_ns=lambda: self.wall, monotonic_ns=lambda: self.monotonic)

    def fill(self, path: Path) -> None:
        """Write 120 attempts of now."""
        ledger = HostLedger(b"", wall=self.wall, monotonic=self.monotonic)
        assert all(ledger.take() for _ in range(120))
        path.write_bytes(ledger.to_bytes())

    def advance(self, seconds: int) -> None:
        self.wall += seconds * 10**9
        self.monotonic += seconds * 10**9


@pytest.mark.parametrize("hours", [-24, -1, 1, 24])
def test_a_clock_that_is_set_allows_nothing_more_and_blocks_nobody_for_long(tmp_path: Path, hours: int) -> None:
    clocks = Clocks()
    path = tmp_path / "attempts"
    budget = clocks.budget(path)
    clocks.fill(path)
    clocks.advance(300)
    clocks.wall += hours * 3600 * 10**9
    wait = budget.take_now()
    assert wait is not None
    assert wait.seconds == pytest.approx(300 if hours > 0 else 600)
    clocks.advance(601)
    assert budget.take_now() is None
    assert attempts(path) == 1


def test_a_file_of_zeros_is_full_once(tmp_path: Path) -> None:
    path = tmp_path / "attempts"
    path.write_bytes(b"\0" * 100)
    clocks = Clocks()
    wait = clocks.budget(path).take_now()
    assert wait is not None
    assert wait.seconds == pytest.approx(600)
    clocks.advance(601)
    assert clocks.budget(path).take_now() is None
    assert attempts(path) == 1
    assert path.stat().st_size == HostLedger.SIZE


def test_a_file_is_made_and_one_that_was_deleted_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "attempts"
    budget = HostBudget(path)
    for _ in range(2):
        assert budget.take_now() is None
        assert attempts(path) == 1
        path.unlink()


def test_the_file_is_the_one_that_was_meant_when_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    budget = HostBudget("attempts")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert budget.take_now() is None
    assert attempts(tmp_path / "attempts") == 1


def test_what_cannot_be_used_is_said_in_one_printable_line_and_leaves_nothing_behind(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no\x1b[2J folder" / "file", tmp_path / "zero\0byte", Path(os.devnull)):
        assert "cannot be used: " in refusal(HostBudget(path).take_now())
    assert list(tmp_path.iterdir()) == []
    assert not Path(f"{os.devnull}.lock").exists()


def test_a_folder_that_vanishes_is_not_made_again_and_is_used_when_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    budget = HostBudget(folder / "attempts")
    assert budget.take_now() is None
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    assert "cannot be used: No such file or directory" in refusal(budget.take_now())
    assert not folder.exists()
    folder.mkdir()
    assert budget.take_now() is None


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of Unix")
def test_a_read_only_folder_is_enough_where_both_files_are_there(processes: Processes) -> None:
    with tempfile.TemporaryDirectory() as name:  # not tmp_path: others may not even look into that
        Path(name).chmod(0o755)
        files = [Path(name, folder, "attempts") for folder in ("both", "neither", "no lock")]
        both, neither, no_lock = files
        for file in files:
            file.parent.mkdir()
        for file in (both, Path(f"{both}.lock"), no_lock):
            file.touch()
            file.chmod(0o666)
        for file in files:
            file.parent.chmod(0o555)
        try:
            _, pipe = processes.start(take_without_privileges, Path(name))
            said = dict(zip(files, pipe.recv_bytes().decode().splitlines(), strict=True))
        finally:
            for file in files:
                file.parent.chmod(0o755)
        assert said[both] == "taken"
        assert attempts(both) == 1
        assert f"{neither} cannot be used: Permission denied" in said[neither]
        assert f"{no_lock} cannot be used: Permission denied" in said[no_lock]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of Unix")
def test_a_write_that_fails_or_is_cut_short_is_no_attempt_and_loses_none(tmp_path: Path) -> None:
    path = tmp_path / "attempts"
    budget = HostBudget(path)
    with files_of_at_most(0):
        assert "cannot be used: File too large" in refusal(budget.take_now())
    assert path.read_bytes() == b""
    with files_of_at_most(4096):
        assert "cannot be used: No space left on device" in refusal(budget.take_now())
    assert path.stat().st_size == 4096
    assert budget.take_now(59) is None  # 57 lines are missing, and count, and so does the one that was written
    assert budget.take_now(59) is not None
    with files_of_at_most(4096):
        budget.take_now(120)
    assert attempts(path) == 59 + 1
