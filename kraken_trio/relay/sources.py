"""What a shard subscribes to, and over which connections. Pure code.

A relay is asked for symbols (``all``, or names) and channels (``book:10``, ``trades``, …). Its shards divide the
symbols among themselves (:func:`~kraken_trio.broker.sharding.shard_of`), and each spreads its own over connections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from kraken_trio._text import printable
from kraken_trio.broker.sharding import shard_of
from kraken_trio.requests import (
    DEPTHS,
    INTERVALS,
    LEVEL3_DEPTHS,
    TRIGGERS,
    Book,
    Candles,
    Instruments,
    Level3,
    Ticker,
    Trades,
    canonical_symbol,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from kraken_trio.events import InstrumentUpdate
    from kraken_trio.requests import Request

__all__ = [
    "SYMBOLS_PER_CONNECTION",
    "Change",
    "Channel",
    "Connections",
    "Listing",
    "Sources",
    "parse_channels",
    "parse_symbols",
]

SYMBOLS_PER_CONNECTION: Final = 200
"""Kraken's limit for Level 3. For other channels it publishes none (188 books of depth 1000 over one connection are
known to work); the same number bounds what one lost connection costs: so many resyncs, at 10 requests a second and 50
symbols a request."""
_GONE: Final = frozenset({"delisted", "work_in_progress"})
"""The statuses of symbols that cannot be subscribed to: not any more, or not yet."""


# What is asked for


@attrs.frozen
class Channel:
    """A channel with its variant: ``book:10``."""

    name: str
    variant: Any = None

    @property
    def is_level3(self) -> bool:
        """Whether it comes over connections of its own, and needs an API key."""
        return self.name == "level3"

    @property
    def has_symbols(self) -> bool:
        """Whether it is subscribed to for each symbol."""
        return self.name != "instruments"

    def request(self, symbol: str | None) -> Request[Any]:
        """What to subscribe to; trades begin with the latest, so that their feed's does, too."""
        make, _ = _CHANNELS[self.name]
        return make(cast("str", symbol), self.variant)

    def __str__(self) -> str:
        return self.name if self.variant is None else f"{self.name}:{self.variant}"


_CHANNELS: Final[Mapping[str, tuple[Callable[[str, Any], Request[Any]], Sequence[Any]]]] = {
    "book": (Book, DEPTHS),
    "trades": (lambda symbol, _: Trades(symbol, snapshot=True), ()),
    "ticker": (Ticker, TRIGGERS),
    "candles": (Candles, INTERVALS),
    "level3": (Level3, LEVEL3_DEPTHS),
    "instruments": (lambda _, __: Instruments(), ()),
}
"""By their names: the request, and the variants, the usual one first."""
_OTHER_NAMES: Final = {"trade": "trades", "ohlc": "candles", "candle": "candles", "instrument": "instruments"}


def parse_channels(texts: Iterable[str]) -> tuple[Channel, ...]:
    """The channels of ``book:10,trades`` and the like, each once. Raises :class:`ValueError`: it says what there is."""
    found: dict[str, Channel] = {}
    for text in (part.strip() for whole in texts for part in whole.split(",")):
        channel = _parse_channel(text)
        before = found.setdefault(channel.name, channel)
        if before != channel:
            msg = f"{before} and {channel}: a relay publishes one of them; run another one into a stream of its own"
            raise ValueError(msg)
    if not found:
        msg = "a relay needs a channel"
        raise ValueError(msg)
    return tuple(found.values())


def _parse_channel(text: str) -> Channel:
    name, colon, variant = text.partition(":")
    name = _OTHER_NAMES.get(name, name)
    if name not in _CHANNELS:
        msg = f"{printable(text, 40)!r} is no channel: there are {', '.join(_CHANNELS)}"
        raise ValueError(msg)
    _, variants = _CHANNELS[name]
    if not colon:
        return Channel(name, variants[0] if variants else None)
    for value in variants:
        if str(value) == variant:
            return Channel(name, value)
    offered = ", ".join(f"{name}:{value}" for value in variants) or f"{name} alone"
    msg = f"{printable(text, 40)!r} is not offered by Kraken: there is {offered}"
    raise ValueError(msg)


