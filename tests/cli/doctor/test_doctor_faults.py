"""The doctor in trouble: for each check, a peer or a machine with that fault. In memory, on virtual time."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import trio
import trustme

from kraken_trio.admission.ledger import HostLedger
from kraken_trio.cli.doctor import checks, folder
from kraken_trio.cli.doctor.findings import Finding, Level, verdict
from kraken_trio.cli.doctor.machine import Machine
from kraken_trio.cli.doctor.probe import MAX_ATTEMPTS, Plan, examine
from kraken_trio.storage.lock import FolderLock
from kraken_trio.storage.segments import Folder
from kraken_trio.testing import (
    CorruptChecksum,
    DelaySnapshots,
    DropConnect,
    HangConnect,
    IgnoreRequests,
    Mute,
    Network,
    RefuseConnect,
    SetStatus,
    SkipUpdate,
    StopHeartbeats,
    open_exchange,
)
from kraken_trio.testing.faults.network import (
    BlackHole,
    Conditions,
    DelayDial,
    HangDial,
    LinkFault,
    RefuseDial,
    UnknownHost,
)
from tests.altered import record_story
from tests.logs import packed
from tests.transport.conftest import Peer, in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from kraken_trio.testing import Exchange, Fault

EPOCH_NS = 4_000_000_000 * 10**9
"""In 2096: OpenSSL goes by the real clock, and a certificate of a test must not end by that."""
OK, WARNING, FAILED, SKIPPED = Level.OK, Level.WARNING, Level.FAILED, Level.SKIPPED
Found: TypeAlias = "dict[str, Finding]"


async def at_once(work: Callable[[], Any]) -> Any:
    await trio.lowlevel.checkpoint()
    return work()


async def for_ever(*_: Any) -> Any:
    await trio.sleep_forever()


async def addresses(host: str, port: int) -> Sequence[Any]:
    await trio.lowlevel.checkpoint()
    return [(socket.AF_INET, 0, 0, "", ("192.0.2.1", port)), (socket.AF_INET6, 0, 0, "", ("2001:db8::1", port))]


def clock(wrong_by: float = 0.0) -> Callable[[], int]:
    """This machine's clock; the exchange's is right."""
    began = trio.current_time()
    return lambda: EPOCH_NS + round((trio.current_time() - began + wrong_by) * 1e9)


class World:
    """An exchange in a network in memory, and a machine that examines it."""

    def __init__(self) -> None:
        self.network = Network(seed=5, conditions=Conditions(latency=(0.005, 0.010)))
        self.took = 0.0
        self.exchange: Exchange | None = None

    async def connected(self, links: int) -> None:
        """Wait for so many connections."""
        while len(self.network.links) < links:  # noqa: ASYNC110 (a network has no event for that)
            await trio.sleep(0.001)

    async def examine(
        self,
        *faults: Fault | LinkFault,
        plan: Mapping[str, Any] | None = None,
        wrong_by: float = 0.0,
        rate: float = 100.0,
        server: ssl.SSLContext | None = None,
        **machine: Any,
    ) -> Found:
        found: Found = {}

        def tell(finding: Finding) -> None:
            assert finding.name not in found, "each is told once"
            found[finding.name] = finding

        options: dict[str, Any] = {
            "open_stream": self.network.open_stream,
            "addresses": addresses,
            "in_thread": at_once,
            "wall_ns": clock(wrong_by),
            "environ": {},
            "core": "compiled",
            "open_files": lambda: 1024,
            **machine,
        }
        async with open_exchange(
            network=self.network, seed=3, rate=rate, epoch_ns=EPOCH_NS, faults=faults, ssl_context=server
        ) as exchange:
            self.exchange = exchange
            began = trio.current_time()
            await examine(Plan(**{"url": exchange.url, **(plan or {})}), tell, Machine(**options))
            self.took = trio.current_time() - began
        assert self.took < 30
        assert len(self.network.dials) <= MAX_ATTEMPTS
        names = {finding.check for finding in found.values()}
        assert names == set(checks.CHECKS), "none is forgotten"
        return found


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    request.node.add_marker(pytest.mark.trio(run=in_virtual_time), append=False)
    return World()


def levels(found: Found) -> dict[str, Level]:
    return {name: finding.level for name, finding in found.items()}


def bad(found: Found) -> dict[str, Level]:
    for finding in found.values():
        assert finding.says.isprintable()
        assert bool(finding.cure) == (finding.level in {WARNING, FAILED})
    return {name: level for name, level in levels(found).items() if level in {WARNING, FAILED}}


async def test_a_healthy_exchange(world: World) -> None:
    found = await world.examine(plan={"symbols": ("BTC/USD", "ETH/USD")})
    assert not bad(found)
    skipped = {name for name, level in levels(found).items() if level is SKIPPED}
    assert skipped == {"budget", *checks.OF_FOLDER, "tls", "certificate", "http-clock"}
    assert found["round-trip"].value == pytest.approx(0.015, abs=0.005)
    assert found["clock"].value == pytest.approx(0, abs=0.005)
    assert found["heartbeats"].value == pytest.approx(1, abs=0.02)
    for symbol in ("BTC/USD", "ETH/USD"):
        value = found[f"book {symbol}"].value
        assert value is not None
        assert value >= checks.CHECKSUMS
    assert len(world.network.dials) == 2


async def test_a_quiet_market_is_no_fault(world: World) -> None:
    found = await world.examine(rate=0)
    assert not bad(found)
    assert "a quiet market" in found["book BTC/USD"].says
    assert "none was made" in found["trades BTC/USD"].says


# -- this machine -----------------------------------------------------------------------------------------------------


async def test_the_pure_core(world: World) -> None:
    assert bad(await world.examine(core="pure", can_compile=True)) == {"core": WARNING}


async def test_the_slow_transport(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from kraken_trio.cli.doctor import probe
    from kraken_trio.transport import choice

    def choose(name: str, *arguments: Any) -> Any:
        if name == "websockets":
            raise ImportError("No module named 'websockets'")
        return original("trio-websocket", *arguments)

    original = choice.choose
    monkeypatch.setattr(probe, "choose", choose)
    found = await world.examine()
    assert bad(found) == {"transport": WARNING}
    assert found["transport"].cure == "pip install 'websockets>=14'"


def spent(path: Path, attempts: int) -> str:
    ledger = HostLedger(b"", wall=EPOCH_NS, monotonic=7)
    for _ in range(attempts):
        ledger.take()
    path.write_bytes(ledger.to_bytes())
    return str(path)


async def test_a_spent_budget_file(world: World, tmp_path: Path) -> None:
    """Nothing connects: Kraken would ban the address."""
    file = spent(tmp_path / "budget", 120)
    before = Path(file).read_bytes()
    found = await world.examine(plan={"budget_file": file}, monotonic_ns=lambda: 7)
    assert bad(found) == {"budget": FAILED}
    assert found["budget"].value == 120
    assert not world.network.dials
    assert Path(file).read_bytes() == before


@pytest.mark.parametrize("what", ["folder", "other", "locked"])
async def test_a_budget_file_that_cannot_be_used(world: World, tmp_path: Path, what: str) -> None:
    file = tmp_path / "budget"
    if what == "folder":
        file.mkdir()
    else:
        file.write_text("something else")
    if what == "locked":
        file.chmod(0)
        if os.access(file, os.R_OK):
            pytest.skip("this user may read everything")
    found = await world.examine(plan={"budget_file": str(file)})
    assert bad(found) == {"budget": FAILED}
    assert not world.network.dials


async def test_a_budget_file_that_is_not_there_yet_is_not_made_by_looking(world: World, tmp_path: Path) -> None:
    found = await world.examine(UnknownHost(), plan={"budget_file": str(tmp_path / "new")}, addresses=no_such_name)
    assert found["budget"].level is OK
    assert not list(tmp_path.iterdir())


# -- a recording's folder ---------------------------------------------------------------------------------------------


async def test_a_folder_that_is_not_there_yet_is_not_made_by_looking(world: World, tmp_path: Path) -> None:
    """How long its disk lasts is told from what comes."""
    found = await world.examine(plan={"folder": str(tmp_path / "a" / "new")}, free_bytes=lambda _path: 10**12)
    assert not bad(found)
    assert "can be made" in found["folder"].says
    assert "there is no recording yet" in found["segments"].says
    assert "of these symbols" in found["room"].says
    assert not list(tmp_path.iterdir())


async def test_a_disk_that_will_be_full_within_a_week(world: World, tmp_path: Path) -> None:
    found = await world.examine(plan={"folder": str(tmp_path)}, free_bytes=lambda _path: 51 * 10**8, rate=400)
    assert bad(found) == {"room": WARNING}


async def test_a_full_disk(world: World, tmp_path: Path) -> None:
    found = await world.examine(plan={"folder": str(tmp_path / "new")}, free_bytes=lambda _path: 10**6)
    assert bad(found) == {"disk": FAILED, "room": FAILED}


async def test_no_inodes(world: World, tmp_path: Path) -> None:
    plan = {"folder": str(tmp_path)}
    assert bad(await world.examine(plan=plan, free_inodes=lambda _path: 3)) == {"inodes": FAILED}


@pytest.mark.parametrize("place", ["file", "file/below"])
async def test_a_file_where_the_folder_should_be(world: World, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    found = await world.examine(plan={"folder": str(tmp_path / place)})
    assert bad(found) == {"folder": FAILED}


async def test_a_folder_that_cannot_be_written(world: World, recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether anybody records into it cannot be seen, so the newest file may be torn."""
    newest(recorded).write_bytes(newest(recorded).read_bytes()[:-100])
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != recorded and access(path, mode))
    found = await world.examine(plan={"folder": str(recorded)})
    assert bad(found) == {"folder": FAILED}
    assert found["recorder"].level is SKIPPED


