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

from kraken_trio.testing.exchange.account import Account
from kraken_trio.testing.exchange.core import ExchangeCore
from kraken_trio.testing.exchange.journal import ConnectionJournal, ReceivedRequest, Subscribed, Withheld
from kraken_trio.testing.exchange.market import Market
from kraken_trio.testing.exchange.market_spec import DEFAULT_MARKETS, MarketSpec
from kraken_trio.testing.exchange.recording import Recording, read_frames
from kraken_trio.testing.exchange.server import Exchange, ExchangeStatistics, open_exchange
from kraken_trio.testing.exchange.tokens import Tokens
from kraken_trio.testing.faults import (
    BlackHole,
    Conditions,
    CorruptChecksum,
    CorruptLevel,
    CrossedBook,
    Cut,
    DeepSnapshot,
    Degrade,
    Delay,
    DelayAcks,
    DelayConnect,
    DelayDial,
    DelaySnapshots,
    Direction,
    Drop,
    DropAfterTrade,
    DropConnect,
    DropHow,
    DuplicateAck,
    EndSubscription,
    ExpireTokens,
    Exponents,
    Fault,
    FillBurst,
    Freeze,
    HalfOpen,
    HangConnect,
    HangDial,
    IgnoreRequests,
    Irregularity,
    IrregularSnapshot,
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
    ReorderQueue,
    RepeatFill,
    RepeatSequence,
    Reset,
    ResetLink,
    Scheduled,
    SetStatus,
    Shape,
    SkipSequence,
    SkipUpdate,
    SpeakV1,
    Split,
    Stall,
    StopHeartbeats,
    StopPushing,
    StrangeReport,
    SwapUpdates,
    Tear,
    Throttle,
    UnknownChannel,
    UnknownField,
    UnknownHost,
    UnknownOrder,
    Unreachable,
    UpdateBeforeSnapshot,
)
from kraken_trio.testing.network.link import Link, MemoryStream
from kraken_trio.testing.network.network import Network
from kraken_trio.testing.network.proxy import Proxy, open_proxy
from kraken_trio.testing.network.virtual_time import run_virtual
from kraken_trio.testing.reference_book import ReferenceBook

__all__ = [
    "DEFAULT_MARKETS",
    "Account",
    "BlackHole",
    "Conditions",
    "ConnectionJournal",
    "CorruptChecksum",
    "CorruptLevel",
    "CrossedBook",
    "Cut",
    "DeepSnapshot",
    "Degrade",
    "Delay",
    "DelayAcks",
    "DelayConnect",
    "DelayDial",
    "DelaySnapshots",
    "Direction",
    "Drop",
    "DropAfterTrade",
    "DropConnect",
    "DropHow",
    "DuplicateAck",
    "EndSubscription",
    "Exchange",
    "ExchangeCore",
    "ExchangeStatistics",
    "ExpireTokens",
    "Exponents",
    "Fault",
    "FillBurst",
    "Freeze",
    "HalfOpen",
    "HangConnect",
    "HangDial",
    "IgnoreRequests",
    "IrregularSnapshot",
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
    "ReorderQueue",
    "RepeatFill",
    "RepeatSequence",
    "Reset",
    "ResetLink",
    "Scheduled",
    "SetStatus",
    "Shape",
    "SkipSequence",
    "SkipUpdate",
    "SpeakV1",
    "Split",
    "Stall",
    "StopHeartbeats",
    "StopPushing",
    "StrangeReport",
    "Subscribed",
    "SwapUpdates",
    "Tear",
    "Throttle",
    "Tokens",
    "UnknownChannel",
    "UnknownField",
    "UnknownHost",
    "UnknownOrder",
    "Unreachable",
    "UpdateBeforeSnapshot",
    "Withheld",
    "open_exchange",
    "open_proxy",
    "read_frames",
    "run_virtual",
]
