"""The board and its picture: everything is shown, nothing jumps, nothing is markup, at any size."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio.testing
from hypothesis import given, strategies as st
from rich.console import Console

from kraken_trio.book import OrderBook
from kraken_trio.cli.board import Board, Kind, Ladder
from kraken_trio.cli.live import display
from kraken_trio.cli.view import plan, render
from kraken_trio.cli.words import SHORT_QTY, clock, counted, short
from kraken_trio.errors import ChecksumMismatch
from kraken_trio.events import (
    BookSnapshot,
    Candle,
    Cause,
    ConnectionState,
    Gap,
    Level,
    OrderType,
    Side,
    StateChange,
    TickerUpdate,
    Trade,
)
from kraken_trio.feed import FeedStatistics
from kraken_trio.requests import Book, Candles, Lifecycle, Request, Ticker, Trades
from kraken_trio.session import Session
from kraken_trio.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kraken_trio.feed import Feed

NOW = datetime(2026, 8, 2, 4, 23, 42, tzinfo=UTC)


def levels(*pairs: tuple[str, str]) -> tuple[Level, ...]:
    return tuple(Level(Decimal(price), Decimal(qty)) for price, qty in pairs)


def snapshot(symbol: str = "BTC/USD", depth: int = 10, **changes: Any) -> BookSnapshot:
    bids = levels(*((f"{64525 - n}.0", f"{n + 1}.12345678") for n in range(depth)))
    asks = levels(*((f"{64526 + n}.5", f"{n + 1}.87654321") for n in range(depth)))
    return attrs.evolve(BookSnapshot(symbol=symbol, bids=bids, asks=asks, epoch=1), **changes)


def trade(symbol: str = "BTC/USD", side: Side = Side.BUY, qty: str = "0.01000000", number: int = 1) -> Trade:
    return Trade(
        symbol=symbol,
        side=side,
        price=Decimal("64525.0"),
        qty=Decimal(qty),
        ord_type=OrderType.LIMIT,
        trade_id=number,
        timestamp=NOW,
    )


def ticker(symbol: str = "BTC/USD") -> TickerUpdate:
    one = Decimal("64525.0")
    return TickerUpdate(
        symbol=symbol, bid=one, bid_qty=one, ask=one + 1, ask_qty=one, last=one, change_pct=Decimal("-1.5"), volume=one
    )


def candle(symbol: str = "BTC/USD") -> Candle:
    one = Decimal("64525.0")
    return Candle(
        symbol=symbol,
        interval=5,
        interval_begin=NOW,
        open=one,
        high=one,
        low=one,
        close=one + 1,
        volume=one,
        vwap=one,
        trades=3,
    )


class StillFeed:
    """What a board looks at of a feed."""

    def __init__(self, *books: OrderBook) -> None:
        self.books = {book.symbol: book for book in books}

    def book(self, symbol: str) -> OrderBook:
        return self.books.get(symbol) or OrderBook(10)

    def statistics(self) -> FeedStatistics:
        return FeedStatistics(buffered=3, capacity=10, high_water=3, delivered=12, held_seconds=0.0)


def filled(book: BookSnapshot, depth: int = 10) -> OrderBook:
    made = OrderBook(depth)
    made.apply(book)
    return made


def board_of(*requests: Request, books: Sequence[OrderBook] = (), limit: float | None = None) -> Board:
    board = Board("watch", "wss://ws.kraken.com/v2?token=secret", requests, limit=limit)
    sample(board, *books)
    return board


def sample(board: Board, *books: OrderBook, elapsed: float = 1.0) -> None:
    feed: Feed = StillFeed(*books)  # type: ignore[assignment]
    board.sample(Session(Settings(), lambda: 0.0).statistics(), feed, elapsed)


def drawn(board: Board, width: int = 80, height: int = 24, *, ascii_only: bool = False) -> list[str]:
    console = Console(width=width, height=height, record=True, file=io.StringIO(), force_terminal=True)
    console.print(render(board, width, height, ascii_only=ascii_only), height=height)
    lines = console.export_text().split("\n")
    while len(lines) > height:
        assert not lines.pop()
    return lines


BOTH = (Book("BTC/USD"), Trades("BTC/USD"), Book("ETH/USD", 25), Trades("ETH/USD"), Lifecycle())


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
def test_a_short_quantity_is_short_and_near(qty: Decimal) -> None:
    text = short(qty)
    assert len(text) <= SHORT_QTY
    units = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
    value = Decimal(text.rstrip("KMBT")) * units.get(text[-1], 1)
    assert abs(value - qty) <= max(qty / 100, Decimal("0.00001"))


def test_words() -> None:
    assert (clock(0), clock(65.9), clock(3600)) == ("00:00", "01:05", "1:00:00")
    assert (counted(1, "gap"), counted(2_000, "gap"), counted(0, "box", "boxes")) == ("1 gap", "2,000 gaps", "0 boxes")


# Showing it


async def test_lines_tell_everything_once() -> None:
    board = Board("watch", "", (Book("BTC/USD"), Trades("BTC/USD"), Ticker("ETH/USD"), Candles("XRP/USD")))
    stream = io.StringIO()
    feed: Feed = StillFeed(filled(snapshot()))  # type: ignore[assignment]
    idle = Session(Settings(), lambda: 0.0).statistics()
    async with display(board, lambda: board.sample(idle, feed, 1.5), stream, screen=False, tell_trades=True):
        board.take([ticker("ETH/USD"), candle("XRP/USD"), snapshot(), trade()])
        await trio.testing.wait_all_tasks_blocked()
    assert stream.getvalue() == (
        "   0.0  book    BTC/USD verified for the first time: 10 bids, 10 asks, checksum None\n"
        "        trade   BTC/USD buy 0.01000000 at 64525.0 (04:23:42)\n"
        "   1.5  00:01   BTC/USD 64525.0 / 64526.5; ETH/USD 64525.0 / 64526.0; XRP/USD closes at 64526.0; "
        "disconnected; 0 events, 0 verified, 0 gaps\n"
    )


async def test_lines_that_nobody_could_read_are_left_out() -> None:
    board = board_of(Book("BTC/USD"))
    stream = io.StringIO()
    for number in range(600):
        board.note(Kind.NOTE, str(number))
    async with display(board, lambda: None, stream, screen=False):
        pass
    assert "note    100 lines left out" in stream.getvalue()
    assert stream.getvalue().count("\n") == 502  # those, the kept ones, and the status


async def test_a_screen_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    board = board_of(*BOTH)
    stream = io.StringIO()
    with pytest.raises(KeyError):
        async with display(board, lambda: None, stream, screen=True):
            await trio.testing.wait_all_tasks_blocked()
            raise KeyError
    text = stream.getvalue()
    assert text.startswith("\x1b[?1049h")  # the second screen
    assert "\x1b[?25l" in text  # without a cursor
    assert text.rstrip().endswith("\x1b[?25h\x1b[?1049l") or text.rstrip().endswith("\x1b[?1049l\x1b[?25h")
