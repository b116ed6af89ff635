"""Kraken's v2 protocol, as docs/reference/protocol.md describes it.

* :mod:`~kraken_trio.wire.v2.channels`: one row per channel: how it is asked for, and how its data become events;
* :mod:`~kraken_trio.wire.v2.requests`: what we send;
* :mod:`~kraken_trio.wire.v2.answers`: acknowledgements, refusals, pongs, and the exchange's status;
* :mod:`~kraken_trio.wire.v2.decoder`: any frame to its message, and all of it as a codec.

Nothing outside of ``wire/`` imports it: see :mod:`kraken_trio.wire.codec`.
"""
