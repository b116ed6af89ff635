"""Consumers of a session's records: log lines, and counts.

A runtime is given a :class:`~kraken_trio.runtime.shell.Telemetry`, and depends on nothing in this package.
"""
