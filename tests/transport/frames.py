"""Frames as a server sends them, and Hypothesis strategies for streams of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

if TYPE_CHECKING:
    from collections.abc import Iterable

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    return Frame(Opcode(opcode), payload, fin).serialize(mask=False)


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    ends = [*sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


controls = st.builds(frame, st.sampled_from([PING, PONG]), st.binary(max_size=125))
payloads = st.one_of(st.binary(max_size=20), st.integers(0, 400).map(bytes), st.integers(65_530, 65_540).map(bytes))


@st.composite
def messages_as_frames(draw: st.DrawFn) -> bytes:
    """One message, whole or in fragments, perhaps with control frames between them; cut inside of characters, too."""
    is_text = draw(st.booleans())
    payload = draw(st.text(max_size=200)).encode() if is_text else draw(payloads)
    parts = cut(payload, draw(st.lists(st.integers(0, 70_000), max_size=4)))
    if len(parts) > 1 and draw(st.booleans()):
        parts.append(b"")
    out = b""
    for number, part in enumerate(parts):
        opcode = 0 if number else TEXT if is_text else BINARY
        out += frame(opcode, part, fin=number == len(parts) - 1)
        if number < len(parts) - 1:
            out += b"".join(draw(st.lists(controls, max_size=2)))
    return out


streams = st.lists(st.one_of(messages_as_frames(), controls), max_size=8).map(b"".join)
places = st.lists(st.integers(0, 200_000), max_size=12)
