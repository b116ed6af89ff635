"""Which transport is used: by name, or the fastest one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from kraken_trio.transport.connection import Stages
    from kraken_trio.transport.dial import OpenStream
    from kraken_trio.transport.seam import Connect

__all__ = ["TransportName", "choose"]

TransportName: TypeAlias = Literal["auto", "websockets", "trio-websocket"]
"""``"websockets"``: on the Sans-I/O core of the library of that name; it gives all messages of a socket read at once.
``"trio-websocket"``: on the library of that name; it gives a message at a time, and is several times slower.
``"auto"``: the first one; or the second one where another package has replaced ``websockets`` by a version that is too
old for it."""


def choose(
    transport: TransportName | Connect = "auto", open_stream: OpenStream | None = None, stages: Stages | None = None
) -> Connect:
    """How to connect with this transport. A :class:`~kraken_trio.transport.Connect` is returned as it is.

    ``open_stream`` is how a byte stream is opened over another network than this machine's; with it, ``stages`` is told
    how connecting goes on.

    Raises :class:`ImportError` for ``"websockets"`` when that library is missing or too old, and :class:`ValueError`
    for a name that is none of :data:`TransportName`.
    """
    if not isinstance(transport, str):
        return transport
    # Imported here, because a program uses one of them, and each takes its library's time to import.
    if transport in ("auto", "websockets"):
        try:
            from kraken_trio.transport import websockets  # noqa: PLC0415 (see above)
        except ImportError as exc:
            if transport == "websockets":
                msg = f"transport='websockets' needs websockets 14 or newer ({exc}): pip install 'websockets>=14'"
                raise ImportError(msg) from exc
        else:
            return websockets.connect if open_stream is None else websockets.connect_over(open_stream, stages)
    elif transport != "trio-websocket":
        msg = (
            f"transport={transport!r}: one of 'auto', 'websockets', 'trio-websocket', "
            "or your own kraken_trio.transport.Connect"
        )
        raise ValueError(msg)
    from kraken_trio.transport import trio_websocket  # noqa: PLC0415 (see above)

    return trio_websocket.connect if open_stream is None else trio_websocket.connect_over(open_stream, stages)
