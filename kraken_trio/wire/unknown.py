"""What a codec does not know: additions by Kraken are accepted, and counted under bounded, printable names."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Final

from kraken_trio._text import printable
from kraken_trio.wire.messages import Unknown

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

__all__ = ["MAX_NAME", "Unknowns"]

MAX_NAME: Final = 40
"""The longest name of a peer's that is kept."""
_MAX_NAMES: Final = 256  # a peer chooses them


class Unknowns(Counter[str]):
    """How often something unknown came, by name. At most 256 names; the rest counts as ``"more"``."""

    def add(self, what: str) -> None:
        """Count it once."""
        known = what in self or len(self) < _MAX_NAMES  # mutant: unknown names
        self[what if known else "more"] += 1

    def add_fields(self, prefix: str, present: AbstractSet[str], known: AbstractSet[str]) -> None:
        """Count each field that is ``present`` and not ``known``."""
        new = present - known
        for key in islice(new, _MAX_NAMES):
            self.add(f"field {prefix}{printable(key, MAX_NAME)}")
        if len(new) > _MAX_NAMES:
            self["more"] += len(new) - _MAX_NAMES

    def message(self, what: str, channel: str | None = None) -> Unknown:
        """Count it, and return the message that says so."""
        self.add(what)
        return Unknown(what=what, channel=None if channel is None else printable(channel, MAX_NAME))
