"""Recordings by other programs, told to a session, and packed as the log that it would have led to.

The session gets the frames as if it had received them at their times, and wants what they show: a subscription begins
where the exchange confirmed it, or with its first data, and ends where the exchange confirmed that. What the session
asks for is answered at once: a book whose checksum is wrong is taken up again with its next snapshot. It has all the
patience of the world, because nobody knows what the program that recorded was doing meanwhile: silence means nothing.

The frames are packed as they are. Answers of the exchange to the other program's requests are recorded, but the session
does not see them: it made other requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from kraken_trio.endpoint import PUBLIC_V2, Endpoint
from kraken_trio.errors import ProtocolError, RecordingError
from kraken_trio.events import BookSnapshot, Candle, Cause, Level3Snapshot
from kraken_trio.recording.records import Started, Stopped
from kraken_trio.requests import (
    DEPTHS,
    INTERVALS,
    LEVEL3_DEPTHS,
    Balances,
    Book,
    Candles,
    Executions,
    Instruments,
    Level3,
    Spread,
    Ticker,
    Trades,
    canonical_symbol,
)
from kraken_trio.session import Session
from kraken_trio.session.inputs import Added, Closed, Connected, Lost, Opened, Removed, Retried
from kraken_trio.session.steps import Step
from kraken_trio.session.timing import TokenBucket
from kraken_trio.settings import Settings
from kraken_trio.wire.codec import codec_for
from kraken_trio.wire.messages import Ack, Data, Foreign, Method, Notice, Refusal, Status, Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kraken_trio.recording.foreign import RecordedFrame
    from kraken_trio.recording.packer import Packer
    from kraken_trio.requests import Request
    from kraken_trio.session.deliveries import Effects
    from kraken_trio.session.inputs import Input
    from kraken_trio.session.subscription import Key
    from kraken_trio.wire.messages import DataEvent, Message

__all__ = ["SETTINGS", "Importer", "Survey"]

MAX_KEYS: Final = 10_000
"""Subscriptions of one file: Kraken has about 1500 symbols, and five channels."""
_SENSELESS_LIMIT: Final = 1000
"""If none of so many lines at the beginning is a frame, the file is not read further."""

_FOREVER: Final = 1e9
_NEVER_TOO_MANY: Final = 10**9
SETTINGS: Final = Settings(
    ping_after=_FOREVER / 2,
    silence_limit=_FOREVER,
    keepalive_interval=_FOREVER,
    keepalive_timeout=_FOREVER,
    request_rate=_NEVER_TOO_MANY,
    request_burst=_NEVER_TOO_MANY,
    requests_in_flight=_NEVER_TOO_MANY,
    answer_timeout=_FOREVER,
    snapshot_timeout=_FOREVER,
    stale_after=_FOREVER,
    attempts=_NEVER_TOO_MANY,
    attempt_delay=1e-6,
    attempt_delay_max=1e-6,
    malformed_limit=_NEVER_TOO_MANY,
    max_subscriptions=_NEVER_TOO_MANY,
    max_feeds=_NEVER_TOO_MANY,
)
"""Of the session: it never loses patience, and never gives up."""

_PROTOCOLS: Final = ("v2", "v1")
_FUTURES: Final = "it is a recording of Kraken Futures, which cannot be imported; spot is wss://ws.kraken.com/v2"


_WITHOUT_SYMBOLS: Final[Mapping[str | None, Request[Any]]] = {
    request.channel: request for request in (Instruments(), Executions(), Balances())
}


def _request(channel: str, symbol: str | None, variant: object = None) -> Request[Any] | None:
    """The request for this channel and symbol; None if there is none, or the variant must be known and is not."""
    try:
        if channel in _WITHOUT_SYMBOLS:
            return _WITHOUT_SYMBOLS[channel]
        if symbol is None or canonical_symbol(symbol) != symbol:
            return None
    except ValueError:
        return None
    if channel == Book.channel:
        depth = next((offered for offered in DEPTHS if offered == variant), None)
        return None if depth is None else Book(symbol, depth)
    if channel == Level3.channel:
        prices = next((offered for offered in LEVEL3_DEPTHS if offered == variant), None)
        return None if prices is None else Level3(symbol, prices)
    if channel == Candles.channel:
        interval = next((offered for offered in INTERVALS if offered == variant), None)
        return None if interval is None else Candles(symbol, interval)
    if channel == Trades.channel:
        return Trades(symbol, snapshot=True)
    if channel == Spread.channel:
        return Spread(symbol)
    return Ticker(symbol) if channel == Ticker.channel else None


def _of_answer(ack: Ack) -> Request[Any] | None:
    return _request(ack.channel, ack.symbol, ack.interval if ack.depth is None else ack.depth)


def _of_data(event: DataEvent) -> Request[Any] | None:
    """What the data look like: a book has the smallest depth in which its snapshot fits."""
    variant: int | None = None
    if isinstance(event, BookSnapshot):
        levels = max(len(event.bids), len(event.asks))
        variant = next((depth for depth in DEPTHS if depth >= levels), None)
    elif isinstance(event, Level3Snapshot):
        prices = max(len({order.price_text for order in side}) for side in (event.bids, event.asks))
        variant = next((depth for depth in LEVEL3_DEPTHS if depth >= prices), None)
    elif isinstance(event, Candle):
        variant = event.interval
    return _request(event.channel, event.symbol, variant)


class Survey:
    """What is in a file, found out before any of it is imported."""

    def __init__(self, start_ns: int | None = None) -> None:
        self.frames: int = 0
        self.first_ns: int = 0
        self.end_ns: int = 0
        """The latest time."""
        self.problem: str = ""
        """Why the rest of it cannot be read."""
        self.begins: dict[Key, Request[Any]] = {}
        """With which request each subscription begins."""
        self._guessed: set[Key] = set()
        self.protocol: str = _PROTOCOLS[0]
        """That of the first frame."""
        self._codec = codec_for(self.protocol)
        self._alike = 0
        self._time = Times(start_ns)

    def take(self, frame: RecordedFrame) -> None:
        """Look at the next frame. Raises :class:`RecordingError` if the file cannot be imported."""
        time_ns = self._time.of(frame)
        self.frames += 1
        if self.frames == 1:
            self.first_ns = self.end_ns = time_ns
        self.end_ns = max(self.end_ns, time_ns)
        self.first_ns = min(self.first_ns, time_ns)
        try:
            message = self._decode(frame.data)
        except ProtocolError:
            self._unlike()
            return
        if isinstance(message, Notice | Foreign) or (isinstance(message, Unknown) and message.channel is None):
            self._unlike()
            return
        self._alike += 1
        if isinstance(message, Data):
            for event in message.events:
                self._guess(event)
        elif isinstance(message, Ack) and message.method is Method.SUBSCRIBE:
            self._answered(message)

    def _decode(self, data: bytes) -> Message:
        message = self._codec.decode(data)
        if isinstance(message, Foreign) and not self._alike:
            if message.protocol not in _PROTOCOLS:
                raise RecordingError(_FUTURES)
            self.protocol = message.protocol
            self._codec = codec_for(self.protocol)
            message = self._codec.decode(data)
        return message

    def _unlike(self) -> None:
        if self.frames >= _SENSELESS_LIMIT and not self._alike:
            raise self._senseless()

    def _senseless(self) -> RecordingError:
        return RecordingError(f"it is no recording of Kraken's protocols: no frame in its first {self.frames} lines")

    def _guess(self, event: DataEvent) -> None:
        key = (event.channel, event.symbol)
        if key not in self.begins:
            request = _of_data(event)
            if request is not None:
                self._begin(key, request)
                self._guessed.add(key)

    def _answered(self, ack: Ack) -> None:
        request = _of_answer(ack)
        key = (ack.channel, ack.symbol)
        if request is not None and (key in self._guessed or key not in self.begins):
            self._guessed.discard(key)
            self._begin(key, request)

    def _begin(self, key: Key, request: Request[Any]) -> None:
        if key not in self.begins and len(self.begins) >= MAX_KEYS:
            msg = f"there are more than {MAX_KEYS} subscriptions in it"
            raise RecordingError(msg)
        self.begins[key] = request

    def end(self, problem: str = "") -> None:
        """The file has ended, or cannot be read further. Raises :class:`RecordingError` if there is nothing in it."""
        self.problem = problem
        if not self.frames:
            raise RecordingError(problem or "there is no frame in it")
        if not self._alike:
            raise self._senseless()


class Times:
    """The time of each frame: one without has that of the frame before, the first one ``start_ns``."""

    def __init__(self, start_ns: int | None = None) -> None:
        self._last_ns = start_ns

    def of(self, frame: RecordedFrame) -> int:
        """Raises :class:`RecordingError` if there is none."""
        if frame.received_ns is not None:
            self._last_ns = frame.received_ns
        if self._last_ns is None:
            msg = f"{frame.where} has no time of receipt: say when the recording was begun, with start (--start)"
            raise RecordingError(msg)
        return self._last_ns


@attrs.define
class _Source:
    """One file, while it is imported."""

    begins: Mapping[Key, Request[Any]]
    connection_id: int | None = None
    wanted: dict[Key, Request[Any]] = attrs.Factory(dict)


class Importer:
    """Tells a session the frames of files that were recorded at the same time, and packs what follows.

    ``begins`` has what :attr:`Survey.begins` says of each.
    """

    def __init__(self, packer: Packer, *begins: Mapping[Key, Request[Any]], protocol: str = "v2") -> None:
        self.session: Session = Session(
            SETTINGS,
            lambda: 0.0,
            codec_for(protocol),
            Endpoint(PUBLIC_V2.url, protocol),
            snapshots=TokenBucket(_NEVER_TOO_MANY, _NEVER_TOO_MANY),
        )
        self.confirmed: dict[Request[Any], None] = {}
        """All requests that were ever confirmed."""
        self.ignored: int = 0
        """Data of symbols that no client can want: they are recorded, but not played."""
        self.now: float = 0.0
        """The time since the first frame, which never goes back."""
        self._packer = packer
        self._codec = codec_for(protocol)
        self._sources = [_Source(begin) for begin in begins]
        self._first_ns: int | None = None
        self._wall_ns = 0

    # From the first to the last

    def begin(self, wall_ns: int) -> None:
        """The recording begins, with a connection."""
        self._at(wall_ns)
        self._packer.note(Started(), wall_ns, self.now)
        self._tell(Opened())
        self._tell(Connected())

    def take(self, source: int, frame: bytes, wall_ns: int) -> None:
        """The next frame, of the file with this index."""
        self._at(wall_ns)
        try:
            message: Message | None = self._codec.decode(frame)
        except ProtocolError:
            message = None
        told: tuple[bytes, ...] = (frame,)
        if isinstance(message, Data):
            self._want(self._sources[source], message.events)
        elif isinstance(message, Status):
            self._follow(self._sources[source], message)
        elif isinstance(message, Ack | Refusal):
            # If it is none to a request of the session, it learns no more than that something came.
            told = self._answered(self._sources[source], message) if isinstance(message, Ack) else ()
        self._packer.received((frame,), wall_ns, self.now, self._received(told))

    def end(self) -> None:
        """All frames have been taken."""
        self._tell(Closed())
        self._packer.note(Stopped(), self._wall_ns, self.now)

    def _at(self, wall_ns: int) -> None:
        if self._first_ns is None:
            self._first_ns = wall_ns
        self._wall_ns = wall_ns
        self.now = max(self.now, (wall_ns - self._first_ns) / 1e9)

    # What is wanted

    def _want(self, source: _Source, events: tuple[Any, ...]) -> None:
        """These data have come: whatever is not wanted yet is from now on."""
        for event in events:
            key = (event.channel, event.symbol)
            if key not in source.wanted:
                request = source.begins.get(key)
                if request is None:
                    self.ignored += 1
                else:
                    self._add(source, request)

    def _answered(self, source: _Source, ack: Ack) -> tuple[bytes, ...]:
        """The exchange has confirmed a request of the other program. Returns what answers the session's own."""
        key = (ack.channel, ack.symbol)
        known = source.wanted.get(key)
        if ack.method is Method.UNSUBSCRIBE:
            if known is not None:
                self._remove(source, known)
            return ()
        request = _of_answer(ack) or source.begins.get(key)
        if request is None:
            return ()
        if known is not None and known.variant != request.variant:
            self._remove(source, known)
        if key not in source.wanted:
            self._add(source, request)
        sub = self.session.subscription(key)
        if sub is None or sub.step is not Step.SUBSCRIBING:
            return ()
        return tuple(frame.encode() for frame in self._codec.confirmation(Method.SUBSCRIBE, sub.request, sub.req_id))

    def _add(self, source: _Source, request: Request[Any]) -> None:
        key = (request.channel or "", request.symbol)
        source.wanted[key] = request
        self._tell(Added(key, (request,)))

    def _remove(self, source: _Source, request: Request[Any]) -> None:
        key = (request.channel or "", request.symbol)
        del source.wanted[key]
        self._tell(Removed(key))

    def _follow(self, source: _Source, status: Status) -> None:
        """Another connection, if it has another number."""
        before, now = source.connection_id, status.connection_id
        if now is None:
            return
        source.connection_id = now
        if before in (None, now):
            return
        if len(self._sources) == 1:
            self._tell(Lost(Cause.DISCONNECTED, "the program that recorded connected anew", None))
            self._tell(Retried())
            self._tell(Connected())
        else:  # the other files' connections go on
            for request in list(source.wanted.values()):
                self._remove(source, request)

    # The session

    def _tell(self, happening: Input) -> None:
        effects = self._settled(happening.tell(self.session, self.now))
        self._packer.told(happening, self.session.epoch, self._wall_ns, self.now, effects)

    def _received(self, frames: tuple[bytes, ...]) -> Effects:
        effects = self.session.receive(frames, self._wall_ns, self.now)
        if len(frames) > 1:  # they stand for one frame of the file
            effects.records = [_at(record, 0) for record in effects.records]
        return self._settled(effects) if effects.records else effects

    def _settled(self, effects: Effects) -> Effects:
        """With what follows from the answers to what the session has sent. Nothing has really been sent."""
        effects.send = []
        for record in effects.records:
            if (request := getattr(record, "request", None)) is not None:
                sub = self.session.subscription((request.channel, request.symbol))
                if sub is not None and sub.is_confirmed:
                    self.confirmed[sub.request] = None
        while (more := self._answer()) is not None:
            effects.records += [_at(record, None) for record in more.records]
            effects.places += more.places
        return effects

    def _answer(self) -> Effects | None:
        """What follows from the next answer; None if the session waits for nothing but data."""
        session = self.session
        for sub in session.subscriptions:
            if sub.step is Step.UNSUBSCRIBING:
                assert sub.on_wire is not None  # it is being unsubscribed
                answers = self._codec.confirmation(Method.UNSUBSCRIBE, sub.on_wire, sub.req_id)
                return session.receive(answers, self._wall_ns, self.now)
            if sub.step is Step.PAUSED:
                self.now = max(self.now, session.deadline)
                return session.tick(self.now)
        return None


def _at(record: Any, frame: int | None) -> Any:
    """The record of what this frame of the file led to; None for none."""
    return attrs.evolve(record, frame=frame) if hasattr(record, "frame") else record