def parse_symbols(texts: Iterable[str]) -> frozenset[str] | None:
    """The symbols of ``BTC/USD,ETH/USD`` and the like; None for ``all``. Raises :class:`ValueError`.

    Texts may be lines of a file: what follows a ``#`` is left out.
    """
    names = [name for text in texts for name in text.partition("#")[0].replace(",", " ").split()]
    if names == ["all"]:
        return None
    if "all" in names:
        msg = "'all' stands alone, without other symbols"
        raise ValueError(msg)
    if not names:
        msg = "a relay needs a symbol"
        raise ValueError(msg)
    return frozenset(map(canonical_symbol, names))


@attrs.frozen
class Sources:
    """What one shard publishes."""

    symbols: frozenset[str] | None
    """None: all that the exchange lists."""
    channels: tuple[Channel, ...]
    shard: int = 0
    shards: int = 1

    @property
    def follows(self) -> bool:
        """Whether the symbols change while it runs."""
        return self.symbols is None

    @property
    def needs_key(self) -> bool:
        """Whether an API key is needed."""
        return any(channel.is_level3 for channel in self.channels)

    def has(self, symbol: str | None) -> bool:
        """Whether it is this shard that has the symbol."""
        return shard_of(symbol, self.shards) == self.shard

    def own(self, symbols: Iterable[str]) -> list[str]:
        """Those that this shard has, in order."""
        return sorted(filter(self.has, set(symbols)))

    def requests(self, symbol: str, *, level3: bool) -> list[Request[Any]]:
        """The requests for a symbol over a connection of this kind."""
        return [one.request(symbol) for one in self.channels if one.has_symbols and one.is_level3 is level3]

    def without_symbols(self) -> list[Request[Any]]:
        """The requests without symbols, which one of the shards has."""
        return [one.request(None) for one in self.channels if not one.has_symbols and self.has(None)]


# What the exchange lists


@attrs.frozen
class Change:
    """Symbols that have come, and gone."""

    joined: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()


class Listing:
    """The symbols that the exchange lists, by its reference data."""

    def __init__(self) -> None:
        self._statuses: dict[str, str] = {}

    @property
    def symbols(self) -> frozenset[str]:
        """Those that can be subscribed to now."""
        return frozenset(symbol for symbol, status in self._statuses.items() if status not in _GONE)

    def take(self, event: InstrumentUpdate) -> Change:
        """What has changed by this: a snapshot names all that there are."""
        before = self.symbols
        if event.snapshot:
            self._statuses.clear()
        for pair in event.pairs:
            self._statuses[pair.symbol] = pair.status
        now = self.symbols
        return Change(now - before, before - now)


# Over which connections


class Connections:
    """Which of a shard's connections has which symbol. One that was listed keeps its place, if it comes back."""

    def __init__(self, limit: int = SYMBOLS_PER_CONNECTION) -> None:
        self._limit = limit
        self._counts: list[int] = []
        self._places: dict[str, int] = {}

    def add(self, symbols: Collection[str]) -> Mapping[int, list[str]]:
        """The connections, by their numbers from 0, of these symbols: as even as can be, over no more than needed."""
        new = set(symbols) - self._places.keys()
        while len(self._counts) * self._limit < len(self._places) + len(new):  # mutant: connections of a shard
            self._counts.append(0)
        for symbol in sorted(new):
            number = self._counts.index(min(self._counts))
            self._counts[number] += 1
            self._places[symbol] = number
        placed: dict[int, list[str]] = {}
        for symbol in sorted(symbols):
            placed.setdefault(self._places[symbol], []).append(symbol)
        return placed
