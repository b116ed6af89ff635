"""The whole of a client's decisions, as the actor sees it. No I/O, no clock, no randomness of its own.

A shell's contract:

1. Call :meth:`Session.open`, connect, and report with :meth:`Session.connected` or :meth:`Session.connect_failed`;
   after a loss (:meth:`Session.disconnected`) connect again at ``reconnect_at``, beginning with :meth:`Session.retry`.
2. Give every batch of frames to :meth:`Session.receive`, in order.
3. Call :meth:`Session.tick` when :attr:`Session.deadline` has come. It can move with every call.
4. Do what the returned :class:`Effects` say, in this order: deliver, answer, send, drop, end.
5. While a full feed holds up reading, say so: :meth:`Session.hold` and :meth:`Session.resume`.

``now`` is a monotonic clock in seconds, the same for all calls. ``jitter`` gives numbers from 0 to 1.
"""

from __future__ import annotations

from collections import defaultdict
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from kraken_trio.errors import ChecksumMismatch, ConnectError, ProtocolError, printable
from kraken_trio.events import (
    BookSnapshot,
    BookUpdate,
    Candle,
    Cause,
    ConnectionState,
    Event,
    Gap,
    InstrumentUpdate,
    StateChange,
    StatusUpdate,
    TickerUpdate,
    Trade,
)
from kraken_trio.session.followers import BookFollower, InstrumentFollower, LatestFollower, TradeFollower
from kraken_trio.session.lifecycle import StateMachine
from kraken_trio.session.registry import Registry
from kraken_trio.session.statistics import ClientStatistics, Counters
from kraken_trio.session.subscription import Step, Subscription
from kraken_trio.session.timing import Backoff, LineLimit, ListeningClock
from kraken_trio.session.watch import Watch
from kraken_trio.wire import v2
from kraken_trio.wire.messages import Ack, Data, Empty, Heartbeat, Message, Pong, Refusal, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from kraken_trio.requests import Request
    from kraken_trio.settings import Settings

__all__ = ["Effects", "Session"]

_POLICY_VIOLATION: Final = 1008  # the WebSocket close code by which a server says: do not come back
_MAX_WARNINGS: Final = 64
_LIVE: Final = Step.LIVE
_AT_REST: Final = frozenset({"maintenance", "cancel_only"})
"""The engine's states in which there is no advantage in coming back quickly (PROTOCOL, section 1)."""


def _no_events() -> dict[Hashable, list[Event]]:
    return defaultdict(list)


class Effects(msgspec.Struct):
    """What a shell has to do."""

    deliver: dict[Hashable, list[Event]] = msgspec.field(default_factory=_no_events)
    """Events per feed, in order."""
    answers: list[tuple[Hashable, dict[Request, str]]] = []  # a new one each time: msgspec
    """Feeds whose ``subscribe`` has its answer: no reasons, it is in force; else it is refused, and forgotten."""
    send: list[str] = []
    """Frames, in order."""
    drop: Cause | None = None
    """Close the connection, and report :meth:`Session.disconnected` with this cause and ``drop_detail``."""
    drop_detail: str = ""
    """More about it, for people."""
    ping: bool = False
    """Send a WebSocket PING, and say :meth:`Session.ponged` when its PONG comes (at once, if that cannot be done)."""
    end: ConnectError | None = None
    """The exchange refuses us for good: nothing more will come."""
    changes: list[StateChange] = []
    """The states that were gone through, in order, for whoever waits for one."""
    notes: list[str] = []
    """What an operator may want to know; printable, and not more than ``Settings.log_rate``."""
    warnings: list[str] = []
    """What an operator should know; printable, and not more than ``Settings.log_rate``."""
    rearm: bool = True
    """May :attr:`Session.deadline` be earlier than it was? It never is after frames that hold nothing but live data."""


