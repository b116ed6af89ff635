"""The exchange on real sockets. Real time: nothing here waits for a clock."""

from __future__ import annotations

import json
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trustme
from trio_websocket import open_websocket_url
from wsproto.events import CloseConnection, Ping, Pong

from kraken_trio.testing import (
    Drop,
    DropConnect,
    DropHow,
    Freeze,
    HangConnect,
    Raw,
    RawKind,
    ReferenceBook,
    RefuseConnect,
    Subscribed,
    open_exchange,
    read_frames,
)
from tests.testing.level3_reader import Level3Reader

if TYPE_CHECKING:
    from pathlib import Path

    from kraken_trio.testing import Exchange


async def tcp_to(exchange: Exchange) -> Any:
    return await trio.open_tcp_stream("127.0.0.1", int(exchange.url.split(":")[2].partition("/")[0]))


async def test_a_client_keeps_every_book_through_thousands_of_updates(connect: Any) -> None:
    async with open_exchange(rate=0, seed=1) as exchange, connect(exchange) as client:
        depths = dict(zip(exchange.symbols, (10, 25, 100, 500, 1000, 10, 10, 10), strict=True))
        books = {symbol: ReferenceBook(depth) for symbol, depth in depths.items()}
        for symbol, depth in depths.items():
            await client.subscribe(symbol=[symbol], depth=depth)
            assert books[symbol].feed(await client.receive_data())
        sent = await exchange.publish(4000)
        assert sent > 2000
        for _ in range(sent):
            text = await client.receive_data()
            assert books[json.loads(text)["data"][0]["symbol"]].feed(text)
        assert books == {symbol: exchange.book(symbol, depth) for symbol, depth in depths.items()}


async def test_trio_websocket_is_a_client_too() -> None:
    async with open_exchange(rate=500) as exchange:
        async with open_websocket_url(exchange.url, message_queue_size=500) as client:
            assert '"channel":"status"' in await client.get_message()
            request = {"method": "subscribe", "params": {"channel": "book", "symbol": ["BTC/USD"], "depth": 100}}
            await client.send_message(json.dumps(request))
            book = ReferenceBook(100)
            verified = 0
            while verified < 100:
                text = await client.get_message()
                if '"channel":"book","type"' in text:
                    assert book.feed(text)
                    verified += 1
            await client.ping(b"hello")
        await exchange.wait_until(lambda it: it.connections == 0)


async def test_the_hosts_of_kraken_are_paths_of_one_exchange() -> None:
    async with open_exchange(rate=200, account_rate=50, seed=1) as exchange:
        token = exchange.issue_token()
        async with (
            open_websocket_url(exchange.url + "/l3", message_queue_size=500) as orders,
            open_websocket_url(exchange.url + "/auth", message_queue_size=500) as private,
        ):
            wanted = {"channel": "level3", "symbol": ["BTC/USD"], "token": token}
            await orders.send_message(json.dumps({"method": "subscribe", "params": wanted}))
            await private.send_message(json.dumps({"method": "subscribe", "params": wanted}))
            wanted = {"channel": "executions", "token": token}
            await private.send_message(json.dumps({"method": "subscribe", "params": wanted}))
            client = Level3Reader(10, 1, 8)
            verified = 0
            while verified < 50:
                text = str(await orders.get_message())
                if text.startswith('{"channel":"level3"'):
                    assert client.feed(text)
                    verified += 1
            (_, refusal, confirmation, snapshot) = [json.loads(await private.get_message()) for _ in range(4)]
        assert refusal["error"] == "Subscription name invalid"
        assert confirmation["result"]["channel"] == "executions"
        assert snapshot["sequence"] == 1
        assert exchange.account.orders


async def test_what_the_exchange_knows_of_its_clients(connect: Any) -> None:
    async with open_exchange(rate=0) as exchange:
        async with connect(exchange) as client:
            await client.subscribe(symbol=["BTC/USD"], depth=25)
            await client.receive_data()
            assert exchange.subscriptions == {1: {("book", "BTC/USD", 25)}}
            assert exchange.subscriptions == {1: {Subscribed("book", "BTC/USD", 25)}}
            assert [(request.connection, request.method) for request in exchange.requests] == [(1, "subscribe")]
            assert (exchange.connections, exchange.connects) == (1, 1)
            sent = await exchange.publish(200, "BTC/USD")
            for _ in range(sent):
                await client.receive_data()
            assert len(exchange.journal[0].sent) == sent + 1
            assert exchange.statistics().market_updates == 200
            assert repr(exchange) == f"<Exchange {exchange.url} connections=1 symbols=8>"
        await exchange.wait_until(lambda it: it.connections == 0)
        assert exchange.subscriptions == {}
        assert exchange.connects == 1


