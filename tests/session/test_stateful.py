"""The session against a model of the exchange, whatever happens and in whatever order.

The promises: the exchange's idea of what we are subscribed to is ours; a feed gets what it wants, in order, nothing
twice, and nothing is missing without a gap; its books are the exchange's; requests are paced; and when the exchange
behaves, all is well again within a bounded time. And the same inputs give the same outputs.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kraken_trio.book import OrderBook
from kraken_trio.endpoint import Endpoint
from kraken_trio.errors import ConnectError
from kraken_trio.events import (
    BookSnapshot,
    BookUpdate,
    Cause,
    ConnectionState,
    Event,
    Gap,
    StateChange,
    StatusUpdate,
    TickerUpdate,
    Trade,
)
from kraken_trio.requests import Book, Lifecycle, Request, Ticker, Trades
from kraken_trio.session import Session
from kraken_trio.session.steps import Step
from kraken_trio.statistics import SubscriptionState
from kraken_trio.wire.codec import codec_for
from tests.session.driver import BTC, ETH, NONSENSE, SOL, Client, status
from tests.session.exchange import SYMBOLS, Exchange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kraken_trio.session.subscription import Subscription

WISHES: tuple[Request, ...] = (
    Book(BTC),
    Book(BTC, depth=25),
    Book(ETH),
    Book(SOL),
    Ticker(BTC),
    Ticker(ETH),
    Trades(BTC),
    Trades(BTC, snapshot=True),
    Trades(SOL),
    Lifecycle(),
)
PATIENCE = 200.0
"""Seconds within which all is well again once the exchange behaves: the longest wait to reconnect, two longest pauses
between attempts, and an answer and a snapshot."""

symbols = st.sampled_from(SYMBOLS)


class Viewer:
    """A program with a feed: it believes nothing."""

    def __init__(self, requests: tuple[Request, ...]) -> None:
        self.wants = {(request.channel, request.symbol) for request in requests}
        self.books = {r.symbol: OrderBook(r.depth) for r in requests if isinstance(r, Book)}
        self.last: dict[tuple[str, str], int] = {}
        """The latest number of each numbered channel; none after a gap, as then anything may follow."""
        self.highest: dict[tuple[str, str], int] = {}
        self.state: ConnectionState | None = None
        self.status: tuple[str, int] | None = None
        self.is_late: bool = False
        """Have answers come after their time? Then what they began may still be heard while it is begun anew."""

    def see(self, event: Event) -> None:
        match event:
            case BookSnapshot(symbol=symbol):
                assert ("book", symbol) in self.wants
                assert self.is_late or not self.books[symbol].available, "a new snapshot without a gap before it"
                self.books[symbol].apply(event)
            case BookUpdate(symbol=symbol):
                assert ("book", symbol) in self.wants
                assert self.books[symbol].available, "an update without a snapshot before it"
                self.books[symbol].apply(event)
            case Trade(symbol=symbol, trade_id=int(number)):
                self._count(("trade", symbol), number)
            case TickerUpdate(symbol=symbol, last=last, snapshot=snapshot):
                assert last is not None
                self._count(("ticker", symbol), int(last), again=snapshot)
            case Gap():
                self._gap(event)
            case StateChange(previous=previous, current=current):
                assert (None, None) in self.wants
                assert self.state in (None, previous)
                self.state = current
            case StatusUpdate(system=system, epoch=epoch):
                assert (None, None) in self.wants
                assert self.status != (system, epoch), "told twice"
                assert self.status is None or self.status[1] <= epoch
                self.status = (system, epoch)
            case _:
                raise AssertionError(event)

    def _count(self, topic: tuple[str, str], number: int, *, again: bool = False) -> None:
        assert topic in self.wants
        assert number > self.highest.get(topic, -1) - again, "twice, or out of order"
        if topic in self.last:
            assert number in (self.last[topic] + 1, self.last[topic] + (not again)), "missing without a gap"
        self.last[topic] = self.highest[topic] = number

    def _gap(self, gap: Gap) -> None:
        touched = [
            topic
            for topic in self.wants
            if gap.channel in (None, topic[0]) and gap.symbol in (None, topic[1]) and topic != (None, None)
        ]
        assert touched, "a gap in what nobody wants"
        for channel, symbol in touched:
            self.last.pop((channel or "", symbol or ""), None)
        if gap.channel == "book" and gap.symbol is not None:
            self.books[gap.symbol].apply(gap)


class AgainstTheExchange(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.exchange = Exchange()
        self.client = Client(
            jitter=0.5,
            attempts=2,
            attempt_delay_max=8.0,
            request_rate=5.0,
            request_burst=4,
            symbols_per_request=2,
            malformed_limit=4,
        )
        self.viewers: dict[int, Viewer] = {}
        self.feeds = 0
        self.is_held = False

    @initialize(wishes=st.lists(st.sampled_from(WISHES), min_size=1, max_size=6))
    def begin(self, wishes: list[Request]) -> None:
        """Most stories are about what happens to something that went well at first."""
        for wish in wishes:
            self.add([wish])
        self.flow()

    @precondition(lambda self: self.client.session.is_connected and not self.is_held)
    @rule()
    def flow(self) -> None:
        """Everything that is under way arrives."""
        while self.client.session.is_connected and (self.client.outbox or not self.exchange.quiet):
            while self.client.outbox:
                self.exchange.read(self.client.outbox.pop(0))
            while self.exchange.due:
                self.exchange.send_snapshot()
            self.deliver(len(self.exchange.outbox))

    # The program

    @rule(wishes=st.lists(st.sampled_from(WISHES), min_size=1, max_size=4))
    def add(self, wishes: list[Request]) -> None:
        self.feeds += 1
        self.viewers[self.feeds] = Viewer(tuple(wishes))
        self.client.add(self.feeds, *wishes)

    @precondition(lambda self: self.viewers)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        feed = data.draw(st.sampled_from(sorted(self.viewers)))
        del self.viewers[feed]
        self.client.remove(feed)

    @precondition(lambda self: self.client.session.is_connected)
    @rule()
    def hold(self) -> None:
        self.is_held = True
        self.client.hold()

    @rule()
    def resume(self) -> None:
        self.is_held = False
        self.client.resume()

    # The exchange

    @precondition(lambda self: self.client.outbox)
    @rule(mute=st.sampled_from([False, False, False, True]))
    def answer(self, mute: bool) -> None:
        self.exchange.read(self.client.outbox.pop(0), mute=mute)

    @precondition(lambda self: self.client.outbox and not self.is_held)
    @rule(how=st.sampled_from(["bare", "whole", "each", "busy"]))
    def refuse(self, how: str) -> None:
        """Promptly: what a client has given up to leave cannot be refused to it any more."""
        asked = self.client.outbox[0]
        age = self.client.now - self.client.sent_at.get(asked["req_id"], -inf)
        if asked["method"] == "ping" or age > self.client.settings.answer_timeout - 2:
            return
        self.exchange.refuse(self.client.outbox.pop(0), how)
        self.deliver(len(self.exchange.outbox))

    @precondition(lambda self: self.exchange.due)
    @rule()
    def snapshot(self) -> None:
        self.exchange.send_snapshot()

    @rule(symbol=symbols, lost=st.sampled_from([False, False, True]))
    def trade(self, symbol: str, lost: bool) -> None:
        self.exchange.trade(symbol, lost=lost)

    @rule(symbol=symbols)
    def tick(self, symbol: str) -> None:
        self.exchange.trade(symbol)

    @rule(symbol=symbols, moves=st.lists(st.tuples(st.integers(97, 102), st.integers(0, 9)), max_size=5))
    def move(self, symbol: str, moves: list[tuple[int, int]]) -> None:
        for price, qty in moves:
            self.exchange.move(symbol, price, qty)

    @rule(symbol=symbols, price=st.integers(97, 102), qty=st.integers(0, 9), spoilt=st.booleans())
    def damage(self, symbol: str, price: int, qty: int, spoilt: bool) -> None:
        """An update is lost, or its checksum is. The next one is good."""
        self.exchange.move(symbol, price, qty, lost=not spoilt, spoilt=spoilt)
        self.exchange.move(symbol, price, 10 + qty)

    @rule()
    def list_or_delist(self) -> None:
        self.exchange.delisted ^= {SOL}

    @rule(system=st.sampled_from(["online", "online", "maintenance", "cancel_only"]))
    def say_status(self, system: str) -> None:
        self.exchange.outbox.append(status(system))

    @rule()
    def nonsense(self) -> None:
        self.exchange.outbox.append(NONSENSE)

    # The connection, and time

    @precondition(lambda self: self.exchange.outbox and self.client.session.is_connected and not self.is_held)
    @rule(count=st.integers(1, 8))
    def deliver(self, count: int) -> None:
        batch = [self.exchange.outbox.popleft() for _ in range(min(count, len(self.exchange.outbox)))]
        self.client.receive(*batch)
        self._drop()

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 1.5, 3.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.client.advance(seconds, heartbeat=1.0 if self.client.session.is_connected and not self.is_held else None)
        self._drop()

    @precondition(lambda self: self.client.session.is_connected)
    @rule(seconds=st.sampled_from([0.0, 1.0, 6.0, 12.0]))
    def silence(self, seconds: float) -> None:
        """Nothing is heard for so long, or the connection is lost at once."""
        if seconds:
            self.client.advance(seconds)
            self._drop()
        else:
            self._lose(Cause.DISCONNECTED)

    def _drop(self) -> None:
        if self.client.drops:
            cause = self.client.drops.pop()
            assert cause is Cause.PROTOCOL or not self.is_held, "judged while it could not be heard"
            self._lose(cause)

    def _lose(self, cause: Cause) -> None:
        self.client.lose(cause)
        self.exchange.connect()

    @precondition(lambda self: not self.client.session.is_connected)
    @rule(fails=st.integers(0, 3))
    def reconnect(self, fails: int) -> None:
        for _ in range(fails):
            self.client.retry()
            self.client.connect_failed(ConnectError("no route"))
        self.client.reconnect()

    # What always holds

    @invariant()
    def the_promises_hold(self) -> None:
        self.feeds_get_what_they_want_and_nothing_else()
        self.the_exchange_thinks_of_us_as_we_do()
        self.a_settled_book_is_the_exchanges()
        self.whatever_waits_has_a_deadline()
        self.what_nobody_wants_is_being_left()

    def feeds_get_what_they_want_and_nothing_else(self) -> None:
        client = self.client
        for feed, reasons in client.answers.items():
            if reasons and feed in self.viewers:
                del self.viewers[feed]
        for feed, events in client.seen.items():
            assert client.answers.get(feed) == {}, "events before the answer"
            assert feed in self.viewers, "events after the end"
            self.viewers[feed].is_late = client.count("unmatched_answers") > 0
            for event in events:
                self.viewers[feed].see(event)
        client.seen.clear()

    def _calm(self) -> bool:
        """Connected, settled, and nothing is under way in either direction."""
        session = self.client.session
        return (
            session.state is ConnectionState.SUBSCRIBED
            and session.flushed
            and not self.client.outbox
            and self.exchange.quiet
        )

    def _live_books(self) -> Iterator[tuple[Viewer, str]]:
        """Each book of each feed that has been answered."""
        for feed, viewer in self.viewers.items():
            if self.client.answers.get(feed) == {}:
                for symbol in viewer.books:
                    yield viewer, symbol

    def the_exchange_thinks_of_us_as_we_do(self) -> None:
        if not self._calm():
            return
        theirs = {topic: params.get("depth") for topic, params in self.exchange.subscriptions.items()}
        ours = {(sub.request.channel, sub.request.symbol): sub for sub in self.client.session.subscriptions}
        assert theirs == {topic: getattr(sub.request, "depth", None) for topic, sub in ours.items()}
        assert set(ours) == {
            topic for viewer in self.viewers.values() for topic in viewer.wants if topic != (None, None)
        }

    def a_settled_book_is_the_exchanges(self) -> None:
        if not self._calm():
            return
        for viewer, symbol in self._live_books():
            if symbol not in self.exchange.unnoticed:
                book = viewer.books[symbol]
                sides = [[(str(level.price), str(level.qty)) for level in side] for side in (book.bids, book.asks)]
                assert (book.checksum(), sides) == self.exchange.book(symbol, book.depth)

    def whatever_waits_has_a_deadline(self) -> None:
        if not self.client.session.is_connected:
            return
        waits = [sub for sub in self.client.session.subscriptions if not sub.settled and sub.step is not Step.REFUSED]
        assert not waits or self.client.session.deadline < inf

    def what_nobody_wants_is_being_left(self) -> None:
        for sub in self.client.session.subscriptions:
            assert sub.wanted_by or (
                sub.step in (Step.TO_UNSUBSCRIBE, Step.UNSUBSCRIBING) and not self.client.session.flushed
            )

    # What must come true in the end

    def teardown(self) -> None:
        self._recover()
        for symbol in SYMBOLS:  # now missed updates are noticed
            self.exchange.move(symbol, 98, 3)
            self.exchange.move(symbol, 98, 4)
        self._recover()
        self.requests_were_paced()
        self.the_same_again_gives_the_same()

    def _recover(self) -> None:
        """The exchange behaves, and time passes."""
        client = self.client
        if self.is_held:
            self.resume()
        end = client.now + PATIENCE
        while True:
            if not client.session.is_connected:
                client.reconnect()
            self.flow()
            self.the_promises_hold()
            unsettled = [sub for sub in client.session.subscriptions if not sub.settled]
            if client.session.is_connected and client.session.flushed and all(map(self._is_given_up, unsettled)):
                break
            assert client.now < end, f"not well again: {unsettled}"
            self.wait(1.0)
        wanted = ConnectionState.RESYNCING if unsettled else ConnectionState.SUBSCRIBED
        assert client.state() is wanted
        for feed in self.viewers:
            assert client.answers.get(feed) == {}, "no answer"

    @staticmethod
    def _is_given_up(sub: Subscription) -> bool:
        return sub.status in (SubscriptionState.REFUSED, SubscriptionState.PARKED)

    def requests_were_paced(self) -> None:
        rate, burst = self.client.settings.request_rate, self.client.settings.request_burst
        times = sorted(self.client.sent_at.values())
        for first, start in enumerate(times):
            for last in range(first, len(times)):
                assert last - first + 1 <= burst + rate * (times[last] - start) + 1e-6

    def the_same_again_gives_the_same(self) -> None:
        again = Session(
            self.client.settings, lambda: self.client.jitter, codec_for("v2"), Endpoint("ws://exchange.test")
        )
        for name, args, kwargs, effects in self.client.calls:
            assert getattr(again, name)(*args, **kwargs) == effects
        assert again.statistics() == self.client.session.statistics()
        assert again.deadline == self.client.session.deadline


TestAgainstTheExchange = AgainstTheExchange.TestCase
TestAgainstTheExchange.settings = settings(stateful_step_count=60)
