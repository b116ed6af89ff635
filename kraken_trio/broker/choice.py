"""Which engine speaks with the broker of a URL. Engines are imported when they are needed: each has an extra."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

from kraken_trio._text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kraken_trio.broker.login import BrokerLogin, BrokerTls
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
    if not isinstance(url, str):
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
