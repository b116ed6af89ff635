"""The objects of v1: confirmations, refusals, pongs, and the exchange's status; and how to write the first.

The rules for refusals are those of v2: see :mod:`kraken_trio.wire.refusals`. Any field may be missing, or of another
type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kraken_trio._text import printable
from kraken_trio.wire.messages import Ack, Method, Refusal, Status
from kraken_trio.wire.names import symbol_of, wire_name
from kraken_trio.wire.refusals import error_text, kind_of, mentioned
from kraken_trio.wire.tree import encode, items, text, whole
from kraken_trio.wire.unknown import MAX_NAME
from kraken_trio.wire.v1.requests import channel_name, rows_of, subscription_of
from kraken_trio.wire.v1.shapes import OUR_NAMES

if TYPE_CHECKING:
    from kraken_trio.requests import Request

__all__ = ["answer", "confirmation", "refusal", "status"]

_MAX_TEXT: Final = 500
_STATUS: Final = {Method.SUBSCRIBE: "subscribed", Method.UNSUBSCRIBE: "unsubscribed"}
_METHODS: Final = {status: method for method, status in _STATUS.items()}


def answer(tree: dict[str, Any]) -> Ack | Refusal | None:
    """The message of a ``subscriptionStatus``; None if its status is unknown."""
    said = tree.get("status")
    if said == "error" or "errorMessage" in tree:
        return refusal(tree)
    method = _METHODS.get(said) if isinstance(said, str) else None
    if method is None:
        return None
    subscription = _subscription(tree)
    return Ack(
        method=method,
        channel=_channel(tree, subscription) or "",
        symbol=_symbol(tree),
        req_id=whole(tree, "reqid"),
        depth=whole(subscription, "depth"),
        interval=whole(subscription, "interval"),
    )


def refusal(tree: dict[str, Any]) -> Refusal:
    """A refusal of any form."""
    error, symbol = error_text(tree), _symbol(tree)
    return Refusal(
        error=error,
        kind=kind_of(error),
        symbol=symbol,
        mentioned=() if symbol is not None else tuple(map(symbol_of, mentioned(error, tree.get("pair")))),
        channel=_channel(tree, _subscription(tree)),
        req_id=whole(tree, "reqid"),
    )


def _symbol(tree: dict[str, Any]) -> str | None:
    pair = text(tree, "pair")
    return None if pair is None else symbol_of(pair)


def _subscription(tree: dict[str, Any]) -> dict[str, Any]:
    subscription = tree.get("subscription")
    return subscription if isinstance(subscription, dict) else {}


def _channel(tree: dict[str, Any], subscription: dict[str, Any]) -> str | None:
    name = text(subscription, "name")
    if name is None:
        name = text(tree, "channelName")
        name = None if name is None else name.partition("-")[0]
    return None if name is None else OUR_NAMES.get(name, name)


def confirmation(method: Method, asked: Request, req_id: int) -> list[str]:
    """The frames by which the exchange confirms a request, as far as :func:`answer` reads them."""
    pair = {} if asked.symbol is None else {"pair": wire_name(asked.symbol)}
    number = {} if asked.symbol is None else {"channelID": 0}
    return [
        encode(
            {
                **number,
                "channelName": channel_name(asked, row),
                "event": "subscriptionStatus",
                **pair,
                "reqid": req_id,
                "status": _STATUS[method],
                "subscription": subscription_of(asked, row),
            }
        )
        for row in rows_of(asked)
    ]


def status(tree: dict[str, Any]) -> Status | None:
    """The exchange's status; None if the frame does not contain it."""
    system = text(tree, "status")
    if system is None:
        return None
    notices = [*items(tree.get("upcoming_maintenance")), *items(tree.get("emergency"))]
    return Status(
        system=printable(system, MAX_NAME),
        version=printable(tree.get("version", ""), MAX_NAME),
        connection_id=whole(tree, "connectionID"),
        notices=tuple(printable(encode(notice), _MAX_TEXT) for notice in items(notices)),
    )
