"""Frames to typed messages, and requests to frames. Pure, and the only place that knows JSON.

* :mod:`~kraken_trio.wire.messages`: what a frame may say, whatever the protocol's version;
* :mod:`~kraken_trio.wire.v2`: Kraken's v2 protocol: one row per channel.
"""
