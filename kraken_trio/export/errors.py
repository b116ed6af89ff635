"""The one error of an export."""

from __future__ import annotations

from kraken_trio import KrakenTrioError

__all__ = ["ExportError"]


class ExportError(KrakenTrioError):
    """Nothing was exported, or not everything: the text says why, and what to do about it.

    Days that were whole before it was raised stay, and an export that is started again goes on behind them. No file
    under its final name is half written.
    """
