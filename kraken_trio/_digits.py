"""The digits of a decimal number, as the exchange's checksum wants them; and the bounds of what we take for a number.

Rule (PROTOCOL: order-book checksum): a price or quantity contributes its text without the point, then without
leading zeros: ``0.00100000`` gives ``100000``. A :class:`~decimal.Decimal` made from the text keeps exactly
those digits, whether the text was ``0.00000010`` or ``1.0E-7``.

A peer can write ``1e999999999`` in eleven bytes and make ``int()`` of it take minutes, so size is checked
before anything is converted.
"""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from kraken_trio._text import printable
from kraken_trio.errors import ProtocolError

__all__ = ["MAX_DIGITS", "checked", "number", "number_text", "wire_digits"]

MAX_DIGITS = 40
"""The most digits of a number, and the most places before or after its point. Kraken's longest are below 20."""
_MAX_TEXT = MAX_DIGITS + 10  # sign, point, a zero before the point, exponent
_GIANT: Final = 10**MAX_DIGITS


def number(value: Any) -> Decimal:
    """The number that a level holds, with its digits.

    It holds the text of the frame if there was a point or an exponent in it (or quotes around it), an :class:`int` if
    there was neither, or a Decimal that a program made. Raises :class:`ProtocolError` if it is no number.
    """
    kind = type(value)
    if kind is Decimal:
        return value  # type: ignore[no-any-return]  # just asked
    if kind is str and len(value) <= _MAX_TEXT:
        with suppress(InvalidOperation):
            return Decimal(value)
    elif kind is int and -_GIANT < value < _GIANT:
        return Decimal(value)
    shown = "an integer of too many digits" if kind is int else printable(value, 40)
    msg = f"not a price or quantity: {shown}"
    raise ProtocolError(msg)


def number_text(value: Any) -> str:
    """The digits of a number as a text: what a text, an integer or a Decimal says, with its trailing zeros.

    A text is taken as it is. Raises :class:`TypeError` for what is no number, and :class:`ValueError` for an
    integer of too many digits.
    """
    kind = type(value)
    if kind is str:
        return value  # type: ignore[no-any-return]  # just asked
    if kind is Decimal:
        text = str(value)
        # Decimal("0.00000010") calls itself "1.0E-7". The longest that is written out is not longer than what we take.
        return f"{value:f}" if "E-" in text and value.adjusted() >= -MAX_DIGITS and len(text) <= _MAX_TEXT else text
    if kind is not int:
        msg = f"not a price or quantity: {printable(repr(value), 40)}"
        raise TypeError(msg)
    if not -_GIANT < value < _GIANT:
        msg = "not a price or quantity: an integer of too many digits"
        raise ValueError(msg)
    return str(value)


def checked(value: Decimal) -> Decimal:
    """``value`` if it is a number of sane size. Raises :class:`ProtocolError` for NaN, infinities and giants."""
    if value.is_finite() and len(str(value)) <= _MAX_TEXT:
        _, numerals, exponent = value.as_tuple()
        assert isinstance(exponent, int)  # only NaN and infinities have letters there
        if max(len(numerals), len(numerals) + exponent, -exponent) <= MAX_DIGITS:
            return value
    raise _not_a_number(value)  # mutant: no number


def wire_digits(value: Decimal) -> tuple[str, int]:
    """The digits of ``value`` and how many of them stand after the point: ``Decimal("1.50")`` gives ``("150", 2)``.

    Leading zeros may be there; the caller strips them. Raises :class:`ProtocolError` unless ``value`` is a
    non-negative, finite number of sane size.
    """
    head, _, tail = str(value).partition(".")
    digits = head + tail
    if digits.isdecimal() and len(digits) <= MAX_DIGITS:
        return digits, len(tail)
    # Scientific notation (how Decimal writes small numbers), or something that is no quantity at all.
    sign, numerals, exponent = checked(value).as_tuple()
    if sign:
        raise _not_a_number(value)
    assert isinstance(exponent, int)  # checked() has refused NaN and infinities
    digits = "".join(map(str, numerals))
    return (digits + "0" * exponent, 0) if exponent > 0 else (digits, -exponent)


def _not_a_number(value: Decimal) -> ProtocolError:
    return ProtocolError(f"not a price or quantity: {printable(value, _MAX_TEXT)}")
