"""The texts in which v1 writes numbers and times."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from kraken_trio._digits import checked, number
from kraken_trio._text import printable
from kraken_trio.errors import ProtocolError

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ["decimal", "microseconds", "moment", "time_text"]

_NUMBER: Final = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?")
_TIME: Final = re.compile(r"([0-9]{1,11})(?:\.([0-9]{1,9}))?")  # seconds since 1970; 11 digits end in the year 5138
_MOST_DIGITS: Final = 11
_PLACES: Final = 6
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def decimal(text: str) -> Decimal:
    """The number of a text, with its digits. Raises :class:`~kraken_trio.ProtocolError` if it is none."""
    if _NUMBER.fullmatch(text) is None:  # Decimal() takes more: spaces, underscores, the digits of other scripts
        msg = f"not a number: {printable(text, 40)}"
        raise ProtocolError(msg)
    return checked(number(text))


def microseconds(text: str) -> int:
    """A time in microseconds since 1970. Raises :class:`~kraken_trio.ProtocolError` if it is none."""
    whole, _, part = text.partition(".")
    if len(part) == _PLACES and len(whole) <= _MOST_DIGITS and whole:
        digits = whole + part  # as Kraken writes it: without a regular expression, this takes half the time
        if digits.isdecimal() and digits.isascii():
            return int(digits)
    match = _TIME.fullmatch(text)
    if match is None:
        msg = f"not a time in seconds since 1970: {printable(text, 40)}"
        raise ProtocolError(msg)
    seconds, fraction = match.groups("")
    return int(seconds + fraction[:6].ljust(6, "0"))


def moment(since_1970: int) -> datetime:
    """The moment so many microseconds after the beginning of 1970."""
    return _EPOCH + since_1970 * _MICROSECOND


def time_text(when: datetime) -> str:
    """A moment as v1 writes it. It has no microseconds before 1970."""
    since_1970 = max(when - _EPOCH, timedelta()) // _MICROSECOND
    return f"{since_1970 // 1_000_000}.{since_1970 % 1_000_000:06}"
