"""The attempts of all processes of a host, as the bytes of a file: pure code.

As in :mod:`~kraken_trio.admission.window`, both ends of the window count.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from kraken_trio.settings import CONNECT_WINDOW, MAX_CONNECT_BUDGET

__all__ = ["HostLedger"]

_RECORD: Final = 64
"""Bytes per line. No line crosses a page, in which file systems write: lines are found whole, old or new."""
_HEADER: Final = b"kraken-trio: connection attempts (wall clock, monotonic; ns)".ljust(_RECORD - 1) + b"\n"
_EMPTY: Final = b" " * (_RECORD - 1) + b"\n"
_LINE: Final = re.compile(rb" *(-?[0-9]{1,20}) +(-?[0-9]{1,20}) *\n")
_WINDOW_NS: Final = round(CONNECT_WINDOW * 1e9)


@attrs.define
class _Attempt:
    """The time of an attempt, in nanoseconds."""

    wall: int
    monotonic: int
    age: int


class HostLedger:
    """The attempts of all processes of a host: a header line and 120 lines, each blank or an attempt.

    An attempt has two times, and the younger age counts: the wall clock jumps when it is set, and the monotonic clock,
    which all processes share, restarts with the host. An attempt in the future, or an invalid line, counts as an
    attempt made now. So whatever happens to the clocks and the file, the ledger never allows more than the limit, and
    never makes anybody wait longer than the window.

    Attempts keep their order, and a new one is the last. So each moves to its own line or an earlier one, and the new
    bytes can overwrite the old ones in place: wherever such a write is truncated, every old attempt is still in its old
    line or in its new one.
    """

    SIZE: Final = _RECORD * (1 + MAX_CONNECT_BUDGET)
    """Bytes."""

    def __init__(self, data: bytes, *, wall: int, monotonic: int) -> None:
        """Read the file's ``data``; ``wall`` and ``monotonic`` are the two clocks now, in nanoseconds.

        Raises :class:`ValueError` if the file contains something else, which must not be overwritten. An empty file is
        a ledger without attempts; a file of zeros, as a crash of the host may leave it, has only damaged lines.
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
                self._read(line)

    def _read(self, line: bytes) -> None:
        match = _LINE.fullmatch(line)
        attempt = _Attempt(self._wall, self._monotonic, 0)
        if match is not None:
            wall, monotonic = int(match[1]), int(match[2])
            age = min(self._wall - wall, self._monotonic - monotonic)  # mutant: two clocks
            if age > _WINDOW_NS:
                return
            if age >= 0:
                attempt = _Attempt(wall, monotonic, age)
        self._attempts.append(attempt)

    @property
    def count(self) -> int:
        """The attempts in the window."""
        return len(self._attempts)

    def wait(self, limit: int = MAX_CONNECT_BUDGET) -> float:
        """Seconds until fewer than ``limit`` attempts (at most 120) are in the window; 0 if there are fewer now."""
        surplus = len(self._attempts) - min(limit, MAX_CONNECT_BUDGET)
        if surplus < 0:
            return 0.0
        oldest_first = sorted((attempt.age for attempt in self._attempts), reverse=True)
        return (_WINDOW_NS - oldest_first[surplus] + 1) / 1e9

    def left(self, limit: int = MAX_CONNECT_BUDGET) -> int:
        """How many attempts may be made now."""
        return max(0, min(limit, MAX_CONNECT_BUDGET) - len(self._attempts))

    def take(self, limit: int = MAX_CONNECT_BUDGET) -> bool:
        """Whether an attempt may be made now. If so, it counts as made."""
        if self.wait(limit) > 0:
            return False
        self._attempts.append(_Attempt(self._wall, self._monotonic, 0))
        return True

    def to_bytes(self) -> bytes:
        """The new contents of the file."""
        lines = [b"%31d %31d\n" % (attempt.wall, attempt.monotonic) for attempt in self._attempts]
        lines += [_EMPTY] * (MAX_CONNECT_BUDGET - len(lines))
        return _HEADER + b"".join(lines)
