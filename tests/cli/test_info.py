"""``kraken-trio info``: what it says of a recording."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from kraken_trio.cli.app import cli
from kraken_trio.storage.lock import FolderLock
from tests.altered import record_story

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def run(*args: object) -> Result:
    result = CliRunner().invoke(cli, ["info", *map(str, args)])
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    record_story(tmp_path / "data")
    return tmp_path / "data"


def test_what_is_there(folder: Path) -> None:
    result = run(folder)
    assert result.exit_code == 0
    first, *others = result.output.splitlines()
    size = sum(path.stat().st_size for path in folder.glob("*.mcap"))
    assert first == f"{folder}: 9 files, {size / 1000:.1f} kB, 962 messages (672 frames)"
    endpoint = "kraken_trio 0.1.0, ws://localhost/v2"
    assert others == [
        "  from 2026-08-01 23:59:50.000 to 2026-08-02 00:00:33.000",
        "  book (depth 10): BTC/USD",
        "  book (depth 25): ETH/USD",
        "  trade: BTC/USD, ETH/USD",
        "  ticker (trigger trades): BTC/USD",
        "  ohlc (interval 1): ETH/USD",
        f"  recorder: 2026-08-01 23:59:50.000 to 2026-08-02 00:00:21.000: {endpoint}, 8 files",
        f"  recorder: 2026-08-02 00:00:24.000 to 2026-08-02 00:00:33.000: {endpoint}, 1 file",
    ]


def test_a_recording_that_goes_on(folder: Path) -> None:
    lock = FolderLock(folder)
    assert f"\n  it is being recorded now, by process {os.getpid()}\n" in run(folder).output
    lock.release()
    assert "being recorded" not in run(folder).output


def test_torn_deleted_and_damaged_files(folder: Path) -> None:
    first, second, *_, last = sorted(folder.glob("*.mcap"))
    first.unlink()
    second.write_bytes(b"")
    last.write_bytes(last.read_bytes()[:-100])
    output = run(folder).output
    assert f"\n  {last.name} has no end: its recorder was killed, or lost its disk\n" in output
    assert f"\n  {second.name}, byte 0: it does not begin as an MCAP file does\n" in output
    assert "\n  older files have been deleted\n" in output
    assert ", at least " in output


def test_long_lists_are_cut(folder: Path) -> None:
    for number in range(10, 40):
        (folder / f"{number:08d}-20260802T000100Z.mcap").write_bytes(b"")
    output = run(folder).output
    assert output.count("it does not begin as an MCAP file does") == 20
    assert "\n  … and 10 more of these\n" in output


def test_what_is_no_recording_is_told_in_one_line(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert (result.exit_code, result.output) == (2, f"Error: {tmp_path} holds no recording\n")
