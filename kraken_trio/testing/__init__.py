"""A fake Kraken exchange for tests: a real WebSocket on the loopback interface, a seeded market, scripted faults.

::

    async with open_exchange(seed=1) as exchange:
        async with open_client(exchange.url) as client:
            ...
            exchange.inject(Drop(how=DropHow.RESET))

From the bottom up:

* :mod:`~kraken_trio.testing.faults`: all faults, as values: of the exchange, the network, the proxy
* :mod:`~kraken_trio.testing.network`: a :class:`Network` in memory instead of sockets; :func:`run_virtual`, for hours
  that pass in seconds; :func:`open_proxy`, a faulty network of real sockets
* :mod:`~kraken_trio.testing.reference_book`: :class:`ReferenceBook`, a simple order book with its checksum
* :mod:`~kraken_trio.testing.exchange`: :func:`open_exchange` and what it yields, an :class:`Exchange`; the exchange
  without I/O (:class:`ExchangeCore`); seeded markets (:class:`MarketSpec`, :class:`Market`); recorded frames instead
  of a market (:class:`Recording`)
* :mod:`~kraken_trio.testing.strategies`: Hypothesis strategies; imported separately, need ``kraken-trio[testing]``
"""

from kraken_trio.testing.exchange.core import ExchangeCore
from kraken_trio.testing.exchange.journal import ConnectionJournal, ReceivedRequest, Subscribed, Withheld
from kraken_trio.testing.exchange.market import Market
from kraken_trio.testing.exchange.market_spec import DEFAULT_MARKETS, MarketSpec
from kraken_trio.testing.exchange.recording import Recording, read_frames
from kraken_trio.testing.exchange.server import Exchange, ExchangeStatistics, open_exchange
from kraken_trio.testing.faults import (
    BlackHole,
    Conditions,
    CorruptChecksum,
    CorruptLevel,
    CrossedBook,
    Cut,
    Degrade,
    Delay,
    DelayAcks,
    DelayConnect,
    DelayDial,
    DelaySnapshots,
    Direction,
    Drop,
    DropConnect,
    DropHow,
    DuplicateAck,
    EndSubscription,
    Fault,
    Freeze,
    HalfOpen,
    HangConnect,
    HangDial,
    IgnoreRequests,
    Irregularity,
    IrregularSnapshot,
    IrregularUpdate,
    LateUpdates,
    LinkFault,
    Mute,
    NetworkFault,
    OmitChecksum,
    OmitSnapshot,
    Outage,
    Raw,
    RawKind,
    Refuse,
    RefuseConnect,
    RefuseDial,
    Reset,
    ResetLink,
    Scheduled,
    SetStatus,
    Shape,
    SkipUpdate,
    SpeakV1,
    Split,
    Stall,
    StopHeartbeats,
    StopPushing,
    StrayError,
    Tear,
    Throttle,
    UnknownChannel,
    UnknownField,
    UnknownHost,
    Unreachable,
    UpdateBeforeSnapshot,
    UpdateIrregularity,
)
from kraken_trio.testing.network.link import Link, MemoryStream
from kraken_trio.testing.network.network import Network
from kraken_trio.testing.network.proxy import Proxy, open_proxy
from kraken_trio.testing.network.virtual_time import run_virtual
from kraken_trio.testing.reference_book import ReferenceBook

__all__ = [
    "DEFAULT_MARKETS",
    "BlackHole",
    "Conditions",
    "ConnectionJournal",
    "CorruptChecksum",
    "CorruptLevel",
    "CrossedBook",
    "Cut",
    "Degrade",
    "Delay",
    "DelayAcks",
    "DelayConnect",
    "DelayDial",
    "DelaySnapshots",
    "Direction",
    "Drop",
    "DropConnect",
    "DropHow",
    "DuplicateAck",
    "EndSubscription",
    "Exchange",
    "ExchangeCore",
    "ExchangeStatistics",
    "Fault",
    "Freeze",
    "HalfOpen",
    "HangConnect",
    "HangDial",
    "IgnoreRequests",
    "IrregularSnapshot",
    "IrregularUpdate",
    "Irregularity",
    "LateUpdates",
    "Link",
    "LinkFault",
    "Market",
    "MarketSpec",
    "MemoryStream",
    "Mute",
    "Network",
    "NetworkFault",
    "OmitChecksum",
    "OmitSnapshot",
    "Outage",
    "Proxy",
    "Raw",
    "RawKind",
    "ReceivedRequest",
    "Recording",
    "ReferenceBook",
    "Refuse",
    "RefuseConnect",
    "RefuseDial",
    "Reset",
    "ResetLink",
    "Scheduled",
    "SetStatus",
    "Shape",
    "SkipUpdate",
    "SpeakV1",
    "Split",
    "Stall",
    "StopHeartbeats",
    "StopPushing",
    "StrayError",
    "Subscribed",
    "Tear",
    "Throttle",
    "UnknownChannel",
    "UnknownField",
    "UnknownHost",
    "Unreachable",
    "UpdateBeforeSnapshot",
    "UpdateIrregularity",
    "Withheld",
    "open_exchange",
    "open_proxy",
    "read_frames",
    "run_virtual",
]
