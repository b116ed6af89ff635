"""The numbers of all recordings that a client has had."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

    from kraken_trio.statistics import ClientStatistics, RecordingStatistics

__all__ = ["RecordingTotals"]


class RecordingTotals:
    """The recordings that are being made, and sums over these and those that are over."""

    def __init__(self) -> None:
        self._open: dict[str, Callable[[], RecordingStatistics]] = {}
        self._frames = self._bytes = self._dropped = 0

    def begin(self, folder: str, statistics: Callable[[], RecordingStatistics]) -> None:
        """A recording into this folder has begun."""
        self._open[folder] = statistics

    def end(self, folder: str) -> None:
        """It is over. One that never began counts nothing."""
        statistics = self._open.pop(folder, None)
        if statistics is not None:
            now = statistics()
            self._frames += now.frames
            self._bytes += now.disk_bytes
            self._dropped += now.dropped_frames

    def added_to(self, statistics: ClientStatistics) -> ClientStatistics:
        """The client's statistics, with these numbers."""
        now = {folder: numbers() for folder, numbers in self._open.items()}
        return attrs.evolve(
            statistics,
            recordings=now,
            recorded_frames=self._frames + sum(one.frames for one in now.values()),
            recorded_bytes=self._bytes + sum(one.disk_bytes for one in now.values()),
            unrecorded_frames=self._dropped + sum(one.dropped_frames for one in now.values()),
        )
