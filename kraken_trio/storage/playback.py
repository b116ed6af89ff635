"""Plays a folder of segments: its records, in the order of the files, into a player. Blocking, without Trio.

Never by the order of a clock. What cannot be read is a hole: the player's feeds are told, and it goes on behind it.
Memory is bounded: a chunk is read at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from kraken_trio._text import printable
from kraken_trio.errors import ProtocolError, RecordingError
from kraken_trio.events import Cause
from kraken_trio.recording import format as fmt
from kraken_trio.recording.format import FormatError, monotonic_ns
from kraken_trio.recording.index import Damage
from kraken_trio.recording.player import Player
from kraken_trio.recording.records import (
    ClientFrame,
    CycleBegun,
    CycleEnded,
    Decision,
    KeyFrame,
    Started,
    read,
    requests_of,
)
from kraken_trio.storage.reading import open_folder
from kraken_trio.wire.codec import codec_for

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from kraken_trio.recording.records import Entry
    from kraken_trio.requests import Request
    from kraken_trio.storage.reading import RecordedFolder, Segment

__all__ = ["Item", "Playback"]

_Message: TypeAlias = tuple[int, int, int, int, bytes]
_NO_END: Final = 2**63
_STATE: Final = (Started, CycleBegun, ClientFrame, KeyFrame, CycleEnded)
"""They say what is known; nothing has happened."""
_MORE: Final = (fmt.FRAME_MORE, fmt.TEXT_MORE)


class Item(NamedTuple):
    """What is played at once."""

    wall_ns: int
    """When it was received, or happened, by the wall clock."""
    mono_ns: int
    """The same, by the monotonic clock: to be compared only with others of the same recorder."""
    recorder: str
    """The run of a recorder that wrote it."""
    what: list[bytes] | Entry | Damage | None
    """The frames of a batch, or of the part of a batch before the next decision; another record, None if its kind is
    unknown; or what cannot be read."""

    is_rest: bool = False
    """Whether it belongs to a batch of which a part was played before."""


class Playback:
    """A recording, and where in it we are. A context manager, which closes its files.

    ``end_ns``: it ends before the first item of this time, or of a later one. Raises :class:`RecordingError` if there
    is nothing to play.
    """

    def __init__(self, path: str | os.PathLike[str], *, end_ns: int | None = None) -> None:
        self.folder: RecordedFolder = open_folder(path)
        self.damage: list[Damage] = list(self.folder.damage)
        """What could not be read so far."""
        self.player: Player = Player(codec_for(_protocol(self.folder)))
        self.batches: int = 0
        """Batches of frames (or parts of them) that were played."""
        self._end_ns = _NO_END if end_ns is None else end_ns
        self._requests: dict[int, tuple[Request[Any], ...]] = {}
        self._reported: set[str] = set()  # segments whose own damage is in the list
        self._go(0, 0)
        self._recorder = ""  # of the last segment

    def _go(self, segment: int, chunk: int) -> None:
        """Read from there on."""
        self._segment = segment
        self._chunk = chunk  # the next one
        self._entered = -1  # the segment that we are in
        self._sequence = 0  # of the next message; 0 if any may come
        self._messages: list[_Message] = []
        self._next = 0
        self._item: Item | None = None

    @property
    def name(self) -> str:
        """The folder, printable."""
        return printable(self.folder.path, 400)

    def close(self) -> None:
        """Close the files."""
        self.folder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # What was recorded

    def refusal(self, request: Request[Any]) -> str | None:
        """Why this request cannot be played; None if it can: data of it were recorded, in any segment."""
        if request.channel is None:
            return None  # the client's own events are always there
        same: dict[Request[Any], None] = {}
        for number in self._by_nearness():
            for known in self._requests_of(number):
                if (known.channel, known.symbol) == (request.channel, request.symbol):
                    if known.variant == request.variant:
                        return None
                    same[known] = None
        there = list(same) or self.requests()
        return f"it was not recorded; there is: {_listed(there) if there else 'nothing'}"

    def requests(self) -> tuple[Request[Any], ...]:
        """All requests of which data were recorded, in the order in which they first came."""
        found = (known for number in range(len(self.folder.segments)) for known in self._requests_of(number))
        return tuple(dict.fromkeys(found))

    def _by_nearness(self) -> Iterator[int]:
        """The numbers of all segments, from the present one on: a recording of months has very many."""
        count = len(self.folder.segments)
        yield from range(self._segment, count)
        yield from range(min(self._segment, count))

    def _requests_of(self, number: int) -> tuple[Request[Any], ...]:
        known = self._requests.get(number)
        if known is None:
            segment = self.folder.segments[number]
            found: dict[Request[Any], None] = {}
            try:
                for entry in segment.index.metadata:
                    if entry.name == fmt.REQUESTS:
                        found.update(dict.fromkeys(requests_of(entry.values.get("confirmed", "[]"))))
            except FormatError:
                pass  # it is damage when it is played
            if number != self._segment:
                segment.release()
            known = self._requests[number] = tuple(found)
        return known

    # Moving

    def seek(self, at_ns: int) -> None:
        """Go to the first item at or after ``at_ns``, in the order of the files, with what was known there.

        The player must have no feeds.
        """
        number, chunk = self._find(at_ns)
        self._go(*self._begin_before(number, chunk, at_ns))
        self._recorder = ""
        self.player.part(Cause.SOUGHT, "the reader moved to another time")
        while (item := self.ahead()) is not None:
            if item.wall_ns >= at_ns and not item.is_rest and not isinstance(item.what, _STATE):
                break
            self.play()

    def _find(self, at_ns: int) -> tuple[int, int]:
        """The first chunk with anything at or after this time. Of segments that end before it, no index is read."""
        segments = self.folder.segments
        for number, segment in enumerate(segments):
            if number + 1 < len(segments) and _number(segments[number + 1], "started_ns", _NO_END) <= at_ns:
                continue
            try:
                chunks = segment.index.chunks
            except FormatError:
                continue
            for chunk, entry in enumerate(chunks):
                if entry.end_ns >= at_ns:
                    return number, chunk
        return len(segments), 0

    def _begin_before(self, number: int, chunk: int, at_ns: int) -> tuple[int, int]:
        """Where to begin to read: at the last whole cycle of key frames before that, or where a recorder began."""
        segments = self.folder.segments
        earlier = min(number, len(segments) - 1)
        while True:
            try:
                index = segments[earlier].index
            except FormatError:
                return earlier, 0
            limit = index.chunks[chunk].offset if earlier == number and chunk < len(index.chunks) else index.end
            offset = max(
                (
                    int(entry.values["offset"])
                    for entry in index.metadata
                    if entry.name == fmt.KEYFRAME_CYCLE
                    and entry.offset <= limit
                    and entry.values.get("offset", "").isdigit()
                    and entry.values.get("end_ns", "").isdigit()
                    and int(entry.values["end_ns"]) < at_ns
                ),
                default=None,
            )
            if offset is not None:
                return earlier, next((at for at, entry in enumerate(index.chunks) if entry.offset >= offset), 0)
            if earlier == 0 or not _continues(segments[earlier], segments[earlier - 1]):
                return earlier, 0
            earlier -= 1

    # Playing

    def ahead(self) -> Item | None:
        """What :meth:`play` plays next; None at the end."""
        item = self._item
        if item is None:
            item = self._item = self._read_item()
        return item if item is None or item.wall_ns < self._end_ns else None

    def play(self) -> None:
        """Give the player what is ahead, if anything is."""
        item = self.ahead()
        if item is None:
            return
        self._item = None
        wall_ns, what = item.wall_ns, item.what
        player = self.player
        if isinstance(what, list):
            self.batches += 1
            if player.has_decisions:
                player.frame(what[0], wall_ns)
            else:
                player.frames(what, wall_ns)
        elif isinstance(what, Damage):
            self._lose(what)
        elif what is not None:
            try:
                player.record(what, wall_ns)
            except (ProtocolError, ValueError) as error:
                self._lose(self._here(f"a record cannot be understood: {printable(error)}"))

    def _lose(self, damage: Damage) -> None:
        self.damage.append(damage)
        self.player.forget(Cause.NOT_RECORDED, f"the recording is damaged: {damage}", keeps_state=True)

    def _here(self, text: str) -> Damage:
        segment = self.folder.segments[min(self._segment, len(self.folder.segments) - 1)]
        chunks = segment.index.chunks
        offset = chunks[min(self._chunk, len(chunks)) - 1].offset if chunks else 0
        return Damage(segment.name, offset, text)

    def _read_item(self) -> Item | None:
        at = self._next
        if at >= len(self._messages):
            damage = self._read_chunk()
            if damage is not None:
                return self._damaged(damage)
            at = self._next
            if at >= len(self._messages):
                return None
        messages = self._messages
        channel, sequence, wall_ns, offset, data = messages[at]
        if sequence != self._sequence:
            expected, self._sequence = self._sequence, sequence
            if expected:
                return self._damaged(self._here(f"message {expected} should follow, but it is {sequence}"))
        at += 1
        mono_ns = monotonic_ns(wall_ns, offset)
        if channel <= fmt.TEXT_MORE:
            frames = [data]
            if not self.player.has_decisions:
                count, number, add = len(messages), sequence, frames.append
                while at < count:
                    follower = messages[at]
                    number += 1
                    if follower[1] != number or follower[0] not in _MORE:
                        break
                    add(follower[4])
                    at += 1
            self._next, self._sequence = at, sequence + len(frames)
            return Item(wall_ns, mono_ns, self._recorder, frames, channel in _MORE)
        self._next, self._sequence = at, sequence + 1
        try:
            entry = read(data)
        except ProtocolError as error:
            return self._damaged(self._here(f"message {sequence} cannot be understood: {printable(error)}"))
        return Item(wall_ns, mono_ns, self._recorder, entry, isinstance(entry, Decision) and bool(entry.frame))

    def _damaged(self, damage: Damage) -> Item:
        """An item of the time of what follows."""
        if self._next < len(self._messages):
            _, _, wall_ns, offset, _ = self._messages[self._next]
            mono_ns = monotonic_ns(wall_ns, offset)
        else:
            wall_ns = mono_ns = 0
        return Item(wall_ns, mono_ns, self._recorder, damage)

    def _read_chunk(self) -> Damage | None:
        """Have the next messages, if there are any. Returns what is damaged before them."""
        segments = self.folder.segments
        while self._segment < len(segments):
            segment = segments[self._segment]
            try:
                chunks = segment.index.chunks
            except FormatError as error:
                damage: Damage | None = Damage(segment.name, 0, str(error))
                self._leave(segment)
                return damage
            if self._entered != self._segment:
                self._entered = self._segment
                damage = self._enter(segment)
                if damage is not None:
                    return damage
            if self._chunk < len(chunks):
                entry = chunks[self._chunk]
                self._chunk += 1
                try:
                    self._messages, self._next = segment.read(entry), 0
                except FormatError as error:
                    self._sequence = 0
                    return Damage(segment.name, entry.offset, str(error))
                if self._messages:
                    return None
            else:
                self._leave(segment)
        return None

    def _leave(self, segment: Segment) -> None:
        self._messages, self._next = [], 0
        if self._segment + 1 < len(self.folder.segments):
            segment.release()
        self._segment += 1
        self._chunk = 0

    def _enter(self, segment: Segment) -> Damage | None:
        """Another segment begins, or we begin within it. Returns what is missing before it, once."""
        values = segment.values
        recorder = values.get("recording", "") or "?"
        before, self._recorder = self._recorder, recorder
        expected, self._sequence = self._sequence, 0 if self._chunk else 1
        self.player.epoch_base = _number(segment, "epoch_base", 0)
        if segment.name not in self._reported:
            self._reported.add(segment.name)
            self.damage += segment.damage
        if before == recorder:
            said = _number(segment, "previous_sequence", 0)
            if expected and said != expected - 1:
                return Damage(segment.name, 0, f"message {said} should stand before it, but it is {expected - 1}")
            if not expected and self._segment and not _continues(segment, self.folder.segments[self._segment - 1]):
                return Damage(segment.name, 0, "the segment before it is missing")
        return None


def _number(segment: Segment, name: str, default: int) -> int:
    """A number in the segment's metadata."""
    text = segment.values.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else default


def _continues(segment: Segment, before: Segment) -> bool:
    """Whether ``before`` was written by the same recorder, right before."""
    return segment.values.get("recording") == before.values.get("recording") and segment.number == before.number + 1


def _listed(requests: list[Request[Any]] | tuple[Request[Any], ...]) -> str:
    shown = ", ".join(map(str, requests[:20]))
    return f"{shown}, and {len(requests) - 20} more" if len(requests) > 20 else shown


def _protocol(folder: RecordedFolder) -> str:
    found = {segment.values.get("protocol", "v2") for segment in folder.segments}
    if len(found) > 1:
        names = ", ".join(sorted(printable(name, 40) for name in found))
        msg = (
            f"{printable(folder.path)} has recordings of several protocols ({names}): put each into a folder of its own"
        )
        raise RecordingError(msg)
    name = found.pop()
    try:
        codec_for(name)
    except ValueError as error:
        msg = f"{printable(folder.path)} cannot be read: {error}"
        raise RecordingError(msg) from None
    return name
