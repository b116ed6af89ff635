"""Names of symbols: ``BTC/USD`` here; ``XBT/USD`` on the wire of v1 and in REST, and nowhere else."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from kraken_trio.requests import LEGACY_NAMES

__all__ = ["symbol_of", "wire_name"]

_LONGEST: Final = 65  # of a symbol; a peer's longer texts are not kept
_OURS: Final = LEGACY_NAMES
_THEIRS: Final = {ours: theirs for theirs, ours in LEGACY_NAMES.items()}


def symbol_of(pair: str) -> str:
    """The symbol of such a name."""
    return _known_symbol(pair) if len(pair) <= _LONGEST else _renamed(pair, _OURS)


@lru_cache(maxsize=4096)  # Kraken has about 1500
def _known_symbol(pair: str) -> str:
    return _renamed(pair, _OURS)


def wire_name(symbol: str) -> str:
    """The name of a symbol on the wire of v1."""
    return _renamed(symbol, _THEIRS)


def _renamed(name: str, names: dict[str, str]) -> str:
    base, slash, quote = name.partition("/")
    return f"{names.get(base, base)}{slash}{names.get(quote, quote)}"  # mutant: names of v1
