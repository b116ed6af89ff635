"""A catalog of NautilusTrader (``ParquetDataCatalog``), written by NautilusTrader itself.

* ``OrderBookDelta``: a snapshot is a clear and its levels, a gap is a clear; levels that left the window are deleted.
  The last one of a message has ``F_LAST``.
* ``TradeTick``, and ``QuoteTick`` wherever both sides have a price.
* ``CurrencyPair`` of each symbol, from the recorded reference data. Where that is missing, its precision is that of the
  digits on the wire.

``ts_init`` is the receive time, ``ts_event`` the exchange's. ``ts_init`` never goes back.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import attrs

from kraken_trio import Pair, Side
from kraken_trio.export.arrow import pq
from kraken_trio.export.errors import ExportError
from kraken_trio.export.files import plain
from kraken_trio.export.outputs import Output, Written, rows_of
from kraken_trio.export.tables import OPENING, time_or_none
from kraken_trio.export.times import nanoseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from kraken_trio import BookSnapshot, BookUpdate, Gap, InstrumentUpdate, Level, Trade
    from kraken_trio.export.outputs import Day
    from kraken_trio.export.window import Window

try:
    from nautilus_trader.model import data as nautilus
    from nautilus_trader.model.enums import AggressorSide, BookAction, OrderSide, RecordFlag
    from nautilus_trader.model.identifiers import InstrumentId, Symbol, TradeId, Venue
    from nautilus_trader.model.instruments import CurrencyPair
    from nautilus_trader.model.objects import Currency, Price, Quantity
    from nautilus_trader.persistence.catalog import ParquetDataCatalog
except ImportError as _error:
    _msg = "the format nautilus needs NautilusTrader: pip install nautilus_trader"
    raise ExportError(_msg) from _error

__all__ = ["Nautilus"]

VENUE: Final = "KRAKEN"
CHUNK_ROWS: Final = 65_536
"""Objects (of some 300 bytes) that are written at a time; each time is a file of the catalog, with one row group."""
MAX_HELD_ROWS: Final = 1_000_000
"""Objects that wait, of all symbols together: with many symbols, files are smaller."""
_CLASSES: Final = 3
"""Of objects that wait: deltas, trades, quotes."""
_AGGRESSORS: Final = {
    Side.BUY: AggressorSide.BUYER,
    Side.SELL: AggressorSide.SELLER,
    Side.UNKNOWN: AggressorSide.NO_AGGRESSOR,
}
_LAST: Final = int(RecordFlag.F_LAST)
_SNAPSHOT: Final = int(RecordFlag.F_SNAPSHOT)


class Nautilus(Output):
    """One day's files of the catalog."""

    def __init__(self, folder: Path, day: Day, tables: frozenset[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._tables = tables
        self._catalog = ParquetDataCatalog(str(folder))
        self._pairs = dict(day.pairs)
        self._start_ns = day.start_ns
        self._symbols: dict[str, _Symbol] = {}
        self._written: list[Written] = []
        self._seen: set[Path] = set()
        self.left_out: Counter[str] = Counter()

    # Books

    def opened(self, local_ns: int, book: Window) -> None:
        if "book_updates" in self._tables:
            bids, asks = book.bids.all(), book.asks.all()
            symbol = self._symbol(book.symbol, chain(bids, asks))
            times = (time_or_none(book.timestamp) or local_ns, local_ns)
            deltas = symbol.book(OPENING, times, bids, asks)
            self._put(symbol.deltas, deltas, derived=1 + len(bids) + len(asks))
        self.changed(OPENING, time_or_none(book.timestamp), local_ns, book)

    def replaced(self, seq: int, event: BookSnapshot, before: Window) -> None:
        del before
        if "book_updates" in self._tables:
            symbol = self._symbol(event.symbol, chain(event.bids, event.asks))
            times = (time_or_none(event.timestamp) or event.received_ns, event.received_ns)
            deltas = symbol.book(seq, times, event.bids, event.asks)
            # Without levels, the delta that clears is the message's.
            cleared = bool(event.bids or event.asks)
            self._put(symbol.deltas, deltas, table="book_updates", sent=rows_of(event), derived=cleared)

    def updated(
        self, seq: int, event: BookUpdate, cut_bids: Sequence[Level], cut_asks: Sequence[Level], book: Window
    ) -> None:
        del book
        if "book_updates" in self._tables:
            symbol = self._symbol(event.symbol, chain(event.bids, event.asks))
            times = (time_or_none(event.timestamp) or event.received_ns, event.received_ns)
            deltas = symbol.changes(seq, times, event, cut_bids, cut_asks)
            cut, sent = len(cut_bids) + len(cut_asks), len(event.bids) + len(event.asks)
            self.left_out["book_updates"] += rows_of(event) - sent
            self._put(symbol.deltas, deltas, table="book_updates", sent=sent, derived=cut)

    def lost(self, seq: int, gap: Gap, before: Window) -> None:
        if "book_updates" in self._tables:
            symbol = self._symbol(before.symbol, ())
            self._put(
                symbol.deltas, [symbol.clear(seq, (gap.received_ns, gap.received_ns), _LAST)], "book_updates", sent=1
            )

    def changed(self, seq: int, time_ns: int | None, local_ns: int, book: Window) -> None:
        del seq
        if "quotes" in self._tables:
            bid, ask = book.bids.top(), book.asks.top()
            if bid is not None and ask is not None:
                symbol = self._symbol(book.symbol, (bid, ask))
                if symbol.has_new_quote(bid, ask):
                    self._put(symbol.quotes, [symbol.quote(time_ns or local_ns, local_ns, bid, ask)], derived=1)

    # The others

    def trade(self, seq: int, event: Trade) -> None:
        if "trades" in self._tables:
            symbol = self._symbol(event.symbol, (event,))
            self._put(symbol.trades, [symbol.trade(seq, event)], "trades", sent=1)

    def refer(self, event: InstrumentUpdate) -> None:
        for pair in event.pairs:
            if pair != self._pairs.get(pair.symbol):
                self._pairs[pair.symbol] = pair
                if pair.symbol in self._symbols:  # it is written with what comes first
                    self._define(self._symbols[pair.symbol], pair, event.received_ns)

    def _symbol(self, name: str, numbers: Iterable[Level | Trade]) -> _Symbol:
        symbol = self._symbols.get(name)
        if symbol is None:
            symbol = self._symbols[name] = _Symbol(name)
            known = self._pairs.get(name)
            is_defined = (self._folder.parent / "data" / "currency_pair" / str(symbol.id).replace("/", "")).exists()
            pair = known or _guessed(name, numbers)
            symbol.use(pair)
            if not is_defined:
                self._define(symbol, pair, self._start_ns)
        return symbol

    def _define(self, symbol: _Symbol, pair: Pair, time_ns: int) -> None:
        for chunk in (symbol.deltas, symbol.trades, symbol.quotes):
            self._write(chunk)  # with the precision that they have
        symbol.use(pair)
        self._put(symbol.definitions, [symbol.definition(pair, time_ns)], derived=1)
        self._write(symbol.definitions)

    # Files

    def _put(self, chunk: _Chunk, objects: list[Any], table: str = "", *, sent: int = 0, derived: int = 0) -> None:
        if not objects:
            return
        # A file begins behind the end of the one before, in time.
        enough = min(CHUNK_ROWS, MAX_HELD_ROWS // (_CLASSES * len(self._symbols)))
        if len(chunk.objects) >= enough and objects[0].ts_init > chunk.objects[-1].ts_init:
            self._write(chunk)
        chunk.objects += objects
        chunk.table = table or chunk.table
        chunk.sent += sent
        chunk.derived += derived

    def _write(self, chunk: _Chunk) -> None:
        if not chunk.objects:
            return
        self._catalog.write_data(chunk.objects)
        files = set(self._folder.glob("data/**/*.parquet")) - self._seen
        if len(files) != 1:
            msg = f"NautilusTrader wrote {len(files)} files of {len(chunk.objects)} objects instead of one"
            raise ExportError(msg)
        (path,) = files
        self._seen.add(path)
        self._written.append(
            Written(
                path=path.relative_to(self._folder),
                table=path.parent.parent.name,
                symbol=chunk.symbol,
                rows=int(pq.read_metadata(path).num_rows),
                sent={chunk.table: chunk.sent} if chunk.sent else {},
                derived=chunk.derived,
            )
        )
        chunk.objects.clear()
        chunk.sent = chunk.derived = 0

    def finish(self) -> list[Written]:
        for symbol in self._symbols.values():
            for chunk in (symbol.deltas, symbol.trades, symbol.quotes):
                self._write(chunk)
        return self._written

    def abandon(self) -> None:
        """There are no open files."""


@attrs.define
class _Chunk:
    """Objects of one class and symbol that wait for their file."""

    symbol: str
    table: str = ""
    objects: list[Any] = attrs.field(factory=list)
    sent: int = 0
    derived: int = 0


class _Symbol:
    """One symbol's objects."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.id = InstrumentId(Symbol(name), Venue(VENUE))
        self.deltas, self.trades, self.quotes, self.definitions = (_Chunk(name) for _ in range(4))
        self._price_precision = 0
        self._qty_precision = 0
        self._quote: tuple[str, ...] | None = None
        self._init_ns: Counter[str] = Counter()

    def use(self, pair: Pair) -> None:
        self._price_precision, self._qty_precision = pair.price_precision, pair.qty_precision

    def definition(self, pair: Pair, time_ns: int) -> Any:
        price = pair.price_increment or Decimal(1).scaleb(-pair.price_precision)
        qty = pair.qty_increment or Decimal(1).scaleb(-pair.qty_precision)
        return CurrencyPair(
            instrument_id=self.id,
            raw_symbol=Symbol(self.name),
            base_currency=Currency.from_str(pair.base),
            quote_currency=Currency.from_str(pair.quote),
            price_precision=pair.price_precision,
            size_precision=pair.qty_precision,
            price_increment=Price(price, pair.price_precision),
            size_increment=Quantity(qty, pair.qty_precision),
            min_quantity=Quantity(pair.qty_min, pair.qty_precision) if pair.qty_min else None,
            margin_init=pair.margin_initial,
            ts_event=time_ns,
            ts_init=time_ns,
        )

    def book(self, seq: int, times: tuple[int, int], bids: Sequence[Level], asks: Sequence[Level]) -> list[Any]:
        times = self._times("deltas", times)
        count = len(bids) + len(asks)
        deltas = [self.clear(seq, times, _SNAPSHOT | (0 if count else _LAST))]
        for side, level in chain(((OrderSide.BUY, bid) for bid in bids), ((OrderSide.SELL, ask) for ask in asks)):
            flags = _SNAPSHOT | (_LAST if len(deltas) == count else 0)
            deltas.append(self._delta(BookAction.ADD, side, level, seq, times, flags))
        return deltas

    def changes(
        self,
        seq: int,
        times: tuple[int, int],
        event: BookUpdate,
        cut_bids: Sequence[Level],
        cut_asks: Sequence[Level],
    ) -> list[Any]:
        times = self._times("deltas", times)
        deltas: list[Any] = []
        count = sum(map(len, (event.bids, event.asks, cut_bids, cut_asks)))
        for side, levels, is_cut in (
            (OrderSide.BUY, event.bids, False),
            (OrderSide.SELL, event.asks, False),
            (OrderSide.BUY, cut_bids, True),
            (OrderSide.SELL, cut_asks, True),
        ):
            for level in levels:
                action = BookAction.DELETE if is_cut or not level.qty else BookAction.UPDATE
                flags = _LAST if len(deltas) == count - 1 else 0
                deltas.append(self._delta(action, side, level, seq, times, flags))
        return deltas

    def clear(self, seq: int, times: tuple[int, int], flags: int) -> Any:
        event_ns, init_ns = self._times("deltas", times)
        return nautilus.OrderBookDelta(self.id, BookAction.CLEAR, None, flags, seq, event_ns, init_ns)

    def _delta(self, action: Any, side: Any, level: Level, seq: int, times: tuple[int, int], flags: int) -> Any:
        size = "0" if action == BookAction.DELETE else level.qty_text
        order = nautilus.BookOrder(side, self._price(level.price_text), self._qty(size), 0)
        return nautilus.OrderBookDelta(self.id, action, order, flags, seq, *times)

    def has_new_quote(self, bid: Level, ask: Level) -> bool:
        quote = (bid.price_text, bid.qty_text, ask.price_text, ask.qty_text)
        if quote == self._quote:
            return False
        self._quote = quote
        return True

    def quote(self, event_ns: int, init_ns: int, bid: Level, ask: Level) -> Any:
        prices = (self._price(bid.price_text), self._price(ask.price_text))
        return nautilus.QuoteTick(
            self.id,
            *prices,
            self._qty(bid.qty_text),
            self._qty(ask.qty_text),
            *self._times("quotes", (event_ns, init_ns)),
        )

    def trade(self, seq: int, event: Trade) -> Any:
        """NautilusTrader's trades must have an id: where Kraken has none, it is made of the time and the place."""
        times = self._times("trades", (nanoseconds(event.timestamp), event.received_ns))
        return nautilus.TradeTick(
            self.id,
            self._price(str(event.price)),
            self._qty(str(event.qty)),
            _AGGRESSORS[event.side],
            TradeId(f"{times[0]}-{seq}" if event.trade_id is None else str(event.trade_id)),
            *times,
        )

    def _times(self, kind: str, times: tuple[int, int]) -> tuple[int, int]:
        """The receive time never goes back."""
        event_ns, init_ns = times
        self._init_ns[kind] = init_ns = max(init_ns, self._init_ns[kind])
        return event_ns, init_ns

    def _price(self, text: str) -> Any:
        return Price.from_str(self._padded(text, self._price_precision))

    def _qty(self, text: str) -> Any:
        return Quantity.from_str(self._padded(text, self._qty_precision))

    def _padded(self, text: str, precision: int) -> str:
        """With exactly so many decimals, which is how NautilusTrader knows the precision."""
        text = plain(text) if "e" in text.lower() else text
        whole, _, decimals = text.partition(".")
        if len(decimals) > precision:
            if decimals[precision:].strip("0"):
                msg = (
                    f"{self.name}: {text} has more than the {precision} decimals that its reference data allow, and "
                    f"numbers are never rounded: export to another format"
                )
                raise ExportError(msg)
            decimals = decimals[:precision]
        return f"{whole}.{decimals:0<{precision}}" if precision else whole


def _guessed(symbol: str, numbers: Iterable[Level | Trade]) -> Pair:
    """Reference data from the digits of the wire."""
    base, _, quote = symbol.partition("/")
    prices, quantities = [0], [0]
    for number in numbers:
        prices.append(_decimals(number.price))
        quantities.append(_decimals(number.qty))
    return Pair(
        symbol=symbol,
        base=base,
        quote=quote,
        status="online",
        price_precision=max(prices),
        qty_precision=max(quantities),
    )


def _decimals(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)
