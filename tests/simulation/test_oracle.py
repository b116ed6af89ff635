"""The oracle notices: a client that is broken on purpose does not get through."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

import kraken_trio as kt
from kraken_trio.admission.window import SlidingWindow
from kraken_trio.book import OrderBook
from kraken_trio.runtime.feed import FeedSender
from kraken_trio.session.reconnect import Backoff
from kraken_trio.session.recovery import Recovery
from kraken_trio.session.steps import Step
from kraken_trio.session.subscriptions import Subscriptions
from kraken_trio.session.timing import PausableClock, TokenBucket
from kraken_trio.transport.connection import WebSocketConnection
from tests.simulation.__main__ import main
from tests.simulation.plan import plan_of
from tests.simulation.world import run

if TYPE_CHECKING:
    from collections.abc import Callable

Patch = pytest.MonkeyPatch


def _offering(patch: Patch, change: Callable[[list[kt.Event]], list[kt.Event]]) -> None:
    offer = FeedSender.offer
    patch.setattr(FeedSender, "offer", lambda self, events: offer(self, change(list(events))))


def one_event_in_fifty_is_lost(patch: Patch) -> None:
    numbers = count(1)
    _offering(
        patch, lambda events: [e for e in events if next(numbers) % 50 or isinstance(e, kt.Gap | kt.BookSnapshot)]
    )


def one_event_in_fifty_comes_twice(patch: Patch) -> None:
    numbers = count(1)
    _offering(patch, lambda events: [e for event in events for e in [event] * (1 if next(numbers) % 50 else 2)])


def two_events_of_a_batch_are_swapped(patch: Patch) -> None:
    _offering(patch, lambda events: [*events[:-2], *reversed(events[-2:])] if len(events) > 2 else events)


def a_loss_of_the_ticker_is_not_announced(patch: Patch) -> None:
    gap = Subscriptions.gap

    def broken(self: Subscriptions, sub: Any, cause: kt.Cause, detail: str, evidence: Any = None) -> None:
        if sub.key[0] != "ticker":
            gap(self, sub, cause, detail, evidence)

    patch.setattr(Subscriptions, "gap", broken)


def checksums_are_not_compared(patch: Patch) -> None:
    patch.setattr(OrderBook, "_doubt", lambda *_: None)


def a_book_can_be_read_after_a_gap(patch: Patch) -> None:
    follow = OrderBook.follow

    def broken(self: OrderBook, event: kt.BookSnapshot | kt.BookUpdate | kt.Gap) -> None:
        if not isinstance(event, kt.Gap):
            follow(self, event)

    patch.setattr(OrderBook, "follow", broken)


def one_wish_is_forgotten(patch: Patch) -> None:
    online = Subscriptions.online

    def broken(self: Subscriptions) -> None:
        online(self)
        if len(self.derived.to_send) > 3:
            self.derived.to_send.popitem()

    patch.setattr(Subscriptions, "online", broken)


def reconnecting_does_not_slow_down(patch: Patch) -> None:
    patch.setattr(Backoff, "next_delay", lambda *_: 0.5)
    patch.setattr(SlidingWindow, "take", lambda *_: True)
    patch.setattr(SlidingWindow, "ready_at", lambda _self, now, _limit: now)


def requests_are_not_paced(patch: Patch) -> None:
    patch.setattr(TokenBucket, "take", lambda *_: True)


def a_slow_consumer_is_taken_for_a_dead_peer(patch: Patch) -> None:
    patch.setattr(PausableClock, "hold", lambda *_: None)


def another_book_suffers_too(patch: Patch) -> None:
    fail = Recovery.fail

    def broken(self: Recovery, sub: Any, cause: kt.Cause, *rest: Any) -> None:
        fail(self, sub, cause, *rest)
        for other in list(self._subscriptions.by_key.values()):
            if other.state.must_verify and other is not sub and other.step is Step.LIVE and cause is kt.Cause.CHECKSUM:
                fail(self, other, cause, *rest)

    patch.setattr(Recovery, "fail", broken)


def a_socket_is_left_open(patch: Patch) -> None:
    from kraken_trio.transport.trio_websocket import TrioWebSocketConnection
    from kraken_trio.transport.websockets import WebsocketsConnection

    async def broken(self: Any) -> None:
        task = getattr(self, "_background", None) or self._reader
        task.cancel()

    for connection in (WebsocketsConnection, TrioWebSocketConnection):
        assert issubclass(connection, WebSocketConnection)
        patch.setattr(connection, "aclose", broken)


MUTANTS: list[tuple[Callable[[Patch], None], int, str, int]] = [
    (one_event_in_fifty_is_lost, 2, "calm", 0),
    (one_event_in_fifty_comes_twice, 2, "calm", 0),
    (two_events_of_a_batch_are_swapped, 2, "all", 0),
    (a_loss_of_the_ticker_is_not_announced, 2, "network", 0),
    (checksums_are_not_compared, 1, "symbol", 0),
    (a_book_can_be_read_after_a_gap, 1, "exchange", 0),
    (one_wish_is_forgotten, 3, "network", 0),
    (reconnecting_does_not_slow_down, 4, "network", 4),
    (requests_are_not_paced, 4, "network", 0),
    (a_slow_consumer_is_taken_for_a_dead_peer, 6, "consumers", 2),
    (another_book_suffers_too, 6, "symbol", 0),
    (a_socket_is_left_open, 5, "network", 0),
]
"""What is broken, the promise that thereby is, and where that shows: the theme, and a seed that did, to begin with."""


@pytest.mark.parametrize(
    ("mutant", "promise", "theme", "first"), MUTANTS, ids=[mutant.__name__ for mutant, *_ in MUTANTS]
)
def test_what_is_broken_is_seen(
    monkeypatch: Patch, mutant: Callable[[Patch], None], promise: int, theme: str, first: int
) -> None:
    mutant(monkeypatch)
    for seed in (*range(first, 60), *range(first)):
        outcome = run(plan_of(seed, 120.0, theme))
        if outcome.broken is not None:
            assert f"promise {promise}:" in outcome.broken
            return
    pytest.fail("no seed has noticed")


def test_a_broken_promise_is_reported_with_the_command_that_replays_it(
    monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> None:
    one_event_in_fifty_is_lost(monkeypatch)
    assert main(["--first", "1", "--seeds", "1", "--minutes", "2", "-j", "1"]) == 1
    shown = capsys.readouterr().out
    assert "seed 1 (public, symbol): BrokenPromise: promise " in shown
    assert "nox -s simulate -- --minutes 2 --seed 1" in shown
    assert "promises broken: 1, by seeds [1]" in shown
