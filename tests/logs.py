"""Segments of the durable log, made up for tests: as bytes, with what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs
from hypothesis import strategies as st

from kraken_trio.recording import format as fmt, scan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kraken_trio.recording.index import ChunkEntry, SegmentIndex

Message: TypeAlias = tuple[int, int, int, int, bytes]

START_NS = 1_700_000_000_000_000_000

messages = st.lists(
    st.tuples(
        st.integers(1, 8),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**64 - 1),
        st.integers(0, 2**64 - 1),
        st.binary(max_size=40),
    ),
    max_size=8,
)


def numbered(first: int, number: int) -> list[Message]:
    """Messages with these sequences."""
    return [
        (1 + sequence % 8, sequence, START_NS + sequence * 1000, sequence, b'{"sequence":%d}' % sequence)
        for sequence in range(first, first + number)
    ]


def packed(found: Sequence[Message]) -> list[bytes]:
    """As the recorder packs them."""
    parts: list[bytes] = []
    for channel, sequence, wall_ns, mono_ns, data in found:
        parts += [fmt.PACK(5, 22 + len(data), channel, sequence, wall_ns, mono_ns), data]
    return parts


def chunk(found: Sequence[Message]) -> bytes:
    times = [message[2] for message in found] or [0]
    return fmt.chunk(packed(found), min(times), max(times))[0]


@attrs.define
class Log:
    """A segment: :attr:`data` without its end, :attr:`whole` with it."""

    data: bytes
    index: SegmentIndex
    chunks: list[list[Message]] = attrs.Factory(list)
    records: list[tuple[int, int]] = attrs.Factory(list)
    """Offset and length of all behind the beginning."""

    @classmethod
    def new(cls, segment: dict[str, str] | None = None) -> Log:
        data = fmt.begin("kraken_trio 1.0", {"number": "1", **(segment or {})})
        return cls(data, attrs.evolve(scan.read_head(reader(data)), end=len(data), counts={}))

    def add(self, found: Sequence[Message]) -> None:
        record = chunk(found)
        self.index.chunks.append(fmt.chunk_head(record, len(self.data))[0])
        self.chunks.append(list(found))
        for message in found:
            assert self.index.counts is not None
            self.index.counts[message[0]] = self.index.counts.get(message[0], 0) + 1
        self._add(record)

    def say(self, name: str, **values: str) -> None:
        record = fmt.metadata(name, values)
        self.index.metadata.append(fmt.read_metadata(record, len(self.data)))
        self._add(record)

    def _add(self, record: bytes) -> None:
        self.records.append((len(self.data), len(record)))
        self.data += record
        self.index.end = len(self.data)

    @property
    def whole(self) -> bytes:
        return self.data + fmt.end(self.index)

    def before(self, size: int) -> int:
        """How many chunks are whole in the first ``size`` bytes."""
        return sum(entry.offset + entry.length <= size for entry in self.index.chunks)


def example() -> Log:
    """A small log with all kinds of records."""
    log = Log.new({"recording": "r"})
    log.say("requests", wanted="[]", confirmed="[]")
    log.add(numbered(1, 3))
    log.add(numbered(4, 2))
    log.say("keyframes", offset="12")
    log.add(numbered(6, 1))
    log.add(numbered(7, 3))
    return log


def reader(data: bytes) -> scan.Read:
    return lambda offset, size: data[offset : offset + size]


def read_all(read: scan.Read, chunks: Sequence[ChunkEntry]) -> list[list[Message]]:
    return [fmt.messages(scan.read_chunk(read, entry)) for entry in chunks]
