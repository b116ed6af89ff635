"""What relays would publish, made simply: an exchange, producers that follow it, and a broker's log.

Every event of a key has its number, counted over all that happens at the exchange, in ``received_ns``. So it is known
of each event that is delivered what the truth is after it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import attrs

from kraken_trio.book import OrderBook
from kraken_trio.broker.messages import Batch, Form, KeyFrame, encode
from kraken_trio.broker.position import Place, Position, Taken
from kraken_trio.broker.progress import Progress
from kraken_trio.broker.reader import Reader
from kraken_trio.broker.subjects import Key, Kind, Subject
from kraken_trio.channels import CHANNELS
from kraken_trio.events import BookSnapshot, BookUpdate, Cause, Event, Gap, Level, OrderType, Side, TickerUpdate, Trade
from kraken_trio.requests import Book, Request, Ticker, Trades
from kraken_trio.statistics import Counters
from kraken_trio.testing import ReferenceBook
from kraken_trio.wire.codec import codec_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kraken_trio.broker.progress import Delivery

BTC = "BTC/USD"
BOOK: Key = ("book", BTC)
TRADE: Key = ("trade", BTC)
TICKER: Key = ("ticker", BTC)
REQUESTS: dict[Key, Request[Any]] = {BOOK: Book(BTC), TRADE: Trades(BTC, snapshot=True), TICKER: Ticker(BTC)}
KEYS = list(REQUESTS)
_NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


class Exchange:
    """What has happened at the exchange, by key: the first event of a book is a snapshot."""

    def __init__(self, *, numbered: bool = True) -> None:
        self.history: dict[Key, list[Any]] = {key: [] for key in KEYS}
        self.books: list[ReferenceBook] = []
        """The book after each of its events."""
        self._numbered = numbered
        for key in KEYS:
            self.happen(key)

    def happen(self, key: Key) -> None:
        number = len(self.history[key])
        make = {BOOK: self._book, TRADE: self._trade, TICKER: self._ticker}[key]
        self.history[key].append(make(number))

    def _book(self, number: int) -> BookSnapshot | BookUpdate:
        book = self.books[-1].cut(10) if self.books else ReferenceBook(10)
        price, qty = 1000 + number * 7 % 13, f"{number + 1}.5"
        bids, asks = [(f"{price - 20}.0", qty)], [(f"{price + 20}.0", qty)]
        book.apply(bids=bids, asks=asks)
        self.books.append(book)
        cls = BookUpdate if number else BookSnapshot
        return cls(
            symbol=BTC,
            bids=tuple(Level(*level) for level in bids),
            asks=tuple(Level(*level) for level in asks),
            checksum=book.checksum(),
            timestamp=_NOON + timedelta(milliseconds=number),
            epoch=1,
            received_ns=number,
        )

    def _trade(self, number: int) -> Trade:
        return Trade(
            symbol=BTC,
            side=Side.BUY,
            price=Decimal(1000 + number),
            qty=Decimal("0.5"),
            ord_type=OrderType.MARKET,
            trade_id=500 + number if self._numbered else None,
            timestamp=_NOON + timedelta(milliseconds=number),
            epoch=1,
            received_ns=number,
        )

    def _ticker(self, number: int) -> TickerUpdate:
        price = Decimal(1000 + number)
        return TickerUpdate(symbol=BTC, bid=price, bid_qty=price, ask=price + 1, ask_qty=price, received_ns=number)


@attrs.frozen
class Stored:
    """A message in the log."""

    subject: Subject
    data: bytes
    offset: int
    partition: int = 0

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(f"{self.offset}: {self.subject} {self.data[6:30].decode(errors='replace')}")


class Log:
    """A broker's log: what producers have published, or what is left of it."""

    def __init__(self, first: int = 1) -> None:
        self.messages: list[Stored] = []
        self.next = first

    def store(self, subject: Subject, data: bytes) -> None:
        self.messages.append(Stored(subject, data, self.next))
        self.next += 1


