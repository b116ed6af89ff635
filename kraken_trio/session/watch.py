"""Does a subscription stand still while its symbol trades?

A heartbeat proves the connection, not the subscription: one that was accepted may fall silent, and nothing says so
(PROTOCOL, section 12.9). Only its neighbours can tell. Every trade changes the book and, on Kraken, comes as an update
of the ticker and of the candle; so whoever of them does not move while another one of the same symbol tells of trades
is suspected. Rules:

1. It takes trades *and* time (``Settings.standstill_trades``, ``standstill_after``). A quiet market is never suspected.
2. Nothing is judged per event. A *sweep* looks at what each follower heard last, and compares with the sweep before.
   Sweeps go by the listening clock, and only while there is something to compare.
3. What is suspected is subscribed anew. If it stands still again without having moved in between, the time it takes is
   doubled, up to ``Settings.park_time``: it may be right, and nobody must be asked over and over.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from kraken_trio.requests import Ticker
from kraken_trio.session.followers import TradeFollower
from kraken_trio.session.subscription import Step
from kraken_trio.session.timing import growing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kraken_trio.session.subscription import Key, Subscription
    from kraken_trio.settings import Settings

    _ByChannel: TypeAlias = Mapping[str, Mapping[str | None, Subscription]]

__all__ = ["Watch"]

_CHANNELS: Final = ("book", "trade", "ticker", "ohlc")
"""What is compared: each of these moves with every trade of its symbol."""
_TELLING: Final = ("trade", "ticker", "ohlc")
"""What tells of trades. (A book moves without any.)"""
_SWEEPS: Final = 6
"""Sweeps within ``Settings.standstill_after``. A standstill begins with the sweep that sees it first, and is found by a
sweep, so up to two parts later."""
_PART: Final = 64
"""Symbols that are looked at in one go, so that nothing waits for it (about half a millisecond). If there are more, the
parts of a sweep are spread over its time."""


@attrs.define
class _Standing:
    """What was seen of one subscription at the last sweep."""

    is_judged: bool
    """Was there anything to be expected of it?"""
    request: int
    """The number of the last request about it."""
    heard: int
    """When its last event was received."""
    number: int
    """(trades) Of the last one."""
    since: float
    """When it was first seen like that, on the listening clock."""
    trades: int = 0
    """Of which its neighbours have told since then."""
    standstills: int = 0
    """In a row: it has not moved by itself in between."""


class Watch:
    """What the last sweep saw, and when the next one is due."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._standing: dict[Key, _Standing] = {}
        self._left: deque[str | None] = deque()  # symbols that the sweep has yet to see
        self._pause: float = 0.0  # seconds between two parts of a sweep
        self.due: float = inf
        """When :meth:`sweep` is due, on the listening clock; infinity while there is nothing to compare."""

    def __len__(self) -> int:
        """Of how many subscriptions something is remembered."""
        return len(self._standing)

    def wake(self, reading: float) -> None:
        """There may be something to compare now."""
        self.due = min(self.due, reading + self._settings.standstill_after / _SWEEPS)

    def sweep(self, by_channel: _ByChannel, reading: float) -> list[tuple[Subscription, str]]:
        """Look at everything once, or at a part of it. Returns what is to be subscribed anew, and why."""
        if not self._left:
            self._begin(by_channel)
        suspects: list[tuple[Subscription, str]] = []
        for symbol in [self._left.popleft() for _ in range(min(_PART, len(self._left)))]:
            neighbours = _neighbours(by_channel, symbol)
            told = {sub.key[0]: self._compare(sub, reading) for sub in neighbours}
            for sub in neighbours:
                standing = self._standing[sub.key]
                if standing.since == reading:
                    continue  # it has moved, or is seen for the first time
                standing.trades += max((told[other.key[0]] for other in neighbours if _tells(other, sub)), default=0)
                if self._is_suspect(standing, reading):
                    standing.standstills += 1
                    stood, trades = reading - standing.since, standing.trades
                    suspects.append((sub, f"it has stood still for {stood:.0f} s, and {trades} trades or more went by"))
        self.due = reading + self._pause
        return suspects

    def _begin(self, by_channel: _ByChannel) -> None:
        symbols = dict.fromkeys(symbol for channel in _TELLING for symbol in by_channel[channel])
        self._left.extend(symbol for symbol in symbols if len(_neighbours(by_channel, symbol)) > 1)
        self._standing = {key: known for key, known in self._standing.items() if key[1] in by_channel[key[0]]}
        parts = -(-len(self._left) // _PART)
        self._pause = self._settings.standstill_after / _SWEEPS / parts if parts else inf

    def _compare(self, sub: Subscription, reading: float) -> int:
        """Note what there is of ``sub`` now. Returns how many trades it tells of, or 1 if it moved without saying."""
        before = self._standing.get(sub.key)
        is_judged = sub.step is Step.LIVE or (sub.step is Step.CONFIRMED and not sub.owes_data)
        now = _Standing(is_judged, sub.req_id, sub.follower.heard, _number(sub), reading)
        if before is not None and is_judged and before.is_judged and before.request == sub.req_id:
            if before.heard == now.heard:
                return 0
            self._standing[sub.key] = now
            # The first number of all counts nothing.
            return max(now.number - before.number, 1) if before.number else 1
        if before is not None:
            now.standstills = before.standstills  # whatever is new about it, it did not move by itself
        self._standing[sub.key] = now
        return 0

    def _is_suspect(self, standing: _Standing, reading: float) -> bool:
        settings = self._settings
        longest = max(settings.standstill_after, settings.park_time)
        patience = growing(settings.standstill_after, standing.standstills + 1, longest)
        return standing.trades >= settings.standstill_trades and reading - standing.since >= patience


def _neighbours(by_channel: _ByChannel, symbol: str | None) -> list[Subscription]:
    """The subscriptions of a symbol that can be compared."""
    return [by_channel[channel][symbol] for channel in _CHANNELS if symbol in by_channel[channel]]


def _tells(other: Subscription, sub: Subscription) -> bool:
    """If ``other`` moves, must ``sub``? A ticker of the best prices moves with the book, and without a trade."""
    if other is sub or other.is_book:
        return False
    is_of_prices = isinstance(other.request, Ticker) and other.request.trigger == "bbo"
    return sub.is_book or not is_of_prices


def _number(sub: Subscription) -> int:
    last = sub.follower.last if isinstance(sub.follower, TradeFollower) else None
    return 0 if last is None else last.trade_id
