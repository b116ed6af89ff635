"""What a board remembers: what happened, in words; the latest of everything; and no more than it should."""

from __future__ import annotations

import pytest

from kraken_trio import Cause, ConnectionState, Gap, StateChange, StatusUpdate
from kraken_trio.cli.view.board import Board, Kind
from kraken_trio.evidence import ChecksumEvidence
from tests.cli.boards import BOTH, board_of, sample, snapshot, trade


def test_the_log_tells_what_happened() -> None:
    board = board_of(*BOTH)
    book = snapshot(checksum=7)
    evidence = ChecksumEvidence("BTC/USD", expected=7, computed=8, hashed="", message="snapshot")
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
            StateChange(previous=ConnectionState.DISCONNECTED, current=ConnectionState.CONNECTING, cause=Cause.RETRY),
            StateChange(
                previous=ConnectionState.CONNECTING, current=ConnectionState.DISCONNECTED, cause=Cause.DISCONNECTED
            ),
            StatusUpdate(system="maintenance", notices=('"fire"',)),
            Gap(symbol="BTC/USD", cause=Cause.DISCONNECTED, channel="book", detail="gone"),
            Gap(symbol="BTC/USD", cause=Cause.DISCONNECTED, channel="trade", missed=2_000),
            StatusUpdate(system="online"),
            Gap(symbol=None, cause=Cause.DISCONNECTED, channel="instrument", detail="online"),
            Gap(symbol=None, cause=Cause.MALFORMED),
            *(Gap(symbol=f"A{n}/USD", cause=Cause.DISCONNECTED, channel="book") for n in range(9)),
            Gap(symbol="A0/USD", cause=Cause.PARKED, channel="book"),
            Gap(symbol="A1/USD", cause=Cause.PARKED, channel="book"),
            Gap(symbol="A1/USD", cause=Cause.PARKED, channel="trade"),
            Gap(symbol=None, cause=Cause.PARKED),
        ]
    )
    board.note(Kind.FAULT, "a \x1b[31mfault\x1b[0m [bold]")
    assert [entry.text for entry in board.log] == [
        "BTC/USD verified: 10 bids, 10 asks, checksum 7",
        "BTC/USD book (checksum): computed 8, the exchange sent 7",
        "BTC/USD verified again: 10 bids, 10 asks, checksum 7",
        "subscribed → disconnected (code 1001)",
        "disconnected → connecting (retry)",
        "connecting → disconnected",
        'the exchange is maintenance; "fire"',
        "BTC/USD book, trade (disconnected, 2,000 missed): gone",
        "the exchange is online",
        "instrument (disconnected)",
        "everything (malformed)",
        "A0/USD, A1/USD, A2/USD, A3/USD, A4/USD, +4 more book (disconnected)",
        "A0/USD book, A1/USD book, A1/USD trade, everything (parked)",
        "a \\x1b[31mfault\\x1b[0m [bold]",
    ]


def test_a_book_without_a_checksum_is_not_called_verified() -> None:
    board = board_of(*BOTH)
    book = snapshot(checksum=None)
    board.take([book, Gap(symbol="BTC/USD", cause=Cause.DISCONNECTED, channel="book"), book])
    assert [entry.text for entry in board.log][::2] == [
        "BTC/USD received: 10 bids, 10 asks, without a checksum: its first update is to verify it",
        "BTC/USD received again: 10 bids, 10 asks, without a checksum: its first update is to verify it",
    ]


def test_the_board_is_bounded() -> None:
    board = board_of(*BOTH)
    for number in range(600):
        board.note(Kind.NOTE, "x" * 1_000)
        board.take([trade(number=number)])
        sample(board, elapsed=number / 8)
    assert len(board.log) == 500
    assert len(board.trades) == 200
    assert max(len(entry.text) for entry in board.log) <= 300
    assert board.entry_count == board.trade_count == 600


def test_the_rate_is_of_the_last_seconds() -> None:
    board = Board("", "", BOTH)
    assert board.rate == 0
    for tick in range(80):
        sample(board, elapsed=tick / 8, events=tick * 10 if tick < 40 else 400 + (tick - 40) * 100)
    assert board.rate == pytest.approx(800)


def test_a_board_without_a_sample_is_connecting() -> None:
    assert Board("demo", "", ()).state is ConnectionState.CONNECTING


def test_a_query_may_hold_a_secret() -> None:
    assert board_of(*BOTH).where == "wss://ws.kraken.com/v2"
