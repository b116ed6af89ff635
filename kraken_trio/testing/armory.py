"""The armed faults: which are waiting for their occasion, and how often they may still happen."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from kraken_trio.testing.faults import Fault

__all__ = ["Armory"]

F = TypeVar("F")


class Armory:
    """Faults in the order in which they were injected."""

    def __init__(self) -> None:
        self._armed: list[tuple[Fault, int | None]] = []

    def __bool__(self) -> bool:
        return bool(self._armed)

    def arm(self, fault: Fault) -> None:
        self._armed.append((fault, getattr(fault, "times", None)))

    def clear(self) -> None:
        self._armed.clear()

    def pending(self) -> tuple[Fault, ...]:
        """Those that have not been spent."""
        return tuple(fault for fault, _ in self._armed)

    def take(self, kind: type[F], fits: Callable[[F], bool] = lambda _fault: True) -> F | None:
        """The first armed fault of this kind that fits. It has then happened once more."""
        for index, (fault, left) in enumerate(self._armed):
            if isinstance(fault, kind) and fits(fault):
                if left is not None and left <= 1:
                    del self._armed[index]
                elif left is not None:
                    self._armed[index] = (fault, left - 1)
                return fault
        return None
