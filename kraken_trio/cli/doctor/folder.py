"""The folder of a recording: whether there is room, who writes it, and whether its files are whole.

Blocking code for a thread. Nothing is created or changed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from kraken_trio._text import printable
from kraken_trio.cli.doctor import checks
from kraken_trio.errors import RecordingError
from kraken_trio.recording.format import FormatError
from kraken_trio.storage.lock import holder_of, is_locked
from kraken_trio.storage.reading import SEGMENT_NAME, list_names, number_of, open_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kraken_trio.cli.doctor.checks import Growth
    from kraken_trio.cli.doctor.findings import Finding
    from kraken_trio.cli.doctor.machine import Machine
    from kraken_trio.storage.reading import RecordedFolder, Segment

__all__ = ["Place", "Recorded", "look_at_place", "look_at_recording"]

MOST_SEGMENTS: Final = 1000
"""The newest files, whose ends are read: some 0.5 ms each."""
_DAY_NS: Final = 86_400 * 10**9
_SHORTEST_NS: Final = 60 * 10**9
"""From less, nothing is concluded."""


@attrs.frozen
class Place:
    """The folder, or the one in which it would be made."""

    findings: Sequence[Finding]
    is_usable: bool
    """Whether there is a folder at all, in which something can be looked at."""
    free: int | None = None
    """Bytes of its disk; None if it does not say."""


@attrs.frozen
class Recorded:
    """What has been recorded into it."""

    findings: Sequence[Finding]
    growth: Growth | None = None
    """None if there is too little to tell."""


def look_at_place(path: str, machine: Machine) -> Place:
    """The checks ``folder``, ``disk`` and ``inodes``."""
    folder = Path(path).absolute()
    shown = printable(folder, 100)
    place = folder
    try:
        while not place.exists() and place.parent != place:  # a recorder makes all of them
            place = place.parent
        if not place.is_dir():
            why = "is a file" if place == folder else f"cannot be made: {printable(place, 100)} is a file"
            return Place([checks.folder(f"{shown} {why}")], is_usable=False)
        free = machine.free_bytes(place)
        inodes = machine.free_inodes(place)
    except OSError as error:
        return Place([checks.folder(f"{shown}: {error.strerror or printable(error)}")], is_usable=False)
    is_writable = os.access(place, os.W_OK | os.X_OK)
    said = checks.folder(None, exists=place == folder, is_writable=is_writable)
    return Place([said, checks.disk(free), checks.inodes(inodes)], is_usable=True, free=free)


def look_at_recording(path: str, machine: Machine) -> Recorded:
    """The checks ``recorder`` and ``segments``."""
    folder = Path(path).absolute()
    try:
        names = sorted(filter(SEGMENT_NAME.fullmatch, list_names(folder)), key=number_of) if folder.exists() else []
        idle = max(0.0, (machine.wall_ns() - (folder / names[-1]).stat().st_mtime_ns) / 1e9) if names else None
    except (OSError, RecordingError) as error:
        why = f"it cannot be read: {getattr(error, 'strerror', None) or printable(error)}"
        return Recorded([checks.skipped("recorder", why), checks.segments(0, [], [], error=why)])
    if names and not os.access(folder, os.W_OK):
        recorder, has_writer = (
            checks.skipped("recorder", "only who may write the folder can see whether one runs"),
            True,
        )
    else:
        has_writer = is_locked(folder)
        recorder = checks.recorder(holder_of(folder) if has_writer else None, idle)
    if not names:
        return Recorded([recorder, checks.segments(0, [], [])])
    try:
        with open_folder(folder) as recorded:
            segments, growth = _look_at_files(recorded, has_writer=has_writer)
    except RecordingError as error:
        return Recorded([recorder, checks.segments(0, [], [], error=str(error))])
    return Recorded([recorder, segments], growth)


def _look_at_files(recorded: RecordedFolder, *, has_writer: bool) -> tuple[Finding, Growth | None]:
    """The ends of the newest files; and how much was written a day, by those of the last day."""
    newest = recorded.segments[-1]
    torn: list[str] = []
    written = covered = 0
    last_ns: int | None = None
    for segment in reversed(recorded.segments[-MOST_SEGMENTS:]):
        span: tuple[int, int] | None
        try:
            span = _span(segment)
        except FormatError:  # it has no end
            span = None
            if segment is newest and has_writer:
                span = _span_so_far(segment)
            else:
                torn.append(segment.name)
        if span is not None:
            begin_ns, end_ns = span
            last_ns = end_ns if last_ns is None else last_ns
            if last_ns - end_ns < _DAY_NS:
                written += segment.size
                covered += end_ns - begin_ns
        segment.release()
    damage = [str(damage) for damage in recorded.damage]
    damage += [f"{name}: a recorder has put it aside" for name in recorded.aside]
    finding = checks.segments(len(recorded.segments), torn[::-1], damage, looked_at=MOST_SEGMENTS)
    if covered < _SHORTEST_NS:
        return finding, None
    deletes = bool(recorded.segments[0].values.get("previous"))
    return finding, checks.Growth(a_day=written * _DAY_NS / covered, over=covered / 1e9, deletes=deletes)


def _span(segment: Segment) -> tuple[int, int] | None:
    """From its first message to its last, by its end; None if that does not say it. Raises :class:`FormatError`."""
    statistics, _ = segment.outline()
    if statistics is None or not statistics.start_ns:
        return None
    return statistics.start_ns, statistics.end_ns


def _span_so_far(segment: Segment) -> tuple[int, int] | None:
    """Of the file that is being written: until it was written last."""
    try:
        begin_ns, end_ns = int(segment.values.get("started_ns", "")), segment.path.stat().st_mtime_ns
    except (ValueError, OSError):
        return None
    return (begin_ns, end_ns) if begin_ns < end_ns else None
