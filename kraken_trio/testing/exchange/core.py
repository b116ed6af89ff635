"""The exchange itself, without any I/O: requests and the time go in, frames come out.

Rules for a shell (the one on real sockets is :mod:`kraken_trio.testing.exchange.server`):

1. Before a WebSocket upgrade ask :meth:`ExchangeCore.admit`; after it, :meth:`ExchangeCore.connect`.
2. Give every message to :meth:`ExchangeCore.receive`; say :meth:`ExchangeCore.disconnect` when a connection is gone.
3. Call :meth:`ExchangeCore.tick` at :attr:`ExchangeCore.deadline`, which may be another after any call.
4. Do the actions that each call returns, in order. None of the calls raises for anything that a client may do.

``now`` is in seconds, by any clock that never goes back. Timestamps on the wire are ``epoch_ns`` plus what that clock
has advanced since the core was made, so equal inputs give equal frames.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import TYPE_CHECKING

from kraken_trio.testing.exchange import frames
from kraken_trio.testing.exchange.actions import (
    Action,
    ConnectionJournal,
    End,
    ReceivedRequest,
    Send,
    SendRaw,
    Stall,
    Subscribed,
    Withheld,
)
from kraken_trio.testing.exchange.broadcaster import Broadcaster
from kraken_trio.testing.exchange.recording import Player, Recording
from kraken_trio.testing.exchange.request_handler import RequestHandler
from kraken_trio.testing.exchange.subscriptions import Connection, Subscription, Subscriptions
from kraken_trio.testing.faults import (
    CrossedBook,
    DelayConnect,
    Drop,
    DropConnect,
    DropHow,
    Fault,
    Freeze,
    HangConnect,
    IgnoreRequests,
    Mute,
    Raw,
    RawKind,
    RefuseConnect,
    Scheduled,
    SetStatus,
    StopHeartbeats,
    UnknownChannel,
    UnknownField,
)
from kraken_trio.testing.faults.armed import ArmedFaults
from kraken_trio.testing.faults.network import LinkFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kraken_trio.testing.exchange.market import Market

__all__ = ["ExchangeCore"]

IDLE_LIMIT = 60.0
"""Seconds after which a connection without subscriptions and requests is closed."""
HEARTBEAT_INTERVAL = 1.0
"""Seconds."""
REPLAY_CHUNK = 256
"""Frames of a recording that are sent in one go when no rate is set."""


class ExchangeCore:
    """Everything the exchange knows and decides."""

    def __init__(
        self,
        market: Market,
        *,
        now: float,
        epoch_ns: int,
        seed: int = 0,
        recording: Recording | None = None,
        replay_rate: float | None = None,
        snapshot_delay: float = 0.0,
        faults: Iterable[Fault | Scheduled] = (),
        journal_limit: int | None = None,
    ) -> None:
        self.market: Market = market
        self.recording: Recording | None = recording
        self.random: Random = Random(f"{seed}/exchange")  # noqa: S311
        self.armed: ArmedFaults[Fault] = ArmedFaults()
        self.subscriptions: Subscriptions = Subscriptions()
        self.connections: dict[int, Connection] = {}
        """The live ones, by number."""
        self.journals: list[ConnectionJournal] = []
        """One per connection that ever was."""
        self.requests: list[ReceivedRequest] = []
        self.system: str = "online"
        self.snapshot_delay: float = snapshot_delay
        self.paused: bool = False
        self.frames_sent: int = 0
        self.frames_withheld: int = 0
        self.market_updates: int = 0
        self.refused_connects: int = 0
        self._replay_rate = replay_rate
        self._journal_limit = journal_limit
        self._opened = now
        self._epoch_ns = epoch_ns
        self._out: list[Action] = []
        self._timers: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()
        self._players: list[Player] = []
        self._crossed: set[str] = set()
        self._broadcaster = Broadcaster(self)
        self._handler = RequestHandler(self)
        for fault in faults:
            if isinstance(fault, Scheduled):
                self.call_at(now + fault.at, lambda at, fault=fault.fault: self._inject(fault, at))  # type: ignore[misc]
            else:
                self._inject(fault, now)

    # Time

    def wall_ns(self, now: float) -> int:
        """``now`` as nanoseconds since 1970."""
        return self._epoch_ns + round((now - self._opened) * 1e9)

    def call_at(self, due: float, do: Callable[[float], None]) -> None:
        heappush(self._timers, (due, next(self._order), do))

    @property
    def deadline(self) -> float | None:
        """When :meth:`tick` is due; None: when something else happens."""
        dues = [player.due for player in self._players]
        if self._timers:
            dues.append(self._timers[0][0])
        if self.market.due_ns is not None and not self.paused:
            # The microsecond makes sure that rounding never puts the deadline before what is due.
            dues.append(self._opened + (self.market.due_ns - self._epoch_ns) / 1e9 + 1e-6)
        for connection in self.connections.values():
            if connection.next_beat is not None:
                dues.append(connection.next_beat)
            if not connection.subscriptions and not connection.frozen:
                dues.append(connection.last_request + IDLE_LIMIT)
        return min(dues, default=None)

    def tick(self, now: float) -> list[Action]:
        """Do what is due."""
        while self._timers and self._timers[0][0] <= now:
            heappop(self._timers)[2](now)
        if not self.paused:
            for update in self.market.step(self.wall_ns(now)):
                self.market_updates += 1
                self._broadcaster.publish(update)
        for player in list(self._players):
            if player.due <= now:
                self._play(player, now)
        for connection in list(self.connections.values()):
            self._beat(connection, now)
            if not connection.subscriptions and not connection.frozen and now >= connection.last_request + IDLE_LIMIT:
                self._end(connection, DropHow.CLOSE_1000)
        return self._done()

    def _beat(self, connection: Connection, now: float) -> None:
        if connection.next_beat is None or connection.next_beat > now:
            return
        connection.next_beat += HEARTBEAT_INTERVAL
        if connection.next_beat <= now:  # the machine slept: no need to catch up
            connection.next_beat = now + HEARTBEAT_INTERVAL
        if connection.subscriptions and not self.armed.take(
            StopHeartbeats, lambda fault: fault.connection in (None, connection.number)
        ):
            self.send(connection, frames.HEARTBEAT)

    def _done(self) -> list[Action]:
        out, self._out = self._out, []
        return out

    # Connections

    def admit(self) -> RefuseConnect | HangConnect | DropConnect | DelayConnect | None:
        """May a client connect? If not, the fault says what is to be done with it."""
        fault = self.armed.first((RefuseConnect, HangConnect, DropConnect, DelayConnect))
        if not isinstance(fault, RefuseConnect | HangConnect | DropConnect | DelayConnect):
            return None
        if not isinstance(fault, DelayConnect):
            self.refused_connects += 1
        return fault

    def connect(self, now: float) -> tuple[int, list[Action]]:
        """A connection is up. Returns its number."""
        number = len(self.journals) + 1
        connection_id = self.random.getrandbits(64) | 1 << 62
        journal = ConnectionJournal(number, self._journal_limit)
        self.journals.append(journal)
        connection = Connection(number=number, connection_id=connection_id, last_request=now, journal=journal)
        self.connections[number] = connection
        self.send(connection, frames.status(self.system, connection_id))
        return number, self._done()

    def disconnect(self, number: int) -> None:
        """A connection is gone. Saying so twice does no harm."""
        connection = self.connections.pop(number, None)
        if connection is not None:
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        for subscription in self.subscriptions.drop_connection(connection):
            self.unwatch(subscription)
        self._players = [player for player in self._players if player.connection != connection.number]

    def _end(self, connection: Connection, how: DropHow) -> None:
        self._out.append(End(connection.number, how))
        self.disconnect(connection.number)

    def _targets(self, number: int | None) -> list[Connection]:
        return [c for c in self.connections.values() if number in (None, c.number)]

    # Sending

    def send(self, connection: Connection, text: str) -> None:
        """A frame that is no data."""
        if not connection.frozen:
            self._out.append(Send(connection.number, text))
            self.frames_sent += 1

    def deliver(self, subscription: Subscription, text: str) -> None:
        """A data frame, for a subscription whose snapshot has gone out."""
        if subscription.muted or subscription.connection.frozen:
            return
        connection = subscription.connection
        if self.armed:
            fault = self.armed.take(UnknownField, lambda fault: fault.channel in (None, subscription.channel))
            if fault is not None:
                extra = '"x_unknown":{"nested":[1,2.50,null]},'
                text = "{" + extra + text[1:].replace('{"symbol":', "{" + extra + '"symbol":', 1)
        self._out.append(Send(connection.number, text))
        self.frames_sent += 1
        connection.journal.sent.append(text)
        connection.journal.sent_count += 1

    def withhold(self, subscription: Subscription, text: str, fault: Fault) -> None:
        """A data frame that a fault takes away."""
        if not subscription.muted and not subscription.connection.frozen:
            self.frames_withheld += 1
            journal = subscription.connection.journal
            journal.withheld.append(Withheld(journal.sent_count, text, fault))

    # Requests

    def receive(self, number: int, data: str | bytes, now: float) -> list[Action]:
        """A client said something."""
        connection = self.connections.get(number)
        if connection is not None and not connection.frozen:
            connection.last_request = now
            asked = self._handler.read(data)
            self.requests.append(ReceivedRequest(connection=number, time=now, data=data, method=asked.method))
            if not self.armed.take(IgnoreRequests, lambda fault: fault.method in (None, asked.method)):
                self._handler.answer(connection, asked, now)
        return self._done()

    def play(self, connection: Connection, subscriptions: list[Subscription], now: float) -> None:
        """Start the recording for what one request subscribed to."""
        wanted: dict[tuple[str, str | None], object] = {
            subscription.topic: subscription for subscription in subscriptions
        }
        self._players.append(Player(connection.number, wanted, now))

    def _play(self, player: Player, now: float) -> None:
        assert self.recording is not None
        connection = self.connections.get(player.connection)
        recorded = self.recording.frames
        for _ in range(REPLAY_CHUNK if self._replay_rate is None else 1):
            while player.position < len(recorded):
                frame = recorded[player.position]
                topic = (frame.channel, frame.symbol)
                player.position += 1
                if topic in player.topics:
                    break
            else:
                self._players.remove(player)
                return
            subscription = self.subscriptions.find(connection, topic) if connection is not None else None
            if subscription is None or subscription is not player.topics[topic]:
                del player.topics[topic]  # it was unsubscribed; a new one has a player of its own
                continue
            self._broadcaster.publish_recorded(subscription, frame.text)
        player.due = now if self._replay_rate is None else max(player.due + 1 / self._replay_rate, now)

    # Watching: which depths of a book somebody has subscribed to

    def watch(self, subscription: Subscription) -> None:
        market = self.market.symbols.get(subscription.symbol or "")
        if market is not None and subscription.channel == "book":
            market.book.watch(self.subscriptions.variants(subscription.topic))

    unwatch = watch

    # Faults

    def inject(self, fault: Fault, now: float) -> list[Action]:
        """Let it happen now, or arm it."""
        self._inject(fault, now)
        return self._done()

    def _inject(self, fault: Fault | LinkFault, now: float) -> None:
        match fault:
            case _ if isinstance(fault, LinkFault):
                msg = f"{fault} is a fault of the network: inject it there"
                raise TypeError(msg)
            case Drop(how=how, connection=number):
                for connection in self._targets(number):
                    self._end(connection, how)
            case Freeze(connection=number):
                for connection in self._targets(number):
                    self._freeze(connection)
            case Raw(connection=number):
                for connection in self._targets(number):
                    self._raw(connection, fault)
            case UnknownChannel(channel=channel):
                raw = Raw(payload=f'{{"channel":"{channel}","type":"update","data":[{{"symbol":"BTC/USD"}}]}}')
                for connection in self._targets(None):
                    self._raw(connection, raw)
            case SetStatus(system=system):
                self.system = system
                for connection in self._targets(None):
                    self.send(connection, frames.status(system, connection.connection_id))
            case CrossedBook(symbol=symbol, consistent=consistent):
                self._cross(symbol, consistent=consistent, now=now)
            case Mute(existing=True):
                for subscription in self.subscriptions:
                    if fault.symbol in (None, subscription.symbol) and fault.channel in (
                        None,
                        subscription.channel,
                    ):
                        subscription.muted = True
                self.armed.arm(fault)
            case _:
                self.armed.arm(fault)

    def _raw(self, connection: Connection, raw: Raw) -> None:
        if connection.frozen:
            return
        if raw.kind is RawKind.TEXT and isinstance(raw.payload, str):
            self.send(connection, raw.payload)
        else:
            self._out.append(SendRaw(connection.number, raw))

    def _freeze(self, connection: Connection) -> None:
        connection.frozen = True
        connection.next_beat = None
        self._forget(connection)
        self._out.append(Stall(connection.number))

    def _cross(self, symbol: str, *, consistent: bool, now: float) -> None:
        market = self.market.symbols.get(symbol)
        if market is None:
            msg = f"{symbol!r} is no market of this exchange"
            raise ValueError(msg)
        if consistent:
            self._crossed.add(symbol)
            self._broadcaster.publish(market.cross(self.wall_ns(now)))
        else:
            self._broadcaster.publish_phantom(market)

    def clear_faults(self, now: float) -> list[Action]:
        """Disarm everything, and let crossed books be well. What has happened stays: a frozen connection is frozen."""
        self.armed.clear()
        for symbol in sorted(self._crossed):
            self._broadcaster.publish(self.market.symbols[symbol].uncross(self.wall_ns(now)))
        self._crossed.clear()
        return self._done()

    # The market

    def pause(self) -> None:
        """Nothing happens by itself in the markets."""
        self.paused = True

    def resume(self, now: float) -> None:
        """The markets go on from now."""
        self.paused = False
        self.market.postpone(self.wall_ns(now))

    def publish(self, updates: int, now: float, symbol: str | None = None) -> list[Action]:
        """So many market events, now."""
        for update in self.market.burst(updates, self.wall_ns(now), symbol):
            self.market_updates += 1
            self._broadcaster.publish(update)
        return self._done()

    def subscribed(self) -> dict[int, frozenset[Subscribed]]:
        """What is in force, by connection."""
        return {
            number: frozenset(Subscribed(s.channel, s.symbol, s.variant) for s in connection.subscriptions.values())
            for number, connection in self.connections.items()
            if not connection.frozen
        }
