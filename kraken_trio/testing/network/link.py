"""A TCP connection in memory: two :class:`MemoryStream` and the bytes between them.

It behaves as TCP. Bytes arrive in order, after a latency, split anywhere. Sending waits while too much is unread. A
reset discards what has not arrived. An end that has closed answers further bytes with
a reset. A silent line delivers nothing; what was sent meanwhile arrives when it works again, unless the sender's
timeout has passed.

There are no tasks and no timers: a reader waits until the time at which bytes arrive.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from math import inf
from operator import index
from random import Random
from typing import Final, NoReturn

import attrs
import trio

from kraken_trio.testing import checks
from kraken_trio.testing.faults.network import Conditions, Direction

__all__ = ["Link", "MemoryStream"]

_EOF: Final = b""
_READ_BYTES: Final = 65536
"""The default size of a read."""


@attrs.define(eq=False)
class _Pipe:
    """One direction of a link."""

    random: Random
    conditions: Conditions
    segments: deque[tuple[float, bytes | None]] = attrs.Factory(deque)
    """Unread data: its arrival time (``-inf``: arrived) and its bytes. ``b""`` is the end, None a reset."""
    unread: int = 0
    free_at: float = -inf
    """When everything that was sent has left, at the given throughput."""
    last_arrival: float = -inf
    silent_since: float = inf
    silent_until: float = -inf
    ended: bool = False
    """Whether the sender has sent its end."""
    abandoned: bool = False
    """Whether the receiver has closed."""

    def push(self, data: bytes | None, now: float) -> None:
        """Send this."""
        rule = self.conditions
        low, high = rule.latency
        leaves = now
        if rule.bytes_per_second is not None:
            leaves = self.free_at = max(self.free_at, now) + len(data or _EOF) / rule.bytes_per_second
        self.last_arrival = max(self.last_arrival, leaves + low + (high - low) * self.random.random())
        self.segments.append((self.last_arrival, data))
        self.unread += len(data or _EOF)

    def change(self, conditions: Conditions, now: float) -> None:
        """Set the conditions, also for bytes in transit if that is faster."""
        self.conditions = conditions
        latest = now + conditions.latency[1]
        self.segments = deque((min(arrival, latest), data) for arrival, data in self.segments)
        self.last_arrival = min(self.last_arrival, latest)
        self.free_at = min(self.free_at, now)

    def hush(self, until: float, now: float) -> None:
        """Let nothing arrive before then. What has arrived can be read."""
        self.segments = deque((-inf if self._ready_at(at) <= now else at, data) for at, data in self.segments)
        if self.silent_until <= now:
            self.silent_since = now
        self.silent_until = max(self.silent_until, until)

    def reset(self, now: float) -> None:
        """Discard data in transit; then a reset arrives."""
        self._lose(now)
        self.push(None, now)

    def lose(self, now: float) -> None:
        """Discard data in transit; the receiver gets a reset at once."""
        self._lose(now)
        self.segments.append((now, None))
        self.last_arrival = now

    def _lose(self, now: float) -> None:
        while self.segments and self._ready_at(self.segments[-1][0]) > now:
            self.unread -= len(self.segments.pop()[1] or _EOF)

    def _ready_at(self, arrival: float) -> float:
        """When data that arrives at that time can be read."""
        return arrival if arrival == -inf else max(arrival, self.silent_until)

    @property
    def due(self) -> float:
        """When there is something to read."""
        return self._ready_at(self.segments[0][0]) if self.segments else inf

    @property
    def reset_due(self) -> float:
        """When a reset arrives (it is always the last)."""
        if not self.segments or self.segments[-1][1] is not None:
            return inf
        return self._ready_at(self.segments[-1][0])

    @property
    def given_up_at(self) -> float:
        """When the sender's timeout ends."""
        held = next((arrival for arrival, _ in self.segments if arrival != -inf), inf)
        given_up = max(held, self.silent_since) + self.conditions.patience
        return given_up if given_up < self.silent_until else inf

    def take(self, max_bytes: int, now: float) -> bytes | None:
        """What has arrived: up to ``max_bytes``; ``b""`` for the end, which stays; None for a reset, which does too.

        Something is due.
        """
        data = self.segments[0][1]
        if not data:
            return data
        limit = min(max_bytes, self.random.randint(*self.conditions.piece))
        taken = bytearray()
        while self.segments and self._ready_at(self.segments[0][0]) <= now and len(taken) < limit:
            arrival, data = self.segments[0]
            if not data:
                break
            room = limit - len(taken)
            taken += data[:room]
            if len(data) > room:
                self.segments[0] = (arrival, data[room:])
            else:
                self.segments.popleft()
        self.unread -= len(taken)
        return bytes(taken)


