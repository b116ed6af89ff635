"""A seeded market: orders that move like those of real ones, and their trades.

Every price level is a queue of orders (:mod:`kraken_trio.testing.exchange.orders`), from which price levels, trades
and Level 3 follow, so that they agree.

Pure: no clock (times are given as nanoseconds since 1970), no global randomness (every market has a generator of
its own, made from the seed and its symbol), integer arithmetic. The same seed and the same calls give the same
market; adding a symbol does not change the others.

For every seed:

* a book is never crossed (except by :meth:`SymbolMarket.cross`);
* every trade takes its quantity from the first order of the best level (except those of :meth:`SymbolMarket.trade`);
* over time there are changes at the touch and far behind it, the same price several times in one
  message, both sides in one message, bursts of dozens of messages at once, quantities of up to 18 digits,
  and, in thin markets, fewer than ten levels a side, sometimes none;
* orders are placed, cancelled, cut, filled in part and as a whole; their prices are amended, which takes two messages;
  and takers leave a rest on their own side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING

import attrs

from kraken_trio.testing import checks
from kraken_trio.testing.exchange.market_spec import DEFAULT_MARKETS, MarketSpec
from kraken_trio.testing.exchange.orders import Order, OrderBook, OrderChange
from kraken_trio.testing.exchange.server_book import ASK, BID, BookChange, ServerBook, ServerSide, SideName
from kraken_trio.testing.exchange.tape import Tape, TradePrint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["MAX_RATE", "Fill", "Market", "MarketUpdate", "SymbolMarket", "check_markets"]

_SECOND_NS = 10**9
_BURST_CHANCE = 0.02
_BURST_MESSAGES = (5, 40)
_MEAN_ARRIVAL = 1 + _BURST_CHANCE * (sum(_BURST_MESSAGES) / 2)


@attrs.frozen
class Fill:
    """A trade of an order of the exchange's account."""

    number: int
    """The order's."""
    trade: TradePrint
    maker: bool


@attrs.frozen
class MarketUpdate:
    """One message's worth of one market."""

    symbol: str
    time_ns: int
    """Unique and increasing per symbol."""
    book: BookChange
    trades: tuple[TradePrint, ...]
    orders: OrderChange
    fills: tuple[Fill, ...] = ()
    """The trades among these in which orders of the account took part."""


