"""Recorded books of the real exchange: every checksum, straight into the order book."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from kraken_trio import BookSnapshot, BookUpdate, Level, OrderBook
from kraken_trio.testing.reference_book import ReferenceBook
from kraken_trio.wire import codec_for
from kraken_trio.wire.messages import Data

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def frames(recording: Path) -> Iterator[bytes]:
    """The frames of a ``.cbcap`` file: a header, then ``<unix ns> <byte length>``, the frame and a line's end, each."""
    data = recording.read_bytes()
    at = data.index(b"\n") + 1
    while at < len(data):
        end = data.index(b"\n", at)
        size = int(data[at:end].split()[1])
        yield data[end + 1 : end + 1 + size]
        at = end + 1 + size + 1


@pytest.mark.parametrize(("name", "checksums"), [("v2_book25_ethusd", 1129), ("v2_book25_xrpusd", 1147)])
def test_v2(captures: Path, name: str, checksums: int) -> None:
    decoder, book, model = codec_for("v2"), OrderBook(25), ReferenceBook(25)
    verified = 0
    for frame in frames(captures / f"{name}.cbcap"):
        message = decoder.decode(frame)
        if isinstance(message, Data):
            assert model.feed(frame)
            for event in message.events:
                assert isinstance(event, BookSnapshot | BookUpdate)
                assert event.checksum is not None
                book.apply(event)
                assert book.checksum() == event.checksum
                assert not book.crossed
                verified += 1
            assert [(str(level.price), str(level.qty)) for level in book.asks[:10]] == [
                (str(Decimal(price)), str(Decimal(qty))) for price, qty in model.asks[:10]
            ]
    assert verified == checksums
    assert not decoder.unknown


def v1_events(line: str) -> Iterator[BookSnapshot | BookUpdate]:
    """The book event of one line of a v1 recording, if it is one.

    v1 sends arrays: an id, one object or two, the channel's name, the pair. Numbers are texts; the checksum stands in
    the last object; a snapshot has none.
    """
    received = re.fullmatch(r"[0-9.]+: (\[.*\])", line)
    if not received:
        return
    _, *payloads, channel, symbol = json.loads(received[1])
    assert channel == "book-1000"
    fields: dict[str, Any] = {}
    for payload in payloads:
        fields |= payload

    def levels(name: str) -> tuple[Level, ...]:
        return tuple(Level(Decimal(price), Decimal(qty)) for price, qty, *_ in fields.get(name, ()))

    if "as" in fields:
        yield BookSnapshot(symbol=symbol, bids=levels("bs"), asks=levels("as"))
    else:
        yield BookUpdate(symbol=symbol, bids=levels("b"), asks=levels("a"), checksum=int(fields["c"]))


def test_v1(captures: Path) -> None:
    books: dict[str, OrderBook] = {}
    verified = 0
    for line in (captures / "v1_book1000_ten_pairs.txt").read_text().splitlines():
        for event in v1_events(line):
            book = books.setdefault(event.symbol, OrderBook(1000))
            book.apply(event)
            assert not book.crossed
            if event.checksum is not None:
                assert book.checksum() == event.checksum
                verified += 1
    assert verified == 4269
    assert len(books) == 10
    assert all(len(book.bids) <= 1000 >= len(book.asks) for book in books.values())
