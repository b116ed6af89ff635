"""What an exchange in memory answers."""

from __future__ import annotations

import json

from kraken_trio import Settings

SETTINGS = Settings(request_rate=1e6, request_burst=5000)
"""As many requests at once as there are symbols: they go nowhere."""
_TIMES = {"time_in": "2026-01-01T00:00:00.000000Z", "time_out": "2026-01-01T00:00:00.000001Z"}


def confirmed(request: str) -> list[str]:
    """To a subscribe: a confirmation for each symbol."""
    asked = json.loads(request)
    return [
        json.dumps(
            {
                "method": "subscribe",
                "result": {**asked["params"], "symbol": symbol},
                "success": True,
                "req_id": asked["req_id"],
                **_TIMES,
            }
        )
        for symbol in asked["params"]["symbol"]
    ]
