"""Reads the numbers of a text as a person does, and knows whether one is true."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_NUMBER = re.compile(r"[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?[kMBT]?\b", re.IGNORECASE)
_UNITS = {"k": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


def numbers(text: str) -> list[str]:
    """All that looks like a number."""
    return _NUMBER.findall(text)


def says(text: str, truths: Iterable[Decimal]) -> bool:
    """Does it say one of these: whole, or rounded to its last digit and with a unit?"""
    plain = text.replace(",", "")
    unit = _UNITS.get(plain[-1])
    if unit is None:
        return "e" not in plain.lower() and any(Decimal(plain) == truth for truth in truths)
    value = Decimal(plain[:-1])
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    half = Decimal(unit).scaleb(exponent) / 2
    return abs(value) >= 1 and any(abs(value * unit - truth) <= half for truth in truths)
