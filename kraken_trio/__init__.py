"""Kraken market data for Trio programs: verified order books that survive disconnects.

The map: :func:`open_client` gives a :class:`Client`; ``client.subscribe(…)`` takes requests (:class:`Book`, …) and
gives a :class:`Feed`; the feed yields events (:class:`BookUpdate`, …) in the order of the exchange, and a
:class:`Gap` wherever some are missing. :class:`OrderBook` is usable alone. :mod:`kraken_trio.testing` is an
exchange to test with.
"""

from kraken_trio.book import OrderBook
from kraken_trio.client import Client, open_client
from kraken_trio.endpoint import PUBLIC_V2, Endpoint
from kraken_trio.errors import (
    BookUnavailable,
    ChecksumMismatch,
    ConnectError,
    ConsumerTooSlow,
    KrakenTrioError,
    ProtocolError,
    SubscriptionRejected,
)
from kraken_trio.events import (
    Asset,
    BookSnapshot,
    BookUpdate,
    Candle,
    Cause,
    ConnectionState,
    Event,
    Gap,
    InstrumentUpdate,
    Level,
    OrderType,
    Pair,
    Side,
    StateChange,
    StatusUpdate,
    TickerUpdate,
    Trade,
)
from kraken_trio.requests import Book, Candles, Instruments, Lifecycle, Overflow, Request, Ticker, Trades
from kraken_trio.runtime.feed import Feed, FeedStatistics
from kraken_trio.session import ClientStatistics
from kraken_trio.session.subscription import SubscriptionState
from kraken_trio.settings import Settings

__all__ = [
    "PUBLIC_V2",
    "Asset",
    "Book",
    "BookSnapshot",
    "BookUnavailable",
    "BookUpdate",
    "Candle",
    "Candles",
    "Cause",
    "ChecksumMismatch",
    "Client",
    "ClientStatistics",
    "ConnectError",
    "ConnectionState",
    "ConsumerTooSlow",
    "Endpoint",
    "Event",
    "Feed",
    "FeedStatistics",
    "Gap",
    "InstrumentUpdate",
    "Instruments",
    "KrakenTrioError",
    "Level",
    "Lifecycle",
    "OrderBook",
    "OrderType",
    "Overflow",
    "Pair",
    "ProtocolError",
    "Request",
    "Settings",
    "Side",
    "StateChange",
    "StatusUpdate",
    "SubscriptionRejected",
    "SubscriptionState",
    "Ticker",
    "TickerUpdate",
    "Trade",
    "Trades",
    "open_client",
]
