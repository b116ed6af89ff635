"""Verification of a recording: every book is rebuilt and checked by the code of a live client.

Rules:

* A checksum counts as verified only if the book matched it. One that could not be checked, because there was no
  snapshot yet, or none since a mismatch, is not verified.
* Books of prices and of single orders (Level 3) are checked alike.
* A book's depth is taken from the exchange's answer to the subscription, otherwise from the user's option,
  otherwise it is the smallest depth of Kraken's in which the snapshot fits.
* After a failure a book is checked again from its next snapshot.
* The protocol, v2 or v1, is that of the first frame.
* A file in which nothing is a frame of the protocol, or was one before it was damaged, is not a recording, and gets one
  failure. So does a text that begins as one, and has a few frames in it as examples; but only if none of its checksums
  is right. Everything else counts as a recording, however damaged.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from kraken_trio._text import printable
from kraken_trio.book import Level3Book, OrderBook
from kraken_trio.cli.formatting import counted
from kraken_trio.errors import ChecksumMismatch, ProtocolError, RecordingError
from kraken_trio.events import BookSnapshot, BookUpdate, Level3Snapshot, Level3Update
from kraken_trio.evidence import ChecksumEvidence
from kraken_trio.requests import DEPTHS, LEVEL3_DEPTHS
from kraken_trio.wire import codec_for
from kraken_trio.wire.messages import Ack, Data, Foreign, Heartbeat, Method, Notice, Unknown

if TYPE_CHECKING:
    from kraken_trio.evidence import ChecksumEvidence
    from kraken_trio.recording.foreign import RecordedFrame
    from kraken_trio.wire.messages import Message

__all__ = ["MAX_FAILURES", "Failure", "SymbolReport", "Verification"]

MAX_FAILURES: Final = 20
"""Failures of one file that are described; the others are counted."""
MAX_SYMBOLS: Final = 10_000
"""Kraken has about 1500."""

_SENSELESS_LIMIT: Final = 1000
"""If none of so many lines at the beginning is a frame, the file is not read further. Some recordings begin with what
their recorder logged."""
_TEXT_SHARE: Final = 10
"""In a text there are at least so many other lines for each that is like a frame."""
_KEY_OF_A_FRAME = re.compile(rb'"(?:channel|method|checksum)"\s*:')
_PART_OF_V1 = re.compile(
    rb'\[[0-9]{1,10},|.*"(?:event|channelName)"\s*:|.*"\s*,\s*"[A-Z0-9.]{1,32}/[A-Z0-9.]{1,32}"\s*\]\Z', re.DOTALL
)
_CUT_AT_ONCE = re.compile(rb'\{"[a-z_]*"?')
_MAX_OTHERS: Final = 64  # a peer chooses the names

_FOREIGN: Final = {
    "v1": "it goes on with frames of Kraken's older protocol, v1: put them into a file of their own",
    "v2": "it begins with frames of Kraken's older protocol, v1, and goes on with v2: put them into files of their own",
    "futures": "it is a recording of Kraken Futures, which cannot be verified; v2 is wss://ws.kraken.com/v2",
}


_BookEvent: TypeAlias = BookSnapshot | BookUpdate | Level3Snapshot | Level3Update
_DEPTHS: Final[dict[str, tuple[int, ...]]] = {"book": DEPTHS, "level3": LEVEL3_DEPTHS}
"""The channels that have checksums, and the depths that Kraken offers."""


@attrs.define
class SymbolReport:
    """The result for one symbol's book, of prices or of single orders."""

    symbol: str
    channel: str = "book"
    depth: int | None = None
    """The last one; None before the first snapshot."""
    depth_inferred: bool = False
    """Whether the depth was inferred from the snapshot."""
    checksums: int = 0
    """Checksums in the recording."""
    verified: int = 0
    mismatches: int = 0
    unchecked: int = 0
    """Checksums of updates without a verified book to apply them to."""
    crossed: int = 0
    """Messages after which the verified book was crossed: the exchange's own state."""


@attrs.frozen(kw_only=True)
class Failure:
    """One failure, human-readable and printable."""

    where: str
    """The position in the file; empty if it concerns the file as a whole."""
    problem: str
    evidence: ChecksumEvidence | None = attrs.field(default=None, eq=False)
    hint: str = ""


