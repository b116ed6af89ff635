"""Showing a board: everything once, nothing lost, and no reader that can hold up the program."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

import pytest
import trio.testing

from kraken_trio.cli.board import Board, Kind
from kraken_trio.cli.live import display
from kraken_trio.requests import Book, Candles, Ticker, Trades
from kraken_trio.session import Session
from kraken_trio.settings import Settings
from tests.cli.boards import BOTH, StillFeed, board_of, candle, filled, snapshot, ticker, trade

if TYPE_CHECKING:
    from kraken_trio.runtime.feed import Feed


def text_file(descriptor: int) -> TextIO:
    return os.fdopen(descriptor, "w", encoding="utf-8")


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


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe there cannot be filled like this")
@pytest.mark.parametrize("is_screen", [False, True])
async def test_a_reader_that_is_stuck_holds_up_nothing(monkeypatch: pytest.MonkeyPatch, *, is_screen: bool) -> None:
    monkeypatch.setattr("kraken_trio.cli.live.LAST_WRITE_LIMIT", 0.05)
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
