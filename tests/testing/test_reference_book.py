"""The oracle itself, against Kraken's worked numbers and real recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kraken_trio.testing import ReferenceBook, read_frames
from kraken_trio.testing.reference_book import parse_frame

if TYPE_CHECKING:
    from pathlib import Path

WORKED_ASKS = [
    ("45285.2", "0.00100000"), ("45286.4", "1.54571953"), ("45286.6", "1.54571109"), ("45289.6", "1.54560911"),
    ("45290.2", "0.15890660"), ("45291.8", "1.54553491"), ("45294.7", "0.04454749"), ("45296.1", "0.35380000"),
    ("45297.5", "0.09945542"), ("45299.5", "0.18772827"),
]  # fmt: skip
WORKED_BIDS = [
    ("45283.5", "0.10000000"), ("45283.4", "1.54582015"), ("45282.1", "0.10000000"), ("45281.0", "0.10000000"),
    ("45280.3", "1.54592586"), ("45279.0", "0.07990000"), ("45277.6", "0.03310103"), ("45277.5", "0.30000000"),
    ("45277.3", "1.54602737"), ("45276.6", "0.15445238"),
]  # fmt: skip


def test_krakens_worked_example() -> None:
    book = ReferenceBook(10, bids=WORKED_BIDS, asks=WORKED_ASKS)
    assert book.checksum() == 3310070434
    assert book.hashed().startswith("452852100000")


def test_a_book_with_fewer_than_ten_levels() -> None:
    book = ReferenceBook(
        10,
        asks=[("62710.5", "0.93111634"), ("62711.0", "1.20000000"), ("62710.6", "0.50000000")],
        bids=[("62709.1", "2.00000000"), ("62710.4", "0.01000000")],
    )
    assert book.hashed() == "62710593111634627106500000006271101200000006271041000000627091200000000"
    assert book.checksum() == 1396696505


def test_an_empty_book() -> None:
    assert ReferenceBook(10).checksum() == 0
    assert not ReferenceBook().crossed


def test_the_last_of_a_repeated_price_holds_and_zero_removes() -> None:
    book = ReferenceBook(10)
    book.apply(bids=[("1.0", "5"), ("1.0", "0"), ("1.0", "7"), ("2.0", "1"), ("2.0", "0.00")])
    assert book.bids == [("1.0", "7")]


def test_it_cuts_after_the_message_not_within_it() -> None:
    book = ReferenceBook(2, asks=[("1", "1"), ("2", "2")])
    book.apply(asks=[("0.5", "9"), ("0.5", "0")])
    assert book.asks == [("1", "1"), ("2", "2")]
    book.apply(asks=[("0.5", "9")])
    assert book.asks == [("0.5", "9"), ("1", "1")]


def test_crossed() -> None:
    assert ReferenceBook(bids=[("10.0", "1")], asks=[("9.5", "1")]).crossed
    assert not ReferenceBook(bids=[("9.0", "1")], asks=[("10.0", "1")]).crossed


def test_a_frame_of_another_channel_is_refused() -> None:
    with pytest.raises(ValueError, match="book"):
        ReferenceBook().feed('{"channel":"heartbeat"}')


def test_equality_is_by_digits() -> None:
    assert ReferenceBook(bids=[("1.0", "1")]) == ReferenceBook(5, bids=[("1.0", "1")])
    assert ReferenceBook(bids=[("1.0", "1")]) != ReferenceBook(bids=[("1.0", "1.0")])
    assert ReferenceBook() != "a book"
    assert "ReferenceBook" in repr(ReferenceBook(10))


@pytest.mark.parametrize(("name", "checksums"), [("v2_book25_ethusd.cbcap", 1129), ("v2_book25_xrpusd.cbcap", 1147)])
def test_real_recordings_verify(captures: Path, name: str, checksums: int) -> None:
    path = captures / name
    book = ReferenceBook(25)
    frames = [frame for frame in read_frames(path) if frame.startswith('{"channel":"book"')]
    assert len(frames) == checksums
    assert all("checksum" in parse_frame(frame)["data"][0] for frame in frames)
    assert all(book.feed(frame) for frame in frames)
