"""What the URL of a Kafka says."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

import attrs

from kraken_trio._text import printable

PORT: Final = 9092
"""Of brokers whose address has none."""
STREAM: Final = "kraken"
"""The topic of a URL without a path."""
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,240}", re.ASCII)
"""Kafka allows 249, and we append to it."""
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


@attrs.frozen
class Address:
    """What a URL says."""

    servers: tuple[str, ...]
    topic: str

    @property
    def where(self) -> str:
        """The brokers, for people."""
        return ",".join(self.servers)

    @property
    def control(self) -> str:
        """The topic of leases and catalogs."""
        return f"{self.topic}.control"

    @property
    def groups(self) -> str:
        """The topic of records of consumer groups."""
        return f"{self.topic}.groups"

    @property
    def is_local(self) -> bool:
        """Whether what is sent there stays on this machine."""
        return all(server.rpartition(":")[0].strip("[]") in _LOOPBACK for server in self.servers)

    def __str__(self) -> str:
        return f"kafka://{self.where}/{self.topic}"

    @classmethod
    def parse(cls, url: str) -> tuple[Address, str]:
        """Of ``kafka://host[:port][,host[:port]…][/topic][?query]``, with what is in the query.

        Raises :class:`ValueError`, without showing secrets.
        """
        if "@" in url:
            msg = "a URL is shown in logs: give user and password as login=BrokerLogin(user, password)"
            raise ValueError(msg)
        try:
            parts = urlsplit(url)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme != "kafka" or not parts.netloc or parts.fragment:
            msg = f"not a URL of Kafka: write kafka://host:{PORT}/{STREAM} (several: kafka://host1:{PORT},host2:{PORT})"
            raise ValueError(msg)
        topic = parts.path.strip("/") or STREAM
        if _TOPIC.fullmatch(topic) is None or topic in {".", ".."}:
            msg = f"{printable(topic, 60)} cannot be a topic of Kafka: letters, digits, and . _ - (at most 240)"
            raise ValueError(msg)
        return cls(tuple(map(_server, parts.netloc.split(","))), topic), parts.query


def _server(text: str) -> str:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host:
        msg = f"{printable(text, 60)} is no address of a broker: write host:{PORT}"
        raise ValueError(msg)
    return f"[{host}]:{port or PORT}" if ":" in host else f"{host}:{port or PORT}"
