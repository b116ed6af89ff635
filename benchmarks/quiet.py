"""Is the machine quiet? Only figures of a quiet machine are published."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LIMIT", "Busy", "Usage", "look", "wait"]

LIMIT: Final = 0.3
"""The load of all other processes, in processors, above which nothing is published."""
_WINDOW: Final = 5.0
_MINUTES: Final = 5


class Busy(Exception):  # noqa: N818 (named by what happened)
    """The machine has not become quiet, or does not tell."""


@attrs.frozen
class Usage:
    """Processor time, up to a moment."""

    at: float
    whole: float
    """Of all processes, and what the host takes away; in seconds."""
    own: float
    """Of this process, and of those that it has started and that have ended."""

    def others_since(self, before: Usage) -> float:
        """The load of all other processes since then, in processors."""
        return max(0.0, (self.whole - before.whole - (self.own - before.own)) / (self.at - before.at))


def look() -> Usage:
    """Raises :class:`Busy` where the system does not tell."""
    try:
        line = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
    except OSError as error:
        msg = "whether the machine is quiet can be told on Linux only"
        raise Busy(msg) from error
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, line.split()[1:9])
    whole = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return Usage(time.monotonic(), whole, sum(one.ru_utime + one.ru_stime for one in spent))


def wait(say: Callable[[str], None]) -> None:
    """Wait for it. Raises :class:`Busy` after some minutes."""
    end = time.monotonic() + 60 * _MINUTES
    while True:
        before = look()
        time.sleep(_WINDOW)  # the time in which others are watched; nothing else is to happen in it
        others = look().others_since(before)
        if others <= LIMIT:
            return
        if time.monotonic() > end:
            msg = (
                f"other processes take {others:.2f} processors, and have not left this machine alone for {_MINUTES} min"
            )
            raise Busy(msg)
        say(f"  waiting: other processes take {others:.2f} processors; {LIMIT} would do")
