"""An export that dies, at whatever operation on a file: nothing is half written, and the next one makes it whole."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

import kraken_trio as kt
from kraken_trio.export import ExportError, export
from kraken_trio.export.manifest import NAME
from kraken_trio.export.times import DAY_NS
from tests.export import stories

if TYPE_CHECKING:
    from collections.abc import Callable

TABLES = ["trades", "book_updates", "gaps"]
OPERATIONS: list[tuple[Any, str]] = [
    *((Path, name) for name in ("open", "replace", "unlink", "mkdir", "read_bytes")),
    *((os, name) for name in ("fsync", "truncate")),
    (shutil, "rmtree"),
    *((pq.ParquetWriter, name) for name in ("__init__", "write_table", "close")),
]
"""All that an export does with files."""


class Killed(BaseException):
    """The process is dead."""


class Files:
    """All operations on files work, up to one: from that on none does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: float = float("inf")
        for owner, name in OPERATIONS:
            monkeypatch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            # Closing is what the system does for the dead.
            if self.left == -1 or (self.left < 0 and operation.__name__ != "close"):
                raise Killed
            return operation(*args, **kwargs)

        return run


def contents(folder: Path) -> dict[str, bytes]:
    """The exported files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*.parquet")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def two_days() -> list[kt.Event]:
    return stories.story(60, step_ns=180 * 10**9)


def recorded(events: list[kt.Event]) -> stories.DailySource:
    return stories.DailySource(stories.REQUESTS, events)


@pytest.mark.parametrize("is_longer", [False, True], ids=["first export", "the recording went on"])
def test_a_death_at_any_operation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_longer: bool) -> None:
    events = two_days()
    assert events[0].received_ns // DAY_NS + 1 == events[-1].received_ns // DAY_NS
    part = next(at for at, event in enumerate(events) if event.received_ns // DAY_NS != events[0].received_ns // DAY_NS)
    before = recorded(events[: part + 10])
    export(recorded(events), tmp_path / "whole", tables=TABLES)
    whole = contents(tmp_path / "whole")
    good = {path: {data} for path, data in whole.items()}
    if is_longer:
        export(before, tmp_path / "part", tables=TABLES)
        for path, data in contents(tmp_path / "part").items():
            good.setdefault(path, set()).add(data)
    files = Files(monkeypatch)
    for operations in range(1000):
        folder = tmp_path / str(operations)
        if is_longer:
            export(before, folder, tables=TABLES)
        files.left = operations
        try:
            export(recorded(events), folder, tables=TABLES)
        except Killed:
            pass
        else:
            assert operations > 20
            break
        finally:
            files.left = float("inf")
        left = contents(folder)
        assert all(data in good[path] for path, data in left.items())
        source = recorded(events)
        export(source, folder, tables=TABLES)
        assert contents(folder) == whole
        assert not any(path.name.startswith(".export.partial") for path in folder.iterdir())
        # What is whole is not made again.
        assert export(source, folder, tables=TABLES).files == ()
        shutil.rmtree(folder)


def test_a_manifest_that_was_cut_anywhere(tmp_path: Path) -> None:
    export(recorded(two_days()), tmp_path, tables=TABLES)
    whole = contents(tmp_path)
    manifest = (tmp_path / NAME).read_bytes()
    for length in range(0, len(manifest), 61):
        (tmp_path / NAME).write_bytes(manifest[:length])
        export(recorded(two_days()), tmp_path, tables=TABLES)
        assert contents(tmp_path) == whole
        assert export(recorded(two_days()), tmp_path, tables=TABLES).files == ()


def test_an_interrupted_day_is_read_again_and_no_other(tmp_path: Path) -> None:
    events = two_days()
    source = recorded(events)
    source.fail_at = len(events) - 1
    with pytest.raises(stories.Interrupted):
        export(source, tmp_path, tables=TABLES)
    assert {Path(path).stem for path in contents(tmp_path)} == {"2026-11-29"}
    again = recorded(events)
    report = export(again, tmp_path, tables=TABLES)
    assert report.skipped == ("2026-11-29",)
    assert {file.date for file in report.files} == {"2026-11-30"}
    midnight = events[-1].received_ns // DAY_NS * DAY_NS
    assert again.reads == [(midnight, None)]


def test_a_day_of_which_the_recording_lost_something_stays(tmp_path: Path) -> None:
    source = recorded(two_days())
    for content in source.contents.values():
        content["00000002"] = 5
    export(source, tmp_path, tables=TABLES)
    whole = contents(tmp_path)
    later = recorded(two_days()[-20:])
    report = export(later, tmp_path, tables=TABLES)
    assert report.kept == ("2026-11-29", "2026-11-30")
    assert contents(tmp_path) == whole


def test_a_file_that_was_deleted_is_made_again(tmp_path: Path) -> None:
    export(recorded(two_days()), tmp_path, tables=TABLES)
    whole = contents(tmp_path)
    (tmp_path / "trades" / "BTC-USD" / "2026-11-29.parquet").unlink()
    report = export(recorded(two_days()), tmp_path, tables=TABLES)
    assert {file.date for file in report.files} == {"2026-11-29"}
    assert contents(tmp_path) == whole


def test_a_file_that_a_day_has_no_more_is_deleted(tmp_path: Path) -> None:
    events = two_days()
    export(recorded(events), tmp_path, tables=TABLES)
    assert "trades" in {file.split("/")[0] for file in contents(tmp_path)}
    without = recorded([event for event in events if not isinstance(event, kt.Trade)])
    for content in without.contents.values():
        content["00000001"] += 1
    export(without, tmp_path, tables=TABLES)
    assert "trades" not in {file.split("/")[0] for file in contents(tmp_path)}


def test_an_export_with_other_options(tmp_path: Path) -> None:
    export(recorded(two_days()), tmp_path, tables=TABLES)
    before = contents(tmp_path)
    with pytest.raises(ExportError, match=r"holds an export with other options \(tables, decimals\): choose another"):
        export(recorded(two_days()), tmp_path, tables=["trades"], decimals=8)
    assert contents(tmp_path) == before
    (tmp_path / "trades" / "mine.txt").write_text("not of an export")
    report = export(recorded(two_days()), tmp_path, tables=["trades"], decimals=8, overwrite=True)
    assert contents(tmp_path).keys() == {file.path.as_posix() for file in report.files}
    assert (tmp_path / "trades" / "mine.txt").exists()


@pytest.mark.parametrize(
    "text",
    ["no JSON\n", "[]\n", '{"version": 1}\n', '{"version": 1, "options": {}}\n{"part": "x"}\n'],
    ids=["text", "list", "no options", "a part without files"],
)
def test_what_is_no_manifest_is_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(ExportError, match="is no manifest of an export"):
        export(recorded(two_days()), tmp_path, tables=TABLES, overwrite=True)
    assert (tmp_path / NAME).read_text() == text


def test_a_manifest_of_another_version(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"version": 99, "options": {}}\n')
    with pytest.raises(ExportError, match="holds an export by another version: choose another folder"):
        export(recorded(two_days()), tmp_path)


def test_two_exports_into_one_folder(tmp_path: Path) -> None:
    class Source(stories.DailySource):
        def events(self, *requests: Any, start: int | None, end: int | None) -> Any:
            with pytest.raises(ExportError, match="another export is writing to"):
                export(recorded(two_days()), tmp_path)
            return super().events(*requests, start=start, end=end)

    assert export(Source(stories.REQUESTS, two_days()), tmp_path).files


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="file"):
        export(recorded(two_days()), tmp_path / "file")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "trades").write_text("in the way")
    with pytest.raises(ExportError, match="trades"):
        export(recorded(two_days()), tmp_path / "out")


def test_files_of_a_dead_export_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have their names, but no day of them was whole: nothing of them may stay among those of another export."""
    with monkeypatch.context() as patch:
        replace, count = Path.replace, 0

        def replace_one(self: Path, target: Path) -> Path:
            nonlocal count
            count += 1
            if count == 2:
                raise Killed
            return replace(self, target)

        patch.setattr(Path, "replace", replace_one)
        with pytest.raises(Killed):
            export(recorded(two_days()), tmp_path, tables=TABLES)
    (left,) = contents(tmp_path)
    with pytest.raises(ExportError, match=r"other options \(tables\)"):
        export(recorded(two_days()), tmp_path, tables=["quotes"])
    export(recorded(two_days()), tmp_path, tables=["quotes"], overwrite=True)
    assert left not in contents(tmp_path)
