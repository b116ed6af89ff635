"""Evidence of a failed checksum: a plain value, carried by errors, events and statistics."""

from __future__ import annotations

import msgspec

__all__ = ["ChecksumEvidence"]


class ChecksumEvidence(msgspec.Struct, frozen=True, gc=False):
    """Everything that is needed to reproduce a failed checksum, compared by content.

    All texts are printable and bounded.
    """

    symbol: str
    """Of the book: at most 40 characters."""
    expected: int
    """The checksum that came with the message."""
    computed: int
    """The checksum of the local book after the message."""
    hashed: str
    """The string that was hashed: asks, then bids, ten levels each, digits of price and quantity."""
    message: str
    """The message after which the check failed, with the digits of the wire: ``snapshot`` or ``update``, its levels
    as ``price:quantity`` in the order of the wire, its checksum and its timestamp. At most 1,000 characters."""
