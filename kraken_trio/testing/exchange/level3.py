"""The frames of Level 3: every order of the best levels, and what happens to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import attrs

from kraken_trio.testing.exchange.dialects import v2_frames as frames
from kraken_trio.testing.exchange.orders import MODIFY, OrderEvent, OrderWindow, text_id
from kraken_trio.testing.exchange.server_book import CHECKED_LEVELS
from kraken_trio.testing.faults import DeepSnapshot, Exponents, ReorderQueue, SkipUpdate, SwapUpdates, UnknownOrder

if TYPE_CHECKING:
    from kraken_trio.testing.exchange.market import MarketUpdate, SymbolMarket
    from kraken_trio.testing.exchange.state import ExchangeState
    from kraken_trio.testing.exchange.subscriptions import Subscription

__all__ = ["Level3"]

_F = TypeVar("_F", SwapUpdates, UnknownOrder, DeepSnapshot, ReorderQueue, Exponents)


class Level3:
    """Makes the frames of ``level3``."""

    def __init__(self, state: ExchangeState) -> None:
        self._state = state
        self._held: dict[Subscription, str] = {}
        """Messages that are sent after the next one."""

    def snapshot(self, subscription: Subscription, market: SymbolMarket) -> None:
        """The first data of a new subscription."""
        depth = subscription.variant
        assert isinstance(depth, int)
        orders = market.orders
        window, checksum = orders.snapshot(depth), orders.checksum()
        text = frames.level3("snapshot", market.spec, window, checksum, orders.now_ns)
        if self._state.armed:
            deep = self._take(DeepSnapshot, subscription)
            if deep is not None:
                window = orders.snapshot(depth + deep.levels)
            reorder = self._take(ReorderQueue, subscription) if _reordered(window) is not None else None
            if reorder is not None:
                self._state.withhold(subscription, text, reorder)
                window = _reordered(window) or window
            text = self._text("snapshot", market, window, checksum, orders.now_ns, subscription)
        self._state.deliver(subscription, text)

    def publish(self, update: MarketUpdate, market: SymbolMarket) -> None:
        """Send what has happened to all subscribers."""
        state, windows = self._state, update.orders.windows
        texts: dict[object, str] = {}
        for subscription in state.subscriptions.of_topic(("level3", update.symbol)):
            depth = subscription.variant
            if not subscription.live or not isinstance(depth, int) or depth not in windows:
                continue
            if depth not in texts:
                change = update.orders
                texts[depth] = frames.level3("update", market.spec, windows[depth], change.checksum, change.time_ns)
            text = texts[depth]
            if state.armed or subscription in self._held:
                self._with_faults(subscription, update, market, text)
            else:
                state.deliver(subscription, text)
            if subscription.late is not None and state.subscriptions.spend_late(subscription):
                state.update_depths(subscription)

    def _with_faults(self, subscription: Subscription, update: MarketUpdate, market: SymbolMarket, text: str) -> None:
        state, depth = self._state, subscription.variant
        assert isinstance(depth, int)
        held = self._held.pop(subscription, None)
        skip = state.armed.take(
            SkipUpdate,
            lambda f: f.channel == "level3" and _concerns(f.symbol, f.connection, subscription),
        )
        window, checksum = update.orders.windows[depth], update.orders.checksum
        if skip is not None:
            state.withhold(subscription, text, skip)
        elif held is None and (swap := self._take(SwapUpdates, subscription)) is not None:
            state.withhold(subscription, text, swap)
            self._held[subscription] = text
        else:
            unknown = self._take(UnknownOrder, subscription)
            if unknown is not None:
                state.withhold(subscription, text, unknown)
                window = _with_stranger(window, market, state.random.getrandbits(40))
            time_ns = update.orders.time_ns
            state.deliver(subscription, self._text("update", market, window, checksum, time_ns, subscription))
        if held is not None:
            state.deliver(subscription, held)

    def _text(
        self,
        kind: str,
        market: SymbolMarket,
        window: OrderWindow,
        checksum: int,
        time_ns: int,
        subscription: Subscription,
    ) -> str:
        exponents = self._take(Exponents, subscription) is not None
        return frames.level3(kind, market.spec, window, checksum, time_ns, exponents=exponents)

    def _take(self, kind: type[_F], subscription: Subscription) -> _F | None:
        return self._state.armed.take(kind, lambda f: _concerns(f.symbol, f.connection, subscription))

    def forget(self, subscription: Subscription) -> None:
        """The subscription has ended."""
        self._held.pop(subscription, None)


def _concerns(symbol: str | None, connection: int | None, subscription: Subscription) -> bool:
    return symbol in (None, subscription.symbol) and connection in (None, subscription.connection.number)


def _reordered(window: OrderWindow) -> OrderWindow | None:
    """The first two neighbours of one level that a checksum tells apart, in the other order; None without any."""
    for name in ("bids", "asks"):
        side: tuple[OrderEvent, ...] = getattr(window, name)
        levels = 0
        for place in range(1, len(side)):
            one, other = side[place - 1], side[place]
            levels += one.price != other.price
            if levels < CHECKED_LEVELS and one.price == other.price and one.qty != other.qty:
                return attrs.evolve(window, **{name: (*side[: place - 1], other, one, *side[place + 1 :])})
    return None


def _with_stranger(window: OrderWindow, market: SymbolMarket, number: int) -> OrderWindow:
    """A change of an order that no client has."""
    best = market.orders.asks.levels.best() or market.orders.bids.levels.best() or (1, 1)
    event = OrderEvent(MODIFY, text_id("O", number), abs(best[0]), 1, market.time_ns)
    return attrs.evolve(window, asks=(*window.asks, event))
