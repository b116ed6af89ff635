"""Consumers of what a session tells as values: log lines.

Whoever runs a session is given a :class:`~kraken_trio.runtime.shell.Telemetry`, and knows nothing of what stands here.
"""
