"""Showing a board: everything once, nothing lost, and no reader that can hold up the program."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

import pytest
import trio.testing

from kraken_trio import Book, Candles, Request, Ticker, Trades
from kraken_trio.cli.view.board import Board, Kind
from kraken_trio.cli.view.live import display
from tests.cli.boards import BOTH, board_of, candle, filled, sample, snapshot, ticker, trade


def text_file(descriptor: int) -> TextIO:
    return os.fdopen(descriptor, "w", encoding="utf-8")


async def lines_of(board: Board, *events: object, stream: io.StringIO | None = None) -> str:
    """What is told after one and a half seconds."""
    stream = stream or io.StringIO()
    book = filled(snapshot())
    async with display(board, lambda: sample(board, book, elapsed=1.5), stream, screen=False, tell_trades=True):
        board.take(events)  # type: ignore[arg-type]  # events they are
        await trio.testing.wait_all_tasks_blocked()
    return stream.getvalue()


async def test_lines_tell_everything_once() -> None:
    board = Board("watch", "", (Book("BTC/USD"), Trades("BTC/USD"), Ticker("ETH/USD"), Candles("XRP/USD")))
    assert await lines_of(board, ticker("ETH/USD"), candle("XRP/USD"), snapshot(checksum=7), trade()) == (
        "   0.0  book    BTC/USD verified: 10 bids, 10 asks, checksum 7\n"
        "        trade   BTC/USD buy 0.01000000 at 64525.0 (04:23:42)\n"
        "   1.5  status  BTC/USD 64525.0 / 64526.5; ETH/USD 64525.0 / 64526.0; XRP/USD close 64526.0; "
        "disconnected; 0 events, 0 verified, 0 gaps\n"
    )


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (3, "S0/USD unavailable; S1/USD last 64525.0; S2/USD no data yet; disconnected"),
        (6, "S4/USD no data yet; S5/USD no data yet; disconnected"),
        (7, "S3/USD no data yet; S4/USD no data yet; +2 more; disconnected"),
    ],
)
async def test_a_status_counts_the_symbols_that_it_does_not_tell_of(count: int, told: str) -> None:
    requests: list[Request] = [Book("S0/USD"), *(Trades(f"S{n}/USD") for n in range(1, count))]
    assert told in await lines_of(Board("watch", "", requests), trade("S1/USD"))


async def test_lines_in_ascii() -> None:
    board = board_of(Book("BTC/USD"))
    board.note(Kind.STATE, "one → two…")
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    async with display(board, lambda: None, stream, screen=False):
        pass
    stream.seek(0)
    assert stream.readline() == "   1.0  state   one -> two...\n"


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


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe there cannot be filled like this")
@pytest.mark.parametrize("is_screen", [False, True])
async def test_a_reader_that_is_stuck_holds_up_nothing(monkeypatch: pytest.MonkeyPatch, *, is_screen: bool) -> None:
    monkeypatch.setattr("kraken_trio.cli.view.live.LAST_WRITE_LIMIT", 0.05)
    monkeypatch.setenv("TERM", "xterm-256color")
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writing, bytes(65536))
    os.set_blocking(writing, True)
    board = board_of(*BOTH)
    board.note(Kind.NOTE, "x")
    with text_file(writing) as stream, trio.fail_after(60):
        try:
            async with display(board, lambda: None, stream, screen=is_screen):
                for _ in range(100):
                    await trio.lowlevel.checkpoint()
        finally:
            os.close(reading)  # and the thread ends


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe there cannot be filled like this")
async def test_a_pipe_that_does_not_block_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    board = board_of(Book("BTC/USD"))
    for number in range(500):
        board.note(Kind.NOTE, f"{number} {'x' * 290}")

    async def show() -> None:
        with text_file(writing) as stream:
            async with display(board, lambda: None, stream, screen=False):
                pass

    got = b""
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(show)
            while chunk := await trio.to_thread.run_sync(os.read, reading, 65536):
                got += chunk
    os.close(reading)
    assert got.count(b"\n") == 501


async def test_a_reader_that_is_gone_ends_it() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    board = board_of(Book("BTC/USD"))
    board.note(Kind.NOTE, "x")
    with text_file(writing) as stream, pytest.raises(BrokenPipeError):
        async with display(board, lambda: None, stream, screen=False):
            await trio.sleep_forever()
