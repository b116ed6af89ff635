"""What the REST interface calls markets and assets: ``BTC/USD`` is ``XXBTZUSD``, ``XBTUSD`` and ``XBT/USD`` there."""

from __future__ import annotations

from typing import Final

import attrs

from kraken_trio.testing.older_names import OLDER, older_symbol

__all__ = ["PairNames", "asset_name", "pair_names"]

_OLD_ASSETS: Final = {"XBT", "ETH", "XRP", "LTC", "XDG", "XLM", "XMR", "ZEC", "ETC", "REP", "MLN"}
_OLD_MONEY: Final = {"USD", "EUR", "GBP", "CAD", "JPY"}


@attrs.frozen
class PairNames:
    """All names of a market."""

    key: str
    """``XXBTZUSD``: in maps and rows. New markets have ``altname`` there."""
    altname: str
    wsname: str
    base: str
    """``XXBT``."""
    quote: str
    """``ZUSD``."""


def asset_name(asset: str) -> str:
    """``XXBT`` for ``BTC``, ``ZUSD`` for ``USD``; the same for new assets."""
    short = OLDER.get(asset, asset)
    prefix = "X" if short in _OLD_ASSETS else "Z" if short in _OLD_MONEY else ""
    return prefix + short


def pair_names(symbol: str) -> PairNames:
    """The names of ``BTC/USD``."""
    base, _, quote = symbol.partition("/")
    wsname = older_symbol(symbol)
    altname = wsname.replace("/", "")
    old = (asset_name(base), asset_name(quote))
    is_old = all(len(name) == 4 and name[0] in "XZ" for name in old)
    return PairNames(
        key="".join(old) if is_old else altname,
        altname=altname,
        wsname=wsname,
        base=old[0],
        quote=old[1],
    )
