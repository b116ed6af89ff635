"""What the book computes from a level's two texts, in order to sort and to hash it.

Both results are cached by text: prices recur, and an update that one book has applied is soon applied by the books of
its feeds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

from kraken_trio._digits import MAX_DIGITS, checked, number, wire_digits
from kraken_trio._text import printable
from kraken_trio.errors import ProtocolError

if TYPE_CHECKING:
    from decimal import Decimal

    from kraken_trio.events import Level

__all__ = ["AMOUNTS_KEPT", "ZEROS", "PriceRow", "amounts", "number_of", "price_rows", "token_of"]

PriceRow: TypeAlias = tuple[int, int, str]
"""A price's digits as a number, how many of them are after the point, and what the price adds to the hashed string: its
digits without leading zeros."""

_PRICES_KEPT: Final = 16_384  # a few megabytes
ZEROS: Final = frozenset({"0", *(f"0.{'0' * places}" for places in range(1, 21))})
"""The usual texts of quantity zero: nearly half of an update's levels are removals."""
AMOUNTS_KEPT: Final = 8_192  # more than the levels that wait in a feed of the default capacity
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class _PriceRows(dict[str, PriceRow]):
    def __missing__(self, text: str) -> PriceRow:
        whole, _, part = text.partition(".")
        digits, decimals = whole + part, len(part)
        if not (whole and digits.isdecimal() and digits.isascii() and len(digits) < MAX_DIGITS):
            digits, decimals = wire_digits(number_of(text))
        token = digits.lstrip("0")
        if not token:
            msg = "not a price: 0"
            raise ProtocolError(msg)
        if len(self) >= _PRICES_KEPT:
            self.clear()
        row = self[text] = (int(token), decimals, token)
        return row


class _Amounts(dict[str, str]):
    def __missing__(self, text: str) -> str:
        amount = text.replace(".", "", 1)
        if amount.isdecimal() and amount.isascii() and len(text) <= MAX_DIGITS:
            amount = amount.lstrip("0")
        else:
            amount = _unusual_amount(text)
        if len(self) >= AMOUNTS_KEPT:
            self.clear()
        self[text] = amount
        return amount


def _unusual_amount(text: str) -> str:
    quantity = number_of(text)
    if quantity:  # also True for NaN
        return wire_digits(quantity)[0].lstrip("0")
    checked(quantity)  # 0e-999999999 is zero, but a gigabyte when formatted
    return ""


def number_of(text: str) -> Decimal:
    """The number of a text in any notation. Raises :class:`~kraken_trio.ProtocolError` if it is none."""
    if _NUMBER.fullmatch(text) is None:  # Decimal() takes more: spaces, underscores, the digits of other scripts
        msg = f"not a price or quantity: {printable(text, 40)}"
        raise ProtocolError(msg)
    return number(text)


price_rows: Final = _PriceRows()
"""``price_rows[text]`` is the row of a price. Raises :class:`~kraken_trio.ProtocolError` if it is not a price."""

amounts: Final = _Amounts()
"""``amounts[text]`` is what a quantity adds to the hashed string; an empty string if it is zero.

Raises :class:`~kraken_trio.ProtocolError` if it is not a quantity.
"""


def token_of(level: Level) -> str:
    """What a level adds to the string that is hashed; nothing if it removes its price.

    Raises :class:`~kraken_trio.ProtocolError` if they are not a price and a quantity.
    """
    token, amount = price_rows[level.price_text][2], amounts[level.qty_text]
    return token + amount if amount else ""
