"""The writing half of a recorder: whatever fails, what was written whole stays, and the call may be made again."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from kraken_trio.errors import RecordingError
from kraken_trio.recording.packer import Block, Packer
from kraken_trio.session import Effects
from kraken_trio.storage import segments
from kraken_trio.storage.reading import open_folder
from kraken_trio.storage.segments import Folder
from kraken_trio.storage.writer import Cycle, Job, LogWriter, SegmentGone
from tests.recorded import read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO

WALL = 1_800_000_000_000_000_000
DAY = 86_400 * 10**9
REQUESTS = {"wanted": "[]", "confirmed": "[]", "epoch": "1"}


def writer_of(folder: Path, **options: Any) -> LogWriter:
    defaults: dict[str, Any] = {"library": "kraken_trio 1.0", "level": 3, "keep_ns": None, "keep_bytes": None}
    return LogWriter(folder, **(defaults | options))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def writer(data: Path) -> Iterator[LogWriter]:
    opened = writer_of(data)
    assert opened.open() == (0, [])
    opened.begin({"recording": "r"})
    yield opened
    opened.close()


class Source:
    """Blocks, one after the other."""

    def __init__(self) -> None:
        self.packer = Packer()
        self.now_ns = WALL

    def block(self, *frames: str) -> Block:
        for frame in frames or ("frame",):
            self.now_ns += 1000
            self.packer.received([frame], self.now_ns, 1.0, Effects())
        return self.packer.take()

    def job(self, *frames: str, begins: bool = False, **more: Any) -> Job:
        if begins:
            self.packer.restart()
        return Job(block=self.block(*frames), begins_segment=begins, now_ns=self.now_ns, **more)


def frames_of(folder: Path) -> list[str]:
    return [frame.decode() for batch in read(folder).batches() for frame in batch]


def test_what_is_written_is_there_at_once(writer: LogWriter, data: Path) -> None:
    source = Source()
    first = writer.write(source.job("a", "b", begins=True, requests=REQUESTS))
    assert frames_of(data) == ["a", "b"]
    second = writer.write(source.job("c"))
    assert frames_of(data) == ["a", "b", "c"]
    (file,) = read(data).files
    assert not file.finished
    assert file.values["recording"] == "r"
    assert file.said("requests") == [REQUESTS]
    size = (data / file.name).stat().st_size
    assert second.size == size == first.size + second.added
    assert first.added == first.size > 0
    assert (second.finished, second.deleted, second.is_full) == ((), (), False)
    assert writer.finish() == (data / file.name,)
    assert writer.finish() == ()
    assert read(data).files[0].finished


def test_a_segment_follows_the_other(writer: LogWriter, data: Path) -> None:
    source = Source()
    writer.write(source.job("a", begins=True))
    written = writer.write(source.job("b", begins=True))
    first, second = read(data).files
    assert written.finished == (data / first.name,)
    assert (second.values["previous"], second.values["previous_sequence"]) == (first.name, "1")
    assert first.finished


def test_cycles_of_key_frames_are_named(writer: LogWriter, data: Path) -> None:
    source = Source()
    writer.write(source.job("a", begins=True))
    writer.write(source.job("b", "c"))  # 2 and 3
    writer.write(source.job("d"))
    ended = Cycle(3, 5, WALL + 1, WALL + 2)
    writer.write(source.job("e", cycles=(ended, Cycle(99, 100, WALL, WALL))))  # what was never written has no place
    again = Cycle(5, 6, WALL + 3, WALL + 4)
    writer.write(source.job("f", cycles=(again,)))
    (file,) = read(data).files
    named = file.said("keyframes")
    assert [(int(values["sequence"]), int(values["begin_ns"]), int(values["end_ns"])) for values in named] == [
        (3, WALL + 1, WALL + 2),
        (5, WALL + 3, WALL + 4),
    ]
    with open_folder(data) as recorded:
        chunks = recorded.segments[0].index.chunks
    assert [int(values["offset"]) for values in named] == [chunks[1].offset, chunks[3].offset]


def test_old_segments_are_deleted(data: Path) -> None:
    writer, source = writer_of(data, keep_ns=DAY, keep_bytes=10**9), Source()
    writer.open()
    writer.write(source.job("a", begins=True))
    source.now_ns += 2 * DAY
    written = writer.write(source.job("b", begins=True))
    writer.write(source.job("c", begins=True))
    writer.close()
    assert written.deleted == (written.finished[0].name,)
    assert frames_of(data) == ["b", "c"]


def test_what_cannot_be_deleted_does_not_end_the_recording(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> list[str]:
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(Folder, "retain", fail)
    writer, source = writer_of(data, keep_bytes=1), Source()
    writer.open()
    writer.write(source.job("a", begins=True))
    assert writer.write(source.job("b", begins=True)).deleted == ()
    writer.close()


# ------------------------------------------------------------------ when it fails


class Full(Exception):  # noqa: N818 (a short name will do)
    pass


@attrs.define
class Disk:
    """Fails the calls with these numbers, counted through a test; each write first writes a part."""

    failing: frozenset[int]
    calls: int = 0

    def step(self) -> bool:
        self.calls += 1
        return self.calls in self.failing

    def fail(self) -> OSError:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        write, rename, fsync = segments._write, Path.rename, os.fsync

        def _write(file: FileIO, piece: bytes) -> None:
            if self.step():
                write(file, piece[: len(piece) // 2])
                raise self.fail()
            write(file, piece)

        def _rename(path: Path, target: Path) -> Path:
            if self.step():
                raise self.fail()
            return rename(path, target)

        def _fsync(descriptor: int) -> None:
            if self.step():
                raise self.fail()
            fsync(descriptor)

        monkeypatch.setattr(segments, "_write", _write)
        monkeypatch.setattr(Path, "rename", _rename)
        monkeypatch.setattr(os, "fsync", _fsync)


steps = st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=6)
"""Of each block: how many frames; whether it begins a segment; has new requests; ends a cycle of key frames."""


@given(steps, st.frozensets(st.integers(1, 40), max_size=12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_fails_can_be_done_again_and_nothing_is_lost(
    story: list[tuple[int, bool, bool, bool]], failing: frozenset[int]
) -> None:
    source, disk = Source(), Disk(failing)
    expected: list[str] = []
    told: list[Path] = []
    begun = 0
    with TemporaryDirectory() as place, pytest.MonkeyPatch.context() as monkeypatch:
        folder = Path(place) / "data"
        writer = writer_of(folder)
        writer.open()
        disk.patch(monkeypatch)
        for number, (count, begins, requests, cycles) in enumerate(story):
            begins = begins or number == 0  # noqa: PLW2901 (the first one always does)
            begun += begins
            frames = [f"frame {number}.{index}" for index in range(count)]
            job = source.job(*frames, begins=begins)
            block = job.block
            job = attrs.evolve(
                job,
                requests=REQUESTS | {"epoch": str(number)} if requests else None,
                cycles=(Cycle(block.first, block.last, WALL, WALL),) if cycles else (),
            )
            while True:
                try:
                    told += writer.write(job).finished
                    break
                except OSError:
                    assert (frames_of(folder) if expected else []) == expected  # what was whole is whole
            expected += frames
            assert frames_of(folder) == expected
        while True:
            with suppress(OSError):
                told += writer.finish()
                break
        writer.close()
        log = read(folder)
        assert frames_of(folder) == expected
        assert all(file.finished for file in log.files)
        assert told == [folder / file.name for file in log.files]
        assert len(log.files) == begun
        said = [int(values["epoch"]) for file in log.files for values in file.said("requests")]
        assert said == [number for number, (_, _, requests, _) in enumerate(story) if requests]
        assert not [path for path in folder.iterdir() if path.suffix == ".new"]


# ----------------------------------------------------------------- what others do


def test_a_deleted_segment_is_told(writer: LogWriter, data: Path) -> None:
    source = Source()
    writer.write(source.job("a", begins=True))
    next(data.glob("*.mcap")).unlink()
    with pytest.raises(SegmentGone):
        writer.write(source.job("b"))
    with pytest.raises(SegmentGone):
        writer.write(source.job("c"))  # only a new one helps
    writer.write(source.job("d", begins=True))
    assert frames_of(data) == ["d"]


def test_a_deleted_folder_is_made_again_and_locked(writer: LogWriter, data: Path) -> None:
    source = Source()
    writer.write(source.job("a", begins=True))
    shutil.rmtree(data)
    data.mkdir()  # somebody has made it again, and with it the lock is gone
    assert writer.write(source.job("b", begins=True)).finished == ()
    assert frames_of(data) == ["b"]
    with pytest.raises(RecordingError, match="is being recorded"):
        Folder(data)


def test_a_folder_that_was_moved_away_keeps_what_it_has(writer: LogWriter, data: Path, tmp_path: Path) -> None:
    source = Source()
    writer.write(source.job("a", begins=True))
    data.rename(tmp_path / "elsewhere")
    writer.write(source.job("b"))
    writer.write(source.job("c", begins=True))
    assert frames_of(tmp_path / "elsewhere") == ["a", "b"]
    assert read(tmp_path / "elsewhere").files[0].finished
    assert frames_of(data) == ["c"]


def test_a_relative_folder_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    writer, source = writer_of(Path("data")), Source()
    writer.open()
    monkeypatch.chdir("/")
    writer.write(source.job("a", begins=True))
    shutil.rmtree(tmp_path / "data")
    writer.write(source.job("b", begins=True))
    writer.close()
    assert frames_of(tmp_path / "data") == ["b"]


# ------------------------------------------------------------- opening and closing


def test_the_last_epoch_is_found(data: Path) -> None:
    source = Source()
    for base, epochs in (("0", ["1", "2"]), ("2", []), ("not a number", ["7"])):
        writer = writer_of(data)
        assert writer.open()[0] == (2 if base != "0" else 0)
        writer.begin({"epoch_base": base})
        writer.write(source.job("a", begins=True))
        for number in epochs:
            writer.write(source.job("b", requests=REQUESTS | {"epoch": number}))
        writer.finish()
        writer.close()
    (data / "00000009-20270131T235959Z.mcap").write_bytes(b"nothing")
    writer = writer_of(data)
    epoch, (healed,) = writer.open()
    writer.close()
    assert epoch == 2
    assert healed.aside


def test_a_folder_that_cannot_be_opened_is_an_error(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data.write_text("a file")
    with pytest.raises(RecordingError, match="cannot be written"):
        writer_of(data).open()
    data.unlink()
    for error in (PermissionError(errno.EACCES, "Permission denied"), Full()):

        def fail(_: Folder, error: Exception = error) -> list[Any]:
            raise error

        monkeypatch.setattr(Folder, "heal", fail)
        with pytest.raises((RecordingError, Full)) as caught:
            writer_of(data).open()
        if not isinstance(error, Full):
            assert str(caught.value) == f"{data} cannot be used for a recording: Permission denied"
        Folder(data).close()  # it is free


def test_an_abandoned_writer_lets_go_of_its_folder_at_once(writer: LogWriter, data: Path) -> None:
    writer.write(Source().job("a", begins=True))
    writer.abandon()
    Folder(data).close()
    for call in (lambda: writer.write(Source().job("b", begins=True)), writer.finish, writer.open):
        with pytest.raises(OSError, match=os.strerror(errno.ECANCELED)):
            call()
    Folder(data).close()
    assert frames_of(data) == ["a"]


def test_a_writer_that_is_abandoned_in_a_call_lets_go_after_it(
    writer: LogWriter, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source()
    writer.write(source.job("a", begins=True))
    write = segments._write

    def abandon(file: FileIO, piece: bytes) -> None:
        writer.abandon()
        with pytest.raises(RecordingError):
            Folder(data)
        write(file, piece)

    monkeypatch.setattr(segments, "_write", abandon)
    writer.write(source.job("b"))
    monkeypatch.undo()
    Folder(data).close()
    assert frames_of(data) == ["a", "b"]
    assert writer.path == data
