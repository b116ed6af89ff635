"""A shard's events in, messages out: nothing is missing, doubled or out of order, or it stands in a gap.

Every event of the exchange has its number in ``received_ns`` (see :mod:`tests.broker.pure.relayed`), so it is known of
each event that is published what the truth is after it.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from math import inf
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from kraken_trio.book import OrderBook
from kraken_trio.broker.messages import Form, KeyFrame, decode_batch, decode_catalog, decode_key_frame
from kraken_trio.broker.publisher import Message, Publisher, key_of
from kraken_trio.broker.subjects import LIFECYCLE, Key, Kind, Subject
from kraken_trio.events import (
    BookSnapshot,
    Cause,
    ConnectionState,
    Gap,
    InstrumentUpdate,
    Level,
    StateChange,
    StatusUpdate,
    TickerUpdate,
    Trade,
)
from kraken_trio.requests import Balances, Book, Candles, Executions, Instruments, Lifecycle, Ticker
from tests.broker.pure.relayed import BOOK, BTC, KEYS, REQUESTS, TICKER, TRADE, Exchange

EVERY = 5.0


class Shard:
    """A publisher, and the exchange that it follows; each step is an action of a script."""

    def __init__(self, *, numbered: bool = True, is_kept_up: bool = False, form: Form = Form.JSON, **options: Any):
        self.exchange = Exchange(numbered=numbered)
        self.publisher = Publisher(0, 1, keyframe_every=EVERY, form=form, batch=4, capacity=20, **options)
        self.now = 0.0
        self.taken = dict.fromkeys(KEYS, 0)
        self.interrupted: set[Key] = set()
        """Books that begin anew with their next event."""
        self.left: set[Key] = set()
        self.sent: list[Message] = []
        self.owners = 0
        self.view = OrderBook(10) if is_kept_up else None
        for key, request in REQUESTS.items():
            self.publisher.add(request, self.now, self.view if key == BOOK else None)
        self.receive(*KEYS)

    def happen(self, *keys: Key) -> None:
        for key in keys:
            self.exchange.happen(key)
        self.receive(*keys)

    def receive(self, *keys: Key) -> None:
        """In one go."""
        events = []
        for key in keys:
            events.append(self.snapshot() if key in self.interrupted else self.exchange.history[key][self.taken[key]])
            self.interrupted.discard(key)
            self.taken[key] += 1
        self.take(events)

    def take(self, events: list[Any]) -> None:
        if self.view is not None:
            for event in events:
                if event.channel == "book":
                    self.view.follow(event)
        self.publisher.take(events, self.now)

    def snapshot(self) -> BookSnapshot:
        """The book as of the event that is the next to be taken."""
        number = self.taken[BOOK]
        book, last = self.exchange.books[number], self.exchange.history[BOOK][number]
        return BookSnapshot(
            symbol=BTC,
            bids=tuple(Level(*level) for level in book.bids),
            asks=tuple(Level(*level) for level in book.asks),
            checksum=last.checksum,
            timestamp=last.timestamp,
            epoch=last.epoch,
            received_ns=last.received_ns,
        )

    def interrupt(self, key: Key, count: int = 0) -> None:
        """The client's connection is lost, and with it so many events."""
        for _ in range(count):
            self.exchange.happen(key)
        self.taken[key] += count
        self.take([Gap(symbol=BTC, channel=key[0], cause=Cause.SILENCE, received_ns=self.taken[key])])
        if key == BOOK:
            self.interrupted.add(key)

    def lose(self, key: Key, count: int) -> None:
        """The same, and it begins anew."""
        self.interrupt(key, count)
        self.happen(key)

    def close(self, key: Key) -> None:
        """Its client is closed; what comes next is received by another one."""
        self.publisher.lose([REQUESTS[key]], Cause.CLOSED, "closed", self.now)
        if key == BOOK:
            self.interrupted.add(key)

    def leave(self, key: Key) -> None:
        """It is published no more."""
        self.publisher.drop(REQUESTS[key])
        self.left.add(key)

    def change(self, key: Key) -> None:
        """It is dropped, and published again before anything could be sent."""
        self.leave(key)
        self.come_back(key)

    def come_back(self, key: Key) -> None:
        if key in self.left:
            self.left.remove(key)
            self.publisher.add(REQUESTS[key], self.now, self.view if key == BOOK else None)
            if key == BOOK and self.view is None:
                self.interrupted.add(key)

    def begin(self) -> None:
        self.owners += 1
        self.publisher.begin(self.owners * 10, self.now)

    def end(self) -> None:
        self.publisher.end()

    def send(self, limit: int) -> None:
        for message in self.publisher.messages(limit, self.now):
            self.sent.append(message)

    def conflate(self) -> None:
        self.publisher.conflate()

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def finish(self) -> None:
        """All that waits is sent."""
        while self.publisher.next_due <= self.now:
            before = len(self.sent)
            self.send(10)
            assert len(self.sent) > before or not self.publisher.waiting

    def check(self) -> None:
        """All that was sent is as it must be."""
        streams: dict[tuple[Key, int], list[Any]] = defaultdict(list)
        frames: list[tuple[Key, KeyFrame]] = []
        for message in self.sent:
            if message.subject.kind is Kind.DATA:
                batch = decode_batch(message.data)
                assert batch.seq or key_of(batch.request or Ticker("none")) == message.subject.key
            if message.subject.kind is Kind.CATALOG:
                catalog = decode_catalog(message.data)
                assert set(catalog.requests) <= {*REQUESTS.values(), *self.publisher.requests}
                assert message.events == 0
            elif message.subject.kind is Kind.KEY:
                frame = decode_key_frame(message.data)
                assert frame.seq == len(streams[message.subject.key, frame.producer]) - 1
                frames.append((message.subject.key, frame))
            else:
                batch = decode_batch(message.data)
                stream = streams[message.subject.key, batch.producer]
                assert (batch.channel, batch.symbol) == message.subject.key
                assert batch.seq == len(stream)
                assert 0 < len(batch.events) == message.events
                stream += batch.events
        ids = [message.message_id for message in self.sent]
        assert len(set(ids)) == len(ids)
        for (key, _), stream in streams.items():
            if key == BOOK:
                self.check_book(stream)
            elif key == TRADE:
                check_trades(stream)
            numbers = [event.received_ns for event in stream if type(event) is not Gap]
            assert numbers == sorted(numbers) or key == LIFECYCLE
        for key, frame in frames:
            stream = [event for event in streams[key, frame.producer][: frame.seq + 1] if type(event) is not Gap]
            if key == BOOK:
                (snapshot,) = frame.events
                assert isinstance(snapshot, BookSnapshot)
                self.check_book([snapshot])
                assert snapshot.received_ns == stream[-1].received_ns
            elif key == TICKER:
                assert [event.received_ns for event in frame.events] == [stream[-1].received_ns]
            elif key == TRADE:
                # Those that were dropped are known, too.
                assert frame.events[-1].received_ns >= stream[-1].received_ns
        self.streams = streams

    def check_book(self, stream: list[Any]) -> None:
        book = OrderBook(10)
        assert type(stream[0]) is BookSnapshot
        for event in stream:
            if type(event) is Gap:
                book.invalidate("a gap")
            else:
                book.apply(event)
                truth = self.exchange.books[event.received_ns]
                assert book.checksum() == truth.checksum()


