"""Which shard has which symbol: rendezvous hashing.

For each shard number from 0 on, take SHA-256 of the text ``{shard}/{symbol}`` (UTF-8; the symbol as it is written,
``BTC/USD``; for a channel without symbols, nothing after the slash). Of its bytes, the first eight are a number, the
most significant first. The shard with the largest number has the symbol; of equal ones the lower shard.

So any language can tell without asking. With one shard more, a symbol stays where it is, or goes to the new one; with
one less, only those of the last one go elsewhere.
"""

from __future__ import annotations

import hashlib

__all__ = ["shard_of"]


def shard_of(symbol: str | None, shards: int) -> int:
    """The shard, from 0 to ``shards - 1``, that has this symbol."""
    if shards < 1:
        msg = f"shards={shards}: there is at least one"
        raise ValueError(msg)
    name = (symbol or "").encode("utf-8", "surrogatepass")
    return max(range(shards), key=lambda shard: (hashlib.sha256(b"%d/%b" % (shard, name)).digest()[:8], -shard))
