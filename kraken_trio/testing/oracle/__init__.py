"""The oracle: it sees what the exchange sent and what each feed yielded, and holds every promise of the design to it.

Whatever it compares, it compares by code that shares nothing with the client's: the exchange's journal is read with
every number as the text that stood on the wire, and books are :class:`~kraken_trio.testing.ReferenceBook`.

* ``sent``: the exchange's side; ``received``: a feed's events in the same form
* ``feed``: one feed, event by event: :class:`~kraken_trio.testing.oracle.feed.FeedOracle`
* ``causes``: which gaps a fault explains
* ``bounds``: how often a client connects and asks
* ``oracle``: all of it, for a run with clients, feeds and faults: :class:`~kraken_trio.testing.oracle.oracle.Oracle`
* ``verdicts``: promise by promise, with the evidence, for people

The promises, by their numbers: 1 verified books only, 2 order, 3 what is wanted outlives connections, 4 bounds, 5
nothing outlives its block, 6 a fault stays where it is. (The seventh, same input, same output, takes two runs.)
"""
