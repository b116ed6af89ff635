"""The network of memory: its streams are Trio's, its faults are those of networks, and its time is virtual."""

from __future__ import annotations

import random
import socket
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import check_half_closeable_stream, wait_all_tasks_blocked

import kraken_trio as kt
from kraken_trio.testing import (
    BlackHole,
    Conditions,
    Degrade,
    DelayConnect,
    DelayDial,
    Direction,
    Drop,
    HalfOpen,
    HangDial,
    Link,
    MemoryStream,
    Network,
    Outage,
    RefuseConnect,
    RefuseDial,
    ResetLink,
    Scheduled,
    UnknownHost,
    open_exchange,
    run_virtual,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio.testing import MockClock

    from kraken_trio.testing import Fault, LinkFault

LATE = Conditions(latency=(1.0, 1.0))


def link(conditions: Conditions | None = None) -> Link:
    return Link(1, random.Random(0), conditions or Conditions())


# Streams


async def test_its_streams_keep_trios_promises(autojump_clock: MockClock) -> None:
    async def pair() -> tuple[MemoryStream, MemoryStream]:
        made = link(Conditions(latency=(0.0, 0.01), piece=(1, 9000)))
        return made.client, made.server

    async def clogged() -> tuple[MemoryStream, MemoryStream]:
        made = link(Conditions(buffer_bytes=10))
        for stream in (made.client, made.server):
            with trio.move_on_after(0.1):
                await stream.send_all(b"x" * 11)
        return made.client, made.server

    await check_half_closeable_stream(pair, clogged)


async def test_bytes_take_their_time_and_arrive_in_order(autojump_clock: MockClock) -> None:
    made = link(Conditions(latency=(0.5, 3.0), piece=(1, 7)))
    for number in range(20):
        await made.client.send_all(bytes([number]) * 10)
    assert trio.current_time() < 0.5
    got = b""
    while len(got) < 200:
        piece = await made.server.receive_some()
        assert 1 <= len(piece) <= 7
        got += piece
    assert got == b"".join(bytes([number]) * 10 for number in range(20))
    assert 0.5 <= trio.current_time() <= 3.0


async def test_a_throughput_is_kept(autojump_clock: MockClock) -> None:
    made = link(Conditions(bytes_per_second=100.0))
    await made.client.send_all(b"x" * 1000)
    got = 0
    while got < 1000:
        got += len(await made.server.receive_some())
    assert trio.current_time() == pytest.approx(10.0)


async def test_sending_waits_for_a_slow_reader(autojump_clock: MockClock) -> None:
    made = link(Conditions(buffer_bytes=100))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.client.send_all, b"x" * 250)
        await trio.sleep(5)
        assert len(await made.server.receive_some()) == 100
        assert nursery.child_tasks
        await wait_all_tasks_blocked()
        assert len(await made.server.receive_some()) == 100
        assert len(await made.server.receive_some()) == 50


@pytest.mark.parametrize("direction", [Direction.TO_CLIENT, Direction.TO_SERVER, Direction.BOTH])
async def test_a_silent_direction_delivers_when_the_silence_is_over(
    autojump_clock: MockClock, direction: Direction
) -> None:
    made = link()
    made.silence(direction, 7.0)
    for ours, theirs, way in (
        (made.client, made.server, Direction.TO_SERVER),
        (made.server, made.client, Direction.TO_CLIENT),
    ):
        began = trio.current_time()
        await ours.send_all(b"x")
        assert await theirs.receive_some() == b"x"
        expected = 7.0 if direction in (way, Direction.BOTH) else 0.0
        assert trio.current_time() == pytest.approx(max(began, expected))


