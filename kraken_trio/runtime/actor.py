"""The only owner of the socket and the session: reads, passes frames to the session, and does what it returns.

Four tasks serve a connection. One reads, except while a feed with backpressure is full. One writes; nothing else does,
because a partly written frame cannot be withdrawn. One calls the session at its deadline. One sends WebSocket PINGs and
waits for the PONGs. Errors of the connection are turned into a loss, which ends all four; then the client reconnects.

In addition, one task per full feed waits for its consumer.
"""

from __future__ import annotations

from collections import deque
from copy import copy
from functools import partial
from math import inf
from typing import TYPE_CHECKING

import attrs
import trio

from kraken_trio._nursery import open_hidden_nursery
from kraken_trio.admission import Budget, Wait
from kraken_trio.errors import ConnectError, SubscriptionRejected
from kraken_trio.events import Cause, ConnectionState, Event
from kraken_trio.runtime.feed import FeedSender
from kraken_trio.runtime.feeds import FeedTotals
from kraken_trio.runtime.recorded import RecordingTotals
from kraken_trio.runtime.timings import FRAMES_PER_MEASUREMENT, SECONDS_PER_MEASUREMENT, Timings
from kraken_trio.runtime.waiting import StateWaiters
from kraken_trio.session.inputs import (
    Added,
    Answered,
    Authorised,
    BudgetSpent,
    Closed,
    Connected,
    ConnectFailed,
    Held,
    Input,
    Lost,
    Opened,
    Ponged,
    Removed,
    Resumed,
    Retried,
    Ticked,
)
from kraken_trio.session.records import AttemptFailed, ClientLeft, ConsumerFailed, KeyWarned, PhaseBegun
from kraken_trio.transport import ConnectionLost, Limits, Pings, TellsPhases
from kraken_trio.wire.messages import TOKEN
from kraken_trio.wire.rest import Answer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Collection, Sequence

    from kraken_trio.admission import Admission
    from kraken_trio.endpoint import Endpoint
    from kraken_trio.requests import Request
    from kraken_trio.runtime.overflow import Key
    from kraken_trio.runtime.shell import Account, Tap, Telemetry
    from kraken_trio.session import Effects, Session
    from kraken_trio.session.records import Record
    from kraken_trio.settings import Settings
    from kraken_trio.statistics import ClientStatistics
    from kraken_trio.transport import Connect, Phase, Transport
    from kraken_trio.wire.rest import Query

__all__ = ["Actor"]

_AT_LEAST = 0.1
"""Seconds for a connection, when most of the time was needed for its token."""
_TOKENS_KEPT = 7
"""Earlier tokens of a connection that are looked for in what is received: more than requests wait for an answer."""


@attrs.define(eq=False)
class _Asked:
    """A task that waits for the answer to a subscribe."""

    done: trio.Event = attrs.Factory(trio.Event)
    reasons: dict[Request, str] = attrs.Factory(dict)
    error: Exception | None = None


