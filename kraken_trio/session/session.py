"""A client's decisions, as its runtime uses them. No I/O, no clock, no randomness of its own.

A runtime's contract:

1. Call :meth:`Session.open`, connect, and report with :meth:`Session.connected` or :meth:`Session.connect_failed`;
   after a loss (:meth:`Session.disconnected`) connect again at ``reconnect_at``, beginning with :meth:`Session.retry`.
2. Pass every batch of frames to :meth:`Session.receive`, in order.
3. Call :meth:`Session.tick` at :attr:`Session.deadline`, which may change with every call.
4. Do what the returned :class:`Effects` say, in this order: deliver, answer, send, drop, end.
5. While a full feed holds up reading, report it: :meth:`Session.hold` and :meth:`Session.resume`.

``now`` is a monotonic clock in seconds, the same for all calls. ``jitter`` returns numbers from 0 to 1.
``snapshots`` is the budget of those snapshots that the exchange counts. Clients may share it; without it, a session has
one of its own.

The path of a frame: the codec decodes it into a message, the subscription's :class:`~kraken_trio.channels.ChannelState`
takes its events, and what it returns is delivered. There are no callbacks.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from kraken_trio._text import printable
from kraken_trio.book.core import NAME
from kraken_trio.errors import ConnectError, KeyRefused, ProtocolError
from kraken_trio.events import Cause, ConnectionState, StatusUpdate
from kraken_trio.session.deliveries import Deliveries, Effects
from kraken_trio.session.dialogue import Dialogue
from kraken_trio.session.intake import Intake
from kraken_trio.session.lifecycle import Trigger
from kraken_trio.session.liveness import Liveness
from kraken_trio.session.queries import Queries, answers
from kraken_trio.session.reconnect import Backoff
from kraken_trio.session.records import (
    AttemptDelayed,
    ExchangeStatus,
    ExchangeWarned,
    FrameMalformed,
    NoticeReceived,
    RequestRefused,
)
from kraken_trio.session.recovery import Recovery
from kraken_trio.session.routing import Routing
from kraken_trio.session.staleness import StalenessMonitor
from kraken_trio.session.subscriptions import Subscriptions
from kraken_trio.session.timing import SNAPSHOT_POINTS, TokenBucket
from kraken_trio.statistics import ClientStatistics, Counters
from kraken_trio.wire.messages import (
    Ack,
    Empty,
    Foreign,
    Heartbeat,
    Message,
    Notice,
    Pong,
    Refusal,
    Status,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from kraken_trio.endpoint import Endpoint
    from kraken_trio.events import Event
    from kraken_trio.requests import Request
    from kraken_trio.session.subscription import Key, Subscription
    from kraken_trio.session.timing import Budget
    from kraken_trio.settings import Settings
    from kraken_trio.wire.codec import Codec
    from kraken_trio.wire.rest import Answer, Query

__all__ = ["Effects", "Session"]

_POLICY_VIOLATION: Final = 1008  # the WebSocket close code after which a client must not reconnect
_MAX_WARNINGS: Final = 64
_SUBSCRIBED: Final = ConnectionState.SUBSCRIBED
_RESYNCING: Final = ConnectionState.RESYNCING
_RESTRICTED: Final = frozenset({"maintenance", "cancel_only"})
"""The engine's states in which reconnecting quickly has no advantage."""