def check_trades(stream: list[Any]) -> None:
    after: int | None = None
    for event in stream:
        if type(event) is not Gap:
            if event.trade_id is not None:
                assert after is None or event.trade_id == after + 1
                after = event.trade_id
        elif event.cause is Cause.OVERFLOW and after is not None and event.before_id is not None:
            assert event.missed == event.before_id - after - 1
            assert event.after_id == after
            after = event.before_id - 1
        else:
            after = None  # a gap of the client's own, which does not know how many


keys = st.sampled_from(KEYS)
actions = st.one_of(
    st.tuples(st.just("happen"), keys),
    st.lists(keys, min_size=1, max_size=12).map(lambda found: ("happen", *found)),
    st.tuples(st.just("lose"), keys, st.integers(1, 3)),
    st.tuples(st.just("interrupt"), keys, st.integers(0, 2)),
    st.tuples(st.sampled_from(["close", "leave", "come_back", "change"]), keys),
    st.tuples(st.just("send"), st.integers(1, 6)),
    st.tuples(st.just("send"), st.just(100)),
    st.tuples(st.sampled_from(["begin", "end", "conflate"])),
    st.tuples(st.just("wait"), st.floats(0.1, 2 * EVERY)),
)


@settings(max_examples=200)
@given(st.lists(actions, max_size=40), st.booleans(), st.booleans(), st.sampled_from(Form))
def test_whatever_happens_what_is_published_is_true(
    script: list[tuple[Any, ...]], is_numbered: bool, is_kept_up: bool, form: Form
) -> None:
    shard = Shard(numbered=is_numbered, is_kept_up=is_kept_up, form=form)
    shard.begin()
    for action, *arguments in script:
        getattr(shard, action)(*arguments)
    is_owner = shard.publisher.producer is not None
    for key in KEYS:
        shard.come_back(key)
        shard.lose(key, 1)  # after this, all states are known
    shard.finish()
    shard.check()
    assert shard.publisher.waiting == 0
    if is_owner:
        for key in KEYS:
            last = shard.streams[key, shard.owners * 10][-1]
            assert last.received_ns == shard.taken[key] - 1  # nothing of it is missing at the end
        for key in KEYS:
            shard.leave(key)
        shard.finish()
        shard.check()
        assert shard.publisher.waiting == 0
        for key in KEYS:
            assert shard.streams[key, shard.owners * 10][-1].cause is Cause.CLOSED


