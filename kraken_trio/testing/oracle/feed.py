"""One feed, checked event by event, so that a broken promise is found where it breaks.

1. *Verified books only*: after each event the feed's books are those of the exchange's frames, digit for
   digit, and unreadable from a gap to the next snapshot. A book that did not verify is never shown.
2. *Order*: what is yielded was sent, in this order, none twice; what is missing has a gap in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

from kraken_trio.events import (
    BalancesSnapshot,
    BalanceUpdate,
    BookSnapshot,
    BookUpdate,
    Candle,
    ConnectionState,
    Event,
    Execution,
    Gap,
    InstrumentUpdate,
    Level3Snapshot,
    Level3Update,
    OrdersSnapshot,
    SpreadUpdate,
    StateChange,
    StatusUpdate,
    TickerUpdate,
    Trade,
)
from kraken_trio.requests import Overflow
from kraken_trio.testing.exchange.dialects.v2_frames import stamp
from kraken_trio.testing.oracle.account import PRIVATE_CHANNELS
from kraken_trio.testing.oracle.broken import BrokenPromise
from kraken_trio.testing.oracle.received import content_of, key_of, levels_of, orders_of
from kraken_trio.testing.oracle.sent import BOOKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kraken_trio.book import Level3Book, OrderBook
    from kraken_trio.requests import Request
    from kraken_trio.testing.oracle.account import AccountOracle
    from kraken_trio.testing.oracle.sent import BookState, Item, Key, Sent, SentConnection, Topic
    from kraken_trio.wire.messages import MarketEvent

__all__ = ["FeedOracle"]

_BookEvent: TypeAlias = BookSnapshot | BookUpdate | Level3Snapshot | Level3Update


@attrs.define
class _Cursor:
    """How far a feed has come in one topic."""

    key: Key
    connection: SentConnection | None = None
    index: int = -1
    """The index of the latest yielded item, for books."""
    places: set[int] = attrs.Factory(set)
    """The same for other channels: any of these, because a quiet market may repeat an event."""
    trade_id: int | None = None
    has_gap: bool = False
    """Whether a gap follows it."""
    missed: int | None = None
    """The number of missing events, if the gap has it."""
    has_begun: bool = False
    start: set[object] = attrs.Factory(set)
    """The first events of the feed."""
    is_starting: bool = True
    """Whether only those have come: they may be older than the feed's events of other topics."""
    readable: bool = False
    """For books: whether it may be read."""

    @property
    def state(self) -> BookState:
        """The book as of the feed's position."""
        assert self.connection is not None  # it has had a snapshot
        return self.connection.topic(self.key).state(self.index)


