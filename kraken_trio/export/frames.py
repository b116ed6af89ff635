"""Tables in memory: polars or pandas."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from kraken_trio.export.arrow import pa
from kraken_trio.export.errors import ExportError
from kraken_trio.export.files import batch_of, schema_of
from kraken_trio.export.options import options_of, plan_of, why_empty
from kraken_trio.export.sheets import SheetFormat, Sheets
from kraken_trio.export.source import source_of
from kraken_trio.export.tables import EXCHANGE, TABLES
from kraken_trio.export.times import date_of
from kraken_trio.export.walk import check, walk

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    from kraken_trio.export.files import RowFile
    from kraken_trio.export.options import Options
    from kraken_trio.export.outputs import Day, Output
    from kraken_trio.export.source import Source
    from kraken_trio.export.tables import Columns, Table
    from kraken_trio.export.times import Time
    from kraken_trio.export.walk import DayCount

__all__ = ["Engine", "to_df"]

Engine: TypeAlias = Literal["polars", "pandas"]
_ENGINES: Final = ("polars", "pandas")


def to_df(
    source: str | PathLike[str] | Source,
    table: str,
    *,
    symbol: str | Iterable[str] | None = None,
    start: Time | None = None,
    end: Time | None = None,
    engine: Engine | None = None,
    floats: bool = False,
    decimals: int = 10,
    levels: int = 10,
    interval: float | None = None,
    depth: int | None = None,
) -> Any:
    """One of the tables as a data frame, in the order of the recording.

    ``source`` and the other arguments are those of :func:`export`; ``symbol`` is one symbol or several. ``engine`` is
    ``"polars"`` or ``"pandas"``: by default whichever is installed, polars first. In pandas, exact decimals are
    Python objects, which are slow: use ``floats=True`` for large tables. All of it is in memory: 100 to 250 bytes a
    row.

    A day of UTC begins with its whole books, as the files of an export do.

    Raises :class:`ExportError` if there is nothing, with the reason, or if neither library is installed.
    """
    if table not in TABLES:
        msg = f"{table!r} is no table: there are {', '.join(TABLES)}"
        raise ValueError(msg)
    chosen = _engine(engine)
    options = options_of(
        tables=[table],
        symbols=None if symbol is None else [symbol] if isinstance(symbol, str) else symbol,
        start=start,
        end=end,
        floats=floats,
        decimals=decimals,
        levels=levels,
        interval=interval,
        depth=depth,
    )
    recorded = source_of(source)
    plan = plan_of(recorded.requests, options)
    tables = _Tables(options)
    walk(
        recorded.events(*plan.requests, start=options.start_ns, end=options.end_ns),
        tables,
        depths=plan.depths,
        symbols=frozenset({None, *plan.symbols}),
        start_ns=options.start_ns,
        end_ns=options.end_ns,
    )
    if not tables.days:
        raise ExportError(why_empty(plan, options, recorded.span(), tables.events))
    whole = pa.concat_tables(tables.days).unify_dictionaries()
    if chosen == "pandas":
        return whole.to_pandas()
    import polars  # noqa: ICN001, PLC0415 (either library may be missing)

    return polars.from_arrow(whole)


def _engine(engine: str | None) -> str:
    if engine is not None and engine not in _ENGINES:
        msg = f"engine={engine!r}: {' or '.join(_ENGINES)}"
        raise ValueError(msg)
    for name in _ENGINES if engine is None else (engine,):
        if find_spec(name) is not None:
            return name
    msg = f"{engine or 'neither polars nor pandas'} is {'not ' if engine else ''}installed: pip install polars"
    raise ExportError(msg)


class _MemoryFile:
    """Rows that stay in memory."""

    def __init__(self, table: Table, symbol: str | None, schema: Any) -> None:
        self._table = table
        self._symbol = symbol
        self._schema = schema
        self.batches: list[Any] = []

    @property
    def held(self) -> int:
        return 0  # nothing that could be written

    def write(self, columns: Columns) -> None:
        constants = {"exchange": EXCHANGE, "symbol": self._symbol}
        self.batches.append(batch_of(self._table, columns, constants, self._schema))

    def flush(self) -> None:
        """There is no file."""

    def finish(self) -> int:
        return sum(batch.num_rows for batch in self.batches)

    def abandon(self) -> None:
        self.batches.clear()


class _MemoryFormat(SheetFormat):
    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.files: list[_MemoryFile] = []

    def open(self, path: Path, table: Table, symbol: str | None, depth: int | None) -> RowFile:
        del path, depth
        schema = schema_of(table, floats=self.options.floats, decimals=self.options.decimals)
        file = _MemoryFile(table, symbol, schema)
        self.files.append(file)
        return file


class _Tables:
    """Arrow tables of days (:class:`~.walk.Days`)."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._form = _MemoryFormat(options)
        self.days: list[Any] = []
        self.events = 0

    def begin(self, number: int, day: Day) -> Output:
        del number
        self._form.files.clear()
        return Sheets(Path(), day, self._form, frozenset(self._options.tables))

    def end(self, number: int, output: Output, count: DayCount) -> None:
        check(str(date_of(number)), self._options.tables, output.finish(), output, count)
        self.events += count.events
        batches = [batch for file in self._form.files for batch in file.batches]
        if batches:
            table = pa.Table.from_batches(batches).unify_dictionaries()
            # Several symbols, back in the order of their events; the sort is stable.
            self.days.append(table.sort_by("seq") if len(self._form.files) > 1 else table)

    def report(self, events: int, now_ns: int) -> None:
        """Nobody is told."""
