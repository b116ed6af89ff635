"""What can go wrong between a client and an exchange, as values for :meth:`Network.inject`.

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
from typing import Any, TypeAlias

import attrs

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


def _range_of(least: float) -> Any:
    def check(_instance: object, attribute: attrs.Attribute[Any], value: tuple[float, float]) -> None:
        low, high = value
        if not least <= low <= high < float("inf"):
            msg = f"{attribute.name}={value}: two numbers, the least and the most, from {least:g} on"
            raise ValueError(msg)

    return check


def _positive(_instance: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and not 0 < value < float("inf"):
        msg = f"{attribute.name}={value}: more than 0"
        raise ValueError(msg)


def _seconds(default: float | None = attrs.NOTHING) -> Any:  # type: ignore[assignment]
    return attrs.field(default=default, validator=_positive)


def _times() -> Any:
    return attrs.field(default=1, validator=_positive)


@attrs.frozen(kw_only=True)
class Conditions:
    """How bytes travel, each way."""

    latency: tuple[float, float] = attrs.field(default=(0.0, 0.0), validator=_range_of(0))
    """Seconds that what is sent at once takes, at least and at most. Nothing overtakes."""
    piece: tuple[int, int] = attrs.field(default=(65536, 65536), validator=_range_of(1))
    """Bytes that one read gets at most: a number between these two, drawn anew for each. Small ones cut frames apart,
    and cost time."""
    bytes_per_second: float | None = attrs.field(default=None, validator=_positive)
    """The throughput; None: without limit."""
    buffer_bytes: int = attrs.field(default=65536, validator=_positive)
    """Bytes that were sent and have not been read, at most. Then sending waits, as TCP does: this is backpressure."""
    patience: float = attrs.field(default=120.0, validator=_positive)
    """Seconds after which a sender whose bytes do not arrive finds its connection timed out. (Linux takes 900.)"""


class Direction(enum.Enum):
    """Which way."""

    TO_CLIENT = "to client"
    TO_SERVER = "to server"
    BOTH = "both"


@attrs.frozen(kw_only=True)
class ResetLink:
    """A TCP reset, seen by both ends at once. What is on the way is lost."""

    link: int | None = None


@attrs.frozen(kw_only=True)
class HalfOpen:
    """One way of a link dies silently, the other one lives.

    As TCP repeats what is lost, it all arrives when ``seconds`` are over, if both ends are still there.
    """

    direction: Direction = Direction.TO_CLIENT
    seconds: float | None = _seconds(None)
    link: int | None = None


@attrs.frozen(kw_only=True)
class BlackHole:
    """Nothing passes any more, either way, and nobody is told."""

    seconds: float | None = _seconds(None)
    link: int | None = None
    dials: bool = False
    """Dialling does not come through either, as long as this lasts."""


@attrs.frozen(kw_only=True)
class Outage:
    """The other machine is restarted: all links are reset, and for so long nobody listens."""

    seconds: float = _seconds()


@attrs.frozen(kw_only=True)
class Degrade:
    """Links have these conditions for a time; so have those that are made meanwhile, unless ``link`` names one."""

    conditions: Conditions
    seconds: float | None = _seconds(None)
    direction: Direction = Direction.BOTH
    link: int | None = None


@attrs.frozen(kw_only=True)
class RefuseDial:
    """Nobody listens: ``ConnectionRefusedError``."""

    times: int | None = _times()


@attrs.frozen(kw_only=True)
class HangDial:
    """Dialling never ends: a firewall swallows it."""

    times: int | None = _times()


@attrs.frozen(kw_only=True)
class DelayDial:
    """The connection is accepted only so many seconds later."""

    seconds: float = _seconds()
    times: int | None = _times()


@attrs.frozen(kw_only=True)
class UnknownHost:
    """The name cannot be looked up: ``socket.gaierror``."""

    times: int | None = _times()


LinkFault: TypeAlias = (
    ResetLink | HalfOpen | BlackHole | Outage | Degrade | RefuseDial | HangDial | DelayDial | UnknownHost
)
"""Anything that can be injected into a network."""
