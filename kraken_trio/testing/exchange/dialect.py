"""The requests that the exchange understands, and its texts for those that it refuses.

Pure functions of a request's text. The order of the checks, and the wording, are those of the real exchange if
known: object, channel, array of symbols, each symbol, then depth or interval, then the token.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import attrs

from kraken_trio.requests import DEPTHS, INTERVALS, TRIGGERS
from kraken_trio.testing.exchange.budget import COSTS
from kraken_trio.testing.exchange.hosts import Host

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CHANNELS",
    "MALFORMED",
    "Asked",
    "ChannelRule",
    "Refusal",
    "Subscribing",
    "read_request",
    "read_subscription",
    "symbol_error",
]

MALFORMED = "Malformed request"
_SYMBOL = re.compile(r"[^/\s]+/[^/\s]+")


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


CHANNELS: dict[str, ChannelRule] = {
    rule.name: rule
    for rule in (
        ChannelRule(
            name="book",
            variant="depth",
            default=10,
            allowed=DEPTHS,
            refusal="Subscription depth not supported",
        ),
        ChannelRule(name="trade", snapshot=False),
        ChannelRule(name="ticker", variant="event_trigger", default="trades", allowed=TRIGGERS),
        ChannelRule(
            name="ohlc",
            variant="interval",
            default=1,
            allowed=INTERVALS,
            refusal="Subscription ohlc interval not supported",
            second="Already subscribed to one ohlc interval on this symbol",
            warnings=("timestamp is deprecated, use interval_begin",),
        ),
        ChannelRule(
            name="instrument",
            has_symbols=False,
            variant="include_tokenized_assets",
            default=False,
            allowed=(False, True),
            echoes_variant=False,
            warnings=("tick_size is deprecated, use price_increment",),
        ),
        ChannelRule(
            name="level3",
            variant="depth",
            default=10,
            allowed=tuple(COSTS),
            refusal="Subscription depth not supported",
            needs_token=True,
        ),
        ChannelRule(
            name="executions",
            has_symbols=False,
            needs_token=True,
            options=(("snap_orders", True), ("snap_trades", False), ("order_status", True), ("ratecounter", False)),
            warnings=(
                "cancel_reason is deprecated, use reason",
                "stop_price is deprecated, use triggers.price",
                "trigger is deprecated use triggers.reference",
                "triggered_price is deprecated use triggers.last_price",
            ),
        ),
        ChannelRule(name="balances", has_symbols=False, needs_token=True),
    )
}
_PUSHED = ("status", "heartbeat")
_SHOWN = ("snap_orders", "snap_trades")
"""The options that a confirmation repeats."""
_MAX_RATE_COUNT = 125


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


def read_request(data: str | bytes) -> Asked:
    """Parse one message of a client. Never raises."""
    if isinstance(data, bytes):
        return Asked(error=MALFORMED)
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        return Asked(error=MALFORMED)
    if not isinstance(message, dict):
        return Asked(error=MALFORMED)
    method, req_id = message.get("method"), message.get("req_id")
    if not isinstance(method, str):
        method = None
    if req_id is not None and (type(req_id) is not int or not 0 <= req_id < 2**64):
        return Asked(method=method, error=MALFORMED)
    known = method in ("subscribe", "unsubscribe", "ping")
    return Asked(method=method, req_id=req_id, params=message.get("params"), error=None if known else MALFORMED)


def read_subscription(params: object, host: Host = Host.ALL) -> Subscribing:
    """Check the parameters of a subscribe or unsubscribe as a whole. Raises :class:`Refusal`."""
    if not isinstance(params, dict):
        raise Refusal(MALFORMED)
    channel = params.get("channel")
    if channel in _PUSHED:
        msg = "Symbol(s) not found"
        raise Refusal(msg)
    rule = CHANNELS.get(channel) if isinstance(channel, str) else None
    if rule is None or not host.serves(rule.name):
        msg = "Subscription name invalid"
        raise Refusal(msg)
    snapshot = params.get("snapshot", rule.snapshot)
    if not isinstance(snapshot, bool):
        raise Refusal(MALFORMED)
    name = rule.variant
    return Subscribing(
        rule=rule,
        symbols=_symbols(rule, params),
        variant=params.get(name, rule.default) if name is not None else None,
        variant_given=name is not None and name in params,
        snapshot=snapshot,
        token=params.get("token"),
        options=_options(rule, params),
    )


def _options(rule: ChannelRule, params: dict[str, Any]) -> dict[str, bool]:
    if not rule.options:
        return {}
    unknown = sorted(set(params) - {"channel", "token", "snapshot", *dict(rule.options)})
    if unknown:
        msg = f"Unsupported field: '{unknown[0]}'"
        raise Refusal(msg)
    chosen = {name: params.get(name, default) for name, default in rule.options}
    if not all(isinstance(value, bool) for value in chosen.values()):
        raise Refusal(MALFORMED)
    return chosen


def _symbols(rule: ChannelRule, params: dict[str, Any]) -> tuple[object, ...]:
    if not rule.has_symbols:
        if "symbol" in params:
            msg = "Unsupported field: 'symbol'"
            raise Refusal(msg)
        return (None,)
    symbols = params.get("symbol", [])
    if not isinstance(symbols, list):
        msg = "Symbol field must be an array"
        raise Refusal(msg)
    if not symbols:
        msg = "Symbol(s) not found"
        raise Refusal(msg)
    return tuple(symbols)


def symbol_error(symbol: object, *, known: bool) -> str | None:
    """The refusal of this symbol, if it is invalid or not listed."""
    if known:
        return None
    text = symbol if isinstance(symbol, str) else json.dumps(symbol)
    if not _SYMBOL.fullmatch(text):
        return f"Currency pair not in ISO 4217-A3 format {text}"
    return f"Currency pair not supported {text}"
