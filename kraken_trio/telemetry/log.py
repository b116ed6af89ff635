"""Log lines from a session's records. A peer may cause any number of records, so the rate of lines is limited.

What the lines say is in :mod:`~kraken_trio.telemetry.lines`. Each is a record of :mod:`logging` whose attributes
``event_name``, ``client``, ``left_out``, and those of the event, say the same to programs.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import attrs

from kraken_trio.session.timing import TokenBucket
from kraken_trio.telemetry.lines import EVENTS, Line, line_of
from kraken_trio.telemetry.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kraken_trio.session.records import Record
    from kraken_trio.settings import Settings

__all__ = ["LogLines", "LogThrottle"]

_log = logging.getLogger("kraken_trio")
_log.addHandler(logging.NullHandler())  # a library prints nothing unless the program configures logging

_CONNECTION: Final = "connection"
"""What the lines about the connection as a whole share."""


class LogThrottle:
    """Limits log lines by a token bucket. The first line after some were left out says how many."""

    def __init__(self, rate: float, burst: int) -> None:
        self._bucket = TokenBucket(rate, burst)
        self._left_out = 0
        self.left_out: int = 0
        """How many lines were left out in total."""

    def admit(self, line: Line, now: float) -> Line | None:
        """The line to log, with the field ``left_out``; or None."""
        if not self._bucket.take(now):
            self._left_out += 1
            self.left_out += 1
            return None
        before, self._left_out = self._left_out, 0
        text = f"{line.text} (before this, {before} lines were left out)" if before else line.text
        return attrs.evolve(line, text=text, fields={**line.fields, "left_out": before})


class LogLines:
    """The log lines of one client, to the logger ``kraken_trio``: their rate is limited by ``Settings.log_rate``."""

    def __init__(self, name: str, settings: Settings) -> None:
        self._name = name
        # One for each level, so that a flood of INFO hides no warning; and no flood of warnings a lost connection.
        self._throttles = {
            key: LogThrottle(settings.log_rate, settings.log_burst)
            for key in (logging.INFO, logging.WARNING, _CONNECTION)
        }
        self._trouble = Trouble()

    @property
    def left_out(self) -> int:
        """How many lines were left out so far."""
        return sum(throttle.left_out for throttle in self._throttles.values())

    def lines(self, records: Iterable[Record], now: float) -> Iterator[Line]:
        """Those that the rate allows. ``now`` is a monotonic clock in seconds."""
        trouble = self._trouble
        for record in records:
            toll = trouble.take(record, now)
            line = line_of(record, toll, trouble.attempts)
            if line is not None:
                kind = EVENTS[line.event]
                key = _CONNECTION if kind.is_of_connection else kind.level  # mutant: lines about the connection
                admitted = self._throttles[key].admit(line, now)
                if admitted is not None:
                    yield admitted
        trouble.end_batch()

    def consume(self, records: Iterable[Record], now: float) -> None:
        """Log them, in order."""
        for line in self.lines(records, now):
            extra = {"event_name": line.event, "client": self._name, **line.fields}
            _log.log(line.level, "%s: %s", self._name, line.text, extra=extra)
