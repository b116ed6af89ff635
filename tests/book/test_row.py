"""A level may be made of texts, or of Decimals, or by the decoder: a book makes the same of them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, strategies as st

from kraken_trio import BookSnapshot, BookUpdate, Level, OrderBook, ProtocolError
from kraken_trio.book import row
from tests.book.levels import wire_level

if TYPE_CHECKING:
    from collections.abc import Callable

digits = st.text("0123456789", min_size=1, max_size=24)
numbers = st.one_of(
    st.builds(lambda whole, part: f"{int(whole)}.{part}", digits, digits),
    st.builds(lambda whole: str(int(whole)), digits),
    st.builds(lambda part: f"0.{part}", digits),
    st.builds(lambda whole, part, power: f"{int(whole)}.{part}e{power}", digits, digits, st.integers(-50, 50)),
    st.sampled_from(["0", "-0", "-0.0", "0.00000000", "0e5", "0E-40", "-1.5", "1e999999999", "0e-999999999", "9" * 41]),
    st.just(f"0.{'0' * 60}"),
)
"""As JSON writes them."""

EMPTY = BookSnapshot(symbol="A/B", bids=(wire_level("5.25", "1.0"),), asks=())


def outcome(book: OrderBook, event: BookUpdate | BookSnapshot) -> object:
    try:
        book.apply(event)
    except ProtocolError as error:
        return type(error)
    return book.bids, [str(level) for level in book.bids], book.checksum()


@given(price=numbers, qty=numbers)
@example("5.25", "0.00000000")
@example("5.250", f"0.{'0' * 60}")
@example("5", "12")
def test_a_book_makes_the_same_of_a_number_however_it_is_held(price: str, qty: str) -> None:
    made = [Level(Decimal(price), Decimal(qty))]
    if not any(number.isdecimal() and len(number) > 40 for number in (price, qty)):  # the decoder refuses those
        made.append(wire_level(price, qty))
    if len(price) <= 50 and len(qty) <= 50:
        made.append(Level(price, qty))  # a number in quotes
    for wrap in (
        lambda level: BookUpdate(symbol="A/B", bids=(level,), asks=()),
        lambda level: BookSnapshot(symbol="A/B", bids=(level,), asks=()),
    ):
        outcomes = []
        for level in made:
            book = OrderBook(10)
            book.apply(EMPTY)
            event: Any = wrap(level)
            found = outcome(book, event)
            outcomes.append(found if not isinstance(found, tuple) else (found[0], found[2]))
            if isinstance(found, tuple):
                # One that follows makes the same of the same texts, and of others for the same numbers.
                for followed in (event, wrap(Level(level.price, level.qty))):
                    follower = OrderBook(10)
                    follower.apply(EMPTY)
                    follower.follow(followed)
                    assert [str(held) for held in follower.bids] == found[1]
        assert outcomes[1:] == outcomes[:1] * (len(outcomes) - 1)


TEXTS = [
    "abc",
    "",
    ".",
    "...",
    "1.2.3",
    "0.0.5",
    "0..",
    "1_0",
    " 1",
    "1 ",
    "\u0661",
    "\u00b2",
    "0x1",
    "1e",
    "NaN",
    "-Infinity",
]
LONG = ["1" * 51, f"1.5e{'0' * 1000}", f"0.{'0' * 51}", "0" * 51]


@pytest.mark.parametrize("junk", [*TEXTS, *LONG])
@pytest.mark.parametrize("place", ["price", "qty"])
@pytest.mark.parametrize("kind", [BookSnapshot, BookUpdate])
@pytest.mark.parametrize("good", [Decimal(1), "1.0"])
@pytest.mark.parametrize("checksum", [None, 123])
def test_what_is_no_number_is_refused(
    kind: Callable[..., Any], place: str, junk: Any, good: Any, checksum: int | None
) -> None:
    book = OrderBook(10)
    book.apply(EMPTY)
    level = Level(junk, good) if place == "price" else Level(good, junk)
    with pytest.raises(ProtocolError, match="not a price or quantity"):
        book.apply(kind(symbol="A/B", bids=(level,), asks=(), checksum=checksum))
    assert not book.available
    assert not any(len(text) > 50 for text in (*row.price_rows, *row.amounts))


@pytest.mark.parametrize("kind", [BookSnapshot, BookUpdate])
def test_whatever_goes_wrong_in_the_check_the_book_cannot_be_read(
    kind: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        msg = "the check itself"
        raise ProtocolError(msg)

    book = OrderBook(10)
    book.apply(EMPTY)
    monkeypatch.setattr("kraken_trio.book.book._padded", broken)
    with pytest.raises(ProtocolError, match="the check itself"):
        book.apply(kind(symbol="A/B", bids=(wire_level("6.5", "1.0"),), asks=(), checksum=123))
    assert not book.available


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("row._PRICES_KEPT", "row.AMOUNTS_KEPT", "book.AMOUNTS_KEPT"):
        monkeypatch.setattr(f"kraken_trio.book.{name}", 5)
    for remembered in (row.price_rows, row.amounts):
        remembered.clear()
    for number in range(1, 100):
        assert row.price_rows[f"{number}.50"] == (number * 100 + 50, 2, f"{number}50")
        assert row.amounts[f"{number}.50"] == f"{number}50"
        assert max(len(row.price_rows), len(row.amounts)) <= 5
    book = OrderBook(10)
    book.apply(EMPTY)
    for number in range(1, 100):
        update = BookUpdate(symbol="A/B", bids=(wire_level(f"{number}.25", f"{number}.0"),), asks=())
        book.apply(update)
        assert max(len(row.price_rows), len(row.amounts)) <= 6


def test_a_book_follows_though_nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = OrderBook(10), OrderBook(10)
    first.apply(EMPTY)
    second.follow(EMPTY)
    levels = tuple(wire_level(f"{price}.5", qty) for price, qty in ((1, "1.0"), (2, "2.0"), (1, "0.0"), (3, "7.0")))
    for forget in (row.price_rows.clear, row.amounts.clear, lambda: row.amounts.pop("7.0")):
        update = BookUpdate(symbol="A/B", bids=levels, asks=levels)
        first.apply(update)
        forget()
        second.follow(update)
        assert (second.bids, second.asks, second.checksum()) == (first.bids, first.asks, first.checksum())
