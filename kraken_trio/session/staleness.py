"""Detection of stale subscriptions: those without data while their symbol trades.

A heartbeat proves the connection, not the subscription: a confirmed subscription may stop sending without notice. Only
other channels of the same symbol can show it. On Kraken every trade changes the book and updates the ticker and the
candle, so a channel without data while another one reports trades is suspected. Rules:

1. It takes trades *and* time (``Settings.stale_trades``, ``stale_after``). A quiet market is never suspected.
2. Nothing is judged per event. A *scan* compares what each subscription received last with the scan before. Scans run
   on the clock that runs while we listen, and only while there is something to compare.
3. A stale subscription is resubscribed. If it is stale again without data in between, the required time is doubled, up
   to ``Settings.park_time``, since the suspicion may be wrong.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from kraken_trio.session.steps import Step
from kraken_trio.session.timing import growing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kraken_trio.session.subscription import Key, Subscription
    from kraken_trio.settings import Settings

    _ByChannel: TypeAlias = Mapping[str, Mapping[str | None, Subscription]]

__all__ = ["StalenessMonitor"]

_SCANS: Final = 6
"""Scans per ``Settings.stale_after``. Detection starts and ends with a scan, so it may be up to two scans late."""
_PART: Final = 64
"""Symbols per call, which takes about half a millisecond. With more symbols a scan is spread over several calls."""


@attrs.define
class _Seen:
    """One subscription as of the last scan."""

    is_judged: bool
    """Whether data was to be expected of it."""
    request: int
    """The ``req_id`` of the last request about it."""
    last_received_ns: int
    """When its last event was received."""
    trade_count: int
    since: float
    """The time of the scan that first saw it in this state, on the listening clock."""
    new_trades: int = 0
    """Trades since then, as reported by other channels."""
    times_stale: int = 0
    """How often in a row it has been found stale, without data of its own in between."""


class StalenessMonitor:
    """The result of the last scan, and when the next one is due."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seen: dict[Key, _Seen] = {}
        self._left: deque[str | None] = deque()  # symbols that remain in this scan
        self._pause: float = 0.0  # seconds between two parts of a scan
        self.due: float = inf
        """When :meth:`scan` is due, on the listening clock; infinity while there is nothing to compare."""

    def __len__(self) -> int:
        """The number of subscriptions that are tracked."""
        return len(self._seen)

    def wake(self, reading: float) -> None:
        """Schedule a scan: there may be something to compare now."""
        self.due = min(self.due, reading + self._settings.stale_after / _SCANS)

    def scan(self, by_channel: _ByChannel, reading: float) -> list[tuple[Subscription, str]]:
        """Compare all symbols, or the next part of them. Returns what is to be resubscribed, and why."""
        if not self._left:
            self._begin(by_channel)
        stale: list[tuple[Subscription, str]] = []
        for symbol in [self._left.popleft() for _ in range(min(_PART, len(self._left)))]:
            neighbours = _neighbours(by_channel, symbol)
            told = {sub.key[0]: self._compare(sub, reading) for sub in neighbours}
            for sub in neighbours:
                seen = self._seen[sub.key]
                if seen.since == reading:
                    continue  # it has new data, or is seen for the first time
                seen.new_trades += max((told[other.key[0]] for other in neighbours if _tells(other, sub)), default=0)
                if self._is_stale(seen, reading):
                    seen.times_stale += 1  # mutant: stale again
                    age, trades = reading - seen.since, seen.new_trades
                    stale.append((sub, f"no data for {age:.0f} s, during which at least {trades} trades happened"))
        self.due = reading + self._pause
        return stale

    def _begin(self, by_channel: _ByChannel) -> None:
        symbols = dict.fromkeys(
            symbol
            for subs in by_channel.values()
            for symbol, sub in subs.items()
            if sub.state.tells_of_trades and symbol is not None
        )
        self._left.extend(symbol for symbol in symbols if len(_neighbours(by_channel, symbol)) > 1)
        self._seen = {key: known for key, known in self._seen.items() if key[1] in by_channel[key[0]]}
        parts = -(-len(self._left) // _PART)
        self._pause = self._settings.stale_after / _SCANS / parts if parts else inf

    def _compare(self, sub: Subscription, reading: float) -> int:
        """Update the entry of ``sub``. Returns the number of trades it shows, or 1 if it has data without a number."""
        before = self._seen.get(sub.key)
        is_judged = sub.step is Step.LIVE or (sub.step is Step.CONFIRMED and sub.data_due is None)
        state = sub.state
        now = _Seen(is_judged, sub.req_id, state.last_received_ns, state.trade_count, reading)
        if before is not None and is_judged and before.is_judged and before.request == sub.req_id:
            if before.last_received_ns == now.last_received_ns:
                return 0
            self._seen[sub.key] = now
            # Without an earlier trade count there is nothing to subtract from.
            return max(now.trade_count - before.trade_count, 1) if before.trade_count else 1
        if before is not None:
            now.times_stale = before.times_stale  # the change was ours (a new request), not data
        self._seen[sub.key] = now
        return 0

    def _is_stale(self, seen: _Seen, reading: float) -> bool:
        settings = self._settings
        longest = max(settings.stale_after, settings.park_time)
        patience = growing(settings.stale_after, seen.times_stale + 1, longest)
        return seen.new_trades >= settings.stale_trades and reading - seen.since >= patience  # mutant: stale


def _neighbours(by_channel: _ByChannel, symbol: str | None) -> list[Subscription]:
    """The subscriptions of a symbol that can be compared: every trade causes an event in each of them."""
    return [
        sub for subs in by_channel.values() if (sub := subs.get(symbol)) is not None and sub.state.moves_with_trades
    ]


def _tells(other: Subscription, sub: Subscription) -> bool:
    """Whether data of ``other`` implies data of ``sub``. A channel that follows prices has data without trades, too."""
    if other is sub or not other.state.tells_of_trades:
        return False
    return sub.state.moves_with_prices or not other.state.moves_with_prices  # mutant: price or trade
