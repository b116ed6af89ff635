"""The measuring: one connection that is taken apart, then a client on a second one. Changes nothing.

It makes at most :data:`MAX_ATTEMPTS` attempts to connect, which count in the connect budget as any others do, and ends
within :data:`TIME_LIMIT`, whatever the peer does.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import sys
import sysconfig
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
import trio

from kraken_trio import (
    Book,
    BookSnapshot,
    BookUpdate,
    ConnectError,
    ConnectionState,
    Gap,
    KrakenTrioError,
    Lifecycle,
    Overflow,
    Settings,
    StateChange,
    SubscriptionRejected,
    Trade,
    Trades,
    open_client,
)
from kraken_trio._address import parse_address
from kraken_trio._proxy import choose_proxies
from kraken_trio._text import printable
from kraken_trio.admission import Wait
from kraken_trio.admission.default import default_admission
from kraken_trio.admission.ledger import HostLedger
from kraken_trio.book.core import NAME as CORE
from kraken_trio.cli.doctor import checks
from kraken_trio.cli.doctor.findings import Level
from kraken_trio.errors import ProtocolError
from kraken_trio.settings import MAX_CONNECT_BUDGET
from kraken_trio.transport import ConnectionLost, Limits
from kraken_trio.transport.choice import choose
from kraken_trio.transport.dial import check_tls
from kraken_trio.transport.tunnel import Tunnel
from kraken_trio.wire.codec import codec_for
from kraken_trio.wire.messages import Heartbeat, Pong, Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from kraken_trio import Client, Feed
    from kraken_trio._address import Address
    from kraken_trio._proxy import Proxy
    from kraken_trio.admission import Admission
    from kraken_trio.cli.doctor.findings import Finding
    from kraken_trio.transport import Connect, Transport
    from kraken_trio.transport.connection import Phase
    from kraken_trio.transport.dial import OpenStream

__all__ = ["MAX_ATTEMPTS", "TIME_LIMIT", "Machine", "Plan", "examine"]

MAX_ATTEMPTS: Final = 3
TIME_LIMIT: Final = 28.0
"""Seconds for everything. The command has promised 30."""

# The parts of it, in seconds.
_LOCAL: Final = 2.0
_NAME: Final = 3.5
_CONNECT: Final = 6.0
_PINGS: Final = 4.0
_DATA: Final = 8.0
_CLOSE: Final = 0.5
_PING_EVERY: Final = 0.1
_HEAD_BYTES: Final = 16 * 1024
_SHORT: Final = 200
"""Characters: frames that may be heartbeats."""

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Plan:
    """What is examined."""

    url: str
    symbols: Sequence[str] = ("BTC/USD",)
    budget_file: str | None = None
    folder: str | None = None
    proxy: str | None = attrs.field(default="auto", repr=False)
    ssl_context: ssl.SSLContext | None = None


async def _addresses(host: str, port: int) -> list[Any]:
    return await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def _in_thread(work: Callable[[], T]) -> T:
    return await trio.to_thread.run_sync(work, abandon_on_cancel=True)


def _open_files() -> int | None:
    try:
        import resource  # noqa: PLC0415 (not on Windows)
    except ImportError:
        return None
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


@attrs.frozen(kw_only=True)
class Machine:
    """What is outside of the program: the network, the clocks, the disk. Tests replace parts of it."""

    open_stream: OpenStream = trio.open_tcp_stream
    addresses: Callable[[str, int], Awaitable[Sequence[Any]]] = _addresses
    wall_ns: Callable[[], int] = time.time_ns
    monotonic_ns: Callable[[], int] = time.monotonic_ns
    in_thread: Callable[[Callable[[], Any]], Awaitable[Any]] = _in_thread
    free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free
    open_files: Callable[[], int | None] = _open_files
    environ: Mapping[str, str] = os.environ
    core: str = CORE
    can_compile: bool = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")


async def examine(plan: Plan, tell: Callable[[Finding], None], machine: Machine | None = None) -> None:
    """Make all checks, and tell each finding as soon as it is known. What was not reached is skipped."""
    told: set[str] = set()

    def note(finding: Finding) -> None:
        told.add(finding.check)
        tell(finding)

    doctor = _Doctor(plan, machine or Machine(), note)
    with trio.move_on_after(TIME_LIMIT) as scope:
        await doctor.run()
    left = [check for check in checks.CHECKS if check not in told]
    if scope.cancelled_caught:
        says = f"there was no time left for it within {TIME_LIMIT:g} s"
        tell(checks.failed(left.pop(0), says, "what comes before it takes too long: look at these figures"))
    for check in left:
        tell(checks.skipped(check, "an earlier check failed"))


class _Doctor:
    def __init__(self, plan: Plan, machine: Machine, note: Callable[[Finding], None]) -> None:
        self._plan = plan
        self._machine = machine
        self._note = note
        self._can_connect = True

    async def run(self) -> None:
        self._note(checks.core(self._machine.core, can_compile=self._machine.can_compile))
        self._check_transport()
        await self._check_files()
        address = parse_address(self._plan.url)
        check_tls(address, self._plan.ssl_context)
        try:
            proxy = choose_proxies(self._plan.proxy, self._machine.environ)(address)
        except ConnectError as error:
            self._note(checks.proxy(None, str(error)))
            return
        self._note(checks.proxy(None if proxy is None else f"through {proxy}", None))
        if not self._can_connect or not await self._check_name(proxy.host if proxy else address.host, address, proxy):
            return
        admission = _AtMost(default_admission(self._plan.url, self._plan.budget_file), MAX_ATTEMPTS)
        if await self._take_apart(address, proxy, admission):
            await self._use(admission, proxy)

    # This machine

    def _check_transport(self) -> None:
        try:
            choose("websockets")
        except ImportError as error:
            self._note(checks.transport("trio-websocket", str(error)))
        else:
            self._note(checks.transport("websockets", None))

    async def _check_files(self) -> None:
        plan, finding = self._plan, None
        with trio.move_on_after(_LOCAL):
            finding = await self._machine.in_thread(self._read_budget)
        finding = finding or checks.budget(None, 0, "the file system does not answer")
        self._can_connect = finding.level is not Level.FAILED  # Kraken would ban the address
        self._note(finding)
        finding = None
        with trio.move_on_after(_LOCAL):
            finding = await self._machine.in_thread(self._look_at_disk)
        self._note(finding or checks.disk(None, f"{printable(plan.folder, 100)}: the file system does not answer"))
        self._note(checks.files(self._machine.open_files()))

    def _read_budget(self) -> Finding:
        """Only read: it is created, and counted in, when a connection is made."""
        if self._plan.budget_file is None:
            return checks.budget(None, 0, None)
        path = Path(self._plan.budget_file)
        try:
            if path.exists() and not path.is_file():
                return checks.budget(None, 0, "it is no regular file")
            data = path.read_bytes()[: HostLedger.SIZE + 1] if path.exists() else b""
            if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
                return checks.budget(None, 0, "it cannot be written")
            ledger = HostLedger(data, wall=self._machine.wall_ns(), monotonic=self._machine.monotonic_ns())
        except OSError as error:
            return checks.budget(None, 0, error.strerror or str(error))
        except ValueError as error:
            return checks.budget(None, 0, str(error))
        return checks.budget(ledger.count, ledger.wait(), None)

    def _look_at_disk(self) -> Finding:
        """Of the folder, or of the one in which it would be made."""
        if self._plan.folder is None:
            return checks.disk(None, None)
        folder = Path(self._plan.folder).absolute()
        place = folder if folder.exists() else folder.parent
        shown = printable(folder, 100)
        if not place.is_dir():
            return checks.disk(None, f"{shown} is no folder")
        try:
            free = self._machine.free_bytes(place)
        except OSError as error:
            return checks.disk(None, f"{shown}: {error.strerror or error}")
        return checks.disk(free, None, is_writable=os.access(place, os.W_OK | os.X_OK))

    # The way to the exchange

    async def _check_name(self, host: str, address: Address, proxy: Proxy | None) -> bool:
        found: Sequence[Any] = ()
        error: str | None = f"no answer within {_NAME:g} s"
        began = trio.current_time()
        with trio.move_on_after(_NAME):  # noqa: ASYNC912 (a failed look-up need not wait)
            try:
                found = await self._machine.addresses(host, proxy.port if proxy else address.port)
                error = None
            except (OSError, UnicodeError) as exc:
                error = getattr(exc, "strerror", None) or str(exc)
        families = Counter(entry[0] for entry in found)
        v4, v6 = families[socket.AF_INET], families[socket.AF_INET6]
        finding = checks.name(host, trio.current_time() - began, v4, v6, error)
        self._note(finding)
        return finding.level is not Level.FAILED

    async def _take_apart(self, address: Address, proxy: Proxy | None, admission: _AtMost) -> bool:
        """The first connection: its phases, the exchange's status, and pings."""
        wait = await admission.take(MAX_CONNECT_BUDGET)
        if wait is not None:
            self._note(checks.failed("refusal", f"no attempt was made: {wait.why}", f"wait for {wait.seconds:.0f} s"))
            return False
        watch = _Stages(address, self._machine.wall_ns)
        limits = Limits(connect_timeout=_CONNECT, close_timeout=_CLOSE)
        connect = choose("auto", self._opener(proxy), watch)
        try:
            async with connect(self._plan.url, ssl_context=self._plan.ssl_context, limits=limits) as transport:
                self._tell_stages(address, watch, proxied=proxy is not None)
                self._note(checks.refusal(None, None))
                self._note(checks.http_clock(watch.ahead_of_date()))
                return await self._talk(transport)
        except ConnectError as error:
            self._tell_stages(address, watch, proxied=proxy is not None)
            self._note(checks.not_connected(list(watch.took), str(error), secure=address.secure))
            if error.status is not None:
                self._note(checks.refusal(error.status, error.retry_after))
                self._note(checks.http_clock(watch.ahead_of_date()))
        return False

    def _opener(self, proxy: Proxy | None) -> OpenStream:
        return self._machine.open_stream if proxy is None else Tunnel(proxy, self._machine.open_stream)

    def _tell_stages(self, address: Address, watch: _Stages, *, proxied: bool) -> None:
        if "tcp" in watch.took:
            self._note(checks.tcp(watch.took["tcp"], proxied=proxied))
        if "tls" in watch.took:
            self._note(checks.tls(watch.took["tls"], watch.tls_version))
            self._note(checks.certificate(watch.expires_in))
        elif not address.secure:
            for check in ("tls", "certificate"):
                self._note(checks.skipped(check, "the URL begins with ws://: nothing is encrypted"))
        if "upgrade" in watch.took:
            self._note(checks.upgrade(watch.took["upgrade"]))

    async def _talk(self, transport: Transport) -> bool:
        talk = _Talk(transport, self._machine.wall_ns)
        try:
            with trio.move_on_after(_PINGS):
                await talk.ping()
        except ConnectionLost as lost:
            if not talk.took:
                self._note(checks.failed("engine", f"the connection was lost: {lost.reason}", "try again in a minute"))
                return False
        self._note(checks.engine(talk.system))
        self._note(checks.round_trip(talk.took))
        if talk.took:
            self._note(checks.clock(talk.offsets))
        return talk.system is not None or bool(talk.took)

    # A client

    async def _use(self, admission: _AtMost, proxy: Proxy | None) -> None:
        """The second connection: books, trades, heartbeats."""
        settings = Settings(connect_timeout=_CONNECT, close_timeout=_CLOSE)
        heard = _Heard(choose("auto", self._opener(proxy)))
        seen = _Seen(self._plan.symbols)
        try:
            with trio.move_on_after(_CONNECT + _DATA):
                async with open_client(
                    self._plan.url,
                    settings=settings,
                    ssl_context=self._plan.ssl_context,
                    transport=heard,
                    admission=admission,
                ) as client:
                    await self._watch(client, seen)
        except KrakenTrioError as error:
            if not seen.refused:
                says, cure = checks.split(str(error))
                self._note(checks.failed("subscribe", says, cure))
                return
        self._note(checks.subscribe(seen.latency()))
        if seen.began is not None and len(seen.refused) < len(self._plan.symbols):
            self._note(checks.heartbeats(heard.at, seen.ended))
        for symbol in self._plan.symbols:
            refused, failures = seen.refused.get(symbol), seen.failures[symbol]
            up = symbol in seen.up
            self._note(checks.book(symbol, seen.checksums[symbol], failures, is_up=up, refused=refused))
        for symbol in self._plan.symbols:
            if symbol not in seen.refused:
                self._note(checks.trades(symbol, seen.trades[symbol], seen.holes[symbol]))

    async def _watch(self, client: Client, seen: _Seen) -> None:
        symbols = list(self._plan.symbols)
        while symbols:
            requests = [kind(symbol) for symbol in symbols for kind in (Book, Trades)]
            began = trio.current_time()
            try:
                async with client.subscribe(
                    *requests, Lifecycle(), capacity=16_384, overflow=Overflow.DROP_OLDEST
                ) as feed:
                    seen.began = began
                    await _look_on(feed, seen, began + _DATA - 1)
                    symbols = []
            except SubscriptionRejected as error:
                refused = {request.symbol or "": text for request, text in error.reasons.items()}
                seen.refused |= refused
                symbols = [symbol for symbol in symbols if symbol not in refused]


