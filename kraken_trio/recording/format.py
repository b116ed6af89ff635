"""The records of a segment of the log: values into bytes, and bytes into values.

A segment is an MCAP file (https://mcap.dev/spec). Of what the format allows, it uses this:

* magic, ``Header``, the ``Metadata`` record named ``segment``, and a ``Channel`` record for each of :data:`CHANNELS`;
* then chunks of messages, compressed with Zstandard, and ``Metadata`` records, as they were written;
* ``DataEnd``, and a summary: the channels, ``Statistics``, the index of the chunks and of the metadata;
* ``Footer``, magic.

A chunk's messages are covered by its CRC32, the summary by another. Metadata have none in MCAP, so each record of ours
carries one, as its last value, :data:`CRC_KEY`. Unpacking trusts nothing: everything declared is compared with its
limit before memory is allocated for it, and whatever is wrong raises :class:`FormatError`.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Final

import attrs

from kraken_trio._text import printable
from kraken_trio._zstd import zstd
from kraken_trio.recording.index import ChunkEntry, MetadataEntry, SegmentIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Buffer = bytes | bytearray | memoryview

__all__ = [
    "CHANNELS",
    "DECISIONS",
    "FRAMES",
    "FRAME_FIRST",
    "FRAME_MORE",
    "INPUTS",
    "KEYFRAMES",
    "MAX_CHUNK_BYTES",
    "NOTES",
    "PACK",
    "TEXT_FIRST",
    "TEXT_MORE",
    "FormatError",
    "begin",
    "chunk",
    "clock_offset",
    "count",
    "end",
    "messages",
    "metadata",
    "monotonic_ns",
    "unchunk",
]

FORMAT: Final = "1"
"""The version of what is in the messages and the metadata, in the metadata record ``segment``."""
PROFILE: Final = "kraken_trio"
"""Names the kind of MCAP file in its header."""
SEGMENT: Final = "segment"
REQUESTS: Final = "requests"
KEYFRAME_CYCLE: Final = "keyframes"
KNOWN_METADATA: Final = frozenset({SEGMENT, REQUESTS, KEYFRAME_CYCLE})
CRC_KEY: Final = "crc32"
"""The last value of each metadata record: the CRC32 of its name and of all other values, as they are in the file."""

FRAME_FIRST, FRAME_MORE, TEXT_FIRST, TEXT_MORE, INPUTS, DECISIONS, KEYFRAMES, NOTES = range(1, 9)
CHANNELS: Final[Mapping[int, tuple[str, Mapping[str, str]]]] = {
    FRAME_FIRST: ("frames", {"type": "bytes", "batch": "first"}),
    FRAME_MORE: ("frames", {"type": "bytes", "batch": "more"}),
    TEXT_FIRST: ("frames", {"type": "text", "batch": "first"}),
    TEXT_MORE: ("frames", {"type": "text", "batch": "more"}),
    INPUTS: ("inputs", {}),
    DECISIONS: ("decisions", {}),
    KEYFRAMES: ("keyframes", {}),
    NOTES: ("notes", {}),
}
"""The topic and the metadata of each channel."""
FRAMES: Final = (FRAME_FIRST, FRAME_MORE, TEXT_FIRST, TEXT_MORE)
"""The channels of frames."""

MAX_CHUNK_BYTES: Final = 64 * 1024 * 1024
"""The most that a chunk may hold, decompressed: several times the longest frame."""
MAX_COMPRESSED_BYTES: Final = MAX_CHUNK_BYTES + MAX_CHUNK_BYTES // 128
"""What cannot be compressed becomes longer, by less than this."""
MAX_METADATA_BYTES: Final = 8 * 1024 * 1024
"""The longest metadata record: some 80,000 requests."""
MAX_HEADER_BYTES: Final = 64 * 1024
"""The longest header, and the longest channel record."""
MAX_RECORDS: Final = 500_000
"""The most chunks and metadata records of a segment: a day of five chunks a second. An index of them takes 150 MB."""
MAX_SUMMARY_BYTES: Final = 64 * 1024 * 1024
"""The longest end of a segment: that of ``MAX_RECORDS`` takes 40 MB."""
MAX_KEYS: Final = 256
"""The most values of a metadata record: ours have some ten."""
_WINDOW_LOG: Final = MAX_CHUNK_BYTES.bit_length() - 1
"""The most memory that decompressing may take, as a power of two."""

MAGIC: Final = b"\x89MCAP0\r\n"
OP_HEADER, OP_FOOTER, OP_CHANNEL, OP_MESSAGE, OP_CHUNK = 1, 2, 4, 5, 6
OP_CHUNK_INDEX, OP_STATISTICS, OP_METADATA, OP_METADATA_INDEX = 8, 11, 12, 13
OP_SUMMARY_OFFSET, OP_DATA_END = 14, 15

MESSAGE: Final = struct.Struct("<BQHIQQ")
"""Opcode, length behind it, channel, sequence, wall clock in ns, :func:`clock_offset`. The data follow."""
PACK: Final = MESSAGE.pack
"""A message: ``[PACK(5, 22 + len(data), channel, sequence, wall_ns, offset), data]``."""

RECORD: Final = struct.Struct("<BQ")
CHUNK: Final = struct.Struct("<BQQQQII4sQ")
"""All of a chunk's record but the compressed messages."""
DATA_END: Final = struct.Struct("<BQI")
FOOTER: Final = struct.Struct("<BQQQI")
_U64: Final = 2**64 - 1
_LENGTH: Final = struct.Struct("<I")
_CHANNEL: Final = struct.Struct("<HH")
_CHUNK_INDEX: Final = struct.Struct("<BQQQQQIQI4sQQ")
_STATISTICS: Final = struct.Struct("<QHIIIIQQI")
_CHANNEL_COUNT: Final = struct.Struct("<HQ")
_METADATA_INDEX: Final = struct.Struct("<QQ")
_SUMMARY_OFFSET: Final = struct.Struct("<BQBQQ")
_ZSTD: Final = b"zstd"

