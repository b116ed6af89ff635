"""Hypothesis strategies of faults, one by one and as scripts; part of :mod:`kraken_trio.testing.strategies`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from kraken_trio.testing import checks
from kraken_trio.testing.faults import exchange as f, network as n
from kraken_trio.testing.faults.script import Scheduled

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from kraken_trio.testing.faults.network import Conditions, LinkFault

__all__ = ["conditions", "fault_schedules", "faults", "link_faults"]


def _channels() -> SearchStrategy[str]:
    return st.sampled_from([name for name in checks.CHANNELS if name != "spread"])  # which v2 lacks


def faults(*symbols: str) -> SearchStrategy[f.Fault]:
    """Faults that a client must recover from by itself, once they are cleared.

    ``symbols`` are those that symbol faults may hit; with none, any symbol is hit.
    """
    for name in symbols:
        checks.symbol("symbols", name)
    symbol = st.sampled_from(symbols) if symbols else st.none()
    times = st.integers(1, 3)
    how = st.sampled_from([how for how in f.DropHow if how is not f.DropHow.CLOSE_1008])
    some: list[SearchStrategy[f.Fault]] = [
        st.builds(f.Drop, how=how, notice=st.sampled_from([None, "CloudFlare WebSocket proxy restarting"])),
        st.builds(f.Freeze),
        st.builds(f.StopPushing),
        st.builds(f.StopHeartbeats),
        st.builds(f.Raw, payload=st.text(max_size=20)),
        st.builds(f.UnknownChannel),
        st.builds(f.UnknownField, times=times),
        st.builds(
            f.SetStatus,
            system=st.sampled_from(["online", "maintenance", "cancel_only", "post_only"]),
            connection_id=st.booleans(),
        ),
        st.builds(f.SkipUpdate, symbol=symbol, channel=st.sampled_from(["book", "trade", "level3"]), times=times),
        st.builds(f.CorruptLevel, symbol=symbol, times=times),
        st.builds(f.CorruptChecksum, symbol=symbol, snapshots=st.booleans(), times=times),
        st.builds(f.OmitChecksum, symbol=symbol, snapshots=st.booleans(), times=times),
        st.builds(f.IrregularSnapshot, how=st.sampled_from(f.Irregularity), symbol=symbol, times=times),
        st.builds(f.Refuse, symbol=symbol, shape=st.sampled_from(f.Shape), names_channel=st.booleans(), times=times),
        st.builds(f.RefuseConnect, status=st.sampled_from([429, 502, 503]), times=times),
        st.builds(f.DropConnect, times=times),
        st.builds(f.DelayConnect, seconds=st.floats(0, 5), times=times),
        st.builds(f.Mute, symbol=symbol, times=times),
        st.builds(f.OmitSnapshot, symbol=symbol, channel=st.none() | _channels(), times=times),
        st.builds(f.EndSubscription, symbol=symbol, channel=st.none() | _channels()),
        st.builds(f.DelayAcks, seconds=st.floats(0, 2), times=times),
        st.builds(f.DelaySnapshots, seconds=st.floats(0, 2), times=times),
        st.builds(f.DuplicateAck, times=times),
        st.builds(f.IgnoreRequests, times=times),
        st.builds(f.LateUpdates, symbol=symbol, times=times),
        st.builds(f.UpdateBeforeSnapshot, symbol=symbol, times=times),
        *_level3_faults(symbol, times),
        *_private_faults(symbol, times),
    ]
    if symbols:
        some.append(st.builds(f.CrossedBook, symbol=st.sampled_from(symbols), consistent=st.booleans()))
    return st.one_of(some)


def _level3_faults(symbol: SearchStrategy[str | None], times: SearchStrategy[int]) -> list[SearchStrategy[f.Fault]]:
    return [
        st.builds(f.SwapUpdates, symbol=symbol, times=times),
        st.builds(f.UnknownOrder, symbol=symbol, times=times),
        st.builds(f.DeepSnapshot, symbol=symbol, levels=st.integers(1, 20), times=times),
        st.builds(f.ReorderQueue, symbol=symbol, times=times),
        st.builds(f.Exponents, symbol=symbol, times=times),
    ]


def _private_faults(symbol: SearchStrategy[str | None], times: SearchStrategy[int]) -> list[SearchStrategy[f.Fault]]:
    channel = st.sampled_from(["executions", "balances"])
    return [
        st.builds(f.SkipSequence, channel=channel, times=times),
        st.builds(f.RepeatSequence, channel=channel, times=times),
        st.builds(f.RepeatFill, times=times),
        st.builds(f.DropAfterTrade, times=times),
        st.builds(f.StrangeReport, exec_type=st.sampled_from(["canceled", "pondered"]), extra=st.booleans()),
        st.builds(f.ExpireTokens),
        st.builds(f.FillBurst, fills=st.sampled_from([0, 1, 50, 51]), symbol=symbol),
    ]


def fault_schedules(*symbols: str, seconds: float = 10.0, max_faults: int = 5) -> SearchStrategy[tuple[Scheduled, ...]]:
    """Scripts for ``open_exchange(faults=...)``: faults and their times, in order."""
    checks.seconds("seconds", seconds)
    checks.count("max_faults", max_faults)
    one = st.builds(Scheduled, at=st.floats(0, seconds), fault=faults(*symbols))
    return st.lists(one, max_size=max_faults).map(lambda script: tuple(sorted(script, key=lambda item: item.at)))


def conditions() -> SearchStrategy[Conditions]:
    """Network conditions: latency, fragmentation, throughput."""
    return st.builds(
        n.Conditions,
        latency=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(lambda pair: (min(pair), max(pair))),
        piece=st.sampled_from([(65536, 65536), (1, 500), (100, 5000)]),
        bytes_per_second=st.none() | st.floats(100, 100_000),
        buffer_bytes=st.sampled_from([500, 4096, 65536]),
    )


def link_faults(seconds: float = 10.0) -> SearchStrategy[LinkFault]:
    """Faults of a :class:`~kraken_trio.testing.Network`, with a maximum duration, or until it is healed.

    A fault that a client cannot detect (nothing reaches the exchange any more) always has a duration.
    """
    checks.number(least=0.1)("seconds", seconds)
    span = st.floats(0.1, seconds)
    times = st.integers(1, 3)
    return st.one_of(
        st.just(n.ResetLink()),
        st.builds(n.HalfOpen, direction=st.just(n.Direction.TO_CLIENT), seconds=st.none() | span),
        st.builds(n.HalfOpen, direction=st.just(n.Direction.TO_SERVER), seconds=span),
        st.builds(n.BlackHole, seconds=st.none() | span),
        st.builds(n.BlackHole, seconds=span, dials=st.just(True)),  # noqa: FBT003 (a strategy)
        st.builds(n.Outage, seconds=span),
        st.builds(n.Degrade, conditions=conditions(), seconds=span, direction=st.sampled_from(n.Direction)),
        st.builds(n.RefuseDial, times=times),
        st.builds(n.HangDial, times=st.just(1)),
        st.builds(n.DelayDial, seconds=span, times=times),
        st.builds(n.UnknownHost, times=times),
    )
