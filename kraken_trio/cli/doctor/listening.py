"""What comes over the two connections: times of their phases, the HTTP head, pongs, heartbeats, and events."""

from __future__ import annotations

import ssl
from collections import Counter
from contextlib import asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

import trio

from kraken_trio import BookSnapshot, BookUpdate, Cause, ConnectionState, Gap, StateChange, Trade
from kraken_trio.cli.doctor import checks
from kraken_trio.errors import ProtocolError
from kraken_trio.wire.codec import codec_for
from kraken_trio.wire.messages import Heartbeat, Pong, Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from kraken_trio._address import Address
    from kraken_trio.transport import Connect, Limits, Transport
    from kraken_trio.transport.connection import Phase

__all__ = ["Heard", "Seen", "Stages", "Talk"]

_PING_EVERY: Final = 0.1
_HEAD_BYTES: Final = 16 * 1024
_SHORT: Final = 200
"""Characters: frames that may be heartbeats."""
_OTHERWISE_TOLD: Final = frozenset(
    {Cause.CONNECT_FAILED, Cause.DISCONNECTED, Cause.SILENCE, Cause.PROTOCOL, Cause.REFUSED, Cause.OVERFLOW}
)
"""Why trades may be missing without a hole in what one connection has brought."""


class Stages:
    """Times the phases of connecting, and keeps the certificate and the HTTP head."""

    def __init__(self, address: Address, wall_ns: Callable[[], int]) -> None:
        self._secure = address.secure
        self._wall_ns = wall_ns
        self._last = trio.current_time()
        self._head: _Head | None = None
        self.took: dict[str, float] = {}
        self.tls_version: str = ""
        self.expires_in: float = 0.0

    def __call__(self, phase: Phase, stream: trio.abc.Stream) -> trio.abc.Stream:
        now = trio.current_time()
        self.took[phase], self._last = now - self._last, now
        if isinstance(stream, trio.SSLStream):
            self.tls_version = stream.version() or ""
            until = ssl.cert_time_to_seconds(stream.getpeercert()["notAfter"])  # it was verified: there is one
            self.expires_in = until - self._wall_ns() / 1e9
        if phase == ("tls" if self._secure else "tcp"):
            self._head = stream = _Head(stream, self._wall_ns)
        return stream

    def ahead_of_date(self) -> float | None:
        """This clock less that of HTTP's ``Date``, in seconds. A second that has begun is taken for half over."""
        if self._head is None or self._head.at_ns is None:
            return None
        for line in bytes(self._head.data).partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"date":
                with suppress(ValueError, OverflowError):
                    date = parsedate_to_datetime(value.decode("latin-1").strip())
                    return self._head.at_ns / 1e9 - date.timestamp() - 0.5
        return None


class _Head(trio.abc.Stream):
    """A stream of which the first bytes that come are kept."""

    def __init__(self, stream: trio.abc.Stream, wall_ns: Callable[[], int]) -> None:
        self._stream = stream
        self._wall_ns = wall_ns
        self.data = bytearray()
        self.at_ns: int | None = None

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self._stream.receive_some(max_bytes)
        if self.at_ns is None:
            self.at_ns = self._wall_ns()
        if len(self.data) < _HEAD_BYTES:
            self.data += data
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


class Talk:
    """Pings, one after the other, and the exchange's status, which comes first."""

    def __init__(self, transport: Transport, wall_ns: Callable[[], int]) -> None:
        self._transport = transport
        self._codec = codec_for("v2")
        self._wall_ns = wall_ns
        self.system: str | None = None
        self.took: list[float] = []
        self.offsets: list[float] = []

    async def ping(self) -> None:
        for number in range(1, checks.PINGS + 1):
            began, began_ns = trio.current_time(), self._wall_ns()
            await self._transport.send(self._codec.ping(number))
            while (pong := await self._next_pong(number)) is None:
                pass
            ended_ns = self._wall_ns()
            self.took.append(trio.current_time() - began)
            if pong.in_ns is not None and pong.out_ns is not None:  # the half of the way that is as long as the other
                self.offsets.append((began_ns - pong.in_ns + ended_ns - pong.out_ns) / 2e9)
            await trio.sleep(_PING_EVERY)

    async def _next_pong(self, number: int) -> Pong | None:
        found = None
        for frame in await self._transport.receive():
            try:
                message = self._codec.decode(frame)
            except ProtocolError:
                continue
            if isinstance(message, Status):
                self.system = message.system
            elif isinstance(message, Pong) and message.req_id == number:
                found = message
        return found


