"""Where to connect: a URL, the protocol that is spoken there, and the channels that are served."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from kraken_trio._text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["LEVEL3_V2", "PRIVATE_V1", "PRIVATE_V2", "PUBLIC_V1", "PUBLIC_V2", "Endpoint"]


def _display_name(url: str) -> str:
    """``url`` without possible secrets (query, fragment, user name, password). Printable."""
    head = re.split("[?#]", url, maxsplit=1)[0]
    scheme, separator, rest = head.partition("//")
    authority, slash, path = rest.partition("/")
    return printable(f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}")


def _channels(names: Iterable[str] | None) -> frozenset[str] | None:
    if isinstance(names, str):
        msg = f"serves={names!r}: a collection of channel names, such as {{{names!r}}}, or None for all"
        raise TypeError(msg)
    return None if names is None else frozenset(names)


@attrs.frozen
class Endpoint:
    """A server to connect to.

    Its ``repr``, like every message and log line about it, leaves out the URL's query, which may hold a secret.
    """

    url: str = attrs.field(validator=attrs.validators.instance_of(str), repr=lambda url: repr(_display_name(url)))
    """``wss://…`` (or ``ws://…``, without encryption)."""
    protocol: str = attrs.field(default="v2", validator=attrs.validators.instance_of(str))
    """The protocol that is spoken there: ``"v2"``, or ``"v1"``, the older one."""
    serves: frozenset[str] | None = attrs.field(default=None, converter=_channels, repr=False)
    """The names of the channels that it serves; None for all of the protocol's. The client itself refuses requests for
    other channels."""
    needs_token: bool = attrs.field(default=False, validator=attrs.validators.instance_of(bool), repr=False)
    """Whether subscriptions there need a token of Kraken's REST API, and so an API key."""
    rest: str = attrs.field(default="https://api.kraken.com", validator=attrs.validators.instance_of(str), repr=False)
    """The base URL of the REST API that belongs to it."""

    @property
    def name(self) -> str:
        """The URL without possible secrets (query, user name, password), printable: for messages and logs."""
        return _display_name(self.url)

    def __str__(self) -> str:
        return self.name


PUBLIC_V2 = Endpoint("wss://ws.kraken.com/v2", serves=("book", "trade", "ticker", "ohlc", "instrument"))
"""Kraken's public market data."""
PRIVATE_V2 = Endpoint("wss://ws-auth.kraken.com/v2", serves=("executions", "balances"), needs_token=True)
"""Orders, fills and balances of an account."""
LEVEL3_V2 = Endpoint("wss://ws-l3.kraken.com/v2", serves=("level3",), needs_token=True)
"""Books of single orders."""
PUBLIC_V1 = Endpoint("wss://ws.kraken.com", "v1", serves=("book", "trade", "ticker", "ohlc", "spread"))
"""Kraken's public market data over its older protocol, v1."""
PRIVATE_V1 = Endpoint("wss://ws-auth.kraken.com", "v1", serves=("executions",), needs_token=True)
"""Orders and fills of an account over v1."""
