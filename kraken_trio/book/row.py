"""A level as the book sorts and hashes it, worked out from its two texts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

from kraken_trio._digits import MAX_DIGITS, checked, number, wire_digits
from kraken_trio._text import printable
from kraken_trio.errors import ProtocolError

if TYPE_CHECKING:
    from decimal import Decimal

    from kraken_trio.events import Level

__all__ = ["Row", "price_row", "quantity", "row_of"]

Row: TypeAlias = tuple[int, int, str]
"""The price's digits as a number, how many of them stand after the point, and what the level adds to the string that is
hashed: the digits of price and quantity, or nothing if it removes the price."""

_PRICES_KEPT: Final = 16_384  # prices come again and again; a few megabytes
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class _PriceRows(dict[str, Row]):
    """The row of a price alone, by its text."""

    def __missing__(self, text: str) -> Row:
        digits, decimals = wire_digits(_number(text))
        token = digits.lstrip("0")
        if not token:
            msg = "not a price: 0"
            raise ProtocolError(msg)
        if len(self) >= _PRICES_KEPT:
            self.clear()
        row = self[text] = (int(token), decimals, token)
        return row


def _number(text: str) -> Decimal:
    if _NUMBER.fullmatch(text) is None:  # Decimal() takes more: spaces, underscores, the digits of other scripts
        msg = f"not a price or quantity: {printable(text, 40)}"
        raise ProtocolError(msg)
    return number(text)


price_row: Final = _PriceRows()
"""``price_row[text]`` is the row of a price alone. Raises :class:`~kraken_trio.ProtocolError` if it is no price."""


def quantity(text: str) -> str:
    """What any quantity adds to the string that is hashed; nothing if it is zero.

    Raises :class:`~kraken_trio.ProtocolError` if it is no quantity.
    """
    amount = _number(text)
    if amount:  # NaN is true
        return wire_digits(amount)[0].lstrip("0")
    checked(amount)  # 0e-999999999 is zero, and a gigabyte for whoever formats it
    return ""


def row_of(level: Level) -> Row:
    """Work out the row of a level. Raises :class:`~kraken_trio.ProtocolError` if it is no price and quantity."""
    key, decimals, token = price_row[level.price_text]
    qty = level.qty_text
    amount = qty.replace(".", "", 1)
    is_plain = amount.isdecimal() and qty.isascii() and len(qty) <= MAX_DIGITS
    amount = amount.lstrip("0") if is_plain else quantity(qty)
    return (key, decimals, token + amount if amount else "")
