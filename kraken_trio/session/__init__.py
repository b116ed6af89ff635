"""Every decision of a client. Pure: frames, wishes and the time go in; what to send and to deliver come out.

* :mod:`~kraken_trio.session.lifecycle`: *what happens on a disconnect?* All states and transitions, in one table.
* :mod:`~kraken_trio.session.session`: :class:`Session`: the whole, as the actor sees it.
* :mod:`~kraken_trio.session.registry`: what is wanted, what has been asked, and what the exchange answered.
* :mod:`~kraken_trio.session.flights`: requests that were sent, and wait for their answers.
* :mod:`~kraken_trio.session.subscription`: one wanted channel of one symbol, and its steps.
* :mod:`~kraken_trio.session.followers`: what is remembered of each channel, to check it and to start a latecomer.
* :mod:`~kraken_trio.session.watch`: which subscription stands still while its symbol trades.
* :mod:`~kraken_trio.session.timing`: silence, backoff, pacing, timers.
"""

from kraken_trio.session.session import Effects, Session
from kraken_trio.session.statistics import ClientStatistics

__all__ = ["ClientStatistics", "Effects", "Session"]
