"""``import_recording``: recordings by other programs, as one of ours, that can be audited, replayed and exported."""

from __future__ import annotations

import os
from contextlib import ExitStack
from heapq import merge
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from kraken_trio._text import printable
from kraken_trio._version import version
from kraken_trio.errors import RecordingError
from kraken_trio.recording.foreign import read_frames
from kraken_trio.recording.format import FRAME_FIRST, TEXT_MORE
from kraken_trio.recording.importer import SETTINGS, Importer, Survey, Times
from kraken_trio.recording.keyframes import client_frame, frame_of, keys_of
from kraken_trio.recording.packer import Packer
from kraken_trio.recording.records import CycleBegun, CycleEnded, encode, named_requests
from kraken_trio.recording.times import moment_ns
from kraken_trio.storage.reading import open_folder
from kraken_trio.storage.writer import Cycle, Job, LogWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from kraken_trio.recording.times import Time
    from kraken_trio.requests import Request
    from kraken_trio.statistics import ClientStatistics

__all__ = ["ImportReport", "import_recording"]

_CHUNK_BYTES: Final = 256 * 1024
_BLOCK_BYTES: Final = 256 * 1024
"""As the recorder cuts its blocks."""
_LEVEL: Final = 3
"""Zstandard's, as the recorder uses it."""
_CYCLE_MESSAGES: Final = 100_000
_NS_PER_DAY: Final = 86_400 * 10**9
_MAX_SEGMENT_BYTES: Final = 256 * 1024 * 1024


@attrs.frozen(kw_only=True)
class ImportReport:
    """What was imported."""

    frames: int
    """In the files, and in the folder: it was counted there, too."""
    runs: int
    """How many runs of a recorder they have become: files that overlap in time are one."""
    requests: tuple[Request[Any], ...]
    """What can be replayed."""
    checksums_verified: int
    checksum_failures: int
    malformed: int
    """Frames that cannot be decoded. They are in the folder, too."""
    gaps: int
    ignored: int
    """Data of symbols to which nobody can subscribe. They are in the folder, but are not played."""
    problems: tuple[str, ...]
    """Files that could not be read to their end, and why: what stands before it was imported."""


@attrs.define
class _File:
    path: Path
    survey: Survey

    @property
    def name(self) -> str:
        return printable(self.path, 400)


def import_recording(
    files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    *,
    start: Time | None = None,
    keyframe_every: float = 60.0,
    progress: Callable[[int], object] | None = None,
) -> ImportReport:
    """Import ``files`` of other programs into ``folder``, as if a client had received their frames at their times.

    What :func:`open_replay`, :func:`read_events`, ``kraken-trio audit`` and ``kraken-trio export`` do with a recording
    of ours, they then do with it. The frames stay as they are, byte by byte. A subscription begins where the exchange's
    answer or its first data are, and a book whose checksum is wrong has a :class:`~kraken_trio.Gap` until its next
    snapshot. The depth of a book is taken from the exchange's answer, or is the smallest that fits its snapshot.

    A file is anything that ``kraken-trio verify`` reads, of Kraken's protocols v2 and v1. Files are imported in the
    order of their times, each as a run of a recorder; those that overlap in time are one run, and their frames are put
    in the order of receipt. Where the exchange's status tells of another connection, the client has connected again.

    ``start`` is the time of the first frame of a file without times, and then of all its frames: they are replayed at
    once. ``progress`` is called with the number of bytes, each time when some were read; all files are read twice.

    Every file is looked through before anything is written. Raises :class:`~kraken_trio.RecordingError` if one is no
    recording, or has no times; if two that overlap have the same subscription; if they and what is in the folder are
    not of one protocol; if the folder is in use, or what is in it is later than the files; and if not all frames have
    arrived there. A file that is damaged is imported as far as it can be read, which :attr:`ImportReport.problems`
    tells.
    """
    paths = [Path(files)] if isinstance(files, str | os.PathLike) else [Path(file) for file in files]
    if not paths:
        msg = "there is no file to import"
        raise ValueError(msg)
    start_ns = None if start is None else moment_ns(start, "start")
    told: Callable[[int], object] = progress or (lambda _size: None)
    found = sorted((_surveyed(path, start_ns, told) for path in paths), key=lambda file: file.survey.first_ns)
    _check_protocols(found)
    runs = _runs(found)
    _check_order(Path(folder), found[0])
    before = _recorded_frames(folder)
    reports = [_Run(run, folder, start_ns, int(keyframe_every * 1e9), told).write() for run in runs]
    frames = sum(file.survey.frames for file in found)
    arrived = _recorded_frames(folder) - before
    if arrived != frames:
        msg = (
            f"{frames} frames were to be imported, but {arrived} are in {printable(folder, 400)}: delete it, try again"
        )
        raise RecordingError(msg)
    statistics = [report.statistics for report in reports]
    return ImportReport(
        frames=frames,
        runs=len(runs),
        requests=tuple(dict.fromkeys(request for report in reports for request in report.requests)),
        checksums_verified=sum(one.checksums_verified for one in statistics),
        checksum_failures=sum(one.checksum_failures for one in statistics),
        malformed=sum(one.malformed for one in statistics),
        gaps=sum(report.gaps for report in reports),
        ignored=sum(report.ignored for report in reports),
        problems=tuple(f"{file.name}: {file.survey.problem}" for file in found if file.survey.problem),
    )


