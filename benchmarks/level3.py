"""``python -m benchmarks.level3``: what an update of single orders costs, against one of the same book by prices.

One random market is told both ways: as Level 3 messages, and as the changes of its price levels. Both books are pure
(``KRAKEN_TRIO_PURE=1`` is set here), and verify every message; decoding is not measured. Seconds are the CPU's; each
figure is the best of several rounds, which take turns.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
from typing import TYPE_CHECKING, Any, Final

os.environ["KRAKEN_TRIO_PURE"] = "1"  # before the package is imported

import msgspec
from kraken_trio import (
    BookSnapshot,
    BookUpdate,
    Level,
    Level3Book,
    Level3Snapshot,
    Level3Update,
    OrderBook,
    OrderEvent,
    OrderEventKind,
    RestingOrder,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

SYMBOL: Final = "BTC/USD"
LIMIT: Final = 2.5
"""How many times as long as an update by prices an update by orders may take."""
ADD, MODIFY, DELETE = OrderEventKind.ADD, OrderEventKind.MODIFY, OrderEventKind.DELETE


class Market:
    """Random orders, and what a client of one depth is told of them."""

    def __init__(self, depth: int, seed: int) -> None:
        self.depth = depth
        self._random = random.Random(seed)
        self._number = 0
        # Per side: price in ticks (negated for bids: best first is ascending) to orders by id, each qty and time.
        self._sides: tuple[dict[int, dict[str, tuple[str, str]]], ...] = ({}, {})
        for index, best in enumerate((-600_000, 600_001)):
            for away in range(depth + 50):
                for _ in range(self._random.choice((1, 1, 1, 2, 4))):
                    self._place(index, best + away)
        self._windows = [self._window(0), self._window(1)]

    def _place(self, index: int, key: int) -> str:
        self._number += 1
        order_id = f"O{self._number:05}-TRIO0-BENCH0"
        when = (
            f"2026-01-01T{self._number // 3600 % 24:02}:{self._number // 60 % 60:02}:{self._number % 60:02}.000000001Z"
        )
        self._sides[index].setdefault(key, {})[order_id] = (f"{self._random.randint(1, 10**9) / 10**8:.8f}", when)
        return order_id

    def _window(self, index: int) -> list[int]:
        return sorted(self._sides[index])[: self.depth]

    def snapshot(self) -> tuple[Level3Snapshot, BookSnapshot]:
        orders = [
            tuple(
                RestingOrder(order_id, _price(key), qty, when)
                for key in self._windows[index]
                for order_id, (qty, when) in self._sides[index][key].items()
            )
            for index in (0, 1)
        ]
        levels = [tuple(Level(_price(key), self._sum(index, key)) for key in self._windows[index]) for index in (0, 1)]
        return (
            Level3Snapshot(symbol=SYMBOL, bids=orders[0], asks=orders[1]),
            BookSnapshot(symbol=SYMBOL, bids=levels[0], asks=levels[1]),
        )

    def _sum(self, index: int, key: int) -> str:
        total = sum(int(qty.replace(".", "")) for qty, _ in self._sides[index].get(key, {}).values())
        return f"{total // 10**8}.{total % 10**8:08}"

    def step(self) -> tuple[Level3Update, BookUpdate]:
        """One to three changes of one side, as measured of Kraken: most are near the best price."""
        index = self._random.randrange(2)
        side, window = self._sides[index], self._windows[index]
        while len(side) < self.depth + 50:
            self._place(index, max(side) + 1)
        other = self._windows[1 - index][0]
        events: dict[str, OrderEvent] = {}
        touched: dict[int, None] = {}
        for _ in range(self._random.choices((1, 2, 3), (62, 35, 3))[0]):
            away = int(self._random.expovariate(0.25))
            key, what = window[min(away, len(window) - 1)], self._random.random()
            if what < 0.5:
                key = window[0] + away - 1
                if -key >= other:  # crossed
                    key = window[0]
                if len(side.get(key, ())) > 5:
                    continue
                order_id = self._place(index, key)
                events[order_id] = OrderEvent(ADD, order_id, _price(key), *side[key][order_id])
                touched[key] = None
                continue
            orders = side.get(key, {})
            order_id = self._random.choice(list(orders)) if orders else ""
            if not orders or order_id in events:
                continue
            qty, when = orders[order_id]
            touched[key] = None
            if what < 0.52:
                orders[order_id] = (f"{float(qty) / 2 + 1e-8:.8f}", when)
                events[order_id] = OrderEvent(MODIFY, order_id, _price(key), *orders[order_id])
            else:
                del orders[order_id]
                events[order_id] = OrderEvent(DELETE, order_id, _price(key), qty, when)
                if not orders:
                    del side[key]
        known, now = set(window) | touched.keys(), self._window(index)
        entered = [key for key in now if key not in known]
        for key in entered:
            for order_id, of in side[key].items():
                events[order_id] = OrderEvent(ADD, order_id, _price(key), *of)
        self._windows[index] = now
        levels = tuple(Level(_price(key), self._sum(index, key)) for key in (*touched, *entered))
        told = tuple(events.values())
        return (
            Level3Update(symbol=SYMBOL, bids=told if index == 0 else (), asks=told if index else ()),
            BookUpdate(symbol=SYMBOL, bids=levels if index == 0 else (), asks=levels if index else ()),
        )


def _price(key: int) -> str:
    return f"{abs(key) // 10}.{abs(key) % 10}"


def checked(book: Any, events: Sequence[Any]) -> list[Any]:
    """The events with the checksums of the book."""
    told = []
    for event in events:
        book.follow(event)
        told.append(msgspec.structs.replace(event, checksum=book.checksum()))
    return told


def measured(book: Any, snapshot: Any, updates: Sequence[Any]) -> float:
    """Seconds per update."""
    book.apply(snapshot)
    apply = book.apply
    begin = time.process_time()
    for event in updates:
        apply(event)
    return (time.process_time() - begin) / len(updates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    print("depth  by prices  by orders  ratio  events and levels per update")
    for depth in (10, 100, 1000):
        market = Market(depth, args.seed)
        snapshots = market.snapshot()
        steps = [market.step() for _ in range(args.updates)]
        kinds = (Level3Book, OrderBook)
        streams = [
            checked(kind(depth), [snapshot, *updates])
            for kind, snapshot, updates in zip(kinds, snapshots, zip(*steps, strict=True), strict=True)
        ]
        # Both process every message alike: with the changes of one, and with a checksum.
        rounds = [
            [measured(kind(depth), *_split(stream)) for kind, stream in zip(kinds, streams, strict=True)]
            for _ in range(args.rounds)
        ]
        orders, prices = (min(one[index] for one in rounds) for index in (0, 1))
        ratio = statistics.median(one[0] / one[1] for one in rounds)
        sizes = [sum(len(e.bids) + len(e.asks) for e in stream[1:]) / args.updates for stream in streams]
        verdict = "" if ratio <= LIMIT else f"  more than {LIMIT}"
        print(
            f"{depth:5}  {prices * 1e6:6.2f} µs  {orders * 1e6:6.2f} µs  {ratio:5.2f}  "
            f"{sizes[0]:.2f} and {sizes[1]:.2f}{verdict}"
        )


def _split(stream: list[Any]) -> tuple[Any, list[Any]]:
    return stream[0], stream[1:]


if __name__ == "__main__":
    main()
