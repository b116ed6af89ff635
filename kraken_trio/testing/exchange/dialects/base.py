"""The seam between the exchange, which decides, and the protocols in which it is spoken to.

A dialect reads a client's requests and writes everything that the client is sent. Each connection has one, and the
exchange does not know which. Symbols are the exchange's own on this side of the seam, whatever they are called on the
wire.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import attrs

from kraken_trio.testing.exchange.dialects import v2_frames as frames
from kraken_trio.testing.faults import Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kraken_trio.testing.exchange.dialects.asked import Asked, ChannelRule, Subscribing
    from kraken_trio.testing.exchange.hosts import Host
    from kraken_trio.testing.exchange.market import SymbolMarket
    from kraken_trio.testing.exchange.market_spec import MarketSpec
    from kraken_trio.testing.exchange.server_book import BookChange, DepthChange, Levels
    from kraken_trio.testing.exchange.tape import Candle, TradePrint

__all__ = ["WORK_NS", "Denial", "Dialect", "Slot"]

WORK_NS = 40_000
"""The processing time of an answer, in nanoseconds."""

Slot: TypeAlias = "tuple[str, str | None, object]"
"""What a connection can have subscribed only once: channel, symbol and what else the protocol tells apart."""


@attrs.frozen(kw_only=True)
class Denial:
    """A refusal, before it is put into words."""

    error: str
    symbol: object = None
    """None if it concerns the request as a whole."""
    wanted: Subscribing | None = None
    """None if the request was not understood that far."""
    shape: Shape = Shape.WITH_SYMBOL
    names_channel: bool = False
    is_absent: bool = False
    """Whether there is nothing to unsubscribe."""


class Dialect(ABC):
    """One protocol. It has no state."""

    name: ClassVar[str]
    heartbeat: ClassVar[str]
    has_recordings: ClassVar[bool]
    """Whether recorded frames, which are v2's, can be served in it."""
    has_checksum_in_snapshots: ClassVar[bool]
    variant_shape: ClassVar[Shape]
    """The form of the refusal of a depth or interval."""

    @property
    @abstractmethod
    def rules(self) -> Mapping[str, ChannelRule]:
        """Its channels, by name."""

    # Requests

    @abstractmethod
    def read_request(self, data: str | bytes) -> Asked:
        """Parse one message of a client. Never raises."""

    @abstractmethod
    def read_subscription(self, asked: Asked, host: Host) -> Subscribing:
        """Check a subscribe or unsubscribe at this host as a whole. Raises :class:`Refusal`."""

    @abstractmethod
    def symbol_error(self, symbol: object, *, known: bool) -> str | None:
        """The refusal of this symbol, if it is invalid or not traded here."""

    @abstractmethod
    def slot(self, channel: str, symbol: str | None, variant: object) -> Slot:
        """What can be subscribed once."""

    # Answers, and what is pushed without data

    @abstractmethod
    def status(self, system: str, connection_id: int | None) -> str:
        """The engine's status; ``connection_id`` may be missing."""

    @abstractmethod
    def pong(self, asked: Asked, now_ns: int) -> str:
        """The answer to a ping."""

    @abstractmethod
    def granted(self, asked: Asked, wanted: Subscribing, symbol: str | None, now_ns: int) -> str:
        """The confirmation of a subscribe of one symbol."""

    @abstractmethod
    def ended(self, asked: Asked | None, channel: str, symbol: str | None, variant: object, now_ns: int) -> str:
        """The confirmation of an unsubscribe of one symbol, which need not have been asked for."""

    @abstractmethod
    def refused(self, asked: Asked, denial: Denial, now_ns: int) -> str:
        """A refusal."""

    @abstractmethod
    def unknown_channel(self, channel: str) -> str:
        """A well-formed frame of an unknown channel."""

    def bare_error(self, text: str) -> str:
        """A refusal without any reference to its request."""
        return frames.bare_error(text)

    def stray_error(self, text: str) -> str:
        """An error that answers nothing."""
        return self.bare_error(text)

    # Data

    @abstractmethod
    def checksum(self, spec: MarketSpec, bids: Levels, asks: Levels) -> int:
        """The checksum of a book with these ten best levels."""

    @abstractmethod
    def checksum_after(self, change: BookChange, market: SymbolMarket) -> int:
        """The checksum of the market's book, which is as this change has left it."""

    @abstractmethod
    def book(
        self, kind: str, market: SymbolMarket, depth: int, levels: DepthChange, checksum: int | None, time_ns: int
    ) -> str:
        """A message of a book; ``kind`` is ``snapshot`` or ``update``, here and below."""

    @abstractmethod
    def trades(self, kind: str, spec: MarketSpec, prints: Iterable[TradePrint]) -> str:
        """Any number of trades."""

    @property
    @abstractmethod
    def latest(self) -> Mapping[str, Callable[[str, SymbolMarket], str]]:
        """Of each channel that tells a market's present state: how it is written, from ``kind`` and the market."""

    @property
    @abstractmethod
    def reference(self) -> Mapping[str, Callable[[str, Iterable[MarketSpec]], str]]:
        """Of each channel of reference data: how those of all markets are written, from ``kind`` and the markets."""

    @abstractmethod
    def candles(self, kind: str, market: SymbolMarket, rows: Sequence[Candle], time_ns: int) -> str:
        """Candles, oldest first."""

    @abstractmethod
    def add_unknown_field(self, text: str) -> str:
        """This data frame with unknown fields in it, as far as there is room for any."""
