"""The lines that processes write: bounded, and with a name. Pure code."""

from __future__ import annotations

from typing import Any, Final

import msgspec

__all__ = ["MAX_LINE", "Lines", "decode_control", "encode_control", "named_json", "named_text"]

MAX_LINE: Final = 64 * 1024
"""Bytes of a line that are kept. The longest line of our own log is about 10 kB."""
_CUT: Final = b" ... (cut off)"
_decode: Any = msgspec.json.Decoder(dict[str, Any]).decode
_encode: Any = msgspec.json.Encoder().encode


class Lines:
    """Bytes, as they come, to lines. No more than one line's worth is held, whatever comes."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._held = bytearray()
        self._is_cut = False

    def take(self, data: bytes) -> list[bytes]:
        """The lines that are complete with this, without their ends and without empty ones."""
        first, *rest = data.split(b"\n")
        self._hold(first)
        found: list[bytes] = []
        for more in rest:
            found += self.end()
            self._hold(more)
        return found

    def end(self) -> list[bytes]:
        """What is held, as a line, if there is anything."""
        line = bytes(self._held).rstrip(b"\r") + (_CUT if self._is_cut else b"")
        self._held.clear()
        self._is_cut = False
        return [line] if line.strip() else []

    def _hold(self, data: bytes) -> None:
        room = self._limit - len(self._held)
        self._held += data[:room]
        self._is_cut = self._is_cut or len(data) > room


def named_json(line: bytes, shard: str) -> bytes | None:
    """A line of a JSON log with the field ``shard``, and its end; None if it is no such line."""
    try:
        fields = _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return bytes(_encode({**fields, "shard": shard})) + b"\n" if "event" in fields else None


def named_text(line: bytes, shard: str) -> bytes:
    """A line of text that begins with the shard's name, and its end: printable, whatever it was."""
    text = line.decode("utf-8", "backslashreplace")
    safe = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return f"[{shard}] {safe}\n".encode()


# What a process tells its supervisor on its standard output, one JSON object a line.

_CONTROL: Final = b'{"kraken_trio_relay":'
_decode_control: Any = msgspec.json.Decoder(dict[str, dict[str, Any]]).decode


def encode_control(**fields: object) -> bytes:
    """A line that tells the supervisor something: that the process is ready, and what it has opened."""
    return bytes(_encode({"kraken_trio_relay": fields})) + b"\n"


def decode_control(line: bytes) -> dict[str, Any] | None:
    """What :func:`encode_control` was given; None if it is another line."""
    if not line.startswith(_CONTROL):
        return None
    try:
        fields: dict[str, Any] = _decode_control(line)["kraken_trio_relay"]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return fields
