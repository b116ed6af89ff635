"""Publisher and reader, one after the other: what a feed of the producer's client got comes out, equal and alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import given, strategies as st

from kraken_trio.broker.messages import Form
from kraken_trio.broker.position import Place
from kraken_trio.broker.publisher import Publisher
from kraken_trio.broker.reader import Reader
from kraken_trio.events import BookSnapshot, BookUpdate, Cause, Event, Gap, Trade
from kraken_trio.requests import Trades
from kraken_trio.statistics import Counters
from tests.broker.pure.relayed import (
    BOOK,
    BTC,
    KEYS,
    REQUESTS,
    TRADE,
    Exchange,
    Log,
    Producer,
    Stored,
    events_of,
    judge,
    position_after,
    read,
    taken,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis.strategies import DrawFn

    from kraken_trio.broker.subjects import Key

KEY = st.sampled_from(KEYS)
QUIET = (
    st.tuples(st.just("happen"), KEY),
    st.tuples(st.just("happen"), KEY),
    st.tuples(st.just("receive"), KEY),
    st.tuples(st.just("lose"), KEY),
    st.tuples(st.just("publish"), st.integers(1, 9)),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 2.0, 6.0])),
)
LOUD = (
    *QUIET,
    st.tuples(st.just("conflate"), st.none()),
    st.tuples(st.just("takeover"), st.none()),
    st.tuples(st.just("drop"), KEY),
    st.tuples(st.just("add"), KEY),
)


OF_TRADES = (
    st.tuples(st.just("happen"), st.just(TRADE)),
    st.tuples(st.just("receive"), st.just(TRADE)),
    st.tuples(st.just("publish"), st.integers(1, 3)),
    st.tuples(st.just("publish"), st.just(9)),
    st.tuples(st.sampled_from(["conflate", "takeover"]), st.none()),
    st.tuples(st.sampled_from(["drop", "add"]), st.just(TRADE)),
)


class Shard:
    """A client of the exchange, and a publisher of what its feed gets."""

    def __init__(self, number: int, exchange: Exchange, form: Form) -> None:
        self.number = number
        self.client = Producer(number, exchange, Log())
        self.client.seqs = dict.fromkeys(KEYS, 0)  # it collects what its feed gets
        self.publisher = Publisher(number % 3, 3, form=form, batch=5)
        for request in REQUESTS.values():
            self.publisher.add(request, 0.0)
        self.got: list[Event] = []

    def take(self, now: float) -> None:
        """Whatever the feed has got is taken."""
        for key in KEYS:
            events = list(self.client.pending[key])
            self.client.pending[key].clear()
            self.got += events
            self.publisher.take(events, now)

    def add(self, key: Key, now: float) -> None:
        """Publish what was dropped: it is subscribed to again."""
        if REQUESTS[key] not in self.publisher.requests:
            self.publisher.add(REQUESTS[key], now)
            self.client.lose(key)
            self.take(now)


Chain: TypeAlias = "tuple[Exchange, Shard, list[Stored]]"


@st.composite
def chains(draw: DrawFn, steps: Sequence[st.SearchStrategy[tuple[str, object]]]) -> Chain:
    exchange, log, now = Exchange(), Log(), 0.0
    form = draw(st.sampled_from(Form))
    shards = [Shard(10, exchange, form), Shard(20, exchange, form), Shard(30, exchange, form)]
    owner = shards[0]
    owner.publisher.begin(owner.number, now)
    for shard in shards:
        shard.client.catch_up()
        shard.take(now)

    def publish(limit: int) -> None:
        for message in owner.publisher.messages(limit, now):
            log.store(message.subject, message.data)

    for step, what in draw(st.lists(st.one_of(*steps), max_size=40)):
        if step == "happen":
            exchange.happen(what)
        elif step == "receive":
            for shard in shards:
                shard.client.catch_up(what)
                shard.take(now)
        elif step == "lose":
            owner.client.lose(what)
            owner.take(now)
        elif step == "publish":
            publish(what)
        elif step == "wait":
            now += what
        elif step == "conflate":
            owner.publisher.conflate()
        elif step == "drop":
            for shard in shards:
                shard.publisher.drop(REQUESTS[what])
        elif step == "add":
            for shard in shards:
                shard.add(what, now)
        elif owner is not shards[-1]:
            owner.publisher.end()
            owner = shards[shards.index(owner) + 1]
            owner.publisher.begin(owner.number, now)
    for key in KEYS:
        owner.add(key, now)
    owner.client.catch_up()
    owner.take(now)
    now += 6
    while owner.publisher.next_due <= now:
        publish(1000)
    return exchange, shards[0], log.messages


def of_key(events: Sequence[Event], key: tuple[str, str | None]) -> list[Event]:
    return [event for event in events if (event.channel, event.symbol) == key]


@given(chains(QUIET))
def test_what_goes_in_comes_out(chain: Chain) -> None:
    _, shard, messages = chain
    found = read(messages)
    for key in KEYS:
        assert of_key(found, key) == of_key(shard.got, key)
        assert repr(of_key(found, key)) == repr(of_key(shard.got, key))


@given(chains(QUIET), st.data())
def test_a_late_joiner_gets_the_same_from_its_start_on(chain: Chain, data: st.DataObject) -> None:
    exchange, shard, messages = chain
    start = data.draw(st.integers(1, len(messages) + 1))
    found = read(messages, Place(start), *(REQUESTS[BOOK], Trades(BTC)))
    judge(exchange, found)
    for key in (BOOK, TRADE):
        late = of_key(found, key)
        whole = of_key(shard.got, key)
        if late and isinstance(late[0], BookSnapshot):  # the state as of its start
            late = late[1:]
        assert late == whole[len(whole) - len(late) :]


@given(chains(LOUD), st.data())
def test_with_other_owners_and_too_much_to_do_gaps_say_what_is_missing(chain: Chain, data: st.DataObject) -> None:
    exchange, _, messages = chain
    start = data.draw(st.integers(0, len(messages) + 1))
    reader = Reader(REQUESTS.values(), Counters())
    found = events_of([*reader.open(taken(Place(start))), *reader.take(messages), *reader.reach([0])])
    judge(exchange, found)
    assert not {event.cause for event in found if isinstance(event, Gap)} - {
        Cause.DISCONNECTED,
        Cause.FAILOVER,
        Cause.OVERFLOW,
        Cause.MISSED,
        Cause.CLOSED,
    }
    # The end is there, and books can be read.
    assert of_key(found, BOOK)[-1].received_ns == len(exchange.history[BOOK]) - 1
    assert isinstance(of_key(found, BOOK)[-1], BookSnapshot | BookUpdate)


@given(chains(OF_TRADES), st.booleans(), st.data())
def test_who_stops_and_goes_on_misses_nothing_without_a_gap(chain: Chain, snapshot: bool, data: st.DataObject) -> None:
    """However little of what is before its place is stored, or read."""
    exchange, _, messages = chain
    request = Trades(BTC, snapshot=snapshot)
    start = data.draw(st.integers(0, len(messages) + 1))
    reader = Reader([request], Counters())
    deliveries = [*reader.open(taken(Place(start))), *reader.take(messages), *reader.reach([0])]
    whole = events_of(deliveries)
    received = data.draw(st.integers(0, len(whole)))
    position = position_after(deliveries, reader, received)
    if position is None:  # it has not had all with which a feed begins
        return
    place = position.places[0]
    first = place.offset - data.draw(st.integers(0, min(9, place.offset)))
    again = Reader([request], Counters(), is_resumed=True)
    rest = [message for message in messages if message.offset >= first]
    judge(exchange, [*whole[:received], *events_of([*again.open(taken(place)), *again.take(rest), *again.reach([0])])])


@pytest.mark.parametrize("form", Form)
def test_trades_go_on_after_a_conflated_part_with_one_gap_that_has_the_numbers(form: Form) -> None:
    exchange = Exchange()
    shard = Shard(10, exchange, form)
    shard.client.catch_up()
    shard.take(0.0)
    shard.publisher.begin(10, 0.0)
    log = Log()
    for count, is_conflated in ((1, False), (5, True), (2, False)):
        for _ in range(count):
            exchange.happen(TRADE)
        shard.client.catch_up()
        shard.take(0.0)
        if is_conflated:
            shard.publisher.conflate()
        else:
            for message in shard.publisher.messages(100, 0.0):
                log.store(message.subject, message.data)
    (gap,) = [event for event in of_key(read(log.messages), TRADE) if isinstance(event, Gap)]
    assert (gap.cause, gap.after_id, gap.before_id, gap.missed) == (Cause.OVERFLOW, 501, 509, 7)
    assert not [event for event in read(log.messages) if isinstance(event, Trade) and event.received_ns > 1]


def test_a_feed_that_begins_after_a_gap_is_told_what_is_missing_after_its_history() -> None:
    """Once that gap, which is of before its start, stood for the hole behind the history as well.

    And later it was told with the next trade only: who stopped before that was not told at all.
    """
    exchange, log = Exchange(), Log()
    shard = Shard(10, exchange, Form.JSON)
    shard.publisher.begin(10, 0.0)
    for is_conflated in (False, True, False):
        shard.client.catch_up()
        shard.take(0.0)
        if is_conflated:
            shard.publisher.conflate()
        start = len(log.messages) + 1
        for message in shard.publisher.messages(100, 0.0):
            log.store(message.subject, message.data)
        exchange.happen(TRADE)
    reader = Reader(REQUESTS.values(), Counters())
    begun = of_key(
        events_of([*reader.open(taken(Place(start))), *reader.take(log.messages[: start - 1]), *reader.reach([0])]),
        TRADE,
    )
    (last,) = of_key(events_of(reader.take(log.messages[start - 1 :])), TRADE)
    first, gap = begun
    assert isinstance(gap, Gap)
    assert (gap.cause, gap.after_id, gap.before_id, gap.missed) == (Cause.OVERFLOW, 500, 502, 1)
    assert (first.received_ns, last.received_ns) == (0, 2)


@pytest.mark.parametrize("index", [1, 12])
def test_who_stops_in_the_history_of_a_later_owner_gets_the_rest_of_it(index: int) -> None:
    """Also if nothing of the earlier owner is read any more: once the rest was taken for what is before its start."""
    exchange, log = Exchange(), Log()
    shard = Shard(20, exchange, Form.JSON)
    for _ in range(12):
        exchange.happen(TRADE)
    shard.client.catch_up()
    shard.take(0.0)
    shard.publisher.begin(20, 0.0)
    for message in shard.publisher.messages(100, 0.0):
        log.store(message.subject, message.data)
    first = next(message for message in log.messages if message.subject.key == TRADE)
    reader = Reader([Trades(BTC)], Counters(), is_resumed=True)
    found = events_of([*reader.open(taken(Place(first.offset, index))), *reader.take(log.messages), *reader.reach([0])])
    assert [event.received_ns for event in found] == list(range(index, 13))