class Verification:
    """One file's frames, checked as they come."""

    def __init__(self, depth: int | None = None) -> None:
        self.symbols: dict[tuple[str, str], SymbolReport] = {}
        """By channel and symbol."""
        self.failures: list[Failure] = []
        """The first ones."""
        self.failure_count: int = 0
        self.frames: int = 0
        self.others: Counter[str] = Counter()
        """Frames in which there is nothing to check, by kind."""
        self._depth = depth
        self._acked: dict[tuple[str, str], int] = {}
        self._books: dict[tuple[str, str], OrderBook | Level3Book] = {}
        self._protocol = "v2"
        self._codec = codec_for(self._protocol)
        self._alike = 0
        """Frames of the protocol, and malformed ones that may have been."""
        self._texts = 0
        """Other lines of text."""
        self._begins_as_text = False
        self._first: RecordedFrame | None = None
        self._is_recording = True

    @property
    def checksums(self) -> int:
        return sum(report.checksums for report in self.symbols.values())

    @property
    def verified(self) -> int:
        return sum(report.verified for report in self.symbols.values())

    @property
    def unread(self) -> Failure | None:
        """Why there is nothing else to report: it is no recording, or no frame could be read. Otherwise None."""
        return None if self._is_recording and self.frames else self.failures[0]

    @property
    def ok(self) -> bool:
        """Whether something was verified, and nothing failed."""
        return not self.failure_count and 0 < self.verified == self.checksums

    def take(self, frame: RecordedFrame) -> None:
        """Check the next frame. Raises :class:`RecordingError` if the file cannot be checked at all."""
        self.frames += 1
        if self._first is None:
            self._first = frame
        try:
            message = self._decode(frame.data)
        except ProtocolError as error:
            self._fail(Failure(where=frame.where, problem=f"it cannot be decoded: {error}"))
            if _may_have_been_a_frame(frame.data, self._protocol):
                self._alike += 1
            else:
                self._unlike(is_text=_is_text(frame.data))
            return
        if isinstance(message, Notice) or (isinstance(message, Unknown) and message.channel is None):
            self._unlike(is_text=isinstance(message, Notice))
        elif not isinstance(message, Foreign):
            self._alike += 1
        if isinstance(message, Data) and message.channel in _DEPTHS:
            for event in message.events:
                assert isinstance(event, BookSnapshot | BookUpdate | Level3Snapshot | Level3Update)
                self._check(event, frame)
        elif isinstance(message, Data):
            self._other(message.channel)
        elif isinstance(message, Ack):
            self._other("control frames")
            if message.method is Method.SUBSCRIBE and message.channel in _DEPTHS:
                self._subscribed(message)
        elif isinstance(message, Heartbeat):
            self._other("heartbeats")
        elif isinstance(message, Unknown):
            self._other(message.what)
        elif isinstance(message, Foreign):
            if not self._alike:
                self._dismiss()
            raise RecordingError(_FOREIGN[message.protocol])
        else:
            self._other("control frames")

    def _decode(self, data: bytes) -> Message:
        message = self._codec.decode(data)
        if isinstance(message, Foreign) and message.protocol == "v1" and not self._alike:
            self._protocol = message.protocol
            self._codec = codec_for(self._protocol)
            message = self._codec.decode(data)
        return message

    def end(self, error: RecordingError | None = None) -> None:
        """Conclude: the file has ended, or cannot be read further."""
        if self._is_no_recording():
            error = error or self._dismissal()
            self._dismiss()
        if error is not None:
            self._fail(Failure(where="", problem=str(error)))
        elif not self.frames:
            self._fail(Failure(where="", problem="there is no frame in it"))
        elif not self.checksums:
            found = ", ".join(f"{count:,} {what}" for what, count in self.others.most_common(8)) or "nothing else"
            problem = f"there is nothing to verify: no checksum of a book in {counted(self.frames, 'frame')} ({found})"
            self._fail(Failure(where="", problem=problem))

    # Is it a recording?

    def _unlike(self, *, is_text: bool) -> None:
        """Count what is not like a frame. Raises :class:`RecordingError` if it makes no sense to read further."""
        self._texts += is_text
        self._begins_as_text |= is_text and self.frames == 1
        if self.frames >= _SENSELESS_LIMIT and not self._alike and (self.failure_count or self._texts):
            error = self._dismissal("first ")
            self._dismiss()
            raise error

    def _is_no_recording(self) -> bool:
        if self._first is None or self._first.line is None or not (self.failure_count or self._texts):
            return False
        is_text = self._begins_as_text and not self.verified and self._texts >= _TEXT_SHARE * self._alike
        return is_text or not self._alike

    def _dismiss(self) -> None:
        """Forget what was found: it is not of a recording."""
        self._is_recording = False
        self.symbols.clear()
        self.failures.clear()
        self.failure_count = 0

    def _dismissal(self, which: str = "") -> RecordingError:
        assert self._first is not None
        lines = counted(self.frames, "frame" if self._first.line is None else "line")
        found = f"only {self._alike} of its {lines} may be of it" if self._alike else f"no frame in its {which}{lines}"
        start = printable(self._first.data[:100].decode("utf-8", "replace"), 40)
        return RecordingError(f"it is no recording of Kraken's protocols: {found}; it begins with '{start}'")

    def _subscribed(self, ack: Ack) -> None:
        depth = ack.depth
        if ack.channel is None or ack.symbol is None or depth is None or depth not in _DEPTHS[ack.channel]:
            return
        key = (ack.channel, ack.symbol)
        if key in self._acked or len(self._acked) < MAX_SYMBOLS:
            self._acked[key] = depth
            report = self.symbols.get(key)
            if report is not None and report.depth_inferred:  # the answer came after the snapshot
                self._books[key].depth = report.depth = depth
                report.depth_inferred = False

    def _check(self, event: _BookEvent, frame: RecordedFrame) -> None:
        key = (event.channel, event.symbol)
        report = self.symbols.get(key)
        if report is None:
            if len(self.symbols) >= MAX_SYMBOLS:
                msg = f"{frame.where} is of yet another symbol: there are more than {MAX_SYMBOLS}"
                raise RecordingError(msg)
            report = self.symbols[key] = SymbolReport(event.symbol, event.channel)
        has_checksum = event.checksum is not None
        report.checksums += has_checksum
        book = self._book_for(event, report)
        if book is None or not (book.available or isinstance(event, BookSnapshot | Level3Snapshot)):
            if has_checksum:
                self._unchecked(report, frame)
            return
        try:
            book.apply(event)  # type: ignore[arg-type]  # it is of the event's channel
        except ChecksumMismatch as error:
            report.mismatches += 1
            hint = ""
            if report.depth_inferred:
                hint = f"the depth {report.depth} was inferred from the snapshot: if it was another, say --depth"
            self._fail(Failure(where=frame.where, problem=str(error), evidence=error.evidence, hint=hint))
        except ProtocolError as error:
            self._fail(Failure(where=frame.where, problem=f"{printable(report.symbol, 40)}: {error}"))
        else:
            report.verified += has_checksum
            report.crossed += book.crossed

    def _unchecked(self, report: SymbolReport, frame: RecordedFrame) -> None:
        report.unchecked += 1  # mutant: unchecked
        if report.depth is None and report.unchecked == 1:  # otherwise the cause is a failure that is already reported
            problem = f"{printable(report.symbol, 40)}: an update before the first snapshot, which cannot be checked"
            self._fail(Failure(where=frame.where, problem=problem))

    def _book_for(self, event: _BookEvent, report: SymbolReport) -> OrderBook | Level3Book | None:
        key = (event.channel, event.symbol)
        book = self._books.get(key)
        if isinstance(event, BookUpdate | Level3Update):
            return book
        depth = self._acked.get(key) or self._depth
        report.depth_inferred = depth is None
        if depth is None:
            prices = max(len({entry.price_text for entry in side}) for side in (event.bids, event.asks))
            depth = next((offered for offered in _DEPTHS[event.channel] if offered >= prices), prices)
        if book is None or book.depth != depth:
            book = self._books[key] = OrderBook(depth) if isinstance(event, BookSnapshot) else Level3Book(depth)
        report.depth = depth
        return book

    def _other(self, what: str) -> None:
        self.others[what if what in self.others or len(self.others) < _MAX_OTHERS else "more"] += 1

    def _fail(self, failure: Failure) -> None:
        self.failure_count += 1
        if len(self.failures) < MAX_FAILURES:
            self.failures.append(failure)


def _may_have_been_a_frame(data: bytes, protocol: str) -> bool:
    """Whether malformed data can be a frame that lost its end, its beginning, or something in between."""
    if protocol == "v1":
        return _PART_OF_V1.match(data) is not None
    if data.startswith(b"{") or data.endswith(b"}"):
        return _KEY_OF_A_FRAME.search(data) is not None or _CUT_AT_ONCE.fullmatch(data) is not None
    return False


def _is_text(data: bytes) -> bool:
    try:
        return data.decode().replace("\t", " ").isprintable()
    except UnicodeDecodeError:
        return False
