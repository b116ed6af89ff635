"""Which core runs: the compiled one beside the pure code, or the pure code alone.

The compiled core is missing where :mod:`kraken_trio._compiled` says, and where this msgspec lays out its structs in an
unknown way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from kraken_trio._compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from datetime import datetime

    from kraken_trio.events import BookSnapshot, BookUpdate, Gap, Level

__all__ = ["NAME", "Core", "FramePath", "load", "table"]


class Core(Protocol):
    """The levels of one available book, whose last checksum matched, and which is not crossed."""

    @property
    def bids(self) -> tuple[Level, ...]:
        """Best first."""
        ...

    @property
    def asks(self) -> tuple[Level, ...]:
        """Best first."""
        ...

    @property
    def best_bid(self) -> Level | None: ...

    @property
    def best_ask(self) -> Level | None: ...

    # Of the last message:

    @property
    def checksum(self) -> int: ...

    @property
    def timestamp(self) -> datetime | None: ...

    @property
    def epoch(self) -> int: ...

    @property
    def received_ns(self) -> int: ...

    def leave(self) -> None:
        """The book takes back the levels: nothing uses this core any more."""
        ...

    def apply(self, event: BookSnapshot | BookUpdate | Gap, /) -> bool:
        """Apply and verify an update. False if that is left to the pure code: then nothing has changed."""
        ...

    def follow(self, event: BookSnapshot | BookUpdate | Gap, /) -> bool:
        """The same without verifying it."""
        ...


class FramePath(Protocol):
    """A shorter way for the usual frames of a channel: from the bytes to the feeds, or no effect at all."""

    def take(
        self,
        frames: Sequence[str | bytes],
        index: int,
        epoch: int,
        received_ns: int,
        deliver: dict[Hashable, list[Any]],
        /,
    ) -> int:
        """Take the frames from ``index`` on, and append their events to ``deliver``, which makes lists by itself.

        Returns the index of the first frame that it does not take. That one has had no effect.
        """
        ...

    def count(self) -> tuple[int, int]:
        """Add what was taken since the last call to the session's counters.

        Returns how many frames that were, and their size: bytes, or characters of text.
        """
        ...


_core: Final = compiled("kraken_trio.book._core")
load: Callable[..., Core | None] | None = _core and _core.Core.load
"""A core for a book, from its levels and what is kept of its last message; or None if it does not take it."""
table: Callable[..., FramePath] | None = _core and _core.Table
"""Makes the frame path of the live books of a session."""
NAME: Final[Literal["compiled", "pure"]] = "pure" if load is None else "compiled"
"""``compiled`` or ``pure``."""
