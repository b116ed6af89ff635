"""From the exchange to a broker, by any number of processes.

* :mod:`~kraken_trio.relay.supervision`: when a process that has ended is started again (pure)
"""