FOOTER_BYTES: Final = FOOTER.size + len(MAGIC)
"""How long the end of a finished segment is, behind its summary."""


class FormatError(Exception):
    """These bytes are damaged, or no part of a segment.

    Contrast :class:`~kraken_trio.RecordingError`, which programs get: this one tells of a single record or file, and
    whoever reads a recording goes on with the next.
    """


class ForeignFormatError(FormatError):
    """It is a whole MCAP file, or the beginning of one, but not of ours, or not of this version."""


class LimitError(FormatError):
    """It exceeds a limit of this module: it may be whole, but is not read."""


# ---------------------------------------------------------------------- packing


def clock_offset(wall_ns: int, now: float) -> int:
    """By how much the wall clock is ahead of the monotonic clock, which is at ``now`` seconds: in ns, whole µs.

    It is the ``publish_time`` of a message, in the place of the monotonic time, because it hardly ever changes: that
    saves five bytes a message. Where it does change, one of the clocks was set.
    """
    offset = wall_ns - int(now * 1e9)
    return offset - offset % 1000 & _U64  # faster than to divide and multiply


def monotonic_ns(wall_ns: int, offset: int) -> int:
    """The monotonic time of a message, to the microsecond."""
    return wall_ns - offset & _U64


def begin(library: str, segment: Mapping[str, str]) -> bytes:
    """The beginning of a segment: up to its first chunk."""
    return b"".join(
        (
            MAGIC,
            _record(OP_HEADER, _text(PROFILE), _text(library)),
            metadata(SEGMENT, {"format": FORMAT, **segment}),
            *CHANNEL_RECORDS.values(),
        )
    )


def chunk(parts: Sequence[bytes], start_ns: int, end_ns: int, level: int = 3) -> tuple[bytes, ChunkEntry]:
    """The record of a chunk, and its entry as if it stood at the offset 0.

    ``parts`` are messages as :data:`PACK` makes them, ``start_ns`` and ``end_ns`` the earliest and the latest time of
    them. Most of the work is done without the GIL. Raises :class:`ValueError` if the times are in the wrong order, or
    if the messages exceed ``MAX_CHUNK_BYTES``.
    """
    if not 0 <= start_ns <= end_ns < 1 << 64:
        msg = f"messages cannot be from {start_ns} to {end_ns}"
        raise ValueError(msg)
    raw = b"".join(parts)
    if len(raw) > MAX_CHUNK_BYTES:
        msg = f"{len(raw)} bytes are too many for one chunk; the limit is {MAX_CHUNK_BYTES}"
        raise ValueError(msg)
    data = zstd.compress(raw, level)
    head = CHUNK.pack(
        OP_CHUNK,
        CHUNK.size - RECORD.size + len(data),
        start_ns,
        end_ns,
        len(raw),
        zlib.crc32(raw),
        len(_ZSTD),
        _ZSTD,
        len(data),
    )
    record = head + data
    return record, ChunkEntry(0, len(record), start_ns, end_ns, len(raw), len(data))


