"""Ctrl-C while the package is imported: one line where it is the command, and Python's own way everywhere else."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kraken_trio import _interrupted
from kraken_trio._interrupted import is_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[1]

AT = """
import signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
sys.argv = [{name!r}, "info", "nothing"]

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Finder())
from kraken_trio.__main__ import main
sys.exit(main())
"""


def interrupted(module: str, name: str = "/usr/bin/kraken-trio") -> subprocess.CompletedProcess[str]:
    code = AT.format(module=module, name=name)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.mark.parametrize("module", ["kraken_trio._version", "kraken_trio.client", "kraken_trio.cli.app"])
def test_ctrl_c_while_the_command_is_imported(module: str) -> None:
    done = interrupted(module)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped\n")


def test_ctrl_c_while_a_program_imports_the_package_is_that_programs() -> None:
    done = interrupted("kraken_trio.client", "program.py")
    assert "Traceback" in done.stderr
    assert "stopped" not in done.stderr


@pytest.mark.parametrize(
    ("argv", "of_python", "expected"),
    [
        (["/usr/bin/kraken-trio", "watch"], ["python", "/usr/bin/kraken-trio", "watch"], True),
        (["kraken-trio.exe"], [], True),
        (["x/kraken-trio-script.py"], [], True),
        (["-m", "watch"], ["python", "-X", "dev", "-m", "kraken_trio", "watch"], True),
        (["-m"], ["python", "-m", "pytest", "kraken_trio"], False),
        (["-m"], ["python"], False),
        (["program.py", "kraken-trio"], ["python", "program.py", "kraken-trio"], False),
        ([""], ["python"], False),
        ([], [], False),
    ],
)
def test_what_the_command_is(argv: list[str], of_python: list[str], expected: bool) -> None:
    assert is_command(argv, of_python) is expected


def test_ctrl_c_is_one_line_and_the_status_of_shells(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    statuses: list[int] = []
    monkeypatch.setattr("os._exit", statuses.append)
    _interrupted.stop_at_once(signal.SIGINT, None)
    assert (statuses, capfd.readouterr().err) == ([130], "stopped\n")


@pytest.fixture
def handler() -> Iterator[Callable[[], object]]:
    """What is done about Ctrl-C, which is put back at the end."""
    before = signal.getsignal(signal.SIGINT)
    yield lambda: signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_when_it_is_imported_ctrl_c_is_what_it_is_in_any_program(handler: Callable[[], object]) -> None:
    signal.signal(signal.SIGINT, _interrupted.stop_at_once)
    _interrupted.is_imported()
    assert handler() is signal.default_int_handler
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _interrupted.is_imported()
    assert handler() is signal.SIG_IGN  # somebody wanted that


def test_after_its_end_the_command_is_not_interrupted_any_more(
    monkeypatch: pytest.MonkeyPatch, handler: Callable[[], object]
) -> None:
    before = handler()
    _interrupted.has_ended()  # this is no command
    assert handler() is before
    monkeypatch.setattr(_interrupted, "_IS_COMMAND", True)
    _interrupted.has_ended()
    assert handler() is signal.SIG_IGN
