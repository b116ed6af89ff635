"""From a market's update to the frames of all its subscribers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from kraken_trio.testing.exchange.irregular import irregular, irregular_update
from kraken_trio.testing.exchange.level3 import Level3
from kraken_trio.testing.exchange.server_book import CHECKED_LEVELS, DepthChange
from kraken_trio.testing.faults import (
    CorruptChecksum,
    CorruptLevel,
    IrregularSnapshot,
    IrregularUpdate,
    OmitChecksum,
    SkipUpdate,
)

if TYPE_CHECKING:
    from kraken_trio.testing.exchange.market import MarketUpdate, SymbolMarket
    from kraken_trio.testing.exchange.private import Private
    from kraken_trio.testing.exchange.server_book import Levels
    from kraken_trio.testing.exchange.state import ExchangeState
    from kraken_trio.testing.exchange.subscriptions import Subscription

__all__ = ["Broadcaster"]

_WRONG = 0x5A5A5A5A
_CHECKSUM = re.compile(r'"checksum":(\d+)')
_CHECKSUM_FIELD = re.compile(r',"checksum":\d+|"checksum":\d+,')


_UpdateFault: TypeAlias = SkipUpdate | CorruptLevel | CorruptChecksum | OmitChecksum


class Broadcaster:
    """Makes data frames. Every text is made once for all connections that get it."""

    def __init__(self, state: ExchangeState, private: Private) -> None:
        self._state = state
        self._private = private
        self._level3 = Level3(state)

    def forget(self, subscription: Subscription) -> None:
        """The subscription has ended."""
        self._level3.forget(subscription)

    # Snapshots

    def snapshot(self, subscription: Subscription, now_ns: int) -> None:
        """The first data of a new subscription."""
        state, dialect = self._state, subscription.connection.dialect
        if reference := dialect.reference.get(subscription.channel):
            specs = [spec for spec in state.market.specs if subscription.variant or spec.multiplier is None]
            state.deliver(subscription, reference("snapshot", specs))
            return
        if subscription.channel in ("executions", "balances"):
            self._private.snapshot(subscription)
            return
        market = state.market.symbols[subscription.symbol or ""]
        if subscription.channel == "book":
            self._book_snapshot(subscription, market, now_ns)
        elif subscription.channel == "level3":
            self._level3.snapshot(subscription, market)
        elif subscription.channel == "trade":
            state.deliver(subscription, dialect.trades("snapshot", market.spec, market.tape.latest))
        elif latest := dialect.latest.get(subscription.channel):
            state.deliver(subscription, latest("snapshot", market))
        else:
            interval = subscription.variant
            assert isinstance(interval, int)
            rows = market.tape.candles[interval]
            if rows:  # of a pair without trades Kraken sends no snapshot
                state.deliver(subscription, dialect.candles("snapshot", market, rows, now_ns))

    def _book_snapshot(self, subscription: Subscription, market: SymbolMarket, now_ns: int) -> None:
        depth = subscription.variant
        assert isinstance(depth, int)
        book, dialect = market.book, subscription.connection.dialect
        top = DepthChange(tuple(book.bids.top(depth)), tuple(book.asks.top(depth)))
        time_ns = max(now_ns, market.time_ns)
        checksum: int | None = book.checksum() if dialect.has_checksum_in_snapshots else None
        text = dialect.book("snapshot", market, depth, top, checksum, time_ns)
        if self._state.armed:
            levels = self._irregular(subscription, market, top)
            fault = None if checksum is None else self._proof_fault(subscription, snapshots=True)
            if checksum is not None and fault is not None:
                self._state.withhold(subscription, text, fault)
                checksum = None if isinstance(fault, OmitChecksum) else checksum ^ _WRONG
            text = dialect.book("snapshot", market, depth, levels, checksum, time_ns)
        self._state.deliver(subscription, text)

    def _proof_fault(self, subscription: Subscription, *, snapshots: bool) -> CorruptChecksum | OmitChecksum | None:
        """A fault of the checksum of this snapshot or update."""

        def fits(fault: CorruptChecksum | OmitChecksum) -> bool:
            return fault.snapshots == snapshots and _concerns(fault.symbol, fault.connection, subscription)

        armed = self._state.armed
        return armed.take(CorruptChecksum, fits) or armed.take(OmitChecksum, fits)

    def _irregular(self, subscription: Subscription, market: SymbolMarket, top: DepthChange) -> DepthChange:
        """The levels of a snapshot, as altered by a fault."""
        depth = subscription.variant
        assert isinstance(depth, int)
        found: DepthChange | None = None

        def fits(fault: IrregularSnapshot) -> bool:
            nonlocal found
            if fault.symbol in (None, subscription.symbol):
                found = irregular(fault.how, market.book, top, depth, self._state.random)
                return found is not None
            return False

        self._state.armed.take(IrregularSnapshot, fits)
        return found or top

    def early_update(self, subscription: Subscription) -> None:
        """An update before the snapshot: the best levels again."""
        market = self._state.market.symbols[subscription.symbol or ""]
        depth, dialect, book = subscription.variant, subscription.connection.dialect, market.book
        assert isinstance(depth, int)
        best = DepthChange(tuple(book.bids.top(1)), tuple(book.asks.top(1)))
        checksum = dialect.checksum(market.spec, *_checked(market))
        self._state.deliver(subscription, dialect.book("update", market, depth, best, checksum, market.time_ns))

    # Updates

    def publish(self, update: MarketUpdate) -> None:
        """Send what has happened to all subscribers."""
        state = self._state
        market = state.market.symbols[update.symbol]
        if update.book.windows:
            self._book_update(update, market)
        if update.orders.windows:
            self._level3.publish(update, market)
        if update.trades:
            self._trade_update(update, market)
        self._ticker_update(update, market)
        if update.book.best_changed:
            self._spread_update(update, market)
        if update.trades:
            self._candle_update(update, market)

    def _trade_update(self, update: MarketUpdate, market: SymbolMarket) -> None:
        state = self._state
        seeing = [s for s in state.subscriptions.of_topic(("trade", update.symbol)) if s.live]
        if not seeing:
            return
        fault = state.armed.take(
            SkipUpdate,
            lambda f: (
                f.channel == "trade" and any(_concerns(f.symbol, f.connection, s) and not s.muted for s in seeing)
            ),
        )
        texts: dict[str, str] = {}
        for subscription in seeing:
            dialect = subscription.connection.dialect
            text = texts.get(dialect.name)
            if text is None:
                text = texts[dialect.name] = dialect.trades("update", market.spec, update.trades)
            if fault is not None and _concerns(fault.symbol, fault.connection, subscription):
                state.withhold(subscription, text, fault)
            else:
                state.deliver(subscription, text)

    def _ticker_update(self, update: MarketUpdate, market: SymbolMarket) -> None:
        texts: dict[str, str] = {}
        for subscription in self._state.subscriptions.of_topic(("ticker", update.symbol)):
            wanted = update.book.best_changed if subscription.variant == "bbo" else bool(update.trades)
            if subscription.live and wanted:
                dialect = subscription.connection.dialect
                if dialect.name not in texts:
                    texts[dialect.name] = dialect.latest["ticker"]("update", market)
                self._state.deliver(subscription, texts[dialect.name])

    def _spread_update(self, update: MarketUpdate, market: SymbolMarket) -> None:
        for subscription in self._state.subscriptions.of_topic(("spread", update.symbol)):
            if subscription.live:
                spread = subscription.connection.dialect.latest["spread"]
                self._state.deliver(subscription, spread("update", market))

    def _candle_update(self, update: MarketUpdate, market: SymbolMarket) -> None:
        for subscription in self._state.subscriptions.of_topic(("ohlc", update.symbol)):
            if subscription.live and isinstance(subscription.variant, int):
                row = market.tape.candles[subscription.variant][-1]
                dialect = subscription.connection.dialect
                self._state.deliver(subscription, dialect.candles("update", market, [row], update.time_ns))

    def _book_update(self, update: MarketUpdate, market: SymbolMarket) -> None:
        state = self._state
        windows = update.book.windows
        seeing = [s for s in state.subscriptions.of_topic(("book", update.symbol)) if s.live and s.variant in windows]
        if not seeing:
            return
        texts: dict[tuple[str, int, bool], str] = {}
        checksums: dict[str, int] = {}
        odd = self._irregular_update(update, market, seeing) if state.armed else None
        fault = self._book_fault(update, market, seeing) if state.armed else None
        for subscription in seeing:
            depth = subscription.variant
            assert isinstance(depth, int)
            dialect = subscription.connection.dialect
            if dialect.name not in checksums:
                checksums[dialect.name] = dialect.checksum_after(update.book, market)
            levels, checksum = windows[depth], checksums[dialect.name]
            is_odd = odd is not None and _concerns(odd.symbol, odd.connection, subscription)
            if odd is not None and is_odd:
                levels = irregular_update(odd.how, market.book, levels, depth, update.time_ns) or levels
            key = (dialect.name, depth, is_odd)
            if key not in texts:
                texts[key] = dialect.book("update", market, depth, levels, checksum, update.time_ns)
            if fault is None or not _concerns(fault.symbol, fault.connection, subscription):
                state.deliver(subscription, texts[key])
            else:
                state.withhold(subscription, texts[key], fault)
                if not isinstance(fault, SkipUpdate):
                    levels, shown = _spoilt(fault, market, levels, checksum)
                    state.deliver(subscription, dialect.book("update", market, depth, levels, shown, update.time_ns))
            if subscription.late is not None and state.subscriptions.spend_late(subscription):
                state.update_depths(subscription)

    def _irregular_update(
        self, update: MarketUpdate, market: SymbolMarket, seeing: list[Subscription]
    ) -> IrregularUpdate | None:
        """The armed irregularity that fits this update."""

        def fits(fault: IrregularUpdate) -> bool:
            concerned = [s for s in seeing if _concerns(fault.symbol, fault.connection, s) and not s.muted]
            windows = [(s.variant, update.book.windows[s.variant]) for s in concerned if isinstance(s.variant, int)]
            return bool(concerned) and all(
                irregular_update(fault.how, market.book, window, depth, update.time_ns) for depth, window in windows
            )

        return self._state.armed.take(IrregularUpdate, fits)

    def _book_fault(
        self, update: MarketUpdate, market: SymbolMarket, seeing: list[Subscription]
    ) -> _UpdateFault | None:
        """The armed fault that fits this update."""
        armed = self._state.armed

        def seen(fault: _UpdateFault) -> bool:
            return any(_concerns(fault.symbol, fault.connection, s) and not s.muted for s in seeing)

        def corruptible(fault: CorruptLevel) -> bool:
            return seen(fault) and all(_top_level(market, w) is not None for w in update.book.windows.values())

        return (
            armed.take(SkipUpdate, lambda f: f.channel == "book" and seen(f) and (update.book.top_changed or not f.top))
            or armed.take(CorruptLevel, corruptible)
            or armed.take(CorruptChecksum, lambda f: not f.snapshots and seen(f))
            or armed.take(OmitChecksum, lambda f: not f.snapshots and seen(f))
        )

    def publish_phantom(self, market: SymbolMarket) -> None:
        """A bid above the best ask that is not in the exchange's book, in an update whose checksum fits."""
        book, spec = market.book, market.spec
        if not book.asks.keys:
            return  # there is nothing to cross
        price, qty = book.asks.keys[0] + 1, 12345
        old_bids, asks = _checked(market)
        bids = tuple(sorted({**dict(old_bids), price: qty}.items(), reverse=True)[:CHECKED_LEVELS])
        levels = DepthChange(((price, qty),), ())
        for subscription in self._state.subscriptions.of_topic(("book", spec.symbol)):
            if subscription.live:
                fault = self._proof_fault(subscription, snapshots=False) if self._state.armed else None
                depth, dialect = subscription.variant, subscription.connection.dialect
                assert isinstance(depth, int)
                checksum = dialect.checksum(spec, bids, asks)
                shown = checksum if fault is None else None if isinstance(fault, OmitChecksum) else checksum ^ _WRONG
                text = dialect.book("update", market, depth, levels, shown, market.time_ns)
                self._state.deliver(subscription, text)

    # Recordings

    def publish_recorded(self, subscription: Subscription, text: str) -> None:
        """A recorded frame, or what a fault makes of it."""
        armed = self._state.armed
        snapshot = '"type":"snapshot"' in text
        skip = None
        if armed and not snapshot:
            skip = armed.take(
                SkipUpdate,
                lambda f: f.channel == subscription.channel and _concerns(f.symbol, f.connection, subscription),
            )
        if skip is not None:
            self._state.withhold(subscription, text, skip)
            return
        if armed and subscription.channel == "book":
            proof = self._proof_fault(subscription, snapshots=snapshot)
            if proof is not None:
                self._state.withhold(subscription, text, proof)
                text = _without_checksum(text) if isinstance(proof, OmitChecksum) else _with_wrong_checksum(text)
        self._state.deliver(subscription, text)


