"""The order book against :class:`~kraken_trio.testing.reference_book.ReferenceBook`, for any sequence of updates.

The reference keeps the texts of the wire, sorts whenever somebody looks, and shares no code with the order book.
"""

from __future__ import annotations

import random
from decimal import Decimal
from itertools import pairwise
from typing import TypeAlias

import attrs
import msgspec
import pytest
from hypothesis import assume, given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kraken_trio import (
    BookSnapshot,
    BookUnavailable,
    BookUpdate,
    Cause,
    ChecksumMismatch,
    Gap,
    Level,
    OrderBook,
    ProtocolError,
)
from kraken_trio.testing.reference_book import ReferenceBook
from tests.book.levels import wire_level

Texts: TypeAlias = list[tuple[str, str]]

DEPTHS = st.sampled_from([10, 25, 100, 500, 1000]) | st.integers(1, 1000) | st.integers(1, 12)


@attrs.frozen
class Scale:
    """How a market writes its numbers, and where its prices are: numbers of ticks above ``base``."""

    price_precision: int
    qty_precision: int
    base: int

    def level(self, ticks: int, qty: int) -> tuple[str, str]:
        return _text(self.base + ticks, self.price_precision), _text(qty, self.qty_precision)


@attrs.frozen
class Message:
    bids: Texts
    asks: Texts

    def event(self, kind: type[BookSnapshot | BookUpdate], checksum: int | None) -> BookSnapshot | BookUpdate:
        return kind(symbol="A/B", bids=_levels(self.bids), asks=_levels(self.asks), checksum=checksum)


def _text(scaled: int, precision: int) -> str:
    digits = f"{scaled:0{precision + 1}}"
    return f"{digits[:-precision]}.{digits[-precision:]}" if precision else digits


def _levels(texts: Texts) -> tuple[Level, ...]:
    """One as it comes off the wire, one as a program makes it, and so on."""
    return tuple(
        Level(Decimal(price), Decimal(qty)) if index % 2 or qty[0] in "NI" else wire_level(price, qty)
        for index, (price, qty) in enumerate(texts)
    )


scales = st.builds(Scale, st.integers(0, 10), st.integers(0, 10), st.integers(1, 10**6) | st.integers(1, 10**17))
quantities = st.just(0) | st.integers(0, 99) | st.integers(1, 10**18 - 1)


def messages(scale: Scale) -> st.SearchStrategy[Message]:
    """Levels in any order, the same price several times, removals of what is not there, sides that overlap."""
    ticks = st.integers(0, 30) | st.integers(0, 3)
    side = st.lists(st.builds(scale.level, ticks, quantities), max_size=12)
    return st.builds(Message, side, side)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Message, list[Message]]:
    """A snapshot and updates of one market."""
    one = messages(draw(scales))
    return draw(one), draw(st.lists(one, max_size=8))


def assert_same(book: OrderBook, model: ReferenceBook) -> None:
    """All that can be read of the book is what the model says, digit for digit."""
    bids, asks = book.bids, book.asks
    assert [(level.price, str(level.qty)) for level in bids] == [
        (Decimal(price), str(Decimal(qty))) for price, qty in model.bids
    ]
    assert (bids, asks) == (_levels(model.bids), _levels(model.asks))
    assert all(better.price > worse.price for better, worse in pairwise(bids))
    assert all(better.price < worse.price for better, worse in pairwise(asks))
    assert len(bids) <= book.depth >= len(asks)
    assert all(level.qty > 0 for level in bids + asks)
    assert book.checksum() == model.checksum()
    assert book.crossed is model.crossed
    assert book.best_bid == (bids[0] if bids else None)
    assert book.best_ask == (asks[0] if asks else None)
    assert book.available


