"""The command line as a whole: its help, its usage errors, its version, and what it needs."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

import kraken_trio
from kraken_trio.__main__ import main
from kraken_trio.book import core
from kraken_trio.cli import app
from kraken_trio.cli.app import cli, run

if TYPE_CHECKING:
    from click.testing import Result

ROOT = Path(__file__).resolve().parents[2]


def invoke(*args: str) -> Result:
    return CliRunner().invoke(cli, list(args))


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["-h"],
        *([name, "-h"] for name in ("demo", "watch", "record", "replay", "audit", "export", "verify")),
    ],
)
def test_help_has_examples(args: list[str]) -> None:
    result = invoke(*args)
    assert result.exit_code == 0
    assert "Examples:" in result.output
    assert "..." not in result.output.partition("Commands:")[2]  # no summary is cut
    assert max(map(len, result.output.splitlines())) <= 100


def test_the_help_of_watch_tells_its_exit_statuses() -> None:
    words = " ".join(invoke("watch", "--help").output.split())
    assert "1 if the connection cannot be made or no symbol is left to watch" in words


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["watch"], "Missing argument 'SYMBOL...'"),
        (["watch", "BTCUSD"], "write BASE/QUOTE, such as 'BTC/USD'"),
        (["watch", "\x1b[2J"], "Invalid value for SYMBOL"),
        (["watch", "BTC/USD", "--depth", "20"], "'20' is not one of '10', '25', '100', '500', '1000'"),
        (["watch", "BTC/USD", "--channel", "level3"], "'level3' is not one of"),
        (["watch", "BTC/USD", "--seconds", "0"], "not a duration"),
        (["watch", "BTC/USD", "--seconds", "nan"], "not a duration"),
        (["watch", "BTC/USD", "--seconds", "inf"], "not a duration"),
        (["demo", "--seconds", "1"], "3.0<=x<=600.0"),
        (["demo", "--seconds", "nan"], "not a duration"),
        (["demo", "--seed", "x"], "not a valid integer"),
        (["fly"], "No such command 'fly'"),
    ],
)
def test_a_usage_error(args: list[str], words: str) -> None:
    result = invoke(*args)
    assert result.exit_code == 2
    assert words in result.output
    assert "\x1b" not in result.output


def test_the_version_is_that_of_the_package_and_names_the_core() -> None:
    assert kraken_trio.__version__ == version("kraken-trio")
    assert invoke("--version").output == f"kraken-trio {kraken_trio.__version__} ({core.NAME} core)\n"


def test_a_source_tree_that_was_never_installed_has_an_unknown_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.meta_path", [])
    monkeypatch.setattr("sys.path", [])
    assert kraken_trio.__version__ == "unknown"


def test_a_name_that_the_package_does_not_have() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Boook'"):
        _ = kraken_trio.Boook  # type: ignore[attr-defined]  # which is what mypy must say, too


# Its output and its end


def test_another_error_of_the_system_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(app, "cli", fail)
    with pytest.raises(FileNotFoundError):
        run()


def test_an_output_that_was_closed_is_not_written(recorded_day: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["kraken-trio", "info", str(recorded_day)])
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(SystemExit) as ending:
        run()
    assert ending.value.code == 0
    assert sys.stdout is not None
    sys.stdout.close()
    sys.stderr.close()


def stop(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_ctrl_c_while_the_commands_are_imported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Finder:
        find_spec = staticmethod(stop)

    monkeypatch.delitem(sys.modules, "kraken_trio.cli.app")
    monkeypatch.setattr("sys.meta_path", [Finder])
    assert main() == 130
    assert capsys.readouterr().err == "stopped\n"


# Without the extra


WITHOUT = """
import sys
from kraken_trio.__main__ import main

for name in ("click", "rich", "textwrap"):
    sys.modules[name] = None
    print(main())
    del sys.modules[name]
"""


def test_without_the_extra_it_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == "2\n2\n"
    first, second, *bug = done.stderr.splitlines()
    assert first == "kraken-trio: click is not installed: pip install 'kraken-trio[cli]'"
    assert second == "kraken-trio: rich is not installed: pip install 'kraken-trio[cli]'"
    assert bug[-1].startswith("ModuleNotFoundError: import of textwrap")  # any other one is a bug
