"""Every decision of a client. Pure: frames, wishes and the time go in; what to send and to deliver come out.

*What happens on a disconnect?* Two tables say it: :mod:`~kraken_trio.session.lifecycle` for the client, and
:mod:`~kraken_trio.session.steps` for each subscription. From the bottom up:

* :mod:`~kraken_trio.session.records`: what a session did, as values;
* :mod:`~kraken_trio.session.timing`, :mod:`~kraken_trio.session.reconnect`: timers, pacing, backoff;
* :mod:`~kraken_trio.session.deliveries`: what leaves: events, gaps, states, records;
* :mod:`~kraken_trio.session.subscription`, :mod:`~kraken_trio.session.wishes`: one subscription; one feed's wishes;
* :mod:`~kraken_trio.session.derived`: what follows from "wanted" and "asked";
* :mod:`~kraken_trio.session.subscriptions`: all of them, and what becomes of each;
* :mod:`~kraken_trio.session.recovery`: what is done about failures;
* :mod:`~kraken_trio.session.pending`, :mod:`~kraken_trio.session.dialogue`: requests, and what the exchange answers;
* :mod:`~kraken_trio.session.routing`: the way of data, where it is not the straight one;
* :mod:`~kraken_trio.session.liveness`: silence; :mod:`~kraken_trio.session.staleness`: what does not move;
* :mod:`~kraken_trio.session.session`: :class:`~kraken_trio.session.session.Session`, the whole, as a runtime sees it.
"""

from kraken_trio.session.deliveries import Effects
from kraken_trio.session.session import Session

__all__ = ["Effects", "Session"]