def count(parts: Sequence[bytes]) -> dict[int, int]:
    """How many messages of each channel are in ``parts``, which alternate between what ``PACK`` makes and data."""
    channels = Counter(map(itemgetter(slice(9, 11)), parts[::2]))
    return {int.from_bytes(channel, "little"): number for channel, number in channels.items()}


def metadata(name: str, values: Mapping[str, str]) -> bytes:
    """A metadata record. Raises :class:`ValueError` if it exceeds ``MAX_METADATA_BYTES`` or ``MAX_KEYS``."""
    if len(values) >= MAX_KEYS or CRC_KEY in values:
        msg = f"the metadata {printable(name, 40)!r} have too many values, or one that is named {CRC_KEY}"
        raise ValueError(msg)
    packed = _text(name), _texts(values)
    crc = zlib.crc32(b"".join(packed))
    body = packed[1] + _texts({CRC_KEY: f"{crc:08x}"})
    record = _record(OP_METADATA, packed[0], _LENGTH.pack(len(body)), body)
    if len(record) > MAX_METADATA_BYTES:
        msg = f"{len(record)} bytes are too many for the metadata {printable(name, 40)!r}; limit: {MAX_METADATA_BYTES}"
        raise ValueError(msg)
    return record


def end(index: SegmentIndex) -> bytes:
    """The end of a segment, which stands at ``index.end``. Without counts, it has no statistics."""
    start = index.end + DATA_END.size
    groups = [(OP_CHANNEL, b"".join(CHANNEL_RECORDS.values()))]
    if index.counts is not None:
        groups.append((OP_STATISTICS, _statistics(index, index.counts)))
    groups += [
        (OP_CHUNK_INDEX, b"".join(map(_chunk_index, index.chunks))),
        (OP_METADATA_INDEX, b"".join(map(_metadata_index, (index.head, *index.metadata)))),
    ]
    offsets, at = [], start
    for opcode, records in groups:
        if records:
            length = _SUMMARY_OFFSET.size - RECORD.size
            offsets.append(_SUMMARY_OFFSET.pack(OP_SUMMARY_OFFSET, length, opcode, at, len(records)))
            at += len(records)
    summary = b"".join(chain((records for _, records in groups), offsets))
    footer = FOOTER.pack(OP_FOOTER, FOOTER.size - RECORD.size, start, at, 0)[:-4]
    crc = zlib.crc32(footer, zlib.crc32(summary))
    return b"".join(
        (DATA_END.pack(OP_DATA_END, 4, index.data_crc), summary, footer, _LENGTH.pack(crc), MAGIC),
    )


def _statistics(index: SegmentIndex, counts: Mapping[int, int]) -> bytes:
    by_channel = b"".join(_CHANNEL_COUNT.pack(*item) for item in sorted(counts.items()))
    numbers = _STATISTICS.pack(
        sum(counts.values()),
        0,  # schemas
        len(CHANNELS),
        0,  # attachments
        1 + len(index.metadata),
        len(index.chunks),
        index.start_ns or 0,
        index.end_ns or 0,
        len(by_channel),
    )
    return _record(OP_STATISTICS, numbers, by_channel)


def _chunk_index(entry: ChunkEntry) -> bytes:
    return _CHUNK_INDEX.pack(
        OP_CHUNK_INDEX,
        _CHUNK_INDEX.size - RECORD.size,
        entry.start_ns,
        entry.end_ns,
        entry.offset,
        entry.length,
        0,  # no index of messages: neither its offsets
        0,  # nor its length
        len(_ZSTD),
        _ZSTD,
        entry.compressed_size,
        entry.raw_size,
    )


