"""What is kept of a view is enough for a state to continue from, as what is kept of a state is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

import kraken_trio as kt
from kraken_trio.book import Level3Book, OrderBook
from kraken_trio.channels import CHANNELS, Kept
from kraken_trio.statistics import Counters
from kraken_trio.testing.strategies import book_histories
from kraken_trio.wire.codec import codec_for

if TYPE_CHECKING:
    from kraken_trio.testing.strategies import BookHistory


@given(book_histories(depth=10, symbol="BTC/USD"))
def test_a_view_of_a_book_is_kept_as_its_state_is(history: BookHistory) -> None:
    request = kt.Book("BTC/USD")
    cls = CHANNELS["book"]
    state = cls(request, Counters(), codec_for("v2"))
    view: Any = cls.view(request)
    assert cls.keep_view(view) == Kept((), {"was_verified": 0, "carried": 0})
    for event in (history.snapshot, *history.updates):
        taken, failure = state.take([event])
        assert failure is None
        for one in taken:
            view.follow(one)
        assert cls.keep_view(view) == state.keep()
    again = cls(request, Counters(), codec_for("v2"))
    again.restore(cls.keep_view(view))
    assert again.keep() == state.keep()


def test_a_view_of_single_orders_keeps_its_precision() -> None:
    cls = CHANNELS["level3"]
    view = Level3Book(10)
    assert cls.keep_view(view) == Kept()
    view.set_precision(1, 8)
    assert cls.keep_view(view).marks == {"price_precision": 1, "qty_precision": 8}


@pytest.mark.parametrize("channel", ["trade", "ticker", "instrument"])
def test_channels_without_views_keep_nothing_of_one(channel: str) -> None:
    assert CHANNELS[channel].keep_view(OrderBook(10)) == Kept()
