"""``kraken-trio export``: what it writes, what it says, and its errors."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from rich.console import Console

from kraken_trio.cli.app import cli
from kraken_trio.cli.export import CHANNELS, FORMATS, export_folder
from kraken_trio.export import FORMATS as ALL_FORMATS, tables
from tests.export.recorded import MIDNIGHT, record

if TYPE_CHECKING:
    from click.testing import Result

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recording")
    record(folder, MIDNIGHT - 20 * 10**9, 40)
    return folder


def run(*args: object) -> Result:
    result = CliRunner().invoke(cli, ["export", *map(str, args)])
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result


def test_a_recording(recording: Path, tmp_path: Path) -> None:
    result = run(recording, "--out", tmp_path)
    assert result.exit_code == 0
    for table in ("trades", "book_updates", "book_snapshots", "quotes", "tickers", "candles", "gaps", "instruments"):
        assert f"\n{table} " in f"\n{result.output}"
        assert list((tmp_path / table).rglob("2026-11-*.parquet"))
    last = result.output.splitlines()[-1]
    assert last.endswith(f"files in {tmp_path}")
    assert "events, " in last
    again = run(recording, "--out", tmp_path)
    assert again.exit_code == 0
    assert again.output == (f"exported before, unchanged: 2026-11-29, 2026-11-30\n0 events, 0 files in {tmp_path}\n")


@pytest.mark.parametrize("to", ["csv", "tardis", "hftbacktest"])
def test_the_other_formats(recording: Path, tmp_path: Path, to: str) -> None:
    result = run(recording, "--out", tmp_path, "--to", to)
    assert result.exit_code == 0, result.output
    suffix = ".npz" if to == "hftbacktest" else ".csv.gz"
    assert list(tmp_path.rglob(f"*{suffix}"))
    if to == "tardis":
        assert "left out: 2 rows of book_updates, which tardis cannot hold" in result.output


def test_its_choices_are_those_of_the_library() -> None:
    assert FORMATS == ALL_FORMATS
    assert tuple(tables.CHANNELS) == CHANNELS


def test_options(recording: Path, tmp_path: Path) -> None:
    options = ["--channel", "trade", "--channel", "book", "--symbol", "BTC/USD", "--from", "2026-11-30", "--floats"]
    result = run(recording, "--out", tmp_path, *options, "--interval", "0", "--levels", "3")
    assert result.exit_code == 0, result.output
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.parquet")}
    assert written == {
        *(f"{table}/BTC-USD/2026-11-30.parquet" for table in ("trades", "book_updates", "book_snapshots", "quotes")),
        "gaps/2026-11-30.parquet",
    }


def test_channels_may_be_called_as_by_record(recording: Path, tmp_path: Path) -> None:
    assert run(recording, "--out", tmp_path, "--channel", "trades").exit_code == 0
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"gaps", "trades"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(["--channel", "level3"], "'level3' is not one of 'book', 'trade', 'ticker', 'ohlc'", id="channel"),
        pytest.param(["--to", "excel"], "'excel' is not one of 'parquet', 'csv'", id="format"),
        pytest.param(["--table", "prices"], "'prices' is no table of parquet: there are trades", id="table"),
        pytest.param(["--table", "gaps", "--to", "tardis"], "'gaps' is no table of tardis", id="table of the format"),
        pytest.param(["--table", "gaps", "--channel", "book"], "choose tables or channels, not both", id="both"),
        pytest.param(["--from", "yesterday"], "start='yesterday'", id="time"),
        pytest.param(["--from", "2026-12-01", "--until", "2026-11-01"], "there is nothing between start", id="order"),
        pytest.param(["--decimals", "39"], "decimals=39: a whole number from 0 to 38", id="decimals"),
        pytest.param(["--interval", "0.0001"], "at least 0.001 seconds, or 0 for every change", id="interval"),
        pytest.param(["--symbol", "BTC"], "'BTC' is no symbol", id="symbol"),
    ],
)
def test_usage_errors(recording: Path, tmp_path: Path, options: list[str], said: str) -> None:
    result = run(recording, "--out", tmp_path / "out", *options)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(["--symbol", "DOGE/USD"], "DOGE/USD was not recorded; recorded is book of BTC/USD", id="symbol"),
        pytest.param(["--from", "2027-01-01"], "there are no events from 2027-01-01T00:00:00.000Z; the", id="time"),
        pytest.param(["--depth", "500"], "was not recorded with depth 500, but with 10", id="depth"),
        pytest.param(["--decimals", "0", "--table", "trades"], "export with more decimals, or ask for", id="decimals"),
        pytest.param(["--to", "nautilus"], "the format nautilus needs NautilusTrader: pip install", id="nautilus"),
    ],
)
def test_what_cannot_be_exported(recording: Path, tmp_path: Path, options: list[str], said: str) -> None:
    result = run(recording, "--out", tmp_path, *options)
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert said in result.output
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_folder_that_is_no_recording(tmp_path: Path) -> None:
    result = run(tmp_path, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert str(tmp_path) in result.output
    assert run(tmp_path / "missing", "--out", tmp_path / "out").exit_code == 2


def test_an_export_with_other_options_is_there(recording: Path, tmp_path: Path) -> None:
    assert run(recording, "--out", tmp_path, "--table", "trades").exit_code == 0
    result = run(recording, "--out", tmp_path, "--table", "trades", "--floats")
    assert result.exit_code == 1
    assert "holds an export with other options (floats): choose another folder, or overwrite it" in result.output
    assert run(recording, "--out", tmp_path, "--table", "trades", "--floats", "--overwrite").exit_code == 0


def test_the_folder_is_a_file(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    assert run(recording, "--out", tmp_path / "out").exit_code == 2


def test_ctrl_c(recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kraken_trio.export.export", interrupt)
    result = run(recording, "--out", tmp_path)
    assert result.exit_code == 130
    assert result.output == "stopped\n"


def test_without_pyarrow(recording: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['pyarrow'] = None; from kraken_trio.cli.app import cli; "
        f"cli(['export', {str(recording)!r}, '--out', {str(tmp_path / 'out')!r}])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == "Error: kraken_trio.export needs pyarrow: pip install 'kraken-trio[export]'\n"


def test_the_progress_is_shown_on_a_terminal(recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kraken_trio.export.walk._REPORT_EVERY", 20)
    err = io.StringIO()
    terminal = Console(file=err, force_terminal=True, width=100)
    report = export_folder(str(recording), str(tmp_path / "a"), {}, err=terminal)
    assert f"{report.events:,} events" in err.getvalue()
    assert "files" in err.getvalue()
    assert export_folder(str(recording), str(tmp_path / "b"), {}, err=None).events == report.events