async def test_a_sender_that_is_never_heard_times_out(autojump_clock: MockClock) -> None:
    made = link(Conditions(patience=30.0))
    await made.client.send_all(b"before")
    await trio.sleep(100)
    made.silence(Direction.TO_SERVER, None)
    await trio.sleep(1)
    await made.client.send_all(b"into the void")
    with pytest.raises(trio.BrokenResourceError, match="timed out"):
        await made.client.receive_some()
    assert trio.current_time() == pytest.approx(101 + 30)
    with pytest.raises(trio.BrokenResourceError, match="timed out"):
        await made.client.send_all(b"x")
    assert await made.server.receive_some() == b"before"
    with trio.move_on_after(1000):
        await made.server.receive_some()
        pytest.fail("nothing passes")


async def test_a_reset_loses_what_is_on_the_way(autojump_clock: MockClock) -> None:
    made = link(LATE)
    await made.client.send_all(b"in time")
    await trio.sleep(1.5)
    await made.client.send_all(b"lost")
    made.reset()
    assert await made.server.receive_some() == b"in time"
    for stream in (made.server, made.client):
        with pytest.raises(trio.BrokenResourceError, match="reset"):
            await stream.receive_some()
        with pytest.raises(trio.BrokenResourceError, match="reset"):
            await stream.send_all(b"x")


async def test_a_reset_by_one_end_reaches_the_other_later(autojump_clock: MockClock) -> None:
    made = link(LATE)
    made.server.reset()
    await made.client.send_all(b"x")  # it does not know yet
    with pytest.raises(trio.BrokenResourceError, match="reset"):
        await made.client.receive_some()
    assert trio.current_time() == pytest.approx(1.0)
    with pytest.raises(trio.ClosedResourceError):
        await made.server.receive_some()


async def test_who_closes_with_unread_bytes_resets(autojump_clock: MockClock) -> None:
    made = link()
    await made.client.send_all(b"never read")
    made.server.close()
    assert await made.client.receive_some() == b""
    with pytest.raises(trio.BrokenResourceError):
        await made.client.send_all(b"x")
    assert made.server.closed


async def test_a_close_that_cannot_arrive_is_not_seen(autojump_clock: MockClock) -> None:
    made = link(Conditions(buffer_bytes=100))
    made.silence(Direction.TO_SERVER, None)
    made.client.close()
    with trio.move_on_after(60) as scope:
        while True:
            await made.server.send_all(b"x" * 10)  # until its buffer is full
    assert scope.cancelled_caught
    made.heal()
    assert await made.server.receive_some() == b""


# Networks


@pytest.fixture
def network() -> Network:
    return Network()


def test_what_it_does_follows_from_its_seed() -> None:
    async def story(seed: int) -> list[float]:
        network = Network(seed=seed, conditions=Conditions(latency=(0.1, 2.0), piece=(1, 100)))
        times = []
        async with (
            open_exchange(network=network, rate=3.0, epoch_ns=0) as exchange,
            kt.open_client(exchange.url, transport=network.transport()) as client,
            client.subscribe(kt.Book("BTC/USD")) as feed,
        ):
            for _ in range(20):
                await feed.receive()
                times.append(trio.current_time())
        return times

    first = run_virtual(story, 1)
    assert run_virtual(story, 1) == first
    assert run_virtual(story, 2) != first


def test_running_virtually_leaves_randomness_as_it_was() -> None:
    async def draw() -> float:
        await trio.sleep(10**6)
        return random.random()

    random.seed(5)
    expected = random.random()
    random.seed(5)
    assert run_virtual(draw, seed=1) == run_virtual(draw, seed=1) != run_virtual(draw, seed=2)
    assert random.random() == expected


def test_virtual_hours_are_no_hours_for_the_budget_of_the_process() -> None:
    """It runs on real time: clients would wait for it for ever."""
    settings = kt.Settings(retry_delay=1, retry_delay_max=1)

    async def story() -> int:
        network = Network()
        async with (
            open_exchange(network=network, rate=0) as exchange,
            kt.open_client(exchange.url, settings=settings, transport=network.transport()) as client,
        ):
            network.inject(RefuseDial(times=None))
            network.inject(ResetLink())
            await trio.sleep(900)
            return client.statistics().attempts

    assert 700 < run_virtual(story) <= 900  # the budget would allow 240


