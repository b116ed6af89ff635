"""The exchange's side of the dialogue while a recording is served: requests in, answers and orders out. Pure.

It speaks as the fake exchange does (:mod:`kraken_trio.testing`), which speaks as Kraken does: one answer per symbol, in
the order of the request, with its ``req_id``. What was not recorded is refused with Kraken's own words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from kraken_trio import Book, Candles, Instruments, Ticker, Trades
from kraken_trio.testing.exchange.dialects import v2_frames as frames
from kraken_trio.testing.exchange.dialects.asked import Refusal, symbol_error
from kraken_trio.testing.exchange.dialects.v2_requests import read_request, read_subscription
from kraken_trio.testing.exchange.hosts import Host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kraken_trio import Request
    from kraken_trio.testing.exchange.dialects.asked import Asked, ChannelRule, Subscribing

__all__ = ["Begin", "Cease", "Desk", "Order", "Say", "Topic"]

Topic: TypeAlias = tuple[str, str | None]
"""A channel and a symbol."""

_REQUESTS: Final[Mapping[str, Callable[[Any, Any], Request]]] = {
    "book": Book,
    "trade": lambda symbol, _variant: Trades(symbol, snapshot=True),
    "ticker": Ticker,
    "ohlc": Candles,
    "instrument": lambda _symbol, variant: Instruments(include_tokenized_assets=variant),
}


@attrs.frozen
class Say:
    """Send this frame."""

    text: str


@attrs.frozen
class Begin:
    """From here on the connection gets these data."""

    topic: Topic
    request: Request
    snapshot: bool
    """Whether it also gets what was there before."""


@attrs.frozen
class Cease:
    """From here on it does not."""

    topic: Topic


Order: TypeAlias = Say | Begin | Cease


class Desk:
    """Answers the requests of all connections, for a recording of these requests."""

    def __init__(self, recorded: Iterable[Request]) -> None:
        self._variants: dict[Topic, set[object]] = {}
        for request in recorded:
            variant = request.variant
            of_topic = self._variants.setdefault((request.channel or "", request.symbol), set())
            of_topic.add(None if variant is None else variant[1])
        self._subscribed: dict[int, dict[Topic, object]] = {}

    def connect(self, number: int, system: str) -> str:
        """A client has connected. Returns the first frame that it gets."""
        self._subscribed[number] = {}
        return frames.status(system, number)

    def disconnect(self, number: int) -> None:
        """The connection has ended. Idempotent."""
        self._subscribed.pop(number, None)

    def has_subscriptions(self, number: int) -> bool:
        """Whether the connection gets heartbeats."""
        return bool(self._subscribed.get(number))

    def receive(self, number: int, data: str | bytes, now_ns: int) -> list[Order]:
        """A message of a client. ``now_ns`` is the wall clock."""
        asked = read_request(data)
        if asked.error is not None:
            return [Say(_refused(asked, asked.error, now_ns))]
        if asked.method == "ping":
            return [Say(frames.pong(asked.req_id, now_ns, now_ns))]
        try:
            wanted = read_subscription(asked.params, Host.PUBLIC)
        except Refusal as refusal:
            return [Say(_refused(asked, str(refusal), now_ns))]
        there = self._subscribed.get(number)
        if there is None:  # it has ended meanwhile
            return []
        if asked.method == "subscribe":
            return self._subscribe(there, asked, wanted, now_ns)
        return self._unsubscribe(there, asked, wanted, now_ns)

    def _subscribe(self, there: dict[Topic, object], asked: Asked, wanted: Subscribing, now_ns: int) -> list[Order]:
        answers: list[Order] = []
        begins: list[Order] = []
        rule, variant = wanted.rule, wanted.variant
        for symbol in wanted.symbols:
            error, names_symbol = self._objection(there, wanted, symbol)
            if error is not None:
                answers.append(Say(_refused(asked, error, now_ns, symbol if names_symbol else None)))
                continue
            topic = (rule.name, symbol if isinstance(symbol, str) else None)
            there[topic] = variant
            answers.append(Say(_confirmed(asked, rule.granted(topic[1], variant, snapshot=wanted.snapshot), now_ns)))
            begins.append(Begin(topic, _REQUESTS[rule.name](topic[1], variant), wanted.snapshot))
        return answers + begins

    def _objection(self, there: dict[Topic, object], wanted: Subscribing, symbol: object) -> tuple[str | None, bool]:
        """Why this is refused, and whether the answer names the symbol."""
        rule = wanted.rule
        topic = (rule.name, symbol if isinstance(symbol, str) else None)
        recorded = self._variants.get(topic)
        if recorded is None:
            return _not_recorded(rule, symbol), rule.has_symbols
        if wanted.variant_error is not None or wanted.variant not in recorded:
            return rule.refusal, False
        if topic in there:
            return ("Already subscribed" if there[topic] == wanted.variant else rule.second), True
        return None, False

    def _unsubscribe(self, there: dict[Topic, object], asked: Asked, wanted: Subscribing, now_ns: int) -> list[Order]:
        orders: list[Order] = []
        for symbol in wanted.symbols:
            topic = (wanted.rule.name, symbol if isinstance(symbol, str) else None)
            other = wanted.variant_given and there.get(topic) != wanted.variant and wanted.rule.name != "ticker"
            if topic not in there or other:
                # Observed at Kraken: this refusal has the method "subscribe", whatever was requested.
                orders.append(Say(_refused(asked, "Subscription Not Found", now_ns, symbol, method="subscribe")))
                continue
            variant = there.pop(topic)
            orders += (Cease(topic), Say(_confirmed(asked, wanted.rule.ended(topic[1], variant), now_ns)))
        return orders


def _not_recorded(rule: ChannelRule, symbol: object) -> str:
    return (symbol_error(symbol, known=False) or "") if rule.has_symbols else "Subscription name invalid"


def _confirmed(asked: Asked, result: dict[str, Any], now_ns: int) -> str:
    return frames.ack(asked.method or "", result, asked.req_id, now_ns, now_ns)


def _refused(asked: Asked, error: str, now_ns: int, symbol: object = None, *, method: str | None = None) -> str:
    return frames.error(
        error,
        method=method or asked.method,
        symbol=symbol if isinstance(symbol, str) else None,
        req_id=asked.req_id,
        in_ns=now_ns,
        out_ns=now_ns,
    )
