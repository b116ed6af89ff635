"""``open_replay``: a recording as a client. A program that runs on the exchange runs on it unchanged."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from math import inf
from typing import TYPE_CHECKING

from kraken_trio._nursery import open_hidden_nursery
from kraken_trio.client import Client
from kraken_trio.recording.times import moment_ns
from kraken_trio.runtime.replayer import Replayer
from kraken_trio.settings import Settings
from kraken_trio.storage.playback import Playback
from kraken_trio.telemetry.fan_out import FanOut

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator
    from typing import Any

    from kraken_trio.recording.times import Time
    from kraken_trio.requests import Request

__all__ = ["Replay", "ReplayClient", "open_replay"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Replay:
    """How a recording is being replayed: :attr:`ReplayClient.replay`."""

    def __init__(self, replayer: Replayer) -> None:
        """(not to be called by programs)."""
        self._replayer = replayer

    @property
    def speed(self) -> float | None:
        """Seconds of the recording in a second; None: as fast as the feeds take it. May be set at any time."""
        return self._replayer.speed

    @speed.setter
    def speed(self, speed: float | None) -> None:
        self._replayer.set_speed(_checked(speed))

    @property
    def is_paused(self) -> bool:
        """Whether :meth:`pause` was called last, and not :meth:`resume`."""
        return self._replayer.is_paused

    @property
    def has_ended(self) -> bool:
        """Whether all of it has been played."""
        return self._replayer.has_ended

    @property
    def now_ns(self) -> int:
        """Up to when it has been played: the recorder's wall clock, in ns since 1970; 0 at its beginning."""
        return self._replayer.now_ns

    @property
    def now(self) -> datetime | None:
        """The same as a datetime (UTC), cut to microseconds; None at its beginning."""
        now_ns = self.now_ns
        return _EPOCH + timedelta(microseconds=now_ns // 1000) if now_ns else None

    @property
    def requests(self) -> tuple[Request[Any], ...]:
        """What was recorded."""
        return self._replayer.playback.requests()

    @property
    def damage(self) -> tuple[str, ...]:
        """What was found to be damaged so far, in words. Feeds got a :class:`~kraken_trio.Gap` there."""
        return self._replayer.damage

    def pause(self) -> None:
        """Play nothing more, until :meth:`resume`. What waits in feeds can be received."""
        self._replayer.pause()

    def resume(self) -> None:
        """Go on, or begin: the clock starts now."""
        self._replayer.resume()

    async def step(self) -> bool:
        """Play the next batch of frames, and what stands before it, at once. Also while it is paused.

        Returns whether there was one.
        """
        return await self._replayer.step()

    async def seek(self, time: Time) -> None:
        """Go to the first batch at or after ``time``.

        What waits in feeds is dropped. Each gets a :class:`~kraken_trio.Gap` of the cause ``SOUGHT`` for each of its
        subscriptions, and then starts with the state as of then. :class:`ValueError` for a time that is none.
        """
        await self._replayer.seek(moment_ns(time, "time"))

    def __repr__(self) -> str:
        speed = "as fast as possible" if self.speed is None else f"speed {self.speed:g}"
        state = "ended" if self.has_ended else "paused" if self.is_paused else speed
        return f"<Replay of {self._replayer.name}: {state}, at {self.now or 'the beginning'}>"


class ReplayClient(Client):
    """A client whose exchange is a recording. Created by :func:`open_replay`."""

    def __init__(self, replayer: Replayer) -> None:
        """(not to be called by programs)."""
        super().__init__(replayer)
        self.replay: Replay = Replay(replayer)
        """Its clock: speed, pause, step, seek."""


@asynccontextmanager
async def open_replay(
    folder: str | os.PathLike[str],
    start: Time | None = None,
    end: Time | None = None,
    speed: float | None = None,
    *,
    paused: bool = False,
) -> AsyncIterator[ReplayClient]:
    """Replay a recording, as a client, while a block runs.

    Feeds get what those of the recorded client got: the same events, in the same order, with the same epochs, times of
    receipt and gaps. Books are verified again. A feed that is opened before anything is played begins with the
    recording; one that is opened later begins as in a client: with the present state. ``subscribe`` is answered at
    once; it raises :class:`~kraken_trio.SubscriptionRejected` for what was not recorded, with what there is.

    ``speed=None`` is as fast as the program receives: it waits for every feed, and no feed overflows, whatever its
    ``overflow``. Any other speed is a factor, 1.0 the recording's own pace; then feeds overflow as in a client.

    The clock starts when a task first waits for an event or a state; with ``paused=True``, at
    ``client.replay.resume()``. It stands while no feed is open. At the end all feeds end, and the state is
    ``DISCONNECTED``.

    ``start`` (included) and ``end`` (excluded) are times of receipt: aware datetimes, nanoseconds since 1970, or text
    in ISO 8601. It plays in the order of the recording, even where the recorder's clock was set back.

    What is damaged or was not recorded is a :class:`~kraken_trio.Gap` (cause ``NOT_RECORDED``), and in
    ``client.replay.damage``. Raises :class:`~kraken_trio.RecordingError` if there is no recording that can be read, and
    :class:`ValueError` for a time or a speed that is none. Files are read in the Trio thread, a block at a time.
    """
    start_ns = None if start is None else moment_ns(start, "start")
    end_ns = None if end is None else moment_ns(end, "end")
    _checked(speed)
    settings = Settings()
    with Playback(folder, end_ns=end_ns) as playback:
        replayer = Replayer(
            playback, settings=settings, telemetry=FanOut(playback.name, settings), speed=speed, paused=paused
        )
        if start_ns is not None:
            replayer.begin_at(start_ns)
        async with open_hidden_nursery() as nursery:
            nursery.start_soon(replayer.run)
            try:
                yield ReplayClient(replayer)
            finally:
                replayer.close()
                nursery.cancel_scope.cancel()


def _checked(speed: float | None) -> float | None:
    if speed is not None and (isinstance(speed, bool) or not isinstance(speed, int | float) or not 0 < speed < inf):
        msg = f"speed={speed!r}: a positive factor, such as 1.0, or None for as fast as possible"
        raise ValueError(msg)
    return speed
