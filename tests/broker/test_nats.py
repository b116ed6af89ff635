"""The engine of NATS: what is its own, beside the contract of all engines."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio
import trustme

import kraken_trio as kt
from kraken_trio.broker.login import BrokerLogin, BrokerTls
from kraken_trio.broker.nats import NatsEngine, owning, reading, wire
from kraken_trio.broker.position import Place, Start
from kraken_trio.broker.seam import BrokerLost, Fenced, TooLarge
from kraken_trio.broker.subjects import Kind
from tests.broker.nats_server import NatsServer, ask, run_server
from tests.broker.nats_users import key_pair, make_operator, secret_file
from tests.broker.test_engines import BTC, ETH, message, messages, own, take, take_until
from tests.ports import free_ports
from tests.secrets import Secrets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "s3cr3t-of-a-broker-kQ7v"
SMALL = "max_bytes=16MiB"


@pytest.mark.parametrize("in_flight", [1, 2])
def test_an_answer_that_comes_too_late_does_not_stand_for_what_was_not_sent(
    monkeypatch: pytest.MonkeyPatch, in_flight: int
) -> None:
    """As while a cluster has no leader: once, such a window was taken for stored as a whole."""
    monkeypatch.setattr(wire, "PATIENCE", 0.05)

    class LateWire:
        max_payload = 1000

        def __init__(self) -> None:
            self._waiting: dict[int, Any] = {}
            self._count = 0

        async def _send(self, _subject: str, _data: bytes, _headers: object, answer: Any) -> int:
            self._count += 1
            if self._count <= in_flight:
                ack = json.dumps({"stream": "S", "seq": self._count}).encode()
                asyncio.get_running_loop().call_later(0.075, answer, ack, {})
            return self._count

    window: list[tuple[str, bytes, dict[str, str]]] = [("subject", b"data", {}) for _ in range(5)]
    stored = asyncio.run(wire.Wire._store_all(cast("Any", LateWire()), window, in_flight))
    assert stored.acked <= in_flight
    assert stored.lost == "messages are not acknowledged within 0.05 s"


async def use(engine: NatsEngine) -> None:
    """Publish, and read."""
    async with engine.connect() as link:
        fence = await own(link)
        await link.publish(fence, messages(range(8)))
        async with link.read([BTC], Start(time_ns=0), back=60) as source:
            await take(source, 2)
        await link.release(fence)


async def refused(engine: NatsEngine) -> kt.ConnectError:
    with pytest.raises(kt.ConnectError) as caught:
        async with engine.connect():
            pass
    assert Secrets(secret=SECRET).found_in(caught.value, engine) == []
    return caught.value


# The address


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("nats://localhost", "nats://localhost:4222/kraken"),
        ("nats://localhost:4333/md", "nats://localhost:4333/md"),
        ("tls://broker.example/md/", "nats://broker.example:4222/md"),
        ("nats://a,b:1,[::1]:2/md?replicas=3&max_age=7d", "nats://a:4222,b:1,[::1]:2/md"),
        ("nats://[::1]/md?max_bytes=1TiB&storage=memory", "nats://[::1]:4222/md"),
    ],
)
def test_a_url(url: str, name: str) -> None:
    engine = NatsEngine(url)
    assert engine.name == name
    assert repr(engine) == f"<NatsEngine {name}>"
    assert engine.stream == name.rpartition("/")[2]
    assert engine.lease_ttl == 3.0


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("kafka://localhost", "it begins with nats://"),
        ("nats://", "it names no host"),
        ("nats://a,,b", "it names no host"),
        ("nats://a:0", "it names no host"),
        ("nats://a:x", "a host or a port is invalid"),
        ("nats://[::1/md", "write it as"),
        ("nats://a/b/c", "the name of a stream"),
        ("nats://a/b.c", "the name of a stream"),
        ("nats://a/é", "printable ASCII"),
        (f"nats://relay:{SECRET}@a/md", "do not belong in a URL"),
        ("nats://a/md?replicas=6", "replicas=6 is none of"),
        ("nats://a/md?max_age=0s", "max_age=0s is none of"),
        ("nats://a/md?max_bytes=5", "max_bytes=5 is none of"),
        ("nats://a/md?storage=tape", "storage=tape is none of"),
        ("nats://a/md?batches=all", "batches=all is none of"),
        ("nats://a/md?else=1", "else=1 is none of"),
        ("nats://a/md?x", "after the ? stand"),
    ],
)
def test_a_url_that_is_none(url: str, says: str) -> None:
    with pytest.raises(ValueError, match="this is no usable URL of a NATS server") as caught:
        NatsEngine(url)
    assert says in str(caught.value)
    assert Secrets(secret=SECRET).found_in(caught.value) == []


# Connecting


async def test_nobody_is_there() -> None:
    (port,) = free_ports(1)
    error = await refused(NatsEngine(f"nats://127.0.0.1:{port}"))
    assert str(error).startswith(f"NATS at 127.0.0.1:{port}: Connection refused (is a server running there?")
    assert error.retryable


async def test_a_name_that_is_none() -> None:
    error = await refused(NatsEngine("nats://no-such-host.invalid"))
    assert "its name cannot be looked up" in str(error)
    assert error.retryable


async def test_the_next_server_is_tried(nats: NatsServer) -> None:
    (port,) = free_ports(1)
    await use(NatsEngine(f"nats://127.0.0.1:{port},127.0.0.1:{nats.port}/next?{SMALL}"))


async def test_without_jetstream() -> None:
    with run_server(jetstream="off") as server:
        error = await refused(NatsEngine(server.url))
    assert "JetStream is not enabled: start the server with -js" in str(error)
    assert not error.retryable


@contextmanager
def peer(greeting: bytes, heard: list[bytes] | None = None) -> Iterator[int]:
    """Somebody who says one thing, and listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.settimeout(0.05)
                    connection.sendall(greeting)
                    while not over.is_set():
                        try:
                            data = connection.recv(65536)
                        except TimeoutError:
                            continue
                        except OSError:
                            break
                        if not data:
                            break
                        if heard is not None:
                            heard.append(data)
                        if b"PING" in data:
                            connection.sendall(b"PONG\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join()


def info(**changes: Any) -> bytes:
    return (
        b"INFO %s\r\n" % json.dumps({"version": "2.15.1", "max_payload": 1 << 20, "headers": True, **changes}).encode()
    )


async def test_no_nats_server() -> None:
    with peer(b"220 mail.example ESMTP\r\n") as port:
        error = await refused(NatsEngine(f"nats://127.0.0.1:{port}"))
    assert "what answers is no NATS server" in str(error)
    assert not error.retryable


async def test_a_server_that_is_too_old() -> None:
    with peer(info(version="2.9.10")) as port:
        error = await refused(NatsEngine(f"nats://127.0.0.1:{port}"))
    assert "the server is of version 2.9; 2.10 or newer is needed" in str(error)


async def test_a_server_that_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kraken_trio.broker.nats.wire.PATIENCE", 0.1)
    with peer(b"") as port:
        error = await refused(NatsEngine(f"nats://127.0.0.1:{port}"))
        assert "no answer within" in str(error)
        assert error.retryable
    with peer(info()) as port:
        error = await refused(NatsEngine(f"nats://127.0.0.1:{port}"))
        assert "JetStream does not answer: no answer within" in str(error)


# Logins


async def test_logins() -> None:
    pair, _ = key_pair("relay")
    users = f'{{ user: relay, password: "{SECRET}" }}, {{ nkey: {pair.public_key.decode()} }}'
    with run_server(extra=f"authorization {{ users: [ {users} ] }}") as server:
        await use(NatsEngine(f"{server.url}/a?{SMALL}", login=BrokerLogin("relay", SECRET)))
        error = await refused(NatsEngine(server.url, login=BrokerLogin("relay", f"{SECRET}-wrong")))
        assert "the login (user relay) is wrong" in str(error)
        assert not error.retryable
        assert "no login was given: login=BrokerLogin(…)" in str(await refused(NatsEngine(server.url)))
        assert "the login (token) is wrong" in str(
            await refused(NatsEngine(server.url, login=BrokerLogin(token=SECRET)))
        )


async def test_a_token() -> None:
    with run_server(extra=f'authorization {{ token: "{SECRET}" }}') as server:
        await use(NatsEngine(f"{server.url}/a?{SMALL}", login=BrokerLogin(token=SECRET)))
        assert "is wrong" in str(await refused(NatsEngine(server.url, login=BrokerLogin(token=f"{SECRET}-wrong"))))


async def test_an_nkey(tmp_path: Path) -> None:
    pair, seed = key_pair("relay")
    _, other = key_pair("other")
    with run_server(extra=f"authorization {{ users: [ {{ nkey: {pair.public_key.decode()} }} ] }}") as server:
        file = secret_file(tmp_path / "seed", f"{seed}\n")
        engine = NatsEngine(f"{server.url}/a?{SMALL}", login=BrokerLogin(nkey_file=file))
        await use(engine)
        secret_file(file, other)
        assert "the login (nkey) is wrong" in str(await refused(engine))
        secret_file(file, "no seed")
        error = await refused(engine)
        assert "the login is not usable" in str(error)
        assert not error.retryable
        file.unlink()
        assert "No such file" in str(await refused(engine))
    assert Secrets(seed=seed, other=other).found_in(error, engine) == []


async def test_a_file_of_credentials(tmp_path: Path) -> None:
    operator = make_operator()
    with run_server(extra=operator.config) as server:
        file = secret_file(tmp_path / "relay.creds", operator.creds)
        await use(NatsEngine(f"{server.url}/a?{SMALL}", login=BrokerLogin(creds_file=file)))
        _, other = key_pair("other")
        seed = key_pair("user")[1]
        secret_file(file, operator.creds.replace(seed, other))
        assert "the login (creds) is wrong" in str(
            await refused(NatsEngine(server.url, login=BrokerLogin(creds_file=file)))
        )


async def test_what_the_user_may_not_do_is_told() -> None:
    may = 'publish: { deny: ["$JS.API.STREAM.CREATE.>"] }'
    with run_server(
        extra=f'authorization {{ users: [ {{ user: u, password: "{SECRET}", permissions: {{ {may} }} }} ] }}'
    ) as server:
        async with NatsEngine(server.url, login=BrokerLogin("u", SECRET)).connect() as link:
            with pytest.raises(kt.ConnectError, match="the server does not allow it: permissions violation") as caught:
                await link.acquire(0, "A")
            assert not caught.value.retryable
    may = 'subscribe: { deny: ["_INBOX.>"] }'
    with run_server(
        extra=f'authorization {{ users: [ {{ user: u, password: "{SECRET}", permissions: {{ {may} }} }} ] }}'
    ) as server:
        error = await refused(NatsEngine(server.url, login=BrokerLogin("u", SECRET)))
        assert "permissions violation for subscription" in str(error)


# Encryption


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls_files(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    server = authority.issue_cert("127.0.0.1", "localhost")
    server.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    client = authority.issue_cert("relay@example.org")
    client.private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
    return folder


def tls_lines(folder: Path, more: str = "") -> str:
    pem = folder / "server.pem"
    return f'tls {{ cert_file: "{pem}", key_file: "{pem}", ca_file: "{folder / "ca.pem"}"\n{more} }}'


async def test_encrypted(tls_files: Path, authority: trustme.CA) -> None:
    with run_server(extra=tls_lines(tls_files)) as server:
        await use(NatsEngine(f"{server.url}/a?{SMALL}", tls=BrokerTls(ca=tls_files / "ca.pem")))
        context = ssl.create_default_context()
        authority.configure_trust(context)
        await use(NatsEngine(f"tls://localhost:{server.port}/a?{SMALL}", tls=BrokerTls(context=context)))
        for engine in (NatsEngine(f"tls://127.0.0.1:{server.port}"), NatsEngine(server.url)):
            error = await refused(engine)
            assert "its certificate is not trusted" in str(error)
            assert "tls=BrokerTls(ca=…)" in str(error)
            assert not error.retryable


async def test_a_certificate_of_ours(tls_files: Path) -> None:
    ca, client = tls_files / "ca.pem", tls_files / "client.pem"
    with run_server(extra=tls_lines(tls_files, "verify: true")) as server:
        await use(NatsEngine(f"{server.url}/a?{SMALL}", tls=BrokerTls(ca=ca, cert=client)))
        error = await refused(NatsEngine(server.url, tls=BrokerTls(ca=ca)))
        assert "the server wants a certificate of ours, too: tls=BrokerTls(cert=…, key=…)" in str(error)
        assert not error.retryable


async def test_no_secret_is_sent_in_the_clear_where_tls_was_wanted(tls_files: Path) -> None:
    """Whoever stands in between may take TLS out of the server's greeting, which is not encrypted."""
    heard: list[bytes] = []
    with peer(info(auth_required=True), heard) as port:
        tls = BrokerTls(ca=tls_files / "ca.pem")
        error = await refused(NatsEngine(f"nats://127.0.0.1:{port}", login=BrokerLogin("u", SECRET), tls=tls))
    assert "the server does not encrypt: nothing was sent" in str(error)
    assert not error.retryable
    assert b"".join(heard) == b""


# The stream


async def test_the_stream_is_made_as_the_url_says(nats: NatsServer) -> None:
    async with NatsEngine(f"{nats.url}/made?max_age=2h&max_bytes=32MiB").connect() as link:
        fence = await own(link)
        assert fence.producer > 1_700_000_000_000_000
    found = ask(nats, "$JS.API.STREAM.INFO.made")
    assert found is not None
    config: Any = found["config"]
    assert config["subjects"] == ["made.>"]
    assert (config["max_age"], config["max_bytes"]) == (7200 * 10**9, 32 << 20)
    assert (config["retention"], config["discard"], config["num_replicas"]) == ("limits", "old", 1)


async def test_a_stream_that_is_there_is_left_as_it_is(nats: NatsServer) -> None:
    ask(nats, "$JS.API.STREAM.CREATE.there", {"name": "there", "subjects": ["there.>"], "max_msg_size": 1000})
    before = ask(nats, "$JS.API.STREAM.INFO.there")
    await use(NatsEngine(f"{nats.url}/there?max_age=1h"))
    after = ask(nats, "$JS.API.STREAM.INFO.there")
    assert before is not None
    assert after is not None
    assert before["config"] == after["config"]
    async with NatsEngine(f"{nats.url}/there").connect() as link:
        fence = await own(link)
        with pytest.raises(TooLarge, match="raise its max_msg_size") as caught:
            await link.publish(fence, [message(BTC, 0), message(BTC, 1, size=2000)])
        assert caught.value.acked == 1


async def test_a_stream_of_somebody_else(nats: NatsServer) -> None:
    ask(nats, "$JS.API.STREAM.CREATE.theirs", {"name": "theirs", "subjects": ["orders.>"]})
    async with NatsEngine(f"{nats.url}/theirs").connect() as link:
        with pytest.raises(kt.ConnectError, match="the stream theirs is there, but takes other subjects") as caught:
            await link.acquire(0, "A")
        assert not caught.value.retryable


async def test_a_stream_that_cannot_be_made(nats: NatsServer) -> None:
    async with NatsEngine(f"{nats.url}/large?max_bytes=900TiB").connect() as link:
        with pytest.raises(kt.ConnectError, match=r"cannot be made: .* ask for less \(\?max_bytes=1GiB\)"):
            await link.acquire(0, "A")
    async with NatsEngine(f"{nats.url}/three?replicas=3&{SMALL}").connect() as link:
        with pytest.raises(kt.ConnectError, match="cannot be made"):
            await link.acquire(0, "A")


async def test_a_bucket_of_other_times(nats: NatsServer) -> None:
    bucket = {"name": "KV_slow-leases", "subjects": ["$KV.slow-leases.>"], "max_age": 60 * 10**9}
    ask(nats, "$JS.API.STREAM.CREATE.KV_slow-leases", bucket)
    async with NatsEngine(f"{nats.url}/slow?{SMALL}").connect() as link:
        with pytest.raises(kt.ConnectError, match="keeps its entries 60 s, and leases hold 3 s: delete it"):
            await link.acquire(0, "A")


async def test_reading_a_stream_that_is_not_there(nats: NatsServer) -> None:
    async with NatsEngine(f"{nats.url}/nowhere").connect() as link:
        assert list(await link.catalogs()) == []
        with pytest.raises(BrokerLost, match="there is no stream nowhere"):
            async with link.read([BTC], Start(), back=1):
                pass


async def test_foreign_messages_in_the_stream_are_left_out(nats: NatsServer) -> None:
    async with NatsEngine(f"{nats.url}/foreign?{SMALL}").connect() as link:
        fence = await own(link)
        with socket.create_connection(("127.0.0.1", nats.port)) as other:
            other.sendall(b"CONNECT {}\r\nPUB foreign.0.book.BTC/USD 1\r\nx\r\nPUB foreign.hello 1\r\nx\r\nPING\r\n")
            while b"PONG" not in other.recv(65536):
                pass
        await link.publish(fence, [message(BTC, 0)])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reading, "MOST_FILTERS", 0)
            async with link.read([BTC], Start(time_ns=0), back=60) as source:
                assert [one.data for one in await take(source, 1)] == [message(BTC, 0).data]


# The fence


async def test_an_owner_that_nobody_followed_is_the_owner_again(nats: NatsServer) -> None:
    """Its lease has ended; it was away, and so was everybody else."""
    async with NatsEngine(f"{nats.url}/again?{SMALL}").connect() as link:
        fence = await own(link)
        await link.release(fence)
        await link.renew(fence)
        await link.publish(fence, messages(range(4)))
        await link.release(fence)
        other = await own(link, holder="B")
        await link.release(other)
        with pytest.raises(Fenced):
            await link.renew(fence)
        assert await link.acquire(0, "C") is not None, "the attempt has left nothing"


async def test_a_renewal_of_which_nobody_knows_whether_it_was_stored(nats: NatsServer) -> None:
    async with NatsEngine(f"{nats.url}/unknown?{SMALL}").connect() as link:
        fence = await own(link)
        held = fence.token
        assert isinstance(held, owning.Held)
        revision = held.revision
        await link.renew(fence)
        held.revision = revision
        await link.renew(fence)
        held.revision = revision
        await link.release(fence)
        assert await link.acquire(0, "B") is not None


async def test_the_lease_message_is_written_again_before_it_is_too_old(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(owning, "LEASE_AGAIN", 0.0)
    async with NatsEngine(f"{nats.url}/old?{SMALL}").connect() as link:
        fence = await own(link)
        held = fence.token
        assert isinstance(held, owning.Held)
        first = held.lease
        await link.publish(fence, messages(range(4)))
        assert held.lease > first
        # It is unknown whether it was.
        second, held.lease = held.lease, first
        await link.publish(fence, messages(range(4, 8)))
        assert held.lease >= second
        monkeypatch.setattr(owning, "LEASE_AGAIN", 60.0)
        held.lease, held.written = first, 1e18
        await link.publish(fence, messages(range(8, 12)))
        await link.release(fence)
        other = await own(link, holder="B")
        held.written = -1e18
        with pytest.raises(Fenced):
            await link.publish(fence, messages(range(12, 16)))
        await link.publish(other, messages(range(12, 16)))


async def test_an_owner_whose_lease_message_is_gone_stops(nats: NatsServer) -> None:
    async with NatsEngine(f"{nats.url}/gone?{SMALL}").connect() as link:
        fence = await own(link)
        ask(nats, "$JS.API.STREAM.PURGE.gone")
        with pytest.raises(Fenced):
            await link.publish(fence, messages(range(4)))


# Reading


async def test_more_keys_than_filters(nats: NatsServer) -> None:
    """1,500 symbols of two channels: whole channels are read, and the others left out here."""
    keys = [(channel, f"S{number}/USD") for channel in ("book", "trades") for number in range(1500)]
    assert len(keys) > reading.MOST_FILTERS
    sent = [message(key, 0) for key in keys] + [message(key, 0, kind=Kind.KEY) for key in keys]
    others = [message(("ticker", "S1/USD"), 0), message(("book", "other"), 0)]
    async with NatsEngine(f"{nats.url}/many?max_bytes=256MiB").connect() as link:
        fence = await own(link)
        await link.publish(fence, [*others, *sent])
        for start in (Start(), Start(time_ns=0)):
            async with link.read(keys, start, back=60) as source:
                assert not source.taken.expired
                found = await take_until(source, lambda one: one.data == sent[-1].data)
            wanted = sent if start.time_ns == 0 else sent[3000:]
            assert [one.data for one in found] == [one.data for one in wanted]
        few = keys[:400]
        async with link.read(few, Start(), back=60) as source:
            found = await take_until(source, lambda one: one.data == sent[3399].data)
            assert {one.subject.key for one in found} == set(few)


async def test_old_key_frames_are_not_waited_for(nats: NatsServer) -> None:
    """Those of another time, of a shard that is no more: reading begins with the ones that are not too old."""
    async with NatsEngine(f"{nats.url}/ancient?{SMALL}").connect() as link:
        fence = await own(link)
        await link.publish(fence, [message(BTC, 0, kind=Kind.KEY)])
        await trio.sleep(0.3)
        await link.publish(fence, [message(ETH, 1)])
        async with link.read([BTC], Start(), back=0.05) as source:
            assert list(await source.receive()) == []
            assert set(source.reached) == {0}
            await link.publish(fence, [message(BTC, 2)])
            assert [one.data for one in await take(source, 1)] == [message(BTC, 2).data]


async def test_a_consumer_that_is_gone(nats: NatsServer) -> None:
    """Deleted, or forgotten by a server that was away: the link is lost, and a new one reads from where it was."""
    async with NatsEngine(f"{nats.url}/consumers?{SMALL}").connect() as link:
        fence = await own(link)
        await link.publish(fence, [message(BTC, 0)])
        async with link.read([BTC], Start(time_ns=0), back=60) as source:
            (one,) = await take(source, 1)
            found = ask(nats, "$JS.API.CONSUMER.NAMES.consumers")
            assert found is not None
            names: Any = found["consumers"]
            for name in names:
                ask(nats, f"$JS.API.CONSUMER.DELETE.consumers.{name}")
            with pytest.raises(BrokerLost, match="the consumer has ended"):
                await source.receive()
        await link.publish(fence, [message(BTC, 1)])
        places = {0: Place(one.offset + 1)}
        async with link.read([BTC], Start(places=places), back=60) as source:
            found_now = await take_until(source, lambda one: one.data == message(BTC, 1).data)
        assert found_now[-1].data == message(BTC, 1).data


async def test_an_idle_source_goes_on(nats: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions for messages end after their time, and are asked again."""
    monkeypatch.setattr("kraken_trio.broker.nats.wire.EXPIRES", 0.6)
    monkeypatch.setattr("kraken_trio.broker.nats.wire.HEARTBEAT", 0.3)
    async with NatsEngine(f"{nats.url}/idle?{SMALL}").connect() as link:
        fence = await own(link)
        async with link.read([BTC], Start(), back=60) as source:
            await source.receive()
            for number in range(3):
                await trio.sleep(1)
                await link.publish(fence, [message(BTC, number)])
                assert [one.data for one in await take(source, 1)] == [message(BTC, number).data]


async def test_messages_that_fill_the_buffer(nats: NatsServer) -> None:
    """More bytes than are asked for at a time, and than wait in it."""
    large = [message(BTC, number, size=400_000) for number in range(60)]
    async with NatsEngine(f"{nats.url}/wide?max_bytes=64MiB").connect() as link:
        fence = await own(link)
        async with link.read([BTC], Start(), back=60) as source:
            for first in range(0, len(large), 10):
                await link.publish(fence, large[first : first + 10])
            await trio.sleep(0.1)  # so it is full, on a machine that is not too slow
            assert [one.data for one in await take(source, len(large))] == [one.data for one in large]


async def test_a_source_whose_server_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes, no sign of life either."""
    monkeypatch.setattr("kraken_trio.broker.nats.wire.HEARTBEAT", 0.1)
    with run_server() as server:
        async with NatsEngine(f"{server.url}/a?{SMALL}").connect() as link:
            await own(link)
            async with link.read([BTC], Start(), back=60) as source:
                await source.receive()
                server.pause()
                try:
                    with pytest.raises(BrokerLost, match="the consumer gives no sign of life"):
                        await source.receive()
                finally:
                    server.go_on()


async def test_consumers_are_deleted_when_reading_ends(nats: NatsServer) -> None:
    async with NatsEngine(f"{nats.url}/tidy?{SMALL}").connect() as link:
        fence = await own(link)
        await link.publish(fence, messages(range(8)))
        for start in (Start(), Start(time_ns=0), Start(places={0: Place(fence.producer)})):
            async with link.read([BTC], start, back=60) as source:
                await source.receive()
        await link.catalogs()
        found = ask(nats, "$JS.API.CONSUMER.NAMES.tidy")
        assert found is not None
        assert not found["consumers"]


async def test_a_server_that_stops_is_noticed() -> None:
    """SIGSTOP: connections stay, and nothing is answered."""
    with run_server() as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr("kraken_trio.broker.nats.wire.PATIENCE", 0.3)
        async with NatsEngine(f"{server.url}/a?{SMALL}").connect() as link:
            fence = await own(link)
            server.pause()
            try:
                with pytest.raises(BrokerLost, match=r"no answer within|not acknowledged within"):
                    await link.publish(fence, messages(range(4)))
            finally:
                server.go_on()


async def test_pings_that_are_not_answered_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """In words, not as "stale connection"."""
    monkeypatch.setattr("kraken_trio.broker.nats.wire.PING_EVERY", 0.5)
    with run_server() as server:
        async with NatsEngine(f"{server.url}/a?{SMALL}").connect() as link:
            fence = await own(link)
            server.pause()
            try:
                with pytest.raises(BrokerLost, match="pings are not answered"):
                    await link.renew(fence)
            finally:
                server.go_on()


def test_engines_of_two_runs(nats: NatsServer) -> None:
    """Nothing of an engine belongs to one run of Trio."""
    engine = NatsEngine(f"{nats.url}/runs?{SMALL}")
    for _ in range(2):
        trio.run(partial(use, engine))
