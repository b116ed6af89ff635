"""The oracle: it sees what the exchange sent and what each feed yielded, and holds every promise of the design to it.

A feed is watched event by event (:class:`Watch`), so a broken promise is found where it breaks:

1. *verified books only*: after each event the feed's books are what the exchange's frames make of them, digit for
   digit, and unreadable from a gap to the next snapshot; a book that did not verify is never shown.
2. *order*: what is yielded was sent, in this order, none twice; what was left out has a gap in its place.
3. *wishes outlive connections*: in the end everything wanted is there again (:meth:`Oracle.finish`).
4. *bounds*: attempts to connect, requests, what waits in feeds.
5. *nothing outlives its block*: how long leaving takes, and what is open after it.
6. *a fault stays where it is*: every gap has a cause that explains it, of its own symbol.

The seventh, *same input, same output*, is the digest's business: :mod:`tests.simulation.trace`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import attrs
import trio

import kraken_trio as kt
from kraken_trio.testing.exchange.frames import stamp
from kraken_trio.testing.faults import exchange as f, network as n
from tests.simulation.client_side import content_of, key_of, levels_of
from tests.simulation.exchange_side import Connection, Item, Key, Topic
from tests.simulation.plan import EPOCH_NS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kraken_trio.requests import Request
    from kraken_trio.testing import Exchange
    from tests.simulation.plan import Consumer, Event, Plan

__all__ = ["BrokenPromise", "Oracle", "Watch"]

CONNECT_WINDOW: Final = 600.0
CONNECT_LIMIT: Final = 120
"""Attempts in any such window (PROTOCOL, section 1)."""
BATCH_LIMIT: Final = 1500
"""Events that one batch of frames can hold here: so many may wait beyond a feed's capacity."""
_EVERYTHING = frozenset({"book", "trade", "ticker", "ohlc", "instrument"})


class BrokenPromise(AssertionError):  # noqa: N818 (named by what happened)
    """The number of the promise, and what has been seen."""

    def __init__(self, promise: int, seen: str) -> None:
        super().__init__(f"promise {promise}: {seen}")
        self.promise = promise


# 6. What explains a gap

_C = kt.Cause
_LOSSES = frozenset({_C.DISCONNECTED, _C.SILENCE, _C.PROTOCOL})
_ASKING = frozenset({_C.RESUBSCRIBED, _C.PARKED})
_EXPLAINS: Final[dict[type, frozenset[kt.Cause]]] = {
    f.SkipUpdate: frozenset({_C.CHECKSUM, _C.CROSSED, _C.PARKED}),
    f.CorruptLevel: frozenset({_C.CHECKSUM, _C.PARKED}),
    f.CorruptChecksum: frozenset({_C.CHECKSUM, _C.PARKED}),
    f.CrossedBook: frozenset({_C.CROSSED, _C.CHECKSUM, _C.PARKED}),
    f.Mute: _ASKING,
    f.LateUpdates: frozenset(),
    f.UpdateBeforeSnapshot: frozenset(),
    f.Refuse: _ASKING | {_C.REFUSED},
    f.Drop: _LOSSES,
    f.Freeze: _LOSSES,
    f.StopHeartbeats: frozenset(),
    f.Raw: _LOSSES | {_C.MALFORMED},
    f.UnknownChannel: frozenset(),
    f.UnknownField: frozenset(),
    f.SetStatus: frozenset(),
    f.RefuseConnect: _LOSSES,
    f.HangConnect: _LOSSES,
    f.DropConnect: _LOSSES,
    f.DelayConnect: _LOSSES,
    f.DelayAcks: _ASKING,
    f.DelaySnapshots: _ASKING,
    f.DuplicateAck: frozenset(),
    f.IgnoreRequests: _ASKING | {_C.SILENCE},  # a ping, while there are no heartbeats
    n.ResetLink: _LOSSES,
    n.HalfOpen: _LOSSES | _ASKING,
    n.BlackHole: _LOSSES | _ASKING,
    n.Outage: _LOSSES,
    n.Degrade: _LOSSES | _ASKING,
    n.RefuseDial: frozenset(),
    n.HangDial: frozenset(),
    n.DelayDial: frozenset(),
    n.UnknownHost: frozenset(),
}
"""Which gaps a fault may bring about."""


