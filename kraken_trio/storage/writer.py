"""The writing half of a recorder: blocks of messages into the segments of a folder. Blocking code, without Trio.

One thread at a time may call it. Everything that fails raises :class:`OSError` (or :class:`RecordingError`), and leaves
what was written before as it was; then the same call may be made again.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from kraken_trio._text import printable
from kraken_trio.errors import RecordingError
from kraken_trio.recording import format as fmt
from kraken_trio.recording.format import FormatError
from kraken_trio.storage.reading import Segment, number_of
from kraken_trio.storage.segments import Folder, SegmentFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kraken_trio.recording.packer import Block
    from kraken_trio.storage.segments import Healed

__all__ = ["Cycle", "Job", "LogWriter", "SegmentGone", "Written"]


@attrs.frozen
class Cycle:
    """A whole cycle of key frames: the sequence numbers of its first and last message, and their times."""

    first: int
    last: int
    begin_ns: int
    end_ns: int


@attrs.frozen(kw_only=True)
class Job:
    """What is written together."""

    block: Block
    requests: Mapping[str, str] | None = None
    """What is wanted, and what was confirmed, if that has changed: see the metadata ``requests``."""
    cycles: tuple[Cycle, ...] = ()
    """Those that end within the block."""
    begins_segment: bool = False
    """Whether the block is the first of a segment."""
    now_ns: int = 0


@attrs.frozen
class Written:
    """What was done."""

    size: int
    """Bytes of the segment so far."""
    added: int = 0
    """Bytes of the segment that this has added."""
    is_full: bool = False
    """Whether the next segment should begin, because readers accept only so many blocks in one."""
    finished: tuple[Path, ...] = ()
    """Segments that have been finished."""
    deleted: tuple[str, ...] = ()
    """The names of segments that were too old, or too many."""


class SegmentGone(OSError):  # noqa: N818 (named by what happened)
    """The file that was being written has been deleted: only a new segment can be written."""


class LogWriter:
    """Writes a folder. ``values`` are the recorder's part of each segment's metadata."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        library: str,
        level: int,
        keep_ns: int | None,
        keep_bytes: int | None,
    ) -> None:
        self.path: Path = Path(path).absolute()  # the working directory may change later
        self._library = library
        self._level = level
        self._keep_ns = keep_ns
        self._keep_bytes = keep_bytes
        self._values: Mapping[str, str] = {}
        self._folder: Folder | None = None
        self._file: SegmentFile | None = None
        self._has_requests = False  # of the job that has failed
        self._size = 0  # of the segment, as it was told last
        self._is_busy = self._is_abandoned = False
        self._finished: list[Path] = []  # and not yet told, as the deleted ones
        self._deleted: list[str] = []
        self._where: list[tuple[int, int, int]] = []  # first and last sequence, and offset, of each chunk

    def open(self) -> tuple[int, list[Healed]]:
        """Take the folder, and heal what a recorder before has left.

        Returns the last epoch in it, and what was healed. Raises :class:`RecordingError` if another writes it, or it
        cannot be used.
        """
        with self._call():
            self._folder = Folder(self.path)
            try:
                return _last_epoch(self._folder), self._folder.heal()
            except OSError as error:
                self.close()
                msg = f"{printable(self.path)} cannot be used for a recording: {error.strerror or printable(error)}"
                raise RecordingError(msg) from error
            except BaseException:
                self.close()
                raise

    def begin(self, values: Mapping[str, str]) -> None:
        """Set the recorder's part of each segment's metadata. Called once, before anything is written."""
        self._values = values

    def abandon(self) -> None:
        """Let others write, now or when the call that is under way returns. May be called by any thread."""
        self._is_abandoned = True
        if not self._is_busy:
            self.close()

    @contextmanager
    def _call(self) -> Iterator[None]:
        # Either this sees that it has been abandoned, or `abandon` sees that this is over; perhaps both.
        self._is_busy = True
        try:
            if self._is_abandoned:
                raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))
            yield
        finally:
            self._is_busy = False
            if self._is_abandoned:
                self.close()

    def write(self, job: Job) -> Written:
        """Write a block, after what stands before it."""
        with self._call():
            return self._write(job)

    def _write(self, job: Job) -> Written:
        if job.begins_segment and (self._file is None or self._file.sequence):
            self._next_segment(job.block.start_ns, job.now_ns)
        file = self._file
        if file is None:
            raise SegmentGone(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path))
        block = job.block
        size = self._size
        try:
            if job.requests is not None and not self._has_requests:
                file.append(fmt.metadata(fmt.REQUESTS, job.requests))
                self._has_requests = True  # if the block fails, they are not written again
            entry = file.append_chunk(block.parts, block.start_ns, block.end_ns, self._level)
        except FileNotFoundError as error:
            self.close()  # with its lock, which may be gone as well
            raise SegmentGone(error.errno, error.strerror, error.filename) from error
        self._has_requests = False
        self._where.append((block.first, block.last, entry.offset))
        for cycle in job.cycles:
            self._note(cycle, file)
        deleted, self._deleted = tuple(self._deleted), []
        self._size = file.size
        return Written(file.size, file.size - size, file.is_full, self._told(), deleted)

    def _told(self) -> tuple[Path, ...]:
        finished, self._finished = tuple(self._finished), []
        return finished

    def _note(self, cycle: Cycle, file: SegmentFile) -> None:
        """Say where a cycle of key frames begins; a reader begins earlier if this cannot be written."""
        offset = next((at for first, last, at in self._where if first <= cycle.first <= last), None)
        if offset is None:
            return
        self._where = [chunk for chunk in self._where if chunk[1] >= cycle.last]
        values = {
            "offset": str(offset),
            "sequence": str(cycle.first),
            "begin_ns": str(cycle.begin_ns),
            "end_ns": str(cycle.end_ns),
        }
        with suppress(OSError):
            file.append(fmt.metadata(fmt.KEYFRAME_CYCLE, values))

    def _next_segment(self, started_ns: int, now_ns: int) -> None:
        self._finish()
        if self._folder is None or not self._folder.path.is_dir():
            self.close()
            self._folder = Folder(self.path)
        self._file = self._folder.create(self._values, started_ns=started_ns, library=self._library)
        self._where = []
        self._has_requests = False
        self._size = 0
        if self._keep_ns is not None or self._keep_bytes is not None:
            with suppress(OSError):
                self._deleted += self._folder.retain(self._keep_ns, self._keep_bytes, now_ns)

    def finish(self) -> tuple[Path, ...]:
        """Give the last segment its end. Returns the segments that have been finished since the last block."""
        with self._call():
            self._finish()
            return self._told()

    def _finish(self) -> None:
        if self._file is None:
            return
        try:
            self._file.finish()
        except FileNotFoundError:  # somebody has deleted it, and perhaps the folder with its lock
            self.close()
        else:
            self._finished.append(self._file.path)
            self._file = None

    def close(self) -> None:
        """Let others write. May be called again."""
        file, self._file = self._file, None
        if file is not None:
            file.close()
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.close()


def _last_epoch(folder: Folder) -> int:
    """The number of the last connection in the folder; 0 if there is none."""
    for name in reversed(folder.names()):
        try:
            segment = Segment(folder.path / name, number_of(name))
        except FormatError:
            continue
        try:
            base = int(segment.values.get("epoch_base", "0"))
            epochs = [
                int(entry.values.get("epoch", "0")) for entry in segment.index.metadata if entry.name == fmt.REQUESTS
            ]
            if epochs:
                return base + max(epochs)
        except (FormatError, ValueError):
            continue
        finally:
            segment.release()
    return 0
