"""Trades: each once, and a gap for every hole in their numbers."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from kraken_trio.channels.state import ChannelState, Failure
from kraken_trio.events import Cause, Event, Gap, Trade

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from decimal import Decimal

    from kraken_trio.statistics import Counters

__all__ = ["TradeState"]

_KEPT: Final = 50  # as many as Kraken's own trade snapshot
_Identity: TypeAlias = "tuple[int, Decimal, Decimal, datetime]"
"""Of a trade. Its number alone is not enough: the exchange may begin to number anew."""


class TradeState(ChannelState):
    """The last trades: by their numbers a missing one is noticed, and by all they say a repeated one is known.

    The exchange's numbers go on across connections, and so does this memory.
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
        """All are history, or none is. History repeats what is known, and what was before: that is not delivered."""
        recent, newest = self._recent, self._last
        last = events[0].trade_id - 1 if newest is None else newest.trade_id
        trades = self._since(newest, events) if newest is not None and events[0].snapshot else events
        taken: list[Event] = []
        for trade in trades:
            number, identity = trade.trade_id, _identity(trade)
            if identity in recent:
                continue
            recent[identity] = trade
            if len(recent) > _KEPT:
                recent.popitem(last=False)
            if number != last + 1:
                taken.append(self._hole(last, trade))
            taken.append(trade)
            last = number
        return taken, None

    def _since(self, newest: Trade, history: Sequence[Trade]) -> Sequence[Trade]:
        """What of ``history`` comes after the newest trade that is known."""
        known = [index for index, trade in enumerate(history) if _identity(trade) in self._recent]
        if known:
            return history[known[-1] + 1 :]
        last = newest.trade_id
        if history[-1].trade_id < last or any(trade.trade_id == last for trade in history):
            return history  # another trade has this number by now: the numbers began anew during the outage
        return [trade for trade in history if trade.trade_id > last]

    def _hole(self, after: int, trade: Trade) -> Gap:
        """The gap between the trade ``after`` and this one. A smaller number means that they were begun anew."""
        before = trade.trade_id
        missed = before - after - 1 if before > after else None
        self._counters.trades_missed += missed or 0
        if missed is None:
            detail = f"after trade {after} the exchange began to number its trades anew, with {before}"
        else:
            detail = f"trades {after + 1} to {before - 1} never came"
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

    def reset(self) -> None:
        """The numbers go on across connections; so does the memory."""

    @property
    def _last(self) -> Trade | None:
        """The latest; None before the first of all."""
        return self._recent[next(reversed(self._recent))] if self._recent else None

    @property
    def last_received_ns(self) -> int:
        return 0 if self._last is None else self._last.received_ns

    @property
    def owes_data(self) -> bool:
        """Only if there has been any: a new symbol has none."""
        return bool(self._recent)

    @property
    def trade_count(self) -> int:
        return 0 if self._last is None else self._last.trade_id


def _identity(trade: Trade) -> _Identity:
    return (trade.trade_id, trade.price, trade.qty, trade.timestamp)
