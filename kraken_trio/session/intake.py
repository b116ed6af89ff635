"""Frames in: decoded, routed to their subscriptions, and told apart from everything that is not data.

It is the way of a frame that a session and the replay of a recording share. What it does not decide (a frame that is
not data, or that cannot be decoded) goes to its :class:`Handler`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from kraken_trio.channels import CHANNELS
from kraken_trio.errors import ProtocolError
from kraken_trio.session.steps import Step
from kraken_trio.wire.messages import Data

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kraken_trio.book.core import FramePath
    from kraken_trio.session.deliveries import Deliveries
    from kraken_trio.session.routing import Routing
    from kraken_trio.session.subscription import Subscription
    from kraken_trio.statistics import Counters
    from kraken_trio.wire.codec import Codec
    from kraken_trio.wire.messages import Message

__all__ = ["Handler", "Intake"]

_LIVE: Final = Step.LIVE
_CONTROL: Final = "control"
_MALFORMED: Final = "malformed"


class Handler(Protocol):
    """What is done about a frame that is not data. ``Deliveries.frame`` is its index."""

    def handle(self, frame: str | bytes, message: Message, /) -> bool:
        """Returns whether the exchange pushed it."""
        ...

    def malformed(self, frame: str | bytes, error: ProtocolError, /) -> None:
        """It could not be decoded."""
        ...


class Intake:
    """Takes batches of frames."""

    def __init__(
        self,
        codec: Codec,
        counters: Counters,
        deliveries: Deliveries,
        by_channel: dict[str, dict[str | None, Subscription]],
        routing: Routing,
        handler: Handler,
    ) -> None:
        self._codec = codec
        self._counters = counters
        self._deliveries = deliveries
        self._by_channel: Mapping[str, Mapping[str | None, Subscription]] = by_channel
        self._routing = routing
        self._handler = handler
        self._tallies: dict[str, list[int]] = {name: [0, 0] for name in (*by_channel, _CONTROL, _MALFORMED)}
        """Of each channel, how many frames it has had, and their bytes."""
        self.paths: dict[str, FramePath] = {
            name: path
            for name, subs in by_channel.items()
            if (path := CHANNELS[name].frame_path(codec, subs, _LIVE, counters)) is not None
        }
        """The channels' shorter ways for frames."""
        self._takes = tuple(path.take for path in self.paths.values())
        self.malformed_in_row: int = 0
        """Frames that could not be decoded since the last one that could; the handler counts."""

    def count(self) -> None:
        """Add to the counters what the shorter ways have counted."""
        for name, path in self.paths.items():
            frames, size = path.count()
            tally = self._tallies[name]
            tally[0] += frames
            tally[1] += size

    @property
    def messages(self) -> dict[str, int]:
        """How many frames there were of each channel that had any, and of none: as of the last :meth:`count`."""
        return {name: count for name, (count, _) in self._tallies.items() if count}

    @property
    def message_bytes(self) -> dict[str, int]:
        """Their sizes."""
        return {name: size for name, (count, size) in self._tallies.items() if count}

    def take(self, frames: Sequence[str | bytes], received_ns: int) -> bool:
        """Take a batch, in order. Returns whether the exchange pushed any of them."""
        deliveries, takes = self._deliveries, self._takes
        deliver, epoch = deliveries.effects.deliver, deliveries.epoch
        deliveries.received_ns = received_ns
        self._counters.frames += len(frames)
        is_pushed = False
        index, count = 0, len(frames)
        while index < count:
            begin = index
            for take in takes:
                index = take(frames, index, epoch, received_ns, deliver)
            if index > begin:
                is_pushed = True
                self.malformed_in_row = 0
            if index < count:
                end = index + 1 if takes else count
                is_pushed |= self._decode(frames, index, end, received_ns)
                index = end
        return is_pushed

    def take_one(self, frame: str | bytes, index: int, received_ns: int) -> None:
        """Take the frame with this index in its batch by the general way."""
        frames: list[str | bytes] = [frame]
        self._deliveries.received_ns = received_ns
        self._counters.frames += 1
        self._decode(frames, 0, 1, received_ns, index)

    def _decode(self, frames: Sequence[str | bytes], begin: int, end: int, received_ns: int, offset: int = 0) -> bool:
        """Process the frames from ``begin`` to ``end`` by way of messages. Returns whether any of them was pushed."""
        deliveries, counters, by_channel = self._deliveries, self._counters, self._by_channel
        deliver = deliveries.effects.deliver
        decode, epoch = self._codec.decode, deliveries.epoch
        routing, tallies = self._routing, self._tallies
        is_pushed = False
        for index, frame in enumerate(frames[begin:end], begin + offset):
            try:
                message = decode(frame, epoch, received_ns)
            except ProtocolError as error:
                self._tally(_MALFORMED, frame)
                deliveries.at(index)
                self._handler.malformed(frame, error)
                continue
            self.malformed_in_row = 0
            if not isinstance(message, Data):
                self._tally(_CONTROL, frame)
                deliveries.at(index)
                is_pushed |= self._handler.handle(frame, message)  # mutant: pushed
                continue
            is_pushed = True
            tally = tallies[message.channel]
            tally[0] += 1
            tally[1] += len(frame)
            events = message.events
            if len(events) == 1:
                # The hot path, nine tenths of all frames: one event of a live subscription.
                event = events[0]
                sub = by_channel[message.channel].get(event.symbol)
                if sub is not None and sub.step is _LIVE:
                    passed, failure = sub.state.take(events)
                    if passed is events and failure is None:
                        audience = sub.audience
                        for feed in audience:
                            deliver[feed].append(event)  # type: ignore[arg-type]  # passed as it is  # mutant: delivery
                        counters.events += len(audience)
                        continue
                    deliveries.at(index)
                    deliveries.taken = 1
                    routing.pass_on(sub, sub.audience, passed, failure)
                    continue
            deliveries.at(index)
            routing.data(message)
        return is_pushed

    def _tally(self, name: str, frame: str | bytes) -> None:
        tally = self._tallies[name]
        tally[0] += 1
        tally[1] += len(frame)
