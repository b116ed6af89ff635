"""A script: faults of the exchange and of the network, and when each happens."""

from __future__ import annotations

import attrs

from kraken_trio.testing.faults.exchange import Fault  # noqa: TC001 (Hypothesis looks it up)
from kraken_trio.testing.faults.network import LinkFault  # noqa: TC001

__all__ = ["Scheduled"]


@attrs.frozen(kw_only=True)
class Scheduled:
    """A fault that is injected by itself, ``at`` seconds after the exchange was opened."""

    at: float
    fault: Fault | LinkFault
