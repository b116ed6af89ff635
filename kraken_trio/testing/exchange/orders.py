"""The orders of a market: every price level is a queue, and what a Level 3 client sees of each change.

:class:`OrderBook` owns the :class:`~kraken_trio.testing.exchange.server_book.ServerBook` of the same market, and keeps
every level's quantity equal to the sum of its queue.

A Level 3 client of depth N holds all orders of the best N price levels of each side:

* an order that is added, changes its quantity, or goes, in a level that the client holds: sent;
* all orders of a level that enters the best N: sent as added;
* a level that leaves the best N: nothing is sent, the client cuts after the message.

Queues that nothing has touched since the market began are made when somebody looks at them, which changes nothing:
they depend only on the market's name, its seed and their price.
"""

from __future__ import annotations

from bisect import bisect_right
from random import Random
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import attrs

from kraken_trio.testing.exchange.server_book import CHECKED_LEVELS, ServerBook, ServerSide

if TYPE_CHECKING:
    from kraken_trio.testing.exchange.server_book import SideName

__all__ = [
    "ADD",
    "DELETE",
    "MODIFY",
    "Match",
    "Order",
    "OrderBook",
    "OrderChange",
    "OrderEvent",
    "OrderSide",
    "OrderWindow",
    "text_id",
]

ADD = "add"
MODIFY = "modify"
DELETE = "delete"

_LONGEST_QUEUE = 10
"""Orders of others in one level."""
_SHUFFLED = 0.3
"""How often the orders of an entering level are listed out of time order."""
_BEYOND = 1 << 200
"""A key behind every other."""
_64 = (1 << 64) - 1
_80 = (1 << 80) - 1
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_PAIRS = [one + other for one in _LETTERS for other in _LETTERS]
_COUNTS = (1, 1, 1, 2, 1, 3, 2, 4)
"""Orders per untouched level, by chance."""


def text_id(kind: str, number: int) -> str:
    """The id of this number (below 2**80) in Kraken's form: ``OXXXXX-XXXXX-XXXXXX``. No two numbers share one."""
    mixed = (number * 0x9E3779B97F4A7C15F39D) & _80
    mixed ^= mixed >> 41
    mixed = (mixed * 0xD6E8FEB86659FD93CA6B) & _80
    mixed ^= mixed >> 37
    text = "".join([_PAIRS[mixed >> shift & 1023] for shift in (0, 10, 20, 30, 40, 50, 60, 70)])
    return f"{kind}{text[:5]}-{text[5:10]}-{text[10:]}"


def _mixed(value: int) -> int:
    """64 bits that look random."""
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & _64
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & _64
    return value ^ value >> 31


class Order:
    """A resting order. One whose price is amended becomes another object with the same number."""

    __slots__ = ("_id", "key", "number", "own", "qty", "time_ns")

    def __init__(self, number: int, key: int, qty: int, time_ns: int, *, own: bool = False) -> None:
        self.number: int = number
        """Unique over all markets."""
        self.key: int = key
        self.qty: int = qty
        """What is left of it."""
        self.time_ns: int = time_ns
        """When it got its present price."""
        self.own: bool = own
        """Whether it is of the exchange's account: the market's chance neither changes nor cancels it."""
        self._id: str | None = None

    @property
    def order_id(self) -> str:
        if self._id is None:
            self._id = text_id("O", self.number)
        return self._id

    def __repr__(self) -> str:
        return f"<Order {self.order_id} key={self.key} qty={self.qty}>"


class OrderEvent(NamedTuple):
    """One event of a Level 3 message, or (with :data:`ADD`) one order of a snapshot."""

    event: str
    order_id: str
    price: int
    qty: int
    time_ns: int


@attrs.frozen
class OrderWindow:
    """One Level 3 message for one depth."""

    bids: tuple[OrderEvent, ...]
    asks: tuple[OrderEvent, ...]


@attrs.frozen
class OrderChange:
    """One message's worth of change, for Level 3 clients."""

    windows: dict[int, OrderWindow]
    """Per watched depth; depths at which nothing was visible are absent."""
    checksum: int
    """After the change."""
    time_ns: int
    """Of its latest event."""


class Match(NamedTuple):
    """A resting order met a taker."""

    order: Order
    qty: int


_UNCHANGED = OrderChange({}, 0, 0)


