"""Typed events in memory: what a client gets of frames, verified."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kraken_trio import Book, Settings
from kraken_trio.endpoint import PUBLIC_V2
from kraken_trio.session import Session
from kraken_trio.wire.codec import codec_for

from benchmarks.sides import common

if TYPE_CHECKING:
    from kraken_trio import Event

SETTINGS = Settings(request_rate=1e6, request_burst=5000)


def confirmed(request: str) -> list[str]:
    """What the exchange answers to a subscribe."""
    asked = json.loads(request)
    times = {"time_in": "2026-01-01T00:00:00.000000Z", "time_out": "2026-01-01T00:00:00.000001Z"}
    return [
        json.dumps(
            {
                "method": "subscribe",
                "result": {**asked["params"], "symbol": symbol},
                "success": True,
                "req_id": asked["req_id"],
                **times,
            }
        )
        for symbol in asked["params"]["symbol"]
    ]


def events_of(path: str, depth: Any) -> list[Event]:
    snapshots, updates = common.load(path)
    symbols = [line.split(b'"symbol":"', 1)[1].split(b'"', 1)[0].decode() for line in snapshots]
    session = Session(SETTINGS, lambda: 0.0, codec_for("v2"), PUBLIC_V2)
    session.open(0.0)
    session.connected(0.0)
    for text in session.add("x", [Book(symbol, depth) for symbol in symbols], 0.0).send:
        session.receive(confirmed(text), 1, 0.0)
    found: list[Event] = []
    lines = [*snapshots, *updates]
    for first in range(0, len(lines), 64):
        found += session.receive(lines[first : first + 64], 1_780_000_000_000_000_000 + first, 0.0).deliver.get("x", ())
    assert len(found) == len(lines), f"{len(found)} events of {len(lines)} frames"
    return found
