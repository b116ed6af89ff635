"""``kraken-trio record``: write everything that the exchange sends into a folder, for months."""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TextIO

import attrs
import click
import trio

from kraken_trio import (
    Endpoint,
    KrakenTrioError,
    Overflow,
    SubscriptionRejected,
    open_client,
    record,
)
from kraken_trio._nursery import open_hidden_nursery
from kraken_trio._text import printable
from kraken_trio.cli.formatting import clock, counted
from kraken_trio.cli.log import current_log
from kraken_trio.cli.running import (
    exposing,
    live_options,
    metrics_option,
    output,
    positive_duration,
    refusals,
    run_and_exit,
)
from kraken_trio.cli.view.live import Writer
from kraken_trio.cli.wanted import CHANNELS, are_refused, wanted_options
from kraken_trio.cli.watch import ANSWER_LIMIT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from kraken_trio import Client, Credentials, Recording, Request
    from kraken_trio.cli.wanted import Wanted

__all__ = ["Options", "Size", "record_command", "run", "sized"]

STATUS_INTERVAL: Final = 60.0
"""Seconds between two status lines, where they stay."""
REFRESH_INTERVAL: Final = 0.5
"""Seconds between two status lines on a terminal, where one replaces the other; log lines wait no longer than this."""
CHECK_INTERVAL: Final = 10.0
"""Seconds between two looks at whether anything is left to record."""
MOST_LINES: Final = 1000
"""Log lines that wait while the terminal is stopped; the oldest are left out."""
_UNITS: Final = {
    "": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)},
    **{f"{letter}IB": 1024**power for power, letter in enumerate("KMGT", 1)},
}
_CLEAR: Final = "\r\x1b[K"


class Size(click.ParamType[int]):
    """A number of bytes: ``1000000``, ``256MB`` (millions), ``4GiB``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]I?B|B?)", str(value).upper(), re.ASCII)
        size = (
            int(float(match[1]) * _UNITS[match[2].removeprefix("B") if match[2] == "B" else match[2]]) if match else 0
        )
        if size < 1:
            self.fail(f"{printable(value)!r} is no size: write a number of bytes, such as 256MB or 4GiB", param, ctx)
        return size


def sized(size: float) -> str:
    """``12.3 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.1f} {unit}" if unit != "B" else f"{size:.0f} B"
        size /= 1000
    return f"{size:,.1f} TB"


@attrs.frozen(kw_only=True)
class Options:
    """How it is recorded: see :func:`kraken_trio.record`."""

    flush_every: float = 1.0
    keyframe_every: float = 60.0
    max_segment_bytes: int = 256_000_000
    keep_days: float | None = None
    keep_bytes: int | None = None
    overflow: Overflow = Overflow.DROP_OLDEST


