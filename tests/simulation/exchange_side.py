"""What the exchange has really sent, as the oracle needs it: by connection, channel and symbol.

It is read from the exchange's journal by code that shares nothing with the client: numbers stay the texts that stood on
the wire, books are :class:`~kraken_trio.testing.ReferenceBook`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from kraken_trio.testing.reference_book import ReferenceBook, parse_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from kraken_trio.testing.exchange.journal import ConnectionJournal

__all__ = ["BookState", "Connection", "Item", "Key", "Topic"]

Key: TypeAlias = tuple[str, str | None]
"""Channel and symbol."""
Levels: TypeAlias = tuple[tuple[str, str], ...]


@attrs.frozen
class Item:
    """One event's worth of what was sent."""

    frame: int
    """Which data frame of the connection it came in."""
    is_snapshot: bool
    content: Any
    """To be compared with :mod:`tests.simulation.client_side`."""


@attrs.frozen
class BookState:
    """A book, best first, as texts."""

    bids: Levels
    asks: Levels
    crossed: bool
    verified: bool
    """Does it have the checksum that came with it?"""


@attrs.define(eq=False)
class Topic:
    """Everything that one connection was sent about one channel and symbol."""

    items: list[Item] = attrs.Factory(list)
    depth: int | None = None
    _states: list[BookState] = attrs.Factory(list)
    _book: ReferenceBook | None = None

    def state(self, index: int) -> BookState:
        """The book after this item."""
        book = self._book = self._book or ReferenceBook(self.depth)
        for item in self.items[len(self._states) : index + 1]:
            bids, asks, checksum, _ = item.content
            (book.load if item.is_snapshot else book.apply)(bids=bids, asks=asks)
            verified = book.checksum() == checksum
            self._states.append(BookState(tuple(book.bids), tuple(book.asks), book.crossed, verified))
        return self._states[index]


class Connection:
    """One connection, as the exchange sees it."""

    def __init__(self, journal: ConnectionJournal, depths: dict[str, int]) -> None:
        self.journal = journal
        self.topics: dict[Key, Topic] = {}
        self.trades: dict[str, dict[int, Item]] = {}
        """By symbol and number."""
        self.withheld: dict[str | None, int] = {}
        """How many book frames were altered or held back, by symbol."""
        self._depths = depths
        self._frames = 0
        self._withheld_seen = 0

    def topic(self, key: Key) -> Topic:
        """What was sent of this, up to now."""
        self.read()
        topic = self.topics.get(key)
        if topic is None:
            topic = self.topics[key] = Topic(depth=self._depths.get(key[1] or "") if key[0] == "book" else None)
        return topic

    def read(self) -> None:
        """Take what is new from the journal."""
        journal = self.journal
        while journal.sent:
            self._take(parse_frame(journal.sent.popleft()))
            self._frames += 1
        while journal.withheld:
            symbol = parse_frame(journal.withheld.popleft().text)["data"][0]["symbol"]
            self.withheld[symbol] = self.withheld.get(symbol, 0) + 1

    def _take(self, message: Any) -> None:
        channel, is_snapshot = message["channel"], message["type"] == "snapshot"
        if channel == "instrument":
            self._append((channel, None), Item(self._frames, is_snapshot, _instruments(message["data"])))
            return
        content = _CONTENT[channel]
        for data in message["data"]:
            item = Item(self._frames, is_snapshot, content(data))
            self._append((channel, data["symbol"]), item)
            if channel == "trade":
                self.trades.setdefault(data["symbol"], {})[int(data["trade_id"])] = item

    def _append(self, key: Key, item: Item) -> None:
        if key not in self.topics:
            self.topics[key] = Topic(depth=self._depths.get(key[1] or "") if key[0] == "book" else None)
        self.topics[key].items.append(item)


def _levels(rows: Any) -> Levels:
    return tuple((row["price"], row["qty"]) for row in rows)


def _book(data: Any) -> Any:
    return (_levels(data["bids"]), _levels(data["asks"]), int(data["checksum"]), data["timestamp"])


def _fields(names: tuple[str, ...], data: Any) -> Any:
    return tuple(data[name] for name in names)


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


_CONTENT: Final[dict[str, Callable[[Any], Any]]] = {
    "book": _book,
    "trade": _trade,
    "ticker": _ticker,
    "ohlc": _candle,
}
