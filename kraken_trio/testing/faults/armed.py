"""The armed faults: those that wait for their occasion, and how often they may still happen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ArmedFaults"]

A = TypeVar("A")
F = TypeVar("F")


class ArmedFaults(Generic[A]):
    """Faults in the order in which they were injected."""

    def __init__(self) -> None:
        self._armed: list[tuple[A, int | None]] = []

    def __bool__(self) -> bool:
        return bool(self._armed)

    def arm(self, fault: A) -> None:
        self._armed.append((fault, getattr(fault, "times", None)))

    def clear(self) -> None:
        self._armed.clear()

    def pending(self) -> tuple[A, ...]:
        """Those that are not used up."""
        return tuple(fault for fault, _ in self._armed)

    def take(self, kind: type[F], fits: Callable[[F], bool] = lambda _fault: True) -> F | None:
        """Use the first armed fault of this kind that fits."""
        for index, (armed, left) in enumerate(self._armed):
            fault: object = armed
            if isinstance(fault, kind) and fits(fault):
                if left is not None and left <= 1:
                    del self._armed[index]
                elif left is not None:
                    self._armed[index] = (armed, left - 1)
                return fault
        return None

    def first(self, kinds: tuple[type[A], ...]) -> A | None:
        """Use the first armed fault of one of these kinds."""
        for fault, _ in self._armed:
            if isinstance(fault, kinds):
                return self.take(type(fault))
        return None
