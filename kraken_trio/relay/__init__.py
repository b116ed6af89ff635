"""From the exchange to a broker, by any number of processes.

* :mod:`~kraken_trio.relay.sources`: what a shard subscribes to, and over which connections (pure)
* :mod:`~kraken_trio.relay.supervisor` keeps the shards' processes running. When one that has ended is started again
  says :mod:`~kraken_trio.relay.supervision`, and :mod:`~kraken_trio.relay.lines` is how they talk to it (both pure)
* :mod:`~kraken_trio.relay.log`: what is logged
"""