@click.command("record", short_help="Record everything into a folder, to be replayed and proved.")
@wanted_options("record", *CHANNELS, "instruments")
@click.option(
    "--out", "folder", metavar="FOLDER", required=True, help="Where to; a recording that is there is continued."
)
@click.option(
    "--flush-every",
    type=float,
    metavar="SECONDS",
    default=1.0,
    show_default=True,
    callback=positive_duration,
    help="The most that a crash costs.",
)
@click.option(
    "--keyframe-every",
    type=float,
    metavar="SECONDS",
    default=60.0,
    show_default=True,
    callback=positive_duration,
    help="How often all state is written; a replay begins there.",
)
@click.option(
    "--max-segment-bytes",
    type=Size(),
    metavar="SIZE",
    default="256MB",
    show_default=True,
    help="When a new file begins; one begins each day (UTC), too.",
)
@click.option(
    "--keep-days", type=float, metavar="DAYS", callback=positive_duration, help="Delete files that are older."
)
@click.option("--keep-bytes", type=Size(), metavar="SIZE", help="Delete the oldest files beyond this, such as 500GB.")
@click.option(
    "--backpressure", is_flag=True, help="If the disk is too slow, read no more, instead of leaving messages out."
)
@metrics_option
@live_options
def record_command(
    wanted: Wanted,
    folder: str,
    flush_every: float,
    keyframe_every: float,
    max_segment_bytes: int,
    keep_days: float | None,
    keep_bytes: int | None,
    seconds: float | None,
    metrics_port: int | None,
    *,
    backpressure: bool,
    plain: bool,
) -> None:
    """Record SYMBOLs: everything that the exchange sends, and all that the client decides.

    The client reconnects and resyncs by itself. What is missing is marked in the recording. If the disk is full or
    gone, a warning says so, and it is tried again until there is room. After a crash, the same command goes on.

    A symbol that the exchange refuses is named, with the exchange's words, and the others are recorded.

    Exit status: 0 after --seconds; 1 if the first connection cannot be made, the folder cannot be used, or no symbol
    is left to record; 130 after Ctrl-C, 143 after SIGTERM: the recording is whole after each of them.

    \b
    Examples:
      kraken-trio record BTC/USD --out data
      kraken-trio record BTC/USD ETH/USD --depth 1000 --channel book --channel trades --out data
      kraken-trio record BTC/USD --out data --keep-days 30 --keep-bytes 500GB
      kraken-trio record --executions --balances --key-file ~/.kraken-key --out account
    """  # noqa: D301 (the backslash is click's: do not fill this paragraph)
    stream, screen = output(plain=plain)
    requests = wanted.requests(history=True)
    credentials = wanted.credentials()
    options = Options(
        flush_every=flush_every,
        keyframe_every=keyframe_every,
        max_segment_bytes=max_segment_bytes,
        keep_days=keep_days,
        keep_bytes=keep_bytes,
        overflow=Overflow.BACKPRESSURE if backpressure else Overflow.DROP_OLDEST,
    )

    async def start() -> int:
        return await run(
            requests,
            wanted.endpoint,
            folder,
            options,
            credentials=credentials,
            seconds=seconds,
            stream=stream,
            screen=screen,
            metrics_port=metrics_port,
        )

    run_and_exit(start)


async def run(
    requests: Sequence[Request],
    endpoint: Endpoint | str,
    folder: str,
    options: Options,
    *,
    credentials: Credentials | None = None,
    seconds: float | None,
    stream: TextIO,
    screen: bool,
    metrics_port: int | None = None,
) -> int:
    """Record ``requests`` until the time is over. Returns the exit status.

    What the exchange refuses is named and left out. Raises :class:`~kraken_trio.SubscriptionRejected` if nothing is
    left, and another :class:`~kraken_trio.KrakenTrioError` when the client or the recording cannot begin, or the client
    cannot go on.
    """
    wanted = list(requests)
    refused: dict[Request, str] = {}
    async with _display(stream, screen=screen) as show:
        name = Endpoint(endpoint).name if isinstance(endpoint, str) else endpoint.name
        show.say(f"connecting to {name} (Ctrl-C stops)")
        async with (
            open_client(endpoint, credentials=credentials) as client,
            exposing(client, metrics_port, show.say),
        ):
            with trio.move_on_after(float("inf") if seconds is None else seconds):
                while True:  # noqa: ASYNC913 (it records, or fails)
                    try:
                        await _record(client, folder, wanted, options, show)
                    except SubscriptionRejected as error:  # when it begins; what is refused later is in the log
                        refused |= error.reasons
                        wanted = [request for request in wanted if request not in error.reasons]
                        if not wanted:
                            raise SubscriptionRejected(refused) from None
                        for text in refusals(error.reasons):
                            show.say(f"refused: {text}")
    return 0