def _metadata_index(entry: MetadataEntry) -> bytes:
    return _record(OP_METADATA_INDEX, _METADATA_INDEX.pack(entry.offset, entry.length), _text(entry.name))


def _record(opcode: int, *body: bytes) -> bytes:
    return b"".join((RECORD.pack(opcode, sum(map(len, body))), *body))


def _text(text: str) -> bytes:
    # A text of a program may hold what is no Unicode (a path of a damaged name): recording goes on.
    data = text.encode("utf-8", "backslashreplace")
    return _LENGTH.pack(len(data)) + data


def _texts(values: Mapping[str, str]) -> bytes:
    return b"".join(map(_text, chain.from_iterable(values.items())))


def _channel(number: int, topic: str, values: Mapping[str, str]) -> bytes:
    packed = _texts(values)
    return _record(OP_CHANNEL, _CHANNEL.pack(number, 0), _text(topic), _text("json"), _LENGTH.pack(len(packed)), packed)


CHANNEL_RECORDS: Final = {number: _channel(number, *about) for number, about in CHANNELS.items()}
"""As they stand in every segment."""


# -------------------------------------------------------------------- unpacking


def messages(raw: bytes) -> list[tuple[int, int, int, int, bytes]]:
    """The messages of a decompressed chunk: channel, sequence, wall clock in ns, :func:`clock_offset`, and data.

    Raises :class:`FormatError` if there is anything else in it.
    """
    found: list[tuple[int, int, int, int, bytes]] = []
    add, unpack = found.append, MESSAGE.unpack_from
    size = len(raw)
    at = 0
    try:
        while at < size:
            opcode, length, channel, sequence, wall_ns, offset = unpack(raw, at)
            if opcode != OP_MESSAGE or length < 22:
                break
            data = at + 31
            at += 9 + length
            add((channel, sequence, wall_ns, offset, raw[data:at]))
    except struct.error:
        at = -1
    if at != size:
        msg = "there is something else than whole messages in the chunk"
        raise FormatError(msg)
    return found


def unchunk(record: Buffer, expected: ChunkEntry | None = None) -> bytes:
    """The decompressed messages of a chunk's record. Raises :class:`FormatError`.

    It must be the ``expected`` one, if the index of the file says which that is. Nothing is decompressed that claims to
    be longer than ``MAX_CHUNK_BYTES``, or beyond what it claims.
    """
    entry, crc = chunk_head(record, 0 if expected is None else expected.offset)
    if expected is not None and entry != expected:
        msg = "this is not the chunk that the index says is here"
        raise FormatError(msg)
    if entry.length != len(record):
        msg = f"a chunk of {entry.length} bytes has {len(record)}"
        raise FormatError(msg)
    decompressor = zstd.ZstdDecompressor(options=_LIMITS)
    try:
        # One byte more than it may have: with less room, the decompressor would not see that the end has come.
        raw = decompressor.decompress(memoryview(record)[CHUNK.size :], entry.raw_size + 1)
    except zstd.ZstdError as error:
        msg = f"the chunk cannot be decompressed: {printable(error)}"
        raise FormatError(msg) from None
    if len(raw) != entry.raw_size or not decompressor.eof or decompressor.unused_data:
        msg = f"the chunk does not decompress to {entry.raw_size} bytes"
        raise FormatError(msg)
    if zlib.crc32(raw) != crc:
        msg = "the chunk's checksum is wrong"
        raise FormatError(msg)
    return raw


_LIMITS: Final[Mapping[int, int]] = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}


def chunk_head(head: Buffer, offset: int) -> tuple[ChunkEntry, int]:
    """What the first ``CHUNK.size`` bytes of a chunk at ``offset`` say, and its CRC32. Raises :class:`FormatError`."""
    if len(head) < CHUNK.size:
        msg = "the chunk is cut off"
        raise FormatError(msg)
    opcode, length, start, stop, raw_size, crc, name_length, name, size = CHUNK.unpack_from(head)
    entry = ChunkEntry(offset, RECORD.size + length, start, stop, raw_size, size)
    if opcode != OP_CHUNK or name_length != len(_ZSTD) or name != _ZSTD or not is_plausible(entry):
        msg = "this is no chunk, or its header is damaged"
        raise FormatError(msg)
    return entry, crc


