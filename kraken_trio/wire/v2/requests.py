"""The frames that we send: requests and pings, exactly as in the protocol's documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kraken_trio.wire.messages import TOKEN, Method
from kraken_trio.wire.tree import encode
from kraken_trio.wire.v2.channels import CHANNELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kraken_trio.requests import Request

__all__ = ["ping", "request"]


def request(method: Method, asked: Sequence[Request], req_id: int) -> str:
    """One frame that subscribes or unsubscribes ``asked``: equal in channel and variant, differing in symbol."""
    first = asked[0]
    assert first.channel is not None  # the client answers the others itself
    row = CHANNELS[first.channel]
    params: dict[str, object] = {"channel": row.name}
    if first.symbol is not None:
        params["symbol"] = [one.symbol for one in asked]
    params |= row.identity(first)
    if method is Method.SUBSCRIBE:
        params |= row.extras(first)
    if row.needs_token:  # mutant: token
        params["token"] = TOKEN
    return encode({"method": method.value, "params": params, "req_id": req_id})


def ping(req_id: int) -> str:
    """A frame that asks for a :class:`~kraken_trio.wire.messages.Pong`. It must have no ``params``."""
    return encode({"method": "ping", "req_id": req_id})
