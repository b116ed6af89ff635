"""Lines in which a recorder has wrapped a frame, with the time when it came: the frame is cut out of them.

There are two shapes, each with exactly these two keys, in either order:

* ``{"rx_ns": <nanoseconds>, "frame": <frame>}``
* ``{"ts": <time>, "data": <frame>}``

The time is a number, a text or null; the frame an object or a list, of which every byte is kept, or a text that holds
it. Anything else is no wrapper, above all a frame of Kraken's, which has other keys besides ``data``.
"""

from __future__ import annotations

import re
from typing import Final

import attrs
import msgspec

from kraken_trio.wire.tree import REFUSED

__all__ = ["Wrapped", "unwrap"]

_KEYS: Final = {b"rx_ns": b"frame", b"ts": b"data"}
_TIME: Final = rb'(null|-?[0-9][0-9.eE+-]{0,40}|"(?:[^"\\]|\\.){0,64}")'
_BEGIN = re.compile(rb'\{[ \t]*"(?:rx_ns|ts|frame|data)"')
_TIME_FIRST = re.compile(rb'\{[ \t]*"(rx_ns|ts)"[ \t]*:[ \t]*' + _TIME + rb'[ \t]*,[ \t]*"(frame|data)"[ \t]*:[ \t]*')
_FRAME_FIRST = re.compile(rb'\{[ \t]*"(frame|data)"[ \t]*:[ \t]*')
_TIME_LAST = re.compile(rb',[ \t]*"(rx_ns|ts)"[ \t]*:[ \t]*' + _TIME + rb"[ \t]*\}\Z")
_LONGEST_END: Final = 400
"""Bytes in which `_TIME_LAST` is looked for."""

_text: Final = msgspec.json.Decoder(str).decode
_document: Final = msgspec.json.Decoder(msgspec.Raw).decode


@attrs.frozen
class Wrapped:
    """A frame, and what its wrapper says of it."""

    frame: bytes
    start: int
    """Of the frame in the line; or of the quote before it, if it was a text in which characters were escaped."""
    time: bytes | None
    """The number or text; None if it is null."""
    is_ns: bool
    """Whether the time is in nanoseconds, by its name."""


def unwrap(line: bytes) -> Wrapped | None:
    """The frame in a line that has one of the two shapes; None for any other line."""
    if not _BEGIN.match(line):
        return None
    begin = _TIME_FIRST.match(line)
    if begin is not None:
        time_key, time, frame_key = begin.groups()
        end = len(line) - 1 if line.endswith(b"}") else 0
    else:
        begin = _FRAME_FIRST.match(line)
        after = _TIME_LAST.search(line, max(0, len(line) - _LONGEST_END))
        if begin is None or after is None:
            return None
        frame_key, (time_key, time), end = begin[1], after.groups(), after.start()
    if _KEYS[time_key] != frame_key:
        return None
    start = begin.end()
    value = line[start:end].rstrip(b" \t")
    try:
        said = None if time == b"null" else _text(time).encode() if time.startswith(b'"') else time
        if value.startswith((b"{", b"[")):
            _document(value)  # the line is what it seems only if this is one whole document
            frame = value
        elif value.startswith(b'"'):
            frame = _text(value).encode()
        else:
            return None
    except REFUSED:
        return None
    return Wrapped(frame, start, said, time_key == b"rx_ns")
