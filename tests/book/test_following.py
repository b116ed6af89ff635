"""A book that follows a run of events: one by one, or by way of the state after the last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from kraken_trio import BookSnapshot, BookUpdate, Cause, Gap, Level, OrderBook
from kraken_trio.testing.reference_book import ReferenceBook
from tests.book.stand_in import use_stand_ins

if TYPE_CHECKING:
    from collections.abc import Sequence

DEPTH = 4
LONG = 20
"""So many updates are followed by way of the latest state, if it is known."""
Change = tuple[bool, int, int]


def run(changes: Sequence[Change]) -> list[BookSnapshot | BookUpdate]:
    """A snapshot, and updates of one level."""
    model = ReferenceBook(DEPTH, bids=[("9", "1")], asks=[("10", "3")])

    def event(kind: Any, bids: Sequence[tuple[str, str]], asks: Sequence[tuple[str, str]], number: int) -> Any:
        return kind(
            symbol="A/B",
            bids=tuple(Level(*texts) for texts in bids),
            asks=tuple(Level(*texts) for texts in asks),
            checksum=model.checksum(),
            epoch=1,
            received_ns=number // 3,  # some come in one batch
        )

    events = [event(BookSnapshot, model.bids, model.asks, 0)]
    for number, (is_bid, price, qty) in enumerate(changes, 1):
        level = (str(price if is_bid else 10 + price), str(qty))
        bids, asks = ([level], []) if is_bid else ([], [level])
        model.apply(bids=bids, asks=asks)
        events.append(event(BookUpdate, bids, asks, number))
    return events


CHANGES = st.lists(st.tuples(st.booleans(), st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=3 * LONG)
WALK: list[Change] = [(number % 3 > 0, 1 + number % 8, number % 4) for number in range(LONG)]


class Latest:
    """The client's own book, and how often it was asked for."""

    def __init__(self, events: Sequence[BookSnapshot | BookUpdate | Gap], **changes: Any) -> None:
        book = OrderBook(DEPTH)
        for event in events:
            book.apply(event)
        self.state = msgspec.structs.replace(book.snapshot(), **changes) if book.available else None
        self.asked = 0

    def __call__(self) -> BookSnapshot | None:
        self.asked += 1
        return self.state


@given(CHANGES, st.integers(0, 3 * LONG), st.booleans())
def test_both_ways_lead_to_the_same_book(changes: list[Change], cut: int, is_known: bool) -> None:
    events = run(changes)
    cut = min(cut, len(events) - 1)
    one_by_one, at_once = OrderBook(DEPTH), OrderBook(DEPTH)
    for event in events:
        one_by_one.follow(event)
    for part in (events[:cut], events[cut:]):
        if part:
            latest = Latest(events[:cut] if part is events[:cut] else events)
            at_once.follow_all(part, latest if is_known else lambda: None)
    for book in (one_by_one, at_once):
        book.follow(events[-1])  # both go on
    assert at_once.snapshot() == one_by_one.snapshot()
    assert at_once.verified


def test_a_long_run_is_followed_by_way_of_the_latest_state() -> None:
    events = run(WALK)
    book, latest = OrderBook(DEPTH), Latest(events)
    book.follow_all(events, latest)
    assert latest.state is not None
    assert (latest.asked, book.snapshot()) == (1, latest.state)
    assert book.bids[0] is latest.state.bids[0]  # the same levels, not others like them


@pytest.mark.parametrize(
    "changes",
    [{"checksum": 1}, {"checksum": None}, {"epoch": 2}, {"received_ns": 1}, {"timestamp": "2026-05-14T12:00:00Z"}],
    ids=lambda changes: next(iter(changes)) + str(next(iter(changes.values()))),
)
def test_a_state_that_is_not_after_the_last_event_is_not_taken(changes: dict[str, Any]) -> None:
    if "timestamp" in changes:
        changes = {"timestamp": msgspec.convert(changes["timestamp"], Any)}
    events = run(WALK)
    book, latest = OrderBook(DEPTH), Latest(events, bids=(Level("1", "1"),), **changes)
    book.follow_all(events, latest)
    one_by_one = OrderBook(DEPTH)
    for event in events:
        one_by_one.follow(event)
    assert latest.asked == 1
    assert book.snapshot() == one_by_one.snapshot()


def test_a_gap_at_the_end_makes_it_unavailable() -> None:
    events = run(WALK)
    gap = Gap(symbol="A/B", channel="book", cause=Cause.CHECKSUM, epoch=1, received_ns=events[-1].received_ns)
    book = OrderBook(DEPTH)
    book.follow_all([*events, gap], Latest(events))
    assert not book.available


def test_a_short_run_is_followed_one_by_one() -> None:
    events = run(WALK[:2])
    book, latest = OrderBook(DEPTH), Latest(events)
    book.follow_all(events, latest)
    assert latest.asked == 0
    assert book.snapshot() == latest.state


def test_a_core_follows_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is faster so."""
    use_stand_ins(monkeypatch)
    events = run([(True, 8, 1 + number % 2) for number in range(LONG)])
    book, latest = OrderBook(DEPTH), Latest(events)
    book.follow(events[0])
    assert book.core is not None
    book.follow_all(events[1:], latest)
    assert latest.asked == 0
    assert book.core is not None
