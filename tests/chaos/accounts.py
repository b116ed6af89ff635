"""What a reader of a relay was given, held against what the exchange has sent: each event once, or inside a told gap.

A history is what one program received, over all its lives: where it was killed and has gone on from the place that it
had stored, there is a :class:`Restart`. Nothing may be missing there, and nothing come twice. It shares no code with
readers and producers: numbers are the texts of the wire, books are :class:`~kraken_trio.testing.ReferenceBook`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

import kraken_trio as kt
from kraken_trio.testing import ReferenceBook
from kraken_trio.testing.oracle.received import content_of, levels_of
from kraken_trio.testing.oracle.sent import SentConnection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kraken_trio.testing import Exchange

__all__ = ["Account", "Market", "Restart", "Told"]

EXPECTED: Final = frozenset({
    kt.Cause.DISCONNECTED,
    kt.Cause.SILENCE,
    kt.Cause.PROTOCOL,
    kt.Cause.CLOSED,
    kt.Cause.RESUBSCRIBED,
    kt.Cause.FAILOVER,
})  # fmt: skip
"""What may be a reason of a gap: losses of the producer's connection to the exchange, and another producer. Besides,
trades may be ``MISSED`` after these. No message may be missing in the stream, no book be wrong, nothing overflow."""
MOST_PROBLEMS: Final = 20
"""Of one account: what comes after the first is seldom of interest."""


@attrs.frozen
class Restart:
    """The program was killed, and has gone on from its stored place."""


Told: TypeAlias = kt.Event | Restart


class Market:
    """What an exchange has sent: the order of each symbol's book updates, and its trades; and the books that it has."""

    def __init__(self, exchange: Exchange, depths: Mapping[str, int]) -> None:
        self.depths = dict(depths)
        self.books: dict[str, ReferenceBook] = {
            symbol: exchange.book(symbol, depth) for symbol, depth in depths.items()
        }
        self._next: dict[tuple[str, Any], Any] = {}
        self._updates: set[tuple[str, Any]] = set()
        self.trades: dict[str, dict[int, Any]] = {symbol: {} for symbol in depths}
        self.updates: Counter[str] = Counter()
        """How many different ones, by symbol."""
        for journal in exchange.journal:
            connection = SentConnection(journal, depths)
            for symbol in depths:
                self._book(symbol, connection)
                for item in connection.topic(("trade", symbol)).items:
                    self.trades[symbol][int(item.content[4])] = item.content

    def _book(self, symbol: str, connection: SentConnection) -> None:
        last = None
        for item in connection.topic(("book", symbol)).items:
            if item.is_snapshot:
                last = None
                continue
            key = (symbol, item.content)
            if key not in self._updates:
                self._updates.add(key)
                self.updates[symbol] += 1
            if last is not None:
                self._next[symbol, last] = item.content
            last = item.content

    def has_sent(self, symbol: str, content: Any) -> bool:
        """Whether there was such an update of this book."""
        return (symbol, content) in self._updates

    def may_follow(self, symbol: str, content: Any, later: Any) -> bool:
        """Whether no update was sent between these two. What followed the last one of a connection is not known."""
        return bool(self._next.get((symbol, content), later) == later)


@attrs.define
class _BookSoFar:
    model: ReferenceBook
    is_known: bool = False
    may_begin: bool = True
    """Whether a snapshot may come: at the beginning, after a gap, and after a restart."""
    has_restarted: bool = False
    last: Any = None
    """The content of the last update; None if nothing is known of it."""


