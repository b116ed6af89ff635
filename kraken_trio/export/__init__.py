"""What was recorded, as files and data frames: Parquet, CSV, tardis.dev, hftbacktest, NautilusTrader.

:func:`export` writes files, :func:`to_df` gives a data frame. This needs pyarrow:
``pip install 'kraken-trio[export]'``.

The tables, as ``parquet`` and ``csv`` have them. Times are the receive time ``local_timestamp`` and the exchange's
``timestamp``, both in nanoseconds of UTC; ``epoch`` is the number of the connection; ``seq`` numbers a day's events
from 1, over all tables and symbols of the export, so that sorting by it restores their order.

``trades``
    ``id``, ``side`` (the taker's), ``price``, ``amount``, ``ord_type``; ``is_snapshot``: from before the subscription,
    or backfilled after a lost connection.
``book_updates``
    One row a level: ``side`` (``bid``, ``ask``), ``price``, ``amount`` (the new total; 0 removes), ``is_snapshot`` (of
    a whole book, which replaces what was before), ``last_in_message`` (the book is consistent after it). Rows of one
    message have the same ``seq``. A gap is a row with its cause in ``gap`` and no level: from there to the next
    snapshot the book is unknown. ``derived`` rows were not sent: the whole book with which a day begins (``seq`` 0),
    and the removal of levels that left the subscribed depth, which the exchange does not report. Whoever applies all
    rows has exactly the book that the client had.
``quotes``
    The best bid and ask, whenever one changes; without values after a gap.
``book_snapshots``
    ``bid_price_0``, ``bid_amount_0``, ``ask_price_0``, …: the best levels at every whole interval, or on every change;
    one row without values after a gap.
``tickers``, ``candles``, ``instruments``, ``assets``
    The fields of :class:`~kraken_trio.TickerUpdate`, :class:`~kraken_trio.Candle`, :class:`~kraken_trio.Pair` and
    :class:`~kraken_trio.Asset`.
``gaps``
    Every :class:`~kraken_trio.Gap` of what was exported.
"""

from __future__ import annotations

from kraken_trio.export.errors import ExportError
from kraken_trio.export.frames import to_df
from kraken_trio.export.options import FORMATS
from kraken_trio.export.run import ExportedFile, ExportReport, Progress, export
from kraken_trio.export.source import FolderSource, MemorySource, Source
from kraken_trio.export.tables import TABLES

__all__ = [
    "FORMATS",
    "TABLES",
    "ExportError",
    "ExportReport",
    "ExportedFile",
    "FolderSource",
    "MemorySource",
    "Progress",
    "Source",
    "export",
    "to_df",
]
