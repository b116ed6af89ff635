"""The picture of a board: what it shows is true, whole or shortened; what it does not show is counted; at any size."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from decimal import Decimal
from itertools import cycle, islice

import msgspec
import pytest
from hypothesis import given, settings, strategies as st
from rich.console import Console

from kraken_trio import (
    Book,
    BookSnapshot,
    Candles,
    Cause,
    Event,
    Gap,
    Level,
    Level3,
    Level3Book,
    Level3Snapshot,
    Request,
    RestingOrder,
    Side,
    Ticker,
    Trades,
)
from kraken_trio.cli.formatting import ASCII_FALLBACK
from kraken_trio.cli.view.board import Board, Kind, Ladder
from kraken_trio.cli.view.screen import plan, render
from tests.cli.boards import BOTH, board_of, candle, filled, levels, replaced, sample, snapshot, ticker, trade
from tests.cli.numbers import numbers, says


class AsciiTerminal(io.StringIO):
    """Rich asks what it can print."""

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute there
        return "ascii"


def drawn(board: Board, width: int = 80, height: int = 24, *, ascii_only: bool = False) -> list[str]:
    file = AsciiTerminal() if ascii_only else io.StringIO()
    console = Console(width=width, height=height, record=True, file=file, force_terminal=True)
    console.print(render(board, width, height, ascii_only=ascii_only), height=height)
    text = console.export_text()
    if ascii_only:
        text = text.encode("ascii", ASCII_FALLBACK).decode("ascii")
    lines = text.split("\n")
    while len(lines) > height:
        assert not lines.pop()
    return lines


# Ladders


def test_a_ladder_has_the_best_prices_at_the_spread() -> None:
    lines = drawn(board_of(*BOTH, books=[filled(snapshot())]))
    spread = next(n for n, line in enumerate(lines) if "spread" in line)
    assert "1.5 spread" in lines[spread]
    assert "64526.5  1.87654321" in lines[spread - 1]
    assert "64525.0  1.12345678" in lines[spread + 1]
    assert "64527.5" in lines[spread - 2]
    assert "64524.0" in lines[spread + 2]


def test_bars_are_as_long_as_the_quantities() -> None:
    lines = drawn(board_of(Book("BTC/USD"), books=[filled(snapshot())]), 120, 40)
    bars = [line.count("█") for line in lines if re.search(r"645\d\d\.\d ", line)]
    assert bars[:10] == sorted(bars[:10], reverse=True)
    assert bars[10:] == sorted(bars[10:])
    assert bars[-1] > 5 * bars[10]


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


def queues(symbol: str = "BTC/USD", depth: int = 10) -> Level3Book:
    """At each price there are as many orders as its distance from the best one, plus one."""

    def orders(side: str, best: Decimal, step: int) -> list[RestingOrder]:
        return [
            RestingOrder(f"{side}{n}.{k}", best + step * n, f"{k + 1}.00000000", f"2026-10-01T10:00:{n:02}.{k:09}Z")
            for n in range(depth)
            for k in range(n + 1)
        ]

    book = Level3Book(depth)
    bids, asks = orders("B", Decimal("64525.0"), -1), orders("A", Decimal("64526.5"), 1)
    book.apply(Level3Snapshot(symbol=symbol, bids=tuple(bids), asks=tuple(asks)))
    return book


def test_single_orders_stand_in_their_queues() -> None:
    book = queues()
    board = board_of(Level3("BTC/USD"), books=[book])
    board.take([msgspec.structs.replace(book.snapshot(), checksum=7)])
    lines = drawn(board)
    assert "BTC/USD level3, top 5 of 10" in lines[1]
    spread = next(n for n, line in enumerate(lines) if "spread" in line)
    assert lines[spread - 1].split()[1:-1] == ["64526.5", "1.00000000", "1:", "1.00000000"]
    assert lines[spread + 1].split()[1:-1] == ["64525.0", "1.00000000", "1:", "1.00000000"]
    five = ["64521.0", "15.00000000", "5:", "1.00000000", "2.00000000", "3.00000000", "4.00000000"]
    assert lines[spread + 5].split()[1:-1] == five  # the fifth has no room, and is counted
    assert "BTC/USD verified: 55 bids, 55 asks, checksum 7" in "\n".join(lines)
    board.take([Gap(symbol="BTC/USD", cause=Cause.CHECKSUM, channel="level3")])
    sample(board)
    assert "no verified state (checksum)" in "\n".join(drawn(board))


def test_queues_that_do_not_fit_are_counted() -> None:
    symbols = ("BTC/USD", "ETH/USD", "XRP/USD")
    board = board_of(*(Level3(symbol) for symbol in symbols), books=[queues(symbol) for symbol in symbols])
    text = "\n".join(drawn(board))
    assert re.search(r"BTC/USD level3, top \d of 10", text)
    assert re.search(r"ETH/USD +64525.0 +64526.5", text)
    assert text.count("1: 1.00000000") == 2
    assert "5: 1.00000000 " in text
    for width in range(10, 60):  # and nothing is cut off
        assert {len(line) for line in drawn(board, width)} == {width}
        for line in drawn(board, width):
            if match := re.search(r"64521.0 +15.00000000 ([^│]+)│", line):
                assert re.fullmatch(r"5(:( \d\.0{8})+)? *", match[1])


# Quotes and trades


def test_trades_are_the_latest_first() -> None:
    board = board_of(*BOTH, Trades("BTC/JPY"))
    board.take([trade(qty="1.0"), trade("ETH/USD", Side.SELL, "2.0"), trade("BTC/JPY", Side.UNKNOWN, "3.0")])
    text = [line for line in drawn(board, 120, 40) if "04:23:42" in line]
    found = [re.search(r"(\w+/\w+) +(\S+) (.) +(\S+) 04", line) for line in text]
    assert [match.groups() for match in found if match] == [
        ("BTC/JPY", "64525.0", "·", "3.0"),
        ("ETH/USD", "64525.0", "▼", "2.0"),
        ("BTC/USD", "64525.0", "▲", "1.0"),
    ]
    assert board.trade_count == 3


def test_buying_and_selling_differ_in_ascii() -> None:
    board = board_of(Book("BTC/USD"), Trades("BTC/USD"), books=[filled(snapshot())])
    board.take([trade(side=side) for side in (Side.BUY, Side.SELL, Side.UNKNOWN)])
    board.note(Kind.STATE, "subscribed → disconnected …é")
    text = "\n".join(drawn(board, 120, 30, ascii_only=True))
    assert re.findall(r"64525\.0 (\S) +0\.01000000", text) == ["-", "v", "^"]
    assert "subscribed -> disconnected ...?" in text
    assert "* DISCONNECTED" in text
    assert "###" in text


def test_tickers_and_candles_have_a_line_per_symbol() -> None:
    board = board_of(Ticker("BTC/USD"), Candles("BTC/USD", 5), Ticker("ETH/USD"))
    board.take([ticker(), candle(), replaced(candle(), interval_begin=datetime(2020, 1, 1, tzinfo=UTC))])
    lines = drawn(board, 140)
    names, line, other = lines[2:5]
    assert names.split()[1:-1] == [
        "symbol",
        "bid",
        "ask",
        "last",
        "change",
        "volume",
        "candle",
        "close",
        "open",
        "high",
        "low",
    ]
    prices = ["64525.0", "64526.0", "64525.0", "-1.5%", "64525.0"]
    assert line.split()[1:-1] == ["BTC/USD", *prices, "04:23", "5m", "64526.0", "64525.0", "64525.0", "64525.0"]
    assert other.split()[1:-1] == ["ETH/USD"]


def test_a_column_is_shown_for_all_symbols_or_for_none() -> None:
    """Regression: the ask was left out where another symbol's candle was wide."""
    board = board_of(Ticker("BTC/USD"), Candles("BTC/USD", 5), Ticker("ETH/USD"))
    board.take([ticker(), candle(), ticker("ETH/USD")])
    for width in range(40, 140, 7):
        title, names, line, other = drawn(board, width)[1:5]
        assert names.split()[2:4] == ["bid", "ask"]
        assert line.split()[1:4] == ["BTC/USD", "64525.0", "64526.0"]
        assert other.split()[1:4] == ["ETH/USD", "64525.0", "64526.0"]
        shown = len(names.split()) - 2
        assert (f"+{11 - shown} column" in title) == (shown < 11)


