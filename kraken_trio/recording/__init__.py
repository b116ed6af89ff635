"""Recorded frames. Pure: bytes go in, values come out.

* :mod:`~kraken_trio.recording.foreign`: files that other programs have written.
"""
