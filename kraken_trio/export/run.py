"""An export from beginning to end: passes over the recording, whole days, and the proof that nothing is missing."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
from filelock import FileLock, Timeout

from kraken_trio.export.errors import ExportError
from kraken_trio.export.formats import output_of
from kraken_trio.export.manifest import Manifest
from kraken_trio.export.options import options_of, plan_of, why_empty
from kraken_trio.export.source import source_of
from kraken_trio.export.times import DAY_NS, date_of
from kraken_trio.export.walk import check, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from os import PathLike

    from kraken_trio.export.options import Options, Plan
    from kraken_trio.export.outputs import Day, Output, Written
    from kraken_trio.export.source import Content, Source
    from kraken_trio.export.times import Time
    from kraken_trio.export.walk import DayCount

__all__ = ["ExportReport", "ExportedFile", "Progress", "export"]

FILES_AT_ONCE: Final = 192
"""Files that are open at once: systems usually allow a process 1024, and each may hold some hundred kilobytes. With
more symbols the recording is read several times."""
_PARTIAL: Final = ".export.partial"
"""The folder of files that are being written."""
_LOCK: Final = ".export.lock"


@attrs.frozen(kw_only=True)
class ExportedFile:
    """A file of an export."""

    path: Path
    """Relative to the export's folder."""
    table: str
    symbol: str | None
    date: str
    """The UTC day of its receive times: ``2026-11-29``."""
    rows: int
    derived: int
    """Rows that no event brought (see the tables); they are among ``rows``."""
    bytes: int


@attrs.frozen(kw_only=True)
class ExportReport:
    """What an export did."""

    out: Path
    to: str
    files: tuple[ExportedFile, ...]
    """Written by this run."""
    events: int
    """Read by this run, and exported."""
    skipped: tuple[str, ...]
    """Days that an earlier run had exported, and that have not changed since."""
    kept: tuple[str, ...]
    """Days that an earlier run had exported, and of which the recording has since deleted something: they stay."""
    left_out: Mapping[str, int]
    """By table: rows' worth of events that the format cannot hold. Always empty for Parquet and CSV."""

    @property
    def rows(self) -> dict[str, int]:
        """Rows that were written, by table."""
        found: Counter[str] = Counter()
        for file in self.files:
            found[file.table] += file.rows
        return dict(found)


@attrs.frozen(kw_only=True)
class Progress:
    """How far an export is."""

    events: int
    """Read so far, those of all passes counted."""
    files: int
    """Whole files."""
    now_ns: int
    """The receive time of the latest event."""
    fraction: float | None
    """From 0 to 1; None if it is unknown."""


