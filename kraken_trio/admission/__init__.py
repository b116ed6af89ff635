"""The connect budget, which keeps Kraken from banning this address.

Kraken bans an address for ten minutes if it connects about 150 times within ten minutes, from whichever of its
programs. Each client therefore asks an :class:`Admission` before each attempt, and waits if it has to.

* :class:`ConnectBudget` counts attempts in memory: by default one for all clients of the process;
* :class:`~kraken_trio.admission.host.HostBudget` counts them in a file that the processes of a host share.

The counting itself is pure code: :mod:`~kraken_trio.admission.window` and :mod:`~kraken_trio.admission.ledger`.
"""

from kraken_trio.admission.process import ConnectBudget
from kraken_trio.admission.seam import Admission, Budget, Wait

__all__ = ["Admission", "Budget", "ConnectBudget", "Wait"]
