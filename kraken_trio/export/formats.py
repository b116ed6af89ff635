"""The formats by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kraken_trio.export.sheets import CsvFormat, SheetFormat, Sheets
from kraken_trio.export.tardis import TardisFormat

if TYPE_CHECKING:
    from pathlib import Path

    from kraken_trio.export.options import Options
    from kraken_trio.export.outputs import Day, Output

__all__ = ["output_of"]


def output_of(options: Options, folder: Path, day: Day, tables: frozenset[str]) -> Output:
    """What makes files in ``folder`` of one day."""
    match options.to:
        case "parquet":
            form = SheetFormat(options)
        case "csv":
            form = CsvFormat(options)
        case "tardis":
            form = TardisFormat(options)
        case "hftbacktest":
            from kraken_trio.export.hftbacktest import HftBacktest  # noqa: PLC0415 (it needs NumPy)

            return HftBacktest(folder, day)
        case "nautilus":
            from kraken_trio.export.nautilus import Nautilus  # noqa: PLC0415 (it needs NautilusTrader)

            return Nautilus(folder, day, tables)
    return Sheets(folder, day, form, tables)
