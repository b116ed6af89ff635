"""The checks: from measured values to findings. Each is a function, and measures nothing itself."""

from __future__ import annotations

import re
from statistics import median
from typing import TYPE_CHECKING, Final

import attrs

from kraken_trio._text import printable
from kraken_trio.cli.doctor.findings import Finding, Level, Limit
from kraken_trio.cli.formatting import counted, listed, shortened_bytes
from kraken_trio.settings import MAX_CONNECT_BUDGET

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CHECKS",
    "CHECKSUMS",
    "OF_FOLDER",
    "PINGS",
    "RECORDED",
    "Growth",
    "book",
    "budget",
    "certificate",
    "clock",
    "connection",
    "core",
    "disk",
    "engine",
    "failed",
    "files",
    "folder",
    "heartbeats",
    "http_clock",
    "inodes",
    "judged",
    "name",
    "not_connected",
    "proxy",
    "recorder",
    "refusal",
    "room",
    "round_trip",
    "seconds",
    "segments",
    "skipped",
    "split",
    "subscribe",
    "tcp",
    "tls",
    "trades",
    "transport",
    "upgrade",
]

CHECKS: Final = (
    "core",
    "transport",
    "budget",
    "files",
    "folder",
    "disk",
    "inodes",
    "recorder",
    "segments",
    "proxy",
    "name",
    "tcp",
    "tls",
    "certificate",
    "upgrade",
    "refusal",
    "http-clock",
    "engine",
    "round-trip",
    "clock",
    "subscribe",
    "heartbeats",
    "connection",
    "book",
    "trades",
    "room",
)
"""Their names, in the order in which they are made."""
OF_FOLDER: Final = ("folder", "disk", "inodes", "recorder", "segments", "room")
"""Those of a recording's folder."""
PINGS: Final = 10
CHECKSUMS: Final = 50
RECORDED: Final = 0.2
"""Recorded bytes for each byte that came: 40.9 for 210, and 42.2 for 206 (``python -m benchmarks.recording``)."""

_HOUR: Final = 3600.0
_DAY: Final = 24 * _HOUR
_GB: Final = 1e9

NAME: Final = Limit(0.5, 3.0)
TCP: Final = Limit(0.5, 3.0)
TLS: Final = Limit(1.0, 5.0)
UPGRADE: Final = Limit(1.0, 5.0)
EXPIRY: Final = Limit(7 * _DAY, 0.0, lower_is_worse=True)
ROUND_TRIP: Final = Limit(0.5, 2.0)
CLOCK: Final = Limit(0.1, 1.0)
"""A nonce from a clock that is a second off is refused, and lag measured with it says nothing."""
HTTP_CLOCK: Final = Limit(2.0, 10.0)
"""``Date`` has whole seconds."""
HEARTBEATS: Final = Limit(2.5, 5.0)
"""Kraken's come every second; a client gives a connection up after ten without one."""
SUBSCRIBE: Final = Limit(2.0, 10.0)
BUDGET: Final = Limit(0.75 * MAX_CONNECT_BUDGET, MAX_CONNECT_BUDGET - 1)
DISK: Final = Limit(5 * _GB, 0.5 * _GB, lower_is_worse=True)
ROOM: Final = Limit(7 * _DAY, _DAY, lower_is_worse=True)
INODES: Final = Limit(1000, 10, lower_is_worse=True)
"""A recorder needs one a day at least, and one for each 256 MB."""
RECORDER: Final = Limit(120.0, 900.0)
"""It writes each second while anything comes, and key frames each minute."""
FILES: Final = Limit(256, 64, lower_is_worse=True)

_ON_THE_WAY: Final = "check the address, the network, and any firewall or proxy on the way"
_KEEP: Final = (
    "clients reconnect by themselves; if it is lost often, look for a proxy, firewall or NAT on the way that drops "
    "connections, and at the load of this machine"
)
_REACHED: Final = "the figure is high for a network: check its load, and whether a nearer one can be used"


def seconds(value: float) -> str:
    """``12 ms``, ``1.2 s``, ``24 h``, ``3 days``."""
    size = abs(value)
    if size < 1:
        return f"{value * 1000:.{0 if size >= 0.01 or not size else 1}f} ms"
    if size < 2 * _HOUR:
        return f"{value:.1f} s"
    return f"{value / _DAY:,.0f} days" if size >= 2 * _DAY else f"{value / _HOUR:.0f} h"


