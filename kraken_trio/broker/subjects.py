"""Names for what goes through a broker: one subject per shard and channel and symbol, and a few beside.

======================================  =========================================================
``3.book.BTC%2FUSD``                    events of this channel and symbol, from shard 3
``3.key.book.BTC%2FUSD``                key frames of them
``3.catalog``                           what shard 3 publishes
``3.lease``                             who publishes it
======================================  =========================================================

NATS puts the stream's name before it (``kraken.3.book.BTC%2FUSD``); Kafka has it in a header, and the symbol is the
key.

A symbol is percent-encoded, all but ``A-Z a-z 0-9 - _``: no token has a dot, a space, or what is special to a broker. A
channel without symbols has ``_`` in its place. Both ways are exact: :func:`parse_subject` gives back what was written.
"""

from __future__ import annotations

import enum
import re
from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes

import attrs

from kraken_trio._text import printable
from kraken_trio.errors import ProtocolError

__all__ = ["LIFECYCLE", "Key", "Kind", "Subject", "decode_token", "encode_symbol", "encode_token", "parse_subject"]

Key: TypeAlias = tuple[str, str | None]
"""A channel and a symbol. Events of one key are in order; those of different keys are independent of each other."""

LIFECYCLE: Final[Key] = ("lifecycle", None)
"""The key of what producers tell of themselves, of the exchange's status, and of gaps that concern no channel, or one
without its symbol."""

_NO_SYMBOL: Final = "_"
_TOKEN = re.compile(r"(?:[A-Za-z0-9_-]|%[0-9A-F]{2})+", re.ASCII)
_NUMBER = re.compile("0|[1-9][0-9]{0,8}", re.ASCII)
_PLAIN = re.compile("[A-Za-z0-9_-]+", re.ASCII)
_ENCODED: Final = tuple(chr(byte) if _PLAIN.fullmatch(chr(byte)) else f"%{byte:02X}" for byte in range(256))
"""Of each byte."""


class Kind(enum.Enum):
    """What a message is."""

    DATA = "data"
    """A :class:`~kraken_trio.broker.messages.Batch` of events."""
    KEY = "key"
    """A :class:`~kraken_trio.broker.messages.KeyFrame`: the state after some event."""
    CATALOG = "catalog"
    """A :class:`~kraken_trio.broker.messages.Catalog`: what a shard publishes."""
    LEASE = "lease"
    """A :class:`~kraken_trio.broker.messages.LeaseNote`: whose messages follow."""


@attrs.frozen
class Subject:
    """What a message is about."""

    shard: int
    kind: Kind
    channel: str = ""
    """Of data and key frames."""
    symbol: str | None = None

    @property
    def key(self) -> Key:
        """(of data and key frames)."""
        return self.channel, self.symbol

    def __str__(self) -> str:
        if self.kind is Kind.CATALOG or self.kind is Kind.LEASE:
            return f"{self.shard}.{self.kind.value}"
        between = "key." if self.kind is Kind.KEY else ""
        return f"{self.shard}.{between}{encode_token(self.channel)}.{encode_symbol(self.symbol)}"


def encode_token(text: str) -> str:
    """``text``, not empty, as one token of a subject."""
    if not text:
        msg = "an empty name cannot be a part of a subject"
        raise ValueError(msg)
    # A single "_" is the sign for "no symbol": as a name it is encoded.
    if text == _NO_SYMBOL:
        return "%5F"
    if _PLAIN.fullmatch(text):
        return text
    return "".join([_ENCODED[byte] for byte in text.encode("utf-8", "surrogatepass")])


def decode_token(token: str) -> str:
    """What :func:`encode_token` was given. Raises :class:`~kraken_trio.ProtocolError` if it is no such token."""
    if _TOKEN.fullmatch(token):
        try:
            text = unquote_to_bytes(token).decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            pass
        else:
            if encode_token(text) == token:
                return text
    msg = f"{printable(token, 80)} is no token of a subject"
    raise ProtocolError(msg)


def encode_symbol(symbol: str | None) -> str:
    """A symbol, or the lack of one, as one token."""
    return _NO_SYMBOL if symbol is None else encode_token(symbol)


def parse_subject(text: str) -> Subject:
    """The subject of this text. Raises :class:`~kraken_trio.ProtocolError` if it is none."""
    shard, *rest = text.split(".")
    if _NUMBER.fullmatch(shard):
        number = int(shard)
        if rest in (["catalog"], ["lease"]):
            return Subject(number, Kind(rest[0]))
        kind = Kind.KEY if len(rest) == 3 and rest[0] == "key" else Kind.DATA
        if len(rest) == (3 if kind is Kind.KEY else 2):
            channel, symbol = rest[-2:]
            return Subject(number, kind, decode_token(channel), None if symbol == _NO_SYMBOL else decode_token(symbol))
    msg = f"{printable(text, 120)} is no subject of a relay"
    raise ProtocolError(msg)
