"""``kraken-trio audit``: what it says, and its exit status."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
from click.testing import CliRunner
from rich.console import Console

from kraken_trio.cli import audit as command
from kraken_trio.cli.app import cli
from kraken_trio.recording import findings
from tests.altered import put_together, record_story, take_apart

if TYPE_CHECKING:
    from click.testing import Result


PAGE = Path(__file__).resolve().parents[2] / "docs/howto/audit.md"


def run(*args: object) -> Result:
    result = CliRunner().invoke(cli, ["audit", *map(str, args)])
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    record_story(folder)
    return folder


@pytest.fixture
def whole(folder: Path, tmp_path: Path) -> Path:
    """A part of it, in which nothing happens."""
    put_together(take_apart(folder)[8:], tmp_path / "whole")
    return tmp_path / "whole"


@pytest.fixture
def damaged(folder: Path, tmp_path: Path) -> Path:
    files = take_apart(folder)
    files[8] = attrs.evolve(files[8], values={**files[8].values, "started_ns": "1"})
    put_together(files, tmp_path / "damaged")
    return tmp_path / "damaged"


def test_a_whole_recording(whole: Path) -> None:
    result = run(whole)
    assert result.exit_code == 0
    *_, ticker, candles, last = result.output.splitlines()
    assert last == "complete"
    assert candles.startswith("  ohlc ETH/USD    9.0 s, ")
    assert ticker.startswith("  ticker BTC/USD  9.0 s, ")
    assert "older segments have been deleted: the first one follows 00000008-" in result.output
    assert "HOLE" not in result.output


def test_holes_are_told_with_their_causes(folder: Path) -> None:
    result = run(folder)
    assert result.exit_code == 1
    assert (
        "HOLE 2026-08-02 00:00:05.000 to 2026-08-02 00:00:05.375: book BTC/USD, book ETH/USD, trade BTC/USD, "
        "ticker BTC/USD, ohlc ETH/USD: disconnected: the peer ended it: EOF\n"
    ) in result.output
    assert "everything: not recorded: the recorder was stopped\n" in result.output
    assert "checksums verified, 1 failed, 1 resync, 1 hole of 0.0 s (checksum), clock " in result.output
    assert result.output.endswith("undamaged; 14 holes, which the recording itself admits\n")


def test_a_defect_is_told_with_its_place_and_time(damaged: Path) -> None:
    result = run(damaged)
    assert result.exit_code == 2
    assert (
        "DAMAGED 00000009-20260802T000024Z.mcap (2026-08-02 00:00:24.834): it says that it began at another time than "
        "2026-08-02T00:00:24.000000Z\n"
    ) in result.output
    assert result.output.endswith("damaged: 1 defect, the first in 00000009-20260802T000024Z.mcap\n")


def test_the_place_of_a_message_is_its_number(folder: Path, tmp_path: Path) -> None:
    files = take_apart(folder)
    records = [record[1:] if isinstance(record, list) else record for record in files[8].records]
    put_together([*files[:8], attrs.evolve(files[8], records=records)], tmp_path / "x")
    place = "00000009-20260802T000024Z.mcap, message 2 (2026-08-02 00:00:24.000)"
    assert f"\nDAMAGED {place}: message 1 is missing before it\n" in run(tmp_path / "x").output


def test_long_lists_are_cut(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "MAX_LINES", 1)
    assert "\n… and 13 more holes\n" in run(folder).output


def test_json_is_one_object_whose_keys_are_documented(folder: Path, damaged: Path) -> None:
    for path, verdict, status in ((folder, "holes", 1), (damaged, "damaged", 2)):
        result = run(path, "--json")
        assert result.exit_code == status
        found = json.loads(result.output)
        assert (found["folder"], found["verdict"]) == (str(path), verdict)
        objects = [found, *found["recorders"][:1], *found["days"][:1], *found["holes"][:1], *found["defects"][:1]]
        page = PAGE.read_text("utf-8")
        for key in {key for one in objects for key in one} | set(found["days"][0]["checksums"]):
            assert f"`{key}`" in page, key


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_what_is_no_recording_is_told_in_one_line(tmp_path: Path, options: list[str]) -> None:
    result = run(tmp_path, *options)
    assert result.exit_code == 2
    assert result.output == f"Error: {tmp_path} holds no recording\n"


def test_ctrl_c_ends_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "audit_folder", stop)
    result = run(folder)
    assert (result.exit_code, result.output) == (130, "stopped\n")


def test_progress_is_shown_on_a_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(command, "progress_on_stderr", lambda: terminal)
    assert run(folder).exit_code == 1
    assert "messages" in screen.getvalue()
