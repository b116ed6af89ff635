"""What all kinds of books have: when they can be read, whose events they take, and that they are verified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol
from zlib import crc32

from kraken_trio._text import printable
from kraken_trio.errors import BookUnavailable, ChecksumMismatch
from kraken_trio.events import BookUpdate, Gap, Level3Update
from kraken_trio.evidence import ChecksumEvidence

if TYPE_CHECKING:
    from collections.abc import Callable

    from kraken_trio.events import BookSnapshot, Level3Snapshot

__all__ = ["VerifiedBook", "symbol_text"]

_SHOWN: Final = 12
_MESSAGE_SHOWN: Final = 1000
_HASHED_SHOWN: Final = 10_000


class _Side(Protocol):
    touched: bool

    def top(self) -> bytes: ...


class VerifiedBook:
    """The base of :class:`~kraken_trio.OrderBook` and :class:`~kraken_trio.Level3Book`."""

    __slots__ = (
        "_asks",
        "_asks_crc",
        "_bids",
        "_checksum",
        "_decimals",
        "_epoch",
        "_received_ns",
        "_unavailable",
        "_verified",
        "depth",
        "symbol",
    )

    kind: ClassVar[str]
    """What it is called.

    :meta private:
    """
    _unit: ClassVar[str]
    _snapshot: ClassVar[type[BookSnapshot | Level3Snapshot]]
    _update: ClassVar[type[BookUpdate | Level3Update]]
    _bids: _Side
    _asks: _Side

    def __init__(self, depth: int) -> None:
        if type(depth) is not int or depth < 1:
            msg = f"depth={depth!r}: a book has a whole number of {self._unit} per side, at least 1"
            raise ValueError(msg)
        self.depth: int = depth
        """Levels kept per side; of a Level 3 book, prices."""
        self.symbol: str | None = None
        """The symbol of the first snapshot; None before."""
        self._decimals: int = 0
        """How the sides' keys are scaled: the most decimals of any price so far."""
        self._asks_crc: int = 0
        """Of the asks' top ten alone."""
        self._checksum: int = 0
        """Of both sides' top ten, unless one is touched."""
        self._verified: bool = False
        self._unavailable: str | None = "it has had no snapshot yet"
        # Of the last event, which is not kept, so that it can be freed.
        self._epoch: int = 0
        self._received_ns: int = 0

    @property
    def available(self) -> bool:
        """Whether the book can be read: from a snapshot that passed its check until the next gap or failed check."""
        return self._unavailable is None

    @property
    def verified(self) -> bool:
        """Whether a checksum has matched since the last snapshot, the snapshot's own included.

        False while the book is unavailable, and for a protocol or a file without checksums in its snapshots until an
        update's checksum matches.
        """
        return self._verified

    def invalidate(self, why: str) -> None:
        """Make the book unavailable until its next snapshot. ``why`` completes "this book cannot be read: …"."""
        self._unavailable = why
        self._verified = False

    def _is_done(self, event: Any) -> bool:
        """Look at what is no update. False for a snapshot of this book; a gap has been applied if it is of this book.

        Raises for everything else.
        """
        if not isinstance(event, self._snapshot | Gap):
            msg = (
                f"a {self.kind} follows {self._snapshot.__name__}, {self._update.__name__} and Gap, "
                f"not {type(event).__name__}"
            )
            raise TypeError(msg)
        if isinstance(event, Gap) and (event.symbol is None or event.channel not in (None, self._snapshot.channel)):
            return True
        if event.symbol != self.symbol and self.symbol is not None:
            raise self._wrong_symbol(event)
        if isinstance(event, Gap):
            # mutant: book after gap
            self.invalidate(f"events are missing ({event.cause.value}); its next snapshot has not come yet")
            return True
        return False

    def _wrong_symbol(self, event: Any) -> ValueError:
        return ValueError(f"this is the book of {symbol_text(self.symbol)}, not of {symbol_text(event.symbol)}")

    def _crc(self) -> int:
        asks, bids = self._asks, self._bids  # mutant: asks before bids
        if asks.touched:
            self._asks_crc = crc32(asks.top())
            self._checksum = crc32(bids.top(), self._asks_crc)
        elif bids.touched:
            self._checksum = crc32(bids.top(), self._asks_crc)
        return self._checksum

    def _mismatch(self, event: Any, expected: int, when: str | None, shown: Callable[[Any], str]) -> ChecksumMismatch:
        """The error of a message whose checksum does not match. ``shown`` describes what there is in it."""
        hashed = printable((self._asks.top() + self._bids.top()).decode(), _HASHED_SHOWN)
        message = _described(event, when, shown)
        return ChecksumMismatch(ChecksumEvidence(symbol_text(event.symbol), expected, self._crc(), hashed, message))

    def _require(self) -> None:
        if self._unavailable is not None:
            raise self._refusal()

    def _refusal(self) -> BookUnavailable:
        which = f"the {self.kind}" if self.symbol is None else f"the {self.kind} of {symbol_text(self.symbol)}"
        return BookUnavailable(f"{which} cannot be read: {self._unavailable}")


def symbol_text(symbol: str | None) -> str:
    """A symbol, escaped for messages."""
    return printable(symbol, 40)


def _described(event: Any, when: str | None, shown: Callable[[Any], str]) -> str:
    """A message as evidence: see :attr:`~kraken_trio.ChecksumEvidence.message`."""
    kind = "update" if isinstance(event, BookUpdate | Level3Update) else "snapshot"
    parts = [
        f"{name} {' '.join(map(shown, rows[:_SHOWN])) or 'none'}"
        + (f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else "")
        for name, rows in (("bids", event.bids), ("asks", event.asks))
    ]
    told = f"{kind}: checksum {event.checksum}, {when or 'no timestamp'}; {'; '.join(parts)}"
    return printable(told, _MESSAGE_SHOWN)
