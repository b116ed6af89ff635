"""What a client was given and what it decided, as the messages of a log: packed at once, written later, by the chunk.

This runs beside the client, between two reads of its socket: so it does as little as it can for a frame.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import attrs

from kraken_trio.recording.format import (
    DECISIONS,
    FRAME_FIRST,
    FRAME_MORE,
    INPUTS,
    KEYFRAMES,
    NOTES,
    PACK,
    TEXT_FIRST,
    TEXT_MORE,
    clock_offset,
)
from kraken_trio.recording.records import Told, decision_of, encode, told_of
from kraken_trio.session.inputs import Removed

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from kraken_trio.recording.records import Entry
    from kraken_trio.session.deliveries import Effects
    from kraken_trio.session.inputs import Input

__all__ = ["Block", "Packer", "redacted"]

_HEADER: Final = 22
"""Bytes of a message before its data that count as its length; nine more stand before them."""
_OVERHEAD: Final = _HEADER + 9
_U64: Final = 2**64 - 1
_LATER: Final = 2**64
"""Later than any wall clock time."""
_TOKEN: Final = re.compile(r'("token"\s*:\s*")(?:[^"\\]|\\.)*"')


def redacted(frame: str) -> str:
    """A frame that was sent, without the secret in it."""
    return _TOKEN.sub(r'\1…"', frame)


@attrs.frozen
class Block:
    """Messages that are written together."""

    parts: list[bytes]
    size: int
    """Bytes in all."""
    start_ns: int
    end_ns: int
    """The smallest and the largest wall clock time."""
    first: int
    last: int
    """The sequence numbers of the first and the last message."""
    batches: int
    frames: int


class Packer:
    """Packs messages, and numbers them from 1 in each segment."""

    def __init__(self) -> None:
        self.sequence: int = 0
        """Of the last message."""
        self._feeds: dict[Hashable, int] = {}
        self._last_feed = 0
        self._new_block()

    def _new_block(self) -> None:
        self._parts: list[bytes] = []
        self.size: int = 0
        """Bytes that wait."""
        self._start_ns, self._end_ns = _LATER, 0
        self._first = self.sequence + 1
        self._more = 0  # frames that are not the first of their batch
        self._others = 0  # messages that are no frames

    @property
    def start_ns(self) -> int | None:
        """The smallest wall clock time of what waits; None if nothing does."""
        return self._start_ns if self._parts else None

    def __len__(self) -> int:
        return self.sequence - self._first + 1

    def take(self) -> Block:
        """Everything since the last call."""
        frames = len(self) - self._others
        block = Block(
            self._parts,
            self.size,
            self._start_ns if self._parts else 0,
            self._end_ns,
            self._first,
            self.sequence,
            frames - self._more,
            frames,
        )
        self._new_block()
        return block

    def restart(self, sequence: int = 0) -> None:
        """Number from here: a new segment begins. Nothing may be waiting."""
        assert not self._parts
        self.sequence = sequence
        self._new_block()

    # Frames

    def received(self, frames: Sequence[str | bytes], wall_ns: int, now: float, effects: Effects) -> None:
        """A batch of frames, at least one, and what followed from it."""
        offset = wall_ns - int(now * 1e9)
        offset = offset - offset % 1000 & _U64  # `clock_offset`, without a call: this is done for every batch
        if wall_ns > self._end_ns:  # noqa: PLR1730 (`_see`, without a call)
            self._end_ns = wall_ns
        if wall_ns < self._start_ns:  # noqa: PLR1730 (likewise)
            self._start_ns = wall_ns
        is_live = not effects.rearm  # nothing but live data: then there are no records, and nothing is sent
        if not is_live and effects.records:
            self._with_decisions(frames, wall_ns, offset, effects)
        elif len(frames) == 1:  # most batches: the same as below, without a loop
            (frame,) = frames
            if isinstance(frame, str):
                data, kind = frame.encode(), TEXT_FIRST
            else:
                data, kind = frame, FRAME_FIRST
            length = len(data)
            self.sequence = sequence = self.sequence + 1
            self._parts += (PACK(5, _HEADER + length, kind, sequence, wall_ns, offset), data)
            self.size += _OVERHEAD + length
        else:
            sequence, append, size = self.sequence, self._parts.append, 0
            as_bytes, as_text = FRAME_FIRST, TEXT_FIRST
            for frame in frames:
                sequence += 1
                if isinstance(frame, str):
                    data, kind = frame.encode(), as_text
                else:
                    data, kind = frame, as_bytes
                length = len(data)
                append(PACK(5, _HEADER + length, kind, sequence, wall_ns, offset))
                append(data)
                size += length
                as_bytes, as_text = FRAME_MORE, TEXT_MORE
            self._more += len(frames) - 1
            self.size += size + _OVERHEAD * len(frames)
            self.sequence = sequence
        if not is_live:
            for sent in effects.send:
                self._sent(sent, wall_ns, offset)

    def _with_decisions(self, frames: Sequence[str | bytes], wall_ns: int, offset: int, effects: Effects) -> None:
        """Each decision stands right before the frame that led to it; those of the whole batch behind it."""
        decisions = [decision_of(record, taken) for record, taken in zip(effects.records, effects.places, strict=True)]
        waiting = iter(decisions)
        decision = next(waiting, None)
        for index, frame in enumerate(frames):
            while decision is not None and decision.frame is not None and decision.frame <= index:
                self._add(DECISIONS, encode(decision), wall_ns, offset)
                decision = next(waiting, None)
            is_text = isinstance(frame, str)
            kind = (TEXT_MORE if is_text else FRAME_MORE) if index else (TEXT_FIRST if is_text else FRAME_FIRST)
            self._add(kind, frame.encode() if isinstance(frame, str) else frame, wall_ns, offset)
        self._more += len(frames) - 1
        self._others -= len(frames)  # `_add` has counted them
        while decision is not None:
            self._add(DECISIONS, encode(decision), wall_ns, offset)
            decision = next(waiting, None)

    # Everything else

    def told(self, happening: Input, epoch: int, wall_ns: int, now: float, effects: Effects) -> None:
        """Another input, and what followed from it. ``epoch`` is that after it."""
        self._see(wall_ns)
        offset = clock_offset(wall_ns, now)
        told = told_of(happening, self._number, epoch)
        self._add(INPUTS, encode(told), wall_ns, offset)
        if isinstance(happening, Removed):
            self._feeds.pop(happening.feed, None)
        for record, taken in zip(effects.records, effects.places, strict=True):
            self._add(DECISIONS, encode(decision_of(record, taken)), wall_ns, offset)
        for sent in effects.send:
            self._sent(sent, wall_ns, offset)

    def _sent(self, frame: str, wall_ns: int, offset: int) -> None:
        """A frame was sent, or is about to be."""
        self._add(INPUTS, encode(Told(what="Sent", text=redacted(frame))), wall_ns, offset)

    def note(self, entry: Entry, wall_ns: int, now: float) -> None:
        """A note of the recorder."""
        self._see(wall_ns)
        self._add(NOTES, encode(entry), wall_ns, clock_offset(wall_ns, now))

    def key(self, entry: Entry, wall_ns: int, now: float) -> None:
        """A key frame, or the beginning or end of a cycle of them."""
        self._see(wall_ns)
        self._add(KEYFRAMES, encode(entry), wall_ns, clock_offset(wall_ns, now))

    def _add(self, channel: int, data: bytes, wall_ns: int, offset: int) -> None:
        self.sequence += 1
        self._others += 1
        self._parts += (PACK(5, _HEADER + len(data), channel, self.sequence, wall_ns, offset), data)
        self.size += _OVERHEAD + len(data)

    def _see(self, wall_ns: int) -> None:
        self._start_ns = min(self._start_ns, wall_ns)
        self._end_ns = max(self._end_ns, wall_ns)

    def _number(self, feed: Hashable) -> int:
        number = self._feeds.get(feed)
        if number is None:
            self._last_feed += 1
            number = self._feeds[feed] = self._last_feed
        return number