class MemoryStream(trio.abc.HalfCloseableStream):
    """One end of a :class:`Link`: a Trio stream."""

    def __init__(self, link: Link, incoming: _Pipe, outgoing: _Pipe) -> None:
        self.link: Link = link
        """Its link."""
        self._incoming = incoming
        self._outgoing = outgoing
        self._is_closed = False
        self._why_broken: int | None = None
        self._reader: trio.CancelScope | None = None
        self._writer: trio.CancelScope | None = None
        """Waiting tasks sleep until a deadline, which is adjusted without waking them early."""
        self._sending = _Guard("another task is sending")
        self._receiving = _Guard("another task is receiving")

    # The interface of a Trio stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send ``data``; wait while too much is unread. After cancelling, an unknown part has been sent."""
        with self._sending:
            await trio.lowlevel.checkpoint()
            self._check_may_send()
            rest = memoryview(data)
            while rest:
                room = await self._wait_room()
                self._say(bytes(rest[:room]))
                rest = rest[room:]

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is room."""
        with self._sending:
            await trio.lowlevel.checkpoint()
            self._check_may_send()
            await self._wait_room()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait for bytes. ``b""`` means that the other end has sent its end."""
        max_bytes = _READ_BYTES if max_bytes is None else index(max_bytes)
        if max_bytes < 1:
            msg = f"max_bytes={max_bytes}: at least 1"
            raise ValueError(msg)
        with self._receiving:
            await trio.lowlevel.checkpoint()
            while True:
                self._check_open()
                now = trio.current_time()
                if self._incoming.due <= now:
                    break
                self._check_patience(now)
                with trio.CancelScope(deadline=self._read_at()) as self._reader:
                    await trio.sleep_forever()
                self._reader = None
            data = self._incoming.take(max_bytes, now)
            if data is None:
                self._break(errno.ECONNRESET)
            if data:
                self.other._reconsider()  # noqa: SLF001 (the ends know each other)
            return data

    async def send_eof(self) -> None:
        """Send the end. Idempotent."""
        with self._sending:
            await trio.lowlevel.checkpoint()
            self._check_open()
            if not self._outgoing.ended:
                self._check_may_send()
                self._outgoing.ended = True
                self._say(_EOF)

    async def aclose(self) -> None:
        """:meth:`close`, with a checkpoint."""
        self.close()
        await trio.lowlevel.checkpoint()

    # The rest of a socket's interface

    def close(self) -> None:
        """Close this end, now: sent data still arrives, unread data is lost."""
        if self._is_closed:
            return
        has_unread = bool(self._incoming.unread)
        self._leave()
        if not self._outgoing.ended:
            self._outgoing.ended = True
            self._say(_EOF)
        if has_unread:
            self._say(None)

    def reset(self) -> None:
        """Close this end with a TCP reset: data in transit is lost, and the other end gets the reset."""
        if not self._is_closed:
            self._leave()
            self._outgoing.reset(trio.current_time())
            self._wake()

    @property
    def closed(self) -> bool:
        """Whether this end has been closed."""
        return self._is_closed

    @property
    def other(self) -> MemoryStream:
        """The other end."""
        return self.link.server if self is self.link.client else self.link.client

    def __repr__(self) -> str:
        side = "client" if self is self.link.client else "server"
        return f"<MemoryStream: the {side}'s end of link {self.link.number}{', closed' if self._is_closed else ''}>"

    # Internals

    def _say(self, data: bytes | None) -> None:
        if self._outgoing.abandoned:
            # There is no reader: the answer is a reset, after what was sent before.
            if self._incoming.reset_due == inf:
                self._incoming.push(None, trio.current_time())
                self._wake()
            self._outgoing.unread += len(data or _EOF)
            return
        self._outgoing.push(data, trio.current_time())
        self._wake()

    def _wake(self) -> None:
        """Adjust the deadlines of waiting tasks at both ends after a change."""
        self._reconsider()
        self.other._reconsider()  # noqa: SLF001 (the two ends of one link)

    def _reconsider(self) -> None:
        if self._reader is not None:
            self._reader.deadline = self._read_at()
        if self._writer is not None:
            self._writer.deadline = self._write_at()

    def _read_at(self) -> float:
        """When reading has a result."""
        is_over = self._is_closed or self._why_broken is not None
        return -inf if is_over else min(self._incoming.due, self._outgoing.given_up_at)

    def _write_at(self) -> float:
        """When there is room, or a reason to give up."""
        is_over = self._is_closed or self._why_broken is not None or self._room() > 0
        return -inf if is_over else min(self._incoming.reset_due, self._outgoing.given_up_at)

    def _room(self) -> int:
        return self._outgoing.conditions.buffer_bytes - self._outgoing.unread

    def _leave(self) -> None:
        self._is_closed = True
        self._incoming.abandoned = True
        self._incoming.segments.clear()

    async def _wait_room(self) -> int:
        """Wait until something may be sent, and return how many bytes."""
        while True:
            room = self._room()
            if room > 0:
                return room
            with trio.CancelScope(deadline=self._write_at()) as self._writer:
                await trio.sleep_forever()
            self._writer = None
            self._check_may_send()

    def _check_open(self) -> None:
        if self._is_closed:
            msg = "this end has been closed"
            raise trio.ClosedResourceError(msg)
        if self._why_broken is not None:
            self._break(self._why_broken)

    def _check_may_send(self) -> None:
        self._check_open()
        if self._outgoing.ended:
            msg = "the end has been sent"
            raise trio.ClosedResourceError(msg)
        now = trio.current_time()
        if self._incoming.reset_due <= now:
            self._break(errno.ECONNRESET)
        self._check_patience(now)

    def _check_patience(self, now: float) -> None:
        if self._outgoing.given_up_at <= now:
            self._break(errno.ETIMEDOUT)

    def _break(self, why: int) -> NoReturn:
        self._why_broken = why
        cause = OSError(why, os.strerror(why))
        raise trio.BrokenResourceError(str(cause)) from cause


