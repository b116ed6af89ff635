"""Kraken market data for Trio programs: verified order books that survive disconnects.

:func:`open_client` yields a :class:`Client`; ``client.subscribe(…)`` takes requests (:class:`Book`, …) and yields a
:class:`Feed`; the feed yields events (:class:`BookUpdate`, …) in the order of the exchange, and a :class:`Gap` wherever
some are missing. :class:`OrderBook` can be used alone. :mod:`kraken_trio.testing` is an exchange to test with.
"""

from kraken_trio import _interrupted  # noqa: F401 (the first of all: it is there while the others are imported)

# isort: split
from importlib import import_module
from typing import TYPE_CHECKING

from kraken_trio._version import version
from kraken_trio.auth import Credentials
from kraken_trio.book import Level3Book, OrderBook, OrderQueue, QueuePosition
from kraken_trio.client import Client, open_client
from kraken_trio.endpoint import LEVEL3_V2, PRIVATE_V1, PRIVATE_V2, PUBLIC_V1, PUBLIC_V2, Endpoint
from kraken_trio.errors import (
    BookUnavailable,
    ChecksumMismatch,
    ConnectError,
    ConsumerTooSlow,
    KeyRefused,
    KrakenTrioError,
    ProtocolError,
    RecordingError,
    SubscriptionRejected,
)
from kraken_trio.events import (
    Asset,
    Balance,
    BalancesSnapshot,
    BalanceUpdate,
    BookSnapshot,
    BookUpdate,
    Candle,
    Cause,
    ConnectionState,
    Contingent,
    Event,
    Execution,
    Fee,
    Gap,
    InstrumentUpdate,
    Level,
    Level3Snapshot,
    Level3Update,
    Order,
    OrderEvent,
    OrderEventKind,
    OrdersSnapshot,
    OrderType,
    Pair,
    RestingOrder,
    Side,
    SpreadUpdate,
    StateChange,
    StatusUpdate,
    TickerUpdate,
    Trade,
    Triggers,
    Wallet,
)
from kraken_trio.evidence import ChecksumEvidence
from kraken_trio.requests import (
    Balances,
    Book,
    Candles,
    Executions,
    Instruments,
    Level3,
    Lifecycle,
    Overflow,
    Request,
    Spread,
    Ticker,
    Trades,
)
from kraken_trio.runtime.feed import Feed
from kraken_trio.settings import Settings
from kraken_trio.statistics import (
    ClientStatistics,
    Distribution,
    FeedStatistics,
    SubscriptionState,
    SubscriptionStatistics,
)

_LATER = {
    "BrokerLogin": "broker.login",
    "BrokerTls": "broker.login",
    "EventReader": "reader",
    "ImportReport": "importing",
    "Position": "broker.position",
    "Recording": "recordings",
    "RecordingStatistics": "recordings",
    "Replay": "replay",
    "ReplayClient": "replay",
    "import_recording": "importing",
    "open_replay": "replay",
    "open_stream": "stream",
    "read_events": "reader",
    "record": "recordings",
    "recorded_requests": "reader",
}
"""Names that are imported when they are asked for, and the modules that have them."""

if TYPE_CHECKING:
    from kraken_trio.broker.login import BrokerLogin, BrokerTls
    from kraken_trio.broker.position import Position
    from kraken_trio.importing import ImportReport, import_recording
    from kraken_trio.reader import EventReader, read_events, recorded_requests
    from kraken_trio.recordings import Recording, RecordingStatistics, record
    from kraken_trio.replay import Replay, ReplayClient, open_replay
    from kraken_trio.stream import open_stream

    __version__: str
    """The version of the installed package."""

__all__ = [
    "LEVEL3_V2",
    "PRIVATE_V1",
    "PRIVATE_V2",
    "PUBLIC_V1",
    "PUBLIC_V2",
    "Asset",
    "Balance",
    "BalanceUpdate",
    "Balances",
    "BalancesSnapshot",
    "Book",
    "BookSnapshot",
    "BookUnavailable",
    "BookUpdate",
    "BrokerLogin",
    "BrokerTls",
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
    "Contingent",
    "Credentials",
    "Distribution",
    "Endpoint",
    "Event",
    "EventReader",
    "Execution",
    "Executions",
    "Fee",
    "Feed",
    "FeedStatistics",
    "Gap",
    "ImportReport",
    "InstrumentUpdate",
    "Instruments",
    "KeyRefused",
    "KrakenTrioError",
    "Level",
    "Level3",
    "Level3Book",
    "Level3Snapshot",
    "Level3Update",
    "Lifecycle",
    "Order",
    "OrderBook",
    "OrderEvent",
    "OrderEventKind",
    "OrderQueue",
    "OrderType",
    "OrdersSnapshot",
    "Overflow",
    "Pair",
    "Position",
    "ProtocolError",
    "QueuePosition",
    "Recording",
    "RecordingError",
    "RecordingStatistics",
    "Replay",
    "ReplayClient",
    "Request",
    "RestingOrder",
    "Settings",
    "Side",
    "Spread",
    "SpreadUpdate",
    "StateChange",
    "StatusUpdate",
    "SubscriptionRejected",
    "SubscriptionState",
    "SubscriptionStatistics",
    "Ticker",
    "TickerUpdate",
    "Trade",
    "Trades",
    "Triggers",
    "Wallet",
    "import_recording",
    "open_client",
    "open_replay",
    "open_stream",
    "read_events",
    "record",
    "recorded_requests",
]


if not TYPE_CHECKING:  # type checkers would take every misspelt name for an attribute

    def __getattr__(name: str) -> object:
        """``__version__``, and the durable log, each imported when it is asked for: many programs do without."""
        if name == "__version__":
            return version()
        module = _LATER.get(name)
        if module is not None:
            return getattr(import_module(f"kraken_trio.{module}"), name)
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
