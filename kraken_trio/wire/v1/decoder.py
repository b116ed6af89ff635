"""Kraken's older protocol, v1, as a codec: any frame to its message, requests to frames.

Rules (docs/reference/protocol.md, v1):

* An object is told by its ``event``; an array is data, and its shape is a row in :mod:`kraken_trio.wire.v1.shapes`.
* Numbers are texts, and keep the digits of the wire.
* Additions by Kraken (channels, fields, elements at the end of an array, values) are counted in ``unknown``, and
  accepted.
* Any bytes give a message or a :class:`~kraken_trio.ProtocolError`, in time linear in their length.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kraken_trio._text import printable
from kraken_trio.errors import ProtocolError
from kraken_trio.requests import Balances, Instruments, Ticker
from kraken_trio.settings import MAX_FRAME_BYTES
from kraken_trio.wire.foreign import foreign, notice_or_raise, protocol_of
from kraken_trio.wire.messages import Data, Heartbeat, Message, Pong, Terms
from kraken_trio.wire.names import symbol_of, wire_name
from kraken_trio.wire.refusals import error_words
from kraken_trio.wire.tree import REFUSED, decode_tree, whole
from kraken_trio.wire.unknown import MAX_NAME, Unknowns
from kraken_trio.wire.v1.account import STREAMS
from kraken_trio.wire.v1.control import answer, confirmation, refusal, status
from kraken_trio.wire.v1.data import data_frame
from kraken_trio.wire.v1.market import usual_update
from kraken_trio.wire.v1.payloads import Context
from kraken_trio.wire.v1.requests import ping, request
from kraken_trio.wire.v1.shapes import BY_REQUEST, OUR_NAMES, Layout, description, layout_of, row_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from kraken_trio.requests import Request
    from kraken_trio.wire.messages import DataEvent, Method
    from kraken_trio.wire.v1.shapes import Shape

__all__ = ["V1Codec"]

_ARRAY: Final = ("[", b"[")
_MAX_ADDITIONS: Final = 300  # per payload: more than there can be names of them
_CHANNELS: Final = tuple(BY_REQUEST)


class V1Codec:
    """A :class:`~kraken_trio.wire.codec.Codec`. Its only state are its counts."""

    snapshots_carry_checksums: bool = False
    numbers_trades: bool = False
    has_canonical_books: bool = False
    initial_data: Collection[str] = frozenset({"book", "ticker", "executions"})

    def __init__(self) -> None:
        self.unknown: Unknowns = Unknowns()
        """How often something unknown to this version came: ``"channel foo"``, ``"field book.foo"``, ``"value
        trade.side"``. At most 256 names; the rest counts as ``"more"``."""

    @property
    def channels(self) -> Collection[str]:
        return _CHANNELS

    # Writing

    def terms(self, request: Request) -> Terms:
        del request
        return Terms()

    def objection(self, request: Request) -> str | None:
        if isinstance(request, Ticker) and request.trigger == "bbo":
            return (
                f"Kraken's protocol v1 sends tickers for trades only: there, Spread({request.symbol!r}) tells of every "
                "change of the best bid or ask"
            )
        if request.channel == Instruments.channel:
            return (
                "Kraken's protocol v1 has no reference data: take Instruments() from a client of v2, such as "
                "open_client(PUBLIC_V2)"
            )
        if request.channel == Balances.channel:
            return (
                "Kraken's protocol v1 has no balances: take Balances() from a client of v2, such as "
                "open_client(PRIVATE_V2)"
            )
        return None

    def request(self, method: Method, asked: Sequence[Request], req_id: int) -> list[str]:
        return request(method, asked, req_id)

    def mentions(self, frame: str, channel: str, symbol: str | None) -> bool:
        is_of_it = any(f'"{row.channel}"' in frame for row in BY_REQUEST.get(channel, ()))
        return is_of_it and (symbol is None or f'"{wire_name(symbol)}"' in frame)

    def ping(self, req_id: int) -> str:
        return ping(req_id)

    def confirmation(self, method: Method, asked: Request, req_id: int) -> list[str]:
        return confirmation(method, asked, req_id)

    def data(self, events: Sequence[DataEvent]) -> str:
        return data_frame(events)

    # Reading

    def decode(self, frame: str | bytes, epoch: int = 0, received_ns: int = 0) -> Message:
        """The message of one frame. Raises :class:`~kraken_trio.ProtocolError`, and nothing else."""
        if len(frame) > MAX_FRAME_BYTES:
            msg = f"a frame of {len(frame)} bytes is longer than {MAX_FRAME_BYTES}"
            raise ProtocolError(msg)
        if frame[:1] in _ARRAY:
            try:
                update = usual_update(frame, epoch, received_ns)
            except (ProtocolError, *REFUSED):
                pass  # the general path finds out what it is
            else:
                if update is not None:
                    return Data("book", (update,))
        try:
            tree = decode_tree(frame)
            if isinstance(tree, list):
                return self._array(tree, epoch, received_ns)
            if isinstance(tree, dict):
                return self._object(tree, frame)
        except (ProtocolError, *REFUSED) as error:
            return notice_or_raise(frame, error)
        return notice_or_raise(frame, ProtocolError("neither an object nor an array"))

    def guess_topic(self, frame: str | bytes) -> tuple[str | None, str | None]:
        """The probable channel and symbol of a frame that could not be decoded. In an array, both are at the end."""
        part = frame[-_GUESS_BYTES:] if frame[:1] in _ARRAY else frame[:_GUESS_BYTES]
        said = part if isinstance(part, str) else part.decode("utf-8", "replace")
        ending = _ENDING.search(said)
        if ending is not None:
            return ending[1], symbol_of(ending[2])
        account = _ACCOUNT_ENDING.search(said)
        if account is not None:
            return OUR_NAMES[account[1]], None
        channel, pair = _CHANNEL_NAME.search(said), _PAIR_NAME.search(said)
        return (OUR_NAMES.get(channel[1], channel[1]) if channel else None, symbol_of(pair[1]) if pair else None)

    def _object(self, tree: dict[str, Any], frame: str | bytes) -> Message:
        event = tree.get("event")
        if event == "heartbeat":
            return Heartbeat()
        if event == "pong":
            return Pong(req_id=whole(tree, "reqid"))
        if event == "systemStatus":
            return status(tree) or self.unknown.message("systemStatus without status", event)
        if event == "subscriptionStatus":
            said = printable(tree.get("status"), MAX_NAME)
            return answer(tree) or self.unknown.message(f"value subscriptionStatus.status {said}")
        protocol = protocol_of(tree)
        if protocol not in (None, "v1"):
            return foreign(protocol, frame)
        if event == "error" or error_words(tree) is not None:
            return refusal(tree)
        return self.unknown.message("frame" if event is None else f"event {printable(event, MAX_NAME)}")

    def _array(self, items: list[Any], epoch: int, received_ns: int) -> Message:
        layout = layout_of(items)
        if layout is None:
            return self.unknown.message(f"array {description(items)}")
        name = items[1] if layout is Layout.ACCOUNT else items[-2]
        found = row_of(layout, name)
        if found is None:
            return self.unknown.message(f"channel {printable(name, MAX_NAME)}", name)
        row, value = found
        is_public = layout is Layout.PUBLIC
        payloads = self._converted(row, items[1:-2] if is_public else items[:1], 1 if is_public else 0)
        context = Context(
            symbol=symbol_of(items[-1]) if is_public else "",
            value=value,
            sequence=None if is_public else whole(items[-1], "sequence"),
            epoch=epoch,
            received_ns=received_ns,
            unknown=lambda field: self.unknown.add(f"value {row.channel}.{field}"),
        )
        return Data(OUR_NAMES[row.channel], row.read(payloads, context))

    def _converted(self, row: Shape, raw: list[Any], first: int) -> list[Any]:
        """The payloads, as the row's type has them; ``first`` is the place of the first one in the array."""
        if not raw:
            msg = f"an array of {row.channel} without a payload"
            raise ProtocolError(msg)
        payloads = []
        for place, payload in enumerate(raw, first):
            try:
                payloads.append(msgspec.convert(payload, row.payload))
            except msgspec.ValidationError as error:
                msg = printable(error) if "`$" in str(error) else f"{printable(error)} - at `$`"
                raise ProtocolError(msg.replace("`$", f"`$[{place}]")) from None
            for name in islice(row.additions(payload), _MAX_ADDITIONS):
                self.unknown.add(f"field {printable(name, MAX_NAME)}")
        return payloads


_GUESS_BYTES: Final = 4096
_NAME: Final = r"[A-Za-z0-9.\-]{1,32}/[A-Za-z0-9.\-]{1,32}"
_ENDING: Final = re.compile(rf'"([a-z]{{1,16}})(?:-[0-9]{{1,5}})?"\s*,\s*"({_NAME})"\s*\]\s*\Z', re.ASCII)
_ACCOUNT_ENDING: Final = re.compile(rf'"({"|".join(STREAMS)})"\s*,\s*\{{[^{{}}]{{0,200}}\}}\s*\]\s*\Z', re.ASCII)
_CHANNEL_NAME: Final = re.compile(r'"channelName"\s*:\s*"([A-Za-z]{1,16})')
_PAIR_NAME: Final = re.compile(rf'"pair"\s*:\s*"({_NAME})"')
