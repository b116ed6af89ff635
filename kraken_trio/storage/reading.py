"""Reading a folder of segments: also while it is written, and whatever state it is in.

Damage is a value, never an exception, unless there is nothing to read. Memory is bounded: an index is read when it is
asked for, a chunk is read at a time, and at most one file is open.
"""

from __future__ import annotations

import os
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kraken_trio._text import printable
from kraken_trio.errors import RecordingError
from kraken_trio.recording import scan
from kraken_trio.recording.format import FormatError, messages
from kraken_trio.recording.index import Damage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from io import FileIO
    from types import TracebackType
    from typing import Self

    from kraken_trio.recording.format import Statistics
    from kraken_trio.recording.index import ChunkEntry, MetadataEntry, SegmentIndex

__all__ = ["RecordedFolder", "Segment", "open_folder"]

SUFFIX: Final = ".mcap"
DAMAGED: Final = ".damaged"
"""Behind the names of files that were put aside because nothing could be made of them."""
SEGMENT_NAME: Final = re.compile(r"([0-9]{8,18})-[0-9]{8}T[0-9]{6}Z\.mcap", re.ASCII)
MAX_FILES: Final = 200_000
"""The most files that a folder may hold: an index of more would take too long. A segment an hour: 22 years."""


def open_folder(path: str | os.PathLike[str]) -> RecordedFolder:
    """The segments of a folder, or one of them, if ``path`` is a file.

    Raises :class:`RecordingError` if there is no recording that can be read.
    """
    path = Path(path).absolute()  # the working directory may change later
    return RecordedFolder(path)