class Producer:
    """Follows an exchange, and publishes what it finds: one shard with all keys."""

    def __init__(
        self, number: int, exchange: Exchange, log: Log, *, form: Form = Form.JSON, numbered: bool = True
    ) -> None:
        self.number = number
        self.exchange = exchange
        self.log = log
        self.form = form
        codec = codec_for("v2" if numbered else "v1")
        self.states = {key: CHANNELS[key[0]](request, Counters(), codec) for key, request in REQUESTS.items()}
        self.seen = dict.fromkeys(KEYS, 0)  # how many of the exchange's events it has received
        self.seqs: dict[Key, int] = {}
        self.pending: dict[Key, list[Event]] = {key: [] for key in KEYS}

    def follow(self, key: Key, count: int = 1) -> None:
        """Receive the next events of the exchange."""
        history = self.exchange.history[key]
        for event in history[self.seen[key] : self.seen[key] + count]:
            taken, failure = self.states[key].take([event])
            assert failure is None
            self.seen[key] += 1
            if key in self.seqs:
                self.pending[key] += taken

    def catch_up(self, *keys: Key) -> None:
        for key in keys or KEYS:
            self.follow(key, len(self.exchange.history[key]))

    def begin(self) -> None:
        """It is the owner now: every key begins with its state."""
        for key, state in self.states.items():
            self.seqs[key] = 0
            self.pending[key] = list(state.start(REQUESTS[key]))

    def lose(self, key: Key) -> None:
        """Its connection to the exchange is lost, and made again: what happened meanwhile is missing."""
        lost = len(self.exchange.history[key]) - self.seen[key]
        at = self.seen[key]
        self.states[key].reset()
        if key in self.seqs:
            self.pending[key].append(Gap(symbol=BTC, channel=key[0], cause=Cause.DISCONNECTED, epoch=1, received_ns=at))
        if not lost and key != BOOK:
            return
        self.seen[key] += lost
        if key == BOOK:
            book, last = self.exchange.books[self.seen[key] - 1], self.exchange.history[key][self.seen[key] - 1]
            event: Event = BookSnapshot(
                symbol=BTC,
                bids=tuple(Level(*level) for level in book.bids),
                asks=tuple(Level(*level) for level in book.asks),
                checksum=last.checksum,
                timestamp=last.timestamp,
                epoch=last.epoch,
                received_ns=last.received_ns,
            )
        else:
            event = self.exchange.history[key][self.seen[key] - 1]
        taken, failure = self.states[key].take([event])
        assert failure is None
        if key in self.seqs:
            self.pending[key] += taken

    def publish(self, key: Key) -> None:
        """Publish what is pending."""
        events = self.pending[key]
        if events and key in self.seqs:
            batch = Batch(producer=self.number, seq=self.seqs[key], channel=key[0], symbol=key[1], events=list(events))
            self.log.store(Subject(self.number % 3, Kind.DATA, *key), encode(batch, self.form))
            self.seqs[key] += len(events)
            events.clear()

    def key_frame(self, key: Key) -> None:
        if key in self.seqs:
            self.publish(key)
            kept = self.states[key].keep()
            frame = KeyFrame(
                producer=self.number,
                seq=self.seqs[key] - 1,
                channel=key[0],
                symbol=key[1],
                request=REQUESTS[key],
                events=kept.events,
                marks=kept.marks,
            )
            self.log.store(Subject(self.number % 3, Kind.KEY, *key), encode(frame, self.form))


def taken(start: Place, *, expired: bool = False) -> Taken:
    return Taken({0: start}, frozenset({0} if expired else ()))


def position_after(deliveries: Sequence[Delivery], reader: Reader, received: int) -> Position | None:
    """Where a program stands that has received so many of all these events; None before it has all it begins with."""
    progress, offered = Progress("kraken"), 0
    for delivery in deliveries:
        progress.add(delivery, max(0, offered - received), in_order=True)
        if delivery.partition is None or not offered:
            progress.begin(reader.starts)
        offered += len(delivery.events)
    return progress.position(offered - received, in_order=True)


def events_of(deliveries: Iterable[Delivery]) -> list[Event]:
    return [event for delivery in deliveries for event in delivery.events]


def read(
    messages: Sequence[Stored],
    start: Place | None = None,
    *requests: Request[Any],
    is_owed: bool = False,
    is_resumed: bool = False,
) -> list[Event]:
    """What a feed gets of these messages."""
    reader = Reader(requests or REQUESTS.values(), Counters(), is_owed=is_owed, is_resumed=is_resumed)
    found = reader.open(taken(start or Place(0)))
    return events_of([*found, *reader.take(messages), *reader.reach((0,))])


def judge(exchange: Exchange, events: Iterable[Event]) -> None:
    """Whatever was delivered is true, none of it twice, and between what is not consecutive is a gap.

    After a gap a snapshot may be as old as the last event, and after another producer took over, older.
    """
    last: dict[str, int] = {}
    told: set[str] = set()
    book = OrderBook(10)
    for event in events:
        channel = str(event.channel)
        if type(event) is Gap:
            told.add(channel)
            if event.cause is Cause.FAILOVER and channel != "trade":
                last.pop(channel, None)  # the later producer may be a little behind the earlier one
            if channel == "book" and book.symbol is not None:
                book.apply(event)
            continue
        number = event.received_ns
        before = last.get(channel)
        is_state = isinstance(event, BookSnapshot) or (isinstance(event, TickerUpdate) and event.snapshot)
        if before is not None:
            assert number > before or (is_state and channel in told and number >= before), (before, event)
            assert number == before + 1 or channel in told or channel == "ticker", (before, event)
        if isinstance(event, BookSnapshot | BookUpdate):
            book.apply(event)
            assert exchange.books[number].same_levels(
                [(level.price_text, level.qty_text) for level in book.bids],
                [(level.price_text, level.qty_text) for level in book.asks],
            )
        elif isinstance(event, Trade):
            true = exchange.history[TRADE][number]
            assert (event.trade_id, event.price) == (true.trade_id, true.price)
        told.discard(channel)
        last[channel] = number
