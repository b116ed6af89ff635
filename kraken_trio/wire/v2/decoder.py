"""Kraken's v2 protocol as a codec: any frame to its message, requests to frames.

Rules (docs/reference/protocol.md, envelope):

* A frame with ``method`` answers a request; one with ``channel`` is pushed; one with neither may be an error, or of
  another protocol. The order of keys is irrelevant.
* Numbers keep the digits of the wire. Numbers that are not finite, or too long, are rejected.
* Additions by Kraken (channels, fields, enumeration values) are counted in ``unknown``, and accepted.
* Any bytes give a message or a :class:`~kraken_trio.ProtocolError`, in time linear in their length.

A channel may have a fast path (books have: they are nine tenths of all frames): a frame that begins as Kraken writes
it, and contains nothing unknown, is decoded directly into its events. Everything else is decoded into a tree first,
checked, and converted. Both paths give equal events.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kraken_trio._text import printable
from kraken_trio.errors import ProtocolError
from kraken_trio.requests import Spread
from kraken_trio.settings import MAX_FRAME_BYTES
from kraken_trio.wire.foreign import foreign, notice_or_raise, protocol_of
from kraken_trio.wire.messages import Data, Empty, Heartbeat, Message, Numbered, Terms
from kraken_trio.wire.refusals import error_words
from kraken_trio.wire.tree import REFUSED, decode_tree, whole
from kraken_trio.wire.unknown import MAX_NAME, Unknowns
from kraken_trio.wire.v2.answers import answer, confirmation, refusal, status
from kraken_trio.wire.v2.channels import CHANNELS
from kraken_trio.wire.v2.data import data_frame
from kraken_trio.wire.v2.requests import ping, request

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from kraken_trio.requests import Request
    from kraken_trio.wire.messages import DataEvent, Method
    from kraken_trio.wire.v2.channels import Channel, FastPath

__all__ = ["V2Codec"]

_KINDS: Final = ("snapshot", "update")
_set: Final = msgspec.structs.force_setattr
"""Sets ``epoch`` and ``received_ns``: events are frozen, and the fast path creates them without these two."""


class V2Codec:
    """A :class:`~kraken_trio.wire.codec.Codec`. Its only state are its counts."""

    snapshots_carry_checksums: bool = True
    numbers_trades: bool = True
    has_canonical_books: bool = True

    def __init__(self) -> None:
        self.unknown: Unknowns = Unknowns()
        """How often something unknown to this version came: ``"channel foo"``, ``"field book.foo"``, ``"value
        trade.side"``. At most 256 names; the rest counts as ``"more"``."""
        self._paths_of_text = [(path.starts, path) for row in CHANNELS.values() for path in row.fast]
        self._paths_of_bytes = [(starts.encode(), path) for starts, path in self._paths_of_text]
        starts, self._usual = self._paths_of_text[0]
        self._usual_of_text = (starts, self._usual.read)
        self._usual_of_bytes = (starts.encode(), self._usual.read)

    @property
    def channels(self) -> Collection[str]:
        return CHANNELS.keys()

    @property
    def initial_data(self) -> Collection[str]:
        return CHANNELS.keys()

    def terms(self, request: Request) -> Terms:
        return CHANNELS[request.channel or ""].terms(request)

    # Writing

    def objection(self, request: Request) -> str | None:
        if request.channel == Spread.channel:
            return (
                "Kraken's protocol v2 has no channel 'spread': there, "
                f'Ticker({request.symbol!r}, trigger="bbo") tells of every change of the best bid or ask'
            )
        return None

    def request(self, method: Method, asked: Sequence[Request], req_id: int) -> list[str]:
        return [request(method, asked, req_id)]

    def mentions(self, frame: str, channel: str, symbol: str | None) -> bool:
        return f'"{channel}"' in frame and (symbol is None or f'"{symbol}"' in frame)

    def ping(self, req_id: int) -> str:
        return ping(req_id)

    def confirmation(self, method: Method, asked: Request, req_id: int) -> list[str]:
        return [confirmation(method, asked, req_id)]

    def data(self, events: Sequence[DataEvent]) -> str:
        return data_frame(events)

    # Reading

    def decode(self, frame: str | bytes, epoch: int = 0, received_ns: int = 0) -> Message:
        """The message of one frame. Raises :class:`~kraken_trio.ProtocolError`, and nothing else."""
        if len(frame) > MAX_FRAME_BYTES:  # mutant: longest frame
            msg = f"a frame of {len(frame)} bytes is longer than {MAX_FRAME_BYTES}"
            raise ProtocolError(msg)
        # The hot path, nine tenths of all frames: no unnecessary loop or call.
        starts, read = self._usual_of_text if frame.__class__ is str else self._usual_of_bytes
        if frame.startswith(starts):  # type: ignore[arg-type]  # of the frame's type
            try:
                message = read(frame)
            except REFUSED:
                pass  # it contains something unknown or malformed: the general path finds out what
            else:
                for event in message.events:
                    _set(event, "epoch", epoch)
                    _set(event, "received_ns", received_ns)
                return message
        return self._decode_unusual(frame, epoch, received_ns)

    def _decode_unusual(self, frame: str | bytes, epoch: int, received_ns: int) -> Message:
        claimed: FastPath | None = None
        for starts, path in self._paths_of_text if frame.__class__ is str else self._paths_of_bytes:
            if frame.startswith(starts):  # type: ignore[arg-type]  # of the frame's type
                claimed = path
                if path is self._usual:
                    break  # it has been tried before
                try:
                    message = path.read(frame)
                except REFUSED:
                    break
                for event in message.events:
                    _set(event, "epoch", epoch)
                    _set(event, "received_ns", received_ns)
                return message
        try:
            tree = decode_tree(frame)
            if claimed is None or (tree["channel"], tree["type"]) == (claimed.channel, claimed.kind):
                return self._message(tree, frame, epoch, received_ns)
        except (ProtocolError, *REFUSED) as error:
            return notice_or_raise(frame, error)
        return notice_or_raise(frame, ProtocolError("a duplicate key"))

    def guess_topic(self, frame: str | bytes) -> tuple[str | None, str | None]:
        """The probable channel and symbol of a frame that could not be decoded."""
        start = frame[:_GUESS_BYTES]
        said = start if isinstance(start, str) else start.decode("utf-8", "replace")
        channel, symbol = _CHANNEL_NAME.search(said), _SYMBOL_NAME.search(said)
        return (channel[1] if channel else None, symbol[1] if symbol else None)

    def _message(self, tree: Any, frame: str | bytes, epoch: int, received_ns: int) -> Message:
        if isinstance(tree, dict):
            if "method" in tree:
                return answer(tree) or self.unknown.message(f"method {printable(tree['method'], MAX_NAME)}")
            channel = tree.get("channel")
            if isinstance(channel, str):
                return self._pushed(channel, tree, epoch, received_ns)
        protocol = protocol_of(tree)
        if protocol is not None:  # mutant: another protocol
            return foreign(protocol, frame)
        if not isinstance(tree, dict):
            msg = "not an object"
            raise ProtocolError(msg)
        return self.unknown.message("frame") if error_words(tree) is None else refusal(tree)

    def _pushed(self, channel: str, tree: dict[str, Any], epoch: int, received_ns: int) -> Message:
        if channel == "heartbeat":
            return Heartbeat()
        if channel == "status":
            return status(tree) or self.unknown.message("status without system", channel)
        if tree.get("success") is False or ("data" not in tree and error_words(tree) is not None):
            return refusal(tree)  # an answer that lacks its method
        row = CHANNELS.get(channel)
        if row is None:
            return self.unknown.message(f"channel {printable(channel, MAX_NAME)}", channel)
        kind = tree.get("type")
        if kind not in _KINDS:
            return self.unknown.message(f"type {channel}.{printable(kind, MAX_NAME)}", channel)
        events = row.read(
            tree.get("data"), {"snapshot": kind == "snapshot", "epoch": epoch, "received_ns": received_ns}
        )
        self._count_what_is_new(row, tree, events)
        if row.is_numbered:
            one = Numbered(
                channel=channel,
                snapshot=kind == "snapshot",
                sequence=whole(tree, "sequence"),
                rows=events,
                epoch=epoch,
                received_ns=received_ns,
            )
            return Data(channel, (one,))
        if kind == "snapshot" and not events:
            return Empty(channel)
        return Data(channel, events)

    def _count_what_is_new(self, row: Channel, tree: dict[str, Any], events: Iterable[DataEvent]) -> None:
        self.unknown.add_fields(f"{row.name}:", tree.keys(), row.envelope)
        data = tree["data"]
        for entry in data if isinstance(data, list) else [data]:
            self.unknown.add_fields(f"{row.name}.", entry.keys(), row.fields)
            for part, known in row.parts.items():
                for element in entry[part]:
                    self.unknown.add_fields(f"{row.name}.{part}.", element.keys(), known)
        for event in events:
            for name in row.unknown_values(event):
                self.unknown.add(f"value {row.name}.{name}")


_GUESS_BYTES: Final = 4096
_CHANNEL_NAME: Final = re.compile(r'"channel"\s*:\s*"([a-z0-9_]{1,32})"')
_SYMBOL_NAME: Final = re.compile(r'"symbol"\s*:\s*"([A-Za-z0-9.\-]{1,32}/[A-Za-z0-9.\-]{1,32})"')
