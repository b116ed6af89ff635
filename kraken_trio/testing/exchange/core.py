"""The exchange without I/O: requests and the time go in, frames come out.

Rules for a shell (the one on real sockets is :mod:`kraken_trio.testing.exchange.server`):

1. Before a WebSocket upgrade call :meth:`ExchangeCore.admit`; after it, :meth:`ExchangeCore.connect`.
2. Pass every message to :meth:`ExchangeCore.receive`; call :meth:`ExchangeCore.disconnect` when a connection ends.
3. Call :meth:`ExchangeCore.tick` at :attr:`ExchangeCore.deadline`, which may change with any call.
4. Do the actions that each call returns, in order. No call raises because of what a client does.

``now`` is in seconds of any monotonic clock. Timestamps on the wire are ``epoch_ns`` plus what that clock
has advanced since the core was created, so equal inputs give equal frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from kraken_trio.testing import checks
from kraken_trio.testing.exchange.account import Account
from kraken_trio.testing.exchange.account_view import AccountRows
from kraken_trio.testing.exchange.broadcaster import Broadcaster
from kraken_trio.testing.exchange.hosts import Host
from kraken_trio.testing.exchange.journal import ReceivedRequest
from kraken_trio.testing.exchange.market import MAX_RATE, Market
from kraken_trio.testing.exchange.private import Private
from kraken_trio.testing.exchange.recording import Recording
from kraken_trio.testing.exchange.replay import Replay
from kraken_trio.testing.exchange.request_handler import RequestHandler
from kraken_trio.testing.exchange.rest import ApiKey, RestCore
from kraken_trio.testing.exchange.state import SNAPSHOT_POINTS, ExchangeState
from kraken_trio.testing.exchange.tokens import Tokens
from kraken_trio.testing.exchange.trader import Trader
from kraken_trio.testing.faults import (
    BreakRest,
    CrossedBook,
    DelayConnect,
    Drop,
    DropConnect,
    DropHow,
    EndSubscription,
    ExpireTokens,
    Fault,
    FillBurst,
    Freeze,
    HangConnect,
    IgnoreRequests,
    LagRest,
    LinkFault,
    Mute,
    NetworkFault,
    Raw,
    RefuseConnect,
    Scheduled,
    SetStatus,
    SpeakV1,
    StopHeartbeats,
    StopPushing,
    StrangeReport,
    StrayError,
    UnknownChannel,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kraken_trio.testing.exchange.actions import Action
    from kraken_trio.testing.exchange.market import MarketUpdate
    from kraken_trio.testing.exchange.server_book import SideName
    from kraken_trio.testing.exchange.subscriptions import Connection

__all__ = ["ExchangeCore", "check_keys"]

IDLE_LIMIT = 60.0
"""Seconds after which a connection without subscriptions and requests is closed."""
HEARTBEAT_INTERVAL = 1.0
"""Seconds."""
_CONNECT_FAULTS = (RefuseConnect, HangConnect, DropConnect, DelayConnect)


class ExchangeCore(ExchangeState):
    """The exchange's state, and everything it decides."""

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
        tokens: Tokens | None = None,
        snapshot_points: int = SNAPSHOT_POINTS,
        account_rate: float = 0.0,
        keys: Iterable[ApiKey] = (),
    ) -> None:
        """``tokens`` is the register of WebSocket tokens; None: a new one. ``keys`` are those that REST knows.

        ``account_rate`` is how often per second, on average, the exchange's account does something: it places, amends
        and cancels orders.
        """
        checks.instance(Market, wanted="a Market")("market", market)
        checks.number()("now", now)
        checks.epoch_ns("epoch_ns", epoch_ns)
        checks.seed("seed", seed)
        checks.optional(checks.instance(Recording, wanted="a Recording"))("recording", recording)
        checks.optional(checks.number(above=0))("replay_rate", replay_rate)
        checks.seconds("snapshot_delay", snapshot_delay)
        checks.optional(checks.count)("journal_limit", journal_limit)
        checks.optional(checks.instance(Tokens, wanted="a Tokens"))("tokens", tokens)
        checks.integer(least=0)("snapshot_points", snapshot_points)
        checks.number(least=0, most=MAX_RATE)("account_rate", account_rate)
        keys = check_keys(keys)
        super().__init__(
            market,
            now=now,
            epoch_ns=epoch_ns,
            seed=seed,
            recording=recording,
            snapshot_delay=snapshot_delay,
            journal_limit=journal_limit,
            tokens=tokens,
            snapshot_points=snapshot_points,
        )
        self.paused: bool = False
        self.market_updates: int = 0
        self.refused_connects: int = 0
        self._crossed: set[str] = set()
        self.account: Account = Account(market.specs)
        """The one whose orders the private channels and REST tell of."""
        self.rest: RestCore = RestCore(
            market.specs,
            keys=keys,
            account=AccountRows(self.account),
            tokens=self.tokens,
            now=now,
            epoch_ns=epoch_ns,
        )
        """The REST interface. It issues the tokens that the channels check, and tells of the same account."""
        private = Private(self, self.account)
        self._private = private
        self._broadcaster = Broadcaster(self, private)
        self.trader: Trader = Trader(
            self.account,
            market,
            seed=seed,
            rate=account_rate,
            start_ns=epoch_ns,
            publish=self._broadcaster.publish,
            tell=private.tell,
        )
        self._replay = Replay(self, self._broadcaster, replay_rate)
        self._handler = RequestHandler(self, self._broadcaster, self._replay)
        for fault in checks.items("faults", faults, _check_script, "faults in a list"):
            if isinstance(fault, Scheduled):
                self._check(fault.fault)
                self.call_at(now + fault.at, lambda at, fault=fault.fault: self._inject(fault, at))  # type: ignore[misc]  # mypy infers no lambda with a default
            else:
                self._inject(fault, now)

    # Time

    @property
    def deadline(self) -> float | None:
        """When :meth:`tick` is due; None: never, until another call."""
        dues = [due for due in (self._replay.due, self.timer_due) if due is not None]
        if self.market.due_ns is not None and not self.paused:
            dues.append(self._at(self.market.due_ns))
        if self.trader.due_ns is not None and not self.paused:
            dues.append(self._at(self.trader.due_ns))
        for connection in self.connections.values():
            if connection.next_beat is not None:
                dues.append(connection.next_beat)
            if not connection.subscriptions and not connection.frozen:
                dues.append(connection.idle_since + IDLE_LIMIT)
        return min(dues, default=None)

    def _at(self, time_ns: int) -> float:
        """A time on this clock; the microsecond makes sure that rounding never puts it before what is due."""
        return self.opened + (time_ns - self.epoch_ns) / 1e9 + 1e-6

    def tick(self, now: float) -> list[Action]:
        """Do what is due."""
        self.run_timers(now)
        if not self.paused:
            for update in self.market.step(self.wall_ns(now)):
                self._happened(update)
                self.trader.act(update.time_ns)
            self.trader.act(self.wall_ns(now))
        self._replay.tick(now)
        for connection in list(self.connections.values()):
            self._beat(connection, now)
            if not connection.subscriptions and not connection.frozen and now >= connection.idle_since + IDLE_LIMIT:
                self.end(connection, DropHow.CLOSE_1000)
        return self.take_actions()

    def _beat(self, connection: Connection, now: float) -> None:
        if connection.next_beat is None or connection.next_beat > now:
            return
        connection.next_beat += HEARTBEAT_INTERVAL
        if connection.next_beat <= now:  # the machine slept: no need to catch up
            connection.next_beat = now + HEARTBEAT_INTERVAL
        if connection.subscriptions and not self.armed.take(
            StopHeartbeats, lambda fault: fault.connection in (None, connection.number)
        ):
            self.push(connection, connection.dialect.heartbeat)

    # Connections

    def admit(self) -> RefuseConnect | HangConnect | DropConnect | DelayConnect | None:
        """None if a client may connect; otherwise the fault that prevents it."""
        fault = self.armed.first(_CONNECT_FAULTS)
        if not isinstance(fault, _CONNECT_FAULTS):
            return None
        if not isinstance(fault, DelayConnect):
            self.refused_connects += 1
        return fault

    def connect(self, now: float, *, protocol: str = "v2", host: Host = Host.ALL) -> tuple[int, list[Action]]:
        """Add a connection to this host that speaks this protocol: ``v2`` or ``v1``. Returns its number."""
        checks.one_of(*self.dialects)("protocol", protocol)
        if protocol != "v1" and self.armed.take(SpeakV1) is not None:
            protocol = "v1"
        connection = self.add_connection(now, protocol, host)
        self.push(connection, self._status(connection))
        return connection.number, self.take_actions()

    def disconnect(self, number: int) -> None:
        """Remove a connection. Idempotent."""
        self.remove_connection(number)

    def _status(self, connection: Connection) -> str:
        return connection.dialect.status(self.system, connection.connection_id if self.status_has_id else None)

    # Requests

    def receive(self, number: int, data: str | bytes, now: float) -> list[Action]:
        """Process a client's message."""
        connection = self.connections.get(number)
        if connection is not None and not connection.frozen:
            connection.idle_since = now
            asked = connection.dialect.read_request(data)
            self.requests.append(ReceivedRequest(connection=number, time=now, data=data, method=asked.method))
            if not self.armed.take(IgnoreRequests, lambda fault: fault.method in (None, asked.method)):
                self._handler.answer(connection, asked, now)
        return self.take_actions()

    # Faults

    def inject(self, fault: Fault, now: float) -> list[Action]:
        """Inject a fault: it happens now, or is armed.

        Raises :class:`ValueError` for a fault of a symbol that is not traded here.
        """
        self._check(fault)
        self._inject(fault, now)
        return self.take_actions()

    def _check(self, fault: object) -> None:
        _check_fault("fault", fault)
        symbol = getattr(fault, "symbol", None)
        if symbol is not None and symbol not in self.symbols:
            msg = f"{fault}: this exchange trades {', '.join(self.symbols) or 'nothing'}"
            raise ValueError(msg)
        if isinstance(fault, CrossedBook | FillBurst) and self.recording is not None:
            msg = f"{fault}: there is no market while a recording is served"
            raise ValueError(msg)

    def _inject(self, fault: Fault, now: float) -> None:
        match fault:
            case Drop(connection=number):
                for connection in self.targets(number):
                    if fault.notice is not None:
                        self.answer(connection, fault.notice)
                    self.end(connection, fault.how, fault.reason)
            case Freeze(connection=number):
                for connection in self.targets(number):
                    self.freeze(connection)
            case StopPushing(connection=number):
                for connection in self.targets(number):
                    connection.silent = True
            case EndSubscription():
                self._handler.end_subscriptions(fault, now)
            case Raw(connection=number):
                for connection in self.targets(number):
                    self.push_raw(connection, fault)
            case StrayError(connection=number):
                for connection in self.targets(number):
                    self.push(connection, connection.dialect.stray_error(fault.error))
            case UnknownChannel(channel=channel):
                for connection in self.targets(None):
                    self.push(connection, connection.dialect.unknown_channel(channel))
            case SetStatus(system=system):
                self.set_status(system, has_id=fault.connection_id)
                for connection in self.targets(None):
                    self.push(connection, self._status(connection))
            case CrossedBook(symbol=symbol):
                market = self.market.symbols[symbol]
                if fault.consistent:
                    self._crossed.add(symbol)
                    self._saw(market.cross(self.wall_ns(now)))
                else:
                    self._broadcaster.publish_phantom(market)
            case StrangeReport():
                self._private.strange(fault, self.wall_ns(now))
            case BreakRest():
                self.rest.inject(fault)
            case LagRest(seconds=seconds):
                self.rest.set_lag(seconds)
            case ExpireTokens():
                self.tokens.revoke_all()
            case FillBurst(fills=fills, symbol=symbol):
                if self.symbols:
                    self.trader.fill(symbol or self.symbols[0], fills, self.wall_ns(now))
            case Mute(existing=True):
                for subscription in self.subscriptions.matching(fault.channel, fault.symbol):
                    subscription.muted = True
                self.armed.arm(fault)
            case _:
                self.armed.arm(fault)

    def clear_faults(self, now: float) -> list[Action]:
        """Disarm everything, and uncross books. What has happened stays: a frozen connection stays frozen."""
        self.armed.clear()
        self.rest.clear_faults()
        self.rest.set_lag(0.0)
        self.set_status(self.system, has_id=True)
        for symbol in sorted(self._crossed):
            self._saw(self.market.symbols[symbol].uncross(self.wall_ns(now)))
        self._crossed.clear()
        return self.take_actions()

    # The market

    def pause(self) -> None:
        """Pause the markets."""
        self.paused = True

    def resume(self, now: float) -> None:
        """Resume the markets."""
        self.paused = False
        self.market.postpone(self.wall_ns(now))
        self.trader.postpone(self.wall_ns(now))

    def move(self, symbol: str, side: SideName, price: int, qty: int, now: float) -> list[Action]:
        """Set the quantity at one price of a book: see :meth:`SymbolMarket.move`."""
        return self._published(self.market.symbols[symbol].move(side, price, qty, self.wall_ns(now)))

    def trade(self, symbol: str, price: int, qty: int, now: float, *, buy: bool) -> list[Action]:
        """Make a trade: see :meth:`SymbolMarket.trade`."""
        return self._published(self.market.symbols[symbol].trade(price, qty, self.wall_ns(now), buy=buy))

    def _published(self, update: MarketUpdate) -> list[Action]:
        self._happened(update)
        return self.take_actions()

    def _happened(self, update: MarketUpdate) -> None:
        self.market_updates += 1
        self._saw(update)

    def _saw(self, update: MarketUpdate) -> None:
        self.trader.saw(update, update.time_ns)

    def publish(self, updates: int, now: float, symbol: str | None = None) -> list[Action]:
        """Make ``count`` market events, now."""
        for update in self.market.burst(updates, self.wall_ns(now), symbol):
            self._happened(update)
        return self.take_actions()


def check_keys(keys: object) -> tuple[ApiKey, ...]:
    """The keys of an exchange. Raises :class:`TypeError` if they are none."""
    return checks.items("keys", keys, checks.instance(ApiKey, wanted="ApiKey(...)"), "keys in a list: [ApiKey(...)]")


def _check_fault(name: str, fault: object) -> None:
    if isinstance(fault, LinkFault):
        raise checks.wrong_type(name, fault, "a fault of the exchange; this is one of the network: inject it there")
    if isinstance(fault, NetworkFault):
        raise checks.wrong_type(name, fault, "a fault of the exchange; this is one of the proxy: inject it there")
    checks.instance(*get_args(Fault), wanted="a fault, such as Drop()")(name, fault)


def _check_script(name: str, fault: object) -> None:
    _check_fault(name, fault.fault if isinstance(fault, Scheduled) else fault)
