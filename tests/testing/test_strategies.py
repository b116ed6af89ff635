"""The strategies make what they say (book histories are tested beside the market)."""

from __future__ import annotations

import json
import sys
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings

from kraken_trio.requests import canonical_symbol
from kraken_trio.testing import Drop, Freeze, Scheduled, open_exchange, strategies as make


def seek(strategy: Any, wanted: Any) -> None:
    """Is there such an example? (``find`` alone would go on and look for the smallest.)"""
    # Always the same examples: whether one is found must not depend on the day.
    quiet = settings(phases=[Phase.generate], max_examples=3000, database=None, derandomize=True)
    find(strategy, wanted, settings=quiet, random=Random(1))


@given(make.symbols())
def test_symbols_are_canonical(symbol: Any) -> None:
    assert canonical_symbol(symbol) == symbol


@given(make.levels(price_precision=2, qty_precision=5))
def test_levels_have_their_decimals(level: Any) -> None:
    assert level.price.as_tuple().exponent == -2
    assert level.qty.as_tuple().exponent == -5
    assert level.price > 0
    assert level.qty > 0


@given(make.books(depth=3, symbol="BTC/USD"))
def test_books_are_sorted_cut_and_not_crossed(book: Any) -> None:
    bids, asks = ([level.price for level in side] for side in (book.bids, book.asks))
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert max(len(bids), len(asks)) <= 3
    assert not (bids and asks) or bids[0] < asks[0]
    assert book.symbol == "BTC/USD"


@given(make.valid_frames())
def test_valid_frames_are_json_objects(frame: str) -> None:
    message = json.loads(frame)
    assert {"channel", "method", "Error", "error"} & set(message)


@given(make.frames())
def test_frames_are_text(frame: str) -> None:
    assert isinstance(frame, str)


@pytest.mark.parametrize("channel", ["book", "trade", "ticker", "ohlc", "instrument", "status", "heartbeat"])
def test_every_channel_is_there(channel: str) -> None:
    seek(make.valid_frames(), lambda frame: json.loads(frame).get("channel") == channel)


def test_hostile_frames_are_hostile() -> None:
    seek(make.hostile_frames(), lambda frame: frame.startswith("{") and not frame.endswith("}"))
    absurd = ("1e999999999", "1e-999999999", '"NaN"', ":NaN", '"1_000"', "18446744073709551616", "\\ud800", '" 1 "')
    seek(make.hostile_frames(), lambda frame: any(value in frame for value in absurd))


@given(make.fault_schedules("BTC/USD", seconds=3.0, max_faults=4))
def test_schedules_are_in_order(script: Any) -> None:
    times = [item.at for item in script]
    assert times == sorted(times)
    assert all(0 <= at <= 3 for at in times)
    assert len(script) <= 4


async def test_a_schedule_is_what_an_exchange_takes() -> None:
    script = (Scheduled(at=0.0, fault=Freeze()), Scheduled(at=3600.0, fault=Drop()))
    async with open_exchange(faults=script, rate=0) as exchange:
        assert exchange.connects == 0


def test_without_hypothesis_the_import_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    monkeypatch.delitem(sys.modules, "kraken_trio.testing.strategies")
    with pytest.raises(ImportError, match=r"kraken-trio\[testing\]"):
        import kraken_trio.testing.strategies  # noqa: F401 (importing it is what raises)
