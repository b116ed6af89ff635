"""Nothing is left behind: whatever is done again and again, memory and references stay as they were."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from contextlib import suppress
from datetime import UTC
from typing import TYPE_CHECKING

import pytest

from kraken_trio.book import OrderBook, core
from kraken_trio.events import BookUpdate, Level
from tests.book.levels import wire_level
from tests.core.direct import Direct, event_of
from tests.core.market import Market, frame_of
from tests.session.driver import BTC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEVELS = 40
MARKET = Market.of(
    BTC, LEVELS, [(f"{99 - n}.5", "1.25") for n in range(LEVELS)], [(f"{100 + n}.5", "1.25") for n in range(LEVELS)]
)
SNAPSHOT, CHECKSUM = MARKET.snapshot(), MARKET.checksum()
QUIET = frame_of(BTC, [("60.5", "2.5"), ("60.5", "1.25")], [("139.5", "0.0"), ("139.5", "1.25")], CHECKSUM)
"""Changes several levels, and leaves everything as it was."""
WRONG = frame_of(BTC, [("99.5", "0"), ("98.5", "3"), ("99.7", "1"), ("99.7", "2")], [("99.9", "1")] * 3, 1)
CROSSED = frame_of(BTC, [("200.5", "1")], [("99.1", "1")], CHECKSUM)
FINER = frame_of(BTC, [("60.55", "1")], [], CHECKSUM)
MANY = frame_of(BTC, [("60.5", "1.25")] * 256, [], CHECKSUM)
ENDS = [QUIET[:-at] for at in range(1, len(QUIET), 17)]


class Failing(dict[object, list[object]]):
    def __missing__(self, feed: object) -> list[object]:
        raise KeyError(feed)


def taken() -> Callable[[], object]:
    direct = Direct(SNAPSHOT, depth=LEVELS)

    def work() -> None:
        direct.deliver.clear()
        assert direct.take(QUIET, QUIET.encode(), MANY) == 3

    return work


def refused() -> Callable[[], object]:
    direct = Direct(SNAPSHOT, depth=LEVELS)

    def work() -> None:
        odd: list[str | bytes] = [WRONG, CROSSED, FINER, *ENDS, frame_of("NO/NE", [], [], 1), "", b"\xff"]
        for frame in odd:
            assert direct.take(frame) == 0

    return work


def delivered_to_nobody() -> Callable[[], object]:
    direct = Direct(SNAPSHOT, depth=LEVELS)

    def work() -> None:
        with suppress(KeyError):
            direct.table.take([QUIET], 0, 1, 1, Failing())

    return work


def loaded_and_dropped() -> Callable[[], object]:
    event, update = event_of(SNAPSHOT), event_of(QUIET)

    def work() -> None:
        book = OrderBook(LEVELS)
        book.apply(event)
        book.follow(update)
        assert book.core is not None
        book.invalidate("")

    return work


def left_and_entered() -> Callable[[], object]:
    event, update = event_of(SNAPSHOT), event_of(QUIET)
    odd = BookUpdate(symbol=BTC, bids=(), asks=(), checksum=CHECKSUM)
    book = OrderBook(LEVELS)
    book.apply(event)

    def work() -> None:
        book.apply(BookUpdate(symbol=BTC, bids=[], asks=(), checksum=CHECKSUM))  # type: ignore[arg-type]  # wrong on purpose
        assert book.core is None
        for _ in range(LEVELS):
            book.apply(odd)
        assert book.core is not None
        book.apply(update)
        assert len(book.bids) == len(book.asks) == LEVELS

    return work


def not_loaded() -> Callable[[], object]:
    book = OrderBook(LEVELS)
    book.apply(event_of(SNAPSHOT))
    bids, asks = book.bids, book.asks
    load = core.load
    assert load is not None
    worse = wire_level("1.5", "1.0")

    def work() -> None:
        for sides in ((bids, (*asks[:-1], wire_level("138.5", "1.0"))), (bids[::-1], asks), ((*bids, worse), asks)):
            assert load(BTC, LEVELS, *sides, CHECKSUM, None, 1, 1) is None
        assert load(BTC, LEVELS, (*bids[:-1], wire_level("1.5", "0.0")), asks, CHECKSUM, None, 1, 1) is None
        assert load(BTC, LEVELS, bids, (*asks[:-1], Level("1e3", "1")), CHECKSUM, None, 1, 1) is None
        assert load(BTC, LEVELS, bids, asks, CHECKSUM + 1, None, 1, 1) is None
        assert load(BTC, LEVELS, bids, asks, None, None, 1, 1) is None
        assert load(BTC, LEVELS, bids, asks, 2**70, None, 1, 1) is None
        with suppress(TypeError):
            load(BTC, LEVELS, [*bids], asks, CHECKSUM, None, 1, 1)

    return work


def odd_events() -> Callable[[], object]:
    book = OrderBook(LEVELS)
    book.apply(event_of(SNAPSHOT))
    held, levels = book.core, (wire_level("60.5", "1.25"),)
    assert held is not None

    def work() -> None:
        for checksum in (None, -1, 2**64, 1.5, CHECKSUM + 1):
            assert not held.apply(BookUpdate(symbol=BTC, bids=levels, asks=(), checksum=checksum))  # type: ignore[arg-type]  # wrong on purpose
        assert not held.apply(BookUpdate(symbol="C/D", bids=(), asks=(), checksum=CHECKSUM))
        assert not held.apply(BookUpdate(symbol=BTC, bids=(*levels, None), asks=(), checksum=CHECKSUM))  # type: ignore[arg-type]  # wrong on purpose
        assert not held.follow(BookUpdate(symbol=BTC, bids=levels * 257, asks=(), checksum=CHECKSUM))
        assert not held.follow(event_of(CROSSED))
        assert held.apply(BookUpdate(symbol=BTC, bids=levels * 256, asks=(), checksum=CHECKSUM))

    return work


def tables() -> Callable[[], object]:
    def work() -> None:
        direct = Direct(SNAPSHOT, depth=LEVELS)
        direct.subscriptions["self"] = direct.table  # a cycle
        direct.take(QUIET)
        del direct
        gc.collect()

    return work


LEVEL_TYPES = (Level, BookUpdate, None, True, False, UTC, (), BTC)


@pytest.fixture
def small_heap() -> Iterator[None]:
    """So that a collection looks at what the test has made, and not at all that other tests have left."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("small_heap")
