"""What a client asks for, in whichever protocol: how requests, and the rules of channels, look to the exchange."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MALFORMED", "Asked", "ChannelRule", "Refusal", "Subscribing", "read_message", "symbol_error"]

MALFORMED = "Malformed request"
_SYMBOL = re.compile(r"[^/\s]+/[^/\s]+")
_SHOWN = ("snap_orders", "snap_trades")
"""The options that a confirmation repeats."""
_MAX_RATE_COUNT = 125


@attrs.frozen(kw_only=True)
class Asked:
    """A parsed request. ``error`` is set if it is invalid."""

    method: str | None = None
    req_id: int | None = None
    params: Any = None
    error: str | None = None


@attrs.frozen(kw_only=True)
class ChannelRule:
    """One channel."""

    name: str
    has_symbols: bool = True
    variant: str | None = None
    """The parameter that may have one value per symbol and connection."""
    default: object = None
    allowed: tuple[object, ...] = ()
    refusal: str = MALFORMED
    """The error for an invalid value."""
    second: str = "Already subscribed"
    """The error for a second value."""
    snapshot: bool = True
    """Whether there is a snapshot by default."""
    warnings: tuple[str, ...] = ()
    echoes_variant: bool = True
    """Whether a confirmation repeats the parameter."""
    needs_token: bool = False
    options: tuple[tuple[str, bool], ...] = ()
    """Further parameters, all true or false, and their defaults. With any, unknown parameters are refused."""

    def granted(self, symbol: str | None, variant: object, *, snapshot: bool) -> dict[str, Any]:
        """The ``result`` of a subscribe's confirmation."""
        result = self.ended(symbol, variant)
        result["snapshot"] = snapshot
        if self.warnings:
            result["warnings"] = list(self.warnings)
        return result

    def ended(self, symbol: str | None, variant: object) -> dict[str, Any]:
        """The ``result`` of an unsubscribe's confirmation."""
        result: dict[str, Any] = {"channel": self.name}
        if self.variant is not None and self.echoes_variant:
            result[self.variant] = variant
        if symbol is not None:
            result["symbol"] = symbol
        return result


class Refusal(Exception):  # noqa: N818 (a value on its way to the client)
    """The request is refused as a whole, with this text."""


@attrs.frozen(kw_only=True)
class Subscribing:
    """A subscribe or unsubscribe request that passed the checks of the request as a whole."""

    rule: ChannelRule
    symbols: tuple[object, ...]
    """``(None,)`` for a channel without symbols. Not yet checked."""
    variant: object
    """The requested value, or the default."""
    variant_given: bool
    snapshot: bool
    token: object = None
    options: Mapping[str, bool] = attrs.Factory(dict)
    """Every one of the channel's."""

    def granted(self, symbol: str | None) -> dict[str, Any]:
        """The ``result`` of a confirmation."""
        result = self.rule.granted(symbol, self.variant, snapshot=self.snapshot)
        if self.options:
            result |= {name: self.options[name] for name in _SHOWN}
            result["maxratecount"] = _MAX_RATE_COUNT
        return dict(sorted(result.items()))

    @property
    def variant_error(self) -> str | None:
        """The refusal, if the depth (interval, trigger) is not offered."""
        allowed = self.rule.allowed
        known = any(type(value) is type(self.variant) and value == self.variant for value in allowed)
        return None if known or not allowed else self.rule.refusal


def read_message(data: str | bytes, *, method: str, req_id: str, params: str | None) -> Asked:
    """Parse one message of a client, with its protocol's names of the three fields. Never raises.

    Without a name of ``params``, they are the whole message.
    """
    if isinstance(data, bytes):
        return Asked(error=MALFORMED)
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        return Asked(error=MALFORMED)
    if not isinstance(message, dict):
        return Asked(error=MALFORMED)
    name, number = message.get(method), message.get(req_id)
    if not isinstance(name, str):
        name = None
    if number is not None and (type(number) is not int or not 0 <= number < 2**64):
        return Asked(method=name, error=MALFORMED)
    known = name in ("subscribe", "unsubscribe", "ping")
    wanted = message if params is None else message.get(params)
    return Asked(method=name, req_id=number, params=wanted, error=None if known else MALFORMED)


def symbol_error(symbol: object, *, known: bool) -> str | None:
    """The refusal of this symbol, if it is invalid or not listed."""
    if known:
        return None
    text = symbol if isinstance(symbol, str) else json.dumps(symbol)
    if not _SYMBOL.fullmatch(text):
        return f"Currency pair not in ISO 4217-A3 format {text}"
    return f"Currency pair not supported {text}"
