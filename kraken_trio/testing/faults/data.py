"""Faults of data, above all of books."""

from __future__ import annotations

import enum

import attrs

from kraken_trio.testing import checks
from kraken_trio.testing.checks import valid

__all__ = [
    "CorruptChecksum",
    "CorruptLevel",
    "CrossedBook",
    "IrregularSnapshot",
    "IrregularUpdate",
    "Irregularity",
    "OmitChecksum",
    "SkipUpdate",
    "UnknownField",
    "UpdateIrregularity",
]

_SYMBOL = checks.optional(checks.symbol)
_CHANNEL = checks.optional(checks.one_of(*checks.CHANNELS))


@attrs.frozen(kw_only=True)
class UnknownField:
    """The next data frame has unknown fields, outside and inside its data."""

    channel: str | None = attrs.field(default=None, validator=valid(_CHANNEL))
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class SkipUpdate:
    """An update of this symbol is withheld from its subscribers: of its book, which changes at the exchange."""

    channel: str = attrs.field(default="book", validator=valid(checks.one_of("book", "trade", "level3")))
    """Or of its trades: then trade numbers are missing; or of its Level 3 orders."""
    symbol: str | None = attrs.field(default=None, validator=valid(_SYMBOL))
    top: bool = attrs.field(default=True, validator=valid(checks.boolean))
    """Of a book only one that changes the ten best levels, which the checksum covers: so the next message exposes it
    (unless that undoes the change). False: any."""
    connection: int | None = attrs.field(default=None, validator=valid(checks.connection))
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class CorruptLevel:
    """In the next update of the ten best levels, one digit of a quantity is wrong. The checksum is correct."""

    symbol: str | None = attrs.field(default=None, validator=valid(_SYMBOL))
    connection: int | None = attrs.field(default=None, validator=valid(checks.connection))
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class CorruptChecksum:
    """The next book message has a wrong checksum."""

    symbol: str | None = attrs.field(default=None, validator=valid(_SYMBOL))
    connection: int | None = attrs.field(default=None, validator=valid(checks.connection))
    snapshots: bool = attrs.field(default=False, validator=valid(checks.boolean))
    """True: only snapshots. False: only updates."""
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class OmitChecksum:
    """The next book message has no checksum, but is otherwise correct."""

    symbol: str | None = attrs.field(default=None, validator=valid(_SYMBOL))
    connection: int | None = attrs.field(default=None, validator=valid(checks.connection))
    snapshots: bool = attrs.field(default=False, validator=valid(checks.boolean))
    """True: only snapshots. False: only updates."""
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


class Irregularity(enum.Enum):
    """The irregularity of a snapshot that, applied by the rules, gives the exchange's book."""

    UNSORTED = "unsorted"
    """The levels are not in the order of their prices."""
    ZERO_QUANTITY = "zero quantity"
    """One level has the quantity zero."""
    EXTRA_LEVELS = "extra levels"
    """There are more levels than the subscribed depth. (Only for a book that has them.)"""
    REPEATED_PRICE = "repeated price"
    """The best price occurs twice; the second quantity is correct."""


@attrs.frozen(kw_only=True)
class IrregularSnapshot:
    """The next snapshot of a book is irregular; its checksum is correct."""

    how: Irregularity = attrs.field(validator=valid(checks.one_of(*Irregularity)))
    symbol: str | None = attrs.field(default=None, validator=valid(_SYMBOL))
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


class UpdateIrregularity(enum.Enum):
    """The irregularity of an update that, applied by the rules, gives the exchange's book."""

    BOTH_SIDES = "both sides"
    """The side that has not changed is there as well, with its best level: in v1 that is a frame of five elements."""
    REPEATED_PRICE = "repeated price"
    """The last price of a side stands there five times in a row; the last quantity is correct."""
    REPUBLISHED = "republished"
    """A level that has not changed is there again, last; in v1 with its old time and an ``r``."""


@attrs.frozen(kw_only=True)
class IrregularUpdate:
    """The next update of a book is irregular; its checksum is correct."""

    how: UpdateIrregularity = attrs.field(validator=valid(checks.one_of(*UpdateIrregularity)))
    symbol: str | None = attrs.field(default=None, validator=valid(_SYMBOL))
    connection: int | None = attrs.field(default=None, validator=valid(checks.connection))
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class CrossedBook:
    """The best bid is above the best ask.

    ``consistent=True``: that is the exchange's own state. Its checksums are right and every fresh snapshot shows it,
    until ``clear_faults()``; meanwhile only deeper levels of this book move.

    ``consistent=False``: one update says so, with a checksum that fits, but the exchange's book is not crossed; a fresh
    snapshot is well.
    """

    symbol: str = attrs.field(validator=valid(checks.symbol))
    consistent: bool = attrs.field(validator=valid(checks.boolean))
