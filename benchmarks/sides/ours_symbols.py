"""What a followed symbol takes: resident memory of its book in a session, and of the one in a feed, which follows."""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path
from typing import Any

from kraken_trio import Book, OrderBook, Settings
from kraken_trio.book import core
from kraken_trio.endpoint import PUBLIC_V2
from kraken_trio.session import Session
from kraken_trio.wire.codec import codec_for

from benchmarks.sides import common

SETTINGS = Settings(request_rate=1e6, request_burst=5000)
WARM = 10
"""Symbols before the first look at the memory."""
UPDATES = 50
"""Of each symbol."""


def rss() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def confirmed(request: str) -> str:
    """What the exchange answers to a subscribe of one symbol."""
    asked = json.loads(request)
    params = asked["params"]
    result = {**params, "symbol": params["symbol"][0]}
    times = {"time_in": "2026-01-01T00:00:00.000000Z", "time_out": "2026-01-01T00:00:00.000001Z"}
    answer = {"method": "subscribe", "result": result, "success": True, "req_id": asked["req_id"], **times}
    return json.dumps(answer)


def main() -> None:
    task: dict[str, Any] = common.job()
    assert task["core"] == core.NAME
    snapshots, updates = common.load(task["frames"])
    session = Session(SETTINGS, lambda: 0.0, codec_for("v2"), PUBLIC_V2)
    session.open(0.0)
    session.connected(0.0)
    old = f'"{common.SYMBOL}"'.encode()
    views = []
    before = 0
    for number in range(WARM + task["count"]):
        if number == WARM:
            gc.collect()
            before = rss()
        name, now = f"A{number}/USD", number / 1000
        new = f'"{name}"'.encode()
        for text in session.add(name, [Book(name, task["depth"])], now).send:
            session.receive([confirmed(text)], 1, now)
        view = OrderBook(task["depth"])
        views.append(view)
        for frame in [*snapshots, *updates[:UPDATES]]:
            for event in session.receive([frame.replace(old, new)], 1, now).deliver[name]:
                view.follow(event)  # type: ignore[arg-type]  # a book frame has only these
        assert view.verified
    gc.collect()
    grown = rss() - before
    assert session.statistics().checksums_verified == len(views) * (1 + UPDATES)
    common.done(bytes_per_symbol=grown / task["count"])


main()
