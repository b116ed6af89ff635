"""What a board knows of an account: open orders, the last fills, balances. Bounded, and without waiting or printing."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import attrs

from kraken_trio import BalanceUpdate, Execution, OrdersSnapshot, Side

if TYPE_CHECKING:
    from datetime import datetime

    from kraken_trio import Balance, Event, Feed, Order

__all__ = ["Account", "OpenOrder", "order_text", "price_text", "qty_text"]

_KEPT: Final = 200
_ENDS: Final = frozenset({"canceled", "expired", "rejected", "unknown"})
"""How orders end without a fill, which is seen among the fills."""
_NOTHING: Final = "·"


@attrs.frozen
class OpenOrder:
    """An open order, as of the last sample."""

    order: Order
    age: float
    """Seconds since it was placed, or since it was first seen."""
    is_older: bool
    """Whether it was placed before it was first seen, at an unknown time."""


class Account:
    """The account's part of a board."""

    def __init__(self, *, has_orders: bool, has_balances: bool) -> None:
        self.has_orders = has_orders
        self.has_balances = has_balances
        self.known: set[str] = set()
        """The channels whose first snapshot has come."""
        self.outdated: set[str] = set()
        """Those of which events are missing, up to their next snapshot."""
        self.orders: tuple[OpenOrder, ...] = ()
        """By symbol, and for each as in a book: the dearest first."""
        self.fills: deque[Execution] = deque(maxlen=_KEPT)
        """The latest last."""
        self.fill_count: int = 0
        self.entries: deque[BalanceUpdate] = deque(maxlen=_KEPT)
        """Of the ledger, the latest last."""
        self.entry_count: int = 0
        self.balances: tuple[Balance, ...] = ()
        """By asset; those of nothing last."""
        self._placed: dict[str, tuple[float, bool]] = {}
        """When orders were placed, in seconds since the start; and whether that is only when they were seen."""

    def take(self, event: Event, elapsed: float) -> str | None:
        """Take an event. Returns a text for the log if an order has ended, but was not filled."""
        if isinstance(event, OrdersSnapshot):
            for order in event.orders:
                self._place(order, order.effective_time, event.received_ns, elapsed)
        elif isinstance(event, BalanceUpdate):
            self.entry_count += 1
            self.entries.append(event)
        elif isinstance(event, Execution):
            is_new = event.exec_type in {"pending_new", "new"}
            self._place(event, event.timestamp if is_new else event.effective_time, event.received_ns, elapsed)
            if event.exec_id is not None:
                self.fill_count += 1
                self.fills.append(event)
            elif event.exec_type in _ENDS:
                reason = f" ({event.reason})" if event.reason else ""
                return f"{order_text(event)}: {event.exec_type}{reason}{', recovered' if event.recovered else ''}"
        return None

    def _place(self, order: Order, at: datetime | None, received_ns: int, elapsed: float) -> None:
        if order.order_id not in self._placed:
            age = 0.0 if at is None else max(received_ns / 1e9 - at.timestamp(), 0.0)
            self._placed[order.order_id] = (elapsed - age, at is None)

    def look(self, feed: Feed, elapsed: float) -> None:
        """Update it from the feed."""
        if self.has_orders:
            orders = feed.orders
            self._placed = {name: placed for name, placed in self._placed.items() if name in orders}
            found = (self._open(order, elapsed) for order in orders.values())
            self.orders = tuple(sorted(found, key=_place_in_list))
        if self.has_balances:
            self.balances = tuple(sorted(feed.balances.values(), key=lambda one: (not one.balance, one.asset)))

    def _open(self, order: Order, elapsed: float) -> OpenOrder:
        placed, is_older = self._placed.setdefault(order.order_id, (elapsed, True))
        return OpenOrder(order, max(elapsed - placed, 0.0), is_older)


def _place_in_list(one: OpenOrder) -> tuple[str, bool, Decimal, str]:
    order = one.order
    return (order.symbol or "", order.side is Side.BUY, -(_price(order) or Decimal(0)), order.order_id)


def _price(order: Order) -> Decimal | None:
    """Its limit, or else what triggers it."""
    prices = (order.limit_price, None if order.triggers is None else order.triggers.price, order.stop_price)
    return next((price for price in prices if price), None)


def price_text(order: Order) -> str | Decimal:
    """The price of an order that is not at the market."""
    price = _price(order)
    if price is None:
        return "market" if order.order_type in {None, "market"} else _NOTHING
    kind = order.limit_price_type
    return price if not order.limit_price or kind in {None, "static"} else f"{price:f} {kind}"


def qty_text(order: Order) -> str | Decimal:
    """The quantity of an order; with its currency if it is an amount of money."""
    if order.order_qty is None and order.cash_order_qty is not None:
        return f"{order.cash_order_qty:f} {(order.symbol or '').partition('/')[2]}".strip()
    return _NOTHING if order.order_qty is None else order.order_qty


def order_text(order: Order) -> str:
    """``BTC/USD buy 0.50000000 at 64000.0``, as far as it is known."""
    qty, price = (_plain(value) for value in (qty_text(order), price_text(order)))
    words = [
        order.symbol or f"order {order.order_id}",
        "" if order.side is None else order.side.value,
        "" if qty == _NOTHING else qty,
        "" if _NOTHING in {price, qty} else f"at {price}",
    ]
    return " ".join(filter(None, words))


def _plain(value: str | Decimal) -> str:
    return value if isinstance(value, str) else f"{value:f}"
