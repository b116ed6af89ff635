"""With the compiled core and by the pure code alone, the same story gives the same: in sessions, and in books alone."""

from __future__ import annotations

import copy
import random
from collections import Counter

import pytest
from hypothesis import event, example, given, settings, strategies as st

from kraken_trio.book import OrderBook, core
from tests.core.direct import Direct, event_of
from tests.core.market import Levels, Market, Tape, frame_of
from tests.core.twins import SessionTwins, look, play_books, play_sessions, purely
from tests.session.driver import BTC


def _share(counts: Counter[str]) -> str:
    return f"compiled: {10 * counts['compiled'] // (counts['compiled'] + counts['pure'] + 1)} tenths"


@given(st.binary(max_size=600))
def test_any_story_of_two_sessions(data: bytes) -> None:
    event(_share(play_sessions(data).counts))


@given(st.binary(max_size=500))
@example(b"")
def test_any_story_of_two_books(data: bytes) -> None:
    play_books(data)


@pytest.mark.parametrize("seed", range(6))
def test_long_stories_of_two_sessions(seed: int) -> None:
    play_sessions(random.Random(seed).randbytes(4_000))


@pytest.mark.parametrize("seed", range(30))
def test_long_stories_of_two_books(seed: int) -> None:
    play_books(random.Random(seed).randbytes(3_000))


def test_most_updates_of_a_story_are_compiled() -> None:
    """So that the tests above are about the compiled core."""
    counts = Counter[str]()
    for seed in range(100, 112):
        counts += play_sessions(random.Random(seed).randbytes(800)).counts
    assert counts["compiled"] > counts["pure"] > 0, counts


def _changes(rng: random.Random, depth: int) -> tuple[Levels, Levels]:
    """Levels near the best price, anywhere, and at the window's far edge."""
    bids: Levels = []
    asks: Levels = []
    for _ in range(rng.choice((1, 1, 2, 40))):
        is_ask = rng.random() < 0.5
        offset = rng.choice((rng.randrange(6), rng.randrange(depth), depth - 1, depth + 3))
        price = f"{5000 + offset if is_ask else 4999 - offset}.{rng.choice('05')}"
        (asks if is_ask else bids).append((price, rng.choice(("0", "2.5", "7"))))
    return bids, asks


@pytest.mark.parametrize("depth", [100, 1000])
def test_full_windows(depth: int) -> None:
    """Levels enter and leave at both ends, and anywhere: the arrays move and grow, and what is wrong is undone."""
    rng = random.Random(depth)
    market = Market.of(
        BTC,
        depth,
        [(f"{5000 - n}.0", "1.5") for n in range(1, depth + 1)],
        [(f"{5000 + n}.0", "1.5") for n in range(depth)],
    )
    direct = Direct(market.snapshot(), depth=depth)
    book, pure = direct.books[BTC], OrderBook(depth)
    with purely():
        pure.apply(book.snapshot())
    for number in range(300):
        wrong = frame_of(BTC, *_changes(rng, depth), checksum=1)
        assert direct.take(wrong) == 0
        bids, asks = _changes(rng, depth)
        market.apply(bids, asks)
        frame = frame_of(BTC, bids, asks, market.checksum())
        crossed = float(market.bids[0][0]) >= float(market.asks[0][0])
        assert direct.take(frame) == (not crossed)
        if crossed:
            book.apply(event_of(market.snapshot()))
        pure.apply(event_of(frame))
        if number % 25 == 0:
            assert (book.bids, book.asks) == (pure.bids, pure.asks)
    assert (book.bids, book.asks) == (pure.bids, pure.asks)


def test_what_can_be_read_is_kept_until_it_changes() -> None:
    """The same tuple is returned again, as the pure code does."""
    market = Market(Tape(b""), BTC, 10)
    direct = Direct(market.snapshot(), depth=10)
    book = direct.books[BTC]
    assert book.core is not None
    assert book.bids is book.bids
    assert book.asks is book.asks
    bids, asks = book.bids, book.asks
    changes: tuple[Levels, Levels] = [(market.bids[1][0], "77.5")], []
    market.apply(*changes)
    assert direct.take(frame_of(BTC, *changes, market.checksum())) == 1
    assert book.bids is not bids
    assert book.asks is asks
    assert [(level.price_text, level.qty_text) for level in book.bids] == market.bids


def test_each_way_of_making_one_pure() -> None:
    """What is made inside of the twin has neither a core nor a frame path; outside it has."""
    snapshot = Market(Tape(b""), BTC, 10).snapshot()
    with purely():
        assert core.load is None
        assert not SessionTwins().pure.session._intake._takes
    assert SessionTwins().fast.session._intake._takes
    direct = Direct(snapshot, depth=10)
    book = OrderBook(10)
    with purely():
        book.apply(direct.books[BTC].snapshot())
    assert book.core is None
    assert look(book) == look(direct.books[BTC])


@settings(max_examples=30)
@given(st.binary(max_size=200), st.integers(1, 40))
def test_a_copy_is_a_book_of_its_own(data: bytes, count: int) -> None:
    """Whatever happens to the one that was copied, it has what it had."""
    tape = Tape(data)
    market = Market(tape, "A/B", tape.pick((3, 10, 25)))
    direct = Direct(market.snapshot(), depth=market.depth)
    book = direct.books["A/B"]
    copied = copy.copy(book)
    seen = look(copied)
    for _ in range(count):
        book.apply(event_of(market.update(tape)))
    assert look(copied) == seen