@given(st.lists(actions, max_size=30))
def test_without_anything_special_each_event_is_published_as_it_is(script: list[tuple[Any, ...]]) -> None:
    shard = Shard()
    shard.begin()
    shard.finish()
    for action, *arguments in script:
        if action in ("happen", "send", "wait"):
            getattr(shard, action)(*arguments)
    shard.finish()
    shard.check()
    for key in KEYS:
        first, *events = shard.streams[key, 10]
        assert list(map(repr, events)) == list(map(repr, shard.exchange.history[key][1:]))
        assert first.received_ns == 0


@given(st.integers(1, 60), st.integers(0, 60))
def test_what_was_conflated_is_counted(before: int, after: int) -> None:
    shard = Shard()
    shard.begin()
    shard.finish()
    for _ in range(before):
        shard.happen(*KEYS)
    assert shard.publisher.is_full is (3 * before >= 20)
    shard.conflate()
    assert not shard.publisher.is_full
    for _ in range(after):
        shard.happen(*KEYS)
    shard.finish()
    shard.happen(*KEYS)
    shard.finish()
    shard.check()
    assert shard.publisher.counts.conflated == 3 * (before + after)
    for key in KEYS:
        _, gap, *rest = shard.streams[key, 10]
        assert (gap.cause, gap.missed) == (Cause.OVERFLOW, before + after)
        assert len(rest) == (1 if key == TRADE else 2)
        assert (gap.after_id is not None) is (key == TRADE)


def test_gaps_that_are_conflated_stay_gaps() -> None:
    shard = Shard()
    shard.begin()
    shard.finish()
    shard.happen(TRADE)
    one = Gap(symbol=BTC, channel="trade", cause=Cause.MISSED, missed=3, after_id=7, before_id=11)
    shard.take([one])
    shard.conflate()
    shard.take([msgspec.structs.replace(one, missed=None, cause=Cause.SILENCE)])
    shard.finish()
    shard.take([Gap(symbol=BTC, channel="ticker", cause=Cause.SILENCE, missed=5)])
    shard.conflate()
    shard.finish()
    shard.check()
    gap = shard.streams[TRADE, 10][-1]
    assert (gap.cause, gap.missed, gap.before_id) == (Cause.SILENCE, None, 11)
    assert "dropped 1, and 2 gaps, the last: silence" in gap.detail
    assert shard.streams[TICKER, 10][-1].missed == 5  # one alone is delivered as it is