# Before anything is written


def _surveyed(path: Path, start_ns: int | None, progress: Callable[[int], object]) -> _File:
    file = _File(path, Survey(start_ns))
    survey = file.survey
    try:
        with path.open("rb") as opened:
            problem = ""
            try:
                frames = read_frames(_chunks(opened, progress))
                while (frame := _next(frames)) is not None:
                    survey.take(frame)
            except _Unreadable as error:
                problem = str(error)
            survey.end(problem)
    except OSError as error:
        msg = f"{file.name} cannot be read: {error.strerror or printable(error)}"
        raise RecordingError(msg) from error
    except RecordingError as error:
        msg = f"{file.name}: {error}"
        raise RecordingError(msg) from None
    return file


class _Unreadable(Exception):  # noqa: N818 (on its way to who counts)
    """The file cannot be read further."""


def _next(frames: Iterator[Any]) -> Any:
    try:
        return next(frames, None)
    except RecordingError as error:
        raise _Unreadable(error) from None


def _chunks(file: BinaryIO, progress: Callable[[int], object]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk
        progress(len(chunk))


def _runs(files: list[_File]) -> list[list[_File]]:
    """Files that overlap in time belong together."""
    runs: list[list[_File]] = []
    end_ns = -1
    for file in files:
        if runs and file.survey.first_ns <= end_ns:
            for other in runs[-1]:
                both = next((key for key in file.survey.begins if key in other.survey.begins), None)
                if both is not None:
                    msg = (
                        f"{other.name} and {file.name} both have {other.survey.begins[both]} at the same time: "
                        "import them into folders of their own"
                    )
                    raise RecordingError(msg)
            runs[-1].append(file)
        else:
            runs.append([file])
        end_ns = max(end_ns, file.survey.end_ns)
    return runs


def _check_protocols(files: list[_File]) -> None:
    """A recording is of one."""
    first, *others = files
    for file in others:
        if file.survey.protocol != first.survey.protocol:
            msg = (
                f"{first.name} is of Kraken's protocol {first.survey.protocol}, and {file.name} of "
                f"{file.survey.protocol}: import them into folders of their own"
            )
            raise RecordingError(msg)


def _check_order(folder: Path, first: _File) -> None:
    """What is in the folder must be earlier."""
    if not folder.is_dir() or not any(folder.glob("*.mcap")):
        return
    with open_folder(folder) as recorded:
        protocol = recorded.segments[-1].values.get("protocol", "v2")
        end_ns = max((chunk.end_ns for chunk in recorded.segments[-1].index.chunks), default=0)
    if protocol != first.survey.protocol:
        msg = (
            f"{first.name} is of Kraken's protocol {first.survey.protocol}, and what is recorded in "
            f"{printable(folder, 400)} of {printable(protocol, 40)}: import it into another folder"
        )
        raise RecordingError(msg)
    if end_ns > first.survey.first_ns:
        msg = (
            f"{first.name} begins before the end of what is recorded in {printable(folder, 400)}: "
            "a recording is in the order of time, so import it into another folder"
        )
        raise RecordingError(msg)


def _recorded_frames(folder: str | os.PathLike[str]) -> int:
    """As the segments count them."""
    if not Path(folder).is_dir() or not any(Path(folder).glob("*.mcap")):
        return 0
    with open_folder(folder) as recorded:
        count = 0
        for segment in recorded.segments:
            counts = segment.index.counts or {}
            count += sum(number for channel, number in counts.items() if FRAME_FIRST <= channel <= TEXT_MORE)
            segment.release()
        return count


# Writing


@attrs.frozen
class _RunReport:
    statistics: ClientStatistics
    requests: tuple[Request[Any], ...]
    gaps: int
    ignored: int


class _Run:
    """Files that become one run of a recorder."""

    def __init__(
        self,
        files: list[_File],
        folder: str | os.PathLike[str],
        start_ns: int | None,
        cycle_ns: int,
        progress: Callable[[int], object],
    ) -> None:
        self._files = files
        self._start_ns = start_ns
        self._cycle_ns = cycle_ns
        self._progress = progress
        self._packer = Packer()
        self._protocol = files[0].survey.protocol
        self._importer = Importer(self._packer, *(file.survey.begins for file in files), protocol=self._protocol)
        self._writer = LogWriter(
            folder, library=f"kraken_trio {version()}", level=_LEVEL, keep_ns=None, keep_bytes=None
        )
        self._has_blocks = False
        self._day = 0
        self._cycles: list[Cycle] = []
        self._cycle_number = 0
        self._next_cycle_ns = 0
        self._last_cycle = 0
        self._confirmed_before: dict[Request[Any], None] = {}
        self._written_requests: Mapping[str, str] | None = None

    def write(self) -> _RunReport:
        first_ns = self._files[0].survey.first_ns
        try:
            last_epoch, _ = self._writer.open()
            names = ", ".join(file.path.name for file in self._files)
            self._writer.begin(
                {
                    "recording": f"{first_ns}-{os.getpid()}",
                    "epoch_base": str(last_epoch),
                    # No client of this version has decided what is in it: it had other answers than an exchange's.
                    "version": f"{version()}+import",
                    "endpoint": printable(f"imported from {names}", 400),
                    "protocol": self._protocol,
                    "settings": encode(SETTINGS).decode(),
                }
            )
            self._write()
            self._writer.finish()
        except OSError as error:
            msg = f"the import failed, and can be tried again in an empty folder: {error.strerror or printable(error)}"
            raise RecordingError(msg) from error
        finally:
            self._writer.close()
        importer = self._importer
        statistics = importer.session.statistics()
        return _RunReport(statistics, tuple(importer.confirmed), statistics.gaps, importer.ignored)

    def _write(self) -> None:
        packer, importer = self._packer, self._importer
        wall_ns = self._files[0].survey.first_ns
        self._begin_segment(wall_ns)
        importer.begin(wall_ns)
        with ExitStack() as stack:
            readers = [self._read(number, file, stack) for number, file in enumerate(self._files)]
            for wall_ns, number, data in merge(*readers, key=lambda item: item[0]):
                if wall_ns >= self._next_cycle_ns or packer.sequence - self._last_cycle >= _CYCLE_MESSAGES:
                    self._cycle(wall_ns)
                importer.take(number, data, wall_ns)
                if packer.size >= _BLOCK_BYTES:
                    self._cut(wall_ns)
        importer.end()
        self._cut(wall_ns)

    def _read(self, number: int, file: _File, stack: ExitStack) -> Iterator[tuple[int, int, bytes]]:
        """As many frames as were surveyed: the file may have grown."""
        opened = stack.enter_context(file.path.open("rb"))
        times = Times(self._start_ns)
        left = file.survey.frames
        for frame in read_frames(_chunks(opened, self._progress)):
            yield times.of(frame), number, frame.data
            left -= 1
            if not left:
                return

    def _begin_segment(self, wall_ns: int) -> None:
        self._packer.restart()
        self._has_blocks = False
        self._day = wall_ns // _NS_PER_DAY
        self._written_requests = None
        self._cycles.clear()
        self._next_cycle_ns = 0
        self._confirmed_before = dict(self._importer.confirmed)

    def _cut(self, wall_ns: int) -> None:
        if not len(self._packer):
            return
        job = Job(
            block=self._packer.take(),
            requests=self._changed_requests(),
            cycles=tuple(self._cycles),
            begins_segment=not self._has_blocks,
            now_ns=wall_ns,
        )
        self._cycles.clear()
        self._has_blocks = True
        written = self._writer.write(job)
        if wall_ns // _NS_PER_DAY > self._day or written.size >= _MAX_SEGMENT_BYTES:
            self._begin_segment(wall_ns)

    def _changed_requests(self) -> Mapping[str, str] | None:
        session = self._importer.session
        subs = list(session.subscriptions)
        confirmed = [request for request in self._importer.confirmed if request not in self._confirmed_before]
        confirmed += [sub.request for sub in subs if sub.is_confirmed and sub.request in self._confirmed_before]
        requests = {
            "wanted": named_requests([sub.request for sub in subs if sub.wanted_by]),
            "confirmed": named_requests(confirmed),
            "epoch": str(session.epoch),
        }
        if requests == self._written_requests:
            return None
        self._written_requests = requests
        return requests

    def _cycle(self, wall_ns: int) -> None:
        """Key frames of everything: the state before what was received at this time."""
        packer, session, now = self._packer, self._importer.session, self._importer.now
        self._cycle_number += 1
        packer.key(CycleBegun(number=self._cycle_number), wall_ns, now)
        first = packer.sequence
        packer.key(client_frame(session), wall_ns, now)
        for key in keys_of(session):
            frame = frame_of(session, key)
            assert frame is not None  # nothing happens in between
            packer.key(frame, wall_ns, now)
        packer.key(CycleEnded(number=self._cycle_number), wall_ns, now)
        self._cycles.append(Cycle(first, packer.sequence, wall_ns, wall_ns))
        self._last_cycle = packer.sequence
        self._next_cycle_ns = wall_ns + self._cycle_ns
