"""Which transport is used: by name, or the fastest that is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from kraken_trio.transport import Connect
    from kraken_trio.transport.dial import OpenStream

__all__ = ["TransportName", "choose"]

TransportName: TypeAlias = Literal["auto", "websockets", "trio-websocket"]
"""``"websockets"``: on the Sans-I/O core of the library of that name, which the extra ``fast`` installs; it gives all
messages of a socket read at once. ``"trio-websocket"``: on the library of that name, which is always there; it gives a
message at a time. ``"auto"``: the first one if it is installed, else the second one."""


def choose(transport: TransportName | Connect = "auto", open_stream: OpenStream | None = None) -> Connect:
    """How to connect with this transport. A :class:`~kraken_trio.transport.Connect` is its own answer.

    ``open_stream`` is how a byte stream is opened over another network than this machine's.

    Raises :class:`ImportError` for ``"websockets"`` when that is not installed (or too old), and :class:`ValueError`
    for a name that is none of :data:`TransportName`.
    """
    if not isinstance(transport, str):
        return transport
    # Imported only now, because one of them may be missing, and nobody needs both.
    if transport in ("auto", "websockets"):
        try:
            from kraken_trio.transport import sans_io  # noqa: PLC0415
        except ImportError as exc:
            if transport == "websockets":
                msg = (
                    f"transport='websockets' needs a newer or any 'websockets' ({exc}): pip install 'kraken-trio[fast]'"
                )
                raise ImportError(msg) from exc
        else:
            return sans_io.connect if open_stream is None else sans_io.connecting_with(open_stream)
    elif transport != "trio-websocket":
        msg = (
            f"transport={transport!r}: one of 'auto', 'websockets' (pip install 'kraken-trio[fast]'), "
            "'trio-websocket', or your own kraken_trio.transport.Connect"
        )
        raise ValueError(msg)
    from kraken_trio.transport import trio_websocket  # noqa: PLC0415

    return trio_websocket.connect if open_stream is None else trio_websocket.connecting_with(open_stream)
