"""From the :mod:`~kraken_trio.broker.publisher` to a broker, as long as this process is the shard's owner.

One task connects to the broker, again and again. On each connection one keeps the :mod:`~kraken_trio.broker.lease`, and
one sends: from the first message of the :mod:`~kraken_trio.broker.outbox` that is not acknowledged.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import attrs
import trio

from kraken_trio.broker.lease import Ask, Lease, Standing
from kraken_trio.broker.outbox import Outbox
from kraken_trio.broker.seam import BrokerLost, Fence, Fenced, TooLarge
from kraken_trio.errors import ConnectError
from kraken_trio.relay.comparison import catalog_of, difference
from kraken_trio.relay.log import log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kraken_trio.broker.publisher import Message, Publisher
    from kraken_trio.broker.seam import Engine, Link

__all__ = ["Sender"]

_WINDOW: Final = 256
"""How many messages may be sent without being acknowledged."""
_WINDOW_BYTES: Final = 4 * 1024 * 1024
"""The same in bytes. A broker that stops takes no more memory than this, whatever is in the messages."""
_RETRY: Final = 0.1
_MAX_RETRY: Final = 5.0
"""Seconds until the next attempt to connect to the broker: at first, doubling, and at most."""
_MAX_RETRY_OF_OWNER: Final = 1.0
"""The same for who is, or was, the shard's owner: it has what nobody else has, and nobody waits for it for long."""
_TELL_AGAIN: Final = 30.0
"""Seconds after which it is logged again that there is no connection to the broker, for the same reason."""
_RELEASE: Final = 1.0
"""Seconds for giving the lease back when leaving: without that a standby waits until it has ended."""


@attrs.define(eq=False)
class Sent:
    """What has been counted."""

    events: int = 0
    messages: int = 0
    bytes: int = 0
    takeovers: int = 0
    fenced: int = 0
    connects: int = 0
    too_large: int = 0


