"""Trades: each delivered once, with a gap wherever trade numbers are missing, if the protocol numbers them."""

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
    from kraken_trio.wire.codec import Codec

__all__ = ["TradeState"]

_KEPT: Final = 50  # as many as Kraken's own trade snapshot
_Identity: TypeAlias = "int | tuple[int, Decimal, Decimal, datetime]"
"""Identifies a trade. Its number alone is not enough: the exchange may restart its numbering.

Of trades without numbers, each is another one, however equal: then it is a number of our own.
"""


class TradeState(ChannelState):
    """The last trades. Missing ones are detected by number, repeated ones by :data:`_Identity`.

    The exchange's numbers continue across connections, and so does this state.

    Where the protocol has no numbers, every trade is taken as it comes; what is lost is known only from what lost it,
    and the state begins anew with it.
    """

    __slots__ = ("_count", "_counters", "_has_history", "_is_numbered", "_recent")

    has_history = True
    can_conflate = False
    moves_with_trades = True
    tells_of_trades = True

    def __init__(self, request: object, counters: Counters, codec: Codec) -> None:
        del request
        self._counters = counters
        self._is_numbered = codec.numbers_trades
        self._has_history = Trade.channel in codec.initial_data
        self._count = 0  # of trades without numbers
        self._recent: OrderedDict[_Identity, Trade] = OrderedDict()

    @staticmethod
    def neighbours(event: Any, /) -> tuple[int | None, int | None]:
        return (None, None) if event.trade_id is None else (event.trade_id - 1, event.trade_id + 1)

    def take(self, events: Sequence[Any]) -> tuple[Sequence[Event], Failure | None]:
        """See the base class. ``events`` are all history, or none is. Known or older history is not delivered."""
        if not self._is_numbered:
            for trade in events:
                self._keep(trade)
            return events, None
        recent, newest = self._recent, self._last
        last = events[0].trade_id - 1 if newest is None else _number(newest)
        trades = self._since(newest, events) if newest is not None and events[0].snapshot else events
        taken: list[Event] = []
        for trade in trades:
            number = _number(trade)
            if _identity(trade) in recent:  # mutant: repeated trade
                continue
            self._keep(trade)
            if number != last + 1:  # mutant: missing trades
                taken.append(self._hole(last, trade))
            taken.append(trade)
            last = number
        return taken, None

    def _keep(self, trade: Trade) -> None:
        self._count += 1
        self._recent[_identity(trade) if self._is_numbered else self._count] = trade
        if len(self._recent) > _KEPT:
            self._recent.popitem(last=False)

    def _since(self, newest: Trade, history: Sequence[Trade]) -> Sequence[Trade]:
        """The part of ``history`` after the newest known trade."""
        known = [index for index, trade in enumerate(history) if _identity(trade) in self._recent]
        if known:
            return history[known[-1] + 1 :]
        last = _number(newest)
        # mutant: numbers begin anew
        if _number(history[-1]) < last or any(trade.trade_id == last for trade in history):
            return history  # another trade has this number now: the numbering restarted during the outage
        return [trade for trade in history if _number(trade) > last]

    def _hole(self, after: int, trade: Trade) -> Gap:
        """The gap between the trade ``after`` and this one. A smaller number means that the numbering restarted."""
        before = _number(trade)
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
            if self._is_numbered and unbroken and _number(trade) != _number(unbroken[0]) - 1:
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
            if (event.trade_id is not None) is not self._is_numbered:
                msg = f"trades of this protocol have {'' if self._is_numbered else 'no '}numbers, unlike a kept one"
                raise ProtocolError(msg)
            self._keep(event)

    def reset(self) -> None:
        if not self._is_numbered:  # numbers continue across connections
            self._recent.clear()

    @property
    def _last(self) -> Trade | None:
        """The latest trade; None before the first."""
        return self._recent[next(reversed(self._recent))] if self._recent else None

    @property
    def last_received_ns(self) -> int:
        return 0 if self._last is None else self._last.received_ns

    @property
    def owes_data(self) -> bool:
        """Only if there is history, and the symbol has traded before: a new symbol has no trades."""
        return self._has_history and bool(self._recent)

    @property
    def trade_count(self) -> int:
        return 0 if self._last is None or not self._is_numbered else _number(self._last)


def _number(trade: Trade) -> int:
    assert trade.trade_id is not None  # the protocol numbers trades
    return trade.trade_id


def _identity(trade: Trade) -> _Identity:
    return (_number(trade), trade.price, trade.qty, trade.timestamp)
