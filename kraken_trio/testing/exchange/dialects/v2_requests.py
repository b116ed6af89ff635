"""The requests of v2 that the exchange understands, and its texts for those that it refuses.

Pure functions of a request's text. The order of the checks, and the wording, are those of the real exchange if
known: object, channel, array of symbols, each symbol, then depth or interval, then the token.
"""

from __future__ import annotations

from typing import Any

from kraken_trio.requests import DEPTHS, INTERVALS, TRIGGERS
from kraken_trio.testing.exchange.budget import COSTS
from kraken_trio.testing.exchange.dialects.asked import (
    MALFORMED,
    Asked,
    ChannelRule,
    Refusal,
    Subscribing,
    read_message,
)
from kraken_trio.testing.exchange.hosts import Host

__all__ = ["RULES", "read_request", "read_subscription"]

RULES: dict[str, ChannelRule] = {
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


def read_request(data: str | bytes) -> Asked:
    """Parse one message of a client. Never raises."""
    return read_message(data, method="method", req_id="req_id", params="params")


def read_subscription(params: object, host: Host = Host.ALL) -> Subscribing:
    """Check the parameters of a subscribe or unsubscribe as a whole. Raises :class:`Refusal`."""
    if not isinstance(params, dict):
        raise Refusal(MALFORMED)
    channel = params.get("channel")
    if channel in _PUSHED:
        msg = "Symbol(s) not found"
        raise Refusal(msg)
    rule = RULES.get(channel) if isinstance(channel, str) else None
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
