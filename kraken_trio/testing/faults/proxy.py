"""What a proxy on a real socket can do, as values for :meth:`Proxy.inject`."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from kraken_trio.testing import checks
from kraken_trio.testing.checks import valid

__all__ = [
    "Cut",
    "Delay",
    "NetworkFault",
    "Reset",
    "Split",
    "Stall",
    "Tear",
    "Throttle",
    "Unreachable",
]


@attrs.frozen
class Cut:
    """Every connection ends, on both sides, now. New ones are well."""


@attrs.frozen
class Reset:
    """Every connection ends, now, by a TCP reset on both sides: what was on the way is lost."""


@attrs.frozen
class Tear:
    """Of the next bytes from the exchange only a part passes, chosen by the seed; then the connection is cut.

    It happens to each connection that there is now.
    """


@attrs.frozen
class Stall:
    """Nothing passes, in either direction; TCP connections stay as they are. Until cleared."""


@attrs.frozen(kw_only=True)
class Throttle:
    """So many bytes a second pass, per connection and direction. Until cleared."""

    bytes_per_second: float = attrs.field(validator=valid(checks.number(above=0)))


@attrs.frozen(kw_only=True)
class Split:
    """Bytes pass in pieces of 1 to ``max_bytes``, chosen by the seed. Until cleared."""

    max_bytes: int = attrs.field(validator=valid(checks.integer(least=1)))


@attrs.frozen(kw_only=True)
class Delay:
    """What comes at once passes so many seconds later: half of that at least, by the seed. Until cleared."""

    seconds: float = attrs.field(validator=valid(checks.number(above=0)))


@attrs.frozen
class Unreachable:
    """New connections are reset at once; those that there are go on. Until cleared."""


NetworkFault: TypeAlias = Cut | Reset | Tear | Stall | Throttle | Split | Delay | Unreachable
"""Anything that a :class:`Proxy` can do. Those that last are in force together, one of each kind."""