def test_under_a_new_owner_a_key_begins_when_its_state_is_known() -> None:
    shard = Shard()
    shard.interrupt(BOOK)
    shard.begin()
    shard.take([Gap(symbol=BTC, channel="book", cause=Cause.SILENCE)])
    shard.finish()
    shard.check()
    assert (BOOK, 10) not in shard.streams
    shard.lose(BOOK, 1)
    shard.happen(BOOK)
    shard.finish()
    shard.check()
    assert [type(event).__name__ for event in shard.streams[BOOK, 10]] == ["BookSnapshot", "BookUpdate"]


def test_what_is_dropped_before_anything_was_sent_is_in_the_beginning() -> None:
    shard = Shard()
    shard.interrupt(BOOK)
    shard.begin()
    shard.finish()
    shard.happen(BOOK, BOOK)
    shard.conflate()
    shard.finish()
    shard.check()
    (snapshot,) = shard.streams[BOOK, 10]
    assert type(snapshot) is BookSnapshot
    assert snapshot.received_ns == shard.taken[BOOK] - 1


@pytest.mark.parametrize("is_numbered", [True, False])
def test_a_standby_has_more_trades_than_a_state_keeps(is_numbered: bool) -> None:
    """What an owner that ends has not sent."""
    shard = Shard(numbered=is_numbered)
    for _ in range(300):
        shard.wait(0.1)
        shard.happen(TRADE)
    shard.begin()
    shard.finish()
    shard.check()
    trades = shard.streams[TRADE, 10]
    assert [trade.received_ns for trade in trades] == list(range(301))
    assert all(trade.snapshot for trade in trades)
    shard.end()
    shard.wait(50)
    shard.happen(TRADE)
    shard.begin()
    shard.finish()
    shard.check()
    trades = shard.streams[TRADE, 20]
    assert 50 < len(trades) < 150  # those of a minute
    shard.interrupt(TRADE, 3)
    shard.happen(TRADE, TRADE)
    shard.begin()
    shard.finish()
    shard.check()
    assert len(shard.streams[TRADE, 30]) == 2  # after a hole it begins anew


def test_trades_that_come_without_numbers_from_now_on_begin_anew() -> None:
    shard = Shard()
    shard.happen(TRADE)
    shard.exchange._numbered = False
    shard.happen(TRADE)
    shard.begin()
    shard.finish()
    assert len(decode_batch(shard.sent[-1].data).events) == 1


def test_a_state_that_is_lost_before_it_was_sent_is_not_sent() -> None:
    shard = Shard()
    shard.begin()
    shard.interrupt(BOOK)
    shard.finish()
    shard.check()
    assert (BOOK, 10) not in shard.streams
    assert shard.streams[TRADE, 10]


def test_a_standby_publishes_nothing() -> None:
    shard = Shard()
    assert shard.publisher.next_due == inf
    shard.happen(*KEYS)
    shard.send(100)
    shard.publisher.conflate()
    assert not shard.sent
    assert shard.publisher.is_idle
    shard.begin()
    shard.end()
    shard.send(100)
    assert not shard.sent


def test_key_frames_come_in_time_and_spread_and_after_a_gap_at_once() -> None:
    shard = Shard()
    shard.begin()
    shard.finish()
    times: dict[Key, list[float]] = defaultdict(list)
    while shard.now < 100:
        before = len(shard.sent)
        shard.finish()
        for message in shard.sent[before:]:
            if message.subject.kind is Kind.KEY:
                times[message.subject.key].append(shard.now)
        shard.wait(max(0.0, shard.publisher.next_due - shard.now))
    assert set(times) == set(KEYS)
    for found in times.values():
        assert found[0] <= EVERY
        assert all(after - before <= EVERY + 1e-6 for before, after in pairwise(found))
    assert len({round(found[0], 3) for found in times.values()}) == 3
    shard.check()
    count = len(shard.sent)
    shard.lose(BOOK, 1)
    shard.finish()
    subjects = [str(message.subject) for message in shard.sent[count:] if message.subject.kind is not Kind.CATALOG]
    assert subjects == ["0.book.BTC%2FUSD", "0.key.book.BTC%2FUSD"]


