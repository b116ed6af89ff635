"""The engine for ``nats://``, and its links."""

from __future__ import annotations

import os
import re
import socket
import ssl
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

import nats.errors
import trio

from kraken_trio._text import printable
from kraken_trio.broker.login import BrokerLogin, BrokerTls
from kraken_trio.broker.nats.owning import LEASE_TTL, Held, Owning
from kraken_trio.broker.nats.reading import NatsSource, NoStreamError, Reading, incoming
from kraken_trio.broker.nats.records import Records
from kraken_trio.broker.nats.store import WRONG_SEQUENCE, Limits
from kraken_trio.broker.nats.wire import PATIENCE, TOO_LARGE, Forbidden, NoAnswer, Refusal, Unheard, Wire
from kraken_trio.broker.options import duration, one_of, parse_options, size, whole
from kraken_trio.broker.portal import Portal, share_portal
from kraken_trio.broker.seam import BrokerLost, Fence, Fenced, Incoming, TooLarge
from kraken_trio.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence

    from kraken_trio.broker.position import Start
    from kraken_trio.broker.seam import Link, Outgoing, Record, Source
    from kraken_trio.broker.subjects import Key

__all__ = ["NatsEngine"]

OLDEST: Final = (2, 10)
"""Of the server: consumers with several filters, streams that begin with a number of ours."""
_PORT: Final = 4222
_NO_JETSTREAM: Final = frozenset({10039, 10076})

_T = TypeVar("_T")

_EXAMPLE: Final = "write it as nats://HOST:PORT/STREAM, several servers of one cluster as nats://HOST,HOST,HOST/STREAM"
_STREAM: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


class NatsEngine:
    """NATS JetStream at one address; several servers of one cluster are tried in turn.

    Raises :class:`ValueError` for a URL that says something else.
    """

    def __init__(self, url: str, *, login: BrokerLogin | None = None, tls: BrokerTls | None = None) -> None:
        self._servers: tuple[tuple[str, int], ...]
        parsed = _parse(url)
        if isinstance(parsed, str):
            url = ""  # it may contain a password, and a traceback shows local variables, and this object as well
            self._servers, self._stream = (), ""
            msg = f"this is no usable URL of a NATS server: {parsed}"
            raise ValueError(msg)  # noqa: TRY004 (a text says what is wrong)
        self._servers, self._stream, self._limits, encrypted = parsed
        self._first = 0
        """Which server is tried first: another one after each that failed."""
        self._login: Final = login
        self._tls: Final = tls or (BrokerTls() if encrypted else None)

    @property
    def name(self) -> str:
        return f"nats://{','.join(map(_netloc, self._servers))}/{self._stream}"

    @property
    def stream(self) -> str:
        return self._stream

    @property
    def lease_ttl(self) -> float:
        return LEASE_TTL

    def __repr__(self) -> str:
        return f"<NatsEngine {self.name}>"

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Link]:
        """See :class:`~kraken_trio.broker.seam.Engine`."""
        async with share_portal() as portal:
            wire = await self._dial(portal)
            try:
                yield _NatsLink(portal, wire, self._stream, self._limits)
            finally:
                if wire.lost is not None:
                    self._first += 1
                with trio.CancelScope(shield=True):
                    await portal.run(wire.close)

    async def _dial(self, portal: Portal) -> Wire:
        context = None if self._tls is None else self._tls.make_context()
        problems: list[ConnectError] = []
        for turn in range(len(self._servers)):
            host, port = self._servers[(self._first + turn) % len(self._servers)]
            try:
                wire = await self._dial_one(portal, host, port, context)
            except ConnectError as error:
                problems.append(error)
            else:
                self._first += turn
                return wire
        self._first += 1
        retryable = any(problem.retryable for problem in problems)
        msg = "; ".join(map(str, problems))
        raise ConnectError(msg, retryable=retryable)

    async def _dial_one(self, portal: Portal, host: str, port: int, context: ssl.SSLContext | None) -> Wire:
        where = f"NATS at {_netloc((host, port))}"
        try:
            addresses = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            msg = f"{where}: its name cannot be looked up: {printable(error.strerror or error)}"
            raise ConnectError(msg) from None
        problem: Exception = OSError("it has no address")
        for *_, address in addresses:
            wire = Wire()
            try:
                found = await portal.run(partial(
                    wire.open,
                    str(address[0]), port, hostname=host, name="kraken_trio", tls=context, login=self._login,
                ))  # fmt: skip
                if found is None:
                    await self._check(portal, wire, where)
                    return wire
                problem = found
                if self._tls is not None and self._tls.has_no_certificate and wire.wants_certificate:
                    problem = ConnectError(_NO_CERTIFICATE, retryable=False)
            except BaseException:
                with trio.CancelScope(shield=True):
                    await portal.run(wire.close)
                raise
        text, retryable = _explained(problem, self._login)
        msg = f"{where}: {text}"
        raise ConnectError(msg, retryable=retryable)

    async def _check(self, portal: Portal, wire: Wire, where: str) -> None:
        """Is it new enough, and has it JetStream?"""
        if wire.version < OLDEST:
            found, wanted = (".".join(map(str, version)) for version in (wire.version, OLDEST))
            msg = f"{where}: the server is of version {found}; {wanted} or newer is needed"
            raise ConnectError(msg, retryable=False)
        try:
            await portal.run(wire.api, "INFO")
        except (NoAnswer, Refusal) as error:
            without = isinstance(error, Unheard) or (isinstance(error, Refusal) and error.code in _NO_JETSTREAM)
            if not without:
                may_not = isinstance(error, Forbidden)
                what = "may not be used by this login" if may_not else "does not answer"
                msg = f"{where}: JetStream {what}: {error}"
                raise ConnectError(msg, retryable=not may_not) from None
            msg = (
                f"{where}: JetStream is not enabled: start the server with -js, or with jetstream in its configuration"
            )
            raise ConnectError(msg, retryable=False) from None


