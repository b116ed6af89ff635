"""Reference data: snapshot and updates, merged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from kraken_trio.channels.state import ChannelState, Failure, Kept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kraken_trio.events import Asset, Event, InstrumentUpdate, Pair

__all__ = ["InstrumentState"]

_KEPT: Final = 20_000  # assets or pairs; Kraken has about 1500


class InstrumentState(ChannelState):
    """All assets and pairs."""

    __slots__ = ("_assets", "_last", "_pairs")

    is_cumulative = True

    def __init__(self, request: object, counters: object, codec: object) -> None:
        del request, counters, codec
        self._assets: dict[str, Asset] = {}
        self._pairs: dict[str, Pair] = {}
        self._last: InstrumentUpdate | None = None

    @staticmethod
    def is_delta(event: Any, /) -> bool:
        return not event.snapshot

    def take(self, events: Sequence[Any]) -> tuple[Sequence[Event], Failure | None]:
        for event in events:
            if event.snapshot:
                self.reset()
            self._last = event
            for asset in event.assets:
                if asset.id in self._assets or len(self._assets) < _KEPT:
                    self._assets[asset.id] = asset
            for pair in event.pairs:
                if pair.symbol in self._pairs or len(self._pairs) < _KEPT:
                    self._pairs[pair.symbol] = pair
        return events, None

    def start(self, request: object) -> Sequence[Event]:
        del request
        whole = self.rebuild()
        return () if whole is None else (whole,)

    def rebuild(self) -> Event | None:
        if self._last is None:
            return None
        assets, pairs = tuple(self._assets.values()), tuple(self._pairs.values())
        return msgspec.structs.replace(self._last, assets=assets, pairs=pairs, snapshot=True)

    def keep(self) -> Kept:
        whole = self.rebuild()
        return Kept() if whole is None else Kept((whole,))

    def reset(self) -> None:
        self._assets.clear()
        self._pairs.clear()
        self._last = None

    @property
    def last_received_ns(self) -> int:
        return 0 if self._last is None else self._last.received_ns
