"""The board and its picture: everything is shown, nothing jumps, nothing is markup, at any size."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import example, given, strategies as st
from rich.console import Console

from kraken_trio.cli.board import Board, Kind, Ladder
from kraken_trio.cli.view import plan, render
from kraken_trio.cli.words import SHORT_QTY, clock, counted, short
from kraken_trio.errors import ChecksumMismatch
from kraken_trio.events import (
    BookSnapshot,
    Cause,
    ConnectionState,
    Gap,
    Side,
    StateChange,
    StatusUpdate,
)
from kraken_trio.requests import Book, Candles, Request, Ticker, Trades
from kraken_trio.session import Session
from kraken_trio.settings import Settings
from tests.cli.boards import BOTH, StillFeed, board_of, candle, filled, levels, sample, snapshot, ticker, trade

if TYPE_CHECKING:
    from kraken_trio.runtime.feed import Feed


def drawn(board: Board, width: int = 80, height: int = 24, *, ascii_only: bool = False) -> list[str]:
    console = Console(width=width, height=height, record=True, file=io.StringIO(), force_terminal=True)
    console.print(render(board, width, height, ascii_only=ascii_only), height=height)
    lines = console.export_text().split("\n")
    while len(lines) > height:
        assert not lines.pop()
    return lines


def test_a_ladder_has_the_best_prices_at_the_spread() -> None:
    lines = drawn(board_of(*BOTH, books=[filled(snapshot())]))
    spread = next(n for n, line in enumerate(lines) if "spread" in line)
    assert "1.5 spread" in lines[spread]
    assert "64526.5 1.87654" in lines[spread - 1]
    assert "64525.0 1.12346" in lines[spread + 1]
    assert "64527.5" in lines[spread - 2]
    assert "64524.0" in lines[spread + 2]


def test_bars_are_as_long_as_the_quantities() -> None:
    lines = drawn(board_of(Book("BTC/USD"), books=[filled(snapshot())]), 120, 40)
    bars = [line.count("█") for line in lines if re.search(r"645\d\d\.0 ", line)]
    assert bars == sorted(bars)
    assert bars[-1] > 5 * bars[0]


def test_a_wide_ladder_has_all_digits() -> None:
    assert "64526.5  1.87654321" in "\n".join(drawn(board_of(Book("BTC/USD"), books=[filled(snapshot())]), 100))


def test_a_book_without_a_verified_state_shows_no_price() -> None:
    board = board_of(*BOTH, books=[filled(snapshot())])
    board.take([Gap(symbol="BTC/USD", cause=Cause.CHECKSUM, channel="book")])
    sample(board)
    text = "\n".join(drawn(board, 120, 40))
    assert "no verified state" in text
    assert "(checksum)" in text
    assert "645" not in text


@pytest.mark.parametrize(
    ("book", "words"),
    [
        (snapshot(bids=()), "one side is empty"),
        (snapshot(bids=(), asks=()), "one side is empty"),
        (snapshot(bids=levels(("70000.0", "1.0"))), "CROSSED"),
    ],
)
def test_unusual_books(book: BookSnapshot, words: str) -> None:
    assert words in "\n".join(drawn(board_of(Book("BTC/USD"), books=[filled(book)])))


def test_the_state_the_epoch_and_the_time_are_in_the_first_line() -> None:
    board = board_of(*BOTH, limit=3700)
    first = drawn(board)[0]
    assert "watch  wss://ws.kraken.com/v2 " in first
    assert "secret" not in first
    assert "DISCONNECTED   epoch 0   00:01 / 1:01:40" in first
    assert Board("demo", "", ()).state is ConnectionState.CONNECTING


def test_trades_are_the_latest_first() -> None:
    board = board_of(*BOTH)
    board.take([trade(qty="1.0"), trade("ETH/USD", Side.SELL, "2.0"), trade("BTC/USD", Side.UNKNOWN, "3.0")])
    text = [line for line in drawn(board, 120) if "64525.0" in line]
    assert [re.search(r"\w{3} [▲▼·] ", line)[0] for line in text] == ["BTC · ", "ETH ▼ ", "BTC ▲ "]  # type: ignore[index]
    assert "04:23:42" in text[0]
    assert board.trade_count == 3


def test_tickers_and_candles_have_a_line_per_symbol() -> None:
    board = board_of(Ticker("BTC/USD"), Candles("BTC/USD", 5), Ticker("ETH/USD"))
    board.take([ticker(), candle(), attrs.evolve(candle(), interval_begin=datetime(2020, 1, 1, tzinfo=UTC))])
    lines = drawn(board, 140)
    line = next(line for line in lines if "BTC/USD" in line)
    assert "64525.0 64526.0  last 64525.0 -1.50%  vol 64525.0  04:23 5m O 64525.0" in line
    assert any("ETH/USD" in line for line in lines)


def test_books_that_do_not_fit_have_a_line() -> None:
    requests = [Book(f"A{n}/USD") for n in range(5)]
    book = filled(snapshot("A4/USD"))
    thin = filled(snapshot("A3/USD", bids=()))
    text = "\n".join(drawn(board_of(*requests, books=[book, thin])))
    assert "A1/USD, depth 10" in text
    assert "A2/USD unavailable" in text
    assert re.search(r"A3/USD +none", text)
    assert re.search(r"A4/USD +64525.0", text)


def test_the_log_tells_what_happened() -> None:
    board = board_of(*BOTH)
    book = snapshot(checksum=7)
    evidence = ChecksumMismatch(book, expected=7, computed=8, hashed="")
    board.take(
        [
            book,
            Gap(symbol="BTC/USD", cause=Cause.CHECKSUM, channel="book", evidence=evidence),
            book,
            StateChange(
                previous=ConnectionState.SUBSCRIBED,
                current=ConnectionState.DISCONNECTED,
                cause=Cause.DISCONNECTED,
                detail="code 1001",
            ),
            StatusUpdate(system="maintenance", notices=('"fire"',)),
            Gap(symbol="BTC/USD", cause=Cause.DISCONNECTED, channel="book", detail="gone"),
            Gap(symbol="BTC/USD", cause=Cause.DISCONNECTED, channel="trade", missed=2),
            Gap(symbol=None, cause=Cause.MALFORMED),
        ]
    )
    board.note(Kind.FAULT, "a \x1b[31mfault\x1b[0m [bold]")
    assert [entry.text for entry in board.log] == [
        "BTC/USD verified for the first time: 10 bids, 10 asks, checksum 7",
        "BTC/USD book (checksum): the book has 8, the exchange says 7",
        "BTC/USD verified again: 10 bids, 10 asks, checksum 7",
        "subscribed → disconnected (disconnected: code 1001)",
        'the exchange is maintenance; "fire"',
        "BTC/USD book, BTC/USD trade (disconnected, 2 missed): gone",
        "everything (malformed)",
        "a \\x1b[31mfault\\x1b[0m [bold]",
    ]
    text = "\n".join(drawn(board, 120, 40))
    assert "fault   a \\x1b[31mfault\\x1b[0m [bold]" in text


def test_nothing_is_markup() -> None:
    board = board_of(Book("BTC/USD"))
    board.title = "[bold red]title[/]"
    board.ladders = {"[red]X/Y": Ladder("[red]X/Y", 10)}
    text = "\n".join(drawn(board))
    assert "[bold red]title[/]" in text
    assert "[red]X/Y" in text


def test_the_board_is_bounded() -> None:
    board = board_of(*BOTH)
    for number in range(2_000):
        board.note(Kind.NOTE, "x" * 1_000)
        board.take([trade(number=number)])
        sample(board, elapsed=number / 8)
    assert len(board.log) == 500
    assert len(board.trades) == 200
    assert max(len(entry.text) for entry in board.log) <= 300
    assert board.entry_count == board.trade_count == 2_000


def test_the_rate_is_of_the_last_seconds() -> None:
    board = Board("", "", BOTH)
    assert board.rate == 0
    idle = Session(Settings(), lambda: 0.0).statistics()
    for tick in range(80):
        feed: Feed = StillFeed()  # type: ignore[assignment]
        board.sample(attrs.evolve(idle, events=tick * 10 if tick < 40 else 400 + (tick - 40) * 100), feed, tick / 8)
    assert board.rate == pytest.approx(800)


@given(st.integers(20, 250), st.integers(6, 80), st.booleans(), st.sets(st.sampled_from(["book", "trade", "ticker"])))
def test_any_size_is_filled_exactly(width: int, height: int, ascii_only: bool, channels: set[str]) -> None:
    requests: list[Request] = []
    for symbol in ("BTC/USD", "ETH/USD", "XRP/USD"):
        requests += [Book(symbol)] if "book" in channels else []
        requests += [Trades(symbol)] if "trade" in channels else []
        requests += [Ticker(symbol)] if "ticker" in channels or not channels else []
    board = board_of(*requests, books=[filled(snapshot())])
    board.take([trade(), ticker(), *[snapshot()] * 50])
    lines = drawn(board, width, height, ascii_only=ascii_only)
    assert len(lines) == height
    assert {len(line) for line in lines} == {width}


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_the_layout_does_not_depend_on_what_happens(width: int, height: int) -> None:
    board = board_of(*BOTH)
    before = plan(board, width, height)
    frame = [line.translate(str.maketrans("│─", "||")) for line in drawn(board, width, height)]
    board.take([*[trade(qty=f"{n}.0") for n in range(100)], *[snapshot()] * 100])
    sample(board, filled(snapshot()), filled(snapshot("ETH/USD")), elapsed=99)
    assert plan(board, width, height) == before
    after = drawn(board, width, height)
    for line, other in zip(frame, after, strict=True):
        assert [n for n, c in enumerate(line) if c in "╭╮╰╯"] == [n for n, c in enumerate(other) if c in "╭╮╰╯"]


def test_ascii_needs_no_blocks() -> None:
    text = "\n".join(drawn(board_of(Book("BTC/USD"), books=[filled(snapshot())]), ascii_only=True))
    assert "#" in text
    assert not set(text) & set("█▏▎▍▌▋▊▉")


# Words


@given(st.decimals(min_value=0, max_value=10**18, places=8))
@example(Decimal("101010101010101010.10101011"))  # regression: it was shown as 1e+05T
@example(Decimal("999999999999999999.9"))
@example(Decimal(999999700000000000))
@example(Decimal("999999.99"))
@example(Decimal("99999.995"))
def test_a_short_quantity_is_short_and_near(qty: Decimal) -> None:
    text = short(qty)
    assert len(text) <= SHORT_QTY
    units = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
    value = Decimal(text.rstrip("KMBT")) * units.get(text[-1], 1)
    assert abs(value - qty) <= max(qty / 100, Decimal("0.00001"))


def test_words() -> None:
    assert (clock(0), clock(65.9), clock(3600)) == ("00:00", "01:05", "1:00:00")
    assert (counted(1, "gap"), counted(2_000, "gap"), counted(0, "box", "boxes")) == ("1 gap", "2,000 gaps", "0 boxes")
