"""Writing segments: what was written whole is never lost, whatever the disk and the process do."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mcap.reader
import pytest
from hypothesis import given, settings, strategies as st

from kraken_trio.errors import RecordingError
from kraken_trio.recording import format as fmt, scan
from kraken_trio.storage import segments
from kraken_trio.storage.reading import Segment, open_folder
from kraken_trio.storage.segments import Folder, Healed, SegmentFile
from tests import logs
from tests.logs import START_NS, Log, Message, numbered, packed

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "00000001-20231114T221320Z.mcap"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    with Folder(tmp_path / "data") as opened:
        yield opened


def begin(folder: Folder, started_ns: int = START_NS, **values: str) -> SegmentFile:
    return folder.create({"recording": "r", **values}, started_ns=started_ns, library="kraken_trio 1.0")


def append(segment: SegmentFile, first: int, number: int) -> None:
    found = numbered(first, number)
    segment.append_chunk(packed(found), found[0][2], found[-1][2])


def read(path: Path) -> list[Message]:
    """All messages of a segment that is undamaged."""
    segment = Segment(path, 1)
    assert segment.damage == []
    found = [message for chunk in segment.index.chunks for message in segment.read(chunk)]
    segment.release()
    return found


def library_reads(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in mcap.reader.NonSeekingReader(file, validate_crcs=True).iter_messages())


# ------------------------------------------------------------------ one segment


def test_what_is_written_is_read(folder: Folder) -> None:
    segment = begin(folder)
    append(segment, 1, 10)
    at = segment.append(fmt.metadata("requests", {"wanted": "[]"}))
    append(segment, 11, 10)
    assert segment.path == folder.path / NAME
    assert segment.path.stat().st_size == segment.size
    assert read(segment.path) == numbered(1, 20)
    segment.finish()
    assert not segment.is_open
    assert read(segment.path) == numbered(1, 20)
    with open_folder(folder.path) as recorded:
        (found,) = recorded.segments
        assert found.index == segment.index
        assert found.index.finished
        assert found.index.metadata[0].offset == at
        assert sum((found.index.counts or {}).values()) == 20
    assert library_reads(segment.path) == 20  # with all checksums, that of the data in all, too
    assert found.check() == []
    data = segment.path.read_bytes()
    segment.path.write_bytes(data.replace(b"kraken_trio 1.0", b"kraken_trio 1.1"))
    assert [damage.text for damage in found.check()] == ["the checksum of all of its data is wrong"]
    found.release()


def test_what_is_packed_elsewhere_is_appended(folder: Folder) -> None:
    segment = begin(folder)
    first, second = (fmt.chunk(packed(numbered(at, 5)), 0, 2**63)[0] for at in (1, 6))
    segment.append(first, counts=fmt.count(packed(numbered(1, 5))), sequence=5)
    assert segment.sequence == 5
    assert sum((segment.index.counts or {}).values()) == 5
    segment.append(second)
    segment.append(first, counts={1: 5})
    assert segment.index.counts is None
    segment.finish()
    assert read(segment.path) == [*numbered(1, 10), *numbered(1, 5)]
    assert library_reads(segment.path) == 15


def test_other_records_are_refused(folder: Folder) -> None:
    segment = begin(folder)
    size = segment.size
    for record in (fmt.CHANNEL_RECORDS[1], b"\6", fmt.metadata("requests", {})[:-1]):
        with pytest.raises(fmt.FormatError):
            segment.append(record)
    assert segment.size == segment.path.stat().st_size == size


def test_a_segment_can_be_full(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = begin(folder)
    assert not segment.is_full
    monkeypatch.setattr(fmt, "MAX_RECORDS", 4)
    append(segment, 1, 1)
    assert not segment.is_full
    segment.append(fmt.metadata("requests", {}))
    assert segment.is_full
    monkeypatch.undo()
    assert not segment.is_full
    append(segment, 2**31, 1)
    assert segment.is_full


def test_a_segment_can_be_full_of_metadata(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = begin(folder)
    monkeypatch.setattr(scan, "MAX_METADATA_TOTAL", 2000)
    for _ in range(2):
        assert not segment.is_full
        segment.append(fmt.metadata("requests", {"wanted": "x" * 500}))
    assert segment.is_full


def test_no_file_is_written_over(folder: Folder) -> None:
    segment = begin(folder)
    with pytest.raises(FileExistsError):
        SegmentFile.open_new(segment.path, {}, "x")
    assert [path.name for path in folder.path.glob("0*")] == [NAME]


class Disk(io.FileIO):
    """A file on a disk that is full, slow or broken."""

    room: int | None = None
    """Bytes that still fit."""
    longest = 2**30
    """The most that one write takes."""
    cannot_truncate = False

    def write(self, data: Any) -> int:
        size = min(len(data), self.longest, len(data) if self.room is None else self.room)
        if self.room is not None:
            self.room -= size
        if not size and len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data[:size])

    def truncate(self, size: int | None = None) -> int:
        if self.cannot_truncate:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        assert size is not None
        if self.room is not None:
            self.room += max(self.seek(0, 2) - size, 0)
        return super().truncate(size)


def on_disk(path: Path) -> tuple[SegmentFile, Disk]:
    SegmentFile.open_new(path, {"number": "1"}, "kraken_trio 1.0").close()
    data = path.read_bytes()
    disk = Disk(path, "r+")
    index = scan.read_index(logs.reader(data), len(data), path.name)
    index.counts, index.data_crc = {}, zlib.crc32(data)
    disk.seek(len(data))
    return SegmentFile(disk, path, index), disk


def test_short_writes_are_continued(tmp_path: Path) -> None:
    segment, disk = on_disk(tmp_path / NAME)
    disk.longest = 7
    append(segment, 1, 10)
    segment.finish()
    assert read(segment.path) == numbered(1, 10)


def test_what_did_not_fit_leaves_the_time_of_the_last_write(tmp_path: Path) -> None:
    """By which the doctor tells for how long a recorder has written nothing."""
    segment, disk = on_disk(tmp_path / NAME)
    append(segment, 1, 3)
    os.utime(segment.path, ns=(0, 10**18))
    disk.room = 50
    with pytest.raises(OSError, match="No space"):
        append(segment, 4, 3)
    assert segment.path.stat().st_mtime_ns == 10**18
    disk.room = None
    append(segment, 4, 3)
    assert segment.path.stat().st_mtime_ns > 10**18
    segment.finish()


@given(st.integers(0, 400))
@settings(max_examples=60)
def test_a_full_disk_costs_what_does_not_fit(tmp_path_factory: pytest.TempPathFactory, room: int) -> None:
    segment, disk = on_disk(tmp_path_factory.mktemp("full") / NAME)
    append(segment, 1, 3)
    disk.room = room
    size = segment.size
    written = 3
    try:
        append(segment, 4, 5)
        written = 8
    except OSError:
        assert segment.size == size == segment.path.stat().st_size
        assert disk.room == room
    try:
        segment.append(fmt.metadata("requests", {"wanted": "[]"}))
    except OSError:
        assert segment.index.metadata == []
    assert read(segment.path) == numbered(1, written)
    try:
        segment.finish()
    except OSError:
        assert segment.is_open
        assert not segment.index.finished
        assert read(segment.path) == numbered(1, written)
        disk.room = None
        segment.append_chunk(packed(numbered(written + 1, 1)), 0, 2**63)
        written += 1
        segment.finish()
    assert read(segment.path) == numbered(1, written)
    assert library_reads(segment.path) == written


def test_what_cannot_be_taken_back_at_once_is_taken_back_later(tmp_path: Path) -> None:
    segment, disk = on_disk(tmp_path / NAME)
    append(segment, 1, 3)
    disk.room = 50
    disk.cannot_truncate = True
    for _ in range(2):
        with pytest.raises(OSError):
            append(segment, 4, 3)
    assert segment.path.stat().st_size == segment.size + 50
    assert read(segment.path) == numbered(1, 3)
    with pytest.raises(OSError):
        segment.finish()
    disk.room, disk.cannot_truncate = None, False
    append(segment, 4, 3)
    segment.finish()
    assert read(segment.path) == numbered(1, 6)


def test_a_disk_that_takes_nothing_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segment, _ = on_disk(tmp_path / NAME)
    monkeypatch.setattr(Disk, "write", lambda self, data: 0)
    with pytest.raises(OSError):
        append(segment, 1, 1)
    segment.close()
    segment.close()


def test_an_end_that_the_disk_loses_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segment, _ = on_disk(tmp_path / NAME)
    append(segment, 1, 3)

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, "")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", broken)
        with pytest.raises(OSError):
            segment.finish()
    assert segment.path.stat().st_size == segment.size
    append(segment, 4, 3)
    segment.finish()
    assert read(segment.path) == numbered(1, 6)


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be deleted")
def test_a_deleted_file_is_noticed(folder: Folder) -> None:
    segment = begin(folder)
    append(segment, 1, 1)
    segment.path.unlink()
    with pytest.raises(FileNotFoundError):
        append(segment, 2, 1)
    with pytest.raises(FileNotFoundError):
        segment.finish()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system with room for 256 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small file system cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_real_disk_that_is_full(small_disk: Path) -> None:
    noise = [(1, n, START_NS + n, n, os.urandom(20_000)) for n in range(1, 200)]
    with Folder(small_disk / "data") as folder:
        segment = begin(folder)
        written = []
        for message in noise:
            try:
                segment.append_chunk(packed([message]), message[2], message[2])
            except OSError:
                break
            written.append(message)
        assert 8 < len(written) < 13
        assert read(segment.path) == written
        segment.finish()
        assert read(segment.path) == written
        filler = small_disk / "filler"
        with pytest.raises(OSError), filler.open("wb") as file:
            file.write(bytes(300_000))
        with pytest.raises(OSError):
            begin(folder)
        assert folder.names() == [segment.name]
        filler.unlink()
        second = begin(folder)
        append(second, 1, 3)
        second.finish()
        assert library_reads(second.path) == 3


# -------------------------------------------------------------------- healing


def put(folder: Path, data: bytes, name: str = NAME) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(data)
    return path


LOG = logs.example()
HEAD = LOG.index.head.offset + LOG.index.head.length


@given(
    st.integers(0, len(LOG.whole)),
    st.sampled_from([b"", bytes(5000), b"garbage" * 100]),
    st.none() | st.tuples(st.integers(0, len(LOG.whole) - 1), st.integers(0, 7)),
)
def test_a_torn_segment_is_healed(
    tmp_path_factory: pytest.TempPathFactory, size: int, behind: bytes, flip: tuple[int, int] | None
) -> None:
    place = tmp_path_factory.mktemp("torn")
    torn = bytearray(LOG.whole[:size] + behind)
    if flip is not None and flip[0] < len(torn):
        torn[flip[0]] ^= 1 << flip[1]
    path = put(place, bytes(torn))
    with Folder(place) as folder:
        healed = folder.heal()
        assert all(not found.problem or "MCAP file" in found.problem for found in healed)
        assert [found for found in folder.heal() if not found.problem] == []
    if not path.exists():
        assert (place / f"{NAME}.damaged").read_bytes() == torn
        assert size < HEAD or flip is not None
        return
    if any(found.problem for found in healed):
        assert path.read_bytes() == torn
        return
    segment = Segment(path, 1)
    try:
        index = segment.index
    finally:
        segment.release()
    assert index.finished
    whole = [chunk for chunk, entry in zip(LOG.chunks, LOG.index.chunks, strict=True) if entry in index.chunks]
    if flip is None:
        assert whole == LOG.chunks[: LOG.before(size)]
        assert len(whole) == len(index.chunks)
        assert library_reads(path) == sum(map(len, whole))
    kept = [found.aside for found in healed if found.aside]
    if kept:
        assert (place / kept[0]).read_bytes() == torn[healed[0].end :]


def test_finished_segments_are_not_touched(folder: Folder) -> None:
    segment = begin(folder)
    append(segment, 1, 3)
    segment.finish()
    segment.path.chmod(0o444)
    os.utime(segment.path, ns=(1, 1))
    data = segment.path.read_bytes()
    assert folder.heal() == []
    assert segment.path.read_bytes() == data
    assert segment.path.stat().st_mtime_ns == 1


def test_the_segment_that_is_being_written_is_not_healed(folder: Folder) -> None:
    segment = begin(folder)
    append(segment, 1, 3)
    assert folder.heal() == []
    segment.close()
    (healed,) = folder.heal()
    assert healed == Healed(NAME, segment.size, segment.size)
    assert read(segment.path) == numbered(1, 3)


def test_a_segment_without_a_beginning_is_put_aside(tmp_path: Path) -> None:
    for number in range(3):
        put(tmp_path, b"\x89MCAP0\r\n"[:number])
        with Folder(tmp_path) as folder:
            (healed,) = folder.heal()
            assert (healed.size, healed.end) == (number, 0)
            assert (tmp_path / healed.aside).stat().st_size == number
            assert folder.names() == []
            assert folder.next_number == 2, "its number is not used again"
    assert len(list(tmp_path.glob("*.damaged"))) == 3
    with pytest.raises(RecordingError):
        open_folder(tmp_path)


@pytest.mark.parametrize(
    "begun", [fmt.begin("x", {"format": "2"}), fmt.MAGIC + fmt._record(1, fmt._text("ros2"), bytes(4))]
)
def test_what_is_not_ours_is_left_alone(tmp_path: Path, begun: bytes) -> None:
    path = put(tmp_path, begun)
    with Folder(tmp_path) as folder:
        (healed,) = folder.heal()
        assert healed.problem
        assert healed.end == healed.size == len(begun)
    assert path.read_bytes() == begun


def test_what_exceeds_the_limits_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, LOG.data)
    monkeypatch.setattr(fmt, "MAX_RECORDS", 3)
    with Folder(tmp_path) as folder:
        assert "too many" in folder.heal()[0].problem
    assert path.read_bytes() == LOG.data


def test_whole_chunks_behind_a_damaged_record_are_kept(tmp_path: Path) -> None:
    offset, _ = LOG.records[3]
    data = bytearray(LOG.data)
    data[offset + 1] ^= 1
    put(tmp_path, bytes(data))
    with Folder(tmp_path) as folder:
        (healed,) = folder.heal()
        assert healed == Healed(NAME, len(data), offset, f"{NAME}.from-{offset}.damaged")
    assert (tmp_path / healed.aside).read_bytes() == data[offset:]
    with open_folder(tmp_path) as recorded:
        assert recorded.aside == [healed.aside]
        assert recorded.segments[0].index.chunks == LOG.index.chunks[:2]


def test_nothing_is_cut_off_that_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offset, _ = LOG.records[3]
    data = bytearray(LOG.data)
    data[offset + 1] ^= 1
    path = put(tmp_path, bytes(data))

    def full(file: object, data: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(segments, "_write", full)
    with Folder(tmp_path) as folder:
        assert folder.heal() == [Healed(NAME, len(data), len(data), problem="it cannot be healed: no space left")]
    assert path.read_bytes() == data
    assert list(tmp_path.glob("*.damaged")) == []


def test_healing_without_room_for_the_end_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, LOG.data + bytes(100))

    def full(file: object, data: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    with Folder(tmp_path) as folder:
        with monkeypatch.context() as patched:
            patched.setattr(segments, "_write", full)
            assert folder.heal()[0].problem
        with open_folder(tmp_path) as recorded:
            assert recorded.segments[0].index.chunks == LOG.index.chunks
        assert folder.heal() == [Healed(NAME, len(LOG.data), len(LOG.data))]


def test_a_file_that_cannot_be_renamed_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, b"")

    def denied(self: Path, target: Path) -> Path:
        raise PermissionError(errno.EACCES, "denied")

    monkeypatch.setattr(Path, "rename", denied)
    with Folder(tmp_path) as folder:
        assert folder.heal() == [Healed(NAME, 0, 0, problem="it cannot be healed: denied")]
    assert path.exists()


def test_a_beginning_that_was_not_written_whole_leaves_no_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: Path, *target: Path) -> Path:
        raise KeyboardInterrupt if target else PermissionError

    with Folder(tmp_path) as folder:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "rename", killed)
            patched.setattr(Path, "unlink", killed)
            with pytest.raises(KeyboardInterrupt):
                begin(folder)
        assert folder.names() == []
        assert (tmp_path / f"{NAME}.new").exists()
        assert folder.heal() == []
        assert not (tmp_path / f"{NAME}.new").exists()


WRITER = textwrap.dedent("""
    import sys
    from kraken_trio.storage.segments import Folder
    from tests.logs import START_NS, numbered, packed
    with Folder(sys.argv[1]) as folder:
        folder.heal()
        segment = folder.create({}, started_ns=START_NS, library="x")
        for at in range(1, 10**9, 500):
            segment.append_chunk(packed(numbered(at, 500)), START_NS, START_NS + 10**15)
            print(at + 499, flush=True)
