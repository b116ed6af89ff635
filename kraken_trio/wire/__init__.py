"""Frames to typed messages, and requests to frames. Pure, and the only package with JSON of the exchange.

* :mod:`~kraken_trio.wire.codec`: the seam: what a protocol can do, and the codec of each;
* :mod:`~kraken_trio.wire.messages`: the messages of all protocols;
* :mod:`~kraken_trio.wire.v2`: Kraken's v2 protocol, one row per channel;
* :mod:`~kraken_trio.wire.v1`: Kraken's older protocol, one row per shape of an array;
* :mod:`~kraken_trio.wire.rest`: questions to REST, and what is read from the answers;
* :mod:`~kraken_trio.wire.names`: symbols as v1 and REST spell them;
* :mod:`~kraken_trio.wire.foreign`: what is none of a codec's business.
"""

from kraken_trio.wire.codec import Codec, codec_for

__all__ = ["Codec", "codec_for"]
