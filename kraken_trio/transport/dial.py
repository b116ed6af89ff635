"""From an address to a byte stream: name resolution, TCP, then TLS with its handshake done at once.

Nothing here knows WebSocket. Each step raises a :class:`~kraken_trio.ConnectError` that names the address, the cause,
and what to do. The caller closes the stream that it passed in, also when the step fails.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import trio

from kraken_trio._text import printable
from kraken_trio.errors import ConnectError
from kraken_trio.transport.formatting import describe
from kraken_trio.transport.reading import read_when_readable

if TYPE_CHECKING:
    from kraken_trio._address import Address
    from kraken_trio._proxy import Proxy
    from kraken_trio.transport.seam import Phase, Tell

__all__ = ["OpenStream", "check_tls", "connect_tcp", "start_tls", "told", "unreachable", "untold"]

OpenStream: TypeAlias = Callable[[str, int], Awaitable[trio.abc.Stream]]
"""How a byte stream to ``(host, port)`` is opened: ``trio.open_tcp_stream``, or an in-memory network in a test."""


@runtime_checkable
class _TellsPhases(Protocol):
    """An optional part of an :data:`OpenStream`, which has more phases than one."""

    def telling(self, tell: Tell, /) -> OpenStream: ...


def told(open_stream: OpenStream, tell: Tell) -> OpenStream:
    """The same, which tells its phases, if it can."""
    return open_stream.telling(tell) if isinstance(open_stream, _TellsPhases) else open_stream


def untold(_phase: Phase) -> None:
    """Nobody wants to be told of it."""


def check_tls(address: Address, context: ssl.SSLContext | None) -> ssl.SSLContext | None:
    """The TLS context to use for this address; None if its URL begins with ``ws://``.

    Raises :class:`ValueError` for a context that does not verify the certificate and the host name: verification
    cannot be turned off. (To trust a private authority, load it: ``context.load_verify_locations``.)
    """
    if not address.secure:
        if context is not None:
            msg = "an ssl_context was given, but the URL begins with ws://, which is not encrypted: use wss://"
            raise ValueError(msg)
        return None
    if context is None:
        return ssl.create_default_context()
    if context.verify_mode is not ssl.CERT_REQUIRED or not context.check_hostname:
        msg = (
            "the ssl_context does not verify the server: it needs verify_mode=ssl.CERT_REQUIRED, check_hostname=True; "
            "to trust a private authority, use ssl.create_default_context(cafile=...)"
        )
        raise ValueError(msg)
    return context


_CLOCK = "check this machine's clock; if it is right, the server has to renew its certificate"
_NAME = "check the host name in the URL, and any proxy on the way"
_AUTHORITY = (
    "check this machine's root certificates, and any proxy that opens TLS; to trust a private authority, give an "
    "ssl_context of ssl.create_default_context(cafile=...)"
)
_REMEDIES = {
    9: _CLOCK,  # not yet valid
    10: _CLOCK,  # expired
    18: _AUTHORITY,  # self-signed
    19: _AUTHORITY,  # self-signed in its chain
    20: _AUTHORITY,  # unknown issuer
    21: _AUTHORITY,  # no issuer could be checked
    62: _NAME,
    64: _NAME,  # an IP address
}
"""What to do about OpenSSL's verification errors (``X509_V_ERR_*``)."""


async def connect_tcp(address: Address | Proxy, open_stream: OpenStream, tell: Tell = untold) -> trio.abc.Stream:
    """Resolve the name and connect. ``tell`` is told, unless ``open_stream`` tells it by itself."""
    if not isinstance(open_stream, _TellsPhases):
        tell("tcp")
    try:
        return read_when_readable(await open_stream(address.host, address.port))
    except socket.gaierror as exc:
        msg = (
            f"cannot connect to {address}: the name could not be looked up ({printable(exc.strerror)}); "
            "check its spelling, and that this machine is online"
        )
        raise ConnectError(msg) from exc
    except OSError as exc:
        raise ConnectError(unreachable(address, exc)) from exc


def unreachable(address: Address | Proxy | str, exc: OSError) -> str:
    """One line from what ``trio.open_tcp_stream`` raises: one cause, or a group of them, an attempt each."""
    cause = exc.__cause__
    attempts = cause.exceptions if isinstance(cause, BaseExceptionGroup) else (cause or exc,)
    why = printable(", ".join(dict.fromkeys(map(_short, attempts))))
    return (
        f"cannot connect to {address}: {why}; "
        "check the address and the port, the network, and any firewall or proxy on the way"
    )


def _short(exc: BaseException) -> str:
    return os.strerror(exc.errno) if isinstance(exc, OSError) and exc.errno else str(exc)


async def start_tls(
    stream: trio.abc.Stream, address: Address, context: ssl.SSLContext
) -> trio.SSLStream[trio.abc.Stream]:
    """Start TLS on a stream: SNI, verified certificate, checked host name; the handshake is over when this returns."""
    # https_compatible: neither side must wait for the other's close_notify, as on all of the web.
    tls = trio.SSLStream(stream, context, server_hostname=address.host, https_compatible=True)
    try:
        await tls.do_handshake()
    except trio.BrokenResourceError as exc:
        cause = exc.__cause__
        if isinstance(cause, ssl.SSLCertVerificationError):
            what_to_do = _REMEDIES.get(cause.verify_code, "check the host name, this machine's clock and its proxies")
            msg = f"the certificate of {address} was refused: {printable(cause.verify_message)}; {what_to_do}"
            raise ConnectError(msg, retryable=False) from exc
        why = printable(cause.reason) if isinstance(cause, ssl.SSLError) and cause.reason else describe(exc)
        msg = f"no TLS connection to {address}: {why}; check that this port speaks TLS, and any proxy on the way"
        raise ConnectError(msg) from exc
    return tls
