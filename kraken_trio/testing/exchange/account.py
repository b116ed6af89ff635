"""The account of an exchange: its orders, fills and ledger, of which the private channels and REST tell.

Pure: times are arguments, in nanoseconds since 1970; amounts are decimals. What happens to an order is told to the
account by :class:`~kraken_trio.testing.exchange.trader.Trader`; each method of that part returns the reports and
ledger entries of it, in order. All that is kept has its time, so that the past can be told.
"""

from __future__ import annotations

from bisect import bisect_right
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any

import attrs

from kraken_trio.testing.exchange.orders import text_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kraken_trio.testing.exchange.market_spec import MarketSpec
    from kraken_trio.testing.exchange.tape import TradePrint

__all__ = ["Account", "AccountFill", "AccountOrder", "LedgerEntry", "OrderEnd", "OrderState", "Report", "asset_digits"]

MAKER_FEE = Decimal("0.0016")
TAKER_FEE = Decimal("0.0026")
"""Of the cost, in the quote asset."""
PAGE = 50
"""Fills in a snapshot."""
_FIAT = frozenset({"USD", "EUR", "JPY", "GBP"})
_ZERO = Decimal(0)
_MOST = Decimal(10**12)
_SALT = 0xACC


def asset_digits(asset: str) -> int:
    """The decimals of an amount of this asset."""
    return 4 if asset in _FIAT else 10


@attrs.frozen
class OrderState:
    """An order at one time."""

    status: str
    """As on the stream: ``pending_new``, ``new``, ``partially_filled``, ``filled``, ``canceled``, ``expired``."""
    qty: Decimal
    price: Decimal | None
    """The limit; None of a market order."""
    cum_qty: Decimal = _ZERO
    cum_cost: Decimal = _ZERO
    fee: Decimal = _ZERO
    trades: tuple[str, ...] = ()
    reason: str | None = None
    triggered: bool = False
    amended: bool = False

    @property
    def is_open(self) -> bool:
        return self.status not in ("filled", "canceled", "expired")


@attrs.define(eq=False)
class AccountOrder:
    """One order of the account, and all that has happened to it."""

    spec: MarketSpec
    number: int
    order_id: str
    side: str
    order_type: str
    userref: int
    time_in_force: str
    opened_ns: int
    expires_ns: int | None
    trigger: Decimal | None
    """The price that triggers a stop order."""
    history: list[tuple[int, OrderState]]
    """Times and states, oldest first."""

    @property
    def state(self) -> OrderState:
        """The latest."""
        return self.history[-1][1]

    @property
    def left(self) -> Decimal:
        return self.state.qty - self.state.cum_qty

    def as_of(self, time_ns: int) -> OrderState | None:
        """The state at this time; None before it was there."""
        place = bisect_right(self.history, time_ns, key=lambda item: item[0])
        return self.history[place - 1][1] if place else None


@attrs.frozen
class AccountFill:
    """One trade of the account."""

    exec_id: str
    order_id: str
    symbol: str
    side: str
    order_type: str
    userref: int
    trade_id: int
    price: Decimal
    qty: Decimal
    cost: Decimal
    fee: Decimal
    """In the quote asset."""
    maker: bool
    time_ns: int


@attrs.frozen
class OrderEnd:
    """How an order has ended."""

    order_id: str
    status: str
    cum_qty: Decimal
    time_ns: int


@attrs.frozen
class LedgerEntry:
    """One change of a balance."""

    ledger_id: str
    ref_id: str
    type: str
    asset: str
    amount: Decimal
    fee: Decimal
    balance: Decimal
    """Afterwards."""
    time_ns: int


@attrs.frozen
class Report:
    """One row of ``executions``."""

    exec_type: str
    order: AccountOrder
    state: OrderState
    """Afterwards."""
    time_ns: int
    fill: AccountFill | None = None


