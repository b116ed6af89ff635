"""The measuring: one connection that is taken apart, then a client on a second one. Changes nothing.

It makes at most :data:`MAX_ATTEMPTS` attempts to connect, which count in the connect budget as any others do, and ends
within :data:`TIME_LIMIT`, whatever the peer does.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import attrs
import trio

from kraken_trio import (
    Book,
    ConnectError,
    KrakenTrioError,
    Lifecycle,
    Overflow,
    Settings,
    SubscriptionRejected,
    Trades,
    open_client,
)
from kraken_trio._address import parse_address
from kraken_trio._proxy import choose_proxies
from kraken_trio._text import printable
from kraken_trio.admission import Wait
from kraken_trio.admission.default import default_admission
from kraken_trio.admission.ledger import HostLedger
from kraken_trio.cli.doctor import checks
from kraken_trio.cli.doctor.findings import Level
from kraken_trio.cli.doctor.folder import look_at_place, look_at_recording
from kraken_trio.cli.doctor.listening import Heard, Seen, Stages, Talk
from kraken_trio.cli.doctor.machine import Machine
from kraken_trio.settings import MAX_CONNECT_BUDGET
from kraken_trio.transport import ConnectionLost, Limits
from kraken_trio.transport.choice import choose
from kraken_trio.transport.dial import check_tls
from kraken_trio.transport.tunnel import Tunnel

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from kraken_trio import Client, Feed
    from kraken_trio._address import Address
    from kraken_trio._proxy import Proxy
    from kraken_trio.admission import Admission
    from kraken_trio.cli.doctor.findings import Finding
    from kraken_trio.transport import Transport
    from kraken_trio.transport.dial import OpenStream

__all__ = ["MAX_ATTEMPTS", "TIME_LIMIT", "Plan", "examine"]

MAX_ATTEMPTS: Final = 3
TIME_LIMIT: Final = 28.0
"""Seconds for everything. The command has promised 30."""

# The parts of it, in seconds.
_LOCAL: Final = 2.0
_RECORDING: Final = 3.0
_NAME: Final = 3.5
_CONNECT: Final = 6.0
_PINGS: Final = 4.0
_DATA: Final = 8.0
_CLOSE: Final = 0.5

_SILENT: Final = "the file system does not answer"
_FAMILIES: Final = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}

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
        self._free: int | None = None
        self._family = ""

    async def run(self) -> None:
        self._note(checks.core(self._machine.core, can_compile=self._machine.can_compile))
        self._check_transport()
        await self._check_budget()
        self._note(checks.files(self._machine.open_files()))
        await self._check_folder()
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

    async def _check_budget(self) -> None:
        finding: Finding | None = await self._within(_LOCAL, self._read_budget)
        finding = finding or checks.budget(None, 0, _SILENT)
        self._can_connect = finding.level is not Level.FAILED  # Kraken would ban the address
        self._note(finding)

    async def _check_folder(self) -> None:
        if self._plan.folder is None:
            for check in checks.OF_FOLDER:
                self._note(checks.skipped(check, "no folder was named (--folder)"))
            return
        place = await self._within(_LOCAL, partial(look_at_place, self._plan.folder, self._machine))
        if place is None:
            self._note(checks.folder(f"{printable(self._plan.folder, 100)}: {_SILENT}"))
            return
        for finding in place.findings:
            self._note(finding)
        if not place.is_usable:
            return
        recorded = await self._within(_RECORDING, partial(look_at_recording, self._plan.folder, self._machine))
        if recorded is None:
            self._note(checks.segments(0, [], [], error=f"they could not be read within {_RECORDING:g} s"))
            return
        for finding in recorded.findings:
            self._note(finding)
        if recorded.growth is None:
            self._free = place.free  # once it is known how much comes
        elif place.free is not None:
            self._note(checks.room(place.free, recorded.growth))

    async def _within(self, seconds: float, work: Callable[[], T]) -> T | None:
        """What it returns; None if that takes longer."""
        with trio.move_on_after(seconds):
            return cast("T", await self._machine.in_thread(work))
        return None

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
        watch = Stages(address, self._machine.wall_ns)
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
        return self._open_stream if proxy is None else Tunnel(proxy, self._open_stream)

    async def _open_stream(self, host: str, port: int) -> trio.abc.Stream:
        stream = await self._machine.open_stream(host, port)
        if isinstance(stream, trio.SocketStream):
            self._family = _FAMILIES.get(stream.socket.family, "")
        return stream

    def _tell_stages(self, address: Address, watch: Stages, *, proxied: bool) -> None:
        if "tcp" in watch.took:
            self._note(checks.tcp(watch.took["tcp"], proxied=proxied, family=self._family))
        if "tls" in watch.took:
            self._note(checks.tls(watch.took["tls"], watch.tls_version))
            self._note(checks.certificate(watch.expires_in))
        elif not address.secure:
            for check in ("tls", "certificate"):
                self._note(checks.skipped(check, "the URL begins with ws://: nothing is encrypted"))
        if "upgrade" in watch.took:
            self._note(checks.upgrade(watch.took["upgrade"]))

    async def _talk(self, transport: Transport) -> bool:
        talk = Talk(transport, self._machine.wall_ns)
        reason: str | None = None
        try:
            with trio.move_on_after(_PINGS):
                await talk.ping()
        except ConnectionLost as lost:
            reason = lost.reason
            if not talk.took:
                self._note(checks.failed("engine", f"the connection was lost: {reason}", "try again in a minute"))
                return False
        self._note(checks.engine(talk.system))
        self._note(checks.round_trip(talk.took, reason))
        if talk.took:
            self._note(checks.clock(talk.offsets))
        return talk.system is not None or bool(talk.took)

    # A client

    async def _use(self, admission: _AtMost, proxy: Proxy | None) -> None:
        """The second connection: books, trades, heartbeats."""
        settings = Settings(connect_timeout=_CONNECT, close_timeout=_CLOSE)
        heard = Heard(choose("auto", self._opener(proxy)))
        seen = Seen(self._plan.symbols)
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
            self._note(checks.heartbeats(heard.heartbeats(seen.ended)))
            self._note(checks.connection(seen.ended - seen.began, seen.losses, seen.detail))
        for symbol in self._plan.symbols:
            refused, failures = seen.refused.get(symbol), seen.failures[symbol]
            up = symbol in seen.up
            self._note(checks.book(symbol, seen.checksums[symbol], failures, is_up=up, refused=refused))
        for symbol in self._plan.symbols:
            if symbol not in seen.refused:
                self._note(checks.trades(symbol, seen.trades[symbol], seen.holes[symbol]))
        if self._free is not None and seen.began is not None:
            over = max(seen.ended - seen.began, 1.0)
            a_day = heard.bytes * checks.RECORDED / over * 86_400
            self._note(checks.room(self._free, checks.Growth(a_day=a_day, over=over, is_guess=True)))

    async def _watch(self, client: Client, seen: Seen) -> None:
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


async def _look_on(feed: Feed[Any], seen: Seen, until: float) -> None:
    """Until there is enough of everything, or no time left."""
    try:
        with trio.move_on_at(until):  # noqa: ASYNC912 (there may be enough)
            while not seen.has_enough(trio.current_time()):
                seen.take(await feed.receive_many(1024), trio.current_time())
    finally:
        seen.ended = trio.current_time()


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