def skipped(check: str, why: str, subject: str = "") -> Finding:
    """A check that was not made."""
    return Finding(check=check, subject=subject, level=Level.SKIPPED, says=why)


def failed(check: str, says: str, cure: str, subject: str = "") -> Finding:
    """A check without a figure that failed."""
    return Finding(check=check, subject=subject, level=Level.FAILED, says=printable(says, 400), cure=cure)


def judged(
    check: str, value: float, limit: Limit, says: str, cure: str, *, unit: str = "s", subject: str = ""
) -> Finding:
    """A check with a figure."""
    level = limit.judge(value)
    return Finding(
        check=check,
        subject=subject,
        level=level,
        says=says,
        value=value,
        unit=unit,
        limit=limit,
        cure="" if level is Level.OK else cure,
    )


def split(error: str) -> tuple[str, str]:
    """What an error of the client says has happened, and what it says to do."""
    says, separator, cure = error.partition("; ")
    return (
        (says, cure) if separator else (error, "check the address, the network, and any firewall or proxy on the way")
    )


# This machine


def core(name: str, *, can_compile: bool) -> Finding:
    """Which code keeps the books."""
    if name == "compiled" or not can_compile:
        return Finding(check="core", level=Level.OK, says=f"the {name} core keeps the books")
    cure = "install a wheel of this platform, or a C compiler, and then: pip install --force-reinstall kraken-trio"
    says = "the books are kept by the pure core, which is several times slower than the compiled one"
    return Finding(check="core", level=Level.WARNING, says=says, cure=cure)


def transport(name: str, error: str | None) -> Finding:
    """Which WebSocket library is used; ``error`` is why the faster one cannot be."""
    if error is None:
        return Finding(check="transport", level=Level.OK, says=f"the fast one, over {name}")
    says = f"the slow one, over {name}; the fast one cannot be used: {printable(error, 200)}"
    return Finding(check="transport", level=Level.WARNING, says=says, cure="pip install 'websockets>=14'")


def budget(used: int | None, wait: float, error: str | None) -> Finding:
    """The shared budget file: attempts of the last 600 s. ``used`` is None if no file was named."""
    if error is not None:
        cure = (
            "until it can be used, no client that names it connects: correct its path or its permissions, or delete it"
        )
        return failed("budget", f"the budget file cannot be used: {error}", cure)
    if used is None:
        return skipped("budget", "no budget file was named (--budget-file)")
    says = f"{used} of {MAX_CONNECT_BUDGET} connection attempts in the last 600 s"
    if wait:
        says += f"; the next may be made in {wait:.0f} s"
    cure = (
        "find the program that connects so often, and have it keep its client open: otherwise Kraken bans this "
        "address, with all that connect from it"
    )
    return judged("budget", used, BUDGET, says, cure, unit="")


def folder(error: str | None, *, exists: bool = True, is_writable: bool = True) -> Finding:
    """Whether the folder can be written. It need not be there yet."""
    if error is not None:
        return failed("folder", error, "name another folder, or move that file away, or mount the disk")
    where = "the folder" if exists else "the folder does not exist, and the one in which it would be made"
    if not is_writable:
        cure = "correct its owner or its permissions; or run the doctor as the user that records"
        return failed("folder", f"{where} cannot be written by this user", cure)
    says = "it can be written" if exists else "it does not exist, and can be made"
    return Finding(check="folder", level=Level.OK, says=says)


def disk(free: int) -> Finding:
    """Free bytes of its disk."""
    return judged("disk", free, DISK, f"{shortened_bytes(free)} free", _MAKE_ROOM, unit="B")


_MAKE_ROOM: Final = "delete old recordings, or have record do it (--keep-bytes), or use another disk"


def inodes(free: int | None) -> Finding:
    """How many files can still be made on its disk; None if it has no such limit."""
    if free is None:
        return skipped("inodes", "this file system does not limit them")
    cure = "delete small files on this disk, or use another (df -i shows its inodes)"
    return judged("inodes", free, INODES, f"{counted(free, 'file')} can be made", cure, unit="")


