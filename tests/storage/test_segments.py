"""Writing segments: what was written whole is never lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kraken_trio.recording import format as fmt
from kraken_trio.recording.format import DECISIONS, FRAME_FIRST, PACK
from kraken_trio.storage.reading import open_folder
from kraken_trio.storage.segments import Folder

if TYPE_CHECKING:
    from pathlib import Path


def parts(first: int, number: int, start_ns: int = 1_700_000_000_000_000_000) -> list[bytes]:
    made: list[bytes] = []
    for sequence in range(first, first + number):
        data = b'{"n":%d}' % sequence
        made += [
            PACK(
                5, 22 + len(data), FRAME_FIRST if sequence % 3 else DECISIONS, sequence, start_ns + sequence, sequence
            ),
            data,
        ]
    return made


def test_what_is_written_is_read(tmp_path: Path) -> None:
    with Folder(tmp_path / "data") as folder:
        segment = folder.create({"recording": "r"}, started_ns=1_700_000_000_000_000_000, library="kraken_trio 1")
        first = segment.append_chunk(parts(1, 10), 1, 10)
        segment.append(fmt.metadata("requests", {"wanted": "[]"}))
        second = segment.append_chunk(parts(11, 10), 11, 20)
        for finished in (False, True):
            if finished:
                segment.finish()
            with open_folder(tmp_path / "data") as recorded:
                (found,) = recorded.segments
                assert found.index.finished == finished
                assert found.index.chunks == [first, second]
                assert [m.values for m in found.index.metadata] == [{"wanted": "[]"}]
                assert [m[1] for chunk in found.index.chunks for m in found.read(chunk)] == list(range(1, 21))
                assert found.damage == recorded.damage == []
        last = folder.last
        assert last is not None
        assert last.sequence == 20


def test_a_torn_segment_is_healed(tmp_path: Path) -> None:
    with Folder(tmp_path) as folder:
        segment = folder.create({}, started_ns=1_700_000_000_000_000_000, library="kraken_trio 1")
        segment.append_chunk(parts(1, 10), 1, 10)
        segment.append_chunk(parts(11, 10), 11, 20)
        path, size = segment.path, segment.size
    path.write_bytes(path.read_bytes()[:-1])
    with Folder(tmp_path) as folder:
        (healed,) = folder.heal()
        assert healed.size == size - 1
        assert folder.heal() == []
        assert folder.next_number == 2
    with open_folder(tmp_path) as recorded:
        assert recorded.segments[0].index.finished
        assert len(recorded.segments[0].index.chunks) == 1
