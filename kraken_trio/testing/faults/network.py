"""Faults between a client and an exchange, as values for :meth:`Network.inject`.

They are faults of the network of :mod:`kraken_trio.testing.network.network`; those of the exchange are in
:mod:`kraken_trio.testing.faults`, and both may stand in one script.

*Immediate* faults happen to the links that are there when they are injected: :class:`ResetLink`, :class:`HalfOpen`,
:class:`BlackHole`, :class:`Outage`, :class:`Degrade`. *Armed* ones wait for a client that dials, happen ``times``
times, and are then spent: :class:`RefuseDial`, :class:`HangDial`, :class:`DelayDial`, :class:`UnknownHost`.

``link`` is a link's number (1 for the network's first); None means all that are open. ``seconds=None`` means until
:meth:`Network.heal`.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

import attrs

from kraken_trio.testing import checks
from kraken_trio.testing.checks import valid

__all__ = [
    "BlackHole",
    "Conditions",
    "Degrade",
    "DelayDial",
    "Direction",
    "HalfOpen",
    "HangDial",
    "LinkFault",
    "Outage",
    "RefuseDial",
    "ResetLink",
    "UnknownHost",
]


_SECONDS = checks.number(above=0)
_LINK = checks.optional(checks.integer(least=1))


@attrs.frozen(kw_only=True)
class Conditions:
    """How bytes travel, each way."""

    latency: tuple[float, float] = attrs.field(
        default=(0.0, 0.0),
        validator=valid(checks.span(checks.seconds, "two numbers, the least and the most, from 0 on")),
    )
    """The latency in seconds, least and most. The order is kept."""
    piece: tuple[int, int] = attrs.field(
        default=(65536, 65536),
        validator=valid(checks.span(checks.integer(least=1), "two whole numbers, the least and the most, from 1 on")),
    )
    """The most bytes per read, drawn for each read from these two bounds. Small ones split frames,
    and cost time."""
    bytes_per_second: float | None = attrs.field(default=None, validator=valid(checks.optional(_SECONDS)))
    """The throughput; None: unlimited."""
    buffer_bytes: int = attrs.field(default=65536, validator=valid(checks.integer(least=1)))
    """The most unread bytes. Beyond that sending waits, as with TCP: this is backpressure."""
    patience: float = attrs.field(default=120.0, validator=valid(_SECONDS))
    """Seconds until a sender whose bytes do not arrive gets a timeout. (Linux: 900.)"""


class Direction(enum.Enum):
    """The direction of the data."""

    TO_CLIENT = "to client"
    TO_SERVER = "to server"
    BOTH = "both"


@attrs.frozen(kw_only=True)
class ResetLink:
    """A TCP reset, seen by both ends at once. Data in transit is lost."""

    link: int | None = attrs.field(default=None, validator=valid(_LINK))


@attrs.frozen(kw_only=True)
class HalfOpen:
    """One direction of a link dies silently, the other one works.

    As TCP retransmits, everything arrives after ``seconds``, if both ends are still open.
    """

    direction: Direction = attrs.field(default=Direction.TO_CLIENT, validator=valid(checks.one_of(*Direction)))
    seconds: float | None = attrs.field(default=None, validator=valid(checks.optional(_SECONDS)))
    link: int | None = attrs.field(default=None, validator=valid(_LINK))


@attrs.frozen(kw_only=True)
class BlackHole:
    """Nothing passes any more, in either direction, without an error."""

    seconds: float | None = attrs.field(default=None, validator=valid(checks.optional(_SECONDS)))
    link: int | None = attrs.field(default=None, validator=valid(_LINK))
    dials: bool = attrs.field(default=False, validator=valid(checks.boolean))
    """Whether new connections hang as well."""


@attrs.frozen(kw_only=True)
class Outage:
    """The server restarts: all links are reset, and for ``seconds`` connections are refused."""

    seconds: float = attrs.field(validator=valid(_SECONDS))


@attrs.frozen(kw_only=True)
class Degrade:
    """Links have these conditions for a time; new ones as well, unless ``link`` names one."""

    conditions: Conditions = attrs.field(validator=valid(checks.instance(Conditions, wanted="Conditions(...)")))
    seconds: float | None = attrs.field(default=None, validator=valid(checks.optional(_SECONDS)))
    direction: Direction = attrs.field(default=Direction.BOTH, validator=valid(checks.one_of(*Direction)))
    link: int | None = attrs.field(default=None, validator=valid(_LINK))


@attrs.frozen(kw_only=True)
class RefuseDial:
    """Connections are refused: ``ConnectionRefusedError``."""

    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class HangDial:
    """Connecting hangs, as with a firewall that drops packets."""

    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class DelayDial:
    """The connection is accepted after a delay."""

    seconds: float = attrs.field(validator=valid(_SECONDS))
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class UnknownHost:
    """The name cannot be looked up: ``socket.gaierror``."""

    times: int | None = attrs.field(default=1, validator=valid(checks.times))


LinkFault: TypeAlias = (
    ResetLink | HalfOpen | BlackHole | Outage | Degrade | RefuseDial | HangDial | DelayDial | UnknownHost
)
"""Anything that can be injected into a network."""
