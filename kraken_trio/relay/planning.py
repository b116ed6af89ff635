"""What a relay needs: shards, connections, memory, and the broker's bandwidth and disk. Pure arithmetic.

The constants were measured with ``python -m benchmarks.relay_plan`` (a seeded market of 1,500 levels a side) on one
core of a slow server, unless their docstrings say something else. Real markets differ: it is a plan, not a promise.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

import attrs

from kraken_trio.broker.messages import Form
from kraken_trio.relay.sources import SYMBOLS_PER_CONNECTION
from kraken_trio.session.timing import SNAPSHOT_POINTS
from kraken_trio.settings import CONNECT_WINDOW, MAX_CONNECT_BUDGET, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kraken_trio.relay.sources import Channel

__all__ = ["ALL_SYMBOLS", "RATES", "Load", "Needs", "plan"]

ALL_SYMBOLS: Final = 1500
"""What ``all`` stands for in a plan: Kraken listed about 1,450 symbols in September 2026."""
RATES: Final[Mapping[str, float]] = {
    "book": 12.0,
    "trades": 0.5,
    "ticker": 0.5,
    "candles": 0.5,
    "level3": 25.0,
    "instruments": 0.1,
}
"""Events a second and symbol, on average over many symbols. Books: 188 symbols of depth 1000 had 2,188 messages a
second, as others measured (docs/reference/protocol.md). The others are guesses: measure your own."""
PEAK: Final = 5.0
"""How many times as many come when markets move: a guess, too. Shards are planned for this."""

# -- of one process ---------------------------------------------------------------------------------------------------

EVENTS_PER_SHARD: Final = 25_000.0
"""Events a second that one shard publishes at full load of a slow core. The more there are, the less time each takes,
since messages grow with the load: 92 us at 2,600 events a second (2.4 a message), 20 us where they come faster than
they are sent (11 a message); ``python -m benchmarks.relay_plan --shard 3000``."""
UTILISATION: Final = 0.6
"""How much of that a shard is planned for at peak: the rest is for key frames, and for catching up."""
PROCESS_BYTES: Final = 55e6
"""Of a shard without symbols."""
OUTBOX_BYTES: Final = 64e6
"""Of a full outbox."""

# -- of a symbol ------------------------------------------------------------------------------------------------------


@attrs.frozen
class _Cost:
    """Of one channel and symbol; ``depth`` of books adds to what is constant."""

    event: Mapping[Form, float]
    """Bytes of an event that is alone in its message: at average rates most are."""
    frame: float
    """Bytes of the exchange's frame for it."""
    key_frame: Mapping[Form, tuple[float, float]]
    """Bytes of a key frame: constant, and for each level (of both sides)."""
    memory: tuple[float, float]
    """Bytes that the shard keeps: constant, and for each level. Everything is kept twice: by client and publisher."""


_J, _M = Form.JSON, Form.MSGPACK
_COSTS: Final[Mapping[str, _Cost]] = {
    "book": _Cost({_J: 300, _M: 210}, 208, {_J: (330, 78), _M: (210, 60)}, (15e3, 610)),
    "trades": _Cost({_J: 313, _M: 214}, 230, {_J: (10.9e3, 0), _M: (7.2e3, 0)}, (40e3, 0)),
    "ticker": _Cost({_J: 450, _M: 327}, 330, {_J: (520, 0), _M: (380, 0)}, (10e3, 0)),
    "candles": _Cost({_J: 357, _M: 252}, 270, {_J: (6.5e3, 0), _M: (4.6e3, 0)}, (20e3, 0)),
    "level3": _Cost({_J: 455, _M: 362}, 330, {_J: (1.5e3, 420), _M: (1.2e3, 370)}, (15e3, 2400)),
    "instruments": _Cost({_J: 900, _M: 700}, 800, {_J: (60e3, 0), _M: (60e3, 0)}, (20e6, 0)),
}
_COMPRESSED: Final = (256 * 1024, 0.12)
"""Messages of more bytes are compressed, to about this part."""
MESSAGE_OVERHEAD: Final[Mapping[str, float]] = {"nats": 240.0, "kafka": 110.0}
"""Bytes that a broker stores for a message besides its data: subject, headers (identity, fence), index. Kafka's is an
estimate."""
STREAM_BYTES: Final = 8 * 1024**3
STREAM_SECONDS: Final = 6 * 3600.0
"""What a stream or topic keeps that a relay makes, unless its URL says something else: so many bytes, or so long."""
_SHORT: Final = 3600.0
"""Seconds: a stream that keeps less is worth a note. Who was away for longer finds a gap."""
SNAPSHOT_SECONDS_PER_LEVEL: Final = 1.5e-6
"""To decode and verify a snapshot, to build the book, and to publish it: 3.0 ms for 1,000 levels a side. With 1,500
such books in two shards on two cores, which the exchange, the broker and other work shared, all were verified after 4.1
and 9.3 s in two runs, and 7.8 and 9.9 s after all connections were cut; a symbol took 625 and 630 kB
(``python -m benchmarks.relay_scale``)."""


