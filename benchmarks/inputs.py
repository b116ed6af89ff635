"""The frames that every side is given, from the seeded market and from recordings. They are kept in a temporary folder.

A file has one frame a line: first a snapshot per symbol, then the updates. Its name carries a digest of the code that
made it and of what it was asked for, so a file that exists is right.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import tempfile
from collections import defaultdict
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import attrs
from kraken_trio.testing import DEFAULT_MARKETS, ExchangeCore, Market
from kraken_trio.testing.exchange import market, orders, server_book
from kraken_trio.testing.exchange.actions import Send
from kraken_trio.testing.exchange.dialects import v2_frames as frames
from kraken_trio.testing.exchange.market import SymbolMarket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kraken_trio.testing.exchange.actions import Action
    from kraken_trio.testing.exchange.server_book import SideName

__all__ = ["Frames", "in_runs", "market_frames", "recorded_frames"]

SEED = 7
_START_NS = 1_780_000_000 * 10**9
_STEP = 0.001
"""Seconds of market time between two updates: only the timestamps show it."""


@attrs.frozen(kw_only=True)
class Frames:
    """One input."""

    name: str
    path: str
    symbol: str
    """The first one."""
    price_decimals: int
    symbols: int
    depth: int
    updates: int
    bytes_per_update: float
    levels_per_update: float
    due: tuple[int, ...] = ()
    """When each update came, from the first one on, in nanoseconds. Only of recordings."""


class _PlainMarket(SymbolMarket):
    """The seeded market without its quantities of 18 digits.

    Peers that read numbers as floats cannot verify those, and would spend the run on reconnecting.
    """

    def _place(self, name: SideName) -> None:
        own, _ = self._sides(name)
        key = self._key_near_touch(name, 5)
        if key is None:
            return
        self.orders.rest(self.orders.side(name), key, self._quantity())
        self._trim(name, own)


def market_frames(depth: int, updates: int, *, symbols: int = 1, levels: int = 1500) -> Frames:
    """``updates`` updates of books of ``depth``, over so many symbols with so many levels a side."""
    return _cached(f"market-{symbols}x{depth}", (depth, updates, symbols, levels), depth)


def in_runs(frames: Frames, length: int) -> Frames:
    """The same frames, ``length`` of one symbol in a row: what is in the processor's caches is then used again."""
    lines = Path(frames.path).read_bytes().splitlines()
    by_symbol: dict[bytes, list[bytes]] = defaultdict(list)
    for line in lines[frames.symbols :]:
        by_symbol[line.split(b'"symbol":"', 1)[1].split(b'"', 1)[0]].append(line)
    ordered = lines[: frames.symbols]
    for start in range(0, max(map(len, by_symbol.values())), length):
        for updates in by_symbol.values():
            ordered += updates[start : start + length]
    path = Path(frames.path).with_suffix(f".runs{length}.jsonl")
    _write(path, [line.decode() for line in ordered])
    return _described(f"{frames.name} in runs of {length}", path, frames.depth)


def recorded_frames(folder: Path) -> list[Frames]:
    """The recordings of order books in a folder; none if there is no such folder."""
    made = []
    for path in sorted(folder.glob("v2_book*.cbcap")) if folder.is_dir() else ():
        depth = int(path.name.removeprefix("v2_book").partition("_")[0])
        books = [(at, text) for at, text in timed(path) if text.startswith('{"channel":"book"')]
        target = _folder() / f"{path.stem}.jsonl"
        _write(target, [text for _, text in books])
        found = _described(path.stem, target, depth)
        times = [at for at, _ in books[found.symbols :]]
        made.append(attrs.evolve(found, due=tuple(at - times[0] for at in times)))
    return made


def timed(path: Path) -> Iterator[tuple[int, str]]:
    """The frames of a ``.cbcap``, each with the time when it came."""
    with path.open("rb") as file:
        file.readline()
        while header := file.readline().split():
            yield int(header[0]), file.read(int(header[1])).decode()
            file.read(1)


def _folder() -> Path:
    folder = Path(tempfile.gettempdir()) / "kraken_trio-benchmarks"
    folder.mkdir(exist_ok=True)
    return folder


def _cached(name: str, asked: tuple[int, ...], depth: int) -> Frames:
    code = "".join(inspect.getsource(module) for module in (market, orders, server_book, frames)) + inspect.getsource(
        _PlainMarket
    )
    digest = hashlib.sha256(f"{SEED}{asked}{code}".encode()).hexdigest()[:16]
    path = _folder() / f"{name}-{digest}.jsonl"
    if not path.exists():
        _write(path, _make(*asked))
    return _described(name, path, depth)


def _write(path: Path, lines: Iterator[str] | list[str]) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}")
    with part.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
    part.replace(path)


def _described(name: str, path: Path, depth: int) -> Frames:
    lines = path.read_bytes().splitlines()
    snapshots = sum(line.startswith(b'{"channel":"book","type":"snapshot"') for line in lines)
    updates = lines[snapshots:]
    return Frames(
        name=name,
        path=str(path),
        symbol=re.findall(rb'"symbol":"([^"]+)"', lines[0])[0].decode(),
        price_decimals=max(len(decimals) for decimals in re.findall(rb'"price":\d+\.?(\d*)', lines[0])),
        symbols=snapshots,
        depth=depth,
        updates=len(updates),
        bytes_per_update=sum(map(len, updates)) / len(updates),
        levels_per_update=sum(line.count(b'"price"') for line in updates) / len(updates),
    )


def _make(depth: int, updates: int, symbols: int, levels: int) -> Iterator[str]:
    specs = [attrs.evolve(DEFAULT_MARKETS[0], symbol=name, levels=levels) for name in _names(symbols)]
    markets = Market(specs, seed=SEED, rate=0, start_ns=_START_NS)
    markets.symbols = {spec.symbol: _PlainMarket(spec, SEED, _START_NS) for spec in specs}
    core = ExchangeCore(markets, now=0.0, epoch_ns=_START_NS, seed=SEED, journal_limit=1)
    number, _ = core.connect(0.0)
    now = 0.0
    for first in range(0, symbols, 50):
        names = [spec.symbol for spec in specs[first : first + 50]]
        params = {"channel": "book", "symbol": names, "depth": depth, "snapshot": True}
        actions = core.receive(number, json.dumps({"method": "subscribe", "params": params}), now)
        yield from _books(actions)
    random = Random(SEED)
    made = 0
    while made < updates:
        now += _STEP
        symbol = specs[random.randrange(symbols)].symbol
        for text in _books(core.publish(1, now, symbol)):
            made += 1
            yield text


def _books(actions: list[Action]) -> Iterator[str]:
    for action in actions:
        if isinstance(action, Send) and action.text.startswith('{"channel":"book"'):
            yield action.text


def _names(symbols: int) -> list[str]:
    return ["BTC/USD"] if symbols == 1 else [f"{_letters(index)}/USD" for index in range(symbols)]


def _letters(index: int) -> str:
    return "".join(chr(ord("A") + index // 26**place % 26) for place in (2, 1, 0))
