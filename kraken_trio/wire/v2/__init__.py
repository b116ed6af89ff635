"""Kraken's v2 protocol, as docs/reference/protocol.md describes it.

* :mod:`~kraken_trio.wire.v2.channels`: one row per channel: how it is requested, and how its data becomes events;
* :mod:`~kraken_trio.wire.v2.requests`: the frames that we send;
* :mod:`~kraken_trio.wire.v2.answers`: confirmations, refusals, pongs, and the exchange's status;
* :mod:`~kraken_trio.wire.v2.decoder`: any frame to its message, and all of it as a codec.

Nothing outside of ``wire/`` imports it: see :mod:`kraken_trio.wire.codec`.
"""
