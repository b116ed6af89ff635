"""Shared by the commands: options, the output, and running an async function to an exit status.

Exit statuses: 0 success; 1 failure, with one line on standard error (or a report) that says why; 2 usage error, or
no room for the output; 130 stopped with Ctrl-C, 143 with SIGTERM; 141 if nobody reads the output any more. ``audit``
and ``doctor`` have a verdict: 0 good, 1 not quite, 2 bad.
"""

from __future__ import annotations

import errno
import math
import signal
import sys
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, ClassVar, Final, NoReturn, TextIO, TypeVar

import click
import trio
from rich.console import Console

from kraken_trio import PUBLIC_V2, KrakenTrioError, SubscriptionRejected
from kraken_trio._interrupted import STOPPED
from kraken_trio._nursery import open_hidden_nursery
from kraken_trio._text import printable
from kraken_trio.cli.formatting import listed
from kraken_trio.cli.log import current_log, say
from kraken_trio.cli.output import discard_rest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

    from kraken_trio import Client, Request

_Command = TypeVar("_Command", bound="Callable[..., object]")

__all__ = [
    "PIPE_CLOSED",
    "STOPPED",
    "NoRecording",
    "Output",
    "ending_well",
    "exposing",
    "leave",
    "live_options",
    "metrics_option",
    "output",
    "plain_option",
    "positive_duration",
    "progress_on_stderr",
    "refusals",
    "run_and_exit",
    "run_until_signal",
    "url_option",
]

PIPE_CLOSED = 128 + 13
"""The exit status where nobody reads the output any more, as of a process that SIGPIPE has ended."""
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


class NoRecording(click.ClickException):
    """There is no recording: a usage error, in one line."""

    exit_code: ClassVar[int] = click.UsageError.exit_code


def live_options(command: _Command) -> _Command:
    """Give a command that connects the options ``--seconds`` and ``--plain``."""
    command = plain_option(command)
    return click.option(
        "--seconds",
        type=float,
        metavar="SECONDS",
        callback=positive_duration,
        help="Duration.  [default: until Ctrl-C]",
    )(command)


def url_option(command: _Command) -> _Command:
    """Give a command the option ``--url``."""
    return click.option(
        "--url",
        metavar="URL",
        default=PUBLIC_V2.url,
        show_default=True,
        help="A server that speaks Kraken's v2 protocol.",
    )(command)


def metrics_option(command: _Command) -> _Command:
    """Give a command that may run long the option ``--metrics-port``."""
    return click.option(
        "--metrics-port",
        type=click.IntRange(0, 65535),
        metavar="PORT",
        help="Serve numbers for Prometheus at http://127.0.0.1:PORT/metrics (0: any port), and /healthz.",
    )(command)


@asynccontextmanager
async def exposing(client: Client, port: int | None, say: Callable[[str], object]) -> AsyncIterator[None]:
    """Serve the client's metrics while a block runs, unless ``port`` is None; ``say`` is told where."""
    if port is None:
        yield
        return
    try:
        from kraken_trio.metrics import serve  # noqa: PLC0415 (an extra, which takes long to import)
    except ImportError as error:
        msg = f"--metrics-port needs an extra: pip install 'kraken-trio[metrics]' ({error})"
        raise KrakenTrioError(msg) from None
    async with open_hidden_nursery() as nursery:
        try:
            bound = await nursery.start(serve, client, port)
        except OSError as error:
            msg = f"--metrics-port {port}: cannot listen at 127.0.0.1: {error.strerror or error}"
            raise KrakenTrioError(msg) from error
        say(f"metrics at http://127.0.0.1:{bound}/metrics")
        try:
            yield
        finally:
            nursery.cancel_scope.cancel()


def plain_option(command: _Command) -> _Command:
    """Give a command the option ``--plain``."""
    return click.option("--plain", is_flag=True, help="Print lines instead of drawing a screen.")(command)


