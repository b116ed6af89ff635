"""Which partition of a topic has which key: as Kafka's own clients for Java decide it, so that anybody finds it."""

from __future__ import annotations

from typing import Final

__all__ = ["partition_of"]

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_32_BITS: Final = 0xFFFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """The partition, of so many, that has the messages with this key."""
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def _murmur2(data: bytes) -> int:
    """MurmurHash2 of 32 bits, with the seed that Kafka uses."""
    length = len(data)
    found = _SEED ^ length
    whole = length - length % 4
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * _M & _32_BITS
        k = (k ^ k >> 24) * _M & _32_BITS
        found = (found * _M & _32_BITS) ^ k
    if whole < length:
        found = (found ^ int.from_bytes(data[whole:], "little")) * _M & _32_BITS
    found = (found ^ found >> 13) * _M & _32_BITS
    return found ^ found >> 15