class Account:
    """Orders, fills, ledger and balances of one account."""

    def __init__(self, specs: Iterable[MarketSpec], balances: Mapping[str, Decimal] | None = None) -> None:
        """``balances`` are those of the beginning, by asset; None: plenty of everything that is traded."""
        specs = tuple(specs)
        self.specs: dict[str, MarketSpec] = {spec.symbol: spec for spec in specs}
        self.initial: dict[str, Decimal] = dict(_plenty(specs) if balances is None else balances)
        self.balance: dict[str, Decimal] = dict(self.initial)
        """By asset, now."""
        self.orders: dict[str, AccountOrder] = {}
        """By id, oldest first."""
        self.fills: list[AccountFill] = []
        """All trades, oldest first."""
        self.ends: list[OrderEnd] = []
        """All ended orders, in the order of their ends."""
        self.ledger: list[LedgerEntry] = []
        """All entries, oldest first."""
        self._by_number: dict[int, AccountOrder] = {}
        self._ids = 0

    def _id(self, kind: str) -> str:
        self._ids += 1
        return text_id(kind, _SALT << 56 | self._ids)

    # What happens

    def order(self, number: int) -> AccountOrder:
        """The order of this number."""
        return self._by_number[number]

    @property
    def open_now(self) -> list[AccountOrder]:
        """The open orders, oldest first."""
        return [order for order in self._by_number.values() if order.state.is_open]

    def placed(
        self,
        symbol: str,
        number: int,
        *,
        side: str,
        order_type: str,
        qty: Decimal,
        price: Decimal | None,
        now_ns: int,
        userref: int = 0,
        expires_ns: int | None = None,
        trigger: Decimal | None = None,
    ) -> list[Report]:
        """A new order: two reports."""
        order = AccountOrder(
            spec=self.specs[symbol],
            number=number,
            order_id=text_id("O", number),
            side=side,
            order_type=order_type,
            userref=userref,
            time_in_force="GTC" if expires_ns is None else "GTD",
            opened_ns=now_ns,
            expires_ns=expires_ns,
            trigger=trigger,
            history=[(now_ns, OrderState("pending_new", qty, price))],
        )
        self.orders[order.order_id] = self._by_number[number] = order
        pending = Report("pending_new", order, order.state, now_ns)
        return [pending, self._changed(order, "new", now_ns + 32, status="new")]

    def _changed(
        self, order: AccountOrder, exec_type: str, now_ns: int, *, fill: AccountFill | None = None, **changes: Any
    ) -> Report:
        now_ns = max(now_ns, order.history[-1][0])
        state = attrs.evolve(order.state, **changes)
        order.history.append((now_ns, state))
        if not state.is_open:
            del self._by_number[order.number]
            self.ends.append(OrderEnd(order.order_id, state.status, state.cum_qty, now_ns))
        return Report(exec_type, order, state, now_ns, fill)

    def traded(self, number: int, trade: TradePrint, *, maker: bool, now_ns: int) -> list[Report | LedgerEntry]:
        """A trade: its report, that of the completed order, and two ledger entries."""
        order = self._by_number[number]
        spec, state = order.spec, order.state
        qty = Decimal(trade.qty).scaleb(-spec.qty_precision)
        price = Decimal(trade.price).scaleb(-spec.price_precision)
        cost = _rounded(price * qty, asset_digits(spec.quote) + 1)
        fee = _rounded(cost * (MAKER_FEE if maker else TAKER_FEE), asset_digits(spec.quote))
        fill = AccountFill(
            exec_id=self._id("T"),
            order_id=order.order_id,
            symbol=spec.symbol,
            side=order.side,
            order_type=order.order_type,
            userref=order.userref,
            trade_id=trade.trade_id,
            price=price,
            qty=qty,
            cost=cost,
            fee=fee,
            maker=maker,
            time_ns=now_ns,
        )
        self.fills.append(fill)
        report = self._changed(
            order,
            "trade",
            now_ns,
            fill=fill,
            status="partially_filled",
            cum_qty=state.cum_qty + qty,
            cum_cost=state.cum_cost + cost,
            fee=state.fee + fee,
            trades=(*state.trades, fill.exec_id),
        )
        happened: list[Report | LedgerEntry] = [report]
        if order.left <= 0:
            happened.append(self._changed(order, "filled", now_ns + 54, status="filled"))
        sign = 1 if order.side == "buy" else -1
        happened.append(self._entry(fill, spec.base, sign * qty, _ZERO))
        happened.append(self._entry(fill, spec.quote, -sign * cost, fee))
        return happened

    def _entry(self, fill: AccountFill, asset: str, amount: Decimal, fee: Decimal) -> LedgerEntry:
        amount = _rounded(amount, asset_digits(asset))
        balance = self.balance[asset] = self.balance[asset] + amount - fee
        entry = LedgerEntry(self._id("L"), fill.exec_id, "trade", asset, amount, fee, balance, fill.time_ns)
        self.ledger.append(entry)
        return entry

    def ended(self, number: int, status: str, now_ns: int, reason: str | None = "User requested") -> Report:
        """An order is over without being filled: ``canceled`` or ``expired``."""
        return self._changed(self._by_number[number], status, now_ns, status=status, reason=reason)

    def amended(self, number: int, now_ns: int, *, qty: Decimal | None = None, price: Decimal | None = None) -> Report:
        """Quantity or price of an order is another."""
        order = self._by_number[number]
        changes: dict[str, Any] = {"reason": "User requested", "amended": True}
        if qty is not None:
            changes["qty"] = qty
        if price is not None:
            changes["price"] = price
        return self._changed(order, "amended", now_ns, **changes)

    def triggered(self, number: int, now_ns: int) -> Report:
        """The price of a stop order was reached."""
        return self._changed(self._by_number[number], "status", now_ns, triggered=True)

    # What the stream's snapshots say

    def latest_fills(self) -> list[AccountFill]:
        """The last 50, newest first."""
        return self.fills[: -PAGE - 1 : -1]

    def is_filled(self, order_id: str) -> bool:
        """Whether an order is complete."""
        return self.orders[order_id].state.status == "filled"


def _plenty(specs: Sequence[MarketSpec]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for spec in specs:
        base = Decimal(spec.typical_qty) * 100_000
        found[spec.base] = max(found.get(spec.base, _ZERO), base)
        found[spec.quote] = max(found.get(spec.quote, _ZERO), base * Decimal(spec.start_price))
    return {asset: _rounded(min(amount, _MOST), asset_digits(asset)) for asset, amount in found.items()}


def _rounded(amount: Decimal, digits: int) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN)
