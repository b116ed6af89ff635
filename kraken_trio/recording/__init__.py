"""Recorded frames. Pure: bytes go in, values come out.

* :mod:`~kraken_trio.recording.foreign`: files written by other programs;
* :mod:`~kraken_trio.recording.format`: the records of our own log, an MCAP file: packing and unpacking them;
* :mod:`~kraken_trio.recording.scan`: reading where they are, of a finished file or a torn one, as a
  :class:`~kraken_trio.recording.index.SegmentIndex`.
"""