class SymbolMarket:
    """One symbol: its book, its tape, and the generator that moves them."""

    def __init__(self, spec: MarketSpec, seed: int, start_ns: int) -> None:
        self.spec = spec
        self._random = Random(f"{seed}/{spec.symbol}")  # noqa: S311 (a market, not a secret)
        self._details = Random(f"{seed}/{spec.symbol}/orders")  # noqa: S311 (a market, not a secret)
        self.start_price: int = _scaled(spec.start_price, spec.price_precision)
        self._typical = max(1, _scaled(spec.typical_qty, spec.qty_precision))
        self._whole = 10 ** max(0, len(str(self._typical)) - 2)  # round quantities are multiples of this
        self._bias = 0.0
        self._crossing: Order | None = None
        self._amended: tuple[SideName, Order] | None = None
        """An order between the two messages of a price amend: it is in neither book."""
        self._rest: tuple[SideName, Order] | None = None
        """What a taker has left, which is about to be cancelled."""
        self._fills: list[Fill] = []
        self.time_ns: int = start_ns
        """Of the latest message."""
        self.book: ServerBook = ServerBook(self._first_side(-1), self._first_side(1), start_ns)
        self.orders: OrderBook = OrderBook(f"{seed}/{spec.symbol}", self.book, start_ns)
        self.tape: Tape = Tape(first_trade_id=self._random.randrange(10**4, 10**8))
        self._history(start_ns)

    def _first_side(self, sign: int) -> dict[int, int]:
        levels: dict[int, int] = {}
        price, mean = self.start_price, self.spec.spacing
        for _ in range(self.spec.levels):
            price += sign * (1 + int(self._random.random() * 2 * (mean - 1) + 0.5))
            if price < 1:
                break
            levels[price] = self._quantity()
        return levels

    def _history(self, start_ns: int) -> None:
        """The trades of the last half hour: with holes of some minutes, so that some candles are absent."""
        price = self.start_price
        times = sorted(self._random.randrange(30 * 60) for _ in range(self.spec.history))
        for second in times:
            price = max(1, price + self._random.randint(-2, 2) * self.spec.spacing)
            time_ns = start_ns - (30 * 60 - second) * _SECOND_NS + self._random.randrange(10**6) * 1000
            self._trade(price, self._quantity(), time_ns, buy=self._random.random() < 0.5)

    def _trade(self, price: int, qty: int, time_ns: int, *, buy: bool) -> TradePrint:
        return self.tape.record("buy" if buy else "sell", price, qty, self._order_type(), time_ns)

    def _order_type(self) -> str:
        return "market" if self._random.random() < 0.4 else "limit"

    def _quantity(self) -> int:
        draw = self._random.random
        qty = int(self._typical * (draw() ** 3 * 5 + 0.001)) + 1
        if draw() < 0.25:
            qty = max(self._whole, qty - qty % self._whole)
        return qty

    # Events

    def step(self, now_ns: int) -> MarketUpdate:
        """One event, as of now."""
        self._begin(now_ns)
        trades: list[TradePrint] = []
        if self._amended is not None and self._crossing is None and self._finish_amend():
            return self._message(trades)
        if self._rest is not None and self._finish_rest():
            return self._message(trades)
        roll = self._random.random()
        side: SideName = BID if self._random.random() < 0.5 + self._bias else ASK
        if self._crossing is not None:
            self._touch_up(side, behind=2)
        elif roll < 0.34:
            self._place(side)
        elif roll < 0.52:
            self._touch_up(side)
        elif roll < 0.70:
            self._cancel(side)
        elif roll < 0.82:
            trades = self._take(buy=side == BID)
        elif roll < 0.88:
            self._place(side)
            self._touch_up(ASK if side == BID else BID)
        elif roll < 0.92:
            self._flicker(side)
        else:
            self._deep(side)
        if self._random.random() < 0.01:
            self._drift()
        return self._message(trades)

    def _begin(self, now_ns: int) -> None:
        """A message as of now begins."""
        self.time_ns = max(self.time_ns + 1000, now_ns)
        self.book.set_time(self.time_ns)
        self.orders.begin(self.time_ns)

    def _message(self, trades: list[TradePrint]) -> MarketUpdate:
        fills, self._fills = tuple(self._fills), []
        book, orders = self.book.commit(), self.orders.commit()
        return MarketUpdate(self.spec.symbol, self.time_ns, book, tuple(trades), orders, fills)

    def _drift(self) -> None:
        """A new direction, with a pull back to where the market began."""
        away = (self.mid - self.start_price) / (self.start_price + 1)
        self._bias = max(-0.4, min(0.4, self._random.uniform(-0.2, 0.2) - 20 * away))

    @property
    def mid(self) -> int:
        """Roughly the middle; the last price if a side is empty."""
        bid, ask = self.book.bids.best(), self.book.asks.best()
        return (ask[0] - bid[0]) // 2 if bid and ask else self.tape.last

    def _sides(self, name: SideName) -> tuple[ServerSide, ServerSide]:
        book = self.book
        return (book.bids, book.asks) if name == BID else (book.asks, book.bids)

    def _near(self, mean: float) -> int:
        return int(self._random.expovariate(1 / mean))

    def _key_near_touch(self, name: SideName, mean: float) -> int | None:
        """A key where an order may be placed without crossing; None where there is no such price."""
        own, other = self._sides(name)
        spacing = self.spec.spacing
        limit = -other.keys[0] if other.keys else None  # a key has to be above it
        if own.keys:
            first = own.keys[0]
            room = first - limit - 1 if limit is not None else spacing * 2
            if room > 0 and self._random.random() < 0.45:
                return self._legal(own, first - self._random.randint(1, max(1, min(room, room // 2 + spacing))))
            return self._legal(own, first + self._near(mean * spacing))
        base = limit if limit is not None else own.sign * (self.tape.last or self.start_price)
        return self._legal(own, base + 1 + self._near(2 * spacing))

    def _legal(self, own: ServerSide, key: int) -> int | None:
        return key if own.sign * key >= 1 else None

    def _place(self, name: SideName) -> None:
        own, _ = self._sides(name)
        huge = self._random.random() < 0.005
        key = self._key_near_touch(name, 60 if huge else 5)
        if key is None:
            return
        if huge:
            self.orders.set(self.orders.side(name), key, self._random.randrange(10**17, 10**18))
        else:
            self.orders.rest(self.orders.side(name), key, self._quantity())
        self._trim(name, own)

    def _trim(self, name: SideName, own: ServerSide) -> None:
        """Not too many levels."""
        if len(own.keys) > self.spec.levels * 1.25 + 4:
            self.orders.set(self.orders.side(name), own.keys[-1], 0)

    def _touch_up(self, name: SideName, behind: int = 0) -> None:
        """Change the quantity of a level near the touch."""
        own, _ = self._sides(name)
        if len(own.keys) <= behind:
            return
        key = own.keys[min(behind + self._near(4), len(own.keys) - 1)]
        self.orders.set(self.orders.side(name), key, self._quantity())

    def _cancel(self, name: SideName) -> None:
        """Cancel a level, or one order of it, or begin to amend the price of one."""
        own, _ = self._sides(name)
        if not own.keys or (self.spec.levels > 20 and len(own.keys) < self.spec.levels * 0.8):
            self._place(name)
            return
        side = self.orders.side(name)
        key = own.keys[min(self._near(4), len(own.keys) - 1)]
        others = side.orders_of_others(key)
        roll = self._details.random()
        if others and roll < 0.45:
            order = others[self._details.randrange(len(others))]
            if roll < 0.3 and self._amended is None:
                self._amended = (name, order)
                side.remove(order, order.time_ns)
            else:
                side.remove(order, self.orders.tick())
        else:
            self.orders.set(side, key, 0)

    def _finish_amend(self) -> bool:
        """The second half of a price amend: the order is there again. Returns whether anything happened."""
        assert self._amended is not None
        name, order = self._amended
        self._amended = None
        key = self._key_near_touch(name, 5)
        if key is None:
            return False
        qty = order.qty if self._details.random() < 0.6 else self._quantity()
        self.orders.rest(self.orders.side(name), key, qty, number=order.number)
        return True

    def _finish_rest(self) -> bool:
        """What a taker has left is cancelled. Returns whether it was still there."""
        assert self._rest is not None
        name, order = self._rest
        self._rest = None
        side = self.orders.side(name)
        if order not in side.queue(order.key):
            return False
        side.remove(order, self.orders.tick())
        return True

    def _take(self, *, buy: bool) -> list[TradePrint]:
        """A taker: fills orders from the first of the best level on; each fill is a trade."""
        name: SideName = ASK if buy else BID
        own = self.book.side(name)
        left = max(1, int(self._typical * (self._random.random() ** 4 * 12)))
        trades: list[TradePrint] = []
        ord_type = self._order_type()
        last = None
        keep = 0 if self.spec.levels <= 20 else 20
        while left and len(own.keys) > keep and len(trades) < 8:
            last = own.keys[0]
            taken = min(left, own.qty[last])
            trades += self._fill(name, last, taken, ord_type)
            left -= taken
        if last is not None and last not in own.qty and self._details.random() < 0.15:
            self._leave_rest(BID if buy else ASK, -last)
        return trades

    def _fill(self, name: SideName, key: int, qty: int, ord_type: str, *, taker: int | None = None) -> list[TradePrint]:
        """Orders at this key are filled. ``taker`` is the number of the account's order, if it is the taker."""
        side = self.orders.side(name)
        taken = "buy" if name == ASK else "sell"
        trades = []
        for match in side.match(key, qty, self.orders.tick()):
            trade = self.tape.record(taken, abs(key), match.qty, ord_type, self.time_ns)
            trades.append(trade)
            if match.order.own:
                self._fills.append(Fill(match.order.number, trade, maker=True))
            if taker is not None:
                self._fills.append(Fill(taker, trade, maker=False))
        return trades

    def _leave_rest(self, name: SideName, key: int) -> None:
        """A limit order that has emptied a level leaves a rest there, on its own side; most go in the next message."""
        order = self.orders.rest(self.orders.side(name), key, self._quantity())
        if self._details.random() < 0.7:
            self._rest = (name, order)

    def _flicker(self, name: SideName) -> None:
        """The same price several times in one message; half the time it ends unchanged, or removed."""
        own, _ = self._sides(name)
        key = self._key_near_touch(name, 4)
        if key is None:
            return
        side, before = self.orders.side(name), own.qty.get(key, 0)
        for _ in range(self._random.randint(1, 4)):
            self.orders.set(side, key, self._quantity())
        if self._random.random() < 0.5:
            self.orders.set(side, key, before)
        elif self._random.random() < 0.5:
            self.orders.set(side, key, 0)

    def _deep(self, name: SideName) -> None:
        """A change far behind the touch, visible only at greater depths."""
        own, _ = self._sides(name)
        if not own.keys:
            return
        side = self.orders.side(name)
        key = own.keys[self._random.randrange(len(own.keys))]
        roll = self._random.random()
        if roll < 0.3 and len(own.keys) > self.spec.levels * 0.9:
            self.orders.set(side, key, 0)
        elif roll < 0.6 and own.sign * (key + 1) >= 1:
            self.orders.set(side, key + 1, self._quantity())
        else:
            self.orders.set(side, key, self._quantity())

    # On request

    def move(self, side: SideName, price: int, qty: int, now_ns: int) -> MarketUpdate:
        """Set the quantity at this price; zero removes the level. Both are scaled by the precisions.

        Orders of the exchange's account stay.
        """
        self._begin(now_ns)
        self.orders.set(self.orders.side(side), self.book.side(side).sign * price, qty)
        return self._message([])

    def trade(self, price: int, qty: int, now_ns: int, *, buy: bool) -> MarketUpdate:
        """Make a trade, without changing the book. Price and quantity are scaled by the precisions."""
        self._begin(now_ns)
        return self._message([self._trade(price, qty, self.time_ns, buy=buy)])

    def cross(self, now_ns: int) -> MarketUpdate:
        """Put a bid above the best ask, and keep it: until :meth:`uncross` only deeper levels change."""
        self._begin(now_ns)
        if self._crossing is None and self.book.asks.keys:
            self._crossing = self.orders.rest(self.orders.bids, -(self.book.asks.keys[0] + 1), self._quantity())
        return self._message([])

    def uncross(self, now_ns: int) -> MarketUpdate:
        """Remove the bid of :meth:`cross`."""
        self._begin(now_ns)
        if self._crossing is not None:
            if self._crossing in self.orders.bids.queue(self._crossing.key):  # it may have been moved away
                self.orders.bids.remove(self._crossing, self.orders.tick())
            self._crossing = None
        return self._message([])

    # Orders of the account

    def submit(
        self, name: SideName, key: int | None, qty: int, now_ns: int, *, number: int, ord_type: str = "limit"
    ) -> tuple[MarketUpdate, Order | None]:
        """An order of the account: it takes what it crosses, and what is left of a limit order rests.

        ``key`` is that of its limit on its own side; None: a market order, whose rest is gone.
        """
        self._begin(now_ns)
        other: SideName = ASK if name == BID else BID
        there = self.book.side(other)
        trades: list[TradePrint] = []
        while qty and there.keys and (key is None or there.keys[0] <= -key):
            best = there.keys[0]
            taken = min(qty, there.qty[best])
            trades += self._fill(other, best, taken, ord_type, taker=number)
            qty -= taken
        order = None
        if qty and key is not None:
            order = self.orders.rest(self.orders.side(name), key, qty, own=True, number=number)
        return self._message(trades), order

    def withdraw(self, name: SideName, order: Order, now_ns: int, *, amended: bool = False) -> MarketUpdate:
        """An order of the account is cancelled, or goes for the first half of a price amend."""
        self._begin(now_ns)
        self.orders.side(name).remove(order, order.time_ns if amended else self.orders.tick())
        return self._message([])

    def cut(self, name: SideName, order: Order, qty: int, now_ns: int) -> MarketUpdate:
        """An order of the account gets smaller, and keeps its place."""
        self._begin(now_ns)
        self.orders.side(name).cut(order, qty)
        return self._message([])

    def hit(self, name: SideName, order: Order, qty: int, now_ns: int) -> MarketUpdate:
        """A taker fills this much of a resting order, at most what is left, and all that stands before it."""
        self._begin(now_ns)
        side = self.orders.side(name)
        trades: list[TradePrint] = []
        while side.levels.keys[0] < order.key:
            key = side.levels.keys[0]
            trades += self._fill(name, key, side.levels.qty[key], "market")
        queue = side.queue(order.key)
        ahead = sum(one.qty for one in queue[: queue.index(order)])
        trades += self._fill(name, order.key, ahead + min(qty, order.qty), "market")
        return self._message(trades)

    def key_near_touch(self, name: SideName, mean: float) -> int | None:
        """A key at which an order does not cross; None where there is none."""
        return self._key_near_touch(name, mean)

    def best_key(self, name: SideName) -> int | None:
        """That of the best level."""
        keys = self.book.side(name).keys
        return keys[0] if keys else None


class _Markets(Mapping[str, SymbolMarket]):
    """All of them; each is made when somebody looks at it, which changes nothing: it depends on no other."""

    def __init__(self, specs: Iterable[MarketSpec], seed: int, start_ns: int) -> None:
        self._specs = {spec.symbol: spec for spec in specs}
        self._seed = seed
        self._start_ns = start_ns
        self._made: dict[str, SymbolMarket] = {}

    def __getitem__(self, symbol: str) -> SymbolMarket:
        market = self._made.get(symbol)
        if market is None:
            market = self._made[symbol] = SymbolMarket(self._specs[symbol], self._seed, self._start_ns)
        return market

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._specs

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)


MAX_RATE = 1_000_000.0
"""The largest rate of market events per second: more than any machine makes."""


class Market:
    """All markets, and the time of the next event.

    ``rate`` is in events per second over all markets, on average; 0 means that nothing happens by itself.
    """

    def __init__(
        self,
        specs: Iterable[MarketSpec] = DEFAULT_MARKETS,
        *,
        seed: int = 0,
        rate: float = 100.0,
        start_ns: int = 0,
    ) -> None:
        specs = checks.items("specs", specs, checks.instance(MarketSpec, wanted="MarketSpec(...)"), "markets in a list")
        check_markets(specs, seed, rate)
        checks.epoch_ns("start_ns", start_ns)
        self.specs: tuple[MarketSpec, ...] = specs
        self.symbols: Mapping[str, SymbolMarket] = _Markets(specs, seed, start_ns)
        """By symbol."""
        self.rate: float = rate
        self._random = Random(f"{seed}/arrivals")  # noqa: S311 (a market, no secret)
        self._names = list(self.symbols)
        self._weights = list(accumulate(spec.weight for spec in specs))
        self.due_ns: int | None = start_ns if rate > 0 and self._names else None
        """When the next event happens; None: never."""

    def step(self, now_ns: int) -> Iterator[MarketUpdate]:
        """Everything that has happened until now.

        Each event happens when the iterator yields it, so that the market can be read
        exactly as of that event. It must be exhausted.
        """
        while self.due_ns is not None and self.due_ns <= now_ns:
            due = self.due_ns
            market = self._any()
            messages = self._random.randint(*_BURST_MESSAGES) if self._random.random() < _BURST_CHANCE else 1
            self.due_ns = due + 1 + int(self._random.expovariate(self.rate / _MEAN_ARRIVAL) * _SECOND_NS)
            for _ in range(messages):
                yield market.step(due)

    def burst(self, count: int, now_ns: int, symbol: str | None = None) -> Iterator[MarketUpdate]:
        """``count`` events at once, of one symbol or of all; as they are asked for, like :meth:`step`.

        Raises :class:`KeyError` for an unknown symbol.
        """
        checks.count("count", count)
        only = None if symbol is None else self.symbols[symbol]
        if only is None and not self._names:
            msg = "there is no market in which anything could happen"
            raise ValueError(msg)
        return ((only or self._any()).step(now_ns) for _ in range(count))

    def postpone(self, now_ns: int) -> None:
        """Skip everything that was due before now: the market was paused."""
        if self.due_ns is not None:
            self.due_ns = max(self.due_ns, now_ns)

    def _any(self) -> SymbolMarket:
        name = self._random.choices(self._names, cum_weights=self._weights)[0]
        return self.symbols[name]


def check_markets(specs: tuple[MarketSpec, ...], seed: object, rate: object) -> None:
    """Raise :class:`TypeError` or :class:`ValueError` if a market cannot be made of these."""
    checks.seed("seed", seed)
    checks.number(least=0, most=MAX_RATE)("rate", rate)
    doubled = [symbol for symbol, times in Counter(spec.symbol for spec in specs).items() if times > 1]
    if doubled:
        msg = f"markets: each symbol once, and {doubled[0]!r} is there twice"
        raise ValueError(msg)
    if specs and not any(spec.weight for spec in specs):
        msg = "markets: one at least needs a weight above 0"
        raise ValueError(msg)


def _scaled(text: str, precision: int) -> int:
    value = Decimal(text).scaleb(precision)
    if value != value.to_integral_value():
        msg = f"{text} has more than {precision} decimals"
        raise ValueError(msg)
    return int(value)
