"""Faults of a subscription: its request, the answer, and its first and last data."""

from __future__ import annotations

import enum

import attrs

from kraken_trio.testing import checks
from kraken_trio.testing.checks import valid

__all__ = [
    "DelayAcks",
    "DelaySnapshots",
    "DuplicateAck",
    "EndSubscription",
    "IgnoreRequests",
    "LateUpdates",
    "Mute",
    "OmitSnapshot",
    "Refuse",
    "Shape",
    "UpdateBeforeSnapshot",
]

_SYMBOL = checks.optional(checks.symbol)
_CHANNEL = checks.optional(checks.one_of(*checks.CHANNELS))


class Shape(enum.Enum):
    """The forms of a refusal: where it names the symbol, if at all."""

    WITH_SYMBOL = "with symbol"
    """An answer per symbol, with the symbol at top level."""
    WITHOUT_SYMBOL = "without symbol"
    """An answer per symbol, without naming it."""
    IN_RESULT = "in result"
    """An answer per symbol, with the symbol in a ``result``, as in a confirmation."""
    IN_TEXT = "in text"
    """An answer per symbol, which names it only at the end of its text (or in place of ``{symbol}``)."""
    WHOLE = "whole"
    """One answer for the whole request, with its req_id, without a symbol."""
    BARE = "bare"
    """``{"Error":"..."}`` for the whole request: no method, no req_id, no symbol."""


@attrs.frozen(kw_only=True)
class Refuse:
    """Subscriptions are refused.

    One occasion is one symbol of a request; for ``Shape.WHOLE`` and ``Shape.BARE`` it is a request.
    """

    error: str = attrs.field(default="Exceeded msg rate", validator=valid(checks.text()))
    """The text; ``{symbol}`` in it is replaced."""
    symbol: str | None = attrs.field(default=None, validator=valid(_SYMBOL))
    channel: str | None = attrs.field(default=None, validator=valid(_CHANNEL))
    shape: Shape = attrs.field(default=Shape.WITH_SYMBOL, validator=valid(checks.one_of(*Shape)))
    names_channel: bool = attrs.field(default=False, validator=valid(checks.boolean))
    """Whether the answer has a ``channel``, as data has, in addition to its ``method``."""
    method: str = attrs.field(default="subscribe", validator=valid(checks.one_of("subscribe", "unsubscribe")))
    chance: float = attrs.field(default=1.0, validator=valid(checks.number(least=0, most=1)))
    """Refuse only this fraction of the occasions, chosen by the exchange's seed."""
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class IgnoreRequests:
    """A request is neither executed nor answered."""

    method: str | None = attrs.field(
        default=None, validator=valid(checks.optional(checks.one_of("subscribe", "unsubscribe", "ping")))
    )
    """``subscribe``, ``unsubscribe``, ``ping``; None: any."""
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class DelayAcks:
    """Subscribe and unsubscribe requests are executed after a delay."""

    seconds: float = attrs.field(validator=valid(checks.seconds))
    times: int | None = attrs.field(default=None, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class DuplicateAck:
    """An answer to a subscribe or unsubscribe is sent twice."""

    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class Mute:
    """A subscription is confirmed, but gets no data: no snapshot, no updates."""

    symbol: str | None = attrs.field(default=None, validator=valid(_SYMBOL))
    channel: str | None = attrs.field(default=None, validator=valid(_CHANNEL))
    existing: bool = attrs.field(default=False, validator=valid(checks.boolean))
    """Whether to silence matching existing subscriptions as well (without using up ``times``)."""
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class OmitSnapshot:
    """A subscription is confirmed, and gets updates, but no snapshot."""

    symbol: str | None = attrs.field(default=None, validator=valid(_SYMBOL))
    channel: str | None = attrs.field(default=None, validator=valid(_CHANNEL))
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class DelaySnapshots:
    """The snapshot is sent some seconds after the confirmation."""

    seconds: float = attrs.field(validator=valid(checks.seconds))
    times: int | None = attrs.field(default=None, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class UpdateBeforeSnapshot:
    """After a book's confirmation, an update is sent before its snapshot."""

    symbol: str | None = attrs.field(default=None, validator=valid(_SYMBOL))
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class EndSubscription:
    """The exchange ends subscriptions by itself: it confirms an ``unsubscribe`` that was not requested."""

    channel: str | None = attrs.field(default=None, validator=valid(_CHANNEL))
    symbol: str | None = attrs.field(default=None, validator=valid(_SYMBOL))
    connection: int | None = attrs.field(default=None, validator=valid(checks.connection))


@attrs.frozen(kw_only=True)
class LateUpdates:
    """After a confirmed unsubscribe, some more updates of the book are sent."""

    symbol: str | None = attrs.field(default=None, validator=valid(_SYMBOL))
    updates: int = attrs.field(default=3, validator=valid(checks.integer(least=1)))
    times: int | None = attrs.field(default=1, validator=valid(checks.times))
