"""Levels as they come off the wire: with the texts that stood there, rather than with Decimals of a program."""

from __future__ import annotations

import msgspec

from kraken_trio import Level

_decode = msgspec.json.Decoder(Level, float_hook=str).decode


def wire_level(price: str, qty: str) -> Level:
    """The level of a frame that has these numbers."""
    return _decode(f'{{"price":{price},"qty":{qty}}}')
