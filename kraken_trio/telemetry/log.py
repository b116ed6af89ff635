"""Log lines, made of a session's records. How often something happens may be a peer's choice, so their rate is limited.

Every text of a peer is made printable here: one record is one line.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from kraken_trio._text import printable
from kraken_trio.session.records import (
    AttemptDelayed,
    ConsumerFailed,
    ExchangeStatus,
    ExchangeWarned,
    FrameMalformed,
    NoticeReceived,
    Parked,
    Record,
    RequestRefused,
    Resynced,
    StateChanged,
    StayedWithoutData,
    StepTaken,
    UnmatchedRefusal,
)
from kraken_trio.session.timing import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kraken_trio.settings import Settings

__all__ = ["LogLines", "LogThrottle", "line_of"]

_log = logging.getLogger("kraken_trio")
_log.addHandler(logging.NullHandler())  # a library prints nothing by itself

_SYMBOL: Final = 40
"""Characters of a peer's symbol that are shown."""


def line_of(record: Record) -> tuple[int, str] | None:
    """The level and the text of a record; None for what is not for a log. Printable, one line."""
    match record:
        case StateChanged(change=change):
            why = f"{change.cause.value}: {change.detail}" if change.detail else change.cause.value
            return logging.INFO, f"{change.previous.value} → {change.current.value} ({why})"
        case ExchangeStatus(status=status, is_new_system=is_new):
            return (logging.INFO, f"the exchange's status is {status.system}") if is_new else None
        case AttemptDelayed(why=why):
            return logging.WARNING, printable(why, 500)
        case FrameMalformed(detail=detail):
            return logging.WARNING, f"a frame could not be understood: {printable(detail, 500)}"
        case NoticeReceived(text=text):
            return logging.WARNING, f"the exchange, or a proxy before it, says: {printable(text)}"
        case ExchangeWarned(text=text):
            return logging.INFO, f"the exchange warns: {printable(text)}"
        case RequestRefused(symbol=symbol, text=text):
            what = "a request" if symbol is None else printable(symbol, _SYMBOL)
            return logging.WARNING, f"the exchange refused {what}: {printable(text)}"
        case UnmatchedRefusal(text=text):
            return logging.WARNING, f"the exchange refused something that was not asked: {printable(text)}"
        case Resynced(request=request, cause=cause, detail=detail):
            return logging.WARNING, f"{request}: resync, {cause.value}: {printable(detail)}"
        case StayedWithoutData(request=request):
            return logging.WARNING, f"{request}: no data, even after it was subscribed again; it stays subscribed"
        case Parked(request=request, detail=detail, attempts=attempts, seconds=seconds):
            rest = f"given up after {attempts} attempts, tried again in {seconds:g} s"
            return logging.WARNING, f"{request}: parked: {printable(detail)} ({rest})"
        case ConsumerFailed(requests=requests, detail=detail):
            return logging.WARNING, f"the feed of {printable(', '.join(map(str, requests)))}: {printable(detail)}"
        case StepTaken():
            return None


class LogThrottle:
    """Log lines, but not more than fit into a token bucket.

    The first line after those that were left out tells how many they were.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._bucket = TokenBucket(rate, burst)
        self._left_out = 0
        self.left_out: int = 0
        """How many lines were left out, all in all."""

    def admit(self, line: str, now: float) -> str | None:
        """The line, to be logged; or None."""
        if not self._bucket.take(now):
            self._left_out += 1
            self.left_out += 1
            return None
        if self._left_out:
            line = f"{line} (before this, {self._left_out} lines were left out)"
            self._left_out = 0
        return line


class LogLines:
    """The log lines of one client: to the logger ``kraken_trio``, at most ``Settings.log_rate`` of each level."""

    def __init__(self, name: str, settings: Settings) -> None:
        self._name = name
        # One for each level: a flood of notes hides no warning.
        self._throttles = {
            level: LogThrottle(settings.log_rate, settings.log_burst) for level in (logging.INFO, logging.WARNING)
        }

    @property
    def left_out(self) -> int:
        """How many lines were left out so far."""
        return sum(throttle.left_out for throttle in self._throttles.values())

    def lines(self, records: Iterable[Record], now: float) -> Iterator[tuple[int, str]]:
        """Their levels and texts, as far as the rate allows. ``now`` is a monotonic clock in seconds."""
        for record in records:
            line = line_of(record)
            if line is not None:
                level, text = line
                admitted = self._throttles[level].admit(text, now)
                if admitted is not None:
                    yield level, admitted

    def consume(self, records: Iterable[Record], now: float) -> None:
        """Log them, in order."""
        for level, text in self.lines(records, now):
            _log.log(level, "%s: %s", self._name, text)