def _concerns(symbol: str | None, connection: int | None, subscription: Subscription) -> bool:
    return symbol in (None, subscription.symbol) and connection in (None, subscription.connection.number)


def _with_wrong_checksum(text: str) -> str:
    return _CHECKSUM.sub(lambda m: f'"checksum":{int(m[1]) ^ _WRONG}', text, count=1)


def _without_checksum(text: str) -> str:
    return _CHECKSUM_FIELD.sub("", text, count=1)


def _checked(market: SymbolMarket) -> tuple[Levels, Levels]:
    """The levels that the checksum covers: bids, asks."""
    return tuple(market.book.bids.top(CHECKED_LEVELS)), tuple(market.book.asks.top(CHECKED_LEVELS))


def _spoilt(
    fault: _UpdateFault, market: SymbolMarket, window: DepthChange, checksum: int
) -> tuple[DepthChange, int | None]:
    """The levels and the checksum of an update, as altered by a fault."""
    if isinstance(fault, CorruptChecksum):
        return window, checksum ^ _WRONG
    if isinstance(fault, OmitChecksum):
        return window, None
    return _one_digit_wrong(market, window), checksum


def _top_level(market: SymbolMarket, window: DepthChange) -> tuple[str, int] | None:
    """The index of a level of the message that is now among the ten best, and is not changed again later in it."""
    for side, levels in (("bids", window.bids), ("asks", window.asks)):
        top = dict((market.book.bids if side == "bids" else market.book.asks).top(CHECKED_LEVELS))
        for index in range(len(levels) - 1, -1, -1):
            price, qty = levels[index]
            if qty and top.get(price) == qty:
                return side, index
    return None


def _one_digit_wrong(market: SymbolMarket, window: DepthChange) -> DepthChange:
    where = _top_level(market, window)
    assert where is not None  # the fault was only taken where there is one
    side, index = where
    levels = list(window.bids if side == "bids" else window.asks)
    price, qty = levels[index]
    wrong = qty - qty % 10 + (qty % 10 + 1) % 10
    levels[index] = (price, wrong or 5)
    return DepthChange(tuple(levels), window.asks) if side == "bids" else DepthChange(window.bids, tuple(levels))