@attrs.frozen(kw_only=True)
class Load:
    """What is to be published."""

    symbols: int
    channels: tuple[Channel, ...]
    rates: Mapping[str, float] = attrs.Factory(dict)
    """Events a second and symbol, by the channel's name; :data:`RATES` for those that are not here."""
    peak: float = PEAK
    shards: int | None = None
    """None: as many as are needed."""
    standbys: int = 0
    """Further processes for each shard."""
    form: Form = Form.JSON
    keyframe_every: float = 5.0
    """Seconds."""
    broker: str = "nats"
    """A key of :data:`MESSAGE_OVERHEAD`."""
    replicas: int = 1


@attrs.frozen(kw_only=True)
class Needs:
    """What that takes. Bytes, and seconds."""

    events: float
    """A second, on average."""
    peak_events: float
    shards: int
    shard_events: float
    """Of the largest shard, at peak, a second."""
    shard_load: float
    """What part of a core that is, at peak."""
    connections: int
    """To Kraken, of all shards and standbys."""
    shard_connections: int
    shard_symbols: int
    """Of the largest shard."""
    shard_memory: float
    memory: float
    """Of all shards and standbys."""
    received: float
    """Bytes a second from Kraken, on average, without compression."""
    data: float
    """Bytes a second to the broker: events."""
    key_frames: float
    """The same: key frames."""
    disk_per_day: float
    """On all replicas."""
    kept: float
    """Seconds that a stream holds that is made as usual."""
    verified_after: float
    """Until everything is verified, from the start, or after a total loss of all connections."""
    attempts: int
    """That this takes of Kraken's connect budget."""
    hints: tuple[str, ...]
    """What stands out, and what to do about it."""

    @property
    def published(self) -> float:
        """Bytes a second to the broker, on average."""
        return self.data + self.key_frames


def plan(load: Load) -> Needs:
    """What ``load`` takes."""
    per_symbol = [channel for channel in load.channels if channel.has_symbols]
    events = {
        channel: load.rates.get(channel.name, RATES[channel.name]) * (load.symbols if channel.has_symbols else 1)
        for channel in load.channels
    }
    average = sum(events.values())
    shards = load.shards or max(1, ceil(average * load.peak / (EVENTS_PER_SHARD * UTILISATION)))
    symbols = ceil(load.symbols / shards)
    kinds = {channel.is_level3 for channel in per_symbol} or {False}
    shard_connections = len(kinds) * max(1, ceil(symbols / SYMBOLS_PER_CONNECTION))
    processes = shards * (1 + load.standbys)
    memory = PROCESS_BYTES + OUTBOX_BYTES
    memory += sum(_linear(_COSTS[one.name].memory, one) * (symbols if one.has_symbols else 1) for one in load.channels)
    overhead = MESSAGE_OVERHEAD[load.broker]
    data = sum(rate * (_COSTS[one.name].event[load.form] + overhead) for one, rate in events.items())
    keys = sum(
        (_key_frame(one, load.form) + overhead) * (load.symbols if one.has_symbols else 1) for one in load.channels
    )
    connections = processes * shard_connections
    found = Needs(
        events=average,
        peak_events=average * load.peak,
        shards=shards,
        shard_events=average * load.peak / shards,
        shard_load=average * load.peak / shards / EVENTS_PER_SHARD,
        connections=connections,
        shard_connections=shard_connections,
        shard_symbols=symbols,
        shard_memory=memory,
        memory=memory * processes,
        received=sum(rate * _COSTS[one.name].frame for one, rate in events.items()) * (1 + load.standbys),
        data=data,
        key_frames=keys / load.keyframe_every,
        disk_per_day=(data + keys / load.keyframe_every) * 86_400 * load.replicas,
        kept=min(STREAM_SECONDS, STREAM_BYTES / (data + keys / load.keyframe_every)),
        verified_after=_verified_after(per_symbol, symbols, load.symbols, connections),
        attempts=connections,
        hints=(),
    )
    return attrs.evolve(found, hints=tuple(_hints(load, found)))


