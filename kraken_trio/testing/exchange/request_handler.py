"""The exchange's answers to requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from kraken_trio.testing.exchange import frames
from kraken_trio.testing.exchange.budget import COSTS, MAX_SYMBOLS, SnapshotBudget
from kraken_trio.testing.exchange.dialect import (
    CHANNELS,
    MALFORMED,
    Asked,
    Refusal,
    Subscribing,
    read_subscription,
    symbol_error,
)
from kraken_trio.testing.exchange.subscriptions import Subscription
from kraken_trio.testing.faults import (
    DelayAcks,
    DelaySnapshots,
    DuplicateAck,
    EndSubscription,
    LateUpdates,
    Mute,
    OmitSnapshot,
    Refuse,
    Shape,
    UpdateBeforeSnapshot,
)

if TYPE_CHECKING:
    from kraken_trio.testing.exchange.broadcaster import Broadcaster
    from kraken_trio.testing.exchange.replay import Replay
    from kraken_trio.testing.exchange.state import ExchangeState
    from kraken_trio.testing.exchange.subscriptions import Connection

__all__ = ["RequestHandler"]

_WORK_NS = 40_000
"""The processing time of an answer, between ``time_in`` and ``time_out``."""
_FOR_ALL = (Shape.WHOLE, Shape.BARE)
"""The forms of a refusal of a request as a whole."""

_SymbolFault: TypeAlias = "Mute | OmitSnapshot | UpdateBeforeSnapshot | LateUpdates"


@attrs.frozen
class _Denial:
    """Why one symbol of a request is refused, and in which form."""

    error: str
    shape: Shape = Shape.WITH_SYMBOL
    names_channel: bool = False


class RequestHandler:
    """Answers every request: one answer per symbol, all with the same ``req_id``; then the snapshots."""

    def __init__(self, state: ExchangeState, broadcaster: Broadcaster, replay: Replay) -> None:
        self._state = state
        self._broadcaster = broadcaster
        self._replay = replay

    def answer(self, connection: Connection, asked: Asked, now: float) -> None:
        """Execute a request, and answer it."""
        if asked.error is not None:
            self._refuse(connection, asked, asked.error, now)
        elif asked.method == "ping":
            now_ns = self._state.wall_ns(now)
            self._state.answer(connection, frames.pong(asked.req_id, now_ns, now_ns + _WORK_NS))
        else:
            delay = self._state.armed.take(DelayAcks)
            if delay is None:
                self._subscription(connection, asked, now)
            else:
                self._state.call_at(now + delay.seconds, lambda later: self._late_answer(connection, asked, later))

    def _late_answer(self, connection: Connection, asked: Asked, now: float) -> None:
        if self._state.connections.get(connection.number) is connection:
            self._subscription(connection, asked, now)

    def _subscription(self, connection: Connection, asked: Asked, now: float) -> None:
        try:
            wanted = read_subscription(asked.params, connection.host)
        except Refusal as refusal:
            self._refuse(connection, asked, str(refusal), now)
            return
        error = self._token_error(wanted, asked, now)
        fault = None if error is not None else self._refusal_of_all(wanted, asked)
        if error is not None:
            self._refuse(connection, asked, error, now)
        elif fault is not None and fault.shape is Shape.BARE:
            self._state.answer(connection, frames.bare_error(fault.error))
        elif fault is not None:
            channel = wanted.rule.name if fault.names_channel else None
            self._refuse(connection, asked, fault.error, now, channel=channel)
        elif asked.method == "subscribe":
            self._subscribe(connection, asked, wanted, now)
        else:
            self._unsubscribe(connection, asked, wanted, now)

    def _token_error(self, wanted: Subscribing, asked: Asked, now: float) -> str | None:
        """Why the token is refused; errors of symbols and parameters are said first."""
        rule = wanted.rule
        names = [symbol for symbol in wanted.symbols if isinstance(symbol, str) and self._is_traded(rule.name, symbol)]
        other = wanted.variant_error is not None or (rule.has_symbols and not names)
        if not rule.needs_token or (asked.method == "subscribe" and other):
            return None
        return self._state.tokens.check(wanted.token, now)

    # Armed refusals

    def _refusal_of_all(self, wanted: Subscribing, asked: Asked) -> Refuse | None:
        return self._state.armed.take(
            Refuse,
            lambda f: (
                f.shape in _FOR_ALL
                and f.method == asked.method
                and f.channel in (None, wanted.rule.name)
                and (f.symbol is None or f.symbol in wanted.symbols)
                and self._is_chosen(f)
            ),
        )

    def _refusal(self, channel: str, symbol: object, asked: Asked) -> _Denial | None:
        fault = self._state.armed.take(
            Refuse,
            lambda f: (
                f.shape not in _FOR_ALL
                and f.method == asked.method
                and f.channel in (None, channel)
                and f.symbol in (None, symbol)
                and self._is_chosen(f)
            ),
        )
        return None if fault is None else _Denial(fault.error, fault.shape, fault.names_channel)

    def _is_chosen(self, fault: Refuse) -> bool:
        return fault.chance >= 1 or self._state.random.random() < fault.chance

    # Subscribe

    def _subscribe(self, connection: Connection, asked: Asked, wanted: Subscribing, now: float) -> None:
        granted: list[Subscription] = []
        for symbol in wanted.symbols:
            denial = self._denial(connection, wanted, symbol, asked)
            if denial is None and wanted.rule.name == "level3" and not self._can_afford(connection, wanted, now):
                now_ns = self._state.wall_ns(now)
                self._say(connection, frames.level3_limit(str(symbol), asked.req_id, now_ns, now_ns + _WORK_NS))
                continue
            if denial is not None:
                self._deny(connection, asked, wanted, symbol, denial, now)
                continue
            assert symbol is None or isinstance(symbol, str)
            subscription = Subscription(
                connection=connection, channel=wanted.rule.name, symbol=symbol, variant=wanted.variant
            )
            subscription.options = wanted.options
            if wanted.rule.needs_token and isinstance(wanted.token, str):
                subscription.token = wanted.token
                self._state.tokens.hold(wanted.token)
            subscription.muted = self._takes(Mute, subscription) is not None
            self._state.subscriptions.add(subscription)
            self._state.update_depths(subscription)
            granted.append(subscription)
            if connection.next_beat is None:
                connection.next_beat = now + 1.0
            self._ack(connection, asked, wanted.granted(symbol), now)
        if granted:
            self._begin(connection, granted, wanted, now)

    def _denial(self, connection: Connection, wanted: Subscribing, symbol: object, asked: Asked) -> _Denial | None:
        """Why a subscribe is refused; None if it is not."""
        rule = wanted.rule
        if rule.has_symbols:
            known = isinstance(symbol, str) and self._is_traded(rule.name, symbol)
            error = symbol_error(symbol, known=known)
            if error is not None:
                return _Denial(error)
        if wanted.variant_error is not None:
            return _Denial(wanted.variant_error, Shape.WITHOUT_SYMBOL)
        armed = self._refusal(rule.name, symbol, asked)
        if armed is not None:
            return armed
        assert symbol is None or isinstance(symbol, str)
        recorded = self._recorded_variant(rule.name, symbol)
        if recorded is not None and recorded != wanted.variant:
            return _Denial(rule.refusal, Shape.WITHOUT_SYMBOL)
        there = self._state.subscriptions.find(connection, (rule.name, symbol))
        if there is not None:
            return _Denial("Already subscribed" if there.variant == wanted.variant else rule.second)
        if rule.name == "level3":
            count = sum(channel == "level3" for channel, _ in connection.subscriptions)
            if count >= MAX_SYMBOLS:
                return _Denial("Symbol limit exceeded")
        return None

    def _can_afford(self, connection: Connection, wanted: Subscribing, now: float) -> bool:
        """Whether the budget for snapshots of Level 3 is enough; if so, it is spent."""
        if connection.budget is None:
            connection.budget = SnapshotBudget(self._state.snapshot_points)
        assert isinstance(wanted.variant, int)
        return connection.budget.spend(COSTS[wanted.variant], now)

    def _is_traded(self, channel: str, symbol: str) -> bool:
        if self._state.recording is not None:
            return (channel, symbol) in self._state.recording.topics
        return symbol in self._state.market.symbols

    def _recorded_variant(self, channel: str, symbol: str | None) -> object:
        if self._state.recording is None:
            return None
        return self._state.recording.variants.get((channel, symbol))

    def _takes(self, kind: type[_SymbolFault], subscription: Subscription) -> _SymbolFault | None:
        """A fault of this subscription, if one is armed."""
        return self._state.armed.take(
            kind,
            lambda f: (
                f.symbol in (None, subscription.symbol) and getattr(f, "channel", None) in (None, subscription.channel)
            ),
        )

    def _begin(self, connection: Connection, granted: list[Subscription], wanted: Subscribing, now: float) -> None:
        """Send the snapshots, now or later, and from then on the updates."""
        if self._state.recording is not None:
            for subscription in granted:
                subscription.live = True
            self._replay.play(connection, granted, now)
            return
        fault = self._state.armed.take(DelaySnapshots)
        delay = self._state.snapshot_delay if fault is None else fault.seconds
        for subscription in granted:
            if not wanted.snapshot:
                subscription.live = True
            elif delay > 0:
                self._state.call_at(now + delay, lambda at, s=subscription: self._snapshot(s, at))  # type: ignore[misc]
            else:
                self._snapshot(subscription, now)

    def _snapshot(self, subscription: Subscription, now: float) -> None:
        state = self._state
        if state.subscriptions.find(subscription.connection, subscription.topic) is not subscription:
            return  # unsubscribed before its snapshot went out: the real exchange skips it too
        if subscription.channel == "book" and self._takes(UpdateBeforeSnapshot, subscription) is not None:
            self._broadcaster.early_update(subscription)
        if self._takes(OmitSnapshot, subscription) is None:
            self._broadcaster.snapshot(subscription, state.wall_ns(now))
        subscription.live = True

    # Unsubscribe

    def _unsubscribe(self, connection: Connection, asked: Asked, wanted: Subscribing, now: float) -> None:
        for symbol in wanted.symbols:
            denial = self._refusal(wanted.rule.name, symbol, asked)
            if denial is not None:
                self._deny(connection, asked, wanted, symbol, denial, now)
                continue
            topic = (wanted.rule.name, symbol) if symbol is None or isinstance(symbol, str) else None
            there = self._state.subscriptions.find(connection, topic) if topic is not None else None
            other = wanted.variant_given and there is not None and there.variant != wanted.variant
            if there is None or (other and wanted.rule.name != "ticker"):
                # Observed at Kraken: this refusal has the method "subscribe", whatever was requested.
                self._refuse(connection, asked, "Subscription Not Found", now, symbol=symbol, method="subscribe")
                continue
            late = self._takes(LateUpdates, there) if there.channel in ("book", "level3") else None
            self._remove(there, late=late.updates if isinstance(late, LateUpdates) else None)
            self._ack(connection, asked, wanted.rule.ended(there.symbol, there.variant), now)

    def _remove(self, subscription: Subscription, late: int | None = None) -> None:
        self._state.subscriptions.remove(subscription, late=late)
        self._state.update_depths(subscription)
        self._state.release_token(subscription)
        self._broadcaster.forget(subscription)

    def end_subscriptions(self, fault: EndSubscription, now: float) -> None:
        """End these subscriptions, and confirm an unsubscribe that was not requested."""
        now_ns = self._state.wall_ns(now)
        for subscription in self._state.subscriptions.matching(fault.channel, fault.symbol):
            connection = subscription.connection
            if fault.connection in (None, connection.number) and subscription.late is None:
                self._remove(subscription)
                connection.idle_since = now
                result = CHANNELS[subscription.channel].ended(subscription.symbol, subscription.variant)
                self._state.push(connection, frames.ack("unsubscribe", result, None, now_ns, now_ns + _WORK_NS))

    # Frames

    def _ack(self, connection: Connection, asked: Asked, result: dict[str, Any], now: float) -> None:
        now_ns = self._state.wall_ns(now)
        text = frames.ack(asked.method or "", result, asked.req_id, now_ns, now_ns + _WORK_NS)
        self._say(connection, text)

    def _deny(
        self, connection: Connection, asked: Asked, wanted: Subscribing, symbol: object, denial: _Denial, now: float
    ) -> None:
        """Refuse one symbol."""
        error, shape = denial.error, denial.shape
        name = symbol if isinstance(symbol, str) else ""
        if shape is Shape.IN_TEXT and "{symbol}" not in error and name:
            error = f"{error} {name}"
        result = wanted.rule.ended(name or None, wanted.variant) if shape is Shape.IN_RESULT else None
        self._refuse(
            connection,
            asked,
            error.replace("{symbol}", name),
            now,
            symbol=symbol if shape is Shape.WITH_SYMBOL else None,
            channel=wanted.rule.name if denial.names_channel else None,
            result=result,
        )

    def _refuse(
        self,
        connection: Connection,
        asked: Asked,
        error: str,
        now: float,
        *,
        symbol: object = None,
        method: str | None = None,
        channel: str | None = None,
        result: dict[str, Any] | None = None,
    ) -> None:
        now_ns = self._state.wall_ns(now)
        text = frames.error(
            error,
            method=method or asked.method,
            symbol=symbol if isinstance(symbol, str) else None,
            req_id=asked.req_id,
            in_ns=now_ns,
            out_ns=now_ns + _WORK_NS,
            channel=channel,
            result=result,
        )
        self._say(connection, text, answer=error != MALFORMED)

    def _say(self, connection: Connection, text: str, *, answer: bool = True) -> None:
        self._state.answer(connection, text)
        if answer and self._state.armed.take(DuplicateAck) is not None:
            self._state.answer(connection, text)
