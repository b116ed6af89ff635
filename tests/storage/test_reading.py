"""Reading a folder in whatever state it is: damage is a value, and nothing else of the folder is lost by it."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from kraken_trio.errors import RecordingError
from kraken_trio.recording import format as fmt
from kraken_trio.recording.format import FormatError
from kraken_trio.recording.index import Damage
from kraken_trio.storage import reading
from kraken_trio.storage.reading import Segment, open_folder, read_fully
from tests import logs
from tests.logs import Log, numbered

if TYPE_CHECKING:
    from pathlib import Path

LOG = logs.example()


def name(number: int) -> str:
    return f"{number:08d}-20231114T221320Z.mcap"


def segment(number: int) -> Log:
    log = Log.new({"number": str(number)})
    log.add(numbered(1, 3))
    return log


def put(folder: Path, *numbers: int) -> Path:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        (folder / name(number)).write_bytes(segment(number).whole)
    return folder


def test_segments_are_in_order(tmp_path: Path) -> None:
    put(tmp_path, 3, 1, 2)
    with open_folder(tmp_path) as recorded:
        assert [found.number for found in recorded.segments] == [1, 2, 3]
        assert recorded.damage == []
        assert recorded.aside == []
        for found in recorded.segments:
            assert found.values["number"] == str(found.number)
            assert found.name in repr(found)
            assert found.index is found.index
            assert found.tail == 0
            assert [found.read(chunk) for chunk in found.index.chunks] == [numbered(1, 3)]
            found.release()
            assert found.read(found.index.chunks[0]) == numbered(1, 3)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are not listed here")  # noqa: PTH112 (these are no files of ours)
def test_at_most_one_file_is_open(tmp_path: Path) -> None:
    put(tmp_path, *range(1, 11))
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (these are no files of ours)
    with open_folder(tmp_path) as recorded:
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 (these are no files of ours)
        for found in recorded.segments:
            found.read(found.index.chunks[0])
        assert len(os.listdir("/proc/self/fd")) == before + 1  # noqa: PTH208 (these are no files of ours)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 (these are no files of ours)


def test_one_file_is_a_recording_too(tmp_path: Path) -> None:
    path = put(tmp_path, 1, 2) / "copy.mcap"
    shutil.copy(tmp_path / name(2), path)
    for one in (tmp_path / name(2), path, os.fspath(path)):
        with open_folder(one) as recorded:
            assert [found.values["number"] for found in recorded.segments] == ["2"]
            assert recorded.damage == []


def test_a_running_segment_is_read(tmp_path: Path) -> None:
    log = segment(1)
    path = tmp_path / name(1)
    path.write_bytes(log.data)
    with open_folder(tmp_path) as recorded:
        (found,) = recorded.segments
        assert (found.index.finished, len(found.index.chunks), found.tail, found.damage) == (False, 1, 0, [])
        log.add(numbered(4, 2))
        path.write_bytes(log.data + b"\6torn")
        assert len(found.index.chunks) == 1
        found.release()
        assert (len(found.index.chunks), found.tail, found.damage) == (2, 5, [])
        assert found.read(found.index.chunks[1]) == numbered(4, 2)


def test_missing_segments_are_damage(tmp_path: Path) -> None:
    put(tmp_path, 4, 6, 10)
    with open_folder(tmp_path) as recorded:
        assert recorded.damage == [
            Damage("00000005", 0, "segment 5 is missing"),
            Damage("00000007", 0, "segment 7 to 9 is missing"),
        ]


def test_two_segments_of_a_number_are_damage(tmp_path: Path) -> None:
    put(tmp_path, 1, 2)
    shutil.copy(tmp_path / name(2), tmp_path / "00000002-20240101T000000Z.mcap")
    with open_folder(tmp_path) as recorded:
        assert recorded.damage == [Damage("00000002", 0, "there are two segments of this number")]
        assert len(recorded.segments) == 3


def test_a_segment_that_cannot_be_read_costs_itself(tmp_path: Path) -> None:
    put(tmp_path, 1, 2, 3, 4, 5)
    (tmp_path / name(1)).write_bytes(b"")
    (tmp_path / name(2)).write_bytes(b"PK" * 100)
    (tmp_path / name(3)).write_bytes(fmt.begin("x", {"format": "2"}))
    (tmp_path / name(4)).write_bytes((tmp_path / name(5)).read_bytes())
    with open_folder(tmp_path) as recorded:
        assert [found.number for found in recorded.segments] == [5]
        assert [damage.text for damage in recorded.damage] == [
            "it does not begin as an MCAP file does",
            "it does not begin as an MCAP file does",
            "it has the format '2', of another version of kraken_trio",
            "it is named as the segment 4, but is the segment 5",
        ]


def test_no_recording(tmp_path: Path) -> None:
    def refuses(path: Path, words: str) -> None:
        with pytest.raises(RecordingError, match=words) as caught:
            open_folder(path)
        assert str(caught.value).isprintable()

    refuses(tmp_path / "nowhere", "cannot be read: No such file")
    refuses(tmp_path, "holds no recording$")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / name(1)).mkdir()
    refuses(tmp_path, "holds no recording$")
    refuses(tmp_path / "notes.txt", "holds no recording that can be read: notes.txt, byte 0: it does not begin")
    (tmp_path / "drive.mcap").write_bytes(b"x")
    refuses(tmp_path, "none of kraken_trio")
    (tmp_path / name(2)).write_bytes(fmt.begin("x", {"format": "2"}))
    refuses(tmp_path, "of another version")


def test_too_many_files_are_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, 1, 2, 3)
    monkeypatch.setattr(reading, "MAX_FILES", 2)
    with pytest.raises(RecordingError, match="more than 2 files"):
        open_folder(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be deleted")
def test_a_segment_that_is_deleted_meanwhile(tmp_path: Path) -> None:
    put(tmp_path, 1, 2)
    with open_folder(tmp_path) as recorded:
        first, second = recorded.segments
        entry = first.index.chunks[0]
        (tmp_path / name(1)).unlink()
        assert first.read(entry) == numbered(1, 3), "it is still open"
        assert second.read(entry) == numbered(1, 3)
        with pytest.raises(FormatError, match="cannot be read: No such file"):
            first.read(entry)
        first.release()
        with pytest.raises(FormatError, match="cannot be read: No such file"):
            _ = first.index


def test_a_segment_alone(tmp_path: Path) -> None:
    put(tmp_path, 1)
    found = Segment(tmp_path / name(1), 1)
    assert found.read(found.index.chunks[0]) == numbered(1, 3)
    found.release()


@given(st.integers(0, len(LOG.whole) - 1), st.integers(0, 7), st.booleans())
def test_a_flipped_bit_costs_no_other_segment(
    tmp_path_factory: pytest.TempPathFactory, at: int, bit: int, is_finished: bool
) -> None:
    folder = put(tmp_path_factory.mktemp("flipped"), 2)
    data = bytearray(LOG.whole if is_finished else LOG.data)
    data[at % len(data)] ^= 1 << bit
    (folder / name(1)).write_bytes(data)
    with open_folder(folder) as recorded:
        second = recorded.segments[-1]
        assert [second.read(chunk) for chunk in second.index.chunks] == [numbered(1, 3)]
        for found in recorded.segments[:-1]:
            for chunk in found.index.chunks:
                try:
                    assert found.read(chunk) in LOG.chunks
                except FormatError:
                    continue


def test_a_file_that_gives_less_than_it_has(tmp_path: Path) -> None:
    class Slow:
        def __init__(self) -> None:
            self.pieces = [b"ab", b"c", b"", b"d"]

        def read(self, size: int) -> bytes:
            return self.pieces.pop(0)

    assert read_fully(Slow(), 3) == b"abc"  # type: ignore[arg-type]  # a double
    assert read_fully(Slow(), 5) == b"abc"  # type: ignore[arg-type]  # a double
