"""The state of an exchange, and its outgoing frames, shared by its parts."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import TYPE_CHECKING

from kraken_trio.testing.exchange.actions import Action, End, Send, SendRaw, Stall
from kraken_trio.testing.exchange.dialects.v1 import V1
from kraken_trio.testing.exchange.dialects.v2 import V2
from kraken_trio.testing.exchange.hosts import Host
from kraken_trio.testing.exchange.journal import ConnectionJournal, ReceivedRequest, Subscribed
from kraken_trio.testing.exchange.subscriptions import Connection, Subscription, Subscriptions
from kraken_trio.testing.exchange.tokens import Tokens
from kraken_trio.testing.faults import Fault, Raw, RawKind, UnknownField
from kraken_trio.testing.faults.armed import ArmedFaults

if TYPE_CHECKING:
    from collections.abc import Callable

    from kraken_trio.testing.exchange.dialects.base import Dialect
    from kraken_trio.testing.exchange.market import Market
    from kraken_trio.testing.exchange.recording import Recording
    from kraken_trio.testing.faults import DropHow

__all__ = ["SNAPSHOT_POINTS", "ExchangeState"]

SNAPSHOT_POINTS = 200
"""Of an account of the standard tier."""


class ExchangeState:
    """Connections, subscriptions, armed faults, records, and outgoing frames."""

    def __init__(
        self,
        market: Market,
        *,
        now: float,
        epoch_ns: int,
        seed: int,
        recording: Recording | None,
        snapshot_delay: float,
        journal_limit: int | None,
        tokens: Tokens | None = None,
        snapshot_points: int = SNAPSHOT_POINTS,
    ) -> None:
        self.market: Market = market
        self.recording: Recording | None = recording
        self.random: Random = Random(f"{seed}/exchange")  # noqa: S311 (chance, no secret)
        self.dialects: dict[str, Dialect] = {"v2": V2(), "v1": V1(market.symbols)}
        """By the protocol's name."""
        self.armed: ArmedFaults[Fault] = ArmedFaults()
        self.subscriptions: Subscriptions = Subscriptions()
        self.connections: dict[int, Connection] = {}
        """The open connections, by number."""
        self.journals: list[ConnectionJournal] = []
        """One per connection so far."""
        self.requests: list[ReceivedRequest] = []
        self.system: str = "online"
        """The engine's status."""
        self.status_has_id: bool = True
        """Whether a status frame has a ``connection_id``."""
        self.snapshot_delay: float = snapshot_delay
        self.tokens: Tokens = Tokens(seed) if tokens is None else tokens
        self.snapshot_points: int = snapshot_points
        """Points for snapshots of Level 3, per second and connection."""
        self.frames_sent: int = 0
        self.frames_withheld: int = 0
        self.opened: float = now
        self.epoch_ns: int = epoch_ns
        self._journal_limit = journal_limit
        self._out: list[Action] = []
        self._timers: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()

    def set_status(self, system: str, *, has_id: bool) -> None:
        """Set what status frames say from now on."""
        self.system, self.status_has_id = system, has_id

    @property
    def symbols(self) -> tuple[str, ...]:
        """The markets; of a recording, its symbols."""
        if self.recording is not None:
            return tuple(sorted({symbol for _, symbol in self.recording.topics if symbol is not None}))
        return tuple(self.market.symbols)

    # Time

    def wall_ns(self, now: float) -> int:
        """``now`` as nanoseconds since 1970."""
        return self.epoch_ns + round((now - self.opened) * 1e9)

    def call_at(self, due: float, do: Callable[[float], None]) -> None:
        """Call ``do`` at a time."""
        heappush(self._timers, (due, next(self._order), do))

    @property
    def timer_due(self) -> float | None:
        """When the next of these calls is due."""
        return self._timers[0][0] if self._timers else None

    def run_timers(self, now: float) -> None:
        """Do what is due."""
        while self._timers and self._timers[0][0] <= now:
            heappop(self._timers)[2](now)

    # Connections

    def add_connection(self, now: float, protocol: str, host: Host = Host.ALL) -> Connection:
        """Add a connection to this host that speaks this protocol."""
        number = len(self.journals) + 1
        connection_id = self.random.getrandbits(64) | 1 << 62
        journal = ConnectionJournal(number, self._journal_limit)
        journal.protocol = protocol
        self.journals.append(journal)
        connection = Connection(
            number=number,
            connection_id=connection_id,
            dialect=self.dialects[protocol],
            host=host,
            idle_since=now,
            journal=journal,
        )
        self.connections[number] = connection
        return connection

    def remove_connection(self, number: int) -> None:
        """Remove a connection. Idempotent."""
        connection = self.connections.pop(number, None)
        if connection is not None:
            self.forget_subscriptions(connection)

    def forget_subscriptions(self, connection: Connection) -> None:
        """Remove all subscriptions of this connection."""
        in_force = set(connection.subscriptions.values())
        for subscription in self.subscriptions.drop_connection(connection):
            self.update_depths(subscription)
            if subscription in in_force:
                self.release_token(subscription)

    def targets(self, number: int | None) -> list[Connection]:
        """The connection of this number; for None all open ones."""
        return [c for c in self.connections.values() if number in (None, c.number)]

    def subscribed(self) -> dict[int, frozenset[Subscribed]]:
        """The subscriptions in force, by connection."""
        return {
            number: frozenset(Subscribed(s.channel, s.symbol, s.variant) for s in connection.subscriptions.values())
            for number, connection in self.connections.items()
            if not connection.frozen
        }

    def update_depths(self, subscription: Subscription) -> None:
        """Set the watched depths of this subscription's book to those that are subscribed."""
        symbol = subscription.symbol or ""
        if subscription.channel in ("book", "level3") and symbol in self.market.symbols:
            market = self.market.symbols[symbol]
            watch = market.book.watch if subscription.channel == "book" else market.orders.watch
            watch(self.subscriptions.variants(subscription.topic))

    def release_token(self, subscription: Subscription) -> None:
        """This subscription has ended."""
        if subscription.token is not None:
            self.tokens.release(subscription.token)

    # Sending

    def answer(self, connection: Connection, text: str) -> None:
        """Send the answer to a request."""
        if not connection.frozen:
            self._out.append(Send(connection.number, text))
            self.frames_sent += 1

    def push(self, connection: Connection, text: str) -> None:
        """Push a frame without data: a status, a heartbeat."""
        if not connection.silent:
            self.answer(connection, text)

    def push_raw(self, connection: Connection, raw: Raw) -> None:
        """Send these bytes unchanged."""
        if connection.frozen:
            return
        if raw.kind is RawKind.TEXT and isinstance(raw.payload, str):
            self.answer(connection, raw.payload)
        else:
            self._out.append(SendRaw(connection.number, raw))

    def deliver(self, subscription: Subscription, text: str) -> None:
        """Send a data frame, for a subscription whose snapshot has been sent."""
        connection = subscription.connection
        if subscription.muted or connection.silent or connection.frozen:
            return
        if self.armed:
            fault = self.armed.take(UnknownField, lambda fault: fault.channel in (None, subscription.channel))
            if fault is not None:
                text = connection.dialect.add_unknown_field(text)
        self._out.append(Send(connection.number, text))
        self.frames_sent += 1
        connection.journal.add(text)

    def withhold(self, subscription: Subscription, text: str, fault: Fault) -> None:
        """Record a data frame that a fault withholds or alters."""
        if not (subscription.muted or subscription.connection.silent or subscription.connection.frozen):
            self.frames_withheld += 1
            subscription.connection.journal.add_withheld(text, fault)

    def end(self, connection: Connection, how: DropHow, reason: str = "") -> None:
        """End this connection."""
        self._out.append(End(connection.number, how, reason))
        self.remove_connection(connection.number)

    def freeze(self, connection: Connection) -> None:
        """Never read or write this connection again."""
        connection.frozen = True
        connection.next_beat = None
        self.forget_subscriptions(connection)
        self._out.append(Stall(connection.number))

    def take_actions(self) -> list[Action]:
        """The collected actions, in order."""
        out, self._out = self._out, []
        return out
