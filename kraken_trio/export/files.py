"""Files of rows: Parquet and CSV."""

from __future__ import annotations

import csv
import gzip
import io
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Protocol

from kraken_trio.export.arrow import pa, pq
from kraken_trio.export.errors import ExportError
from kraken_trio.export.tables import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from kraken_trio.export.tables import Column, Columns, Table

__all__ = ["DEFAULT_DECIMALS", "CsvFile", "ParquetFile", "RowFile", "batch_of", "schema_of"]

DEFAULT_DECIMALS: Final = 10
"""Digits after the point of a ``decimal128(38, …)``: Kraken's prices have at most 10, and the product of two such
numbers still fits the 38 digits of readers that keep all of them (20 after the point, 18 before it)."""
_DIGITS: Final = 38
"""The most that a ``decimal128`` has."""
ROW_GROUP_ROWS: Final = 131_072
"""Rows of a row group: between 64k and 256k. Readers skip whole ones by their statistics, and small ones cost space."""
_COMPRESSION_LEVEL: Final = 3
"""zstd's, of Parquet: twice the speed of 9, and 4 % larger files."""
_GZIP_LEVEL: Final = 5
"""Of CSV: a third faster than 9, and 2 % larger files."""
_CHUNK: Final = 1 << 20
"""Bytes that are counted at a time."""


class RowFile(Protocol):
    """A file that is being written."""

    @property
    def held(self) -> int:
        """Rows that wait in memory."""
        ...

    def write(self, columns: Columns) -> None: ...

    def flush(self) -> None:
        """Write what waits."""
        ...

    def finish(self) -> int:
        """Make the file whole; returns the rows that are in it, counted in the file."""
        ...

    def abandon(self) -> None:
        """Close it as it is."""
        ...


# Arrow


def schema_of(table: Table, *, floats: bool, decimals: int, metadata: Mapping[str, str] | None = None) -> Any:
    """The Arrow schema of a table."""
    types = {
        Kind.CONSTANT: pa.dictionary(pa.int32(), pa.string()),
        Kind.CATEGORY: pa.dictionary(pa.int32(), pa.string()),
        Kind.TIME: pa.timestamp("ns", tz="UTC"),
        Kind.NUMBER: pa.float64() if floats else pa.decimal128(_DIGITS, decimals),
        Kind.INTEGER: pa.int64(),
        Kind.BOOLEAN: pa.bool_(),
        Kind.TEXT: pa.string(),
    }
    return pa.schema([(column.name, types[column.kind]) for column in table.columns], metadata)


def batch_of(table: Table, columns: Columns, constants: Mapping[str, str | None], schema: Any) -> Any:
    """A record batch of these rows. Raises :class:`ExportError` for a number that its type cannot hold."""
    count = len(next(iter(columns.values())))
    arrays = [_array(column, columns.get(column.name), count, constants, schema, table) for column in table.columns]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(
    column: Column,
    values: Sequence[Any] | None,
    count: int,
    constants: Mapping[str, str | None],
    schema: Any,
    table: Table,
) -> Any:
    kind = schema.field(column.name).type
    if values is None:
        indices = pa.array([0], pa.int32()).take(pa.nulls(count, pa.int32()).fill_null(0))
        return pa.DictionaryArray.from_arrays(indices, pa.array([constants[column.name]], pa.string()))
    if column.kind is Kind.CATEGORY:
        return pa.array(values, pa.string()).dictionary_encode()
    if column.kind is not Kind.NUMBER:
        return pa.array(values, kind)
    try:
        return _texts(values).cast(kind)
    except pa.ArrowInvalid as error:
        raise _too_many_digits(values, kind, f"{table.name}.{column.name}", constants.get("symbol")) or error from None


def _texts(values: Sequence[Any]) -> Any:
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # a level may hold a whole number
        return pa.array([None if value is None else str(value) for value in values], pa.string())


def _too_many_digits(values: Sequence[Any], kind: Any, name: str, symbol: str | None) -> ExportError | None:
    for value in values:
        try:
            _texts([value]).cast(kind)
        except pa.ArrowInvalid:
            where = f"{name} of {symbol}" if symbol else name
            return ExportError(
                f"{where}: {value} does not fit {kind}, and numbers are never rounded: export with more decimals, "
                f"or ask for floats"
            )
    return None


