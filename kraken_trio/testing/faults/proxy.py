"""Faults of a proxy on real sockets, as values for :meth:`Proxy.inject`."""

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
    """Every connection ends, on both sides, now. New ones work."""


@attrs.frozen
class Reset:
    """Every connection ends, now, by a TCP reset on both sides: data in transit is lost."""


@attrs.frozen
class Tear:
    """Only a part of the next bytes from the exchange passes, chosen by the seed; then the connection is cut.

    It happens to each present connection.
    """


@attrs.frozen
class Stall:
    """Nothing passes, in either direction; TCP connections stay open. Until cleared."""


@attrs.frozen(kw_only=True)
class Throttle:
    """A throughput limit in bytes per second, per connection and direction. Until cleared."""

    bytes_per_second: float = attrs.field(validator=valid(checks.number(above=0)))


@attrs.frozen(kw_only=True)
class Split:
    """Bytes pass in pieces of 1 to ``max_bytes``, chosen by the seed. Until cleared."""

    max_bytes: int = attrs.field(validator=valid(checks.integer(least=1)))


@attrs.frozen(kw_only=True)
class Delay:
    """Bytes are delayed by half of ``seconds`` to all of it, by the seed. Until cleared."""

    seconds: float = attrs.field(validator=valid(checks.number(above=0)))


@attrs.frozen
class Unreachable:
    """New connections are reset at once; existing ones continue. Until cleared."""


NetworkFault: TypeAlias = Cut | Reset | Tear | Stall | Throttle | Split | Delay | Unreachable
"""Any fault of a :class:`Proxy`. Lasting ones are in force together, one of each kind."""
