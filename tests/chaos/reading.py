"""A program behind a broker, as a process that may be killed: ``python -m tests.chaos.reading URL FILE``.

It appends what it receives to the file, a line for each batch, together with the place after it; started again, it goes
on from the last whole line. So each event is in the file once, whenever it was killed. ``books`` on its standard input
is answered with its books, in a line of JSON.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import trio

import kraken_trio as kt
from kraken_trio.broker.position import Position
from kraken_trio.encoding import decode_event, encode_event
from kraken_trio.stream import open_stream
from kraken_trio.testing.oracle.received import levels_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kraken_trio.testing.oracle.sent import Levels

__all__ = ["REQUESTS", "SYMBOLS", "Batch", "batches"]

DEPTH: Final = 10
SYMBOLS: Final = dict.fromkeys(("BTC/USD", "ETH/USD", "XRP/USD"), int(DEPTH))
"""And the depths of their books."""
REQUESTS: Final[tuple[kt.Request[Any], ...]] = (
    *(kt.Book(symbol, DEPTH) for symbol in SYMBOLS),
    *(kt.Trades(symbol) for symbol in SYMBOLS),
)
SETTINGS: Final = kt.Settings(require_first_connection=False)
LOOK_AGAIN: Final = 0.2
"""Seconds until it is asked again whether everything is published."""


class Batch(msgspec.Struct):
    """A line of the file."""

    position: str | None
    events: list[msgspec.Raw]

    def decoded(self) -> list[kt.Event]:
        return [decode_event(raw) for raw in self.events]


def batches(data: bytes) -> Iterator[Batch]:
    """The whole lines of a file."""
    whole, _, _ = data.rpartition(b"\n")
    for line in whole.splitlines():
        yield msgspec.json.decode(line, type=Batch)


def cut(file: Path) -> Position | None:
    """Cut off a line that was not written to its end. Returns the place after the last whole one."""
    data = file.read_bytes() if file.exists() else b""
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(file, whole)
    told = [batch.position for batch in batches(data) if batch.position is not None]
    return Position.parse(told[-1]) if told else None


def line_of(events: Sequence[kt.Event], position: Position | None) -> bytes:
    raw = [msgspec.Raw(encode_event(event)) for event in events]
    return msgspec.json.encode(Batch(None if position is None else str(position), raw)) + b"\n"


def seen(book: kt.OrderBook) -> tuple[Levels, Levels] | None:
    """Bids and asks; None while the book cannot be read."""
    if not book.available:
        return None
    return levels_of(book.bids), levels_of(book.asks)


async def answer(feed: kt.Feed[Any], program: trio.CancelScope) -> None:
    """Until the standard input ends; then the program does."""
    async with trio.lowlevel.FdStream(os.dup(0)) as asked:
        async for data in asked:
            for _ in range(data.count(b"\n")):
                books = {symbol: seen(feed.books[symbol]) for symbol in SYMBOLS}
                os.write(1, msgspec.json.encode(books) + b"\n")
    program.cancel()


async def read(url: str, file: Path) -> None:
    position = cut(file)
    out = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    while True:
        try:
            async with (
                open_stream(url, start=position, settings=SETTINGS) as client,
                client.subscribe(*REQUESTS, capacity=65_536) as feed,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(answer, feed, nursery.cancel_scope)
                os.write(1, b"{}\n")
                while True:
                    events = await feed.receive_many(1024)
                    os.write(out, line_of(events, feed.position))
            return
        except* kt.SubscriptionRejected:
            await trio.sleep(LOOK_AGAIN)


if __name__ == "__main__":
    trio.run(read, sys.argv[1], Path(sys.argv[2]))
