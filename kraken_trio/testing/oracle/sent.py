"""What an exchange has actually sent: by connection, channel and symbol.

It is read from the exchange's journal by code that shares nothing with the client: numbers stay the texts of
the wire, books are :class:`~kraken_trio.testing.ReferenceBook`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from kraken_trio.testing.oracle.queues import Queues
from kraken_trio.testing.oracle.v1 import read_v1
from kraken_trio.testing.reference_book import ReferenceBook, parse_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kraken_trio.testing.exchange.journal import ConnectionJournal

__all__ = ["BOOKS", "BookState", "Item", "Key", "Levels", "Sent", "SentConnection", "Topic"]

Key: TypeAlias = tuple[str, str | None]
"""Channel and symbol."""
Levels: TypeAlias = tuple[tuple[str, str], ...]


@attrs.frozen
class Item:
    """One event's worth of what was sent."""

    frame: int
    """The index of its data frame on the connection."""
    is_snapshot: bool
    content: Any
    """Comparable with :func:`kraken_trio.testing.oracle.received.content_of`."""


@attrs.frozen
class BookState:
    """A book, best first, as texts: levels, or for Level 3 orders."""

    bids: tuple[tuple[str, ...], ...]
    asks: tuple[tuple[str, ...], ...]
    crossed: bool
    verified: bool | None
    """Whether it matches the checksum that came with it; None if none came."""


@attrs.define(eq=False)
class Topic:
    """Everything sent on one connection about one channel and symbol."""

    depth: int | None = None
    has_orders: bool = False
    """Whether it is Level 3."""
    lacks_proofs: bool = False
    """Whether snapshots have no checksum."""
    items: list[Item] = attrs.Factory(list)
    _places: defaultdict[Any, list[int]] = attrs.Factory(lambda: defaultdict(list))
    _states: list[BookState] = attrs.Factory(list)
    _book: ReferenceBook | None = None
    _queues: Queues | None = None

    def append(self, item: Item) -> None:
        """Add what was sent next."""
        self._places[item.content].append(len(self.items))
        self.items.append(item)

    def places(self, content: Any) -> list[int]:
        """The items with this content, in order."""
        return self._places.get(content, [])

    def last_repeat(self, index: int) -> int:
        """The last of the snapshots that follow this item at once and say the same: nobody can tell them apart."""
        items = self.items
        while (
            index + 1 < len(items) and items[index + 1].is_snapshot and items[index + 1].content == items[index].content
        ):
            index += 1
        return index

    def state(self, index: int) -> BookState:
        """The book after this item."""
        if self.has_orders:
            return self._state_of_orders(index)
        if len(self._states) <= index:
            book = self._book = self._book or ReferenceBook(self.depth)
            for item in islice(self.items, len(self._states), index + 1):
                bids, asks, checksum, _ = item.content
                (book.load if item.is_snapshot else book.apply)(bids=bids, asks=asks)
                verified = None if checksum is None else book.checksum() == checksum
                self._states.append(BookState(tuple(book.bids), tuple(book.asks), book.crossed, verified))
        return self._states[index]

    def _state_of_orders(self, index: int) -> BookState:
        if len(self._states) <= index:
            book = self._queues = self._queues or Queues(self.depth)
            for item in islice(self.items, len(self._states), index + 1):
                bids, asks, checksum, _ = item.content
                (book.load if item.is_snapshot else book.apply)(bids, asks)
                self._states.append(BookState(book.bids, book.asks, book.crossed, book.checksum() == checksum))
        return self._states[index]

    def has_proof_before(self, index: int) -> bool:
        """Whether a book's message before this one had a checksum, so that this one needs one as well.

        Snapshots of v1 never have any.
        """
        if self.items[index].is_snapshot and self.lacks_proofs:
            return False
        return any(item.content[2] is not None for item in islice(self.items, index))


