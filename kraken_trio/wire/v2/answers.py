"""Answers to requests, and the exchange's status: confirmations, refusals, pongs, status; and how to write the first.

Rules (docs/reference/protocol.md, errors): an answer that is not clearly a success is a refusal; the text of a refusal
is always kept, because the exchange does not repeat it; any field may be missing, or of another type.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from kraken_trio._text import printable
from kraken_trio.wire.messages import Ack, Method, Pong, Refusal, RefusalKind, Status
from kraken_trio.wire.tree import encode, items, text, texts, whole
from kraken_trio.wire.v2.channels import CHANNELS

if TYPE_CHECKING:
    from kraken_trio.requests import Request

__all__ = ["answer", "confirmation", "error_words", "refusal", "status"]

_MAX_TEXT: Final = 500
_MAX_NAME: Final = 40
_MAX_MENTIONED: Final = 1000  # symbols; a request holds far fewer

_METHODS: Final = {method.value: method for method in Method}


def answer(tree: dict[str, Any]) -> Ack | Refusal | Pong | None:
    """The message of a frame with a ``method``; None if it confirms something that we never request."""
    method, result = tree["method"], tree.get("result")
    if method == "pong":
        return Pong(req_id=whole(tree, "req_id"))
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


# Refusals


def error_words(tree: dict[str, Any]) -> str | None:
    """The text of an error, in whichever field it is; None if there is no error."""
    keys = ("error", "Error", "errorMessage", *(("message",) if tree.get("event") == "error" else ()))
    return next((words for key in keys if (words := text(tree, key)) is not None), None)


def refusal(tree: dict[str, Any]) -> Refusal:
    """A refusal of any form."""
    words = error_words(tree)
    error = "the exchange gave no reason" if words is None else printable(words.strip(), _MAX_TEXT)
    result = tree.get("result")
    inside = result if isinstance(result, dict) else {}
    symbol = text(tree, "symbol")
    return Refusal(
        error=error,
        kind=_kind(error),
        symbol=symbol,
        mentioned=() if symbol is not None else _mentioned(error, tree.get("symbol"), inside.get("symbol")),
        channel=text(tree, "channel") or text(inside, "channel"),
        req_id=whole(tree, "req_id"),
        method=text(tree, "method"),
    )


_KINDS: Final = (
    ("Exceeded msg rate", RefusalKind.RATE_LIMITED),  # mutant: rate limit
    ("EAPI:Rate limit exceeded", RefusalKind.RATE_LIMITED),
    ("EAuth:Rate limit exceeded", RefusalKind.RATE_LIMITED),
    ("EGeneral:Too many requests", RefusalKind.RATE_LIMITED),
    ("Rate limit for snapshot requests exceeded", RefusalKind.LATER),
    ("EService:", RefusalKind.LATER),
    ("EGeneral:Internal error", RefusalKind.LATER),
    ("EGeneral:Temporary lockout", RefusalKind.LATER),
    ("EAPI:Invalid token", RefusalKind.STALE_TOKEN),
    ("ESession:Invalid session", RefusalKind.STALE_TOKEN),
    ("Already subscribed to one", RefusalKind.FINAL),
    ("Already subscribed", RefusalKind.ALREADY),
    ("Subscription Not Found", RefusalKind.ABSENT),
)
"""The beginnings of error texts, and what they mean; the first match counts. All other texts are final."""
_COMPARED: Final = tuple((words.lower(), kind) for words, kind in _KINDS)


def _kind(error: str) -> RefusalKind:
    """The kind of a refusal. Compared without case; a rate limit may be named anywhere in the text."""
    said = error.lower()  # mutant: case of a refusal
    for words, kind in _COMPARED:
        if said.startswith(words) or (kind is RefusalKind.RATE_LIMITED and words in said):
            return kind
    return RefusalKind.FINAL


_TOKEN: Final = re.compile(r"[A-Za-z0-9./\-]+", re.ASCII)
_SYMBOL: Final = re.compile(r"[A-Za-z0-9.\-]{1,32}/[A-Za-z0-9.\-]{1,32}", re.ASCII)
# These texts end with the name as it was sent, which may have no slash.
_ENDS_WITH_NAME: Final = re.compile(
    r"currency pair not (?:supported|in ISO 4217-A3 format)\s+(\S{1,65})", re.ASCII | re.IGNORECASE
)


def _mentioned(error: str, *fields: Any) -> tuple[str, ...]:
    """The symbols of a refusal without a ``symbol``: those of other fields, or those of its text.

    A field with several symbols may only repeat the request; the text, if it names any, names the refused ones.
    """
    found = [symbol for field in fields for symbol in _symbols(field)]
    if len(found) != 1:
        found = _symbols_in(error) or found  # mutant: symbol in words
    return tuple(dict.fromkeys(symbol.upper() for symbol in found))


def _symbols(field: Any) -> list[str]:
    values = field if isinstance(field, list) else [field]
    return [value for value in islice(values, _MAX_MENTIONED) if isinstance(value, str) and _SYMBOL.fullmatch(value)]


def _symbols_in(error: str) -> list[str]:
    named = _ENDS_WITH_NAME.fullmatch(error)
    if named:
        return [named[1]]
    tokens = (token.rstrip(".") for token in _TOKEN.findall(error))
    return [token for token in tokens if _SYMBOL.fullmatch(token)]
