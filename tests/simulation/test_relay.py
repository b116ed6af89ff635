"""Some simulated runs of the whole chain behind a broker; and that its judges notice.

More of them: ``python -m tests.simulation.relay --seeds 200``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

import kraken_trio as kt
from tests.simulation.relay import Broken, judge_stream, judge_trades, main, run

GAP = kt.Gap(symbol="BTC/USD", channel="trade", cause=kt.Cause.MISSED)
TRADES: list[Any] = [
    kt.Trade(
        symbol="BTC/USD",
        side=kt.Side.BUY,
        price=Decimal(number),
        qty=Decimal(1),
        ord_type=kt.OrderType.MARKET,
        trade_id=number,
        timestamp=datetime(2026, 11, 29, tzinfo=UTC),
        received_ns=number,
    )
    for number in range(1, 8)
]


@pytest.mark.parametrize("seed", [4, 8, 11])
def test_no_seed_breaks_a_promise(seed: int) -> None:
    outcome = run(seed)
    assert outcome.broken is None, f"{outcome}\nagain: python -m tests.simulation.relay --seed {seed}"
    assert outcome.events > 1000
    assert outcome.takeovers >= 2


def test_the_command_says_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "0"]) == 0
    assert "0 runs" in capsys.readouterr().out


def test_what_is_whole_is_whole() -> None:
    judge_trades(TRADES, 7)
    judge_trades([*TRADES[:2], None, *TRADES[2:]], 7)
    judge_trades([*TRADES[:2], GAP, *TRADES[4:]], 7)
    judge_stream(TRADES, TRADES, is_book=False)
    judge_stream(TRADES[3:], TRADES, is_book=False)  # it begins where it likes
    judge_stream([*TRADES[:2], GAP, *TRADES[4:]], TRADES, is_book=False)
    judge_stream([*TRADES[:4], GAP, *TRADES[3:]], TRADES, is_book=False)  # after a gap, the state is told again
    start = msgspec.structs.replace(TRADES[2], snapshot=True)
    judge_stream([start, *TRADES[3:]], TRADES, is_book=False)


@pytest.mark.parametrize(
    ("got", "words"),
    [
        ([*TRADES[:2], *TRADES[3:]], "no gap says so"),
        ([*TRADES[:3], *TRADES[2:]], "after"),
        ([*TRADES[:2], TRADES[3], TRADES[2], *TRADES[4:]], "no gap says so"),
        ([*TRADES[:4], GAP, *TRADES[2:]], "after"),
        (TRADES[:5], "the last trade|at the end 2 are missing"),
        ([*TRADES[:5], GAP], "the last trade|at the end 2 are missing"),
    ],
    ids=["missing", "doubled", "swapped", "doubled after a gap", "cut off", "cut off by a gap"],
)
def test_what_is_not_is_noticed(got: list[Any], words: str) -> None:
    with pytest.raises(Broken, match=words):
        judge_trades(got, 7)
    with pytest.raises(Broken, match=words):
        judge_stream(got, TRADES, is_book=False)
