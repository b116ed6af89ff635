"""Times: nanoseconds since 1970-01-01 UTC, and days of UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final

from kraken_trio.recording.times import Time, moment_ns

__all__ = ["DAY_NS", "Time", "date_of", "nanoseconds", "shown", "time_of"]

DAY_NS: Final = 86_400 * 10**9
"""Nanoseconds of a day of UTC."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def nanoseconds(moment: datetime) -> int:
    """An aware ``moment``, exactly."""
    past = moment - _EPOCH
    return ((past.days * 86_400 + past.seconds) * 1_000_000 + past.microseconds) * 1000


def time_of(value: Time | None, name: str) -> int | None:
    """The argument ``name`` in nanoseconds. Raises :class:`ValueError` or :class:`TypeError` if it is none."""
    return None if value is None else moment_ns(value, name)


def date_of(day: int) -> date:
    """The date of the day with this number, counted from 1970-01-01."""
    return date(1970, 1, 1) + timedelta(days=day)


def shown(time_ns: int) -> str:
    """A time for messages."""
    return (_EPOCH + timedelta(microseconds=time_ns // 1000)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