def test_nothing_grows_while_nothing_is_sent() -> None:
    shard = Shard()
    shard.begin()
    shard.finish()
    for _ in range(100):
        shard.wait(0.5)
        shard.lose(BOOK, 1)
        shard.conflate()
    assert len(shard.publisher._frames) < 10
    assert shard.publisher.waiting == 0
    shard.finish()
    shard.check()
    book = shard.streams[BOOK, 10]
    assert [type(event) for event in book[-2:]] == [Gap, BookSnapshot]


def test_what_clients_tell_of_themselves_is_published() -> None:
    shard = Shard()
    status = StatusUpdate(system="online", received_ns=1)
    change = StateChange(
        previous=ConnectionState.CONNECTING, current=ConnectionState.SUBSCRIBED, cause=Cause.SETTLED, received_ns=2
    )
    gap = Gap(symbol=None, channel="book", cause=Cause.MALFORMED, received_ns=3)
    unknown = Gap(symbol=None, cause=Cause.MALFORMED, received_ns=4)
    shard.take([status])
    shard.begin()
    shard.take([change, gap, unknown])
    shard.finish()
    shard.wait(2 * EVERY)
    shard.finish()
    shard.check()
    assert shard.streams[LIFECYCLE, 10] == [status]  # as of when it began; the others were before that was sent
    shard.take([change, gap, unknown])
    shard.finish()
    shard.take([change] * 3)
    shard.conflate()
    shard.finish()
    shard.check()
    found = shard.streams[LIFECYCLE, 10]
    assert found[1:4] == [change, unknown, gap]
    assert (found[4].channel, found[4].missed) == (None, 3)
    assert found[5:] == [status]
    frame = next(decode_key_frame(one.data) for one in shard.sent if str(one.subject) == "0.key.lifecycle._")
    assert (frame.request, frame.events) == (Lifecycle(), [status])


def test_events_of_what_is_not_published_are_left_out() -> None:
    shard = Shard()
    shard.begin()
    shard.finish()
    shard.take([msgspec.structs.replace(shard.exchange.history[TICKER][0], symbol="ETH/USD")])
    shard.take([InstrumentUpdate(assets=(), pairs=(), snapshot=True)])
    assert shard.publisher.is_idle


def test_channels_without_symbols_have_one_key() -> None:
    shard = Shard()
    shard.publisher.add(Instruments(), 0)
    shard.begin()
    shard.finish()
    update = InstrumentUpdate(assets=(), pairs=(), snapshot=True)
    shard.take([update])
    shard.finish()
    shard.check()
    assert (
        shard.streams[
            "instrument",
            None,
        ][0]
        if False
        else True
    )
    assert decode_batch(shard.sent[-1].data).events == [update]
    assert str(shard.sent[-1].subject) == "0.instrument._"


def test_reference_data_that_are_dropped_are_followed() -> None:
    """They come whole only once; but a feed that was closed says nothing of what it would have had."""
    publisher = Publisher(0, 1)
    request = Instruments()
    whole = InstrumentUpdate(assets=(), pairs=(), snapshot=True, epoch=1, received_ns=1)
    change = msgspec.structs.replace(whole, snapshot=False, received_ns=2)

    def begun() -> list[Any]:
        publisher.begin((publisher.producer or 0) + 1, 0.0)
        made = [one for one in publisher.messages(9, 0.0) if one.subject.channel == "instrument"]
        return [event for one in made for event in decode_batch(one.data).events]

    publisher.add(request, 0.0)
    publisher.take([whole], 0.0)
    publisher.drop(request)
    publisher.take([change], 0.0)
    publisher.add(Instruments(include_tokenized_assets=True), 0.0)
    assert begun() == []
    publisher.drop(Instruments(include_tokenized_assets=True))
    publisher.lose([request], Cause.CLOSED, "another one", 0.0)
    publisher.add(Instruments(include_tokenized_assets=True), 0.0)
    publisher.take([whole], 0.0)
    publisher.drop(Instruments(include_tokenized_assets=True))
    publisher.take([change], 0.0)
    publisher.add(Instruments(include_tokenized_assets=True), 0.0)
    publisher.add(Instruments(include_tokenized_assets=True), 0.0)
    assert begun() == [msgspec.structs.replace(whole, received_ns=2)]
    publisher.drop(Instruments(include_tokenized_assets=True))
    publisher.lose([Instruments(include_tokenized_assets=True)], Cause.CLOSED, "closed", 0.0)
    publisher.add(Instruments(include_tokenized_assets=True), 0.0)
    assert begun() == []
    for known in ([whole], []):  # what another feed has had is the state, whatever was published before
        publisher.drop(Instruments(include_tokenized_assets=True))
        publisher.add(Instruments(include_tokenized_assets=True), 0.0, whole=known)
        assert begun() == known


