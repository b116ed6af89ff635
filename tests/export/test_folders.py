"""Exports of recordings in folders, as :func:`kraken_trio.record` makes them: over midnight, twice, and with holes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import kraken_trio as kt
from kraken_trio.cli.app import cli
from kraken_trio.export import ExportError, export, to_df
from kraken_trio.export.times import DAY_NS
from tests.cli.recorder import Recorder
from tests.export.recorded import MIDNIGHT, REQUESTS, record
from tests.recording.test_importer import written

if TYPE_CHECKING:
    from pathlib import Path

    from kraken_trio.export import ExportReport


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute before midnight, two minutes after it, and ten minutes later a minute again."""
    folder = tmp_path_factory.mktemp("recording")
    record(folder, MIDNIGHT - 60 * 10**9, 180)
    record(folder, MIDNIGHT + 720 * 10**9, 60)
    return folder


def tables(folder: Path, report: ExportReport, *, date: str | None = None) -> dict[str, pa.Table]:
    """All rows by table."""
    found: dict[str, list[pa.Table]] = {}
    for file in report.files:
        if date in {None, file.date}:
            found.setdefault(file.table, []).append(pq.read_table(folder / file.path))
    return {name: pa.concat_tables(parts).unify_dictionaries() for name, parts in found.items()}


def test_rows_are_what_was_recorded(recording: Path, tmp_path: Path) -> None:
    with kt.read_events(recording, *REQUESTS) as reader:
        events = list(reader)
    report = export(recording, tmp_path)
    assert report.events == len(events)
    expected: Counter[str] = Counter()
    for event in events:
        match event:
            case kt.BookSnapshot() | kt.BookUpdate():
                expected["book_updates"] += len(event.bids) + len(event.asks)
            case kt.Gap():
                expected["gaps"] += 1
                expected["book_updates"] += event.channel == "book"
            case kt.InstrumentUpdate():
                expected["instruments"] += len(event.pairs)
                expected["assets"] += len(event.assets)
            case kt.Trade():
                expected["trades"] += 1
            case kt.TickerUpdate():
                expected["tickers"] += 1
            case kt.Candle():
                expected["candles"] += 1
            case _:
                pytest.fail(f"{event} was not asked for")
    sent: Counter[str] = Counter()
    for file in report.files:
        sent[file.table] += file.rows - file.derived
    assert +sent == expected
    assert min(expected.values()) > 1
    ids = tables(tmp_path, report)["trades"]["id"].to_pylist()
    assert ids == [event.trade_id for event in events if isinstance(event, kt.Trade)]


def test_what_was_subscribed_to_later_hides_nothing_before_it(tmp_path: Path) -> None:
    book = Recorder()
    early = [book.snapshot(), *(book.update(bids=[("100.5", f"{n}.00")]) for n in range(1, 6))]
    kt.import_recording(written(tmp_path / "file", [*early, Recorder("A/B").snapshot()]), tmp_path / "recording")
    report = export(tmp_path / "recording", tmp_path / "out", tables=["book_updates"])
    assert report.events == 7


def test_each_day_begins_with_whole_books(recording: Path, tmp_path: Path) -> None:
    report = export(recording, tmp_path, channels=["book"])
    paths = [file.path for file in report.files if file.table == "book_updates"]
    assert len(paths) == 4
    for path in paths:
        rows = pq.read_table(tmp_path / path).to_pylist()
        first = [row for row in rows if row["seq"] == rows[0]["seq"]]
        assert all(row["is_snapshot"] for row in first)
        assert len(first) == 2 * (25 if "ETH" in str(path) else 10)
        assert rows[0]["derived"] == (path.stem == "2026-11-30")


@pytest.mark.parametrize("seconds", [0, 7, 61], ids=["from midnight", "from a moment", "from a minute later"])
def test_a_part_is_that_part_of_the_whole(recording: Path, tmp_path: Path, seconds: int) -> None:
    """From a key frame in the middle comes the same as from the beginning."""
    start_ns = MIDNIGHT + seconds * 10**9
    for table in ("book_updates", "trades", "tickers"):
        whole = to_df(recording, table, engine="polars")
        part = to_df(recording, table, engine="polars", start=start_ns)
        if table == "book_updates":
            whole, part = (frame.filter(frame["seq"] > 0) for frame in (whole, part))
        whole = whole.filter(whole["local_timestamp"].dt.epoch("ns") >= start_ns)
        assert len(part) > 10
        assert part.drop("seq").equals(whole.drop("seq"))


def test_requests_that_were_added_and_removed(tmp_path: Path) -> None:
    """Nothing is left out of what came before a later request, or after it."""
    early, late = kt.Book("BTC/USD"), kt.Book("ETH/USD")
    record(tmp_path / "data", MIDNIGHT, 30, early, later=[late])
    alone = []
    for request in (early, late):
        with kt.read_events(tmp_path / "data", request) as reader:
            alone += list(reader)
    with kt.read_events(tmp_path / "data", early, late) as reader:
        together = list(reader)
    assert Counter(map(repr, together)) == Counter(map(repr, alone))
    assert export(tmp_path / "data", tmp_path / "out").events == len(alone)


def test_going_on_where_the_last_export_was(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    record(data, MIDNIGHT - 30 * 10**9, 60)
    first = export(data, out)
    assert {file.date for file in first.files} == {"2026-11-29", "2026-11-30"}
    assert export(data, out).files == ()
    record(data, MIDNIGHT + 100 * 10**9, 30)
    record(data, MIDNIGHT + DAY_NS, 30)
    second = export(data, out)
    assert second.skipped == ("2026-11-29",)
    assert {file.date for file in second.files} == {"2026-11-30", "2026-12-01"}
    afresh = export(data, tmp_path / "afresh")
    for file in afresh.files:
        assert pq.read_table(out / file.path).equals(pq.read_table(tmp_path / "afresh" / file.path)), file.path
    # Retention deletes the oldest file: what was exported stays.
    oldest = min(data.glob("*.mcap"))
    oldest.unlink()
    (out / "gaps" / "2026-11-30.parquet").touch()
    assert export(data, out).files == ()


def test_real_recordings_that_were_imported(captures: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    files = [str(captures / f"v2_book25_{name}.cbcap") for name in ("ethusd", "xrpusd")]
    assert CliRunner().invoke(cli, ["import", *files, "--out", str(data)]).exit_code == 0
    report = export(data, tmp_path / "out", tables=["book_updates"])
    assert report.events == 1129 + 1147
    assert sum(file.rows - file.derived for file in report.files) == 4306


def test_what_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(kt.RecordingError, match="nothing"):
        export(tmp_path / "nothing", tmp_path / "out")
    with pytest.raises(kt.RecordingError):
        to_df(tmp_path, "trades")


def test_nothing_in_that_time(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ExportError,
        match=r"nothing to export: of .*trade.* \(BTC/USD.*\) there are no events from 2027-01-01T00:00:00.000Z; "
        r"the recording goes from 2026-11-29T23:59:00.000Z until ",
    ):
        export(recording, tmp_path, start="2027-01-01")
    with pytest.raises(ExportError, match="the recording goes from"):
        to_df(recording, "trades", start="2027-01-01")


def test_single_orders_have_no_tables(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Level 3 has no tables: read its events with read_events"):
        export(recording, tmp_path, channels=["level3"])
