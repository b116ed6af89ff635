"""Faults of Level 3."""

from __future__ import annotations

import attrs

from kraken_trio.testing import checks
from kraken_trio.testing.checks import valid

__all__ = ["DeepSnapshot", "Exponents", "ReorderQueue", "SwapUpdates", "UnknownOrder"]

_SYMBOL = checks.optional(checks.symbol)


@attrs.frozen(kw_only=True)
class _Level3Fault:
    symbol: str | None = attrs.field(default=None, validator=valid(_SYMBOL))
    connection: int | None = attrs.field(default=None, validator=valid(checks.connection))
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class SwapUpdates(_Level3Fault):
    """Two updates come in the wrong order: the next one after its successor."""


@attrs.frozen(kw_only=True)
class UnknownOrder(_Level3Fault):
    """The next update changes an order that was never sent."""


@attrs.frozen(kw_only=True)
class DeepSnapshot(_Level3Fault):
    """The next snapshot has more levels than asked for; its checksum is correct, and clients cut."""

    levels: int = attrs.field(default=3, validator=valid(checks.integer(least=1, most=100_000)))
    """The number of surplus levels per side."""


@attrs.frozen(kw_only=True)
class ReorderQueue(_Level3Fault):
    """In the next snapshot two orders of one level have changed places; the checksum is of the right order."""


@attrs.frozen(kw_only=True)
class Exponents(_Level3Fault):
    """The next message has its quantities below 1 with an exponent: ``1e-05``. Nothing is wrong with it."""
