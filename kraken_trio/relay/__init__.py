"""From the exchange to a broker, by any number of processes.

* :mod:`~kraken_trio.relay.producer`: one shard's producer: :func:`publish` and :func:`open_relay`. Its two halves are
  :mod:`~kraken_trio.relay.intake` (feeds of clients, what is published of them) and :mod:`~kraken_trio.relay.sending`
  (lease, connections to the broker)
* :mod:`~kraken_trio.relay.shard`: a shard's clients; :mod:`~kraken_trio.relay.sources`: what they subscribe to, and
  over which connections (pure)
* :mod:`~kraken_trio.relay.budget`: Kraken's limit of connection attempts, for machines that share an address
* a shard's standbys: :mod:`~kraken_trio.relay.standby` lets others go first, :mod:`~kraken_trio.relay.comparison` finds
  those that would publish something else (pure)
* :mod:`~kraken_trio.relay.supervisor` keeps the shards' processes running. When one that has ended is started again
  says :mod:`~kraken_trio.relay.supervision`, and :mod:`~kraken_trio.relay.lines` is how they talk to it (both pure)
* :mod:`~kraken_trio.relay.planning`: what all this needs (pure)
* :mod:`~kraken_trio.relay.log`: what is logged
"""

from kraken_trio.broker.lease import Standing
from kraken_trio.broker.messages import Form
from kraken_trio.relay.producer import Backpressure, Relay, RelayStatistics, open_relay, publish

__all__ = ["Backpressure", "Form", "Relay", "RelayStatistics", "Standing", "open_relay", "publish"]