@attrs.define
class _Cursor:
    """How far a feed has come in one topic."""

    key: Key
    connection: Connection | None = None
    index: int = -1
    """Of the latest item that was yielded: of a book."""
    places: set[int] = attrs.Factory(set)
    """The same, of anything else: it may have been any of these, because a quiet market says the same thing twice."""
    trade_id: int | None = None
    has_gap: bool = False
    """A gap stands behind it."""
    missed: int | None = None
    """How many events are missing there, where the gap says so."""
    has_begun: bool = False
    start: set[object] = attrs.Factory(set)
    """What the feed started with."""
    is_starting: bool = True
    """Only that has come: it may be older than what the feed has had of other topics."""
    readable: bool = False
    """Of a book: may it be read?"""


class Watch:
    """One feed, from its opening to its end."""

    def __init__(self, oracle: Oracle, name: str, epochs: dict[int, int], feed: kt.Feed) -> None:
        self.name = name
        self.feed = feed
        self._conflates = feed.overflow is kt.Overflow.CONFLATE
        """Then what is yielded is the latest state, and what lies between may be missing."""
        self._drops = feed.overflow is kt.Overflow.DROP_OLDEST
        self._oracle = oracle
        self._epochs = epochs
        self._cursors: dict[Key, _Cursor] = {}
        for request in feed.requests:
            if request.channel is not None:
                key = (request.channel, request.symbol)
                self._cursors[key] = _Cursor(key)
        self._opened = stamp(EPOCH_NS + round(trio.current_time() * 1e9))
        self._place = (0, -1)  # epoch and frame of the latest event that was sent
        self._state: kt.ConnectionState | None = None
        self.events = 0
        self.recoveries = 0

    def _break(self, promise: int, seen: str) -> BrokenPromise:
        return BrokenPromise(promise, f"{self.name} at {trio.current_time():.6f}: {seen}")

    def saw(self, event: kt.Event) -> None:
        """The feed has yielded this."""
        self.events += 1
        match event:
            case kt.StateChange():
                self._saw_state(event)
            case kt.StatusUpdate():
                self._oracle.explain_status(self.name, event)
            case kt.Gap():
                self._saw_gap(event)
            case _:
                self._saw_data(event)

    # Lifecycle and gaps

    def _saw_state(self, event: kt.StateChange) -> None:
        if self._state is not None and event.previous is not self._state:
            raise self._break(2, f"{_short(event)}, but the state was {self._state}")
        self._state = event.current

    def _saw_gap(self, gap: kt.Gap) -> None:
        if gap.cause is _C.OVERFLOW:
            if self.feed.overflow is not kt.Overflow.DROP_OLDEST or self.feed.statistics().dropped == 0:
                raise self._break(6, f"{gap}, and nothing was dropped")
        else:
            self._oracle.explain(self, gap)
        if gap.symbol is None and gap.channel != "instrument":
            hit = [c for c in self._cursors.values() if c.key[0] != "book" and gap.channel in (None, c.key[0])]
        else:
            assert gap.channel is not None
            if (gap.channel, gap.symbol) not in self._cursors:
                raise self._break(6, f"{gap} is of something that this feed never wanted")
            hit = [self._cursors[gap.channel, gap.symbol]]
        for cursor in hit:
            unknown = gap.missed is None or (cursor.has_gap and cursor.missed is None)
            cursor.missed = None if unknown else (cursor.missed or 0) + (gap.missed or 0)
            cursor.has_gap = True
            cursor.readable = False

    # Data

    def _saw_data(self, event: kt.Event) -> None:
        key = key_of(event)
        cursor = self._cursors.get(key)
        if cursor is None:
            raise self._break(2, f"{_short(event)} was not asked for by this feed")
        number = self._epochs.get(event.epoch)
        if number is None:
            raise self._break(2, f"{_short(event)} is of an epoch that never was")
        connection = self._oracle.connections[number]
        if cursor.connection is not connection and key[0] != "trade":  # those have numbers
            if cursor.has_begun and not cursor.has_gap and not self._conflates:
                raise self._break(2, f"{_short(event)} comes over another connection, and no gap stands before it")
            cursor.is_starting = cursor.is_starting and cursor.connection is None
            cursor.connection, cursor.index, cursor.places = connection, -1, set()
        topic = connection.topic(key)
        match event:
            case kt.BookSnapshot() | kt.BookUpdate():
                frame = self._saw_book(event, cursor, topic)
            case kt.Trade():
                frame = self._saw_trade(event, cursor, connection)
            case _:
                frame = self._saw_other(event, cursor, topic)
        is_start = cursor.is_starting and (isinstance(event, kt.BookSnapshot) or getattr(event, "snapshot", False))
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

    def _saw_book(self, event: kt.BookSnapshot | kt.BookUpdate, cursor: _Cursor, topic: Topic) -> int | None:
        frame = self._found_book(event, cursor, topic)
        if not topic.state(cursor.index).verified:
            raise self._break(1, f"after {_short(event)} the book does not have the exchange's checksum")
        return frame

    def _found_book(self, event: kt.BookSnapshot | kt.BookUpdate, cursor: _Cursor, topic: Topic) -> int | None:
        said = content_of(event)
        if isinstance(event, kt.BookUpdate):
            if not cursor.readable:
                raise self._break(1, f"{_short(event)} without a snapshot before it")
            index = cursor.index + 1
            if index >= len(topic.items) or topic.items[index].is_snapshot or topic.items[index].content != said:
                raise self._break(2, f"{_short(event)} is not what the exchange sent after the last event of this book")
            if topic.state(index).crossed and not topic.state(cursor.index).crossed:
                raise self._break(1, f"{_short(event)} crosses the book, and was shown")
            cursor.index = index
            return topic.items[index].frame
        if cursor.has_begun and not cursor.has_gap and not self._conflates:
            raise self._break(2, f"{_short(event)}: a snapshot without a gap before it")
        cursor.readable = True
        for index in range(cursor.index + 1, len(topic.items)):
            item = topic.items[index]
            if item.is_snapshot and item.content == said and (cursor.is_starting or item.frame >= self._floor(event)):
                cursor.index = index
                return item.frame
        # It is made from the local book: that of one of the items, whose time it has.
        bids, asks, checksum, timestamp = said
        for index in range(len(topic.items) - 1, max(cursor.index, 0) - 1, -1):
            item, state = topic.items[index], topic.state(index)
            if item.content[2:] == (checksum, timestamp) and (state.bids, state.asks) == (bids, asks):
                cursor.index = index
                return None
        raise self._break(1, f"{_short(event)} is no state that the exchange's book had")

    def _floor(self, event: kt.Event) -> int:
        """The earliest frame that this may have come in: a quiet market says the same thing twice."""
        return self._place[1] if event.epoch == self._place[0] and not self._conflates else -1

    def _saw_trade(self, event: kt.Trade, cursor: _Cursor, connection: Connection) -> int | None:
        sent = connection.trades.get(event.symbol, {}).get(event.trade_id)
        known = sent or self._oracle.trade(event.symbol, event.trade_id)
        if known is None or known.content != content_of(event):
            raise self._break(2, f"{_short(event)} is no trade that the exchange sent")
        last = cursor.trade_id
        if (
            last is None
            and not cursor.has_gap
            and any(
                self._is_news(item)
                for number, item in connection.trades[event.symbol].items()
                if number < event.trade_id
            )
        ):
            raise self._break(2, f"{event} is the first, but not the first that was sent")
        if last is not None and event.trade_id <= last:
            raise self._break(2, f"{_short(event)} after trade {last}")
        if last is not None and event.trade_id != last + 1 and not cursor.has_gap:
            raise self._break(2, f"{_short(event)} after trade {last}, and no gap between them")
        if last is not None and cursor.missed is not None and event.trade_id != last + 1 + cursor.missed:
            raise self._break(2, f"{_short(event)} after trade {last}, and a gap of {cursor.missed} between them")
        cursor.trade_id = event.trade_id
        return None if sent is None or event.snapshot else sent.frame

    def _saw_other(self, event: kt.Event, cursor: _Cursor, topic: Topic) -> int | None:
        said, items = content_of(event), topic.items
        if cursor.is_starting and getattr(event, "snapshot", False):
            # A feed starts with the latest of what was sent: of each candle, for instance.
            if any(item.content == said for item in items):
                cursor.start.add(said)
                return None
        else:
            floor = self._floor(event)
            same = {index for index, item in enumerate(items) if item.content == said and item.frame >= floor}
            if cursor.is_starting:
                is_free = cursor.has_gap or self._conflates
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

    def check_books(self) -> None:
        """The feed's books are what the events so far make of them."""
        for symbol, book in self.feed.books.items():
            cursor = self._cursors["book", symbol]
            if book.available is not cursor.readable:
                state = "can" if book.available else "cannot"
                raise self._break(1, f"the book of {symbol} {state} be read")
            if not cursor.readable:
                continue
            assert cursor.connection is not None  # it has had a snapshot
            state_now = cursor.connection.topic(cursor.key).state(cursor.index)
            if (levels_of(book.bids), levels_of(book.asks)) != (state_now.bids, state_now.asks):
                raise self._break(1, f"{book} is not the book that the exchange's frames make")
            if book.crossed is not state_now.crossed:
                raise self._break(1, f"{book}: crossed is wrong")

    # The end

    def behind(self, connection: Connection) -> str | None:
        """What is still missing, when nothing has happened for a while."""
        for key, cursor in self._cursors.items():
            topic = connection.topic(key)
            if key[0] == "book":
                if not cursor.readable:
                    return f"{self.name}: {key} cannot be read"
            elif cursor.has_gap and (self._drops or cursor.connection is connection):
                # It was dropped, or a frame made no sense, which may have been of this; and nothing has come since.
                last = max(connection.trades.get(key[1] or "", {}), default=None)
                if key[0] == "trade" and cursor.missed and cursor.trade_id and cursor.trade_id + cursor.missed != last:
                    return f"{self.name}: {key} has come to trade {cursor.trade_id}, and {last} was sent"
                continue
            if key[0] == "trade":
                last = max(connection.trades.get(key[1] or "", {}), default=None)
                if last is not None and cursor.trade_id != last and (cursor.trade_id or self._is_news(topic.items[-1])):
                    return f"{self.name}: {key} has come to trade {cursor.trade_id}, and {last} was sent"
            elif cursor.is_starting and key[0] != "book":
                if topic.items and topic.items[-1].content not in cursor.start:
                    return f"{self.name}: {key} has only what it started with, and {len(topic.items)} were sent"
            elif topic.items and (
                cursor.connection is not connection or len(topic.items) - 1 not in {cursor.index, *cursor.places}
            ):
                places = max(cursor.index, *cursor.places, -1)
                return f"{self.name}: {key} has come to item {places}, and {len(topic.items)} were sent"
        return None

    def _is_news(self, trade: Item) -> bool:
        """Was this trade sent when the feed was there?"""
        return not trade.is_snapshot and bool(trade.content[-1] > self._opened)

    def readable(self, symbol: str) -> tuple[Connection, int] | None:
        """Where its book stands."""
        cursor = self._cursors.get(("book", symbol))
        if cursor is None or cursor.connection is None or not cursor.readable:
            return None
        return cursor.connection, cursor.index


