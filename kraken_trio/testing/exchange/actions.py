"""The actions that the exchange's core returns to its shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

if TYPE_CHECKING:
    from kraken_trio.testing.faults import DropHow, Raw

__all__ = ["Action", "End", "Send", "SendRaw", "Stall"]


@attrs.frozen
class Send:
    """Send one text frame."""

    connection: int
    text: str


@attrs.frozen
class SendRaw:
    """Send bytes that are not a frame of the protocol."""

    connection: int
    raw: Raw


@attrs.frozen
class End:
    """End the connection in this way, after everything queued before (a reset does not wait)."""

    connection: int
    how: DropHow
    reason: str = ""
    """The reason in the close frame, if one is sent."""


@attrs.frozen
class Stall:
    """Keep the TCP connection open, and never read or write it again."""

    connection: int


Action: TypeAlias = Send | SendRaw | End | Stall
