"""Recordings by other programs: chunks of bytes go in, frames come out.

Nothing in a file is trusted, and no file is loaded as a whole.

There are two formats, distinguished by the first bytes:

``.cbcap``
    a line ``CBCAP1 <venue> <symbol> <unix ns>``, then, per frame, a line ``<unix ns> <byte length>``, the frame, and a
    newline.
one frame per line
    as it is, or in a wrapper with its time (:mod:`kraken_trio.wire.wrapper`); with or without a time before it
    (:mod:`kraken_trio.recording.times`), which ends with a colon, a space or a tab: ``<time>: ``. Lines about the
    connection (``… <-> …``, ``… <- …``, ``… -> …``, ``configuration: …``) and empty ones are skipped. Every other line
    counts as a frame, so that a truncated one is detected.

Each may be compressed, by gzip or zstd.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import attrs

from kraken_trio._text import printable
from kraken_trio.errors import RecordingError
from kraken_trio.recording.decompression import DecompressionError, compression, decompressed
from kraken_trio.recording.times import ISO, UNIX, time_ns, whole_ns
from kraken_trio.settings import MAX_FRAME_BYTES
from kraken_trio.wire.wrapper import unwrap

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kraken_trio.wire.wrapper import Wrapped

__all__ = ["RecordedFrame", "read_frames"]

MAX_LINE_BYTES: Final = 2 * MAX_FRAME_BYTES + 500
"""The longest line that is read: the longest frame, with escaped quotes, in its wrapper, and the time before it."""
_MAX_HEADER_BYTES: Final = 200

_MAGIC: Final = b"CBCAP"
_REFUSED: Final = {
    b"BZh": "it is compressed (bzip2): decompress it first",
    b"\xfd7zXZ": "it is compressed (xz): decompress it first",
    b"PK\x03\x04": "it is compressed (zip): decompress it first",
    b"\x89MCAP": "it is an MCAP file: kraken-trio audit FOLDER checks those of kraken-trio; of others, export the "
    "frames to one file, a frame per line",
    b"\xff\xfe": "it is a text in UTF-16: convert it to UTF-8 first",
    b"\xfe\xff": "it is a text in UTF-16: convert it to UTF-8 first",
}
_LONGEST_MAGIC: Final = 6

_FILE_HEADER = re.compile(rb"CBCAP1 \S+ \S+ [0-9]{1,20}")
_FRAME_HEADER = re.compile(rb"([0-9]{1,20}) ([0-9]{1,20})")
_TIME = re.compile(rb"\s*(" + ISO + rb"|" + UNIX + rb"):?[ \t]")
_NO_FRAME = re.compile(rb"[^\s{\[]\S* (<->|<-|->) |configuration:")


@attrs.frozen
class RecordedFrame:
    """One frame as it was received, and its position."""

    data: bytes
    number: int
    """Counted from 1."""
    offset: int
    """Of its first byte in the file, counted from 0; if the file is compressed, in what is in it."""
    line: int | None = None
    """Counted from 1; None in a ``.cbcap``, where a frame is found by its offset."""
    received_ns: int | None = None
    """When it was received, in nanoseconds since 1970; None if the file does not say."""

    @property
    def where(self) -> str:
        """Its position, human-readable."""
        return f"frame {self.number} ({'' if self.line is None else f'line {self.line}, '}byte {self.offset})"


def read_frames(chunks: Iterable[bytes]) -> Iterator[RecordedFrame]:
    """The frames of a recording, in order. Raises :class:`RecordingError` where it is damaged, or is none.

    It holds no more than one line or frame and one chunk at a time.
    """
    source = _Source(chunks)
    start = source.peek(_LONGEST_MAGIC)
    if not start:
        msg = "it is empty"
        raise RecordingError(msg)
    name = compression(start)
    if name is not None:
        source = _Source(decompressed(name, source.exactly))
        start = source.peek(_LONGEST_MAGIC)
        again = compression(start)
        if again is not None:
            msg = f"it is compressed twice ({name}, and in it {again}): decompress it first"
            raise RecordingError(msg)
        if not start:
            msg = f"it is empty ({name} data without content)"
            raise RecordingError(msg)
    for magic, problem in _REFUSED.items():
        if start.startswith(magic):
            raise RecordingError(problem)
    return _framed(source) if start.startswith(_MAGIC) else _lines(source)


def _framed(source: _Source) -> Iterator[RecordedFrame]:
    header = source.line(_MAX_HEADER_BYTES)
    if header is None or not _FILE_HEADER.fullmatch(header.rstrip(b"\r")):
        msg = f"its first line is not 'CBCAP1 <venue> <symbol> <unix ns>', but {_excerpt(header or source.rest)}"
        raise RecordingError(msg)
    number = 0
    while source.peek(1):
        number += 1
        at = source.offset
        place = f"frame {number} (byte {at})"
        header = source.line(_MAX_HEADER_BYTES)
        if header is None:
            if source.ended:
                msg = f"it is cut off in the header of {place}"
            else:
                msg = f"{place} should begin with '<unix ns> <byte length>', but there is {_excerpt(source.rest)}"
            raise RecordingError(msg)
        match = _FRAME_HEADER.fullmatch(header)
        received_ns = None if match is None else whole_ns(match[1])
        if match is None or received_ns is None:
            msg = f"{place} should begin with '<unix ns> <byte length>', but there is {_excerpt(header)}"
            raise RecordingError(msg)
        size = int(match[2])
        if size > MAX_FRAME_BYTES:
            msg = f"{place} says that it is {size} bytes long; no frame is longer than {MAX_FRAME_BYTES}"
            raise RecordingError(msg)
        begin = source.offset
        data = source.exactly(size + 1)
        if len(data) <= size:
            msg = f"it is cut off in {place}: {size} bytes and a newline should follow its header, {len(data)} do"
            raise RecordingError(msg)
        if not data.endswith(b"\n"):
            msg = f"{place} says that it is {size} bytes long, but no newline follows them"
            raise RecordingError(msg)
        yield RecordedFrame(data[:-1], number, begin, received_ns=received_ns)


def _lines(source: _Source) -> Iterator[RecordedFrame]:
    if source.peek(3) == b"\xef\xbb\xbf":
        source.exactly(3)
    number = line = 0
    while source.peek(1):
        line += 1
        begin = source.offset
        text = source.line(MAX_LINE_BYTES)
        if text is None:
            if not source.ended:
                raise _too_long(line, begin)
            text = source.exactly(len(source.rest))  # the last one, without a newline
        prefix = _TIME.match(text)
        received_ns = time_ns(prefix[1]) if prefix else None
        data = text[prefix.end() :] if prefix and received_ns is not None else text
        begin += len(text) - len(data.lstrip())
        data = data.strip()
        if not data or _NO_FRAME.match(data):
            continue
        wrapped = unwrap(data)
        if wrapped is not None:
            begin += wrapped.start
            if wrapped.time is not None:
                received_ns = _time_of(wrapped, f"line {line} (byte {begin})")
            data = wrapped.frame
        if len(data) > MAX_FRAME_BYTES:
            raise _too_long(line, begin)
        number += 1
        yield RecordedFrame(data, number, begin, line, received_ns)


def _too_long(line: int, begin: int) -> RecordingError:
    return RecordingError(
        f"line {line} (byte {begin}) is longer than any frame ({MAX_FRAME_BYTES} bytes): it is no recording"
    )


def _time_of(wrapped: Wrapped, place: str) -> int:
    assert wrapped.time is not None
    received_ns = whole_ns(wrapped.time) if wrapped.is_ns else time_ns(wrapped.time)
    if received_ns is None:
        form = "of nanoseconds since 1970" if wrapped.is_ns else "of seconds since 1970, nor a time of ISO 8601"
        msg = f"the time of the frame in {place} is {_excerpt(wrapped.time)}, which is no number {form}"
        raise RecordingError(msg)
    return received_ns


def _excerpt(data: bytes) -> str:
    return repr(printable(data[:40].decode("utf-8", "replace"), 40)) if data else "nothing"


class _Source:
    """Bytes, read by line or by number."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._held = bytearray()
        self.offset = 0
        """Of the next byte."""
        self.ended = False
        """Whether everything that remains is in memory."""

    @property
    def rest(self) -> bytes:
        """The bytes in memory."""
        return bytes(self._held)

    def peek(self, size: int) -> bytes:
        """The next bytes, without consuming them; fewer at the end."""
        while len(self._held) < size and self._more():
            pass
        return bytes(self._held[:size])

    def exactly(self, size: int) -> bytes:
        """Consume ``size`` bytes; fewer at the end."""
        while len(self._held) < size and self._more():
            pass
        taken = bytes(self._held[:size])
        del self._held[:size]
        self.offset += len(taken)
        return taken

    def line(self, limit: int) -> bytes | None:
        """Consume the next line, without its newline. None, consuming nothing, if there is none in ``limit`` bytes."""
        searched = 0
        while (end := self._held.find(b"\n", searched, limit + 1)) < 0:
            searched = len(self._held)
            if searched > limit or not self._more():
                return None
        return self.exactly(end + 1)[:-1]

    def _more(self) -> bool:
        try:
            chunk = next(self._chunks, b"")
        except DecompressionError as error:
            raise RecordingError(str(error)) from None
        self._held += chunk
        if not chunk:
            self.ended = True
        return bool(chunk)
