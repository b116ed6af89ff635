"""What can go wrong with a subscription: its request, the answer, and its first and last data."""

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
    """The forms of a refusal: where it names the symbol, and whether it is of one."""

    WITH_SYMBOL = "with symbol"
    """An answer per symbol, with the symbol at top level."""
    WITHOUT_SYMBOL = "without symbol"
    """An answer per symbol, which does not say which."""
    IN_RESULT = "in result"
    """An answer per symbol, with the symbol in a ``result``, as an acknowledgement has it."""
    IN_TEXT = "in text"
    """An answer per symbol, which names it at the end of its text only (or where the text says ``{symbol}``)."""
    WHOLE = "whole"
    """One answer for the whole request, with its req_id; it names no symbol."""
    BARE = "bare"
    """``{"Error":"..."}`` for the whole request: no method, no req_id, no symbol."""


@attrs.frozen(kw_only=True)
class Refuse:
    """Subscriptions are refused.

    One occasion is one symbol of a request; for ``Shape.WHOLE`` and ``Shape.BARE`` it is a request.
    """

    error: str = attrs.field(default="Exceeded msg rate", validator=valid(checks.text()))
    """The text; ``{symbol}`` in it becomes the symbol."""
    symbol: str | None = attrs.field(default=None, validator=valid(_SYMBOL))
    channel: str | None = attrs.field(default=None, validator=valid(_CHANNEL))
    shape: Shape = attrs.field(default=Shape.WITH_SYMBOL, validator=valid(checks.one_of(*Shape)))
    names_channel: bool = attrs.field(default=False, validator=valid(checks.boolean))
    """The answer has a ``channel``, as data has, beside its ``method``."""
    method: str = attrs.field(default="subscribe", validator=valid(checks.one_of("subscribe", "unsubscribe")))
    chance: float = attrs.field(default=1.0, validator=valid(checks.number(least=0, most=1)))
    """Refuse only this share of the occasions, chosen by the exchange's seed."""
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class IgnoreRequests:
    """A request is neither done nor answered."""

    method: str | None = attrs.field(
        default=None, validator=valid(checks.optional(checks.one_of("subscribe", "unsubscribe", "ping")))
    )
    """``subscribe``, ``unsubscribe``, ``ping``; None: any."""
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class DelayAcks:
    """Subscribe and unsubscribe requests are dealt with only so many seconds later."""

    seconds: float = attrs.field(validator=valid(checks.seconds))
    times: int | None = attrs.field(default=None, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class DuplicateAck:
    """An answer to a subscribe or unsubscribe is sent twice."""

    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class Mute:
    """A subscription is acknowledged, and then nothing comes: no snapshot, no updates."""

    symbol: str | None = attrs.field(default=None, validator=valid(_SYMBOL))
    channel: str | None = attrs.field(default=None, validator=valid(_CHANNEL))
    existing: bool = attrs.field(default=False, validator=valid(checks.boolean))
    """Also silence the matching subscriptions that exist now (which uses up none of ``times``)."""
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class OmitSnapshot:
    """A subscription is acknowledged, and its updates come, but no snapshot before them."""

    symbol: str | None = attrs.field(default=None, validator=valid(_SYMBOL))
    channel: str | None = attrs.field(default=None, validator=valid(_CHANNEL))
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class DelaySnapshots:
    """Between a subscription's acknowledgement and its snapshot lie so many seconds."""

    seconds: float = attrs.field(validator=valid(checks.seconds))
    times: int | None = attrs.field(default=None, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class UpdateBeforeSnapshot:
    """After a book's subscription was acknowledged, an update comes before its snapshot."""

    symbol: str | None = attrs.field(default=None, validator=valid(_SYMBOL))
    times: int | None = attrs.field(default=1, validator=valid(checks.times))


@attrs.frozen(kw_only=True)
class EndSubscription:
    """The exchange ends subscriptions by itself: nobody asked for the ``unsubscribe`` that it confirms."""

    channel: str | None = attrs.field(default=None, validator=valid(_CHANNEL))
    symbol: str | None = attrs.field(default=None, validator=valid(_SYMBOL))
    connection: int | None = attrs.field(default=None, validator=valid(checks.connection))


@attrs.frozen(kw_only=True)
class LateUpdates:
    """After an unsubscribe was acknowledged, some more updates of its symbol's book come."""

    symbol: str | None = attrs.field(default=None, validator=valid(_SYMBOL))
    updates: int = attrs.field(default=3, validator=valid(checks.integer(least=1)))
    times: int | None = attrs.field(default=1, validator=valid(checks.times))
