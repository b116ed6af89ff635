"""Markets and frames out of bytes: the same bytes give the same story, whoever chose them.

Hypothesis, atheris and ``stress.py`` choose the bytes. A frame is as the exchange writes it, with the right checksum;
:func:`mutated` makes something of it that is nearly so.
"""

from __future__ import annotations

from decimal import Decimal
from heapq import nlargest, nsmallest
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["MOMENTS", "NOON", "NUMBERS", "Levels", "Market", "Tape", "digits_of", "frame_of", "mutated"]

Levels: TypeAlias = "list[tuple[str, str]]"
"""Price and quantity, with the digits of the wire."""

_T = TypeVar("_T")

NOON: Final = "2026-05-14T12:00:00.000000Z"
_SCALE: Final = 20
"""Prices are compared as whole numbers of this many decimals."""


class Tape:
    """Choices, read from bytes; when these are used up, every choice is the first one."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_over(self) -> bool:
        return self._at >= len(self._data)

    def below(self, limit: int) -> int:
        """A number from 0 to ``limit`` - 1."""
        size = (limit.bit_length() + 7) // 8
        part = self._data[self._at : self._at + size]
        self._at += size
        return int.from_bytes(part, "big") % limit

    def rarely(self, one_in: int) -> bool:
        """True once in so many times; never when the tape is over."""
        return self.below(one_in) == one_in - 1

    def pick(self, choices: Sequence[_T]) -> _T:
        return choices[self.below(len(choices))]


def digits_of(text: str) -> str:
    """What a number adds to the hashed string."""
    if "e" in text or "E" in text:
        text = f"{Decimal(text):f}"
    return text.replace(".", "").lstrip("0")


def frame_of(
    symbol: str, bids: Levels, asks: Levels, checksum: object, *, kind: str = "update", timestamp: str = NOON
) -> str:
    """A frame exactly as the exchange writes it."""
    sides = [",".join(f'{{"price":{price},"qty":{qty}}}' for price, qty in levels) for levels in (bids, asks)]
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":[{sides[0]}],"asks":[{sides[1]}],'
        f'"checksum":{checksum},"timestamp":"{timestamp}"}}]}}'
    )


class Market:
    """One symbol's book as a subscriber sees it, cut to the depth after each message; and what happens to it."""

    def __init__(self, tape: Tape, symbol: str, depth: int) -> None:
        self.symbol = symbol
        self.depth = depth
        self._decimals = tape.pick((1, 2, 5, 0, 8, 10))
        self._qty_decimals = tape.pick((8, 2, 0, 5))
        self._base = tape.pick((1_000, 30, 1_000_000, 10**9)) if not tape.rarely(8) else tape.pick((10**17, 8 * 10**18))
        self._width = tape.pick((12, 3, 40, 300))
        self._sides: tuple[dict[int, tuple[str, str]], dict[int, tuple[str, str]]] = ({}, {})
        self._minute = 0
        count = min(depth, tape.pick((12, 3, 25, 0, 40, 12, 9, 10)))
        quantities = [qty if Decimal(qty) else "1" for qty in (self._qty(tape) for _ in range(2 * count))]
        prices = [self._price(-1 - offset) for offset in range(count)], [self._price(offset) for offset in range(count)]
        bids, asks = (list(zip(side, quantities[half::2], strict=True)) for half, side in enumerate(prices))
        self.apply([level for level in bids if level[0]], asks)

    @classmethod
    def of(cls, symbol: str, depth: int, bids: Levels, asks: Levels) -> Market:
        """With these levels."""
        market = cls(Tape(b""), symbol, depth)
        market._sides[0].clear()
        market._sides[1].clear()
        market.apply(bids, asks)
        return market

    # What it holds

    @property
    def bids(self) -> Levels:
        return [self._sides[0][key] for key in sorted(self._sides[0], reverse=True)]

    @property
    def asks(self) -> Levels:
        return [self._sides[1][key] for key in sorted(self._sides[1])]

    def checksum(self) -> int:
        bids, asks = self._sides
        best = [*(asks[key] for key in nsmallest(10, asks)), *(bids[key] for key in nlargest(10, bids))]
        return crc32("".join(digits_of(text) for level in best for text in level).encode())

    def apply(self, bids: Levels, asks: Levels) -> None:
        for side, levels, keep in zip(self._sides, (bids, asks), (nlargest, nsmallest), strict=True):
            for price, qty in levels:
                key = int(Decimal(price).scaleb(_SCALE))
                if Decimal(qty) == 0:
                    side.pop(key, None)
                else:
                    side[key] = (price, qty)
            if len(side) > self.depth:
                for key in side.keys() - set(keep(self.depth, side)):
                    del side[key]

    # What happens to it

    def snapshot(self) -> str:
        return frame_of(self.symbol, self.bids, self.asks, self.checksum(), kind="snapshot", timestamp=self._moment())

    def change(self, tape: Tape) -> tuple[Levels, Levels]:
        """An update's levels, which are applied."""
        bids, asks = ([self._level(tape, sign) for _ in range(self._count(tape))] for sign in (-1, 1))
        self.apply(bids, asks)
        return bids, asks

    def update(self, tape: Tape) -> str:
        """An update, with the right checksum."""
        bids, asks = self.change(tape)
        return frame_of(self.symbol, bids, asks, self.checksum(), timestamp=self._moment())

    def _moment(self) -> str:
        self._minute += 1
        return f"2026-05-14T{self._minute // 60 % 24:02}:{self._minute % 60:02}:59.{self._minute * 9973 % 10**6:06}Z"

    def _count(self, tape: Tape) -> int:
        return tape.pick((1, 0, 1, 2, 1, 0, 3, 8)) if not tape.rarely(128) else tape.pick((30, 127, 128, 129, 300))

    def _level(self, tape: Tape, sign: int) -> tuple[str, str]:
        side = self._sides[sign > 0]
        kind = tape.below(16)
        if kind < 6 and side:  # near the best price, or anywhere
            best = sorted(side, reverse=sign < 0)
            price = side[best[tape.below(len(best) if kind < 2 else min(3, len(best)))]][0]
        elif kind == 15 and tape.rarely(8):  # perhaps crossed
            price = self._price(sign * (tape.below(3) - 1), finer=tape.rarely(2))
        else:
            offset = tape.below(self._width)
            price = self._price(offset if sign > 0 else -1 - offset, finer=tape.rarely(256))
        price = price or self._price(0)
        if tape.rarely(256):
            price = f"{price}0" if "." in price else f"{price}.0"
        return price, "0" if tape.rarely(16) else self._qty(tape)

    def _price(self, ticks: int, *, finer: bool = False) -> str:
        """Empty where there is no such price."""
        price = self._base + ticks
        return _text(price * 10 + 5, self._decimals + 1) if finer else _text(price, self._decimals) if price > 0 else ""

    def _qty(self, tape: Tape) -> str:
        size = tape.pick((0, 3, 6, 9, 1, 5, 0, 12))
        if size == 12 and tape.rarely(16):
            return tape.pick((str(10**18 + 7), str(10**19 - 1), str(2**64), "0.0000000000000000001", f"1.{'0' * 18}"))
        return _text(tape.below(10**size) if size else 0, self._qty_decimals)