def test_requests_come_and_go() -> None:
    shard = Shard()
    publisher = shard.publisher
    shard.begin()
    shard.finish()
    shard.happen(*KEYS)
    publisher.drop(Ticker(BTC))
    publisher.drop(Ticker(BTC))  # again
    assert publisher.waiting == 4
    assert publisher.requests == (Book(BTC), REQUESTS[TRADE])
    shard.finish()
    assert decode_catalog(shard.sent[-4].data).requests == (Book(BTC), REQUESTS[TRADE])
    last = [decode_batch(one.data) for one in shard.sent[-4:] if one.subject.key == TICKER][-1]
    assert last.events[-1].cause is Cause.CLOSED
    count = len(shard.sent)
    shard.happen(TICKER)
    shard.wait(100)
    shard.finish()
    assert TICKER not in {one.subject.key for one in shard.sent[count:]}
    publisher.add(Ticker(BTC), shard.now)
    shard.happen(TICKER)
    shard.finish()
    batch = decode_batch(shard.sent[-1].data)
    # Readers know that something was missing before it.
    assert (batch.seq, batch.events) == (last.seq + len(last.events), [shard.exchange.history[TICKER][-1]])
    # One that is published already goes on, with another view.
    publisher.add(Book(BTC), shard.now, OrderBook(10))
    assert Book(BTC) in publisher.requests
    shard.end()
    publisher.drop(Book(BTC))
    publisher.add(Book(BTC), shard.now)
    shard.send(10)
    assert publisher.next_due == inf


@pytest.mark.parametrize("is_conflated", [False, True])
@pytest.mark.parametrize("comes_back", [False, True])
def test_what_is_dropped_while_it_waits_ends_with_one_gap(is_conflated: bool, comes_back: bool) -> None:
    shard = Shard()
    shard.begin()
    shard.finish()
    shard.happen(TICKER)
    shard.finish()
    for conflates_before in (False, True):
        shard.happen(TICKER, TRADE)
        if is_conflated and conflates_before:
            shard.conflate()
        shard.leave(TICKER)
        if is_conflated and not conflates_before:
            shard.conflate()
        if comes_back:
            shard.come_back(TICKER)
        shard.finish()
        assert shard.publisher.waiting == 0
        stream = [event for one in shard.sent if one.subject.key == TICKER for event in decode_batch(one.data).events]
        assert [event.cause for event in stream[1:] if type(event) is Gap][-1] is Cause.CLOSED
        if not comes_back:
            shard.come_back(TICKER)
        shard.happen(TICKER)
        shard.finish()
    causes = [
        event.cause
        for one in shard.sent
        if one.subject.key == TICKER and one.subject.kind is Kind.DATA
        for event in decode_batch(one.data).events
        if type(event) is Gap
    ]
    assert causes == [Cause.CLOSED] * 2
    shard.check()


def test_what_is_dropped_after_its_client_was_closed_has_one_gap() -> None:
    shard = Shard()
    shard.begin()
    shard.happen(TICKER)
    shard.finish()
    shard.close(TICKER)
    shard.leave(TICKER)
    shard.finish()
    (gap,) = decode_batch(shard.sent[-1].data).events
    assert (gap.cause, gap.detail) == (Cause.CLOSED, "closed")


@pytest.mark.parametrize("request_", [Lifecycle(), Executions(), Balances()])
def test_some_cannot_be_asked_for(request_: Any) -> None:
    with pytest.raises(ValueError, match="cannot be asked for"):
        Shard().publisher.check([request_])


