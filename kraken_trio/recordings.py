"""``record``, ``open_replay`` and ``read_events``: the durable log, for programs.

A recording is a folder of segments (MCAP files). It is written beside a client, and replayed as one.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from kraken_trio._nursery import open_hidden_nursery
from kraken_trio._version import version
from kraken_trio.recording.records import encode
from kraken_trio.requests import Overflow, Request
from kraken_trio.runtime.actor import Actor
from kraken_trio.runtime.feed import open_wish
from kraken_trio.runtime.recorder import Options, Recorder, in_thread
from kraken_trio.session.records import SegmentHealed
from kraken_trio.statistics import RecordingStatistics
from kraken_trio.storage.writer import LogWriter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from kraken_trio.client import Client
    from kraken_trio.runtime.recorder import Work
    from kraken_trio.storage.segments import Healed

__all__ = ["Recording", "RecordingStatistics", "record"]

LEVEL: Final = 3
"""Zstandard's level: 1 saves a fifth of the time and costs a twentieth more bytes, 6 the other way round."""
_NS_PER_DAY: Final = 86_400 * 10**9


class Recording:
    """A recording that is being made. Created by :func:`record`."""

    def __init__(self, recorder: Recorder, folder: str) -> None:
        """(not to be called by programs)."""
        self._recorder = recorder
        self.folder: str = folder
        """The folder, as it was given."""

    def statistics(self) -> RecordingStatistics:
        """All numbers, as of now."""
        return self._recorder.statistics()

    def __repr__(self) -> str:
        now = self.statistics()
        state = f"failing: {now.failure}" if now.failure else f"{now.frames} frames"
        return f"<Recording in {self.folder}: {state}>"


@asynccontextmanager
async def record(
    client: Client,
    folder: str | os.PathLike[str],
    *requests: Request[Any],
    overflow: Overflow = Overflow.DROP_OLDEST,
    keyframe_every: float = 60.0,
    flush_every: float = 1.0,
    max_segment_bytes: int = 256 * 1024 * 1024,
    max_pending_bytes: int = 64 * 1024 * 1024,
    keep_days: float | None = None,
    keep_bytes: int | None = None,
    on_segment: Callable[[Path], Awaitable[object]] | None = None,
    close_timeout: float = 5.0,
    work: Work | None = None,
) -> AsyncIterator[Recording]:
    """Record everything that ``client`` gets and decides into ``folder``, while a block runs.

    The folder is created if it is missing; a recording in it is continued with a new file, and nothing in it is
    changed, except that the end of a file that a killed recorder has left is mended. :func:`open_replay` plays it.

    ``requests`` are wanted of the exchange besides what the program subscribes to, without a feed: their data are
    recorded only. Entering waits for the exchange's answer, and raises :class:`~kraken_trio.SubscriptionRejected` if
    one of them is refused. It raises :class:`~kraken_trio.RecordingError` if the folder cannot be used, above all
    because another recorder uses it.

    Once it runs, nothing about a recording fails: if the disk is full or gone, it says so in the log and in
    :meth:`Recording.statistics`, tries again each second, and goes on with a note of what is missing. Feeds never
    notice. Data wait in memory meanwhile, up to ``max_pending_bytes``; beyond that, ``overflow`` is what happens:
    ``Overflow.DROP_OLDEST`` leaves out whole batches of frames until there is room, ``Overflow.BACKPRESSURE`` makes the
    client wait, and the exchange with it.

    A block is written each ``flush_every`` seconds, or when it has 256 KiB: this is the most that is lost when the
    process is killed. Every ``keyframe_every`` seconds, or 100,000 messages, all state is written, from which a replay
    can begin.

    A new file begins each day (UTC), and when one has ``max_segment_bytes``. ``keep_days`` and ``keep_bytes`` then
    delete the oldest finished ones. ``on_segment`` is called with the path of each finished file, one at a time, also
    of one that a killed recorder has left; what it raises is logged.

    Leaving writes what waits, and the end of the file, and waits for ``on_segment``, for ``close_timeout`` seconds at
    most. ``work`` is how blocking calls are run; the default is a thread.
    """
    shell = client._shell  # noqa: SLF001 (a part of the client, as subscribe is)
    if not isinstance(shell, Actor):
        msg = f"{client!r} cannot be recorded: only a client of open_client can"
        raise TypeError(msg)
    _check(
        overflow,
        keyframe_every=keyframe_every,
        flush_every=flush_every,
        max_segment_bytes=max_segment_bytes,
        max_pending_bytes=max_pending_bytes,
        keep_days=keep_days,
        keep_bytes=keep_bytes,
        close_timeout=close_timeout,
    )
    run = work or in_thread()
    writer = LogWriter(
        folder,
        library=f"kraken_trio {version()}",
        level=LEVEL,
        keep_ns=None if keep_days is None else int(keep_days * _NS_PER_DAY),
        keep_bytes=keep_bytes,
    )
    try:
        last_epoch, healed = await run(writer.open)
    except BaseException:  # a cancellation, too
        writer.abandon()
        raise
    writer.begin(
        {
            "recording": f"{shell.now_ns()}-{os.getpid()}",
            "epoch_base": str(last_epoch),
            "version": version(),
            "endpoint": shell.name,
            "protocol": shell.endpoint.protocol,
            "settings": encode(shell.settings).decode(),
        }
    )
    for found in healed:
        shell.report(SegmentHealed(name=found.name, detail=_about(found)))
    options = Options(
        overflow=overflow,
        keyframe_every=keyframe_every,
        flush_every=flush_every,
        max_segment_bytes=max_segment_bytes,
        max_pending_bytes=max_pending_bytes,
        close_timeout=close_timeout,
    )
    finished = [writer.path / found.name for found in healed if found.end and not found.problem]
    name = os.fspath(folder)
    recorder = Recorder(shell, writer, options, run, on_segment, finished)
    async with open_hidden_nursery() as nursery:
        wish = open_wish(requests) if requests else None
        try:
            await nursery.start(recorder.run)
            shell.recorded.begin(name, recorder.statistics)
            if wish is not None:
                await shell.attach(wish)
            yield Recording(recorder, name)
        finally:
            if wish is not None:
                wish.close()
            await recorder.finish()  # noqa: ASYNC102 (it shields itself, with a limit)
            shell.recorded.end(name)
            nursery.cancel_scope.cancel()


def _about(healed: Healed) -> str:
    if healed.problem:
        return healed.problem
    if not healed.end:
        return f"its beginning is torn; it is {healed.aside} now"
    cut = healed.size - healed.end
    kept = f", and copied to {healed.aside}" if healed.aside else ""
    return f"it was given its end; {cut:,} bytes behind the last whole block were cut off{kept}"


def _check(overflow: Overflow, **numbers: float | None) -> None:
    if overflow not in (Overflow.DROP_OLDEST, Overflow.BACKPRESSURE):
        msg = f"a recording cannot use {overflow}: choose Overflow.DROP_OLDEST or Overflow.BACKPRESSURE"
        raise ValueError(msg)
    for name, value in numbers.items():
        if value is not None and not 0 < value < float("inf"):
            msg = f"{name}={value!r} must be a positive number"
            raise ValueError(msg)
