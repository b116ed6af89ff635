"""A recording behind a WebSocket: its replay feeds each subscription of each connection, in order.

A subscription is a sink in the replay, which puts its events, as frames, into the queue of its connection: so all
subscriptions of a connection are in the order of the recording. With no speed the replay waits for the connections; at
a speed it does not, as the exchange, and drops one for which too much waits.

Where the recording has a gap, the connections that it concerns are closed (code 1012): a client connects again, and
gets a snapshot. Nothing is silently missing.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import trio

from kraken_trio import Cause, Gap, Overflow, SubscriptionRejected, Trade
from kraken_trio._nursery import open_hidden_nursery
from kraken_trio.cli.serving.desk import Begin, Cease, Desk, Say
from kraken_trio.events import BookSnapshot
from kraken_trio.runtime.feed import FeedSender, open_feed
from kraken_trio.testing.exchange.core import HEARTBEAT_INTERVAL
from kraken_trio.testing.exchange.dialects import v1_frames, v2_frames as frames
from kraken_trio.testing.exchange.dialects.asked import MALFORMED
from kraken_trio.testing.exchange.hosts import Host
from kraken_trio.testing.exchange.peer import Peer
from kraken_trio.testing.faults import DropHow
from kraken_trio.wire import Codec, codec_for

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import AsyncIterator, Callable, Sequence

    from kraken_trio import Event, ReplayClient
    from kraken_trio.cli.serving.desk import Topic
    from kraken_trio.testing.exchange.peer import ConnectionEnd, Wire

__all__ = ["Server", "serving"]

QUEUE_FRAMES: Final = 1000
"""How many may wait for a connection before the replay waits for it, when it has no speed of its own."""
MAX_QUEUE_FRAMES: Final = 100_000
"""At a speed: how many may wait before the connection is dropped."""
QUIET_SECONDS: Final = 0.25
"""The clock starts when nobody has asked for anything for so long: what a client asks for in several requests, and
several clients, begin together."""
GOODBYE_SECONDS: Final = 30.0
"""At the end, how long connections are waited for that have not taken all frames."""
CLOSE_SECONDS: Final = 1.0
"""And then, for the close handshakes."""


class _Sink(FeedSender):
    """One subscription of one connection, as a feed of the replay: what it is offered becomes frames at once."""

    def __init__(self, connection: _Connection, order: Begin) -> None:
        sender, _ = open_feed((order.request,), 1, Overflow.DROP_OLDEST)
        super().__init__(sender._state)  # noqa: SLF001 (the same class)
        self._connection = connection
        self._with_snapshot = order.snapshot
        self._is_begun = False
        self.is_left: bool = False

    def offer(self, events: Sequence[Event]) -> bool:
        """At a speed: there is always room."""
        self._send(events)
        if self._connection.end.queued > MAX_QUEUE_FRAMES:
            self._connection.close("it does not take its frames")
        return True

    def fill(self, events: Sequence[Event]) -> Sequence[Event]:
        if self.is_ended:
            return ()
        if self._connection.is_full:
            return events
        self._send(events)
        return ()

    async def feed(self, events: deque[Event]) -> None:
        await trio.lowlevel.checkpoint()
        while self._connection.is_full and not self.is_ended:
            await self._connection.wait_for_room()
        self._send(events)
        events.clear()

    def _send(self, events: Sequence[Event] | deque[Event]) -> None:
        for kind, run in groupby(events, key=_kind):
            if self.is_ended:
                return
            some: list[Any] = list(run)
            if kind is None:
                if self._is_begun and any(gap.cause is not Cause.MISSED for gap in some):
                    self._connection.close(f"the recording has a gap here: {some[0].cause.value}")
            elif self._with_snapshot or not kind:
                self._is_begun = True
                self._connection.send(some)

    def leave(self) -> None:
        """Nothing more is wanted."""
        self.is_left = True
        super().end(None)
        if self._state.on_close is not None:
            self._state.on_close()

    def end(self, error: Exception | None) -> None:
        """(from the replay) There is nothing more."""
        super().end(error)
        if not self.is_left:
            self._connection.server.recording_ended()


def _kind(event: Event) -> bool | None:
    """Whether it is from before the subscription; None for a gap."""
    if isinstance(event, Gap):
        return None
    return isinstance(event, BookSnapshot) or bool(getattr(event, "snapshot", False))


class _Connection:
    def __init__(self, server: Server, end: ConnectionEnd, number: int, protocol: str) -> None:
        self.server: Server = server
        self.end: ConnectionEnd = end
        self.number: int = number
        self.protocol: str = protocol
        self.sinks: dict[Topic, _Sink] = {}
        requests, waiting = trio.open_memory_channel[str | bytes](1000)
        self.requests: trio.MemorySendChannel[str | bytes] = requests
        self.waiting: trio.MemoryReceiveChannel[str | bytes] = waiting
        self.is_closed: bool = False
        self._room = trio.Event()

    @property
    def is_full(self) -> bool:
        return self.end.queued >= QUEUE_FRAMES

    async def wait_for_room(self) -> None:
        self._room = trio.Event()
        await self._room.wait()

    def look(self) -> None:
        """Frames were written, or it has ended."""
        if self.is_closed or self.end.queued <= QUEUE_FRAMES // 2:
            self._room.set()

    def send(self, events: Sequence[Any]) -> None:
        if any(isinstance(event, Trade) and event.trade_id is None for event in events):
            self.close("the recording is of Kraken's older protocol, whose trades have no numbers: v2 cannot tell them")
        else:
            self.end.send(self.server.codec.data(events))

    def close(self, reason: str) -> None:
        self.leave()
        self.end.end(DropHow.CLOSE_1012, reason)

    def leave(self) -> None:
        self.is_closed = True
        self.server.desk.disconnect(self.number)
        for sink in self.sinks.values():
            sink.leave()
        self.sinks.clear()
        self.requests.close()
        self.look()
        self.server.left()

    async def run(self) -> None:
        """Answer its requests, in order, and send heartbeats."""
        async with open_hidden_nursery() as nursery:
            nursery.start_soon(self._beat)
            async for data in self.waiting:
                await self._handle(data)
            nursery.cancel_scope.cancel()

    async def _beat(self) -> None:
        while True:
            await trio.sleep(HEARTBEAT_INTERVAL)
            if self.server.desk.has_subscriptions(self.number):
                self.end.send(frames.HEARTBEAT)

    async def _handle(self, data: str | bytes) -> None:
        if self.protocol == "v1":
            self.end.send(v1_frames.event("error", errorMessage=MALFORMED))
            await trio.lowlevel.checkpoint()
            return
        for order in self.server.desk.receive(self.number, data, self.server.now_ns):
            if isinstance(order, Say):
                self.end.send(order.text)
            elif isinstance(order, Begin):
                await self._begin(order)
            else:
                assert isinstance(order, Cease)
                self.sinks.pop(order.topic).leave()
                self.server.left()
        await trio.lowlevel.checkpoint()

    async def _begin(self, order: Begin) -> None:
        sink = self.sinks[order.topic] = _Sink(self, order)
        self.server.asked()
        await self.server.attach(sink)


class Server:
    """Serves one replay to any number of connections. What :class:`Peer` calls does not wait."""

    def __init__(self, client: ReplayClient, nursery: trio.Nursery) -> None:
        self.desk: Desk = Desk(client.replay.requests)
        self.codec: Codec = codec_for("v2")
        self.connections: dict[int, _Connection] = {}
        self.ended: trio.Event = trio.Event()
        """Set when all of the recording has been played."""
        self._client = client
        self._nursery = nursery
        self._number = 0
        self._asked = trio.Event()
        self._written = trio.Event()

    @property
    def now_ns(self) -> int:
        """The exchange's wall clock: that of the recording."""
        return self._client.replay.now_ns

    # What peers call

    def admit(self) -> None:
        return None

    def connected(self, end: ConnectionEnd, *, protocol: str, host: Host = Host.ALL) -> int:
        del host  # there is one: it serves what is recorded
        self._number += 1
        number = self._number
        connection = self.connections[number] = _Connection(self, end, number, protocol)
        system = self._client.system_status or "online"
        status = self.desk.connect(number, system)
        end.send(v1_frames.status(system, number) if protocol == "v1" else status)
        self._nursery.start_soon(connection.run)
        return number

    def received(self, number: int, data: str | bytes) -> None:
        connection = self.connections[number]
        if not connection.is_closed:
            try:
                connection.requests.send_nowait(data)
            except trio.WouldBlock:
                connection.close("too many requests")

    def disconnected(self, number: int) -> None:
        self.connections.pop(number).leave()
        self.written()

    def written(self) -> None:
        for connection in self.connections.values():
            connection.look()
        self._written.set()

    # What connections call

    def asked(self) -> None:
        self._asked.set()

    def left(self) -> None:
        """A connection has left subscriptions. If there are no others, the clock stands."""
        if not any(connection.sinks for connection in self.connections.values()):
            self._client.replay.pause()

    def recording_ended(self) -> None:
        self.ended.set()

    async def attach(self, sink: _Sink) -> None:
        try:
            await self._client._shell.attach(sink)  # noqa: SLF001 (a part of the client, as subscribe is)
        except (SubscriptionRejected, trio.ClosedResourceError):
            sink.leave()  # the replay has been closed: the desk refuses what was not recorded

    # Tasks

    async def serve(self, stream: Wire) -> None:
        await Peer(stream, self, None).run()

    async def start_clock(self) -> None:
        """Let the replay go on when clients have asked for what they want, and nobody asks for more."""
        while True:
            await self._asked.wait()
            self._asked = trio.Event()
            with trio.move_on_after(QUIET_SECONDS) as scope:
                await self._asked.wait()
            if scope.cancelled_caught and any(connection.sinks for connection in self.connections.values()):
                self._client.replay.resume()

    async def say_goodbye(self) -> None:
        """Close all connections, when they have taken everything."""
        await self._wait(GOODBYE_SECONDS, lambda: not any(one.end.queued for one in self.connections.values()))
        for connection in list(self.connections.values()):
            connection.leave()
            connection.end.end(DropHow.CLOSE_1001, "the recording has ended")
        await self._wait(CLOSE_SECONDS, lambda: not self.connections)

    async def _wait(self, limit: float, is_done: Callable[[], bool]) -> None:
        with trio.move_on_after(limit):
            await trio.lowlevel.checkpoint()
            while not is_done():
                self._written = trio.Event()
                await self._written.wait()


@asynccontextmanager
async def serving(client: ReplayClient, host: str, port: int) -> AsyncIterator[tuple[str, Server]]:
    """Serve this replay, which is paused, while a block runs. The value is the URL for clients, and the server."""
    listeners = await trio.open_tcp_listeners(port, host=host)
    port = listeners[0].socket.getsockname()[1]
    async with open_hidden_nursery() as nursery:
        server = Server(client, nursery)
        nursery.start_soon(server.start_clock)
        # The sockets listen already, so there is no need to wait for this.
        nursery.start_soon(trio.serve_listeners, server.serve, listeners)  # noqa: ASYNC113 (they listen already)
        try:
            yield f"ws://{f'[{host}]' if ':' in host else host}:{port}/v2", server
        finally:
            nursery.cancel_scope.cancel()
