"""Base for channels of which only the latest event, or the latest per identity, matters."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from kraken_trio.channels.state import ChannelState, Failure, Kept

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from kraken_trio.events import Event
    from kraken_trio.requests import Request
    from kraken_trio.wire.codec import Codec

__all__ = ["LatestState"]


class LatestState(ChannelState):
    """The latest event of each identity, in the order in which the identities first appeared."""

    __slots__ = ("_latest", "_owes_data", "_request")

    moves_with_trades = True
    tells_of_trades = True
    kept: ClassVar[int] = 1
    """How many identities are kept."""

    def __init__(self, request: Request[Any], counters: object, codec: Codec) -> None:
        del counters
        self._request: Any = request
        self._latest: OrderedDict[Hashable, Any] = OrderedDict()
        self._owes_data = request.channel in codec.initial_data

    @staticmethod
    def identity(event: Any, /) -> Hashable:
        """What identifies ``event``: a later event with the same identity replaces it."""
        del event
        return None

    def take(self, events: Sequence[Any]) -> tuple[Sequence[Event], Failure | None]:
        latest = self._latest
        for event in events:
            latest[self.identity(event)] = event
            if len(latest) > self.kept:
                latest.popitem(last=False)
        return events, None

    def start(self, request: object) -> Sequence[Event]:
        del request
        return [msgspec.structs.replace(event, snapshot=True) for event in self._latest.values()]

    def keep(self) -> Kept:
        return Kept(tuple(self._latest.values()))

    def reset(self) -> None:
        self._latest.clear()

    @property
    def owes_data(self) -> bool:
        return self._owes_data

    @property
    def last_received_ns(self) -> int:
        return self._latest[next(reversed(self._latest))].received_ns if self._latest else 0
