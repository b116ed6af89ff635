"""Numbers, names and symbols for display in a limited width.

A number is shown whole, shortened with a unit, or left out. It is never truncated, and never has an exponent.
"""

from __future__ import annotations

import codecs
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ASCII_FALLBACK", "ascii_text", "clock", "counted", "listed", "shortened", "shortened_bytes", "utc"]

_UNITS: Final = ((Decimal(10**3), "k"), (Decimal(10**6), "M"), (Decimal(10**9), "B"), (Decimal(10**12), "T"))
_MOST_DECIMALS: Final = 3
"""Decimals of a shortened number."""

_ASCII: Final = str.maketrans(
    {"→": "->", "…": "...", "●": "*", "▲": "^", "▼": "v", "·": "-"}
    | dict.fromkeys("█▉▊▋▌", "#")
    | dict.fromkeys("▍▎▏", "-")
)

ASCII_FALLBACK: Final = "kraken_trio.ascii"
"""The name of an error handler for encoders, which replaces unsupported characters as :func:`ascii_text` does."""


def counted(number: int, what: str, plural: str | None = None) -> str:
    """``1 frame``, ``2 frames``."""
    return f"{number:,} {what if number == 1 else plural or what + 's'}"


def listed(names: Sequence[str], most: int = 6) -> str:
    """``a, b, c``; if there are too many, ``a, b, +5 more``."""
    shown = names if len(names) <= most else [*names[: most - 1], f"+{len(names) - most + 1} more"]
    return ", ".join(shown)


def clock(seconds: float) -> str:
    """``01:05``, or ``1:01:05`` from one hour on."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def utc(at_ns: int | None) -> str:
    """``2027-01-31 23:59:59.123``, in UTC; ``?`` if the time is unknown, or none."""
    if at_ns is None or not 0 <= at_ns < 1 << 64:
        return "?"
    time = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC)
    return f"{time:%Y-%m-%d %H:%M:%S}.{at_ns // 1_000_000 % 1000:03}"


def shortened_bytes(size: int) -> str:
    """``512 bytes``, ``11.6 MB``."""
    if size < 1000:
        return counted(size, "byte")
    amount = Decimal(size)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 1000:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1000:.1f} TB"


def shortened(value: Decimal | int, width: int) -> str:
    """``value`` in at most ``width`` characters: whole (``11634.5``), else with its unit (``11.6k``), else ``""``.

    A whole number of type :class:`int` is grouped (``11,634``); a :class:`~decimal.Decimal` has all its digits.
    """
    whole = f"{value:,}" if isinstance(value, int) else f"{value:f}"
    if len(whole) <= width:
        return whole
    amount = Decimal(value)
    if abs(amount) >= 1000:
        for decimals in range(_MOST_DECIMALS, -1, -1):
            text = _with_unit(amount, decimals)
            if len(text) <= width:
                return text
    return ""


def _with_unit(value: Decimal, decimals: int) -> str:
    """``value`` in the smallest unit in which it is below a thousand after rounding."""
    for unit, name in _UNITS:
        text = f"{value / unit:.{decimals}f}"
        if abs(Decimal(text)) < 1000:
            return text + name
    return text + name


def ascii_text(text: str) -> str:
    """``text`` with a replacement for each character that is not ASCII."""
    return text.translate(_ASCII).encode("ascii", "replace").decode("ascii")


def _fall_back(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return ascii_text(error.object[error.start : error.end]), error.end


codecs.register_error(ASCII_FALLBACK, _fall_back)
