"""Numbers as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ["SHORT_QTY", "clock", "counted", "short"]

SHORT_QTY: Final = 7
"""The most characters of a :func:`short` quantity."""


def counted(number: int, what: str, plural: str | None = None) -> str:
    """``1 frame``, ``2 frames``."""
    return f"{number:,} {what if number == 1 else plural or what + 's'}"


def clock(seconds: float) -> str:
    """``01:05``; with hours from the first one on."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def short(qty: Decimal) -> str:
    """A quantity in at most seven characters."""
    value = float(qty)
    if value >= 1e18 or 0 < value < 1e-5:
        return f"{value:.1e}"
    for limit, unit, name in ((1e12, 1e12, "T"), (1e9, 1e9, "B"), (1e6, 1e6, "M"), (1e5, 1e3, "K")):
        if value >= limit:
            return _fitted(value / unit, SHORT_QTY - 1) + name
    return _fitted(value, SHORT_QTY)


def _fitted(value: float, width: int) -> str:
    decimals = max(width - 1 - len(str(int(value))), 0)
    text = f"{value:.{min(decimals, 5)}f}"
    if len(text.partition(".")[0]) > width:
        return f"{value:.0e}"  # it was rounded up to a digit more than there is room for: a power of ten
    return text[:width].rstrip(".")