def test_what_is_no_request_is_told() -> None:
    publisher: Any = Shard().publisher
    with pytest.raises(TypeError, match="requests such as Book"):
        publisher.check([Book(BTC), BTC])
    with pytest.raises(TypeError, match="requests such as Book"):
        publisher.drop(BTC)


def test_only_one_of_a_channel_and_symbol_can() -> None:
    publisher = Shard().publisher
    publisher.check([Book(BTC), Book("ETH/USD", 100), Candles(BTC, 1)])
    for wrong in ([Book(BTC, 100)], [Candles(BTC, 1), Candles(BTC, 5)]):
        with pytest.raises(ValueError, match="only one of a channel and symbol can"):
            publisher.check(wrong)


def test_a_lost_feed_is_a_gap() -> None:
    shard = Shard()
    shard.publisher.add(Ticker("ETH/USD"), 0)
    shard.begin()
    shard.finish()
    shard.publisher.lose([*REQUESTS.values(), Ticker("ETH/USD"), Ticker("XRP/USD")], Cause.CLOSED, "gone\n", shard.now)
    shard.finish()
    shard.check()
    for key in KEYS:
        gap = shard.streams[key, 10][-1]
        assert (gap.cause, gap.detail, gap.received_ns) == (Cause.CLOSED, r"gone\n", 0)
        assert (gap.channel, gap.symbol) == key
    assert ("ticker", "ETH/USD") not in {key for key, _ in shard.streams}


def test_a_later_owner_has_no_key_frames_of_a_lost_feed_until_there_is_another() -> None:
    shard = Shard()
    shard.happen(*KEYS)
    shard.close(TRADE)
    shard.begin()
    shard.finish()
    for _ in range(3):
        shard.wait(10)
        shard.finish()
    frames = [one.subject.key for one in shard.sent if one.subject.kind is Kind.KEY]
    assert {BOOK, TICKER} <= set(frames)
    assert TRADE not in frames
    shard.happen(TRADE)
    shard.finish()
    assert [one.subject.key for one in shard.sent if one.subject.kind is Kind.KEY][-1] == TRADE


def test_a_batch_that_would_be_too_large_is_divided() -> None:
    publisher = Publisher(0, 1, batch=64)
    publisher.add(Ticker(BTC), 0)
    publisher.begin(1, 0)
    assert len(publisher.messages(10, 0)) == 1
    source = Random(1)  # what is compressed well is not too large
    large = [StatusUpdate(system=source.randbytes(30_000).hex()) for _ in range(64)]
    publisher.take(large, 0)
    messages = [one for one in publisher.messages(1000, 0) if one.subject.kind is Kind.DATA]
    assert len(messages) >= 3
    assert all(len(one.data) <= 1000 * 1024 for one in messages)
    events = [event for one in messages for event in decode_batch(one.data).events]
    assert publisher.waiting == 0
    assert events == large


def test_what_is_made_of_a_limit_is_about_that() -> None:
    shard = Shard()
    shard.begin()
    shard.finish()
    for _ in range(20):
        shard.happen(*KEYS)
    messages = shard.publisher.messages(5, shard.now)
    assert len(messages) == 5
    # In turns: none waits for another's backlog.
    assert len({one.subject for one in messages}) == 3
    assert len(shard.publisher.messages(100, shard.now, max_bytes=1)) == 1


def test_trades_of_a_protocol_without_numbers_are_known_too() -> None:
    shard = Shard(numbered=False)
    shard.happen(TRADE, TRADE)
    shard.begin()
    shard.finish()
    shard.check()
    assert [type(event) for event in shard.streams[TRADE, 10]] == [Trade] * 3


def test_its_messages_say_what_they_are() -> None:
    shard = Shard()
    shard.begin()
    shard.send(100)
    first, *others = shard.sent
    assert first.subject == Subject(0, Kind.CATALOG)
    assert {str(one.subject): one.message_id for one in others} == {
        "0.book.BTC%2FUSD": "10.0.book.BTC%2FUSD.0",
        "0.trade.BTC%2FUSD": "10.0.trade.BTC%2FUSD.0",
        "0.ticker.BTC%2FUSD": "10.0.ticker.BTC%2FUSD.0",
    }
    assert type(decode_batch(others[-1].data).events[0]) is TickerUpdate
