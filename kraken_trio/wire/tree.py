"""A peer's JSON documents: decoding, and reading fields that may hold anything."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec

from kraken_trio._text import printable
from kraken_trio.errors import ProtocolError

__all__ = [
    "MAX_ENTRIES",
    "MAX_WHOLE",
    "REFUSED",
    "check_count",
    "decode_tree",
    "encode",
    "excerpt",
    "items",
    "text",
    "texts",
    "whole",
    "whole_checked",
]

MAX_WHOLE: Final = 2**64 - 1
"""Whole numbers have at most 64 bits, so that sums and differences of them can be printed, too."""
MAX_ENTRIES: Final = 20_000
"""The most entries of one frame, other than books: reference data of all of Kraken has about 1500."""
_MAX_ITEMS: Final = 16  # per list of texts

decode_tree: Final = msgspec.json.Decoder(float_hook=Decimal).decode
"""A frame to dicts, lists and scalars; numbers with a point or an exponent keep their digits. Raises `REFUSED`."""

REFUSED: Final = (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)  # mutant: deep nesting
"""What msgspec may raise for a peer's bytes. RecursionError: deep nesting; UnicodeDecodeError is a ValueError."""


def encode(value: object) -> str:
    """One line of JSON."""
    return msgspec.json.encode(value).decode()


def excerpt(frame: str | bytes, limit: int) -> str:
    """The beginning of a frame, printable."""
    start = frame[: limit + 1]
    return printable(start if isinstance(start, str) else start.decode("utf-8", "replace"), limit)


def whole(tree: dict[str, Any], key: str) -> int | None:
    """The whole number of a field; None for anything else."""
    value = tree.get(key)
    return value if type(value) is int and abs(value) <= MAX_WHOLE else None


def whole_checked(value: int) -> int:
    """Whole numbers have at most 64 bits, so that sums and differences of them can be printed, too."""
    if not -MAX_WHOLE <= value <= MAX_WHOLE:
        msg = "a whole number of more than 64 bits"
        raise ProtocolError(msg)
    return value


def check_count(count: int) -> None:
    """Raise :class:`~kraken_trio.ProtocolError` if a frame has more entries than any of Kraken's."""
    if count > MAX_ENTRIES:
        msg = f"a frame with {count} entries: at most {MAX_ENTRIES}"
        raise ProtocolError(msg)


def text(tree: dict[str, Any], key: str) -> str | None:
    """The text of a field, unchanged; None for anything else."""
    value = tree.get(key)
    return value if isinstance(value, str) else None


def items(value: Any) -> list[Any]:
    """The first few items of a list; an empty list for anything else."""
    return value[:_MAX_ITEMS] if isinstance(value, list) else []


def texts(value: Any) -> tuple[str, ...]:
    """The first few items of a list, as printable texts."""
    return tuple(printable(item) for item in items(value))