class OrderSide:
    """One side: its queues, best level first."""

    def __init__(self, side: ServerSide, salt: int, start_ns: int) -> None:
        self.levels: ServerSide = side
        self.watching: bool = False
        """Whether changes are remembered until the end of the message."""
        self._salt = salt
        self._start_ns = start_ns
        self._queues: dict[int, list[Order]] = {}
        self._texts: dict[int, str] = {}
        """What is hashed of a level, until it changes."""
        self._bounds: dict[int, int] = {}
        """By depth, the key of the last level that clients hold."""
        self._before: dict[int, list[tuple[Order, int]]] = {}
        """The changed queues, as they were at the beginning of the message."""
        self._gone: dict[int, tuple[int, int]] = {}
        """Removed orders, by number: the quantity and time of their ``delete`` event."""

    # Reading

    def queue(self, key: int) -> list[Order]:
        """The orders of a level, first in the queue first. Not to be changed."""
        queue = self._queues.get(key)
        if queue is None:
            total = self.levels.qty.get(key, 0)
            queue = self._split(key, total) if total else []
            if total:
                self._queues[key] = queue
        return queue

    def _split(self, key: int, total: int) -> list[Order]:
        """The orders of a level that has been there since the beginning."""
        chance = _mixed(self._salt ^ (key * 0x9E3779B97F4A7C15) & _64)
        count = _COUNTS[chance & 7]
        if total < 4 * count:
            count = 1
        age = (1 + (chance >> 8) % 900) * 10**9 + (chance >> 20) % 10**9
        number = (self._salt & 0xFFFFFF) << 56 | 1 << 55 | (_mixed(chance + self.levels.sign) >> 12) << 3
        queue, left = [], total
        for place in range(count):
            share = left if place == count - 1 else max(1, left * (16 + (chance >> 30 + 4 * place & 15)) // 64)
            left -= share
            born = max(place + 1, self._start_ns - age * (count - place) // count)
            queue.append(Order(number + place, key, share, born))
        return queue

    def snapshot(self, depth: int | None) -> tuple[OrderEvent, ...]:
        """All orders of the best levels, as added; without a ``depth``, of all levels."""
        return tuple([self._event(ADD, order) for key in self.levels.keys[:depth] for order in self.queue(key)])

    def hashed(self) -> str:
        return "".join([self._texts.get(key) or self._text(key) for key in self.levels.keys[:CHECKED_LEVELS]])

    def _text(self, key: int) -> str:
        text = self._texts[key] = "".join([f"{abs(key)}{order.qty}" for order in self.queue(key)])
        return text

    def orders_of_others(self, key: int) -> list[Order]:
        """The orders of a level that are not the account's."""
        return [order for order in self.queue(key) if not order.own]

    # Changing

    def add(self, order: Order) -> None:
        """Add an order at the end of its level."""
        queue = self._open(order.key)
        queue.append(order)
        self._queues[order.key] = queue
        self.levels.put(order.key, self.levels.qty.get(order.key, 0) + order.qty)

    def remove(self, order: Order, time_ns: int) -> None:
        """Remove an order; its ``delete`` says this time."""
        queue = self._open(order.key)
        queue.remove(order)
        self._leave(order, order.qty, time_ns)
        self._set(order.key, self.levels.qty[order.key] - order.qty, queue)

    def cut(self, order: Order, qty: int) -> None:
        """Reduce an order to a quantity above zero; it keeps its place."""
        queue = self._open(order.key)
        total = self.levels.qty[order.key] - order.qty + qty
        order.qty = qty
        self._set(order.key, total, queue)

    def reduce(self, key: int, amount: int, time_ns: int) -> None:
        """Cancel, from the end of a queue, orders of others with this total quantity, the last of them in part."""
        queue = self._open(key)
        total = self.levels.qty[key]
        for order in reversed(queue.copy()):
            if order.own or not amount:
                continue
            taken = min(order.qty, amount)
            amount -= taken
            total -= taken
            if taken == order.qty:
                queue.remove(order)
                self._leave(order, order.qty, time_ns)
            else:
                order.qty -= taken
        self._set(key, total, queue)

    def match(self, key: int, qty: int, time_ns: int) -> list[Match]:
        """A taker takes this quantity from a level, at most what is there."""
        queue = self._open(key)
        matches = []
        left = qty
        while left:
            order = queue[0]
            taken = min(order.qty, left)
            left -= taken
            order.qty -= taken
            matches.append(Match(order, taken))
            if not order.qty:
                del queue[0]
                self._leave(order, 0, time_ns)
        self._set(key, self.levels.qty[key] - qty, queue)
        return matches

    def _open(self, key: int) -> list[Order]:
        """A queue that is about to change."""
        queue = self.queue(key)
        self._texts.pop(key, None)
        if self.watching and key not in self._before:
            self._before[key] = [(order, order.qty) for order in queue]
        return queue

    def _leave(self, order: Order, qty: int, time_ns: int) -> None:
        if self.watching:
            self._gone[order.number] = (qty, time_ns)

    def _set(self, key: int, total: int, queue: list[Order]) -> None:
        if not queue:
            del self._queues[key]
        self.levels.put(key, total)

    # Windows

    def watch(self, depths: frozenset[int]) -> None:
        self.watching = bool(depths)
        self._before.clear()
        self._gone.clear()
        self._bounds = {depth: self._bound(depth) for depth in depths}

    def _bound(self, depth: int) -> int:
        keys = self.levels.keys
        return keys[depth - 1] if len(keys) >= depth else _BEYOND

    def drain(self, depth: int, random: Random) -> tuple[OrderEvent, ...]:
        """What a client of this depth is sent about the message."""
        held, bound = self._bounds[depth], self._bound(depth)
        self._bounds[depth] = bound
        deletes: list[OrderEvent] = []
        adds: list[OrderEvent] = []
        modifies: list[OrderEvent] = []
        for key, before in self._before.items():
            queue = self._queues.get(key, [])
            visible = key <= bound
            if not before or key > held:
                if visible and queue:
                    self._enter(queue, adds, random)
                continue
            there = {order.number: order for order in queue}
            was = dict(before)
            for order, qty in before:
                if there.get(order.number) is not order:
                    deletes.append(self._deleted(order))
                elif visible and order.qty != qty:
                    modifies.append(self._event(MODIFY, order))
            if visible:
                adds += [self._event(ADD, order) for order in queue if order not in was]
        if bound > held:
            keys = self.levels.keys
            for key in keys[bisect_right(keys, held) : depth]:
                if key not in self._before:
                    self._enter(self.queue(key), adds, random)
        return (*deletes, *adds, *modifies)

    def forget(self) -> None:
        """The message is over."""
        self._before.clear()
        self._gone.clear()

    def _enter(self, queue: list[Order], adds: list[OrderEvent], random: Random) -> None:
        events = [self._event(ADD, order) for order in queue]
        if len(events) > 1 and random.random() < _SHUFFLED:
            random.shuffle(events)
        adds += events

    def _deleted(self, order: Order) -> OrderEvent:
        qty, time_ns = self._gone[order.number]
        return OrderEvent(DELETE, order.order_id, abs(order.key), qty, time_ns)

    def _event(self, event: str, order: Order) -> OrderEvent:
        return OrderEvent(event, order.order_id, abs(order.key), order.qty, order.time_ns)


class OrderBook:
    """Both sides of a market. Change it any number of times, then take the message with :meth:`commit`."""

    def __init__(self, name: str, book: ServerBook, start_ns: int) -> None:
        """``name`` tells this market from others: their orders have different ids."""
        salt = crc32(name.encode()) << 24 | crc32(name[::-1].encode()) & 0xFFFFFF
        self.book: ServerBook = book
        self.bids: OrderSide = OrderSide(book.bids, salt, start_ns)
        self.asks: OrderSide = OrderSide(book.asks, salt, start_ns)
        self.watched: frozenset[int] = frozenset()
        self.now_ns: int = start_ns
        """Of the next event; unique and increasing."""
        self._next = (salt & 0xFFFFFF) << 56
        self._shuffles = Random(f"{name}/shuffles")  # noqa: S311 (a market, not a secret)

    def watch(self, depths: frozenset[int]) -> None:
        """Set the depths for which :meth:`commit` reports changes."""
        self.watched = depths
        self.bids.watch(depths)
        self.asks.watch(depths)

    def side(self, name: SideName) -> OrderSide:
        return self.bids if name == "bid" else self.asks

    def next_number(self) -> int:
        """A number for a new order."""
        self._next += 1
        return self._next

    def begin(self, time_ns: int) -> None:
        """A message of this time begins."""
        self.now_ns = max(self.now_ns, time_ns)

    def tick(self) -> int:
        """The time of the next event."""
        self.now_ns += 1
        return self.now_ns

    # Changing

    def rest(self, side: OrderSide, key: int, qty: int, *, own: bool = False, number: int | None = None) -> Order:
        """Add an order."""
        if not own and key in side.levels.qty:
            others = side.orders_of_others(key)
            if len(others) >= _LONGEST_QUEUE:  # one of them goes, and the new one is the larger for it
                qty += others[0].qty
                side.remove(others[0], self.tick())
        order = Order(self.next_number() if number is None else number, key, qty, self.tick(), own=own)
        side.add(order)
        return order

    def set(self, side: OrderSide, key: int, qty: int) -> None:
        """Set a level's quantity, by an order more, or by cancelling. Orders of the account stay."""
        there = side.levels.qty.get(key, 0)
        if qty > there:
            self.rest(side, key, qty - there)
        elif qty < there:
            side.reduce(key, there - qty, self.tick())
        elif qty:
            side.levels.put(key, qty)

    # Windows

    def commit(self) -> OrderChange:
        """The changes since the last commit as one message. The book's own commit is another call."""
        if not self.watched:
            return _UNCHANGED
        windows: dict[int, OrderWindow] = {}
        for depth in sorted(self.watched):
            bids, asks = (side.drain(depth, self._shuffles) for side in (self.bids, self.asks))
            if bids or asks:
                windows[depth] = OrderWindow(bids, asks)
        self.bids.forget()
        self.asks.forget()
        return OrderChange(windows, self.checksum() if windows else 0, self.now_ns)

    def snapshot(self, depth: int | None) -> OrderWindow:
        """All orders that a client of this depth holds; without a ``depth``, all."""
        return OrderWindow(self.bids.snapshot(depth), self.asks.snapshot(depth))

    def checksum(self) -> int:
        return crc32((self.asks.hashed() + self.bids.hashed()).encode("ascii"))
