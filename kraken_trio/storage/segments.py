"""Writing: a segment, and the folder of segments.

What counts is that nothing that was ever written whole is lost. A chunk is one write. When it fails, on a full disk for
example, the file is cut back to where it was, and nothing of the chunk remains. After a crash the next writer *heals*
what it finds: a torn file is cut behind its last whole record, and is given its end. Nobody appends to an old segment.
"""

from __future__ import annotations

import errno
import os
import zlib
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from kraken_trio._text import printable
from kraken_trio.errors import RecordingError
from kraken_trio.recording import format as fmt, scan
from kraken_trio.recording.format import ForeignFormatError, FormatError, LimitError
from kraken_trio.recording.index import SegmentIndex
from kraken_trio.storage.lock import FolderLock
from kraken_trio.storage.reading import (
    DAMAGED,
    SEGMENT_NAME,
    Segment,
    list_names,
    number_of,
    read_fully,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from io import FileIO
    from types import TracebackType
    from typing import Self

    from kraken_trio.recording.index import ChunkEntry

__all__ = ["Folder", "Healed", "SegmentFile"]

_MAX_SEQUENCE: Final = 2**32 - 1
_COPY_BYTES: Final = 1024 * 1024
NEW: Final = ".new"
"""Behind the name of a segment whose beginning is being written."""


class SegmentFile:
    """A segment that is being written. ``file`` is unbuffered, and stands at ``index.end``."""

    def __init__(self, file: FileIO, path: Path, index: SegmentIndex) -> None:
        self.path: Path = path
        self.name: str = path.name
        self.index: SegmentIndex = index
        """What has been written."""
        self.sequence: int = 0
        """Of its last message; 0 if there is none."""
        self._file = file
        self._is_torn = False
        """Whether there may be bytes behind ``index.end``."""
        self._metadata_bytes = 0
        self._is_linked = bool(os.fstat(file.fileno()).st_nlink)

    @classmethod
    def open_new(cls, path: Path, segment: Mapping[str, str], library: str) -> SegmentFile:
        """Create the file, with its beginning. Raises :class:`OSError`, above all if it exists."""
        start = fmt.begin(library, segment)
        head = scan.read_head(lambda offset, size: start[offset : offset + size]).head
        index = SegmentIndex(head, len(start), counts={}, data_crc=zlib.crc32(start))
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        # Under another name, until its beginning is whole: whoever is killed here leaves no segment behind.
        new = path.with_name(path.name + NEW)
        try:
            with new.open("wb", buffering=0) as file:
                _write(file, start)
            new.rename(path)
        except BaseException:
            with suppress(OSError):
                new.unlink()
            raise
        file = path.open("r+b", buffering=0)
        file.seek(len(start))
        return cls(file, path, index)

    @property
    def size(self) -> int:
        """Bytes of what has been written whole."""
        return self.index.end

    @property
    def is_full(self) -> bool:
        """Whether the next segment should begin, because readers accept only so many records, metadata and messages."""
        records = len(self.index.chunks) + len(self.index.metadata)
        return (
            records >= fmt.MAX_RECORDS // 2
            or self._metadata_bytes >= scan.MAX_METADATA_TOTAL // 2
            or self.sequence >= _MAX_SEQUENCE // 2
        )

    def append_chunk(self, parts: Sequence[bytes], start_ns: int, end_ns: int, level: int = 3) -> ChunkEntry:
        """Pack messages (see :func:`~kraken_trio.recording.format.chunk`; at least one), and append them.

        Raises :class:`OSError` as :meth:`append` does.
        """
        record, entry = fmt.chunk(parts, start_ns, end_ns, level)
        offset = self._append(record)
        entry = attrs.evolve(entry, offset=offset)
        self.index.chunks.append(entry)
        self._counted(fmt.count(parts), fmt.MESSAGE.unpack(parts[-2])[3])
        return entry

    def append(self, record: bytes, *, counts: Mapping[int, int] | None = None, sequence: int | None = None) -> int:
        """Append a record of metadata, or a chunk, and return its offset.

        With a chunk come its number of messages by channel (or the segment will have no statistics), and the
        ``sequence`` of its last.

        On :class:`OSError` nothing of it is in the file, and another can be appended, as soon as there is room.
        """
        offset = self.index.end
        if record[0] == fmt.OP_METADATA:
            metadata = fmt.read_metadata(record, offset)
            self._append(record)
            self.index.metadata.append(metadata)
            self._metadata_bytes += len(record)
        else:
            entry, _ = fmt.chunk_head(record, offset)
            self._append(record)
            self.index.chunks.append(entry)
            self._counted(counts, sequence)
        return offset

    def _counted(self, counts: Mapping[int, int] | None, sequence: int | None) -> None:
        if sequence is not None:
            self.sequence = sequence
        if counts is None:
            self.index.counts = None
        elif self.index.counts is not None:
            for channel, number in counts.items():
                self.index.counts[channel] = self.index.counts.get(channel, 0) + number

    def _append(self, record: bytes) -> int:
        offset = self.index.end
        self._write(record)
        self.index.end = offset + len(record)
        self.index.data_crc = zlib.crc32(record, self.index.data_crc)
        return offset

    def _write(self, data: bytes) -> None:
        """All of it, or nothing: then its time of modification stays, too, which tells how long nothing was written."""
        self._roll_back()
        before = os.fstat(self._file.fileno())
        if self._is_linked and not before.st_nlink:
            # Its name is gone: what is written goes nowhere, and no write would ever fail.
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path))
        self._is_torn = True
        try:
            _write(self._file, data)
        except BaseException:
            with suppress(OSError):
                self._roll_back()
                os.utime(self.path, ns=(before.st_atime_ns, before.st_mtime_ns))
            raise
        self._is_torn = False

    def _roll_back(self) -> None:
        if self._is_torn:
            self._file.truncate(self.index.end)
            self._file.seek(self.index.end)
            self._is_torn = False

    def cut(self) -> None:
        """Cut off what stands behind the last whole record."""
        self._is_torn = True
        self._roll_back()

    def finish(self) -> None:
        """Write the end, let the disk have it all, and close.

        On :class:`OSError` the segment stays as it was, without an end, and open.
        """
        self._write(fmt.end(self.index))
        self._is_torn = True  # the end is not data: if the disk refuses it now, it is cut off
        try:
            os.fsync(self._file.fileno())
        except BaseException:
            with suppress(OSError):
                self._roll_back()
            raise
        self._is_torn = False
        self.index.finished = True
        self.close()
        _sync_folder(self.path.parent)

    @property
    def is_open(self) -> bool:
        """Whether it is being written."""
        return not self._file.closed

    def close(self) -> None:
        """Close the file, finished or not. May be called again."""
        self._file.close()


