"""What an audit of a recording finds: values, and the JSON object that ``kraken-trio audit --json`` prints."""

from __future__ import annotations

import enum
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from kraken_trio._text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Defect", "Hole", "Kind", "Recorder", "Report", "Row", "Verdict", "iso"]

MAX_LINES: Final = 2000
"""How many defects, holes and notes are described; all are counted."""
_NS: Final = 10**9
NS_PER_DAY: Final = 86_400 * _NS
_MAX_SPLIT_NS: Final = 1000 * NS_PER_DAY
Key: TypeAlias = tuple[str, str | None]


class Verdict(enum.Enum):
    """What an audit says of a recording as a whole; :attr:`status` is the exit status of the command."""

    COMPLETE = "complete"
    """Everything is there, and everything fits together."""
    HOLES = "holes"
    """Something is missing, and the recording itself says what."""
    DAMAGED = "damaged"
    """Something is missing, doubled, out of place or changed."""

    @property
    def status(self) -> int:
        """0, 1 or 2."""
        return list(Verdict).index(self)


class Kind(enum.Enum):
    """The kinds of defects."""

    FILE = "file"
    """A file cannot be read, is missing, does not belong here, or is not as its end says."""
    CHUNK = "chunk"
    """A block of messages cannot be read."""
    SEQUENCE = "sequence"
    """Messages are missing, doubled, or out of order."""
    RECORD = "record"
    """A record cannot be understood."""
    TIME = "time"
    """Times contradict one another."""
    METADATA = "metadata"
    """What stands uncompressed for readers' use does not fit the messages."""
    DECISION = "decision"
    """What the client decided does not follow from what it was given."""
    DATA = "data"
    """The exchange's data fail a check, and the client had not found that."""
    KEY_FRAME = "key frame"
    """The state that was written for readers is not the one that the messages lead to."""


@attrs.frozen(kw_only=True)
class Defect:
    """Something that must not be in a recording."""

    kind: Kind
    file: str
    text: str
    message: int | None = None
    """The message's sequence number in the file."""
    byte: int | None = None
    """Or the offset in the file."""
    at_ns: int | None = None
    """The wall clock time of the place, if it is known."""

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "kind": self.kind.value,
            "file": self.file,
            "message": self.message,
            "byte": self.byte,
            "time": iso(self.at_ns),
            "text": self.text,
        }


@attrs.frozen(kw_only=True)
class Hole:
    """Something that is missing, as the recording itself says."""

    cause: str
    """The value of a :class:`~kraken_trio.Cause`."""
    detail: str
    channel: str | None
    """None if it concerns everything that was recorded."""
    symbol: str | None
    begin_ns: int
    end_ns: int | None
    """None if the recording ends before the hole does."""

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "cause": self.cause,
            "detail": self.detail,
            "channel": self.channel,
            "symbol": self.symbol,
            "begin": iso(self.begin_ns),
            "end": iso(self.end_ns),
        }


@attrs.define(kw_only=True)
class Row:
    """One channel and symbol on one day (UTC)."""

    channel: str
    symbol: str | None
    day: int
    """Days since 1970-01-01."""
    request: str = ""
    """What was subscribed to, human-readable."""
    covered_ns: int = 0
    """For how long its data were recorded without a hole."""
    events: int = 0
    verified: int = 0
    failed: int = 0
    absent: int = 0
    """Book messages without a checksum."""
    missing_trades: int = 0
    resyncs: int = 0
    holes: dict[str, int] = attrs.Factory(dict)
    """How many began, by cause."""
    hole_ns: int = 0
    earliest_ns: int | None = None
    """The smallest difference of receive time and the exchange's timestamp: of a live event."""
    latest_ns: int | None = None
    """The largest."""

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "day": day_text(self.day),
            "channel": self.channel,
            "symbol": self.symbol,
            "request": self.request,
            "seconds": round(self.covered_ns / _NS, 3),
            "events": self.events,
            "checksums": {"verified": self.verified, "failed": self.failed, "absent": self.absent},
            "missing_trades": self.missing_trades,
            "resyncs": self.resyncs,
            "holes": dict(self.holes),
            "hole_seconds": round(self.hole_ns / _NS, 3),
            "clock_offset_ms": offset_ms(self.earliest_ns, self.latest_ns),
        }