def is_plausible(entry: ChunkEntry) -> bool:
    """Whether a chunk could be as it is described."""
    return (
        entry.length == CHUNK.size + entry.compressed_size
        and entry.compressed_size <= MAX_COMPRESSED_BYTES
        and entry.raw_size <= MAX_CHUNK_BYTES
        and entry.start_ns <= entry.end_ns
    )


def read_header(body: Buffer) -> None:
    """Look at the body of a ``Header`` record. Raises :class:`FormatError`, and if it is not ours its subclass."""
    profile, at = _read_text(body, 0)
    _, at = _read_text(body, at)
    if profile != PROFILE:
        msg = f"it is an MCAP file with the profile {printable(profile, 40)!r}, not {PROFILE!r}"
        raise ForeignFormatError(msg)
    if at != len(body):
        msg = "its header is damaged"
        raise FormatError(msg)


def read_metadata(record: Buffer, offset: int) -> MetadataEntry:
    """A whole metadata record. Raises :class:`FormatError`, also if its checksum is missing or wrong.

    A record of an unknown name, which another program may have added, needs none.
    """
    opcode, length = RECORD.unpack_from(record)
    if opcode != OP_METADATA or RECORD.size + length != len(record):
        msg = "this is no metadata record"
        raise FormatError(msg)
    name, begin_of_map = _read_text(record, RECORD.size)
    at = begin_of_map + _LENGTH.size
    if at > len(record) or _LENGTH.unpack_from(record, begin_of_map)[0] != len(record) - at:
        msg = "the metadata are damaged"
        raise FormatError(msg)
    crc = zlib.crc32(record[RECORD.size : begin_of_map])
    values: dict[str, str] = {}
    begin_of_values = last = at
    while at < len(record):
        if len(values) >= MAX_KEYS:
            raise too_many()
        last = at
        key, at = _read_text(record, at)
        values[key], at = _read_text(record, at)
    if name not in KNOWN_METADATA:
        return MetadataEntry(offset, len(record), name, {})
    crc = zlib.crc32(record[begin_of_values:last], crc)
    if values.pop(CRC_KEY, None) != f"{crc:08x}":
        msg = "the checksum of the metadata is wrong"
        raise FormatError(msg)
    return MetadataEntry(offset, len(record), name, values)


def _read_text(data: Buffer, at: int) -> tuple[str, int]:
    """The text at ``at``, and the offset behind it."""
    start = at + _LENGTH.size
    if start > len(data):
        msg = "a text is cut off"
        raise FormatError(msg)
    stop = start + _LENGTH.unpack_from(data, at)[0]
    if stop > len(data):
        msg = "a text is cut off"
        raise FormatError(msg)
    try:
        return str(data[start:stop], "utf-8"), stop
    except UnicodeDecodeError:
        msg = "a text is not UTF-8"
        raise FormatError(msg) from None


def read_footer(data: Buffer) -> tuple[int, int, int]:
    """From the last ``FOOTER_BYTES`` of a file: where the summary and its offsets begin, and the summary's CRC32."""
    if len(data) != FOOTER_BYTES or data[FOOTER.size :] != MAGIC:
        msg = "it has no end"
        raise FormatError(msg)
    opcode, length, start, offsets, crc = FOOTER.unpack_from(data)
    if opcode != OP_FOOTER or length != FOOTER.size - RECORD.size or not start <= offsets:
        msg = "its end is damaged"
        raise FormatError(msg)
    return start, offsets, crc


class Summary:
    """What the summary of a finished segment says."""

    def __init__(self) -> None:
        self.chunks: list[ChunkEntry] = []
        self.metadata: list[tuple[int, int, str]] = []
        """Offset, length and name of each metadata record."""
        self.counts: dict[int, int] | None = None


