"""Recordings in folders: of the fake exchange, on virtual time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import trio

import kraken_trio as kt
from kraken_trio.runtime.recorder import in_line
from kraken_trio.testing import DEFAULT_MARKETS, Network, open_exchange, run_virtual
from tests.opening import open_at

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["MIDNIGHT", "REQUESTS", "record"]

MIDNIGHT = int(datetime(2026, 11, 30, tzinfo=UTC).timestamp()) * 10**9
REQUESTS = (
    kt.Book("BTC/USD"), kt.Book("ETH/USD", depth=25), kt.Trades("BTC/USD"), kt.Ticker("BTC/USD"),
    kt.Candles("BTC/USD", 1), kt.Instruments(),
)  # fmt: skip
MARKETS = DEFAULT_MARKETS[:2]


def record(
    folder: Path, start_ns: int, seconds: float, *requests: kt.Request[Any], later: Sequence[kt.Request[Any]] = ()
) -> None:
    """Record the fake exchange: these requests, or all; and after a third of the time, for a third of it, some more."""

    async def run() -> None:
        async with (
            open_exchange(markets=MARKETS, network=Network(), rate=2, seed=1, epoch_ns=start_ns) as exchange,
            open_at(exchange, lambda: start_ns + round(trio.current_time() * 10**9)) as client,
            kt.record(client, folder, *(requests or REQUESTS), keyframe_every=20, work=in_line),
        ):
            await trio.sleep(seconds / 3)
            if later:
                async with client.subscribe(*later, overflow=kt.Overflow.DROP_OLDEST):
                    await trio.sleep(seconds / 3)
            else:
                await trio.sleep(seconds / 3)
            await trio.sleep(seconds / 3)

    run_virtual(run)
