"""``--log-format``: the log of a command, on standard error, as text or as JSON.

With it, everything that the command itself says on standard error is a line of the log, too. A thread writes the lines,
so that nobody waits for a terminal that was stopped, or for a full pipe.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from kraken_trio._text import printable
from kraken_trio.cli.output import descriptor, write_all
from kraken_trio.recording.records import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "COMMAND_EVENTS",
    "CommandLog",
    "LineWriter",
    "current_log",
    "json_line",
    "log_option",
    "needed_log",
    "say",
    "text_line",
]

FORMATS: Final = ("text", "json")
MOST_LINES: Final = 1000
"""Lines that wait to be written; more are dropped, and counted."""
FLUSH_LIMIT: Final = 1.0
"""Seconds for what still waits at the end."""
_BATCH: Final = 100
"""Lines that are written at once."""
_LONG: Final = 4000
"""Characters of a text that are shown."""
_MOST_ITEMS: Final = 100
"""Items of a field that are shown."""
_META: Final = "kraken_trio.log"
_OWN: Final = "kraken_trio.cli"
"""The logger of the commands."""
_STANDARD: Final = logging.makeLogRecord({}).__dict__.keys() | {"message", "asctime", "event_name", "taskName"}
"""Attributes of a log record that are no fields."""

COMMAND_EVENTS: Final[Mapping[str, tuple[int, str]]] = {
    "command_says": (logging.INFO, "What the command would otherwise say in a line on standard error."),
    "command_warns": (logging.WARNING, "The same, of what is wrong without ending the command."),
    "command_failed": (logging.ERROR, "Why the command ends; the field exit_status says how."),
    "command_stopped": (logging.INFO, "Ctrl-C ended the command."),
    "log_lines_dropped": (logging.WARNING, "So many lines (dropped) could not be written: standard error is too slow."),
}
"""What the commands log themselves, with the levels and meanings; of the logger ``kraken_trio.cli``."""


class LineWriter:
    """Writes lines in a thread. Whoever has a line never waits."""

    def __init__(self, fd: int, notice: Callable[[int], bytes], *, most: int = MOST_LINES) -> None:
        """``notice`` is the line that says how many were dropped."""
        self._fd = fd
        self._notice = notice
        self._most = most
        self._changed = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._untold = 0
        self._is_ending = False
        self.dropped: int = 0
        """How many lines were dropped so far."""
        self._thread = threading.Thread(target=self._run, name="kraken_trio log", daemon=True)
        self._thread.start()

    def put(self, line: bytes) -> None:
        """Have a line written, or dropped if too many wait."""
        with self._changed:
            if len(self._lines) >= self._most:  # mutant: log that nobody reads
                self._drop(1)
                return
            self._tell()
            self._lines.append(line)
            self._changed.notify()

    def close(self, limit: float | None = None) -> None:
        """Have everything written that waits, within ``limit`` seconds; :data:`FLUSH_LIMIT` if that is None."""
        with self._changed:
            self._tell()
            self._is_ending = True
            self._changed.notify()
        self._thread.join(FLUSH_LIMIT if limit is None else limit)

    def _drop(self, count: int) -> None:
        self.dropped += count
        self._untold += count

    def _tell(self) -> None:
        if self._untold:
            self._lines.append(self._notice(self._untold))
            self._untold = 0

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._lines and not self._is_ending:
                    self._changed.wait()
                if not self._lines:
                    return
                batch = [self._lines.popleft() for _ in range(min(_BATCH, len(self._lines)))]
            try:
                write_all(self._fd, b"".join(batch))
            except OSError:  # no room, or no reader: perhaps there will be
                with self._changed:
                    self._drop(len(batch))


# Lines


def text_line(record: logging.LogRecord) -> bytes:
    """``2026-11-29T12:00:00.000Z WARNING kraken_trio: …``: one line, whatever was logged."""
    text = _message(record)
    if record.exc_info and record.exc_info[1] is not None:
        text = f"{text}: {record.exc_info[1]!r}"
    line = f"{_time(record)} {record.levelname:<7} {record.name}: {printable(text, _LONG)}\n"
    return line.encode("utf-8", "backslashreplace")


def json_line(record: logging.LogRecord) -> bytes:
    """One JSON object: ``time``, ``level``, ``logger``, ``event``, ``message``, then the record's fields."""
    line: dict[str, Any] = {
        "time": _time(record),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": getattr(record, "event_name", None),
        "message": _plain(_message(record)),
    }
    if record.exc_info and record.exc_info[1] is not None:
        line["exception"] = _plain("".join(traceback.format_exception(*record.exc_info)))
    for name, value in vars(record).items():
        if name not in _STANDARD:
            line.setdefault(name, _plain(value))
    return encode(line) + b"\n"


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 (another library's arguments, which may raise anything)
        return str(record.msg)


def _plain(value: object, depth: int = 3) -> Any:
    """What JSON has; anything else as its text."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth - 1) for item in list(value)[:_MOST_ITEMS]]
    if depth and isinstance(value, dict):
        return {str(_plain(str(key))): _plain(item, depth - 1) for key, item in list(value.items())[:_MOST_ITEMS]}
    try:
        text = str(value)
    except Exception:  # noqa: BLE001 (see above)
        text = f"<{type(value).__name__}>"
    return text[:_LONG].encode("utf-8", "backslashreplace").decode()


# The log of a command


class _Handler(logging.Handler):
    def __init__(self, writer: LineWriter, line_of: Callable[[logging.LogRecord], bytes]) -> None:
        super().__init__(logging.INFO)
        self._writer = writer
        self._line_of = line_of

    def emit(self, record: logging.LogRecord) -> None:
        self._writer.put(self._line_of(record))


class CommandLog:
    """The log of this process, from :meth:`open` until :meth:`close`: all loggers, ours from INFO on."""

    def __init__(self, style: str, fd: int) -> None:
        self.style: str = style
        """``text`` or ``json``."""
        line_of = json_line if style == "json" else text_line
        self._writer = LineWriter(fd, lambda count: line_of(_dropped(count)))
        self._handler = _Handler(self._writer, line_of)
        self._logger = logging.getLogger("kraken_trio")
        self._before = self._logger.level

    def open(self) -> None:
        """Log from now on."""
        logging.getLogger().addHandler(self._handler)
        self._logger.setLevel(logging.INFO)

    def close(self) -> None:
        """Log no more. What waits is written, if that takes no longer than :data:`FLUSH_LIMIT`."""
        logging.getLogger().removeHandler(self._handler)
        self._logger.setLevel(self._before)
        self._writer.close()

    def pass_on(self, line: bytes) -> None:
        """A line of another process's log, with its end."""
        self._writer.put(line)

    def say(self, text: str, event: str, **fields: object) -> None:
        """What the command itself has to say: an event of :data:`COMMAND_EVENTS`."""
        level, _ = COMMAND_EVENTS[event]
        logging.getLogger(_OWN).log(level, "%s", text, extra={"event_name": event, **fields})


def _dropped(count: int) -> logging.LogRecord:
    level, _ = COMMAND_EVENTS["log_lines_dropped"]
    text = f"{count} lines of the log were dropped: standard error is too slow, or has no room"
    record = logging.makeLogRecord(
        {"name": _OWN, "levelno": level, "levelname": logging.getLevelName(level), "msg": text}
    )
    record.__dict__.update(event_name="log_lines_dropped", dropped=count)
    return record


def _begin(context: click.Context, _parameter: click.Parameter, style: str | None) -> None:
    if style is not None and not context.resilient_parsing:
        _open(context, style)


def _open(context: click.Context, style: str) -> CommandLog:
    fd = descriptor(sys.stderr)
    log = CommandLog(style, 2 if fd is None else fd)
    log.open()
    context.meta[_META] = log
    context.find_root().call_on_close(log.close)
    return log


def log_option(default: str = "no log") -> click.Option:
    """The option ``--log-format``, which every command has."""
    return click.Option(
        ["--log-format"],
        type=click.Choice(FORMATS),
        callback=_begin,
        expose_value=False,
        is_eager=True,
        help=f"Log to standard error: as text, or one JSON object a line.  [default: {default}]",
    )


def current_log() -> CommandLog | None:
    """The log of the command that runs, if it has one."""
    context = click.get_current_context(silent=True)
    log = None if context is None else context.meta.get(_META)
    assert log is None or isinstance(log, CommandLog)
    return log


def needed_log() -> CommandLog:
    """The log of a command that cannot do without one: as text, unless another form was asked for."""
    return current_log() or _open(click.get_current_context(), "text")


def say(text: str, event: str = "command_says", **fields: object) -> None:
    """A line on standard error: of the log, if there is one."""
    log = current_log()
    if log is None:
        click.echo(text, err=True)
    else:
        log.say(text, event, **fields)