class Link:
    """A connection: two ends, and the bytes in transit."""

    def __init__(self, number: int, random: Random, conditions: Conditions) -> None:
        checks.integer(least=1)("number", number)
        checks.instance(Random, wanted="a random.Random")("random", random)
        checks.instance(Conditions, wanted="Conditions(...)")("conditions", conditions)
        self.number: int = number
        """1 for a network's first."""
        self.opened_at: float = trio.current_time()
        """By Trio's clock, in seconds."""
        self._to_server = _Pipe(Random(random.random()), conditions)  # noqa: S311 (weather, no secret)
        self._to_client = _Pipe(Random(random.random()), conditions)  # noqa: S311 (weather, no secret)
        self.client: MemoryStream = MemoryStream(self, self._to_client, self._to_server)
        """The client's end."""
        self.server: MemoryStream = MemoryStream(self, self._to_server, self._to_client)
        """The server's end."""

    @property
    def open(self) -> bool:
        """Whether one of the ends is still open."""
        return not (self.client.closed and self.server.closed)

    def __repr__(self) -> str:
        ends = {(False, False): "open", (True, True): "closed"}.get(
            (self.client.closed, self.server.closed), "half open"
        )
        return f"<Link {self.number}: {ends}>"

    def _pipes(self, direction: Direction) -> list[_Pipe]:
        pipes = []
        if direction is not Direction.TO_CLIENT:
            pipes.append(self._to_server)
        if direction is not Direction.TO_SERVER:
            pipes.append(self._to_client)
        return pipes

    def reset(self) -> None:
        """Reset the connection for both ends, at once. What has arrived can still be read."""
        now = trio.current_time()
        for pipe in self._pipes(Direction.BOTH):
            pipe.silent_until = -inf
            pipe.lose(now)
        self.client._wake()  # noqa: SLF001 (the two ends of one link)

    def silence(self, direction: Direction, seconds: float | None) -> None:
        """Let nothing pass for ``seconds``; None: until :meth:`heal`."""
        checks.one_of(*Direction)("direction", direction)
        checks.optional(checks.number(above=0))("seconds", seconds)
        now = trio.current_time()
        for pipe in self._pipes(direction):
            pipe.hush(inf if seconds is None else now + seconds, now)
        self.client._wake()  # noqa: SLF001 (the two ends of one link)

    def set_conditions(self, conditions: Conditions, direction: Direction = Direction.BOTH) -> None:
        """Set the conditions from now on."""
        checks.instance(Conditions, wanted="Conditions(...)")("conditions", conditions)
        checks.one_of(*Direction)("direction", direction)
        for pipe in self._pipes(direction):
            pipe.change(conditions, trio.current_time())
        self.client._wake()  # noqa: SLF001 (the two ends of one link)

    def heal(self) -> None:
        """Deliver everything again."""
        for pipe in self._pipes(Direction.BOTH):
            pipe.silent_until = -inf
        self.client._wake()  # noqa: SLF001 (the two ends of one link)


class _Guard:
    """One task at a time."""

    def __init__(self, message: str) -> None:
        self._message = message
        self._is_held = False

    def __enter__(self) -> None:
        if self._is_held:
            raise trio.BusyResourceError(self._message)
        self._is_held = True

    def __exit__(self, *_exception: object) -> None:
        self._is_held = False