@given(histories(), DEPTHS)
def test_any_sequence_of_updates(history: tuple[Message, list[Message]], depth: int) -> None:
    snapshot, updates = history
    book, follower, unverified = OrderBook(depth), OrderBook(depth), OrderBook(depth)
    model = ReferenceBook(depth)
    model.load(bids=snapshot.bids, asks=snapshot.asks)
    for number, message in enumerate([snapshot, *updates]):
        kind = BookUpdate if number else BookSnapshot
        if number:
            model.apply(bids=message.bids, asks=message.asks)
        event = message.event(kind, model.checksum())
        book.apply(event)
        follower.follow(event)
        unverified.apply(message.event(kind, None))
        for one in (book, follower, unverified):
            assert_same(one, model)


@given(histories(), DEPTHS)
def test_a_snapshot_of_the_book_is_the_book(history: tuple[Message, list[Message]], depth: int) -> None:
    snapshot, updates = history
    book = OrderBook(depth)
    for number, message in enumerate([snapshot, *updates]):
        book.apply(message.event(BookUpdate if number else BookSnapshot, None))
        taken = book.snapshot()
        assert taken.checksum is None  # nothing has proved it
        fresh, proved = OrderBook(depth), OrderBook(depth)
        fresh.apply(taken)
        book.apply(taken)
        assert fresh.snapshot() == book.snapshot() == taken
        taken = msgspec.structs.replace(taken, checksum=book.checksum())
        proved.apply(taken)
        assert proved.snapshot() == taken


@given(histories(), DEPTHS, st.randoms(use_true_random=False))
def test_the_order_of_different_prices_does_not_matter(
    history: tuple[Message, list[Message]],
    depth: int,
    rng: random.Random,
) -> None:
    """Within a message only the last level of each price counts, wherever it stands."""
    first, second = OrderBook(depth), OrderBook(depth)
    for number, message in enumerate([history[0], *history[1]]):
        kind = BookUpdate if number else BookSnapshot
        first.apply(message.event(kind, None))
        sides: list[Texts] = []
        for side in (message.bids, message.asks):
            last = list(dict(side).items())
            rng.shuffle(last)
            sides.append(last)
        second.apply(Message(*sides).event(kind, first.checksum()))
        assert (second.bids, second.asks) == (first.bids, first.asks)


@given(histories(), st.data())
def test_parts_of_a_message_are_the_message_while_nothing_is_cut(
    history: tuple[Message, list[Message]],
    data: st.DataObject,
) -> None:
    # Where the window overflows within a message, parts can differ: what the first part pushes out
    # the second cannot bring back. The exchange then sends it again (see test_exchange.py).
    whole, parts = OrderBook(1000), OrderBook(1000)
    for number, message in enumerate([history[0], *history[1]]):
        kind = BookUpdate if number else BookSnapshot
        whole.apply(message.event(kind, None))
        if number:
            bids_cut = data.draw(st.integers(0, len(message.bids)))
            asks_cut = data.draw(st.integers(0, len(message.asks)))
            parts.follow(Message(message.bids[:bids_cut], message.asks[:asks_cut]).event(kind, None))
            parts.follow(Message(message.bids[bids_cut:], []).event(kind, None))
            parts.apply(Message([], message.asks[asks_cut:]).event(kind, whole.checksum()))
        else:
            parts.apply(message.event(kind, whole.checksum()))
        assert (parts.bids, parts.asks) == (whole.bids, whole.asks)


@given(histories(), DEPTHS, st.integers(0, 2**32 - 1))
def test_no_other_checksum_is_accepted(
    history: tuple[Message, list[Message]],
    depth: int,
    checksum: int,
) -> None:
    snapshot, updates = history
    book, model = OrderBook(depth), ReferenceBook(depth)
    book.apply(snapshot.event(BookSnapshot, None))
    model.load(bids=snapshot.bids, asks=snapshot.asks)
    for message in updates[:-1]:
        book.apply(message.event(BookUpdate, None))
        model.apply(bids=message.bids, asks=message.asks)
    if updates:
        model.apply(bids=updates[-1].bids, asks=updates[-1].asks)
        event = updates[-1].event(BookUpdate, checksum)
    else:
        event = snapshot.event(BookSnapshot, checksum)
    assume(checksum != model.checksum())
    with pytest.raises(ChecksumMismatch) as caught:
        book.apply(event)
    evidence = caught.value
    assert evidence.evidence.message.startswith("update: " if updates else "snapshot: ")
    assert (evidence.expected, evidence.computed) == (checksum, model.checksum())
    assert evidence.hashed == model.hashed()
    assert not book.available


