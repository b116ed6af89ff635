"""Trades are continuous, or say so: against a model of an exchange that numbers them, loses some, and begins anew.

Every trade of the model has a quantity of its own, by which it is known whatever its number is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from hypothesis import example, given, strategies as st

from kraken_trio.events import Cause, Event, Gap, Trade
from kraken_trio.requests import Trades
from tests.session.driver import BTC, Client, data, trade

if TYPE_CHECKING:
    from collections.abc import Sequence

KEPT = 50
"""As many as the client keeps, and Kraken sends."""


@attrs.define
class Consumer:
    """A feed, and what it must have seen: trades are meant by their place in the model's list."""

    wants_history: bool
    latest: int | None = None
    """Of what came before its next trade: from it on nothing may be missing."""
    is_new: bool = True
    """Nothing has come since it subscribed."""
    seen: list[int] = attrs.Factory(list)
    due: set[int] = attrs.Factory(set)
    """What it has to get."""


class Model:
    """The exchange's side, and the judge."""

    def __init__(self) -> None:
        self.client = Client()
        self.numbers: list[int] = []
        """Of all trades that ever were."""
        self.next_number = 1
        self.history = KEPT
        self.sent: set[int] = set()
        self.consumers: dict[int, Consumer] = {}
        self.is_live = False
        """This connection has carried trades, or has said that there are none, where some had been."""
        self.is_steady = True
        """The numbering never began anew."""

    # What happens

    def happen(self, count: int) -> range:
        """So many trades."""
        for _ in range(count):
            self.numbers.append(self.next_number)
            self.next_number += 1
        return range(len(self.numbers) - count, len(self.numbers))

    def trade(self, count: int) -> None:
        self.send(self.happen(count))

    def lose(self, count: int) -> None:
        self.happen(count)

    def anew(self, number: int) -> None:
        self.next_number = number
        self.is_steady = False

    def remember(self, length: int) -> None:
        self.history = length

    def repeat(self, count: int) -> None:
        """Say again what was said."""
        if self.sent:
            newest = max(self.sent)
            self.send([place for place in range(max(0, newest + 1 - count), newest + 1) if place in self.sent])

    def join(self, wants_history: bool) -> None:
        name = len(self.consumers)
        consumer = self.consumers[name] = Consumer(wants_history)
        self.client.add(name, Trades(BTC, snapshot=wants_history))
        if len(self.consumers) == 1:
            self.answer()
        elif self.client.answers.get(name) == {} and self.is_live:
            self.start(consumer)  # it has come to something that is under way
        self.look()

    def away(self, count: int, comer: bool | None = None) -> None:
        """The connection is lost; so many trades happen; it is made again. Somebody may come meanwhile."""
        self.client.lose()
        self.is_live = False
        for name in self.consumers:
            (gap,) = self.client.events(name)
            assert isinstance(gap, Gap)
            assert gap.cause is Cause.DISCONNECTED
            assert (gap.missed, gap.after_id, gap.before_id) == (None, None, None)
        if comer is not None:
            self.join(comer)
        self.happen(count)
        self.client.reconnect()
        if self.consumers:
            self.answer()

    # What is said

    def answer(self) -> None:
        (asked,) = self.client.accept()
        assert asked["params"]["snapshot"] is True
        history = range(max(0, len(self.numbers) - self.history), len(self.numbers))
        self.send(history, history=True)

    def send(self, places: Sequence[int], *, history: bool = False) -> None:
        for consumer in self.consumers.values():
            if consumer.is_new and places and not history:
                self.start(consumer)
        known = max(self.sent, default=-1)
        news = {place for place in places if place > known}
        if self.consumers:
            self.sent |= news
            entries = [trade(self.numbers[place], qty=f"{place}.5") for place in places]
            self.client.receive(data("trade", "snapshot" if history else "update", entries))
            self.is_live = self.is_live or bool(places) or (history and bool(self.sent))
        for consumer in self.consumers.values():
            if consumer.is_new and (places or (history and self.sent)):
                self.start(consumer)
            elif not consumer.is_new:
                consumer.due |= news
        self.look()

    def start(self, consumer: Consumer) -> None:
        """It starts with all that was said: in front of it, if it wants history, as far as that has no hole."""
        consumer.is_new = False
        if not self.sent:
            return
        consumer.latest = first = max(self.sent)
        if consumer.wants_history:
            while (
                first - 1 in self.sent
                and self.numbers[first - 1] + 1 == self.numbers[first]
                and max(self.sent) - first + 1 < KEPT
            ):
                first -= 1
            consumer.due |= set(range(first, max(self.sent) + 1))
            consumer.latest = None

    # What is heard

    def look(self) -> None:
        for name, consumer in self.consumers.items():
            events = self.client.events(name)
            while events:
                self.see(consumer, events)
            if self.is_steady:
                assert consumer.due <= set(consumer.seen)

    def see(self, consumer: Consumer, events: list[Event]) -> None:
        event = events.pop(0)
        gap = None
        if isinstance(event, Gap):
            gap, event = event, events.pop(0)
        assert isinstance(event, Trade)
        place = int(event.qty)
        assert self.numbers[place] == event.trade_id
        assert place in self.sent
        assert not consumer.seen or place > consumer.seen[-1], "twice, or out of order"
        before = consumer.latest
        if before is None or self.numbers[before] + 1 == event.trade_id:
            assert gap is None
        else:
            jump = event.trade_id - self.numbers[before] - 1
            assert gap is not None, f"after {self.numbers[before]} came {event.trade_id}"
            assert (gap.cause, gap.channel, gap.symbol) == (Cause.MISSED, "trade", BTC)
            assert (gap.after_id, gap.before_id) == (self.numbers[before], event.trade_id)
            assert gap.missed == (jump if jump > 0 else None)
        consumer.latest = place
        consumer.seen.append(place)

    def end(self) -> None:
        """Nothing came that was not due."""
        if self.is_steady:
            for consumer in self.consumers.values():
                assert consumer.seen == sorted(consumer.due)


