"""Recordings in folders: of the fake exchange, on virtual time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import trio

import kraken_trio as kt
from kraken_trio.admission.default import default_admission
from kraken_trio.client import open_with
from kraken_trio.runtime.recorder import in_line
from kraken_trio.testing import DEFAULT_MARKETS, Network, open_exchange, run_virtual

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MIDNIGHT", "REQUESTS", "record"]

MIDNIGHT = int(datetime(2026, 11, 30, tzinfo=UTC).timestamp()) * 10**9
REQUESTS = (
    kt.Book("BTC/USD"), kt.Book("ETH/USD", depth=25), kt.Trades("BTC/USD"), kt.Ticker("BTC/USD"),
    kt.Candles("BTC/USD", 1), kt.Instruments(),
)  # fmt: skip
MARKETS = DEFAULT_MARKETS[:2]


def record(folder: Path, start_ns: int, seconds: float) -> None:
    """Record the fake exchange."""

    async def run() -> None:
        async with (
            open_exchange(markets=MARKETS, network=Network(), rate=2, seed=1, epoch_ns=start_ns) as exchange,
            open_with(
                exchange.url,
                settings=kt.Settings(),
                ssl_context=None,
                connect=exchange.connect,
                wall_ns=lambda: start_ns + round(trio.current_time() * 10**9),
                jitter=lambda: 0.5,
                admission=default_admission(exchange.url, None),
            ) as client,
            kt.record(client, folder, *REQUESTS, keyframe_every=20, work=in_line),
        ):
            await trio.sleep(seconds)

    run_virtual(run)
