"""What a run has found, for people: the part that any two kinds of chaos have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter

import attrs

__all__ = ["Summary"]

_SHOWN = 20
"""Broken promises that are shown; there may be one for each event after the first."""


@attrs.define
class Summary(ABC):
    """What has happened, all in all."""

    faults: Counter[str] = attrs.Factory(Counter)
    sets: int = 0
    events: int = 0
    checksums: int = 0
    compared: int = 0
    """Books that were compared with the exchange's."""
    slowest: float = 0.0
    """The longest recovery, in seconds."""
    slowest_kind: str = ""
    """What it was a recovery from."""
    broken: list[str] = attrs.Factory(list)
    """Promises."""

    def recovered(self, kind: str, seconds: float) -> None:
        """All is well again, or was waited for in vain."""
        if seconds > self.slowest:
            self.slowest, self.slowest_kind = seconds, kind

    @abstractmethod
    def details(self) -> list[str]:
        """Lines of what only this kind counts."""

    def lines(self) -> list[str]:
        """For people."""
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items()))
        return [
            f"{self.faults.total()} faults in {self.sets} sets: {kinds}",
            *self.details(),
            f"{self.checksums:,} checksums verified, {self.compared} times a book was the exchange's",
            f"the slowest recovery took {self.slowest:.2f} s ({self.slowest_kind})",
            f"{len(self.broken)} promises broken",
            *(f"  BROKEN: {text}" for text in self.broken[:_SHOWN]),
        ]
