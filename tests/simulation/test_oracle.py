"""The oracle notices: a client that is broken on purpose does not get through."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

import kraken_trio as kt
from kraken_trio.admission.window import SlidingWindow
from kraken_trio.book import Level3Book, OrderBook
from kraken_trio.channels import executions
from kraken_trio.channels.balances import BalanceState
from kraken_trio.channels.executions import ExecutionState, OpenOrders, _Recovery
from kraken_trio.runtime.feed import FeedSender
from kraken_trio.session.reconnect import Backoff
from kraken_trio.session.recovery import Recovery
from kraken_trio.session.steps import Step
from kraken_trio.session.subscriptions import Subscriptions
from kraken_trio.session.timing import PausableClock, TokenBucket
from kraken_trio.transport.connection import WebSocketConnection
from tests.simulation.__main__ import main
from tests.simulation.plan import Kind, plan_of
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


# Clients of other kinds


def one_fill_in_twenty_is_lost(patch: Patch) -> None:
    numbers = count(1)
    _offering(patch, lambda events: [e for e in events if not _is_fill(e) or next(numbers) % 20])


def one_fill_in_twenty_comes_twice(patch: Patch) -> None:
    numbers = count(1)
    _offering(
        patch, lambda events: [e for e in events for _ in range(2 if _is_fill(e) and not next(numbers) % 20 else 1)]
    )


def _is_fill(event: kt.Event) -> bool:
    return isinstance(event, kt.Execution) and event.exec_id is not None


def fills_of_an_outage_are_not_looked_for(patch: Patch) -> None:
    compare = ExecutionState._compare

    def broken(self: ExecutionState, rows: Any) -> Any:
        self._began = False
        return compare(self, rows)

    patch.setattr(ExecutionState, "_compare", broken)


def only_the_snapshot_is_looked_at(patch: Patch) -> None:
    """And not REST, which has what the last 50 fills have not."""
    patch.setattr(executions, "_Recovery", lambda *args, **kwargs: _Recovery(*args, **{**kwargs, "is_complete": True}))


def fills_are_not_remembered(patch: Patch) -> None:
    patch.setattr(ExecutionState, "_is_old", lambda *_: False)


def how_orders_ended_meanwhile_is_guessed(patch: Patch) -> None:
    tell = ExecutionState._tell_ends

    def broken(self: ExecutionState, ends: Any, received_ns: int) -> Any:
        guessed = [msgspec.structs.replace(end, exec_type="expired", order_status="expired") for end in ends]
        return tell(self, guessed, received_ns)

    patch.setattr(ExecutionState, "_tell_ends", broken)


def open_orders_are_not_replaced(patch: Patch) -> None:
    follow = OpenOrders.follow

    def broken(self: OpenOrders, event: Any) -> None:
        if not isinstance(event, kt.OrdersSnapshot) or not self.orders:
            follow(self, event)

    patch.setattr(OpenOrders, "follow", broken)


def numbers_of_balances_are_not_compared(patch: Patch) -> None:
    take = BalanceState.take

    def broken(self: BalanceState, events: Any) -> Any:
        (message,) = events
        if not message.snapshot and message.sequence is not None:
            message = msgspec.structs.replace(message, sequence=(self._sequence or 0) + 1)
        return take(self, [message])

    patch.setattr(BalanceState, "take", broken)


def checksums_of_orders_are_not_compared(patch: Patch) -> None:
    patch.setattr(Level3Book, "_doubt", lambda *_: None)


def an_amended_order_keeps_its_place(patch: Patch) -> None:
    """The feed's book; the session's, which is verified, is right."""
    follow = Level3Book.follow

    def broken(self: Level3Book, event: Any) -> None:
        follow(self, event)
        for side in (self._bids, self._asks):
            for queue in side.queues:
                queue.orders = dict(reversed(queue.orders.items()))
            side.view = None

    patch.setattr(Level3Book, "follow", broken)
    patch.setattr(Level3Book, "follow_all", lambda self, events, _: [self.follow(event) for event in events])


MUTANTS_OF_KINDS: list[tuple[Callable[[Patch], None], Kind, int, str, int]] = [
    (one_fill_in_twenty_is_lost, "private", 2, "calm", 0),
    (one_fill_in_twenty_comes_twice, "private", 2, "calm", 0),
    (two_events_of_a_batch_are_swapped, "private", 2, "all", 0),
    (fills_of_an_outage_are_not_looked_for, "private", 2, "network", 0),
    (only_the_snapshot_is_looked_at, "private", 2, "network", 34),
    (fills_are_not_remembered, "private", 2, "network", 0),
    (how_orders_ended_meanwhile_is_guessed, "private", 2, "network", 0),
    (open_orders_are_not_replaced, "private", 3, "network", 0),
    (numbers_of_balances_are_not_compared, "private", 2, "symbol", 4),
    (one_event_in_fifty_is_lost, "level3", 2, "calm", 0),
    (checksums_of_orders_are_not_compared, "level3", 1, "symbol", 0),
    (an_amended_order_keeps_its_place, "level3", 1, "calm", 0),
    (one_event_in_fifty_is_lost, "v1", 2, "calm", 0),
    (one_event_in_fifty_comes_twice, "v1", 2, "calm", 0),
    (checksums_are_not_compared, "v1", 1, "symbol", 0),
]


@pytest.mark.parametrize(
    ("mutant", "kind", "promise", "theme", "first"),
    MUTANTS_OF_KINDS,
    ids=[f"{kind}-{mutant.__name__}" for mutant, kind, *_ in MUTANTS_OF_KINDS],
)
def test_what_is_broken_is_seen_by_clients_of_its_kind(
    monkeypatch: Patch, mutant: Callable[[Patch], None], kind: Kind, promise: int, theme: str, first: int
) -> None:
    mutant(monkeypatch)
    for seed in (*range(first, 40), *range(first)):
        outcome = run(plan_of(seed, 90.0, theme, kind))
        if outcome.broken is not None:
            assert f"promise {promise}:" in outcome.broken, outcome.broken
            return
    pytest.fail("no seed has noticed")


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
