"""Which library a data frame is of; and what cannot be right, or is not there."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl
import pytest

import kraken_trio as kt
from kraken_trio.export import ExportError, MemorySource, export, to_df
from tests.export import stories

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = stories.source(stories.story(100))


def test_both_libraries_have_the_same() -> None:
    ours = to_df(SOURCE, "trades", engine="polars")
    theirs = to_df(SOURCE, "trades", engine="pandas")
    assert isinstance(ours, pl.DataFrame)
    assert isinstance(theirs, pd.DataFrame)
    assert list(theirs.columns) == ours.columns
    assert list(theirs["price"]) == ours["price"].to_list()
    assert isinstance(theirs["price"][0], Decimal)
    assert list(theirs["local_timestamp"].astype("int64")) == ours["local_timestamp"].dt.epoch("ns").to_list()
    assert to_df(SOURCE, "trades", engine="pandas", floats=True)["price"].dtype == "float64"


@pytest.mark.parametrize(
    ("installed", "kind"),
    [({"polars", "pandas"}, pl.DataFrame), ({"pandas"}, pd.DataFrame)],
    ids=["both", "pandas"],
)
def test_it_takes_what_is_there(monkeypatch: pytest.MonkeyPatch, installed: set[str], kind: type) -> None:
    monkeypatch.setattr("kraken_trio.export.frames.find_spec", lambda name: name if name in installed else None)
    assert isinstance(to_df(SOURCE, "trades"), kind)


def test_neither_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kraken_trio.export.frames.find_spec", lambda name: None)
    with pytest.raises(ExportError, match="neither polars nor pandas is installed: pip install polars"):
        to_df(SOURCE, "trades")
    with pytest.raises(ExportError, match="pandas is not installed: pip install pandas"):
        to_df(SOURCE, "trades", engine="pandas")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"table": "prices"}, "'prices' is no table: there are trades"),
        ({"engine": "numpy"}, "engine='numpy': polars or pandas"),
        ({"levels": 0}, "levels=0: a whole number from 1 to 1000"),
        ({"interval": -1.0}, "interval=-1.0: at least 0.001 seconds"),
        ({"start": 5, "end": 5}, "there is nothing between start"),
    ],
    ids=["table", "engine", "levels", "interval", "order"],
)
def test_arguments_that_can_never_be_right(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        to_df(SOURCE, **{"table": "trades", **arguments})


def test_several_symbols_are_in_the_order_of_their_events() -> None:
    other = stories.Market(symbol="ETH/USD", seed=2, step_ns=30 * 10**9)
    other.play(100)
    events = stories.merged(stories.story(100), other.events)
    source = stories.source(events, *stories.REQUESTS, kt.Book("ETH/USD"), kt.Trades("ETH/USD"))
    trades = [event for event in events if isinstance(event, kt.Trade)]
    frame = to_df(source, "trades", engine="polars")
    assert list(zip(frame["symbol"], frame["id"], strict=True)) == [(one.symbol, one.trade_id) for one in trades]
    frame = to_df(source, "trades", engine="polars", symbol=["ETH/USD"])
    assert frame["id"].to_list() == [one.trade_id for one in trades if one.symbol == "ETH/USD"]


# What was not recorded


def test_which_of_two_depths(tmp_path: Path) -> None:
    class Source(stories.DailySource):
        requests = (kt.Book("BTC/USD"), kt.Book("BTC/USD", depth=25))

    source = Source(stories.REQUESTS, stories.story(20))
    with pytest.raises(ExportError, match="recorded with the depths 10 and 25: choose one of them with depth"):
        export(source, tmp_path)
    with pytest.raises(ExportError, match="was not recorded with depth 100, but with 10 and 25"):
        export(source, tmp_path, depth=100)
    assert export(source, tmp_path, depth=10).files
    with pytest.raises(ValueError, match="give one Book of each symbol"):
        MemorySource(Source.requests, [])


def test_nothing_was_recorded() -> None:
    with pytest.raises(ExportError, match="nothing to export: nothing was recorded"):
        to_df(MemorySource([], []), "trades")
    with pytest.raises(
        ExportError, match=r"tickers need the channel ticker; recorded is book of BTC/USD; trade of BTC/USD"
    ):
        to_df(SOURCE, "tickers")
    with pytest.raises(ExportError, match=r"ETH/USD was not recorded; recorded is trade of BTC/USD"):
        to_df(SOURCE, "trades", symbol="ETH/USD")
    with pytest.raises(ExportError, match=r"of trade \(BTC/USD\) there are no events until 2001-"):
        to_df(SOURCE, "trades", end=10**18)


def test_no_event_gives_a_row() -> None:
    source = stories.source([event for event in stories.story(50) if not isinstance(event, kt.Gap)])
    with pytest.raises(ExportError, match=r"\d+ events were read, but none gives a row of gaps"):
        to_df(source, "gaps")


def test_an_event_that_no_table_has() -> None:
    """A later version's, or another source's: it is not left out in silence."""

    class Novelty:
        channel = "trade"
        symbol = "BTC/USD"
        received_ns = stories.START

    novelty: Any = Novelty()
    source = stories.source([novelty])
    with pytest.raises(ExportError, match="Novelty events cannot be exported"):
        to_df(source, "trades")
