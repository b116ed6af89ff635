"""``kraken-trio export``: its options, its progress, and its report. The work is done by :mod:`kraken_trio.export`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from kraken_trio import KrakenTrioError
from kraken_trio.cli.formatting import counted, listed
from kraken_trio.cli.running import progress_on_stderr

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from kraken_trio.export import ExportReport, Progress as ExportProgress

__all__ = ["export_command", "export_folder"]

FORMATS: Final = ("parquet", "csv", "tardis", "hftbacktest", "nautilus")
CHANNELS: Final = ("book", "trade", "ticker", "ohlc", "instrument")
_UNITS: Final = ("B", "kB", "MB", "GB")


_OTHER_NAMES: Final = {"trades": "trade", "candles": "ohlc", "instruments": "instrument"}
"""What the other commands call channels, and Kraken's names."""


@click.command("export", short_help="Write a recording as files for research.")
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option("--out", required=True, type=click.Path(file_okay=False), help="Folder for the files.")
@click.option("--to", type=click.Choice(FORMATS), default="parquet", show_default=True, help="Format.")
@click.option(
    "--channel",
    "channels",
    type=click.Choice([*CHANNELS, *_OTHER_NAMES]),
    multiple=True,
    help="Only this, by Kraken's name or as record calls it; repeatable.",
)
@click.option("--table", "tables", multiple=True, metavar="TABLE", help="Only this table; repeatable.")
@click.option("--symbol", "symbols", multiple=True, metavar="SYMBOL", help="Only this symbol; repeatable.")
@click.option("--from", "start", metavar="TIME", help="Receive time: 2026-11-29, or 2026-11-29T12:30Z (UTC).")
@click.option("--until", "end", metavar="TIME", help="Up to before this time.")
@click.option("--depth", type=int, metavar="N", help="Which book, if a symbol was recorded with several depths.")
@click.option("--floats", is_flag=True, help="Numbers as 64-bit floats instead of exact decimals.")
@click.option("--decimals", type=int, default=10, show_default=True, metavar="N", help="Of exact numbers in Parquet.")
@click.option("--levels", type=int, default=10, show_default=True, metavar="N", help="Of a side in book_snapshots.")
@click.option(
    "--interval",
    type=float,
    metavar="SECONDS",
    help="Between two book_snapshots; 0: on every change.  [default: 1; tardis: 0]",
)
@click.option("--overwrite", is_flag=True, help="Replace an export with other options in the same folder.")
def export_command(
    folder: str,
    out: str,
    to: str,
    channels: tuple[str, ...],
    tables: tuple[str, ...],
    symbols: tuple[str, ...],
    start: str | None,
    end: str | None,
    depth: int | None,
    decimals: int,
    levels: int,
    interval: float | None,
    *,
    floats: bool,
    overwrite: bool,
) -> None:
    """Write the recording in FOLDER as files that other programs read: one per table, symbol and UTC day.

    Each day's files begin with the whole book. Every row is counted: what is in the files is what was recorded, or
    the command fails. Run it again to go on after an interruption, or to add new days.

    \b
    Formats:
      parquet      tables with exact decimals, for polars, pandas, DuckDB, ...
      csv          the same tables, gzipped
      tardis       CSV files as those of tardis.dev
      hftbacktest  .npz of its events, with book and trades
      nautilus     a catalog of NautilusTrader (pip install nautilus_trader)

    \b
    Tables of parquet and csv:
      trades, book_updates, book_snapshots, quotes, tickers, candles, gaps, instruments, assets

    Exit status: 0 if everything was exported, or had been before; 1 if nothing was, or not everything, with the
    reason; 130 after Ctrl-C, which loses the day that was being written.

    \b
    Examples:
      kraken-trio export data/ --out parquet/
      kraken-trio export data/ --out btc/ --symbol BTC/USD --channel trade --from 2026-11-29
      kraken-trio export data/ --out hft/ --to hftbacktest --symbol BTC/USD
    """  # noqa: D301 (the backslash is click's: do not fill this paragraph)
    options = {
        "to": to,
        "tables": tables or None,
        "channels": [_OTHER_NAMES.get(channel, channel) for channel in channels] or None,
        "symbols": symbols or None,
        "start": start,
        "end": end,
        "floats": floats,
        "decimals": decimals,
        "levels": levels,
        "interval": interval,
        "depth": depth,
        "overwrite": overwrite,
    }
    try:
        report = export_folder(folder, out, options, err=progress_on_stderr())
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except KrakenTrioError as error:
        raise click.ClickException(str(error)) from None
    _tell(report)


def export_folder(folder: str, out: str, options: dict[str, Any], *, err: Console | None) -> ExportReport:
    """Export with these arguments, and with a progress bar on ``err``."""
    try:
        from kraken_trio.export import export  # noqa: PLC0415 (pyarrow may be missing, and takes long to import)
    except ImportError as error:
        raise click.ClickException(str(error)) from None
    if err is None:
        return export(folder, out, **options)
    with _progress(err) as bar:
        return export(folder, out, **options, progress=_meter(bar))


def _progress(err: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[events]:>12,} events  {task.fields[files]:>5,} files", markup=False),
        TimeRemainingColumn(compact=True),
        console=err,
        transient=True,
    )


def _meter(bar: Progress) -> Callable[[ExportProgress], None]:
    task = bar.add_task("export", total=None, events=0, files=0)

    def advance(now: ExportProgress) -> None:
        total = None if now.fraction is None else 1.0
        bar.update(task, total=total, completed=now.fraction or 0.0, events=now.events, files=now.files)

    return advance


def _tell(report: ExportReport) -> None:
    sizes: dict[str, int] = {}
    for file in report.files:
        sizes[file.table] = sizes.get(file.table, 0) + file.bytes
    width = max(map(len, sizes), default=0)
    for table, rows in report.rows.items():
        files = sum(file.table == table for file in report.files)
        click.echo(
            f"{table:<{width}}  {counted(rows, 'row'):>16}  {counted(files, 'file'):>10}  {_size(sizes[table]):>9}"
        )
    for table, count in report.left_out.items():
        click.echo(f"left out: {counted(count, 'row')} of {table}, which {report.to} cannot hold")
    if report.skipped:
        click.echo(f"exported before, unchanged: {listed(report.skipped)}")
    if report.kept:
        click.echo(f"kept as they were, for the recording has since lost some of it: {listed(report.kept)}")
    click.echo(f"{counted(report.events, 'event')}, {counted(len(report.files), 'file')} in {report.out}")


def _size(count: float) -> str:
    for unit in _UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {_UNITS[-1]}"