def recorder(holder: str | None, idle: float | None) -> Finding:
    """Who holds the folder's lock, and how long ago the newest file was written. Both may be None: there is none."""
    if holder is None:
        return Finding(check="recorder", level=Level.OK, says="nobody records into it now")
    holder = printable(holder, 40)
    if idle is None:
        return Finding(check="recorder", level=Level.OK, says=f"{holder} has just begun to record into it")
    cure = "read its log: it has no connection, or cannot write"
    return judged("recorder", idle, RECORDER, f"{holder} records into it, last {seconds(idle)} ago", cure)


def segments(
    number: int, torn: Sequence[str], damage: Sequence[str], *, looked_at: int | None = None, error: str | None = None
) -> Finding:
    """The files of a recording: those without an end, which nobody writes, and those that cannot be read."""
    audit = "kraken-trio audit FOLDER says what is lost; bring the files back from a copy, or move them away"
    if error is not None:
        return failed("segments", error, audit)
    if damage:
        return failed("segments", f"{counted(len(damage), 'file')} damaged or missing: {damage[0]}", audit)
    if torn:
        says = f"{counted(len(torn), 'file')} without an end: {listed([printable(name, 60) for name in torn], 3)}"
        cure = "their recorder was killed, or lost its disk: start it again, it mends them"
        return Finding(check="segments", level=Level.WARNING, says=says, value=len(torn), cure=cure)
    if not number:
        return Finding(check="segments", level=Level.OK, says="there is no recording yet", value=0)
    which = f"{counted(number, 'file')},"
    if looked_at is not None and number > looked_at:
        which = f"the newest {looked_at:,} of {counted(number, 'file')} are"
    return Finding(check="segments", level=Level.OK, says=f"{which} whole", value=0)


@attrs.frozen(kw_only=True)
class Growth:
    """How fast a recording grows."""

    a_day: float
    """Bytes."""
    over: float
    """Measured in so many seconds."""
    deletes: bool = False
    """Whether older files have been deleted: then it need not grow any more."""
    is_guess: bool = False
    """Whether it was concluded from what came over the connection, because nothing has been recorded yet."""


def room(free: int, growth: Growth | None) -> Finding:
    """How long the free bytes last."""
    if growth is None or growth.a_day < 1:
        return skipped("room", "nothing came of which a recording's growth could be told")
    lasts = free / growth.a_day
    source = (
        f"guessed from {seconds(growth.over)} of these symbols"
        if growth.is_guess
        else f"measured over {seconds(growth.over)} of this recording"
    )
    rate = f"{shortened_bytes(round(growth.a_day))} a day, {source}"
    if growth.deletes:
        says = f"older files are deleted; {seconds(lasts * _DAY)} more are free, at {rate}"
        return Finding(check="room", level=Level.OK, says=says, value=lasts * _DAY, unit="s")
    return judged("room", lasts * _DAY, ROOM, f"full in {seconds(lasts * _DAY)}, at {rate}", _MAKE_ROOM)


def files(limit: int | None) -> Finding:
    """How many files the process may have open; None if this system has no such limit."""
    if limit is None:
        return skipped("files", "this system does not limit them")
    return judged(
        "files",
        limit,
        FILES,
        f"{limit} may be open",
        "raise it: ulimit -n 1024, or LimitNOFILE=1024 in a service",
        unit="",
    )


# The way to the exchange


def proxy(where: str | None, error: str | None) -> Finding:
    """The proxy of the environment, or of ``--proxy``."""
    if error is not None:
        says, cure = split(error)
        return failed("proxy", says, cure)
    return Finding(check="proxy", level=Level.OK, says="none: connections are direct" if where is None else where)


def name(host: str, took: float, v4: int, v6: int, error: str | None) -> Finding:
    """Name resolution."""
    cure = "check its spelling, that this machine is online, and its name servers (/etc/resolv.conf)"
    host = printable(host, 80)
    if error is not None or v4 + v6 == 0:
        why = printable(error or "it has no address", 100)
        return failed("name", f"{host} could not be looked up: {why}", cure)
    found = f"{counted(v4, 'IPv4 address', 'IPv4 addresses')} and {v6} of IPv6"
    return judged("name", took, NAME, f"{host} has {found}, in {seconds(took)}", cure)