def _text(scaled: int, decimals: int) -> str:
    digits = f"{scaled:0{decimals + 1}}"
    return f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits


# Frames that are nearly right

NUMBERS: Final = (
    *("0", "-0", "-1", "+1", "00", "01", "1.", ".5", "1e2", "1E2", "1e-05", "1.0E+2", "1e999999999", "0e5", "NaN"),
    *("0.00000000", "0." + "0" * 25, "1." + "0" * 18, "1." + "0" * 19, "1." + "0" * 45, "0.0000000000000000001"),
    *("9" * 18, "9" * 19, "9" * 20, "9" * 40, "9" * 41, str(2**63), str(2**64 - 1), str(2**64), "1" + "0" * 18),
    *("9" * 18 + ".9", "9" * 17 + ".99", "9" * 9 + "." + "9" * 10, "9" * 9 + "." + "9" * 11, "0." + "9" * 18),
    *(
        "0." + "9" * 19,
        "00.5",
        "0.5.5",
        "0x10",
        "1_0",
        "1,0",
        " 1",
        "1 ",
        '"1.5"',
        "null",
        "true",
        "[]",
        "",
        "Infinity",
    ),
    *("0.5\x00", "1\x00", "\x001", "1\u0661", "-", "-1.5", "1e", "1e+", "1.5e1.5"),
)
"""Numbers of every kind, and no numbers."""
MOMENTS: Final = (
    *("2026-05-14T15:06:09.020392Z", "2026-05-14T15:06:09.02039Z", "2026-05-14T15:06:09.0203921Z"),
    *("2026-05-14T15:06:09Z", "2026-05-14T15:06:09.Z", "2026-05-14T15:06:09.020392", "2026-05-14T15:06:09.020392z"),
    *("2026-05-14 15:06:09.020392Z", "2026-05-14t15:06:09.020392Z", "2026-05-14T15:06:09,020392Z"),
    *("2026-05-14T15:06:09.020392+00:00", "2026-05-14T15:06:09.020392+05:30", "2026-05-14T15:06:09.020392-00:00"),
    *("2026-05-14T24:00:00.000000Z", "2026-05-14T23:59:59.999999Z", "2026-05-14T23:59:60.000000Z"),
    *("2026-05-14T15:60:09.020392Z", "2026-02-29T15:06:09.020392Z", "2024-02-29T15:06:09.020392Z"),
    *("2100-02-29T00:00:00.000000Z", "2000-02-29T00:00:00.000000Z", "2026-04-31T00:00:00.000000Z"),
    *("2026-00-14T15:06:09.020392Z", "2026-13-14T15:06:09.020392Z", "2026-05-00T15:06:09.020392Z"),
    *("2026-05-32T15:06:09.020392Z", "0000-05-14T15:06:09.020392Z", "0001-01-01T00:00:00.000000Z"),
    *("9999-12-31T23:59:59.999999Z", "-026-05-14T15:06:09.020392Z", "+026-05-14T15:06:09.020392Z"),
    *("2026-05-14T15:06:09.00010}Z", "2026-05-14T15:06:09.-00001Z", "2026-05-14T15:06:09. 20392Z"),
    *("2026-05-14T-1:06:09.020392Z", "2026-05-14T15:06:0\x00.020392Z", "2026-05-14T15:06:09.02039\x80Z", "", "Z"),
    *("2026-05-14T1\u0665:06:09.020392Z", "2026-5-14T15:06:09.0203920Z", "1778771169", "2026-05-14T15:06:9.0203920Z"),
    *("2026-12-31T15:06:09.020392Z", "2026-01-31T15:06:09.020392Z", "2026-06-30T15:06:09.020392Z"),
    *("2026-06-31T15:06:09.020392Z", "2026-09-31T15:06:09.020392Z", "2026-11-31T15:06:09.020392Z"),
)
"""Timestamps of every kind, and none."""
_CHECKSUMS: Final = ("0", "-1", "00", "4294967295", "4294967296", "18446744073709551616", "1" + "0" * 30, "1.0", "1e5")
_CHECKSUMS_TOO: Final = ('"5"', "null", "true", "", "01", "-0", "9999999999", "99999999999", "\x00")
_BYTES: Final = b'0123456789.-+eE"{}[],:\\ \x00\x7f\x80\xff\nTZzn'
_TOKENS: Final = ('"bids"', '"asks"', '"price"', '"qty"', '"checksum"', '"timestamp"', '"symbol"', *"{}[],")


