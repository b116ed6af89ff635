"""An account of the fake exchange, as its REST interface shows it.

The interface asks an :class:`AccountView` what was known at a time: now, or a while ago when it lags behind the stream.
Whoever owns the account decides what happens in it; :class:`ListedAccount` holds what a test puts there.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["AccountView", "BalanceRow", "LedgerRow", "ListedAccount", "OrderRow", "TradeRow"]

ZERO = Decimal(0)


@attrs.frozen(kw_only=True)
class OrderRow:
    """An order, as it was at a time."""

    order_id: str
    symbol: str
    side: str
    """``buy`` or ``sell``."""
    order_type: str = "limit"
    limit_price: Decimal = ZERO
    qty: Decimal
    filled: Decimal = ZERO
    avg_price: Decimal = ZERO
    cost: Decimal = ZERO
    fee: Decimal = ZERO
    status: str = "open"
    """``pending``, ``open``, ``closed``, ``canceled`` or ``expired``."""
    opened_ns: int
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
