"""A level as the book sorts and hashes it. It is worked out once per level, and noted in it for other books."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

from kraken_trio._digits import MAX_DIGITS, checked, wire_digits
from kraken_trio.errors import ProtocolError
from kraken_trio.events import Level

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Row", "known_row", "row_of"]

Row: TypeAlias = tuple[int, int, str]
"""The price's digits as a number, how many of them stand after the point, and what the level adds to the string that is
hashed: the digits of price and quantity, or nothing if it removes the price."""

_PRICES_KEPT: Final = 4096  # prices come again and again; about a megabyte
_PLAIN_ZERO: Final = len("0E-8")
_note: Final[Callable[[Level, Row], None]] = Level._row.__set__  # type: ignore[attr-defined]  # noqa: SLF001 (a slot)


@lru_cache(maxsize=_PRICES_KEPT)
def _price(text: str) -> Row:
    """The row of a price alone."""
    digits = text.replace(".", "")
    if digits.isdecimal() and len(digits) <= MAX_DIGITS:
        point = text.find(".")
        decimals = 0 if point < 0 else len(text) - point - 1
    else:
        digits, decimals = wire_digits(Decimal(text))
    if not digits.strip("0"):
        msg = "not a price: 0"
        raise ProtocolError(msg)
    return int(digits), decimals, digits.lstrip("0")


def row_of(level: Level) -> Row:
    """Work out the row of a level. Raises :class:`~kraken_trio.ProtocolError` if it is no price and quantity."""
    key, decimals, token = _price(str(level.price))
    qty = level.qty
    amount = str(qty)
    if qty:  # NaN is true
        amount = amount.replace(".", "")
        if not amount.isdecimal() or len(amount) > MAX_DIGITS:
            amount = wire_digits(qty)[0]
        row = (key, decimals, token + amount.lstrip("0"))
    else:
        if len(amount) > _PLAIN_ZERO:
            checked(qty)  # 0e-999999999 is zero, and a gigabyte for whoever formats it
        row = (key, decimals, "")
    _note(level, row)
    return row


def known_row(level: Level) -> Row:
    """The row that was noted in the level, or else :func:`row_of`."""
    try:
        return level._row  # noqa: SLF001 (this is what it is for)
    except AttributeError:
        return row_of(level)
