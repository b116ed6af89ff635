"""What may stand after the ``?`` of a broker's URL: how a stream is made, as ``max_age=24h&max_bytes=50GiB``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from kraken_trio._text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["duration", "one_of", "parse_options", "size", "whole"]

_WHOLE: Final = re.compile(r"[1-9]\d{0,3}", re.ASCII)
_DURATION: Final = re.compile(r"([1-9]\d{0,8})([smhd])", re.ASCII)
_SIZE: Final = re.compile(r"([1-9]\d{0,8})(MiB|GiB|TiB)", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES: Final = {"MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def duration(text: str) -> int | None:
    """``24h`` in seconds; None if it is no time."""
    found = _DURATION.fullmatch(text)
    return None if found is None else int(found[1]) * _SECONDS[found[2]]


def size(text: str) -> int | None:
    """``50GiB`` in bytes; None if it is no size."""
    found = _SIZE.fullmatch(text)
    return None if found is None else int(found[1]) * _BYTES[found[2]]


def whole(most: int) -> Callable[[str], int | None]:
    """What reads a number from 1 to this one."""
    return lambda text: int(text) if _WHOLE.fullmatch(text) and int(text) <= most else None


def one_of(*words: str) -> Callable[[str], str | None]:
    """What reads one of these words."""
    return lambda text: text if text in words else None


def parse_options(query: str, known: Mapping[str, Callable[[str], Any]], example: str) -> dict[str, Any]:
    """The options of a query, each as ``known`` reads it. Raises :class:`ValueError`, which shows the example."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        msg = f"after the ? stand {example}"
        raise ValueError(msg) from None
    found: dict[str, Any] = {}
    for name, text in pairs:
        value = known[name](text) if name in known else None
        if value is None:
            msg = f"{printable(name, 40)}={printable(text, 40)} is none of {example}"
            raise ValueError(msg)
        found[name] = value
    return found
