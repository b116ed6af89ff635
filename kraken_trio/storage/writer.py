"""The writing half of a recorder: blocks of messages into the segments of a folder. Blocking code, without Trio.

One thread at a time may call it. Everything that fails raises :class:`OSError` (or :class:`RecordingError`), and leaves
what was written before as it was; then the same call may be made again.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import attrs

from kraken_trio.errors import RecordingError
from kraken_trio.recording import format as fmt
from kraken_trio.recording.format import FormatError
from kraken_trio.storage.reading import Segment, number_of
from kraken_trio.storage.segments import Folder, SegmentFile

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    from kraken_trio.recording.packer import Block
    from kraken_trio.storage.segments import Healed

__all__ = ["Cycle", "Job", "LogWriter", "SegmentGone", "Written"]

_NS_PER_DAY: Final = 86_400 * 10**9


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
        self._path = path
        self._library = library
        self._level = level
        self._keep_ns = keep_ns
        self._keep_bytes = keep_bytes
        self._values: Mapping[str, str] = {}
        self._folder: Folder | None = None
        self._file: SegmentFile | None = None
        self._has_requests = False  # of the job that has failed
        self._is_abandoned = False
        self._where: list[tuple[int, int, int]] = []  # first and last sequence, and offset, of each chunk

    def open(self) -> tuple[int, list[Healed]]:
        """Take the folder, and heal what a recorder before has left.

        Returns the last epoch in it, and what was healed. Raises :class:`RecordingError` if another writes it, or it
        cannot be used.
        """
        self._folder = Folder(self._path)
        try:
            return _last_epoch(self._folder), self._folder.heal()
        except OSError as error:
            self._folder.close()
            msg = f"{self._path} cannot be used for a recording: {error.strerror or error}"
            raise RecordingError(msg) from error
        except BaseException:
            self._folder.close()
            raise

    def begin(self, values: Mapping[str, str]) -> None:
        """Set the recorder's part of each segment's metadata. Called once, before anything is written."""
        self._values = values

    def abandon(self) -> None:
        """Nobody waits for the call that is under way: the folder is let go when it returns."""
        self._is_abandoned = True

    def write(self, job: Job) -> Written:
        """Write a block, after what stands before it."""
        try:
            return self._write(job)
        finally:
            if self._is_abandoned:
                self.close()

    def _write(self, job: Job) -> Written:
        finished: tuple[Path, ...] = ()
        deleted: tuple[str, ...] = ()
        if job.begins_segment and (self._file is None or self._file.sequence or self._file.index.finished):
            finished, deleted = self._next_segment(job.block.start_ns, job.now_ns)
        file = self._file
        assert file is not None  # the first block begins a segment
        block = job.block
        try:
            if job.requests is not None and not self._has_requests:
                file.append(fmt.metadata(fmt.REQUESTS, job.requests))
                self._has_requests = True  # if the block fails, they are not written again
            entry = file.append_chunk(block.parts, block.start_ns, block.end_ns, self._level)
        except FileNotFoundError as error:
            file.close()
            self._file = None
            raise SegmentGone(error.errno, error.strerror, error.filename) from error
        self._has_requests = False
        self._where.append((block.first, block.last, entry.offset))
        for cycle in job.cycles:
            self._note(cycle, file)
        return Written(file.size, finished, deleted)

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

    def _next_segment(self, started_ns: int, now_ns: int) -> tuple[tuple[Path, ...], tuple[str, ...]]:
        finished: tuple[Path, ...] = ()
        if self._folder is None or not self._folder.path.is_dir():
            self.close()
            self._folder = Folder(self._path)
        if self._file is not None:
            if not self._file.index.finished:
                self._file.finish()
            finished = (self._file.path,)
        self._file = self._folder.create(self._values, started_ns=started_ns, library=self._library)
        self._where = []
        self._has_requests = False
        deleted: list[str] = []
        if self._keep_ns is not None or self._keep_bytes is not None:
            with suppress(OSError):
                deleted = self._folder.retain(self._keep_ns, self._keep_bytes, now_ns)
        return finished, tuple(deleted)

    def finish(self) -> Path | None:
        """Give the last segment its end. Returns its path, if there is one."""
        if self._file is None or self._file.index.finished:
            return None
        self._file.finish()
        return self._file.path

    def close(self) -> None:
        """Let others write. May be called again."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._folder is not None:
            self._folder.close()
            self._folder = None


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
