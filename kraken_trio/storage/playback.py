"""Plays a recording from its files: batch after batch, in file order, to the feeds of a player. Blocking, without Trio.

The order is that of the files, never that of a clock. What cannot be read is a hole: the player's feeds are told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kraken_trio._text import printable
from kraken_trio.errors import ProtocolError, RecordingError
from kraken_trio.events import Cause
from kraken_trio.recording import format as fmt
from kraken_trio.recording.format import FormatError
from kraken_trio.recording.index import Damage
from kraken_trio.recording.player import Player
from kraken_trio.recording.records import read, requests_of
from kraken_trio.storage.reading import open_folder
from kraken_trio.wire.codec import codec_for

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from kraken_trio.recording.index import ChunkEntry
    from kraken_trio.requests import Request
    from kraken_trio.storage.reading import RecordedFolder, Segment

__all__ = ["Playback"]

_NO_END: Final = 2**63
_MORE: Final = (fmt.FRAME_MORE, fmt.TEXT_MORE)


class Playback:
    """A recording, and where in it we are. A context manager, which closes its files."""

    def __init__(self, path: str | os.PathLike[str], *, end_ns: int | None = None) -> None:
        self.folder: RecordedFolder = open_folder(path)
        self.damage: list[Damage] = list(self.folder.damage)
        """What could not be read so far."""
        self.player: Player = Player(codec_for(_protocol(self.folder)))
        self._end_ns = _NO_END if end_ns is None else end_ns
        self._segment = 0
        self._chunk = 0
        self._sequence: int | None = None  # of the last message
        self._recording = ""  # of the last segment
        self._requests: dict[int, tuple[Request[Any], ...]] = {}
        self._messages: Sequence[tuple[int, int, int, int, bytes]] = ()
        self._next = 0
        self.batches: int = 0
        """Batches that were played."""

    @property
    def name(self) -> str:
        """The folder, printable."""
        return printable(self.folder.path, 400)

    def close(self) -> None:
        """Close the files."""
        self.folder.close()

    # What was recorded

    def finds(self, request: Request[Any]) -> bool:
        """Whether data of this request were recorded in any segment."""
        return any(
            (known.channel, known.symbol, known.variant) == (request.channel, request.symbol, request.variant)
            for number in self._by_nearness()
            for known in self._requests_of(number)
        )

    def requests(self) -> tuple[Request[Any], ...]:
        """All requests of which data were recorded, in the order in which they first came."""
        found = (known for number in range(len(self.folder.segments)) for known in self._requests_of(number))
        return tuple(dict.fromkeys(found))

    def _by_nearness(self) -> Iterator[int]:
        """The numbers of all segments, from the present one on: one of months has very many."""
        count = len(self.folder.segments)
        yield from range(self._segment, count)
        yield from range(min(self._segment, count))

    def _requests_of(self, number: int) -> tuple[Request[Any], ...]:
        known = self._requests.get(number)
        if known is None:
            segment = self.folder.segments[number]
            found: dict[Request[Any], None] = {}
            for entry in segment.index.metadata:
                if entry.name == fmt.REQUESTS:
                    found.update(dict.fromkeys(requests_of(entry.values.get("confirmed", "[]"))))
            known = self._requests[number] = tuple(found)
        return known

    @property
    def start_ns(self) -> int:
        """The time of the first message."""
        return next((segment.index.start_ns or 0 for segment in self.folder.segments if segment.index.chunks), 0)

    @property
    def last_ns(self) -> int:
        """The time of the last message."""
        segments = reversed(self.folder.segments)
        return next((segment.index.end_ns or 0 for segment in segments if segment.index.chunks), 0)

    # Moving

    def seek(self, at_ns: int) -> None:
        """Go to the first batch at or after ``at_ns``, in file order, with what was known there."""
        segments = self.folder.segments
        number, chunk = self._find(at_ns)
        begin = self._key_frames_before(number, chunk, at_ns)
        self._segment, self._chunk = begin
        self._messages, self._next = (), 0
        self._sequence, self._recording = None, ""
        self.player.forget(Cause.SOUGHT, "the reader moved to another time")
        self._segment = min(self._segment, max(0, len(segments) - 1))
        for wall_ns, item in self.items():
            if wall_ns >= at_ns and not isinstance(item, bytes):
                self._back()
                break
            self.apply(wall_ns, item)

    _last_item: tuple[Sequence[tuple[int, int, int, int, bytes]], int] | None = None

    def _back(self) -> None:
        """The item that was yielded last is the next one again."""
        assert self._last_item is not None  # one was yielded
        self._messages, self._next = self._last_item

    def _find(self, at_ns: int) -> tuple[int, int]:
        """The first chunk with anything at or after this time, in file order."""
        for number, segment in enumerate(self.folder.segments):
            end_ns = segment.index.end_ns
            if end_ns is not None and end_ns >= at_ns:
                for chunk, entry in enumerate(segment.index.chunks):
                    if entry.end_ns >= at_ns:
                        return number, chunk
            elif number + 1 < len(self.folder.segments):
                segment.release()
        return len(self.folder.segments), 0

    def _key_frames_before(self, number: int, chunk: int, at_ns: int) -> tuple[int, int]:
        """Where to begin to read: at the last whole cycle of key frames before that."""
        segments = self.folder.segments
        for earlier in range(min(number, len(segments) - 1), -1, -1):
            index = segments[earlier].index
            limit = index.chunks[chunk].offset if earlier == number and index.chunks else index.end
            offsets = [
                int(entry.values.get("offset", "0"))
                for entry in index.metadata
                if entry.name == fmt.KEYFRAME_CYCLE and entry.offset <= limit and int(entry.values["end_ns"]) <= at_ns
            ]
            if offsets:
                return earlier, next((at for at, entry in enumerate(index.chunks) if entry.offset >= offsets[-1]), 0)
            if earlier < number - 1 or segments[earlier].values.get("previous", "") == "":
                return earlier, 0
        return 0, 0

    # Playing

    def items(self) -> Iterator[tuple[int, list[bytes] | bytes | Damage]]:
        """What comes next, with its time: the frames of (a part of) a batch, another record, or damage.

        Each is to be given to :meth:`apply` before the next one is asked for.
        """
        player = self.player
        while self._next < len(self._messages) or self._read_chunk():
            messages = self._messages
            if isinstance(messages, _DamagedChunk):
                self._messages = ()
                self.damage.append(messages.damage)
                yield messages.wall_ns, messages.damage
                continue
            at, count = self._next, len(messages)
            while at < count:
                start = at
                channel, sequence, wall_ns, _, data = messages[at]
                if sequence != self._sequence:
                    if self._sequence is not None:
                        yield wall_ns, self._break(sequence)
                    self._sequence = sequence
                self._last_item = (messages, start)
                at += 1
                if channel > fmt.TEXT_MORE:
                    self._sequence = sequence + 1
                    self._next = at
                    yield wall_ns, data
                else:
                    if wall_ns >= self._end_ns:
                        return
                    frames = [data]
                    if not player.has_decisions:
                        while at < count and messages[at][0] in _MORE and messages[at][1] == sequence + at - start:
                            frames.append(messages[at][4])
                            at += 1
                    self._sequence = sequence + at - start
                    self._next = at
                    yield wall_ns, frames
                if self._messages is not messages or self._next != at:
                    break  # we have moved

    def apply(self, wall_ns: int, item: list[bytes] | bytes | Damage) -> None:
        """Give an item to the player."""
        player = self.player
        if isinstance(item, list):
            self.batches += 1
            if player.has_decisions:
                player.frame(item[0], wall_ns)
            else:
                player.frames(item, wall_ns)
        elif isinstance(item, bytes):
            try:
                entry = read(item)
                if entry is not None:
                    player.record(entry)
            except (ProtocolError, ValueError) as error:
                damage = self._damage(f"a record cannot be understood: {printable(error)}")
                self.damage.append(damage)
                self._lose(damage)
        else:
            self._lose(item)

    def _lose(self, damage: Damage) -> None:
        self.player.forget(Cause.NOT_RECORDED, f"the recording is damaged: {damage}", keeps_state=True)

    def _damage(self, text: str) -> Damage:
        segment = self.folder.segments[min(self._segment, len(self.folder.segments) - 1)]
        chunks = segment.index.chunks
        offset = chunks[min(self._chunk, len(chunks)) - 1].offset if chunks else 0
        return Damage(segment.name, offset, text)

    def _break(self, sequence: int) -> Damage:
        damage = self._damage(f"message {self._sequence} should follow, but it is {sequence}")
        self.damage.append(damage)
        return damage

    def _read_chunk(self) -> bool:
        """Have the next chunk's messages. Returns whether there are any."""
        while self._segment < len(self.folder.segments):
            segment = self.folder.segments[self._segment]
            if self._chunk == 0:
                self._enter(segment)
            if self._chunk < len(segment.index.chunks):
                entry = segment.index.chunks[self._chunk]
                self._chunk += 1
                self._messages, self._next = self._read(segment, entry), 0
                if self._messages or isinstance(self._messages, _DamagedChunk):
                    return True
            else:
                self.damage += segment.damage
                if self._segment + 1 < len(self.folder.segments):
                    segment.release()
                self._segment += 1
                self._chunk = 0
        return False

    def _read(self, segment: Segment, entry: ChunkEntry) -> Sequence[tuple[int, int, int, int, bytes]]:
        try:
            return segment.read(entry)
        except FormatError as error:
            self._sequence = None
            return _DamagedChunk(Damage(segment.name, entry.offset, str(error)), entry.start_ns)

    def _enter(self, segment: Segment) -> None:
        """Another segment begins."""
        values = segment.values
        recording = values.get("recording", "")
        if self._recording and recording == self._recording:
            last = None if self._sequence is None else self._sequence - 1
            if last is not None and values.get("previous_sequence", "") != str(last):
                said = values.get("previous_sequence", "")
                self.damage.append(Damage(segment.name, 0, f"message {said} should stand before it, but it is {last}"))
                self._lose(self.damage[-1])
        elif self._recording:
            self.player.forget(Cause.NOT_RECORDED, "the recording was interrupted here")
        self._recording = recording
        self._sequence = None if self._chunk else 1
        try:
            self.player.epoch_base = int(values.get("epoch_base", "0"))
        except ValueError:
            self.damage.append(Damage(segment.name, 0, "its first connection has no number"))


class _DamagedChunk(list[tuple[int, int, int, int, bytes]]):
    """In the place of the messages of a chunk that cannot be read."""

    def __init__(self, damage: Damage, wall_ns: int) -> None:
        super().__init__()
        self.damage = damage
        self.wall_ns = wall_ns


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
