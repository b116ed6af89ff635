"""A recording: real (or made-up) v2 frames, to be served by the fake exchange in place of a market.

It is a list of frames, or a file in a form that :mod:`kraken_trio.recording.foreign` reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from kraken_trio.errors import RecordingError
from kraken_trio.recording import foreign
from kraken_trio.testing import checks

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RecordedFrame", "Recording", "read_frames"]

_CHUNK_BYTES: Final = 256 * 1024
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
    """The frames of a recording, in order.

    It is a ``.cbcap``, which is a line ``CBCAP1 <venue> <symbol> <unix ns>`` and then, per frame,
    ``<unix ns> <byte length>``, a newline, the frame, and a newline; or it has one frame per line (lines that are no
    JSON object are skipped, and the time before a frame, or its wrapper, is taken off: see
    :doc:`/howto/verify`). It may be compressed by gzip or zstd.

    Raises :class:`OSError`, and :class:`ValueError`, which says what is wrong and where, for a file that is damaged,
    compressed otherwise, or empty.
    """
    checks.instance(str, Path, wanted="a path")("path", path)
    try:
        with Path(path).open("rb") as file:
            return list(_texts(iter(partial(file.read, _CHUNK_BYTES), b"")))
    except RecordingError as error:
        msg = f"{path}: {error}"
        raise ValueError(msg) from None


def _texts(chunks: Iterable[bytes]) -> Iterator[str]:
    for frame in foreign.read_frames(chunks):
        try:
            text = frame.data.decode()
        except UnicodeDecodeError:
            msg = f"{frame.where} is no text (UTF-8)"
            raise RecordingError(msg) from None
        if frame.line is None:
            yield text
        elif text.startswith("{"):  # people write their notes between the lines
            if not text.endswith("}"):
                msg = f"{frame.where} is cut off: its line begins with '{{', and does not end with '}}'"
                raise RecordingError(msg)
            yield text


class Recording:
    """The data frames of a recording, and what could be subscribed when it was made."""

    def __init__(self, frames: Iterable[str | bytes]) -> None:
        self.frames: list[RecordedFrame] = []
        self.topics: set[tuple[str, str | None]] = set()
        """Every ``(channel, symbol)`` in it."""
        self.variants: dict[tuple[str, str | None], object] = {}
        """The depth (interval, trigger) that was subscribed, where the recording says so."""
        one = checks.instance(str, bytes, wanted="a frame: text or bytes")
        for frame in checks.items("frames", frames, one, "frames in a list"):
            text = frame if isinstance(frame, str) else frame.decode()
            self._take(text)

    @classmethod
    def load(cls, source: str | Path | Iterable[str | bytes]) -> Recording:
        """From a path, or from the frames themselves."""
        checks.instance(str, Path, Iterable, wanted="a path, or frames in a list")("recording", source)
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
