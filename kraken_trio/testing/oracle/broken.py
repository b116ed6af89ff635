"""What an oracle raises."""

from __future__ import annotations

__all__ = ["BrokenPromise"]


class BrokenPromise(AssertionError):  # noqa: N818 (named by what happened)
    """The number of the promise, and what has been seen."""

    def __init__(self, promise: int, seen: str) -> None:
        super().__init__(f"promise {promise}: {seen}")
        self.promise = promise
        self.seen = seen