async def test_the_market_moves_by_itself_pauses_and_resumes(connect: Any) -> None:
    async with open_exchange(rate=2000) as exchange, connect(exchange) as client:
        await client.subscribe()
        for _ in range(50):
            await client.receive_data()
        exchange.pause()
        before = exchange.statistics().market_updates
        await client.send('{"method":"ping"}')
        while "pong" not in await client.receive():
            pass
        assert exchange.statistics().market_updates == before
        exchange.resume()
        await client.receive_data()


async def test_unknown_symbols_have_no_book() -> None:
    async with open_exchange() as exchange:
        with pytest.raises(KeyError):
            exchange.book("NO/SUCH")


@pytest.mark.parametrize("error", [ValueError("mine"), ExceptionGroup("mine", [KeyError(1)]), KeyboardInterrupt()])
async def test_the_bodys_exception_comes_out_as_it_is(error: Any) -> None:
    with pytest.raises(type(error)) as caught:
        async with open_exchange():
            raise error
    if isinstance(error, ExceptionGroup):  # Trio makes a new group of the same exceptions
        assert (caught.value.message, caught.value.exceptions) == (error.message, error.exceptions)
    else:
        assert caught.value is error


async def test_leaving_ends_at_once_whatever_the_clients_do(connect: Any, gone: Any) -> None:
    async with open_exchange(rate=0) as exchange:
        deaf = await tcp_to(exchange)
        async with connect(exchange) as frozen, connect(exchange):
            flood(exchange, connection=2)
            exchange.inject(Freeze(connection=1))
            with trio.CancelScope() as scope:
                scope.cancel()  # as a body that is cancelled with all this under way
                await exchange.drained()
            assert scope.cancelled_caught
        await deaf.aclose()
    assert frozen
    with pytest.raises(OSError, match="connect"):
        await tcp_to(exchange)


async def test_clients_see_the_end_of_the_exchange(connect: Any, gone: Any) -> None:
    async with trio.open_nursery() as nursery:

        async def one_exchange(*, task_status: trio.TaskStatus[Exchange]) -> None:
            async with open_exchange(rate=0) as exchange:
                task_status.started(exchange)
                await exchange.wait_until(lambda it: it.requests)

        exchange = await nursery.start(one_exchange)
        async with connect(exchange) as client:
            await client.send("bye")
            with pytest.raises(gone):
                while True:
                    await client.receive()


async def test_two_exchanges_at_once() -> None:
    async with open_exchange(rate=0) as one, open_exchange(rate=0, seed=2) as other:
        assert one.url != other.url
        assert one.book("BTC/USD", 10) != other.book("BTC/USD", 10)


def flood(exchange: Exchange, **settings: Any) -> None:
    """More than any kernel buffers."""
    for _ in range(40):
        exchange.inject(Raw(payload="x" * 1_000_000, **settings))


# Ends


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("how", DropHow)
async def test_every_way_to_drop_a_connection(connect: Any, gone: Any, how: DropHow, tls: bool) -> None:
    server, trusting = contexts() if tls else (None, None)
    async with open_exchange(rate=0, ssl_context=server) as exchange, connect(exchange, trusting) as client:
        await client.receive()
        exchange.inject(Drop(how=how))
        assert exchange.connections == 0
        with pytest.raises(gone) as caught:
            await client.receive()
        assert caught.value.code == how.code
        assert caught.value.how == ("close" if how.code else "reset" if how is DropHow.RESET else "eof")


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("how", [DropHow.EOF, DropHow.CLOSE_1001, DropHow.TORN])
async def test_what_was_sent_before_a_drop_arrives(connect: Any, gone: Any, how: DropHow, tls: bool) -> None:
    server, trusting = contexts() if tls else (None, None)
    async with open_exchange(rate=0, ssl_context=server) as exchange, connect(exchange, trusting) as client:
        await client.subscribe()
        received = [await client.receive_data()]
        await exchange.publish(3000, "BTC/USD")
        exchange.inject(Drop(how=how))
        with pytest.raises(gone):
            while True:
                received.append(await client.receive_data())
        assert received == list(exchange.journal[0].sent)


async def test_a_client_may_say_goodbye(connect: Any, gone: Any) -> None:
    async with open_exchange(rate=0) as exchange, connect(exchange) as client:
        await client.send(CloseConnection(code=1000))
        with pytest.raises(gone):
            while True:
                await client.receive()
        await exchange.wait_until(lambda it: it.connections == 0)