def export(
    source: str | PathLike[str] | Source,
    out: str | PathLike[str],
    *,
    to: str = "parquet",
    tables: Iterable[str] | None = None,
    channels: Iterable[str] | None = None,
    symbols: Iterable[str] | None = None,
    start: Time | None = None,
    end: Time | None = None,
    floats: bool = False,
    decimals: int = 10,
    levels: int = 10,
    interval: float | None = None,
    depth: int | None = None,
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> ExportReport:
    """Write what was recorded as files that others can read: one per table, symbol and UTC day of receive time.

    ``source`` is the folder of a recording (or a :class:`Source`), ``out`` a folder, which is made if it is missing.

    ``to``
        ``"parquet"``, ``"csv"`` (the same tables, gzipped), ``"tardis"`` (the CSV files of tardis.dev),
        ``"hftbacktest"`` (``.npz`` of its events) or ``"nautilus"`` (a catalog of NautilusTrader, which must be
        installed).
    ``tables`` or ``channels``
        What to write; by default all tables of the format whose channel was recorded. ``channels`` are the
        exchange's: ``book``, ``trade``, ``ticker``, ``ohlc``, ``instrument``.
    ``symbols``, ``start``, ``end``
        Which symbols, and from when to before when they were received: an aware datetime, nanoseconds since 1970, or
        ISO 8601 text (UTC unless it says otherwise). By default everything.
    ``floats``, ``decimals``
        Numbers are exact: ``decimal128(38, decimals)`` in Parquet. One that has more decimals raises
        :class:`ExportError`. With ``floats=True`` they are the nearest 64-bit floats. (CSV has the digits of the wire;
        the formats of hftbacktest and NautilusTrader have number types of their own.)
    ``levels``, ``interval``
        Of ``book_snapshots``: levels of a side, and seconds between two rows (0: on every change of these levels; by
        default 1, and 0 for tardis).
    ``depth``
        Which book to take of a symbol that was recorded with several depths.
    ``overwrite``
        Replace an export with other options that ``out`` holds. Otherwise that is an error.
    ``progress``
        Called every few thousand events.

    A day's files begin with the whole book as it was at the day's beginning, and get their names when the day is
    whole; then the manifest ``export.jsonl`` names them. A second export into the same folder skips days that are whole
    and whose recording has not changed, so an export that was interrupted goes on where it was. A day of which the
    recording has since deleted something (retention) stays as it is.

    Every row is counted, in the events and in the finished files; if they differ, :class:`ExportError` is raised. So it
    is if there is nothing to export, with the reason. Arguments that can never be right raise :class:`ValueError`.

    It reads and writes files, and takes long: from Trio, call it with :func:`trio.to_thread.run_sync`. Memory is
    bounded by some hundred megabytes, whatever the size of the recording; ``"hftbacktest"`` needs 40 bytes more per row
    of its largest file.
    """
    options = options_of(
        to=to,
        tables=tables,
        channels=channels,
        symbols=symbols,
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
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK)
        lock.acquire(timeout=0)
    except Timeout:
        msg = f"another export is writing to {folder}"
        raise ExportError(msg) from None
    except OSError as error:
        msg = f"{folder} cannot be written: {error.strerror or error}"
        raise ExportError(msg) from None
    try:
        return _Run(recorded, folder, options, plan, progress, overwrite=overwrite).run()
    except OSError as error:
        msg = f"{error.filename or folder}: {error.strerror or error}"
        raise ExportError(msg) from error
    finally:
        try:
            shutil.rmtree(folder / _PARTIAL, ignore_errors=True)
        finally:
            lock.release()


@attrs.frozen
class _Stretch:
    """Days that are read in one go."""

    start_ns: int | None
    end_ns: int | None
    numbers: tuple[int, ...] | None
    """None: unknown."""


class _Run:
    """It is what the walk gives its days to (:class:`~.walk.Days`)."""

    def __init__(
        self,
        source: Source,
        folder: Path,
        options: Options,
        plan: Plan,
        progress: Callable[[Progress], None] | None,
        *,
        overwrite: bool,
    ) -> None:
        self._source = source
        self._folder = folder
        self._partial = folder / _PARTIAL
        self._options = options
        self._plan = plan
        self._progress = progress
        self._manifest = Manifest(folder, options.identity(), overwrite=overwrite)
        self._contents = source.days()
        self._groups = _groups(plan, options)
        self._group = 0
        self._files: list[ExportedFile] = []
        self._left_out: Counter[str] = Counter()
        self._exported = 0
        self._read = 0
        self._skipped: dict[str, None] = {}
        self._kept: dict[str, None] = {}
        self._ended: set[int] = set()
        self._span = self._known_span()

    def run(self) -> ExportReport:
        for group, symbols in enumerate(self._groups):
            self._group = group
            for stretch in self._stretches():
                self._walk(stretch, symbols)
        if not self._files and not self._skipped and not self._kept:
            raise ExportError(why_empty(self._plan, self._options, self._source.span(), self._exported))
        return ExportReport(
            out=self._folder,
            to=self._options.to,
            files=tuple(self._files),
            events=self._exported,
            skipped=tuple(self._skipped),
            kept=tuple(self._kept),
            left_out={table: count for table, count in self._left_out.items() if count},
        )

    # What is to be read

    def _stretches(self) -> Iterator[_Stretch]:
        """The days that are not whole yet; neighbours together, so that each is read once."""
        options = self._options
        if self._contents is None:
            yield _Stretch(options.start_ns, options.end_ns, None)
            return
        run: list[int] = []
        for number in sorted(self._contents):
            start_ns, end_ns = self._bounds(number)
            if start_ns >= end_ns:
                continue
            if self._is_whole(number):
                if run:
                    yield self._stretch(run)
                run = []
                continue
            if run and run[-1] != number - 1:
                yield self._stretch(run)
                run = []
            run.append(number)
        if run:
            yield self._stretch(run)

    def _stretch(self, numbers: list[int]) -> _Stretch:
        assert self._contents is not None
        first, last = numbers[0], numbers[-1]
        start_ns: int | None = self._bounds(first)[0]
        end_ns: int | None = self._bounds(last)[1]
        if first == min(self._contents) and self._options.start_ns is None:
            start_ns = None
        if last == max(self._contents) and self._options.end_ns is None:
            end_ns = None
        return _Stretch(start_ns, end_ns, tuple(numbers))

    def _bounds(self, number: int) -> tuple[int, int]:
        """What of this day is asked for."""
        start_ns, end_ns = number * DAY_NS, (number + 1) * DAY_NS
        options = self._options
        return (
            start_ns if options.start_ns is None else max(start_ns, options.start_ns),
            end_ns if options.end_ns is None else min(end_ns, options.end_ns),
        )

    def _is_whole(self, number: int) -> bool:
        part = self._manifest.part(self._key(number))
        if part is None or self._contents is None:
            return False
        if part["bounds"] != list(self._bounds(number)):
            return False
        if not all((self._folder / path).is_file() for path in self._manifest.paths(self._key(number))):
            return False
        before: Content | None = part["content"]
        now = self._contents[number]
        name = str(date_of(number))
        if before == now:
            self._skipped[name] = None
            return True
        if before is not None and not before.keys() <= now.keys():
            self._kept[name] = None
            return True
        return False

    def _key(self, number: int) -> str:
        return f"{date_of(number)}/{self._group}"

    def _walk(self, stretch: _Stretch, symbols: frozenset[str | None]) -> None:
        plan = self._plan
        shutil.rmtree(self._partial, ignore_errors=True)
        self._ended = set()
        walk(
            self._source.events(*plan.requests, start=stretch.start_ns, end=stretch.end_ns),
            self,
            depths=plan.depths,
            symbols=symbols,
            start_ns=stretch.start_ns,
            end_ns=stretch.end_ns,
            first_day=stretch.numbers[0] if stretch.numbers else 0,
        )
        for number in stretch.numbers or ():  # there was nothing on these
            if number not in self._ended:
                self._commit(number, [], {})

    # What the walk calls

    def begin(self, number: int, day: Day) -> Output:
        del number
        return output_of(self._options, self._partial, day, self._plan.tables)

    def end(self, number: int, output: Output, count: DayCount) -> None:
        written = output.finish()
        check(str(date_of(number)), self._plan.tables, written, output, count)
        self._commit(number, written, output.left_out)
        self._exported += count.events
        self._ended.add(number)

    def report(self, events: int, now_ns: int) -> None:
        self._read += events
        if self._progress is not None:
            fraction = None
            if self._span is not None:
                start_ns, end_ns = self._span
                part = (now_ns - start_ns) / max(1, end_ns - start_ns)
                fraction = (self._group + min(1.0, max(0.0, part))) / len(self._groups)
            self._progress(Progress(events=self._read, files=len(self._files), now_ns=now_ns, fraction=fraction))

    def _commit(self, number: int, written: list[Written], left_out: Mapping[str, int]) -> None:
        """Give the files of a day their names, and note them."""
        key, date = self._key(number), str(date_of(number))
        if written:
            self._manifest.begin(key, (one.path.as_posix() for one in written))
        stale = self._manifest.paths(key)
        files = []
        for one in written:
            final = self._folder / one.path
            final.parent.mkdir(parents=True, exist_ok=True)
            with (self._partial / one.path).open("rb+") as file:
                os.fsync(file.fileno())
            (self._partial / one.path).replace(final)
            stale.discard(one.path.as_posix())
            files.append(
                ExportedFile(
                    path=one.path,
                    table=one.table,
                    symbol=one.symbol,
                    date=date,
                    rows=one.rows,
                    derived=one.derived,
                    bytes=final.stat().st_size,
                )
            )
        for path in stale:
            (self._folder / path).unlink(missing_ok=True)
        content = None if self._contents is None else self._contents.get(number)
        noted = [
            {"path": file.path.as_posix(), "table": file.table, "symbol": file.symbol, "rows": file.rows}
            for file in files
        ]
        self._manifest.keep(key, {"bounds": list(self._bounds(number)), "content": content, "files": noted})
        self._files += files
        self._left_out.update(left_out)

    def _known_span(self) -> tuple[int, int] | None:
        span, options = self._source.span(), self._options
        start_ns = options.start_ns if options.start_ns is not None else span and span[0]
        end_ns = options.end_ns if options.end_ns is not None else span and span[1]
        return None if start_ns is None or end_ns is None else (start_ns, end_ns)


def _groups(plan: Plan, options: Options) -> list[frozenset[str | None]]:
    """The symbols of each pass. What has no symbol goes with the first."""
    each = max(1, sum(table in plan.tables for table in options.tables))
    size = max(1, FILES_AT_ONCE // each)
    groups = [frozenset(plan.symbols[at : at + size]) for at in range(0, len(plan.symbols), size)] or [frozenset()]
    return [frozenset({None}) | groups[0], *groups[1:]]