""")


def test_a_writer_that_is_killed_loses_nothing_that_it_wrote(tmp_path: Path) -> None:
    said = []
    for number in range(3):
        command = [sys.executable, "-c", WRITER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(20 + number)]
            process.kill()
            lines += process.stdout.readlines()
        said.append(int(lines[-1]))
    with Folder(tmp_path) as folder:
        assert [found.end > 0 for found in folder.heal()] == [True], "the others were healed by the next"
    with open_folder(tmp_path) as recorded:
        assert recorded.damage == []
        for found, last in zip(recorded.segments, said, strict=True):
            assert found.index.finished
            assert found.check() == []
            messages = [message for chunk in found.index.chunks for message in found.read(chunk)]
            assert messages == numbered(1, len(messages))
            assert last <= len(messages) <= last + 500


# ------------------------------------------------------------------ the folder


def test_segments_name_their_predecessors(tmp_path: Path) -> None:
    with Folder(tmp_path) as folder:
        assert folder.last is None
        first = begin(folder, recording="one")
        assert (first.index.segment["previous"], first.index.segment["previous_sequence"]) == ("", "0")
        append(first, 1, 7)
        first.finish()
        second = begin(folder, START_NS + 10**9, recording="one")
        assert second.name == "00000002-20231114T221321Z.mcap"
        append(second, 1, 2)
        append(second, 3, 2)
    with Folder(tmp_path) as folder:
        folder.heal()
        third = begin(folder, START_NS - 10**9, recording="two")
        third.close()
    with open_folder(tmp_path) as recorded:
        said = [
            [segment.values[key] for key in ("number", "previous", "previous_recording", "previous_sequence")]
            for segment in recorded.segments
        ]
    assert said == [["1", "", "", "0"], ["2", first.name, "one", "7"], ["3", second.name, "one", "4"]]


def test_the_last_segment_is_the_last_that_can_be_read(tmp_path: Path) -> None:
    with Folder(tmp_path) as folder:
        segment = begin(folder)
        append(segment, 1, 2)
        append(segment, 3, 2)
        at = segment.index.chunks[-1].offset
        segment.finish()
    data = bytearray(segment.path.read_bytes())
    data[at + 60] ^= 1
    segment.path.write_bytes(data)
    put(tmp_path, b"nothing", "00000005-20231114T221320Z.mcap")
    with Folder(tmp_path) as folder:
        assert folder.next_number == 6
        last = folder.last
        assert last is not None
        assert (last.name, last.sequence) == (segment.name, 2)


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "data"):
        with pytest.raises(RecordingError, match="cannot be written"):
            Folder(path)


# ------------------------------------------------------------------- retention


def ends(folder: Path, *ends_ns: int) -> list[str]:
    """Finished segments whose last messages are of these times, and the last, which has none."""
    with Folder(folder) as opened:
        for end_ns in ends_ns:
            segment = begin(opened, START_NS)
            if end_ns:
                segment.append_chunk(packed([(1, 1, end_ns, 1, b"{}")]), end_ns, end_ns)
            segment.finish()
        return opened.names()


def test_old_segments_are_deleted(tmp_path: Path) -> None:
    names = ends(tmp_path, 100, 200, 300, 400)
    with Folder(tmp_path) as folder:
        assert folder.retain(None, None, 10_000) == []
        assert folder.retain(250, None, 450) == names[:1]
        assert folder.retain(250, None, 450) == []
        assert folder.retain(0, None, 10_000) == names[1:3], "the last one keeps the numbers"
        assert folder.names() == names[3:]
        assert folder.next_number == 5


def test_segments_that_are_too_many_bytes_are_deleted(tmp_path: Path) -> None:
    names = ends(tmp_path, 100, 200, 300, 0, 500)
    total = sum((tmp_path / name).stat().st_size for name in names)
    with Folder(tmp_path) as folder:
        assert folder.retain(None, total, 0) == []
        assert folder.retain(None, total - 1, 0) == names[:1]
        assert folder.retain(10**30, 0, 0) == names[1:4]


def test_what_has_no_end_is_not_deleted(tmp_path: Path) -> None:
    names = ends(tmp_path, 100, 200, 300, 0, 500, 600)
    for name, cut in ((names[0], 1), (names[1], 10_000)):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: max(len(data) - cut, 0)])
    with Folder(tmp_path) as folder:
        current = begin(folder)
        append(current, 1, 1)
        assert folder.retain(0, None, 2**62) == names[2:]
        assert folder.retain(None, 0, 2**62) == []
        assert folder.names() == [*names[:2], current.name]
        current.close()


def test_a_segment_that_somebody_else_deletes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ends(tmp_path, 100, 200, 300)
    with Folder(tmp_path) as folder:
        monkeypatch.setattr(Folder, "names", lambda self: ["00000000-20231114T221320Z.mcap", *names])
        assert folder.retain(0, None, 2**62) == names[:2]


def test_a_log_of_another_program_stays(tmp_path: Path) -> None:
    log = Log.new({"started_ns": "soon"})
    put(tmp_path, log.whole)
    names = [NAME, *ends(tmp_path, 100, 200)]
    with Folder(tmp_path) as folder:
        assert folder.retain(0, None, 2**62) == names[2:3]
