"""Log lines from a session's records. A peer may cause any number of records, so the rate of lines is limited.

Every text of a peer is escaped here: one record is one line.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from kraken_trio._text import printable
from kraken_trio.session.records import (
    AttemptDelayed,
    AttemptFailed,
    ClientLeft,
    ConsumerFailed,
    ExchangeStatus,
    ExchangeWarned,
    FrameMalformed,
    GapAnnounced,
    KeyWarned,
    NoticeReceived,
    Parked,
    PhaseBegun,
    Record,
    RecordingDamaged,
    RecordingFailed,
    RecordingResumed,
    RequestRefused,
    Resynced,
    SegmentHealed,
    StateChanged,
    StateReset,
    StayedWithoutData,
    StepTaken,
    SubscriptionBegun,
    UnmatchedRefusal,
    UploadFailed,
)
from kraken_trio.session.timing import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kraken_trio.settings import Settings

__all__ = ["LogLines", "LogThrottle", "line_of"]

_log = logging.getLogger("kraken_trio")
_log.addHandler(logging.NullHandler())  # a library prints nothing unless the program configures logging

_SYMBOL: Final = 40
"""How many characters of a peer's symbol are shown."""


def line_of(record: Record) -> tuple[int, str] | None:
    """The level and the text of a record: printable, one line; None if the record is not logged."""
    match record:
        case StateChanged(change=change):
            why = f"{change.cause.value}: {change.detail}" if change.detail else change.cause.value
            return logging.INFO, f"{change.previous.value} → {change.current.value} ({why})"
        case ExchangeStatus(status=status, is_new_system=is_new):
            return (logging.INFO, f"the exchange's status is {status.system}") if is_new else None
        case AttemptDelayed(why=why):
            return logging.WARNING, printable(why, 500)
        case FrameMalformed(detail=detail):
            return logging.WARNING, f"a frame could not be decoded: {printable(detail, 500)}"
        case NoticeReceived(text=text):
            return logging.WARNING, f"notice from the exchange or a proxy: {printable(text)}"
        case ExchangeWarned(text=text):
            return logging.INFO, f"the exchange warns: {printable(text)}"
        case KeyWarned(text=text):
            return logging.WARNING, printable(text, 500)
        case RequestRefused(symbol=symbol, text=text):
            what = "a request" if symbol is None else printable(symbol, _SYMBOL)
            return logging.WARNING, f"the exchange refused {what}: {printable(text)}"
        case UnmatchedRefusal(text=text):
            return logging.WARNING, f"a refusal that matches no request: {printable(text)}"
        case Resynced(request=request, cause=cause, detail=detail):
            return logging.WARNING, f"{request}: resync, {cause.value}: {printable(detail)}"
        case StayedWithoutData(request=request):
            return logging.WARNING, f"{request}: no data, even after it was resubscribed; it stays subscribed"
        case Parked(request=request, detail=detail, attempts=attempts, seconds=seconds):
            rest = f"after {attempts} attempts; next attempt in {seconds:g} s"
            return logging.WARNING, f"{request}: parked: {printable(detail)} ({rest})"
        case ConsumerFailed(requests=requests, detail=detail):
            return logging.WARNING, f"the feed of {printable(', '.join(map(str, requests)))}: {printable(detail)}"
        case RecordingFailed(detail=detail):
            return logging.WARNING, f"recording: {printable(detail, 500)}"
        case RecordingDamaged(detail=detail):
            return logging.WARNING, f"the recording is damaged: {printable(detail, 500)}"
        case RecordingResumed(batches=batches):
            missing = f"; {batches} batches of frames are missing" if batches else ""
            return logging.WARNING, f"recording: it goes on{missing}"
        case SegmentHealed(name=name, detail=detail):
            return logging.WARNING, f"recording: {printable(name)}: {printable(detail, 500)}"
        case UploadFailed(path=path, detail=detail):
            return logging.WARNING, f"recording: on_segment({printable(path, 500)}): {printable(detail, 500)}"
        case StepTaken() | SubscriptionBegun() | StateReset() | GapAnnounced():
            return None
        case PhaseBegun() | AttemptFailed() | ClientLeft():
            return None  # the changes of state say it


class LogThrottle:
    """Limits log lines by a token bucket. The first line after some were left out says how many."""

    def __init__(self, rate: float, burst: int) -> None:
        self._bucket = TokenBucket(rate, burst)
        self._left_out = 0
        self.left_out: int = 0
        """How many lines were left out in total."""

    def admit(self, line: str, now: float) -> str | None:
        """The line to log, or None."""
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
        # One for each level, so that a flood of INFO hides no warning.
        self._throttles = {
            level: LogThrottle(settings.log_rate, settings.log_burst) for level in (logging.INFO, logging.WARNING)
        }

    @property
    def left_out(self) -> int:
        """How many lines were left out so far."""
        return sum(throttle.left_out for throttle in self._throttles.values())

    def lines(self, records: Iterable[Record], now: float) -> Iterator[tuple[int, str]]:
        """The levels and texts of those that the rate allows. ``now`` is a monotonic clock in seconds."""
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
