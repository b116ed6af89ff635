"""The seam between Kraken's protocols and everything else: frames to messages, requests to frames.

Everything above ``wire/`` uses a :class:`Codec`, and depends on no protocol. A new protocol is a package beside ``v2``
and a row in the table here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from kraken_trio.wire.v1.decoder import V1Codec
from kraken_trio.wire.v2.decoder import V2Codec

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from kraken_trio.requests import Request
    from kraken_trio.wire.messages import DataEvent, Message, Method, Terms

__all__ = ["Codec", "codec_for"]


class Codec(Protocol):
    """One protocol, for one client: it may have state, so each session has its own."""

    @property
    def channels(self) -> Collection[str]:
        """The channels that can be subscribed to."""
        ...

    @property
    def unknown(self) -> Mapping[str, int]:
        """How often something unknown to this version came, by a printable name; bounded."""
        ...

    @property
    def snapshots_carry_checksums(self) -> bool:
        """Whether book snapshots have a checksum in this protocol, so that one without is malformed."""
        ...

    @property
    def initial_data(self) -> Collection[str]:
        """The channels of which something comes when they are subscribed: their present state, or their history."""
        ...

    @property
    def numbers_trades(self) -> bool:
        """Whether trades have numbers, which count by one; otherwise ``Trade.trade_id`` is None."""
        ...

    @property
    def has_canonical_books(self) -> bool:
        """Whether updates of books usually have the form that the compiled core reads."""
        ...

    def terms(self, request: Request) -> Terms:
        """What the exchange demands of a subscription."""
        ...

    def decode(self, frame: str | bytes, epoch: int = 0, received_ns: int = 0) -> Message:
        """The message of one frame. Raises :class:`~kraken_trio.ProtocolError`, and nothing else, for any bytes.

        ``epoch`` and ``received_ns`` are put into the events.
        """
        ...

    def objection(self, request: Request) -> str | None:
        """Why the protocol cannot serve this request, and what to ask for instead; None if it can, or does not know."""
        ...

    def request(self, method: Method, asked: Sequence[Request], req_id: int) -> Sequence[str]:
        """The frames that subscribe or unsubscribe ``asked``: equal in channel and variant, differing in symbol.

        More than one if the channel is several on the wire. Each has an answer of its own, for each symbol.
        """
        ...

    def mentions(self, frame: str, channel: str, symbol: str | None) -> bool:
        """Whether a frame of :meth:`request` may be about this subscription: all that it names are mentioned."""
        ...

    def ping(self, req_id: int) -> str:
        """A frame that asks for a :class:`~kraken_trio.wire.messages.Pong`."""
        ...

    def confirmation(self, method: Method, asked: Request, req_id: int) -> Sequence[str]:
        """The frames that confirm the request of one symbol: for who plays the exchange to a session."""
        ...

    def data(self, events: Sequence[DataEvent]) -> str:
        """A frame with these events, of one channel, and all of them from before the subscription, or none: likewise.

        Decoded again, they are the same, digit for digit, as far as the protocol has a place for what they say. A
        protocol may have frames for one symbol or one event only: then it raises :class:`ValueError` for others.
        """
        ...

    def guess_topic(self, frame: str | bytes) -> tuple[str | None, str | None]:
        """The probable channel and symbol of a frame that could not be decoded; None for what is unclear.

        It is a guess from the beginning of the frame, which is right if the frame was damaged elsewhere.
        """
        ...


_CODECS: Final[Mapping[str, Callable[[], Codec]]] = {"v1": V1Codec, "v2": V2Codec}


def codec_for(protocol: str) -> Codec:
    """A new codec for the protocol of this name. Raises :class:`ValueError` if there is none."""
    make = _CODECS.get(protocol)
    if make is None:
        msg = f"{protocol!r} is no protocol of this version: choose one of {', '.join(map(repr, _CODECS))}"
        raise ValueError(msg)
    return make()