def test_books_that_do_not_fit_have_a_line() -> None:
    requests = [Book(f"A{n}/USD") for n in range(5)]
    book = filled(snapshot("A4/USD"))
    thin = filled(snapshot("A3/USD", bids=()))
    text = "\n".join(drawn(board_of(*requests, books=[book, thin]), 100))
    assert "A0/USD, top 5 of 10" in text
    assert "A2/USD unavailable" in text
    assert re.search(r"A3/USD +none +64526.5", text)
    assert re.search(r"A4/USD +64525.0 +64526.5", text)


# The rest


def test_the_state_the_epoch_and_the_time_are_in_the_first_line() -> None:
    board = board_of(*BOTH, limit=3700)
    assert drawn(board, 90)[0].rstrip() == (
        " watch  wss://ws.kraken.com/v2                   ● DISCONNECTED  epoch 0  00:01 / 1:01:40"
    )
    assert drawn(board, 40)[0].split() == ["watch", "●", "DISCONNECTED", "00:01", "/", "1:01:40"]


def test_a_long_entry_of_the_log_has_several_lines_and_ends_between_words() -> None:
    board = board_of(Book("BTC/USD"))
    board.note(Kind.NOTE, " ".join(f"{n}000000" for n in range(1, 40)))
    text = [line for line in drawn(board, 60, 30) if "000000" in line]
    assert len(text) == 3
    assert text[-1].endswith(" …  │") or " … " in text[-1]
    assert all(re.fullmatch(r"[1-9]\d?000000", word) for line in text for word in numbers(line) if word != "1.0")


