"""Which engine speaks with the broker of a URL. Engines are imported when they are needed: each has an extra."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

from kraken_trio._text import printable
from kraken_trio.broker.login import BrokerLogin, BrokerTls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kraken_trio.broker.seam import Engine

__all__ = ["engine_for"]

_ENGINES: Final[Mapping[str, tuple[str, str, str]]] = {
    "nats": ("kraken_trio.broker.nats", "NatsEngine", "nats"),
    "tls": ("kraken_trio.broker.nats", "NatsEngine", "nats"),
    "kafka": ("kraken_trio.broker.kafka", "KafkaEngine", "kafka"),
}
"""By the URL's scheme: module, class, and the extra that has what it needs."""


def engine_for(url: str | Engine, login: BrokerLogin | None = None, tls: BrokerTls | None = None) -> Engine:
    """The engine for this URL; an engine is returned as it is.

    Raises :class:`ValueError` for a URL that is none of a broker, and :class:`ImportError`, which says what to install.
    """
    # Of what is wrong only the type is shown: it may contain a password.
    if login is not None and isinstance(url, str) and not isinstance(login, BrokerLogin):
        msg = f"login is a BrokerLogin(…), not of type {type(login).__name__}"
        raise TypeError(msg)
    if tls is not None and isinstance(url, str) and not isinstance(tls, BrokerTls):
        msg = f"tls is a BrokerTls(…), not of type {type(tls).__name__}"
        raise TypeError(msg)
    if not isinstance(url, str):
        if not hasattr(url, "connect"):
            msg = f"a broker is a URL, such as 'nats://host:4222', not of type {type(url).__name__}"
            raise TypeError(msg)
        if login is not None or tls is not None:
            msg = "login and tls are for a URL: an engine has been given its own"
            raise TypeError(msg)
        return url
    scheme = urlsplit(url).scheme
    if scheme not in _ENGINES:
        # A URL may have a password: it is not shown.
        msg = (
            f"a broker's URL begins with {', '.join(f'{name}://' for name in _ENGINES)}, not {printable(scheme, 20)!r}"
        )
        raise ValueError(msg)
    module, name, extra = _ENGINES[scheme]
    try:
        make = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("kraken_trio"):
            raise
        msg = f"{scheme}:// needs {error.name}: pip install 'kraken-trio[{extra}]'"
        raise ImportError(msg) from error
    return cast("Engine", make(url, login=login, tls=tls))
