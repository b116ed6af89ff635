"""A level as the book sorts and hashes it. It is worked out once per level, and noted in it for other books."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeAlias

from kraken_trio._digits import MAX_DIGITS, checked, number, wire_digits
from kraken_trio.errors import ProtocolError
from kraken_trio.events import Level

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Row", "note", "price_row", "quantity", "row_of", "texts_of"]

Row: TypeAlias = tuple[int, int, str]
"""The price's digits as a number, how many of them stand after the point, and what the level adds to the string that is
hashed: the digits of price and quantity, or nothing if it removes the price."""

_PRICES_KEPT: Final = 16_384  # prices come again and again; a few megabytes

note: Final[Callable[[Level, Row], None]] = Level._row.__set__  # type: ignore[attr-defined]  # noqa: SLF001 (a slot)
"""Let the level's row be found by the next book, as ``Level._row``."""
_hold_price: Final[Callable[[Level, str], None]] = Level._price.__set__  # type: ignore[attr-defined]  # noqa: SLF001
_hold_qty: Final[Callable[[Level, str], None]] = Level._qty.__set__  # type: ignore[attr-defined]  # noqa: SLF001


class _PriceRows(dict[str, Row]):
    """The row of a price alone, by its text."""

    def __missing__(self, text: str) -> Row:
        digits = text.replace(".", "")
        if digits.isdecimal() and digits.isascii() and len(digits) <= MAX_DIGITS:
            point = text.find(".")
            decimals = 0 if point < 0 else len(text) - point - 1
        else:
            digits, decimals = wire_digits(number(text))
        token = digits.lstrip("0")
        if not token:
            msg = "not a price: 0"
            raise ProtocolError(msg)
        if len(self) >= _PRICES_KEPT:
            self.clear()
        row = self[text] = (int(token), decimals, token)
        return row


price_row: Final = _PriceRows()
"""``price_row[text]`` is the row of a price alone. Raises :class:`~kraken_trio.ProtocolError` if it is no price."""


def quantity(text: str) -> str:
    """What any quantity adds to the string that is hashed; nothing if it is zero.

    Raises :class:`~kraken_trio.ProtocolError` if it is no quantity.
    """
    amount = number(text)
    if amount:  # NaN is true
        return wire_digits(amount)[0].lstrip("0")
    checked(amount)  # 0e-999999999 is zero, and a gigabyte for whoever formats it
    return ""


def texts_of(level: Level) -> tuple[str, str]:
    """Price and quantity as texts, where the level holds something else.

    Integers of a frame are replaced by their texts, so that a level holds texts, or what a program gave it. Raises
    :class:`~kraken_trio.ProtocolError` if it is no number.
    """
    price, qty = level._price, level._qty  # type: ignore[attr-defined]  # noqa: SLF001 (what it holds)
    texts = str(number(price)), str(number(qty))
    if type(price) is not Decimal:
        _hold_price(level, texts[0])
    if type(qty) is not Decimal:
        _hold_qty(level, texts[1])
    return texts


def row_of(level: Level) -> Row:
    """Work out the row of a level. Raises :class:`~kraken_trio.ProtocolError` if it is no price and quantity."""
    price, qty = level._price, level._qty  # type: ignore[attr-defined]  # noqa: SLF001 (what it holds)
    if type(price) is not str or type(qty) is not str:
        price, qty = texts_of(level)
    key, decimals, token = price_row[price]
    amount = qty.replace(".", "").lstrip("0")
    if len(qty) > MAX_DIGITS or (amount and not amount.isdecimal()):
        amount = quantity(qty)
    row = (key, decimals, token + amount if amount else "")
    note(level, row)
    return row
