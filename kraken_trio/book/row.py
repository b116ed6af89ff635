"""A level as the book sorts and hashes it. It is worked out once per level, and noted in it for other books."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from kraken_trio._digits import MAX_DIGITS, checked, number, wire_digits
from kraken_trio.errors import ProtocolError
from kraken_trio.events import Level

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Row", "known_row", "note", "price_of", "price_row", "quantity", "row_of"]

Row: TypeAlias = tuple[int, int, bytes]
"""The price's digits as a number, how many of them stand after the point, and what the level adds to the string that is
hashed: the digits of price and quantity, or nothing if it removes the price."""

_PRICES_KEPT: Final = 16_384  # prices come again and again; a few megabytes

note: Final[Callable[[Level, Row], None]] = Level._row.__set__  # type: ignore[attr-defined]  # noqa: SLF001 (a slot)
"""Let :func:`known_row` find this row in the level."""


class _PriceRows(dict[bytes, Row]):
    """The row of a price alone, by its text."""

    def __missing__(self, text: bytes) -> Row:
        digits = text.replace(b".", b"")
        if digits.isdigit() and len(digits) <= MAX_DIGITS:
            point = text.find(b".")
            row = _price(digits, 0 if point < 0 else len(text) - point - 1)
        else:
            row = price_of(text)
        if len(self) >= _PRICES_KEPT:
            self.clear()
        self[text] = row
        return row


price_row: Final = _PriceRows()
"""``price_row[text]`` is the row of a price alone. Raises :class:`~kraken_trio.ProtocolError` if it is no price."""


def price_of(value: Any) -> Row:
    """The row of any price alone. Raises :class:`~kraken_trio.ProtocolError` if it is no price."""
    digits, decimals = wire_digits(number(value))
    return _price(digits.encode(), decimals)


def _price(digits: bytes, decimals: int) -> Row:
    token = digits.lstrip(b"0")
    if not token:
        msg = "not a price: 0"
        raise ProtocolError(msg)
    return int(token), decimals, token


def quantity(value: Any) -> bytes:
    """What any quantity adds to the string that is hashed; nothing if it is zero.

    Raises :class:`~kraken_trio.ProtocolError` if it is no quantity.
    """
    amount = number(value)
    if amount:  # NaN is true
        return wire_digits(amount)[0].lstrip("0").encode()
    checked(amount)  # 0e-999999999 is zero, and a gigabyte for whoever formats it
    return b""


def row_of(level: Level) -> Row:
    """Work out the row of a level. Raises :class:`~kraken_trio.ProtocolError` if it is no price and quantity."""
    price, qty = level._price, level._qty  # type: ignore[attr-defined]  # noqa: SLF001 (what they hold)
    key, decimals, token = price_row[price] if type(price) is bytes else price_of(price)
    if type(qty) is bytes:
        amount = qty.replace(b".", b"").lstrip(b"0")
        if len(qty) > MAX_DIGITS or (amount and not amount.isdigit()):
            amount = quantity(qty)
    else:
        amount = quantity(qty)
    row = (key, decimals, token + amount if amount else b"")
    note(level, row)
    return row


def known_row(level: Level) -> Row:
    """The row that was noted in the level, or else :func:`row_of`."""
    try:
        return level._row  # noqa: SLF001 (this is what it is for)
    except AttributeError:
        return row_of(level)
