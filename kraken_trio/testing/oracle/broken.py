"""The error of an oracle."""

from __future__ import annotations

__all__ = ["BrokenPromise"]


class BrokenPromise(AssertionError):  # noqa: N818 (named by what happened)
    """A promise was broken: its number, and the observation."""

    def __init__(self, promise: int, seen: str) -> None:
        super().__init__(f"promise {promise}: {seen}")
        self.promise = promise
        self.seen = seen
