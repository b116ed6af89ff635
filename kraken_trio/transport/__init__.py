"""The seam to a WebSocket library: connect, receive a batch of frames, send, close.

A transport promises the client four things, whatever the peer does:

1. *Connecting ends*: within ``limits.connect_timeout`` it either yields a connection or raises a
   :class:`~kraken_trio.ConnectError` that names the cause.
2. *Receiving ends*: when the peer closes, resets, or violates the protocol, it raises :class:`ConnectionLost`.
   (Silence is judged by the client, which also sends PINGs, if the transport :class:`Pings`.)
3. *Sending is all or nothing*: after a send that was cancelled half-way, nothing more is written; every later
   call raises :class:`ConnectionLost`.
4. *Closing ends*: within ``limits.close_timeout``, with the stream closed and no task left behind.

While nobody receives, the peer's PINGs are answered and its CLOSE is seen, as long as the messages before them fit into
what a transport may hold (``limits.queue_frames``). Sending does not wait for receiving.

A library's own exceptions stop at the module that imports it.
"""

from kraken_trio.transport.seam import Connect, ConnectionLost, Limits, Phase, Pings, Tell, TellsPhases, Transport

__all__ = ["Connect", "ConnectionLost", "Limits", "Phase", "Pings", "Tell", "TellsPhases", "Transport"]
