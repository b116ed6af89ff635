"""Audits a recording from its files: every byte is read, a chunk at a time. Blocking code, without Trio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kraken_trio._version import version
from kraken_trio.recording.audit import Auditor, Source
from kraken_trio.recording.format import FormatError
from kraken_trio.recording.index import ChunkEntry, Damage
from kraken_trio.storage.lock import is_locked
from kraken_trio.storage.reading import number_of, open_folder

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from kraken_trio.recording.findings import Report
    from kraken_trio.recording.index import MetadataEntry
    from kraken_trio.storage.reading import Segment

__all__ = ["audit_folder"]


def audit_folder(
    path: str | os.PathLike[str], advance: Callable[[int, Report], object] = lambda _bytes, _report: None
) -> Report:
    """Audit a folder, or one segment of it. ``advance`` is called with the bytes read since the last call.

    Raises :class:`~kraken_trio.RecordingError` if there is no recording that can be read.
    """
    with open_folder(path) as folder:
        auditor = Auditor(version())
        for damage in folder.damage:
            auditor.damaged(damage)
        auditor.aside(folder.aside, [number_of(name) for name in folder.aside])
        is_running = is_locked(folder.path)
        for at, segment in enumerate(folder.segments):
            is_last = at == len(folder.segments) - 1
            try:
                _audit(segment, auditor, advance, is_being_written=is_last and is_running)
            except FormatError as error:
                auditor.damaged(Damage(segment.name, 0, str(error)))
            segment.release()
        last_is_open = not _is_finished(folder.segments[-1])
        return auditor.end(is_running=is_running and last_is_open)


def _is_finished(segment: Segment) -> bool:
    try:
        return segment.index.finished
    except FormatError:
        return False


def _audit(
    segment: Segment, auditor: Auditor, advance: Callable[[int, Report], object], *, is_being_written: bool
) -> None:
    index = segment.index
    auditor.begin(
        Source(
            name=segment.name,
            number=segment.number,
            values=segment.values,
            size=segment.size,
            is_finished=index.finished,
            counts=index.counts if index.finished else None,
            crc=f"{index.data_crc:08x}" if index.finished else "",
        )
    )
    # A recorder goes on meanwhile: what it has added since is not looked at.
    damages = index.damage if is_being_written else segment.check()
    for damage in damages:
        auditor.damaged(damage)
    records: list[ChunkEntry | MetadataEntry] = sorted([*index.chunks, *index.metadata], key=lambda entry: entry.offset)
    for entry in records:
        if isinstance(entry, ChunkEntry):
            try:
                messages = segment.read(entry)
            except FormatError as error:
                auditor.lost(entry, str(error))
            else:
                auditor.chunk(entry, messages)
            advance(entry.length, auditor.report)
        else:
            auditor.metadata(entry)
    auditor.leave()
