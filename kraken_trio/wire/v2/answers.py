"""Answers to requests, and the exchange's status: confirmations, refusals, pongs, status; and how to write the first.

Rules (docs/reference/protocol.md, errors): an answer that is not clearly a success is a refusal; the text of a refusal
is always kept, because the exchange does not repeat it; any field may be missing, or of another type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kraken_trio._instants import instant_ns
from kraken_trio._text import printable
from kraken_trio.errors import ProtocolError
from kraken_trio.wire.messages import Ack, Method, Pong, Refusal, Status
from kraken_trio.wire.refusals import error_text, kind_of, mentioned
from kraken_trio.wire.tree import encode, items, text, texts, whole
from kraken_trio.wire.v2.channels import CHANNELS

if TYPE_CHECKING:
    from kraken_trio.requests import Request

__all__ = ["answer", "confirmation", "refusal", "status"]

_MAX_TEXT: Final = 500
_MAX_NAME: Final = 40

_METHODS: Final = {method.value: method for method in Method}


def answer(tree: dict[str, Any]) -> Ack | Refusal | Pong | None:
    """The message of a frame with a ``method``; None if it confirms something that we never request."""
    method, result = tree["method"], tree.get("result")
    if method == "pong":
        return Pong(req_id=whole(tree, "req_id"), in_ns=_moment(tree, "time_in"), out_ns=_moment(tree, "time_out"))
    if tree.get("success") is True and isinstance(result, dict):  # mutant: clear success
        if not isinstance(method, str) or method not in _METHODS:
            return None
        return Ack(
            method=_METHODS[method],
            channel=text(result, "channel") or "",
            symbol=text(result, "symbol"),
            req_id=whole(tree, "req_id"),
            depth=whole(result, "depth"),
            interval=whole(result, "interval"),
            warnings=texts(result.get("warnings")),
        )
    return refusal(tree)


def _moment(tree: dict[str, Any], key: str) -> int | None:
    try:
        return instant_ns(tree.get(key, ""))
    except ProtocolError:  # nothing depends on it
        return None


def confirmation(method: Method, asked: Request, req_id: int) -> str:
    """The frame by which the exchange confirms a request, as far as :func:`answer` reads it."""
    assert asked.channel is not None  # the client answers the others itself
    result: dict[str, object] = {"channel": asked.channel, **CHANNELS[asked.channel].identity(asked)}
    if asked.symbol is not None:
        result["symbol"] = asked.symbol
    return encode({"method": method.value, "result": result, "success": True, "req_id": req_id})


def status(tree: dict[str, Any]) -> Status | None:
    """The exchange's status; None if the frame does not contain it."""
    data = tree.get("data")
    entry = data[-1] if isinstance(data, list) and data else data
    if not isinstance(entry, dict) or not isinstance(entry.get("system"), str):
        return None
    notices = [*items(entry.get("upcoming_maintenance")), *items(entry.get("emergency"))]
    return Status(
        system=printable(entry["system"], _MAX_NAME),
        version=printable(entry.get("version", ""), _MAX_NAME),
        api_version=printable(entry.get("api_version", ""), _MAX_NAME),
        connection_id=whole(entry, "connection_id"),
        notices=tuple(printable(encode(notice), _MAX_TEXT) for notice in items(notices)),
    )


def refusal(tree: dict[str, Any]) -> Refusal:
    """A refusal of any form."""
    error = error_text(tree)
    result = tree.get("result")
    inside = result if isinstance(result, dict) else {}
    symbol = text(tree, "symbol")
    return Refusal(
        error=error,
        kind=kind_of(error),
        symbol=symbol,
        mentioned=() if symbol is not None else mentioned(error, tree.get("symbol"), inside.get("symbol")),
        channel=text(tree, "channel") or text(inside, "channel"),
        req_id=whole(tree, "req_id"),
        method=text(tree, "method"),
    )
