"""Makes boards to look at: events, books, and a feed that stands still."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from kraken_trio.book import OrderBook
from kraken_trio.cli.board import Board
from kraken_trio.events import (
    BookSnapshot,
    Candle,
    Level,
    OrderType,
    Side,
    TickerUpdate,
    Trade,
)
from kraken_trio.requests import Book, Lifecycle, Request, Trades
from kraken_trio.runtime.feed import FeedStatistics
from kraken_trio.session import Session
from kraken_trio.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kraken_trio.runtime.feed import Feed

NOW = datetime(2026, 8, 2, 4, 23, 42, tzinfo=UTC)


def levels(*pairs: tuple[str, str]) -> tuple[Level, ...]:
    return tuple(Level(Decimal(price), Decimal(qty)) for price, qty in pairs)


def snapshot(symbol: str = "BTC/USD", depth: int = 10, **changes: Any) -> BookSnapshot:
    bids = levels(*((f"{64525 - n}.0", f"{n + 1}.12345678") for n in range(depth)))
    asks = levels(*((f"{64526 + n}.5", f"{n + 1}.87654321") for n in range(depth)))
    return msgspec.structs.replace(BookSnapshot(symbol=symbol, bids=bids, asks=asks, epoch=1), **changes)


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
        return FeedStatistics(
            buffered=3, capacity=10, high_water=3, delivered=12, dropped=0, conflated=0, held_seconds=0.0
        )


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


BOTH = (Book("BTC/USD"), Trades("BTC/USD"), Book("ETH/USD", 25), Trades("ETH/USD"), Lifecycle())
