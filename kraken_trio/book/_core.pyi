from collections.abc import Hashable, Sequence
from datetime import datetime
from typing import Any, Self

from kraken_trio.events import BookSnapshot, BookUpdate, Gap, Level

class Core:
    symbol: str
    checksum: int
    timestamp: datetime | None
    epoch: int
    received_ns: int

    @classmethod
    def load(
        cls,
        symbol: str,
        depth: int,
        bids: tuple[Level, ...],
        asks: tuple[Level, ...],
        checksum: int | None,
        timestamp: datetime | None,
        epoch: int,
        received_ns: int,
    ) -> Self | None: ...
    @property
    def bids(self) -> tuple[Level, ...]: ...
    @property
    def asks(self) -> tuple[Level, ...]: ...
    @property
    def best_bid(self) -> Level | None: ...
    @property
    def best_ask(self) -> Level | None: ...
    def apply(self, event: BookSnapshot | BookUpdate | Gap) -> bool: ...
    def follow(self, event: BookSnapshot | BookUpdate | Gap) -> bool: ...

class Table:
    def __init__(self, subscriptions: dict[str | None, Any], live: object, counters: Any) -> None: ...
    def take(
        self,
        frames: Sequence[str | bytes],
        index: int,
        epoch: int,
        received_ns: int,
        deliver: dict[Hashable, list[Any]],
    ) -> int: ...