class Sender:
    """One shard's connection to the broker, and its lease. ``fail`` ends the relay's block with an error."""

    def __init__(
        self,
        engine: Engine,
        publisher: Publisher,
        *,
        holder: str,
        fail: Callable[[Exception], None],
    ) -> None:
        self._engine = engine
        self._publisher = publisher
        self._name = publisher.name
        self._holder = holder
        self._fail = fail
        self.lease: Lease[Fence] = Lease(engine.lease_ttl)
        self.outbox: Outbox[Message] = Outbox(_WINDOW, _WINDOW_BYTES)
        self.counts: Sent = Sent()
        self.is_full: bool = False
        """The publisher was found full by who gives to it, and nothing has left it since."""
        self._link: Link | None = None
        self._answered: Link | None = None
        """The last connection over which the broker has said whether this process is the owner."""
        self._has_broker = True
        """Whether there is, or may be again, a connection to it."""
        self._is_leaving = False
        self._compared: Link | None = None
        """The last connection over which the owner's catalog was looked at."""
        self._woken = trio.Event()
        """Something was put into the publisher, or the lease is another."""
        self._leased = trio.Event()
        """The lease is another. Who keeps it has no need to be woken by each event."""
        self._passed = trio.Event()
        """Something has left the publisher or the outbox, or the standing has changed."""

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection to the broker."""
        return self._link is not None

    @property
    def is_owner(self) -> bool:
        """Whether this process is the shard's owner now."""
        return self.lease.may_publish(trio.current_time())

    @property
    def is_placed(self) -> bool:
        """Whether the broker has said, over the connection that there is, what this process is to the shard."""
        return self._link is not None and self._answered is self._link

    @property
    def _unstored(self) -> int:
        """Events of which it is not known that they are stored."""
        return self._publisher.waiting + sum(message.events for message in self.outbox.window())

    def wake(self) -> None:
        """Something was put into the publisher."""
        self._woken.set()
        self._woken = trio.Event()

    async def wait_passed(self) -> None:
        """Wait until something has left the publisher or the outbox, or the standing has changed."""
        await self._passed.wait()

    def _has_lease(self) -> None:
        """It is another one, or was renewed, or lost."""
        self._leased.set()
        self._leased = trio.Event()
        self.wake()
        self._has_passed()

    def _has_passed(self) -> None:
        self._passed.set()
        self._passed = trio.Event()

    async def serve(self, *, task_status: trio.TaskStatus[None] | None = None) -> None:
        """Be connected to the broker. With ``task_status``, raises if there is none at first."""
        retry_in = _RETRY
        is_again = False
        told, told_at = "", 0.0
        while True:
            what = "no connection to"
            try:
                async with self._engine.connect() as link:
                    if task_status is not None:
                        task_status.started()
                        task_status = None
                    log("broker_connected", f"shard {self._name}: connected to {self._engine.name}", **self._labels())
                    self.counts.connects += 1
                    self._link = link
                    patience = self._engine.lease_ttl + _MAX_RETRY_OF_OWNER if is_again else 0.0
                    self.lease.connected(trio.current_time(), patience)
                    is_again, told = True, ""
                    try:
                        has_worked, detail = await self._use(link)
                    finally:
                        self._link = None
                    what = "lost the connection to"
                    if has_worked:
                        retry_in = _RETRY
            except ConnectError as error:
                if task_status is not None:
                    raise
                if not error.retryable:
                    self._has_broker = False
                    self._fail(error)
                    return
                detail = str(error)
            if self.lease.fence is not None:
                retry_in = min(retry_in, _MAX_RETRY_OF_OWNER)
            text = f"shard {self._name}: {what} {self._engine.name} ({detail})"
            if text != told or trio.current_time() >= told_at + _TELL_AGAIN:
                told, told_at = text, trio.current_time()
                next_in = f"{text}; next attempt in {retry_in:g} s"
                log("broker_lost", next_in, **self._labels(), detail=detail, retry_in=retry_in)
            await trio.sleep(retry_in)
            retry_in = min(2 * retry_in, _MAX_RETRY)

    def _labels(self) -> dict[str, str]:
        return {"shard": self._name, "broker": self._engine.name}

    async def _use(self, link: Link) -> tuple[bool, str]:
        """Use a connection until it is lost. Returns whether it has been of any use, and how it was lost.

        Raises :class:`~kraken_trio.ConnectError` if the broker cannot do what it is wanted for.
        """
        use = _Use()
        async with trio.open_nursery() as nursery:
            use.scope = nursery.cancel_scope
            nursery.start_soon(self._keep, link, use)
            nursery.start_soon(self._send, link, use)
        if use.refused is not None:
            raise use.refused
        return use.has_worked, use.detail

    async def _keep(self, link: Link, use: _Use) -> None:
        """Get and renew the lease."""
        lease = self.lease
        try:
            while True:
                if self._is_leaving and lease.ask is Ask.ACQUIRE:
                    await trio.sleep_forever()
                if trio.current_time() < lease.due:
                    await self._sleep(lease.due, self._leased)
                    continue
                await self._ask(link)
                use.has_worked = True
        except BrokerLost as error:
            use.end(str(error))
        except ConnectError as error:
            use.refused = error
            use.end(str(error))

    async def _ask(self, link: Link) -> None:
        lease, sent = self.lease, trio.current_time()
        fence = lease.fence
        if fence is None:
            found = await link.acquire(self._publisher.shard, self._holder)
            now = trio.current_time()
            is_first, self._answered = self._answered is not link, link
            if found is None:
                lease.refused(now)
                if is_first:
                    self._has_passed()
                await self._compare(link)
                return
            lease.acquired(found, sent)
            self._publisher.begin(found.producer, now)
            self.counts.takeovers += 1
            text = f"shard {self._name}: this process is the owner now, as producer {found.producer}"
            log("owner_begun", text, shard=self._name, producer=found.producer, holder=self._holder)
        else:
            try:
                await link.renew(fence)
            except Fenced as error:
                self._fenced(fence, str(error))
                return
            if lease.fence is fence and lease.standing(sent) is Standing.LAPSED:
                seconds = round(trio.current_time() - lease.until, 3)
                text = (
                    f"shard {self._name}: the lease had ended {seconds:g} s ago, but nobody else has had it: it goes on"
                )
                log("owner_resumed", text, shard=self._name, producer=fence.producer, seconds=seconds)
            lease.renewed(sent)
            self._answered = link
        self._has_lease()

    async def _compare(self, link: Link) -> None:
        """Once per connection: readers would lose what the owner publishes, if another thing followed at a takeover."""
        if self._compared is link or not self._publisher.requests:
            return
        self._compared = link
        owner = catalog_of(await link.catalogs(), self._publisher.shard)
        found = None if owner is None else difference(owner, self._publisher.shards, self._publisher.requests)
        if found is not None:
            text = f"shard {self._name}: {found}: give all processes of a shard the same options"
            log("standby_differs", text, shard=self._name, detail=found)

    def _fenced(self, fence: Fence, detail: str) -> None:
        """Another process is the owner."""
        if self.lease.fence is not fence:
            return  # the other task knows
        lost = self._unstored
        self.lease.fenced(trio.current_time())
        self._publisher.end()
        self.outbox.clear()
        self.is_full = False
        self.counts.fenced += 1
        text = f"shard {self._name}: this process is not the owner any more: {detail}"
        log("owner_lost", text, shard=self._name, producer=fence.producer, events=lost, detail=detail)
        self._has_lease()

    async def _send(self, link: Link, use: _Use) -> None:
        """Send what is to be sent."""
        publisher, outbox, lease = self._publisher, self.outbox, self.lease
        try:
            while True:
                now = trio.current_time()
                fence = lease.fence
                if fence is None or not lease.may_publish(now):  # mutant: lease that has ended
                    await self._woken.wait()
                    continue
                if outbox.room:
                    outbox.add(publisher.messages(outbox.room, now, outbox.room_bytes))
                    if self.is_full and not publisher.is_full:
                        self.is_full = False
                    self._has_passed()
                window = outbox.window()
                if window:
                    await self._publish(link, fence, window)
                    use.has_worked = True
                else:
                    await self._sleep(publisher.next_due, self._woken)
        except BrokerLost as error:
            self._acked(error.acked)
            use.end(str(error))

    async def _publish(self, link: Link, fence: Fence, window: Sequence[Message]) -> None:
        try:
            await link.publish(fence, window)
        except Fenced as error:
            self._acked(error.acked)
            self._fenced(fence, str(error))
        except TooLarge as error:
            self._acked(error.acked)
            for message in self.outbox.acked(1):
                self.counts.too_large += 1
                size = len(message.data)
                text = f"shard {self._name}: a message of {message.subject} is left out: {error}"
                subject = str(message.subject)
                log("message_too_large", text, shard=self._name, subject=subject, bytes=size, detail=str(error))
        else:
            self._acked(len(window))

    def _acked(self, count: int) -> None:
        counts = self.counts
        for message in self.outbox.acked(count):
            counts.events += message.events
            counts.messages += 1
            counts.bytes += len(message.data)
        self._has_passed()

    async def _sleep(self, until: float, woken: trio.Event) -> None:
        """Sleep until then, or until woken."""
        with trio.move_on_at(until):
            await woken.wait()

    async def drain(self, seconds: float) -> None:
        """Send what there is, for so long at most, and give the lease back."""
        began = trio.current_time()
        self._is_leaving = True
        fence = self.lease.fence
        if fence is not None and self._has_broker:
            with trio.move_on_after(seconds):
                await trio.lowlevel.checkpoint()
                while self.lease.fence is fence and not (self._publisher.is_idle and not self.outbox):
                    await self._passed.wait()
        lost, messages = self._unstored, len(self.outbox)
        if fence is None or (self._publisher.is_idle and not messages):
            took = round(trio.current_time() - began, 3)
            what = "it was not the owner, and had nothing to store" if fence is None else "everything is stored"
            log("relay_drained", f"shard {self._name}: {what}", shard=self._name, seconds=took)
        else:
            some = "1 event was" if lost == 1 else f"{lost} events were"
            more = f"{messages} message{'' if messages == 1 else 's'}"
            text = f"shard {self._name}: {some} not stored in time; {more} waited for the broker's answer"
            log("relay_not_drained", text, shard=self._name, events=lost, messages=messages)
        fence, link = self.lease.fence, self._link
        if fence is not None and link is not None:
            self.lease.fenced(trio.current_time())
            with trio.move_on_after(_RELEASE):
                await trio.lowlevel.checkpoint()
                with suppress(BrokerLost):  # then it ends by itself
                    await link.release(fence)


@attrs.define(eq=False)
class _Use:
    """What became of a connection."""

    has_worked: bool = False
    detail: str = "it was closed"
    refused: ConnectError | None = None
    """Why the broker does not let us be an owner, if it does not."""
    scope: trio.CancelScope | None = None

    def end(self, detail: str) -> None:
        self.detail = detail
        assert self.scope is not None  # it is set before any task runs
        self.scope.cancel()
