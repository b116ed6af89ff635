"""The table of a subscription's steps: complete, obeyed, and every cell of it visited by a client."""

from __future__ import annotations

import itertools
import json
from collections import deque
from typing import TYPE_CHECKING, Any, Self

import pytest

from kraken_trio.channels import CHANNELS
from kraken_trio.requests import Book, Request, Ticker
from kraken_trio.session.steps import MOVES, Action, Happening, Move, Outcome, Step, moves
from kraken_trio.session.subscription import Subscription
from kraken_trio.statistics import Counters
from kraken_trio.wire.codec import codec_for
from tests.session.driver import ALREADY, BTC, BUSY, ETH, SOL, UNKNOWN_PAIR, Client, Market, ack, acks, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

PAIRS = list(itertools.product(Step, Happening))


def at(step: Step) -> Subscription:
    """A subscription at this step, of which nothing else is known."""
    request = Ticker(BTC)
    sub = Subscription(request, CHANNELS["ticker"](request, Counters(), codec_for("v2")))
    sub.step = step
    return sub


def test_every_pair_of_step_and_happening_is_decided() -> None:
    assert set(MOVES) == set(PAIRS)


@pytest.mark.parametrize(("step", "happening"), PAIRS, ids=lambda value: value.name)
def test_a_happening_leads_where_the_table_says(step: Step, happening: Happening) -> None:
    sub = at(step)
    match MOVES[step, happening]:
        case Outcome.NEVER:
            with pytest.raises(AssertionError, match="cannot happen"):
                sub.move(happening)
            assert sub.step is step
        case Outcome.STAYS:
            assert sub.move(happening) is None
            assert sub.step is step
        case Move() as move:
            assert sub.move(happening) == move
            assert sub.step is move.step


def test_moves_are_the_cells_with_a_next_step() -> None:
    assert {(step, happening): move for step, happening, move in moves()} == {
        pair: cell for pair, cell in MOVES.items() if isinstance(cell, Move)
    }
    assert {move.action for _, _, move in moves()} == set(Action)


def test_every_step_can_be_reached_and_only_the_last_is_an_end() -> None:
    reached, fresh = {Step.TO_SUBSCRIBE}, deque([Step.TO_SUBSCRIBE])
    while fresh:
        step = fresh.popleft()
        following = {move.step for before, _, move in moves() if before is step}
        assert following or step is Step.GONE
        fresh += following - reached
        reached |= following
    assert reached == set(Step)


def test_a_lost_connection_puts_all_that_is_wanted_back_to_the_beginning() -> None:
    assert {MOVES[step, Happening.LOST] for step in Step if step is not Step.GONE} == {
        Move(Step.TO_SUBSCRIBE, Action.RESTART)
    }


# Every cell, by a client


class Story:
    """A client of which one subscription is told: the book of BTC/USD, unless it says otherwise."""

    def __init__(self, *wishes: Request, connect: bool = True, **settings: Any) -> None:
        self.client = Client(connect=connect, **settings)
        self.market = Market()
        self.wishes = wishes or (Book(BTC),)
        self.client.add("feed", *self.wishes)

    def confirmed(self) -> Self:
        self.client.accept()
        return self

    def live(self) -> Self:
        self.confirmed()
        self.client.receive(self.market.snapshot())
        return self

    def fail(self) -> Self:
        self.client.receive(self.market.tick("7.0", spoil=1))
        return self

    def refuse(self, error: str) -> Self:
        (asked,) = self.client.requests()
        self.client.receive(refusal(error, asked, BTC))
        return self

    def expel(self) -> Self:
        self.client.receive(
            '{"method":"unsubscribe","success":true,"result":{"channel":"book","depth":10,"symbol":"BTC/USD"}}'
        )
        return self

    def want(self) -> Self:
        self.client.add("another", *self.wishes)
        return self

    def leave(self) -> Self:
        self.client.remove("feed")
        return self

    def lose(self) -> Self:
        self.client.lose()
        return self

    def wait(self, seconds: float) -> Self:
        self.client.advance(seconds, heartbeat=1)
        return self

    def park(self) -> Self:
        """With ``attempts=1``: the second failure in a row is the last."""
        self.live().fail().confirmed().confirmed()
        self.client.receive(self.market.snapshot(spoil=1))
        return self.confirmed()


def to_subscribe() -> Story:
    return Story(connect=False)


def subscribing() -> Story:
    return Story()


def to_unsubscribe() -> Story:
    """No frame may be sent just now."""
    return Story(request_burst=1, request_rate=0.001).live().fail()


def unsubscribing() -> Story:
    return Story().live().fail()


def paused() -> Story:
    return Story().refuse(BUSY)


def parked() -> Story:
    return Story(attempts=1, park_time=100).park()


def held() -> Story:
    story = Story(Book(BTC), Book(ETH), Book(SOL))
    (asked,) = story.client.requests()
    story.client.receive(refusal(UNKNOWN_PAIR, asked))
    return story


def refused() -> Story:
    story = Story().live().lose()
    story.client.reconnect()
    return story.refuse(UNKNOWN_PAIR)


