"""Each kind of fault over a real socket, with each transport: all is well afterwards, and nothing was lost silently."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

import kraken_trio as kt
from tests.chaos.story import KINDS, Killed, Proxied, Report, Story, killed_set, proxied_set

if TYPE_CHECKING:
    from kraken_trio.transport.choice import TransportName

PATIENCE = 170  # seconds: only a hang takes so long
LONG = ("throttle", "all at once")
"""They take seconds: `nox -s chaos` has them."""
TRANSPORTS: tuple[TransportName, ...] = ("trio-websocket", "websockets")


def assert_it_would_notice(story: Proxied | Killed) -> None:
    """A judge who never finds anything is of no use."""
    whole: list[kt.Event] = story.history
    rows: dict[str, list[kt.Trade]] = {}  # of trades with numbers that follow each other
    for event in whole:
        if isinstance(event, kt.Trade) and not event.snapshot:
            row = rows.setdefault(event.symbol, [])
            if row and (event.epoch, event.trade_id) != (row[-1].epoch, (row[-1].trade_id or 0) + 1):
                row.clear()
            row.append(event)
            if len(row) == 3:
                break
    else:
        pytest.fail("there are no three trades in a row")
    without_gaps: list[kt.Event] = [event for event in whole if not isinstance(event, kt.Gap)]
    for less in ([event for event in whole if event is not row[1]], without_gaps):
        story.history, story.report = less, Report()
        story.judge()
        assert story.report.broken


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_bad_network(transport: TransportName) -> None:
    wanted = [kind for kind in KINDS if kind not in LONG]
    kinds = iter(wanted)

    def following(story: Story) -> str | None:
        return next(kinds, None)

    report = Report()
    with trio.fail_after(PATIENCE):
        story = await proxied_set(report, transport, 1, following)
    assert report.broken == []
    assert set(report.faults) == set(wanted)
    assert report.reconnects >= 6
    assert report.resyncs >= 3
    assert report.compared == 3 * len(wanted)
    assert_it_would_notice(story)


@pytest.mark.parametrize(("transport", "times"), [("trio-websocket", 1), ("websockets", 2)])
async def test_an_exchange_that_is_killed_and_comes_back(transport: TransportName, times: int) -> None:
    report = Report()
    with trio.fail_after(PATIENCE):
        story = await killed_set(report, transport, 1, lambda story: story.report.faults.total() < times)
    assert report.broken == []
    assert report.faults == {"kill": times}
    assert report.reconnects >= times
    assert_it_would_notice(story)