def _write(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        written = file.write(rest)
        if not written:  # nothing, or "later": no disk does that for long
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rest = rest[written:]


def _sync_folder(folder: Path) -> None:
    """Let the disk have the names of new files, where there is a way to say so."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# ------------------------------------------------------------------- the folder


@attrs.frozen
class Healed:
    """What was done about a segment without an end."""

    name: str
    size: int
    """How long it was."""
    end: int
    """How much of it was whole; it has got its end behind that. 0 if it was put aside."""
    aside: str = ""
    """The file to which it was renamed, or to which was copied what could not stay in it."""
    problem: str = ""
    """Why nothing could be done."""


class Folder:
    """A folder that this process writes; nobody else may meanwhile. It is created if it is missing.

    A context manager. Raises :class:`RecordingError` if another writes it, or it cannot be used.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path).absolute()  # the working directory may change later
        self._current: SegmentFile | None = None
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(self.path)
        except OSError as error:
            msg = f"{printable(self.path)} cannot be written: {error.strerror or printable(error)}"
            raise RecordingError(msg) from error

    def close(self) -> None:
        """Let others write. The segment that is being written is closed as it is."""
        if self._current is not None:
            self._current.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def names(self) -> list[str]:
        """Of all segments, in the order of writing."""
        return sorted(filter(SEGMENT_NAME.fullmatch, list_names(self.path)), key=lambda name: (number_of(name), name))

    @property
    def next_number(self) -> int:
        """Of the next segment: numbers are never used again."""
        return 1 + max(map(number_of, list_names(self.path)), default=0)

    def create(self, values: Mapping[str, str], *, started_ns: int, library: str) -> SegmentFile:
        """Begin the next segment; :meth:`finish <SegmentFile.finish>` the one before first. Raises :class:`OSError`.

        ``values`` are for its metadata record ``segment``. Its number, its time and its predecessor are added.
        """
        number = self.next_number
        time = datetime.fromtimestamp(started_ns // 1_000_000_000, UTC)
        last = self.last
        previous = {
            "previous": last.name if last else "",
            "previous_recording": last.values.get("recording", "") if last else "",
            "previous_sequence": str(last.sequence if last else 0),
            "previous_crc": last.crc if last else "",
        }
        segment = {"number": str(number), "started_ns": str(started_ns), **previous, **values}
        path = self.path / f"{number:08d}-{time:%Y%m%dT%H%M%SZ}.mcap"
        self._current = SegmentFile.open_new(path, segment, library)
        return self._current

    @property
    def last(self) -> Last | None:
        """The last segment that can be read; None if there is none."""
        if self._current is not None:
            index = self._current.index
            return Last(self._current.name, index.segment, self._current.sequence, f"{index.data_crc:08x}")
        for name in reversed(self.names()):
            try:
                segment = Segment(self.path / name, number_of(name))
            except FormatError:
                continue
            try:
                crc = f"{segment.index.data_crc:08x}" if segment.index.finished else ""
                return Last(name, segment.values, _last_sequence(segment), crc)
            finally:
                segment.release()
        return None

    def heal(self) -> list[Healed]:
        """Give each segment without an end its end, behind its last whole record. Finished ones are not touched.

        Nothing is deleted, but torn records. A file of which not even the beginning is whole is put aside, and so is
        a copy of what would be cut off, if there is any whole chunk in it. Where something fails, the file stays as it
        is; readers read around it. Raises :class:`OSError` if the folder cannot be read.
        """
        for name in list_names(self.path):
            if name.endswith(NEW) and SEGMENT_NAME.fullmatch(name.removesuffix(NEW)):
                with suppress(OSError):
                    (self.path / name).unlink()  # no message was ever written to it
        healed = (_heal(self.path / name) for name in self.names() if name != self._open_name)
        return [found for found in healed if found is not None]

    @property
    def _open_name(self) -> str:
        return self._current.name if self._current is not None and self._current.is_open else ""

    def retain(self, max_age_ns: int | None, max_bytes: int | None, now_ns: int) -> list[str]:
        """Delete the oldest finished segments: those whose last message is older, and those that are too many bytes.

        The last one stays, and so do those that cannot be read, or have no end; but they count. Returns the names of
        the deleted ones. Raises :class:`OSError` where one cannot be deleted; those before it are.
        """
        sizes = {name: _size_of(self.path / name) for name in self.names()}
        total = sum(sizes.values())
        deleted = []
        for name in list(sizes)[:-1]:
            is_over = max_bytes is not None and total > max_bytes
            if not is_over and max_age_ns is None:
                break
            end_ns = _finished_at(self.path / name)
            if end_ns is None or name == self._open_name:
                continue
            if not is_over and (max_age_ns is None or now_ns - end_ns <= max_age_ns):
                break
            (self.path / name).unlink(missing_ok=True)
            total -= sizes[name]
            deleted.append(name)
        return deleted


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@attrs.frozen
class Last:
    """The segment before the next one."""

    name: str
    values: Mapping[str, str]
    """Of its metadata record ``segment``."""
    sequence: int
    """Of its last message that can be read; 0 if there is none."""
    crc: str
    """The CRC32 of all of its data, as its end says it; empty if it has no end."""


def _last_sequence(segment: Segment) -> int:
    for entry in reversed(segment.index.chunks):
        with suppress(FormatError):
            if found := segment.read(entry):
                return found[-1][1]
    return 0


def _finished_at(path: Path) -> int | None:
    """The time of a segment's last message, or of its beginning; None if it has no end."""
    try:
        segment = Segment(path, number_of(path.name))
    except FormatError:
        return None
    try:
        if not segment.index.finished:
            return None
        return segment.index.end_ns or int(segment.values.get("started_ns", "0"))
    except (FormatError, ValueError):
        return None
    finally:
        segment.release()


def _heal(path: Path) -> Healed | None:
    size = 0
    try:
        with path.open("rb", buffering=0) as file:  # finished ones may be read-only
            size = os.fstat(file.fileno()).st_size
            read = _reader(file)
            if scan.has_end(read, size):
                return None
            index = scan.recover(read, size, path.name)
            index.data_crc = scan.data_crc(read, index.end)
            kept = _keep_tail(file, path, index.end) if scan.find_chunk(read, index.end, size) is not None else ""
        with path.open("r+b", buffering=0) as file:
            segment = SegmentFile(file, path, index)
            segment.cut()
            segment.finish()
        return Healed(path.name, size, index.end, kept)
    except (ForeignFormatError, LimitError) as error:
        return Healed(path.name, size, size, problem=str(error))
    except FormatError:
        return _put_aside(path, size)
    except OSError as error:
        return _not_healed(path, size, error)


def _reader(file: FileIO) -> scan.Read:
    def read(offset: int, length: int) -> bytes:
        file.seek(offset)
        return read_fully(file, length)

    return read


def _not_healed(path: Path, size: int, error: OSError) -> Healed:
    return Healed(path.name, size, size, problem=f"it cannot be healed: {error.strerror or printable(error)}")


def _keep_tail(file: FileIO, path: Path, start: int) -> str:
    """Copy what stands at ``start`` and behind, and return the copy's name."""
    aside = _free_name(path, f".from-{start}{DAMAGED}")
    try:
        with aside.open("xb", buffering=0) as copy:
            file.seek(start)
            while data := file.read(_COPY_BYTES):
                _write(copy, data)
            os.fsync(copy.fileno())
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise
    return aside.name


def _put_aside(path: Path, size: int) -> Healed:
    try:
        aside = _free_name(path, DAMAGED)
        path.rename(aside)
    except OSError as error:
        return _not_healed(path, size, error)
    return Healed(path.name, size, 0, aside.name)


def _free_name(path: Path, suffix: str) -> Path:
    aside = path.with_name(path.name + suffix)
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.{number}{suffix}")
    return aside
