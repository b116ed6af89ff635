"""What a simulated run is: everything that happens to it from outside, as one value that follows from a seed."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import attrs

import kraken_trio as kt
from kraken_trio.testing.exchange.market_spec import MarketSpec
from kraken_trio.testing.faults import exchange as f, network as n
from kraken_trio.testing.faults.network import Conditions, Direction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kraken_trio.requests import Depth, Level3Depth, Request
    from kraken_trio.transport.choice import TransportName

EPOCH_NS = 1_785_644_622 * 10**9
"""The wall clock's time at the beginning of each run."""
BTC, ETH, GST = "BTC/USD", "ETH/USD", "GST/EUR"
MARKETS = (
    MarketSpec(
        symbol=BTC, price_precision=1, qty_precision=8, start_price="64525.0", levels=40, typical_qty="0.35",
        spacing=4, weight=3,
    ),
    MarketSpec(
        symbol=ETH, price_precision=2, qty_precision=8, start_price="1877.30", levels=40, typical_qty="4", spacing=5,
        weight=2,
    ),
    MarketSpec(symbol=GST, price_precision=3, qty_precision=8, start_price="0.021", levels=5, typical_qty="700"),
)  # fmt: skip
"""Books of two deep markets and a thin one. Small ones, because snapshots are what costs."""
DEPTHS: dict[str, Depth] = {BTC: 10, ETH: 25, GST: 10}
"""One per symbol, because that is what a client may want."""
LEVEL3_DEPTHS: dict[str, Level3Depth] = {BTC: 10, ETH: 100, GST: 10}


Kind: TypeAlias = Literal["public", "private", "level3", "v1"]
KINDS: Final[tuple[Kind, ...]] = ("public", "private", "level3", "v1")


@attrs.frozen(kw_only=True)
class Consumer:
    """A part of the program: what it wants, and how it reads."""

    requests: tuple[Request, ...]
    capacity: int = 1024
    overflow: kt.Overflow = kt.Overflow.BACKPRESSURE
    batch: int = 1
    """Events that it takes at a time."""
    iterates: bool = False
    """Over the feed, or over its batches, instead of calling ``receive`` or ``receive_many``."""
    visits: tuple[tuple[float, float], ...] = ((0.0, float("inf")),)
    """When it comes, and when it goes: in seconds of the run."""
    rests: tuple[tuple[float, float], ...] = ()
    """When it does not read: from, and for how long."""


@attrs.frozen(kw_only=True)
class Clear:
    """What is armed in the exchange is disarmed, and crossed books are well."""


Event: TypeAlias = "f.Fault | n.LinkFault | Clear"


@attrs.frozen(kw_only=True)
class Happening:
    """One thing that goes wrong, and when."""

    at: float
    fault: Event


@attrs.frozen(kw_only=True)
class Plan:
    """A run. The same plan gives the same run."""

    seed: int
    kind: Kind = "public"
    """What the program's clients connect to."""
    theme: str
    """What sort of faults there are, for people and for statistics."""
    seconds: float
    """From the beginning until all faults end."""
    transport: TransportName = "trio-websocket"
    conditions: Conditions = attrs.field(factory=Conditions)
    rate: float = 2.0
    """Market events a second."""
    account_rate: float = 0.0
    """What the exchange's account does, a second."""
    settings: kt.Settings = attrs.field(factory=kt.Settings)
    consumers: tuple[Consumer, ...]
    script: tuple[Happening, ...] = ()
    leaves: tuple[float, ...] = ()
    """When the program leaves its client, whatever is going on, and opens another."""


# Faults, by what they are about

_Draw: TypeAlias = "Callable[[Random, str | None], Event]"

