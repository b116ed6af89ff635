"""The default :class:`Admission` of a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kraken_trio._address import parse_address
from kraken_trio.admission.process import PROCESS, ConnectBudget
from kraken_trio.errors import ConnectError

if TYPE_CHECKING:
    import os

    from kraken_trio.admission.host import HostBudget
    from kraken_trio.admission.seam import Admission, Wait

__all__ = ["EXEMPT", "HostAndProcess", "default_admission", "is_loopback"]


class _Exempt:
    """Admits every attempt."""

    async def take(self, _limit: int, /) -> None: ...


EXEMPT: Final = _Exempt()
"""For servers on this machine."""


class HostAndProcess:
    """Both the host's budget and the process's must admit an attempt; one that waits takes from neither."""

    def __init__(self, host: HostBudget, process: ConnectBudget) -> None:
        self._host = host
        self._process = process

    def left(self, limit: int, /) -> int | None:
        """See :meth:`Budget.left`."""
        ours, hosts = self._process.left(limit), self._host.left(limit)
        return ours if hosts is None else min(ours, hosts)

    async def take(self, limit: int, /) -> Wait | None:
        """See :meth:`Admission.take`."""
        # The file is written only if the process has an attempt left. The process counts last, at the time of the
        # attempt, however long the file took.
        return self._process.peek(limit) or await self._host.take(limit) or self._process.take_nowait(limit)


def default_admission(url: str, budget_file: str | os.PathLike[str] | None) -> Admission:
    """The budget of the process, and of the host if a file is named; none for a loopback address without a file."""
    if budget_file is not None:
        # Imported only if a file is given: importing filelock takes a tenth of the time of importing this package.
        from kraken_trio.admission.host import HostBudget  # noqa: PLC0415 (see above)

        return HostAndProcess(HostBudget(budget_file), PROCESS)
    return EXEMPT if is_loopback(url) else PROCESS  # mutant: this machine is exempt


def is_loopback(url: str) -> bool:
    """Whether the URL means this machine: ``localhost`` or a name below it, 127.0.0.0/8, or ::1."""
    try:
        return parse_address(url).is_loopback
    except ConnectError:  # a program's own transport may accept it
        return False