async def test_a_disk_that_cannot_be_asked(world: World, tmp_path: Path) -> None:
    def fail(_path: Path) -> int:
        raise OSError(5, "Input/output error")

    found = await world.examine(plan={"folder": str(tmp_path)}, free_bytes=fail)
    assert bad(found) == {"folder": FAILED}
    assert "Input/output error" in found["folder"].says


async def test_a_file_system_that_does_not_answer(world: World, tmp_path: Path) -> None:
    found = await world.examine(plan={"folder": str(tmp_path), "budget_file": "x"}, in_thread=for_ever)
    assert bad(found) == {"budget": FAILED, "folder": FAILED}


async def test_a_folder_that_takes_too_long_to_read(world: World, tmp_path: Path) -> None:
    async def only_three(work: Callable[[], Any]) -> Any:
        calls.append(work)
        return await (at_once if len(calls) < 3 else for_ever)(work)

    calls: list[Any] = []
    found = await world.examine(plan={"folder": str(tmp_path)}, in_thread=only_three)
    assert bad(found) == {"segments": FAILED}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doctor") / "data"
    record_story(folder)
    return folder


@pytest.fixture
def recorded(story: Path, tmp_path: Path) -> Path:
    """A recording of 43 s in nine files, which was written just now."""
    folder = tmp_path / "data"
    shutil.copytree(story, folder)
    for path in folder.iterdir():
        os.utime(path, ns=(EPOCH_NS, EPOCH_NS))
    return folder


