"""Traces of clients with OpenTelemetry. Needs the extra ``tracing``: ``pip install 'kraken-trio[tracing]'``.

:class:`OpenTelemetry` is given to :func:`~kraken_trio.open_client`, and makes a span of each connection attempt, each
subscribe, each resync and each outage. It depends on OpenTelemetry's API only: which SDK takes the spans, and where it
sends them, is the program's choice.
"""

from kraken_trio.tracing.adapter import OpenTelemetry

__all__ = ["OpenTelemetry"]
