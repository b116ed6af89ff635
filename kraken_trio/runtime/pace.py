"""When what was recorded is due again: the time of a log, mapped to the time of whoever replays it. Pure.

The log's own time is that of the recorder's monotonic clock, so a wall clock that was set does not matter. From one
recorder to the next, only the wall clock tells how long it was; if that went back, no time has passed.
"""

from __future__ import annotations

from typing import Final, Protocol

__all__ = ["Pace", "Recorded"]

_NS: Final = 1e9


class Recorded(Protocol):
    """Something that was recorded, and when."""

    @property
    def wall_ns(self) -> int: ...
    @property
    def mono_ns(self) -> int: ...
    @property
    def recorder(self) -> str: ...


class Pace:
    """The clock of a replay. It stands until :meth:`go`."""

    def __init__(self, speed: float) -> None:
        self.speed: float = speed
        """Seconds of the log in a second. To change it, :meth:`stop` first."""
        self._log = 0.0  # the log's time, in seconds from where we began, when the clock was last started or stopped
        self._since: float | None = None  # when it was started; None while it stands
        self._at = 0.0  # the log's time of the last item
        self._last: Recorded | None = None

    def go(self, now: float) -> None:
        """Start the clock, if it stands."""
        if self._since is None:
            self._since = now

    def stop(self, now: float) -> None:
        """Stop the clock, if it runs."""
        if self._since is not None:
            self._log += (now - self._since) * self.speed
            self._since = None

    def due(self, item: Recorded) -> float:
        """When this item, which is the next one, is to be played, as long as the clock runs."""
        assert self._since is not None
        return self._since + (self._at + self._after(item) - self._log) / self.speed

    def played(self, item: Recorded) -> None:
        """This item is being played. The clock never runs ahead of what was played while nobody could take it."""
        self._at += self._after(item)
        self._last = item

    def jump(self) -> None:
        """What follows does not follow what was played: the next item is due at once."""
        self._last = None
        self._log = self._at
        if self._since is not None:
            self._since = None

    def _after(self, item: Recorded) -> float:
        """How long after the last item."""
        last = self._last
        if last is None:
            return 0.0
        same = item.recorder == last.recorder
        passed = item.mono_ns - last.mono_ns if same else item.wall_ns - last.wall_ns
        return max(0, passed) / _NS