async def test_a_frozen_connection_stays_open_and_silent(connect: Any) -> None:
    async with open_exchange(rate=2000) as exchange, connect(exchange) as frozen:
        await frozen.subscribe()
        await frozen.receive_data()
        exchange.inject(Freeze())
        assert exchange.connections == 0
        async with connect(exchange) as well:
            await well.subscribe()
            count = exchange.journal[0].sent_count
            for _ in range(50):
                await well.receive_data()
            assert exchange.journal[0].sent_count == count
            await frozen.send('{"method":"ping"}')
            await well.send('{"method":"ping"}')
            while "pong" not in await well.receive():
                pass
        assert [request.connection for request in exchange.requests] == [1, 2, 2]


# Upgrades


@pytest.mark.parametrize(("status", "retry_after"), [(429, 7), (503, None), (404, None), (500, 0.5)])
async def test_an_upgrade_can_be_refused(connect: Any, rejected: Any, status: int, retry_after: float | None) -> None:
    fault = RefuseConnect(status=status, retry_after=retry_after)
    async with open_exchange(faults=[fault]) as exchange:
        assert exchange.faults == (fault,)
        with pytest.raises(rejected) as caught:
            async with connect(exchange):
                pass
        assert caught.value.status == status
        wanted = None if retry_after is None else f"{retry_after:g}".encode()
        assert caught.value.headers.get(b"retry-after") == wanted
        async with connect(exchange) as client:
            assert "status" in await client.receive()
        assert exchange.statistics().refused_connects == 1


@pytest.mark.parametrize("path", ["/v1", "/v2/", "/v22", "/private"])
async def test_other_paths_are_not_served(connect: Any, rejected: Any, path: str) -> None:
    async with open_exchange() as exchange:
        with pytest.raises(rejected) as caught:
            async with connect(exchange, path=path):
                pass
        assert caught.value.status == 404


async def test_the_older_protocol_greets_at_its_path(connect: Any) -> None:
    async with open_exchange() as exchange, connect(exchange, path="/") as client:
        greeting = json.loads(await client.receive())
        assert greeting.pop("connectionID") > 2**62
        assert greeting == {"event": "systemStatus", "status": "online", "version": "1.9.6"}
        await client.subscribe()  # in the words of v2
        assert await client.receive() == '{"errorMessage":"Malformed request","event":"error"}'
        await client.send('{"event":"subscribe","pair":["XBT/USD"],"subscription":{"name":"book","depth":10}}')
        assert json.loads(await client.receive())["status"] == "subscribed"
        _, book, *names = json.loads(await client.receive())
        assert [len(book["as"]), len(book["bs"])] == [10, 10]
        assert names == ["book-10", "XBT/USD"]
        assert [request.method for request in exchange.requests] == [None, "subscribe"]
        assert exchange.subscriptions == {1: {Subscribed("book", "BTC/USD", 10)}}
        assert exchange.journal[0].protocol == "v1"


async def test_an_upgrade_can_be_dropped_or_left_hanging(connect: Any, gone: Any) -> None:
    async with open_exchange(faults=[DropConnect(), HangConnect()]) as exchange:
        with pytest.raises(gone):
            async with connect(exchange):
                pass
        async with trio.open_nursery() as nursery:

            async def hang() -> None:
                async with connect(exchange):
                    pass

            nursery.start_soon(hang)
            await exchange.wait_until(lambda it: it.statistics().refused_connects == 2)
            nursery.cancel_scope.cancel()
        assert exchange.connects == 0


# Bytes


async def test_raw_bytes_arrive_verbatim(connect: Any, gone: Any) -> None:
    async with open_exchange(rate=0) as exchange, connect(exchange) as client:
        await client.receive()
        big = "x" * 100_000
        for payload in ("{not json", "", big, "\x1b[2J"):
            exchange.inject(Raw(payload=payload))
            assert await client.receive() == payload
        exchange.inject(Raw(payload=b"\x00\xff", kind=RawKind.BINARY))
        assert await client.receive() == b"\x00\xff"
        exchange.inject(Raw(payload=b"\xff\xff\xff", kind=RawKind.TCP))
        with pytest.raises(gone) as caught:
            await client.receive()
        assert caught.value.code == 1002


async def test_text_that_is_no_utf_8(connect: Any, gone: Any) -> None:
    async with open_exchange(rate=0) as exchange, connect(exchange) as client:
        await client.receive()
        exchange.inject(Raw(payload=b"\xff\xfe"))
        with pytest.raises(gone) as caught:
            await client.receive()
        assert caught.value.code == 1007


