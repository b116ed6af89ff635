"""Who trades for the exchange's account: by chance, in the same queues as everybody, or on request."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, TypeAlias

from kraken_trio.testing.exchange.server_book import ASK, BID

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kraken_trio.testing.exchange.account import Account, AccountOrder, LedgerEntry, Report
    from kraken_trio.testing.exchange.market import Market, MarketUpdate, SymbolMarket
    from kraken_trio.testing.exchange.orders import Order
    from kraken_trio.testing.exchange.server_book import SideName

__all__ = ["MAX_OPEN", "Trader"]

MAX_OPEN = 30
"""Open orders at most; more are cancelled."""
_SECOND_NS = 10**9

Happened: TypeAlias = "Sequence[Report | LedgerEntry]"


class Trader:
    """Makes the account's orders, and tells the account what the market does with them.

    ``publish`` is called for every market update that it causes, ``tell`` for the reports and entries that follow
    from one update, in order.
    """

    def __init__(
        self,
        account: Account,
        market: Market,
        *,
        seed: object,
        rate: float,
        start_ns: int,
        publish: Callable[[MarketUpdate], None],
        tell: Callable[[Happened], None],
    ) -> None:
        self.account: Account = account
        self.due_ns: int | None = start_ns if rate > 0 and market.specs else None
        """When the next action is due; None: never."""
        self._market = market
        self._random = Random(f"{seed}/trader")  # noqa: S311 (a made-up trader, not a secret)
        self._rate = rate
        self._publish = publish
        self._tell = tell
        self._resting: dict[int, Order] = {}
        """Own orders in the queues, by number."""
        self._names = [spec.symbol for spec in market.specs if spec.weight]
        self._refs = 0

    # By chance

    def act(self, now_ns: int) -> None:
        """Do what is due."""
        while self.due_ns is not None and self.due_ns <= now_ns:
            due = self.due_ns
            self.due_ns = due + 1 + int(self._random.expovariate(self._rate) * _SECOND_NS)
            self._expire(due)
            self._one_action(due)

    def postpone(self, now_ns: int) -> None:
        """Skip what was due before now: the market was paused."""
        if self.due_ns is not None:
            self.due_ns = max(self.due_ns, now_ns)

    def _one_action(self, now_ns: int) -> None:
        mine = self.account.open_now
        limits = [order for order in mine if order.number in self._resting]
        roll = self._random.random()
        if len(mine) >= MAX_OPEN:
            self.cancel(self._random.choice(mine), now_ns)
        elif roll < 0.42 or not limits:
            self._place(self._random.choice(self._names), now_ns)
        elif roll < 0.52:
            self._take(self._random.choice(self._names), now_ns, limited=self._random.random() < 0.5)
        elif roll < 0.64:
            self._amend_price(self._random.choice(limits), now_ns)
        elif roll < 0.74:
            self._cut(self._random.choice(limits), now_ns)
        elif roll < 0.86:
            self.cancel(self._random.choice(mine), now_ns)
        elif roll < 0.93:
            self._place(self._random.choice(self._names), now_ns, seconds=self._random.randint(2, 60))
        elif roll < 0.97:
            self._stop(self._random.choice(self._names), now_ns)
        else:
            self._post_only(self._random.choice(self._names), now_ns)

    def _quantity(self, market: SymbolMarket) -> int:
        spec = market.spec
        typical = int(Decimal(spec.typical_qty).scaleb(spec.qty_precision))
        return max(2, int(typical * (0.05 + self._random.random())))

    def _side(self) -> SideName:
        return BID if self._random.random() < 0.5 else ASK

    def _place(self, symbol: str, now_ns: int, *, seconds: int | None = None) -> None:
        market, name = self._market.symbols[symbol], self._side()
        key = market.key_near_touch(name, 2)
        if key is not None:
            expires = None if seconds is None else now_ns + seconds * _SECOND_NS
            self.place(symbol, name, key, self._quantity(market), now_ns, expires_ns=expires)

    def _take(self, symbol: str, now_ns: int, *, limited: bool) -> None:
        market, name = self._market.symbols[symbol], self._side()
        best = market.best_key(ASK if name == BID else BID)
        if best is not None and not self._resting_against(symbol, name):
            self.place(symbol, name, -best if limited else None, self._quantity(market), now_ns)

    def _resting_against(self, symbol: str, name: SideName) -> list[AccountOrder]:
        """Own orders that an order on this side might meet."""
        side = "sell" if name == BID else "buy"
        return [
            order
            for order in self.account.open_now
            if order.number in self._resting and order.spec.symbol == symbol and order.side == side
        ]

    def _amend_price(self, order: AccountOrder, now_ns: int) -> None:
        market, name = self._market.symbols[order.spec.symbol], _name(order)
        there = self._resting.pop(order.number)
        self.saw(market.withdraw(name, there, now_ns, amended=True), now_ns)
        key = market.key_near_touch(name, 2)
        if key is None:
            key = there.key
        update, resting = market.submit(name, key, there.qty, now_ns, number=order.number)
        if resting is not None:  # but for a crossed book
            self._resting[order.number] = resting
        price = Decimal(abs(key)).scaleb(-order.spec.price_precision)
        self._tell([self.account.amended(order.number, now_ns, price=price)])
        self.saw(update, now_ns)

    def _cut(self, order: AccountOrder, now_ns: int) -> None:
        there = self._resting[order.number]
        if there.qty < 2:
            return
        qty = self._random.randint(1, there.qty - 1)
        gone = Decimal(there.qty - qty).scaleb(-order.spec.qty_precision)
        self.saw(self._market.symbols[order.spec.symbol].cut(_name(order), there, qty, now_ns), now_ns)
        self._tell([self.account.amended(order.number, now_ns, qty=order.state.qty - gone)])

    def _stop(self, symbol: str, now_ns: int) -> None:
        """A stop order: it waits outside the book until the last price reaches its own."""
        market, name = self._market.symbols[symbol], self._side()
        away = self._random.randint(1, 4) * market.spec.spacing
        price = market.tape.last + (away if name == BID else -away)
        if price >= 1:
            spec = market.spec
            self._tell(
                self.account.placed(
                    symbol,
                    market.orders.next_number(),
                    side=_side(name),
                    order_type="stop-loss",
                    qty=Decimal(self._quantity(market)).scaleb(-spec.qty_precision),
                    price=None,
                    trigger=Decimal(price).scaleb(-spec.price_precision),
                    now_ns=now_ns,
                )
            )

    def _post_only(self, symbol: str, now_ns: int) -> None:
        """An order that must not take, and would: it is cancelled at once."""
        market, name = self._market.symbols[symbol], self._side()
        best = market.best_key(ASK if name == BID else BID)
        if best is not None:
            spec, number = market.spec, market.orders.next_number()
            pending, _ = self.account.placed(
                symbol,
                number,
                side=_side(name),
                order_type="limit",
                qty=Decimal(self._quantity(market)).scaleb(-spec.qty_precision),
                price=Decimal(abs(best)).scaleb(-spec.price_precision),
                now_ns=now_ns,
            )
            self._tell([pending, self.account.ended(number, "canceled", now_ns, "Post only order")])

    def _expire(self, now_ns: int) -> None:
        for order in self.account.open_now:
            if order.expires_ns is not None and order.expires_ns <= now_ns:
                self._end(order, "expired", now_ns, None)

    # On request

    def place(
        self,
        symbol: str,
        name: SideName,
        key: int | None,
        qty: int,
        now_ns: int,
        *,
        expires_ns: int | None = None,
    ) -> AccountOrder:
        """Place an order with this limit; None: a market order, of which the rest is cancelled."""
        market = self._market.symbols[symbol]
        spec, number = market.spec, market.orders.next_number()
        self._refs += 1
        kind = "market" if key is None else "limit"
        placed = self.account.placed(
            symbol,
            number,
            side=_side(name),
            order_type=kind,
            qty=Decimal(qty).scaleb(-spec.qty_precision),
            price=None if key is None else Decimal(abs(key)).scaleb(-spec.price_precision),
            now_ns=now_ns,
            userref=self._refs % 5,
            expires_ns=expires_ns,
        )
        order = self.account.order(number)
        self._tell(placed)
        self._submit(market, order, name, key, qty, now_ns)
        return order

    def _submit(
        self, market: SymbolMarket, order: AccountOrder, name: SideName, key: int | None, qty: int, now_ns: int
    ) -> None:
        ord_type = "market" if key is None else "limit"
        update, resting = market.submit(name, key, qty, now_ns, number=order.number, ord_type=ord_type)
        if resting is not None:
            self._resting[order.number] = resting
        self.saw(update, now_ns)
        if resting is None and order.state.is_open:
            self._tell([self.account.ended(order.number, "canceled", now_ns, "Insufficient liquidity")])

    def cancel(self, order: AccountOrder, now_ns: int) -> None:
        """Cancel an open order."""
        self._end(order, "canceled", now_ns, "User requested")

    def _end(self, order: AccountOrder, status: str, now_ns: int, reason: str | None) -> None:
        resting = self._resting.pop(order.number, None)
        if resting is not None:
            market = self._market.symbols[order.spec.symbol]
            self.saw(market.withdraw(_name(order), resting, now_ns), now_ns)
        self._tell([self.account.ended(order.number, status, now_ns, reason)])

    def fill(self, symbol: str, fills: int, now_ns: int) -> AccountOrder | None:
        """Open an order, have it filled by so many takers, the last of which completes it; with none, cancel it.

        None, if there is no price at which an order could rest.
        """
        market = self._market.symbols[symbol]
        name = self._side()
        best = market.best_key(name)
        key = market.key_near_touch(name, 1) if best is None else best
        if key is None:
            return None
        unit = max(1, self._quantity(market) // 100)
        order = self.place(symbol, name, key, unit * max(1, fills), now_ns)
        for _ in range(fills):
            resting = self._resting.get(order.number)
            if resting is not None:
                self.saw(market.hit(name, resting, unit, now_ns), now_ns)
        if not fills and order.state.is_open:
            self.cancel(order, now_ns)
        return order

    # The market

    def saw(self, update: MarketUpdate, now_ns: int) -> None:
        """Publish an update, and tell the account of its fills."""
        self._publish(update)
        self.filled(update)
        if update.trades:
            self._trigger(update.symbol, now_ns)

    def filled(self, update: MarketUpdate) -> None:
        """Tell the account of an update's fills."""
        for fill in update.fills:
            happened = self.account.traded(fill.number, fill.trade, maker=fill.maker, now_ns=update.time_ns)
            resting = self._resting.get(fill.number)
            if resting is not None and not resting.qty:
                del self._resting[fill.number]
            self._tell(happened)

    def _trigger(self, symbol: str, now_ns: int) -> None:
        """Stop orders whose price was reached become market orders."""
        market = self._market.symbols[symbol]
        spec = market.spec
        last = Decimal(market.tape.last).scaleb(-spec.price_precision)
        for order in self.account.open_now:
            state = order.state
            if order.trigger is None or order.spec.symbol != symbol or state.triggered or not state.is_open:
                continue
            if last >= order.trigger if order.side == "buy" else last <= order.trigger:
                self._tell([self.account.triggered(order.number, now_ns)])
                name = _name(order)
                for against in self._resting_against(symbol, name):
                    self.cancel(against, now_ns)
                qty = int(order.state.qty.scaleb(spec.qty_precision))
                self._submit(market, order, name, None, qty, now_ns)


def _name(order: AccountOrder) -> SideName:
    return BID if order.side == "buy" else ASK


def _side(name: SideName) -> str:
    return "buy" if name == BID else "sell"
