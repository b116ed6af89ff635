"""The judge of relays: right histories are right, and whatever is missing, doubled or wrong is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import kraken_trio as kt
from kraken_trio.testing import open_exchange
from tests.chaos.accounts import Account, Market, Restart, Told
from tests.chaos.reading import REQUESTS, SYMBOLS
from tests.chaos.relayed import MARKETS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

History = list[Told]


async def played() -> tuple[Market, History]:
    """What a client has received of a market that has come to an end."""
    history: History = []
    async with (
        open_exchange(markets=MARKETS, seed=1, rate=0) as exchange,
        kt.open_client(exchange.url) as client,
        client.subscribe(*REQUESTS) as feed,
    ):
        for symbol in SYMBOLS:
            await exchange.publish(60, symbol)
        async with client.subscribe(kt.Instruments()):  # what is answered last was sent last
            pass
        while feed.statistics().buffered:
            history += await feed.receive_many()
    return Market(exchange, SYMBOLS), history


def judged(market: Market, history: Sequence[Told]) -> list[str]:
    account = Account("it", market)
    account.take(history)
    account.end()
    return account.problems


def nth(history: History, kind: type, number: int) -> int:
    """The place of an event of this kind, of the first symbol that has so many."""
    of_kind = [(place, told) for place, told in enumerate(history) if isinstance(told, kind)]
    return [place for place, told in of_kind if getattr(told, "symbol", None) == "BTC/USD"][number]


def without(kind: type, number: int) -> Callable[[History], None]:
    def change(history: History) -> None:
        del history[nth(history, kind, number)]

    return change


def twice(kind: type, number: int) -> Callable[[History], None]:
    def change(history: History) -> None:
        place = nth(history, kind, number)
        history.insert(place, history[place])

    return change


def swapped(kind: type, number: int) -> Callable[[History], None]:
    def change(history: History) -> None:
        one, other = nth(history, kind, number), nth(history, kind, number + 1)
        history[one], history[other] = history[other], history[one]

    return change


def gap_without_a_snapshot(history: History) -> None:
    history.insert(nth(history, kt.BookUpdate, 5), told_gap("book"))


def gap_of_a_lost_message(history: History) -> None:
    snapshot = nth(history, kt.BookSnapshot, 0)
    history[snapshot:snapshot] = [told_gap("book", kt.Cause.MISSED)]


def restart_without_a_snapshot(history: History) -> None:
    history.insert(nth(history, kt.BookUpdate, 5), Restart())


WRONG: dict[str, Callable[[History], None]] = {
    "an update is missing": without(kt.BookUpdate, 5),
    "the first update is missing": without(kt.BookUpdate, 0),
    "an update comes twice": twice(kt.BookUpdate, 5),
    "updates are swapped": swapped(kt.BookUpdate, 5),
    "a snapshot comes twice": twice(kt.BookSnapshot, 0),
    "the snapshot is missing": without(kt.BookSnapshot, 0),
    "a trade is missing": without(kt.Trade, 5),
    "a trade comes twice": twice(kt.Trade, 5),
    "trades are swapped": swapped(kt.Trade, 5),
    "the last trade is missing": without(kt.Trade, -1),
    "no snapshot after a gap": gap_without_a_snapshot,
    "a message was missing": gap_of_a_lost_message,
    "no snapshot after a restart": restart_without_a_snapshot,
}


@pytest.mark.parametrize("what", WRONG)
async def test_what_is_wrong_is_found(what: str) -> None:
    market, history = await played()
    assert judged(market, history) == []
    WRONG[what](history)
    assert judged(market, history)


async def test_what_was_told_is_not_wrong() -> None:
    market, history = await played()
    snapshot, trade = nth(history, kt.BookSnapshot, 0), nth(history, kt.Trade, 5)
    history[trade] = told_gap("trade")
    # A book that is lost at its very beginning, and comes again as it was; and a program that begins again there.
    history[snapshot:snapshot] = [history[snapshot], told_gap("book"), history[snapshot], Restart()]
    assert judged(market, history) == []


def told_gap(channel: str, cause: kt.Cause = kt.Cause.FAILOVER) -> kt.Gap:
    return kt.Gap(cause=cause, channel=channel, symbol="BTC/USD", epoch=1, received_ns=0)
