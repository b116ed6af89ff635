"""How many connection attempts may be made, as pure arithmetic.

Kraken's front door bans an address for ten minutes that connects about 150 times within ten minutes, whoever does it
there (PROTOCOL, sections 1 and 11). So attempts are counted together: those of a process by :class:`ConnectBudget`, on
a monotonic clock; those of a host by :class:`HostLedger`, in the bytes of a file. In both, both ends of the window
count: no 600 seconds ever hold one attempt more, however they are laid.
"""

from __future__ import annotations

import re
from collections import deque
from math import inf, nextafter
from typing import Final

import attrs

from kraken_trio.settings import CONNECT_WINDOW, MAX_CONNECT_BUDGET

__all__ = ["ConnectBudget", "HostLedger"]


class ConnectBudget:
    """At most ``attempts`` in any ``window`` seconds. Every method is told ``now``, which never goes back."""

    def __init__(self, attempts: int = MAX_CONNECT_BUDGET, window: float = CONNECT_WINDOW) -> None:
        self._attempts = attempts
        self._window = window
        self._taken: deque[float] = deque(maxlen=attempts)  # older ones do not matter

    @property
    def over_at(self) -> float:
        """From then on it is as if no attempt had been made."""
        return self._end(self._taken[-1]) if self._taken else -inf

    def _end(self, taken: float) -> float:
        return nextafter(taken + self._window, inf)  # later than the sum even where that was rounded down

    def ready_at(self, now: float, limit: int | None = None) -> float:
        """When the next attempt may be made: ``now`` or later.

        A lower ``limit`` is this one's own: it may be made when fewer than ``limit`` were made in the window.
        """
        limit = self._attempts if limit is None else min(limit, self._attempts)
        return now if len(self._taken) < limit else max(now, self._end(self._taken[-limit]))

    def take(self, now: float, limit: int | None = None) -> bool:
        """May one be made now? If so, it counts as made."""
        if self.ready_at(now, limit) > now:
            return False
        self._taken.append(now)
        return True


_RECORD: Final = 64
"""Bytes per line: no line crosses a page, so a write that is cut short leaves whole lines, old or new."""
_HEADER: Final = b"kraken-trio: connection attempts (wall clock, monotonic; ns)".ljust(_RECORD - 1) + b"\n"
_EMPTY: Final = b" " * (_RECORD - 1) + b"\n"
_LINE: Final = re.compile(rb" *(-?[0-9]{1,20}) +(-?[0-9]{1,20}) *\n")
_WINDOW_NS: Final = round(CONNECT_WINDOW * 1e9)


@attrs.define
class _Attempt:
    """When it was made, in nanoseconds."""

    wall: int
    monotonic: int
    age: int


class HostLedger:
    """The attempts of all processes of a host: a header, and 120 lines, each empty or an attempt.

    An attempt has two times, and the clock by which it is younger counts: the wall clock jumps when somebody sets it,
    and the monotonic one (which all processes share) begins anew when the host does. What cannot be, counts as made
    just now: an attempt in the future, a line that makes no sense. So whatever happens to clocks and file, the ledger
    never allows more than it should, and nothing in it holds anybody up for longer than the window.
    """

    SIZE: Final = _RECORD * (1 + MAX_CONNECT_BUDGET)
    """Bytes."""

    def __init__(self, data: bytes, *, wall: int, monotonic: int) -> None:
        """What the file holds, and the two clocks now, in nanoseconds.

        Raises :class:`ValueError` if it holds something else, which is not to be overwritten. An empty file is a
        ledger of no attempts; one of zeros, as a crash of the host may leave it, is a ledger that makes no sense.
        """
        self._wall = wall
        self._monotonic = monotonic
        self._attempts: list[_Attempt] = []
        if not data:
            return
        if data.strip(b"\0") and not data.startswith(_HEADER) and not _HEADER.startswith(data):
            msg = "it holds something else than connection attempts"
            raise ValueError(msg)
        lines = data[_RECORD : self.SIZE].ljust(self.SIZE - _RECORD, b"\0")
        for begin in range(0, len(lines), _RECORD):
            line = lines[begin : begin + _RECORD]
            if line != _EMPTY:
                self._remember(line)

    def _remember(self, line: bytes) -> None:
        match = _LINE.fullmatch(line)
        attempt = _Attempt(self._wall, self._monotonic, 0)
        if match is not None:
            wall, monotonic = int(match[1]), int(match[2])
            age = min(self._wall - wall, self._monotonic - monotonic)
            if age > _WINDOW_NS:
                return
            if age >= 0:
                attempt = _Attempt(wall, monotonic, age)
        self._attempts.append(attempt)

    def wait(self, limit: int = MAX_CONNECT_BUDGET) -> float:
        """Seconds until fewer than ``limit`` attempts (at most 120) are in the window; 0 if it is so now."""
        surplus = len(self._attempts) - min(limit, MAX_CONNECT_BUDGET)
        if surplus < 0:
            return 0.0
        oldest_first = sorted((attempt.age for attempt in self._attempts), reverse=True)
        return (_WINDOW_NS - oldest_first[surplus] + 1) / 1e9

    def take(self, limit: int = MAX_CONNECT_BUDGET) -> bool:
        """May an attempt be made now? If so, it counts as made."""
        if self.wait(limit) > 0:
            return False
        self._attempts.append(_Attempt(self._wall, self._monotonic, 0))
        return True

    def to_bytes(self) -> bytes:
        """What the file is to hold from now on."""
        lines = [b"%31d %31d\n" % (attempt.wall, attempt.monotonic) for attempt in self._attempts]
        lines += [_EMPTY] * (MAX_CONNECT_BUDGET - len(lines))
        return _HEADER + b"".join(lines)