@pytest.mark.parametrize("size", [1, 9, 10, 11, 12])
@pytest.mark.parametrize("depth", [1, 9, 10, 11, 25])
def test_one_change_at_every_place_around_the_tenth(depth: int, size: int) -> None:
    """The checksum is kept until one of the ten best levels changes: at each place, by each kind of change."""
    for side in ("bids", "asks"):
        for place in range(2 * size + 1):  # even: between levels; odd: at one
            for qty in ("0", "7"):
                change = (str(100 + place), qty)
                levels = [(str(100 + 2 * number + 1), "1") for number in range(size)]
                model = ReferenceBook(depth)
                model.load(bids=levels, asks=levels)
                book = OrderBook(depth)
                book.apply(Message(levels, levels).event(BookSnapshot, None))
                assert book.checksum() == model.checksum()
                message = Message([change] if side == "bids" else [], [change] if side == "asks" else [])
                model.apply(bids=message.bids, asks=message.asks)
                # Without a checksum: a wrong one of its own might find help in another reading of the digits.
                book.apply(message.event(BookUpdate, None))
                assert_same(book, model)


@pytest.mark.parametrize("depth", [1, 10, 25, 100, 500, 1000])
@pytest.mark.parametrize("seed", [1, 2])
def test_long_and_deep(seed: int, depth: int) -> None:
    """Books as full as their depth allows, changed near the best price and at the far end."""
    rng = random.Random(seed * 1000 + depth)
    scale = Scale(price_precision=rng.randint(0, 10), qty_precision=rng.randint(0, 10), base=10**6)

    def side(size: int, spread: int) -> Texts:
        return [
            scale.level(
                int(rng.triangular(0, spread, 0)) * rng.choice((1, 1, -1)),
                rng.choice((0, rng.randrange(10**4), rng.randrange(10**18))),
            )
            for _ in range(size)
        ]

    book, model = OrderBook(depth), ReferenceBook(depth)
    snapshot = Message(side(3 * depth, 4 * depth), side(3 * depth, 4 * depth))
    model.load(bids=snapshot.bids, asks=snapshot.asks)
    book.apply(snapshot.event(BookSnapshot, model.checksum()))
    assert_same(book, model)
    for _ in range(30):
        message = Message(side(rng.randint(0, 40), 4 * depth), side(rng.randint(0, 40), 4 * depth))
        model.apply(bids=message.bids, asks=message.asks)
        book.apply(message.event(BookUpdate, model.checksum()))
        assert_same(book, model)


