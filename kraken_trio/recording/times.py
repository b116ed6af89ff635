"""Times that people write, as nanoseconds since 1970, exactly: no float is involved. Digits below 1 ns are cut off.

Two forms are read:

unix time
    a whole or decimal number of seconds, milliseconds, microseconds or nanoseconds. Its size says which: below 10^11 it
    is in seconds, below 10^14 in milliseconds, below 10^17 in microseconds. That is right for all times from March 1973
    to the year 2262, the last that 64 bits can hold.
ISO 8601
    ``2026-11-29T02:54:37.123456789Z``: with ``T`` or a space; with or without a fraction, after a point or a comma;
    with ``Z`` or an offset (``+01:00``, ``+0100``, ``+01``), or without both, which is UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Final, TypeAlias

__all__ = ["ISO", "MAX_NS", "UNIX", "Time", "moment_ns", "time_ns", "whole_ns"]

Time: TypeAlias = "datetime | int | str"
"""A moment: an aware datetime, nanoseconds since 1970, or text in one of the two forms (a day alone is its start)."""

MAX_NS: Final = 2**63 - 1
"""In the year 2262."""

UNIX: Final = rb"[0-9]{1,20}(?:\.[0-9]{1,20})?"
"""A pattern without groups."""
_ISO = re.compile(
    rb"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]{1,20}))?"
    rb"(?:[Zz]|([+-])([0-9]{2})(?::?([0-9]{2}))?)?"
)
ISO: Final = re.sub(rb"\((?!\?)", b"(?:", _ISO.pattern)
"""A pattern without groups."""
_MAX_DIGITS: Final = 20
_EPOCH: Final = date(1970, 1, 1).toordinal()
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def whole_ns(text: bytes) -> int | None:
    """A whole number of nanoseconds; None for anything else."""
    return _bounded(int(text)) if text.isdigit() and len(text) <= _MAX_DIGITS else None


def time_ns(text: bytes) -> int | None:
    """A time in one of the two forms; None for anything else."""
    whole, point, fraction = text.partition(b".")
    if whole.isdigit():  # ASCII's
        if len(whole) > _MAX_DIGITS or (point and not fraction.isdigit()):
            return None
        number = int(whole)
        digits = 9 if number < 10**11 else 6 if number < 10**14 else 3 if number < 10**17 else 0
        return _bounded(number * 10**digits + _part(fraction, digits))
    iso = _ISO.fullmatch(text)
    return None if iso is None else _iso_ns(*iso.groups())


def _iso_ns(*groups: bytes | None) -> int | None:
    year, month, day, hour, minute, second, zone_hour, zone_minute = (
        int(group or 0) for group in (*groups[:6], *groups[8:])
    )
    if max(hour, zone_hour) > 23 or max(minute, second, zone_minute) > 59:
        return None
    try:
        days = date(year, month, day).toordinal() - _EPOCH
    except ValueError:
        return None
    offset = (zone_hour * 60 + zone_minute) * (-1 if groups[7] == b"-" else 1)
    seconds = ((days * 24 + hour) * 60 + minute - offset) * 60 + second
    return _bounded(seconds * 10**9 + _part(groups[6] or b"", 9))


def _part(fraction: bytes, digits: int) -> int:
    """The digits after a point, as a number of ``digits`` digits."""
    return int(fraction[:digits].ljust(digits, b"0") or b"0")


def _bounded(time: int) -> int | None:
    return time if 0 <= time <= MAX_NS else None


def moment_ns(value: Time, name: str) -> int:
    """A moment that a program names, as nanoseconds since 1970.

    Raises :class:`ValueError` and :class:`TypeError`, which call it ``name``.
    """
    found: int | None
    if isinstance(value, str):
        text = value.strip()
        found = time_ns((f"{text}T00:00:00" if _DAY.fullmatch(text) else text).encode())
    elif isinstance(value, datetime):
        if value.utcoffset() is None:
            msg = f"{name}={value!r} has no time zone: use datetime(…, tzinfo=UTC)"
            raise ValueError(msg)
        moment = value.astimezone(UTC)
        seconds = ((moment.toordinal() - _EPOCH) * 24 + moment.hour) * 3600 + moment.minute * 60 + moment.second
        found = _bounded(seconds * 10**9 + moment.microsecond * 1000)
    elif isinstance(value, int) and not isinstance(value, bool):
        found = _bounded(value)
    else:
        msg = f"{name}={value!r}: a datetime with a time zone, text such as '2026-11-29T12:00:00Z', or nanoseconds"
        raise TypeError(msg)
    if found is None:
        msg = f"{name}={value!r}: no time from 1970 to 2262 such as '2026-11-29T12:00:00Z', or nanoseconds since 1970"
        raise ValueError(msg)
    return found