def test_what_happened_earlier_is_counted() -> None:
    board = board_of(*BOTH)
    for number in range(2_000):
        board.note(Kind.NOTE, f"number {number}")
    text = "\n".join(drawn(board))
    shown = len(re.findall(r"note    number \d+", text))
    assert shown
    assert f"log, {2_000 - shown:,} earlier" in text
    assert "number 1999" in text


def test_nothing_is_markup() -> None:
    board = board_of(Book("BTC/USD"))
    board.title = "[bold red]title[/]"
    board.ladders = {"[red]X/Y": Ladder("[red]X/Y", 10)}
    board.note(Kind.FAULT, "a \x1b[31mfault\x1b[0m [bold]")
    text = "\n".join(drawn(board))
    assert "[bold red]title[/]" in text
    assert "[red]X/Y" in text
    assert "fault   a \\x1b[31mfault\\x1b[0m [bold]" in text


@settings(max_examples=20)  # what fits is looked at below
@given(st.integers(20, 60), st.integers(6, 30), st.booleans(), st.sets(st.sampled_from(["book", "trade", "ticker"])))
def test_a_terminal_that_is_too_small_is_filled_exactly(
    width: int, height: int, ascii_only: bool, channels: set[str]
) -> None:
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


@pytest.mark.parametrize(("width", "height"), [(60, 30), (80, 24), (120, 40)])
def test_the_layout_does_not_depend_on_what_happens(width: int, height: int) -> None:
    board = board_of(*BOTH)
    before = plan(board, width, height)
    frame = drawn(board, width, height)
    board.take([*[trade(qty=f"{n}.0") for n in range(100)], *[snapshot()] * 100])
    sample(board, filled(snapshot()), filled(snapshot("ETH/USD")), elapsed=99)
    assert plan(board, width, height) == before
    after = drawn(board, width, height)
    for line, other in zip(frame, after, strict=True):
        assert [n for n, c in enumerate(line) if c in "╭╮╰╯"] == [n for n, c in enumerate(other) if c in "╭╮╰╯"]


# Everything that is shown is true, and nothing vanishes


SYMBOLS = st.permutations(
    [
        f"{base}/{quote}"
        for base in ("BTC", "ETH", "XRP", "W", "BABYDOGE", "MOODENGMEME")
        for quote in ("USD", "JPY", "USDT")
    ]
).flatmap(lambda symbols: st.integers(1, len(symbols)).map(lambda count: symbols[:count]))
CHANNELS = st.sets(st.sampled_from(["book", "trade", "ticker", "ohlc"]), min_size=1)
NUMBERS = st.lists(
    st.builds(lambda digits, places: Decimal(digits).scaleb(-places), st.integers(1, 10**13), st.integers(0, 12)),
    min_size=1,
    max_size=12,
)
COUNTS = st.lists(st.integers(0, 10**13) | st.integers(0, 10**5), min_size=1, max_size=5)


