"""Kraken's older protocol, v1, as docs/reference/protocol.md describes it.

* :mod:`~kraken_trio.wire.v1.shapes`: one row per shape of an array: how it is requested, and the type of its contents;
* :mod:`~kraken_trio.wire.v1.market`, :mod:`~kraken_trio.wire.v1.account`: these types, and the events of them;
* :mod:`~kraken_trio.wire.v1.control`: objects: confirmations, refusals, pongs, and the exchange's status;
* :mod:`~kraken_trio.wire.v1.requests`: the frames that we send;
* :mod:`~kraken_trio.wire.v1.data`: events as frames;
* :mod:`~kraken_trio.wire.names`: its names of assets;
* :mod:`~kraken_trio.wire.v1.decoder`: any frame to its message, and all of it as a codec.

Nothing outside of ``wire/`` imports it: see :mod:`kraken_trio.wire.codec`.
"""