@attrs.define(kw_only=True)
class Recorder:
    """One run of a recorder."""

    id: str
    version: str
    endpoint: str
    protocol: str
    segments: int = 0
    begin_ns: int | None = None
    end_ns: int | None = None
    ended: str = "unknown"
    """``stopped``, ``killed`` or ``running``; ``unknown`` before it has been read."""

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Recorder:
        """That of a segment, by its metadata."""
        return cls(
            id=printable(values.get("recording", ""), 60),
            version=printable(values.get("version", ""), 40),
            endpoint=printable(values.get("endpoint", ""), 200),
            protocol=printable(values.get("protocol", ""), 40),
        )

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "id": self.id,
            "version": self.version,
            "endpoint": self.endpoint,
            "protocol": self.protocol,
            "segments": self.segments,
            "begin": iso(self.begin_ns),
            "end": iso(self.end_ns),
            "ended": self.ended,
        }


@attrs.define
class Report:
    """The result of an audit."""

    rows: dict[tuple[Key, int], Row] = attrs.Factory(dict)
    """By channel and symbol, and by day."""
    defects: list[Defect] = attrs.Factory(list)
    defect_count: int = 0
    holes: list[Hole] = attrs.Factory(list)
    hole_count: int = 0
    notes: list[str] = attrs.Factory(list)
    """What is worth knowing, and neither a defect nor a hole."""
    note_count: int = 0
    recorders: list[Recorder] = attrs.Factory(list)
    segments: int = 0
    bytes: int = 0
    messages: int = 0
    frames: int = 0
    batches: int = 0
    begin_ns: int | None = None
    end_ns: int | None = None

    @property
    def verdict(self) -> Verdict:
        """What it all comes to."""
        if self.defect_count:
            return Verdict.DAMAGED
        return Verdict.HOLES if self.hole_count else Verdict.COMPLETE

    def add_defect(self, defect: Defect) -> None:
        """Count it, and keep it if there is room."""
        self.defect_count += 1
        if len(self.defects) < MAX_LINES:
            self.defects.append(defect)

    def add_hole(self, hole: Hole) -> None:
        """Count it, and keep it if there is room."""
        self.hole_count += 1
        if len(self.holes) < MAX_LINES:
            self.holes.append(hole)

    def add_note(self, text: str) -> None:
        """Count it, and keep it if there is room."""
        self.note_count += 1
        if len(self.notes) < MAX_LINES:
            self.notes.append(text)

    def plain(self, folder: str) -> Mapping[str, Any]:
        """The object of ``kraken-trio audit --json``."""
        rows = [self.rows[place] for place in sorted(self.rows, key=lambda place: (place[1], str(place[0])))]
        return {
            "format": 1,
            "folder": folder,
            "verdict": self.verdict.value,
            "begin": iso(self.begin_ns),
            "end": iso(self.end_ns),
            "segments": self.segments,
            "bytes": self.bytes,
            "messages": self.messages,
            "frames": self.frames,
            "batches": self.batches,
            "recorders": [recorder.plain() for recorder in self.recorders],
            "days": [row.plain() for row in rows],
            "defect_count": self.defect_count,
            "defects": [defect.plain() for defect in self.defects],
            "hole_count": self.hole_count,
            "holes": [hole.plain() for hole in self.holes],
            "note_count": self.note_count,
            "notes": list(self.notes),
        }


def iso(at_ns: int | None) -> str | None:
    """A time as ISO 8601 in UTC, with microseconds. What damaged records say may be no time."""
    if at_ns is None:
        return None
    if not 0 <= at_ns < 1 << 64:
        return "no time"
    time = datetime.fromtimestamp(at_ns // _NS, UTC)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{at_ns % _NS // 1000:06d}Z"


def by_day(begin_ns: int, end_ns: int) -> list[tuple[int, int]]:
    """The days of an interval, each with its part of it in ns. One of years, which is damage, is not split."""
    parts: list[tuple[int, int]] = []
    while begin_ns < end_ns:
        day = begin_ns // NS_PER_DAY
        stop = min(end_ns, (day + 1) * NS_PER_DAY) if end_ns - begin_ns < _MAX_SPLIT_NS else end_ns
        parts.append((day, stop - begin_ns))
        begin_ns = stop
    return parts


def day_text(day: int) -> str:
    """A day as ``2027-01-31``."""
    return f"{datetime.fromtimestamp(day * 86_400, UTC):%Y-%m-%d}"


def offset_ms(earliest_ns: int | None, latest_ns: int | None) -> list[float] | None:
    """A range in milliseconds; None if nothing is known."""
    if earliest_ns is None or latest_ns is None:
        return None
    return [round(earliest_ns / 1e6, 3), round(latest_ns / 1e6, 3)]