def positive_duration(_context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Reject NaN, infinity, zero and negative durations. Their unit is the option's metavar."""
    if value is not None and not (math.isfinite(value) and value > 0):
        msg = f"{value} is not a duration in {(parameter.metavar or 'seconds').lower()}"
        raise click.BadParameter(msg)
    return value


def output(*, plain: bool) -> tuple[TextIO, bool]:
    """The output stream, and whether it is a terminal on which a screen can be drawn."""
    stream = sys.stdout
    console = Console(file=stream)
    can_draw = console.is_terminal and not console.is_dumb_terminal and not console.legacy_windows
    is_shared = current_log() is not None and sys.stderr.isatty()  # the log's lines would stand in the picture
    return stream, can_draw and not plain and not is_shared


class Output(Console):
    """Standard output, or ``file``, for what rich prints."""

    def on_broken_pipe(self) -> None:
        """Leave it to :func:`ending_well`: rich itself would exit with 1, which is a verdict of some commands."""
        raise  # noqa: PLE0704 (it is called where the error is handled)


def progress_on_stderr() -> Console | None:
    """Where to draw how far a command is: a terminal, which has no log."""
    console = Console(stderr=True)
    return console if console.is_terminal and not console.is_dumb_terminal and current_log() is None else None


def run_and_exit(start: Callable[[], Awaitable[int]], refused: str = "the exchange refused") -> NoReturn:
    """Run ``start`` in Trio and exit with its status; an error of the library becomes one line.

    ``refused`` is what that line says before the requests that cannot be had.
    """
    try:
        status = trio.run(run_until_signal, start)
    except KeyboardInterrupt:
        status = STOPPED
    except SubscriptionRejected as error:
        msg = f"{refused} {'; '.join(refusals(error.reasons))}"
        raise click.ClickException(msg) from None
    except KrakenTrioError as error:
        raise click.ClickException(str(error)) from None
    leave(status)


def leave(status: int) -> NoReturn:
    """Exit with ``status``, with a message after Ctrl-C. Raises :class:`OSError` if the output cannot be written."""
    if status == STOPPED:
        say("stopped", "command_stopped", exit_status=status)
    sys.stdout.flush()
    sys.exit(status)


@contextmanager
def ending_well() -> Iterator[None]:
    """Have a command end as all commands do where it was stopped with Ctrl-C, or its output cannot be written."""
    try:
        try:
            yield
            sys.stdout.flush()
        except KeyboardInterrupt:
            leave(STOPPED)
        except click.ClickException as error:
            log = current_log()
            if log is None:
                raise  # click says it
            log.say(error.format_message(), "command_failed", exit_status=error.exit_code)
            leave(error.exit_code)
    except OSError as error:
        if error.errno == errno.EPIPE:
            discard_rest(sys.stdout)
            sys.exit(PIPE_CLOSED)
        if error.errno not in _NO_ROOM:
            raise
        discard_rest(sys.stdout)
        text = f"cannot write the output: {error.strerror}"
        status = click.UsageError.exit_code  # as of what is damaged: it is no verdict that all is well
        say(text if current_log() else f"Error: {text}", "command_failed", exit_status=status)
        sys.exit(status)


async def run_until_signal(run: Callable[[], Awaitable[int]]) -> int:
    """The result of ``run``; or 128 plus the signal's number if Ctrl-C or SIGTERM ends it."""
    status = 0
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with open_hidden_nursery() as nursery:

            async def listen() -> None:
                nonlocal status
                async for number in signals:
                    status = 128 + number
                    nursery.cancel_scope.cancel()

            nursery.start_soon(listen)
            status = await run()
            nursery.cancel_scope.cancel()
    return status


def refusals(reasons: Mapping[Request, str]) -> list[str]:
    """``NOPE/USD (book, trade): Currency pair not supported NOPE/USD``, for each symbol and text.

    Of channels without symbols, only the names: ``executions, balances: …``.
    """
    channels: dict[tuple[str, str], list[str]] = {}
    for request, text in reasons.items():
        channels.setdefault((request.symbol or "", printable(text)), []).append(request.channel or "")
    return [
        f"{f'{symbol} ({listed(names)})' if symbol else listed(names)}: {text}"
        for (symbol, text), names in channels.items()
    ]