@pytest.mark.parametrize(
    "arrange",
    [taken, refused, delivered_to_nobody, loaded_and_dropped, left_and_entered, not_loaded, odd_events, tables],
)
def test_nothing_is_left_behind(arrange: Callable[[], Callable[[], object]]) -> None:
    """Counted in blocks, in bytes (which are those of the arrays, too), and in references to what all share."""
    rounds = 60 if arrange in (tables, left_and_entered) else 100
    work = arrange()
    for _ in range(5):
        work()
    gc.collect()
    counts = [sys.getrefcount(shared) for shared in LEVEL_TYPES]
    blocks = sys.getallocatedblocks()
    for _ in range(rounds):
        work()
    gc.collect()
    assert sys.getallocatedblocks() - blocks < rounds // 2
    for before, shared in zip(counts, LEVEL_TYPES, strict=True):
        assert abs(sys.getrefcount(shared) - before) < rounds // 2, shared
    tracemalloc.start()
    try:
        work()
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
        for _ in range(20):
            work()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - held < 2000
    finally:
        tracemalloc.stop()


def test_levels_are_freed_with_the_last_that_has_them() -> None:
    direct = Direct(SNAPSHOT, depth=LEVELS)
    assert direct.take(QUIET) == 1
    level = direct.deliver["a"][0].bids[1]
    own = 2 + 1  # the variable, the call, and the event's tuple
    assert sys.getrefcount(level) == own + 1  # and the book
    assert direct.take(QUIET) == 1
    assert sys.getrefcount(level) == own
    direct.deliver.clear()
    assert sys.getrefcount(level) == own - 1
    assert direct.take(WRONG) == 0
    assert direct.take(frame_of(BTC, [], [("139.5", "1")], CHECKSUM)) == 1
    event = direct.deliver["a"][-1]
    [level] = event.asks
    del direct, event
    gc.collect()
    assert sys.getrefcount(level) == 2
