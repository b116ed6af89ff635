"""What an owner publishes, and what a standby would: one that differs is told of it before it takes over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kraken_trio.broker.messages import decode_catalog
from kraken_trio.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kraken_trio.broker.messages import Catalog
    from kraken_trio.broker.seam import Incoming
    from kraken_trio.requests import Request

__all__ = ["catalog_of", "difference"]


def catalog_of(catalogs: Iterable[Incoming], shard: int) -> Catalog | None:
    """The catalog of this shard; None if there is none that this version can read."""
    for message in catalogs:
        if message.subject.shard == shard:
            try:
                return decode_catalog(message.data)
            except ProtocolError:
                return None
    return None


def difference(owner: Catalog, shards: int, requests: Iterable[Request[Any]]) -> str | None:
    """How the owner differs, in words; None if it does not.

    Symbols may differ for a while, as new ones are listed; but not the number of shards, nor what is asked of a symbol.
    """
    if owner.shards != shards:
        return f"its owner publishes shard {owner.shard} of {owner.shards}, this process would publish it of {shards}"
    published = {(request.channel, request.symbol): request for request in owner.requests}
    for request in requests:
        other = published.get((request.channel, request.symbol))
        if other is not None and other.variant != request.variant:
            return f"its owner publishes {other}, this process would publish {request}"
    return None