happenings = st.one_of(
    st.tuples(st.just("trade"), st.integers(1, 5)),
    st.tuples(st.just("trade"), st.integers(40, 60)),
    st.tuples(st.just("lose"), st.integers(1, 3)),
    st.tuples(st.just("away"), st.integers(0, 8)),
    st.tuples(st.just("away"), st.integers(45, 60)),
    st.tuples(st.just("away"), st.integers(0, 8), st.booleans()),
    st.tuples(st.just("remember"), st.sampled_from([0, 1, 3, KEPT, KEPT, KEPT + 10])),
    st.tuples(st.just("repeat"), st.integers(1, 10)),
    st.tuples(st.just("join"), st.booleans()),
)
renumberings = st.tuples(st.just("anew"), st.integers(1, 120))


@given(st.integers(0, 120), st.booleans(), st.lists(happenings, max_size=12))
@example(before=3, wants_history=False, story=[("away", 4)])  # without any trade since it subscribed
@example(before=0, wants_history=False, story=[("away", 4), ("trade", 1)])  # nor before
@example(before=60, wants_history=False, story=[("away", 51), ("trade", 1)])
@example(before=9, wants_history=False, story=[("remember", 0), ("away", 0), ("join", True), ("trade", 1)])
@example(before=9, wants_history=False, story=[("remember", 0), ("away", 2, True), ("trade", 1)])
@example(before=0, wants_history=False, story=[("trade", 1), ("remember", 0), ("away", 0), ("join", True)])
def test_each_trade_comes_once_and_every_hole_is_announced_where_it_is(
    before: int, wants_history: bool, story: list[tuple[str, int]]
) -> None:
    tell(before, wants_history, story)


@given(st.integers(0, 120), st.booleans(), st.lists(happenings | renumberings, max_size=12))
@example(before=60, wants_history=True, story=[("anew", 1), ("away", 3)])
@example(before=60, wants_history=True, story=[("anew", 55), ("away", 30), ("trade", 1)])
@example(before=60, wants_history=True, story=[("anew", 1), ("trade", 2), ("away", 3), ("trade", 1)])
def test_numbers_that_begin_anew_are_announced_as_well(
    before: int, wants_history: bool, story: list[tuple[str, int]]
) -> None:
    tell(before, wants_history, story)


def tell(before: int, wants_history: bool, story: list[tuple[str, int]]) -> None:
    model = Model()
    model.happen(before)
    model.join(wants_history)
    for name, *details in story:
        getattr(model, name)(*details)
    model.end()


def test_what_was_missed_before_any_trade_came_is_caught_up() -> None:
    model = Model()
    model.happen(3)
    model.join(wants_history=False)
    model.away(4)
    assert model.consumers[0].seen == [3, 4, 5, 6]
    assert model.client.count("trades_missed") == 0


def test_a_hole_in_what_was_caught_up_is_counted() -> None:
    model = Model()
    model.happen(3)
    model.join(wants_history=False)
    model.away(60)
    assert len(model.consumers[0].seen) == KEPT
    assert model.client.count("trades_missed") == 10


def test_who_goes_before_anything_came_is_forgotten() -> None:
    client = Client()
    client.follow("stays", Trades(BTC))
    client.follow("goes", Trades(BTC, snapshot=True))
    client.remove("goes")
    client.receive(data("trade", "snapshot", [trade(1)]), data("trade", "update", [trade(2)]))
    assert client.kinds("stays") == ["Trade"]
    assert client.kinds("goes") == []