class Session:
    """Frames, requests and the time in; :class:`Effects` out."""

    def __init__(
        self,
        settings: Settings,
        jitter: Callable[[], float],
        codec: Codec,
        endpoint: Endpoint,
        snapshots: Budget | None = None,
    ) -> None:
        self._settings = settings
        self._codec = codec
        self._endpoint = endpoint
        self._counters = Counters()
        self._deliveries = Deliveries(self._counters)
        self._liveness = Liveness(settings)
        self._backoff = Backoff(settings, jitter)
        listening = self._liveness.listening
        served = codec.channels if endpoint.serves is None else endpoint.serves & frozenset(codec.channels)
        self._subscriptions = Subscriptions(settings, self._counters, codec, served, listening, self._deliveries)
        self._recovery = Recovery(
            settings, self._counters, self._deliveries, self._subscriptions, has_tokens=endpoint.needs_token
        )
        self._dialogue = Dialogue(
            settings,
            self._counters,
            codec,
            listening,
            self._deliveries,
            self._subscriptions,
            self._recovery,
            TokenBucket(SNAPSHOT_POINTS, SNAPSHOT_POINTS) if snapshots is None else snapshots,
        )
        self._routing = Routing(self._counters, self._deliveries, self._subscriptions, self._recovery)
        self._intake = Intake(
            codec, self._counters, self._deliveries, self._subscriptions.by_channel, self._routing, self
        )
        self._queries = Queries(self._subscriptions.by_channel)
        self._staleness = StalenessMonitor(settings)
        self._duties: tuple[Callable[[float], None], ...] = (
            self._give_up_silent,
            self._ping,
            self._give_up_unanswered,
            self._keep_alive,
            self._dialogue.tick,
            self._recovery.tick,
            self._scan,
        )
        """What is done in time, while there is a connection; when: :meth:`_due`."""
        self.reconnect_at: float = inf
        """When to call :meth:`retry`; infinity while there is a connection, and after the end."""
        self._is_waiting: bool = False  # for the connect budget
        self._final: ConnectError | None = None
        """Why there will be no further connection, once this one is closed."""
        self._is_understood: bool = False
        """Whether a frame of the expected protocol has been received on this connection."""
        self._warnings: dict[str, None] = {}

    # Queries

    @property
    def epoch(self) -> int:
        """The current or last connection's number."""
        return self._deliveries.epoch

    @property
    def state(self) -> ConnectionState:
        """The client's state."""
        return self._deliveries.state

    @property
    def counters(self) -> Counters:
        """The running numbers, for reading only."""
        return self._counters

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection."""
        state = self._deliveries.state
        return state is ConnectionState.SUBSCRIBED or state is ConnectionState.RESYNCING

    @property
    def system_status(self) -> str | None:
        """The exchange's latest status, on any connection; None before the first."""
        status = self._deliveries.status
        return None if status is None else status.system

    @property
    def flushed(self) -> bool:
        """Whether nothing is left to send, and no answer is awaited."""
        return self._dialogue.idle

    @property
    def status(self) -> StatusUpdate | None:
        """The event of :attr:`system_status`."""
        return self._deliveries.status

    @property
    def received_ns(self) -> int:
        """When the last batch was received; 0 before the first."""
        return self._deliveries.received_ns

    @property
    def subscriptions(self) -> Iterable[Subscription]:
        """All subscriptions, including those that are being unsubscribed."""
        return self._subscriptions.by_key.values()

    def subscription(self, key: Key) -> Subscription | None:
        """The subscription of this channel and symbol, if there is one."""
        return self._subscriptions.by_key.get(key)

    def statistics(
        self, *, log_lines_left_out: int = 0, wall_ns: int | None = None, now: float | None = None
    ) -> ClientStatistics:
        """All numbers, as of ``now``: ``wall_ns`` by the wall clock. ``log_lines_left_out`` comes from elsewhere.

        Without these times: as of the last call, and the last batch.
        """
        self._intake.count()
        if now is None:
            now = self._subscriptions.now
        taken_ns = self.received_ns if wall_ns is None else wall_ns
        return ClientStatistics(
            state=self.state,
            epoch=self.epoch,
            system_status=self.system_status,
            subscriptions=MappingProxyType(
                {sub.request: sub.statistics(taken_ns, now) for sub in self.subscriptions if sub.wanted_by}
            ),
            feeds=len(self._subscriptions.feeds),
            ping_seconds=self._liveness.ping_seconds,
            last_mismatch=self._routing.last_mismatch,
            core=NAME,
            warnings=tuple(self._warnings),
            unknown=MappingProxyType(dict(self._codec.unknown)),
            taken_ns=taken_ns,
            messages=MappingProxyType(self._intake.messages),
            message_bytes=MappingProxyType(self._intake.message_bytes),
            log_lines_left_out=log_lines_left_out,
            next_attempt=_later(wall_ns, self.reconnect_at - now),
            **attrs.asdict(self._counters),
        )

    def rebuild(self, key: tuple[str | None, str | None]) -> Event | None:
        """All events of a cumulative channel and symbol so far, as one snapshot event.

        ``key`` is the channel and the symbol. None while the state is unknown: its feeds have then received a gap.
        """
        channel, symbol = key
        sub = None if channel is None else self._subscriptions.by_key.get((channel, symbol))
        return None if sub is None else sub.state.rebuild()

    # What is wanted

    def add(self, feed: Hashable, requests: Sequence[Request[Any]], now: float) -> Effects:
        """Add ``requests`` for ``feed``. The answer comes in ``Effects.answers``, perhaps at once."""
        self._begin(now)
        self._subscriptions.add(feed, requests)
        self._staleness.wake(self._liveness.listening.at(now))
        return self._done(now)

    def remove(self, feed: Hashable, now: float) -> Effects:
        """Remove ``feed`` and its requests; it gets no more events."""
        self._begin(now)
        self._subscriptions.remove(feed)
        return self._done(now)

    # REST

    def answered(self, query: Query, answer: Answer, now: float) -> Effects:
        """A question of ``Effects.queries`` has been answered."""
        self._begin(now)
        self._queries.answered(query)
        for sub, passed, failure in answers(self._subscriptions.by_channel, query, answer):
            self._routing.pass_on(sub, sub.audience, passed, failure, is_data=False)
        return self._done(now)

    def authorised(self, now: float) -> Effects:
        """There is another token for this connection (``Effects.renew_token``)."""
        self._begin(now)
        self._recovery.authorised()
        return self._done(now)

    # The connection

    def budget_spent(self, why: str, now: float) -> Effects:
        """The attempt that is due has to wait for the connect budget."""
        self._begin(now)
        if not self._is_waiting:
            self._is_waiting = True
            self._counters.budget_waits += 1
        self._deliveries.record(AttemptDelayed(why=why))
        return self._done(now)

    def open(self, now: float) -> Effects:
        """Open the client; the first attempt to connect is made now."""
        return self._attempt(Trigger.OPENED, now)

    def retry(self, now: float) -> Effects:
        """``reconnect_at`` has come; an attempt to connect is made now."""
        return self._attempt(Trigger.RETRY, now)

    def _attempt(self, trigger: Trigger, now: float) -> Effects:
        self._begin(now)
        self.reconnect_at = inf
        self._is_waiting = False
        self._counters.attempts += 1
        self._deliveries.advance(trigger)
        return self._done(now)

    def connect_failed(self, error: ConnectError, now: float, *, wall_ns: int | None = None) -> Effects:
        """The attempt failed. ``wall_ns`` is the time by the wall clock, if it is known."""
        self._begin(now)
        # A wrong certificate or name may be temporary (captive portal, wrong clock); a refusal by HTTP status is not.
        is_final = self.epoch == 0 or error.status is not None or isinstance(error, KeyRefused)
        if is_final and not error.retryable:
            self._end(error)
        else:
            asked = error.retry_after or 0.0  # may be any number, from a program's own transport  # mutant: retry after
            asked = min(asked, self._settings.retry_after_max) if asked > 0.0 else 0.0
            pause = self._backoff.pause_after(error.status)
            delay = self._backoff.next_delay(max(pause, asked, self._pause_for_engine))
            self.reconnect_at = now + delay
            self._deliveries.advance(Trigger.CONNECT_FAILED, str(error), _later(wall_ns, delay))
        return self._done(now)

    @property
    def _pause_for_engine(self) -> float:
        return self._settings.retry_delay if self.system_status in _RESTRICTED else 0.0  # mutant: engine at rest

    def connected(self, now: float) -> Effects:
        """The attempt succeeded: request everything that is wanted."""
        self._begin(now)
        self._counters.connects += 1
        self._deliveries.epoch += 1
        self._intake.malformed_in_row = 0
        self._is_understood = False
        self._liveness.connected(now)
        self._subscriptions.online()
        is_idle = not self._subscriptions.derived.unsettled
        self._deliveries.advance(Trigger.CONNECTED_IDLE if is_idle else Trigger.CONNECTED)  # mutant: nothing wanted
        return self._done(now)

    def disconnected(
        self, cause: Cause, detail: str, now: float, *, code: int | None = None, wall_ns: int | None = None
    ) -> Effects:
        """The connection is lost. ``code`` is the peer's close code, ``wall_ns`` the wall clock, each if known."""
        self._begin(now)
        self._counters.losses += 1
        live_since = self._subscriptions.live_since
        if live_since is not None and now - live_since >= self._settings.stable_after:  # mutant: stable connection
            self._backoff.reset()  # mutant: backoff begins anew
        if self._final is None and code == _POLICY_VIOLATION:  # mutant: policy violation
            why = f"the exchange closed the connection permanently: {printable(detail)}"
            self._final = ConnectError(why, retryable=False)
        if self._final is not None:
            self._end(self._final)
            cause = Cause.REFUSED
        else:
            delay = self._backoff.next_delay(self._pause_for_engine)
            self.reconnect_at = now + delay
            self._deliveries.advance(Trigger[cause.name], detail, _later(wall_ns, delay))
        self._dialogue.offline()
        self._subscriptions.offline(cause, detail)
        return self._done(now)

    def close(self, now: float) -> Effects:
        """The program leaves the client's block. Nothing follows."""
        self._begin(now)
        self.reconnect_at = inf
        self._deliveries.advance(Trigger.CLOSED)
        return self._done(now)

    def _end(self, error: ConnectError) -> None:
        self.reconnect_at = inf
        self._deliveries.advance(Trigger.REFUSED, str(error))
        self._deliveries.effects.end = error

    def hold(self, now: float) -> None:
        """A full feed holds up reading from now on: the peer's silence proves nothing until :meth:`resume`.

        This holds across a lost connection, too.
        """
        self._liveness.hold(now)

    def resume(self, now: float) -> None:
        """Reading continues."""
        self._liveness.resume(now)

    def ponged(self, now: float) -> None:
        """The PONG to the WebSocket PING has been received."""
        self._liveness.ponged(now)

    # Time

    def _due(self, now: float) -> tuple[float, ...]:
        """When each of :attr:`_duties` is due. The one place for it: a deadline that has come always has an effect."""
        liveness, subscriptions = self._liveness, self._subscriptions
        return (
            liveness.silence_due,
            liveness.ping_due,
            liveness.pong_due,
            liveness.keepalive_due,
            self._dialogue.due(now),
            subscriptions.derived.due,
            liveness.listening.when(self._staleness.due),
        )

    @property
    def deadline(self) -> float:
        """When :meth:`tick` is to be called; infinity if never."""
        return min(self._due(self._subscriptions.now)) if self.is_connected else inf

    def tick(self, now: float) -> Effects:
        """Do what is due."""
        self._begin(now)
        if self.is_connected:
            for index, duty in enumerate(self._duties):  # what is done about one may change when another one is due
                if self._due(now)[index] <= now and self._deliveries.effects.drop is None:
                    duty(now)
        return self._done(now)

    def _give_up_silent(self, _now: float) -> None:
        what = "the exchange pushed nothing" if self._liveness.is_exposed else "nothing was received"
        self._give_up(Cause.SILENCE, f"{what} for {self._settings.silence_limit:g} s")  # mutant: silence

    def _give_up_unanswered(self, _now: float) -> None:
        limit = self._settings.keepalive_timeout
        self._give_up(Cause.SILENCE, f"a WebSocket PING was not answered for {limit:g} s")  # mutant: no pong

    def _give_up(self, cause: Cause, why: str) -> None:
        effects = self._deliveries.effects
        effects.drop, effects.drop_detail = cause, why

    def _ping(self, now: float) -> None:
        number = self._dialogue.next_req_id()
        self._liveness.pinged(number, now)
        self._counters.pings_sent += 1
        self._deliveries.effects.send.append(self._codec.ping(number))

    def _keep_alive(self, now: float) -> None:
        self._liveness.keepalive_sent(now)
        self._counters.keepalives_sent += 1
        self._deliveries.effects.ping = True  # mutant: websocket ping

    def _scan(self, now: float) -> None:
        by_channel, reading = self._subscriptions.by_channel, self._liveness.listening.at(now)
        for sub, detail in self._staleness.scan(by_channel, reading):
            self._counters.stale += 1
            self._recovery.refresh(sub, detail)  # mutant: stale is refreshed

    # Frames

    def receive(self, frames: Sequence[str | bytes], received_ns: int, now: float) -> Effects:
        """Process a batch of frames, in order. ``received_ns`` is when their bytes were read."""
        self._begin(now)
        state = self._deliveries.state
        if state is not _SUBSCRIBED and state is not _RESYNCING:
            return self._done(now)  # received while the program left the block  # mutant: after the end
        self._routing.is_stirred = False
        is_pushed = self._intake.take(frames, received_ns)
        is_earlier = self._liveness.received(now, pushed=is_pushed)
        if self._routing.is_stirred or is_earlier:
            return self._done(now)
        return self._deliveries.take_events()

    def handle(self, frame: str | bytes, message: Message) -> bool:
        """(for the :class:`~kraken_trio.session.intake.Intake`) Handle a frame that is not data."""
        if isinstance(message, Foreign):
            self._foreign(frame, message)
        else:
            self._control(message)
        return message.is_pushed

    def _control(self, message: Message) -> None:
        self._routing.is_stirred = True
        self._is_understood |= isinstance(message, Ack | Heartbeat | Pong | Status)
        frame = self._deliveries.frame
        if isinstance(message, Heartbeat):
            self._counters.heartbeats += 1
        elif isinstance(message, Ack):
            self._dialogue.ack(message, self._subscriptions.now)
            for warning in message.warnings:
                if warning not in self._warnings and len(self._warnings) < _MAX_WARNINGS:
                    self._warnings[warning] = None
                    self._deliveries.record(ExchangeWarned(text=warning, frame=frame))
        elif isinstance(message, Refusal):
            self._deliveries.record(
                RequestRefused(symbol=message.symbol, text=message.error, kind=message.kind, frame=frame)
            )
            self._dialogue.refusal(message, self._subscriptions.now)
        elif isinstance(message, Pong):
            self._liveness.answered(message.req_id, self._subscriptions.now)
        elif isinstance(message, Status):
            self._follow_status(message)
        elif isinstance(message, Empty):
            self._subscriptions.empty(message.channel)
        elif isinstance(message, Notice):
            self._deliveries.record(NoticeReceived(text=message.text, frame=frame))

    def _foreign(self, frame: str | bytes, message: Foreign) -> None:
        """End: another protocol is spoken at this endpoint. After a frame of ours, it only counts as malformed."""
        if self._is_understood:  # mutant: stray frame
            text = f"a frame of Kraken's protocol {message.protocol!r}: {printable(message.text)}"
            self.malformed(frame, ProtocolError(text))
            return
        self._routing.is_stirred = True
        why = (
            f"{self._endpoint.name} speaks Kraken's protocol {message.protocol!r}, not {self._endpoint.protocol!r}, "
            f"which this client was opened for; it sent: {printable(message.text)}; check the endpoint's URL"
        )
        self._final = ConnectError(why, retryable=False)
        self._give_up(Cause.REFUSED, why)

    def _follow_status(self, message: Status) -> None:
        """Publish a status that is new, or the first of its connection; Kraken may repeat it every second."""
        deliveries, previous = self._deliveries, self._deliveries.status
        status = StatusUpdate(
            system=message.system,
            version=message.version,
            api_version=message.api_version,
            notices=message.notices,
            epoch=self.epoch,
            received_ns=deliveries.received_ns,
        )
        if previous is not None and previous == msgspec.structs.replace(status, received_ns=previous.received_ns):
            return
        is_new = previous is None or status.system != previous.system
        deliveries.record(ExchangeStatus(status=status, is_new_system=is_new, frame=deliveries.frame))
        deliveries.status = status
        deliveries.deliver(deliveries.lifecycle_feeds, status)

    def malformed(self, frame: str | bytes, error: ProtocolError) -> None:
        """(for the :class:`~kraken_trio.session.intake.Intake`) Handle a frame that could not be decoded."""
        self._routing.is_stirred = True
        self._counters.malformed += 1
        self._intake.malformed_in_row += 1  # mutant: nonsense in a row
        self._deliveries.record(FrameMalformed(detail=str(error), frame=self._deliveries.frame))
        if self._intake.malformed_in_row >= self._settings.malformed_limit:
            self._give_up(Cause.PROTOCOL, "too many malformed frames in a row")
            return
        channel, symbol = self._codec.guess_topic(frame)  # mutant: poisoned frame
        subs = [
            sub
            for sub in self.subscriptions
            if sub.takes_data and channel in (None, sub.key[0]) and (symbol is None or sub.key[1] in (None, symbol))
        ]
        if symbol is None and (channel is None or any(sub.key[1] is not None for sub in subs)):
            # It may have been for any of these. A book will detect it by its next checksum, an account by its next
            # number; all get a gap.
            for sub in subs:
                if (
                    sub.state.has_history and not sub.state.is_cumulative
                ):  # a later feed must not start with what may have a hole
                    self._subscriptions.reset(sub)
            feeds = dict.fromkeys(feed for sub in subs for feed in sub.audience)
            keys = [sub.key for sub in subs]
            self._deliveries.announce(feeds, keys, None, channel, Cause.MALFORMED, str(error))
            return
        for sub in subs:
            if sub.state.is_cumulative:
                self._recovery.fail(sub, Cause.MALFORMED, str(error))
            else:
                self._subscriptions.reset(sub)
                self._subscriptions.gap(sub, Cause.MALFORMED, str(error))

    # Every call

    def _begin(self, now: float) -> None:
        self._subscriptions.now = now
        self._deliveries.frame = None

    def _done(self, now: float) -> Effects:
        """Update the state, send what may be sent, and return the effects."""
        derived, effects = self._subscriptions.derived, self._deliveries.effects
        self._deliveries.frame = None
        if self.is_connected:
            self._liveness.expose(now, exposed=bool(derived.confirmed))
            if effects.drop is None:
                effects.send.extend(self._dialogue.flush(now))
                effects.queries.extend(self._queries.new())
                # mutant: all settled
                self._deliveries.advance(Trigger.SUBSCRIBING if derived.unsettled else Trigger.SETTLED)
        return self._deliveries.take()


def _later(wall_ns: int | None, seconds: float) -> datetime | None:
    """So much later than this time of the wall clock; None if that is unknown, or if the delay is infinite."""
    if wall_ns is None or seconds == inf:
        return None
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=wall_ns // 1000, seconds=max(seconds, 0.0))
