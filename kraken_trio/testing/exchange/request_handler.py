"""The exchange's answers to requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from kraken_trio.testing.exchange.budget import COSTS, MAX_SYMBOLS, SnapshotBudget
from kraken_trio.testing.exchange.dialects import v2_frames as frames
from kraken_trio.testing.exchange.dialects.asked import MALFORMED, Asked, Refusal, Subscribing
from kraken_trio.testing.exchange.dialects.base import WORK_NS, Denial
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
    from kraken_trio.testing.exchange.dialects.base import Dialect
    from kraken_trio.testing.exchange.replay import Replay
    from kraken_trio.testing.exchange.state import ExchangeState
    from kraken_trio.testing.exchange.subscriptions import Connection

__all__ = ["RequestHandler"]

_FOR_ALL = (Shape.WHOLE, Shape.BARE)
"""The forms of a refusal of a request as a whole."""

_SymbolFault: TypeAlias = "Mute | OmitSnapshot | UpdateBeforeSnapshot | LateUpdates"


class RequestHandler:
    """Answers every request: one answer per symbol, all with the same ``req_id``; then the snapshots."""

    def __init__(self, state: ExchangeState, broadcaster: Broadcaster, replay: Replay) -> None:
        self._state = state
        self._broadcaster = broadcaster
        self._replay = replay

    def answer(self, connection: Connection, asked: Asked, now: float) -> None:
        """Execute a request, and answer it."""
        if asked.error is not None:
            self._refuse(connection, asked, Denial(error=asked.error), now)
        elif asked.method == "ping":
            self._state.answer(connection, connection.dialect.pong(asked, self._state.wall_ns(now)))
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
            wanted = connection.dialect.read_subscription(asked, connection.host)
        except Refusal as refusal:
            self._refuse(connection, asked, Denial(error=str(refusal)), now)
            return
        error = self._token_error(connection, wanted, asked, now)
        fault = None if error is not None else self._refusal_of_all(wanted, asked)
        if error is not None:
            self._refuse(connection, asked, Denial(error=error), now)
        elif fault is not None and fault.shape is Shape.BARE:
            self._state.answer(connection, connection.dialect.bare_error(fault.error))
        elif fault is not None:
            self._refuse(connection, asked, _denial(fault, wanted), now)
        elif asked.method == "subscribe":
            self._subscribe(connection, asked, wanted, now)
        else:
            self._unsubscribe(connection, asked, wanted, now)

    def _token_error(self, connection: Connection, wanted: Subscribing, asked: Asked, now: float) -> str | None:
        """Why the token is refused; errors of symbols and parameters are said first."""
        rule, dialect = wanted.rule, connection.dialect
        names = [s for s in wanted.symbols if isinstance(s, str) and self._is_traded(dialect, rule.name, s)]
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

    def _refusal(self, wanted: Subscribing, symbol: object, asked: Asked) -> Denial | None:
        fault = self._state.armed.take(
            Refuse,
            lambda f: (
                f.shape not in _FOR_ALL
                and f.method == asked.method
                and f.channel in (None, wanted.rule.name)
                and f.symbol in (None, symbol)
                and self._is_chosen(f)
            ),
        )
        return None if fault is None else _denial(fault, wanted, symbol)

    def _is_chosen(self, fault: Refuse) -> bool:
        return fault.chance >= 1 or self._state.random.random() < fault.chance

    # Subscribe

    def _subscribe(self, connection: Connection, asked: Asked, wanted: Subscribing, now: float) -> None:
        granted: list[Subscription] = []
        for symbol in wanted.symbols:
            denial = self._denial(connection, wanted, symbol, asked)
            if denial is None and wanted.rule.name == "level3" and not self._can_afford(connection, wanted, now):
                now_ns = self._state.wall_ns(now)
                self._say(connection, frames.level3_limit(str(symbol), asked.req_id, now_ns, now_ns + WORK_NS))
                continue
            if denial is not None:
                self._refuse(connection, asked, denial, now)
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
            self._say(connection, connection.dialect.granted(asked, wanted, symbol, self._state.wall_ns(now)))
        if granted:
            self._begin(connection, granted, wanted, now)

    def _denial(self, connection: Connection, wanted: Subscribing, symbol: object, asked: Asked) -> Denial | None:
        """Why a subscribe is refused; None if it is not."""
        rule, dialect = wanted.rule, connection.dialect
        if rule.has_symbols:
            known = isinstance(symbol, str) and self._is_traded(dialect, rule.name, symbol)
            error = dialect.symbol_error(symbol, known=known)
            if error is not None:
                return Denial(error=error, symbol=symbol, wanted=wanted)
        if wanted.variant_error is not None:
            return Denial(error=wanted.variant_error, symbol=symbol, wanted=wanted, shape=dialect.variant_shape)
        armed = self._refusal(wanted, symbol, asked)
        if armed is not None:
            return armed
        assert symbol is None or isinstance(symbol, str)
        recorded = self._recorded_variant(rule.name, symbol)
        if recorded is not None and recorded != wanted.variant:
            return Denial(error=rule.refusal, symbol=symbol, wanted=wanted, shape=dialect.variant_shape)
        there = self._there(connection, wanted, symbol)
        if there is not None:
            error = "Already subscribed" if there.variant == wanted.variant else rule.second
            return Denial(error=error, symbol=symbol, wanted=wanted)
        if rule.name == "level3":
            count = sum(channel == "level3" for channel, *_ in connection.subscriptions)
            if count >= MAX_SYMBOLS:
                return Denial(error="Symbol limit exceeded", symbol=symbol, wanted=wanted)
        return None

    def _can_afford(self, connection: Connection, wanted: Subscribing, now: float) -> bool:
        """Whether the budget for snapshots of Level 3 is enough; if so, it is spent."""
        if connection.budget is None:
            connection.budget = SnapshotBudget(self._state.snapshot_points)
        assert isinstance(wanted.variant, int)
        return connection.budget.spend(COSTS[wanted.variant], now)

    def _there(self, connection: Connection, wanted: Subscribing, symbol: object) -> Subscription | None:
        """The subscription of this connection that is meant, or is in the way."""
        if symbol is not None and not isinstance(symbol, str):
            return None
        slot = connection.dialect.slot(wanted.rule.name, symbol, wanted.variant)
        return self._state.subscriptions.find(connection, slot)

    def _is_traded(self, dialect: Dialect, channel: str, symbol: str) -> bool:
        if self._state.recording is not None:
            return dialect.has_recordings and (channel, symbol) in self._state.recording.topics
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
                self._state.call_at(now + delay, lambda at, s=subscription: self._snapshot(s, at))  # type: ignore[misc]  # mypy infers no lambda with a default
            else:
                self._snapshot(subscription, now)

    def _snapshot(self, subscription: Subscription, now: float) -> None:
        state = self._state
        if not state.subscriptions.is_in_force(subscription):
            return  # unsubscribed before its snapshot went out: the real exchange skips it too
        if subscription.channel == "book" and self._takes(UpdateBeforeSnapshot, subscription) is not None:
            self._broadcaster.early_update(subscription)
        if self._takes(OmitSnapshot, subscription) is None:
            self._broadcaster.snapshot(subscription, state.wall_ns(now))
        else:
            subscription.sequence += 1  # it is lost, and so is its number
        subscription.live = True

    # Unsubscribe

    def _unsubscribe(self, connection: Connection, asked: Asked, wanted: Subscribing, now: float) -> None:
        for symbol in wanted.symbols:
            denial = self._refusal(wanted, symbol, asked)
            if denial is not None:
                self._refuse(connection, asked, denial, now)
                continue
            there = self._there(connection, wanted, symbol)
            other = wanted.variant_given and there is not None and there.variant != wanted.variant
            if there is None or (other and wanted.rule.name != "ticker"):
                absent = Denial(error="Subscription Not Found", symbol=symbol, wanted=wanted, is_absent=True)
                self._refuse(connection, asked, absent, now)
                continue
            late = self._takes(LateUpdates, there) if there.channel in ("book", "level3") else None
            self._remove(there, late=late.updates if isinstance(late, LateUpdates) else None)
            now_ns = self._state.wall_ns(now)
            self._say(connection, connection.dialect.ended(asked, there.channel, there.symbol, there.variant, now_ns))

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
                text = connection.dialect.ended(
                    None, subscription.channel, subscription.symbol, subscription.variant, now_ns
                )
                self._state.push(connection, text)

    # Frames

    def _refuse(self, connection: Connection, asked: Asked, denial: Denial, now: float) -> None:
        text = connection.dialect.refused(asked, denial, self._state.wall_ns(now))
        self._say(connection, text, answer=denial.error != MALFORMED)

    def _say(self, connection: Connection, text: str, *, answer: bool = True) -> None:
        self._state.answer(connection, text)
        if answer and self._state.armed.take(DuplicateAck) is not None:
            self._state.answer(connection, text)


def _denial(fault: Refuse, wanted: Subscribing, symbol: object = None) -> Denial:
    return Denial(error=fault.error, symbol=symbol, wanted=wanted, shape=fault.shape, names_channel=fault.names_channel)
