"""Who may connect now: one budget of attempts for all clients of the process, and one of the host if asked for.

Kraken's front door counts the attempts of an address (PROTOCOL, section 1), so every client of the process takes from
one budget before it dials, whatever it is for and whichever thread it runs in. Addresses of the loopback interface are
no business of Kraken's: each host and port there has a budget of its own.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import attrs

from kraken_trio._address import parse_address
from kraken_trio.errors import ConnectError
from kraken_trio.session.budget import ConnectBudget
from kraken_trio.settings import CONNECT_WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from kraken_trio.budget_file import BudgetFile

__all__ = ["PROCESS", "Admission", "Budgets", "Wait"]

MAX_LOOPBACK: Final = 256
"""How many loopback addresses have a budget at a time; the one that was connected to least lately is forgotten."""


@attrs.frozen
class Wait:
    """No attempt may be made now."""

    seconds: float
    """After so long it is worth asking again."""
    why: str
    """For people; printable."""


class Budgets:
    """The budgets of a process. Safe to use from several threads.

    ``clock`` gives seconds that never go back, the same for all threads.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._exchange = ConnectBudget()
        self._loopback: OrderedDict[str, ConnectBudget] = OrderedDict()  # the latest attempt last

    def wait(self, url: str, limit: int) -> float:
        """Seconds until an attempt may be made; 0 if it may now."""
        with self._lock:
            now = self._clock()
            return self._of(loopback_address(url)).ready_at(now, limit) - now

    def take(self, url: str, limit: int) -> float:
        """Make an attempt: 0, and it counts as made; or how many seconds to wait."""
        address = loopback_address(url)
        with self._lock:
            now = self._clock()
            budget = self._of(address)
            if not budget.take(now, limit):
                return budget.ready_at(now, limit) - now
            if address is not None:
                self._loopback[address] = budget
                self._loopback.move_to_end(address)
                while self._loopback and (
                    len(self._loopback) > MAX_LOOPBACK or next(iter(self._loopback.values())).over_at <= now
                ):
                    self._loopback.popitem(last=False)
            return 0.0

    def _of(self, address: str | None) -> ConnectBudget:
        return self._exchange if address is None else self._loopback.get(address) or ConnectBudget()


PROCESS: Budgets | None = Budgets(time.monotonic)
"""Those of this process. (Tests put None here: then each client has its own, on the clock of its Trio run.)"""


def loopback_address(url: str) -> str | None:
    """Host and port, if the URL plainly means this machine: ``localhost``, or an address such as 127.0.0.1 or ::1."""
    try:
        address = parse_address(url)
    except ConnectError:  # a program's own transport may understand it
        return None
    name = address.host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return str(address)
    try:
        return str(address) if ip_address(name).is_loopback else None
    except ValueError:
        return None


class Admission:
    """One client's way to an attempt."""

    def __init__(self, url: str, limit: int, budgets: Budgets, file: BudgetFile | None) -> None:
        self._url = url
        self._limit = limit
        self._budgets = budgets
        self._file = file

    async def take(self) -> Wait | None:
        """None: an attempt is to be made now, and counts as made. Else how long to wait, and why.

        Cancelling is safe; at worst an attempt counts that is not made.
        """
        # The file only when the process allows it, and the process last, so that its count is as late as the attempt.
        seconds = self._budgets.wait(self._url, self._limit)
        if not seconds and self._file is not None:
            wait = await self._file.take(self._limit)
            if wait is not None:
                return wait
        if not seconds:
            seconds = self._budgets.take(self._url, self._limit)
        if not seconds:
            return None
        return Wait(seconds, made_too_many(self._limit, "the clients of this process"))


def made_too_many(limit: int, who: str) -> str:
    """Why to wait."""
    return (
        f"{who} have made {limit} connection attempts or more within {CONNECT_WINDOW:g} s (Settings.connect_budget); "
        "keep a client open, it serves any number of subscriptions"
    )
