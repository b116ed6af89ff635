"""What a segment contains, without its messages: values made from the headers of its records. They hold no file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ChunkEntry", "Damage", "MetadataEntry", "SegmentIndex"]


@attrs.frozen
class ChunkEntry:
    """Where a chunk of messages is, and what its header says."""

    offset: int
    """Of its record in the file."""
    length: int
    """Of its record, with the 9 bytes of opcode and length."""
    start_ns: int
    """The earliest time of its messages, in ns since 1970, by the recorder's wall clock."""
    end_ns: int
    """The latest."""
    raw_size: int
    """Bytes of its messages."""
    compressed_size: int
    """Bytes of the same, as they are in the file."""


@attrs.frozen
class MetadataEntry:
    """A metadata record: texts by name, which are read without decompressing anything."""

    offset: int
    """Of its record in the file."""
    length: int
    """Of its record, with the 9 bytes of opcode and length."""
    name: str
    values: Mapping[str, str]
    """Empty if its name is unknown to this version."""


@attrs.frozen
class Damage:
    """Something that cannot be read."""

    name: str
    """Of the file."""
    offset: int
    """The first byte concerned."""
    text: str
    """What is wrong there, human-readable."""

    def __str__(self) -> str:
        return f"{self.name}, byte {self.offset}: {self.text}"


@attrs.define
class SegmentIndex:
    """The records of a segment, in the order of the file."""

    head: MetadataEntry
    """The record ``segment``, with which it begins."""
    end: int
    """The offset behind the last whole record of data."""
    chunks: list[ChunkEntry] = attrs.Factory(list)
    metadata: list[MetadataEntry] = attrs.Factory(list)
    """All but :attr:`head`."""
    finished: bool = False
    """Whether it has a valid end. If not, it is still being written, its writer was killed, or its end is damaged."""
    counts: dict[int, int] | None = None
    """Messages by channel; None if unknown: only the writer that wrote the end without being killed knows."""
    data_crc: int = 0
    """The CRC32 of all bytes before the end of the data; 0 if unknown."""
    damage: list[Damage] = attrs.Factory(list)
    """What of the index cannot be read."""

    @property
    def segment(self) -> Mapping[str, str]:
        """The values of :attr:`head`."""
        return self.head.values

    @property
    def start_ns(self) -> int | None:
        """The earliest time of its messages; None if there are none."""
        return min((chunk.start_ns for chunk in self.chunks), default=None)

    @property
    def end_ns(self) -> int | None:
        """The latest."""
        return max((chunk.end_ns for chunk in self.chunks), default=None)
