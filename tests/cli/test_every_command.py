"""What all commands have in common: their help, how they end, what they do without room, and their log.

A command that is new needs a row in ``COMMANDS``.
"""

from __future__ import annotations

import io
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias

import attrs
import pytest
import trio

from kraken_trio.cli.app import cli, run
from kraken_trio.cli.running import PIPE_CLOSED, STOPPED
from kraken_trio.testing import open_exchange
from tests.cli.published import Published
from tests.cli.recorder import Recorder, ack, cbcap
from tests.cli.test_app import ROOT, invoke, stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FULL = Path("/dev/full")
NOBODY = "ws://127.0.0.1:1/v2"


@attrs.frozen
class Command:
    """How a command is called here: ``{day}`` is a recording, ``{file}`` another program's, ``{new}`` a new folder."""

    line: str
    status: int = 0
    goes_on: bool = False
    """Whether its output is the lesser part of what it does."""
    can_log: str = ""
    """A word of its log."""


COMMANDS = {
    "demo": Command("--seconds 3 --plain", can_log="connection_lost"),
    "watch": Command("BTC/USD --plain --seconds 0.2 --url {url}", can_log="connected"),
    "record": Command("BTC/USD --out {new} --seconds 0.2 --url {url}", goes_on=True, can_log="connected"),
    "replay": Command("{day} --speed max --plain"),
    "info": Command("{day}"),
    "audit": Command("{day}", status=1),
    "export": Command("{day} --out {new}"),
    "verify": Command("{file}"),
    "import": Command("{file} --out {new}"),
    "doctor": Command(f"--url {NOBODY}", status=2),
    "relay": Command("--symbols 100 --plan"),
    "stream": Command("nats://localhost BTC/USD --plain --seconds 0.5"),
}

Call: TypeAlias = "Callable[..., int]"


def test_every_command_is_tried_here() -> None:
    assert COMMANDS.keys() == cli.commands.keys()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """An exchange that serves from a thread, because commands run an event loop of their own."""
    said: queue.Queue[tuple[str, trio.lowlevel.TrioToken, trio.Event]] = queue.Queue()

    async def serve() -> None:
        async with open_exchange(rate=20) as exchange:
            end = trio.Event()
            said.put((exchange.url, trio.lowlevel.current_trio_token(), end))
            await end.wait()

    thread = threading.Thread(target=trio.run, args=(serve,))
    thread.start()
    address, token, end = said.get(timeout=60)
    yield address
    token.run_sync_soon(end.set)
    thread.join()