async def _record(client: Client, folder: str, wanted: Sequence[Request], options: Options, show: _Show) -> None:
    """Record until cancelled."""
    recording: Recording | None = None
    try:
        with trio.fail_after(ANSWER_LIMIT) as limit:
            async with record(client, folder, *wanted, **attrs.asdict(options)) as recording:
                limit.deadline = float("inf")
                show.say(f"recording {counted(len(wanted), 'subscription')} into {printable(folder)}")
                show.status = _Status(client, recording).line
                while True:
                    await trio.sleep(CHECK_INTERVAL)
                    if are_refused(client, wanted):
                        msg = "the exchange refuses everything that was to be recorded"
                        raise KrakenTrioError(msg)
    except trio.TooSlowError:
        msg = f"the exchange has not answered within {ANSWER_LIMIT:g} s; try again later"
        raise KrakenTrioError(msg) from None
    finally:
        if recording is not None:
            now = recording.statistics()
            show.status = None
            show.say(
                f"recorded {counted(now.frames, 'frame')} into {counted(now.segments, 'file')}, {sized(now.disk_bytes)}"
                + (f"; {now.dropped_frames:,} frames are missing" if now.dropped_frames else "")
                + (f"; {now.failure}" if now.failure else "")
            )


class _Status:
    """The status line: how a recording goes."""

    def __init__(self, client: Client, recording: Recording) -> None:
        self._client = client
        self._recording = recording
        self._started = self._last = trio.current_time()
        self._frames = 0

    def line(self) -> str:
        now, recording = trio.current_time(), self._recording.statistics()
        seconds = now - self._last
        rate = (recording.frames - self._frames) / seconds if seconds > 0 else 0.0
        self._last, self._frames = now, recording.frames
        parts = [
            clock(now - self._started),
            self._client.state.value,
            f"{counted(recording.frames, 'frame')} ({rate:,.0f}/s)",
            f"{sized(recording.disk_bytes)} in {counted(recording.segments, 'file')}",
            f"lag {recording.lag:.1f} s",
        ]
        if recording.dropped_frames:
            parts.append(f"{recording.dropped_frames:,} frames missing")
        if recording.failure:
            parts.append(f"CANNOT WRITE: {recording.failure}")
        return ", ".join(parts)


class _Show(logging.Handler):
    """Lines for the output. Nothing here waits, so that a terminal that was stopped does not stop the recording."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[str] = deque(maxlen=MOST_LINES)
        self.status: Callable[[], str] | None = None

    def say(self, text: str) -> None:
        self._lines.append(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}")

    def emit(self, record: logging.LogRecord) -> None:
        self.say(f"{record.levelname.lower()}: {record.getMessage()}")

    def take(self) -> list[str]:
        lines = list(self._lines)
        self._lines.clear()
        return lines


@asynccontextmanager
async def _display(stream: TextIO, *, screen: bool) -> AsyncIterator[_Show]:
    """Write what the block says, and the log of the client: with one status line on a terminal, or one each minute."""
    show, writer = _Show(), Writer(stream)
    logger = logging.getLogger("kraken_trio")
    before = logger.level
    if current_log() is None:  # which has these lines, and stands elsewhere
        logger.addHandler(show)
        logger.setLevel(logging.INFO)

    async def write() -> None:
        next_status = trio.current_time() + STATUS_INTERVAL
        while True:
            if show.status is not None and not screen and trio.current_time() >= next_status:
                next_status += STATUS_INTERVAL
                show.say(show.status())
            text = "".join(f"{line}\n" for line in show.take())
            if show.status is not None and screen:
                text = f"{_CLEAR}{text}{show.status()}"
            with suppress(OSError):  # nobody reads it any more; what is recorded is worth more
                await writer.write(text)
            await trio.sleep(REFRESH_INTERVAL)

    async with open_hidden_nursery() as nursery:
        nursery.start_soon(write)
        try:
            yield show
        finally:
            logger.removeHandler(show)
            logger.setLevel(before)
            nursery.cancel_scope.cancel()
            writer.finish()
            with trio.CancelScope(shield=True), suppress(OSError):
                text = "".join(f"{line}\n" for line in show.take())
                await writer.write(f"{_CLEAR}{text}" if screen else text, limit=1.0)
