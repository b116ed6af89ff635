"""Who may connect now: the connect budget, which keeps Kraken from banning this address.

Kraken bans an address for ten minutes that connects about 150 times within ten minutes, whichever of its programs does
so. Each client therefore asks an :class:`Admission` before each attempt, and waits when it says so.

* :class:`ConnectBudget` counts attempts in memory: by default one for all clients of the process;
* :class:`~kraken_trio.admission.host.HostBudget` counts them in a file that the processes of a host share.

What is counted, and for how long, is decided by pure code: :mod:`~kraken_trio.admission.window` and
:mod:`~kraken_trio.admission.ledger`.
"""

from kraken_trio.admission.process import ConnectBudget
from kraken_trio.admission.seam import Admission, Wait

__all__ = ["Admission", "ConnectBudget", "Wait"]
