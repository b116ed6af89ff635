"""The numbers of clients for Prometheus. Needs the extra ``metrics``: ``pip install 'kraken-trio[metrics]'``.

:func:`serve` answers a Prometheus server, in a nursery of yours; :func:`register` adds the clients to a registry of
``prometheus_client``, which something else exposes. Both read :meth:`Client.statistics()
<kraken_trio.Client.statistics>` whenever they are asked, and do nothing in between.
"""

from kraken_trio.metrics.collector import Collector, register
from kraken_trio.metrics.server import serve

__all__ = ["Collector", "register", "serve"]