class RecordedFolder:
    """A recording, as it was when this was made: what is written later is seen by the next.

    A context manager, which closes the file that was read last.
    """

    def __init__(self, path: Path) -> None:
        self.path: Path = path
        self.segments: list[Segment] = []
        """In the order in which they were written."""
        self.damage: list[Damage] = []
        """Files that cannot be read at all, and missing ones. What is damaged inside is :attr:`Segment.damage`."""
        self.aside: list[str] = []
        """Files that the recorder could not heal, and put aside. Nothing of them is read."""
        self._file = _OneFile()
        try:
            names = [path.name] if path.is_file() else list_names(path)
        except OSError as error:
            msg = f"{printable(path)} cannot be read: {error.strerror or printable(error)}"
            raise RecordingError(msg) from error
        self.aside += sorted(name for name in names if number_of(name) and name.endswith(DAMAGED))
        folder = path.parent if path.is_file() else path
        numbered = sorted((number_of(name), name) for name in names if path.is_file() or SEGMENT_NAME.fullmatch(name))
        for number, name in numbered:
            try:
                self.segments.append(Segment(folder / name, number, self._file))
            except FormatError as error:
                self.damage.append(Damage(name, 0, str(error)))
        self._file.close()
        if not self.segments:
            raise RecordingError(self._nothing(names))
        self._missing([number for number, _ in numbered])

    def _nothing(self, names: list[str]) -> str:
        place = printable(self.path)
        if self.damage:
            return f"{place} holds no recording that can be read: {self.damage[0]}"
        if any(name.endswith(SUFFIX) for name in names):
            return f"{place} holds MCAP files, but none of kraken_trio: theirs are named 00000001-20270131T235959Z.mcap"
        return f"{place} holds no recording"

    def _missing(self, numbers: list[int]) -> None:
        for before, after in pairwise(numbers):
            if after == before:
                self.damage.append(Damage(f"{after:08d}", 0, "there are two segments of this number"))
            elif after != before + 1:
                last = f" to {after - 1}" if after > before + 2 else ""
                self.damage.append(Damage(f"{before + 1:08d}", 0, f"segment {before + 1}{last} is missing"))

    def close(self) -> None:
        """Close the file that was read last. Reading another chunk opens it again."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Segment:
    """A file of a recording. Raises :class:`FormatError` if nothing of it can be read."""

    def __init__(self, path: Path, number: int, file: _OneFile | None = None) -> None:
        self.path: Path = path
        self.name: str = path.name
        self.number: int = number
        self._file = file or _OneFile()
        self._index: SegmentIndex | None = None
        self._size = 0
        try:
            self._head = self._read_head()
        except FormatError:
            self._file.close()
            raise

    def __repr__(self) -> str:
        return f"<Segment {self.name}>"

    @property
    def values(self) -> Mapping[str, str]:
        """Of the metadata record ``segment``. They are read without the index."""
        return self._head.segment

    @property
    def index(self) -> SegmentIndex:
        """What is in it, read when it is first asked for, until :meth:`release`.

        Of a finished segment it takes about 3 µs a chunk. Raises :class:`FormatError` if the file is gone, or has more
        records than any of ours.
        """
        if self._index is None:
            size = self._file.size(self.path)
            self._index = scan.read_index(self._read_at, size, self.name)
            self._size = size
        return self._index

    @property
    def damage(self) -> list[Damage]:
        """What of the index cannot be read."""
        return self.index.damage

    @property
    def size(self) -> int:
        """Bytes of the file, now."""
        return self._file.size(self.path)

    @property
    def tail(self) -> int:
        """How many bytes follow the last whole record of an unfinished segment: one that is torn, or being written."""
        return 0 if self.index.finished else self._size - self.index.end

    def read(self, chunk: ChunkEntry) -> list[tuple[int, int, int, int, bytes]]:
        """The messages of a chunk: channel, sequence, wall clock in ns, its offset to the monotonic clock, and data.

        Raises :class:`FormatError` if it is damaged, or cannot be read any more.
        """
        return messages(scan.read_chunk(self._read_at, chunk))

    def outline(self) -> tuple[Statistics | None, list[MetadataEntry]]:
        """What its end says of its messages, and the metadata ``requests``, without the rest of the index.

        Raises :class:`FormatError` if it has no end.
        """
        return scan.read_outline(self._read_at, self._file.size(self.path))

    def check(self) -> list[Damage]:
        """Everything that is wrong with it, but inside of its chunks: :meth:`read` checks those. It reads all of it."""
        return scan.check(self._read_at, self._file.size(self.path), self.name)

    def release(self) -> None:
        """Close the file, and forget the index. Both are read again when they are needed."""
        self._file.close()
        self._index = None

    def _read_head(self) -> SegmentIndex:
        head = scan.read_head(self._read_at)
        said = head.segment.get("number", "")
        if self.number and said != str(self.number):
            msg = f"it is named as the segment {self.number}, but is the segment {printable(said, 20)}"
            raise FormatError(msg)
        return head

    def _read_at(self, offset: int, size: int) -> bytes:
        return self._file.read(self.path, offset, size)


class _OneFile:
    """The file that is open: one at a time."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._file: FileIO | None = None

    def read(self, path: Path, offset: int, size: int) -> bytes:
        try:
            file = self._open(path)
            file.seek(offset)
            return read_fully(file, size)
        except OSError as error:
            raise _unreadable(error) from error

    def size(self, path: Path) -> int:
        try:
            return os.fstat(self._open(path).fileno()).st_size
        except OSError as error:
            raise _unreadable(error) from error

    def _open(self, path: Path) -> FileIO:
        if self._file is None or path is not self._path:
            self.close()
            self._file = path.open("rb", buffering=0)
            self._path = path
        return self._file

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _unreadable(error: OSError) -> FormatError:
    return FormatError(f"it cannot be read: {error.strerror or printable(error)}")


def read_fully(file: FileIO, size: int) -> bytes:
    """``size`` bytes from where the file stands; fewer at its end."""
    data = file.read(size)
    if len(data) == size or not data:  # as good as always
        return data
    parts = [data]
    missing = size - len(data)
    while missing and (data := file.read(missing)):
        parts.append(data)
        missing -= len(data)
    return b"".join(parts)


def list_names(folder: Path) -> list[str]:
    """The names of the files in a folder. Raises :class:`OSError`, and :class:`RecordingError` if they are too many."""
    return [entry.name for entry in _entries(folder) if entry.is_file()]


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for number, entry in enumerate(entries):
            if number >= MAX_FILES:
                msg = f"{printable(folder)} holds more than {MAX_FILES} files"
                raise RecordingError(msg)
            yield entry


def number_of(name: str) -> int:
    """Of a segment, or of what was put aside of one, by its name; 0 if it is not named as ours are."""
    match = SEGMENT_NAME.match(name)
    return int(match[1]) if match else 0