class Books(RuleBasedStateMachine):
    """Everything that can happen to a book, in any order; the model also knows whether it may be read."""

    @initialize(scale=scales, depth=DEPTHS)
    def start(self, scale: Scale, depth: int) -> None:
        self.scale = scale
        self.book = OrderBook(depth)
        self.model = ReferenceBook(depth)
        self.available = self.verified = self.carried = False

    def lost(self) -> None:
        self.available = self.verified = False

    def changed(self, message: Message, *, update: bool) -> ReferenceBook:
        """The model, if this message went through."""
        model = self.model.cut(self.book.depth)
        if update:
            model.apply(bids=message.bids, asks=message.asks)
        else:
            model.load(bids=message.bids, asks=message.asks)
        return model

    @rule(data=st.data(), verify=st.booleans(), checked=st.booleans())
    def snapshot(self, data: st.DataObject, *, verify: bool, checked: bool) -> None:
        message = data.draw(messages(self.scale))
        self.model = self.changed(message, update=False)
        event = message.event(BookSnapshot, self.model.checksum() if checked else None)
        if verify and self.carried and not checked:
            with pytest.raises(ProtocolError, match="a snapshot without a checksum, though an earlier one had it"):
                self.book.apply(event)
            self.lost()
            return
        (self.book.apply if verify else self.book.follow)(event)
        self.available, self.verified = True, checked
        self.carried |= checked

    @precondition(lambda self: self.available)
    @rule(data=st.data(), verify=st.booleans(), checked=st.booleans())
    def update(self, data: st.DataObject, *, verify: bool, checked: bool) -> None:
        message = data.draw(messages(self.scale))
        self.model = self.changed(message, update=True)
        event = message.event(BookUpdate, self.model.checksum() if checked else None)
        if verify and self.verified and not checked:
            with pytest.raises(ProtocolError, match="an update without a checksum, though one has come"):
                self.book.apply(event)
            self.lost()
            return
        (self.book.apply if verify else self.book.follow)(event)
        self.verified |= checked

    @rule(data=st.data(), flip=st.integers(1, 2**32 - 1), update=st.booleans())
    def wrong(self, data: st.DataObject, flip: int, *, update: bool) -> None:
        message = data.draw(messages(self.scale))
        model = self.changed(message, update=update)
        event = message.event(BookUpdate if update else BookSnapshot, model.checksum() ^ flip)
        if update and not self.available:
            with pytest.raises(BookUnavailable):
                self.book.apply(event)
            return
        with pytest.raises(ChecksumMismatch) as caught:
            self.book.apply(event)
        assert caught.value.hashed == model.hashed()
        self.lost()

    @rule(data=st.data(), bad=st.sampled_from(["NaN", "-1", "Infinity", "1e999999999"]), update=st.booleans())
    def impossible(self, data: st.DataObject, bad: str, *, update: bool) -> None:
        message = data.draw(messages(self.scale))
        where = data.draw(st.integers(0, len(message.asks)))
        asks = [*message.asks[:where], (_text(self.scale.base, self.scale.price_precision), bad), *message.asks[where:]]
        event = Message(message.bids, asks).event(BookUpdate if update else BookSnapshot, None)
        refusal = BookUnavailable if update and not self.available else ProtocolError
        with pytest.raises(refusal):
            self.book.apply(event)
        self.lost()

    @rule(cause=st.sampled_from(Cause), ours=st.booleans())
    def gap(self, cause: Cause, *, ours: bool) -> None:
        self.book.apply(Gap(symbol=self.book.symbol if ours else None, cause=cause))
        if ours:
            self.lost()

    @precondition(lambda self: self.available)
    @rule()
    def resume_from_itself(self) -> None:
        taken = self.book.snapshot()
        assert taken.checksum == (self.book.checksum() if self.verified else None)
        self.book.invalidate("a test")
        (self.book.apply if self.verified or not self.carried else self.book.follow)(taken)
        self.carried |= self.verified  # a snapshot has had a checksum by now, though perhaps only this one

    @precondition(lambda self: self.book.symbol is not None)
    @rule(kind=st.sampled_from([BookSnapshot, BookUpdate]))
    def another_symbol(self, kind: type[BookSnapshot | BookUpdate]) -> None:
        refusal = BookUnavailable if kind is BookUpdate and not self.available else ValueError
        with pytest.raises(refusal):
            self.book.apply(kind(symbol="C/D", bids=(), asks=()))

    @invariant()
    def readable_exactly_when_verified(self) -> None:
        assert self.book.available is self.available
        assert self.book.verified is self.verified
        if self.available:
            assert_same(self.book, self.model)
        else:
            for name in ("bids", "asks", "best_bid", "best_ask", "spread", "mid", "crossed", "timestamp"):
                with pytest.raises(BookUnavailable):
                    getattr(self.book, name)
            for method in (self.book.checksum, self.book.snapshot):
                with pytest.raises(BookUnavailable):
                    method()


TestBooks = Books.TestCase
TestBooks.settings = settings(stateful_step_count=15)
