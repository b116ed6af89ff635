"""When a program that has ended is started again, and when not any more. Pure code."""

from __future__ import annotations

from typing import Final, TypeAlias

import attrs

__all__ = [
    "CAP",
    "FIRST",
    "HEALTHY_AFTER",
    "HOPELESS",
    "MOST",
    "WRONG_USAGE",
    "Decision",
    "GiveUp",
    "Restart",
    "Restarts",
]

FIRST: Final = 0.1
"""Seconds until the first restart. Each further one waits twice as long."""
CAP: Final = 30.0
"""Seconds: the longest wait."""
HEALTHY_AFTER: Final = 60.0
"""Seconds: who has run for so long has not failed to start. The next restart is a first one again."""
MOST: Final = 12
"""Ends in a row, each before :data:`HEALTHY_AFTER`, after which there is no further restart: about two minutes of
waiting, and the time that the program took to fail."""
WRONG_USAGE: Final = 2
"""The exit status of a program that was called in a wrong way: it would be the next time, too."""
HOPELESS: Final = 78
"""That of a program whose peer refuses it for good, as an address that is no exchange, or a login that is none: another
attempt would only be one more that Kraken, or the broker, counts. (``EX_CONFIG`` of sysexits.h.)"""


@attrs.frozen
class Restart:
    """Start it again after ``delay`` seconds."""

    delay: float


@attrs.frozen
class GiveUp:
    """Do not start it again."""

    why: str


Decision: TypeAlias = Restart | GiveUp


@attrs.define
class Restarts:
    """The ends of one program. ``now`` is in seconds of a clock that never goes back."""

    first: float = FIRST
    cap: float = CAP
    healthy_after: float = HEALTHY_AFTER
    most: int = MOST
    in_a_row: int = attrs.field(default=0, init=False)
    """How often it has ended since it last ran for :attr:`healthy_after`."""
    count: int = attrs.field(default=0, init=False)
    """How often it was started again, in all."""
    _began: float = attrs.field(default=0.0, init=False)

    def started(self, now: float) -> None:
        """It runs, from now on."""
        self._began = now

    def ended(self, now: float, status: int) -> Decision:
        """It has ended with this exit status (negative: by this signal), though nobody has asked for that."""
        if status == WRONG_USAGE:
            return GiveUp("it was called in a wrong way")
        if status == HOPELESS:
            return GiveUp("another attempt is of no use: its last log line says why")
        if now - self._began >= self.healthy_after:  # mutant: healthy while
            self.in_a_row = 0
        self.in_a_row += 1
        if self.in_a_row >= self.most:  # mutant: crash loop
            return GiveUp(f"it ended {self.in_a_row} times in a row, each time within {self.healthy_after:g} s")
        self.count += 1
        return Restart(min(self.cap, self.first * 2.0 ** (self.in_a_row - 1)))