class Actor:
    """Runs one client's connection, from the first attempt to the end of its block. A :class:`Shell`."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        session: Session,
        settings: Settings,
        connect: Connect,
        ssl_context: ssl.SSLContext | None,
        wall_ns: Callable[[], int],
        admission: Admission,
        telemetry: Telemetry,
        account: Account | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.name: str = endpoint.name
        """The endpoint, for messages and logs."""
        self.max_capacity: int = settings.max_capacity
        self.session = session
        self.ended: Exception | None = None
        """Why the client has ended; None while it runs."""
        self._telemetry = telemetry
        self.settings = settings
        self._connect = connect.telling(self._begin_phase) if isinstance(connect, TellsPhases) else connect
        self._ssl_context = ssl_context
        self.now_ns = wall_ns
        """The wall clock."""
        self._admission = admission
        self._account = account
        self._token: str | None = None
        """Of this connection. It is put into what is sent, and taken out of what is received: nobody else has it."""
        self._tokens: tuple[str, ...] = ()
        """It, and those before it on this connection: an answer may still repeat them."""
        self._is_renewing = False
        self._nursery: trio.Nursery | None = None
        self._taps: tuple[Tap, ...] = ()
        self._feeds: dict[FeedSender, _Asked] = {}
        self._totals = FeedTotals()
        self.recorded: RecordingTotals = RecordingTotals()
        self._timings = Timings()
        self._waiters = StateWaiters()
        self._outbox: deque[str] = deque()
        self._outbox_filled = trio.Event()
        self._ping_wanted = trio.Event()
        self._timer_changed = trio.Event()
        self._timer_at = float("inf")
        self._stalled: set[object] = set()
        self._unstalled = trio.Event()
        self._serving: trio.CancelScope | None = None
        self._loss: tuple[Cause, str, int | None] | None = None

    # Connecting and serving

    async def run(self, nursery: trio.Nursery, *, task_status: trio.TaskStatus[None]) -> None:
        """Connect, serve and reconnect, until cancelled or permanently refused."""
        self._nursery = nursery
        settings = self.settings
        is_started = not settings.require_first_connection
        if is_started:
            task_status.started()
        limits = Limits(
            connect_timeout=settings.connect_timeout,
            close_timeout=settings.close_timeout,
            max_frame_bytes=settings.max_frame_bytes,
        )
        begin: Input = Opened()
        while self.ended is None:
            await self._be_admitted(inf if is_started else trio.current_time() + settings.connect_timeout)
            self._tell(begin)
            begin = Retried()
            deadline = trio.current_time() + settings.connect_timeout
            try:
                await self._be_authorised(deadline)
                left = limits if self._account is None else _what_is_left(limits, deadline)
                async with self._connect(self.endpoint.url, ssl_context=self._ssl_context, limits=left) as transport:
                    if self._account is not None:
                        self._account.connected()
                    self._outbox.clear()  # mutant: requests of the last connection
                    self._tell(Connected())
                    if not is_started:
                        is_started = True
                        task_status.started()
                    await self._serve(transport)
            except ConnectError as error:
                self.report(AttemptFailed(error=error))
                if not is_started:
                    raise
                self._tell(ConnectFailed(error, self.now_ns()))
            if self.ended is None:
                await trio.sleep_until(self.session.reconnect_at)

    async def _be_admitted(self, deadline: float) -> None:
        """Wait until the connect budget allows an attempt. Raises :class:`ConnectError` if not by ``deadline``."""
        wait: Wait | None = None
        told: set[str] = set()
        with trio.move_on_at(deadline):
            while (wait := await self._admission.take(self.settings.connect_budget)) is not None:
                if wait.why not in told:
                    told.add(wait.why)
                    why = f"the next attempt to connect has to wait for {wait.seconds:.0f} s or longer: {wait.why}"
                    self._tell(BudgetSpent(why))
                if trio.current_time() + wait.seconds > deadline:
                    break  # no attempt will be admitted before the deadline
                await trio.sleep(wait.seconds)
            else:
                return
        if wait is None:
            wait = Wait(self.settings.connect_timeout, "the connect budget has not answered yet")
        msg = f"no attempt was made to connect to {self.name}: {wait.why}; try again in {wait.seconds:.0f} s"
        raise ConnectError(msg, retry_after=wait.seconds)

    async def _be_authorised(self, deadline: float) -> None:
        """Get a token for the attempt that is due, if the endpoint needs one."""
        if self._account is None or not self.endpoint.needs_token:
            return
        self._begin_phase("token")
        with trio.move_on_at(deadline):
            self._token = await self._account.token()
            self._tokens = (self._token,)
            warning, self._account.warning = self._account.warning, None
            if warning is not None:
                self.report(KeyWarned(text=warning))
            return
        limit = self.settings.connect_timeout
        msg = f"no token for {self.name} within {limit:g} s (Settings.connect_timeout)"
        raise ConnectError(msg)

    def _begin_phase(self, phase: Phase) -> None:
        self.report(PhaseBegun(phase=phase))

    async def _renew_token(self, account: Account) -> None:
        """Get another token for this connection; without one it is given up."""
        try:
            with trio.move_on_after(self.settings.connect_timeout) as scope:
                self._token = await account.another_token()
                self._tokens = (self._token, *self._tokens[:_TOKENS_KEPT])
        except ConnectError as error:
            self._lose(Cause.DISCONNECTED, f"there is no other token: {error}")
            return
        finally:
            self._is_renewing = False
        if scope.cancelled_caught:
            self._lose(Cause.DISCONNECTED, f"no other token within {self.settings.connect_timeout:g} s")
        elif self._serving is not None:
            self._tell(Authorised())

    async def _ask(self, query: Query) -> None:
        """Ask the exchange's REST interface, and tell the session what came of it."""
        if self._account is None:
            answer = Answer(error="this client has no credentials")
        else:
            await trio.sleep(query.after)
            answer = attrs.evolve(await self._account.ask(query), received_ns=self.now_ns())
        if self.ended is None:
            self._tell(Answered(query, answer))

    async def _serve(self, transport: Transport) -> None:
        """Serve a connection until it is lost, and report that to the session."""
        self._loss = None
        async with open_hidden_nursery() as nursery:
            self._serving = nursery.cancel_scope
            nursery.start_soon(self._read, transport)
            nursery.start_soon(self._write, transport)
            nursery.start_soon(self._wake)
            nursery.start_soon(self._keep_alive, transport)
        self._serving = None
        assert self._loss is not None  # only a loss ends the four tasks without an exception
        cause, detail, code = self._loss
        self._tell(Lost(cause, detail, code, self.now_ns()))

    def _lose(self, cause: Cause, detail: str, code: int | None = None) -> None:
        if self._loss is None and self._serving is not None:
            self._loss = (cause, detail, code)
            self._serving.cancel()

    async def _read(self, transport: Transport) -> None:
        current_time = trio.lowlevel.current_clock().current_time
        counters = self.session.counters
        measure_from, measure_at = 0, -inf  # the number of a frame, and a time: whichever comes first
        try:
            while True:
                while self._stalled:  # mutant: full feed holds up reading
                    await self._unstalled.wait()
                frames: Sequence[str | bytes] = await transport.receive()
                for token in self._tokens:
                    frames = _without(token, frames)
                if self.ended is not None:
                    return  # they were received while the program left
                received_ns, now = self.now_ns(), current_time()
                effects = self.session.receive(frames, received_ns, now)
                is_measured = counters.frames >= measure_from or now >= measure_at
                if is_measured:
                    processed = current_time()
                for tap in self._taps:
                    tap.received(frames, received_ns, now, effects)
                self._do(effects)
                if is_measured and any(effects.deliver.values()):  # a heartbeat says nothing of what takes long
                    measure_from = counters.frames + FRAMES_PER_MEASUREMENT
                    measure_at = now + SECONDS_PER_MEASUREMENT
                    self._measure(effects, received_ns, now, processed)
        except ConnectionLost as lost:
            self._lose(Cause.DISCONNECTED, lost.reason, lost.code)

    def _measure(self, effects: Effects, received_ns: int, started: float, processed: float) -> None:
        """Measure a batch of frames: all is done that follows from it."""
        done = trio.current_time()
        self._timings.take(effects.deliver.values(), received_ns, started, processed, done)
        for feed in effects.deliver:
            assert isinstance(feed, FeedSender)  # the session uses feeds as keys only
            feed.mark(done, self._timings.waiting)

    async def _write(self, transport: Transport) -> None:
        try:
            while True:
                while self._outbox:
                    with trio.move_on_after(self.settings.send_timeout) as scope:
                        frame = self._outbox.popleft()
                        await transport.send(frame if self._token is None else frame.replace(TOKEN, self._token))
                    if scope.cancelled_caught:
                        limit = self.settings.send_timeout
                        self._lose(Cause.DISCONNECTED, f"the peer accepted no data for {limit:g} s")
                self._outbox_filled = trio.Event()
                await self._outbox_filled.wait()
        except ConnectionLost as lost:
            self._lose(Cause.DISCONNECTED, lost.reason, lost.code)

    async def _keep_alive(self, transport: Transport) -> None:
        """Send a WebSocket PING whenever the session requests one. The session judges a missing PONG."""
        try:
            while True:
                await self._ping_wanted.wait()
                self._ping_wanted = trio.Event()
                if isinstance(transport, Pings):
                    await transport.ping()
                self._tell(Ponged())
                self._timer_changed.set()
        except ConnectionLost as lost:
            self._lose(Cause.DISCONNECTED, lost.reason, lost.code)

    async def _wake(self) -> None:
        while True:
            self._timer_changed = trio.Event()
            self._timer_at = self.session.deadline
            with trio.CancelScope(deadline=self._timer_at):
                await self._timer_changed.wait()
            if trio.current_time() >= self._timer_at:
                self._tell(Ticked())

    # The session, and what it decides

    def _tell(self, happening: Input) -> None:
        """Tell the session of it, and do what it decides."""
        now = trio.current_time()
        effects = happening.tell(self.session, now)
        for tap in self._taps:
            tap.told(happening, self.now_ns(), now, effects)
        self._do(effects)

    def _do(self, effects: Effects) -> None:
        too_slow: list[FeedSender] = []
        for feed, events in effects.deliver.items():
            assert isinstance(feed, FeedSender)  # the session uses feeds as keys only
            if not feed.offer(events):
                if feed.is_ended:
                    too_slow.append(feed)
                else:
                    self._wait_for_room(feed)
        if not effects.rearm and not too_slow:
            return  # only live data: there is nothing else
        for feed, reasons in effects.answers:
            assert isinstance(feed, FeedSender)
            asked = self._feeds.get(feed)
            if asked is not None:
                asked.reasons = reasons
                asked.done.set()
        if effects.send:
            self._outbox.extend(effects.send)
            self._outbox_filled.set()
        for change in effects.changes:
            self._waiters.reach(change.current)
        if effects.records:
            self._telemetry.consume(effects.records, trio.current_time())
        if effects.ping:
            self._ping_wanted.set()
        for query in effects.queries:
            assert self._nursery is not None  # only the running actor asks
            self._nursery.start_soon(self._ask, query)
        if effects.renew_token and self._account is not None and not self._is_renewing:
            assert self._nursery is not None
            self._is_renewing = True
            self._nursery.start_soon(self._renew_token, self._account)
        if effects.drop is not None:  # mutant: connection given up
            self._lose(effects.drop, effects.drop_detail)
        if effects.end is not None:
            self._end(effects.end)
        if effects.rearm and self.session.deadline < self._timer_at:
            self._timer_changed.set()
        for feed in too_slow:  # last, because its own effects come after these
            self._give_up(feed)

    def _wait_for_room(self, feed: FeedSender) -> None:
        if feed not in self._stalled:
            assert self._nursery is not None  # only the running actor offers events
            self.hold(feed)
            self._nursery.start_soon(self._relieve, feed)

    def hold(self, holder: object) -> None:
        """Read no more until :meth:`release`: ``holder`` has no room."""
        self._stalled.add(holder)
        self._tell(Held())
        self._timer_changed.set()

    def release(self, holder: object) -> None:
        """``holder`` has room again, or does not need it any more."""
        self._stalled.discard(holder)
        if not self._stalled:
            self._tell(Resumed())
            self._unstalled.set()
            self._unstalled = trio.Event()
            self._timer_changed.set()

    async def _relieve(self, feed: FeedSender) -> None:
        """Wait for a full feed's consumer."""
        is_served = await feed.drain(self.settings.stall_limit)
        self.release(feed)
        if not is_served:
            self._give_up(feed)

    def _give_up(self, feed: FeedSender) -> None:
        """Remove a feed whose consumer was too slow."""
        failure = ConsumerFailed(requests=feed.requests, detail=str(feed.error))
        self._telemetry.consume([failure], trio.current_time())  # mutant: slow consumer in the log
        self._detach(feed)

    # The interface for programs

    @property
    def state(self) -> ConnectionState:
        return self.session.state

    @property
    def system_status(self) -> str | None:
        return self.session.system_status

    def statistics(self) -> ClientStatistics:
        wall_ns, moment = self.now_ns(), trio.current_time()
        now = self.session.statistics(log_lines_left_out=self._telemetry.left_out, wall_ns=wall_ns, now=moment)
        timings, admission = self._timings, self._admission
        return attrs.evolve(
            self._totals.added_to(self.recorded.added_to(now)),
            connect_budget_left=admission.left(self.settings.connect_budget) if isinstance(admission, Budget) else None,
            lag=timings.lag.distribution(),
            clock_offset=timings.clock_offset(now.ping_seconds),
            processing_time=timings.processing.distribution(),
            delivery_time=timings.delivery.distribution(),
            waiting_time=timings.waiting.distribution(),
            **attrs.asdict(self._telemetry.counted(moment), recurse=False),
        )

    def rebuild(self, key: Key, /) -> Event | None:
        return self.session.rebuild(key)

    def report(self, record: Record) -> None:
        """Have a record logged, counted and traced."""
        self._telemetry.consume([record], trio.current_time())

    def tap(self, tap: Tap) -> None:
        self._taps += (tap,)

    def untap(self, tap: Tap) -> None:
        self._taps = tuple(other for other in self._taps if other is not tap)

    async def wait_for(self, states: Collection[ConnectionState]) -> ConnectionState:
        return await self._waiters.wait(states, self.session.state, self.ended)

    async def attach(self, sender: FeedSender) -> None:
        asked = self._feeds[sender] = _Asked(error=self.ended)
        self._totals.add(sender, partial(self._detach, sender))
        if self.ended is not None:
            asked.done.set()
        else:
            self._tell(Added(sender, sender.requests))
        await asked.done.wait()
        if asked.reasons:
            raise SubscriptionRejected(asked.reasons)
        if asked.error is not None:
            raise copy(asked.error)

    def _detach(self, sender: FeedSender) -> None:
        """Remove a feed and its subscriptions."""
        if self._feeds.pop(sender, None) is not None:
            self._tell(Removed(sender))

    def close(self) -> None:
        """End feeds and release waiters: the client's block is being left."""
        self._tell(Closed())
        self._end(None)

    def left(self) -> None:
        """The client's block has been left, and its connection is closed."""
        self.report(ClientLeft())

    def _end(self, error: ConnectError | None) -> None:
        if self.ended is None:
            self.ended = error or trio.ClosedResourceError("the client's block has been left")
        for feed, asked in self._feeds.items():
            feed.end(error)
            asked.error = self.ended
            asked.done.set()
        self._waiters.end(self.ended)


def _without(token: str, frames: Sequence[str | bytes]) -> Sequence[str | bytes]:
    """The frames, with what stands for the token in its place: Kraken's older protocol repeats it in its answers."""
    said = token.encode()
    if not any(token in frame if isinstance(frame, str) else said in frame for frame in frames):
        return frames
    return [
        frame.replace(token, TOKEN) if isinstance(frame, str) else frame.replace(said, TOKEN.encode())
        for frame in frames
    ]


def _what_is_left(limits: Limits, deadline: float) -> Limits:
    """The limits of an attempt, for which a token had to be got first."""
    return attrs.evolve(limits, connect_timeout=max(deadline - trio.current_time(), _AT_LEAST))
