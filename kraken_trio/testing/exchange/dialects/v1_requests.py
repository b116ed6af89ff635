"""The requests of v1 that the exchange understands, and its texts for those that it refuses.

Pure functions of a request's text. Symbols are translated here: what v1 calls ``XBT/USD`` is ``BTC/USD`` above, and
the other way round, so that ``BTC/USD`` in a v1 request is a pair that nobody trades.
"""

from __future__ import annotations

from typing import Any, Final

from kraken_trio.requests import DEPTHS, INTERVALS
from kraken_trio.testing.exchange.dialects.asked import Asked, ChannelRule, Refusal, Subscribing, read_message
from kraken_trio.testing.older_names import NEWER, OLDER

__all__ = ["RULES", "channel_name", "details", "other_name", "read_request", "read_subscription"]

RULES: Final[dict[str, ChannelRule]] = {
    rule.name: rule
    for rule in (
        ChannelRule(
            name="book", variant="depth", default=10, allowed=DEPTHS, refusal="Subscription depth not supported"
        ),
        ChannelRule(name="trade", snapshot=False),
        ChannelRule(name="ticker"),
        ChannelRule(
            name="ohlc",
            variant="interval",
            default=1,
            allowed=INTERVALS,
            refusal="Subscription ohlc interval not supported",
        ),
        ChannelRule(name="spread"),
    )
}
_NO_INTEGER: Final = {
    "book": "Subscription book depth must be an integer",
    "ohlc": "Subscription ohlc interval must be an integer",
}
_PRIVATE: Final = ("openOrders", "ownTrades")
_OTHER: Final = OLDER | NEWER
"""Assets that v1 calls by other names, both ways."""


def other_name(symbol: str) -> str:
    """A symbol of the exchange as v1 has it, or a pair of v1 as the exchange has it: each is the other's inverse."""
    return "/".join([_OTHER.get(code, code) for code in symbol.split("/")])


def channel_name(channel: str, variant: object) -> str:
    """``book-10``, ``ohlc-5``, ``trade``."""
    return channel if variant is None else f"{channel}-{variant}"


def details(channel: str, variant: object) -> dict[str, Any]:
    """The ``subscription`` of a request or an answer."""
    name = RULES[channel].variant
    return ({} if name is None else {name: variant}) | {"name": channel}


def read_request(data: str | bytes) -> Asked:
    """Parse one message of a client. Never raises."""
    return read_message(data, method="event", req_id="reqid", params=None)


def read_subscription(message: dict[str, Any]) -> Subscribing:
    """Check a subscribe or unsubscribe as a whole. Raises :class:`Refusal`."""
    wanted = message.get("subscription")
    if not isinstance(wanted, dict):
        msg = "Subscription field must be an object"
        raise Refusal(msg)
    channel = wanted.get("name")
    if channel in _PRIVATE:
        raise Refusal("ESession:Invalid session" if wanted.get("token") else "EAPI:Invalid token")
    rule = RULES.get(channel) if isinstance(channel, str) else None
    if rule is None:
        msg = "Subscription name invalid"
        raise Refusal(msg)
    if not wanted.keys() <= {"name", rule.variant}:
        msg = "Subscription object unsupported field"
        raise Refusal(msg)
    variant = wanted.get(rule.variant, rule.default) if rule.variant is not None else None
    if rule.variant is not None and type(variant) is not int:
        raise Refusal(_NO_INTEGER[rule.name])
    return Subscribing(
        rule=rule,
        symbols=_symbols(message.get("pair", [])),
        variant=variant,
        variant_given=rule.variant in wanted,
        snapshot=rule.snapshot,
    )


def _symbols(pairs: object) -> tuple[object, ...]:
    if not isinstance(pairs, list):
        msg = "Pair field must be an array"
        raise Refusal(msg)
    if not pairs:
        msg = "Pair(s) not found"
        raise Refusal(msg)
    return tuple(other_name(pair) if isinstance(pair, str) else pair for pair in pairs)