@attrs.define
class Account:
    """One program's history, as it is held against a market."""

    name: str
    market: Market
    problems: list[str] = attrs.Factory(list)
    gaps: Counter[str] = attrs.Factory(Counter)
    """By cause."""
    events: int = 0
    updates: int = 0
    trades: int = 0
    checksums: int = 0
    restarts: int = 0
    again: int = 0
    """Book updates that came a second time, after a gap: another producer's book was behind."""
    _books: dict[str, _BookSoFar] = attrs.Factory(dict)
    _trade: dict[str, int] = attrs.Factory(dict)
    _trades_gapped: set[str] = attrs.Factory(set)
    _had: set[tuple[str, Any]] = attrs.Factory(set)

    def __attrs_post_init__(self) -> None:
        self._books = {symbol: _BookSoFar(ReferenceBook(depth)) for symbol, depth in self.market.depths.items()}

    def take(self, history: Sequence[Told]) -> None:
        """All of it, in order."""
        for told in history:
            self._take(told)

    def end(self) -> None:
        """All that was sent must have come: the market stands still, and the program has received the last of it."""
        for symbol, sent in self.market.trades.items():
            if sent and self._trade.get(symbol) != max(sent):
                self._wrong(f"its last trade of {symbol} is {self._trade.get(symbol)}, and the exchange's {max(sent)}")
        for symbol, book in self._books.items():
            if not book.is_known or not self.market.books[symbol].same_levels(book.model.bids, book.model.asks):
                self._wrong(f"its book of {symbol} is not the exchange's in the end")

    def _wrong(self, text: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(f"{self.name}, event {self.events}: {text}")

    def _take(self, told: Told) -> None:
        if isinstance(told, Restart):
            self.restarts += 1
            for book in self._books.values():
                book.may_begin = book.has_restarted = True
            return
        self.events += 1
        match told:
            case kt.Gap():
                self._gap(told)
            case kt.BookSnapshot():
                self._snapshot(told)
            case kt.BookUpdate():
                self._update(told)
            case kt.Trade():
                self._take_trade(told)
            case _:
                pass

    def _gap(self, gap: kt.Gap) -> None:
        self.gaps[gap.cause.value] += 1
        if gap.cause not in EXPECTED and not (gap.cause is kt.Cause.MISSED and gap.channel == "trade"):
            self._wrong(f"a gap that nothing explains: {gap}")
        for symbol in self._books if gap.symbol is None else (gap.symbol,):
            if gap.channel in {None, "book"}:
                book = self._books[symbol]
                book.is_known, book.may_begin, book.has_restarted, book.last = False, True, False, None
            if gap.channel in {None, "trade"}:
                self._trades_gapped.add(symbol)

    def _snapshot(self, event: kt.BookSnapshot) -> None:
        book = self._books[event.symbol]
        if not book.may_begin:
            self._wrong(f"a snapshot of {event.symbol} without a gap before it")
        before = (list(book.model.bids), list(book.model.asks))
        book.model.load(bids=levels_of(event.bids), asks=levels_of(event.asks))
        if book.has_restarted and book.is_known and before != (list(book.model.bids), list(book.model.asks)):
            self._wrong(f"after the restart, the book of {event.symbol} is not what it was")
        elif not book.has_restarted:
            book.last = None
        book.is_known, book.may_begin, book.has_restarted = True, False, False
        self._check(event, book)

    def _update(self, event: kt.BookUpdate) -> None:
        symbol, content, book = event.symbol, content_of(event), self._books[event.symbol]
        if not book.is_known or book.has_restarted:
            self._wrong(f"an update of {symbol} without a snapshot before it")
        if not self.market.has_sent(symbol, content):
            self._wrong(f"an update of {symbol} that the exchange has not sent: {event}")
        elif book.last is not None and not self.market.may_follow(symbol, book.last, content):
            self._wrong(f"updates of {symbol} are missing, or come twice, without a gap: {book.last}, then {content}")
        if (symbol, content) in self._had:
            self.again += 1
        self._had.add((symbol, content))
        book.last, book.may_begin = content, False
        self.updates += 1
        book.model.apply(bids=levels_of(event.bids), asks=levels_of(event.asks))
        self._check(event, book)

    def _check(self, event: kt.BookSnapshot | kt.BookUpdate, book: _BookSoFar) -> None:
        if event.checksum is not None:
            self.checksums += 1
            if book.model.checksum() != event.checksum:
                self._wrong(f"the book of {event.symbol} is wrong")

    def _take_trade(self, event: kt.Trade) -> None:
        number, symbol = event.trade_id, event.symbol
        assert number is not None  # v2 numbers them
        last = self._trade.get(symbol)
        if last is not None and number <= last:
            self._wrong(f"trade {number} of {symbol} comes after {last}")
        elif last is not None and number > last + 1 and symbol not in self._trades_gapped:
            self._wrong(f"trades {last + 1} to {number - 1} of {symbol} are missing without a gap")
        sent = self.market.trades[symbol].get(number)
        if sent is not None and sent != content_of(event):
            self._wrong(f"trade {number} of {symbol} is another one than was sent")
        self._trades_gapped.discard(symbol)
        self._trade[symbol] = max(number, last or 0)
        self.trades += 1