def _one_byte(frame: bytes, tape: Tape) -> bytes:
    at, byte = tape.below(len(frame)), bytes([tape.pick(_BYTES)])
    return tape.pick(
        (
            frame[:at] + byte + frame[at + 1 :],
            frame[:at] + frame[at + 1 :],
            frame[:at] + byte + frame[at:],
            frame[:at],
            frame[:at] + frame[at : at + 1] + frame[at:],
            frame + byte,
            byte + frame,
        )
    )


def _tokens_swapped(frame: bytes, tape: Tape) -> bytes:
    first, second = (tape.pick(_TOKENS).encode() for _ in "12")
    return frame.replace(first, b"\x01", 1 + tape.below(2)).replace(second, first, 1).replace(b"\x01", second)


def _value(after: bytes, end: bytes, values: Sequence[str]) -> Callable[[bytes, Tape], bytes]:
    """Another value in place of one that follows ``after``."""

    def change(frame: bytes, tape: Tape) -> bytes:
        parts = frame.split(after)
        if len(parts) == 1:
            return frame
        at = 1 + tape.below(len(parts) - 1)
        parts[at] = tape.pick(values).encode() + parts[at][min(parts[at].find(b) % 10**6 for b in (end, b"}")) :]
        return after.join(parts)

    return change


def _rearranged(frame: bytes, tape: Tape) -> bytes:
    """The same contents in another form, or a little more."""
    head, _, rest = frame.partition(b'"bids":')
    bids, _, rest = rest.partition(b',"asks":')
    asks, _, tail = rest.partition(b',"checksum":')
    moment = tail.find(b',"timestamp"')
    return tape.pick(
        (
            head + b'"asks":' + asks + b',"bids":' + bids + b',"checksum":' + tail,
            frame.replace(b":", b": "),
            frame.replace(b",", b", ", 1 + tape.below(3)),
            head + b'"bids":' + bids + b',"bids":' + bids + b',"asks":' + asks + b',"checksum":' + tail,
            frame.replace(b'"type":"update"', b'"type":"snapshot"'),
            frame.replace(b'"checksum"', b'"checksum":0,"checksum"'),
            frame[:-2] + b"," + frame[frame.find(b'[{"symbol"') + 1 :],  # twice in one frame
            frame[:-3] + b',"news":1}]}',
            frame[:-3] + b',"epoch":99}]}',
            head + b'"bids":' + bids + b',"asks":' + asks + tail[moment:] if moment >= 0 else frame,
            frame.replace(b"USD", tape.pick(("EUR", "U\\u0053D", "U\\/D", "USD\u20ac", "")).encode()),
            frame.replace(b'"symbol":"', b'"symbol":"\\u0042', 1),
            b"\xef\xbb\xbf" + frame,
            frame + tape.pick((b" ", b"\n", b"\x00", frame, b"{}")),
            b"",
            head + b'"bids":[],"asks":[],"checksum":' + tail,
        )
    )


_MUTATIONS: Final[tuple[Callable[[bytes, Tape], bytes], ...]] = (
    _one_byte,
    _one_byte,
    _one_byte,
    _rearranged,
    _tokens_swapped,
    _value(b'"price":', b",", NUMBERS),
    _value(b'"qty":', b"}", NUMBERS),
    _value(b'"timestamp":"', b'"', MOMENTS),
    _value(b'"checksum":', b",", _CHECKSUMS + _CHECKSUMS_TOO),
)


def mutated(frame: str, tape: Tape) -> bytes:
    """Something like this frame."""
    data = frame.encode()
    for _ in range(1 + tape.rarely(8)):
        if data:
            data = tape.pick(_MUTATIONS)(data, tape)
    return data
