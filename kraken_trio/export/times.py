"""Times: nanoseconds since 1970-01-01 UTC, and days of UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final, TypeAlias

__all__ = ["DAY_NS", "Time", "date_of", "nanoseconds", "shown", "time_of"]

Time: TypeAlias = datetime | int | str
"""An aware :class:`~datetime.datetime`, nanoseconds since 1970, or ISO 8601 text (UTC unless it says otherwise)."""

DAY_NS: Final = 86_400 * 10**9
"""Nanoseconds of a day of UTC."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def nanoseconds(moment: datetime) -> int:
    """An aware ``moment``, exactly."""
    past = moment - _EPOCH
    return ((past.days * 86_400 + past.seconds) * 1_000_000 + past.microseconds) * 1000


def time_of(value: Time | None, name: str) -> int | None:
    """The argument ``name`` in nanoseconds. Raises :class:`ValueError` for one that is no time."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            msg = f"{name}={value!r} is no time: write it as 2026-11-29 or 2026-11-29T12:30:00Z"
            raise ValueError(msg) from None
        return nanoseconds(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment)
    if not isinstance(value, datetime) or value.tzinfo is None:
        msg = f"{name}={value!r} is no time: give a datetime with a time zone, nanoseconds since 1970, or ISO 8601 text"
        raise ValueError(msg)
    return nanoseconds(value)


def date_of(day: int) -> date:
    """The date of the day with this number, counted from 1970-01-01."""
    return date(1970, 1, 1) + timedelta(days=day)


def shown(time_ns: int) -> str:
    """A time for messages."""
    return (_EPOCH + timedelta(microseconds=time_ns // 1000)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
