"""What a reader does about each thing that can be wrong with messages: the cases that have names."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from kraken_trio.broker.messages import Batch, Form, KeyFrame, decode_batch, decode_key_frame, encode
from kraken_trio.broker.position import Place, Taken
from kraken_trio.broker.reader import FRAMES, Reader
from kraken_trio.broker.subjects import Key, Kind, Subject
from kraken_trio.broker.tracking import Relation
from kraken_trio.events import BookSnapshot, BookUpdate, Cause, Event, Gap, InstrumentUpdate, TickerUpdate, Trade
from kraken_trio.requests import Book, Instruments, Lifecycle, Ticker, Trades
from kraken_trio.statistics import Counters
from tests.broker.pure.relayed import (
    BOOK,
    BTC,
    KEYS,
    REQUESTS,
    TICKER,
    TRADE,
    Exchange,
    Log,
    Producer,
    Stored,
    events_of,
    read,
    taken,
)

if TYPE_CHECKING:
    from types import UnionType


class World:
    """An exchange, an owner, and a reader of its log."""

    def __init__(self, *requests: Any, start: int = 0, numbered: bool = True, **options: Any) -> None:
        self.exchange, self.log = Exchange(numbered=numbered), Log()
        self.numbered = numbered
        self.owner = self.producer(10)
        self.counters = Counters()
        self.reader = Reader(requests or REQUESTS.values(), self.counters, **options)
        self.reader.open(taken(Place(start)))
        self._read = 0

    def producer(self, number: int) -> Producer:
        producer = Producer(number, self.exchange, self.log, numbered=self.numbered)
        producer.catch_up()
        producer.begin()
        self.owner = producer
        return producer

    def publish(self, key: Key, count: int = 1) -> None:
        for _ in range(count):
            self.exchange.happen(key)
        self.owner.catch_up(key)
        self.owner.publish(key)

    def lose(self, count: int = 1) -> None:
        """The last messages never come."""
        del self.log.messages[-count:]

    def change(self, index: int = -1, **fields: Any) -> None:
        """Another message in the place of one."""
        stored = self.log.messages[index]
        decode: Any = decode_batch if stored.subject.kind is Kind.DATA else decode_key_frame
        data = encode(msgspec.structs.replace(decode(stored.data), **fields))
        self.log.messages[index] = Stored(stored.subject, data, stored.offset)

    def read(self) -> list[Event]:
        """What comes of the messages since the last time."""
        messages, self._read = self.log.messages[self._read :], len(self.log.messages)
        return events_of([*self.reader.take(messages), *self.reader.reach([0])])


def gaps(events: list[Event]) -> list[tuple[Cause, str | None]]:
    return [(event.cause, event.channel) for event in events if isinstance(event, Gap)]


def numbers(events: list[Event], cls: type | UnionType = Trade) -> list[int]:
    return [event.received_ns for event in events if isinstance(event, cls)]


def test_the_table_says_what_is_done_with_every_key_frame() -> None:
    assert set(FRAMES) == set(product(Relation, (False, True)))


@pytest.mark.parametrize("form", Form)
def test_books_are_verified_again(form: Form) -> None:
    world = World(Book(BTC))
    world.owner.form = form
    world.publish(BOOK, 3)
    world.publish(BOOK, 3)
    batch = decode_batch(world.log.messages[1].data)
    events = list(batch.events)
    events[1] = msgspec.structs.replace(events[1], checksum=1)
    world.change(1, events=events)
    world.publish(BOOK)
    found = world.read()
    assert numbers(found, BookSnapshot | BookUpdate) == [0, 1, 2, 3, 4]
    (gap,) = [event for event in found if isinstance(event, Gap)]
    assert gap.cause is Cause.CHECKSUM
    assert gap.evidence is not None
    assert (world.counters.checksum_failures, world.counters.gaps) == (1, 1)
    assert world.reader.gaps == [gap]
    assert world.reader.rebuild(BOOK) is None
    world.owner.key_frame(BOOK)
    world.publish(BOOK)
    found = world.read()
    assert [type(event) for event in found] == [BookSnapshot, BookUpdate]
    assert world.reader.rebuild(BOOK) is not None
    assert world.reader.rebuild(("book", "ETH/USD")) is None
    assert world.reader.known(BOOK) == (True, 8)


def test_a_wrong_snapshot_is_told_and_the_next_one_taken() -> None:
    world = World(Book(BTC))
    world.owner.publish(BOOK)
    world.change(events=[msgspec.structs.replace(decode_batch(world.log.messages[0].data).events[0], checksum=1)])
    world.owner.lose(BOOK)
    world.owner.publish(BOOK)
    assert [type(event) for event in world.read()] == [Gap, Gap, BookSnapshot]


def test_lost_messages_are_a_gap_and_books_go_on_with_a_snapshot() -> None:
    world = World()
    for key in KEYS:
        world.publish(key)
    world.read()
    for key in KEYS:
        world.publish(key)
        world.lose()
        world.publish(key)
    found = world.read()
    assert gaps(found) == [(Cause.MISSED, "book"), (Cause.MISSED, "trade"), (Cause.MISSED, "ticker")]
    assert [gap.missed for gap in found if isinstance(gap, Gap)] == [1, 1, 1]
    # Trades say which ones are missing; what is no sum of all events goes on at once.
    assert [(gap.after_id, gap.before_id) for gap in found if isinstance(gap, Gap)][1] == (501, 503)
    assert numbers(found) == [3]
    assert numbers(found, TickerUpdate) == [3]
    assert not numbers(found, BookUpdate)
    world.publish(BOOK)
    assert world.read() == []
    world.owner.lose(BOOK)
    world.owner.publish(BOOK)
    assert [type(event) for event in world.read()] == [Gap, BookSnapshot]


def test_lost_ends_are_seen_by_the_next_key_frame() -> None:
    world = World()
    for key in KEYS:
        world.publish(key)
    world.read()
    for key in KEYS:
        world.publish(key, 2)
        world.lose()
        world.owner.key_frame(key)
    found = world.read()
    assert gaps(found) == [(Cause.MISSED, "book"), (Cause.MISSED, "trade"), (Cause.MISSED, "ticker")]
    assert numbers(found) == [2, 3]  # out of the key frame's history
    assert numbers(found, TickerUpdate) == [3]
    assert numbers(found, BookSnapshot) == [3]
    for key in KEYS:  # and nothing is missing now
        world.owner.key_frame(key)
        world.publish(key)
    assert gaps(world.read()) == []


def test_trades_beyond_the_history_stay_missing() -> None:
    world = World(Trades(BTC))
    world.publish(TRADE)
    world.read()
    world.publish(TRADE, 60)
    world.lose()
    world.owner.key_frame(TRADE)
    found = world.read()
    assert gaps(found) == [(Cause.MISSED, "trade")]
    (gap,) = (event for event in found if isinstance(event, Gap))
    assert (gap.after_id, gap.before_id, gap.missed) == (501, 512, 10)
    assert numbers(found) == list(range(12, 62))
    assert world.counters.trades_missed == 10


def test_a_gap_of_the_producer_is_told_once() -> None:
    world = World(Trades(BTC))
    world.publish(TRADE)
    for _ in range(3):
        world.exchange.happen(TRADE)
    world.owner.lose(TRADE)  # its own state finds that trades are missing
    world.owner.publish(TRADE)
    world.publish(TRADE)
    found = world.read()
    assert gaps(found) == [(Cause.DISCONNECTED, "trade"), (Cause.MISSED, "trade")]
    assert numbers(found) == [1, 4, 5]
    # What is lost after it is told, too.
    world.owner.lose(TRADE)
    world.owner.publish(TRADE)
    world.publish(TRADE)
    world.lose()
    world.publish(TRADE)
    found = world.read()
    assert gaps(found) == [(Cause.DISCONNECTED, "trade"), (Cause.MISSED, "trade")]
    assert numbers(found) == [7]


def test_another_producer_is_a_gap_and_its_state() -> None:
    world = World()
    for key in KEYS:
        world.publish(key)
    found = world.read()
    first = world.owner
    world.exchange.happen(TRADE)
    world.producer(20)
    for key in KEYS:
        world.owner.publish(key)
        first.exchange.happen(key)
        first.catch_up(key)
        first.publish(key)  # which nobody is to see
        world.publish(key)
    found = world.read()
    assert gaps(found) == [(Cause.FAILOVER, "book"), (Cause.FAILOVER, "trade"), (Cause.FAILOVER, "ticker")]
    assert numbers(found) == [2, 3, 4]  # what was missed is in its history
    assert world.counters.late > 0
    world.producer(30)
    world.owner.key_frame(TICKER)
    world.lose(2)
    world.owner.key_frame(TICKER)
    found = world.read()
    assert [type(event) for event in found] == [Gap, TickerUpdate]


def test_a_producer_that_is_behind_tells_no_trade_twice() -> None:
    world = World(Trades(BTC))
    late = Producer(20, world.exchange, world.log)
    late.catch_up()
    world.publish(TRADE, 100)
    assert len(numbers(world.read())) == 100
    late.begin()
    late.key_frame(TRADE)
    assert gaps(world.read()) == [(Cause.FAILOVER, "trade")]
    late.follow(TRADE, 99)
    late.key_frame(TRADE)
    assert world.read() == []
    late.catch_up(TRADE)
    world.owner = late
    world.publish(TRADE)
    assert numbers(world.read()) == [101]


def test_trades_without_numbers() -> None:
    """Over v1: what may have been had is not told again."""
    world = World(Trades(BTC, snapshot=True), numbered=False)
    world.publish(TRADE, 2)
    assert numbers(world.read()) == [0, 1, 2]
    world.publish(TRADE)
    world.lose()
    world.owner.key_frame(TRADE)
    found = world.read()
    assert gaps(found) == [(Cause.MISSED, "trade")]
    assert not numbers(found)
    world.publish(TRADE)
    assert numbers(world.read()) == [4]
    world.producer(20)
    world.publish(TRADE)
    found = world.read()
    assert gaps(found) == [(Cause.FAILOVER, "trade")]
    assert numbers(found) == [5]
    # A producer that numbers them begins anew.
    world.numbered, world.exchange._numbered = True, True
    history = world.exchange.history[TRADE]
    history[:] = [msgspec.structs.replace(trade, trade_id=trade.received_ns) for trade in history]
    world.producer(30)
    world.owner.publish(TRADE)
    assert gaps(world.read()) == [(Cause.FAILOVER, "trade")]


@pytest.mark.parametrize("numbered", [True, False])
def test_a_gap_before_another_producer_brings_no_trade_twice(numbered: bool) -> None:
    world = World(Trades(BTC, snapshot=True), numbered=numbered)
    world.publish(TRADE, 5)
    assert numbers(world.read()) == [0, 1, 2, 3, 4, 5]
    world.owner.lose(TRADE)
    world.owner.publish(TRADE)
    assert gaps(world.read()) == [(Cause.DISCONNECTED, "trade")]
    world.producer(20)
    world.publish(TRADE)
    found = world.read()
    assert gaps(found) == [(Cause.FAILOVER, "trade")]
    assert numbers(found) == [6]


def test_where_the_beginning_of_a_producer_is_lost_its_key_frame_says_what_is_published() -> None:
    world = World(Ticker(BTC))
    world.publish(TICKER)
    world.read()
    world.producer(20)
    world.owner.publish(TICKER)
    world.lose()
    world.publish(TICKER)
    found = world.read()
    assert gaps(found) == [(Cause.FAILOVER, "ticker")]
    assert numbers(found, TickerUpdate) == [2]
    world.owner.key_frame(TICKER)
    world.publish(TICKER)
    assert numbers(world.read(), TickerUpdate) == [3]
    world.producer(30)
    world.owner.publish(TICKER)
    world.lose()
    world.publish(TICKER)
    world.owner.key_frame(TICKER)
    world.change(request=Ticker(BTC, trigger="bbo"))
    world.publish(TICKER)
    found = world.read()
    assert gaps(found) == [(Cause.FAILOVER, "ticker"), (Cause.REFUSED, "ticker")]
    assert numbers(found, TickerUpdate) == [4]


def test_what_cannot_be_read_is_in_a_gap_that_says_why() -> None:
    world = World(Ticker(BTC), Book(BTC))
    world.publish(TICKER)
    world.publish(BOOK)
    world.read()
    world.publish(TICKER)
    stored = world.log.messages[-1]
    world.log.messages[-1] = Stored(stored.subject, b"{", stored.offset)
    world.publish(TICKER)
    assert [gap.cause for gap in world.read() if isinstance(gap, Gap)] == [Cause.MALFORMED]
    world.publish(TICKER)
    world.change(events=[world.exchange.history[TRADE][0]])
    world.publish(TICKER)
    (gap,) = (event for event in world.read() if isinstance(event, Gap))
    assert gap.detail == "a message of ticker BTC/USD with events of something else"
    world.publish(TICKER)
    world.change(events=[msgspec.structs.replace(world.exchange.history[TICKER][-1], symbol="ETH/USD")])
    world.owner.key_frame(TICKER)
    assert gaps(world.read()) == [(Cause.MALFORMED, "ticker")]
    # Repeats of what is known do no harm, wrong ones neither.
    world.log.store(Subject(1, Kind.DATA, *TICKER), b"?")
    world.publish(TICKER)
    assert gaps(world.read()) == []
    assert world.counters.malformed == 4


@pytest.mark.parametrize(
    "fields",
    [
        {"events": [Gap(symbol=BTC, channel="book", cause=Cause.MISSED)]},
        {"events": [TickerUpdate]},
    ],
)
def test_key_frames_that_are_none(fields: dict[str, Any]) -> None:
    world = World(Book(BTC))
    world.owner.key_frame(BOOK)
    del world.log.messages[0]
    if fields["events"] == [TickerUpdate]:
        fields = {"events": [world.exchange.history[TICKER][0]]}
    world.change(**fields)
    assert world.read() == []
    assert world.counters.malformed == 1
    world.log.store(Subject(1, Kind.KEY, *BOOK), b"")
    world.owner.key_frame(BOOK)
    assert [type(event) for event in world.read()] == [BookSnapshot]


def test_key_frames_of_something_else_are_told_once() -> None:
    world = World(Book(BTC))
    world.publish(BOOK)
    world.read()
    for _ in range(2):
        world.publish(BOOK)
        world.lose()
        world.owner.key_frame(BOOK)
        world.change(request=Book(BTC, depth=25))
    found = world.read()
    assert gaps(found) == [(Cause.REFUSED, "book")]
    assert isinstance(found[0], Gap)
    assert found[0].detail == f"{Book(BTC, depth=25)} is published now, and not {Book(BTC)}"
    world.owner.key_frame(BOOK)
    assert [type(event) for event in world.read()] == [BookSnapshot]
    world.publish(BOOK)
    assert [type(event) for event in world.read()] == [BookUpdate]


@pytest.mark.parametrize("key", [BOOK, TICKER])
def test_an_owner_that_publishes_something_else_is_refused_from_its_beginning(key: Key) -> None:
    """Once only a key frame that was needed told what is published: candles of another interval came for ever."""
    wanted: Any = REQUESTS[key]
    other: Any = Book(BTC, depth=25) if key == BOOK else Ticker(BTC, trigger="bbo")
    world = World(wanted)
    world.publish(key)
    world.change(request=wanted)
    assert not gaps(world.read())
    world.producer(20)
    for cause in (Cause.REFUSED, None):
        world.publish(key)
        if cause is not None:
            world.change(request=other)
        found = world.read()
        assert gaps(found) == ([] if cause is None else [(cause, key[0])])
        assert len(found) == len(gaps(found))
    world.owner.key_frame(key)
    world.change(request=other)
    assert world.read() == []
    assert world.reader.known(key)[0] is False
    world.publish(key)
    assert world.read() == []
    world.owner.lose(key)  # dropped, and added again as it was
    world.publish(key)
    world.change(request=wanted)
    found = world.read()
    assert gaps(found) == [(Cause.DISCONNECTED, key[0])]
    assert len(found) > 1
    world.producer(30)
    world.publish(key)
    world.change(request=other)
    assert gaps(world.read()) == [(Cause.REFUSED, key[0])]
    world.producer(40)
    world.publish(key)
    world.change(request=wanted)
    found = world.read()
    assert gaps(found) == [(Cause.FAILOVER, key[0])]
    assert len(found) > 1


def test_a_feed_that_begins_where_something_else_is_published_is_told() -> None:
    world = World(Ticker(BTC), start=3)
    world.publish(TICKER)
    world.change(request=Ticker(BTC, trigger="bbo"))
    world.publish(TICKER)
    world.publish(TICKER)
    assert gaps(found := world.read()) == [(Cause.REFUSED, "ticker")]
    assert len(found) == 1


def test_an_empty_state_is_one_too() -> None:
    """Of a symbol that has never traded, and of a book that is not known."""
    world = World(Trades(BTC), Book(BTC))
    for key in (TRADE, BOOK):
        frame = KeyFrame(producer=10, seq=-1, channel=key[0], symbol=BTC, request=REQUESTS[key], events=(), marks={})
        world.log.store(Subject(1, Kind.KEY, *key), encode(frame))
    assert world.read() == []
    world.publish(TRADE)
    world.owner.publish(BOOK)
    assert [type(event) for event in world.read()] == [Trade, BookSnapshot]


def test_where_the_start_was_dropped_a_gap_says_so() -> None:
    world = World(is_owed=True)
    world.publish(BOOK)
    world.publish(BOOK)
    reader = Reader(REQUESTS.values(), Counters(), is_owed=True)
    reader.open(taken(Place(2), expired=True))
    found = events_of(reader.take(world.log.messages[1:]))
    assert gaps(found) == [(Cause.EXPIRED, "book"), (Cause.EXPIRED, "trade"), (Cause.EXPIRED, "ticker")]
    assert not numbers(found, BookUpdate)
    # Nothing was dropped, but what the state is cannot be found.
    found = read(world.log.messages[1:], Place(2), is_owed=True)
    assert gaps(found) == [(Cause.EXPIRED, "book")]
    assert read(world.log.messages[1:], Place(2)) == []


def test_what_is_dropped_while_the_connection_is_lost() -> None:
    world = World()
    for key in KEYS:
        world.publish(key)
    world.read()
    assert world.reader.has_begun
    assert world.reader.places == {0: Place(world.log.next)}
    found = events_of(world.reader.open(taken(Place(9), expired=True)))
    assert gaps(found) == [(Cause.EXPIRED, "book"), (Cause.EXPIRED, "trade"), (Cause.EXPIRED, "ticker")]
    assert events_of(world.reader.open(taken(Place(9), expired=True))) == []
    world.publish(TRADE)  # nothing was missing
    world.publish(BOOK)
    assert numbers(world.read()) == [2]
    world.owner.key_frame(BOOK)
    assert numbers(world.read(), BookSnapshot) == [2]


def test_a_connection_that_is_lost_before_the_start_goes_on_to_it() -> None:
    world = World(Book(BTC), start=9)
    world.publish(BOOK)
    assert events_of(world.reader.take(world.log.messages)) == []
    assert world.reader.places == {0: Place(9)}
    assert not world.reader.has_begun
    assert world.reader.open(taken(Place(9))) == []
    assert numbers(events_of(world.reader.take(world.log.messages))) == []
    assert numbers(events_of(world.reader.reach([0, 1])), BookSnapshot) == [1]
    assert world.reader.starts == {0: Place(9)}
    assert events_of(world.reader.reach([0])) == []


def test_partitions_begin_each_for_itself() -> None:
    world = World()
    reader = Reader([Book(BTC), Trades(BTC, snapshot=True), Lifecycle()], Counters())
    assert set(reader.keys) == {BOOK, TRADE}
    reader.open(Taken({0: Place(5), 3: Place(1)}, partition_of={BOOK: 0, TRADE: 3}))
    world.owner.publish(BOOK)
    world.owner.publish(TRADE)
    book, trade = world.log.messages
    strange = Stored(Subject(1, Kind.DATA, "spread", BTC), b"", 9, 3)
    elsewhere = Stored(book.subject, book.data, 9, 7)
    assert events_of(reader.take([book, strange, elsewhere])) == []
    # What comes after the start of one waits for the other: then all with which the feed begins comes first.
    later = [Stored(trade.subject, trade.data, 1, 3), Stored(strange.subject, b"", 2, 3)]
    assert events_of(reader.take(later)) == []
    assert events_of(reader.reach([3, 7])) == []
    assert not reader.has_begun
    assert reader.places == {0: Place(5), 3: Place(1)}
    found = events_of(reader.reach([0]))
    assert [type(event) for event in found] == [BookSnapshot, Trade]
    assert reader.has_begun
    assert reader.places == {0: Place(5), 3: Place(2)}


def test_partitions_wait_for_each_other_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kraken_trio.broker.reader.MAX_HELD", 3)
    world = World()
    reader = Reader(REQUESTS.values(), Counters())
    reader.open(Taken({0: Place(9), 1: Place(0)}, partition_of={BOOK: 0, TRADE: 1, TICKER: 1}))
    for _ in range(4):
        world.publish(TRADE)
    messages = [Stored(message.subject, message.data, message.offset, 1) for message in world.log.messages]
    assert [len(events_of(reader.take([message]))) for message in messages] == [0, 0, 4, 1]
    assert not reader.has_begun
    world.publish(BOOK)
    assert events_of(reader.take(world.log.messages[-1:])) == []
    assert numbers(events_of(reader.reach([0])), BookSnapshot) == [1]
    assert reader.has_begun


def test_reference_data_are_merged_and_have_no_symbol() -> None:
    reader = Reader([Instruments()], Counters())
    reader.open(taken(Place(0)))
    whole = InstrumentUpdate(assets=(), pairs=(), snapshot=True, epoch=1, received_ns=1)
    change = InstrumentUpdate(assets=(), pairs=(), snapshot=False, epoch=1, received_ns=2)
    key: Key = ("instrument", None)
    log = Log()
    for seq, events in ((0, [whole, change]), (3, [change])):
        batch = Batch(producer=1, seq=seq, channel="instrument", symbol=None, events=events)
        log.store(Subject(0, Kind.DATA, *key), encode(batch))
    found = events_of(reader.take(log.messages))
    assert found[:2] == [whole, change]
    assert gaps(found[2:]) == [(Cause.MISSED, "instrument")]
    assert str(reader._keys[key]) == "instrument"


def test_what_is_no_sum_begins_with_any_event() -> None:
    world = World(Ticker(BTC))
    world.owner.publish(TICKER)
    world.lose()
    world.publish(TICKER)
    world.owner.key_frame(TICKER)
    world.publish(TICKER)
    found = world.read()
    assert gaps(found) == []
    assert numbers(found, TickerUpdate) == [1, 2]


def test_in_the_middle_of_a_key_frame() -> None:
    """A feed that had got a part of the history in it gets the rest."""
    world = World(Trades(BTC, snapshot=True))
    world.publish(TRADE, 5)
    world.owner.key_frame(TRADE)
    del world.log.messages[0]
    (frame,) = world.log.messages
    rest = read([frame], Place(frame.offset, 2), Trades(BTC, snapshot=True), is_resumed=True)
    assert numbers(rest) == [2, 3, 4, 5]
    # Of a whole one, it is not known what was received before.
    rest = read([frame], Place(frame.offset), Trades(BTC, snapshot=True), is_resumed=True)
    assert gaps(rest) == [(Cause.EXPIRED, "trade")]
    assert not numbers(rest)


def test_what_is_silent_is_told_once_and_begins_anew_with_a_key_frame() -> None:
    world = World()
    assert world.reader.listen(99.0, 10.0) == []  # it has not begun
    for key in KEYS:
        world.publish(key)
    world.read()
    assert world.reader.listen(9.0, 10.0) == []  # something has just come
    assert world.reader.listen(9.0, 10.0) == []
    world.owner.key_frame(TICKER)
    world.read()
    assert world.reader.falls_silent(1.0, 10.0)
    assert not world.reader.falls_silent(1.0, 11.0)
    told = events_of(world.reader.listen(1.0, 10.0))
    assert not world.reader.falls_silent(1.0, 10.0)
    assert gaps(told) == [(Cause.SILENCE, "book"), (Cause.SILENCE, "trade")]
    assert isinstance(told[0], Gap)
    assert "10 s" in told[0].detail
    assert "connected to the exchange" in told[0].detail, "a relay that runs may have lost it"
    assert world.reader.silent == 2
    assert world.reader.rebuild(BOOK) is None
    assert world.reader.listen(5.0, 10.0) == []
    assert world.reader.silent == 2
    world.publish(TRADE)
    world.owner.key_frame(BOOK)
    found = world.read()
    assert [type(event) for event in found] == [Trade, BookSnapshot]
    assert world.reader.listen(1.0, 10.0) == []
    assert world.reader.silent == 0


def test_an_earlier_producer_goes_on_where_a_later_one_is_silent() -> None:
    """As after a change of the number of shards, in which an old one took over for a moment."""
    world = World()
    for key in KEYS:
        world.publish(key)
    other = world.owner
    world.producer(20)
    for key in KEYS:
        world.publish(key)
    world.read()
    world.owner = other
    told: list[Event] = []
    for _ in range(2):
        for key in KEYS:
            world.publish(key)
            other.key_frame(key)
        assert world.read() == []
        told += events_of(world.reader.listen(5.0, 10.0))
    assert told == []
    told += events_of(world.reader.listen(5.0, 10.0))
    assert gaps(told) == [(Cause.SILENCE, key[0]) for key in KEYS]
    assert world.reader.rebuild(BOOK) is None
    for key in KEYS:
        other.key_frame(key)
    found = world.read()
    assert gaps(found) == [(Cause.FAILOVER, key[0]) for key in KEYS]
    assert numbers(found, BookSnapshot) == numbers(found, TickerUpdate) == [4]
    assert numbers(found) == [3, 4]
    assert world.reader.rebuild(BOOK) is not None
    world.producer(30)
    world.publish(BOOK)
    other.exchange.happen(BOOK)
    other.catch_up(BOOK)
    other.publish(BOOK)
    assert [type(event) for event in world.read()] == [Gap, BookSnapshot, BookUpdate]


def test_what_cannot_be_read_is_no_news() -> None:
    """A relay of a later version once left books readable for ever, as of its beginning."""
    world = World(Book(BTC), Ticker(BTC))
    for key in (BOOK, TICKER):
        world.publish(key)
    world.read()
    world.reader.listen(1.0, 10.0)
    for key in (BOOK, TICKER):
        world.publish(key)
        world.owner.key_frame(key)
    for index, stored in enumerate(world.log.messages[2:], 2):
        if stored.subject.key == BOOK or stored.subject.kind is Kind.KEY:
            world.log.messages[index] = Stored(stored.subject, stored.data.replace(b'"v":1', b'"v":2'), stored.offset)
    assert numbers(world.read(), TickerUpdate) == [2]
    found = events_of(world.reader.listen(10.0, 10.0))
    assert gaps(found) == [(Cause.MALFORMED, "book")]
    assert isinstance(found[0], Gap)
    assert found[0].detail.startswith("a message of version 2")
    assert world.reader.rebuild(BOOK) is None
    world.owner.key_frame(BOOK)
    assert [type(event) for event in world.read()] == [BookSnapshot]


def test_what_is_read_again_after_a_lost_connection_does_not_bring_back_what_fell_silent() -> None:
    world = World()
    for key in KEYS:
        world.publish(key)
        world.owner.key_frame(key)
    world.read()
    world.reader.listen(1.0, 10.0)
    assert len(events_of(world.reader.listen(10.0, 10.0))) == len(KEYS)
    world.reader.open(taken(world.reader.places[0]))
    assert events_of(world.reader.take(world.log.messages)) == []
    assert world.reader.rebuild(BOOK) is None
    assert events_of(world.reader.listen(1.0, 10.0)) == []
    assert world.reader.silent == len(KEYS)
    world.owner.key_frame(BOOK)
    assert [type(event) for event in world.read()] == [BookSnapshot]


def test_a_log_that_is_made_anew_before_the_start_was_reached_is_read_from_its_beginning() -> None:
    """Once what it has up to the offset of that start was taken for what is before it."""
    world = World()
    for key in KEYS:
        world.publish(key)
    reader = Reader(REQUESTS.values(), Counters(), is_owed=True, is_resumed=True)
    assert reader.open(taken(Place(10_000, 0, "old"))) == []
    assert reader.places == {0: Place(10_000, 0, "old")}
    assert reader.open(taken(Place(1, 0, "new"), expired=True)) == []
    deliveries = list(reader.take(world.log.messages))
    assert {*gaps(events_of(deliveries))} == {(Cause.EXPIRED, key[0]) for key in KEYS}
    assert {delivery.log for delivery in deliveries if delivery.partition is not None} == {"new"}
    assert numbers(events_of(deliveries)) == [1]
    assert reader.places == {0: Place(world.log.next, 0, "new")}


def test_a_log_that_was_made_anew_is_read_from_its_beginning() -> None:
    """Its offsets are lower than those of the one before, and so are its producers' numbers."""
    world = World()
    for key in KEYS:
        world.publish(key)
    world.read()
    reader, exchange = world.reader, world.exchange
    log = Log()
    assert gaps(events_of(reader.open(taken(Place(1), expired=True)))) == [(Cause.EXPIRED, key[0]) for key in KEYS]
    producer = Producer(1, exchange, log)
    producer.catch_up()
    producer.begin()
    for key in KEYS:
        exchange.happen(key)
        producer.catch_up(key)
        producer.publish(key)
    found = events_of(reader.take(log.messages))
    assert gaps(found) == [(Cause.FAILOVER, key[0]) for key in KEYS]
    assert numbers(found) == [2]
    assert reader.rebuild(BOOK) is not None
    assert reader.places == {0: Place(4)}


def test_what_another_member_of_a_group_reads_is_told() -> None:
    world = World(Book(BTC), Trades(BTC))
    assert world.reader.leave("elsewhere") == []  # it has not begun
    world.publish(BOOK)
    world.read()
    found = events_of(world.reader.leave("elsewhere"))
    assert gaps(found) == [(Cause.FAILOVER, "book"), (Cause.FAILOVER, "trade")]
    assert world.reader.rebuild(BOOK) is None
