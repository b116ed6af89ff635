"""The window against the order book: the same levels after each message, and what is cut is said."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

import kraken_trio as kt
from kraken_trio.export.window import Ladder, Window, is_zero
from kraken_trio.testing.strategies import book_histories

if TYPE_CHECKING:
    from kraken_trio.testing.strategies import BookHistory


@given(book_histories())
def test_it_is_the_order_book(history: BookHistory) -> None:
    window, book = Window(history.snapshot.symbol, history.depth), kt.OrderBook(history.depth)
    window.load(history.snapshot)
    book.apply(history.snapshot)
    uncut = [{level.price: level.qty for level in side} for side in (book.bids, book.asks)]
    for update in history.updates:
        cuts = window.apply(update)
        book.apply(update)
        assert window.bids.all() == list(book.bids)
        assert window.asks.all() == list(book.asks)
        assert window.bids.top() == book.best_bid
        assert window.asks.top() == book.best_ask
        assert window.bids.best(2) == list(book.bids[:2])
        for levels, changes, cut, side in zip(
            uncut, (update.bids, update.asks), cuts, (book.bids, book.asks), strict=True
        ):
            for level in changes:
                levels[level.price] = level.qty
            for level in cut:
                del levels[level.price]
            assert {price: qty for price, qty in levels.items() if qty} == {lv.price: lv.qty for lv in side}
    window.drop()
    assert not window.available
    assert window.bids.top() is None


@pytest.mark.parametrize(
    ("text", "zero"),
    [("0", True), ("0.00000000", True), ("0e-8", True), ("0.00000001", False), ("10", False), ("1e-8", False)],
)
def test_a_quantity_of_zero(text: str, zero: bool) -> None:
    assert is_zero(text) is zero


def test_a_price_with_other_digits_is_the_same_price() -> None:
    ladder = Ladder(best_is_last=True)
    ladder.load([kt.Level("100.50", "1")])
    assert ladder.change([kt.Level("100.5", "2"), kt.Level("1.005E+2", "3")], 10) == ()
    assert [level.qty for level in ladder.all()] == [Decimal(3)]
    ladder.change([kt.Level("100.500", "0.0")], 10)
    assert ladder.all() == []
