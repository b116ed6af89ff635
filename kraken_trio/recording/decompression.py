"""Compressed streams: pieces of gzip or zstd go in, pieces of what is in them come out.

A few bytes can stand for gigabytes, so no piece that comes out is longer than a bound, and none is made before it is
wanted. What is read before damage does not depend on how the input is cut up.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Final, Protocol

from kraken_trio._text import printable
from kraken_trio._zstd import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["DECOMPRESSORS", "INPUT_BYTES", "PIECE_BYTES", "DecompressionError", "compression", "decompressed"]

INPUT_BYTES: Final = 256
"""Of compressed data at once. Where they are damaged, what is in this many bytes before may be lost, too."""
PIECE_BYTES: Final = 128 * 1024
"""Of decompressed data at once. (A decompressor needs memory besides: gzip 32 KiB, zstd at most 128 MiB, which files
have that were compressed with ``--ultra`` or ``--long``.)"""

_STARTS: Final = {
    "gzip": re.compile(rb"\x1f\x8b"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),  # data, or a frame that is to be skipped
}


class DecompressionError(Exception):
    """The data are damaged or cut off here."""


class _Decompressor(Protocol):
    """One member of a gzip file, or one frame of zstd."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    """zlib's decompressor, as that of zstd is used."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        piece = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        self.needs_input = not self._zlib.unconsumed_tail and len(piece) < max_length
        return piece


DECOMPRESSORS: Final[Mapping[str, Callable[[], _Decompressor]]] = {"gzip": _Gzip, "zstd": zstd.ZstdDecompressor}


def compression(start: bytes) -> str | None:
    """How a file is compressed that begins with these bytes (six are enough); None if it is not, or otherwise."""
    return next((name for name, pattern in _STARTS.items() if pattern.match(start)), None)


def decompressed(name: str, read: Callable[[int], bytes]) -> Iterator[bytes]:
    """What is in a stream of one or more members (gzip) or frames (zstd), in pieces that are not empty.

    ``read`` gives as many bytes as it is asked for, and fewer only at the end. Raises :class:`DecompressionError`.
    """
    current: _Decompressor | None = None
    offset = 0
    while block := read(INPUT_BYTES):
        offset += len(block)
        while True:
            if current is None:
                if name == "gzip" and offset > len(block):
                    block = block.lstrip(b"\0")  # tapes and disks fill files up; so does `gzip -d` allow it
                if not block:
                    break
                current = DECOMPRESSORS[name]()
            try:
                piece = current.decompress(block, PIECE_BYTES)
            except (zlib.error, zstd.ZstdError) as error:
                reason = printable(str(error).rpartition(": ")[2], 80)
                msg = f"its {name} data cannot be decompressed further, before byte {offset} of the file: {reason}"
                raise DecompressionError(msg) from None
            if piece:
                yield piece
            block = b""
            if current.eof:
                block = current.unused_data
                current = None
            elif current.needs_input:
                break
    if current is not None:
        msg = f"its {name} data are cut off: they should go on after byte {offset} of the file"
        raise DecompressionError(msg)