class Oracle:
    """Everything that was seen of one run."""

    def __init__(self, plan: Plan, exchange: Exchange, depths: dict[str, int]) -> None:
        self.connections: dict[int, Connection] = {}
        self.injected: Counter[str] = Counter()
        self._plan = plan
        self._exchange = exchange
        self._depths = depths
        self._explained: set[tuple[kt.Cause, str | None]] = set()
        self._phantoms: Counter[str | None] = Counter()
        self._checksum_gaps: Counter[tuple[str, int, str | None]] = Counter()
        self._requests: list[float] = []
        self._statuses = {"online"}

    def new_client(self) -> None:
        """The program opens a client; the pacing of requests is a client's."""
        self._requests.clear()

    # What is seen of the exchange

    def connected(self, number: int) -> None:
        """A client's connection has this number at the exchange."""
        self.connections[number] = Connection(self._exchange.journal[number - 1], self._depths)

    def trade(self, symbol: str, trade_id: int) -> Item | None:
        """This trade, over whatever connection it came."""
        for connection in self.connections.values():
            connection.read()
            item: Item | None = connection.trades.get(symbol, {}).get(trade_id)
            if item is not None:
                return item
        return None

    def happened(self, fault: Event) -> None:
        """This fault was injected."""
        self.injected[type(fault).__name__] += 1
        symbol = getattr(fault, "symbol", None)
        if isinstance(fault, f.Refuse) and fault.shape is not f.Shape.WITH_SYMBOL:
            symbol = None  # the answer does not say which symbol of a request it means
        self._explained |= {(cause, symbol) for cause in _EXPLAINS.get(type(fault), ())}
        if isinstance(fault, f.CrossedBook) and not fault.consistent:
            self._phantoms[fault.symbol] += 1
        if isinstance(fault, f.SetStatus):
            self._statuses.add(fault.system)
        if isinstance(fault, f.Drop) and fault.how is f.DropHow.CLOSE_1008:
            self._explained.add((_C.REFUSED, None))

    def may_reject(self, request: Request) -> bool:
        """May a subscribe be refused? That takes a fault of that symbol."""
        return any(
            cause in (_C.REFUSED, _C.PARKED) and symbol in (None, request.symbol) for cause, symbol in self._explained
        )

    # 4

    def asked(self, text: str) -> None:
        """The client has sent this."""
        if '"ping"' in text:
            return
        settings, now = self._plan.settings, trio.current_time()
        self._requests.append(now)
        for back, since in enumerate(reversed(self._requests[-400:]), 1):
            if back > settings.request_burst + settings.request_rate * (now - since) + 1.001:
                raise BrokenPromise(4, f"{back} requests in {now - since} s")

    def buffered(self, watch: Watch) -> None:
        """Does too much wait in this feed?"""
        numbers = watch.feed.statistics()
        if numbers.high_water > numbers.capacity + BATCH_LIMIT:
            raise BrokenPromise(4, f"{watch.name}: {numbers}")

    def check_dials(self, dials: Iterable[float]) -> None:
        """How often clients have dialled, in any window."""
        times = list(dials)
        for first, last in zip(times, times[CONNECT_LIMIT:], strict=False):
            if last - first < CONNECT_WINDOW:
                raise BrokenPromise(4, f"more than {CONNECT_LIMIT} attempts to connect from {first} to {last}")

    # 6

    def explain(self, watch: Watch, gap: kt.Gap) -> None:
        """Is there a reason for this gap?"""
        if gap.cause is _C.MISSED:
            return  # the watch sees whether it is so
        if (gap.cause, None) not in self._explained and (gap.cause, gap.symbol) not in self._explained:
            raise BrokenPromise(6, f"{watch.name} at {trio.current_time():.6f}: nothing that went wrong explains {gap}")
        if gap.cause is _C.CHECKSUM:
            number = max(self.connections)
            connection = self.connections[number]
            connection.read()
            counted = (watch.name, number, gap.symbol)
            self._checksum_gaps[counted] += 1
            # A bid that does not exist is taken for one that does while the book is crossed anyway; that shows later.
            wrong = connection.withheld.get(gap.symbol, 0) + self._phantoms[gap.symbol]
            if self._checksum_gaps[counted] > wrong:
                raise BrokenPromise(
                    6, f"{watch.name} at {trio.current_time():.6f}: nothing was wrong with {gap.symbol}"
                )

    def explain_status(self, name: str, event: kt.StatusUpdate) -> None:
        """Has the exchange said so?"""
        if event.system not in self._statuses:
            raise BrokenPromise(2, f"{name}: {event}, and the exchange never said so")

    # 3

    def finish(self, watches: Iterable[Watch], consumers: Iterable[Consumer]) -> None:
        """All is quiet: nothing may be missing, and every book is the exchange's."""
        del consumers
        for watch in watches:
            connection = self.connections[max(self.connections)]
            missing = watch.behind(connection)
            if missing is not None:
                raise BrokenPromise(3, missing)
            for symbol, book in watch.feed.books.items():
                theirs = self._exchange.book(symbol, self._depths[symbol])
                if connection.withheld.get(symbol):
                    continue  # an update may be missing that no checksum covers
                if (list(levels_of(book.bids)), list(levels_of(book.asks))) != (theirs.bids, theirs.asks):
                    raise BrokenPromise(3, f"{watch.name}: {book} is not the exchange's book in the end")


def _short(event: kt.Event) -> str:
    if isinstance(event, kt.BookSnapshot | kt.BookUpdate):
        return f"{type(event).__name__}({event.symbol}, {event.timestamp}, epoch {event.epoch})"
    return str(event)
