"""The index of a segment, from its summary, or from a walk over its records.

A finished segment has a summary at its end. One that is being written has none, nor has one whose writer was killed,
and its last record may be torn: a walk from the beginning goes from record to record, reads the headers of the chunks
only, and takes anything odd for the end.

Pure: the bytes come from a function, ``read(offset, size)``, which returns fewer at the end of the file, and whose
errors are passed on.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Final, TypeAlias

from kraken_trio.recording import format as fmt
from kraken_trio.recording.format import FormatError
from kraken_trio.recording.index import ChunkEntry, Damage, MetadataEntry, SegmentIndex

__all__ = [
    "Read",
    "check",
    "data_crc",
    "find_chunk",
    "has_end",
    "read_chunk",
    "read_end",
    "read_head",
    "read_index",
    "read_outline",
    "recover",
    "scan",
]

Read: TypeAlias = Callable[[int, int], bytes]

MAX_METADATA_TOTAL: Final = 64 * 1024 * 1024
"""How many bytes of metadata are read of a segment: its writer begins a new one long before."""
_PIECE_BYTES: Final = 1024 * 1024
"""How much is read at a time of what is read as a whole."""


def read_index(read: Read, size: int, name: str) -> SegmentIndex:
    """The index of a segment that is ``size`` bytes long. Raises :class:`FormatError` if its beginning is unreadable.

    Where something else is unreadable, :attr:`SegmentIndex.damage` says so.
    """
    try:
        return read_end(read, size, name)
    except FormatError as error:
        index, is_complete = scan(read, size, name)
        if is_complete or _has_footer(read, size):  # its writer came to the end
            index.damage.append(Damage(name, index.end, str(error)))
        elif find_chunk(read, index.end, size) is not None:
            # What a crash leaves is a torn record, with nothing behind it.
            index.damage.append(Damage(name, index.end, "a record is damaged, and what follows it cannot be read"))
        return index


def _has_footer(read: Read, size: int) -> bool:
    try:
        fmt.read_footer(read(max(size - fmt.FOOTER_BYTES, 0), fmt.FOOTER_BYTES))
    except FormatError:
        return False
    return True


def read_head(read: Read) -> SegmentIndex:
    """The index of a segment of which nothing but the beginning is known.

    Raises :class:`FormatError`: if the beginning is not whole, or damaged; or, if it is whole and of another kind or
    version, :class:`~kraken_trio.recording.format.ForeignFormatError`.
    """
    magic = len(fmt.MAGIC)
    if read(0, magic) != fmt.MAGIC:
        msg = "it does not begin as an MCAP file does"
        raise FormatError(msg)
    header = _record(read, magic, fmt.OP_HEADER, fmt.MAX_HEADER_BYTES)
    fmt.read_header(header[fmt.RECORD.size :])
    at = magic + len(header)
    head = fmt.read_metadata(_record(read, at, fmt.OP_METADATA, fmt.MAX_METADATA_BYTES), at)
    if head.name != fmt.SEGMENT:
        msg = "its beginning says nothing about the segment"
        raise FormatError(msg)
    if head.values.get("format") != fmt.FORMAT:
        msg = f"it has the format {head.values.get('format')!r:.20}, of another version of kraken_trio"
        raise fmt.ForeignFormatError(msg)
    return SegmentIndex(head, at + head.length)


def _record(read: Read, at: int, opcode: int, limit: int) -> bytes:
    """The whole record at ``at``, of this kind."""
    start = read(at, fmt.RECORD.size)
    if len(start) < fmt.RECORD.size:
        msg = "it is cut off"
        raise FormatError(msg)
    found, length = fmt.RECORD.unpack(start)
    if found != opcode or length > limit:
        msg = f"there is no record of the kind {opcode} at byte {at}, as there should be"
        raise FormatError(msg)
    body = read(at + fmt.RECORD.size, length)
    if len(body) < length:
        msg = "it is cut off"
        raise FormatError(msg)
    return start + body


def read_chunk(read: Read, entry: ChunkEntry) -> bytes:
    """The decompressed messages of a chunk. Raises :class:`FormatError`."""
    if not fmt.is_plausible(entry):
        msg = "no chunk is like that"
        raise FormatError(msg)
    return fmt.unchunk(read(entry.offset, entry.length), entry)


# ------------------------------------------------------------------ the summary


def has_end(read: Read, size: int) -> bool:
    """Whether a segment is finished. It is faster than :func:`read_end`, and believes what the summary says."""
    try:
        _read_end(read, size)
    except FormatError:
        return False
    return True


def read_end(read: Read, size: int, name: str) -> SegmentIndex:
    """The index of a finished segment. Raises :class:`FormatError` if it has no end, or a damaged one."""
    index, groups, offsets = _read_end(read, size)
    summary = fmt.read_summary(groups, offsets, index.end + fmt.DATA_END.size)
    at = index.head.offset + index.head.length
    for entry in summary.chunks:
        if entry.offset < at:
            raise _bad_end()
        at = entry.offset + entry.length
    if at > index.end:
        raise _bad_end()
    index.chunks = summary.chunks
    index.counts = summary.counts
    index.finished = True
    _read_metadata(read, summary.metadata, index, name)
    return index


def read_outline(read: Read, size: int) -> tuple[fmt.Statistics | None, list[MetadataEntry]]:
    """What the end of a finished segment says of its messages, and the metadata ``requests``: in about a millisecond.

    It believes what it reads. Raises :class:`FormatError` if there is no end.
    """
    foot = max(size - fmt.FOOTER_BYTES, 0)
    start, offsets, _ = fmt.read_footer(read(foot, fmt.FOOTER_BYTES))
    if not offsets <= foot <= offsets + fmt.MAX_HEADER_BYTES or size - start > fmt.MAX_SUMMARY_BYTES:
        raise _bad_end()
    return fmt.read_outline(read, read(offsets, foot - offsets))


def _read_end(read: Read, size: int) -> tuple[SegmentIndex, memoryview, memoryview]:
    """The beginning of a finished segment, and from its end the groups of the summary, and their offsets."""
    index = read_head(read)
    foot = max(size - fmt.FOOTER_BYTES, 0)
    start, offsets, crc = fmt.read_footer(read(foot, fmt.FOOTER_BYTES))
    at = start - fmt.DATA_END.size
    if at < index.end or offsets > foot or size - start > fmt.MAX_SUMMARY_BYTES:
        raise _bad_end()
    data = read(at, foot + fmt.FOOTER.size - 4 - at)
    summary = memoryview(data)[fmt.DATA_END.size :]
    if zlib.crc32(summary) != crc:
        raise _bad_end()
    opcode, length, index.data_crc = fmt.DATA_END.unpack_from(data)
    if (opcode, length) != (fmt.OP_DATA_END, 4):
        raise _bad_end()
    index.end = at
    return index, summary[: offsets - start], summary[offsets - start : foot - start]


def _read_metadata(read: Read, entries: list[tuple[int, int, str]], index: SegmentIndex, name: str) -> None:
    total = 0
    for offset, length, title in entries:
        if offset == index.head.offset:
            continue
        entry = MetadataEntry(offset, length, title, {})
        if title in fmt.KNOWN_METADATA:
            total += length
            try:
                if total > MAX_METADATA_TOTAL or length > fmt.MAX_METADATA_BYTES:
                    raise fmt.too_many()
                entry = fmt.read_metadata(read(offset, length), offset)
            except FormatError as error:
                index.damage.append(Damage(name, offset, str(error)))
                continue
        index.metadata.append(entry)


def _bad_end() -> FormatError:
    return FormatError("its end is damaged")


def check(read: Read, size: int, name: str) -> list[Damage]:
    """Everything that is wrong with a segment, but inside of its chunks: they are checked when they are read.

    It reads the whole file, a piece at a time. Raises :class:`FormatError` if the beginning is unreadable.
    """
    index = read_index(read, size, name)
    found = list(index.damage)
    if not index.finished:
        return found
    walked, is_complete = scan(read, size, name)
    found += [damage for damage in walked.damage if damage not in found]
    if not is_complete or walked.end != index.end or walked.chunks != index.chunks:
        differ = zip_longest(walked.chunks, index.chunks)
        where = next((one or other for one, other in differ if one != other), None)
        at = min(walked.end, index.end) if where is None else where.offset
        found.append(Damage(name, at, "the index at its end lists other chunks than there are"))
    elif walked.metadata != index.metadata and not found:
        found.append(Damage(name, index.end, "the index at its end lists other metadata than there are"))
    if index.data_crc and index.data_crc != data_crc(read, index.end):
        found.append(Damage(name, 0, "the checksum of all of its data is wrong"))
    return found


def data_crc(read: Read, end: int) -> int:
    """The CRC32 of what stands before ``end``, read a piece at a time."""
    crc = 0
    for at in range(0, end, _PIECE_BYTES):
        crc = zlib.crc32(read(at, min(_PIECE_BYTES, end - at)), crc)
    return crc


# --------------------------------------------------------------------- the walk


def scan(read: Read, size: int, name: str) -> tuple[SegmentIndex, bool]:
    """The index of a segment by a walk over its records, and whether it came to the end of the data.

    Raises :class:`FormatError` if its beginning is unreadable.
    """
    index = read_head(read)
    walk = _Walk(read, size, index.end)
    _collect(index, walk, name)
    index.end = walk.end
    return index, walk.is_complete


def recover(read: Read, size: int, name: str) -> SegmentIndex:
    """The index of what is whole in a segment without an end: ``index.end`` is where that ends.

    The last chunk is checked; if it is damaged, the one before, and so on. Raises :class:`FormatError` if the beginning
    is unreadable.
    """
    index = read_head(read)
    walk = _Walk(read, size, index.end)
    entries = list(walk)
    index.end = walk.end
    while entries and not _is_whole(read, entries[-1]):
        index.end = entries.pop().offset
    _collect(index, entries, name)
    return index


def find_chunk(read: Read, start: int, size: int) -> ChunkEntry | None:
    """The first whole chunk behind ``start``, wherever it begins; None if there is none, or not soon."""
    tries = 0
    at = start
    while at < size:
        window = read(at, _PIECE_BYTES)
        found = window.find(_CHUNK_MARK)
        while found >= 0:
            offset = at + found - _MARK_AT
            try:
                entry, _ = fmt.chunk_head(read(offset, fmt.CHUNK.size), offset) if offset >= start else (None, 0)
                if entry is not None and entry.offset + entry.length <= size:
                    tries += 1
                    read_chunk(read, entry)
                    return entry
            except FormatError:
                if tries >= _SEARCH_TRIES:
                    return None
            found = window.find(_CHUNK_MARK, found + 1)
        at += max(len(window) - len(_CHUNK_MARK) + 1, 1)
    return None


_CHUNK_MARK: Final = b"\4\0\0\0zstd"
_MARK_AT: Final = 37
"""Where the mark stands in a chunk's record."""
_SEARCH_TRIES: Final = 100
"""How many things that look like chunks are decompressed before the search is given up."""