class FeedOracle:
    """One feed, from its opening to its end."""

    def __init__(
        self,
        name: str,
        requests: Iterable[Request],
        sent: Sent,
        numbers: Mapping[int, int],
        *,
        opened_ns: int,
        overflow: Overflow = Overflow.BACKPRESSURE,
        now: Callable[[], float] = lambda: 0.0,
        explain: Callable[[Gap], None] = lambda _gap: None,
        explain_status: Callable[[StatusUpdate], None] = lambda _status: None,
        account: AccountOracle | None = None,
    ) -> None:
        """Watch the feed of these requests, which was opened at ``opened_ns`` by the exchange's clock.

        ``numbers`` are the exchange's, of the client's connections, by epoch.

        ``explain`` and ``explain_status`` raise :class:`~kraken_trio.testing.oracle.broken.BrokenPromise` for a gap
        without a reason, and for a status that the exchange has not sent. ``account`` judges the account's channels.
        """
        self.name: str = name
        self.account: AccountOracle | None = account
        self.events: int = 0
        self.recoveries: int = 0
        """How often events came after a gap."""
        self.passed: int = 0
        """Missing events, by the gaps' numbers."""
        self._conflates = overflow is Overflow.CONFLATE
        """Whether only the latest state is yielded, and intermediate states may be missing."""
        self._drops = overflow is Overflow.DROP_OLDEST
        self._sent = sent
        self._numbers = numbers
        self._opened = stamp(opened_ns)
        self._now = now
        self._explain = explain
        self._explain_status = explain_status
        self._cursors: dict[Key, _Cursor] = {}
        for request in requests:
            if request.channel is not None and request.channel not in PRIVATE_CHANNELS:
                key = (request.channel, request.symbol)
                self._cursors[key] = _Cursor(key)
        self._place = (0, -1)  # epoch and frame of the latest event that was sent
        self._state: ConnectionState | None = None

    def _break(self, promise: int, seen: str) -> BrokenPromise:
        return BrokenPromise(promise, f"{self.name} at {self._now():.6f}: {seen}")

    def saw(self, event: Event) -> None:
        """Check an event that the feed has yielded."""
        self.events += 1
        match event:
            case StateChange():
                self._saw_state(event)
            case StatusUpdate():
                self._explain_status(event)
            case Gap():
                self._saw_gap(event)
            case OrdersSnapshot() | Execution() | BalancesSnapshot() | BalanceUpdate():
                if self.account is None:
                    raise self._break(2, f"{event} was not asked for by this feed")
                self.account.saw(event)
            case _:
                self._saw_data(event)

    # Lifecycle and gaps

    def _saw_state(self, event: StateChange) -> None:
        if self._state is not None and event.previous is not self._state:
            raise self._break(2, f"{_short(event)}, but the state was {self._state}")
        self._state = event.current

    def _saw_gap(self, gap: Gap) -> None:
        self._explain(gap)
        if self.account is not None and gap.channel in (None, *PRIVATE_CHANNELS):
            self.account.saw_gap(gap)
        if gap.symbol is None and gap.channel != "instrument":
            hit = [c for c in self._cursors.values() if c.key[0] not in BOOKS and gap.channel in (None, c.key[0])]
        else:
            assert gap.channel is not None
            if (gap.channel, gap.symbol) not in self._cursors:
                raise self._break(6, f"{gap} is of something that this feed never wanted")
            hit = [self._cursors[gap.channel, gap.symbol]]
        self.passed += gap.missed or 0
        for cursor in hit:
            unknown = gap.missed is None or (cursor.has_gap and cursor.missed is None)
            cursor.missed = None if unknown else (cursor.missed or 0) + (gap.missed or 0)
            cursor.has_gap = True
            cursor.readable = False

    # Data

    def _saw_data(self, event: MarketEvent) -> None:
        key = key_of(event)
        cursor = self._cursors.get(key)
        if cursor is None:
            raise self._break(2, f"{_short(event)} was not asked for by this feed")
        number = self._numbers.get(event.epoch)
        if number is None:
            raise self._break(2, f"{_short(event)} is of an epoch that never was")
        connection = self._sent.connections[number]
        if cursor.connection is not connection and (key[0] != "trade" or connection.is_v1):
            if cursor.has_begun and not cursor.has_gap and not self._conflates:
                raise self._break(2, f"{_short(event)} comes over another connection, and no gap stands before it")
            cursor.is_starting = cursor.is_starting and cursor.connection is None
            cursor.connection, cursor.index, cursor.places = connection, -1, set()
        topic = connection.topic(key)
        match event:
            case BookSnapshot() | BookUpdate() | Level3Snapshot() | Level3Update():
                frame = self._saw_book(event, cursor, topic)
            case Trade() if not connection.is_v1:
                frame = self._saw_trade(event, cursor, connection)
            case _:
                frame = self._saw_other(event, cursor, topic)
        is_start = cursor.is_starting and (
            isinstance(event, BookSnapshot | Level3Snapshot) or getattr(event, "snapshot", False)
        )
        cursor.is_starting = is_start
        if frame is not None and not is_start and not self._conflates:
            if (event.epoch, frame) < self._place:
                raise self._break(2, f"{_short(event)} was sent before what has been yielded already")
            self._place = (event.epoch, frame)
        if cursor.has_gap:
            self.recoveries += 1
        cursor.has_gap = False
        cursor.missed = None
        cursor.has_begun = True

    def _saw_book(self, event: _BookEvent, cursor: _Cursor, topic: Topic) -> int | None:
        if isinstance(event, BookUpdate | Level3Update):
            frame: int | None = self._found_update(event, cursor, topic)
        else:
            frame = self._found_snapshot(event, cursor, topic)
        verified = topic.state(cursor.index).verified
        if verified is False:
            raise self._break(1, f"after {_short(event)} the book does not have the exchange's checksum")
        if verified is None and topic.has_proof_before(cursor.index):
            raise self._break(1, f"{_short(event)} has no checksum, those before it had one, and it was shown")
        return frame

    def _found_update(self, event: BookUpdate | Level3Update, cursor: _Cursor, topic: Topic) -> int:
        if not cursor.readable:
            raise self._break(1, f"{_short(event)} without a snapshot before it")
        index = topic.last_repeat(cursor.index) + 1
        if index >= len(topic.items) or topic.items[index].is_snapshot:
            raise self._break(2, f"{_short(event)} is not what the exchange sent after the last event of this book")
        if topic.items[index].content != content_of(event):
            raise self._break(2, f"{_short(event)} is not what the exchange sent after the last event of this book")
        cursor.index = index
        return topic.items[index].frame

    def _found_snapshot(self, event: BookSnapshot | Level3Snapshot, cursor: _Cursor, topic: Topic) -> int | None:
        if cursor.has_begun and not cursor.has_gap and not self._conflates:
            raise self._break(2, f"{_short(event)}: a snapshot without a gap before it")
        cursor.readable = True
        bids, asks, *proof = content_of(event)
        floor = self._floor(event)
        for index in range(cursor.index + 1, len(topic.items)):
            item = topic.items[index]
            if item.is_snapshot and list(item.content[2:]) == proof and (cursor.is_starting or item.frame >= floor):
                state = topic.state(index)
                if (state.bids, state.asks) == (bids, asks):
                    cursor.index = index
                    return item.frame
        # It is made from the local book: that of one of the items, whose time it has.
        for index in range(len(topic.items) - 1, max(cursor.index, 0) - 1, -1):
            if list(topic.items[index].content[2:]) == proof:
                state = topic.state(index)
                if (state.bids, state.asks) == (bids, asks):
                    cursor.index = index
                    return None
        raise self._break(1, f"{_short(event)} is no state that the exchange's book had")

    def _floor(self, event: Event) -> int:
        """The earliest frame in which this may have come, because a quiet market may repeat an event."""
        return self._place[1] if event.epoch == self._place[0] and not self._conflates else -1

    def _saw_trade(self, event: Trade, cursor: _Cursor, connection: SentConnection) -> int | None:
        if event.trade_id is None:
            raise self._break(2, f"{_short(event)} has no number")
        trades = connection.trades.get(event.symbol, {})
        sent = trades.get(event.trade_id)
        known = sent or self._sent.trade(event.symbol, event.trade_id)
        if known is None or known.content != content_of(event):
            raise self._break(2, f"{_short(event)} is no trade that the exchange sent")
        last = cursor.trade_id
        if last is None:
            before = (item for number, item in trades.items() if number < event.trade_id)
            if not cursor.has_gap and any(map(self._is_news, before)):
                raise self._break(2, f"{event} is the first, but not the first that was sent")
        elif event.trade_id <= last:
            raise self._break(2, f"{_short(event)} after trade {last}")
        elif event.trade_id != last + 1 and not cursor.has_gap:
            raise self._break(2, f"{_short(event)} after trade {last}, and no gap between them")
        elif cursor.missed is not None and event.trade_id != last + 1 + cursor.missed:
            raise self._break(2, f"{_short(event)} after trade {last}, and a gap of {cursor.missed} between them")
        cursor.trade_id = event.trade_id
        return None if sent is None or event.snapshot else sent.frame

    def _saw_other(
        self,
        event: Trade | TickerUpdate | SpreadUpdate | Candle | InstrumentUpdate,
        cursor: _Cursor,
        topic: Topic,
    ) -> int | None:
        said, items = content_of(event), topic.items
        if cursor.is_starting and getattr(event, "snapshot", False):
            # A feed starts with the latest of what was sent: of each candle, for instance.
            if topic.places(said):
                cursor.start.add(said)
                return None
        else:
            floor = self._floor(event)
            same = {index for index in topic.places(said) if items[index].frame >= floor}
            if cursor.is_starting:
                is_free = cursor.has_gap or self._conflates
                if isinstance(event, Trade):  # it has no number
                    same = {i for i in same if is_free or not any(map(self._is_news, items[:i]))}
                else:
                    same = {i for i in same if is_free or i == 0 or items[i - 1].content in cursor.start}
            elif cursor.has_gap or self._conflates:
                same = {i for i in same if i > min(cursor.places, default=-1)}
            else:
                same = {i for i in same if i - 1 in cursor.places}
            if same:
                cursor.places = same
                return items[max(same)].frame if len(same) == 1 else None
        raise self._break(2, f"{_short(event)} is not what the exchange sent next")

    # Books

    def check_books(self, books: Mapping[str, OrderBook]) -> None:
        """Check that the feed's books, by symbol, are those of the events so far."""
        for symbol, book in books.items():
            state = self._readable("book", symbol, book)
            if state is not None:
                has_proof = state.verified is True
                self._check_book(book, state, levels_of(book.bids), levels_of(book.asks), has_proof=has_proof)

    def check_level3(self, books: Mapping[str, Level3Book]) -> None:
        """Likewise for books of single orders."""
        for symbol, book in books.items():
            state = self._readable("level3", symbol, book)
            if state is not None:
                bids, asks = (
                    orders_of(order for queue in side for order in queue.orders) for side in (book.bids, book.asks)
                )
                self._check_book(book, state, bids, asks, has_proof=True)

    def _readable(self, channel: str, symbol: str, book: OrderBook | Level3Book) -> BookState | None:
        """What the exchange's frames make of a book; None if it cannot be read now, as it should be."""
        cursor = self._cursors[channel, symbol]
        if book.available is not cursor.readable:
            can = "can" if book.available else "cannot"
            raise self._break(1, f"the {channel} of {symbol} {can} be read")
        return cursor.state if cursor.readable else None

    def _check_book(
        self, book: OrderBook | Level3Book, state: BookState, bids: object, asks: object, *, has_proof: bool
    ) -> None:
        if (bids, asks) != (state.bids, state.asks):
            raise self._break(1, f"{book} is not the book that the exchange's frames make")
        if book.crossed is not state.crossed:
            raise self._break(1, f"{book}: crossed is wrong")
        if book.verified is not has_proof:
            raise self._break(1, f"{book}: verified is wrong")

    # The end

    def behind(self, connection: SentConnection) -> str | None:
        """What is still missing when nothing has happened for a while on the present connection."""
        for key, cursor in self._cursors.items():
            missing = self._behind(key, cursor, connection)
            if missing is not None:
                return f"{self.name}: {key} {missing}"
        return None

    def _behind(self, key: Key, cursor: _Cursor, connection: SentConnection) -> str | None:
        topic = connection.topic(key)
        sent = len(topic.items)
        if key[0] in BOOKS:
            if not cursor.readable:
                return "cannot be read"
            cursor.index = topic.last_repeat(cursor.index) if cursor.connection is connection else cursor.index
            return self._not_at_the_end(cursor, connection, sent)
        if key[0] == "trade" and not connection.is_v1:
            return self._trades_behind(key[1] or "", cursor, connection)
        if cursor.has_gap and (self._drops or cursor.connection is connection):
            return None  # dropped, or possibly in a malformed frame, and nothing came since
        if cursor.is_starting:
            is_old = key[0] == "trade" and not any(map(self._is_news, topic.items))
            if sent and not is_old and topic.items[-1].content not in cursor.start:
                return f"has only what it started with, and {sent} were sent"
            return None
        return self._not_at_the_end(cursor, connection, sent)

    def _trades_behind(self, symbol: str, cursor: _Cursor, connection: SentConnection) -> str | None:
        trades = connection.trades.get(symbol, {})
        last = max(trades, default=None)
        come, missed = cursor.trade_id, cursor.missed
        if cursor.has_gap and (self._drops or cursor.connection is connection):
            is_behind = bool(missed and come and come + missed != last)
        else:
            is_behind = last is not None and come != last and bool(come or self._is_news(trades[last]))
        return f"has come to trade {come}, and {last} was sent" if is_behind else None

    @staticmethod
    def _not_at_the_end(cursor: _Cursor, connection: SentConnection, sent: int) -> str | None:
        if not sent or (cursor.connection is connection and sent - 1 in {cursor.index, *cursor.places}):
            return None
        return f"has come to item {max(cursor.index, *cursor.places, -1)}, and {sent} were sent"

    def _is_news(self, trade: Item) -> bool:
        """Whether this trade was sent while the feed was open."""
        return not trade.is_snapshot and bool(trade.content[-1] > self._opened)


def _short(event: Event) -> str:
    if isinstance(event, BookSnapshot | BookUpdate | Level3Snapshot | Level3Update):
        return f"{type(event).__name__}({event.symbol}, {event.timestamp}, epoch {event.epoch})"
    return str(event)