def test_tasks_take_turns_by_the_seed() -> None:
    async def order() -> list[int]:
        turns: list[int] = []

        async def take(number: int) -> None:
            for _ in range(5):
                turns.append(number)
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(take, number)
        return turns

    orders = [run_virtual(order, seed=seed) for seed in range(10)]
    assert orders == [run_virtual(order, seed=seed) for seed in range(10)]
    assert len(set(map(tuple, orders))) > 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [(RefuseDial(), ConnectionRefusedError), (UnknownHost(), socket.gaierror)],
)
async def test_a_dial_that_fails(
    autojump_clock: MockClock, network: Network, fault: LinkFault, error: type[OSError]
) -> None:
    async with open_exchange(network=network):
        network.inject(fault)
        with pytest.raises(error):
            await network.open_stream("localhost", 80)
        assert not network.faults
        await network.open_stream("localhost", 80)
        assert len(network.dials) == 2


async def test_faults_are_there_from_the_start(autojump_clock: MockClock, network: Network) -> None:
    """Before any other task had a turn."""
    faults: list[LinkFault | Scheduled] = [RefuseDial(), Scheduled(at=5, fault=UnknownHost())]
    async with open_exchange(network=network, faults=faults):
        assert list(network.faults) == [RefuseDial()]
        await trio.sleep(6)
        assert list(network.faults) == [RefuseDial(), UnknownHost()]


async def test_nobody_listens_elsewhere_or_before_or_after(autojump_clock: MockClock, network: Network) -> None:
    with pytest.raises(ConnectionRefusedError):
        await network.open_stream("localhost", 80)
    async with open_exchange(network=network), open_exchange(network=network, host="other.test", port=8080) as other:
        assert other.url == "ws://other.test:8080/v2"
        with pytest.raises(OSError, match="in use"):
            async with open_exchange(network=network):
                pass
        with pytest.raises(ConnectionRefusedError):
            await network.open_stream("localhost", 443)
        await network.open_stream("other.test", 8080)
    with pytest.raises(ConnectionRefusedError):
        await network.open_stream("localhost", 80)


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (DelayDial(seconds=20), 20.0),
        (BlackHole(seconds=30, dials=True), 30.0),
        (HangDial(), 50.0),
        (BlackHole(dials=True), 50.0),
    ],
)
async def test_a_dial_that_takes_long(
    autojump_clock: MockClock, network: Network, fault: LinkFault, seconds: float
) -> None:
    async with open_exchange(network=network, rate=0), trio.open_nursery() as nursery:
        network.inject(fault)

        async def heal() -> None:
            await trio.sleep(50)
            network.heal()

        nursery.start_soon(heal)
        await network.open_stream("localhost", 80)
        assert trio.current_time() == pytest.approx(seconds)


async def test_an_outage_resets_and_refuses_for_a_while(autojump_clock: MockClock, network: Network) -> None:
    async with open_exchange(network=network) as exchange:
        stream = await network.open_stream("localhost", 80)
        network.inject(Outage(seconds=10))
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        with pytest.raises(ConnectionRefusedError):
            await network.open_stream("localhost", 80)
        await trio.sleep(10)
        await network.open_stream("localhost", 80)
        assert exchange.connections == 0  # nobody has asked for an upgrade
        stream.close()
    assert "1 of 2 links open" in repr(network)


async def test_what_is_degraded_is_well_again_in_time(autojump_clock: MockClock, network: Network) -> None:
    async with open_exchange(network=network, rate=0):
        old = await network.open_stream("localhost", 80)
        network.inject(Degrade(conditions=LATE, seconds=10))
        new = await network.open_stream("localhost", 80)

        async def seconds(stream: MemoryStream) -> float:
            began = trio.current_time()
            await stream.send_all(b"nonsense\r\n\r\n")
            with pytest.raises(trio.BrokenResourceError):
                while True:
                    await stream.receive_some()
                    await stream.send_all(bytes(4096))
            return trio.current_time() - began

        assert await seconds(old) >= 2.0
        await trio.sleep(10)
        assert await seconds(new) == 0.0