@pytest.fixture
def call(url: str, recorded_day: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Runs a command in this process, as its script would, and returns its exit status."""
    recorder = Recorder()
    frames = [ack(), recorder.snapshot(), recorder.update(bids=[("99.0", "7")])]
    (tmp_path / "x.cbcap").write_bytes(cbcap(frames))

    def call(name: str, *more: str, stdout: object = None, stderr: object = None) -> int:
        line = COMMANDS[name].line.format(url=url, day=recorded_day, file=tmp_path / "x.cbcap", new=tmp_path / "new")
        monkeypatch.setattr(sys, "argv", ["kraken-trio", name, *line.split(), *more])
        monkeypatch.setattr(sys, "stdout", io.StringIO() if stdout is None else stdout)
        monkeypatch.setattr(sys, "stderr", io.StringIO() if stderr is None else stderr)
        with pytest.raises(SystemExit) as ending:
            run()
        assert isinstance(ending.value.code, int)
        return ending.value.code

    monkeypatch.setattr("kraken_trio.cli.view.live.STATUS_INTERVAL", 0.05)
    monkeypatch.setattr("kraken_trio.cli.brokers.engine_for", lambda *_: Published())
    return call


def unread_pipe() -> io.TextIOWrapper:
    """What a command gets whose reader has gone away: ``| head -1``."""
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "w", encoding="utf-8")


def full_disk() -> io.TextIOWrapper:
    if not FULL.exists():
        pytest.skip("this system has no /dev/full")
    return FULL.open("w", encoding="utf-8")


# Its help


@pytest.mark.parametrize("name", COMMANDS)
def test_its_help_has_two_examples_its_exit_statuses_and_the_log(name: str) -> None:
    result = invoke(name, "--help")
    assert result.exit_code == 0
    examples = result.output.partition("Examples:")[2].partition("Options:")[0]
    assert sum(f"kraken-trio {name}" in line for line in examples.splitlines()) >= 2
    assert "Exit status: 0" in result.output
    assert "--log-format [text|json]" in result.output
    assert max(map(len, result.output.splitlines())) <= 100


# Its output


@pytest.mark.parametrize("name", COMMANDS)
def test_an_output_without_room_is_one_line_and_no_verdict(name: str, call: Call) -> None:
    err = io.StringIO()
    with full_disk() as full:
        status = call(name, stdout=full, stderr=err)
    told = "Error: cannot write the output: No space left on device\n"
    if COMMANDS[name].goes_on:
        assert (status, err.getvalue()) == (0, "")
    else:
        assert (status, err.getvalue().endswith(told), err.getvalue().count("Error")) == (2, True, 1)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_reader_that_goes_away_is_no_error_and_no_verdict(name: str, call: Call) -> None:
    err = io.StringIO()
    with unread_pipe() as pipe:
        status = call(name, stdout=pipe, stderr=err)
    assert status == (0 if COMMANDS[name].goes_on else 141)
    assert "Error" not in err.getvalue()


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "demo"])  # which says nothing there
@pytest.mark.parametrize("broken", [full_disk, unread_pipe])
def test_what_cannot_be_said_on_stderr_changes_nothing(
    name: str, broken: Callable[[], io.TextIOWrapper], call: Call
) -> None:
    out = io.StringIO()
    with broken() as err:
        assert call(name, "--log-format", "json", stdout=out, stderr=err) == COMMANDS[name].status
    assert out.getvalue()


def test_an_error_that_cannot_be_said_has_its_status(call: Call) -> None:
    with unread_pipe() as err:
        assert call("watch", "--no-such-option", stderr=err) == 2


def test_help_without_room(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["kraken-trio", "--help"])
    for broken, status in ((full_disk, 2), (unread_pipe, 141)):
        with broken() as stream, pytest.raises(SystemExit) as ending:
            monkeypatch.setattr(sys, "stdout", stream)
            run()
        assert ending.value.code == status
    assert capsys.readouterr().err == "Error: cannot write the output: No space left on device\n"


# Ctrl-C


class Stopped(io.StringIO):
    """Ctrl-C comes when the command writes."""

    def write(self, text: str) -> int:
        raise KeyboardInterrupt


@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_while_it_writes(name: str, call: Call) -> None:
    err = io.StringIO()
    assert call(name, stdout=Stopped(), stderr=err) == 130
    assert err.getvalue().endswith("stopped\n")
    assert "Aborted" not in err.getvalue()


@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_before_it_begins(name: str, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.commands[name], "parse_args", stop)
    err = io.StringIO()
    assert call(name, stderr=err) == 130
    assert err.getvalue() == "stopped\n"


# Its log


@pytest.mark.parametrize("name", COMMANDS)
def test_its_log_is_json_and_nothing_else(name: str, call: Call, tmp_path: Path) -> None:
    with (tmp_path / "log").open("w", encoding="utf-8") as err:
        assert call(name, "--log-format", "json", stderr=err) == COMMANDS[name].status
    lines = [json.loads(line) for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]
    assert all(line.keys() >= {"time", "level", "logger", "event", "message"} for line in lines)
    assert COMMANDS[name].can_log in {"", *(line["event"] for line in lines)}
    assert lines or not COMMANDS[name].can_log


@pytest.mark.parametrize("name", COMMANDS)
def test_its_end_is_in_its_log(name: str, call: Call, tmp_path: Path) -> None:
    ends: list[tuple[Callable[[], IO[str]], str, int]] = [(Stopped, "command_stopped", 130)]
    if not COMMANDS[name].goes_on:
        ends.append((full_disk, "command_failed", 2))
    for make, event, status in ends:
        with (tmp_path / event).open("w", encoding="utf-8") as err, make() as stdout:
            assert call(name, "--log-format", "json", stdout=stdout, stderr=err) == status
        last = json.loads((tmp_path / event).read_text(encoding="utf-8").splitlines()[-1])
        assert (last["event"], last["exit_status"]) == (event, status)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such pipes")
def test_a_log_that_nobody_reads_holds_nothing_up(
    call: Call, recorded_day: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Standard error is a full pipe: the command does its work, and ends within the time of the last flush."""
    monkeypatch.setattr("kraken_trio.cli.log.FLUSH_LIMIT", 0.05)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writing, b"x" * 65_536)
    os.set_blocking(writing, True)
    out = io.StringIO()
    with os.fdopen(reading, "rb"), os.fdopen(writing, "w", encoding="utf-8") as err:
        assert call("watch", "--log-format", "json", stdout=out, stderr=err) == 0
    assert "0 mismatches, 0 gaps, 1 connection" in out.getvalue()


# Real processes


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such pipes")
def test_a_real_head_of_a_real_pipe(url: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "kraken_trio", "watch", "BTC/USD", "--plain", "--url", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (141, f"connecting to {url} (Ctrl-C stops)\n")


# Its documentation


def test_the_exit_statuses_of_all_helps_are_in_one_table() -> None:
    page = (ROOT / "docs" / "reference" / "command.md").read_text(encoding="utf-8")
    table = {int(found) for found in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert table == {0, 1, 2, STOPPED, PIPE_CLOSED, 128 + signal.SIGTERM}
    for name in COMMANDS:
        told = " ".join(invoke(name, "--help").output.partition("Exit status:")[2].partition("Examples:")[0].split())
        assert {int(found) for found in re.findall(r"\b(\d+)\b", told)} <= table
