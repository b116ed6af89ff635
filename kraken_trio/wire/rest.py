"""Questions to the exchange's REST interface, and what is read from the answers. Pure: nobody here sends anything.

A :class:`Query` is a value: whoever decides that something must be known returns it, the runtime asks, and the
:class:`Answer` comes back as an input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from kraken_trio._text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Answer", "Query", "modern", "precisions"]

_MAX_NAME: Final = 100


@attrs.frozen
class Query:
    """A question to the REST interface. Two equal ones are one question."""

    name: str
    """The call: ``TradesHistory``, ``QueryOrders``, ``AssetPairs``."""
    params: tuple[tuple[str, str], ...] = ()
    private: bool = True
    """Whether it is about an account, and must be signed."""
    after: float = 0.0
    """How many seconds to wait before it is asked."""
    number: int = 0
    """Tells apart questions that are asked again."""


@attrs.frozen
class Answer:
    """What came of a :class:`Query`."""

    result: Any = None
    """The ``result`` of the answer, as a tree: dicts, lists, and scalars; numbers with a point are Decimals, or texts
    with the same digits."""
    pairs: Mapping[str, str] = attrs.Factory(dict)
    """The symbols of the pairs that the result names, by REST's names for them."""
    error: str | None = None
    """Why there is none, printable: everything has been tried that may help."""
    received_ns: int = 0
    """When it was received."""


def precisions(result: Any) -> dict[str, tuple[int, int]]:
    """(AssetPairs) The decimals of prices and quantities, by symbol as v2 spells it."""
    found: dict[str, tuple[int, int]] = {}
    for row in result.values() if isinstance(result, dict) else ():
        if isinstance(row, dict):
            name, price, qty = row.get("wsname"), row.get("pair_decimals"), row.get("lot_decimals")
            if isinstance(name, str) and type(price) is int and type(qty) is int:
                found[modern(name)] = (price, qty)
    return found


_LEGACY: Final = {"XBT": "BTC", "XDG": "DOGE"}


def modern(name: str) -> str:
    """``XBT/USD`` as v2 spells it."""
    return "/".join(_LEGACY.get(part, part) for part in printable(name, _MAX_NAME).split("/"))
