"""Moments with nine digits of a second, as Level 3 tells them; a :class:`~datetime.datetime` has six."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from kraken_trio._text import printable
from kraken_trio.errors import ProtocolError

__all__ = ["instant", "instant_ns"]

_INSTANT: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)


def instant_ns(text: str) -> int:
    """``2024-01-08T12:26:39.526146327Z`` as nanoseconds since 1970-01-01 UTC.

    Raises :class:`~kraken_trio.ProtocolError` if it is no such text.
    """
    found = _INSTANT.fullmatch(text) if isinstance(text, str) else None
    if found is not None:
        try:
            seconds = (datetime.fromisoformat(f"{found[1]}+00:00") - _EPOCH) // _SECOND
        except ValueError:  # a thirteenth month
            pass
        else:
            return seconds * 1_000_000_000 + int((found[2] or "").ljust(9, "0"))
    msg = f"not a time: {printable(text, 40)}"
    raise ProtocolError(msg)


def instant(text: str) -> datetime:
    """The same as a :class:`~datetime.datetime` in UTC, whose last three digits are cut off."""
    return _EPOCH + timedelta(microseconds=instant_ns(text) // 1000)
