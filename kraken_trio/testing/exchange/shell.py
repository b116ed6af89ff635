"""Connects the exchange's core, which decides, with the peers at its sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from kraken_trio.testing.exchange.actions import End, Send, SendRaw
from kraken_trio.testing.exchange.hosts import Host
from kraken_trio.testing.exchange.peer import Peer
from kraken_trio.testing.faults import DelayConnect, DropConnect, DropHow, HangConnect, RefuseConnect

if TYPE_CHECKING:
    import ssl

    from kraken_trio.testing.exchange.actions import Action
    from kraken_trio.testing.exchange.core import ExchangeCore
    from kraken_trio.testing.exchange.peer import ConnectionEnd, Wire
    from kraken_trio.testing.exchange.rest import RestRequest, RestResponse

__all__ = ["Shell"]


class Shell:
    """Moves frames between the core and its peers, and passes the time to the core."""

    def __init__(self, core: ExchangeCore, ssl_context: ssl.SSLContext | None, queue_limit: int | None) -> None:
        self.core = core
        self.peers: dict[int, ConnectionEnd] = {}
        self.ssl_context = ssl_context
        self._queue_limit = queue_limit
        self._changed = trio.Event()
        self._activity: trio.Event | None = None

    # From peers

    def admit(self) -> RefuseConnect | HangConnect | DropConnect | DelayConnect | None:
        fault = self.core.admit()
        self._happened()
        return fault

    def connected(self, end: ConnectionEnd, *, protocol: str, host: Host = Host.ALL) -> int:
        number, actions = self.core.connect(trio.current_time(), protocol=protocol, host=host)
        self.peers[number] = end
        self.core.journals[-1].link = end.link
        self.do(actions)
        return number

    def received(self, number: int, data: str | bytes) -> None:
        self.do(self.core.receive(number, data, trio.current_time()))

    def disconnected(self, number: int) -> None:
        self.core.disconnect(number)
        self.peers.pop(number, None)
        self.do([])

    def written(self) -> None:
        self._happened()

    def respond(self, request: RestRequest, now: float) -> RestResponse:
        """Answer a request of the REST interface."""
        response = self.core.rest.respond(request, now)
        self._happened()
        return response

    # From the core

    def do(self, actions: list[Action]) -> None:
        for action in actions:
            peer = self.peers.get(action.connection)
            if peer is None:
                continue
            if isinstance(action, Send):
                peer.send(action.text)
            elif isinstance(action, SendRaw):
                peer.send_raw(action.raw)
            elif isinstance(action, End):
                peer.end(action.how, action.reason)
            else:
                peer.freeze()
            if self._queue_limit is not None and peer.queued > self._queue_limit:
                self.core.disconnect(action.connection)
                peer.end(DropHow.RESET)
        self._changed.set()
        self._happened()

    def _happened(self) -> None:
        if self._activity is not None:
            self._activity.set()
            self._activity = None

    async def wait_activity(self) -> None:
        if self._activity is None:
            self._activity = trio.Event()
        await self._activity.wait()

    # Tasks

    async def serve(self, tcp: Wire) -> None:
        await Peer(tcp, self, self.ssl_context).run()

    async def keep_time(self) -> None:
        while True:
            deadline = self.core.deadline
            self._changed = trio.Event()
            with trio.move_on_at(float("inf") if deadline is None else deadline):
                await self._changed.wait()
            deadline, now = self.core.deadline, trio.current_time()
            if deadline is not None and deadline <= now:
                self.do(self.core.tick(now))