class Heard:
    """A transport's ``Connect`` that notes when heartbeats come, and how much comes in all."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._codec = codec_for("v2")
        self._runs: list[tuple[list[float], float]] = []  # of each connection: its heartbeats, and when it ended
        self.bytes = 0

    def heartbeats(self, until: float) -> list[tuple[list[float], float]]:
        """Of each connection: when they came, and when it ended, or nobody listened any more."""
        return [(at, min(ended, until)) for at, ended in self._runs]

    def __call__(
        self, url: str, *, ssl_context: ssl.SSLContext | None, limits: Limits
    ) -> AbstractAsyncContextManager[Transport]:
        return self._open(url, ssl_context, limits)

    @asynccontextmanager
    async def _open(self, url: str, ssl_context: ssl.SSLContext | None, limits: Limits) -> AsyncIterator[Transport]:
        at: list[float] = []

        def note(frame: str | bytes) -> None:
            self.bytes += len(frame)
            if self._is_heartbeat(frame):
                at.append(trio.current_time())

        async with self._connect(url, ssl_context=ssl_context, limits=limits) as transport:
            try:
                yield _Listening(transport, note)
            finally:
                self._runs.append((at, trio.current_time()))

    def _is_heartbeat(self, frame: str | bytes) -> bool:
        try:
            return len(frame) <= _SHORT and isinstance(self._codec.decode(frame), Heartbeat)
        except ProtocolError:
            return False


class _Listening:
    """A transport that tells what comes."""

    def __init__(self, transport: Transport, note: Callable[[str | bytes], None]) -> None:
        self._transport = transport
        self._note = note

    async def receive(self) -> list[str | bytes]:
        frames = await self._transport.receive()
        for frame in frames:
            self._note(frame)
        return frames

    async def send(self, text: str) -> None:
        await self._transport.send(text)


class Seen:
    """What came of each symbol."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self._symbols = symbols
        self.began: float | None = None
        self.ended: float = 0.0
        self.refused: dict[str, str] = {}
        self.first: dict[str, float] = {}
        self.losses: int = 0
        self.detail: str = ""
        self.up: set[str] = set()
        self.checksums: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.trades: Counter[str] = Counter()
        self.holes: Counter[str] = Counter()

    def take(self, events: Sequence[Any], now: float) -> None:
        for event in events:
            if isinstance(event, BookSnapshot | BookUpdate):
                self.first.setdefault(event.symbol, now)
                self.up.add(event.symbol)
                self.checksums[event.symbol] += 1
            elif isinstance(event, Trade):
                self.trades[event.symbol] += 1
            elif isinstance(event, Gap):
                self._miss(event)
            elif isinstance(event, StateChange) and event.current is ConnectionState.DISCONNECTED:
                self.losses += 1
                self.detail = self.detail or event.detail or event.cause.value
                self.up.clear()

    def _miss(self, gap: Gap) -> None:
        for symbol in self._symbols if gap.symbol is None else (gap.symbol,):
            if gap.channel in {"book", None}:
                self.up.discard(symbol)
                self.failures[symbol] += gap.cause.value == "checksum"
            if gap.channel in {"trade", None} and gap.cause not in _OTHERWISE_TOLD:
                self.holes[symbol] += 1

    def latency(self) -> float | None:
        """Seconds until all books that were not refused had come; None if one has not."""
        wanted = [symbol for symbol in self._symbols if symbol not in self.refused]
        if self.began is None or not wanted or any(symbol not in self.first for symbol in wanted):
            return None
        return max(self.first[symbol] for symbol in wanted) - self.began

    def has_enough(self, now: float) -> bool:
        """Enough checksums of every book, and time for three heartbeats."""
        wanted = [symbol for symbol in self._symbols if symbol not in self.refused]
        has_all = all(self.checksums[symbol] >= checks.CHECKSUMS and symbol in self.up for symbol in wanted)
        return has_all and self.began is not None and now - self.began >= 3.5
