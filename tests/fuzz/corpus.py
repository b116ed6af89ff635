"""What a coverage-guided search begins with: inputs that are right, made by the fake exchange."""

from __future__ import annotations

import gzip
import json
import random
from functools import cache
from typing import TYPE_CHECKING, Final

from kraken_trio._zstd import zstd
from kraken_trio.testing import DEFAULT_MARKETS, ExchangeCore, Market
from kraken_trio.testing.exchange.actions import Send
from tests.fuzz.survival import REQUEST_NUMBER, SEPARATOR
from tests.wire.frames_v1 import ACCOUNT as ACCOUNT_OF_V1, FRAMES as FRAMES_OF_V1

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["SEEDS", "WORDS", "exchange_frames"]

CHANNELS: Final[tuple[dict[str, object], ...]] = (
    {"channel": "book", "symbol": ["BTC/USD", "ETH/USD"], "depth": 10},
    {"channel": "trade", "symbol": ["BTC/USD"], "snapshot": True},
    {"channel": "ticker", "symbol": ["BTC/USD"]},
    {"channel": "ohlc", "symbol": ["BTC/USD"], "interval": 5},
    {"channel": "book", "symbol": ["NOPE/USD"], "depth": 10},
    {"channel": "book", "symbol": ["BTC/USD"], "depth": 27},
)


@cache
def exchange_frames(seed: int = 1) -> list[str]:
    """A few frames of every kind, as the exchange sends them. Those with reference data are too long to be of use."""
    core = ExchangeCore(Market(DEFAULT_MARKETS[:3], seed=seed, rate=0), now=0.0, epoch_ns=0)
    number, actions = core.connect(0.0)
    for request, params in enumerate(CHANNELS):
        actions += core.receive(number, json.dumps({"method": "subscribe", "params": params, "req_id": request}), 0.1)
    actions += core.receive(number, '{"method":"ping","req_id":9}', 0.2)
    actions += core.publish(30, 0.3)
    return [action.text for action in actions if isinstance(action, Send)] + ['{"channel":"heartbeat"}']


def _wire() -> list[bytes]:
    return [frame.encode() for frame in exchange_frames()]


def _wire_v1() -> list[bytes]:
    return [frame.encode() for frame in (*FRAMES_OF_V1, *ACCOUNT_OF_V1)]


def _session() -> list[bytes]:
    """Short stories."""
    told = [frame.encode() for frame in exchange_frames() if len(frame) < 1000]
    scripts: list[list[bytes]] = [
        [b"a\x00", b"y", b"s0", b"u1", b"u2", b"u101", b"y", b"y", b"s0"],  # a mismatch, and its resync
        [b"a\x00\x04\x06\x08\x09", b"y", b"r" + SEPARATOR.join(told[:8]), b"w80", b"y"],
        [b"a\x02\x05", b"n1", b"w8", b"n13", b"W80", b"y", b"x0", b"y"],  # refusals
        [b"a\x03", b"l1", b"c3", b"c0", b"y", b"s2", b"a\x03", b"x1"],  # a loss
        [b"a\x00\x0a", b"h", b"w200", b"o", b"r{nonsense", b'r{"channel":"book","symbol":"BTC/USD"', b"i", b"w100"],
        [
            b"a\x04",
            b"y",
            b'r{"method":"subscribe","success":false,"error":"EService:Busy","req_id":' + REQUEST_NUMBER + b"}",
        ],
    ]
    return [b"\n".join(script) for script in scripts] + [b"a\x00\ny\ns0\nr" + frame for frame in told]


def _verify() -> list[bytes]:
    frames = [frame.encode() for frame in exchange_frames()]
    lines = b"".join(b"1785644622.178672: %b\n" % frame for frame in frames)
    cbcap = b"CBCAP1 kraken BTC/USD 1785644622178672600\n"
    cbcap += b"".join(b"1785644622178672600 %d\n%b\n" % (len(frame), frame) for frame in frames[-8:])
    plain = b"\n".join(frame for frame in frames if b'"book"' in frame)
    few = [frame for frame in frames if len(frame) < 600][:6]
    wrapped = b"".join(b'{"rx_ns":1785644622178672600,"frame":%b}\n' % frame for frame in few)
    wrapped += b"".join(
        b'{"data":%b,"ts":"2026-11-29T02:54:37.1+01:00"}\n' % json.dumps(frame.decode()).encode() for frame in few
    )
    timed = b"".join(b"2026-11-29T02:54:37.123456Z %b\n" % frame for frame in few)
    compressed = [
        gzip.compress(wrapped, mtime=0),
        gzip.compress(timed, mtime=0) * 2,
        zstd.compress(cbcap),
        zstd.compress(timed) * 2,
    ]
    page = b"<html>\n<h1>502 Bad Gateway</h1>\n</html>\n"
    v1 = b'[336,{"a":[]},"book-10","XBT/USD"]\n'
    return [lines, plain, cbcap, b"\xef\xbb\xbf" + plain[:600], v1, wrapped, timed, *compressed, page]


def _core() -> list[bytes]:
    """Stories of books, sessions and single frames: every choice is the first one, or is drawn."""
    drawn = [random.Random(seed).randbytes(600) for seed in range(4)]
    return [kind + story for kind in (b"\x00", b"\x40", b"\x80") for story in (bytes(100), *drawn)]


SEEDS: Final[Mapping[str, Callable[[], list[bytes]]]] = {
    "wire": _wire,
    "wire_v1": _wire_v1,
    "session": _session,
    "verify": _verify,
    "core": _core,
}

WORDS: Final = (
    *('"channel"', '"type"', '"data"', '"symbol"', '"bids"', '"asks"', '"price"', '"qty"', '"checksum"', '"timestamp"'),
    *('"book"', '"trade"', '"ticker"', '"ohlc"', '"instrument"', '"status"', '"heartbeat"', '"snapshot"', '"update"'),
    *(
        '"method"',
        '"subscribe"',
        '"unsubscribe"',
        '"pong"',
        '"success"',
        '"result"',
        '"error"',
        '"req_id"',
        '"warnings"',
    ),
    *(
        '"BTC/USD"',
        '"ETH/USD"',
        "true",
        "false",
        "null",
        "1e-05",
        "1e999999999",
        '"NaN"',
        "\\\\ud800",
        "4294967296",
        "%q",
        '"event"',
        '"subscriptionStatus"',
        '"errorMessage"',
        '"reqid"',
        '"pair"',
        '"XBT/USD"',
        '"book-10"',
        '"openOrders"',
        '"ownTrades"',
        '{"sequence":1}',
        '{"ts":',
        '{"rx_ns":',
        '"frame":',
    ),
)
"""Words that a search would hardly find by itself."""
