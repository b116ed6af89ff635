"""Faults of the exchange's REST interface."""

from __future__ import annotations

from enum import Enum

import attrs

from kraken_trio.testing import checks
from kraken_trio.testing.checks import valid

__all__ = ["MAX_LAG", "BreakRest", "LagRest", "RestBreak"]

MAX_LAG = 60.0
"""Seconds that the interface is behind at most."""


class RestBreak(Enum):
    """How a call goes wrong."""

    HTML = "html"
    """HTTP 520 with a page of Cloudflare's. The client must not take it for a refusal of its key."""
    EMPTY = "empty"
    """HTTP 200 without a body."""
    NO_RESULT_KEY = "no result key"
    """A result that lacks what it is asked for, such as the token."""
    SLOW = "slow"
    """The answer comes after ``seconds``."""
    ERROR = "error"
    """The error ``text``, whatever was asked."""
    RESET = "reset"
    """The connection is reset, with no answer. The call was not carried out."""
    CUT = "cut"
    """The connection is reset in the middle of the answer."""
    ENDLESS = "endless"
    """The answer is longer than anybody would read."""


@attrs.frozen(kw_only=True)
class BreakRest:
    """The next calls go wrong, the first of several armed faults that fit first."""

    how: RestBreak = attrs.field(
        validator=valid(checks.instance(RestBreak, wanted="how it goes wrong, such as RestBreak.HTML"))
    )
    call: str | None = attrs.field(default=None, validator=valid(checks.optional(checks.text("the name of a call"))))
    """Only this call, such as ``"TradesHistory"``; None: any."""
    times: int | None = attrs.field(default=1, validator=valid(checks.times))
    """How many calls; None: all, until cleared."""
    seconds: float = attrs.field(default=30.0, validator=valid(checks.seconds))
    text: str = attrs.field(default="EAPI:Invalid nonce", validator=valid(checks.text("the text of an error")))


@attrs.frozen(kw_only=True)
class LagRest:
    """What calls tell of the account is as of so long ago, from now on, until faults are cleared."""

    seconds: float = attrs.field(default=MAX_LAG, validator=valid(checks.number(least=0, most=MAX_LAG)))