HTML = (
    "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502</h1></center><hr>cloudflare</body></html>"
)
NONSENSE = (
    "",
    "{",
    "null",
    "[]",
    '{"channel":"book"}',
    '{"channel":"trade","type":"update","data":{}}',
    "\x1b[2J",
    "{}",
)
WORSE = (b"\xff\xfe", b"\x00" * 40, b"\x82\x03abc", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x8a\x00", b"\x89\x04ping")
LATER = ("Exceeded msg rate", "Exceeded msg rate", "EGeneral:Internal error", "EService:Unavailable")
RESTARTING = "CloudFlare WebSocket proxy restarting"
FINAL = "Currency pair not supported"
SHAPES = (f.Shape.WITH_SYMBOL, f.Shape.WITHOUT_SYMBOL, f.Shape.BARE)


NOTICED = {BTC: ("book", "trade", "ticker"), ETH: ("book", "trade", "ohlc"), GST: ("book",)}
"""The channels that do not fall silent unnoticed, because others tell of the symbol's trades."""


def _times(random: Random) -> int:
    return random.choice((1, 1, 1, 2, 3, 8))


def _span(random: Random) -> float:
    return random.choice((0.5, 2.0, 8.0, 15.0, 40.0)) * (0.5 + random.random())


SYMBOL_FAULTS: tuple[_Draw, ...] = (
    lambda r, s: f.SkipUpdate(symbol=s, times=_times(r)),
    lambda r, s: f.CorruptLevel(symbol=s, times=_times(r)),
    lambda r, s: f.CorruptChecksum(symbol=s, snapshots=r.random() < 0.4, times=_times(r)),
    lambda r, s: f.CorruptChecksum(symbol=s, times=None),
    lambda r, s: f.CrossedBook(symbol=s or BTC, consistent=r.random() < 0.5),
    lambda r, s: f.Mute(
        symbol=s, channel=r.choice(NOTICED[s or BTC]), existing=r.random() < 0.3, times=r.choice((1, 1, 2))
    ),
    lambda r, s: f.LateUpdates(symbol=s, times=_times(r)),
    lambda r, s: f.UpdateBeforeSnapshot(symbol=s, times=_times(r)),
    lambda r, s: f.Refuse(symbol=s, error=r.choice(LATER), times=_times(r)),
)
"""Each concerns one symbol's book, and nothing else."""

EXCHANGE_FAULTS: tuple[_Draw, ...] = (
    lambda r, _: f.Drop(how=r.choice([how for how in f.DropHow if how is not f.DropHow.CLOSE_1008])),
    lambda r, _: f.Drop(how=r.choice((f.DropHow.RESET, f.DropHow.EOF))),
    lambda _r, _: f.Freeze(),
    lambda _r, _: f.StopHeartbeats(),
    lambda r, _: f.Raw(payload=r.choice(NONSENSE)),
    lambda r, _: f.Raw(payload=r.choice(WORSE), kind=r.choice(list(f.RawKind))),
    lambda _r, _: f.UnknownChannel(),
    lambda r, _: f.UnknownField(times=_times(r)),
    lambda r, _: f.SetStatus(system=r.choice(("online", "maintenance", "cancel_only", "post_only", "limit_only"))),
    lambda r, _: f.Refuse(error=r.choice(LATER), shape=r.choice(SHAPES), times=_times(r)),
    lambda r, _: f.RefuseConnect(
        status=r.choice((429, 403, 500, 502, 503)),
        retry_after=r.choice((None, None, 1, 20)),
        body=HTML,
        times=_times(r),
    ),
    lambda r, _: f.HangConnect(times=1),
    lambda r, _: f.DropConnect(times=_times(r)),
    lambda r, _: f.DelayConnect(seconds=_span(r), times=_times(r)),
    lambda r, _: f.DelayAcks(seconds=_span(r), times=_times(r)),
    lambda r, _: f.DelaySnapshots(seconds=_span(r), times=_times(r)),
    lambda r, _: f.DuplicateAck(times=_times(r)),
    lambda r, _: f.IgnoreRequests(times=_times(r)),
)

NETWORK_FAULTS: tuple[_Draw, ...] = (
    lambda _r, _: n.ResetLink(),
    lambda r, _: n.HalfOpen(direction=Direction.TO_CLIENT, seconds=r.choice((None, _span(r)))),
    lambda r, _: n.HalfOpen(direction=Direction.TO_SERVER, seconds=r.choice((None, _span(r)))),
    lambda r, _: n.BlackHole(seconds=r.choice((None, _span(r)))),
    lambda r, _: n.BlackHole(seconds=_span(r), dials=True),
    lambda r, _: n.Outage(seconds=_span(r)),
    lambda r, _: n.Degrade(
        conditions=Conditions(latency=(0.05, r.choice((0.5, 3.0))), piece=(1, r.choice((200, 2000)))), seconds=_span(r)
    ),
    lambda r, _: n.Degrade(
        conditions=Conditions(bytes_per_second=r.choice((50.0, 500.0, 5000.0)), buffer_bytes=r.choice((500, 65536))),
        direction=r.choice(list(Direction)),
        seconds=_span(r),
    ),
    lambda r, _: n.RefuseDial(times=_times(r)),
    lambda _r, _: n.HangDial(),
    lambda r, _: n.DelayDial(seconds=_span(r), times=_times(r)),
    lambda r, _: n.UnknownHost(times=_times(r)),
)

ODD_SYMBOL_FAULTS: tuple[_Draw, ...] = (
    lambda r, s: f.SkipUpdate(symbol=s, channel="trade", times=_times(r)),
    lambda r, s: f.OmitChecksum(symbol=s, snapshots=r.random() < 0.4, times=_times(r)),
    lambda r, s: f.IrregularSnapshot(symbol=s, how=r.choice(list(f.Irregularity)), times=_times(r)),
    lambda r, s: f.OmitSnapshot(symbol=s, channel=r.choice(NOTICED[s or BTC]), times=r.choice((1, 1, 2))),
    lambda r, s: f.EndSubscription(symbol=s, channel=r.choice(NOTICED[s or BTC])),
    lambda r, s: f.Refuse(
        symbol=s,
        error=r.choice(LATER),
        shape=r.choice((f.Shape.IN_RESULT, f.Shape.IN_TEXT)),
        names_channel=r.random() < 0.5,
        times=_times(r),
    ),
)
"""What was found later. It is drawn from a generator of its own, so that what each seed had before stays."""

ODD_EXCHANGE_FAULTS: tuple[_Draw, ...] = (
    lambda _r, _: f.StopPushing(),
    lambda r, _: f.Drop(how=r.choice((f.DropHow.CLOSE_1001, f.DropHow.EOF)), notice=RESTARTING, reason=RESTARTING),
    lambda r, _: f.SetStatus(system=r.choice(("maintenance", "online")), connection_id=False),
    lambda r, _: f.Refuse(
        error=r.choice(LATER).swapcase(),
        shape=r.choice([shape for shape in f.Shape if shape is not f.Shape.BARE]),
        names_channel=r.random() < 0.5,
        times=_times(r),
    ),
    lambda _r, _: f.EndSubscription(),
)

FATAL: tuple[_Draw, ...] = (
    lambda _r, _: f.Drop(how=f.DropHow.CLOSE_1008),
    lambda r, _: f.RefuseConnect(status=r.choice((400, 401, 404))),
)
"""After these a client ends, and the program opens another."""
ODD_FATAL: tuple[_Draw, ...] = (lambda _r, _: f.SpeakV1(),)

THEMES: tuple[tuple[str, int], ...] = (
    ("all", 8), ("network", 4), ("exchange", 4), ("symbol", 4), ("consumers", 2), ("calm", 1),
)  # fmt: skip
"""What goes wrong, and the weight of that. Where little does, more is promised."""


def plan_of(seed: int, seconds: float = 600.0, theme: str | None = None, kind: Kind = "public") -> Plan:
    """The run of this seed; of another one of this seed and theme, if one is given."""
    if kind != "public":
        return _plan_of_kind(seed, seconds, theme, kind)
    random = Random(f"{seed}/plan")
    drawn = random.choices([name for name, _ in THEMES], [weight for _, weight in THEMES])[0]
    theme = theme or drawn
    far = random.choice((0.0, 0.03, 0.2))
    return Plan(
        seed=seed,
        theme=theme,
        seconds=seconds,
        transport=random.choice(("trio-websocket", "websockets")),
        conditions=Conditions(
            latency=(far / 4, far),
            piece=random.choice(((65536, 65536), (100, 4096))),
            buffer_bytes=random.choice((4096, 65536)),
        ),
        rate=random.choice((0.5, 2.0, 2.0, 5.0)),
        settings=_settings(random),
        consumers=tuple(_iterating(_consumers(random, theme, seconds), seed)),
        script=_script(random, seed, theme, seconds),
        leaves=_leaves(random, seconds) if theme in ("all", "network") else (),
    )


def _settings(random: Random) -> kt.Settings:
    """Mostly shorter waits than the usual ones: more happens then."""
    if random.random() < 0.25:
        return kt.Settings(require_first_connection=False)
    return kt.Settings(
        require_first_connection=random.random() < 0.5,
        park_time=40.0,
        retry_delay_max=20.0,
        stale_after=random.choice((10.0, 30.0)),
        stale_trades=random.choice((3, 10)),
        ban_delay=20.0,
        refused_delay_max=40.0,
        stall_limit=random.choice((5.0, 10.0, 60.0)),
        request_rate=random.choice((1.0, 10.0)),
        request_burst=random.choice((2, 10)),
    )


def _consumers(random: Random, theme: str, seconds: float) -> Iterable[Consumer]:
    everything: tuple[Request, ...] = (
        *(kt.Book(symbol, depth) for symbol, depth in DEPTHS.items()),
        *(kt.Trades(symbol) for symbol in DEPTHS),
        kt.Ticker(BTC),
        kt.Candles(ETH),
        kt.Instruments(),
        kt.Lifecycle(),
    )
    yield Consumer(requests=everything, capacity=4096, batch=random.choice((1, 64)))
    for _ in range(random.choice((1, 2, 2, 3))):
        wanted = random.sample(everything[:-2], random.randint(1, 4))
        if random.random() < 0.3:
            wanted.append(kt.Trades(BTC, snapshot=True))
        slow = theme in ("all", "consumers") and random.random() < 0.6
        overflow = random.choice(list(kt.Overflow))
        if overflow is kt.Overflow.CONFLATE:  # a trade is no state
            wanted = [wish for wish in wanted if not isinstance(wish, kt.Trades)] or [kt.Book(BTC, DEPTHS[BTC])]
        least = 200 if overflow is kt.Overflow.FAIL else 1  # what a feed starts with has to fit
        yield Consumer(
            requests=tuple(dict.fromkeys(wanted)),
            capacity=max(least, random.choice((1, 5, 50, 1024))) if slow else 4096,
            overflow=overflow,
            batch=random.choice((1, 1, 16)),
            visits=_visits(random, seconds),
            rests=tuple(_rests(random, seconds)) if slow else (),
        )


def _iterating(consumers: Iterable[Consumer], seed: int) -> Iterable[Consumer]:
    """Half of them iterate. That is drawn from a generator of its own, so that what each seed had before stays."""
    random = Random(f"{seed}/iterating")
    return (attrs.evolve(consumer, iterates=random.random() < 0.5) for consumer in consumers)


def _visits(random: Random, seconds: float) -> tuple[tuple[float, float], ...]:
    if random.random() < 0.4:
        return ((0.0, float("inf")),)
    times = sorted(random.random() * seconds for _ in range(random.choice((1, 3, 7))))
    return tuple(zip(times[::2], [*times[1::2], float("inf")], strict=False))


def _rests(random: Random, seconds: float) -> Iterable[tuple[float, float]]:
    at = 0.0
    while (at := at + random.expovariate(1 / 60)) < seconds:
        length = min(_span(random), seconds - at)
        yield at, length
        at += length


def _leaves(random: Random, seconds: float) -> tuple[float, ...]:
    if random.random() < 0.6:
        return ()
    return tuple(sorted(random.random() * seconds for _ in range(random.choice((1, 1, 3)))))


def _script(random: Random, seed: int, theme: str, seconds: float) -> tuple[Happening, ...]:
    """What goes wrong, in order of time."""
    drawn = [what for what in _drawn(random, seed, theme, seconds) if what.at < seconds]
    return tuple(sorted(drawn, key=lambda what: what.at))


def _drawn(random: Random, seed: int, theme: str, seconds: float) -> Iterable[Happening]:
    faults: tuple[_Draw, ...] = {
        "all": SYMBOL_FAULTS + EXCHANGE_FAULTS + NETWORK_FAULTS,
        "network": NETWORK_FAULTS,
        "exchange": SYMBOL_FAULTS + EXCHANGE_FAULTS,
        "symbol": SYMBOL_FAULTS,
    }.get(theme, ())
    if not faults:
        return
    if theme in ("all", "exchange") and random.random() < 0.2:
        faults += FATAL
    symbol = random.choice(tuple(DEPTHS)) if theme == "symbol" else None
    pause = random.choice((6.0, 15.0, 15.0, 40.0))
    yield from _happenings(random, faults, symbol, pause, seconds)
    odd = {
        "all": ODD_SYMBOL_FAULTS + ODD_EXCHANGE_FAULTS,
        "exchange": ODD_SYMBOL_FAULTS + ODD_EXCHANGE_FAULTS,
        "symbol": ODD_SYMBOL_FAULTS,
    }.get(theme, ())
    if odd:
        if FATAL[0] in faults:
            odd += ODD_FATAL
        yield from _happenings(Random(f"{seed}/odd"), odd, symbol, 2 * pause, seconds)


def _happenings(
    random: Random, faults: tuple[_Draw, ...], symbol: str | None, pause: float, seconds: float
) -> Iterable[Happening]:
    at = 0.0
    while (at := at + random.expovariate(1 / pause)) < seconds:
        yield Happening(at=at, fault=random.choice(faults)(random, symbol or random.choice(tuple(DEPTHS))))
        if random.random() < 0.3:
            yield Happening(at=at + _span(random), fault=Clear())


# Clients of other kinds: each has a run of its own, drawn from generators of its own

LATER_REST = ("EAPI:Invalid nonce", "EAPI:Rate limit exceeded", "EService:Unavailable", "EGeneral:Internal error")
"""But for a lockout, which is waited for longer than a run takes."""
PRIVATE_FAULTS: tuple[_Draw, ...] = (
    lambda r, _: f.FillBurst(fills=r.choice((0, 1, 3, 50, 51, 120)), symbol=r.choice((BTC, ETH))),
    lambda r, _: f.FillBurst(fills=r.choice((1, 30, 60)), symbol=r.choice((BTC, ETH))),
    lambda r, _: f.SkipSequence(channel=r.choice(("executions", "executions", "balances")), times=_times(r)),
    lambda r, _: f.RepeatSequence(channel=r.choice(("executions", "executions", "balances")), times=_times(r)),
    lambda r, _: f.RepeatFill(times=_times(r)),
    lambda r, _: f.DropAfterTrade(how=r.choice((f.DropHow.EOF, f.DropHow.RESET)), times=r.choice((1, 1, 2))),
    lambda _r, _: f.ExpireTokens(),
    lambda r, _: f.StrangeReport(
        exec_type=r.choice(("canceled", "liquidated", "restated", "new")), extra=r.random() < 0.5
    ),
    lambda r, _: f.BreakRest(
        how=r.choice(list(f.RestBreak)),
        call=r.choice((None, "TradesHistory", "QueryOrders", "GetWebSocketsToken")),
        times=_times(r),
        seconds=_span(r),
        text=r.choice(LATER_REST),
    ),
    lambda r, _: f.LagRest(seconds=r.choice((1.0, 20.0, 60.0))),
    lambda r, _: f.Refuse(error=r.choice(LATER), shape=r.choice(SHAPES), times=_times(r)),
    lambda r, _: f.OmitSnapshot(channel=r.choice(("executions", "balances")), times=1),
    lambda r, _: f.EndSubscription(channel=r.choice(("executions", "balances"))),
    lambda r, _: f.StrayError(error=r.choice(LATER)),
)
"""Of the account's channels, and of REST."""
COMMON_FAULTS = tuple(draw for draw in EXCHANGE_FAULTS) + ODD_EXCHANGE_FAULTS
"""Of connections, whatever they carry."""


def plans_of(seed: int, seconds: float = 600.0) -> tuple[Plan, ...]:
    """All runs of this seed: the public client's, and those of other kinds of clients that are drawn."""
    random = Random(f"{seed}/kinds")
    drawn = [kind for kind in KINDS[1:] if random.random() < 0.4]
    return tuple(plan_of(seed, seconds, kind=kind) for kind in ("public", *drawn))


def _plan_of_kind(seed: int, seconds: float, theme: str | None, kind: Kind) -> Plan:
    random = Random(f"{seed}/{kind}")
    theme = theme or random.choices(("all", "network", "symbol", "consumers", "calm"), (8, 4, 4, 2, 1))[0]
    far = random.choice((0.0, 0.03, 0.2))
    return Plan(
        seed=seed,
        kind=kind,
        theme=theme,
        seconds=seconds,
        transport=random.choice(("trio-websocket", "websockets")),
        conditions=Conditions(latency=(far / 4, far), piece=random.choice(((65536, 65536), (100, 4096)))),
        rate=random.choice((0.5, 2.0, 5.0)),
        account_rate=random.choice((0.2, 1.0, 3.0)),
        settings=_settings(random),
        consumers=tuple(_iterating(_OF_KIND[kind](random, theme, seconds), seed)),
        script=tuple(sorted(_faults_of_kind(random, theme, seconds, kind), key=lambda what: what.at)),
        leaves=_leaves(random, seconds) if theme in ("all", "network") else (),
    )


def _faults_of_kind(random: Random, theme: str, seconds: float, kind: Kind) -> Iterable[Happening]:
    own = FAULTS_OF_KIND[kind]
    faults = {"all": own * 2 + COMMON_FAULTS + NETWORK_FAULTS, "network": own + NETWORK_FAULTS, "symbol": own}.get(
        theme
    )
    if faults:
        symbol = random.choice(tuple(DEPTHS)) if theme == "symbol" else None
        yield from _happenings(random, faults, symbol, random.choice((6.0, 15.0)), seconds)


def _private_consumers(random: Random, theme: str, seconds: float) -> Iterable[Consumer]:
    yield Consumer(
        requests=(kt.Executions(), kt.Balances(), kt.Lifecycle()), capacity=4096, batch=random.choice((1, 64))
    )
    for _ in range(random.choice((0, 1, 2))):
        wanted: list[Request] = random.sample([kt.Executions(history=random.random() < 0.3), kt.Balances()], 1)
        slow = theme in ("all", "consumers") and random.random() < 0.5
        overflow = random.choice([way for way in kt.Overflow if way is not kt.Overflow.CONFLATE])
        least = 200 if overflow is kt.Overflow.FAIL else 1
        yield Consumer(
            requests=tuple(wanted),
            capacity=max(least, random.choice((1, 5, 50, 1024))) if slow else 4096,
            overflow=overflow,
            batch=random.choice((1, 1, 16)),
            visits=_visits(random, seconds),
            rests=tuple(_rests(random, seconds)) if slow else (),
        )


LEVEL3_FAULTS: tuple[_Draw, ...] = (
    lambda r, s: f.SkipUpdate(symbol=s, channel="level3", times=_times(r)),
    lambda r, s: f.SwapUpdates(symbol=s, times=_times(r)),
    lambda r, s: f.UnknownOrder(symbol=s, times=_times(r)),
    lambda r, s: f.DeepSnapshot(symbol=s, levels=r.randint(1, 5), times=_times(r)),
    lambda r, s: f.ReorderQueue(symbol=s, times=r.choice((1, 1, 2))),
    lambda r, s: f.Exponents(symbol=s, times=_times(r)),
    lambda r, s: f.CrossedBook(symbol=s or BTC, consistent=True),
    lambda r, s: f.FillBurst(fills=r.choice((1, 5, 20)), symbol=s if s != GST else BTC),
    lambda r, s: f.LateUpdates(symbol=s, times=_times(r)),
    lambda r, s: f.OmitSnapshot(symbol=s, channel="level3", times=1),
    lambda r, s: f.EndSubscription(symbol=s, channel="level3"),
    lambda r, s: f.Refuse(symbol=s, error=r.choice(LATER), times=_times(r)),
)


def _level3_consumers(random: Random, theme: str, seconds: float) -> Iterable[Consumer]:
    everything: list[Request] = [kt.Level3(symbol, depth) for symbol, depth in LEVEL3_DEPTHS.items()]
    yield Consumer(requests=(*everything, kt.Lifecycle()), capacity=4096, batch=random.choice((1, 64)))
    for _ in range(random.choice((0, 1, 2))):
        slow = theme in ("all", "consumers") and random.random() < 0.5
        overflow = random.choice(list(kt.Overflow))
        least = 200 if overflow is kt.Overflow.FAIL else 1
        yield Consumer(
            requests=tuple(random.sample(everything, random.randint(1, 3))),
            capacity=max(least, random.choice((1, 5, 50, 1024))) if slow else 4096,
            overflow=overflow,
            batch=random.choice((1, 1, 16)),
            visits=_visits(random, seconds),
            rests=tuple(_rests(random, seconds)) if slow else (),
        )


V1_FAULTS: tuple[_Draw, ...] = (
    *SYMBOL_FAULTS,
    *ODD_SYMBOL_FAULTS[1:],  # trades have no numbers there
    lambda r, s: f.IrregularUpdate(symbol=s, how=r.choice(list(f.UpdateIrregularity)), times=_times(r)),
    lambda r, _: f.StrayError(error=r.choice(LATER)),
)


def _v1_consumers(random: Random, theme: str, seconds: float) -> Iterable[Consumer]:
    everything: tuple[Request, ...] = (
        *(kt.Book(symbol, depth) for symbol, depth in DEPTHS.items()),
        *(kt.Trades(symbol) for symbol in DEPTHS),
        kt.Ticker(BTC),
        kt.Candles(ETH),
        kt.Spread(ETH),
    )
    yield Consumer(requests=(*everything, kt.Lifecycle()), capacity=4096, batch=random.choice((1, 64)))
    for _ in range(random.choice((0, 1, 2))):
        slow = theme in ("all", "consumers") and random.random() < 0.5
        wanted = random.sample(everything, random.randint(1, 4))
        overflow = random.choice(list(kt.Overflow))
        if overflow is kt.Overflow.CONFLATE:
            wanted = [wish for wish in wanted if not isinstance(wish, kt.Trades)] or [kt.Book(BTC, DEPTHS[BTC])]
        least = 200 if overflow is kt.Overflow.FAIL else 1
        yield Consumer(
            requests=tuple(wanted),
            capacity=max(least, random.choice((1, 5, 50, 1024))) if slow else 4096,
            overflow=overflow,
            batch=random.choice((1, 1, 16)),
            visits=_visits(random, seconds),
            rests=tuple(_rests(random, seconds)) if slow else (),
        )


FAULTS_OF_KIND: dict[Kind, tuple[_Draw, ...]] = {"private": PRIVATE_FAULTS, "level3": LEVEL3_FAULTS, "v1": V1_FAULTS}
_OF_KIND: dict[Kind, Callable[[Random, str, float], Iterable[Consumer]]] = {
    "private": _private_consumers,
    "level3": _level3_consumers,
    "v1": _v1_consumers,
}