class Session:
    """Frames, wishes and the time in; :class:`Effects` out."""

    def __init__(self, settings: Settings, jitter: Callable[[], float]) -> None:
        self._settings = settings
        self._counters = Counters()
        self._decoder = v2.Decoder()
        self._machine = StateMachine()
        self._clock = ListeningClock()
        self._backoff = Backoff(settings, jitter)
        self._registry = Registry(settings, self._counters, self._clock, self)
        self._watch = Watch(settings)
        self._out = Effects()
        self._now: float = 0.0
        self._received_ns: int = 0
        self._stirred: bool = False  # has this call done more than pass live data on?

        self.epoch: int = 0
        """The current or last connection's number."""
        self.reconnect_at: float = inf
        """When to call :meth:`retry`; never while there is a connection, or after the end."""
        self._is_waiting: bool = False  # for the connect budget
        self._last_frame: float = 0.0  # on the listening clock
        self._malformed_in_row: int = 0
        self._ping: tuple[int, float] | None = None  # the awaited one, and when it was sent
        self._last_ping: float = -inf
        self._ping_seconds: float | None = None
        self._next_keepalive: float = inf
        self._pong_wanted_from: float | None = None  # since when its absence counts
        self._status: StatusUpdate | None = None
        self._warnings: dict[str, None] = {}
        self._notes_limit = LineLimit(settings.log_rate, settings.log_burst)
        self._warnings_limit = LineLimit(settings.log_rate, settings.log_burst)  # a flood of these hides none of those
        self._last_mismatch: ChecksumMismatch | None = None

    # What a user may ask

    @property
    def state(self) -> ConnectionState:
        """Where the client stands."""
        return self._machine.state

    @property
    def is_connected(self) -> bool:
        """Is there a connection?"""
        state = self._machine.state
        return state is ConnectionState.SUBSCRIBED or state is ConnectionState.RESYNCING

    @property
    def system_status(self) -> str | None:
        """The exchange's own state, by its last word, over whatever connection; None before the first."""
        return None if self._status is None else self._status.system

    @property
    def flushed(self) -> bool:
        """Nothing is left to send, and no answer is awaited."""
        return self._registry.idle

    @property
    def subscriptions(self) -> Iterable[Subscription]:
        """What is wanted, and what is being left."""
        return self._registry.subscriptions.values()

    def statistics(self) -> ClientStatistics:
        """All numbers, as of now."""
        return ClientStatistics(
            state=self.state,
            epoch=self.epoch,
            system_status=self.system_status,
            subscriptions=MappingProxyType(
                {sub.request: sub.state for sub in self._registry.subscriptions.values() if sub.wanted_by}
            ),
            feeds=len(self._registry.feeds),
            ping_seconds=self._ping_seconds,
            last_mismatch=self._last_mismatch,
            warnings=tuple(self._warnings),
            unknown=MappingProxyType(dict(self._decoder.unknown)),
            **attrs.asdict(self._counters),
        )

    def total(self, key: tuple[str | None, str | None]) -> Event | None:
        """What all events of a book (or of the reference data) so far amount to, as one event that starts anew.

        ``key`` is the channel and the symbol. None while it is not known: then its feeds have been told by a gap.
        """
        channel, symbol = key
        sub = None if channel is None else self._registry.subscriptions.get((channel, symbol))
        return next(iter(sub.follower.start(sub.request)), None) if sub is not None else None

    # Wishes

    def add(self, feed: Hashable, requests: Sequence[Request], now: float) -> Effects:
        """``feed`` wants ``requests``. The answer comes in ``Effects.answers``, perhaps at once."""
        self._now = now
        self._registry.add(feed, requests)
        self._watch.wake(self._clock.at(now))
        return self._done()

    def remove(self, feed: Hashable, now: float) -> Effects:
        """``feed`` wants nothing any more, and gets nothing any more."""
        self._now = now
        self._registry.remove(feed)
        return self._done()

    # The connection

    def budget_spent(self, why: str, now: float) -> Effects:
        """The attempt that is due, the first one or a later, has to wait for a reason of this program's own."""
        self._now = now
        if not self._is_waiting:
            self._is_waiting = True
            self._counters.budget_waits += 1
        self._warn(why)
        return self._done()

    def open(self, now: float) -> Effects:
        """The client begins; a first attempt to connect is made now."""
        return self._begin(Cause.OPENED, now)

    def retry(self, now: float) -> Effects:
        """``reconnect_at`` has come; an attempt to connect is made now."""
        return self._begin(Cause.RETRY, now)

    def _begin(self, cause: Cause, now: float) -> Effects:
        self._now = now
        self.reconnect_at = inf
        self._is_waiting = False
        self._counters.attempts += 1
        self._advance(cause)
        return self._done()

    def connect_failed(self, error: ConnectError, now: float) -> Effects:
        """The attempt failed."""
        self._now = now
        # A certificate or a name may be wrong for a while on a machine that moves; a door that says no will go on so.
        if not error.retryable and (self.epoch == 0 or error.status is not None):
            self._end(error)
        else:
            self._advance(Cause.CONNECT_FAILED, str(error))
            asked = error.retry_after or 0.0  # anything, from a transport of the program's own
            asked = min(asked, self._settings.retry_after_max) if asked > 0.0 else 0.0
            pause = self._backoff.pause_after(error.status)
            self.reconnect_at = now + self._backoff.next_delay(max(pause, asked, self._pause_for_engine))
        return self._done()

    @property
    def _pause_for_engine(self) -> float:
        return self._settings.retry_delay if self.system_status in _AT_REST else 0.0

    def connected(self, now: float) -> Effects:
        """The attempt succeeded: ask for everything that is wanted."""
        self._now = now
        self._counters.connects += 1
        self.epoch += 1
        self._last_frame = self._clock.at(now)
        self._malformed_in_row = 0
        self._ping = None
        self._next_keepalive = now + self._settings.keepalive_interval
        self._pong_wanted_from = None
        self._advance(Cause.CONNECTED)
        self._registry.online()
        return self._done()

    def disconnected(self, cause: Cause, detail: str, now: float, *, code: int | None = None) -> Effects:
        """The connection is over. ``code`` is the peer's close code, if there was one."""
        self._now = now
        self._counters.losses += 1
        live_since = self._registry.live_since
        if live_since is not None and now - live_since >= self._settings.stable_after:
            self._backoff.reset()
        if code == _POLICY_VIOLATION:
            why = f"the exchange closed the connection for good: {printable(detail)}"
            self._end(ConnectError(why, retryable=False))
            cause = Cause.REFUSED
        else:
            self._advance(cause, detail)
            self.reconnect_at = now + self._backoff.next_delay(self._pause_for_engine)
        self._registry.offline(cause, detail)
        return self._done()

    def close(self, now: float) -> Effects:
        """The program leaves. There is no way back."""
        self._now = now
        self.reconnect_at = inf
        self._advance(Cause.CLOSED)
        return self._done()

    def _end(self, error: ConnectError) -> None:
        self.reconnect_at = inf
        self._advance(Cause.REFUSED, str(error))
        self._out.end = error

    def hold(self, now: float) -> None:
        """A full feed holds up reading from now on: the peer cannot be heard, so it is not judged.

        That holds across a loss, too, until :meth:`resume`.
        """
        self._clock.hold(now)

    def resume(self, now: float) -> None:
        """Reading goes on."""
        self._clock.resume(now)
        if self._pong_wanted_from is not None:
            self._pong_wanted_from = now  # it may stand behind all that lies unread

    def ponged(self, now: float) -> None:
        """The WebSocket PING has been answered."""
        self._pong_wanted_from = None
        self._next_keepalive = now + self._settings.keepalive_interval

    # Time

    @property
    def deadline(self) -> float:
        """When :meth:`tick` is to be called; infinity if never."""
        if not self.is_connected:
            return inf
        if self._clock.held:
            liveness = self._last_ping + self._settings.ping_after
        elif self._ping is None:
            liveness = self._clock.when(self._last_frame + self._settings.ping_after)
        else:
            liveness = self._clock.when(self._last_frame + self._settings.silence_limit)
        return min(liveness, self._keepalive_due, self._registry.deadline(self._now), self._clock.when(self._watch.due))

    @property
    def _keepalive_due(self) -> float:
        if self._pong_wanted_from is None:
            return self._next_keepalive
        return inf if self._clock.held else self._pong_wanted_from + self._settings.keepalive_timeout

    def tick(self, now: float) -> Effects:
        """Do what is due."""
        self._now = now
        if self.is_connected:
            self._judge_silence(now)
            self._keep_alive(now)
            if self._out.drop is None:
                self._registry.tick(now)
                self._judge_standstill(now)
        return self._done()

    def _judge_silence(self, now: float) -> None:
        # The comparisons are those of `deadline`, so that a deadline that has come always has an effect.
        if self._clock.held:
            if now >= self._last_ping + self._settings.ping_after:
                self._send_ping(now)  # nothing can be judged, but the peer hears that we live
        elif now >= self._clock.when(self._last_frame + self._settings.silence_limit):
            self._give_up(Cause.SILENCE, f"nothing was heard for {self._settings.silence_limit:g} s")
        elif self._ping is None and now >= self._clock.when(self._last_frame + self._settings.ping_after):
            self._send_ping(now)

    def _keep_alive(self, now: float) -> None:
        if now < self._keepalive_due:
            return
        if self._pong_wanted_from is None:
            self._pong_wanted_from = now
            self._counters.keepalives_sent += 1
            self._out.ping = True
        elif self._out.drop is None:
            limit = self._settings.keepalive_timeout
            self._give_up(Cause.SILENCE, f"a WebSocket PING was not answered for {limit:g} s")

    def _give_up(self, cause: Cause, why: str) -> None:
        self._out.drop, self._out.drop_detail = cause, why

    def _judge_standstill(self, now: float) -> None:
        if self._clock.when(self._watch.due) <= now:
            for sub, detail in self._watch.sweep(self._registry.by_channel, self._clock.at(now)):
                self._counters.standstills += 1
                self._warn(f"{sub.request}: resync: {detail}")
                self._registry.refresh(sub, detail)

    def _send_ping(self, now: float) -> None:
        number = self._registry.next_req_id()
        self._ping = (number, now)
        self._last_ping = now
        self._counters.pings_sent += 1
        self._out.send.append(v2.ping(number))

    # Frames

    def receive(self, frames: Sequence[str | bytes], received_ns: int, now: float) -> Effects:
        """These frames came, in this order."""
        self._now = now
        if not self.is_connected:
            return self._done()  # it came while the program left
        self._received_ns = received_ns
        self._last_frame = self._clock.at(now)
        decode, epoch = self._decoder.decode, self.epoch
        self._stirred = False
        self._counters.frames += len(frames)
        for frame in frames:
            try:
                message = decode(frame, epoch, received_ns)
            except ProtocolError as error:
                self._stirred = True
                self._malformed(frame, error)
                continue
            self._malformed_in_row = 0
            if isinstance(message, Data):
                if message.channel == "book":
                    self._books(message.events)  # type: ignore[arg-type]  # that channel has these
                else:
                    self._data(message)
            else:
                self._stirred = True
                self._control(message)
        if self._ping is not None and self._ping[1] < now - self._settings.silence_limit:
            self._ping = None  # its answer will not come; others did
            self._stirred = True
        if self._stirred:
            return self._done()
        effects = Effects(self._out.deliver, rearm=False)
        self._out.deliver = _no_events()
        return effects

    def _control(self, message: Message) -> None:
        now = self._now
        if isinstance(message, Heartbeat):
            self._counters.heartbeats += 1
        elif isinstance(message, Ack):
            self._registry.ack(message, now)
            for warning in message.warnings:
                if warning not in self._warnings and len(self._warnings) < _MAX_WARNINGS:
                    self._warnings[warning] = None
                    self._note(f"the exchange warns: {warning}")
        elif isinstance(message, Refusal):
            what = "a request" if message.symbol is None else printable(message.symbol, 40)
            self._warn(f"the exchange refused {what}: {printable(message.error)}")
            self._registry.refusal(message, now)
        elif isinstance(message, Pong):
            if self._ping is not None and message.req_id in (None, self._ping[0]):
                self._ping_seconds = now - self._ping[1]
                self._ping = None
        elif isinstance(message, Status):
            self._follow_status(message)
        elif isinstance(message, Empty):
            self._registry.empty(message.channel, now)

    def _follow_status(self, message: Status) -> None:
        """Kraken may repeat it every second: told is what is new, and what a new connection says first."""
        status = StatusUpdate(
            system=message.system,
            version=message.version,
            api_version=message.api_version,
            notices=message.notices,
            epoch=self.epoch,
            received_ns=self._received_ns,
        )
        if self._status == attrs.evolve(status, received_ns=0 if self._status is None else self._status.received_ns):
            return
        if status.system != self.system_status:
            self._note(f"the exchange's status is {status.system}")
        self._status = status
        self._deliver(self._lifecycle_feeds(), status)

    def _malformed(self, frame: str | bytes, error: ProtocolError) -> None:
        self._counters.malformed += 1
        self._malformed_in_row += 1
        self._warn(f"a frame made no sense: {error}")
        if self._malformed_in_row >= self._settings.malformed_limit:
            self._give_up(Cause.PROTOCOL, "too many frames made no sense")
            return
        channel, symbol = v2.salvage(frame)
        subs = [
            sub
            for sub in self.subscriptions
            if sub.takes_data and channel in (None, sub.key[0]) and (symbol is None or sub.key[1] in (None, symbol))
        ]
        if symbol is None and channel != "instrument":
            # It may have been for any of these. A book will notice by its next checksum; the others are told.
            feeds = dict.fromkeys(feed for sub in subs for feed in sub.audience)
            self._announce(feeds, self._gap(None, channel, Cause.MALFORMED, str(error)))
            return
        for sub in subs:
            if sub.is_book or sub.key[0] == "instrument":  # what is remembered is a sum of all that came
                self._registry.fail(sub, Cause.MALFORMED, str(error), self._now)
            else:
                if not isinstance(sub.follower, TradeFollower):
                    sub.follower.reset()
                self.gap(sub, Cause.MALFORMED, str(error), None)

    # Data

    def _data(self, message: Data) -> None:
        subs = self._registry.by_channel[message.channel]
        if message.channel == "trade":
            self._trades(message.events, subs)
            return
        for event in message.events:
            sub = subs.get(None if isinstance(event, InstrumentUpdate) else event.symbol)
            if sub is None or not (sub.step is Step.LIVE or self._takes(sub, event)):
                self._counters.late += 1
                continue
            follower = sub.follower
            if isinstance(event, InstrumentUpdate):
                assert isinstance(follower, InstrumentFollower)
                follower.see(event)
            else:
                assert isinstance(follower, LatestFollower)
                assert isinstance(event, TickerUpdate | Candle)  # the others went another way
                follower.see(event)
            if sub.step is not Step.LIVE:
                self._registry.live(sub, self._now)
            self._deliver(sub.audience, event)

    def _takes(self, sub: Subscription, event: Event) -> bool:
        """Is ``event`` for ``sub``, which is not live? What overtakes the answer is the answer, to its feeds."""
        self._stirred = True
        if sub.step is Step.ASKED and type(event) is not BookUpdate:
            self._registry.confirm(sub, self._now)
        return sub.takes_data

    def _books(self, events: Sequence[BookSnapshot | BookUpdate]) -> None:
        """Nine tenths of all frames come this way: what is in order passes straight through."""
        subs, counters, deliver = self._registry.by_channel["book"], self._counters, self._out.deliver
        for event in events:
            sub = subs.get(event.symbol)
            if sub is None or not (sub.step is _LIVE or self._takes(sub, event)):
                counters.late += 1
                continue
            fresh = type(event) is BookSnapshot
            if not fresh and sub.step is not _LIVE:
                counters.late += 1
                continue
            follower = sub.follower
            assert type(follower) is BookFollower
            try:
                is_crossed = follower.book.lead(event)
            except ProtocolError as error:
                self._book_failed(sub, error)
                continue
            if event.checksum is not None:
                counters.checksums_verified += 1
            if is_crossed:
                if not follower.crossed_accepted:
                    counters.crossed += 1
                    if not (fresh and sub.cause is Cause.CROSSED):
                        self._resync(sub, Cause.CROSSED, "the best bid is not below the best ask")
                        continue
                    follower.crossed_accepted = True
            elif follower.crossed_accepted:
                follower.crossed_accepted = False
            if fresh:
                self._registry.live(sub, self._now)
            audience = sub.audience
            for feed in audience:
                deliver[feed].append(event)
            counters.events += len(audience)

    def _book_failed(self, sub: Subscription, error: ProtocolError) -> None:
        if isinstance(error, ChecksumMismatch):
            self._counters.checksum_failures += 1
            self._last_mismatch = error
            self._resync(sub, Cause.CHECKSUM, str(error), error)
        else:
            self._counters.malformed += 1
            self._resync(sub, Cause.MALFORMED, str(error))

    def _resync(self, sub: Subscription, cause: Cause, detail: str, evidence: ChecksumMismatch | None = None) -> None:
        self._stirred = True
        self._warn(f"{sub.request}: resync, {cause.value}: {detail}")
        self._registry.fail(sub, cause, detail, self._now, evidence)

    def _trades(self, events: Sequence[Any], subs: dict[str | None, Subscription]) -> None:
        by_symbol: dict[str, list[Trade]] = {}
        for trade in events:
            by_symbol.setdefault(trade.symbol, []).append(trade)
        news: dict[int, tuple[tuple[Hashable, ...], int | None]] = {}
        for symbol, trades in by_symbol.items():
            sub = subs.get(symbol)
            if sub is None or not (sub.step is Step.LIVE or self._takes(sub, trades[0])):
                self._counters.late += len(trades)
                continue
            follower = sub.follower
            assert isinstance(follower, TradeFollower)
            audience, newcomers = sub.audience, sub.newcomers
            sub.newcomers = ()
            if newcomers and trades[0].snapshot:
                # It is from before they came, so they start with it, as far as they want to; for others it is news.
                audience = tuple(feed for feed in audience if feed not in newcomers)
                news |= {id(trade): (audience, after) for after, trade in follower.news(trades)}
                self._start(newcomers, sub)
            else:
                self._start(newcomers, sub)
                news |= {id(trade): (audience, after) for after, trade in follower.news(trades)}
            if sub.step is not Step.LIVE:
                self._registry.live(sub, self._now)
        for trade in events:  # in the order of the wire
            if id(trade) in news:
                audience, after = news[id(trade)]
                if after is not None:
                    self._trades_missing(audience, after, trade)
                self._deliver(audience, trade)

    def _trades_missing(self, audience: Iterable[Hashable], after: int, trade: Trade) -> None:
        before = trade.trade_id
        missed = before - after - 1 if before > after else None
        self._counters.trades_missed += missed or 0
        if missed is None:
            detail = f"after trade {after} the exchange began to number its trades anew, with {before}"
        else:
            detail = f"trades {after + 1} to {before - 1} never came"
        gap = self._gap(trade.symbol, "trade", Cause.MISSED, detail)
        self._announce(audience, attrs.evolve(gap, missed=missed, after_id=after, before_id=before))

    def _start(self, feeds: Iterable[Hashable], sub: Subscription) -> None:
        """What is known is where these feeds start."""
        for feed in feeds:
            for event in sub.follower.start(sub.wanted_by[feed]):
                self._deliver((feed,), event)

    # Telling the feeds

    def _deliver(self, audience: Iterable[Hashable], event: Event) -> None:
        deliver = self._out.deliver
        for feed in audience:
            deliver[feed].append(event)
            self._counters.events += 1

    def _gap(self, symbol: str | None, channel: str | None, cause: Cause, detail: str) -> Gap:
        return Gap(
            symbol=symbol,
            cause=cause,
            channel=channel,
            detail=printable(detail),
            epoch=self.epoch,
            received_ns=self._received_ns,
        )

    def _announce(self, audience: Iterable[Hashable], gap: Gap) -> None:
        for feed in audience:
            self._counters.gaps += 1
            self._deliver((feed,), gap)

    def gap(self, sub: Subscription, cause: Cause, detail: str, evidence: ChecksumMismatch | None) -> None:
        """(for the registry) The feeds of ``sub`` miss events from here on."""
        channel, symbol = sub.key
        self._announce(sub.audience, attrs.evolve(self._gap(symbol, channel, cause, detail), evidence=evidence))

    def broken(self, sub: Subscription, cause: Cause) -> None:
        """(for the registry) ``sub`` is not as wanted any more."""
        self._advance(cause, sub.key[1] or "")

    def answered(self, feed: Hashable, reasons: dict[Request, str]) -> None:
        """(for the registry) A ``subscribe`` has its answer; if it is in force, it starts with what is known."""
        self._out.answers.append((feed, reasons))
        if reasons:
            return
        entry = self._registry.feeds[feed]
        if self._status is not None and entry.wants_lifecycle:
            self._deliver((feed,), self._status)
        for key in dict(entry.keys):
            sub = self._registry.subscriptions[key]
            if sub.step is Step.LIVE:
                self._start((feed,), sub)
            elif isinstance(sub.follower, TradeFollower):
                sub.newcomers += (feed,)

    def _advance(self, cause: Cause, detail: str = "") -> None:
        previous = self._machine.advance(cause)
        if previous is None:
            return
        change = StateChange(
            previous=previous,
            current=self._machine.state,
            cause=cause,
            detail=printable(detail),
            epoch=self.epoch,
            received_ns=self._received_ns,
        )
        self._out.changes.append(change)
        why = f"{cause.value}: {change.detail}" if change.detail else cause.value
        self._note(f"{previous.value} → {change.current.value} ({why})")
        self._deliver(self._lifecycle_feeds(), change)

    def _lifecycle_feeds(self) -> list[Hashable]:
        return [feed for feed, entry in self._registry.feeds.items() if entry.answered and entry.wants_lifecycle]

    def _note(self, line: str) -> None:
        self._say(self._out.notes, self._notes_limit, line)

    def _warn(self, line: str) -> None:
        self._say(self._out.warnings, self._warnings_limit, line)

    def _say(self, lines: list[str], limit: LineLimit, line: str) -> None:
        admitted = limit.admit(line, self._now)
        if admitted is None:
            self._counters.log_lines_left_out += 1
        else:
            lines.append(admitted)

    def _done(self) -> Effects:
        """Settle the state, send what may be sent, and hand out the effects."""
        if self.is_connected and self._out.drop is None:
            self._out.send.extend(self._registry.flush(self._now))
            self._advance(Cause.SUBSCRIBING if self._registry.unsettled else Cause.SETTLED)
        effects, self._out = self._out, Effects()
        return effects