class SentConnection:
    """One connection, from the exchange's side."""

    def __init__(self, journal: ConnectionJournal, depths: Mapping[str, int]) -> None:
        self.number: int = journal.connection
        self.is_v1: bool = journal.protocol == "v1"
        self.topics: dict[Key, Topic] = {}
        self.trades: dict[str, dict[int, Item]] = {}
        """By symbol and number."""
        self.withheld: Counter[str | None] = Counter()
        """The number of book frames that were altered or withheld, by symbol."""
        self._journal = journal
        self._depths = depths
        self._frames = 0
        self._withheld_seen = 0

    def topic(self, key: Key) -> Topic:
        """What was sent of this topic so far."""
        self.read()
        return self._topic(key)

    def read(self) -> None:
        """Read what is new in the journal."""
        journal = self._journal
        for text in _latest(journal.sent, journal.sent_count - self._frames):
            self._take(parse_frame(text))
            self._frames += 1
        for withheld in _latest(journal.withheld, journal.withheld_count - self._withheld_seen):
            channel, symbol = _topic_of(parse_frame(withheld.text))
            if channel in BOOKS:
                self.withheld[symbol] += 1
            self._withheld_seen += 1

    def _take(self, message: Any) -> None:
        if isinstance(message, list):
            channel, symbol, events = read_v1(message)
            for is_snapshot, content in events:
                self._topic((channel, symbol)).append(Item(self._frames, is_snapshot, content))
            return
        channel, is_snapshot = message["channel"], message["type"] == "snapshot"
        if channel == "instrument":
            self._topic((channel, None)).append(Item(self._frames, is_snapshot, _instruments(message["data"])))
            return
        if channel in _PRIVATE:
            for data in message["data"]:
                self._topic((channel, None)).append(Item(self._frames, is_snapshot, _frozen(data)))
            return
        content = _CONTENT[channel]
        for data in message["data"]:
            item = Item(self._frames, is_snapshot, content(data))
            self._topic((channel, data["symbol"])).append(item)
            if channel == "trade":
                self.trades.setdefault(data["symbol"], {}).setdefault(int(data["trade_id"]), item)

    def _topic(self, key: Key) -> Topic:
        topic = self.topics.get(key)
        if topic is None:
            depth = self._depths.get(key[1] or "") if key[0] in BOOKS else None
            topic = self.topics[key] = Topic(depth, key[0] == "level3", self.is_v1)
        return topic


class Sent:
    """All connections that a client has had, by the exchange's journal."""

    def __init__(self, journals: Sequence[ConnectionJournal], depths: Mapping[str, int]) -> None:
        """``depths`` are the subscribed ones, by symbol."""
        self.connections: dict[int, SentConnection] = {}
        """Connections, by the exchange's numbers."""
        self._journals = journals
        self._depths = depths

    def connected(self, number: int) -> SentConnection:
        """Add a client's connection. Idempotent."""
        if number not in self.connections:
            journal = next(one for one in reversed(self._journals) if one.connection == number)
            self.connections[number] = SentConnection(journal, self._depths)
        return self.connections[number]

    @property
    def latest(self) -> SentConnection:
        """The latest connection."""
        return self.connections[max(self.connections)]

    def trade(self, symbol: str, trade_id: int) -> Item | None:
        """This trade, on any connection."""
        for connection in self.connections.values():
            connection.read()
            item = connection.trades.get(symbol, {}).get(trade_id)
            if item is not None:
                return item
        return None


def _topic_of(message: Any) -> Key:
    """The channel and the symbol of a frame of any protocol; None for a frame that has no symbol, or several."""
    if isinstance(message, list):
        return read_v1(message)[:2]
    return message["channel"], message["data"][0].get("symbol") if message["data"] else None


def _latest(records: Any, count: int) -> list[Any]:
    """The last items, oldest first; read from the end, because access to the middle of a deque is slow."""
    return list(islice(reversed(records), count))[::-1] if count else []


def _levels(rows: Any) -> Levels:
    return tuple([(row["price"], row["qty"]) for row in rows])


def _book(data: Any) -> Any:
    checksum = data.get("checksum")
    proof = None if checksum is None else int(checksum)
    return (_levels(data["bids"]), _levels(data["asks"]), proof, data.get("timestamp", "-"))


def _fields(names: tuple[str, ...], data: Any) -> Any:
    return tuple([data[name] for name in names])


_trade = partial(_fields, ("side", "price", "qty", "ord_type", "trade_id", "timestamp"))
_ticker = partial(
    _fields,
    (
        "bid",
        "bid_qty",
        "ask",
        "ask_qty",
        "last",
        "volume",
        "vwap",
        "low",
        "high",
        "change",
        "change_pct",
        "trades",
        "timestamp",
    ),
)
_candle = partial(_fields, ("interval_begin", "open", "high", "low", "close", "volume", "vwap", "trades"))


def _instruments(data: Any) -> Any:
    return (tuple(asset["id"] for asset in data["assets"]), tuple(pair["symbol"] for pair in data["pairs"]))


def _level3(data: Any) -> Any:
    return (_changes(data["bids"]), _changes(data["asks"]), int(data["checksum"]), data.get("timestamp", "-"))


def _changes(rows: Any) -> Any:
    return tuple([
        (row.get("event", "add"), row["order_id"], row["limit_price"], row["order_qty"], row["timestamp"])
        for row in rows
    ])  # fmt: skip


def _frozen(data: Any) -> Any:
    """Objects as sorted pairs, lists as tuples."""
    if isinstance(data, dict):
        return tuple([(name, _frozen(data[name])) for name in sorted(data)])
    return tuple(map(_frozen, data)) if isinstance(data, list) else data


BOOKS: Final = ("book", "level3")
"""Channels that are verified by checksums."""
_PRIVATE: Final = ("executions", "balances")
_CONTENT: Final[dict[str, Callable[[Any], Any]]] = {
    "book": _book,
    "level3": _level3,
    "trade": _trade,
    "ticker": _ticker,
    "ohlc": _candle,
}