def newest(folder: Path) -> Path:
    return max(folder.glob("*.mcap"))


def state_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


async def test_a_whole_recording(world: World, recorded: Path) -> None:
    before = state_of(recorded)
    found = await world.examine(plan={"folder": str(recorded)})
    assert not bad(found)
    assert found["segments"].says == "9 files, whole"
    assert "nobody" in found["recorder"].says
    assert "of these symbols" in found["room"].says, "43 s are too short to tell"
    assert state_of(recorded) == before


@pytest.mark.parametrize(("idle", "level"), [(1, OK), (300, WARNING), (3600, FAILED)])
async def test_a_recorder_that_writes_no_more(world: World, recorded: Path, idle: int, level: Level) -> None:
    """Its file has no end, as it is being written."""
    newest(recorded).write_bytes(newest(recorded).read_bytes()[:-100])
    os.utime(newest(recorded), ns=(0, EPOCH_NS - idle * 10**9))
    lock = FolderLock(recorded)
    try:
        found = await world.examine(plan={"folder": str(recorded)})
    finally:
        lock.release()
    assert bad(found) == ({} if level is OK else {"recorder": level})
    assert f"process {os.getpid()} records into it" in found["recorder"].says
    assert found["segments"].level is OK


async def test_a_recorder_that_was_killed(world: World, recorded: Path) -> None:
    newest(recorded).write_bytes(newest(recorded).read_bytes()[:-100])
    found = await world.examine(plan={"folder": str(recorded)})
    assert bad(found) == {"segments": WARNING}
    assert newest(recorded).name in found["segments"].says


