"""Recorded frames. Pure: bytes go in, values come out.

* :mod:`~kraken_trio.recording.foreign`: files written by other programs.
"""
