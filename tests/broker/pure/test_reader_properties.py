"""Whatever happens to messages on their way: nothing that a reader delivers is wrong or doubled, and gaps stand for the
rest.

Stories are drawn: what happens at the exchange, who publishes it, which messages the broker loses, repeats or lets come
late, and where a feed begins, and begins again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, strategies as st

from kraken_trio.broker.messages import Form
from kraken_trio.broker.position import Place
from kraken_trio.broker.reader import Reader
from kraken_trio.events import BookSnapshot, Cause, Event, Gap
from kraken_trio.statistics import Counters
from tests.broker.pure.relayed import (
    BOOK,
    KEYS,
    REQUESTS,
    Exchange,
    Log,
    Producer,
    Stored,
    events_of,
    judge,
    position_after,
    taken,
)

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

KEY = st.sampled_from(KEYS)
STEP = st.one_of(
    st.tuples(st.just("happen"), KEY),
    st.tuples(st.just("happen"), KEY),
    st.tuples(st.just("publish"), KEY),
    st.tuples(st.just("publish"), KEY),
    st.tuples(st.just("frame"), KEY),
    st.tuples(st.just("lose"), KEY),  # the producer's connection to the exchange
    st.tuples(st.just("takeover"), st.sampled_from([0, 0, 1, 60])),  # by a producer that is so far behind
    st.tuples(st.just("zombie"), KEY),  # a producer that was replaced publishes, before anybody has noticed
)


@st.composite
def stories(draw: DrawFn, max_steps: int = 40) -> tuple[Exchange, list[Stored]]:
    """An exchange, and the log of what was published of it, without faults of the broker."""
    exchange, log = Exchange(), Log(draw(st.sampled_from([0, 1])))
    form = draw(st.sampled_from(Form))
    for _ in range(draw(st.sampled_from([0, 3, 70]))):
        for key in KEYS:
            exchange.happen(key)
    producers = [Producer(10, exchange, log, form=form)]
    producers[0].catch_up()
    producers[0].begin()
    for step, what in draw(st.lists(STEP, max_size=max_steps)):
        owner = producers[-1]
        if step == "happen":
            exchange.happen(what)
        elif step == "publish":
            owner.catch_up(what)
            owner.publish(what)
        elif step == "frame":
            owner.key_frame(what)
        elif step == "lose":
            owner.lose(what)
        elif step == "zombie":
            producers[max(0, len(producers) - 2)].publish(what)
        else:
            producers.append(Producer(owner.number + 10, exchange, log, form=form))
            for key in KEYS:
                producers[-1].follow(key, max(1, len(exchange.history[key]) - what))
            producers[-1].begin()
            for key in KEYS:
                producers[-1].key_frame(key)
    for key in KEYS:
        producers[-1].catch_up(key)
        producers[-1].publish(key)
        producers[-1].key_frame(key)
    return exchange, log.messages


@st.composite
def faulty(draw: DrawFn, messages: list[Stored]) -> list[Stored]:
    """The messages as an unreliable broker gives them: some are lost, a part comes again."""
    found: list[Stored] = []
    for message in messages:
        fate = draw(st.sampled_from(["", "", "", "", "", "lost", "again", "spoilt"]))
        if fate == "again" and found:
            back = draw(st.integers(1, min(5, len(found))))
            found += found[-back:]
        if fate == "spoilt":
            found.append(Stored(message.subject, message.data[:-1], message.offset))
        elif fate != "lost":
            found.append(message)
    return [Stored(message.subject, message.data, offset) for offset, message in enumerate(found)]


@st.composite
def batches(draw: DrawFn, messages: list[Stored]) -> list[list[Stored]]:
    found, rest = [], messages
    while rest:
        count = draw(st.integers(1, 6))
        found.append(rest[:count])
        rest = rest[count:]
    return found


@given(st.data())
def test_what_is_delivered_is_true_and_what_is_not_is_in_a_gap(data: st.DataObject) -> None:
    exchange, messages = data.draw(stories())
    messages = data.draw(faulty(messages))
    start = data.draw(st.integers(0, len(messages)))
    reader = Reader(REQUESTS.values(), Counters(), is_owed=data.draw(st.booleans()))
    found = events_of(reader.open(taken(Place(start), expired=False)))
    for some in data.draw(batches(messages)):
        found += events_of(reader.take(some))
    found += events_of(reader.reach([0]))
    judge(exchange, found)


@given(st.data())
def test_without_faults_a_reader_of_everything_gets_what_the_producer_had(data: st.DataObject) -> None:
    exchange, messages = data.draw(stories())
    reader = Reader(REQUESTS.values(), Counters())
    reader.open(taken(Place(0)))
    found = events_of(reader.take(messages))
    judge(exchange, found)
    for key in KEYS:  # the end is there
        mine = [event for event in found if (event.channel, event.symbol) == key and not isinstance(event, Gap)]
        assert mine[-1].received_ns == len(exchange.history[key]) - 1


def key_of(event: Event) -> tuple[str | None, str | None]:
    return event.channel, event.symbol


@given(st.data())
def test_a_feed_goes_on_exactly_where_a_program_stopped(data: st.DataObject) -> None:
    """In the middle of a message, too: what was received before and what comes after are together what one feed gets.

    A gap may be told again. A book begins with a snapshot of the state that the program had.
    """
    _, messages = data.draw(stories(max_steps=25))
    messages = data.draw(faulty(messages))
    start = data.draw(st.integers(0, len(messages)))
    reader = Reader(REQUESTS.values(), Counters())
    deliveries = [*reader.open(taken(Place(start))), *reader.take(messages), *reader.reach([0])]
    whole = events_of(deliveries)
    received = data.draw(st.integers(0, len(whole)))
    position = position_after(deliveries, reader, received)
    if position is None:  # it has not had all with which a feed begins
        return
    again = Reader(REQUESTS.values(), Counters(), is_resumed=True)
    rest = events_of([*again.open(taken(position.places[0])), *again.take(messages), *again.reach([0])])
    for key in KEYS:
        before = [event for event in whole[:received] if key_of(event) == key]
        expected = [event for event in whole[received:] if key_of(event) == key]
        found = [event for event in rest if key_of(event) == key]
        known = next((event for event in reversed(before) if not isinstance(event, Gap)), None)
        if key == BOOK and known is not None and (known is before[-1] or len(found) > len(expected) + 1):
            # After a gap only if that is told again: then the place is the one before it.
            assert isinstance(found[0], BookSnapshot)
            assert found[0].received_ns == known.received_ns
            del found[0]
        gaps = [event for event in found if isinstance(event, Gap)]
        if Cause.EXPIRED not in {gap.cause for gap in gaps}:  # which stands for the others
            assert all(event in gaps for event in expected if isinstance(event, Gap))
        rest_of_key = [event for event in found if not isinstance(event, Gap)]
        wanted = [event for event in expected if not isinstance(event, Gap)]
        if len(rest_of_key) < len(wanted):
            # Of the key's past nothing is stored: then the history that a producer begins with may have been received.
            assert {gap.cause for gap in gaps} & {Cause.FAILOVER, Cause.EXPIRED}
            wanted = wanted[-len(rest_of_key) :] if rest_of_key else []
        assert rest_of_key == wanted
