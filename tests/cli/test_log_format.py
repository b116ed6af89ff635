"""``--log-format``: what a line says, who writes it, and what happens when nobody can."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import click
import pytest

from kraken_trio.cli import log as module
from kraken_trio.cli.log import COMMAND_EVENTS, CommandLog, LineWriter, current_log, json_line, say, text_line
from kraken_trio.cli.running import output, progress_on_stderr
from kraken_trio.session.records import FrameMalformed
from kraken_trio.settings import Settings
from kraken_trio.telemetry.lines import EVENTS
from kraken_trio.telemetry.log import LogLines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Unspeakable:
    def __str__(self) -> str:
        msg = "no text"
        raise RuntimeError(msg)


def record(text: str = "text", *args: object, **fields: object) -> logging.LogRecord:
    made = logging.makeLogRecord(
        {"name": "some.logger", "levelno": 30, "levelname": "WARNING", "msg": text, "args": args, "created": 1.5}
    )
    made.__dict__.update(fields)
    return made


def raised() -> Any:
    try:
        msg = "a\x1bb"
        raise ValueError(msg)
    except ValueError:
        return sys.exc_info()


# Lines


def test_a_line_of_text() -> None:
    assert text_line(record("%d and\n\x1b[2J more", 5)) == (
        b"1970-01-01T00:00:01.500Z WARNING some.logger: 5 and\\n\\x1b[2J more\n"
    )
    assert text_line(record(exc_info=raised())).endswith(b"text: ValueError('a\\x1bb')\n")
    assert text_line(record("\ud800")).endswith(b": \\ud800\n")


def test_a_line_of_json() -> None:
    line = json_line(record("%s: it\n", "x", event_name="connected", epoch=3, symbols=["A", "B"], seconds=0.5, no=None))
    assert line.startswith(b'{"time":"1970-01-01T00:00:01.500Z","level":"warning","logger":"some.logger","event":"conn')
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:01.500Z",
        "level": "warning",
        "logger": "some.logger",
        "event": "connected",
        "message": "x: it\n",
        "epoch": 3,
        "symbols": ["A", "B"],
        "seconds": 0.5,
        "no": None,
    }


def test_whatever_other_loggers_say_is_a_line() -> None:
    nested: list[Any] = []
    nested.append(nested)
    strange = record(
        "%d", "no number", time="other", huge=2**70, bad="\ud800", thing=Unspeakable(), nested=nested, keys={1: {2, 3}}
    )
    line = json.loads(json_line(strange))
    assert line["message"] == "%d"
    assert line["time"] == "1970-01-01T00:00:01.500Z"
    assert line["event"] is None
    assert (line["huge"], line["bad"], line["thing"]) == (str(2**70), "\\ud800", "<Unspeakable>")
    assert line["nested"] == [[["[[...]]"]]]
    assert line["keys"] == {"1": [2, 3]}
    assert text_line(strange).endswith(b": %d\n")
    failed = json.loads(json_line(record(exc_info=raised())))
    assert failed["exception"].startswith("Traceback")
    assert failed["exception"].endswith("ValueError: a\x1bb\n")


def test_the_names_of_the_commands_events_are_no_others() -> None:
    assert not COMMAND_EVENTS.keys() & EVENTS.keys()


# The thread


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def notice(count: int) -> bytes:
    return b"dropped %d\n" % count


def told_of(lines: list[bytes]) -> int:
    """How many lines were dropped, by all notices."""
    return sum(int(line.split()[1]) for line in lines if line.startswith(b"dropped "))


def test_lines_are_written_in_order_and_flushed_at_the_end(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    writer = LineWriter(writing, notice)
    lines = [b"%d\n" % number for number in range(500)]
    for line in lines:
        writer.put(line)
    writer.close()
    assert os.read(reading, 1 << 20) == b"".join(lines)
    assert writer.dropped == 0


def test_nobody_waits_for_a_full_pipe_and_what_is_dropped_is_told(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    writer = LineWriter(writing, notice, most=10)
    filling = b"x" * 9_999 + b"\n"
    for _ in range(2000):  # 20 MB, and a pipe holds 64 kB
        writer.put(filling)
    assert writer.dropped > 1000
    writer.close(0.01)  # which does not wait for ever, either
    data, written = b"", 2000 - writer.dropped
    while data.count(b"x\n") < written or told_of(data.splitlines()) < writer.dropped:
        data += os.read(reading, 1 << 20)
    lines = data.splitlines()
    assert lines[-1].startswith(b"dropped ")
    assert told_of(lines) == writer.dropped
    assert [line + b"\n" for line in lines if not line.startswith(b"dropped ")] == [filling] * written


def test_lines_after_those_that_were_dropped_come_after_the_notice(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    writer = LineWriter(writing, notice, most=10)
    for _ in range(200):
        writer.put(b"x" * 9_999 + b"\n")
    before = writer.dropped
    assert before
    data, tried = b"", 0
    while writer.dropped == before + tried:  # there is room for this one as soon as somebody has read enough
        data += os.read(reading, 1 << 20)
        writer.put(b"after\n")
        tried += 1
    writer.close(0.0)
    while not data.endswith(b"after\n"):
        data += os.read(reading, 1 << 20)
    lines = data.splitlines()
    assert lines[-1] == b"after"
    assert lines[-2].startswith(b"dropped ")
    assert told_of(lines) == writer.dropped


def test_a_disk_without_room_drops_lines_and_counts_them() -> None:
    full = os.open("/dev/full", os.O_WRONLY) if os.path.exists("/dev/full") else None  # noqa: PTH110
    if full is None:
        pytest.skip("this system has no /dev/full")
    writer = LineWriter(full, notice)
    for _ in range(5):
        writer.put(b"x\n")
    writer.close()
    os.close(full)
    assert writer.dropped == 5


# The log of a command


Shown = list[dict[str, Any]]


@pytest.fixture
def logged(tmp_path: Path) -> Callable[[Callable[[], object]], Shown]:
    """What is in the log of a command that does this."""

    def run(what: Callable[[], object]) -> Shown:
        path = tmp_path / "log"
        with path.open("wb") as file, click.Context(click.Command("x")) as context:
            log = CommandLog("json", file.fileno())
            context.meta[module._META] = log
            log.open()
            try:
                what()
            finally:
                log.close()
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    return run


def test_the_logs_of_the_client_and_the_command_are_one(logged: Callable[[Callable[[], object]], Shown]) -> None:
    def work() -> None:
        LogLines("wss://x", Settings()).consume([FrameMalformed(detail="what")], 0.0)
        logging.getLogger("other").warning("of another library")
        logging.getLogger("other").info("chatter")
        say("it goes on", bytes=5)

    before = logging.getLogger("kraken_trio").level
    first, other, said = logged(work)
    assert (first["logger"], first["event"], first["client"]) == ("kraken_trio", "frame_malformed", "wss://x")
    assert (other["logger"], other["event"], other["message"]) == ("other", None, "of another library")
    assert (said["logger"], said["event"], said["message"], said["bytes"]) == (
        "kraken_trio.cli",
        "command_says",
        "it goes on",
        5,
    )
    assert logging.getLogger("kraken_trio").level == before
    assert not [one for one in logging.getLogger().handlers if isinstance(one, module._Handler)]


def test_what_was_dropped_is_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    line = json.loads(json_line(module._dropped(7)))
    assert (line["event"], line["level"], line["dropped"]) == ("log_lines_dropped", "warning", 7)


def test_without_the_option_a_command_says_it_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert current_log() is None
    say("as it is")
    with click.Context(click.Command("x")):
        assert current_log() is None
        say("it is")
    assert capsys.readouterr().err == "as it is\nit is\n"


def test_nothing_is_drawn_where_the_log_goes(
    logged: Callable[[Callable[[], object]], Shown], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    assert output(plain=False)[1]
    assert progress_on_stderr() is not None
    drawn: list[bool] = []

    def look() -> None:
        for is_terminal in (True, False):
            monkeypatch.setattr(sys.stderr, "isatty", lambda is_terminal=is_terminal: is_terminal)
            drawn.append(output(plain=False)[1])
        drawn.append(progress_on_stderr() is not None)

    logged(look)
    assert drawn == [False, True, False]
