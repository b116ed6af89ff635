"""The files of the durable log. Blocking code without Trio: it runs in a worker thread, or in line.

A folder holds the segments of a recording; their names sort in the order of writing.

* :mod:`~kraken_trio.storage.segments`: writing: one segment, and the folder, which one process at a time may write;
* :mod:`~kraken_trio.storage.reading`: reading, also while it is being written.

What the bytes mean is said in :mod:`kraken_trio.recording`.
"""
