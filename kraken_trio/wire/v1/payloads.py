"""What all payloads of v1 have in common: what is said besides them, and how additions to them are found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Context", "additions"]


@attrs.frozen
class Context:
    """What a frame says besides its payloads, and what the client adds to its events."""

    symbol: str
    """Empty for those of an account."""
    value: int | None
    """The number in the channel's name: the depth of a book, the interval of a candle."""
    sequence: int | None
    """(account) The number of the frame."""
    epoch: int
    received_ns: int
    unknown: Callable[[str], None]
    """Counts an unknown value of a field."""


def additions(kind: Any, place: str, raw: Any) -> Iterator[str]:
    """The names of what the type does not know in a payload that has been converted to it.

    They are fields of an object, and elements at the end of an array.
    """
    if isinstance(raw, dict):
        known = kind.__struct_encode_fields__
        yield from (f"{place}.{key}" for key in raw if key not in known)
    elif len(raw) > len(kind.__struct_fields__):
        yield f"{place}[{len(kind.__struct_fields__)}]"