def _netloc(server: tuple[str, int]) -> str:
    host, port = server
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _parse(url: str) -> tuple[tuple[tuple[str, int], ...], str, Limits, bool] | str:
    """Servers, stream, limits, and whether it is encrypted; or what is wrong with a URL, without showing it."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return f"a URL has only printable ASCII characters; {_EXAMPLE}"
    try:
        parts = urlsplit(url)
    except ValueError:
        return _EXAMPLE
    if parts.scheme not in {"nats", "tls"}:
        return f"it begins with nats://, or with tls:// for an encrypted connection; {_EXAMPLE}"
    if "@" in parts.netloc:
        return "users and passwords do not belong in a URL, which is shown and logged: use login=BrokerLogin(…)"
    servers = []
    for one in parts.netloc.split(","):
        try:
            split = urlsplit(f"nats://{one}")
            host, port = split.hostname, split.port
        except ValueError:
            return f"a host or a port is invalid; {_EXAMPLE}"
        if not host or port == 0:
            return f"it names no host; {_EXAMPLE}"
        servers.append((host, port or _PORT))
    stream = parts.path.strip("/") or "kraken"
    if not _STREAM.fullmatch(stream):
        return "the name of a stream has letters, digits, _ and -"
    try:
        limits = Limits(**parse_options(parts.query, _OPTIONS, _KNOWN))
    except ValueError as error:
        return str(error)
    return tuple(servers), stream, limits, parts.scheme == "tls"


_OPTIONS: Final = {
    "replicas": whole(5),
    "max_age": duration,
    "max_bytes": size,
    "storage": one_of("file", "memory"),
    "batches": one_of("auto", "atomic"),
}
_KNOWN: Final = (
    "replicas=3, max_age=24h, max_bytes=50GiB, storage=file or storage=memory, batches=auto or batches=atomic"
)


_IS_IT_RUNNING: Final = "is a server running there? check the URL, the network, and any firewall"
_NO_CERTIFICATE: Final = "the server wants a certificate of ours, too: tls=BrokerTls(cert=…, key=…)"


def _explained(error: Exception, login: BrokerLogin | None) -> tuple[str, bool]:
    """Why a connection could not be made, what to do about it, and whether trying again may help."""
    text = printable(str(error).removeprefix("nats: ").strip("'"))
    lower = text.lower()
    if isinstance(error, ConnectError):
        return text, error.retryable
    if isinstance(error, ssl.SSLCertVerificationError):
        why = printable(error.verify_message)
        return f"its certificate is not trusted: {why}; its authority is given by tls=BrokerTls(ca=…)", False
    if isinstance(error, ssl.SSLError):
        if "does not encrypt" in lower:
            return "TLS is wanted, but the server does not encrypt: nothing was sent", False
        return (
            f"TLS: {printable(error.reason or text)}; does it want a certificate of ours? tls=BrokerTls(cert=…)",
            False,
        )
    if isinstance(error, TimeoutError):
        return f"no answer within {PATIENCE:g} s ({_IS_IT_RUNNING})", True
    if isinstance(error, OSError):
        # asyncio's own text names the address, and not what is wrong.
        what = printable(os.strerror(error.errno) if error.errno else error.strerror or text)
        return f"{what} ({_IS_IT_RUNNING})", True
    if "authorization violation" in lower or "authentication" in lower:
        who = "no login was given: login=BrokerLogin(…)" if login is None else f"the login ({login.way}) is wrong"
        return f"the server refuses us ({text}): {who}", False
    if isinstance(error, nats.errors.Error):
        if "expecting info" in lower or "json parse" in lower:
            return "what answers is no NATS server", False
        return text, True
    if isinstance(error, ImportError):
        return "nkeys are missing: pip install 'kraken-trio[nats]'", False
    # nkeys, base64: their texts say little, and might show something.
    return f"the login is not usable ({type(error).__name__}): is the file complete?", False


class _NatsLink:
    """One connection."""

    def __init__(self, portal: Portal, wire: Wire, stream: str, limits: Limits) -> None:
        self._portal = portal
        self._wire = wire
        self._stream = stream
        self._owning = Owning(wire, stream, limits)
        self._reading = Reading(wire, stream)
        self._records = Records(wire, stream, limits)

    async def _run(self, function: Callable[..., Coroutine[Any, Any, _T]], *args: Any) -> _T:
        """In the portal; what means that the connection is of no more use ends it."""
        try:
            return await self._portal.run(function, *args)
        except (NoAnswer, Refusal) as error:
            problem, is_forbidden = str(error), isinstance(error, Forbidden)
        except trio.ClosedResourceError:
            problem, is_forbidden = "it is closed", False
        self._portal.post(self._wire.fail, problem)
        raise _ForbiddenError(problem) if is_forbidden else BrokerLost(problem)

    # Producing

    async def acquire(self, shard: int, holder: str) -> Fence | None:
        try:
            return await self._run(self._owning.acquire, shard, holder)
        except _ForbiddenError as error:
            raise ConnectError(str(error), retryable=False) from None

    async def renew(self, fence: Fence) -> None:
        if not await self._run(self._owning.renew, fence.shard, _held(fence)):
            raise Fenced(_OTHER_OWNER.format(fence.shard))

    async def release(self, fence: Fence) -> None:
        await self._run(self._owning.release, fence.shard, _held(fence))

    async def publish(self, fence: Fence, messages: Sequence[Outgoing]) -> None:
        plain = [(f"{self._stream}.{one.subject}", one.data, one.message_id) for one in messages]
        stored = await self._run(self._owning.publish, fence.shard, _held(fence), plain)
        if stored.lost is not None:
            self._portal.post(self._wire.fail, stored.lost)
            raise BrokerLost(stored.lost, stored.acked)
        if stored.refused is not None:
            if stored.refused.code == WRONG_SEQUENCE:
                raise Fenced(_OTHER_OWNER.format(fence.shard), stored.acked)
            if stored.refused.code == TOO_LARGE:
                msg = f"the stream {self._stream} takes no message of this size: raise its max_msg_size"
                raise TooLarge(msg, stored.acked)
            self._portal.post(self._wire.fail, str(stored.refused))
            raise BrokerLost(str(stored.refused), stored.acked)
        if stored.too_large is not None:
            msg = (
                f"a message of {stored.too_large} bytes: the server takes {self._wire.max_payload}; "
                "raise max_payload in its configuration"
            )
            raise TooLarge(msg, stored.acked)
        await trio.lowlevel.checkpoint()

    # Reading

    async def catalogs(self) -> Sequence[Incoming]:
        try:
            found = await self._run(self._reading.catalogs)
        except NoStreamError:
            found = []
        await trio.lowlevel.checkpoint()
        return [message for one in found if (message := incoming(self._stream, one)) is not None]

    async def records(self, prefix: str) -> Mapping[str, Record]:
        return await self._run(self._records.read, prefix)

    async def write(self, name: str, value: bytes, revision: int) -> int | None:
        return await self._run(self._records.write, name, value, revision)

    @asynccontextmanager
    async def read(self, keys: Collection[Key], start: Start, *, back: float) -> AsyncIterator[Source]:
        source = NatsSource(self._portal, self._stream, frozenset(keys))
        try:
            try:
                await self._run(self._reading.open, source, start, back)
            except NoStreamError:
                msg = f"there is no stream {self._stream} (any more)"
                raise BrokerLost(msg) from None
            yield source
        finally:
            with trio.CancelScope(shield=True):
                await self._portal.run(source.close)


_OTHER_OWNER: Final = "shard {} has another owner now"


class _ForbiddenError(BrokerLost):
    """The server does not allow it to this user: nor will it the next time."""


def _held(fence: Fence) -> Held:
    assert isinstance(fence.token, Held), "a fence of this engine"
    return fence.token