def _linear(cost: tuple[float, float], channel: Channel) -> float:
    constant, per_level = cost
    return constant + per_level * _levels(channel)


def _levels(channel: Channel) -> int:
    """How many prices there are on one side: of books."""
    return int(channel.variant) if channel.name in {"book", "level3"} else 0


def _key_frame(channel: Channel, form: Form) -> float:
    size = _linear(_COSTS[channel.name].key_frame[form], channel)
    limit, part = _COMPRESSED
    return size * part if size >= limit else size


def _verified_after(channels: Sequence[Channel], symbols: int, all_symbols: int, connections: int) -> float:
    """Seconds until all snapshots are verified: the slowest of what limits them."""
    settings = Settings()
    requests = sum(ceil(min(symbols, SYMBOLS_PER_CONNECTION) / settings.symbols_per_request) for _ in channels)
    asking = max(0.0, requests - settings.request_burst) / settings.request_rate
    verifying = sum(2 * _levels(one) for one in channels) * symbols * SNAPSHOT_SECONDS_PER_LEVEL
    # Kraken counts points for each API key, which the shards share.
    points = sum(_POINTS[int(one.variant)] for one in channels if one.is_level3) * all_symbols / SNAPSHOT_POINTS
    # With more attempts than the budget has, the rest waits for the next window.
    waiting = (max(0, ceil(connections / MAX_CONNECT_BUDGET) - 1)) * CONNECT_WINDOW
    return 1.0 + max(asking, points, waiting) + verifying


_POINTS: Final = {10: 5, 100: 25, 1000: 100}
"""What a snapshot of Level 3 costs, by its depth."""


def _hints(load: Load, needs: Needs) -> list[str]:
    hints = []
    if needs.key_frames > needs.data:
        share = needs.key_frames / needs.published
        hints.append(
            f"key frames are {share:.0%} of what is published: --keyframe-every {load.keyframe_every * 4:g} would make "
            f"it {(needs.key_frames * 0.25 + needs.data) / needs.published:.0%} (late joiners then wait up to so long)"
        )
    if needs.kept < _SHORT:
        day = ceil(needs.published * 86_400 / 1024**3)
        hints.append(
            f"a stream that is made as usual keeps the last {needs.kept / 60:.0f} minutes of this, and who was away "
            f"for longer finds a gap: for a day, write the URL with ?max_age=24h&max_bytes={day}GiB"
        )
    if needs.shard_load > UTILISATION:
        hints.append(
            f"a shard has {needs.shard_load:.0%} of a core at peak: take "
            f"{ceil(needs.peak_events / (EVENTS_PER_SHARD * UTILISATION))} shards"
        )
    if needs.attempts > MAX_CONNECT_BUDGET // 2:
        hints.append(
            f"starting takes {needs.attempts} of {MAX_CONNECT_BUDGET} connects that Kraken allows an address in "
            f"{CONNECT_WINDOW:g} s: spread the shards over addresses"
        )
    if any(channel.is_level3 for channel in load.channels) and needs.verified_after > 60:
        hints.append(
            f"snapshots of Level 3 are limited for each API key (clients spend {SNAPSHOT_POINTS} points a second): a "
            "smaller depth, or keys of several accounts, are verified sooner"
        )
    return hints
