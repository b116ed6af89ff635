"""Kraken's older protocol, v1: for now, its first frame and an error for every request."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from kraken_trio.testing.exchange import frames
from kraken_trio.testing.exchange.dialect import MALFORMED, Asked
from kraken_trio.testing.exchange.dialects.v2 import V2

if TYPE_CHECKING:
    from kraken_trio.testing.exchange.dialects.base import Denial

__all__ = ["V1"]


class V1(V2):
    """Objects with ``event``."""

    name: ClassVar[str] = "v1"

    def read_request(self, data: str | bytes) -> Asked:
        return Asked(method=super().read_request(data).method, error=MALFORMED)

    def status(self, system: str, connection_id: int | None) -> str:
        return frames.status_v1(system, connection_id or 0)

    def refused(self, asked: Asked, denial: Denial, now_ns: int) -> str:
        del asked, denial, now_ns
        return frames.ERROR_V1