def tcp(took: float, *, proxied: bool, family: str = "") -> Finding:
    """The TCP connection; through a proxy, until it has connected. ``family`` is ``IPv4`` or ``IPv6``, if known."""
    what = "connected through the proxy" if proxied else "connected"
    what += f" over {family}" if family else ""
    return judged("tcp", took, TCP, f"{what} in {seconds(took)}", _REACHED)


def tls(took: float, version: str) -> Finding:
    """TLS, with a certificate of which the chain, the dates and the host name were accepted."""
    says = f"{printable(version, 20)} after {seconds(took)}, with a certificate that is valid for this name"
    return judged("tls", took, TLS, says, _REACHED)


def certificate(expires_in: float) -> Finding:
    """How long the certificate will be valid."""
    cure = "the server has to renew it: tell whoever runs it; or, if a proxy opens TLS on the way, its owner"
    return judged("certificate", expires_in, EXPIRY, f"valid for {seconds(expires_in)}", cure)


def upgrade(took: float) -> Finding:
    """The WebSocket handshake."""
    return judged("upgrade", took, UPGRADE, f"a WebSocket after {seconds(took)}", _REACHED)


def refusal(status: int | None, retry_after: float | None) -> Finding:
    """Whether the exchange's front end, Cloudflare, refuses this address. ``status`` is that of a failed upgrade."""
    if status is None:
        return Finding(check="refusal", level=Level.OK, says="this address is not refused")
    if status in {403, 429}:
        wait = 600.0 if retry_after is None else retry_after
        cure = (
            f"let nothing connect from this address for {wait:.0f} s; then give its programs one budget file, and have "
            "them keep their clients open"
        )
        return failed("refusal", f"HTTP {status}: this address has connected too often, or is blocked", cure)
    if 500 <= status < 600:
        cure = "wait: clients try again by themselves; see https://status.kraken.com"
        return failed("refusal", f"HTTP {status}: the exchange is down or overloaded", cure)
    return failed("refusal", f"HTTP {status}: there is no such WebSocket endpoint", "check the URL")


# The exchange


def engine(system: str | None) -> Finding:
    """The exchange's status."""
    if system is None:
        return failed(
            "engine", "it did not send its status", "check the URL: this may be no server of Kraken's v2 protocol"
        )
    system = printable(system, 40)
    if system == "online":
        return Finding(check="engine", level=Level.OK, says="online")
    cure = "wait: books may stand still meanwhile, and clients go on by themselves; see https://status.kraken.com"
    return Finding(check="engine", level=Level.WARNING, says=f"the exchange is in {system}", cure=cure)


def round_trip(took: Sequence[float], lost: str | None = None) -> Finding:
    """Application pings and their pongs. There should be :data:`PINGS` of them, unless the connection was ``lost``."""
    if not took:
        cure = "check that a server of Kraken's v2 protocol is at this URL, and any firewall or proxy on the way"
        return failed("round-trip", "no ping was answered", cure)
    middle = median(took)
    says = f"{seconds(middle)} median of {counted(len(took), 'ping')} ({seconds(min(took))} to {seconds(max(took))})"
    if len(took) == PINGS or ROUND_TRIP.judge(middle) is not Level.OK:
        return judged("round-trip", middle, ROUND_TRIP, says, _REACHED)
    if lost is None:
        more, cure = f"{PINGS - len(took)} were not answered", "check the network for loss"
    else:
        more, cure = f"then the connection was lost: {printable(lost, 150)}", _KEEP
    return Finding(
        check="round-trip",
        level=Level.WARNING,
        says=f"{says}; {more}",
        value=middle,
        unit="s",
        limit=ROUND_TRIP,
        cure=cure,
    )


def _against(who: str, ahead: float) -> str:
    return f"this clock is {seconds(abs(ahead))} {'ahead of' if ahead >= 0 else 'behind'} {who}"


_SET_CLOCK: Final = "synchronise the clock of this machine: timedatectl set-ntp true, or install chrony"


