"""A recording: real (or made-up) v2 frames, to be served by the fake exchange in place of a market.

Three forms are read: a list of frames; a file with one frame per line (lines that are no JSON object are skipped, and
a leading ``<unix time>: `` is taken off); and ``.cbcap``, which is a line ``CBCAP1 <venue> <symbol> <unix ns>`` and
then, per frame, ``<unix ns> <byte length>``, a newline, the frame, and a newline.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["RecordedFrame", "Recording", "read_frames"]

_TIME = re.compile(r"^\d+(\.\d+)?: ")
_VARIANTS = {"book": "depth", "ohlc": "interval", "ticker": "event_trigger"}
_NOT_DATA = (None, "status", "heartbeat")


@attrs.frozen
class RecordedFrame:
    """One data frame, verbatim."""

    text: str
    channel: str
    symbol: str | None
    """None for a channel without symbols."""


def read_frames(path: str | Path) -> list[str]:
    """The frames of a file, in order. Raises :class:`OSError`, and :class:`ValueError` for a torn ``.cbcap``."""
    data = Path(path).read_bytes()
    if not data.startswith(b"CBCAP1 "):
        lines = (_TIME.sub("", line.strip()) for line in data.decode().splitlines())
        return [line for line in lines if line.startswith("{")]
    frames: list[str] = []
    position = data.index(b"\n") + 1
    while position < len(data):
        end = data.find(b"\n", position)
        header = data[position:end].split()
        if end < 0 or len(header) != 2 or not header[1].isdigit():
            msg = f"{path}: no frame header at byte {position}"
            raise ValueError(msg)
        start, size = end + 1, int(header[1])
        if start + size > len(data):
            msg = f"{path}: the last frame is cut off"
            raise ValueError(msg)
        frames.append(data[start : start + size].decode())
        position = start + size + 1
    return frames


class Recording:
    """The data frames of a recording, and what could be subscribed when it was made."""

    def __init__(self, frames: Iterable[str | bytes]) -> None:
        self.frames: list[RecordedFrame] = []
        self.topics: set[tuple[str, str | None]] = set()
        """Every ``(channel, symbol)`` in it."""
        self.variants: dict[tuple[str, str | None], object] = {}
        """The depth (interval, trigger) that was subscribed, where the recording says so."""
        for frame in frames:
            text = frame if isinstance(frame, str) else frame.decode()
            self._take(text)

    @classmethod
    def load(cls, source: str | Path | Iterable[str | bytes]) -> Recording:
        """From a path, or from the frames themselves."""
        return cls(read_frames(source) if isinstance(source, (str, Path)) else source)

    def _take(self, text: str) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            return
        if not isinstance(message, dict):
            return
        result = message.get("result")
        if message.get("method") == "subscribe" and isinstance(result, dict):
            channel = result.get("channel")
            if channel in _VARIANTS and _VARIANTS[channel] in result:
                self.variants[channel, result.get("symbol")] = result[_VARIANTS[channel]]
            return
        channel, data = message.get("channel"), message.get("data")
        if channel in _NOT_DATA or not data:
            return
        symbol = data[0].get("symbol") if isinstance(data, list) else None
        self.frames.append(RecordedFrame(text, channel, symbol))
        self.topics.add((channel, symbol))


@attrs.define
class Player:
    """The recording as one subscribe request gets it: from the beginning, only what was asked for."""

    connection: int
    topics: dict[tuple[str, str | None], object]
    """Subscription tokens by topic; a subscription that has ended is taken out."""
    due: float
    position: int = 0
