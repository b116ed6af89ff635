"""Kraken market data for Trio programs: verified order books that survive disconnects.

:func:`open_client` yields a :class:`Client`; ``client.subscribe(…)`` takes requests (:class:`Book`, …) and yields a
:class:`Feed`; the feed yields events (:class:`BookUpdate`, …) in the order of the exchange, and a :class:`Gap` wherever
some are missing. :class:`OrderBook` can be used alone. :mod:`kraken_trio.testing` is an exchange to test with.
"""

from typing import TYPE_CHECKING

from kraken_trio._version import version
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
    RecordingError,
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
from kraken_trio.evidence import ChecksumEvidence
from kraken_trio.requests import Book, Candles, Instruments, Lifecycle, Overflow, Request, Ticker, Trades
from kraken_trio.runtime.feed import Feed
from kraken_trio.settings import Settings
from kraken_trio.statistics import ClientStatistics, FeedStatistics, SubscriptionState

_RECORDINGS = frozenset({"Recording", "RecordingStatistics", "record"})

if TYPE_CHECKING:
    from kraken_trio.recordings import Recording, RecordingStatistics, record

    __version__: str
    """The version of the installed package."""

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
    "ChecksumEvidence",
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
    "Recording",
    "RecordingError",
    "RecordingStatistics",
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
    "record",
]


if not TYPE_CHECKING:  # type checkers would take every misspelt name for an attribute

    def __getattr__(name: str) -> object:
        """``__version__``, and the durable log, each imported when it is asked for: many programs do without."""
        if name == "__version__":
            return version()
        if name in _RECORDINGS:
            from kraken_trio import recordings  # noqa: PLC0415 (see above)

            return getattr(recordings, name)
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