def clock(offsets: Sequence[float]) -> Finding:
    """This clock less the exchange's, from its times in pongs, each measured with one ping."""
    if not offsets:
        return skipped("clock", "the exchange's pongs have no times")
    ahead = median(offsets)
    return judged("clock", abs(ahead), CLOCK, _against("the exchange's", ahead), _SET_CLOCK)


def http_clock(ahead: float | None) -> Finding:
    """This clock less HTTP's ``Date``, which has whole seconds."""
    if ahead is None:
        return skipped("http-clock", "there was no HTTP Date")
    return judged("http-clock", abs(ahead), HTTP_CLOCK, _against("HTTP's Date", ahead), _SET_CLOCK)


def subscribe(took: float | None) -> Finding:
    """From the request to the last symbol's first verified book."""
    if took is None:
        return failed("subscribe", "not every book came", "see the checks of the books")
    return judged("subscribe", took, SUBSCRIBE, f"all books after {seconds(took)}", _REACHED)


def heartbeats(runs: Sequence[tuple[Sequence[float], float]]) -> Finding:
    """Their rhythm: for each connection the times when they came, and until when it was listened to."""
    pauses = [
        later - earlier for at, until in runs if at for earlier, later in zip(at, [*at[1:], until], strict=True)
    ]  # of the last until the end, too
    if not pauses:
        return failed("heartbeats", "there were none", "a proxy on the way may hold back small messages: go round it")
    says = f"{counted(len(pauses), 'heartbeat')}, {seconds(max(pauses))} between them at most"
    cure = "check the network and any proxy for stalls and loss"
    return judged("heartbeats", max(pauses), HEARTBEATS, says, cure)


def connection(held: float, losses: int, detail: str) -> Finding:
    """Whether the second connection was kept; ``detail`` is why it was lost first."""
    if not losses:
        return Finding(check="connection", level=Level.OK, says=f"kept for {seconds(held)}", value=0)
    why = f": {printable(detail, 150)}" if detail else ""
    finding = failed(
        "connection", f"lost {'once' if losses == 1 else f'{losses} times'} in {seconds(held)}{why}", _KEEP
    )
    return attrs.evolve(finding, value=losses)


def book(symbol: str, verified: int, failures: int, *, is_up: bool, refused: str | None) -> Finding:
    """A book: how many of its messages had the right checksum, and how many had not."""
    symbol = printable(symbol, 40)
    if refused is not None:
        cure = "check its spelling: BASE/QUOTE in modern names, such as BTC/USD"
        return failed("book", f"refused: {printable(refused, 200)}", cure, symbol)
    if failures:
        cure = "messages are lost or changed on the way: look for a proxy that opens TLS; if there is none, report it"
        return failed("book", f"{counted(failures, 'checksum')} wrong, {verified:,} right", cure, symbol)
    if not verified or not is_up:
        cure = "try again; if other symbols come, the exchange has a problem with this one"
        return failed("book", "no verified book came", cure, symbol)
    more = "" if verified >= CHECKSUMS else " (a quiet market: there were no more)"
    says = f"verified, {counted(verified, 'checksum')}{more}"
    return Finding(check="book", subject=symbol, level=Level.OK, says=says, value=verified)


def trades(symbol: str, seen: int, holes: int) -> Finding:
    """Continuity of trades, which are numbered. ``holes`` are the gaps that the client told."""
    symbol = printable(symbol, 40)
    if holes:
        cure = "try again; if it stays, the connection loses messages: look for a proxy that opens TLS"
        return failed("trades", f"{counted(holes, 'hole')} in {counted(seen, 'trade')}", cure, symbol)
    says = f"{counted(seen, 'trade')} without a hole" if seen else "none was made meanwhile"
    return Finding(check="trades", subject=symbol, level=Level.OK, says=says, value=seen)


def not_connected(passed: Sequence[str], error: str, *, secure: bool) -> Finding:
    """Why there is no connection: the phase after those that were ``passed`` has failed."""
    phases = [phase for phase in ("tcp", "tls", "upgrade") if phase != "tls" or secure]
    check = next((phase for phase in phases if phase not in passed), "upgrade")
    says, cure = split(re.sub(r" \((.*)\)$", r"; \1", error) if check == "upgrade" else error)
    return failed(check, says, cure)
