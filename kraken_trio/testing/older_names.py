"""What v1 and the REST interface call assets that have newer names: ``BTC/USD`` is ``XBT/USD`` there.

The client has a table of its own: what checks it does not believe it.
"""

from __future__ import annotations

from typing import Final

__all__ = ["NEWER", "OLDER", "newer_symbol", "older_symbol"]

OLDER: Final = {"BTC": "XBT", "DOGE": "XDG"}
"""The older names of assets that have two."""
NEWER: Final = {older: newer for newer, older in OLDER.items()}


def older_symbol(symbol: str) -> str:
    """``XBT/USD`` for ``BTC/USD``."""
    return "/".join([OLDER.get(asset, asset) for asset in symbol.split("/")])


def newer_symbol(pair: str) -> str:
    """``BTC/USD`` for ``XBT/USD``."""
    return "/".join([NEWER.get(asset, asset) for asset in pair.split("/")])
