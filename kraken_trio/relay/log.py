"""What relays log, besides what their clients do: names of events, levels and fields, under ``kraken_trio.relay``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import attrs

from kraken_trio._text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RELAY_EVENTS", "RelayEvent", "log"]

_log = logging.getLogger("kraken_trio.relay")
_LONG: Final = 500
"""Characters of a text that are logged."""


@attrs.frozen
class RelayEvent:
    """What is promised of the log lines of one event."""

    level: int
    fields: tuple[str, ...]
    meaning: str
    """For the documentation."""


RELAY_EVENTS: Final[Mapping[str, RelayEvent]] = {
    "shard_started": RelayEvent(logging.INFO, ("shard", "pid"), "The process of a shard was started."),
    "shard_ready": RelayEvent(
        logging.INFO, ("shard", "pid", "seconds"), "It has begun to work, so many seconds after its start."
    ),
    "shard_ended": RelayEvent(
        logging.ERROR,
        ("shard", "pid", "exit_status", "retry_in"),
        "It has ended by itself, or was killed, and will be started again after so many seconds.",
    ),
    "shard_given_up": RelayEvent(
        logging.CRITICAL,
        ("shard", "exit_status", "detail"),
        "It ends again and again, and is not started any more; told again every minute.",
    ),
    "shard_killed": RelayEvent(
        logging.ERROR, ("shard", "pid", "detail"), "It did not begin, or end, in time, and was killed."
    ),
    "shard_stopped": RelayEvent(
        logging.INFO, ("shard", "pid", "exit_status", "seconds"), "It has ended, as it was told to, within this time."
    ),
    "shard_says": RelayEvent(
        logging.WARNING, ("shard", "stream"), "What a shard's process wrote that is no line of a log, as a traceback."
    ),
    "symbols_changed": RelayEvent(
        logging.INFO, ("joined", "left"), "The exchange lists other symbols: these are published now, or not any more."
    ),
    "symbols_refused": RelayEvent(
        logging.WARNING, ("requests", "detail"), "The exchange refuses these requests; they are tried again later."
    ),
}
"""All events of relays, by their names; a field ``shard`` is the shard's name, ``2/8``."""


def log(event: str, text: str, **fields: object) -> None:
    """Log an event of :data:`RELAY_EVENTS`, with its fields. The text may hold anything."""
    _log.log(RELAY_EVENTS[event].level, "%s", printable(text, _LONG), extra={"event_name": event, **fields})
