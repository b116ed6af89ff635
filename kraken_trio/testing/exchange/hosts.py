"""The hosts of Kraken, as paths of one fake exchange: each serves other channels."""

from __future__ import annotations

import enum

__all__ = ["PATHS", "Host"]


class Host(enum.Enum):
    """The part of the exchange that a connection has reached; the value is the path of its URL."""

    ALL = "/v2"
    """Serves every channel: no host of Kraken does, but it is handy in tests."""
    PUBLIC = "/v2/public"
    """As ``ws.kraken.com``: market data."""
    PRIVATE = "/v2/auth"
    """As ``ws-auth.kraken.com``: ``executions`` and ``balances``."""
    LEVEL3 = "/v2/l3"
    """As ``ws-l3.kraken.com``: ``level3``."""

    def serves(self, channel: str) -> bool:
        """Whether this channel can be subscribed here."""
        return self is Host.ALL or self is _HOSTS.get(channel, Host.PUBLIC)


_HOSTS = {"executions": Host.PRIVATE, "balances": Host.PRIVATE, "level3": Host.LEVEL3}

PATHS: dict[str, tuple[str, Host]] = {"/": ("v1", Host.ALL)} | {host.value: ("v2", host) for host in Host}
"""The protocol and the host by the path to which a client connects."""