def late_yes(story: Story, *, to: str = BTC) -> None:
    """The exchange says yes to the latest request, after it said no."""
    number = max(story.client.sent_at)
    result = {"channel": "book", "depth": 10, "symbol": to}
    story.client.receive(json.dumps({"method": "subscribe", "success": True, "req_id": number, "result": result}))


def tell_contradiction() -> None:
    story = Story()
    (asked,) = story.client.requests()
    story.client.receive(story.market.snapshot(), refusal(UNKNOWN_PAIR, asked, BTC))


def tell_late_yes_to_all() -> None:
    """To what is held, is asked apart, or was refused."""
    story = Story(Book(BTC), Book(ETH), Book(SOL), request_burst=1, request_rate=0.5)
    (asked,) = story.client.requests()
    story.client.receive(refusal(UNKNOWN_PAIR, asked), ack(asked, ETH), ack(asked, BTC))


def tell_that_nobody_wants_what_is_held() -> None:
    client = Client(connect=False)
    client.add("one", Book(BTC))
    client.add("other", Book(ETH))
    client.connect()
    client.receive(refusal(UNKNOWN_PAIR, client.request()))
    client.remove("other")


def tell_answer_for_one_of_many(error: str) -> None:
    story = held()
    (asked,) = story.client.requests()
    story.client.receive(refusal(error, asked))
    for asked in story.client.requests():
        story.client.receive(*acks(asked))


def tell_unheard_unsubscribe() -> None:
    story = Story().live()
    story.leave()
    story.refuse(BUSY).wait(2)


def tell_silence(request: Request) -> None:
    client = Client()
    client.add("feed", request)
    for _ in range(30):
        client.accept()
        client.advance(1, heartbeat=1)


STORIES: list[Callable[[], object]] = [
    # asking, and the answers
    lambda: subscribing().confirmed(),
    lambda: unsubscribing().confirmed(),
    lambda: late_yes(paused()),
    lambda: late_yes(refused()),
    tell_late_yes_to_all,
    tell_contradiction,
    lambda: tell_answer_for_one_of_many(UNKNOWN_PAIR),
    lambda: tell_answer_for_one_of_many("something else"),
    lambda: subscribing().refuse(ALREADY),
    tell_unheard_unsubscribe,
    # data
    lambda: Story().live(),
    lambda: tell_silence(Book(BTC)),
    lambda: tell_silence(Ticker(BTC)),
    # it ends at the exchange
    lambda: Story().confirmed().expel(),
    lambda: Story().live().expel(),
    lambda: Story().live().expel().confirmed().expel(),
    lambda: Story().live().expel().live().expel(),
    lambda: Story(attempts=1).live().expel().confirmed().expel(),
    lambda: Story(attempts=1).live().expel().live().expel(),
    lambda: Story().live().fail().confirmed().live().fail().confirmed(),
    parked,
    # what is wanted
    lambda: to_subscribe().want(),
    lambda: subscribing().want(),
    lambda: Story().confirmed().want(),
    lambda: Story().live().want(),
    lambda: to_unsubscribe().want(),
    lambda: unsubscribing().want(),
    lambda: paused().want(),
    lambda: parked().want(),
    lambda: held().want(),
    lambda: refused().want(),
    lambda: to_subscribe().leave(),
    lambda: Story(request_burst=1, request_rate=0.001).refuse(BUSY).wait(1).leave(),
    lambda: subscribing().leave(),
    lambda: subscribing().leave().confirmed(),
    lambda: Story().confirmed().leave(),
    lambda: Story().live().leave().confirmed(),
    lambda: to_unsubscribe().leave(),
    lambda: unsubscribing().leave(),
    lambda: paused().leave(),
    lambda: parked().leave(),
    lambda: held().leave(),
    tell_that_nobody_wants_what_is_held,
    lambda: refused().leave(),
    lambda: Story().live().fail().confirmed().live().fail().confirmed().leave(),
    # time, and lost connections
    lambda: paused().wait(5),
    lambda: parked().wait(200),
    to_subscribe,
    lambda: Story(request_burst=1, request_rate=0.001).refuse(BUSY).wait(1).lose(),
    lambda: subscribing().lose(),
    lambda: Story().confirmed().lose(),
    lambda: Story().live().lose(),
    lambda: to_unsubscribe().lose(),
    lambda: unsubscribing().lose(),
    lambda: paused().lose(),
    lambda: parked().lose(),
    lambda: held().lose(),
    lambda: refused().lose(),
    lambda: to_unsubscribe().leave().lose(),
    lambda: unsubscribing().leave().lose(),
]


def test_every_cell_of_the_table_is_visited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the table decides happens to some client; and to no client happens what never does."""
    visited: set[tuple[Step, Happening]] = set()
    move = Subscription.move

    def noted(sub: Subscription, happening: Happening) -> Move | None:
        visited.add((sub.step, happening))
        return move(sub, happening)

    monkeypatch.setattr(Subscription, "move", noted)
    for story in STORIES:
        story()
    decided = {pair for pair, cell in MOVES.items() if cell is not Outcome.NEVER}
    assert decided - visited == set()