async def _look_on(feed: Feed[Any], seen: _Seen, until: float) -> None:
    """Until there is enough of everything, or no time left."""
    with trio.move_on_at(until):  # noqa: ASYNC912 (there may be enough)
        while not seen.has_enough(trio.current_time()):
            seen.take(await feed.receive_many(1024), trio.current_time())
    seen.ended = trio.current_time()


class _Stages:
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


class _Talk:
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


class _AtMost:
    """An admission that ends after so many attempts."""

    def __init__(self, admission: Admission, attempts: int) -> None:
        self._admission = admission
        self._left = attempts

    async def take(self, limit: int, /) -> Wait | None:
        if not self._left:
            return Wait(3600.0, f"the doctor makes at most {MAX_ATTEMPTS} attempts")
        wait = await self._admission.take(limit)
        self._left -= wait is None
        return wait


class _Heard:
    """A transport's ``Connect`` that notes when heartbeats come."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._codec = codec_for("v2")
        self.at: list[float] = []

    def __call__(
        self, url: str, *, ssl_context: ssl.SSLContext | None, limits: Limits
    ) -> AbstractAsyncContextManager[Transport]:
        return self._open(url, ssl_context, limits)

    @asynccontextmanager
    async def _open(self, url: str, ssl_context: ssl.SSLContext | None, limits: Limits) -> AsyncIterator[Transport]:
        async with self._connect(url, ssl_context=ssl_context, limits=limits) as transport:
            yield _Listening(transport, self.note)

    def note(self, frame: str | bytes) -> None:
        """Note it if it is a heartbeat."""
        try:
            is_heartbeat = len(frame) <= _SHORT and isinstance(self._codec.decode(frame), Heartbeat)
        except ProtocolError:
            return
        if is_heartbeat:
            self.at.append(trio.current_time())


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


class _Seen:
    """What came of each symbol."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self._symbols = symbols
        self.began: float | None = None
        self.ended: float = 0.0
        self.refused: dict[str, str] = {}
        self.first: dict[str, float] = {}
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
                self.up.clear()

    def _miss(self, gap: Gap) -> None:
        for symbol in self._symbols if gap.symbol is None else (gap.symbol,):
            if gap.channel in {"book", None}:
                self.up.discard(symbol)
                self.failures[symbol] += gap.cause.value == "checksum"
            if gap.channel in {"trade", None}:
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