@pytest.mark.parametrize(
    "data",
    [b"\xff" * 40, b"\x81\x05hello", b"\x81\xff" + b"\xff" * 200, b"\xc1\x80aaaa", b"\x88\x81aaaab", b"GET /\r\n"],
    ids=repr,
)  # fmt: skip
async def test_a_clients_bad_bytes_end_only_its_own_connection(connect: Any, data: Any) -> None:
    async with open_exchange(rate=0) as exchange, connect(exchange) as client, connect(exchange) as bad:
        await client.receive()
        await bad.stream.send_all(data)
        await bad.stream.send_eof()
        await exchange.wait_until(lambda it: it.connections == 1)
        await client.send('{"method":"ping"}')
        assert "pong" in await client.receive()


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize(
    "data",
    [b"\x00\x01\x02\r\n\r\n", b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", b"", b"x" * 200_000],
    ids=["binary", "post", "nothing", "giant"],
)
async def test_bad_handshakes_are_survived(connect: Any, data: Any, tls: bool) -> None:
    server, trusting = contexts() if tls else (None, None)
    async with open_exchange(rate=0, ssl_context=server) as exchange:
        stream = await tcp_to(exchange)
        with suppress(trio.BrokenResourceError):
            await stream.send_all(data)
            await stream.send_eof()
            while await stream.receive_some():
                pass
        await stream.aclose()
        async with connect(exchange, trusting) as client:
            await client.receive()


async def test_a_giant_message_closes_with_1009(connect: Any, gone: Any) -> None:
    async with open_exchange(rate=0) as exchange, connect(exchange) as client:
        await client.receive()
        with pytest.raises(gone) as caught:
            await client.send("x" * 1_100_000)
            await client.receive()
        assert caught.value.code == 1009


async def test_pings_are_answered(connect: Any) -> None:
    async with open_exchange(rate=0) as exchange, connect(exchange) as client:
        await client.receive()
        await client.send(Ping(b"hello"))
        assert await client.receive() == Pong(b"hello")


# Slow clients


async def test_a_slow_client_gets_everything_late_and_others_do_not_wait(connect: Any) -> None:
    async with open_exchange(rate=0) as exchange, connect(exchange) as slow, connect(exchange) as quick:
        await quick.receive()
        await slow.subscribe(depth=1000)
        await exchange.wait_until(lambda it: it.subscriptions[1])
        flood(exchange)
        sent = await exchange.publish(100, "BTC/USD")
        for _ in range(40):
            assert len(await quick.receive()) == 1_000_000
        assert exchange.statistics().frames_queued > sent
        book = ReferenceBook(1000)
        for number in range(3 + 40 + sent):  # status, acknowledgement, snapshot
            text = await slow.receive()
            if number == 2 or number >= 43:
                assert book.feed(text)
        assert book == exchange.book("BTC/USD", 1000)
        await exchange.drained()


async def test_a_queue_can_be_limited(connect: Any, gone: Any) -> None:
    async with open_exchange(rate=0, queue_limit=39) as exchange, connect(exchange) as slow:
        await slow.receive()
        flood(exchange)
        assert exchange.connections == 0
        with pytest.raises(gone):
            await slow.receive()


# TLS


def contexts() -> Any:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


async def test_tls(connect: Any) -> None:
    server, trusting = contexts()
    async with open_exchange(rate=0, ssl_context=server) as exchange:
        assert exchange.url.startswith("wss://127.0.0.1:")
        with pytest.raises(trio.BrokenResourceError):
            async with connect(exchange, ssl.create_default_context()):
                pass
        async with connect(exchange, trusting) as client:
            await client.subscribe()
            assert ReferenceBook(10).feed(await client.receive_data())


# Recordings


@pytest.mark.parametrize(("name", "checksums"), [("v2_book25_ethusd.cbcap", 1129), ("v2_book25_xrpusd.cbcap", 1147)])
async def test_a_real_recording_is_served(connect: Any, captures: Path, name: str, checksums: int) -> None:
    recorded = [frame for frame in read_frames(captures / name) if frame.startswith('{"channel":"book"')]
    async with open_exchange(recording=captures / name) as exchange, connect(exchange) as client:
        (symbol,) = exchange.symbols
        await client.subscribe(symbol=[symbol], depth=25)
        book = ReferenceBook(25)
        received = []
        for _ in range(checksums):
            received.append(await client.receive_data())
            assert book.feed(received[-1])
        assert received == recorded
        with pytest.raises(KeyError):
            exchange.book(symbol)
