"""Runs hftbacktest over an export into FOLDER, and compares the books and trades that a strategy sees with the events.

``python -m tests.export.readers.hftbacktest_reader FOLDER``
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from hftbacktest import EXCH_EVENT, LOCAL_EVENT, BacktestAsset, HashMapMarketDepthBacktest
from hftbacktest.data.validation import validate_event_order
from hftbacktest.types import TRADE_EVENT, event_dtype

from tests.export.readers.make import make

TICK = 0.1
LEVELS = 10


def main() -> None:
    folder = Path(sys.argv[1])
    expected = make("hftbacktest", folder / "hftbacktest")
    files = [str(folder / "hftbacktest" / name) for name in expected["files"]]
    local_trades = 0
    exch_trades = 0
    total = 0
    for name in files:
        data = np.load(name)["data"]
        assert data.dtype == event_dtype, data.dtype
        validate_event_order(data)
        assert (data["local_ts"] >= data["exch_ts"]).all()
        is_trade = (data["ev"] & 0xFF) == TRADE_EVENT
        local_trades += int((is_trade & (data["ev"] & LOCAL_EVENT > 0)).sum())
        exch_trades += int((is_trade & (data["ev"] & EXCH_EVENT > 0)).sum())
        total += len(data)
    assert local_trades == exch_trades == len(expected["trades"])
    asset = (
        BacktestAsset()
        .data(files)
        .linear_asset(1.0)
        .constant_order_latency(0, 0)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0, 0)
        .tick_size(TICK)
        .lot_size(1e-8)
        .last_trades_capacity(100_000)
    )
    backtest = HashMapMarketDepthBacktest([asset])
    assert backtest.elapse(1) == 0  # to the first event
    empty = 0
    for look in expected["looks"]:
        moment = look["time_ns"]
        if moment > backtest.current_timestamp:
            assert backtest.elapse(moment - backtest.current_timestamp) in {0, 1}
        depth = backtest.depth(0)
        if not look["bids"]:
            empty += 1
            assert math.isnan(depth.best_bid), (moment, depth.best_bid)
            assert math.isnan(depth.best_ask), (moment, depth.best_ask)
            continue
        check(depth, look, moment)
    backtest.elapse(60 * 10**9)  # to the end
    trades = backtest.last_trades(0)
    assert len(trades) == len(expected["trades"]), (len(trades), len(expected["trades"]))
    for got, (_, price, qty, side, received_ns) in zip(trades, expected["trades"], strict=True):
        assert (got["px"], got["qty"], got["local_ts"]) == (float(price), float(qty), received_ns)
        assert bool(got["ev"] & (1 << 29)) == (side == "buy")
    print(
        f"hftbacktest: {total} rows of {len(files)} files; {len(expected['looks'])} books are equal "
        f"({empty} of them unknown), {len(trades)} trades"
    )


def check(depth: Any, look: dict[str, list[list[str]]], moment: int) -> None:
    """All levels of the window, and nothing beside it."""
    for side, best in (("bids", depth.best_bid_tick), ("asks", depth.best_ask_tick)):
        levels = {round(float(price) / TICK): float(qty) for price, qty in look[side]}
        assert best == (max(levels) if side == "bids" else min(levels)), (moment, side, best)
        read = depth.bid_qty_at_tick if side == "bids" else depth.ask_qty_at_tick
        for tick in range(min(levels) - 40, max(levels) + 41):
            assert read(tick) == levels.get(tick, 0.0), (moment, side, tick, read(tick))


if __name__ == "__main__":
    main()
