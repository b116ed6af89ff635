"""The public types, as users meet them: checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, TypeAlias, assert_never, assert_type

import attrs
import msgspec

import kraken_trio as kt
from kraken_trio.testing import Exchange, open_exchange


async def a_client() -> None:
    async with kt.open_client(settings=kt.Settings(stall_limit=3)) as client:
        assert_type(client, kt.Client)
        assert_type(client.state, kt.ConnectionState)
        assert_type(await client.wait_for(kt.ConnectionState.SUBSCRIBED), kt.ConnectionState)
        assert_type(client.statistics(), kt.ClientStatistics)
        async with client.subscribe(kt.Book("BTC/USD"), overflow=kt.Overflow.CONFLATE) as feed:
            assert_type(feed, kt.Feed[kt.BookSnapshot | kt.BookUpdate | kt.Gap])
            assert_type(await feed.receive(), kt.BookSnapshot | kt.BookUpdate | kt.Gap)
            assert_type(await feed.receive_many(10), list[kt.BookSnapshot | kt.BookUpdate | kt.Gap])
            async for batch in feed.batches(max_events=10):
                assert_type(batch, list[kt.BookSnapshot | kt.BookUpdate | kt.Gap])
            assert_type(feed.batches(), AsyncIterator[list[kt.BookSnapshot | kt.BookUpdate | kt.Gap]])
            assert_type(feed.book("BTC/USD"), kt.OrderBook)
            assert_type(feed.statistics(), kt.FeedStatistics)
            async for event in feed:
                an_event(event)
                match event:
                    case kt.BookSnapshot() | kt.BookUpdate():
                        assert_type(event.checksum, int | None)
                    case kt.Gap():
                        pass
                    case _:
                        assert_never(event)  # nothing else comes from this feed


class Heat(msgspec.Struct, frozen=True):
    """An event of a channel that this package does not know."""

    channel: ClassVar[str] = "heat"
    symbol: str
    degrees: int
    epoch: int = 0
    received_ns: int = 0


@attrs.frozen
class Heats(kt.Request[Heat]):
    channel: ClassVar[str | None] = "heat"
    symbol: str


BOOK, TRADES, TICKER, CANDLES = kt.Book("BTC/USD"), kt.Trades("BTC/USD"), kt.Ticker("BTC/USD"), kt.Candles("BTC/USD")
ORDERS = kt.Level3("BTC/USD")
BookEvent: TypeAlias = kt.BookSnapshot | kt.BookUpdate


async def what_comes_from_one_to_five_requests(client: kt.Client) -> None:
    async with client.subscribe(TRADES) as one:
        assert_type(one, kt.Feed[kt.Trade | kt.Gap])
    async with client.subscribe(TRADES, TICKER, capacity=10) as two:
        assert_type(two, kt.Feed[kt.Trade | kt.TickerUpdate | kt.Gap])
    async with client.subscribe(TRADES, TICKER, CANDLES) as three:
        assert_type(three, kt.Feed[kt.Trade | kt.TickerUpdate | kt.Candle | kt.Gap])
    async with client.subscribe(BOOK, TRADES, TICKER, CANDLES) as four:
        assert_type(four, kt.Feed[BookEvent | kt.Trade | kt.TickerUpdate | kt.Candle | kt.Gap])
    async with client.subscribe(BOOK, TRADES, TICKER, kt.Instruments(), kt.Lifecycle()) as five:
        assert_type(
            five,
            kt.Feed[
                BookEvent | kt.Trade | kt.TickerUpdate | kt.InstrumentUpdate | kt.StateChange | kt.StatusUpdate | kt.Gap
            ],
        )


async def what_comes_from_many_of_one_kind(client: kt.Client, symbols: list[str]) -> None:
    async with client.subscribe(*(kt.Book(symbol) for symbol in symbols)) as books:
        assert_type(books, kt.Feed[BookEvent | kt.Gap])
    async with client.subscribe(TRADES, TRADES, TRADES, TRADES, TRADES, TRADES, TRADES) as trades:
        assert_type(trades, kt.Feed[kt.Trade | kt.Gap])
    async with client.subscribe(*map(kt.Ticker, symbols), overflow=kt.Overflow.CONFLATE) as tickers:
        assert_type(tickers, kt.Feed[kt.TickerUpdate | kt.Gap])


async def what_comes_from_many_of_several_kinds(client: kt.Client, requests: list[kt.Request]) -> None:
    async with client.subscribe(*requests) as any_feed:
        assert_type(any_feed, kt.Feed[kt.Event])
        assert_type(any_feed, kt.Feed)  # which is the same
    every = client.subscribe(
        BOOK,
        TRADES,
        TICKER,
        CANDLES,
        kt.Instruments(),
        kt.Executions(),
        ORDERS,
        kt.Balances(),
        kt.Lifecycle(),
        kt.Spread("A/B"),
    )
    async with every as feed:
        assert_type(await feed.receive(), kt.Event)
        takes_any_feed(feed)


async def what_comes_from_a_channel_of_ones_own(client: kt.Client, symbols: list[str]) -> None:
    async with client.subscribe(Heats("BTC/USD")) as one:
        assert_type(one, kt.Feed[Heat | kt.Gap])
        async for event in one:
            if isinstance(event, kt.Gap):
                break
            assert_type(event.degrees, int)
    async with client.subscribe(Heats("BTC/USD"), BOOK) as two:
        assert_type(two, kt.Feed[Heat | BookEvent | kt.Gap])
    async with client.subscribe(*map(Heats, symbols)) as many:
        assert_type(many, kt.Feed[Heat | kt.Gap])


def takes_any_feed(feed: kt.Feed) -> None:
    """Every feed is one of any events: it is only read from."""
    assert_type(feed.requests, tuple[kt.Request[Any], ...])


async def a_feed_of_something_is_a_feed(client: kt.Client) -> None:
    async with client.subscribe(TRADES, TICKER) as feed:
        takes_any_feed(feed)


async def an_endpoint() -> None:
    async with kt.open_client(kt.Endpoint("wss://host/v2", serves=["book"])), kt.open_client(kt.PUBLIC_V2) as client:
        assert_type(client, kt.Client)


def an_event(event: kt.Event) -> None:
    match event:
        case kt.BookSnapshot(bids=bids) | kt.BookUpdate(bids=bids):
            assert_type(bids, tuple[kt.Level, ...])
        case kt.Trade(price=price, side=side, trade_id=trade_id):
            assert_type(trade_id, int | None)
        case kt.Level3Snapshot(bids=orders):
            assert_type(orders, tuple[kt.RestingOrder, ...])
        case kt.Level3Update(bids=changes):
            assert_type(changes, tuple[kt.OrderEvent, ...])
            assert_type(changes[0].kind, kt.OrderEventKind)
            assert_type(changes[0].qty, Decimal)
        case kt.Trade(price=price, side=side):
            assert_type(price, Decimal)
            assert_type(side, kt.Side)
        case kt.TickerUpdate(last=last):
            assert_type(last, Decimal | None)
        case kt.Execution(changed=changed):
            assert_type(changed, tuple[str, ...])
        case kt.OrdersSnapshot(orders=orders):
            assert_type(orders, tuple[kt.Order, ...])
        case kt.BalancesSnapshot(balances=balances):
            assert_type(balances, tuple[kt.Balance, ...])
        case kt.BalanceUpdate(amount=amount):
            assert_type(amount, Decimal | None)
        case kt.SpreadUpdate(bid=bid, timestamp=timestamp):
            assert_type(bid, Decimal)
            assert_type(timestamp, datetime)
        case kt.Candle() | kt.InstrumentUpdate() | kt.StateChange() | kt.StatusUpdate():
            assert_type(event.epoch, int)
        case kt.Gap(cause=cause, evidence=evidence):
            assert_type(cause, kt.Cause)
            assert_type(evidence, kt.ChecksumEvidence | None)
        case _:
            assert_never(event)  # every kind of event is named above


def a_book(book: kt.OrderBook) -> None:
    assert_type(book.best_bid, kt.Level | None)
    assert_type(book.mid, Decimal | None)
    assert_type(book.checksum(), int)
    assert_type(book.snapshot(), kt.BookSnapshot)


def orders(feed: kt.Feed) -> None:
    book = feed.level3("BTC/USD")
    assert_type(book, kt.Level3Book)
    assert_type(book.best_bid, kt.OrderQueue | None)
    assert_type(book.order("O1"), kt.RestingOrder | None)
    assert_type(book.queue("O1"), kt.QueuePosition | None)
    assert_type(book.to_levels(), kt.BookSnapshot)
    assert_type(book.snapshot(), kt.Level3Snapshot)


def a_rejection(error: kt.SubscriptionRejected) -> None:
    assert_type(error.reasons, dict[kt.Request, str])


async def an_exchange() -> None:
    async with open_exchange(seed=1) as exchange:
        assert_type(exchange, Exchange)
        assert_type(exchange.url, str)
