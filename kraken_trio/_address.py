"""A WebSocket URL, parsed and checked before anything is opened."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import NoReturn
from urllib.parse import urlsplit

import attrs

from kraken_trio._text import printable
from kraken_trio.errors import ConnectError

__all__ = ["Address", "parse_address"]

_DEFAULT_PORTS = {"ws": 80, "wss": 443}
_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1"))


@attrs.frozen(kw_only=True)
class Address:
    """A parsed WebSocket URL. As text: ``host:port``, for messages."""

    host: str
    """A name or an IP address; an IPv6 address without its brackets."""
    port: int
    secure: bool
    """True for ``wss``."""
    target: str
    """The path and the query of the request line."""

    @property
    def bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def host_header(self) -> str:
        """The value of HTTP's ``Host``: without the port when it is the scheme's default."""
        return self.bracketed if self.port == _DEFAULT_PORTS["wss" if self.secure else "ws"] else str(self)

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine: ``localhost`` or a name below it, 127.0.0.0/8, or ::1."""
        host = self.host.rstrip(".").lower()
        if host == "localhost" or host.endswith(".localhost"):
            return True
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in _LOOPBACK)

    def __str__(self) -> str:
        return f"{self.bracketed}:{self.port}"


def parse_address(url: str) -> Address:
    """Parse a ``ws://`` or ``wss://`` URL.

    Raises :class:`~kraken_trio.ConnectError` (not retryable) that says what is wrong with it. Spaces, control
    characters and letters outside ASCII are rejected rather than repaired (``urlsplit`` drops some of them silently).
    """
    if "@" in re.split("[/?#]", url.partition("//")[2], maxsplit=1)[0]:
        # Checked first, and without the URL in the message: it may contain a password.
        msg = "the URL must not contain a user name or password"
        raise ConnectError(msg, retryable=False)
    if not url.isascii() or not url.isprintable() or " " in url:
        _reject(url, "a URL has only printable ASCII characters (percent-encode the others; names as xn--...)")
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError as exc:
        _reject(url, str(exc))
    if scheme not in _DEFAULT_PORTS:
        _reject(url, "it must begin with wss:// (or ws://, without encryption)")
    if not host:
        _reject(url, "it names no host")
    if "#" in url:
        _reject(url, "a WebSocket URL has no #fragment")
    if port == 0:
        _reject(url, "port 0 cannot be connected to")
    try:
        host.encode("idna")  # as the resolver will do: labels of 1 to 63 characters
    except UnicodeError:
        _reject(url, "its host is not a valid name")
    return Address(
        host=host,
        port=_DEFAULT_PORTS[scheme] if port is None else port,
        secure=scheme == "wss",
        target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
    )


def _reject(url: str, why: str) -> NoReturn:
    msg = f"not a usable WebSocket URL: {printable(url)!r}: {printable(why)}"
    raise ConnectError(msg, retryable=False) from None
