"""A script: faults of the exchange and of the network, and their times."""

from __future__ import annotations

from typing import get_args

import attrs

from kraken_trio.testing import checks
from kraken_trio.testing.checks import valid
from kraken_trio.testing.faults.exchange import Fault
from kraken_trio.testing.faults.network import LinkFault

__all__ = ["Scheduled"]


@attrs.frozen(kw_only=True)
class Scheduled:
    """A fault that is injected ``at`` seconds after the exchange was opened."""

    at: float = attrs.field(validator=valid(checks.seconds))
    fault: Fault | LinkFault = attrs.field(
        validator=valid(
            checks.instance(*get_args(Fault), *get_args(LinkFault), wanted="a fault, of the exchange or a network")
        )
    )
