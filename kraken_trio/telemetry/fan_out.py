"""What a client's runtime tells its records to: the log, the counts, and whoever else wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from kraken_trio.telemetry.counts import Counts
from kraken_trio.telemetry.log import LogLines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kraken_trio.endpoint import Endpoint
    from kraken_trio.session.records import Record
    from kraken_trio.settings import Settings
    from kraken_trio.statistics import Counted

__all__ = ["Consumer", "FanOut", "Tracing"]


class Consumer(Protocol):
    """Takes a session's records. It must not raise."""

    def consume(self, records: Sequence[Record], now: float, /) -> None:
        """Take records, in order. ``now`` is a monotonic clock in seconds."""
        ...


class Tracing(Protocol):
    """Makes traces of clients: :class:`kraken_trio.tracing.OpenTelemetry`."""

    def follow(self, endpoint: Endpoint, wall_ns: Callable[[], int], /) -> Consumer:
        """A consumer for the records of one client. ``wall_ns`` is the wall clock, in nanoseconds since 1970 UTC."""
        ...


class FanOut:
    """A :class:`~kraken_trio.runtime.shell.Telemetry`: log lines under this name, counts, and ``others``, in order."""

    def __init__(self, name: str, settings: Settings, *others: Consumer) -> None:
        self._log = LogLines(name, settings)
        self._counts = Counts()
        self._consumers: tuple[Consumer, ...] = (self._counts, self._log, *others)

    @property
    def left_out(self) -> int:
        """How many log lines were left out so far."""
        return self._log.left_out

    def counted(self, now: float) -> Counted:
        """What was counted of the records."""
        return self._counts.counted(now)

    def consume(self, records: Sequence[Record], now: float) -> None:
        """Have all of them take the records."""
        for consumer in self._consumers:
            consumer.consume(records, now)
