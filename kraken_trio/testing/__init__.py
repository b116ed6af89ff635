"""A fake Kraken exchange for your tests (and ours): a real WebSocket on the loopback, a seeded market, scripted faults.

::

    async with open_exchange(seed=1) as exchange:
        async with open_client(exchange.url) as client:
            ...
            exchange.inject(Drop(how=DropHow.RESET))

The map:

* :mod:`~kraken_trio.testing.exchange`: :func:`open_exchange` and what it yields, an :class:`Exchange`
* :mod:`~kraken_trio.testing.faults`: everything that can go wrong, as values
* :mod:`~kraken_trio.testing.proxy`: :func:`open_proxy`: a bad network before it
* :mod:`~kraken_trio.testing.market`: the seeded markets: :class:`MarketSpec`, :class:`Market`
* :mod:`~kraken_trio.testing.model`: :class:`ReferenceBook`, the order book and its checksum, written to be read
* :mod:`~kraken_trio.testing.network`: a :class:`Network` of memory in place of sockets, and its faults
  (:mod:`~kraken_trio.testing.network_faults`); :func:`run_virtual`, for hours that pass in seconds
* :mod:`~kraken_trio.testing.recording`: recorded frames in place of a market
* :mod:`~kraken_trio.testing.core`: the exchange without I/O (``desk`` answers requests, ``feed`` makes data frames,
  ``dialect`` knows the words), for simulations; :mod:`~kraken_trio.testing.peer` is one socket
* :mod:`~kraken_trio.testing.strategies`: Hypothesis strategies; to be imported by name, needs ``kraken-trio[testing]``
"""

from kraken_trio.testing.actions import ConnectionJournal, ReceivedRequest, Subscribed, Withheld
from kraken_trio.testing.core import ExchangeCore
from kraken_trio.testing.exchange import Exchange, ExchangeStatistics, open_exchange
from kraken_trio.testing.faults import (
    CorruptChecksum,
    CorruptLevel,
    CrossedBook,
    DelayAcks,
    DelayConnect,
    DelaySnapshots,
    Drop,
    DropConnect,
    DropHow,
    DuplicateAck,
    Fault,
    Freeze,
    HangConnect,
    IgnoreRequests,
    LateUpdates,
    Mute,
    Raw,
    RawKind,
    Refuse,
    RefuseConnect,
    Scheduled,
    SetStatus,
    Shape,
    SkipUpdate,
    StopHeartbeats,
    UnknownChannel,
    UnknownField,
    UpdateBeforeSnapshot,
)
from kraken_trio.testing.market import DEFAULT_MARKETS, Market, MarketSpec
from kraken_trio.testing.model import ReferenceBook
from kraken_trio.testing.network import Network
from kraken_trio.testing.network_faults import (
    BlackHole,
    Conditions,
    Degrade,
    DelayDial,
    Direction,
    HalfOpen,
    HangDial,
    LinkFault,
    Outage,
    RefuseDial,
    ResetLink,
    UnknownHost,
)
from kraken_trio.testing.pipes import Link, MemoryStream
from kraken_trio.testing.proxy import (
    Cut,
    Delay,
    NetworkFault,
    Proxy,
    Reset,
    Split,
    Stall,
    Tear,
    Throttle,
    Unreachable,
    open_proxy,
)
from kraken_trio.testing.recording import Recording, read_frames
from kraken_trio.testing.virtual import run_virtual

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
    "Exchange",
    "ExchangeCore",
    "ExchangeStatistics",
    "Fault",
    "Freeze",
    "HalfOpen",
    "HangConnect",
    "HangDial",
    "IgnoreRequests",
    "LateUpdates",
    "Link",
    "LinkFault",
    "Market",
    "MarketSpec",
    "MemoryStream",
    "Mute",
    "Network",
    "NetworkFault",
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
    "Split",
    "Stall",
    "StopHeartbeats",
    "Subscribed",
    "Tear",
    "Throttle",
    "UnknownChannel",
    "UnknownField",
    "UnknownHost",
    "Unreachable",
    "UpdateBeforeSnapshot",
    "Withheld",
    "open_exchange",
    "open_proxy",
    "read_frames",
    "run_virtual",
]
