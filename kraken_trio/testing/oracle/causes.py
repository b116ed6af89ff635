"""A fault stays where it is (promise 6): every gap is explained by a fault of its own symbol."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from kraken_trio.events import Cause, Gap, StatusUpdate
from kraken_trio.testing import faults as f
from kraken_trio.testing.oracle.account import PRIVATE_CHANNELS
from kraken_trio.testing.oracle.broken import BrokenPromise

if TYPE_CHECKING:
    from kraken_trio.requests import Request
    from kraken_trio.testing.oracle.sent import Sent

__all__ = ["EXPLAINS", "Explanations"]

_C = Cause
_LOSSES = frozenset({_C.DISCONNECTED, _C.SILENCE, _C.PROTOCOL})
_ASKING = frozenset({_C.RESUBSCRIBED, _C.PARKED})
EXPLAINS: Final[dict[type, frozenset[Cause]]] = {
    # books and other data
    f.SkipUpdate: frozenset({_C.CHECKSUM, _C.PARKED}),
    f.CorruptLevel: frozenset({_C.CHECKSUM, _C.PARKED}),
    f.CorruptChecksum: frozenset({_C.CHECKSUM, _C.PARKED}),
    f.OmitChecksum: frozenset({_C.MALFORMED, _C.CROSSED, _C.PARKED}),  # crossed without a proof that it is so
    f.IrregularSnapshot: frozenset(),
    f.IrregularUpdate: frozenset(),
    f.CrossedBook: frozenset({_C.CHECKSUM, _C.PARKED}),
    f.UnknownField: frozenset(),
    # single orders
    f.SwapUpdates: frozenset({_C.CHECKSUM, _C.PARKED}),
    f.UnknownOrder: frozenset({_C.CHECKSUM, _C.PARKED}),
    f.ReorderQueue: frozenset({_C.CHECKSUM, _C.PARKED}),
    f.DeepSnapshot: frozenset(),
    f.Exponents: frozenset(),
    # subscriptions
    f.Refuse: _ASKING | {_C.REFUSED},
    f.IgnoreRequests: _ASKING | {_C.SILENCE},  # a ping, while there are no heartbeats
    f.DelayAcks: _ASKING,
    f.DuplicateAck: frozenset(),
    f.Mute: _ASKING,
    f.OmitSnapshot: _ASKING | {_C.MISSED},  # the next message of an account has not the first number
    f.DelaySnapshots: _ASKING,
    f.UpdateBeforeSnapshot: frozenset(),
    f.EndSubscription: _ASKING,
    f.LateUpdates: frozenset(),
    # connections
    f.Drop: _LOSSES,
    f.Freeze: _LOSSES,
    f.StopPushing: _LOSSES | _ASKING,
    f.StopHeartbeats: frozenset({_C.SILENCE}),  # a market that is quiet, too, pushes nothing
    f.RefuseConnect: _LOSSES,
    f.HangConnect: _LOSSES,
    f.DropConnect: _LOSSES,
    f.DelayConnect: _LOSSES,
    f.SpeakV1: _LOSSES,
    f.Raw: _LOSSES | {_C.MALFORMED},
    f.StrayError: _ASKING | {_C.REFUSED},  # it may be taken for an answer
    f.UnknownChannel: frozenset(),
    f.SetStatus: frozenset(),
    # the account
    f.SkipSequence: frozenset({_C.MISSED}),
    f.RepeatSequence: frozenset({_C.MISSED}),
    f.RepeatFill: frozenset(),
    f.DropAfterTrade: _LOSSES,
    f.StrangeReport: frozenset(),
    f.ExpireTokens: _LOSSES | _ASKING,
    f.FillBurst: frozenset(),
    f.BreakRest: _LOSSES | {_C.UNRECOVERED},
    f.LagRest: frozenset(),
    # the network
    f.ResetLink: _LOSSES,
    f.HalfOpen: _LOSSES | _ASKING,
    f.BlackHole: _LOSSES | _ASKING,
    f.Outage: _LOSSES,
    f.Degrade: _LOSSES | _ASKING,
    f.RefuseDial: frozenset(),
    f.HangDial: frozenset(),
    f.DelayDial: frozenset(),
    f.UnknownHost: frozenset(),
}
"""The gaps that a fault may cause."""


class Explanations:
    """The faults so far, and what they explain."""

    def __init__(self, sent: Sent) -> None:
        self.injected: Counter[str] = Counter()
        """The number of faults, by name."""
        self._sent = sent
        self._explained: set[tuple[Cause, str | None]] = set()
        self._phantoms: Counter[str | None] = Counter()
        self._crossed: set[str] = set()
        self._checksum_gaps: Counter[tuple[str, int, str | None]] = Counter()
        self._statuses = {"online"}

    def happened(self, fault: object) -> None:
        """Add an injected fault."""
        self.injected[type(fault).__name__] += 1
        symbol = getattr(fault, "symbol", None)
        if isinstance(fault, f.Refuse) and fault.shape is not f.Shape.WITH_SYMBOL:
            symbol = None  # the answer does not say which symbol of a request it means
        self._explained |= {(cause, symbol) for cause in EXPLAINS.get(type(fault), ())}
        if isinstance(fault, f.SkipUpdate) and fault.channel == "trade":
            self._explained |= {(cause, symbol) for cause in _ASKING}  # what misses trades seems stale
        if isinstance(fault, f.CrossedBook):
            self._crossed.add(fault.symbol)
            self._phantoms[fault.symbol] += not fault.consistent
        if isinstance(fault, f.SetStatus):
            self._statuses.add(fault.system)
        if isinstance(fault, f.Drop) and fault.how is f.DropHow.CLOSE_1008:
            self._explained.add((_C.REFUSED, None))

    def may_reject(self, request: Request) -> bool:
        """Whether a subscribe may be refused. That takes a fault of that symbol."""
        return any(
            cause in (_C.REFUSED, _C.PARKED) and symbol in (None, request.symbol) for cause, symbol in self._explained
        )

    def explain(self, name: str, gap: Gap, now: float, number: int | None = None) -> None:
        """Raise :class:`BrokenPromise` if no fault explains this gap, which the feed of this name has yielded.

        ``number`` is the exchange's, of the connection that the gap is about: a slow consumer may be behind by some.
        """
        if gap.cause is _C.MISSED and gap.channel not in PRIVATE_CHANNELS:
            return  # the feed's oracle sees whether it is so
        if gap.cause is _C.CROSSED and gap.symbol in self._crossed and self._sent.latest.is_v1:
            return  # its snapshots prove nothing
        if (gap.cause, None) not in self._explained and (gap.cause, gap.symbol) not in self._explained:
            raise BrokenPromise(6, f"{name} at {now:.6f}: nothing that went wrong explains {gap}")
        if gap.cause is _C.CHECKSUM:
            connection = self._sent.latest if number is None else self._sent.connected(number)
            connection.read()
            counted = (name, connection.number, gap.symbol)
            self._checksum_gaps[counted] += 1
            # A false bid may go unnoticed while the book is crossed anyway; it is detected later.
            wrong = connection.withheld[gap.symbol] + self._phantoms[gap.symbol]
            if self._checksum_gaps[counted] > wrong:
                raise BrokenPromise(6, f"{name} at {now:.6f}: nothing was wrong with {gap.symbol}")

    def explain_status(self, name: str, event: StatusUpdate) -> None:
        """Raise :class:`BrokenPromise` if the exchange has not sent this status."""
        if event.system not in self._statuses:
            raise BrokenPromise(2, f"{name}: {event}, and the exchange never said so")