class Crowd:
    """A board full of numbers, and the truth about it."""

    def __init__(self, symbols: list[str], channels: set[str], values: list[Decimal], counts: list[int]) -> None:
        self.symbols = symbols
        self.truths = {Decimal(count) for count in counts} | {Decimal(0), Decimal(10), Decimal("-1.5")}
        self._values = cycle(values)
        requests: list[Request] = []
        books = []
        events: list[Event] = []
        for symbol in symbols:
            if "book" in channels:
                requests.append(Book(symbol))
                books.append(filled(self.book(symbol)))
            if "trade" in channels:
                requests.append(Trades(symbol))
                events.append(self.drawn(trade(symbol), "price", "qty"))
            if "ticker" in channels:
                requests.append(Ticker(symbol))
                events.append(self.drawn(ticker(symbol), "bid", "ask", "last", "volume"))
            if "ohlc" in channels:
                requests.append(Candles(symbol, 5))
                events.append(self.drawn(candle(symbol), "open", "high", "low", "close"))
        self.board = board_of(*requests, books=books)
        names = ("checksums_verified", "checksum_failures", "gaps", "resyncs", "connects", "losses", "events", "epoch")
        sample(self.board, *books, **dict(zip(names, islice(cycle(counts), len(names)), strict=True)))
        self.board.take(events)
        self.board.take([snapshot(symbol, checksum=counts[0] % 2**32) for symbol in symbols if "book" in channels])
        self.truths |= {Decimal(counts[0] % 2**32), Decimal(self.board.trade_count), Decimal(round(self.board.rate))}
        self.truths |= {Decimal(entry.at) for entry in self.board.log} | {Decimal(self.board.buffered)}

    def value(self) -> Decimal:
        value = next(self._values)
        self.truths.add(value)
        return value

    def drawn(self, event: Event, *names: str) -> Event:
        """The event with other numbers."""
        changed: Event = replaced(event, **{name: self.value() for name in names})
        return changed

    def book(self, symbol: str) -> BookSnapshot:
        best, tick = self.value(), Decimal(1).scaleb(-3)
        bids = tuple(Level(best * 2 + n * tick, self.value()) for n in range(0, -10, -1) if best * 2 + n * tick > 0)
        asks = tuple(Level(best * 3 + n * tick, self.value()) for n in range(10))
        self.truths |= {level.price for level in (*bids, *asks)} | {asks[0].price - bids[0].price}
        return snapshot(symbol, bids=bids, asks=asks)


@given(st.integers(40, 250), st.integers(20, 50), SYMBOLS, CHANNELS, NUMBERS, COUNTS)
def test_every_number_is_true_and_nothing_vanishes_uncounted(
    width: int, height: int, symbols: list[str], channels: set[str], values: list[Decimal], counts: list[int]
) -> None:
    crowd = Crowd(symbols, channels, values, counts)
    lines = drawn(crowd.board, width, height)
    assert {len(line) for line in lines} == {width}
    text = "\n".join(lines).replace(crowd.board.where, "")
    for structure in (r"\d\d:\d\d(:\d\d| 5m)?", r"top \d+ of", r"\+[\d,]+ (more|columns?)", r"log, [\d,]+ earlier"):
        text = re.sub(structure, " ", text)
    for line in text.split("\n"):
        for number in numbers(line):
            assert says(number, crowd.truths), (number, line)
    framed = "\n".join(line for line in lines if "│" in line or "╭" in line)
    # Symbols: each has a ladder, or a line, or is counted.
    shown = [symbol for symbol in symbols if re.search(rf"(?<![A-Z/]){symbol}(?![A-Z/])", framed)]
    assert len(shown) + sum(int(n) for n in re.findall(r"│ \+(\d+) more", framed)) >= len(symbols)
    # Levels, entries of the log, counters.
    for symbol, levels_shown in re.findall(r"─ (\S+), top (\d+) of 10 ─", framed):
        assert symbol in symbols
        assert len([line for line in lines if "spread" in line]) <= 1
        assert 1 <= int(levels_shown) < 10
    entries = len(re.findall(r"│ +\d+\.\d (?:book|state) ", framed))
    earlier = re.search(r"log, ([\d,]+) earlier", framed)
    assert entries + (int(earlier[1].replace(",", "")) if earlier else 0) == crowd.board.entry_count
    bare = " ".join(line for line in lines[1:] if "│" not in line and "╭" not in line and "╰" not in line)
    more = re.search(r"\+(\d) more", bare)
    assert len(re.findall(r"[a-z]+ +[\d·]", bare)) + (int(more[1]) if more else 0) == 10
