"""The public types, as users meet them: checked by mypy and pyright, never run."""

from __future__ import annotations

from decimal import Decimal
from typing import assert_never, assert_type

import kraken_trio as kt
from kraken_trio.testing import Exchange, open_exchange


async def a_client() -> None:
    async with kt.open_client(settings=kt.Settings(stall_limit=3)) as client:
        assert_type(client, kt.Client)
        assert_type(client.state, kt.ConnectionState)
        assert_type(await client.wait_for(kt.ConnectionState.SUBSCRIBED), kt.ConnectionState)
        assert_type(client.statistics(), kt.ClientStatistics)
        async with client.subscribe(kt.Book("BTC/USD"), overflow=kt.Overflow.CONFLATE) as feed:
            assert_type(feed, kt.Feed)
            assert_type(await feed.receive(), kt.Event)
            assert_type(await feed.receive_many(10), list[kt.Event])
            assert_type(feed.book("BTC/USD"), kt.OrderBook)
            assert_type(feed.statistics(), kt.FeedStatistics)
            async for event in feed:
                an_event(event)


def an_event(event: kt.Event) -> None:
    match event:
        case kt.BookSnapshot(bids=bids) | kt.BookUpdate(bids=bids):
            assert_type(bids, tuple[kt.Level, ...])
        case kt.Trade(price=price, side=side):
            assert_type(price, Decimal)
            assert_type(side, kt.Side)
        case kt.TickerUpdate(last=last):
            assert_type(last, Decimal | None)
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


def a_rejection(error: kt.SubscriptionRejected) -> None:
    assert_type(error.reasons, dict[kt.Request, str])


async def an_exchange() -> None:
    async with open_exchange(seed=1) as exchange:
        assert_type(exchange, Exchange)
        assert_type(exchange.url, str)
