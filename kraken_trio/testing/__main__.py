"""``python -m kraken_trio.testing``: the fake exchange as a process of its own, which can be killed.

It prints a line of JSON with its ``url``, and then answers each line of its standard input with one:

``publish N [SYMBOL]``
    make N market events: ``{"frames": 12}``
``book SYMBOL [DEPTH]``
    the exchange's own book: ``{"bids": [["100.5", "0.10"], ...], "asks": [...], "checksum": 1396696505}``
``pause``, ``resume``
    the market stands still, or goes on: ``{}``
``statistics``
    the numbers of :class:`~kraken_trio.testing.ExchangeStatistics`

It ends when its standard input does.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import attrs
import trio

from kraken_trio.testing.exchange.server import Exchange, open_exchange


def main() -> None:
    """Serve until the standard input ends."""
    parser = argparse.ArgumentParser(
        prog="python -m kraken_trio.testing", description="A fake Kraken exchange on a loopback WebSocket."
    )
    parser.add_argument("--port", type=int, default=0, help="0, which is the default: any that is free")
    parser.add_argument("--seed", type=int, default=0, help="of the markets (0)")
    parser.add_argument("--rate", type=float, default=100.0, help="market events a second (100)")
    given = parser.parse_args()
    trio.run(_serve, given.port, given.seed, given.rate)


async def _serve(port: int, seed: int, rate: float) -> None:
    async with open_exchange(port=port, seed=seed, rate=rate, journal_limit=0) as exchange:
        _say({"url": exchange.url})
        # A thread, because not every system lets a standard input be waited for; it dies with the process.
        while line := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
            try:
                _say(await _answer(exchange, line.split()))
            except (ValueError, KeyError, TypeError) as error:
                _say({"error": f"{line.strip()!r}: {error!r}"})


async def _answer(exchange: Exchange, words: list[str]) -> dict[str, Any]:
    match words:
        case ["publish", count]:
            return {"frames": await exchange.publish(int(count))}
        case ["publish", count, symbol]:
            return {"frames": await exchange.publish(int(count), symbol)}
        case ["book", symbol, *depth]:
            book = exchange.book(symbol, *map(int, depth))
            return {"bids": book.bids, "asks": book.asks, "checksum": book.checksum()}
        case ["pause"]:
            exchange.pause()
        case ["resume"]:
            exchange.resume()
        case ["statistics"]:
            return attrs.asdict(exchange.statistics())
        case _:
            msg = "publish N [SYMBOL], book SYMBOL [DEPTH], pause, resume, statistics"
            raise ValueError(msg)
    return {}


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
