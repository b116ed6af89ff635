"""What the exchange's core tells its shell to do."""

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
    """Send bytes that are no proper frame of the protocol."""

    connection: int
    raw: Raw


@attrs.frozen
class End:
    """End the connection in this way, after everything that was to be sent before (a reset does not wait)."""

    connection: int
    how: DropHow
    reason: str = ""
    """Of the close frame, where one is sent."""


@attrs.frozen
class Stall:
    """Keep the TCP connection open, and never read from it or write to it again."""

    connection: int


Action: TypeAlias = Send | SendRaw | End | Stall
