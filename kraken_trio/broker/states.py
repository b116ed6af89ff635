"""States of channels, for events that a client has taken from the exchange elsewhere: there is no protocol any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import attrs

if TYPE_CHECKING:
    from kraken_trio.channels import ChannelState
    from kraken_trio.requests import Request
    from kraken_trio.statistics import Counters
    from kraken_trio.wire.codec import Codec

__all__ = ["new_state"]


@attrs.define(eq=False)
class _Published:
    """What a state has to know of a protocol."""

    numbers_trades: bool
    snapshots_carry_checksums: bool = False
    initial_data: tuple[str, ...] = ()


def new_state(
    cls: type[ChannelState], request: Request[Any], counters: Counters, *, numbers_trades: bool
) -> ChannelState:
    """The state of a channel before its first event."""
    return cls(request, counters, cast("Codec", _Published(numbers_trades)))
