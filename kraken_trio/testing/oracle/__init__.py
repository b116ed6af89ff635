"""The oracle: compares what the exchange sent with what each feed yielded, and checks every promise of the design.

It shares no code with the client: the exchange's journal is read with
every number as its text on the wire, and books are :class:`~kraken_trio.testing.ReferenceBook`.

* ``sent``: the exchange's side; ``received``: a feed's events in the same form
* ``feed``: one feed, event by event: :class:`~kraken_trio.testing.oracle.feed.FeedOracle`
* ``causes``: which gaps a fault explains
* ``bounds``: how often a client connects and sends requests
* ``oracle``: all of it, for a run with clients, feeds and faults: :class:`~kraken_trio.testing.oracle.oracle.Oracle`
* ``verdicts``: promise by promise, with human-readable evidence

The promises, by their numbers: 1 verified books only, 2 order, 3 what is wanted outlives connections, 4 bounds, 5
nothing outlives its block, 6 a fault stays where it is. (The seventh, same input, same output, takes two runs.)
"""
