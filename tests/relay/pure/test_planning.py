"""Plans: more of anything needs no less of what it costs, and their sums are those of their parts."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, strategies as st

from kraken_trio.broker.messages import Form
from kraken_trio.relay.planning import PEAK, RATES, UTILISATION, Load, Needs, plan
from kraken_trio.relay.sources import SYMBOLS_PER_CONNECTION, parse_channels

names = st.sampled_from(["book", "book:1000", "trades", "ticker", "candles", "level3", "level3:1000", "instruments"])
channels = st.sets(names, min_size=1).map(
    lambda some: parse_channels({text.partition(":")[0]: text for text in some}.values())
)
loads = st.builds(
    Load,
    symbols=st.integers(1, 3000),
    channels=channels,
    peak=st.floats(1, 20),
    shards=st.one_of(st.none(), st.integers(1, 16)),
    standbys=st.integers(0, 2),
    form=st.sampled_from(Form),
    keyframe_every=st.floats(1, 600),
    broker=st.sampled_from(["nats", "kafka"]),
    replicas=st.sampled_from([1, 3]),
)


@given(loads)
def test_shards_and_connections_suffice(load: Load) -> None:
    needs = plan(load)
    assert needs.shards * needs.shard_symbols >= load.symbols
    kinds = len({one.is_level3 for one in load.channels if one.has_symbols} or {False})
    assert needs.shard_connections * SYMBOLS_PER_CONNECTION >= needs.shard_symbols * kinds
    assert needs.connections == needs.shards * (1 + load.standbys) * needs.shard_connections
    if load.shards is None:
        assert needs.shard_load <= UTILISATION
    else:
        assert needs.shards == load.shards
        assert (needs.shard_load > UTILISATION) == any("of a core at peak" in hint for hint in needs.hints)


@given(loads)
def test_sums(load: Load) -> None:
    needs = plan(load)
    assert needs.peak_events == pytest.approx(needs.events * load.peak)
    assert needs.disk_per_day == pytest.approx(needs.published * 86_400 * load.replicas)
    assert needs.memory == pytest.approx(needs.shard_memory * needs.shards * (1 + load.standbys))
    assert all(hint.isprintable() for hint in needs.hints)


MORE = ("symbols", "standbys", "replicas")
NO_LESS = ("events", "connections", "memory", "received", "data", "key_frames", "disk_per_day", "verified_after")


@given(loads, st.sampled_from(MORE))
def test_more_needs_no_less(load: Load, name: str) -> None:
    load = attrs.evolve(load, shards=load.shards or 1)
    before, after = plan(load), plan(attrs.evolve(load, **{name: getattr(load, name) * 2 + 1}))
    for need in NO_LESS:
        assert getattr(after, need) >= getattr(before, need), need


@given(loads)
def test_message_pack_is_smaller_and_rare_key_frames_cost_less(load: Load) -> None:
    load = attrs.evolve(load, form=Form.JSON)
    needs = plan(load)
    assert plan(attrs.evolve(load, form=Form.MSGPACK)).published < needs.published
    assert plan(attrs.evolve(load, keyframe_every=load.keyframe_every * 2)).key_frames == pytest.approx(
        needs.key_frames / 2
    )


def example(**more: object) -> Needs:
    return plan(Load(**{"symbols": 1500, "channels": parse_channels(["book:1000,trades"]), **more}))  # type: ignore[arg-type]  # (by name, each of its own type)


def test_all_of_kraken() -> None:
    needs = example()
    assert needs.events == 1500 * (RATES["book"] + RATES["trades"])
    assert needs.peak_events == needs.events * PEAK
    assert any("key frames are" in hint and "--keyframe-every 20" in hint for hint in needs.hints)
    assert example(rates={"book": 1.0, "trades": 0.0}).events == 1500


def test_what_starts_too_many_connections() -> None:
    assert any("spread the shards over addresses" in hint for hint in example(shards=40, standbys=1).hints)
    assert example(shards=200, standbys=1).verified_after > 600


def test_level_3_is_limited_by_its_key() -> None:
    needs = example(channels=parse_channels(["level3:1000"]))
    assert needs.verified_after > 1500
    assert any("API key" in hint for hint in needs.hints)
    assert not any("API key" in hint for hint in example(symbols=10, channels=parse_channels(["level3:10"])).hints)
