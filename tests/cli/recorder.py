"""Makes recordings: frames of books with right checksums, in both forms."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kraken_trio.testing import ReferenceBook

if TYPE_CHECKING:
    from collections.abc import Iterable

Levels = list[tuple[str, str]]

HEARTBEAT = '{"channel":"heartbeat"}'
BIDS: Levels = [(f"{100 - n}.0", f"{n + 1}.50") for n in range(10)]
ASKS: Levels = [(f"{101 + n}.0", f"{n + 1}.25") for n in range(10)]


def ack(symbol: str = "BTC/USD", depth: int = 10) -> str:
    result = {"channel": "book", "depth": depth, "snapshot": True, "symbol": symbol}
    return json.dumps({"method": "subscribe", "result": result, "success": True, "time_in": "", "time_out": ""})


class Recorder:
    """One symbol's book, as an exchange would tell it."""

    def __init__(self, symbol: str = "BTC/USD", depth: int = 10) -> None:
        self.symbol = symbol
        self.book = ReferenceBook(depth)

    def snapshot(self, bids: Levels = BIDS, asks: Levels = ASKS) -> str:
        self.book.load(bids=bids, asks=asks)
        return self._frame("snapshot", bids, asks)

    def update(self, bids: Levels | None = None, asks: Levels | None = None, *, wrong: int = 0) -> str:
        self.book.apply(bids=bids or [], asks=asks or [])
        return self._frame("update", bids or [], asks or [], wrong)

    def _frame(self, kind: str, bids: Levels, asks: Levels, wrong: int = 0) -> str:
        sides = (",".join(f'{{"price":{price},"qty":{qty}}}' for price, qty in side) for side in (bids, asks))
        bid_text, ask_text = sides
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{self.symbol}","bids":[{bid_text}],'
            f'"asks":[{ask_text}],"checksum":{self.book.checksum() ^ wrong}}}]}}'
        )


def lines(frames: Iterable[str]) -> bytes:
    return "".join(f"{frame}\n" for frame in frames).encode()


def cbcap(frames: Iterable[str]) -> bytes:
    header = "CBCAP1 kraken BTC/USD 1785644622178672600\n"
    return (header + "".join(f"1785644622178672600 {len(frame.encode())}\n{frame}\n" for frame in frames)).encode()
