"""Every decision of a client. Pure: frames, requests and the time go in; what to send and to deliver comes out.

*What happens on a disconnect?* Two tables define it: :mod:`~kraken_trio.session.lifecycle` for the client, and
:mod:`~kraken_trio.session.steps` for each subscription. From the bottom up:

* :mod:`~kraken_trio.session.records`: what a session did, as values;
* :mod:`~kraken_trio.session.timing`, :mod:`~kraken_trio.session.reconnect`: timers, pacing, backoff;
* :mod:`~kraken_trio.session.deliveries`: the outbox: events, gaps, states, records;
* :mod:`~kraken_trio.session.subscription`, :mod:`~kraken_trio.session.wishes`: one subscription; one feed's requests;
* :mod:`~kraken_trio.session.derived`: what follows from "wanted" and "asked";
* :mod:`~kraken_trio.session.subscriptions`: all subscriptions, and the moves of each;
* :mod:`~kraken_trio.session.recovery`: failures and retries;
* :mod:`~kraken_trio.session.pending`, :mod:`~kraken_trio.session.dialogue`: requests to the exchange and its answers;
* :mod:`~kraken_trio.session.routing`: data from a message to its subscriptions;
* :mod:`~kraken_trio.session.liveness`: silent connections; :mod:`~kraken_trio.session.staleness`: stale subscriptions;
* :mod:`~kraken_trio.session.session`: :class:`~kraken_trio.session.session.Session`, the interface for a runtime.
"""

from kraken_trio.session.deliveries import Effects
from kraken_trio.session.session import Session

__all__ = ["Effects", "Session"]
