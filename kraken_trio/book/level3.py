"""The book of single orders (Level 3): what a message does to it, and how the result is verified.

The rules (see docs/reference/protocol.md, Level 3):

1. A snapshot replaces everything; the orders of one price queue as they are listed.
2. An update's events are applied in their order, each side for itself; but of several orders that are added, the one
   with the earlier timestamp is added first. An added order becomes the last of its price, wherever it was before. An
   order that is modified keeps its place. An order that is gone is found by its id alone.
3. After the whole message each side is cut to ``depth`` prices, and the orders that are cut off are forgotten: the
   exchange does not report them, and adds them again when their price comes back.
4. Then the CRC32 of the orders of the ten best prices must match the checksum of the message.
5. An event of an order that is not in the book means that a message was lost.

Per side, two parallel lists have the best price *last*: of keys (prices as whole numbers, negated for asks) and of
queues. A queue has its orders, and what each adds to the checksum, in dicts, whose order is that of the queue. What a
price adds is kept until one of its orders changes.
"""

from __future__ import annotations

from bisect import bisect_left
from decimal import Context, Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Final

import attrs
import msgspec

from kraken_trio._digits import MAX_DIGITS, wire_digits
from kraken_trio._instants import instant, instant_ns
from kraken_trio._text import printable
from kraken_trio.book.row import number_of, price_rows
from kraken_trio.book.side import CHECKED_LEVELS
from kraken_trio.book.verified import VerifiedBook, symbol_text
from kraken_trio.errors import ProtocolError
from kraken_trio.events import (
    BookSnapshot,
    Gap,
    Level,
    Level3Snapshot,
    Level3Update,
    OrderEvent,
    OrderEventKind,
    RestingOrder,
    hold_texts,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Level3Book", "OrderQueue", "OrderUnknown", "PrecisionUnknown", "QueuePosition"]

_EXACT: Final = Context(prec=100)  # so that the program's decimal context does not round a sum
_ADD: Final = OrderEventKind.ADD
_MODIFY: Final = OrderEventKind.MODIFY
MAX_EVENTS: Final = 10_000
"""The most events of one side in an update; Kraken's have fewer than ten."""
_new_order: Final = msgspec.StructMeta.__call__
"""Makes an order of texts, without looking at them."""


class PrecisionUnknown(ProtocolError):  # noqa: N818 (named by what happened)
    """A number has an exponent, and how many decimals the exchange hashes of it is not known."""


class OrderUnknown(ProtocolError):  # noqa: N818 (named by what happened)
    """A message tells of an order that is not in the book: an earlier message was lost."""


@attrs.frozen
class QueuePosition:
    """An order's place among the visible orders of its price: see :meth:`Level3Book.queue`."""

    orders_ahead: int
    """How many orders will be filled before it."""
    qty_ahead: Decimal
    """Their quantity, in the base currency."""
    level_qty: Decimal
    """The quantity of all orders of this price, its own included."""
    level_orders: int
    """How many they are."""


class OrderQueue(msgspec.Struct, frozen=True, gc=False):
    """One price of a book, with its orders: the first of them is filled first."""

    orders: tuple[RestingOrder, ...]
    """At least one, all of one price."""

    @property
    def price(self) -> Decimal:
        """In the quote currency."""
        return self.orders[0].price

    @property
    def qty(self) -> Decimal:
        """The quantity of all orders, in the base currency."""
        return _sum(self.orders)


class _Queue:
    """The orders of one price."""

    __slots__ = ("is_bid", "key", "orders", "text", "tokens")

    def __init__(
        self,
        key: int,
        is_bid: bool,  # noqa: FBT001 (a keyword costs time)
        orders: dict[str, RestingOrder | OrderEvent],
        tokens: dict[str, str],
        text: str | None,
    ) -> None:
        self.key = key
        self.is_bid = is_bid
        self.orders = orders
        """By id, in queue order, each as it was told last."""
        self.tokens = tokens
        """What each of them adds to the string that is hashed."""
        self.text = text
        """All of these together; None if one has changed."""

    def plain(self) -> Iterable[RestingOrder]:
        """The orders, as such."""
        orders = self.orders
        for order_id, order in orders.items():
            if order.__class__ is OrderEvent:
                orders[order_id] = _plain(order)
        return orders.values()  # type: ignore[return-value]  # they are all plain now

    def copied(self) -> _Queue:
        return _Queue(self.key, self.is_bid, self.orders.copy(), self.tokens.copy(), self.text)


class _Side:
    """The queues of one side."""

    __slots__ = ("_top", "is_bid", "keys", "queues", "touched", "view")

    def __init__(self, *, is_bid: bool) -> None:
        self.is_bid = is_bid
        self.keys: list[int] = []
        self.queues: list[_Queue] = []
        self.touched: bool = True
        """Whether one of the checked queues may have changed since the last call of :meth:`top`."""
        self.view: tuple[OrderQueue, ...] | None = None
        self._top: bytes = b""

    def top(self) -> bytes:
        """What is hashed: the orders of the checked queues, best price first."""
        if self.touched:
            self.touched = False
            texts = []
            for queue in self.queues[: -CHECKED_LEVELS - 1 : -1]:
                text = queue.text
                if text is None:
                    text = queue.text = "".join(queue.tokens.values())
                texts.append(text)
            self._top = "".join(texts).encode()
        return self._top

    def best_first(self) -> tuple[OrderQueue, ...]:
        if self.view is None:
            self.view = tuple([OrderQueue(tuple(queue.plain())) for queue in reversed(self.queues)])
        return self.view

    def best(self) -> OrderQueue | None:
        return OrderQueue(tuple(self.queues[-1].plain())) if self.queues else None

    def rescale(self, factor: int) -> None:
        """Scale the keys for prices with more decimals."""
        self.keys[:] = [key * factor for key in self.keys]
        for queue in self.queues:
            queue.key *= factor

    def copied(self) -> _Side:
        side = _Side(is_bid=self.is_bid)
        side.keys, side.queues = self.keys.copy(), [queue.copied() for queue in self.queues]
        return side


class Level3Book(VerifiedBook):
    """One symbol's orders, verified after every message.

    Pure and usable alone: feed it the :class:`~kraken_trio.Level3Snapshot`, :class:`~kraken_trio.Level3Update` and
    :class:`~kraken_trio.Gap` events of one symbol, in order.

    ``depth`` is the subscribed depth in prices per side; deeper ones are dropped after each message. Every property but
    ``depth``, ``symbol``, ``available`` and ``verified`` raises :class:`~kraken_trio.BookUnavailable` while there is no
    verified state.

    Not safe to share between threads; nothing in it waits.
    """

    __slots__ = ("_carried", "_message", "_precision", "_timestamp_text", "_where", "guessed")

    kind: ClassVar[str] = "Level 3 book"
    _unit: ClassVar[str] = "prices"
    _snapshot: ClassVar[type[Level3Snapshot]] = Level3Snapshot
    _update: ClassVar[type[Level3Update]] = Level3Update

    def __init__(self, depth: int) -> None:
        super().__init__(depth)
        self._bids: _Side = _Side(is_bid=True)
        self._asks: _Side = _Side(is_bid=False)
        self._where: dict[str, _Queue] = {}  # each order's queue, by id
        self._precision: tuple[int, int] | None = None
        self.guessed: bool = False
        """Whether an exponent was written out without a precision that was set.

        :meta private:
        """
        self._message: Level3Snapshot | Level3Update | None = None  # while it is being applied
        self._carried = False  # whether a snapshot has had a checksum, so that one without is no proof
        self._timestamp_text: str | None = None  # of the last event

    # Changing it

    def set_precision(self, price: int, qty: int) -> None:
        """Set how many decimals the prices and quantities of this symbol have, for numbers with an exponent.

        The exchange may write 0.00001000 as ``1e-05``, but hashes all of its digits. Kraken's ``AssetPairs`` calls them
        ``pair_decimals`` and ``lot_decimals``, the instrument channel ``price_precision`` and ``qty_precision``.
        """
        self._precision = (price, qty)

    @property
    def precision(self) -> tuple[int, int] | None:
        """What was set by :meth:`set_precision`.

        While it is None, the digits of other orders tell it, if the book or the message has any without an exponent.
        """
        return self._precision

    def apply(self, event: Level3Snapshot | Level3Update | Gap) -> None:
        """Apply ``event`` and verify the book.

        An event that fails its check makes the book unavailable, and raises :class:`~kraken_trio.ChecksumMismatch` with
        the evidence, or :class:`~kraken_trio.ProtocolError`: for an order that is not in the book, an invalid number or
        time, more than 10,000 events of one side, or a number with an exponent whose decimals are not known (see
        :meth:`set_precision`).

        A :class:`~kraken_trio.Gap` of this book makes it unavailable, too. A gap of another channel, or with an unknown
        symbol, changes nothing: if this book lost a message, its next checksum fails.

        An update to an unavailable book raises :class:`~kraken_trio.BookUnavailable` and changes nothing. An event of
        another symbol raises :class:`ValueError` and changes nothing.

        A message without a checksum is accepted by a book that never had one, which is then not :attr:`verified`;
        otherwise it raises :class:`~kraken_trio.ProtocolError`, and makes the book unavailable.
        """
        self._take(event, verify=True)

    def follow(self, event: Level3Snapshot | Level3Update | Gap) -> None:
        """Like :meth:`apply`, for an event that another book has verified; it is not verified again."""
        self._take(event, verify=False)

    def follow_all(self, events: Sequence[Level3Snapshot | Level3Update | Gap], latest: object) -> None:
        """Follow these events.

        :meta private:
        """
        del latest
        for event in events:
            self._take(event, verify=False)

    def _take(self, event: Any, *, verify: bool) -> None:
        is_update = event.__class__ is Level3Update
        if is_update:
            if self._unavailable is not None:
                raise self._refusal()
            if event.symbol != self.symbol:
                raise self._wrong_symbol(event)
        elif self._is_done(event):
            return
        self._message = event
        try:
            if is_update:
                if event.bids:
                    self._merge(self._bids, event.bids)
                if event.asks:
                    self._merge(self._asks, event.asks)
                for side in (self._bids, self._asks):  # after the whole message: an order may have changed its side
                    if len(side.keys) > self.depth:  # mutant: truncation of orders
                        self._truncate(side)
            else:
                self._load(event)
            expected = event.checksum
            if verify and (expected is None or self._crc() != expected):
                self._doubt(event, expected)
        except Exception:
            self.invalidate("it failed a check, and its next snapshot has not come yet")
            raise
        finally:
            self._message = None
        self._timestamp_text = event.timestamp_text
        self._epoch = event.epoch
        self._received_ns = event.received_ns
        if expected is not None:
            self._carried = self._verified = True
        self._unavailable = None

    def _load(self, event: Level3Snapshot) -> None:
        """Replace everything."""
        self.symbol: str | None = event.symbol
        self._verified = False
        self._where.clear()
        self._bids, self._asks = _Side(is_bid=True), _Side(is_bid=False)
        self._decimals = -1  # so that exponents are looked for in all prices
        sides = [(orders, [self._row(order) for order in orders]) for orders in (event.bids, event.asks)]
        places = self._decimals = max((row[1] for _, rows in sides for row in rows), default=0)
        for side, (orders, rows) in zip((self._bids, self._asks), sides, strict=True):
            is_bid = side.is_bid
            by_key: dict[int, _Queue] = {}
            for (price, decimals, token, amount), order in zip(rows, orders, strict=True):
                key = price * 10 ** (places - decimals)
                if not is_bid:
                    key = -key
                queue = by_key.get(key)
                if queue is None:
                    queue = by_key[key] = _Queue(key, is_bid, {}, {}, None)
                order_id = order.order_id
                if order_id in self._where:
                    msg = f"{symbol_text(event.symbol)}: the order {printable(order_id, 40)} is twice in a snapshot"
                    raise ProtocolError(msg)
                if not amount:
                    raise _without_quantity(order)
                self._where[order_id] = queue
                queue.orders[order_id], queue.tokens[order_id] = order, token + amount
            side.queues = sorted(by_key.values(), key=lambda queue: queue.key)
            side.keys = [queue.key for queue in side.queues]
            self._truncate(side)

    def _merge(self, side: _Side, events: Sequence[OrderEvent]) -> None:
        """Apply an update's events to one side. This takes most of an update's time."""
        if len(events) > 1:
            events = _in_order(events)
        side.view = None
        where, keys, queues = self._where, side.keys, side.queues
        is_bid, places = side.is_bid, self._decimals
        for event in events:
            order_id, kind = event.order_id, event.kind
            queue = where.get(order_id)
            if kind is not _ADD and kind is not _MODIFY:
                if queue is None or queue.is_bid is not is_bid:
                    raise self._lost(event)
                held = queue.orders[order_id]
                if event.qty_text != held.qty_text or event.price_text != held.price_text:
                    self._row(event)  # programs see its numbers, so they have to be some
                self._remove(side, queue, order_id)
                continue
            try:
                price, decimals, token = price_rows[event.price_text]
                qty = event.qty_text
                amount = qty.replace(".", "", 1)  # as `_row` does it, without a call
                is_usual = amount.isdecimal() and amount.isascii() and decimals == places and len(qty) <= MAX_DIGITS
            except (AttributeError, TypeError):
                is_usual = False
            if is_usual:
                amount = amount.lstrip("0")
                key = price if is_bid else -price
            else:
                price, decimals, token, amount = self._row(event)
                key = self._key(price, decimals, is_bid=is_bid)
                places = self._decimals
            if not amount:
                raise _without_quantity(event)
            if kind is _MODIFY:
                if queue is None or queue.is_bid is not is_bid:
                    raise self._lost(event)
                if queue.key == key:  # mutant: place of a modified order
                    queue.orders[order_id] = event
                    queue.tokens[order_id] = token + amount
                    queue.text = None
                    if len(keys) <= CHECKED_LEVELS or key >= keys[-CHECKED_LEVELS]:
                        side.touched = True
                    continue
            if queue is not None:  # mutant: known id
                self._remove(self._bids if queue.is_bid else self._asks, queue, order_id)
            index = bisect_left(keys, key)
            if index < len(keys) and keys[index] == key:
                queue = queues[index]
                queue.text = None
                queue.orders[order_id] = event
                queue.tokens[order_id] = token = token + amount
            else:
                token += amount
                queue = _Queue(key, is_bid, {order_id: event}, {order_id: token}, token)
                keys.insert(index, key)
                queues.insert(index, queue)
            if len(keys) - index <= CHECKED_LEVELS:
                side.touched = True
            where[order_id] = queue

    def _lost(self, event: OrderEvent) -> OrderUnknown:
        what = f"{event.kind.value} of the order {printable(event.order_id, 40)}, which is not in the book"
        return OrderUnknown(f"{symbol_text(self.symbol)}: {what}: a message was lost")

    def _remove(self, side: _Side, queue: _Queue, order_id: str) -> None:
        keys, key = side.keys, queue.key
        side.view = None
        if len(keys) <= CHECKED_LEVELS or key >= keys[-CHECKED_LEVELS]:
            side.touched = True
        orders = queue.orders
        del self._where[order_id], orders[order_id]
        if orders:
            del queue.tokens[order_id]
            queue.text = None
        else:
            index = bisect_left(keys, key)
            del keys[index], side.queues[index]

    def _truncate(self, side: _Side) -> None:
        """Keep the best ``depth`` prices, and forget the orders of the others."""
        excess = len(side.keys) - self.depth
        if excess <= 0:
            return
        for queue in side.queues[:excess]:
            for order_id in queue.orders:
                del self._where[order_id]  # mutant: ids of the cut
        del side.keys[:excess], side.queues[:excess]
        if self.depth < CHECKED_LEVELS:
            side.touched = True

    # Its numbers

    def _row(self, order: RestingOrder | OrderEvent) -> tuple[int, int, str, str]:
        """The price's digits as a number, its decimals, and what price and quantity add to the string that is hashed.

        The last is empty if the quantity is zero.
        """
        try:
            qty = order.qty_text
            price, decimals, token = price_rows[order.price_text]
            amount = qty.replace(".", "", 1)
            is_usual = amount.isdecimal() and amount.isascii() and len(qty) <= MAX_DIGITS
        except (AttributeError, TypeError):
            found = hold_texts((order,))  # it was an integer, as a decoder leaves it
            assert found  # texts raise neither of these
            return self._row(order)
        if not is_usual:
            amount, places = wire_digits(number_of(qty))
            amount += "0" * (self._places("qty_text") - places)
        if decimals != self._decimals and _has_exponent(order.price_text):
            zeros = max(0, self._places("price_text") - decimals)
            price, decimals, token = price * 10**zeros, decimals + zeros, token + "0" * zeros
        return price, decimals, token, amount.lstrip("0")

    def _places(self, name: str) -> int:
        """How many decimals the exchange hashes of every number of this kind."""
        if self._precision is not None:
            return self._precision[name == "qty_text"]
        self.guessed = True
        message = self._message
        assert message is not None  # something is being applied
        told = (order for order in chain(message.bids, message.asks) if getattr(order, "kind", _ADD) in _STAYS)
        held = (order for side in (self._bids, self._asks) for queue in side.queues for order in queue.orders.values())
        for order in chain(told, held):
            text = getattr(order, name)
            if type(text) is str and not _has_exponent(text):
                return len(text.partition(".")[2])  # all have equally many, apart from those with an exponent
        msg = f"{symbol_text(message.symbol)}: numbers with exponents only, and the symbol's precision is unknown"
        raise PrecisionUnknown(msg)

    def _key(self, price: int, decimals: int, *, is_bid: bool) -> int:
        """A price as the sides sort it. If it has more decimals than any before, the sides are rescaled."""
        if decimals > self._decimals:
            factor = 10 ** (decimals - self._decimals)
            self._bids.rescale(factor)
            self._asks.rescale(factor)
            self._decimals = decimals
        key: int = price * 10 ** (self._decimals - decimals)
        return key if is_bid else -key

    # Verifying it

    def _doubt(self, event: Level3Snapshot | Level3Update, expected: int | None) -> None:
        """The checksum does not match, or there is none."""
        if expected is None:
            if self._carried:  # mutant: orders without a checksum
                msg = f"{symbol_text(event.symbol)}: a message without a checksum, though an earlier one had it"
                raise ProtocolError(msg)
        else:
            raise self._mismatch(event, expected, event.timestamp_text, _shown)

    # Reading it

    @property
    def bids(self) -> tuple[OrderQueue, ...]:
        """All prices of bids, highest first, each with its orders; at most ``depth``."""
        self._require()
        return self._bids.best_first()

    @property
    def asks(self) -> tuple[OrderQueue, ...]:
        """All prices of asks, lowest first, each with its orders; at most ``depth``."""
        self._require()
        return self._asks.best_first()

    @property
    def best_bid(self) -> OrderQueue | None:
        """The highest bid's price, with its orders; None when there are no bids."""
        self._require()
        return self._bids.best()

    @property
    def best_ask(self) -> OrderQueue | None:
        """The lowest ask's price, with its orders; None when there are no asks."""
        self._require()
        return self._asks.best()

    @property
    def crossed(self) -> bool:
        """Whether the best bid is not below the best ask. In a verified book this is the exchange's own state."""
        self._require()
        bids, asks = self._bids.keys, self._asks.keys
        return bool(bids and asks) and bids[-1] >= -asks[-1]

    @property
    def timestamp_ns(self) -> int | None:
        """The exchange's time of the last message, if it had one, in nanoseconds since 1970-01-01 UTC."""
        self._require()
        return None if self._timestamp_text is None else instant_ns(self._timestamp_text)

    @property
    def received_ns(self) -> int:
        """When the bytes of the last message were read (see :mod:`kraken_trio.events`); 0 before the first."""
        return self._received_ns

    def __len__(self) -> int:
        """The number of orders."""
        self._require()
        return len(self._where)

    def __bool__(self) -> bool:
        return True

    def order(self, order_id: str) -> RestingOrder | None:
        """The order with this id; None if it is not in the book: gone, or beyond ``depth`` prices."""
        self._require()
        found = self.told(order_id)
        return _plain(found) if isinstance(found, OrderEvent) else found

    def queue(self, order_id: str) -> QueuePosition | None:
        """The place of the order with this id among those of its price; None if it is not in the book.

        Only visible orders count: the hidden part of an iceberg order is not in the exchange's data.
        """
        self._require()
        queue = self._where.get(order_id)
        if queue is None:
            return None
        orders = list(queue.orders.values())
        ahead = list(queue.orders).index(order_id)
        return QueuePosition(ahead, _sum(orders[:ahead]), _sum(orders), len(orders))

    def told(self, order_id: str) -> RestingOrder | OrderEvent | None:
        """The order, or the event that told of it last.

        :meta private:
        """
        queue = self._where.get(order_id)
        return None if queue is None else queue.orders[order_id]

    def to_levels(self, depth: int | None = None) -> BookSnapshot:
        """The same book by prices, as :class:`~kraken_trio.OrderBook` has it: quantities are sums.

        It has the best ``depth`` prices of each side, all of them by default, and no checksum.
        """
        self._require()
        assert self.symbol is not None  # an available book has had a snapshot
        return BookSnapshot(
            symbol=self.symbol,
            bids=_levels(self._bids, depth),
            asks=_levels(self._asks, depth),
            timestamp=None if self._timestamp_text is None else instant(self._timestamp_text),
            epoch=self._epoch,
            received_ns=self._received_ns,
        )

    def checksum(self) -> int:
        """The CRC32 of the orders of the ten best prices of each side, as Kraken defines it (32 bits, unsigned)."""
        self._require()
        return self._crc()

    def snapshot(self) -> Level3Snapshot:
        """The book as one event: with the timestamp, epoch and receive time of its last message.

        It has the checksum if the book is :attr:`verified`.
        """
        self._require()
        assert self.symbol is not None  # an available book has had a snapshot
        return Level3Snapshot(
            symbol=self.symbol,
            bids=tuple(chain.from_iterable([queue.plain() for queue in reversed(self._bids.queues)])),
            asks=tuple(chain.from_iterable([queue.plain() for queue in reversed(self._asks.queues)])),
            checksum=self._crc() if self._verified else None,
            timestamp_text=self._timestamp_text,
            epoch=self._epoch,
            received_ns=self._received_ns,
        )

    def __copy__(self) -> Level3Book:
        book = Level3Book(self.depth)
        for name in (*VerifiedBook.__slots__, *self.__slots__):
            setattr(book, name, getattr(self, name))
        book._bids, book._asks = self._bids.copied(), self._asks.copied()
        book._where = {
            order_id: queue for side in (book._bids, book._asks) for queue in side.queues for order_id in queue.orders
        }
        return book

    def __repr__(self) -> str:
        name = f"Level3Book {'?' if self.symbol is None else symbol_text(self.symbol)} depth={self.depth}"
        if self._unavailable is not None:
            return f"<{name} unavailable: {self._unavailable}>"
        best = (self.best_bid, self.best_ask)
        sides = " / ".join(f"{queue.qty} @ {queue.price}" if queue else "none" for queue in best)
        return f"<{name} {len(self)} orders, {sides}{' crossed' if self.crossed else ''}>"


_STAYS: Final = frozenset({_ADD, _MODIFY})


def _in_order(events: Sequence[OrderEvent]) -> Sequence[OrderEvent]:
    """``events`` with those that add orders sorted by their timestamps, at the places where such events stood."""
    adds = [event for event in events if event.kind is _ADD]
    if len(adds) > MAX_EVENTS or len(events) > MAX_EVENTS:
        msg = f"a message with {len(events)} events of one side: at most {MAX_EVENTS}"
        raise ProtocolError(msg)
    if len(adds) < 2:
        return events
    times: list[Any] = [event.timestamp_text for event in adds]
    if len({len(text) for text in times}) > 1:
        times = [instant_ns(text) for text in times]
    order = list(range(len(adds)))
    order.sort(key=times.__getitem__)  # mutant: queue by time
    in_time = iter([adds[index] for index in order])
    return [next(in_time) if event.kind is _ADD else event for event in events]


def _without_quantity(order: RestingOrder | OrderEvent) -> ProtocolError:
    return ProtocolError(f"the order {printable(order.order_id, 40)} is in the book without a quantity")


def _plain(event: OrderEvent) -> RestingOrder:
    parts = (event.order_id, event.price_text, event.qty_text, event.timestamp_text)
    order: RestingOrder = _new_order(RestingOrder, *parts)
    return order


def _sum(orders: Iterable[RestingOrder | OrderEvent]) -> Decimal:
    total = Decimal(0)
    for order in orders:
        total = _EXACT.add(total, order.qty)
    return total


def _levels(side: _Side, depth: int | None) -> tuple[Level, ...]:
    queues = side.queues if depth is None else side.queues[max(0, len(side.queues) - depth) :]
    return tuple(
        [Level(next(iter(queue.orders.values())).price_text, _sum(queue.orders.values())) for queue in reversed(queues)]
    )


def _has_exponent(text: str) -> bool:
    return "e" in text or "E" in text


def _shown(order: RestingOrder | OrderEvent) -> str:
    what = f"{order.kind.value} " if isinstance(order, OrderEvent) else ""
    return f"{what}{order.order_id} {order.price_text}:{order.qty_text} {order.timestamp_text}"
