"""The digits of a decimal number, as they enter the exchange's checksum; and the bounds of accepted numbers.

Rule (see docs/reference/protocol.md, checksum): a price or quantity contributes its text without the point, then
without leading zeros: ``0.00100000`` gives ``100000``. A :class:`~decimal.Decimal` made from the text keeps exactly
those digits, whether the text was ``0.00000010`` or ``1.0E-7``.

A peer can write ``1e999999999`` in eleven bytes and make ``int()`` of it take minutes, so the size is checked before
anything is converted.
"""

from __future__ import annotations

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
    """The number of a level, with its digits.

    ``value`` is the text of the frame if it had a point, an exponent or quotes, or an :class:`int` if it had none of
    these. Raises :class:`ProtocolError` if it is not a number.
    """
    kind = type(value)
    if kind is str and len(value) <= _MAX_TEXT:
        try:
            return Decimal(value)
        except InvalidOperation:
            pass
    elif kind is int and -_GIANT < value < _GIANT:
        return Decimal(value)
    shown = "an integer of too many digits" if kind is int else printable(value, 40)
    msg = f"not a price or quantity: {shown}"
    raise ProtocolError(msg)


def number_text(value: Any) -> str:
    """A text, an integer or a Decimal as a text with its digits, including trailing zeros.

    A text is returned unchanged. Raises :class:`TypeError` for other types, and :class:`ValueError` for an integer with
    too many digits.
    """
    kind = type(value)
    if kind is str:
        return value  # type: ignore[no-any-return]  # just asked
    if kind is Decimal:
        text = str(value)
        # str(Decimal("0.00000010")) is "1.0E-7". It is written out only if that is not longer than accepted numbers.
        return f"{value:f}" if "E-" in text and value.adjusted() >= -MAX_DIGITS and len(text) <= _MAX_TEXT else text
    if kind is not int:
        msg = f"not a price or quantity: {printable(repr(value), 40)}"
        raise TypeError(msg)
    if not -_GIANT < value < _GIANT:
        msg = "not a price or quantity: an integer of too many digits"
        raise ValueError(msg)
    return str(value)


def checked(value: Decimal) -> Decimal:
    """``value`` if it is finite and of reasonable size; otherwise raises :class:`ProtocolError`."""
    if value.is_finite() and len(str(value)) <= _MAX_TEXT:
        _, numerals, exponent = value.as_tuple()
        assert isinstance(exponent, int)  # only NaN and infinities have letters there
        if max(len(numerals), len(numerals) + exponent, -exponent) <= MAX_DIGITS:
            return value
    raise _not_a_number(value)  # mutant: no number


def wire_digits(value: Decimal) -> tuple[str, int]:
    """The digits of ``value`` and how many of them are after the point: ``Decimal("1.50")`` gives ``("150", 2)``.

    There may be leading zeros, which the caller strips. Raises :class:`ProtocolError` unless ``value`` is a
    non-negative, finite number of reasonable size.
    """
    head, _, tail = str(value).partition(".")
    digits = head + tail
    if digits.isdecimal() and len(digits) <= MAX_DIGITS:
        return digits, len(tail)
    # Scientific notation (which Decimal uses for small numbers), or not a quantity.
    sign, numerals, exponent = checked(value).as_tuple()
    if sign:
        raise _not_a_number(value)
    assert isinstance(exponent, int)  # checked() has refused NaN and infinities
    digits = "".join(map(str, numerals))
    return (digits + "0" * exponent, 0) if exponent > 0 else (digits, -exponent)


def _not_a_number(value: Decimal) -> ProtocolError:
    return ProtocolError(f"not a price or quantity: {printable(value, _MAX_TEXT)}")
