"""The frames that we send: requests and pings, exactly as in the protocol's documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kraken_trio.wire.tree import encode
from kraken_trio.wire.v1.names import wire_name
from kraken_trio.wire.v1.shapes import SHAPES, Layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kraken_trio.requests import Request
    from kraken_trio.wire.messages import Method

__all__ = ["channel_name", "ping", "request", "subscription_of"]


def request(method: Method, asked: Sequence[Request], req_id: int) -> str:
    """One frame that subscribes or unsubscribes ``asked``: equal in channel and variant, differing in symbol."""
    return encode(
        {
            "event": method.value,
            "reqid": req_id,
            "pair": [wire_name(one.symbol) for one in asked if one.symbol is not None],
            "subscription": subscription_of(asked[0]),
        }
    )


def subscription_of(asked: Request) -> dict[str, object]:
    """What identifies a subscription besides its symbol."""
    name, value = _parts(asked)
    return {"name": name} if value is None else {"name": name, value[0]: value[1]}


def channel_name(asked: Request) -> str:
    """The name of the channel in data, such as ``book-10``."""
    name, value = _parts(asked)
    return name if value is None else f"{name}-{value[1]}"


def _parts(asked: Request) -> tuple[str, tuple[str, Any] | None]:
    assert asked.channel is not None  # the client answers the others itself
    row = SHAPES[Layout.PUBLIC, asked.channel]
    return row.channel, None if row.parameter is None else (row.parameter, getattr(asked, row.parameter))


def ping(req_id: int) -> str:
    """A frame that asks for a :class:`~kraken_trio.wire.messages.Pong`."""
    return encode({"event": "ping", "reqid": req_id})
