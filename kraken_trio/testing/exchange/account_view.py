"""An account of the fake exchange, as its REST interface shows it.

The interface asks an :class:`AccountView` what was known at a time: now, or a while ago when it lags behind the stream.
:class:`AccountRows` are of the account that trades; :class:`ListedAccount` holds what a test puts there.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kraken_trio.testing.exchange.account import Account, AccountOrder, OrderState

__all__ = ["AccountRows", "AccountView", "BalanceRow", "LedgerRow", "ListedAccount", "OrderRow", "TradeRow"]

ZERO = Decimal(0)
_STATUSES = {"pending_new": "pending", "new": "open", "partially_filled": "open", "filled": "closed"}


@attrs.frozen(kw_only=True)
class OrderRow:
    """An order, as it was at a time."""

    order_id: str
    symbol: str
    side: str
    """``buy`` or ``sell``."""
    order_type: str = "limit"
    limit_price: Decimal = ZERO
    """Zero if it has none."""
    trigger: Decimal | None = None
    """The price that triggers a stop order."""
    qty: Decimal
    filled: Decimal = ZERO
    avg_price: Decimal = ZERO
    cost: Decimal = ZERO
    fee: Decimal = ZERO
    status: str = "open"
    """``pending``, ``open``, ``closed``, ``canceled`` or ``expired``."""
    opened_ns: int
    expires_ns: int | None = None
    was_amended: bool = False
    closed_ns: int | None = None
    """When it ended; None while it is open."""
    reason: str | None = None
    userref: int | None = None
    cl_ord_id: str | None = None
    trades: tuple[str, ...] = ()
    """The ids of its trades."""


@attrs.frozen(kw_only=True)
class TradeRow:
    """A fill: ``trade_id`` is the stream's ``exec_id``."""

    trade_id: str
    order_id: str
    symbol: str
    time_ns: int
    side: str
    order_type: str = "limit"
    price: Decimal
    qty: Decimal
    cost: Decimal
    fee: Decimal = ZERO
    maker: bool
    number: int = 0
    """The number of the trade in its market."""


@attrs.frozen(kw_only=True)
class LedgerRow:
    """A change of a balance."""

    ledger_id: str
    ref_id: str
    time_ns: int
    kind: str
    """``trade``, ``deposit``, ``withdrawal``, …"""
    asset: str
    amount: Decimal
    fee: Decimal = ZERO
    balance: Decimal
    """After it."""


@attrs.frozen(kw_only=True)
class BalanceRow:
    """An asset of the account."""

    asset: str
    balance: Decimal
    held: Decimal = ZERO
    """In open orders."""


class AccountView(Protocol):
    """What the REST interface needs of an account. Times are nanoseconds of the exchange's wall clock."""

    def orders(self, at_ns: int) -> Sequence[OrderRow]:
        """All orders that were known at that time, as they were then, oldest first."""
        ...

    def trades(self, at_ns: int) -> Sequence[TradeRow]:
        """The fills until then, oldest first."""
        ...

    def ledgers(self, at_ns: int) -> Sequence[LedgerRow]:
        """The changes of balances until then, oldest first."""
        ...

    def balances(self, at_ns: int) -> Sequence[BalanceRow]:
        """The balances at that time."""
        ...


class AccountRows:
    """An :class:`AccountView` of an account."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def orders(self, at_ns: int) -> Sequence[OrderRow]:
        """See :class:`AccountView`."""
        states = [(order, order.as_of(at_ns)) for order in self._account.orders.values()]
        return [_order(order, state) for order, state in states if state is not None]

    def trades(self, at_ns: int) -> Sequence[TradeRow]:
        """See :class:`AccountView`."""
        return [
            TradeRow(
                trade_id=fill.exec_id,
                order_id=fill.order_id,
                symbol=fill.symbol,
                time_ns=fill.time_ns,
                side=fill.side,
                order_type=fill.order_type,
                price=fill.price,
                qty=fill.qty,
                cost=fill.cost,
                fee=fill.fee,
                maker=fill.maker,
                number=fill.trade_id,
            )
            for fill in self._account.fills
            if fill.time_ns <= at_ns
        ]

    def ledgers(self, at_ns: int) -> Sequence[LedgerRow]:
        """See :class:`AccountView`."""
        return [
            LedgerRow(
                ledger_id=entry.ledger_id,
                ref_id=entry.ref_id,
                time_ns=entry.time_ns,
                kind=entry.type,
                asset=entry.asset,
                amount=entry.amount,
                fee=entry.fee,
                balance=entry.balance,
            )
            for entry in self._account.ledger
            if entry.time_ns <= at_ns
        ]

    def balances(self, at_ns: int) -> Sequence[BalanceRow]:
        """See :class:`AccountView`."""
        there = dict(self._account.initial) | {row.asset: row.balance for row in self.ledgers(at_ns)}
        held = dict.fromkeys(there, ZERO)
        for row in self.orders(at_ns):
            if row.closed_ns is None and row.limit_price:
                base, _, quote = row.symbol.partition("/")
                left = row.qty - row.filled
                held[base if row.side == "sell" else quote] += left if row.side == "sell" else left * row.limit_price
        return [BalanceRow(asset=asset, balance=balance, held=held[asset]) for asset, balance in there.items()]


def _order(order: AccountOrder, state: OrderState) -> OrderRow:
    digits = order.spec.price_precision
    average = state.cum_cost / state.cum_qty if state.cum_qty else ZERO
    ended = None if state.is_open else next(at for at, later in order.history if not later.is_open)
    return OrderRow(
        order_id=order.order_id,
        symbol=order.spec.symbol,
        side=order.side,
        order_type=order.order_type,
        limit_price=ZERO if state.price is None else state.price,
        trigger=order.trigger,
        qty=state.qty,
        filled=state.cum_qty,
        avg_price=average.quantize(Decimal(1).scaleb(-digits)),
        cost=state.cum_cost,
        fee=state.fee,
        status=_STATUSES.get(state.status, state.status),
        opened_ns=order.opened_ns,
        expires_ns=order.expires_ns,
        was_amended=state.amended,
        closed_ns=ended,
        reason=state.reason,
        userref=order.userref,
        trades=state.trades,
    )


@attrs.define
class ListedAccount:
    """An :class:`AccountView` of lists that a test fills, oldest first."""

    order_versions: list[tuple[int, OrderRow]] = attrs.Factory(list)
    """Orders as they were from a time on."""
    fills: list[TradeRow] = attrs.Factory(list)
    entries: list[LedgerRow] = attrs.Factory(list)
    holdings: list[tuple[int, BalanceRow]] = attrs.Factory(list)
    """Balances as they were from a time on."""

    def orders(self, at_ns: int) -> Sequence[OrderRow]:
        """See :class:`AccountView`."""
        found: Mapping[str, OrderRow] = {
            order.order_id: order for since_ns, order in self.order_versions if since_ns <= at_ns
        }
        return sorted(found.values(), key=lambda order: order.opened_ns)

    def trades(self, at_ns: int) -> Sequence[TradeRow]:
        """See :class:`AccountView`."""
        return [fill for fill in self.fills if fill.time_ns <= at_ns]

    def ledgers(self, at_ns: int) -> Sequence[LedgerRow]:
        """See :class:`AccountView`."""
        return [entry for entry in self.entries if entry.time_ns <= at_ns]

    def balances(self, at_ns: int) -> Sequence[BalanceRow]:
        """See :class:`AccountView`."""
        return list({row.asset: row for since_ns, row in self.holdings if since_ns <= at_ns}.values())
