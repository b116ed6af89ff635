"""Audits a recording from its files, every byte of them; or describes it by its indexes.

Blocking code, without Trio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from kraken_trio._text import printable
from kraken_trio._version import version
from kraken_trio.recording.audit import Auditor, Source
from kraken_trio.recording.findings import Recorder
from kraken_trio.recording.format import FRAMES, FormatError
from kraken_trio.recording.index import ChunkEntry, Damage
from kraken_trio.recording.records import requests_of
from kraken_trio.storage.lock import holder_of, is_locked
from kraken_trio.storage.reading import number_of, open_folder

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path

    from kraken_trio.recording.findings import Report
    from kraken_trio.recording.index import MetadataEntry
    from kraken_trio.requests import Request
    from kraken_trio.storage.reading import Segment

__all__ = ["Description", "audit_folder", "describe_folder"]


@attrs.define
class Description:
    """What is in a recording, as its indexes say: nothing is checked, and nothing decompressed."""

    segments: int = 0
    bytes: int = 0
    messages: int = 0
    frames: int = 0
    is_counted: bool = True
    """Whether all messages are counted: an unfinished or healed segment does not say how many it has."""
    begin_ns: int | None = None
    end_ns: int | None = None
    requests: dict[Request[Any], None] = attrs.Factory(dict)
    """Of which data were recorded, in the order in which they first came."""
    recorders: list[Recorder] = attrs.Factory(list)
    unfinished: list[str] = attrs.Factory(list)
    """Segments without an end."""
    damage: list[Damage] = attrs.Factory(list)
    deleted: bool = False
    """Whether the first segment follows one that is not there any more."""
    is_running: bool = False
    """Whether another process records into it now."""
    holder: str = ""
    """Which, if that is known."""


def describe_folder(path: str | os.PathLike[str]) -> Description:
    """Describe a folder, or one segment of it.

    Raises :class:`~kraken_trio.RecordingError` if there is no recording that can be read.
    """
    with open_folder(path) as folder:
        found = Description(damage=list(folder.damage), is_running=is_locked(folder.path))
        found.damage += [Damage(name, 0, "a recorder has put it aside") for name in folder.aside]
        if found.is_running:
            found.holder = holder_of(folder.path)
        found.deleted = bool(folder.segments[0].values.get("previous"))
        for segment in folder.segments:
            try:
                _describe(segment, found)
            except FormatError as error:
                found.damage.append(Damage(segment.name, 0, str(error)))
            segment.release()
        if found.is_running and found.unfinished and found.unfinished[-1] == folder.segments[-1].name:
            found.unfinished.pop()  # it is being written
        return found


def _describe(segment: Segment, found: Description) -> None:
    values = segment.values
    found.segments += 1
    found.bytes += segment.size
    recorder = found.recorders[-1] if found.recorders else None
    if recorder is None or recorder.id != printable(values.get("recording", ""), 60):
        recorder = Recorder.of(values)
        found.recorders.append(recorder)
    recorder.segments += 1
    begin_ns: int | None
    end_ns: int | None
    try:
        statistics, metadata = segment.outline()
    except FormatError:
        statistics, metadata = None, []
    if statistics is None:
        index = segment.index
        begin_ns, end_ns, metadata = index.start_ns, index.end_ns, index.metadata
        found.is_counted = False
        if not index.finished:
            found.unfinished.append(segment.name)
        found.damage += index.damage
    else:
        begin_ns, end_ns = statistics.start_ns, statistics.end_ns
        found.messages += sum(statistics.counts.values())
        found.frames += sum(statistics.counts.get(channel, 0) for channel in FRAMES)
    if begin_ns is not None and end_ns is not None:
        found.begin_ns = begin_ns if found.begin_ns is None else min(begin_ns, found.begin_ns)
        found.end_ns = end_ns if found.end_ns is None else max(end_ns, found.end_ns)
        recorder.begin_ns = begin_ns if recorder.begin_ns is None else recorder.begin_ns
        recorder.end_ns = end_ns
    for entry in metadata:
        found.requests.update(dict.fromkeys(requests_of(entry.values.get("confirmed", "[]"))))


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
        last = folder.segments[-1]
        return auditor.end(is_running=is_running and (not _is_finished(last) or _goes_on(last, folder.path)))


def _goes_on(last: Segment, path: Path) -> bool:
    """Whether the recorder of this segment, which was the last one, has begun another since."""
    with open_folder(path) as folder:
        newest = folder.segments[-1]
        return newest.number > last.number and newest.values.get("recording") == last.values.get("recording")


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