@pytest.mark.parametrize("how", ["empty", "missing", "aside", "all"])
async def test_files_that_cannot_be_read(world: World, recorded: Path, how: str) -> None:
    second = sorted(recorded.glob("*.mcap"))[1]
    if how == "empty":
        second.write_bytes(b"")
    elif how == "missing":
        second.unlink()
    elif how == "aside":
        second.rename(second.with_name(f"00000010{second.name[8:]}.damaged"))
    else:
        for path in recorded.glob("*.mcap"):
            path.write_bytes(b"")
    found = await world.examine(plan={"folder": str(recorded)})
    assert bad(found) == {"segments": FAILED}


async def test_a_folder_that_cannot_be_listed(world: World, recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_folder: Path) -> list[str]:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(folder, "list_names", fail)
    found = await world.examine(plan={"folder": str(recorded)})
    assert bad(found) == {"segments": FAILED}
    assert "Input/output error" in found["segments"].says


DAY_NS = 86_400 * 10**9


def fill(path: Path, *files: tuple[float, float], lost: int = 0, is_open: bool = False) -> int:
    """Write segments that begin and end so many days before the exchange's epoch; returns the size of the last one.

    ``lost`` of the first are deleted afterwards. If it ``is_open``, the last one has no end.
    """
    size = 0
    with Folder(path) as opened:
        for begin, end in files:
            start_ns, end_ns = EPOCH_NS - round(begin * DAY_NS), EPOCH_NS - round(end * DAY_NS)
            segment = opened.create({"recording": "r"}, started_ns=start_ns, library="x")
            found = [(1, sequence, at, sequence, b"{}") for sequence, at in ((1, start_ns), (2, end_ns))]
            segment.append_chunk(packed(found), start_ns, end_ns)
            if is_open and (begin, end) == files[-1]:
                segment.close()
            else:
                segment.finish()
            size = segment.path.stat().st_size
            os.utime(segment.path, ns=(0, end_ns))
    for name in sorted(path.glob("*.mcap"))[:lost]:
        name.unlink()
    return size


async def test_how_fast_a_recording_grows_is_measured_by_its_last_day(world: World, tmp_path: Path) -> None:
    size = fill(tmp_path, (9, 8), (0.75, 0.5), (0.25, 0.0))
    found = await world.examine(plan={"folder": str(tmp_path)}, free_bytes=lambda _path: 6 * 10**9)
    assert not bad(found)
    assert found["room"].value == pytest.approx(6e9 / (4 * size) * 86_400, rel=0.05)
    assert "measured over 12 h of this recording" in found["room"].says


async def test_the_file_that_is_being_written_counts(world: World, tmp_path: Path) -> None:
    size = fill(tmp_path, (9, 8), (0.25, 0.0), is_open=True)
    lock = FolderLock(tmp_path)
    try:
        found = await world.examine(plan={"folder": str(tmp_path)}, free_bytes=lambda _path: 6 * 10**9)
    finally:
        lock.release()
    assert not bad(found)
    assert found["room"].value == pytest.approx(6e9 / (4 * size) * 86_400, rel=0.05)


async def test_a_recording_whose_old_files_are_deleted_need_not_grow(world: World, tmp_path: Path) -> None:
    fill(tmp_path, (9, 8), (0.25, 0.0), lost=1)
    found = await world.examine(plan={"folder": str(tmp_path)}, free_bytes=lambda _path: 6 * 10**9)
    assert not bad(found)
    assert "older files are deleted" in found["room"].says


