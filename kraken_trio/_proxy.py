"""HTTP proxies: their URLs, and which connections go through one by the environment. Nothing is opened here."""

from __future__ import annotations

import base64
import re
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

import attrs

from kraken_trio.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kraken_trio._address import Address

__all__ = ["Proxies", "Proxy", "choose_proxies", "find_proxy", "is_exempt", "parse_proxy"]

_VARIABLES: Final = ("https_proxy", "HTTPS_PROXY")
"""The environment's proxy for encrypted connections; the first that is set counts."""
_EXEMPTIONS: Final = ("no_proxy", "NO_PROXY")
"""The hosts that are connected to directly all the same."""

_EXAMPLE: Final = "write it as http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT"


def _nothing() -> None:
    return None


@attrs.frozen(kw_only=True)
class Proxy:
    """An HTTP proxy. As text: where it is, without its user and password."""

    host: str
    """A name or an IP address; an IPv6 address without its brackets."""
    port: int
    authorization: Callable[[], str | None] = attrs.field(default=_nothing, repr=False, eq=False)
    """Gives the value of ``Proxy-Authorization``. A function, so that whatever shows or pickles objects has it not."""

    @property
    def has_password(self) -> bool:
        """Whether it is told a user and a password."""
        return self.authorization() is not None

    @property
    def url(self) -> str:
        """Its URL, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def __str__(self) -> str:
        return f"the proxy {self.url}"


Proxies: TypeAlias = "Callable[[Address], Proxy | None]"
"""Says through which proxy an address is reached; None: directly."""


def choose_proxies(proxy: str | None, environ: Mapping[str, str]) -> Proxies:
    """What ``open_client(proxy=…)`` means: a URL, ``"auto"`` for what the environment says, or None."""
    if proxy is None:
        return lambda _address: None
    if proxy == "auto":
        return lambda address: find_proxy(address, environ)
    if not isinstance(proxy, str):
        msg = f"proxy is a URL, 'auto' or None, not a {type(proxy).__name__}"
        raise TypeError(msg)
    given, proxy = [proxy], None  # tracebacks show local variables
    parsed = parse_proxy(given.pop())
    return lambda _address: parsed


def parse_proxy(url: str, name: str = "proxy") -> Proxy:
    """Parse a proxy's URL: ``http://``, perhaps ``user:password@``, a host, and perhaps a port (80 by default).

    Raises :class:`~kraken_trio.ConnectError` (not retryable) that calls it ``name`` and never repeats it, because it
    may contain a password.
    """
    found = _parse(url)
    url = ""  # a traceback shows local variables
    if isinstance(found, str):
        msg = f"{name} is not a usable proxy: {found}"
        raise ConnectError(msg, retryable=False)
    return found


def _parse(url: str) -> Proxy | str:
    """The proxy, or what is wrong with its URL."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return f"a URL has only printable ASCII characters (percent-encode the others); {_EXAMPLE}"
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return f"its host or its port is invalid; {_EXAMPLE}"
    if parts.scheme != "http":
        return f"only HTTP proxies are supported, and these are spoken to without TLS; {_EXAMPLE}"
    if not host or port == 0 or parts.path not in {"", "/"} or parts.query or parts.fragment:
        return f"it must name a host and a port, and nothing else; {_EXAMPLE}"
    try:
        host.encode("idna")  # as the resolver will do: labels of 1 to 63 characters
    except UnicodeError:
        return f"its host is not a valid name; {_EXAMPLE}"
    basic = _basic(parts)
    return Proxy(host=host, port=80 if port is None else port, authorization=lambda: basic)


def _basic(parts: SplitResult) -> str | None:
    if parts.username is None:
        return None
    pair = unquote_to_bytes(parts.username) + b":" + unquote_to_bytes(parts.password or "")
    return f"Basic {base64.b64encode(pair).decode('ascii')}"


def find_proxy(address: Address, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy by which the environment wants this address to be reached; None for a direct connection.

    ``https_proxy`` or ``HTTPS_PROXY`` is for ``wss://``, unless ``no_proxy`` or ``NO_PROXY`` names the host. What is
    not encrypted, and this machine itself, are always reached directly.
    """
    if not address.secure or address.is_loopback:
        return None
    for name in _VARIABLES:
        if url := environ.get(name, "").strip():
            exempt = next((hosts for other in _EXEMPTIONS if (hosts := environ.get(other))), "")
            return None if is_exempt(address.host, address.port, exempt) else parse_proxy(url, name)
    return None


def is_exempt(host: str, port: int, no_proxy: str) -> bool:
    """Whether ``NO_PROXY`` says that this host is connected to directly.

    It is a list, separated by commas or spaces, of names (which stand for all below them, too), IP addresses and
    networks, each perhaps with a port; ``*`` stands for all.
    """
    return any(
        _names(entry, host.lower().rstrip("."), port) for entry in re.split(r"[,\s]+", no_proxy.lower()) if entry
    )


def _names(entry: str, host: str, port: int) -> bool:
    match = re.fullmatch(r"\[(.*)\](?::(\d+))?|([^:]*):(\d+)", entry)
    if match is not None:
        entry, only = match[1] or match[3] or "", match[2] or match[4]
        if only is not None and int(only) != port:
            return False
    if entry == "*":
        return True
    try:
        return ip_address(host) in ip_network(entry, strict=False)
    except ValueError:  # one of them is a name
        name = entry.removeprefix("*").strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
