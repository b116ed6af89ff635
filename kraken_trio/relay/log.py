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
        logging.INFO,
        ("shard", "pid", "seconds"),
        "It publishes, or stands by to do so, so many seconds after its start.",
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
    "shard_silent": RelayEvent(
        logging.WARNING,
        ("shard", "pid"),
        "Its process has given no sign of life for 15 s, as if it were stopped; after 60 s it is killed.",
    ),
    "shard_killed": RelayEvent(
        logging.ERROR, ("shard", "pid", "detail"), "It did not begin, or end, in time, or hung, and was killed."
    ),
    "shard_stopped": RelayEvent(
        logging.INFO, ("shard", "pid", "exit_status", "seconds"), "It has ended, as it was told to, within this time."
    ),
    "shard_says": RelayEvent(
        logging.WARNING, ("shard", "stream"), "What a shard's process wrote that is no line of a log, as a traceback."
    ),
    "shard_begun": RelayEvent(
        logging.INFO,
        ("shard", "requests", "symbols", "is_owner"),
        "Its process publishes so many requests from now on; or it stands by, to take over if the owner is gone.",
    ),
    "owner_begun": RelayEvent(
        logging.INFO,
        ("shard", "producer", "holder"),
        "This process is the shard's owner from now on, with this number.",
    ),
    "owner_resumed": RelayEvent(
        logging.WARNING,
        ("shard", "producer", "seconds"),
        "Its lease had ended so many seconds ago, and nobody else has had it: it goes on where it was.",
    ),
    "owner_lost": RelayEvent(
        logging.WARNING,
        ("shard", "producer", "events", "detail"),
        "Another process is the owner; so many events that were not stored yet are dropped.",
    ),
    "standby_differs": RelayEvent(
        logging.WARNING,
        ("shard", "detail"),
        "The shard's owner publishes something else than this process would, if it took over.",
    ),
    "broker_connected": RelayEvent(logging.INFO, ("shard", "broker"), "There is a connection to the broker."),
    "broker_lost": RelayEvent(
        logging.WARNING,
        ("shard", "broker", "detail", "retry_in"),
        "There is none (any more); the next attempt is made after so many seconds. Told again after 30 s.",
    ),
    "outbox_full": RelayEvent(
        logging.WARNING,
        ("shard", "events", "policy"),
        "The broker does not take events as fast as they come, and so many wait: what happens now is the policy.",
    ),
    "message_too_large": RelayEvent(
        logging.ERROR,
        ("shard", "subject", "bytes", "detail"),
        "The broker takes no message of this size: it is left out, and readers begin anew.",
    ),
    "relay_drained": RelayEvent(logging.INFO, ("shard", "seconds"), "It was told to end, and everything is stored."),
    "relay_not_drained": RelayEvent(
        logging.WARNING, ("shard", "events", "messages"), "The same; but these were not stored in time, or not surely."
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