async def test_too_few_files(world: World) -> None:
    assert bad(await world.examine(open_files=lambda: 20)) == {"files": FAILED}


# -- the way to the exchange ------------------------------------------------------------------------------------------


async def no_such_name(_host: str, _port: int) -> Sequence[Any]:
    await trio.lowlevel.checkpoint()
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


async def test_an_unusable_proxy(world: World) -> None:
    found = await world.examine(plan={"proxy": "socks5://user:hidden@proxy.test"})
    assert bad(found) == {"proxy": FAILED}
    assert "hidden" not in repr(found)
    assert not world.network.dials


async def test_a_proxy_that_refuses(world: World) -> None:
    async def refuse(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 407 x\r\n\r\n")

    async with trio.open_nursery() as nursery:
        found = await world.examine(plan={"proxy": "http://proxy.test"}, open_stream=served(nursery, refuse))
    assert bad(found) == {"tcp": FAILED}
    assert "the proxy http://proxy.test:80 did not connect" in found["tcp"].says
    assert "it wants a user and a password" in found["tcp"].cure
    assert found["proxy"].says == "through the proxy http://proxy.test:80"


@pytest.mark.parametrize("how", [no_such_name, for_ever], ids=["unknown", "silence"])
async def test_no_name(world: World, how: Callable[..., Awaitable[Any]]) -> None:
    found = await world.examine(addresses=how)
    assert bad(found) == {"name": FAILED}
    assert not world.network.dials


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (RefuseDial(), "Connection refused"),
        (HangDial(), "within 6 s"),
        (UnknownHost(), "the name could not be looked up"),
    ],
    ids=["refused", "silence", "name"],
)
async def test_no_tcp(world: World, fault: LinkFault, says: str) -> None:
    found = await world.examine(fault)
    assert bad(found) == {"tcp": FAILED}
    assert says in found["tcp"].says


async def test_slow_tcp(world: World) -> None:
    assert bad(await world.examine(DelayDial(seconds=1.0))) == {"tcp": WARNING}


DAY = 86_400


