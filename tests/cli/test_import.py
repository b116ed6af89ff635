"""``kraken-trio import``: what it says, and its exit status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.testing import CliRunner

from kraken_trio.cli.app import cli
from tests.cli.recorder import HEARTBEAT, Recorder, ack, cbcap

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def run(*args: object) -> Result:
    return CliRunner().invoke(cli, ["import", *map(str, args)])


def test_a_good_file(tmp_path: Path) -> None:
    book = Recorder()
    path = tmp_path / "f.cbcap"
    path.write_bytes(cbcap([ack(), book.snapshot(), HEARTBEAT, book.update(bids=[("100.5", "1.00")])]))
    result = run(path, "--out", tmp_path / "log")
    assert result.exit_code == 0
    assert result.stdout == (
        f"4 frames in, 4 frames in {tmp_path / 'log'}: 2 checksums verified, 0 mismatches, 0 gaps\n"
        "  Book(symbol='BTC/USD', depth=10)\n"
    )


def test_everything_that_is_wrong_is_told(tmp_path: Path) -> None:
    book = Recorder()
    path = tmp_path / "f.cbcap"
    stray = book.snapshot().replace("BTC/USD", "XBT/USD")  # a name of v1
    wrong = book.update(bids=[("100.5", "1.00")], wrong=1)
    path.write_bytes(cbcap([ack(), book.snapshot(), stray, wrong, "{", HEARTBEAT])[:-3])
    result = run(path, "--out", tmp_path / "log")
    assert result.exit_code == 1
    first, *others = result.stdout.splitlines()
    assert first.endswith("1 checksum verified, 1 mismatch, 2 gaps")
    assert others[:2] == ["1 frame cannot be decoded", "1 entry of symbols to which nobody can subscribe"]
    assert others[-1].startswith(f"FAILED {path}: it is cut off in frame 6")
    assert others[-1].endswith("; what stands before it was imported")


def test_no_recording(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("hello\n")
    for options, problem in [
        ((), "frame 1 (line 1, byte 0) has no time of receipt: say when the recording was begun"),
        (("--start", "yesterday"), "start='yesterday': no time from 1970"),
        (("--start", "2026-01-01"), "it is no recording of Kraken's protocols"),
    ]:
        result = run(path, "--out", tmp_path / "log", *options)
        assert result.exit_code == 1
        assert problem in result.stderr