def _collect(index: SegmentIndex, entries: _Walk | list[_Entry], name: str) -> None:
    for entry in entries:
        if isinstance(entry, ChunkEntry):
            index.chunks.append(entry)
        elif isinstance(entry, MetadataEntry):
            index.metadata.append(entry)
        else:
            index.damage.append(Damage(name, entry.offset, entry.text))


def _is_whole(read: Read, entry: _Entry) -> bool:
    if isinstance(entry, ChunkEntry):
        try:
            read_chunk(read, entry)
        except FormatError:
            return False
    return not isinstance(entry, Damage)


_Entry: TypeAlias = ChunkEntry | MetadataEntry | Damage


class _Walk:
    """The chunks and metadata behind the beginning. Other damaged records are a :class:`Damage` without a name."""

    def __init__(self, read: Read, size: int, start: int) -> None:
        self._read = read
        self._size = size
        self.end = start
        """Behind the last whole record of data."""
        self.is_complete = False
        """Whether it came to the record that ends the data."""

    def __iter__(self) -> Iterator[_Entry]:
        records = kept = 0
        while True:
            at = self.end
            head = self._read(at, fmt.CHUNK.size)
            if len(head) < fmt.RECORD.size:
                return
            opcode, length = fmt.RECORD.unpack_from(head)
            behind = at + fmt.RECORD.size + length
            if behind > self._size:
                return
            entry: _Entry | None = None
            if opcode == fmt.OP_CHUNK:
                try:
                    entry, _ = fmt.chunk_head(head, at)
                except FormatError:
                    return
            elif opcode == fmt.OP_METADATA and length <= fmt.MAX_METADATA_BYTES:
                kept += length
                if kept > MAX_METADATA_TOTAL:
                    entry = Damage("", at, str(fmt.too_many()))
                else:
                    entry = self._metadata(at, behind - at)
            elif opcode == fmt.OP_DATA_END and length == 4:
                self.is_complete = True
                return
            elif opcode == fmt.OP_CHANNEL and length <= fmt.MAX_HEADER_BYTES:
                if self._read(at, behind - at) not in fmt.CHANNEL_RECORDS.values():
                    entry = Damage("", at, "the description of a channel is damaged")
            else:
                return
            self.end = behind
            if entry is not None:
                records += 1
                if records > fmt.MAX_RECORDS:
                    raise fmt.too_many()
                yield entry

    def _metadata(self, at: int, length: int) -> _Entry:
        try:
            return fmt.read_metadata(self._read(at, length), at)
        except FormatError as error:
            return Damage("", at, str(error))
