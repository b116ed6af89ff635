"""Faults of the private channels, ``executions`` and ``balances``."""

from __future__ import annotations

import attrs

from kraken_trio.testing import checks
from kraken_trio.testing.checks import valid
from kraken_trio.testing.faults.connection import DropHow

__all__ = [
    "DropAfterTrade",
    "ExpireTokens",
    "FillBurst",
    "RepeatFill",
    "RepeatSequence",
    "SkipSequence",
    "StrangeReport",
]

_PRIVATE = checks.one_of("executions", "balances")


@attrs.frozen(kw_only=True)
class SkipSequence:
    """The next update of a private channel is lost: its number is missing."""

    channel: str = attrs.field(default="executions", validator=valid(_PRIVATE))
    connection: int | None = attrs.field(default=None, validator=valid(checks.connection))
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class RepeatSequence:
    """The next update of a private channel has the number of the one before it; the numbers go on from there."""

    channel: str = attrs.field(default="executions", validator=valid(_PRIVATE))
    connection: int | None = attrs.field(default=None, validator=valid(checks.connection))
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class RepeatFill:
    """After the next snapshot of ``executions``, its newest fill comes again as an update."""

    connection: int | None = attrs.field(default=None, validator=valid(checks.connection))
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class DropAfterTrade:
    """The connections that get the trade which completes an order end before they get its ``filled``."""

    how: DropHow = attrs.field(default=DropHow.EOF, validator=valid(checks.one_of(*DropHow)))
    connection: int | None = attrs.field(default=None, validator=valid(checks.connection))
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class StrangeReport:
    """``executions`` reports something about an order that nobody knows, now."""

    exec_type: str = attrs.field(default="canceled", validator=valid(checks.text("the name of a report")))
    """May be one that no client knows."""
    extra: bool = attrs.field(default=False, validator=valid(checks.boolean))
    """Whether it has unknown fields."""
    connection: int | None = attrs.field(default=None, validator=valid(checks.connection))


@attrs.frozen(kw_only=True)
class ExpireTokens:
    """All tokens are invalid from now on. Subscriptions in force go on; new ones need a new token."""


@attrs.frozen(kw_only=True)
class FillBurst:
    """An order of the account opens, is filled by so many trades, and ends, now.

    While no client is connected, this is what it must catch up with. Without fills the order is cancelled.
    """

    fills: int = attrs.field(default=60, validator=valid(checks.integer(least=0, most=100_000)))
    symbol: str | None = attrs.field(default=None, validator=valid(checks.optional(checks.symbol)))
    """None: the first market's."""