class ParquetFile:
    """A Parquet file, in row groups of :data:`ROW_GROUP_ROWS`."""

    def __init__(self, path: Path, table: Table, constants: Mapping[str, str | None], schema: Any) -> None:
        self._path = path
        self._table = table
        self._constants = constants
        self._schema = schema
        self._batches: list[Any] = []
        self._held = 0
        few = [
            column.name
            for column in table.columns
            if column.kind in {Kind.CONSTANT, Kind.CATEGORY, Kind.BOOLEAN} or column.name == "price"
        ]
        steady = {
            column.name: "DELTA_BINARY_PACKED" for column in table.columns if column.kind in {Kind.TIME, Kind.INTEGER}
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            compression_level=_COMPRESSION_LEVEL,
            use_dictionary=few,
            column_encoding=steady,
        )

    @property
    def held(self) -> int:
        return self._held

    def write(self, columns: Columns) -> None:
        batch = batch_of(self._table, columns, self._constants, self._schema)
        self._batches.append(batch)
        self._held += batch.num_rows
        if self._held >= ROW_GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        if self._batches:
            rows = pa.Table.from_batches(self._batches, self._schema).unify_dictionaries()
            self._writer.write_table(rows, row_group_size=2 * ROW_GROUP_ROWS)
            self._batches.clear()
            self._held = 0

    def finish(self) -> int:
        self.flush()
        self._writer.close()
        return int(pq.read_metadata(self._path).num_rows)

    def abandon(self) -> None:
        self._batches.clear()
        with suppress(OSError):  # there is a reason why it is given up
            self._writer.close()


# CSV


class CsvFile:
    """A gzipped CSV file. Numbers have the digits of the wire; what is missing is empty."""

    def __init__(self, path: Path, table: Table, constants: Mapping[str, str | None]) -> None:
        self._path = path
        self._table = table
        self._constants = constants
        self._has_texts = any(column.kind is Kind.TEXT for column in table.columns)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        # Without a name and a time inside, so that the same rows make the same file.
        self._gzip = gzip.GzipFile("", "wb", _GZIP_LEVEL, self._file, mtime=0)
        self._text = io.TextIOWrapper(self._gzip, "utf-8", newline="")
        self._writer = csv.writer(self._text, lineterminator="\n")
        self._writer.writerow(column.name for column in table.columns)

    @property
    def held(self) -> int:
        return 0

    def write(self, columns: Columns) -> None:
        count = len(next(iter(columns.values())))
        self._writer.writerows(
            zip(*(self._column(column, columns.get(column.name), count) for column in self._table.columns), strict=True)
        )

    def _column(self, column: Column, values: Sequence[Any] | None, count: int) -> Sequence[Any]:
        if values is None:
            return [self._constants[column.name]] * count
        if column.kind is Kind.BOOLEAN:
            return [_WORDS[value] for value in values]
        if column.kind is Kind.NUMBER:
            return [plain(value) if type(value) is str and "e" in value.lower() else value for value in values]
        return values

    def flush(self) -> None:
        """Nothing waits."""

    def finish(self) -> int:
        self._text.close()
        self._file.close()
        return _rows_of(self._path, has_texts=self._has_texts)

    def abandon(self) -> None:
        for file in (self._text, self._file):
            with suppress(OSError):
                file.close()


_WORDS: Final = {True: "true", False: "false", None: ""}


def plain(text: str) -> str:
    """A number without an exponent."""
    return f"{Decimal(text):f}"


def _rows_of(path: Path, *, has_texts: bool) -> int:
    """The rows of a CSV file, but for the first one, which has the names."""
    if has_texts:  # these may contain line ends
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            return sum(1 for _ in csv.reader(file)) - 1
    lines = 0
    with gzip.open(path, "rb") as binary:
        while chunk := binary.read(_CHUNK):
            lines += chunk.count(b"\n")
    return lines - 1
