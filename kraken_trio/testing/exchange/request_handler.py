"""The exchange's answers to requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kraken_trio.testing.exchange import frames
from kraken_trio.testing.exchange.broadcaster import Broadcaster
from kraken_trio.testing.exchange.dialect import (
    MALFORMED,
    Asked,
    Refusal,
    Subscribing,
    read_request,
    read_subscription,
    symbol_error,
)
from kraken_trio.testing.exchange.subscriptions import Subscription
from kraken_trio.testing.faults import (
    DelayAcks,
    DelaySnapshots,
    DuplicateAck,
    LateUpdates,
    Mute,
    Refuse,
    Shape,
    UpdateBeforeSnapshot,
)

if TYPE_CHECKING:
    from kraken_trio.testing.exchange.core import ExchangeCore
    from kraken_trio.testing.exchange.subscriptions import Connection

__all__ = ["RequestHandler"]

_WORK_NS = 40_000
"""What one answer takes, by ``time_in`` and ``time_out``."""


class RequestHandler:
    """Answers every request: one answer per symbol, all with the same ``req_id``; then the snapshots."""

    def __init__(self, core: ExchangeCore) -> None:
        self._core = core
        self._snapshots = Broadcaster(core)

    def read(self, data: str | bytes) -> Asked:
        return read_request(data)

    def answer(self, connection: Connection, asked: Asked, now: float) -> None:
        """Do it, and say so."""
        if asked.error is not None:
            self._refuse(connection, asked, asked.error, now)
        elif asked.method == "ping":
            now_ns = self._core.wall_ns(now)
            self._core.send(connection, frames.pong(asked.req_id, now_ns, now_ns + _WORK_NS))
        else:
            delay = self._core.armed.take(DelayAcks)
            if delay is None:
                self._subscription(connection, asked, now)
            else:
                self._core.call_at(now + delay.seconds, lambda later: self._late_answer(connection, asked, later))

    def _late_answer(self, connection: Connection, asked: Asked, now: float) -> None:
        if self._core.connections.get(connection.number) is connection:
            self._subscription(connection, asked, now)

    def _subscription(self, connection: Connection, asked: Asked, now: float) -> None:
        try:
            wanted = read_subscription(asked.params)
        except Refusal as refusal:
            self._refuse(connection, asked, str(refusal), now)
            return
        channel = wanted.rule.name
        bare = self._core.armed.take(
            Refuse,
            lambda f: (
                f.shape is Shape.BARE
                and f.method == asked.method
                and f.channel in (None, channel)
                and (f.symbol is None or f.symbol in wanted.symbols)
                and self._chosen(f)
            ),
        )
        if bare is not None:
            self._core.send(connection, frames.bare_error(bare.error))
        elif asked.method == "subscribe":
            self._subscribe(connection, asked, wanted, now)
        else:
            self._unsubscribe(connection, asked, wanted, now)

    def _chosen(self, fault: Refuse) -> bool:
        return fault.chance >= 1 or self._core.random.random() < fault.chance

    # Subscribe

    def _subscribe(self, connection: Connection, asked: Asked, wanted: Subscribing, now: float) -> None:
        granted: list[Subscription] = []
        for symbol in wanted.symbols:
            trouble, shown = self._trouble(connection, wanted, symbol, asked)
            if trouble is not None:
                self._refuse(connection, asked, trouble, now, symbol=symbol if shown else None)
                continue
            assert symbol is None or isinstance(symbol, str)
            subscription = Subscription(
                connection=connection, channel=wanted.rule.name, symbol=symbol, variant=wanted.variant
            )
            subscription.muted = self._muted(subscription)
            self._core.subscriptions.add(subscription)
            self._core.watch(subscription)
            granted.append(subscription)
            if connection.next_beat is None:
                connection.next_beat = now + 1.0
            self._ack(connection, asked, self._result(wanted, symbol, subscribe=True), now)
        if granted:
            self._begin(connection, granted, wanted, now)

    def _trouble(
        self, connection: Connection, wanted: Subscribing, symbol: object, asked: Asked
    ) -> tuple[str | None, bool]:
        """Why not, and whether the answer names the symbol."""
        rule = wanted.rule
        if rule.has_symbols:
            known = isinstance(symbol, str) and self._trades(rule.name, symbol)
            error = symbol_error(symbol, known=known)
            if error is not None:
                return error, True
        if wanted.variant_error is not None:
            return wanted.variant_error, False
        fault = self._armed_refusal(rule.name, symbol, asked)
        if fault is not None:
            return fault.error, fault.shape is Shape.WITH_SYMBOL
        assert symbol is None or isinstance(symbol, str)
        recorded = self._recorded_variant(rule.name, symbol)
        if recorded is not None and recorded != wanted.variant:
            return rule.refusal, False
        there = self._core.subscriptions.find(connection, (rule.name, symbol))
        if there is not None:
            return ("Already subscribed" if there.variant == wanted.variant else rule.second), True
        return None, False

    def _armed_refusal(self, channel: str, symbol: object, asked: Asked) -> Refuse | None:
        return self._core.armed.take(
            Refuse,
            lambda f: (
                f.shape is not Shape.BARE
                and f.method == asked.method
                and f.channel in (None, channel)
                and f.symbol in (None, symbol)
                and self._chosen(f)
            ),
        )

    def _trades(self, channel: str, symbol: str) -> bool:
        if self._core.recording is not None:
            return (channel, symbol) in self._core.recording.topics
        return symbol in self._core.market.symbols

    def _recorded_variant(self, channel: str, symbol: str | None) -> object:
        if self._core.recording is None:
            return None
        return self._core.recording.variants.get((channel, symbol))

    def _muted(self, subscription: Subscription) -> bool:
        fault = self._core.armed.take(
            Mute, lambda f: f.symbol in (None, subscription.symbol) and f.channel in (None, subscription.channel)
        )
        return fault is not None

    def _begin(self, connection: Connection, granted: list[Subscription], wanted: Subscribing, now: float) -> None:
        """The snapshots, now or later; and from then on the updates."""
        if self._core.recording is not None:
            for subscription in granted:
                subscription.live = True
            self._core.play(connection, granted, now)
            return
        fault = self._core.armed.take(DelaySnapshots)
        delay = self._core.snapshot_delay if fault is None else fault.seconds
        for subscription in granted:
            if not wanted.snapshot:
                subscription.live = True
            elif delay > 0:
                self._core.call_at(now + delay, lambda at, s=subscription: self._snapshot(s, at))  # type: ignore[misc]
            else:
                self._snapshot(subscription, now)

    def _snapshot(self, subscription: Subscription, now: float) -> None:
        core = self._core
        if core.subscriptions.find(subscription.connection, subscription.topic) is not subscription:
            return  # unsubscribed before its snapshot went out: the real exchange skips it too
        if subscription.channel == "book" and self._early(subscription):
            self._snapshots.early_update(subscription, core.market.symbols[subscription.symbol or ""])
        self._snapshots.snapshot(subscription, core.wall_ns(now))
        subscription.live = True

    def _early(self, subscription: Subscription) -> bool:
        fault = self._core.armed.take(UpdateBeforeSnapshot, lambda f: f.symbol in (None, subscription.symbol))
        return fault is not None

    # Unsubscribe

    def _unsubscribe(self, connection: Connection, asked: Asked, wanted: Subscribing, now: float) -> None:
        for symbol in wanted.symbols:
            fault = self._armed_refusal(wanted.rule.name, symbol, asked)
            if fault is not None:
                shown = symbol if fault.shape is Shape.WITH_SYMBOL else None
                self._refuse(connection, asked, fault.error, now, symbol=shown)
                continue
            topic = (wanted.rule.name, symbol) if symbol is None or isinstance(symbol, str) else None
            there = self._core.subscriptions.find(connection, topic) if topic is not None else None
            other = wanted.variant_given and there is not None and there.variant != wanted.variant
            if there is None or (other and wanted.rule.name != "ticker"):
                # Seen live: this refusal says "subscribe", whatever was asked.
                self._refuse(connection, asked, "Subscription Not Found", now, symbol=symbol, method="subscribe")
                continue
            self._core.subscriptions.remove(there, late=self._late_updates(there))
            self._core.unwatch(there)
            result = self._result(wanted, there.symbol, subscribe=False, variant=there.variant)
            self._ack(connection, asked, result, now)

    def _late_updates(self, subscription: Subscription) -> int | None:
        if subscription.channel != "book":
            return None
        fault = self._core.armed.take(LateUpdates, lambda f: f.symbol in (None, subscription.symbol))
        return None if fault is None else fault.updates

    # Words

    def _result(
        self, wanted: Subscribing, symbol: str | None, *, subscribe: bool, variant: object = None
    ) -> dict[str, Any]:
        rule = wanted.rule
        result: dict[str, Any] = {"channel": rule.name}
        if rule.variant is not None:
            result[rule.variant] = wanted.variant if subscribe else variant
        if subscribe:
            result["snapshot"] = wanted.snapshot
        if symbol is not None:
            result["symbol"] = symbol
        if subscribe and rule.warnings:
            result["warnings"] = list(rule.warnings)
        return result

    def _ack(self, connection: Connection, asked: Asked, result: dict[str, Any], now: float) -> None:
        now_ns = self._core.wall_ns(now)
        text = frames.ack(asked.method or "", result, asked.req_id, now_ns, now_ns + _WORK_NS)
        self._say(connection, text)

    def _refuse(
        self,
        connection: Connection,
        asked: Asked,
        error: str,
        now: float,
        *,
        symbol: object = None,
        method: str | None = None,
    ) -> None:
        now_ns = self._core.wall_ns(now)
        text = frames.error(
            error,
            method=method or asked.method,
            symbol=symbol if isinstance(symbol, str) else None,
            req_id=asked.req_id,
            in_ns=now_ns,
            out_ns=now_ns + _WORK_NS,
        )
        self._say(connection, text, answer=error != MALFORMED)

    def _say(self, connection: Connection, text: str, *, answer: bool = True) -> None:
        self._core.send(connection, text)
        if answer and self._core.armed.take(DuplicateAck) is not None:
            self._core.send(connection, text)
