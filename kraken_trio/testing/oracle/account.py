"""The account's channels (promise 2): each fill once and in order, whatever happened to the connection.

What a feed yields is compared with the exchange's account: its fills, the ends of its orders, and its ledger.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import attrs

from kraken_trio.events import (
    BalancesSnapshot,
    BalanceUpdate,
    Cause,
    Execution,
    Gap,
    Order,
    OrdersSnapshot,
)
from kraken_trio.testing.oracle.broken import BrokenPromise

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from kraken_trio.events import Balance
    from kraken_trio.testing.exchange.account import Account, AccountFill, AccountOrder, OrderState

__all__ = ["PRIVATE_CHANNELS", "AccountEvent", "AccountOracle"]

PRIVATE_CHANNELS: Final = ("executions", "balances")
AccountEvent = OrdersSnapshot | Execution | BalancesSnapshot | BalanceUpdate
"""What these channels yield."""
_ENDS: Final = ("filled", "canceled", "expired")
_NAMED: Final = re.compile(r"fills between (.+) and (.+) could not be recovered")
_FULL: Final = "the feed was full"
"""What every gap says in whose place events were dropped."""
_ROUNDING_NS: Final = 1_000_000
"""By how much the times of one moment may differ: fills of one message are microseconds apart."""
_KEPT: Final = "KEEP"
"""An asset of the exchange that nothing trades."""


@attrs.define
class _Place:
    """How far one channel has come."""

    epoch: int = 0
    received_ns: int = 0


class AccountOracle:
    """One feed of ``executions`` or ``balances``, from its opening to its end."""

    def __init__(
        self,
        name: str,
        account: Account,
        *,
        wants: Collection[str | None] = PRIVATE_CHANNELS,
        may_be_strange: Callable[[], bool] = lambda: False,
        now: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """``wants`` are the channels of the feed.

        ``may_be_strange`` tells whether the exchange has reported orders that the account does not have.
        """
        self.name: str = name
        self.wants: Collection[str | None] = wants
        self.recovered: int = 0
        """Fills that came with ``recovered``."""
        self.lost: int = 0
        """Fills that are missing, and a gap says so."""
        self._account = account
        self._may_be_strange = may_be_strange
        self._now = now
        self._places: dict[str, _Place] = {channel: _Place() for channel in PRIVATE_CHANNELS}
        self._numbers: dict[str, int] = {}
        """The places of the account's fills, by their ids."""
        self._covered: set[int] = set()
        """The fills that the first snapshot has counted already."""
        self._first: int | None = None
        """The first fill that must come; None as long as none must."""
        self._next: int | None = None
        """The fill that must come next; None before the first."""
        self._began_ns: int | None = None
        """When the feed's first snapshot was received."""
        self._told: list[tuple[int, int]] = []
        """From when to when fills are missing, by the gaps; in microseconds since 1970."""
        self._dropped = False
        """Whether this feed has dropped events, and no fill has come since."""
        self._has_dropped = False
        """Whether it ever has: what became of orders may have been among them."""
        self._seen: set[str] = set()
        """The orders that this feed knows as open."""
        self._ended: dict[str, str] = {}
        """How orders have ended, as the feed was told."""
        self._entries: int | None = None
        """The ledger's entry that must come next; None while any may."""
        self._ledger: dict[str, int] = {}

    def _break(self, promise: int, seen: str) -> BrokenPromise:
        return BrokenPromise(promise, f"{self.name} at {self._now():.6f}: {seen}")

    def saw(self, event: AccountEvent) -> None:
        """Check an event that the feed has yielded."""
        place = self._places[event.channel]
        if (event.epoch, event.received_ns) < (place.epoch, place.received_ns):
            raise self._break(2, f"{event} was received before the one before it")
        self._places[event.channel] = _Place(event.epoch, event.received_ns)
        match event:
            case OrdersSnapshot():
                self._saw_orders(event)
            case Execution():
                self._saw_report(event)
            case BalancesSnapshot():
                self._saw_balances(event)
            case BalanceUpdate():
                self._saw_entry(event)

    def saw_gap(self, gap: Gap) -> None:
        """Take a gap of these channels, or of everything."""
        is_overflow = gap.cause is Cause.OVERFLOW or _FULL in gap.detail  # other gaps may be in the same place
        if is_overflow and gap.channel in (None, "executions"):
            self._dropped = self._has_dropped = True
        if gap.channel in (None, "balances"):
            self._entries = None
        named = _NAMED.search(gap.detail)
        if named is not None and gap.cause is Cause.UNRECOVERED and gap.channel == "executions":
            self._told.append((_microseconds(named[1]), _microseconds(named[2])))

    # Orders

    def _saw_orders(self, event: OrdersSnapshot) -> None:
        for order in event.orders:
            ours = self._order_of(order)
            if ours is None:
                continue
            if not any(_agree(order, state) for _, state in ours.history if state.is_open):
                raise self._break(2, f"{order} is nothing that this order ever was")
            self._seen.add(order.order_id)
        if self._began_ns is None:
            self._began_ns = event.received_ns
            self._begin(event)

    def _begin(self, event: OrdersSnapshot) -> None:
        """Find out which fills the first snapshot has counted, and which come after it."""
        filled = {order.order_id: order.cum_qty or Decimal(0) for order in event.orders}
        counted = dict.fromkeys(filled, Decimal(0))
        for number, fill in enumerate(self._account.fills):
            if fill.order_id in filled:
                counted[fill.order_id] += fill.qty
                if counted[fill.order_id] <= filled[fill.order_id]:
                    self._covered.add(number)
        self._next_due()

    def _next_due(self) -> None:
        """Find the first fill that must come."""
        assert self._began_ns is not None
        for number in range(max(self._covered, default=-1) + 1, len(self._account.fills)):
            fill = self._account.fills[number]
            if fill.order_id in self._seen or fill.time_ns > self._began_ns + _ROUNDING_NS:
                self._first = number
                return

    def _order_of(self, order: Order) -> AccountOrder | None:
        ours = self._account.orders.get(order.order_id)
        if ours is None and not self._may_be_strange():
            raise self._break(2, f"{order} is no order of the account")
        return ours

    def _saw_report(self, event: Execution) -> None:
        if event.exec_id is not None:
            self._saw_fill(event)
            return
        ours = self._order_of(event)
        if ours is None:
            return
        if event.exec_type in (*_ENDS, "unknown"):
            self._saw_end(event, ours)
        elif not any(_agree(event, state) for _, state in ours.history):
            raise self._break(2, f"{event} is nothing that this order ever was")
        elif event.order_id not in self._ended:
            self._seen.add(event.order_id)

    def _saw_end(self, event: Execution, ours: AccountOrder) -> None:
        state = ours.state
        if event.order_id in self._ended:
            raise self._break(2, f"{event}: it has been told already that the order is {self._ended[event.order_id]}")
        if state.is_open:
            raise self._break(2, f"{event}, and the order is open")
        if event.exec_type != "unknown":
            if (event.exec_type, event.order_status) != (state.status, state.status):
                raise self._break(2, f"{event}, and the order is {state.status}")
            if event.cum_qty is not None and event.cum_qty != state.cum_qty:
                raise self._break(2, f"{event}, and {state.cum_qty} were filled")
        self._ended[event.order_id] = event.exec_type

    # Fills

    def _saw_fill(self, event: Execution) -> None:
        number = self._number_of(str(event.exec_id))
        if number is None:
            raise self._break(2, f"{event} is no fill of the account")
        fill = self._account.fills[number]
        if _of_event(event) != _of_journal(fill):
            raise self._break(2, f"{event} is not the account's {fill}")
        if event.snapshot:
            if self._began_ns is not None:
                raise self._break(2, f"{event} is of the past, and the feed has begun")
            return
        if self._began_ns is None:
            raise self._break(2, f"{event} came before the open orders")
        if number in self._covered:
            raise self._break(2, f"{event} was counted in the open orders already")
        if self._next is None:
            self._next_due()
            if self._first is not None and self._first < number:
                self._may_miss(self._first, number, event)
        elif number < self._next:
            raise self._break(2, f"{event} comes twice, or after a later one")
        else:
            self._may_miss(self._next, number, event)
        self._next = number + 1
        self._dropped = False
        self.recovered += event.recovered

    def _may_miss(self, first: int, number: int, event: Execution) -> None:
        """Check that fills which are missing are those that a gap names."""
        if self._dropped:
            return
        for missing in self._account.fills[first:number]:
            at = missing.time_ns // 1000
            if not any(since <= at <= until for since, until in self._told):
                raise self._break(2, f"{event} comes, and {missing} has not, and no gap says so")
            self.lost += 1

    def _number_of(self, exec_id: str) -> int | None:
        fills = self._account.fills
        for number in range(len(self._numbers), len(fills)):
            self._numbers[fills[number].exec_id] = number
        return self._numbers.get(exec_id)

    # Balances

    def _saw_balances(self, event: BalancesSnapshot) -> None:
        assets = {balance.asset for balance in event.balances} - {_KEPT}
        if assets != self._account.balance.keys():
            raise self._break(2, f"{event} is not of the account's assets")
        for balance in event.balances:
            had = [entry.balance for entry in self._account.ledger if entry.asset == balance.asset]
            if balance.asset != _KEPT and balance.balance not in (self._account.initial[balance.asset], *had):
                raise self._break(2, f"{balance} is no balance that the account ever had")
        self._entries = None

    def _saw_entry(self, event: BalanceUpdate) -> None:
        ledger = self._account.ledger
        for number in range(len(self._ledger), len(ledger)):
            self._ledger[ledger[number].ledger_id] = number
        number_of = self._ledger.get(str(event.ledger_id))
        if number_of is None:
            raise self._break(2, f"{event} is no entry of the ledger")
        entry = ledger[number_of]
        if (event.asset, event.amount, event.fee, event.balance) != (
            entry.asset, entry.amount, entry.fee, entry.balance,
        ):  # fmt: skip
            raise self._break(2, f"{event} is not the ledger's {entry}")
        if self._entries is not None and number_of != self._entries:
            raise self._break(2, f"{event} is entry {number_of}, and entry {self._entries} was next")
        self._entries = number_of + 1

    # When it is quiet

    def behind(self, until_ns: int) -> str | None:
        """Which fill or end of an order until then has not come yet."""
        if "executions" not in self.wants:
            return None
        if self._began_ns is None:
            return f"{self.name}: has no open orders yet"
        if self._next is None:
            self._next_due()
        due = self._first if self._next is None else self._next
        fills = self._account.fills
        if not self._dropped and due is not None and due < len(fills):
            late = [
                fill
                for fill in fills[due:]
                if fill.time_ns <= until_ns
                and not any(since <= fill.time_ns // 1000 <= until for since, until in self._told)
            ]
            if late:
                return f"{self.name}: {len(late)} fills have not come; the first is {late[0]}"
        for end in self._account.ends:
            if end.time_ns <= until_ns and end.order_id in self._seen - self._ended.keys() and not self._has_dropped:
                return f"{self.name}: {end} has not come"
        return None

    def check_orders(self, orders: Mapping[str, Order]) -> None:
        """Check that the feed's open orders are the account's, when nothing is on its way."""
        ours = {order.order_id: order for order in self._account.open_now}
        if self._may_be_strange():
            orders = {order_id: order for order_id, order in orders.items() if order_id in self._account.orders}
        if orders.keys() != ours.keys():
            more, fewer = sorted(orders.keys() - ours.keys()), sorted(ours.keys() - orders.keys())
            raise self._break(3, f"the open orders are not the account's: {more} are too many, {fewer} are missing")
        for order_id, order in orders.items():
            if not _agree(order, ours[order_id].state):
                raise self._break(3, f"{order} is not the account's {ours[order_id].state}")

    def check_balances(self, balances: Mapping[str, Balance]) -> None:
        """Check that the feed's balances are the account's, when nothing is on its way."""
        ours = self._account.balance
        theirs = {asset: balance.balance for asset, balance in balances.items() if asset != _KEPT}
        if theirs != ours:
            raise self._break(3, f"the balances {theirs} are not the account's, {ours}")


def _agree(order: Order, state: OrderState) -> bool:
    """Whether the order is as the exchange had it, in what is known of it."""
    said = (
        (order.order_qty, state.qty),
        (order.limit_price, state.price),
        (order.cum_qty, state.cum_qty),
    )
    return all(theirs is None or ours is None or theirs == ours for theirs, ours in said)


def _of_event(event: Execution) -> tuple[object, ...]:
    side = None if event.side is None else event.side.value
    return (event.order_id, event.symbol, side, event.trade_id, event.last_price, event.last_qty)


def _of_journal(fill: AccountFill) -> tuple[object, ...]:
    return (fill.order_id, fill.symbol, fill.side, fill.trade_id, fill.price, fill.qty)


def _microseconds(text: str) -> int:
    if text == "an unknown time":
        return 0
    moment = datetime.fromisoformat(text)
    return round(moment.timestamp() * 1_000_000)