def certified(*names: str, days: float = 90) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context and its client's. The certificate ends so many days after the exchange's epoch."""
    from datetime import UTC, datetime, timedelta

    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    until = datetime.fromtimestamp(EPOCH_NS // 10**9, UTC) + timedelta(days=days)
    authority.issue_cert(*names, not_after=until).configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    return server, client


async def test_tls(world: World) -> None:
    server, client = certified("localhost")
    found = await world.examine(server=server, plan={"ssl_context": client})
    assert not bad(found)
    assert found["tls"].level is found["certificate"].level is OK
    assert found["certificate"].value == pytest.approx(90 * DAY, abs=10)


async def test_a_certificate_that_has_ended(world: World) -> None:
    server, client = certified("localhost", days=-30_000)  # also by the real clock
    found = await world.examine(server=server, plan={"ssl_context": client})
    assert bad(found) == {"tls": FAILED}
    assert "expired" in found["tls"].says
    assert "clock" in found["tls"].cure


async def test_a_certificate_that_ends_soon(world: World) -> None:
    server, client = certified("localhost", days=3)
    found = await world.examine(server=server, plan={"ssl_context": client})
    assert bad(found) == {"certificate": WARNING}


async def test_a_certificate_of_an_unknown_authority(world: World) -> None:
    server, _ = certified("localhost")
    found = await world.examine(server=server)
    assert bad(found) == {"tls": FAILED}
    assert "certificate" in found["tls"].says
    assert "root certificates" in found["tls"].cure


async def test_a_certificate_for_another_name(world: World) -> None:
    server, client = certified("other.test")
    found = await world.examine(server=server, plan={"ssl_context": client})
    assert bad(found) == {"tls": FAILED}
    assert "check the host name" in found["tls"].cure


@pytest.mark.parametrize(
    ("fault", "says"),
    [(HangConnect(), "within 6 s"), (DropConnect(), "closed the connection")],
    ids=["silence", "end"],
)
async def test_no_upgrade(world: World, fault: Fault, says: str) -> None:
    found = await world.examine(fault)
    assert bad(found) == {"upgrade": FAILED}
    assert says in found["upgrade"].says


@pytest.mark.parametrize(
    ("status", "cure"), [(403, "for 600 s"), (429, "for 600 s"), (503, "wait: "), (404, "check the URL")]
)
async def test_a_refusal_of_cloudflares(world: World, status: int, cure: str) -> None:
    found = await world.examine(RefuseConnect(status=status))
    assert bad(found) == {"upgrade": FAILED, "refusal": FAILED}
    assert cure in found["refusal"].cure
    assert len(world.network.dials) == 1, "it does not make a ban longer"


def served(nursery: trio.Nursery, script: Callable[[trio.abc.Stream], Awaitable[None]]) -> Callable[..., Any]:
    """A network in which everybody follows the script."""

    async def follow(stream: trio.abc.Stream) -> None:
        async with stream:
            await script(stream)

    async def open_stream(_host: str, _port: int) -> trio.abc.Stream:
        ours, theirs = trio.testing.memory_stream_pair()
        nursery.start_soon(follow, theirs)
        await trio.lowlevel.checkpoint()
        return ours

    return open_stream


@pytest.mark.parametrize(
    ("date", "level"),
    [
        (b"Date: Tue, 02 Oct 2096 07:06:40 GMT", OK),
        (b"date:Tue, 02 Oct 2096 07:06:45 GMT", WARNING),
        (b"Date: Tue, 02 Oct 2096 06:06:40 GMT", FAILED),
        (b"Date: yesterday", SKIPPED),
        (b"X: y", SKIPPED),
    ],
    ids=["right", "seconds", "an hour", "nonsense", "none"],
)
async def test_the_clock_against_http(world: World, date: bytes, level: Level) -> None:
    """Even if the exchange refuses the connection."""

    async def refuse(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 503 x\r\nServer: cloudflare\r\n" + date + b"\r\nContent-Length: 0\r\n\r\n")

    async with trio.open_nursery() as nursery:
        found = await world.examine(open_stream=served(nursery, refuse))
    assert found["http-clock"].level is level
    assert found["refusal"].level is FAILED


# -- the exchange -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wrong_by", "level"), [(0.5, WARNING), (-0.5, WARNING), (90.0, FAILED), (-90.0, FAILED)])
async def test_a_wrong_clock(world: World, wrong_by: float, level: Level) -> None:
    found = await world.examine(wrong_by=wrong_by)
    assert bad(found) == {"clock": level}
    assert found["clock"].value == pytest.approx(abs(wrong_by), abs=0.01)
    assert ("ahead of" if wrong_by > 0 else "behind") in found["clock"].says


async def test_maintenance(world: World) -> None:
    assert bad(await world.examine(SetStatus(system="maintenance"))) == {"engine": WARNING}


async def test_a_server_that_is_not_krakens(world: World) -> None:
    """It speaks WebSocket, and says nothing."""

    async def say_nothing(stream: trio.abc.Stream) -> None:
        peer = Peer(stream)
        await peer.accept()
        await peer.gone()

    async with trio.open_nursery() as nursery:
        found = await world.examine(open_stream=served(nursery, say_nothing))
    assert bad(found) == {"engine": FAILED, "round-trip": FAILED}


async def test_a_long_way(world: World) -> None:
    world.network = Network(conditions=Conditions(latency=(0.4, 0.4)))
    found = await world.examine()
    assert bad(found)["round-trip"] is WARNING
    assert found["round-trip"].value == pytest.approx(0.8, abs=0.05)


async def test_lost_pings(world: World) -> None:
    found = await world.examine(IgnoreRequests(method="ping", times=None))
    assert bad(found) == {"round-trip": FAILED}
    assert found["book BTC/USD"].level is OK


async def test_an_end_before_the_first_pong(world: World) -> None:
    async with trio.open_nursery() as nursery:

        async def drop() -> None:
            await world.connected(1)
            await trio.sleep(0.02)
            world.network.links[0].reset()

        nursery.start_soon(drop)
        found = await world.examine(IgnoreRequests(method="ping", times=None))
    assert FAILED in levels(found).values()


async def test_no_answer_to_a_subscribe(world: World) -> None:
    found = await world.examine(IgnoreRequests(method="subscribe", times=None))
    assert bad(found)["subscribe"] is FAILED


async def test_a_slow_subscribe(world: World) -> None:
    found = await world.examine(DelaySnapshots(seconds=4.0))
    assert bad(found)["subscribe"] is WARNING


@pytest.mark.parametrize("after", [0.0, 1.5], ids=["none", "ended"])
async def test_no_heartbeats(world: World, after: float) -> None:
    async with trio.open_nursery() as nursery:

        async def stop() -> None:
            await world.connected(2)
            await trio.sleep(after)
            assert world.exchange is not None
            world.exchange.inject(StopHeartbeats())

        nursery.start_soon(stop)
        found = await world.examine(rate=5)
    assert bad(found) == {"heartbeats": FAILED}


async def test_a_symbol_that_does_not_exist(world: World) -> None:
    found = await world.examine(plan={"symbols": ("BTC/USD", "NO/PE")})
    assert bad(found) == {"book NO/PE": FAILED}
    assert "not supported" in found["book NO/PE"].says
    assert "trades NO/PE" not in found


async def test_no_symbol_that_exists(world: World) -> None:
    found = await world.examine(plan={"symbols": ("NO/PE",)})
    assert bad(found)["book NO/PE"] is FAILED


async def test_a_book_that_never_comes(world: World) -> None:
    found = await world.examine(Mute(channel="book", times=None))
    assert bad(found) == {"subscribe": FAILED, "book BTC/USD": FAILED}


async def test_a_wrong_checksum(world: World) -> None:
    found = await world.examine(CorruptChecksum())
    assert bad(found) == {"book BTC/USD": FAILED}


async def test_a_connection_that_is_lost(world: World) -> None:
    """Trades that are missing by that are no hole."""
    async with trio.open_nursery() as nursery:

        async def drop() -> None:
            await world.connected(2)
            await trio.sleep(2)
            world.network.links[1].reset()

        nursery.start_soon(drop)
        found = await world.examine()
    assert bad(found) == {"connection": FAILED}
    assert found["connection"].value == 1
    assert len(world.network.dials) == 3


async def test_a_connection_that_is_lost_between_pings(world: World) -> None:
    async with trio.open_nursery() as nursery:

        async def drop() -> None:
            await world.connected(1)
            await trio.sleep(0.5)
            world.network.links[0].reset()

        nursery.start_soon(drop)
        found = await world.examine()
    assert bad(found) == {"round-trip": WARNING}
    assert "then the connection was lost" in found["round-trip"].says


async def test_a_missing_trade(world: World) -> None:
    found = await world.examine(SkipUpdate(channel="trade", times=3))
    assert bad(found) == {"trades BTC/USD": FAILED}


# -- whatever happens -------------------------------------------------------------------------------------------------


async def test_at_most_three_attempts_and_thirty_seconds(world: World) -> None:
    async with trio.open_nursery() as nursery:

        async def drop_all() -> None:
            while True:
                await trio.sleep(1.5)
                for link in world.network.links:
                    link.reset()

        nursery.start_soon(drop_all)
        found = await world.examine()  # which counts and times them
        nursery.cancel_scope.cancel()
    assert verdict(found.values()) is FAILED


async def test_everything_as_slow_as_it_may_be(world: World) -> None:
    async def slow_addresses(host: str, port: int) -> Sequence[Any]:
        await trio.sleep(3.4)
        return await addresses(host, port)

    async def slow_thread(work: Callable[[], Any]) -> Any:
        await trio.sleep(1.9)
        return work()

    found = await world.examine(
        DelayDial(seconds=5.5, times=None),
        IgnoreRequests(times=None),
        addresses=slow_addresses,
        in_thread=slow_thread,
    )
    assert verdict(found.values()) is FAILED


async def test_a_black_hole_behind_everything(world: World) -> None:
    async with trio.open_nursery() as nursery:

        async def swallow() -> None:
            await world.connected(2)
            await trio.sleep(0.1)
            world.network.inject(BlackHole(dials=True))

        nursery.start_soon(swallow)
        found = await world.examine()
    assert verdict(found.values()) is FAILED
