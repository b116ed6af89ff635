"""What any input may do to the code that reads it: give a result, or the error that says that it is none.

Each function takes bytes, and raises only if a promise was broken. Hypothesis calls them with inputs that are nearly
right (``test_fuzz.py``), atheris with whatever reaches a new branch (``python -m tests.fuzz``).

``session`` reads its bytes as a script, a call a line: the first letter says which, the rest is its argument. So
whatever is mutated, the shell's contract is kept, and frames may be anything.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Final

from rich.console import Console

from kraken_trio.book import OrderBook, core as compiled
from kraken_trio.cli.verification import MAX_FAILURES, Verification
from kraken_trio.cli.verify import _conclude, _report
from kraken_trio.errors import ConnectError, ProtocolError, RecordingError
from kraken_trio.events import BookSnapshot, BookUpdate, Cause, ConnectionState, Gap
from kraken_trio.recording.foreign import RecordedFrame, read_frames
from kraken_trio.requests import Book, Candles, Instruments, Lifecycle, Request, Ticker, Trades
from kraken_trio.session.steps import Step
from kraken_trio.settings import MAX_FRAME_BYTES
from kraken_trio.wire.messages import Data
from tests.core.stress import read_mutants
from tests.core.twins import play_books, play_sessions
from tests.session.driver import (
    ABSENT,
    ALREADY,
    BARE_RATE_LIMIT,
    BTC,
    BUSY,
    ETH,
    RATE_LIMIT,
    SOL,
    UNKNOWN_PAIR,
    Client,
    Market,
    acks,
    pong,
    refusal,
)
from tests.wire.test_hostile import survive

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from kraken_trio.events import Event

__all__ = ["TARGETS", "core", "play", "session", "verified", "verify", "wire", "wire_v1"]


# Frames


def wire(data: bytes, protocol: str = "v2") -> None:
    """Any bytes into the decoder; if they are a text, the same comes of it as a text."""
    message = survive(data, protocol)
    try:
        other = survive(data.decode(), protocol)
    except UnicodeDecodeError:
        return
    try:
        assert other == message
    except ProtocolError:
        assert isinstance(message, Data), "only the levels of a book are judged later: by the book"
        assert message.channel == "book"


def wire_v1(data: bytes) -> None:
    """The same for v1."""
    wire(data, "v1")


# Sessions

SYMBOLS: Final = (BTC, ETH, SOL)
WISHES: Final[tuple[Request, ...]] = (
    Book(BTC),
    Book(BTC, depth=25),
    Book(ETH),
    Book(SOL, depth=100),
    Trades(BTC),
    Trades(ETH, snapshot=True),
    Ticker(BTC),
    Ticker(ETH, trigger="bbo"),
    Candles(BTC, interval=5),
    Instruments(),
    Lifecycle(),
)
ERRORS: Final = (RATE_LIMIT, UNKNOWN_PAIR, BUSY, ALREADY, ABSENT, "\x1b[2J")
LOSSES: Final = (Cause.DISCONNECTED, Cause.SILENCE, Cause.PROTOCOL)
MAX_CALLS: Final = 200
MAX_FEEDS: Final = 12
MAX_WAIT: Final = 120.0
"""Seconds that one call of a script may let pass."""
RECOVERY_ROUNDS: Final = 40
SEPARATOR: Final = b"\x1e"
"""Between the frames of one batch."""
REQUEST_NUMBER: Final = b"%q"
"""In a frame: the number of the latest request."""


class Programs:
    """Feeds, each with books of its own: it is never told anything that does not fit."""

    def __init__(self) -> None:
        self.books: dict[Hashable, dict[str, OrderBook]] = {}

    def see(self, feed: Hashable, event: Event) -> None:
        assert feed in self.books, "an event for nobody"
        books = self.books[feed]
        if isinstance(event, BookSnapshot | BookUpdate):
            book = books[event.symbol]
            assert book.available or isinstance(event, BookSnapshot), "an update without a snapshot"
            book.apply(event)
        elif isinstance(event, Gap):
            assert event.detail.isprintable()
            assert len(event.detail) <= 1000
            if event.channel == "book" and event.symbol is not None:
                books[event.symbol].apply(event)


class Player:
    """Plays a script to a session."""

    def __init__(self) -> None:
        self.client = Client(jitter=0.5, attempts=2, attempt_delay_max=4.0, request_burst=4, malformed_limit=5)
        self.programs = Programs()
        first, second, third = SYMBOLS
        self.markets = {first: Market(first), second: Market(second), third: Market(third, depth=100)}
        self.feeds = 0
        self.is_held = False
        self.is_over = False

    @property
    def _connected(self) -> bool:
        return self.client.session.is_connected

    def play(self, letter: str, argument: bytes) -> None:
        call = CALLS.get(letter)
        if call is None or self.is_over:
            return
        call(self, argument)
        self.look()
        if self.client.effects.end is not None:
            self.is_over = True
        elif self.client.effects.drop is not None and self._connected:
            self.client.lose(self.client.effects.drop)
            self.look()

    # The calls

    def receive(self, argument: bytes) -> None:
        """Frames: texts where they are texts."""
        frames: list[str | bytes] = []
        for frame in argument.split(SEPARATOR)[:16]:
            filled = frame.replace(REQUEST_NUMBER, str(max(self.client.sent_at, default=0)).encode())
            try:
                frames.append(filled.decode())
            except UnicodeDecodeError:
                frames.append(filled)
        self._deliver(frames)

    def receive_bytes(self, argument: bytes) -> None:
        self._deliver([argument])

    def _deliver(self, frames: Iterable[str | bytes]) -> None:
        if not self.is_held:
            self.client.receive(*frames)

    def accept(self, _argument: bytes) -> None:
        """The exchange says yes to all that it was asked, pings as well."""
        asked, self.client.outbox = self.client.outbox, []
        for one in asked:
            self._deliver(acks(one) if one["method"] != "ping" else [pong(one)])

    def refuse(self, argument: bytes) -> None:
        """It says no to the first of it, in one of its forms."""
        number = _number(argument)
        if self.client.outbox:
            asked = self.client.outbox.pop(0)
            symbol = asked.get("params", {}).get("symbol", [None])[0]
            error = ERRORS[number % len(ERRORS)]
            forms = (refusal(error, asked, symbol), refusal(error, asked), refusal(error), BARE_RATE_LIMIT)
            self._deliver([forms[number // len(ERRORS) % len(forms)]])

    def ignore(self, _argument: bytes) -> None:
        self.client.outbox.clear()

    def snapshot(self, argument: bytes) -> None:
        number = _number(argument)
        self._deliver([self._market(number).snapshot(spoil=int(number >= 100))])

    def update(self, argument: bytes) -> None:
        number = _number(argument)
        frame = self._market(number).tick(f"{number % 90 + 1}.00", spoil=int(number >= 100))
        if number % 7:  # else it is lost
            self._deliver([frame])

    def _market(self, number: int) -> Market:
        return self.markets[SYMBOLS[number % len(SYMBOLS)]]

    def wait(self, argument: bytes) -> None:
        self.client.advance(min(_number(argument) / 8, MAX_WAIT))

    def wait_with_heartbeats(self, argument: bytes) -> None:
        if self._connected and not self.is_held:
            self.client.advance(min(_number(argument) / 8, MAX_WAIT), heartbeat=1.0)

    def tick(self, _argument: bytes) -> None:
        self.client.tick()

    def add(self, argument: bytes) -> None:
        if len(self.programs.books) < MAX_FEEDS:
            self.feeds += 1
            wishes = [WISHES[byte % len(WISHES)] for byte in argument[:4]] or [WISHES[0]]
            self.programs.books[self.feeds] = {
                wish.symbol: OrderBook(wish.depth) for wish in wishes if isinstance(wish, Book)
            }
            self.client.add(self.feeds, *wishes)

    def remove(self, argument: bytes) -> None:
        if self.programs.books:
            feeds = list(self.programs.books)
            feed = feeds[_number(argument) % len(feeds)]
            del self.programs.books[feed]
            self.client.remove(feed)

    def lose(self, argument: bytes) -> None:
        if self._connected:
            number = _number(argument)
            code = (None, 1000, 1001, 1006, 1008, 1013)[number // 3 % 6]
            self.client.lose(LOSSES[number % 3], argument.decode("utf-8", "replace"), code=code)

    def connect(self, argument: bytes) -> None:
        if not self._connected:
            self.client.retry()
            self.look()
            number = _number(argument)
            status = (None, 400, 403, 429, 500, 503)[number % 7 - 1]
            if number % 7:
                after = float(number) if number % 2 else None
                error = ConnectError("no", status=status, retry_after=after, retryable=status != 400)
                self.client.connect_failed(error)
            else:
                self.client.connect()

    def hold(self, _argument: bytes) -> None:
        if self._connected:
            self.is_held = True
            self.client.hold()

    def resume(self, _argument: bytes) -> None:
        self.is_held = False
        self.client.resume()

    # What must always be so

    def look(self) -> None:
        """Promises that hold after each call."""
        client, session = self.client, self.client.session
        for feed, reasons in client.answers.items():
            if reasons:
                assert all(isinstance(text, str) for text in reasons.values())
                self.programs.books.pop(feed, None)
        for feed, events in client.seen.items():
            for event in events:
                self.programs.see(feed, event)
        client.seen.clear()
        for line in (*client.notes, *client.warnings):
            assert line.isprintable(), line
            assert len(line) <= 1000
        client.notes.clear()
        client.warnings.clear()
        assert not math.isnan(session.deadline)
        assert session.deadline < math.inf or not self._connected

    def is_bounded(self) -> None:
        """What is remembered is bounded by what the programs want, and by constants: not by what has come."""
        session = self.client.session
        subscriptions, dialogue = session._subscriptions, session._dialogue
        wanted = len({wish for wish in WISHES if wish.channel})
        statistics = self.client.session.statistics()
        assert len(subscriptions.by_key) <= wanted
        assert len(subscriptions.feeds) <= MAX_FEEDS
        assert len(subscriptions.derived.to_send) <= wanted
        assert len(dialogue._pending) <= self.client.settings.answer_timeout * self.client.settings.request_rate + 4
        for timers in (subscriptions.derived._data_deadlines, subscriptions.derived._pauses):
            assert len(timers._heap) <= 64 + 4 * (len(timers._due) + 1)
        assert len(statistics.warnings) <= 64
        assert len(statistics.unknown) <= 257
        assert set(statistics.subscriptions) <= set(WISHES)

    # And in the end

    def recover(self) -> None:
        """The exchange is made new, and behaves: all is well, whatever was before."""
        client = self.client
        if self.is_over:
            return
        self.resume(b"")
        if self._connected:
            client.lose()
        assert client.session.reconnect_at < math.inf, "nothing would ever happen again"
        client.reconnect()
        for _ in range(RECOVERY_ROUNDS):
            self.accept(b"")
            for sub in list(client.session.subscriptions):
                if sub.state.must_verify and sub.step is Step.CONFIRMED:
                    assert sub.key[1] is not None
                    assert isinstance(sub.request, Book)
                    client.receive(Market(sub.key[1], depth=sub.request.depth).snapshot())
            self.look()
            if client.state() is ConnectionState.SUBSCRIBED and client.session.flushed:
                break
            client.advance(0.5, heartbeat=0.5)
        assert client.state() is ConnectionState.SUBSCRIBED, list(client.session.subscriptions)
        for feed in self.programs.books:
            assert client.answers.get(feed) == {}, "no answer"
            assert all(book.available for book in self.programs.books[feed].values())
        self._was_paced()

    def _was_paced(self) -> None:
        rate, burst = self.client.settings.request_rate, self.client.settings.request_burst
        times = sorted(self.client.sent_at.values())
        for first, start in enumerate(times):
            for last in range(first, len(times)):
                assert last - first + 1 <= burst + rate * (times[last] - start) + 1e-6


CALLS: Final[Mapping[str, Callable[[Player, bytes], None]]] = {
    "r": Player.receive,
    "b": Player.receive_bytes,
    "y": Player.accept,
    "n": Player.refuse,
    "i": Player.ignore,
    "s": Player.snapshot,
    "u": Player.update,
    "w": Player.wait,
    "W": Player.wait_with_heartbeats,
    "t": Player.tick,
    "a": Player.add,
    "x": Player.remove,
    "l": Player.lose,
    "c": Player.connect,
    "h": Player.hold,
    "o": Player.resume,
}
"""The letters of a script."""


def _number(argument: bytes) -> int:
    """Of a decimal text; anything else is its length."""
    digits = argument[:6]
    return int(digits) if digits.isdigit() else len(argument)


def play(script: bytes) -> Player:
    """Play a script, without the end."""
    player = Player()
    for count, line in enumerate(script.split(b"\n")[:MAX_CALLS]):
        player.play(chr(line[0]) if line else "", line[1:])
        if count % 16 == 0:
            player.is_bounded()
    player.is_bounded()
    return player


def session(data: bytes) -> None:
    """Any frames, and any order of calls that a shell may make."""
    play(data).recover()


# Recordings


def verify(data: bytes) -> None:
    """Any file: a report. However it is cut into chunks, it is the same one."""
    frames, verification = verified([data])
    size = len(data) % 61 + 3
    others, other = verified(data[start : start + size] for start in range(0, len(data), size))
    assert others == frames
    assert (other.failures, other.symbols, other.others) == (
        verification.failures,
        verification.symbols,
        verification.others,
    )
    out = io.StringIO()
    console = Console(file=out, width=200)
    _report("fuzz", verification, console)
    _conclude([("fuzz", verification)], console)
    assert all(line.isprintable() for line in out.getvalue().split("\n"))


def verified(chunks: Iterable[bytes]) -> tuple[list[RecordedFrame], Verification]:
    verification, frames = Verification(), []
    damage: RecordingError | None = None
    try:
        for frame in read_frames(chunks):
            frames.append(frame)
            verification.take(frame)
    except RecordingError as error:
        damage = error
    assert str(damage).isprintable()
    verification.end(damage)
    assert all(len(frame.data) <= MAX_FRAME_BYTES + 100 for frame in frames)
    assert verification.frames <= len(frames)
    assert len(verification.failures) <= MAX_FAILURES
    assert len(verification.others) <= 65
    assert verification.verified <= verification.checksums
    assert verification.ok or verification.failure_count
    return frames, verification


# The compiled core


def core(data: bytes) -> None:
    """Any story of sessions, of books, and of frames that are nearly right: as by the pure code alone.

    Where no core is built, both are pure, and nothing is proved.
    """
    kind, story = data[:1], data[1:]
    if kind < b"\x40":
        play_books(story)
    elif kind < b"\x80":
        play_sessions(story)
    elif compiled.table is not None:
        read_mutants(story)


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "wire": wire,
    "wire_v1": wire_v1,
    "session": session,
    "verify": verify,
    "core": core,
}
