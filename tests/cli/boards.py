"""Makes boards to look at: events, books, and a feed that stands still."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import attrs
import msgspec

from kraken_trio import (
    Book,
    BookSnapshot,
    Candle,
    ClientStatistics,
    ConnectionState,
    FeedStatistics,
    Level,
    Level3Book,
    Lifecycle,
    OrderBook,
    OrderType,
    Request,
    Side,
    TickerUpdate,
    Trade,
    Trades,
)
from kraken_trio.channels.balances import Balances as BalancesView
from kraken_trio.channels.executions import OpenOrders
from kraken_trio.cli.view.board import Board

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kraken_trio import Feed

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

    def __init__(self, *books: OrderBook | Level3Book, account: Iterable[Any] = ()) -> None:
        self.books = {book.symbol: book for book in books if isinstance(book, OrderBook)}
        self.queues = {book.symbol: book for book in books if isinstance(book, Level3Book)}
        orders, balances = OpenOrders(), BalancesView()
        for event in account:
            (orders if event.channel == "executions" else balances).follow(event)
        self.orders, self.balances = orders.orders, balances.balances

    def level3(self, symbol: str) -> Level3Book:
        book = self.queues.get(symbol) or Level3Book(10)
        return book if book.available else cast("Level3Book", book.best_bid)  # which raises

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


def board_of(*requests: Request, books: Sequence[OrderBook | Level3Book] = (), limit: float | None = None) -> Board:
    board = Board("watch", "wss://ws.kraken.com/v2?token=secret", requests, limit=limit)
    sample(board, *books)
    return board


def statistics(**numbers: int) -> ClientStatistics:
    """Of a client that has done nothing else."""
    zeros: dict[str, Any] = dict.fromkeys((field.name for field in attrs.fields(ClientStatistics)), 0)
    return ClientStatistics(**{**zeros, "state": ConnectionState.DISCONNECTED, **numbers})


def sample(
    board: Board, *books: OrderBook | Level3Book, elapsed: float = 1.0, account: Any = (), **numbers: int
) -> None:
    board.sample(statistics(**numbers), cast("Feed", StillFeed(*books, account=account)), elapsed)


BOTH = (Book("BTC/USD"), Trades("BTC/USD"), Book("ETH/USD", 25), Trades("ETH/USD"), Lifecycle())


def replaced(event: Any, **changes: Any) -> Any:
    """The event with other values."""
    return (
        msgspec.structs.replace(event, **changes)
        if isinstance(event, msgspec.Struct)
        else attrs.evolve(event, **changes)
    )
