"""Faults of the exchange, as values for :func:`~kraken_trio.testing.open_exchange` or ``Exchange.inject``.

There are two kinds:

*Immediate* faults happen when they are injected: :class:`Drop`, :class:`Freeze`, :class:`StopPushing`,
:class:`EndSubscription`, :class:`Raw`, :class:`StrayError`, :class:`UnknownChannel`, :class:`SetStatus`,
:class:`CrossedBook`, :class:`StrangeReport`, :class:`ExpireTokens`, :class:`FillBurst`, :class:`LagRest`.

*Armed* faults wait for their occasion, and happen ``times`` times; ``times=None`` means until
``clear_faults()``. If several armed faults of a kind fit one occasion, the one injected first is taken.

Where a fault has a ``symbol``, ``channel`` or ``connection``, None means any (or, for immediate faults, all).
Connections are numbered in the order in which the exchange accepted them, from 1.

``Scheduled(at=2.5, fault=...)`` injects a fault that many seconds after the exchange was opened; a list of these is a
script.
"""

from __future__ import annotations

from typing import TypeAlias

from kraken_trio.testing.faults.connection import (
    DelayConnect,
    Drop,
    DropConnect,
    DropHow,
    Freeze,
    HangConnect,
    Raw,
    RawKind,
    RefuseConnect,
    SetStatus,
    SpeakV1,
    StopHeartbeats,
    StopPushing,
    StrayError,
    UnknownChannel,
)
from kraken_trio.testing.faults.data import (
    CorruptChecksum,
    CorruptLevel,
    CrossedBook,
    Irregularity,
    IrregularSnapshot,
    IrregularUpdate,
    OmitChecksum,
    SkipUpdate,
    UnknownField,
    UpdateIrregularity,
)
from kraken_trio.testing.faults.level3 import (
    DeepSnapshot,
    Exponents,
    ReorderQueue,
    SwapUpdates,
    UnknownOrder,
)
from kraken_trio.testing.faults.private import (
    DropAfterTrade,
    ExpireTokens,
    FillBurst,
    RepeatFill,
    RepeatSequence,
    SkipSequence,
    StrangeReport,
)
from kraken_trio.testing.faults.rest import BreakRest, LagRest, RestBreak
from kraken_trio.testing.faults.subscription import (
    DelayAcks,
    DelaySnapshots,
    DuplicateAck,
    EndSubscription,
    IgnoreRequests,
    LateUpdates,
    Mute,
    OmitSnapshot,
    Refuse,
    Shape,
    UpdateBeforeSnapshot,
)

__all__ = [
    "BreakRest",
    "CorruptChecksum",
    "CorruptLevel",
    "CrossedBook",
    "DeepSnapshot",
    "DelayAcks",
    "DelayConnect",
    "DelaySnapshots",
    "Drop",
    "DropAfterTrade",
    "DropConnect",
    "DropHow",
    "DuplicateAck",
    "EndSubscription",
    "ExpireTokens",
    "Exponents",
    "Fault",
    "FillBurst",
    "Freeze",
    "HangConnect",
    "IgnoreRequests",
    "IrregularSnapshot",
    "IrregularUpdate",
    "Irregularity",
    "LagRest",
    "LateUpdates",
    "Mute",
    "OmitChecksum",
    "OmitSnapshot",
    "Raw",
    "RawKind",
    "Refuse",
    "RefuseConnect",
    "ReorderQueue",
    "RepeatFill",
    "RepeatSequence",
    "RestBreak",
    "SetStatus",
    "Shape",
    "SkipSequence",
    "SkipUpdate",
    "SpeakV1",
    "StopHeartbeats",
    "StopPushing",
    "StrangeReport",
    "StrayError",
    "SwapUpdates",
    "UnknownChannel",
    "UnknownField",
    "UnknownOrder",
    "UpdateBeforeSnapshot",
    "UpdateIrregularity",
]

Fault: TypeAlias = (
    Drop
    | Freeze
    | StopHeartbeats
    | Raw
    | UnknownChannel
    | UnknownField
    | SetStatus
    | SkipUpdate
    | CorruptLevel
    | CorruptChecksum
    | CrossedBook
    | Refuse
    | RefuseConnect
    | HangConnect
    | DropConnect
    | DelayConnect
    | Mute
    | DelayAcks
    | DelaySnapshots
    | DuplicateAck
    | IgnoreRequests
    | LateUpdates
    | UpdateBeforeSnapshot
    | StopPushing
    | EndSubscription
    | OmitChecksum
    | IrregularSnapshot
    | SpeakV1
    | OmitSnapshot
    | IrregularUpdate
    | StrayError
    | DeepSnapshot
    | Exponents
    | ReorderQueue
    | SwapUpdates
    | UnknownOrder
    | DropAfterTrade
    | ExpireTokens
    | FillBurst
    | RepeatFill
    | RepeatSequence
    | SkipSequence
    | StrangeReport
    | BreakRest
    | LagRest
)
"""Anything that can be injected."""
