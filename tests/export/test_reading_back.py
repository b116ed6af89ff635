"""Events in, files out, events back: by pyarrow, polars and DuckDB, and from CSV, with every digit."""

from __future__ import annotations

import csv
import gzip
import tempfile
from collections import defaultdict
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings

import kraken_trio as kt
from kraken_trio.export import export
from kraken_trio.export.times import nanoseconds
from tests.export import stories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Row = dict[str, Any]
TIMES = ("timestamp", "local_timestamp")


def with_pyarrow(path: Path) -> list[Row]:
    table = pq.read_table(path)
    for name in TIMES:
        if name in table.column_names:
            table = table.set_column(table.column_names.index(name), name, table[name].cast(pa.int64()))
    rows: list[Row] = table.to_pylist()
    return rows


def with_polars(path: Path) -> list[Row]:
    frame = pl.read_parquet(path)
    return frame.with_columns(pl.col(name).dt.epoch("ns") for name in TIMES if name in frame.columns).to_dicts()


def with_duckdb(path: Path) -> list[Row]:
    with duckdb.connect() as base:
        base.execute("set timezone = 'UTC'")
        found = base.execute(f"select * from read_parquet('{path}') limit 0")
        names = [column[0] for column in found.description or ()]
        # DuckDB gives Python's datetime, which has no nanoseconds.
        columns = [f"epoch_ns({name}::timestamp_ns)" if name in TIMES else name for name in names]
        rows = base.execute(f"select {', '.join(columns)} from read_parquet('{path}')").fetchall()
    return [dict(zip(names, row, strict=True)) for row in rows]


def with_csv(path: Path) -> list[Row]:
    def value(name: str, text: str) -> Any:
        if text == "" and name != "detail":
            return None
        if name in {"price", "amount"}:
            return Decimal(text)
        if name in {*TIMES, "epoch", "seq", "id", "missed", "after_id", "before_id"}:
            return int(text)
        return text == "true" if text in {"true", "false"} else text

    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return [{name: value(name, text) for name, text in row.items()} for row in csv.DictReader(file)]


READERS: dict[str, tuple[tuple[str, Callable[[Path], list[Row]]], ...]] = {
    "parquet": (("pyarrow", with_pyarrow), ("polars", with_polars), ("duckdb", with_duckdb)),
    "csv": (("csv", with_csv),),
}


def fields(event: kt.Event) -> tuple[Any, ...]:
    """All that the tables keep of an event."""
    if isinstance(event, kt.Trade):
        return (
            *("trade", event.symbol, event.trade_id, event.side.value, event.price, event.qty, event.ord_type.value),
            *(event.snapshot, nanoseconds(event.timestamp), event.received_ns, event.epoch),
        )
    if isinstance(event, kt.Gap):
        return (
            *("gap", event.symbol, event.channel, event.cause.value, event.detail, event.missed, event.after_id),
            *(event.before_id, event.received_ns, event.epoch),
        )
    assert isinstance(event, kt.BookSnapshot | kt.BookUpdate)
    sides = ("bid", event.bids), ("ask", event.asks)
    return (
        *("book", event.symbol, isinstance(event, kt.BookSnapshot)),
        tuple((side, level.price, level.qty) for side, levels in sides for level in levels),
        *(None if event.timestamp is None else nanoseconds(event.timestamp), event.received_ns, event.epoch),
    )


def events_of(tables: dict[str, list[Row]]) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """What :func:`fields` says of each event of a day, with its number."""
    for row in tables["trades"]:
        yield (
            row["seq"],
            (
                *("trade", row["symbol"], row["id"], row["side"], row["price"], row["amount"], row["ord_type"]),
                *(row["is_snapshot"], row["timestamp"], row["local_timestamp"], row["epoch"]),
            ),
        )
    for row in tables["gaps"]:
        yield (
            row["seq"],
            (
                *("gap", row["symbol"], row["channel"], row["cause"], row["detail"], row["missed"], row["after_id"]),
                *(row["before_id"], row["local_timestamp"], row["epoch"]),
            ),
        )
    sent = [row for row in tables["book_updates"] if row["gap"] is None and row["seq"]]
    for seq, rows in groupby(sent, key=lambda row: row["seq"]):
        message = list(rows)
        assert [row["last_in_message"] for row in message] == [False] * (len(message) - 1) + [True]
        levels = tuple(
            (row["side"], row["price"], row["amount"]) for row in message if row["side"] and not row["derived"]
        )
        yield (
            seq,
            (
                *("book", message[0]["symbol"], message[0]["is_snapshot"], levels),
                *(message[0]["timestamp"], message[0]["local_timestamp"], message[0]["epoch"]),
            ),
        )


def read_back(source: Any, to: str, read: Callable[[Path], list[Row]], folder: Path) -> list[tuple[Any, ...]]:
    report = export(source, folder, to=to, tables=["trades", "book_updates", "gaps"])
    days: defaultdict[str, defaultdict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for file in report.files:
        rows = read(folder / file.path)
        assert len(rows) == file.rows
        days[file.date][file.table] += rows
    return [found for _, tables in sorted(days.items()) for _, found in sorted(events_of(tables))]


@settings(max_examples=25)
@given(stories.recordings())
def test_files_are_the_events(recorded: tuple[int, list[kt.Event]]) -> None:
    expected = [fields(event) for event in recorded[1]]
    for to, readers in READERS.items():
        for name, read in readers:
            with tempfile.TemporaryDirectory() as folder:
                assert read_back(stories.in_memory(recorded), to, read, Path(folder)) == expected, name


def test_duckdb_computes_exactly(tmp_path: Path) -> None:
    events = stories.story()
    export(stories.source(events), tmp_path, tables=["trades"])
    with duckdb.connect() as base:
        (found,) = base.execute(
            f"select sum(price * amount) from read_parquet('{tmp_path}/trades/**/*.parquet') where symbol = 'BTC/USD'"
        ).fetchall()
    assert found == (sum(event.price * event.qty for event in events if isinstance(event, kt.Trade)),)
