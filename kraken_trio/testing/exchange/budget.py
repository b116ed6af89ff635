"""The limits of Level 3: points for its snapshots, and symbols per connection."""

from __future__ import annotations

import attrs

__all__ = ["COSTS", "MAX_SYMBOLS", "SnapshotBudget"]

COSTS = {10: 5, 100: 25, 1000: 100}
"""The points that a snapshot of a depth costs."""
MAX_SYMBOLS = 200
"""Symbols of one connection."""
_BUDGET_SECONDS = 1.0


@attrs.define
class SnapshotBudget:
    """The points for snapshots of one connection: so many in any second."""

    points: int
    _spent: list[tuple[float, int]] = attrs.Factory(list)

    def spend(self, cost: int, now: float) -> bool:
        """Spend this. Returns False, and spends nothing, if too little is left."""
        self._spent = [(at, points) for at, points in self._spent if now - at < _BUDGET_SECONDS]
        if sum(points for _, points in self._spent) + cost > self.points:
            return False
        self._spent.append((now, cost))
        return True
