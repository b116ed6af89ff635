"""The account's balances: a snapshot, then the entries of the ledger, each once.

Messages are numbered. After a lost connection, or a missing message, a new snapshot has the balances; the entries in
between are not delivered.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kraken_trio.channels.state import ChannelState, Failure, Kept
from kraken_trio.errors import ProtocolError
from kraken_trio.events import Balance, BalancesSnapshot, BalanceUpdate, Cause, Event, Wallet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kraken_trio.wire.messages import Numbered

__all__ = ["REMEMBERED", "BalanceState", "Balances"]

REMEMBERED: Final = 200
"""The entries that are remembered, so that none is delivered twice."""


class Balances:
    """The balances of the account as of the last event that a feed has received: a view."""

    def __init__(self) -> None:
        self.balances: dict[str, Balance] = {}
        """By their assets."""

    def follow(self, event: Any, /) -> None:
        if isinstance(event, BalancesSnapshot):
            self.balances = {balance.asset: balance for balance in event.balances}
        elif isinstance(event, BalanceUpdate):
            _move(self.balances, event)

    def follow_all(self, events: Sequence[Any], latest: object, /) -> None:
        del latest
        for event in events:
            self.follow(event)

    def invalidate(self, why: str) -> None:
        """The balances stay as they were."""


def _move(balances: dict[str, Balance], entry: BalanceUpdate) -> None:
    """Have ``balances`` follow an entry."""
    known = balances.get(entry.asset) or Balance(
        asset=entry.asset, balance=entry.balance, asset_class=entry.asset_class
    )
    wallets = known.wallets
    if entry.wallet_type is not None and entry.wallet_id is not None:
        wallet = Wallet(type=entry.wallet_type, id=entry.wallet_id, balance=entry.balance)
        kept = [one for one in wallets if (one.type, one.id) != (wallet.type, wallet.id)]
        wallets = (*kept, wallet)
    balances[entry.asset] = msgspec.structs.replace(known, balance=entry.balance, wallets=wallets)


class BalanceState(ChannelState):
    """The balances, and the last entries."""

    __slots__ = ("_balances", "_began", "_entries", "_epoch", "_received_ns", "_sequence")

    is_cumulative = True
    can_conflate = False
    has_symbols = False

    def __init__(self, request: object, counters: object, codec: object) -> None:
        del request, counters, codec
        self._balances: dict[str, Balance] = {}
        self._entries: OrderedDict[str, BalanceUpdate] = OrderedDict()
        self._began: bool = False
        self._sequence: int | None = None
        """The number of the last message; None while the next one has to be a snapshot."""
        self._epoch: int = 0
        self._received_ns: int = 0

    @staticmethod
    def is_delta(event: Any, /) -> bool:
        return type(event) is BalanceUpdate

    @classmethod
    def view(cls, request: object) -> Balances:
        del request
        return Balances()

    def take(self, events: Sequence[Any]) -> tuple[Sequence[Event], Failure | None]:
        """See the base class. ``events`` are one :class:`~kraken_trio.wire.messages.Numbered`."""
        message: Numbered = events[0]
        rows: Sequence[Any] = message.rows
        self._epoch, self._received_ns = message.epoch, message.received_ns
        if message.snapshot:
            self._began = True
            self._sequence = message.sequence or 0
            self._balances = {balance.asset: balance for balance in rows}
            whole = self.rebuild()
            assert whole is not None  # it has just begun
            return (whole,), None
        if self._sequence is None and (message.sequence != 1 or self._balances):
            return (), Failure(Cause.MISSED, f"message {message.sequence} of the balances came before their snapshot")
        self._began = True
        last = self._sequence or 0
        if message.sequence is not None and message.sequence != last + 1:
            return (), Failure(Cause.MISSED, f"message {message.sequence} of the balances came after message {last}")
        self._sequence = last if message.sequence is None else message.sequence
        return [entry for entry in rows if self._is_new(entry)], None

    def _is_new(self, entry: BalanceUpdate) -> bool:
        """Take an entry, unless it is known."""
        if entry.ledger_id is not None:
            if entry.ledger_id in self._entries:
                return False
            self._entries[entry.ledger_id] = entry
            if len(self._entries) > REMEMBERED:
                self._entries.popitem(last=False)
        _move(self._balances, entry)
        return True

    def start(self, request: object) -> Sequence[Event]:
        del request
        whole = self.rebuild()
        return () if whole is None else (whole,)

    def rebuild(self) -> BalancesSnapshot | None:
        if not self._began:
            return None
        balances = tuple(self._balances.values())
        return BalancesSnapshot(balances=balances, epoch=self._epoch, received_ns=self._received_ns)

    def keep(self) -> Kept:
        whole = self.rebuild()
        if whole is None:
            return Kept()
        marks: Mapping[str, int] = {} if self._sequence is None else {"sequence": self._sequence}
        return Kept((whole, *self._entries.values()), marks)

    def restore(self, kept: Kept) -> None:
        for event in kept.events:
            if isinstance(event, BalancesSnapshot):
                self._began = True
                self._epoch, self._received_ns = event.epoch, event.received_ns
                self._balances = {balance.asset: balance for balance in event.balances}
            elif isinstance(event, BalanceUpdate) and event.ledger_id is not None:
                self._entries[event.ledger_id] = event
            else:
                msg = f"balances are kept as balances and entries, not as a {type(event).__name__}"
                raise ProtocolError(msg)
        self._sequence = kept.marks.get("sequence")

    def reset(self) -> None:
        """The next message has to be a snapshot."""
        self._sequence = None

    @property
    def last_received_ns(self) -> int:
        return self._received_ns