def read_summary(groups: Buffer, offsets: Buffer, start: int) -> Summary:
    """The records of a summary whose checksum was right. ``groups`` begin at ``start``. Raises :class:`FormatError`.

    Groups of kinds that this version does not know are skipped.
    """
    summary = Summary()
    expected = start
    try:
        for opcode, _, group, at, length in _SUMMARY_OFFSET.iter_unpack(offsets):
            records = groups[at - start : at - start + length]
            if opcode != OP_SUMMARY_OFFSET or at != expected or len(records) != length:
                raise _bad_summary()
            expected += length
            if group == OP_CHUNK_INDEX:
                if length > MAX_RECORDS * _CHUNK_INDEX.size:
                    raise too_many()
                summary.chunks += _read_chunk_index(records)
            elif group == OP_STATISTICS:
                summary.counts = _read_statistics(records)
            elif group == OP_METADATA_INDEX:
                summary.metadata += _read_metadata_index(records)
            if len(summary.chunks) + len(summary.metadata) > MAX_RECORDS:
                raise too_many()
    except struct.error:
        raise _bad_summary() from None
    if expected != start + len(groups):
        raise _bad_summary()
    return summary


@attrs.frozen
class Statistics:
    """What the end of a segment says of its messages."""

    counts: Mapping[int, int]
    """By channel."""
    start_ns: int
    end_ns: int


def read_outline(read: Callable[[int, int], Buffer], offsets: Buffer) -> tuple[Statistics | None, list[MetadataEntry]]:
    """What a summary says of the messages, and the metadata ``requests``; the chunks are not listed.

    ``offsets`` are the summary's own index. Nothing but the limits is checked. Raises :class:`FormatError`.
    """
    statistics: Statistics | None = None
    requests: list[MetadataEntry] = []
    try:
        for _, _, group, at, length in _SUMMARY_OFFSET.iter_unpack(offsets):
            if group == OP_STATISTICS and length <= MAX_HEADER_BYTES:
                record = read(at, length)
                *_, start_ns, end_ns, _ = _STATISTICS.unpack_from(record, RECORD.size)
                statistics = Statistics(_read_statistics(record), start_ns, end_ns)
            elif group == OP_METADATA_INDEX and length <= MAX_SUMMARY_BYTES:
                for offset, size, name in _read_metadata_index(read(at, length)):
                    if name == REQUESTS and size <= MAX_METADATA_BYTES:
                        requests.append(read_metadata(read(offset, size), offset))
    except struct.error:
        raise _bad_summary() from None
    return statistics, requests


def too_many() -> LimitError:
    """More than ``MAX_RECORDS`` in a segment, and the like."""
    return LimitError("it has too many records, or too long ones")


def _bad_summary() -> FormatError:
    return FormatError("its summary is damaged")


def _read_chunk_index(records: Buffer) -> Iterable[ChunkEntry]:
    length_of_each = _CHUNK_INDEX.size - RECORD.size
    for (
        opcode,
        length,
        start,
        stop,
        at,
        size,
        indexes,
        _,
        name_length,
        name,
        compressed,
        raw,
    ) in _CHUNK_INDEX.iter_unpack(records):
        entry = ChunkEntry(at, size, start, stop, raw, compressed)
        if (
            opcode != OP_CHUNK_INDEX
            or length != length_of_each
            or indexes
            or name_length != len(_ZSTD)
            or name != _ZSTD
            or not is_plausible(entry)
        ):
            raise _bad_summary()
        yield entry


def _read_statistics(record: Buffer) -> dict[int, int]:
    *_, length = _STATISTICS.unpack_from(record, RECORD.size)
    by_channel = record[RECORD.size + _STATISTICS.size :]
    if len(by_channel) != length:
        raise _bad_summary()
    return dict(_CHANNEL_COUNT.iter_unpack(by_channel))


def _read_metadata_index(records: Buffer) -> Iterable[tuple[int, int, str]]:
    at = number = 0
    while at < len(records):
        number += 1
        if number > MAX_RECORDS:
            raise too_many()
        opcode, length = RECORD.unpack_from(records, at)
        body = records[at + RECORD.size : at + RECORD.size + length]
        offset, size = _METADATA_INDEX.unpack_from(body)
        name, stop = _read_text(body, _METADATA_INDEX.size)
        if opcode != OP_METADATA_INDEX or stop != len(body) or length != len(body):
            raise _bad_summary()
        yield offset, size, name
        at += RECORD.size + length
