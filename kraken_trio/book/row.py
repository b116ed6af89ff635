"""A level as the book sorts and hashes it. It is worked out once per level, and noted in it for other books."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeAlias

from kraken_trio._digits import MAX_DIGITS, checked, number, wire_digits
from kraken_trio.errors import ProtocolError, printable
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
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_hold_price: Final[Callable[[Level, str], None]] = Level._price.__set__  # type: ignore[attr-defined]  # noqa: SLF001
_hold_qty: Final[Callable[[Level, str], None]] = Level._qty.__set__  # type: ignore[attr-defined]  # noqa: SLF001


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


def _text(value: object) -> str:
    return str(_number(value) if isinstance(value, str) else number(value))


def texts_of(level: Level) -> tuple[str, str]:
    """Price and quantity as texts, where the level holds something else.

    Integers of a frame are replaced by their texts, so that a level holds texts, or what a program gave it. Raises
    :class:`~kraken_trio.ProtocolError` if it is no number.
    """
    price, qty = level._price, level._qty  # type: ignore[attr-defined]  # noqa: SLF001 (what it holds)
    texts = _text(price), _text(qty)
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
    amount = qty.replace(".", "", 1)
    is_plain = amount.isdecimal() and qty.isascii() and len(qty) <= MAX_DIGITS
    amount = amount.lstrip("0") if is_plain else quantity(qty)
    row = (key, decimals, token + amount if amount else "")
    note(level, row)
    return row
