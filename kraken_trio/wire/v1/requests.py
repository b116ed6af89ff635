"""The frames that we send: requests and pings, exactly as in the protocol's documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kraken_trio.wire.messages import TOKEN, Method
from kraken_trio.wire.names import wire_name
from kraken_trio.wire.tree import encode
from kraken_trio.wire.v1.shapes import BY_REQUEST, Layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kraken_trio.requests import Request
    from kraken_trio.wire.v1.shapes import Shape

__all__ = ["channel_name", "ping", "request", "rows_of", "subscription_of"]


def request(method: Method, asked: Sequence[Request], req_id: int) -> list[str]:
    """The frames that subscribe or unsubscribe ``asked``: equal in channel and variant, differing in symbol.

    There are several with the same number for a channel that is several on the wire.
    """
    frames = []
    for row in rows_of(asked[0]):
        is_public = row.layout is Layout.PUBLIC
        pairs = {"pair": [wire_name(one.symbol) for one in asked if one.symbol is not None]} if is_public else {}
        more = row.extras if method is Method.SUBSCRIBE else {}
        token = {} if is_public else {"token": TOKEN}
        subscription = {**subscription_of(asked[0], row), **more, **token}
        frames.append(encode({"event": method.value, "reqid": req_id, **pairs, "subscription": subscription}))
    return frames


def rows_of(asked: Request) -> Sequence[Shape]:
    """What is requested for it."""
    assert asked.channel is not None  # the client answers the others itself
    return BY_REQUEST[asked.channel]


def subscription_of(asked: Request, row: Shape) -> dict[str, object]:
    """What identifies a subscription besides its symbol."""
    return (
        {"name": row.channel}
        if row.parameter is None
        else {"name": row.channel, row.parameter: getattr(asked, row.parameter)}
    )


def channel_name(asked: Request, row: Shape) -> str:
    """The name of the channel in data, such as ``book-10``."""
    return row.channel if row.parameter is None else f"{row.channel}-{getattr(asked, row.parameter)}"


def ping(req_id: int) -> str:
    """A frame that asks for a :class:`~kraken_trio.wire.messages.Pong`."""
    return encode({"event": "ping", "reqid": req_id})