CASES: list[tuple[Callable[[], LinkFault], kt.Cause]] = [
    (ResetLink, kt.Cause.DISCONNECTED),
    (HalfOpen, kt.Cause.SILENCE),
    (BlackHole, kt.Cause.SILENCE),
    (partial(Outage, seconds=3), kt.Cause.DISCONNECTED),
]


@pytest.mark.parametrize("transport", ["websockets", "trio-websocket"])
@pytest.mark.parametrize(("fault", "cause"), CASES)
async def test_a_client_survives_it(
    autojump_clock: MockClock,
    network: Network,
    fault: Callable[[], LinkFault],
    cause: kt.Cause,
    transport: str,
) -> None:
    async with (
        open_exchange(network=network, rate=5.0) as exchange,
        kt.open_client(exchange.url, transport=network.transport(transport)) as client,  # type: ignore[arg-type]  # one of its names
        client.subscribe(kt.Book("BTC/USD")) as feed,
    ):
        await feed.receive()
        network.inject(fault())
        while not isinstance(event := await feed.receive(), kt.Gap):
            pass
        assert event.cause is cause
        assert isinstance(await feed.receive(), kt.BookSnapshot)
        assert trio.current_time() < 30
        assert exchange.journal[-1].link == len(network.links)
    assert all(link.client.closed for link in network.links)


async def test_a_script_may_have_faults_of_both_sorts(autojump_clock: MockClock, network: Network) -> None:
    script: list[Fault | LinkFault | Scheduled] = [
        Scheduled(at=20, fault=Drop()),
        Scheduled(at=10, fault=ResetLink(link=2)),
        RefuseConnect(status=502, body="<html>Bad Gateway"),
        DelayDial(seconds=1),
    ]
    settings = kt.Settings(require_first_connection=False, unavailable_delay=1, ban_delay=1, refused_delay_max=1)
    async with (
        open_exchange(network=network, rate=0, faults=script) as exchange,
        kt.open_client(exchange.url, settings=settings, transport=network.transport()) as client,
        client.subscribe(kt.Lifecycle()) as feed,
    ):
        await trio.sleep(60)
        first = await feed.receive()
        assert isinstance(first, kt.StateChange)
        assert "HTTP 502: Bad Gateway" in first.detail
    assert client.statistics().connects == 3
    assert client.statistics().attempts == 4


async def test_a_fault_is_injected_where_it_belongs(autojump_clock: MockClock, network: Network) -> None:
    async with open_exchange(network=network) as exchange:
        with pytest.raises(TypeError, match="of the network"):
            exchange.inject(ResetLink())  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(TypeError, match="of the exchange"):
            await network.play([Scheduled(at=0, fault=Drop())])
    with pytest.raises(ValueError, match="network=Network"):
        async with open_exchange(faults=[ResetLink()]):
            pass


async def test_an_upgrade_may_be_answered_late(autojump_clock: MockClock, network: Network) -> None:
    async with open_exchange(network=network, faults=[DelayConnect(seconds=7)]) as exchange:
        async with kt.open_client(exchange.url, transport=network.transport()):
            assert 7 <= trio.current_time() < 8
        exchange.inject(DelayConnect(seconds=11))
        with pytest.raises(kt.ConnectError, match="within 10 s"):
            async with kt.open_client(exchange.url, transport=network.transport()):
                pass


@pytest.mark.parametrize(
    "wrong",
    [
        {"latency": (2.0, 1.0)},
        {"latency": (-1.0, 1.0)},
        {"piece": (0, 5)},
        {"bytes_per_second": 0.0},
        {"buffer_bytes": 0},
    ],
)
def test_conditions_are_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Conditions(**wrong)  # type: ignore[arg-type]  # wrong on purpose
