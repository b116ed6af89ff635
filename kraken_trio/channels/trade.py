"""Trades: each delivered once, with a gap wherever trade numbers are missing."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from kraken_trio.channels.state import ChannelState, Failure, Kept
from kraken_trio.errors import ProtocolError
from kraken_trio.events import Cause, Event, Gap, Trade

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from decimal import Decimal

    from kraken_trio.statistics import Counters

__all__ = ["TradeState"]

_KEPT: Final = 50  # as many as Kraken's own trade snapshot
_Identity: TypeAlias = "tuple[int, Decimal, Decimal, datetime]"
"""Identifies a trade. Its number alone is not enough: the exchange may restart its numbering."""


class TradeState(ChannelState):
    """The last trades. Missing ones are detected by number, repeated ones by :data:`_Identity`.

    The exchange's numbers continue across connections, and so does this state.
    """

    __slots__ = ("_counters", "_recent")

    has_history = True
    can_conflate = False
    moves_with_trades = True
    tells_of_trades = True

    def __init__(self, request: object, counters: Counters, codec: object) -> None:
        del request, codec
        self._counters = counters
        self._recent: OrderedDict[_Identity, Trade] = OrderedDict()

    @staticmethod
    def neighbours(event: Any, /) -> tuple[int | None, int | None]:
        return event.trade_id - 1, event.trade_id + 1

    def take(self, events: Sequence[Any]) -> tuple[Sequence[Event], Failure | None]:
        """See the base class. ``events`` are all history, or none is. Known or older history is not delivered."""
        recent, newest = self._recent, self._last
        last = events[0].trade_id - 1 if newest is None else newest.trade_id
        trades = self._since(newest, events) if newest is not None and events[0].snapshot else events
        taken: list[Event] = []
        for trade in trades:
            number, identity = trade.trade_id, _identity(trade)
            if identity in recent:  # mutant: repeated trade
                continue
            recent[identity] = trade
            if len(recent) > _KEPT:
                recent.popitem(last=False)
            if number != last + 1:  # mutant: missing trades
                taken.append(self._hole(last, trade))
            taken.append(trade)
            last = number
        return taken, None

    def _since(self, newest: Trade, history: Sequence[Trade]) -> Sequence[Trade]:
        """The part of ``history`` after the newest known trade."""
        known = [index for index, trade in enumerate(history) if _identity(trade) in self._recent]
        if known:
            return history[known[-1] + 1 :]
        last = newest.trade_id
        # mutant: numbers begin anew
        if history[-1].trade_id < last or any(trade.trade_id == last for trade in history):
            return history  # another trade has this number now: the numbering restarted during the outage
        return [trade for trade in history if trade.trade_id > last]

    def _hole(self, after: int, trade: Trade) -> Gap:
        """The gap between the trade ``after`` and this one. A smaller number means that the numbering restarted."""
        before = trade.trade_id
        missed = before - after - 1 if before > after else None
        self._counters.trades_missed += missed or 0
        if missed is None:
            detail = f"after trade {after} the exchange restarted its numbering with {before}"
        else:
            detail = f"trades {after + 1} to {before - 1} are missing"
        return Gap(
            symbol=trade.symbol,
            cause=Cause.MISSED,
            channel=trade.channel,
            detail=detail,
            missed=missed,
            after_id=after,
            before_id=before,
            epoch=trade.epoch,
            received_ns=trade.received_ns,
        )

    def start(self, request: Any) -> Sequence[Event]:
        if not request.snapshot:
            return ()
        unbroken: deque[Trade] = deque()
        for trade in reversed(self._recent.values()):
            if unbroken and trade.trade_id != unbroken[0].trade_id - 1:
                break
            unbroken.appendleft(msgspec.structs.replace(trade, snapshot=True))
        return unbroken

    def keep(self) -> Kept:
        return Kept(tuple(self._recent.values()))

    def restore(self, kept: Kept) -> None:
        for event in kept.events[-_KEPT:]:
            if not isinstance(event, Trade):
                msg = f"trades are kept as trades, not as a {type(event).__name__}"
                raise ProtocolError(msg)
            self._recent[_identity(event)] = event

    def reset(self) -> None:
        """Nothing to reset: the numbers continue across connections."""

    @property
    def _last(self) -> Trade | None:
        """The latest trade; None before the first."""
        return self._recent[next(reversed(self._recent))] if self._recent else None

    @property
    def last_received_ns(self) -> int:
        return 0 if self._last is None else self._last.received_ns

    @property
    def owes_data(self) -> bool:
        """Only if the symbol has traded before: a new symbol has no trades."""
        return bool(self._recent)

    @property
    def trade_count(self) -> int:
        return 0 if self._last is None else self._last.trade_id


def _identity(trade: Trade) -> _Identity:
    return (trade.trade_id, trade.price, trade.qty, trade.timestamp)
